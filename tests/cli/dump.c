/* dump: a stream as JSON lines, for tests that look into records.
 *
 *	dump <stream
 *
 * A line is {"key": ..., FIELD: ...}; a tensor is a flat list of numbers.
 */
#include "mem.h"
#include "stream.h"

#include <stdio.h>

static json_t *
numbers(const struct gv_tensor *t)
{
	size_t n = t->bytes / gv_dtype_size(t->dtype), i;
	float *x = gv_alloc(n, sizeof *x);
	struct gv_error e = {0};
	json_t *list = json_array();

	if (t->dtype != GV_I32 && gv_to_f32(x, t->data, t->dtype, n, &e))
		fprintf(stderr, "dump: %s\n", e.msg);
	for (i = 0; i < n; i++)
		json_array_append_new(
		    list, t->dtype == GV_I32
			      ? json_integer(((const int32_t *)t->data)[i])
			      : json_real((double)x[i]));
	gv_free(x);
	return list;
}

int
main(void)
{
	const struct gv_schema *s;
	struct gv_error e = {0};
	struct gv_reader *r;
	struct gv_rec rec;
	size_t i;

	if (gv_reader_open(&r, NULL, &e))
		goto out;
	s = gv_reader_schema(r);
	while (gv_reader_next(r, &rec, &e) > 0) {
		json_t *o = json_pack("{ss}", "key", rec.key), *v;

		for (i = 0; i < s->nfields; i++) {
			if (s->fields[i].dtype != GV_NONE)
				v = numbers(&rec.v[i].t);
			else if (gv_value_json(&rec.v[i], &v))
				v = json_null();
			json_object_set_new(o, s->fields[i].name, v);
		}
		json_dumpf(o, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(o);
	}
	gv_reader_close(&r);
out:
	if (e.code)
		fprintf(stderr, "dump: %s\n", e.msg);
	return e.code != 0;
}
