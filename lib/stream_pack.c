/* The bytes of records, packed apart from their numbers. */
#include "stream_pack_priv.h"

#include "crc.h"
#include "mem.h"
#include "banned.h"

#define GAP   128 /* more than the head's own bytes: 12, a number, a pad */
#define LARGE ((size_t)16 << 10) /* payloads that aren't copied */
#define DATA  11 /* bytes between a pad and a payload */

static int
no_memory(struct gv_error *e)
{
	return gv_fail(e, GV_ERR_NOMEM, "out of memory");
}

/* ---- what is always the same --------------------------------------------- */

int
gv_packed_open(
    struct gv_packed *m, const struct gv_schema *s, struct gv_error *e)
{
	struct gv_pack *p = &m->lead;
	size_t i;

	memset(m, 0, sizeof *m);
	m->schema = s;
	gv_pack_init(&m->plain);
	gv_pack_init(&m->lead);
	gv_pack_init(&m->bytes);
	gv_pack_init(&m->scratch);
	m->slot = gv_alloc(s->nfields, sizeof *m->slot);
	m->load = gv_alloc(s->nfields, sizeof *m->load);
	m->lead_end = gv_alloc(s->nfields + 1, sizeof *m->lead_end);
	if (!m->slot || !m->load || !m->lead_end)
		return no_memory(e);
	msgpack_pack_map(&p->pk, s->nfields + 5);
	gv_pack_str(p, "gv");
	gv_pack_str(p, "rec");
	gv_pack_str(p, "n");
	m->lead_end[0] = p->n;
	for (i = 0; i < s->nfields; i++) {
		gv_pack_str(p, s->fields[i].name);
		if (s->fields[i].dtype != GV_NONE)
			gv_pack_tensor(p, &s->fields[i]);
		m->lead_end[i + 1] = p->n;
	}
	return p->failed ? no_memory(e) : 0;
}

void
gv_packed_free(struct gv_packed *m)
{
	gv_pack_free(&m->plain);
	gv_pack_free(&m->lead);
	gv_pack_free(&m->bytes);
	gv_pack_free(&m->scratch);
	gv_free(m->slot);
	gv_free(m->load);
	gv_free(m->lead_end);
	gv_free(m->rec);
	memset(m, 0, sizeof *m);
}

void
gv_packed_empty(struct gv_packed *m)
{
	m->n = m->loads = m->bytes.n = 0;
}

/* ---- packing ------------------------------------------------------------- */

/* Where a record stands behind its first pad. */
struct place {
	struct gv_packed_rec *r;
	size_t from; /* in bytes: a multiple of 64 of the record */
	size_t away; /* bytes of payloads behind it that were not copied */
};

/* A pad that makes what follows `then` more bytes begin at a multiple of 64.
 * The first one waits for the number. */
static void
pad(struct gv_pack *p, struct place *at, size_t then, bool tensor)
{
	if (at->r->body) {
		gv_pack_pad(p, p->n - at->from + at->away, then, tensor);
		return;
	}
	at->r->body = p->n;
	at->r->padded = tensor;
	at->from = p->n + then;
}

/* The rest of the map around a payload, and that. */
static void
pack_tensor(
    struct gv_packed *m, struct place *at, const struct gv_tensor *t, bool lone)
{
	struct gv_pack *p = &m->bytes;
	uint8_t data[DATA];
	int i;

	for (i = 0; i < t->rank; i++)
		msgpack_pack_int64(&p->pk, t->shape[i]);
	pad(p, at, DATA, true);
	/* the key `data` and a header of bin 32 */
	memcpy(data, "\xc4\4data\xc6", 7);
	data[7] = (uint8_t)(t->bytes >> 24);
	data[8] = (uint8_t)(t->bytes >> 16);
	data[9] = (uint8_t)(t->bytes >> 8);
	data[10] = (uint8_t)t->bytes;
	gv_pack_raw(p, data, sizeof data);
	if (lone && t->bytes >= LARGE) {
		m->load[m->loads++] =
		    (struct gv_payload){p->n, t->data, t->bytes};
		at->away += t->bytes;
	} else {
		gv_pack_raw(p, t->data, t->bytes);
	}
}

