/* The writer's half of msgpack, and HEAD in both directions. */
#include "pack.h"

#include "crc.h"
#include "mem.h"
#include "banned.h"

static int
append(void *arg, const char *data, size_t n)
{
	struct gv_pack *p = arg;
	void *q = p->p;

	if (p->failed)
		return -1;
	if (n > p->cap - p->n) {
		if (gv_grow(&q, &p->cap, p->n + n, 1)) {
			p->failed = true;
			return -1;
		}
		p->p = q;
	}
	if (n)
		memcpy(p->p + p->n, data, n);
	p->n += n;
	return 0;
}

void
gv_pack_init(struct gv_pack *p)
{
	memset(p, 0, sizeof *p);
	msgpack_packer_init(&p->pk, p, append);
}

void
gv_pack_free(struct gv_pack *p)
{
	gv_free(p->p);
	gv_pack_init(p);
}

void
gv_pack_raw(struct gv_pack *p, const void *data, size_t n)
{
	append(p, data, n);
}

void
gv_pack_text(struct gv_pack *p, const char *s, size_t n)
{
	msgpack_pack_str(&p->pk, n);
	append(p, s, n);
}

void
gv_pack_str(struct gv_pack *p, const char *s)
{
	gv_pack_text(p, s, strlen(s));
}

void
gv_pack_key(struct gv_pack *p, const char *s)
{
	msgpack_pack_bin(&p->pk, strlen(s));
	append(p, s, strlen(s));
}

static int
pack_array(struct gv_pack *p, const json_t *v, int depth)
{
	size_t i, n = json_array_size(v);
	int r = 0;

	msgpack_pack_array(&p->pk, n);
	for (i = 0; i < n && !r; i++)
		r = gv_pack_json(p, json_array_get(v, i), depth - 1);
	return r;
}

static int
pack_object(struct gv_pack *p, const json_t *v, int depth)
{
	size_t n = json_object_size(v);
	const char *key;
	json_t *x;
	int r;

	if (n > GV_MAX_KEYS)
		return GV_ERR_LIMIT;
	msgpack_pack_map(&p->pk, n);
	json_object_foreach((json_t *)v, key, x)
	{
		gv_pack_str(p, key);
		r = gv_pack_json(p, x, depth - 1);
		if (r)
			return r;
	}
	return 0;
}

int
gv_pack_json(struct gv_pack *p, const json_t *v, int depth)
{
	switch (v ? json_typeof(v) : JSON_NULL) {
	case JSON_ARRAY:
	case JSON_OBJECT:
		if (depth < 1)
			return GV_ERR_LIMIT;
		return json_is_array(v) ? pack_array(p, v, depth)
					: pack_object(p, v, depth);
	case JSON_STRING:
		gv_pack_text(p, json_string_value(v), json_string_length(v));
		break;
	case JSON_INTEGER:
		msgpack_pack_int64(&p->pk, json_integer_value(v));
		break;
	case JSON_REAL:
		msgpack_pack_double(&p->pk, json_real_value(v));
		break;
	case JSON_TRUE:
		msgpack_pack_true(&p->pk);
		break;
	case JSON_FALSE:
		msgpack_pack_false(&p->pk);
		break;
	case JSON_NULL:
		msgpack_pack_nil(&p->pk);
		break;
	}
	return 0;
}

void
gv_pack_pad(struct gv_pack *p, size_t at, size_t then, bool bin_key)
{
	/* a key and a header of bin 8, without its size */
	static const char head[2][7] = {"\xa3pad\xc4", "\xc4\3pad\xc4"};
	size_t n = bin_key ? 6 : 5, zeros;
	uint8_t pair[7 + GV_ALIGN] = {0};

	at += then + n + 1;
	zeros = gv_align(at) - at;
	memcpy(pair, head[bin_key], n);
	pair[n] = (uint8_t)zeros;
	gv_pack_raw(p, pair, n + 1 + zeros);
}

