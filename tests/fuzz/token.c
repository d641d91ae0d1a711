/* Fuzz: encoding against the plain definition of BPE, for small vocabularies of
 * any merges, of every family, and back.
 *
 * Input: the family, flags, how many merges there are, two bytes for each (its
 * sides among the tokens so far), the text.  The definition: added tokens by
 * trying all of them at each place, the cut by PCRE2, and in each piece always
 * the pair of the lowest rank, the leftmost of equals.  Its normalisers are the
 * library's, which are tested elsewhere.
 */
#include "vocab.h"

#include "split.h"
#include "token_impl.h"
#include "utf8.h"

#define MOST_TOKENS 1024
#define MOST_MERGES 255
#define MOST_TOKEN  64
#define MOST_TEXT   2048
#define MOST_IDS    (4 * MOST_TEXT) /* of a text that normalising may grow */

enum {
	WHOLE = 1, /* ignore_merges */
	NFC = 2,
	RANKS = 4, /* tiktoken's form, where it is of bytes */
	SPECIALS = 8,
	STRIP = 16,
	GOES_ON = 32 /* gv_encode_on() */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* How text is cut, and into what. */
static const struct family {
	enum { BYTES, MARKS, CLIP } kind;
	enum gv_prefix prefix; /* of marks */
	const char *pattern;
	bool digits; /* first each digit alone, by a pre-tokeniser before it */
} families[] = {
    {.pattern = gv_split_qwen2},
    {.pattern = gv_split_gpt2},
    {.pattern = gv_split_llama3},
    {.pattern = gv_split_smollm},
    {.pattern = gv_split_cl100k},
    {.pattern = gv_split_o200k},
    {.pattern = gv_split_gpt2, .digits = true},
    {.pattern = "\\p{N}{1,3}|[^\\s\\p{L}\\p{N}]+|\\p{L}+|\\s+(?!\\S)|\\s+"},
    {MARKS, GV_PREFIX_NONE, NULL, false},
    {MARKS, GV_PREFIX_NORMAL, NULL, false},
    {MARKS, GV_PREFIX_ALWAYS, NULL, false},
    {MARKS, GV_PREFIX_FIRST, NULL, false},
    {CLIP, GV_PREFIX_NONE,
	"'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+",
	false},
};
#define FAMILIES (sizeof families / sizeof *families)
#define BY_HAND  7 /* the first so many are cut without PCRE2 */

/* Found in the text as it comes, or once it is normalised.  Of the second only
 * vocabularies of bytes in a tokenizer.json have some. */
static const struct added {
	const char *text;
	bool normal, special;
} added[] = {{"<s>", false, true}, {"<s>>", false, true}, {"<n>", true, false},
    {"s>a", true, false}};
#define ADDED (sizeof added / sizeof *added)

/* A vocabulary as the input says it. */
struct plain {
	char s[MOST_TOKENS][MOST_TOKEN];
	size_t len[MOST_TOKENS];
	bool end[MOST_TOKENS]; /* CLIP's, of a word */
	int tokens, symbols, first; /* the symbols merges begin with */
	int side[MOST_MERGES][2], made[MOST_MERGES];
	int merges;
	const struct family *family;
	unsigned flags;
};

static bool
has_normal(const struct plain *v)
{
	return v->family->kind == BYTES && !(v->flags & RANKS);
}

/* The token that text leads to. */
static int
find(const struct plain *v, const char *s, size_t n, bool end)
{
	int i;

	for (i = v->first; i < v->tokens; i++)
		if (v->len[i] == n && v->end[i] == end &&
		    !memcmp(v->s[i], s, n))
			return i;
	return -1;
}

static void
put_token(struct plain *v, const char *s, size_t n, bool end)
{
	memcpy(v->s[v->tokens], s, n);
	v->len[v->tokens] = n;
	v->end[v->tokens++] = end;
}

/* Bytes, of which no text leads to SentencePiece's; and its characters, or the
 * bytes that end CLIP's words. */
static void
put_symbols(struct plain *v)
{
	static const char *const wide[] = {
	    "\xc3\xa9", "\xcc\x81", "\xe4\xb8\xad", "\xf0\x9f\x99\x82", "\t"};
	int b;
	char c;

	v->tokens = 0;
	for (b = 0; b < 256; b++)
		put_token(v, (c = (char)b, &c), 1, false);
	v->first = v->family->kind == MARKS ? 256 : 0;
	for (b = 0; v->family->kind == CLIP && b < 256; b++)
		put_token(v, (c = (char)b, &c), 1, true);
	if (v->family->kind == MARKS) {
		for (b = 0; b < 5; b++)
			put_token(v, wide[b], strlen(wide[b]), false);
		for (b = ' '; b < 127; b++)
			put_token(v, (c = (char)b, &c), 1, false);
	}
	v->symbols = v->tokens;
}

/* The side of a merge that a byte says. */
static int
side(const struct plain *v, uint8_t b)
{
	if (b >= 128 && v->tokens > v->symbols)
		return v->symbols + (b - 128) % (v->tokens - v->symbols);
	if (v->family->kind == CLIP) /* no blank, which ends words in here */
		return b > ' ' ? b : 256 + 'a' + b % 26;
	return v->family->kind == BYTES ? b : 256 + b % (v->symbols - v->first);
}

/* Reads it; where the text begins.  A merge whose bytes are a token already
 * makes that one. */
static size_t
read_plain(struct plain *v, const uint8_t *data, size_t n)
{
	size_t at = 3;
	char s[2 * MOST_TOKEN];
	int k;

	v->family = &families[data[0] % FAMILIES];
	v->flags = data[1];
	if (v->family->kind != BYTES || v->family->digits)
		v->flags &= ~(unsigned)RANKS;
	put_symbols(v);
	v->merges = 0;
	for (k = 0; k < data[2] && at + 2 <= n; k++, at += 2) {
		int l = side(v, data[at]), r = side(v, data[at + 1]), m;
		size_t len = v->len[l] + v->len[r];

		if (len > MOST_TOKEN || v->end[l])
			continue;
		memcpy(s, v->s[l], v->len[l]);
		memcpy(s + v->len[l], v->s[r], v->len[r]);
		m = find(v, s, len, v->end[r]);
		if (m < 0) {
			m = v->tokens;
			put_token(v, s, len, v->end[r]);
		}
		v->side[v->merges][0] = l;
		v->side[v->merges][1] = r;
		v->made[v->merges++] = m;
	}
	return at < n ? at : n;
}

/* ---- the definition: merging --------------------------------------------- */

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
		*made = find(v, s, v->len[a] + v->len[b], false);
		return *made;
	}
	for (k = v->merges; k-- > 0;)
		if (v->side[k][0] == a && v->side[k][1] == b) {
			*made = v->made[k];
			return k;
		}
	return -1;
}

