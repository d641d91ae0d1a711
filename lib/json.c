/* Jansson with an allocator that remembers when it had nothing to give. */
#include "json.h"

#include "io.h"
#include "banned.h"

#include <stdbool.h>
#include <string.h>

/* Where jansson can't grow the buffer of a number it aborts, so that growth (by
 * doubling from 16 bytes) has some room of its own; what is read then is
 * thrown away. */
static _Thread_local struct {
	bool refused, reading;
	size_t used;
	_Alignas(16) char room[4096];
} heap;

static void *
watched(size_t n)
{
	void *p = malloc(n);

	if (p)
		return p;
	heap.refused = true;
	if (!heap.reading || n < 32 || n & (n - 1) ||
	    n > sizeof heap.room - heap.used)
		return NULL;
	p = heap.room + heap.used;
	heap.used += n;
	return p;
}

static void
release(void *p)
{
	const char *c = p;

	if (c < heap.room || c >= heap.room + sizeof heap.room)
		free(p);
}

__attribute__((constructor)) static void
watch(void)
{
	json_set_alloc_funcs(watched, release);
}

static int
parse(json_t **out, const char *s, size_t n, size_t flags, struct gv_error *e)
{
	json_error_t je;
	char q[160];
	json_t *v;

	heap.refused = false;
	heap.reading = true;
	heap.used = 0;
	v = json_loadb(s, n, JSON_REJECT_DUPLICATES | flags, &je);
	heap.reading = false;
	if (heap.refused) {
		json_decref(v);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory for JSON");
	}
	if (v) {
		*out = v;
		return 0;
	}
	gv_quote(q, sizeof q, je.text, strlen(je.text));
	return memchr(s, '\n', n)
		   ? gv_fail(e, GV_ERR_FORMAT,
			 "not valid JSON: %s on line %d, byte %d", q, je.line,
			 je.position)
		   : gv_fail(e, GV_ERR_FORMAT, "not valid JSON: %s at byte %d",
			 q, je.position);
}

int
gv_json_parse(json_t **out, const char *s, size_t n, struct gv_error *e)
{
	return parse(out, s, n, 0, e);
}

int
gv_json_parse_reals(json_t **out, const char *s, size_t n, struct gv_error *e)
{
	return parse(out, s, n, JSON_DECODE_INT_AS_REAL, e);
}

char *
gv_json_text(const json_t *v, size_t flags)
{
	char *s;

	heap.refused = false;
	s = json_dumps(v, flags);
	if (!heap.refused)
		return s;
	free(s);
	return NULL;
}

int
gv_json_write(
    struct gv_out *o, const json_t *v, size_t flags, struct gv_error *e)
{
	char *s = gv_json_text(v, flags);

	if (!s)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	if (!gv_out_write(o, s, strlen(s), e))
		(void)!gv_out_write(o, "\n", 1, e); /* the code is in e */
	free(s);
	return e->code;
}

json_t *
gv_json_copy(const json_t *v)
{
	json_t *copy;

	heap.refused = false;
	copy = json_deep_copy(v);
	if (!heap.refused)
		return copy;
	json_decref(copy);
	return NULL;
}

int
gv_json_load(json_t **out, const char *path, size_t max, struct gv_error *e)
{
	struct gv_map m;
	json_t *o = NULL;

	if (gv_map_open(&m, path, e))
		return e->code;
	if (m.size > max)
		gv_fail(e, GV_ERR_LIMIT, "'%s' is larger than %zu bytes", path,
		    max);
	else if (gv_json_parse(&o, (const char *)m.data, m.size, e))
		gv_fail_in(e, "'%s'", path);
	else if (!json_is_object(o))
		gv_fail(e, GV_ERR_FORMAT, "'%s' is not a JSON object", path);
	gv_map_close(&m);
	if (e->code) {
		json_decref(o);
		return e->code;
	}
	*out = o;
	return 0;
}