void
gv_pack_crc(struct gv_pack *p, uint32_t crc)
{
	uint8_t pair[GV_CRC_PAIR] = {0xa3, 'c', 'r', 'c', 0xce,
	    (uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8),
	    (uint8_t)crc};

	gv_pack_raw(p, pair, sizeof pair);
}

void
gv_pack_seal(struct gv_pack *p)
{
	gv_pack_pad(p, p->n, GV_CRC_PAIR, false);
	if (!p->failed)
		gv_pack_crc(p, gv_crc(0, p->p, p->n));
}

const char *
gv_dtype_wire(enum gv_dtype t)
{
	static const char *const wire[GV_DTYPES] = {
	    [GV_BOOL] = "|b1",
	    [GV_U8] = "|u1",
	    [GV_I8] = "|i1",
	    [GV_I32] = "<i4",
	    [GV_I64] = "<i8",
	    [GV_F16] = "<f2",
	    [GV_BF16] = "<u2",
	    [GV_F32] = "<f4",
	    [GV_F64] = "<f8",
	    [GV_F8_E4M3] = "|u1",
	};

	return (unsigned)t < GV_DTYPES && wire[t] ? wire[t] : "";
}

void
gv_pack_tensor(struct gv_pack *p, const struct gv_field *f)
{
	msgpack_pack_map(&p->pk, 6);
	gv_pack_key(p, "nd");
	msgpack_pack_true(&p->pk);
	gv_pack_key(p, "type");
	gv_pack_str(p, gv_dtype_wire(f->dtype));
	gv_pack_key(p, "kind");
	gv_pack_key(p, "");
	gv_pack_key(p, "shape");
	msgpack_pack_array(&p->pk, (size_t)f->rank);
}

static void
pack_field(struct gv_pack *p, const struct gv_field *f)
{
	int i;

	msgpack_pack_map(&p->pk, 4);
	gv_pack_str(p, "name");
	gv_pack_str(p, f->name);
	gv_pack_str(p, "dtype");
	gv_pack_str(p, gv_dtype_name(f->dtype));
	gv_pack_str(p, "shape");
	msgpack_pack_array(&p->pk, (size_t)f->rank);
	for (i = 0; i < f->rank; i++)
		if (f->shape[i] == GV_ANY)
			gv_pack_str(p, f->dim[i]);
		else
			msgpack_pack_int64(&p->pk, f->shape[i]);
	gv_pack_str(p, "unit");
	gv_pack_str(p, f->unit);
}

static void
pack_prog(struct gv_pack *p, const struct gv_prog *g)
{
	msgpack_pack_map(&p->pk, 4);
	gv_pack_str(p, "name");
	gv_pack_str(p, g->name);
	gv_pack_str(p, "ver");
	gv_pack_str(p, g->ver);
	gv_pack_str(p, "args");
	if (gv_pack_json(p, g->args, 1))
		p->failed = true;
	gv_pack_str(p, "digests");
	if (gv_pack_json(p, g->digests, 1))
		p->failed = true;
}

void
gv_pack_head(struct gv_pack *p, const struct gv_schema *s)
{
	size_t i;

	msgpack_pack_map(&p->pk, 7);
	gv_pack_str(p, "gv");
	gv_pack_str(p, "head");
	gv_pack_str(p, "ver");
	msgpack_pack_uint8(&p->pk, 1);
	gv_pack_str(p, "kind");
	gv_pack_str(p, s->kind);
	gv_pack_str(p, "fields");
	msgpack_pack_array(&p->pk, s->nfields);
	for (i = 0; i < s->nfields; i++)
		pack_field(p, &s->fields[i]);
	gv_pack_str(p, "prog");
	msgpack_pack_array(&p->pk, s->nprogs);
	for (i = 0; i < s->nprogs; i++)
		pack_prog(p, &s->progs[i]);
	gv_pack_seal(p);
}