/* What merging begins with. */
static size_t
symbols_of(const struct plain *v, const char *s, size_t n, int32_t *id)
{
	size_t i, len = 1, k = 0;
	uint32_t c;

	for (i = 0; i < n; i += len) {
		int found = -1;

		if (v->family->kind == MARKS) {
			len = gv_utf8_next(s + i, n - i, &c);
			found = find(v, s + i, len, false);
		}
		if (found >= 0)
			id[k++] = found;
		for (c = 0; found < 0 && c < len; c++)
			id[k++] = (unsigned char)s[i + c];
	}
	if (v->family->kind == CLIP && k)
		id[k - 1] += 256;
	return k;
}

static size_t
merge(const struct plain *v, const char *s, size_t n, int32_t *id)
{
	static int rank[MOST_IDS], made[MOST_IDS];
	int whole = v->flags & (WHOLE | RANKS)
			? find(v, s, n, v->family->kind == CLIP)
			: -1;
	size_t i, best, k;

	if (whole >= 0) {
		*id = whole;
		return 1;
	}
	k = symbols_of(v, s, n, id);
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

/* ---- the definition: cutting --------------------------------------------- */

/* The ids under construction. */
struct ids {
	int32_t id[MOST_IDS];
	size_t n;
};

/* Kept, as compiling takes long.  A pattern in a group is not known by hand. */
static const struct gv_split *
split_of(const char *pattern)
{
	static struct gv_split *cut[FAMILIES + 1];
	static const char *of[FAMILIES + 1];
	struct gv_error e = {0};
	char group[800];
	size_t i;

	for (i = 0; i < FAMILIES && cut[i] && of[i] != pattern; i++)
		;
	if (!cut[i]) {
		snprintf(group, sizeof group, "(?:%s)", pattern);
		must(!gv_split_open(&cut[i], group, &e));
		of[i] = pattern;
	}
	return cut[i];
}

/* Merges the pieces that a pattern cuts the text into; `clean` is the text with
 * a character that is neither letter, number nor space for each bad byte, and
 * from[i] where byte i of it is from. */
static void
cut_by(const struct plain *v, const char *pattern, bool digits, const char *s,
    const char *clean, const size_t *from, size_t n, struct ids *to)
{
	static const char digit[] = "\\p{N}";
	struct gv_error e = {0};
	struct gv_splitter w;
	size_t at, end;
	int got;

	must(!gv_splitter_open(
	    &w, split_of(digits ? digit : pattern), clean, n, &e));
	while ((got = gv_splitter_next(&w, &at, &end, &e)) > 0) {
		size_t len = from[end] - from[at];
		uint32_t c;

		if (digits) {
			cut_by(v, pattern, false, s, clean + at, from + at,
			    end - at, to);
			continue;
		}
		gv_utf8_next(clean + at, end - at, &c);
		if (v->family->kind != CLIP ||
		    gv_utf8_class(c) != GV_CLASS_SPACE)
			to->n += merge(v, s + from[at], len, to->id + to->n);
	}
	must(!got);
	gv_splitter_close(&w);
}

static void
cut(const struct plain *v, const char *s, size_t n, struct ids *to)
{
	static const char none[4] = "\xf4\x8f\xbf\xbf";
	static char clean[4 * MOST_IDS];
	static size_t from[4 * MOST_IDS + 1];
	size_t i, len, k = 0, b;
	uint32_t c;

	for (i = 0; i < n; i += len) {
		len = gv_utf8_next(s + i, n - i, &c);
		memcpy(clean + k, c == GV_UTF8_BAD ? none : s + i,
		    c == GV_UTF8_BAD ? 4 : len);
		for (b = 0; b < (c == GV_UTF8_BAD ? 4 : len); b++)
			from[k++] = i;
	}
	from[k] = n;
	cut_by(v, v->family->pattern, v->family->digits, s, clean, from, k, to);
}

/* The blanks of SentencePiece. */
static size_t
mark(const struct plain *v, const char *s, size_t n, bool first, char *to)
{
	enum gv_prefix how = v->family->prefix;
	bool blank = n && (*s == ' ' || (n > 2 && !memcmp(s, "\u2581", 3)));
	size_t i, k = 0;

	if (n && (how == GV_PREFIX_NORMAL ||
		     (!blank && (how == GV_PREFIX_ALWAYS ||
				    (how == GV_PREFIX_FIRST && first)))))
		to[k++] = ' ';
	for (i = 0; i < n; i++, k++)
		if (n - i > 2 && !memcmp(s + i, "\u2581", 3)) {
			to[k] = ' ';
			i += 2;
		} else {
			to[k] = s[i];
		}
	return k;
}

/* A stretch between added tokens. */
static void
last_stretch(
    const struct plain *v, const char *s, size_t n, bool first, struct ids *to)
{
	static char marked[MOST_IDS];

	if (v->family->kind != MARKS) {
		cut(v, s, n, to);
	} else {
		n = mark(v, s, n, first, marked);
		to->n += merge(v, marked, n, to->id + to->n);
	}
}

static char *
normalise(const struct plain *v, const char *s, size_t n, size_t *len)
{
	struct gv_error e = {0};
	char *out = NULL;

	*len = n;
	if (v->family->kind == CLIP)
		must(!gv_clip_normal(s, n, &out, len, &e));
	else if (v->flags & NFC && has_normal(v))
		must(!gv_nfc(s, n, &out, len, &e));
	if (!out)
		*len = n;
	return out;
}

/* The added token of a set that is at s[0..n), the longest; ADDED: none. */
static size_t
added_at(const struct plain *v, bool normal, const char *s, size_t n)
{
	size_t i, best = ADDED;

	for (i = 0; i < ADDED; i++) {
		size_t len = strlen(added[i].text);

		if (added[i].normal == normal && (!normal || has_normal(v)) &&
		    len <= n && !memcmp(added[i].text, s, len) &&
		    (best == ADDED || len > strlen(added[best].text)))
			best = i;
	}
	return best;
}

/* Cuts at the added tokens of a set; what is between is normalised and cut at
 * those of the other, or it was. */
static void
stretches(const struct plain *v, bool normal, const char *s, size_t n,
    bool first, struct ids *to)
{
	size_t at, from = 0, k, len;
	char *norm;

	for (at = 0; at <= n; at++) {
		k = at < n ? added_at(v, normal, s + at, n - at) : ADDED;
		if (at < n && k == ADDED)
			continue;
		len = k == ADDED ? 0 : strlen(added[k].text);
		if (len && added[k].special && !(v->flags & SPECIALS)) {
			at += len - 1;
			continue;
		}
		if (normal) {
			last_stretch(v, s + from, at - from, first, to);
		} else {
			size_t bytes;

			norm = normalise(v, s + from, at - from, &bytes);
			stretches(
			    v, true, norm ? norm : s + from, bytes, first, to);
			gv_free(norm);
		}
		if (len)
			to->id[to->n++] = v->tokens + (int32_t)k;
		first = false;
		from = at + len;
		at = len ? from - 1 : at;
	}
}

/* ---- the library's ------------------------------------------------------- */

/* A token as JSON text. */
static size_t
spell(const struct plain *v, char *to, int id)
{
	size_t i, n = 0;

	if (v->family->kind == MARKS && id < v->first)
		return (size_t)sprintf(to, "<0x%02X>", (unsigned)id);
	for (i = 0; i < v->len[id]; i++)
		if (v->family->kind != MARKS)
			n += spell_byte(to + n, (unsigned char)v->s[id][i]);
		else if (v->s[id][i] == ' ')
			n += (size_t)sprintf(to + n, "\\u2581");
		else if (v->s[id][i] & 0x80)
			to[n++] = v->s[id][i];
		else
			n += (size_t)sprintf(
			    to + n, "\\u%04x", (unsigned)v->s[id][i]);
	if (v->end[id])
		n += (size_t)sprintf(to + n, "</w>");
	return n;
}

static char *
put_pattern(char *p, const char *pattern)
{
	for (; *pattern; pattern++) {
		if (*pattern == '\\')
			*p++ = '\\';
		*p++ = *pattern;
	}
	return p;
}

/* What stands around the model. */
static char *
put_rules(const struct plain *v, char *p)
{
	static const char *const scheme[] = {
	    "\"never\"", "", "\"always\"", "\"first\""};
	const struct family *f = v->family;

	if (f->kind == MARKS) {
		p += sprintf(p,
		    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{"
		    "\"type\":\"Replace\",\"pattern\":{\"String\":\"\u2581\"},"
		    "\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":"
		    "\"Fuse\"}%s]},",
		    v->flags & STRIP ? ",{\"type\":\"Strip\",\"content\":\" \","
				       "\"start\":1,\"stop\":0}"
				     : "");
		if (f->prefix == GV_PREFIX_NORMAL)
			return p +
			       sprintf(p,
				   "\"normalizer\":{\"type\":\"Sequence\","
				   "\"normalizers\":[{\"type\":\"Prepend\","
				   "\"prepend\":\"\u2581\"},{\"type\":"
				   "\"Replace\",\"pattern\":{\"String\":\" \"},"
				   "\"content\":\"\u2581\"}]},");
		return p +
		       sprintf(p,
			   "\"pre_tokenizer\":{\"type\":\"Metaspace\","
			   "\"replacement\":\"\u2581\",\"prepend_scheme\":%s,"
			   "\"split\":false},",
			   scheme[f->prefix]);
	}
	if (f->kind == CLIP)
		p += sprintf(p,
		    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":["
		    "{\"type\":\"NFC\"},{\"type\":\"Replace\",\"pattern\":{"
		    "\"Regex\":\"\\\\s+\"},\"content\":\" \"},{\"type\":"
		    "\"Lowercase\"}]},");
	else if (v->flags & NFC)
		p += sprintf(p, "\"normalizer\":{\"type\":\"NFC\"},");
	p += sprintf(p, "\"pre_tokenizer\":{\"type\":\"Sequence\","
			"\"pretokenizers\":[");
	if (f->digits)
		return p + sprintf(p,
			       "{\"type\":\"Digits\",\"individual_digits\":"
			       "true},{\"type\":\"ByteLevel\"}]},");
	p += sprintf(p, "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"");
	p = put_pattern(p, f->pattern);
	return p + sprintf(p,
		       "\"},\"behavior\":\"%s\",\"invert\":%s},{\"type\":"
		       "\"ByteLevel\",\"use_regex\":%s}]},",
		       f->kind == CLIP ? "Removed" : "Isolated",
		       f->kind == CLIP ? "true" : "false",
		       f->kind == CLIP ? "true" : "false");
}

static char *
put_added(const struct plain *v, char *p)
{
	size_t i, n = 0;

	p += sprintf(p, "\"added_tokens\":[");
	for (i = 0; i < ADDED; i++)
		if (!added[i].normal || has_normal(v))
			p += sprintf(p,
			    "%s{\"id\":%d,\"content\":\"%s\",\"special\":%s,"
			    "\"normalized\":%s}",
			    n++ ? "," : "", v->tokens + (int)i, added[i].text,
			    added[i].special ? "true" : "false",
			    added[i].normal ? "true" : "false");
	return p + sprintf(p, "],");
}

static const char *
write_json(const struct plain *v)
{
	static char s[4 << 20];
	char *p = s;
	int i;

	*p++ = '{';
	p = put_added(v, put_rules(v, p));
	p += sprintf(p,
	    "\"model\":{\"type\":\"BPE\",\"ignore_merges\":%s,"
	    "\"byte_fallback\":%s,%s\"vocab\":{",
	    v->flags & WHOLE ? "true" : "false",
	    v->family->kind == MARKS ? "true" : "false",
	    v->family->kind == CLIP ? "\"end_of_word_suffix\":\"</w>\"," : "");
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

/* tiktoken's form, and beside it what its code would say. */
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
	put_file("v.tiktoken", s, (size_t)(p - s));
	p = s + sprintf(s, "{\"tiktoken\":{\"pat_str\":\"");
	p = put_pattern(p, v->family->pattern);
	p += sprintf(p, "\",\"special_tokens\":{\"%s\":%d,\"%s\":%d}}}",
	    added[0].text, v->tokens, added[1].text, v->tokens + 1);
	put_file("tokenizer_config.json", s, (size_t)(p - s));
	return "v.tiktoken";
}

/* Decoding is to say the tokens' bytes, with a blank behind CLIP's words, and
 * without SentencePiece's in front. */
static void
compare_text(const struct plain *v, const struct gv_tokenizer *t,
    const struct gv_ids *ids, const char *s, size_t n)
{
	static char want[MOST_IDS * MOST_TOKEN];
	struct gv_error e = {0};
	size_t i, len, k = 0;
	char *back;

	for (i = 0; i < ids->n; i++) {
		int32_t id = ids->id[i];
		const char *from =
		    id < v->tokens ? v->s[id] : added[id - v->tokens].text;

		len = id < v->tokens ? v->len[id] : strlen(from);
		memcpy(want + k, from, len);
		k += len;
		if (id < v->tokens && v->end[id])
			want[k++] = ' ';
	}
	if (v->family->kind == CLIP && k && want[k - 1] == ' ')
		k--;
	i = v->family->kind == MARKS && v->flags & STRIP && k && *want == ' ';
	must(!gv_decode(t, ids->id, ids->n, true, &back, &len, &e));
	must(len == k - i && !memcmp(back, want + i, len));
	/* nothing changes the text but a normaliser */
	if (v->family->kind == BYTES && (v->flags & (NFC | RANKS)) != NFC)
		must(len == n && !memcmp(back, s, n));
	gv_free(back);
}

/* Where PCRE2 cuts for the library, too, what isn't UTF-8 is a piece between
 * its matches. */
static bool
is_defined(const struct plain *v, const char *s, size_t n)
{
	return v->family->kind != BYTES || v->family < &families[BY_HAND] ||
	       gv_utf8_check(s, n) == n;
}

static void
compare(const struct plain *v, const struct gv_tokenizer *t, const char *s,
    size_t n)
{
	static struct ids want;
	struct gv_error e = {0};
	struct gv_ids ids = {0};
	bool specials = v->flags & SPECIALS, on = v->flags & GOES_ON;

	must(!(on ? gv_encode_on : gv_encode)(t, s, n, specials, &ids, &e));
	if (is_defined(v, s, n)) {
		want.n = 0;
		stretches(v, false, s, n, !on, &want);
		must(want.n == ids.n);
		must(
		    !ids.n || !memcmp(want.id, ids.id, ids.n * sizeof *ids.id));
	}
	compare_text(v, t, &ids, s, n);
	gv_ids_free(&ids);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct plain v;
	struct gv_tokenizer *t = NULL;
	struct gv_error e = {0};
	char path[128];
	size_t at;

	if (n < 3 || n > MOST_TEXT)
		return 0;
	at = read_plain(&v, data, n);
	must(!open_work(
	    &t, v.flags & RANKS ? write_ranks(&v) : write_json(&v), &e));
	unlink(in_work(path, "tokenizer_config.json"));
	compare(&v, t, (const char *)data + at, n - at);
	gv_tokenizer_close(&t);
	return 0;
}
