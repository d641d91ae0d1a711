/* Encoding and decoding against what Hugging Face tokenizers gave, and files
 * that are not what they should be. */
#include "crc.h"
#include "token.h"

#include "tokens.h"

#include <pthread.h>
#include <time.h>

#define QWEN3 "../shared/data/qwen3-tokenizer"

/* ---- golden -------------------------------------------------------------- */

/* The tokenizer of a golden row; Qwen3's is not in the tree. */
static struct gv_tokenizer *
by_name(const char *argv0, const char *name)
{
	char path[MOST_PATH];
	const char *q = getenv("GV_QWEN3");

	if (strcmp(name, "qwen3"))
		return open_tokenizer(golden(path, argv0, name));
	q = q ? q : QWEN3;
	snprintf(path, sizeof path, "%s/tokenizer.json", q);
	return access(path, R_OK) ? NULL : open_tokenizer(q);
}

static void
golden_case(const struct gv_tokenizer *t, const json_t *row)
{
	const json_t *text = json_array_get(row, 1);
	const json_t *want = json_array_get(row, 2);
	struct gv_error e = {0};
	struct gv_ids ids = {0};
	bool same;
	char q[64];
	size_t i;

	must(gv_encode(t, json_string_value(text), json_string_length(text),
		 true, &ids, &e),
	    &e);
	same = ids.n == json_array_size(want);
	for (i = 0; i < ids.n && same; i++)
		same = ids.id[i] == json_integer_value(json_array_get(want, i));
	ok(same, "%s: '%s'", json_string_value(json_array_get(row, 0)),
	    gv_quote(q, sizeof q, json_string_value(text),
		json_string_length(text)));
	gv_ids_free(&ids);
}

static void
golden_cases(const char *argv0)
{
	json_t *list = golden_json(argv0, "cases.json");
	struct gv_tokenizer *t = NULL;
	const char *last = "";
	size_t i;

	for (i = 0; i < json_array_size(list); i++) {
		const json_t *row = json_array_get(list, i);
		const char *name = json_string_value(json_array_get(row, 0));

		if (strcmp(name, last)) {
			gv_tokenizer_close(&t);
			t = by_name(argv0, name);
			last = name;
		}
		if (t)
			golden_case(t, row);
		else
			ok(1, "%s # SKIP no vocabulary in %s", name, QWEN3);
	}
	gv_tokenizer_close(&t);
	json_decref(list);
}

/* The generator of tests/golden/make_tokens.py. */
static size_t
nasty(const json_t *list, struct draw *r, char *s)
{
	const json_t *o =
	    json_array_get(list, draw(r, (uint32_t)json_array_size(list)));

	memcpy(s, json_string_value(o), json_string_length(o));
	return json_string_length(o);
}

static size_t
put_char(uint32_t c, char *s)
{
	int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4, i;

	if (n == 1) {
		s[0] = (char)c;
		return 1;
	}
	for (i = n - 1; i; i--, c >>= 6)
		s[i] = (char)(0x80 | (c & 0x3f));
	s[0] = (char)(0xf00 >> n | c);
	return (size_t)n;
}

static size_t
test_string(const json_t *list, struct draw *r, char *s)
{
	static const uint32_t lo[] = {0x20, 0x80, 0x800, 0xe000};
	static const uint32_t hi[] = {0x7f, 0x800, 0xd800, 0x20000};
	static const char some[] = "etaoinshrdlu ETA  \n\t.,'0123456789";
	uint32_t kind = draw(r, 5), n = 1 + draw(r, 24), i, base, k;
	size_t len = 0, one;

	switch (kind) {
	case 0:
		for (i = 0; i < n; i++)
			len += nasty(list, r, s + len);
		return len;
	case 1:
		for (i = 0; i < n; i++) {
			k = draw(r, 4);
			len +=
			    put_char(lo[k] + draw(r, hi[k] - lo[k]), s + len);
		}
		return len;
	case 2:
		base = draw(r, 0x200) * 0x100;
		for (i = 0; i < n; i++) {
			uint32_t c = base + draw(r, 256);

			len += put_char(
			    c >= 0xd800 && c < 0xe000 ? '?' : c, s + len);
		}
		return len;
	case 3:
		for (i = 0; i < 4 * n; i++)
			s[len++] = some[draw(r, sizeof some - 1)];
		return len;
	default:
		one = nasty(list, r, s);
		for (i = 0; i < 8 * n; i++)
			memmove(s + i * one, s, one);
		return one * 8 * n;
	}
}

