/* mkstream: makes a stream of JSON lines, for tests that need one.
 *
 *	mkstream KIND 'NAME=TYPE' ... [@NAME=DIGEST ...] <lines >stream
 *
 * A line is an object with "key" and one entry a field.  A tensor is a list of
 * numbers in lists of lists; "NaN" and "Inf" are numbers, too.
 */
#include "mem.h"
#include "stream.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct gv_error e;

static void
die(const char *what)
{
	fprintf(stderr, "mkstream: %s: %s\n", what, e.msg);
	exit(1);
}

static double
number(const json_t *v)
{
	const char *s = json_string_value(v);

	if (s && *s == '-')
		return -(double)INFINITY;
	if (s)
		return !strcmp(s, "NaN") ? (double)NAN : (double)INFINITY;
	return json_number_value(v);
}

static void
store(uint8_t *p, enum gv_dtype t, const json_t *v)
{
	double x = number(v);
	float f = (float)x;
	uint16_t h = gv_f32_to_bf16(f);
	int64_t j = json_integer_value(v);
	int32_t i;

	switch (t) {
	case GV_F32:
		memcpy(p, &f, sizeof f);
		break;
	case GV_BF16:
		memcpy(p, &h, sizeof h);
		break;
	case GV_I32:
		i = (int32_t)x;
		memcpy(p, &i, sizeof i);
		break;
	case GV_I64:
		memcpy(p, &j, sizeof j);
		break;
	case GV_U8:
		*p = (uint8_t)x;
		break;
	default:
		die("a dtype that mkstream can't make");
	}
}

/* Puts the numbers of nested lists at *p, one after the other. */
static void
flatten(const json_t *v, int rank, enum gv_dtype t, uint8_t **p)
{
	size_t i;

	if (!rank) {
		store(*p, t, v);
		*p += gv_dtype_size(t);
		return;
	}
	for (i = 0; i < json_array_size(v); i++)
		flatten(json_array_get(v, i), rank - 1, t, p);
}

static void *
put(struct gv_writer *w, const struct gv_field *f, const json_t *v)
{
	int64_t shape[GV_MAX_RANK];
	const json_t *x = v;
	uint8_t *data, *p;
	size_t bytes;
	int a;

	if (f->dtype == GV_NONE) {
		if (gv_writer_json(w, f->name, v, &e))
			die(f->name);
		return NULL;
	}
	for (a = 0; a < f->rank; a++) {
		shape[a] = (int64_t)json_array_size(x);
		x = json_array_get(x, 0);
	}
	if (!gv_shape_bytes(f->dtype, shape, f->rank, &bytes))
		die("shape");
	p = data = gv_alloc(bytes, 1);
	flatten(v, f->rank, f->dtype, &p);
	if (gv_writer_tensor(w, f->name, f->rank, shape, data, &e))
		die(f->name);
	return data;
}

static void
schema(struct gv_schema *s, int argc, char **argv)
{
	json_t *digests = json_object();
	int i;

	if (gv_schema_init(s, argv[1], &e))
		die("kind");
	for (i = 2; i < argc; i++) {
		char *eq = strchr(argv[i], '=');

		if (!eq)
			die(argv[i]);
		*eq++ = '\0';
		if (argv[i][0] == '@')
			json_object_set_new(
			    digests, argv[i] + 1, json_string(eq));
		else if (gv_schema_field(s, argv[i], eq, "", &e))
			die(argv[i]);
	}
	if (gv_schema_prog(s, "mkstream", NULL, digests, &e))
		die("program");
}

int
main(int argc, char **argv)
{
	void *data[GV_MAX_FIELDS];
	struct gv_schema s;
	struct gv_writer *w;
	struct gv_lines *l;
	struct gv_out *o;
	const char *line;
	size_t n, i;

	if (argc < 2)
		return 2;
	schema(&s, argc, argv);
	if (gv_out_open(&o, NULL, true, false, &e) ||
	    gv_writer_open(&w, o, &s, &e) ||
	    gv_lines_open(&l, NULL, 1 << 24, &e))
		die("open");
	while (gv_lines_next(l, &line, &n, &e) > 0) {
		json_t *v = json_loads(line, 0, NULL);

		if (!v)
			die(line);
		if (gv_writer_begin(
			w, json_string_value(json_object_get(v, "key")), &e))
			die("key");
		for (i = 0; i < s.nfields; i++)
			data[i] = put(w, &s.fields[i],
			    json_object_get(v, s.fields[i].name));
		if (gv_writer_end_rec(w, &e))
			die("record");
		for (i = 0; i < s.nfields; i++)
			gv_free(data[i]);
		json_decref(v);
	}
	if (e.code || gv_writer_close(&w, 0, &e) || gv_out_commit(&o, &e))
		die("close");
	gv_schema_free(&s);
	gv_lines_close(&l);
	return 0;
}
