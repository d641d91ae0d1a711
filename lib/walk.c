/* msgpack, header by header, nothing believed before it is checked. */
#include "walk.h"

#include "stream.h"
#include "banned.h"

void
gv_walk_init(struct gv_walk *w, const void *data, size_t n)
{
	memset(w, 0, sizeof *w);
	w->base = data;
	w->have = n;
	w->limit = n > GV_MAX_RECORD ? n : GV_MAX_RECORD;
}

bool
gv_walk_fail(struct gv_walk *w, int code, const char *why)
{
	if (!w->code) {
		w->code = code;
		w->why = why;
	}
	return false;
}

bool
gv_walk_need(struct gv_walk *w, size_t n)
{
	if (n > w->limit - w->at)
		return gv_walk_fail(w, GV_ERR_LIMIT, "too large");
	if (n <= w->have - w->at)
		return true;
	if (w->more && w->more(w, w->at + n))
		return true;
	return gv_walk_fail(w, GV_ERR_CUT, "it is cut short");
}

/* Can n more bytes still come? */
static bool
possible(struct gv_walk *w, uint64_t n)
{
	if (n > w->limit - w->at)
		return gv_walk_fail(w, GV_ERR_LIMIT, "too large");
	if (!w->more && n > w->have - w->at)
		return gv_walk_fail(w, GV_ERR_CUT, "it is cut short");
	return true;
}

static bool
big_endian(struct gv_walk *w, unsigned bytes, uint64_t *u)
{
	const uint8_t *p;
	unsigned i;

	if (!gv_walk_need(w, bytes))
		return false;
	p = w->base + w->at;
	*u = 0;
	for (i = 0; i < bytes; i++)
		*u = *u << 8 | p[i];
	w->at += bytes;
	return true;
}

static void
negative(struct gv_item *it, int64_t i)
{
	it->type = i < 0 ? GV_ITEM_INT : GV_ITEM_UINT;
	it->i = i;
	it->u = i < 0 ? 0 : (uint64_t)i;
}

static bool
floating(struct gv_walk *w, struct gv_item *it, unsigned bytes)
{
	uint64_t u;
	uint32_t h;
	float f;

	if (!big_endian(w, bytes, &u))
		return false;
	it->type = GV_ITEM_F64;
	if (bytes == 4) {
		h = (uint32_t)u;
		memcpy(&f, &h, sizeof f);
		it->f = (double)f;
	} else {
		memcpy(&it->f, &u, sizeof it->f);
	}
	return true;
}

static bool
sized(struct gv_walk *w, struct gv_item *it, enum gv_item_type type,
    unsigned bytes)
{
	it->type = type;
	return big_endian(w, bytes, &it->u);
}

static bool
signed_int(struct gv_walk *w, struct gv_item *it, unsigned bytes)
{
	uint64_t u;

	if (!big_endian(w, bytes, &u))
		return false;
	negative(it, bytes == 1   ? (int8_t)u
		     : bytes == 2 ? (int16_t)u
		     : bytes == 4 ? (int32_t)u
				  : (int64_t)u);
	return true;
}

/* The headers c0 .. df, the byte after `tag` at `at`. */
static bool
long_form(struct gv_walk *w, struct gv_item *it)
{
	uint8_t t = it->tag;

	switch (t) {
	case 0xc0:
		it->type = GV_ITEM_NIL;
		return true;
	case 0xc2:
	case 0xc3:
		it->type = GV_ITEM_BOOL;
		it->u = t & 1;
		return true;
	case 0xc4:
	case 0xc5:
	case 0xc6:
		return sized(w, it, GV_ITEM_BIN, 1u << (t - 0xc4));
	case 0xca:
		return floating(w, it, 4);
	case 0xcb:
		return floating(w, it, 8);
	case 0xcc:
	case 0xcd:
	case 0xce:
	case 0xcf:
		return sized(w, it, GV_ITEM_UINT, 1u << (t - 0xcc));
	case 0xd0:
	case 0xd1:
	case 0xd2:
	case 0xd3:
		return signed_int(w, it, 1u << (t - 0xd0));
	case 0xd9:
	case 0xda:
	case 0xdb:
		return sized(w, it, GV_ITEM_STR, 1u << (t - 0xd9));
	case 0xdc:
	case 0xdd:
		return sized(w, it, GV_ITEM_ARRAY, 2u << (t - 0xdc));
	case 0xde:
	case 0xdf:
		return sized(w, it, GV_ITEM_MAP, 2u << (t - 0xde));
	case 0xc1:
		return gv_walk_fail(w, GV_ERR_FORMAT, "not msgpack (byte c1)");
	default:
		return gv_walk_fail(
		    w, GV_ERR_FORMAT, "an ext type, which streams don't have");
	}
}

bool
gv_walk_item(struct gv_walk *w, struct gv_item *it)
{
	uint8_t t;

	if (!gv_walk_need(w, 1))
		return false;
	t = w->base[w->at++];
	it->tag = t;
	it->u = 0;
	if (t < 0x80) {
		it->type = GV_ITEM_UINT;
		it->u = t;
	} else if (t < 0x90) {
		it->type = GV_ITEM_MAP;
		it->u = t & 15;
	} else if (t < 0xa0) {
		it->type = GV_ITEM_ARRAY;
		it->u = t & 15;
	} else if (t < 0xc0) {
		it->type = GV_ITEM_STR;
		it->u = t & 31;
	} else if (t >= 0xe0) {
		negative(it, (int8_t)t);
	} else if (!long_form(w, it)) {
		return false;
	}
	switch (it->type) {
	case GV_ITEM_STR:
	case GV_ITEM_BIN:
	case GV_ITEM_ARRAY:
		return possible(w, it->u);
	case GV_ITEM_MAP:
		if (it->u > GV_MAX_KEYS)
			return gv_walk_fail(
			    w, GV_ERR_LIMIT, "a map of too many keys");
		return possible(w, 2 * it->u);
	default:
		return true;
	}
}

