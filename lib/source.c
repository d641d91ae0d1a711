/* Records out of operands: one reader a form, all behind gv_source_next(). */
#include "source.h"

#include "frames.h"
#include "mem.h"
#include "tar.h"
#include "banned.h"

#define MAX_LINE     ((size_t)256 << 20) /* bytes of a JSON line */
#define MAX_PATH_LEN ((size_t)4096)

struct gv_source {
	struct gv_source_law law;
	char *const *operand;
	int n, at; /* operands, and the one that is open or next */
	enum gv_source_form form; /* of that one */
	const struct gv_out *watched;
	struct gv_lines *lines;
	struct gv_tar *tar;
	struct gv_feed *feed;
	struct gv_tar_member member; /* read, and of the next record */
	bool have_member;
	uint64_t count; /* lines or pictures so far in this operand */
};

void
gv_source_rec_free(struct gv_source_rec *r)
{
	gv_free(r->buf);
	gv_free(r->part);
	memset(r, 0, sizeof *r);
}

/* ---- filling in a record ------------------------------------------------ */

/* Appends bytes and a NUL that isn't counted. */
static int
append(struct gv_source_rec *r, const void *p, size_t n, struct gv_error *e)
{
	void *buf = r->buf;

	if (n >= GV_MAX_RECORD - r->n)
		return gv_fail(e, GV_ERR_LIMIT,
		    "a record's files have more than %zu bytes", GV_MAX_RECORD);
	if (gv_grow(&buf, &r->cap, r->n + n + 1, 1))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	r->buf = buf;
	memcpy(r->buf + r->n, p, n);
	r->n += n;
	r->buf[r->n] = '\0';
	return 0;
}

static int
append_part(struct gv_source_rec *r, const char *name, bool picture,
    const void *data, size_t n, struct gv_error *e)
{
	void *part = r->part;
	struct gv_source_part *p;

	if (gv_grow(&part, &r->part_cap, r->parts + 1, sizeof *r->part))
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	r->part = part;
	p = &r->part[r->parts];
	*p = (struct gv_source_part){.at = r->n, .n = n, .picture = picture};
	snprintf(p->name, sizeof p->name, "%s", name);
	if (append(r, data, n, e))
		return e->code;
	r->parts++;
	return 0;
}

static void
set_key(struct gv_source_rec *r, const char *s, size_t n)
{
	if (n > GV_MAX_KEY) {
		gv_fail(&r->error, GV_ERR_LIMIT,
		    "a key of %zu bytes; the limit is %d", n, GV_MAX_KEY);
		n = 0;
	}
	memcpy(r->key, s, n);
	r->key[n] = '\0';
}

static int
a_path(struct gv_source_rec *r, const char *s, size_t n, struct gv_error *e)
{
	r->kind = GV_SOURCE_PATH;
	set_key(r, s, n);
	if (memchr(s, '\0', n))
		gv_fail(&r->error, GV_ERR_FORMAT, "a path with a NUL in it");
	return append(r, s, n, e) ? e->code : 1;
}

/* ---- lists --------------------------------------------------------------- */

/* The next line that is not blank. */
static int
next_line(struct gv_source *s, struct gv_source_rec *r, struct gv_error *e)
{
	const char *p;
	size_t n;
	int got;

	while ((got = gv_lines_next(s->lines, &p, &n, e)) > 0) {
		if (strspn(p, " \t\r") == n)
			continue;
		r->line = gv_lines_number(s->lines);
		if (s->form == GV_SOURCE_PATHS)
			return a_path(r, p, n, e);
		r->kind = GV_SOURCE_LINE;
		return append(r, p, n, e) ? e->code : 1;
	}
	return got;
}

