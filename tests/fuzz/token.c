/* Fuzz: encoding against the plain definition of BPE, for small vocabularies of
 * any merges, and back.
 *
 * Input: the way to cut, flags, how many merges there are, two bytes for each
 * (its sides among the tokens so far), the text.  The definition: the cut by
 * PCRE2, and in each piece always the pair of the lowest rank, the leftmost of
 * equals.
 */
#include "vocab.h"

#include "split.h"
#include "utf8.h"

#define MOST_TOKENS 1024
#define MOST_MERGES 255
#define MOST_TOKEN  64
#define MOST_TEXT   2048

enum { WHOLE = 1, NFC = 2, RANKS = 4, SPECIALS = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A vocabulary as the input says it. */
struct plain {
	char s[MOST_TOKENS][MOST_TOKEN];
	size_t len[MOST_TOKENS];
	int tokens;
	int side[MOST_MERGES][2], made[MOST_MERGES];
	int merges;
	const char *pattern;
	unsigned flags;
};

static int
find(const struct plain *v, const char *s, size_t n)
{
	int i;

	for (i = 0; i < v->tokens; i++)
		if (v->len[i] == n && !memcmp(v->s[i], s, n))
			return i;
	return -1;
}

/* Reads it; where the text begins.  A merge whose bytes are a token already
 * makes that one. */
static size_t
read_plain(struct plain *v, const uint8_t *data, size_t n)
{
	static const char *const pattern[] = {gv_split_qwen2, gv_split_gpt2,
	    gv_split_llama3, gv_split_smollm, gv_split_cl100k, gv_split_o200k};
	size_t at = 3;
	int b, k;

	for (b = 0; b < 256; b++) {
		v->s[b][0] = (char)b;
		v->len[b] = 1;
	}
	v->tokens = 256;
	v->merges = 0;
	v->pattern = pattern[data[0] % 6];
	v->flags = data[1];
	for (k = 0; k < data[2] && at + 2 <= n; k++, at += 2) {
		int l = data[at] < 128 || v->tokens == 256
			    ? data[at]
			    : 256 + (data[at] - 128) % (v->tokens - 256);
		int r = data[at + 1] < 128 || v->tokens == 256
			    ? data[at + 1]
			    : 256 + (data[at + 1] - 128) % (v->tokens - 256);
		size_t len = v->len[l] + v->len[r];
		int m;

		if (len > MOST_TOKEN)
			continue;
		memcpy(v->s[v->tokens], v->s[l], v->len[l]);
		memcpy(v->s[v->tokens] + v->len[l], v->s[r], v->len[r]);
		m = find(v, v->s[v->tokens], len);
		if (m < 0) {
			m = v->tokens++;
			v->len[m] = len;
		}
		v->side[v->merges][0] = l;
		v->side[v->merges][1] = r;
		v->made[v->merges++] = m;
	}
	return at < n ? at : n;
}

/* ---- the definition ------------------------------------------------------ */

/* The rank of a pair and what it becomes; -1 if it is none.  Of two merges of
 * one pair the later counts. */
static int
rank_of(const struct plain *v, int a, int b, int *made)
{
	char s[2 * MOST_TOKEN];
	int k;

	if (v->flags & RANKS) {
		memcpy(s, v->s[a], v->len[a]);
		memcpy(s + v->len[a], v->s[b], v->len[b]);
		*made = find(v, s, v->len[a] + v->len[b]);
		return *made;
	}
	for (k = v->merges; k-- > 0;)
		if (v->side[k][0] == a && v->side[k][1] == b) {
			*made = v->made[k];
			return k;
		}
	return -1;
}

static size_t
merge(const struct plain *v, const char *s, size_t n, int32_t *id)
{
	int rank[MOST_TEXT], made[MOST_TEXT], whole = find(v, s, n);
	size_t i, best, k = n;

	if (whole >= 0 && v->flags & (WHOLE | RANKS)) {
		*id = whole;
		return 1;
	}
	for (i = 0; i < n; i++)
		id[i] = (unsigned char)s[i];
	for (i = 0; i + 1 < k; i++)
		rank[i] = rank_of(v, id[i], id[i + 1], &made[i]);
	for (;;) {
		for (best = k, i = 0; i + 1 < k; i++)
			if (rank[i] >= 0 && (best == k || rank[i] < rank[best]))
				best = i;
		if (best == k)
			return k;
		id[best] = made[best];
		k--;
		for (i = best + 1; i < k; i++) {
			id[i] = id[i + 1];
			rank[i] = rank[i + 1];
			made[i] = made[i + 1];
		}
		if (best + 1 < k)
			rank[best] =
			    rank_of(v, id[best], id[best + 1], &made[best]);
		if (best)
			rank[best - 1] =
			    rank_of(v, id[best - 1], id[best], &made[best - 1]);
	}
}

static size_t
encode_plainly(const struct plain *v, const char *s, size_t n, int32_t *id)
{
	static struct gv_split *cut[6]; /* kept: compiling takes long */
	static const char *of[6];
	struct gv_error e = {0};
	struct gv_splitter w;
	char group[800];
	size_t at, end, k = 0;
	int i, got;

	for (i = 0; i < 5 && cut[i] && of[i] != v->pattern; i++)
		;
	if (!cut[i]) {
		/* a pattern in a group is not known by hand */
		snprintf(group, sizeof group, "(?:%s)", v->pattern);
		must(!gv_split_open(&cut[i], group, &e));
		of[i] = v->pattern;
	}
	must(!gv_splitter_open(&w, cut[i], s, n, &e));
	while ((got = gv_splitter_next(&w, &at, &end, &e)) > 0)
		k += merge(v, s + at, end - at, id + k);
	must(!got);
	gv_splitter_close(&w);
	return k;
}

/* ---- the library's ------------------------------------------------------- */

static size_t
spell(const struct plain *v, char *to, int id)
{
	size_t i, n = 0;

	for (i = 0; i < v->len[id]; i++)
		n += spell_byte(to + n, (unsigned char)v->s[id][i]);
	return n;
}

static const char *
write_json(const struct plain *v)
{
	static char s[4 << 20];
	char *p = s;
	int i;

	p += sprintf(p,
	    "{\"normalizer\":%s,\"pre_tokenizer\":{\"type\":\"Sequence\","
	    "\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"",
	    v->flags & NFC ? "{\"type\":\"NFC\"}" : "null");
	for (i = 0; v->pattern[i]; i++) {
		if (v->pattern[i] == '\\')
			*p++ = '\\';
		*p++ = v->pattern[i];
	}
	p += sprintf(p,
	    "\"},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":"
	    "\"ByteLevel\",\"use_regex\":false}]},\"added_tokens\":[{\"id\":%d,"
	    "\"content\":\"<s>\",\"special\":true}],\"model\":{\"type\":"
	    "\"BPE\",\"ignore_merges\":%s,\"vocab\":{",
	    v->tokens, v->flags & WHOLE ? "true" : "false");
	for (i = 0; i < v->tokens; i++) {
		p += sprintf(p, "%s\"", i ? "," : "");
		p += spell(v, p, i);
		p += sprintf(p, "\":%d", i);
	}
	p += sprintf(p, "},\"merges\":[");
	for (i = 0; i < v->merges; i++) {
		p += sprintf(p, "%s[\"", i ? "," : "");
		p += spell(v, p, v->side[i][0]);
		p += sprintf(p, "\",\"");
		p += spell(v, p, v->side[i][1]);
		p += sprintf(p, "\"]");
	}
	p += sprintf(p, "]}}");
	must(p < s + sizeof s);
	put_file("tokenizer.json", s, (size_t)(p - s));
	return "";
}

/* tiktoken's form; its pattern is GPT-2's, by the file's name. */
static const char *
write_ranks(const struct plain *v)
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	static char s[1 << 20];
	char *p = s;
	size_t at, k;
	int i;

