/* gv-decode: pictures in files become records of upright, resized RGB. */
#include "cli.h"
#include "config.h"
#include "image.h"
#include "mem.h"
#include "ordered.h"
#include "stream.h"

#include <stdlib.h>
#include <string.h>

#define MAX_LINE ((size_t)16 << 20) /* bytes of a JSON line */
#define MAX_SIZE 16384 /* pixels a side of the result */

static struct gv_opt_common common;
static const char *size, *model, *fill, *root = ".";
static int fit = -1, filter = -1;
static bool jsonl;
static int64_t max_pixels, max_side, max_scans;
static struct gv_image_limits limits;
static struct gv_image_rule rule;

static const struct gv_opt opts[] = {
    {"size", 's', GV_OPT_STR, &size, "HxW",
	"height and width of the result; N is NxN", 0, 0, NULL},
    {"model", 'm', GV_OPT_STR, &model, "DIR", "take all of it from this model",
	0, 0, NULL},
    {"fit", 0, GV_OPT_WORD, &fit, NULL,
	"how pictures of other proportions fit (squash)", 0, 0,
	"squash|crop|pad"},
    {"fill", 0, GV_OPT_STR, &fill, "R,G,B",
	"colour beside a padded picture (122,116,104)", 0, 0, NULL},
    {"filter", 0, GV_OPT_WORD, &filter, NULL, "what resizes (bicubic)", 0, 0,
	"bicubic|bilinear|lanczos|nearest|box|hamming"},
    {"jsonl", 0, GV_OPT_FLAG, &jsonl, NULL,
	"all operands are JSON lines, whatever their names", 0, 0, NULL},
    {"root", 0, GV_OPT_STR, &root, "DIR", "where relative paths start (.)", 0,
	0, NULL},
    {"max-pixels", 0, GV_OPT_INT, &max_pixels, "N",
	"refuse pictures of more pixels (64Mi)", 1, 4294967296., NULL},
    {"max-side", 0, GV_OPT_INT, &max_side, "N", "refuse longer sides (32768)",
	1, 16777216., NULL},
    {"max-scans", 0, GV_OPT_INT, &max_scans, "N",
	"refuse JPEGs of more scans (100)", 1, 1e6, NULL},
    {"lenient", 0, GV_OPT_FLAG, &limits.lenient, NULL,
	"accept damaged JPEGs where libjpeg only warns", 0, 0, NULL},
    {0},
};

static const struct gv_opt_prog prog = {
    "gv-decode",
    "-s HxW|-m MODEL [options] [IMAGE|LIST.jsonl|- ...]",
    "decode and resize pictures into a stream of RGB",
    GV_OPT_C_OUTPUT | GV_OPT_C_THREADS | GV_OPT_C_ERRORS,
    opts,
};

/* ---- what to decode ---------------------------------------------------- */

/* The operands and where we are in them; JSON lines while `lines` is open.
 * Tar files and pictures end to end on standard input will be two more kinds
 * of operand. */
struct input {
	char **path;
	int n, at;
	struct gv_lines *lines;
};

/* A record under way.  The buffers are kept from one record to the next. */
struct item {
	char *text; /* the operand or the JSON line */
	size_t text_cap, text_bytes;
	uint64_t line; /* its number, 0 for an operand */
	const char *list; /* the file it is a line of */
	char key[GV_MAX_KEY + 1];
	int64_t n; /* pictures */
	uint8_t *px; /* (n,H,W,3) */
	int32_t *before; /* (n,2) */
	size_t px_cap, before_cap;
	struct gv_error error; /* why there are none */
};

static int
keep(struct item *it, const char *s, size_t n, struct gv_error *e)
{
	void *p = it->text;

	if (gv_grow(&p, &it->text_cap, n + 1, 1))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	it->text = p;
	memcpy(it->text, s, n);
	it->text[n] = '\0';
	it->text_bytes = n;
	return 1;
}

static bool
is_list(const char *path)
{
	size_t n = strlen(path);

	return jsonl || !strcmp(path, "-") ||
	       (n > 6 && !strcmp(path + n - 6, ".jsonl"));
}

/* The next line that is not blank: 1 or 0. */
static int
next_line(struct input *in, struct item *it, struct gv_error *e)
{
	const char *s;
	size_t n;
	int r;

	while ((r = gv_lines_next(in->lines, &s, &n, e)) > 0) {
		if (strspn(s, " \t\r") == n)
			continue;
		it->line = gv_lines_number(in->lines);
		it->list = in->path[in->at];
		return keep(it, s, n, e);
	}
	return r;
}