static uint64_t
fnv(uint64_t h, int32_t id)
{
	int i;

	for (i = 0; i < 4; i++)
		h = (h ^ ((uint32_t)id >> 8 * i & 255)) * 0x100000001b3u;
	return h;
}

/* Encodes 1000 strings; the hash of their ids.  Texts whose bytes decoding
 * doesn't give back are counted, unless `lost` is NULL. */
static uint64_t
block(const struct gv_tokenizer *t, const json_t *list, bool specials,
    struct draw *r, int *lost)
{
	uint64_t h = 0xcbf29ce484222325u;
	struct gv_ids ids = {0}, again = {0};
	struct gv_error e = {0};
	char s[4096], *back;
	size_t i, k, n, len;

	for (i = 0; i < 1000; i++) {
		n = test_string(list, r, s);
		ids.n = again.n = 0;
		must(gv_encode(t, s, n, specials, &ids, &e), &e);
		for (k = 0; k < ids.n; k++)
			h = fnv(h, ids.id[k]);
		h = fnv(h, -1);
		must(gv_decode(t, ids.id, ids.n, true, &back, &len, &e), &e);
		if (lost && (len != n || memcmp(back, s, n))) {
			/* not the text: then its NFC, which gives the ids */
			must(gv_encode(t, back, len, specials, &again, &e), &e);
			*lost += again.n != ids.n ||
				 (ids.n && memcmp(again.id, ids.id,
					       ids.n * sizeof *ids.id));
		}
		gv_free(back);
	}
	gv_ids_free(&ids);
	gv_ids_free(&again);
	return h;
}

static void
golden_blocks(const char *argv0)
{
	char path[MOST_PATH], last[32] = "", name[32];
	json_t *list = golden_json(argv0, "nasty.json");
	FILE *f = fopen(golden(path, argv0, "blocks.txt"), "r");
	struct gv_tokenizer *t = NULL;
	struct draw r = {7};
	unsigned long long want;
	int plain, nth, lost = 0;
	bool marked = false; /* blanks, case: what comes back has others */

	if (!f)
		bail(path, "cannot be read");
	while (fscanf(f, "%31s %d %d %llx", name, &plain, &nth, &want) == 4) {
		uint64_t h;

		if (strcmp(name, last)) {
			gv_tokenizer_close(&t);
			t = by_name(argv0, name);
			snprintf(last, sizeof last, "%s", name);
			marked = !strcmp(name, "llama2") ||
				 !strcmp(name, "metaspace") ||
				 !strcmp(name, "clip");
		}
		if (nth == 0)
			r.s = 7;
		if (!t)
			continue;
		h = block(t, list, !plain, &r, marked ? NULL : &lost);
		ok(h == want, "%s: ids of strings %d000 to %d999, specials %s",
		    name, nth, nth, plain ? "as text" : "read");
	}
	is_int(lost, 0, "decoding gives back the text or its NFC");
	fclose(f);
	gv_tokenizer_close(&t);
	json_decref(list);
}

/* ---- one vocabulary ------------------------------------------------------ */

static void
look_up(const struct gv_tokenizer *t)
{
	int32_t start = gv_tokenizer_special(t, "<|im_start|>"), stop[4];
	size_t n;

	ok(start > 0 && gv_tokenizer_is_special(t, start), "a special token");
	ok(!gv_tokenizer_is_special(t, gv_tokenizer_special(t, "<think>")) &&
		gv_tokenizer_special(t, "<think>") > 0,
	    "an added token that isn't special");
	is_int(gv_tokenizer_special(t, "a"), -1,
	    "a token of the model is no added one");
	ok(!gv_tokenizer_is_special(t, -1) &&
		!gv_tokenizer_is_special(t, 1 << 30),
	    "ids outside are not special");
	ok(!gv_token_bytes(t, gv_tokenizer_size(t), &n) && n == 0,
	    "and have no bytes");
	is_int((long long)gv_tokenizer_stops(t, stop, 4), 1, "one stop id");
	is_int(stop[0], gv_tokenizer_special(t, "<|im_end|>"),
	    "which ends a turn");
	is_int((long long)gv_tokenizer_stops(t, stop, 0), 1,
	    "counted without room, too");
	is_int(gv_tokenizer_image(t), -1, "no image token");
	is_int((long long)strlen(gv_tokenizer_digest(t)), 64, "a digest");
}

