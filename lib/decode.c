/* A record's pictures: found, read, hashed, decoded and resized. */
#include "decode.h"

#include "base64.h"
#include "json.h"
#include "mem.h"
#include "sha.h"
#include "utf8.h"
#include "banned.h"

#include <pthread.h>
#include <strings.h>

/* What a thread at work needs, and keeps from record to record. */
struct tools {
	struct gv_maker *maker;
	uint8_t *file; /* the one that is decoded */
	size_t file_cap;
};

/* Tools rest here between records: as many as threads were at work at once,
 * since what they keep is large. */
struct gv_decoder {
	const struct gv_decode_law *law;
	pthread_mutex_t lock; /* for all below */
	struct tools *resting;
	size_t n, cap;
};

/* A record under way. */
struct job {
	const struct gv_decode_law *law;
	struct tools tools;
};

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int
no_memory(struct gv_decoded *d)
{
	return gv_fail(&d->error, GV_ERR_NOMEM, "out of memory");
}

/* ---- one picture --------------------------------------------------------- */

/* Room for n squares and as many pictures. */
static int
reserve(struct gv_decoded *d, size_t n, const struct gv_decode_law *law)
{
	int32_t h = law->rule.height, w = law->rule.width;
	size_t each = (size_t)h * (size_t)w * 3;
	struct gv_error *e = &d->error;

	if (n > (GV_MAX_RECORD - 65536) / (each + 16))
		return gv_fail(e, GV_ERR_LIMIT,
		    "%zu pictures of %dx%d are more than a record holds", n, h,
		    w);
	(void)!gv_room(&d->px, &d->px_cap, n * each + 1, 1, e);
	(void)!gv_room(
	    &d->before, &d->before_cap, 2 * n + 1, sizeof *d->before, e);
	(void)!gv_room(
	    &d->tiles, &d->tiles_cap, 2 * n + 1, sizeof *d->tiles, e);
	return e->code;
}

static int
add_id(struct gv_decoded *d, const uint8_t *data, size_t n)
{
	static const char prefix[] = "sha256:";
	char id[sizeof prefix + GV_DIGEST];

	memcpy(id, prefix, sizeof prefix);
	if (!gv_sha_of(data, n, id + sizeof prefix - 1) ||
	    json_array_append_new(d->id, json_string(id)))
		return no_memory(d);
	return 0;
}

/* The squares of a picture that is to be divided; t->n of them. */
static int
add_tiles(struct gv_decoded *d, struct gv_tiles *t, int32_t size[2],
    const uint8_t *data, size_t n, struct job *j)
{
	const struct gv_decode_law *law = j->law;
	size_t each = (size_t)law->rule.height * (size_t)law->rule.width * 3;
	struct gv_error *e = &d->error;
	uint64_t start = now_ns(), decoded;
	struct gv_image im;

	if (gv_image_decode(&im, data, n, &law->limits, e))
		return e->code;
	decoded = now_ns();
	size[0] = im.height;
	size[1] = im.width;
	if (!gv_tiles_plan(t, &law->rule, &law->tiles, im.height, im.width,
		&law->limits, e) &&
	    !reserve(d, (size_t)(d->n + t->n), law))
		(void)!gv_tiles_make(d->px + (size_t)d->n * each, t, &im,
		    &law->rule, law->tiles.way, e);
	d->decode_ns += decoded - start;
	d->resize_ns += now_ns() - decoded;
	gv_image_free(&im);
	return e->code;
}