int
gv_packed_add(
    struct gv_packed *m, const char *key, bool lone, struct gv_error *e)
{
	static const uint8_t gap[GAP], crc[GV_CRC_PAIR];
	struct gv_pack *p = &m->bytes;
	struct place at = {0};
	size_t i;

	if (gv_room(&m->rec, &m->cap, m->n + 1, sizeof *m->rec, e))
		return e->code;
	at.r = &m->rec[m->n];
	*at.r = (struct gv_packed_rec){.head = p->n + GAP};
	m->loads = 0;
	gv_pack_raw(p, gap, sizeof gap);
	gv_pack_raw(p, "\xa3key", 4);
	gv_pack_str(p, key);
	for (i = 0; i < m->schema->nfields; i++) {
		const struct gv_slot *s = &m->slot[i];

		gv_pack_raw(p, m->lead.p + m->lead_end[i],
		    m->lead_end[i + 1] - m->lead_end[i]);
		if (m->schema->fields[i].dtype == GV_NONE)
			gv_pack_raw(p, m->plain.p + s->off, s->n);
		else
			pack_tensor(m, &at, &s->t, lone);
	}
	pad(p, &at, GV_CRC_PAIR, false);
	at.r->end = p->n;
	gv_pack_raw(p, crc, sizeof crc);
	if (p->failed)
		return no_memory(e);
	m->n++;
	return 0;
}

/* ---- writing ------------------------------------------------------------- */

/* Puts the head together in front of the body: where the record begins. */
static size_t
put_head(struct gv_packed *m, const struct gv_packed_rec *r, uint64_t number)
{
	size_t lead = m->lead_end[0], head = r->body - r->head, digits, at;
	struct gv_pack *p = &m->scratch;
	uint8_t *b = m->bytes.p;

	p->n = 0;
	msgpack_pack_uint64(&p->pk, number);
	digits = p->n;
	gv_pack_pad(
	    p, lead + digits + head, r->padded ? DATA : GV_CRC_PAIR, r->padded);
	if (p->failed)
		return r->body;
	at = r->body - (p->n + head + lead);
	memmove(b + at + lead + digits, b + r->head, head);
	memcpy(b + at, m->lead.p, lead);
	memcpy(b + at + lead, p->p, digits);
	memcpy(b + r->body - (p->n - digits), p->p + digits, p->n - digits);
	return at;
}

static void
put_crc(struct gv_packed *m, const struct gv_packed_rec *r, size_t start)
{
	const uint8_t *b = m->bytes.p;
	uint32_t crc = 0;
	size_t i;

	for (i = 0; i < m->loads; i++) {
		const struct gv_payload *l = &m->load[i];

		crc = gv_crc(crc, b + start, l->at - start);
		crc = gv_crc(crc, l->data, l->bytes);
		start = l->at;
	}
	crc = gv_crc(crc, b + start, r->end - start);
	m->scratch.n = 0;
	gv_pack_crc(&m->scratch, crc);
	if (!m->scratch.failed)
		memcpy(m->bytes.p + r->end, m->scratch.p, GV_CRC_PAIR);
}

int
gv_packed_write(struct gv_packed *m, size_t i, uint64_t number,
    struct gv_out *o, struct gv_error *e)
{
	const struct gv_packed_rec *r = &m->rec[i];
	const uint8_t *b = m->bytes.p;
	size_t start = put_head(m, r, number);

	put_crc(m, r, start);
	if (m->scratch.failed)
		return no_memory(e);
	for (i = 0; i < m->loads; i++) {
		const struct gv_payload *l = &m->load[i];

		if (gv_out_write(o, b + start, l->at - start, e) ||
		    gv_out_write(o, l->data, l->bytes, e))
			return e->code;
		start = l->at;
	}
	return gv_out_write(o, b + start, r->end + GV_CRC_PAIR - start, e);
}