static void
bytes_back(const struct gv_tokenizer *t)
{
	struct gv_ids ids = {0};
	struct gv_error e = {0};
	char s[256], *back;
	struct draw r = {3};
	int32_t no = 1 << 20;
	size_t i, n, len;
	int bad = 0, k;

	for (k = 0; k < 2000; k++) {
		n = draw(&r, sizeof s);
		for (i = 0; i < n; i++)
			s[i] = (char)draw(&r, 256);
		ids.n = 0;
		must(gv_encode(t, s, n, false, &ids, &e), &e);
		must(gv_decode(t, ids.id, ids.n, false, &back, &len, &e), &e);
		bad += len != n || memcmp(s, back, n);
		gv_free(back);
	}
	is_int(bad, 0, "random bytes come back");
	ok(gv_decode(t, &no, 1, false, &back, &len, &e) == GV_ERR_MATCH,
	    "decoding what is no id: %s", e.msg);
	gv_error_clear(&e);
	ids.n = 0;
	must(gv_encode(t, "<|im_start|>a", 13, true, &ids, &e), &e);
	must(gv_decode(t, ids.id, ids.n, false, &back, &len, &e), &e);
	is_str(back, "a", "specials are left out");
	gv_free(back);
	must(gv_decode(t, ids.id, ids.n, true, &back, &len, &e), &e);
	is_str(back, "<|im_start|>a", "or shown");
	gv_free(back);
	gv_ids_free(&ids);
}

/* What a vocabulary of characters alone does. */
static void
characters(const struct gv_tokenizer *t)
{
	struct gv_ids ids = {0};
	struct gv_error e = {0};
	char *back;
	size_t n, len;

	must(gv_encode(t, "a\xff b", 4, true, &ids, &e), &e);
	ok(gv_token_bytes(t, ids.id[0], &n)[0] == ' ',
	    "a blank is put in front");
	must(gv_decode(t, ids.id, ids.n, false, &back, &len, &e), &e);
	ok(len == 4 && !memcmp(back, "a\xff b", 4),
	    "decoding drops it, and keeps a broken byte");
	gv_free(back);
	ids.n = 0;
	must(gv_encode(t, "", 0, true, &ids, &e), &e);
	is_int((long long)ids.n, 0, "but not before nothing");
	must(gv_encode(t, "  a", 3, true, &ids, &e), &e);
	must(gv_decode(t, ids.id, ids.n, false, &back, &len, &e), &e);
	is_str(back, "  a", "blanks of the text stay");
	gv_free(back);
	gv_ids_free(&ids);
}

static void
long_pieces(const struct gv_tokenizer *t, const char *what)
{
	size_t n = 1 << 20, i, len;
	struct gv_error e = {0};
	char *s = malloc(n), *back;
	struct draw r = {9};
	int k;

	if (!s)
		bail("long_pieces", "out of memory");
	for (k = 0; k < 3; k++) {
		struct gv_ids ids = {0};
		clock_t c = clock();

		for (i = 0; i < n; i++)
			s[i] = (char)(k == 0   ? 'a'
				      : k == 1 ? 'a' + (int)draw(&r, 4)
					       : '.');
		must(gv_encode(t, s, n, false, &ids, &e), &e);
		must(gv_decode(t, ids.id, ids.n, false, &back, &len, &e), &e);
		ok(len == n && !memcmp(s, back, n) &&
			(double)(clock() - c) / CLOCKS_PER_SEC < 10,
		    "%s: a megabyte without a gap, kind %d", what, k);
		gv_free(back);
		gv_ids_free(&ids);
	}
	free(s);
}

struct job {
	const struct gv_tokenizer *t;
	const json_t *list;
	uint64_t hash;
};

static void *
encode_blocks(void *arg)
{
	struct job *j = arg;
	struct draw r = {21};
	int lost = 0;

	j->hash = block(j->t, j->list, true, &r, &lost) ^
		  block(j->t, j->list, true, &r, &lost);
	return NULL;
}

