/* Reading the head of a GGUF file within the bytes that are there.  Private to
 * gguf*.c. */
#ifndef GV_GGUF_READ_H
#define GV_GGUF_READ_H

#include "gguf_priv.h"

#include "io.h"

struct gguf_pair {
	const char *key; /* not NUL-terminated */
	size_t len;
	struct gguf_value v;
};

struct gguf_entry {
	char *name;
	struct gv_tensor t;
	uint64_t at; /* in the data */
};

struct gv_gguf {
	char *path;
	struct gv_map map;
	struct gguf_pair *pair; /* sorted by key */
	size_t pairs;
	struct gguf_entry *entry; /* sorted by offset once opening is done */
	size_t n;
};

/* What is left to read. */
struct gguf_cursor {
	const uint8_t *p;
	size_t left;
	const char *path;
	struct gv_error *e;
};

/* A little-endian number of up to 8 bytes. */
uint64_t gguf_number_at(const uint8_t *p, size_t bytes);

/* The next `n` bytes, or NULL (GV_ERR_CUT). */
const uint8_t *gguf_take(struct gguf_cursor *c, uint64_t n);

int gguf_take_number(
    struct gguf_cursor *c, size_t bytes, uint64_t *v) GV_USE_RESULT;

/* A string of at most `max` bytes, called `what`; it stays in the file. */
int gguf_take_string(struct gguf_cursor *c, uint64_t max, const char *what,
    const char **s, size_t *n) GV_USE_RESULT;

/* Memory for n things of `size` that the head promises, if there may be so many
 * and the file has the `least` bytes that each takes. */
void *gguf_promised(struct gguf_cursor *c, uint64_t n, const char *what,
    uint64_t most, size_t least, size_t size);

/* Reads the n pairs that follow into g->pair. */
int gguf_read_pairs(
    struct gv_gguf *g, struct gguf_cursor *c, uint64_t n) GV_USE_RESULT;

#endif