static int
next(void *ctx, void *p, struct gv_error *e)
{
	struct input *in = ctx;
	struct item *it = p;
	const char *path;
	int r;

	for (;;) {
		if (in->lines) {
			r = next_line(in, it, e);
			if (r)
				return r;
			gv_lines_close(&in->lines);
			in->at++;
		}
		if (in->at >= in->n)
			return 0;
		path = in->path[in->at];
		if (!is_list(path))
			break;
		if (gv_lines_open(&in->lines, path, MAX_LINE, e))
			return e->code;
	}
	it->line = 0;
	it->list = NULL;
	in->at++;
	return keep(it, path, strlen(path), e);
}

/* ---- decoding, in many threads ----------------------------------------- */

static int
set_key(struct item *it, const char *s)
{
	size_t n = strlen(s);

	if (n > GV_MAX_KEY)
		return gv_fail(&it->error, GV_ERR_LIMIT,
		    "a key of %zu bytes; the limit is %d", n, GV_MAX_KEY);
	memcpy(it->key, s, n + 1);
	return 0;
}

/* Room for n pictures. */
static int
reserve(struct item *it, size_t n)
{
	size_t each = (size_t)rule.height * (size_t)rule.width * 3;
	void *px = it->px, *before = it->before;

	if (n > (GV_MAX_RECORD - 65536) / (each + 8))
		return gv_fail(&it->error, GV_ERR_LIMIT,
		    "%zu pictures of %dx%d are more than a record holds", n,
		    rule.height, rule.width);
	if (gv_grow(&px, &it->px_cap, n * each + 1, 1))
		return gv_fail(&it->error, GV_ERR_NOMEM, "out of memory");
	it->px = px;
	if (gv_grow(&before, &it->before_cap, 2 * n + 1, sizeof(int32_t)))
		return gv_fail(&it->error, GV_ERR_NOMEM, "out of memory");
	it->before = before;
	return 0;
}

/* Adds the picture at `path`. */
static int
add_picture(struct item *it, const char *path)
{
	size_t each = (size_t)rule.height * (size_t)rule.width * 3;
	bool relative = *path != '/' && strcmp(root, ".") != 0;
	size_t cap = strlen(root) + strlen(path) + 2;
	char *full = relative ? gv_alloc(cap, 1) : NULL;
	struct gv_image im = {0};
	int r;

	if (relative && !full)
		return gv_fail(&it->error, GV_ERR_NOMEM, "out of memory");
	if (relative)
		snprintf(full, cap, "%s/%s", root, path);
	r = gv_image_read(&im, relative ? full : path, &limits, &it->error);
	gv_free(full);
	if (r)
		return r;
	it->before[2 * it->n] = im.height;
	it->before[2 * it->n + 1] = im.width;
	r = gv_image_resize(
	    it->px + (size_t)it->n * each, &im, &rule, &it->error);
	gv_image_free(&im);
	it->n += !r;
	return r;
}

/* All pictures of {"id": ..., "image": null | "path" | ["path", ...]}. */
static int
add_pictures(struct item *it, json_t *image)
{
	size_t n = json_is_array(image)            ? json_array_size(image)
		   : image && !json_is_null(image) ? 1
						   : 0;
	size_t i;

	if (reserve(it, n))
		return it->error.code;
	for (i = 0; i < n; i++) {
		const char *path = json_string_value(
		    json_is_array(image) ? json_array_get(image, i) : image);

		if (!path || !*path)
			return gv_fail(&it->error, GV_ERR_FORMAT,
			    "'image' is neither a path nor a list of paths");
		if (add_picture(it, path))
			return it->error.code;
	}
	return 0;
}

static int
parse_line(struct item *it, json_t **o)
{
	json_error_t why;
	json_t *id;
	char number[24];

	*o = json_loadb(it->text, it->text_bytes, JSON_REJECT_DUPLICATES, &why);
	if (!*o)
		return gv_fail(&it->error, GV_ERR_FORMAT,
		    "not JSON: %s at byte %d", why.text, why.position);
	if (!json_is_object(*o))
		return gv_fail(&it->error, GV_ERR_FORMAT, "not a JSON object");
	id = json_object_get(*o, "id");
	if (json_is_integer(id)) {
		snprintf(number, sizeof number, "%lld",
		    (long long)json_integer_value(id));
		return set_key(it, number);
	}
	if (!json_is_string(id))
		return gv_fail(&it->error, GV_ERR_FORMAT,
		    id ? "'id' is neither text nor a whole number"
		       : "there is no 'id'");
	return set_key(it, json_string_value(id));
}