/* The next path that ends with a NUL, or with the input. */
static int
next_path0(struct gv_source *s, struct gv_source_rec *r, struct gv_error *e)
{
	const uint8_t *p = NULL, *end = NULL;
	size_t got = 0, n = 1;

	do {
		if (gv_feed_peek(s->feed, n, &p, &got, e))
			return e->code;
		if (!got)
			return 0;
		end = memchr(p, '\0', got);
		if (!end && got > MAX_PATH_LEN)
			return gv_fail(e, GV_ERR_LIMIT,
			    "path %llu is longer than %zu bytes",
			    (unsigned long long)s->count + 1, MAX_PATH_LEN);
		if (!end && got < n) /* the last one */
			end = p + got;
		n = got + 1;
	} while (!end);
	r->line = ++s->count;
	n = (size_t)(end - p);
	if (!n)
		gv_fail(&r->error, GV_ERR_FORMAT, "an empty path");
	if (a_path(r, (const char *)p, n, e) < 0 ||
	    gv_feed_skip(s->feed, n + (n < got), e))
		return e->code;
	return 1;
}

/* ---- pictures end to end ------------------------------------------------- */

static int
next_frames(struct gv_source *s, struct gv_source_rec *r, struct gv_error *e)
{
	const uint8_t *p;
	char number[24];
	size_t n, got;
	int more = 0;

	r->kind = GV_SOURCE_PARTS;
	while (r->parts < s->law.frames &&
	       (more = gv_frame_next(s->feed, &n, e)) > 0) {
		if (s->count % s->law.every == 0) {
			if (!r->parts)
				set_key(r, number,
				    (size_t)snprintf(number, sizeof number,
					"%llu", (unsigned long long)s->count));
			if (gv_feed_peek(s->feed, n, &p, &got, e) ||
			    append_part(r, "", true, p, n, e))
				return e->code;
		}
		s->count++;
		if (gv_feed_skip(s->feed, n, e))
			return e->code;
	}
	return more < 0 ? more : r->parts > 0;
}

/* ---- tar files ----------------------------------------------------------- */

/* Splits "dir/000017.seg.png": the key's length, and the rest in lower case,
 * cut to what a part's name holds. */
static size_t
split(const char *name, char ext[64])
{
	const char *base = strrchr(name, '/');
	const char *dot = strchr(base ? base + 1 : name, '.');
	size_t i;

	ext[0] = '\0';
	if (!dot)
		return strlen(name);
	snprintf(ext, 64, "%.63s", dot + 1);
	for (i = 0; ext[i]; i++)
		if (ext[i] >= 'A' && ext[i] <= 'Z')
			ext[i] = (char)(ext[i] - 'A' + 'a');
	return (size_t)(dot - name);
}

static bool
is_picture(const char *ext, const char *field)
{
	static const char *const known[] = {"jpg", "jpeg", "jpe", "png", "webp",
	    "gif", "bmp", "tif", "tiff", "avif", "heic", "heif", "jxl", "jp2",
	    "ppm"};
	const char *last = strrchr(ext, '.');
	size_t i;

	if (field)
		return !strcmp(ext, field);
	for (i = 0; i < sizeof known / sizeof known[0]; i++)
		if (!strcmp(last ? last + 1 : ext, known[i]))
			return true;
	return false;
}

static bool
is_kept(const struct gv_source_law *law, const char *ext)
{
	size_t i;

	for (i = 0; i < law->nkeep; i++)
		if (!strcmp(law->keep[i], ext))
			return true;
	return law->nkeep && !strcmp(ext, "json");
}

static int
next_member(struct gv_source *s, struct gv_error *e)
{
	int got = s->have_member ? 1 : gv_tar_next(s->tar, &s->member, e);

	s->have_member = got > 0;
	return got;
}

static int
next_sample(struct gv_source *s, struct gv_source_rec *r, struct gv_error *e)
{
	const uint8_t *p;
	char ext[64];
	bool begun = false;
	size_t n;
	int got;

	r->kind = GV_SOURCE_PARTS;
	while ((got = next_member(s, e)) > 0) {
		bool picture;

		n = split(s->member.name, ext);
		if (begun && (strlen(r->key) != n ||
				 memcmp(r->key, s->member.name, n) != 0))
			return 1;
		if (!begun)
			set_key(r, s->member.name, n);
		begun = true;
		s->have_member = false;
		picture = is_picture(ext, s->law.field);
		if (!picture && !is_kept(&s->law, ext))
			continue;
		if (gv_tar_data(s->tar, &p, e) ||
		    append_part(r, ext, picture, p, (size_t)s->member.bytes, e))
			return e->code;
	}
	return got < 0 ? got : begun;
}