static void
threads(const char *argv0)
{
	json_t *list = golden_json(argv0, "nasty.json");
	struct gv_tokenizer *t = by_name(argv0, "qwen2");
	struct job j[4];
	pthread_t id[4];
	int i;

	for (i = 0; i < 4; i++) {
		j[i] = (struct job){t, list, 0};
		if (pthread_create(&id[i], NULL, encode_blocks, &j[i]))
			bail("threads", "cannot start");
	}
	for (i = 0; i < 4; i++)
		pthread_join(id[i], NULL);
	ok(j[0].hash == j[1].hash && j[1].hash == j[2].hash &&
		j[2].hash == j[3].hash,
	    "threads that share a tokenizer get the same ids");
	gv_tokenizer_close(&t);
	json_decref(list);
}

/* ---- files that are wrong ------------------------------------------------ */

/* Opens the scratch directory; the code, the message in *e. */
static int
try_open(struct gv_error *e)
{
	struct gv_tokenizer *t = NULL;
	int rc;

	gv_error_clear(e);
	rc = gv_tokenizer_open(&t, scratch, e);
	gv_tokenizer_close(&t);
	return rc;
}

/* Opens the vocabulary with `value` (JSON text) at a path of keys. */
static void
with(const json_t *good, const char *const *key, const char *value, int want,
    const char *says)
{
	json_t *o = json_deep_copy(good), *at = o;
	struct gv_error e = {0};
	char path[MOST_PATH], *text;
	json_error_t je;
	int rc;

	for (; key[1]; key++)
		at = json_is_array(at)
			 ? json_array_get(at, (size_t)strtol(*key, NULL, 10))
			 : json_object_get(at, *key);
	if (!*value)
		json_object_del(at, *key);
	else if (json_object_set_new(
		     at, *key, json_loads(value, JSON_DECODE_ANY, &je)))
		bail(*key, "cannot be set");
	text = json_dumps(o, 0);
	write_file(in_scratch(path, "tokenizer.json"), text, strlen(text));
	rc = try_open(&e);
	ok(rc == want && strstr(e.msg, says), "%s = %s: %s", *key,
	    *value ? value : "nothing", e.msg);
	free(text);
	json_decref(o);
}
#define KEY(...) \
	(const char *const[]) \
	{ \
		__VA_ARGS__, NULL \
	}

