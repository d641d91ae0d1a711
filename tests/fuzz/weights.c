/* Fuzz: any bytes as a file of weights, safetensors or GGUF: what is accepted
 * must be readable to its last byte, and asking it for anything must be safe.
 *
 * A file that starts with "GGUF" is read as one, any other as safetensors.
 */
#include "blocks.h"
#include "config.h"
#include "gguf.h"
#include "names.h"
#include "safetensors.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must(int sound)
{
	if (!sound)
		abort();
}

/* Every byte of a tensor lies in the file; what it says is no fault. */
static void
look(const struct gv_tensor *t, const char *spelled)
{
	const uint8_t *p = t->data;
	static volatile uint8_t sum;
	struct gv_name name;
	float v[256];
	struct gv_error e = {0};
	size_t i, count;

	for (i = 0; i < t->bytes; i++)
		sum = (uint8_t)(sum + p[i]);
	must(gv_shape_count(t->shape, t->rank, &count));
	must(count / gv_block_numbers(t->dtype) * gv_block_bytes(t->dtype) ==
	     t->bytes);
	count = count < 256 ? count : 256;
	count -= count % gv_block_numbers(t->dtype);
	(void)!gv_blocks_to_f32(v, p, t->dtype, count, &e);
	gv_name_read(&name, spelled);
	must(strlen(name.name) < sizeof name.name);
}

static int
try_gguf(const char *path, struct gv_error *e)
{
	struct gv_error more = {0};
	json_t *a = NULL, *b = NULL;
	struct gv_config c;
	struct gv_gguf *g;
	size_t i;

	if (gv_gguf_open(&g, path, e))
		return e->code;
	for (i = 0; i < gv_gguf_count(g); i++) {
		look(gv_gguf_tensor(g, i), gv_gguf_name(g, i));
		must(gv_gguf_paired(g, i) >= 0);
	}
	if (!gv_gguf_config(g, &a, &more) && !gv_config_parse(&c, a, &more))
		gv_config_free(&c);
	json_decref(a);
	a = NULL;
	gv_error_clear(&more);
	if (!gv_gguf_tokenizer(g, &a, &b, &more)) {
		json_decref(a);
		json_decref(b);
	}
	gv_gguf_close(&g);
	return 0;
}

static int
try_safetensors(const char *path, struct gv_error *e)
{
	struct gv_st *s;
	size_t i;

	if (gv_st_open(&s, path, e))
		return e->code;
	for (i = 0; i < gv_st_count(s); i++) {
		look(gv_st_tensor(s, i), gv_st_name(s, i));
		must(gv_st_find(s, gv_st_name(s, i)) == gv_st_tensor(s, i));
	}
	gv_st_close(&s);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	int file = memfd_create("fuzz", 0), r;
	struct gv_error e = {0};
	char path[64];

	must(file >= 0 && write(file, data, n) == (ssize_t)n);
	snprintf(path, sizeof path, "/proc/self/fd/%d", file);
	r = n >= 4 && !memcmp(data, "GGUF", 4) ? try_gguf(path, &e)
					       : try_safetensors(path, &e);
	must((r < 0) == (e.msg[0] != '\0'));
	must(!strchr(e.msg, '\n'));
	close(file);
	return 0;
}