/* Adds the picture in a file's bytes. */
static int
add_bytes(struct gv_decoded *d, const uint8_t *data, size_t n, struct job *j)
{
	const struct gv_image_rule *rule = &j->law->rule;
	size_t each = (size_t)rule->height * (size_t)rule->width * 3;
	struct gv_tiles t = {.n = 1};
	int32_t size[2];
	uint64_t start = now_ns();
	int r;

	if (j->law->id && add_id(d, data, n))
		return d->error.code;
	d->read_ns += now_ns() - start;
	if (j->law->tiles.way == GV_TILE_NONE)
		r = gv_maker_make(j->tools.maker, d->px + (size_t)d->n * each,
		    size, data, n, &d->error);
	else
		r = add_tiles(d, &t, size, data, n, j);
	if (r)
		return r;
	memcpy(d->before + 2 * d->pictures, size, sizeof size);
	d->tiles[2 * d->pictures] = t.rows;
	d->tiles[2 * d->pictures + 1] = t.cols;
	d->bytes += n;
	d->pictures++;
	d->n += t.n;
	return 0;
}

/* Adds the picture at `path`. */
static int
add_file(struct gv_decoded *d, const char *path, struct job *j)
{
	bool relative = *path != '/' && strcmp(j->law->root, ".") != 0;
	size_t cap = strlen(j->law->root) + strlen(path) + 2, n = 0;
	char *full = gv_alloc(cap, 1), q[300];
	uint64_t t = now_ns();
	int r;

	if (!full)
		return no_memory(d);
	if (relative)
		snprintf(full, cap, "%s/%s", j->law->root, path);
	else
		memcpy(full, path, strlen(path) + 1);
	r = gv_image_load(
	    &j->tools.file, &j->tools.file_cap, &n, full, &d->error);
	d->read_ns += now_ns() - t;
	if (!r)
		r = add_bytes(d, j->tools.file, n, j);
	if (r)
		gv_fail_in(&d->error, "'%s'",
		    gv_quote(q, sizeof q, full, strlen(full)));
	gv_free(full);
	return r;
}

/* Adds the picture whose bytes are in base64. */
static int
add_base64(struct gv_decoded *d, const char *s, struct job *j)
{
	size_t n = 0, len = strlen(s);
	void *p = j->tools.file;
	uint64_t t = now_ns();

	if (gv_grow(&p, &j->tools.file_cap, GV_BASE64_ROOM(len), 1))
		return no_memory(d);
	j->tools.file = p;
	if (!gv_base64_decode(j->tools.file, &n, s, len))
		return gv_fail(&d->error, GV_ERR_FORMAT, "damaged base64");
	d->read_ns += now_ns() - t;
	return add_bytes(d, j->tools.file, n, j);
}

/* Adds the picture in "data:[TYPE][;PARAMETER]...;base64,BYTES". */
static int
add_url(struct gv_decoded *d, const char *s, struct job *j)
{
	static const char mark[] = ";base64";
	const char *comma = strchr(s, ',');
	size_t k = sizeof mark - 1;

	if (!comma || (size_t)(comma - s) < k ||
	    strncasecmp(comma - k, mark, k) != 0)
		return gv_fail(&d->error, GV_ERR_FORMAT,
		    "a data URL that is not in base64");
	if (add_base64(d, comma + 1, j))
		return gv_fail_in(&d->error, "a data URL");
	return 0;
}