static void
wrong_files(const json_t *good)
{
	with(good, KEY("model"), "", GV_ERR_FORMAT, "no 'model'");
	with(good, KEY("model", "type"), "\"Unigram\"", GV_ERR_NOSUP,
	    "model 'Unigram'");
	with(good, KEY("model", "byte_fallback"), "true", GV_ERR_NOSUP,
	    "byte_fallback");
	with(good, KEY("model", "dropout"), "0.1", GV_ERR_NOSUP, "dropout");
	with(good, KEY("model", "end_of_word_suffix"), "\"</w>\"", GV_ERR_NOSUP,
	    "end_of_word_suffix");
	with(good, KEY("model", "vocab"), "[]", GV_ERR_FORMAT, "vocab");
	with(good, KEY("model", "vocab"), "{}", GV_ERR_LIMIT, "0 tokens");
	with(good, KEY("model", "vocab", "a"), "", GV_ERR_FORMAT,
	    "merge 1 uses a token");
	with(
	    good, KEY("model", "vocab", "a"), "0", GV_ERR_FORMAT, "two tokens");
	with(good, KEY("model", "vocab", "a"), "-1", GV_ERR_LIMIT, "-1");
	with(good, KEY("model", "vocab", "a"), "1048576", GV_ERR_LIMIT,
	    "1048576");
	with(good, KEY("model", "vocab", "a"), "9223372036854775807",
	    GV_ERR_LIMIT, "not between");
	with(good, KEY("model", "vocab", "a"), "1.5", GV_ERR_FORMAT,
	    "not a number");
	with(good, KEY("model", "merges"), "{}", GV_ERR_FORMAT, "not a list");
	with(good, KEY("model", "merges"), "[\"a b c\"]", GV_ERR_FORMAT,
	    "merge 0");
	with(good, KEY("model", "merges"), "[[\"a\"]]", GV_ERR_FORMAT,
	    "merge 0");
	with(good, KEY("model", "merges"), "[[\"a\", 7]]", GV_ERR_FORMAT,
	    "merge 0");
	with(good, KEY("model", "merges"), "[[\"q\", \"\\u00e9\"]]",
	    GV_ERR_FORMAT, "not in the vocabulary");
	with(good, KEY("normalizer"), "{\"type\": \"NFKC\"}", GV_ERR_NOSUP,
	    "normalizer 'NFKC'");
	with(good, KEY("pre_tokenizer"), "null", GV_ERR_NOSUP,
	    "without pre-tokenizer");
	with(good, KEY("pre_tokenizer"), "{\"type\": \"Metaspace\"}",
	    GV_ERR_NOSUP, "'Metaspace'");
	with(good, KEY("pre_tokenizer", "pretokenizers"), "[1, 2, 3]",
	    GV_ERR_NOSUP, "pre-tokenizer '?'");
	with(good, KEY("pre_tokenizer", "pretokenizers"), "[]", GV_ERR_NOSUP,
	    "of nothing");
	with(good, KEY("pre_tokenizer", "pretokenizers"),
	    "[{\"type\": \"Punctuation\"}, {\"type\": \"ByteLevel\"}]",
	    GV_ERR_NOSUP, "'Punctuation'");
	with(good, KEY("pre_tokenizer", "pretokenizers", "0", "behavior"),
	    "\"Removed\"", GV_ERR_NOSUP, "Removed");
	with(good, KEY("pre_tokenizer", "pretokenizers", "0", "invert"), "true",
	    GV_ERR_NOSUP, "invert");
	with(good, KEY("pre_tokenizer", "pretokenizers", "0", "pattern"),
	    "{\"String\": \"\"}", GV_ERR_NOSUP, "without a pattern");
	with(good, KEY("pre_tokenizer", "pretokenizers", "0", "pattern"),
	    "{\"Regex\": \"(\"}", GV_ERR_NOSUP, "split pattern");
	with(good,
	    KEY("pre_tokenizer", "pretokenizers", "1", "add_prefix_space"),
	    "true", GV_ERR_NOSUP, "add_prefix_space");
	with(good, KEY("decoder"), "{\"type\": \"WordPiece\"}", GV_ERR_NOSUP,
	    "decoder 'WordPiece'");
	with(good, KEY("added_tokens", "0", "lstrip"), "true", GV_ERR_NOSUP,
	    "lstrip");
	with(good, KEY("added_tokens", "0", "content"), "\"\"", GV_ERR_FORMAT,
	    "content");
	with(good, KEY("added_tokens", "0", "id"), "5", GV_ERR_FORMAT,
	    "id of another");
	with(good, KEY("added_tokens", "0", "id"), "-7", GV_ERR_LIMIT, "-7");
	with(good, KEY("added_tokens"), "[]", GV_OK, "");
}

/* Every damage must be refused or give a tokenizer that works. */
static void
damaged_files(const char *argv0)
{
	char path[MOST_PATH], *s, *m;
	struct gv_error e = {0};
	struct draw r = {2};
	int k, opened = 0;
	size_t n, i;

	must(gv_slurp(golden(path, argv0, "qwen2/tokenizer.json"), 1 << 20, &s,
		 &n, &e),
	    &e);
	m = malloc(n);
	if (!m)
		bail("damaged_files", "out of memory");
	in_scratch(path, "tokenizer.json");
	for (k = 0; k < 400; k++) {
		struct gv_tokenizer *t = NULL;
		struct gv_ids ids = {0};
		size_t len = n;

		memcpy(m, s, n);
		if (k % 4 == 0)
			len = draw(&r, (uint32_t)n);
		else
			for (i = 0; i <= draw(&r, 4); i++)
				m[draw(&r, (uint32_t)n)] =
				    k % 4 == 1
					? (char)draw(&r, 256)
					: "0123456789[]{},:\"ab"[draw(&r, 19)];
		write_file(path, m, len);
		gv_error_clear(&e);
		if (gv_tokenizer_open(&t, scratch, &e)) {
			if (!e.code || !*e.msg || strchr(e.msg, '\n'))
				ok(0, "damage %d: a bad message", k);
			continue;
		}
		opened++;
		must(gv_encode(t, "Hello <|im_start|>\n1", 20, true, &ids, &e),
		    &e);
		gv_ids_free(&ids);
		gv_tokenizer_close(&t);
	}
	ok(opened > 0 && opened < 300,
	    "400 damaged files: refused or working (%d)", opened);
	free(m);
	gv_free(s);
}