/* ---- operands ------------------------------------------------------------ */

static bool
ends(const char *s, const char *with)
{
	size_t n = strlen(s), k = strlen(with);

	return n > k && !strcmp(s + n - k, with);
}

enum gv_source_form
gv_source_form(const char *operand)
{
	if (!strcmp(operand, "-") || ends(operand, ".jsonl"))
		return GV_SOURCE_JSONL;
	return ends(operand, ".tar") ? GV_SOURCE_TAR : GV_SOURCE_NAMED;
}

/* Opens the operand at our place, if it is not a picture itself. */
static int
open_operand(struct gv_source *s, struct gv_error *e)
{
	const char *path = s->operand[s->at];

	s->count = 0;
	s->form = s->law.form;
	if (s->form == GV_SOURCE_NAMED)
		s->form = gv_source_form(path);
	switch (s->form) {
	case GV_SOURCE_NAMED:
		return 0;
	case GV_SOURCE_JSONL:
	case GV_SOURCE_PATHS:
		if (!gv_lines_open(&s->lines, path, MAX_LINE, e))
			gv_lines_watch(s->lines, s->watched);
		return e->code;
	case GV_SOURCE_TAR:
		return gv_tar_open(&s->tar, path, e);
	default:
		return gv_feed_open(&s->feed, path, e);
	}
}

static void
close_operand(struct gv_source *s)
{
	gv_lines_close(&s->lines);
	gv_tar_close(&s->tar);
	gv_feed_close(&s->feed);
}

/* The next record of the operand that is open; names it in errors that don't
 * do so themselves. */
static int
next_inside(struct gv_source *s, struct gv_source_rec *r, struct gv_error *e)
{
	struct gv_error mine = {0};
	const char *path = s->operand[s->at];
	char q[300];
	int got;

	r->list = path;
	if (s->lines)
		return next_line(s, r, e);
	if (s->tar)
		got = next_sample(s, r, &mine);
	else if (s->form == GV_SOURCE_PATHS0)
		got = next_path0(s, r, &mine);
	else
		got = next_frames(s, r, &mine);
	if (got >= 0)
		return got;
	if (!strcmp(path, "-"))
		gv_fail_in(&mine, "standard input");
	else
		gv_fail_in(
		    &mine, "'%s'", gv_quote(q, sizeof q, path, strlen(path)));
	if (!e->code)
		*e = mine;
	return got;
}

int
gv_source_next(struct gv_source *s, struct gv_source_rec *r, struct gv_error *e)
{
	int got;

	r->n = r->parts = 0;
	r->list = NULL;
	r->line = 0;
	r->rests = false;
	r->key[0] = '\0';
	gv_error_clear(&r->error);
	for (;;) {
		if (s->lines || s->tar || s->feed) {
			got = next_inside(s, r, e);
			r->rests =
			    got > 0 && s->lines && gv_lines_rests(s->lines);
			if (got)
				return got;
			close_operand(s);
			s->at++;
		}
		if (s->at >= s->n)
			return 0;
		if (open_operand(s, e))
			return e->code;
		if (s->form == GV_SOURCE_NAMED) {
			const char *path = s->operand[s->at++];

			r->list = NULL;
			return a_path(r, path, strlen(path), e);
		}
	}
}

int
gv_source_open(struct gv_source **out, const struct gv_source_law *law,
    char *const *operand, int n, struct gv_error *e)
{
	struct gv_source *s = gv_alloc(1, sizeof *s);

	if (!s)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	s->law = *law;
	s->operand = operand;
	s->n = n;
	*out = s;
	return 0;
}

void
gv_source_watch(struct gv_source *s, const struct gv_out *o)
{
	s->watched = o;
}

void
gv_source_close(struct gv_source **sp)
{
	struct gv_source *s = *sp;

	if (!s)
		return;
	close_operand(s);
	gv_free(s);
	*sp = NULL;
}