static void
work(void *ctx, void *p)
{
	struct item *it = p;
	json_t *o = NULL;

	(void)ctx;
	gv_error_clear(&it->error);
	it->key[0] = '\0';
	it->n = 0;
	if (!it->line) {
		if (!set_key(it, it->text) && !reserve(it, 1))
			(void)!add_picture(it, it->text);
		return;
	}
	if (!parse_line(it, &o))
		(void)!add_pictures(it, json_object_get(o, "image"));
	json_decref(o);
}

static void
drop(void *p)
{
	struct item *it = p;

	gv_free(it->text);
	gv_free(it->px);
	gv_free(it->before);
}

/* ---- the stream -------------------------------------------------------- */

/* What would do the same by options, but for an edge longer than the sides,
 * which only models have. */
static json_t *
arguments(void)
{
	char wanted[24], colour[16];
	json_t *args;

	snprintf(wanted, sizeof wanted, "%dx%d", rule.height, rule.width);
	args = json_pack("[s, s, s, s, s, s]", "--size", wanted, "--fit",
	    gv_fit_name(rule.fit), "--filter", gv_filter_name(rule.filter));
	if (rule.fit == GV_FIT_PAD) {
		snprintf(colour, sizeof colour, "%d,%d,%d", rule.fill[0],
		    rule.fill[1], rule.fill[2]);
		json_array_append_new(args, json_string("--fill"));
		json_array_append_new(args, json_string(colour));
	}
	if (limits.lenient)
		json_array_append_new(args, json_string("--lenient"));
	return args;
}

static int
begin(struct gv_writer **w, struct gv_out *o, struct gv_error *e)
{
	char spec[48], text[GV_RULE_TEXT];
	struct gv_schema s;
	json_t *digests;

	if (gv_schema_init(&s, "image", e))
		return e->code;
	snprintf(spec, sizeof spec, "U8 (N,%d,%d,3)", rule.height, rule.width);
	digests = json_pack("{s: s}", "preprocess",
	    gv_image_rule_text(text, sizeof text, &rule));
	if (!gv_schema_field(&s, "image", spec, "", e) &&
	    !gv_schema_field(&s, "image_size", "I32 (N,2)", "px", e) &&
	    !gv_schema_prog(&s, prog.name, arguments(), digests, e))
		(void)!gv_writer_open(w, o, &s, e);
	gv_schema_free(&s);
	return e->code;
}

static int
put(struct gv_writer *w, const struct item *it, struct gv_error *e)
{
	const int64_t image[4] = {it->n, rule.height, rule.width, 3};
	const int64_t before[2] = {it->n, 2};

	if (gv_writer_begin(w, it->key, e) ||
	    gv_writer_tensor(w, "image", 4, image, it->px, e) ||
	    gv_writer_tensor(w, "image_size", 2, before, it->before, e))
		return e->code;
	return gv_writer_end_rec(w, e);
}

/* A bad record: named and let pass, or the end. */
static int
bad(const struct item *it, uint64_t n, uint64_t *count, struct gv_error *e)
{
	char key[128], where[160] = "";
	struct gv_error why = it->error;

	if (it->line)
		snprintf(where, sizeof where, ", line %llu of '%.100s'",
		    (unsigned long long)it->line,
		    strcmp(it->list, "-") ? it->list : "standard input");
	gv_quote(key, sizeof key, it->key, strlen(it->key));
	gv_fail_in(
	    &why, "record %llu '%s'%s", (unsigned long long)n, key, where);
	if (why.code == GV_ERR_NOMEM || *count >= (uint64_t)common.max_errors) {
		*e = why;
		return why.code;
	}
	++*count;
	cli_warn("%s", why.msg);
	return 0;
}