/* ---- the compiled form --------------------------------------------------- */

#define IMAGE ".gv-tokenizer"

/* A vocabulary that is worth compiling, for its blanks, and old enough. */
static void
large_vocabulary(const char *argv0)
{
	char path[MOST_PATH], *s, *big;
	struct timespec wait = {2, 100000000};
	struct gv_error e = {0};
	size_t n, pad = 1 << 20;

	must(gv_slurp(golden(path, argv0, "qwen2/tokenizer.json"), 1 << 20, &s,
		 &n, &e),
	    &e);
	big = malloc(n + pad);
	if (!big)
		bail("large_vocabulary", "out of memory");
	memset(big, ' ', pad);
	memcpy(big + pad, s, n);
	write_file(in_scratch(path, "tokenizer.json"), big, n + pad);
	gv_tokenizer_close(&(struct gv_tokenizer *){open_tokenizer(scratch)});
	ok(access(in_scratch(path, IMAGE), F_OK),
	    "a file that has just been written isn't compiled");
	nanosleep(&wait, NULL);
	free(big);
	gv_free(s);
}

/* Opens what is in the scratch directory; the hash of ids, 0 if it is refused.
 */
static uint64_t
opened_hash(const json_t *list)
{
	struct gv_tokenizer *t = NULL;
	struct gv_error e = {0};
	struct draw r = {5};
	uint64_t h = 0;
	int lost = 0;

	if (!gv_tokenizer_open(&t, scratch, &e))
		h = block(t, list, true, &r, &lost);
	gv_tokenizer_close(&t);
	return h;
}

/* Where the head of a compiled form has its checksum, and the sizes of the
 * tables. */
#define SIZES_AT 88
#define CRC_AT   16

static uint32_t
image_crc(const char *m, size_t n)
{
	return gv_crc(0, m + CRC_AT + 4, n - CRC_AT - 4);
}

/* Changes a byte, or one with the checksum made good, so that what checks the
 * numbers is reached. */
static void
damage_image(char *m, size_t n, bool sign, struct draw *r)
{
	uint32_t crc, at;

	if (!sign) {
		m[draw(r, (uint32_t)n)] ^= (char)(1 + draw(r, 255));
		return;
	}
	at = 20 + draw(r, (uint32_t)n - 20);
	if (draw(r, 2))
		at = SIZES_AT + draw(r, 150);
	m[at] = (char)draw(r, 256);
	crc = image_crc(m, n);
	memcpy(m + CRC_AT, &crc, 4);
}

static void
compiled(const char *argv0)
{
	json_t *list = golden_json(argv0, "nasty.json");
	char path[MOST_PATH], *good, *m;
	struct gv_error e = {0};
	struct draw r = {8};
	uint64_t want;
	uint32_t crc;
	size_t n, len;
	int k, wrong = 0, opened = 0;

	large_vocabulary(argv0);
	want = opened_hash(list);
	ok(want && !access(in_scratch(path, IMAGE), F_OK),
	    "opening makes the compiled form");
	must(gv_slurp(path, 1 << 26, &good, &n, &e), &e);
	ok(opened_hash(list) == want, "which gives the same ids");
	m = malloc(n);
	if (!m)
		bail("compiled", "out of memory");
	for (k = 0; k < 30; k++) {
		memcpy(m, good, n);
		len = k < 15 ? n : draw(&r, (uint32_t)n);
		if (k < 15)
			damage_image(m, n, false, &r);
		write_file(path, m, len);
		wrong += opened_hash(list) != want;
	}
	is_int(wrong, 0, "a damaged or cut one is not used");
	gv_free(good);
	must(gv_slurp(path, 1 << 26, &good, &n, &e), &e);
	crc = image_crc(good, n);
	ok(!memcmp(good + CRC_AT, &crc, 4), "its checksum is made as here");
	for (k = 0; k < 60; k++) {
		memcpy(m, good, n);
		damage_image(m, n, true, &r);
		write_file(path, m, n);
		opened += opened_hash(list) != 0;
	}
	is_int(opened, 60, "nor one whose numbers are out of bounds");
	write_file(path, good, n);
	write_file(in_scratch(path, "tokenizer.json"), "{}", 2);
	ok(!opened_hash(list), "nor one of another file");
	free(m);
	gv_free(good);
	json_decref(list);
}

