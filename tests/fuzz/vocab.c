/* Fuzz: any bytes as a vocabulary: tokenizer.json, tiktoken's ranks, CLIP's
 * merges, GGUF, the compiled form, or as what stands beside one: a template,
 * tokenizer_config.json.  What is accepted must encode and decode without
 * fault, and a tokenizer.json must be the same however it is spelled.
 *
 * The kind is told by the first bytes.  CLIP's list is packed here.  Of the
 * compiled form the input is changes to a good one, whose checksum and source
 * are made right, else nothing gets past them.
 */
#include "vocab.h"

#include "chat.h"
#include "crc.h"
#include "io.h"
#include "utf8.h"

#include <errno.h>
#include <jansson.h>
#include <time.h>
#include <zlib.h>

#define MOST   65536
#define LARGE  ((size_t)600 << 10) /* what is worth to be compiled */
#define CRC_AT 16 /* of the compiled form's head */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* ---- use ----------------------------------------------------------------- */

/* Whatever the vocabulary, its ids lie in it and say some bytes. */
static void
encode(const struct gv_tokenizer *t, const char *s, size_t n, bool specials)
{
	struct gv_error e = {0};
	struct gv_ids ids = {0};
	char *back;
	size_t len, i;

	if (!gv_encode(t, s, n, specials, &ids, &e)) {
		for (i = 0; i < ids.n; i++)
			must(
			    ids.id[i] >= 0 && ids.id[i] < gv_tokenizer_size(t));
		if (!gv_decode(t, ids.id, ids.n, specials, &back, &len, &e))
			gv_free(back);
	}
	must((e.code != 0) == (e.msg[0] != '\0'));
	gv_ids_free(&ids);
}

static void
use(const struct gv_tokenizer *t, const uint8_t *data, size_t n)
{
	static const char text[] =
	    "The quick\tbrown fox's 123 x=42;\r\n\r\n  <|endoftext|> <s>"
	    "\xc3\xa9\xcc\x81 \xe4\xb8\xad\xe6\x96\x87\xf0\x9f\x99\x82"
	    "\xff\xc3 ...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	static volatile unsigned sum;
	int32_t id, size = gv_tokenizer_size(t), stop[4];
	size_t len, i;

	must(size > 0 && size <= 1 << 20);
	for (id = -1; id <= size && id < 5000; id++) {
		const char *s = gv_token_bytes(t, id, &len);

		must(s || !len);
		for (i = 0; i < len; i++)
			sum += (unsigned char)s[i];
	}
	must(gv_tokenizer_stops(t, stop, 4) < 16);
	must(strlen(gv_tokenizer_digest(t)) == 64);
	encode(t, text, sizeof text - 1, false);
	encode(t, text, sizeof text - 1, true);
	n = n < 4096 ? n : 4096;
	encode(t, (const char *)data, n, n & 1);
}

/* Opens and uses it; the digest, or "". */
static void
try_file(const char *name, const uint8_t *data, size_t n, char digest[65])
{
	struct gv_tokenizer *t = NULL;
	struct gv_error e = {0};

	*digest = '\0';
	if (!open_work(&t, name, &e)) {
		use(t, data, n);
		snprintf(digest, 65, "%s", gv_tokenizer_digest(t));
	}
	must((e.code != 0) == (e.msg[0] != '\0'));
	must((e.code == 0) == (t != NULL));
	gv_tokenizer_close(&t);
}

/* ---- kinds --------------------------------------------------------------- */

static void
as_json(const uint8_t *data, size_t n)
{
	char first[65], again[65], path[128], *text;
	json_t *o;

	put_file("tokenizer.json", data, n);
	try_file("", data, n, first);
	/* another spelling of the same, which the parser judges */
	o = *first ? json_loadb((const char *)data, n, 0, NULL) : NULL;
	text = o ? json_dumps(o, JSON_ENSURE_ASCII | JSON_SORT_KEYS) : NULL;
	if (text) {
		put_file("tokenizer.json", text, strlen(text));
		try_file("", data, n, again);
		must(!strcmp(first, again));
	}
	free(text);
	json_decref(o);
	unlink(in_work(path, "tokenizer.json"));
}

static void
as_ranks(const uint8_t *data, size_t n)
{
	char digest[65];

	put_file("r50k_base.tiktoken", data, n);
	try_file("r50k_base.tiktoken", data, n, digest);
}

static void
as_clip(const uint8_t *data, size_t n)
{
	static uint8_t packed[2 * MOST];
	z_stream z = {.next_in = (Bytef *)(uintptr_t)data,
	    .avail_in = (uInt)n,
	    .next_out = packed,
	    .avail_out = sizeof packed};
	char digest[65];

	must(deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8,
		 Z_DEFAULT_STRATEGY) == Z_OK &&
	     deflate(&z, Z_FINISH) == Z_STREAM_END);
	put_file("v.txt.gz", packed, z.total_out);
	deflateEnd(&z);
	try_file("v.txt.gz", data, n, digest);
}

static void
as_gguf(const uint8_t *data, size_t n)
{
	char digest[65];

	put_file("v.gguf", data, n);
	try_file("v.gguf", data, n, digest);
}

