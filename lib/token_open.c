/* Opening tokenizers: which files make one up. */
#include "token_impl.h"

#include "gguf.h"
#include "json.h"
#include "mem.h"
#include "banned.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#define MAX_FILE ((size_t)256 << 20)

enum kind { JSON, TIKTOKEN, CLIP, GGUF };

static const char clip_name[] = "bpe_simple_vocab_16e6.txt.gz";

/* ---- finding ------------------------------------------------------------- */

static bool
ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && !strcmp(s + n - k, end);
}

/* Whether a file is there, or can't be looked for. */
static bool
is_there(const char *path)
{
	return !access(path, F_OK) || errno != ENOENT;
}

/* Where all that belongs to DIR/name lies.  The compiled form of tokenizer.json
 * has a name of its own, that of another file the file's before it. */
static void
place(struct gv_token_source *s, const char *dir, const char *name)
{
	bool json = !strcmp(name, "tokenizer.json");

	snprintf(s->path, sizeof s->path, "%s/%s", dir, name);
	snprintf(s->config, sizeof s->config, "%s/tokenizer_config.json", dir);
	snprintf(s->image, sizeof s->image, "%s/%s%s.gv-tokenizer", dir,
	    json ? "" : ".", json ? "" : name);
}

/* The one file *.tiktoken of a directory, or none: name is "" then. */
static int
find_tiktoken(const char *dir, char name[256], struct gv_error *e)
{
	DIR *d = opendir(dir);
	struct dirent *at;
	char q[256];

	*name = '\0';
	while (d && (at = readdir(d))) {
		if (!ends_in(at->d_name, ".tiktoken"))
			continue;
		if (*name) {
			gv_fail(e, GV_ERR_MATCH,
			    "'%s' has several .tiktoken files: name one",
			    gv_quote(q, sizeof q, dir, strlen(dir)));
			break;
		}
		snprintf(name, 256, "%s", at->d_name);
	}
	if (d)
		closedir(d);
	return e->code;
}

/* The vocabulary of a directory; tokenizer.json if there is none. */
static int
find_in(struct gv_token_source *s, enum kind *kind, const char *dir,
    struct gv_error *e)
{
	char name[256];

	*kind = JSON;
	place(s, dir, "tokenizer.json");
	if (is_there(s->path))
		return 0;
	if (find_tiktoken(dir, name, e))
		return e->code;
	if (!*name)
		snprintf(name, sizeof name, "tokenizer.model");
	*kind = TIKTOKEN;
	place(s, dir, name);
	if (is_there(s->path))
		return 0;
	*kind = CLIP;
	place(s, dir, clip_name);
	if (is_there(s->path))
		return 0;
	*kind = JSON;
	place(s, dir, "tokenizer.json");
	return 0;
}

/* What `path` is: a directory, or a file that a vocabulary is in. */
static int
find(struct gv_token_source *s, enum kind *kind, const char *path,
    struct gv_error *e)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	char dir[GV_PATH_MAX], q[256];

	memset(s, 0, sizeof *s);
	if (strlen(path) >= sizeof dir)
		return gv_fail(e, GV_ERR_LIMIT, "'%s' is too long a path",
		    gv_quote(q, sizeof q, path, strlen(path)));
	snprintf(dir, sizeof dir, "%.*s",
	    slash && slash != path ? (int)(slash - path) : 1,
	    slash ? path : ".");
	if (gv_gguf_named(path)) {
		*kind = JSON;
		place(s, dir, "tokenizer.json");
		if (is_there(s->path))
			return 0;
		*kind = GGUF;
	} else if (ends_in(name, ".tiktoken")) {
		*kind = TIKTOKEN;
	} else if (ends_in(name, ".txt.gz")) {
		*kind = CLIP;
	} else {
		return find_in(s, kind, path, e);
	}
	place(s, dir, name);
	return 0;
}

int
gv_tokenizer_file(const char *dir, char name[256], struct gv_error *e)
{
	struct gv_token_source s = {0};
	enum kind kind;

	if (find_in(&s, &kind, dir, e))
		return e->code;
	snprintf(name, 256, "%s", strrchr(s.path, '/') + 1);
	return 0;
}

static void
take_state(int64_t state[4], const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return;
	state[0] = (int64_t)st.st_size;
	state[1] = (int64_t)st.st_ino;
	state[2] = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	state[3] = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
}

/* ---- reading ------------------------------------------------------------- */