/* Tokens that aren't spelled in bytes, which no text leads to: few, and more
 * than are read in place; and one of them twice, as JSON can spell it. */
static void
unreachable(const json_t *good)
{
	static const int many[] = {1, 64, 65, 500};
	static const char twice[] = "\"vocab\": {\"\\u4e2d\": 7000, "
				    "\"\xe4\xb8\xad\": 7001, ",
			  head[] = "\"vocab\": {";
	char path[MOST_PATH], key[16], *text, *at, *bad;
	struct gv_tokenizer *t;
	struct gv_error e = {0};
	json_t *o = json_deep_copy(good);
	json_t *vocab = json_object_get(json_object_get(o, "model"), "vocab");
	struct gv_ids ids = {0};
	const char *s;
	size_t i, n;
	int k, had = 0;

	for (i = 0; i < sizeof many / sizeof *many; i++) {
		for (k = had; k < many[i]; k++) {
			snprintf(key, sizeof key, "\xe4\xb8\xad%d", k);
			json_object_set_new(vocab, key, json_integer(5000 + k));
		}
		had = many[i];
		text = json_dumps(o, 0);
		write_file(
		    in_scratch(path, "tokenizer.json"), text, strlen(text));
		must(gv_tokenizer_open(&t, scratch, &e), &e);
		must(gv_encode(t, key, strlen(key), true, &ids, &e), &e);
		s = gv_token_bytes(t, 5000 + had - 1, &n);
		ok(gv_tokenizer_size(t) == 5000 + had && s &&
			n == strlen(key) && !memcmp(s, key, n) && ids.n > 1 &&
			ids.id[0] < 5000,
		    "%d tokens that no text leads to", had);
		gv_ids_free(&ids);
		gv_tokenizer_close(&t);
		at = strstr(text, head);
		if (!at || !(bad = malloc(strlen(text) + sizeof twice)))
			bail("unreachable", "no text to change");
		n = (size_t)(at - text);
		k = snprintf(bad, strlen(text) + sizeof twice, "%.*s%s%s",
		    (int)n, text, twice, at + strlen(head));
		write_file(path, bad, (size_t)k);
		ok(try_open(&e) == GV_ERR_FORMAT && strstr(e.msg, "duplicate"),
		    "one of them twice: %s", e.msg);
		gv_error_clear(&e);
		free(bad);
		free(text);
	}
	json_decref(o);
}

static void
missing_files(void)
{
	struct gv_error e = {0};
	char path[MOST_PATH];

	cleanup();
	ok(try_open(&e) == GV_ERR_SYS && strstr(e.msg, "tokenizer.json"),
	    "no directory: %s", e.msg);
	make_scratch();
	write_file(in_scratch(path, "tokenizer.json"), "", 0);
	ok(try_open(&e) == GV_ERR_FORMAT, "an empty file: %s", e.msg);
	write_file(path, "[1]", 3);
	ok(try_open(&e) == GV_ERR_FORMAT, "a list: %s", e.msg);
	write_file(path, "{\"model\":{},\"model\":{}}", 23);
	ok(try_open(&e) == GV_ERR_FORMAT, "a key twice: %s", e.msg);
}

int
main(int argc, char **argv)
{
	struct gv_tokenizer *t = by_name(argv[0], "qwen2");
	json_t *good = golden_json(argv[0], "qwen2/tokenizer.json");

	(void)argc;
	make_scratch();
	look_up(t);
	long_pieces(t, "qwen2");
	gv_tokenizer_close(&t);
	t = by_name(argv[0], "llama3"); /* no NFC: bytes are kept */
	bytes_back(t);
	gv_tokenizer_close(&t);
	t = by_name(argv[0], "regex");
	long_pieces(t, "PCRE2");
	gv_tokenizer_close(&t);
	t = by_name(argv[0], "llama2");
	characters(t);
	long_pieces(t, "llama2");
	gv_tokenizer_close(&t);
	threads(argv[0]);
	golden_cases(argv[0]);
	golden_blocks(argv[0]);
	wrong_files(good);
	damaged_files(argv[0]);
	compiled(argv[0]);
	unreachable(good);
	missing_files();
	cleanup();
	json_decref(good);
	return done();
}