/* A small vocabulary. */
static void
put_good(char *p)
{
	int id;

	p += sprintf(p, "{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":"
			"{\"type\":\"BPE\",\"vocab\":{");
	for (id = 0; id < 256; id++) {
		*p++ = '"';
		p += spell_byte(p, (unsigned)id);
		p += sprintf(p, "\":%d,", id);
	}
	p += sprintf(p, "\"th\":256,\"the\":257,\"aa\":258,\"aaaa\":259},"
			"\"merges\":[\"t h\",\"th e\",\"a a\",\"aa aa\"]},"
			"\"added_tokens\":[{\"id\":300,\"content\":\"<s>\","
			"\"special\":true},{\"id\":301,\"content\":"
			"\"<|im_start|>\"},{\"id\":302,\"content\":"
			"\"<|im_end|>\"}]}");
	*p = ' ';
}

/* As a file beside a good vocabulary. */
static void
as_companion(const char *name, const uint8_t *data, size_t n)
{
	static char json[16384];
	struct gv_chat_how how = {0};
	struct gv_tokenizer *t = NULL;
	struct gv_error e = {0};
	char path[128];

	if (!*json) {
		memset(json, ' ', sizeof json);
		put_good(json);
	}
	put_file("tokenizer.json", json, sizeof json);
	put_file(name, data, n);
	if (!open_work(&t, "", &e)) {
		bool known = !gv_chat_check(t, &how, &e);

		must(known == (gv_chat_of(t) != NULL));
		use(t, data, n);
	}
	must((e.code != 0) == (e.msg[0] != '\0'));
	gv_tokenizer_close(&t);
	unlink(in_work(path, name));
	unlink(in_work(path, "tokenizer.json"));
}

/* The compiled form of that in a file that is large enough for one, and old
 * enough by the time it is read. */
static uint8_t *
compile(size_t *n)
{
	static char json[LARGE];
	struct gv_tokenizer *t = NULL;
	struct gv_error e = {0};
	struct timespec nap = {2, 100000000};
	char path[128], *image;

	memset(json, ' ', sizeof json);
	put_good(json);
	put_file("tokenizer.json", json, sizeof json);
	while (nanosleep(&nap, &nap))
		must(errno == EINTR); /* the fuzzer has an alarm */
	must(!open_work(&t, "", &e));
	gv_tokenizer_close(&t);
	must(!gv_slurp(
	    in_work(path, ".gv-tokenizer"), SIZE_MAX / 2, &image, n, &e));
	return (uint8_t *)image;
}

/* Changes to the file, of five bytes each: where, how, and a byte.  The first
 * 4 KiB, where the head is, are hit as often as all the rest. */
static size_t
change(uint8_t *image, size_t n, const uint8_t *edit, size_t bytes)
{
	static const uint32_t value[] = {
	    0, 1, 0xffffffff, 0x7fffffff, 0x80000000, 259, 260, 300};
	size_t at, end = n;

	for (; bytes >= 5; edit += 5, bytes -= 5) {
		at = edit[0] | (size_t)edit[1] << 8 | (size_t)edit[2] << 16;
		at %= at & 1 << 23 ? 4096 : n - 4;
		switch (edit[3] % 4) {
		case 0:
			image[at] = edit[4];
			break;
		case 1:
			image[at] ^= edit[4];
			break;
		case 2:
			memcpy(image + at / 4 * 4, &value[edit[4] % 8], 4);
			break;
		default:
			end = edit[4] ? end : at;
		}
	}
	return end;
}

/* As compiled from a file that is none, so that it fails where this is not
 * taken. */
static void
as_compiled(const uint8_t *data, size_t n)
{
	static uint8_t *base, *image;
	static size_t bytes;
	static int64_t state[8];
	static const uint8_t none[LARGE];
	char path[128], digest[65];
	struct stat st;
	uint32_t crc;
	size_t len;

	if (!base) {
		base = compile(&bytes);
		image = malloc(bytes);
		must(image != NULL);
	}
	put_file("tokenizer.json", none, LARGE);
	must(!stat(in_work(path, "tokenizer.json"), &st));
	state[0] = st.st_size;
	state[1] = (int64_t)st.st_ino;
	state[2] = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	state[3] = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
	memcpy(image, base, bytes);
	len = change(image, bytes, data, n);
	if (len >= CRC_AT + 8 + sizeof state) {
		memcpy(image + CRC_AT + 8, state, sizeof state);
		crc = gv_crc(0, image + CRC_AT + 4, len - CRC_AT - 4);
		memcpy(image + CRC_AT, &crc, 4);
	}
	put_file(".gv-tokenizer", image, len);
	try_file("", data, n, digest);
	must(n >= 5 || *digest); /* the file as it was made is taken */
	unlink(in_work(path, "tokenizer.json"));
	unlink(in_work(path, ".gv-tokenizer"));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n > MOST)
		return 0;
	if (n >= 4 && !memcmp(data, "GGUF", 4))
		as_gguf(data, n);
	else if (n >= 12 && !memcmp(data, "gv-tokenizer", 12))
		as_compiled(data + 12, n - 12);
	else if (n >= 8 && !memcmp(data, "#version", 8))
		as_clip(data, n);
	else if (n >= 2 && *data == '{' && (data[1] == '%' || data[1] == '{'))
		as_companion("chat_template.jinja", data, n);
	else if (n && *data == '{')
		as_json(data, n);
	else if (n && *data == '[')
		as_companion("tokenizer_config.json", data + 1, n - 1);
	else
		as_ranks(data, n);
	return 0;
}