/* "SCHEME://": nothing is fetched here. */
static bool
is_elsewhere(const char *s)
{
	size_t n = strspn(s,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");

	return n && !strncmp(s + n, "://", 3);
}

static int
add_ref(struct gv_decoded *d, const struct gv_image_ref *ref, struct job *j)
{
	char q[300];

	if (ref->bytes)
		return add_base64(d, ref->text, j);
	if (!strncasecmp(ref->text, "data:", 5))
		return add_url(d, ref->text, j);
	if (is_elsewhere(ref->text))
		return gv_fail(&d->error, GV_ERR_NOSUP,
		    "'%s' is not fetched: give its path once it is here, or a "
		    "data URL",
		    gv_quote(q, sizeof q, ref->text, strlen(ref->text)));
	return add_file(d, ref->text, j);
}

/* ---- JSON lines ---------------------------------------------------------- */

static int
set_key(struct gv_decoded *d, const char *s)
{
	size_t n = strlen(s);

	if (n > GV_MAX_KEY)
		return gv_fail(&d->error, GV_ERR_LIMIT,
		    "a key of %zu bytes; the limit is %d", n, GV_MAX_KEY);
	memcpy(d->key, s, n + 1);
	return 0;
}

static int
key_of(struct gv_decoded *d, const json_t *o)
{
	const json_t *id = json_object_get(o, "id");
	char number[24];

	if (json_is_integer(id)) {
		snprintf(number, sizeof number, "%lld",
		    (long long)json_integer_value(id));
		return set_key(d, number);
	}
	if (!json_is_string(id))
		return gv_fail(&d->error, GV_ERR_FORMAT,
		    id ? "'id' is neither text nor a whole number"
		       : "there is no 'id'");
	return set_key(d, json_string_value(id));
}

/* All pictures that a value names. */
static int
add_named(struct gv_decoded *d, const json_t *v, struct job *j)
{
	size_t i;

	if (gv_image_refs(&d->refs, v, &d->error))
		return gv_fail_in(&d->error, "'%.60s'", j->law->field);
	if (reserve(d, d->refs.n, j->law))
		return d->error.code;
	for (i = 0; i < d->refs.n; i++)
		if (add_ref(d, &d->refs.ref[i], j))
			return d->error.code;
	return 0;
}

/* Carries along the wanted keys of an object that have no value yet. */
static void
keep_keys(struct gv_decoded *d, json_t *o, struct job *j)
{
	size_t i;

	for (i = 0; i < j->law->nkeep; i++)
		if (!d->kept[i])
			d->kept[i] =
			    json_incref(json_object_get(o, j->law->keep[i]));
}

static int
object(json_t **o, struct gv_decoded *d, const uint8_t *s, size_t n)
{
	if (gv_json_parse(o, (const char *)s, n, &d->error))
		return d->error.code;
	if (!json_is_object(*o))
		return gv_fail(&d->error, GV_ERR_FORMAT, "not a JSON object");
	return 0;
}

static void
line(struct gv_decoded *d, const struct gv_source_rec *r, struct job *j)
{
	json_t *o = NULL;

	if (!object(&o, d, r->buf, r->n) && !key_of(d, o) &&
	    !add_named(d, json_object_get(o, j->law->field), j))
		keep_keys(d, o, j);
	json_decref(o);
}

/* ---- files that the record holds ----------------------------------------- */

/* A member that is carried along: a .json as the object that it is, of which
 * keys are wanted, too; any other as text. */
static int
keep_part(struct gv_decoded *d, const uint8_t *p,
    const struct gv_source_part *part, struct job *j)
{
	json_t *v = NULL;
	size_t i;

	if (!strcmp(part->name, "json")) {
		if (object(&v, d, p, part->n)) {
			json_decref(v);
			return gv_fail_in(&d->error, "'json'");
		}
	} else {
		v = json_stringn((const char *)p, part->n);
		if (!v)
			return gv_fail(&d->error, GV_ERR_FORMAT,
			    "'%s' is not UTF-8", part->name);
	}
	for (i = 0; i < j->law->nkeep; i++) {
		if (strcmp(j->law->keep[i], part->name) != 0)
			continue;
		json_decref(d->kept[i]);
		d->kept[i] = json_incref(v);
	}
	if (!strcmp(part->name, "json"))
		keep_keys(d, v, j);
	json_decref(v);
	return 0;
}

static void
parts(struct gv_decoded *d, const struct gv_source_rec *r, struct job *j)
{
	size_t i, n = 0;

	for (i = 0; i < r->parts; i++)
		n += r->part[i].picture;
	if (reserve(d, n, j->law))
		return;
	for (i = 0; i < r->parts; i++) {
		const struct gv_source_part *part = &r->part[i];
		const uint8_t *p = r->buf + part->at;

		if (!part->picture) {
			if (keep_part(d, p, part, j))
				return;
		} else if (add_bytes(d, p, part->n, j)) {
			if (*part->name)
				gv_fail_in(&d->error, "'%s'", part->name);
			return;
		}
	}
}

/* ---- all kinds ----------------------------------------------------------- */

static int
reset(struct gv_decoded *d, const struct gv_decode_law *law)
{
	size_t i;

	gv_error_clear(&d->error);
	d->key[0] = '\0';
	d->n = d->pictures = 0;
	d->bytes = d->read_ns = d->decode_ns = d->resize_ns = 0;
	if (!d->kept && law->nkeep) {
		d->kept = gv_alloc(law->nkeep, sizeof *d->kept);
		d->nkept = d->kept ? law->nkeep : 0;
	}
	for (i = 0; i < d->nkept; i++) {
		json_decref(d->kept[i]);
		d->kept[i] = NULL;
	}
	json_decref(d->id);
	d->id = law->id ? json_array() : NULL;
	return (law->nkeep && !d->kept) || (law->id && !d->id) ? no_memory(d)
							       : 0;
}

static void
drop(struct tools *t)
{
	gv_maker_close(&t->maker);
	gv_free(t->file);
}

/* Tools that rest, or new ones. */
static int
wake(struct gv_decoder *c, struct tools *t, struct gv_error *e)
{
	*t = (struct tools){0};
	pthread_mutex_lock(&c->lock);
	if (c->n)
		*t = c->resting[--c->n];
	pthread_mutex_unlock(&c->lock);
	if (t->maker)
		return 0;
	return gv_maker_open(&t->maker, &c->law->rule, &c->law->limits, e);
}

static void
rest(struct gv_decoder *c, struct tools *t)
{
	void *p;
	bool kept;

	pthread_mutex_lock(&c->lock);
	p = c->resting;
	kept = !gv_grow(&p, &c->cap, c->n + 1, sizeof *c->resting);
	if (kept) {
		c->resting = p;
		c->resting[c->n++] = *t;
	}
	pthread_mutex_unlock(&c->lock);
	if (!kept)
		drop(t);
}

void
gv_decoder_rec(
    struct gv_decoder *c, struct gv_decoded *d, const struct gv_source_rec *r)
{
	struct job j = {.law = c->law};
	struct gv_image_cost before, after;

	if (reset(d, c->law))
		return;
	memcpy(d->key, r->key, sizeof d->key);
	if (r->error.code)
		d->error = r->error;
	if (d->error.code || wake(c, &j.tools, &d->error))
		return;
	before = gv_maker_cost(j.tools.maker);
	if (r->kind == GV_SOURCE_LINE)
		line(d, r, &j);
	else if (r->kind == GV_SOURCE_PARTS)
		parts(d, r, &j);
	else if (!reserve(d, 1, c->law))
		(void)!add_file(d, (const char *)r->buf, &j);
	after = gv_maker_cost(j.tools.maker);
	d->decode_ns += after.decode_ns - before.decode_ns;
	d->resize_ns += after.resize_ns - before.resize_ns;
	rest(c, &j.tools);
}

int
gv_decoder_open(struct gv_decoder **out, const struct gv_decode_law *law,
    struct gv_error *e)
{
	struct gv_decoder *c = gv_alloc(1, sizeof *c);

	if (!c)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	c->law = law;
	pthread_mutex_init(&c->lock, NULL);
	*out = c;
	return 0;
}

void
gv_decoder_close(struct gv_decoder **cp)
{
	struct gv_decoder *c = *cp;

	if (!c)
		return;
	while (c->n)
		drop(&c->resting[--c->n]);
	pthread_mutex_destroy(&c->lock);
	gv_free(c->resting);
	gv_free(c);
	*cp = NULL;
}

void
gv_decoded_free(struct gv_decoded *d)
{
	size_t i;

	for (i = 0; i < d->nkept; i++)
		json_decref(d->kept[i]);
	json_decref(d->id);
	gv_free(d->kept);
	gv_free(d->px);
	gv_free(d->before);
	gv_free(d->tiles);
	gv_free(d->refs.ref);
	memset(d, 0, sizeof *d);
}