static int
decode(struct input *in, struct gv_out *o, struct gv_error *e)
{
	struct gv_ordered *items = NULL;
	struct gv_writer *w = NULL;
	uint64_t n = 0, count = 0;
	void *p;
	int r;

	if (begin(&w, o, e) ||
	    gv_ordered_open(&items, (size_t)common.threads, sizeof(struct item),
		next, work, drop, in, e))
		return e->code;
	while ((r = gv_ordered_take(items, &p, e)) > 0) {
		const struct item *it = p;

		r = it->error.code ? bad(it, n, &count, e) : put(w, it, e);
		if (r)
			return r;
		n++;
		cli_progress("%llu records", (unsigned long long)n);
	}
	if (r)
		return r;
	gv_ordered_close(&items);
	cli_say(1, "%llu records, %llu bad", (unsigned long long)n,
	    (unsigned long long)count);
	return gv_writer_close(&w, count, e);
}

/* ---- the command line -------------------------------------------------- */

/* "64x48", height first, or "64". */
static void
parse_size(const char *s)
{
	char *end;
	long h = strtol(s, &end, 10), w = h;

	if (*end == 'x' && end[1] >= '0' && end[1] <= '9')
		w = strtol(end + 1, &end, 10);
	if (*s < '0' || *s > '9' || *end)
		cli_usage("--size '%s' is neither HxW nor N", s);
	if (h < 1 || w < 1 || h > MAX_SIZE || w > MAX_SIZE)
		cli_usage(
		    "--size '%s' is not between 1 and %d pixels", s, MAX_SIZE);
	rule.height = (int32_t)h;
	rule.width = (int32_t)w;
}

/* "122,116,104": the mean colour of CLIP's pictures, as LLaVA rounds it. */
static void
parse_fill(const char *s)
{
	int n = 0, i;
	unsigned c[3];

	if (strlen(s) > 11 ||
	    sscanf(s, "%u,%u,%u%n", &c[0], &c[1], &c[2], &n) != 3 || s[n] ||
	    strpbrk(s, "+- \t") || c[0] > 255 || c[1] > 255 || c[2] > 255)
		cli_usage("--fill '%s' is not R,G,B of 0 to 255", s);
	for (i = 0; i < 3; i++)
		rule.fill[i] = (uint8_t)c[i];
}

/* The rule of --size, --fit, --fill and --filter. */
static void
rule_of_options(void)
{
	parse_size(size);
	rule.fit = fit < 0 ? GV_FIT_SQUASH : (enum gv_fit)fit;
	rule.filter = filter < 0 ? GV_BICUBIC : (enum gv_filter)filter;
	if (rule.fit != GV_FIT_SQUASH && rule.height != rule.width)
		cli_usage("--fit %s makes squares, not %dx%d",
		    gv_fit_name(rule.fit), rule.height, rule.width);
	rule.edge = rule.fit == GV_FIT_SQUASH ? 0 : rule.height;
	if (fill && rule.fit != GV_FIT_PAD)
		cli_usage("--fill is for --fit pad");
	if (rule.fit == GV_FIT_PAD)
		parse_fill(fill ? fill : "122,116,104");
}

static void
choose_rule(void)
{
	struct gv_config c;
	struct gv_error e = {0};

	if (!size == !model)
		cli_usage("needs one of --size and --model (see --help)");
	if (model && (fit >= 0 || filter >= 0 || fill))
		cli_usage("--model brings its own fit, fill and filter");
	if (size) {
		rule_of_options();
		return;
	}
	if (gv_config_open(&c, model, &e))
		cli_die(&e);
	if (!c.has_vision) {
		gv_fail(&e, GV_ERR_MATCH, "'%s' has no vision part", model);
		cli_die(&e);
	}
	rule = c.rule;
	gv_config_free(&c);
}

int
main(int argc, char **argv)
{
	static char stdin_name[] = "-", *only_stdin[] = {stdin_name};
	struct input in = {only_stdin, 1, 0, NULL};
	struct gv_error e = {0};
	struct gv_out *o;
	int n;

	gv_image_limits_default(&limits);
	max_pixels = (int64_t)limits.max_pixels;
	max_side = limits.max_side;
	max_scans = limits.max_scans;
	n = cli_start(&prog, &common, argc, argv);
	choose_rule();
	limits.max_pixels = (uint64_t)max_pixels;
	limits.max_side = (uint32_t)max_side;
	limits.max_scans = (unsigned)max_scans;
	if (n) {
		in.path = argv + 1;
		in.n = n;
	}
	if (gv_out_open(&o, common.output, true, common.force, &e) ||
	    decode(&in, o, &e) || gv_out_commit(&o, &e))
		cli_die(&e);
	return cli_finish();
}
