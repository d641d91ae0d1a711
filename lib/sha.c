/* SHA-256 through Nettle. */
#include "sha.h"

#include "mem.h"
#include "banned.h"

#include <nettle/sha2.h>

struct gv_sha {
	struct sha256_ctx ctx;
};

struct gv_sha *
gv_sha_open(void)
{
	struct gv_sha *s = gv_alloc(1, sizeof *s);

	if (s)
		sha256_init(&s->ctx);
	return s;
}

void
gv_sha_add(struct gv_sha *s, const void *data, size_t n)
{
	sha256_update(&s->ctx, n, data);
}

void
gv_sha_close(struct gv_sha **s, char out[GV_DIGEST])
{
	static const char hex[] = "0123456789abcdef";
	uint8_t raw[SHA256_DIGEST_SIZE];
	int i;

	if (!*s)
		return;
	if (out) {
		sha256_digest(&(*s)->ctx, sizeof raw, raw);
		for (i = 0; i < SHA256_DIGEST_SIZE; i++) {
			out[2 * i] = hex[raw[i] >> 4];
			out[2 * i + 1] = hex[raw[i] & 15];
		}
		out[GV_DIGEST - 1] = '\0';
	}
	gv_free(*s);
	*s = NULL;
}

int
gv_sha_of(const void *data, size_t n, char out[GV_DIGEST])
{
	struct gv_sha *s = gv_sha_open();

	if (!s)
		return 0;
	gv_sha_add(s, data, n);
	gv_sha_close(&s, out);
	return 1;
}