bool
gv_walk_span(struct gv_walk *w, size_t n, size_t *off)
{
	if (!gv_walk_need(w, n))
		return false;
	*off = w->at;
	w->at += n;
	return true;
}

static bool
whole(struct gv_walk *w, enum gv_item_type type, const char *why, size_t *off,
    size_t *n)
{
	struct gv_item it;

	if (!gv_walk_item(w, &it))
		return false;
	if (it.type != type)
		return gv_walk_fail(w, GV_ERR_FORMAT, why);
	*n = (size_t)it.u;
	return gv_walk_span(w, *n, off);
}

bool
gv_walk_text(struct gv_walk *w, size_t *off, size_t *n)
{
	if (!whole(w, GV_ITEM_STR, "not text where text belongs", off, n))
		return false;
	if (!gv_utf8_valid(w->base + *off, *n))
		return gv_walk_fail(w, GV_ERR_FORMAT, "text is not UTF-8");
	return true;
}

bool
gv_walk_bin(struct gv_walk *w, size_t *off, size_t *n)
{
	return whole(w, GV_ITEM_BIN, "not bin where bin belongs", off, n);
}

static bool
is(struct gv_walk *w, enum gv_item_type type, const char *s, const char *why)
{
	size_t off, n, want = strlen(s);
	struct gv_item it;

	if (!gv_walk_item(w, &it))
		return false;
	if (it.type != type || it.u != want)
		return gv_walk_fail(w, GV_ERR_FORMAT, why);
	n = (size_t)it.u;
	if (!gv_walk_span(w, n, &off))
		return false;
	if (memcmp(w->base + off, s, n))
		return gv_walk_fail(w, GV_ERR_FORMAT, why);
	return true;
}

bool
gv_walk_is(struct gv_walk *w, const char *s, const char *why)
{
	return is(w, GV_ITEM_STR, s, why);
}

bool
gv_walk_is_bin(struct gv_walk *w, const char *s, const char *why)
{
	return is(w, GV_ITEM_BIN, s, why);
}

bool
gv_walk_uint(struct gv_walk *w, uint64_t *u, const char *why)
{
	struct gv_item it;

	if (!gv_walk_item(w, &it))
		return false;
	if (it.type != GV_ITEM_UINT)
		return gv_walk_fail(w, GV_ERR_FORMAT, why);
	*u = it.u;
	return true;
}

static bool
skip_key(struct gv_walk *w, bool bin_keys)
{
	struct gv_item it;
	size_t off;

	if (!gv_walk_item(w, &it))
		return false;
	if (it.type != GV_ITEM_STR && !(bin_keys && it.type == GV_ITEM_BIN))
		return gv_walk_fail(w, GV_ERR_FORMAT, "a map key is not text");
	if (!gv_walk_span(w, (size_t)it.u, &off))
		return false;
	if (it.type == GV_ITEM_STR && !gv_utf8_valid(w->base + off, it.u))
		return gv_walk_fail(w, GV_ERR_FORMAT, "text is not UTF-8");
	return true;
}

bool
gv_walk_skip(struct gv_walk *w, int depth, bool bin_keys)
{
	struct gv_item it;
	size_t off;
	uint64_t i;

	if (!gv_walk_item(w, &it))
		return false;
	if (it.type == GV_ITEM_STR || it.type == GV_ITEM_BIN) {
		if (!gv_walk_span(w, (size_t)it.u, &off))
			return false;
		if (it.type == GV_ITEM_STR &&
		    !gv_utf8_valid(w->base + off, it.u))
			return gv_walk_fail(
			    w, GV_ERR_FORMAT, "text is not UTF-8");
		return true;
	}
	if (it.type != GV_ITEM_ARRAY && it.type != GV_ITEM_MAP)
		return true;
	if (depth < 1)
		return gv_walk_fail(w, GV_ERR_LIMIT, "nested too deep");
	for (i = 0; i < it.u; i++) {
		if (it.type == GV_ITEM_MAP && !skip_key(w, bin_keys))
			return false;
		if (!gv_walk_skip(w, depth - 1, bin_keys))
			return false;
	}
	return true;
}

bool
gv_utf8_valid(const void *s, size_t n)
{
	const uint8_t *p = s, *end = p + n;
	uint64_t eight;

	while (p < end) {
		uint8_t lo = 0x80, hi = 0xbf;
		size_t len, i;

		if (end - p >= 8) {
			memcpy(&eight, p, sizeof eight);
			if (!(eight & 0x8080808080808080)) {
				p += 8;
				continue;
			}
		}
		if (*p < 0x80) {
			p++;
			continue;
		}
		if (*p < 0xc2 || *p > 0xf4)
			return false;
		len = *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
		if ((size_t)(end - p) < len)
			return false;
		/* the second byte excludes overlong forms, surrogates and
		 * what is above U+10FFFF */
		if (*p == 0xe0)
			lo = 0xa0;
		if (*p == 0xed)
			hi = 0x9f;
		if (*p == 0xf0)
			lo = 0x90;
		if (*p == 0xf4)
			hi = 0x8f;
		if (p[1] < lo || p[1] > hi)
			return false;
		for (i = 2; i < len; i++)
			if ((p[i] & 0xc0) != 0x80)
				return false;
		p += len;
	}
	return true;
}