	for (i = 0; i < v->tokens; i++) {
		for (at = 0; at < v->len[i]; at += 3) {
			uint32_t w = 0;
			size_t left = v->len[i] - at;

			for (k = 0; k < 3; k++)
				w = w << 8 |
				    (k < left ? (uint8_t)v->s[i][at + k] : 0);
			for (k = 0; k < 4; k++)
				*p++ = k > left ? '='
						: digit[w >> (18 - 6 * k) & 63];
		}
		p += sprintf(p, " %d\n", i);
	}
	put_file("r50k_base.tiktoken", s, (size_t)(p - s));
	return "r50k_base.tiktoken";
}

/* Encoding as by the definition, where the text is UTF-8 and nobody changes
 * it; decoding gives it back, in NFC where that was asked for. */
static void
compare(const struct plain *v, const struct gv_tokenizer *t, const char *s,
    size_t n)
{
	static int32_t want[MOST_TEXT];
	struct gv_error e = {0};
	struct gv_ids ids = {0};
	char *back, *normal = NULL;
	size_t k, len = n;
	bool specials = v->flags & SPECIALS;

	must(!gv_encode(t, s, n, specials, &ids, &e));
	must(!gv_decode(t, ids.id, ids.n, true, &back, &k, &e));
	if (v->flags & NFC && !(v->flags & RANKS))
		must(!gv_nfc(s, n, &normal, &len, &e));
	if (!normal)
		len = n;
	/* an added token is not normalised, nor is what meets beside it */
	if (!memmem(s, n, "<s>", 3) || !specials || !normal)
		must(k == len && (!k || !memcmp(back, normal ? normal : s, k)));
	if (len <= MOST_TEXT && gv_utf8_check(s, n) == n &&
	    !memmem(s, n, "<s>", 3)) {
		k = encode_plainly(v, normal ? normal : s, len, want);
		must(k == ids.n &&
		     (!k || !memcmp(want, ids.id, k * sizeof *want)));
	}
	gv_free(normal);
	gv_free(back);
	gv_ids_free(&ids);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct plain v;
	struct gv_tokenizer *t = NULL;
	struct gv_error e = {0};
	const char *name;
	size_t at;

	if (n < 3 || n > MOST_TEXT)
		return 0;
	at = read_plain(&v, data, n);
	if (v.flags & RANKS)
		v.pattern = gv_split_gpt2;
	name = v.flags & RANKS ? write_ranks(&v) : write_json(&v);
	must(!open_work(&t, name, &e));
	compare(&v, t, (const char *)data + at, n - at);
	gv_tokenizer_close(&t);
	return 0;
}