/* The object that the text is. */
static int
parse(json_t **o, const char *text, size_t n, bool reals, const char *q,
    struct gv_error *e)
{
	*o = NULL;
	if ((reals ? gv_json_parse_reals : gv_json_parse)(o, text, n, e))
		return gv_fail_in(e, "'%s'", q);
	if (json_is_object(*o))
		return 0;
	json_decref(*o);
	*o = NULL;
	return gv_fail(e, GV_ERR_FORMAT, "'%s' is not a JSON object", q);
}

/* tokenizer_config.json; *config is NULL if there is none. */
static int
read_config(
    json_t **config, const struct gv_token_source *s, struct gv_error *e)
{
	char *text, q[256];
	size_t n;

	*config = NULL;
	if (!is_there(s->config))
		return 0;
	if (gv_slurp(s->config, MAX_FILE, &text, &n, e))
		return e->code;
	/* no limit is 10^30 to transformers, which is no int64_t */
	(void)!parse(config, text, n, true,
	    gv_quote(q, sizeof q, s->config, strlen(s->config)), e);
	gv_free(text);
	return e->code;
}

/* The tables from the text where that can be, else from the parsed tree. */
static int
load_json(struct gv_tokenizer *t, const char *text, size_t n, const char *q,
    struct gv_error *e)
{
	struct gv_error quiet = {0};
	struct gv_token_text x;
	json_t *o = gv_token_scan(text, n, &x);
	bool done = o && !gv_token_load(t, o, &x, &quiet);

	json_decref(o);
	gv_error_clear(&quiet);
	if (done)
		return 0;
	gv_token_clear(t);
	if (parse(&o, text, n, false, q, e))
		return e->code;
	if (gv_token_load(t, o, NULL, e))
		gv_fail_in(e, "'%s'", q);
	json_decref(o);
	return e->code;
}

/* The encoding that a file is called after: "cl100k_base". */
static void
encoding_of(char name[64], const char *path)
{
	const char *base = strrchr(path, '/');
	const char *dot;

	base = base ? base + 1 : path;
	dot = strrchr(base, '.');
	snprintf(name, 64, "%.*s", dot ? (int)(dot - base) : 0, base);
}

static int
load_text(struct gv_tokenizer *t, enum kind kind,
    const struct gv_token_source *s, const json_t *config, struct gv_error *e)
{
	char *text, q[256], name[64];
	size_t n;

	gv_quote(q, sizeof q, s->path, strlen(s->path));
	if (gv_slurp(s->path, MAX_FILE, &text, &n, e))
		return e->code;
	encoding_of(name, s->path);
	if (kind == JSON)
		(void)!load_json(t, text, n, q, e);
	else if (kind == TIKTOKEN
		     ? gv_token_tiktoken(t, text, n, name, config, e)
		     : gv_token_clip(t, text, n, e))
		gv_fail_in(e, "'%s'", q);
	gv_free(text);
	return e->code;
}

/* A GGUF file says in its head what tokenizer_config.json would; its vocabulary
 * is wanted unless `known`. */
static int
load_gguf(struct gv_tokenizer *t, json_t **config, const char *path, bool known,
    struct gv_error *e)
{
	struct gv_gguf *g;
	json_t *o = NULL;
	char q[256];

	if (gv_gguf_open(&g, path, e))
		return e->code;
	if (!gv_gguf_tokenizer(g, known ? NULL : &o, config, e) && !known &&
	    gv_token_load(t, o, NULL, e))
		gv_fail_in(
		    e, "'%s'", gv_quote(q, sizeof q, path, strlen(path)));
	json_decref(o);
	gv_gguf_close(&g);
	return e->code;
}

int
gv_token_open_files(struct gv_tokenizer *t, json_t **config, const char *path,
    struct gv_error *e)
{
	struct gv_token_source *s = gv_alloc(1, sizeof *s);
	enum kind kind = JSON;
	bool known = false;

	*config = NULL;
	if (!s)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (!find(s, &kind, path, e) &&
	    (kind == GGUF || !read_config(config, s, e))) {
		take_state(s->state, s->path);
		if (kind == TIKTOKEN)
			take_state(s->state + 4, s->config);
		known = gv_token_image_open(t, s);
		if (kind == GGUF)
			(void)!load_gguf(t, config, s->path, known, e);
		else if (!known)
			(void)!load_text(t, kind, s, *config, e);
		if (!e->code && !known && !gv_token_digest(t, e))
			gv_token_image_save(t, s);
	}
	gv_free(s);
	return e->code;
}
