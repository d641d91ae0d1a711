/* Finding vocabulary and merges in the text of a tokenizer.json.
 *
 * A vocabulary of 150,000 tokens is 300,000 strings, which a parser that
 * builds a tree spends most of a second on.  Here they are read in place; the
 * rest of the file, a hundredth, goes through the tree parser.  Whatever isn't
 * plainly as it should be is left to that parser, too, so there is one judge
 * of what is JSON and one source of messages.
 */
#include "token_impl.h"

#include "json.h"
#include "mem.h"
#include "utf8.h"
#include "banned.h"

static const char *
blank(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
		p++;
	return p;
}

bool
gv_scan_char(const char **p, const char *end, char want)
{
	*p = blank(*p, end);
	if (*p == end || **p != want)
		return false;
	++*p;
	return true;
}

/* The end of the string whose first quote is at p, behind its last; or NULL. */
static const char *
string_end(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\')
			p++;
	return p < end ? p + 1 : NULL;
}

/* ---- strings and numbers ------------------------------------------------- */

static bool
hex4(const char **p, const char *end, uint32_t *v)
{
	int i;

	if (end - *p < 4)
		return false;
	for (*v = 0, i = 0; i < 4; i++, ++*p) {
		char c = **p, l = (char)(c | 0x20);

		if (c >= '0' && c <= '9')
			*v = *v << 4 | (uint32_t)(c - '0');
		else if (l >= 'a' && l <= 'f')
			*v = *v << 4 | (uint32_t)(l - 'a' + 10);
		else
			return false;
	}
	return true;
}

/* What follows a backslash; *c is not 0 and no half of a pair. */
static bool
escape(const char **p, const char *end, uint32_t *c)
{
	static const char name[] = "\"\\/bfnrt", is[] = "\"\\/\b\f\n\r\t";
	const char *at;
	uint32_t low;

	if (*p == end || !**p)
		return false;
	if (**p != 'u') {
		at = strchr(name, *(*p)++);
		*c = at ? (unsigned char)is[at - name] : 0;
		return at != NULL;
	}
	++*p;
	if (!hex4(p, end, c))
		return false;
	if (*c < 0xd800 || *c > 0xdfff)
		return *c != 0;
	if (*c > 0xdbff || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
		return false;
	*p += 2;
	if (!hex4(p, end, &low) || low < 0xdc00 || low > 0xdfff)
		return false;
	*c = 0x10000 + ((*c & 0x3ff) << 10 | (low & 0x3ff));
	return true;
}

bool
gv_scan_string(
    const char **pp, const char *end, char *buf, const char **s, size_t *n)
{
	const char *p = blank(*pp, end), *from;
	size_t k = 0, len;
	bool copied = false;
	uint32_t c;

	if (p == end || *p++ != '"')
		return false;
	for (from = p; p < end && *p != '"';) {
		if (!copied && *p >= 0x20 && *p != '\\') {
			k++; /* ASCII, as most is */
			p++;
			continue;
		}
		len = gv_utf8_next(p, (size_t)(end - p), &c);
		if (c == GV_UTF8_BAD || c < 0x20)
			return false;
		if (c != '\\') {
			if (copied && k + len > GV_MAX_TOKEN)
				return false;
			if (copied)
				memcpy(buf + k, p, len);
			k += len;
			p += len;
			continue;
		}
		if (k + 4 > GV_MAX_TOKEN)
			return false;
		if (!copied)
			memcpy(buf, from, k);
		copied = true;
		p++;
		if (!escape(&p, end, &c))
			return false;
		k += gv_utf8_put(c, buf + k);
	}
	if (p == end)
		return false;
	*pp = p + 1;
	*s = copied ? buf : from;
	*n = k;
	return true;
}

/* Whole numbers of at most 18 digits, as JSON spells them. */
bool
gv_scan_number(const char **pp, const char *end, int64_t *v)
{
	const char *p = blank(*pp, end), *from;
	bool minus = p < end && *p == '-';

	p += minus;
	from = p;
	for (*v = 0; p < end && *p >= '0' && *p <= '9' && p - from < 18; p++)
		*v = *v * 10 + (*p - '0');
	if (p == from || (*from == '0' && p - from > 1) ||
	    (p < end && (*p == '.' || *p == 'e' || *p == 'E' ||
			    (*p >= '0' && *p <= '9'))))
		return false;
	if (minus)
		*v = -*v;
	*pp = p;
	return true;
}

int
gv_scan_refuse(struct gv_error *e)
{
	return gv_fail(e, GV_ERR_FORMAT, "not plain");
}

/* ---- finding ------------------------------------------------------------- */

/* The end of the value at p; brackets are counted, nothing is judged. */
static const char *
value_end(const char *p, const char *end)
{
	static const bool stops[256] = {['"'] = true,
	    ['{'] = true,
	    ['}'] = true,
	    ['['] = true,
	    [']'] = true,
	    [','] = true};
	int depth = 0;

	for (; p < end; p++) {
		if (!stops[(unsigned char)*p])
			continue;
		if (*p == '"') {
			p = string_end(p, end);
			if (!p)
				return NULL;
			p--;
		} else if (*p == '{' || *p == '[') {
			depth++;
			continue;
		} else if (!depth) {
			return p;
		} else if (*p == ',') {
			continue;
		} else {
			depth--;
		}
		if (!depth)
			return p + 1;
	}
	return NULL;
}

/* The next key of the object that *p is in, and *p at its value.  False at the
 * object's end, and for what isn't like that. */
static bool
next_key(const char **p, const char *end, const char **key, size_t *n)
{
	const char *q = blank(*p, end);

	if (q < end && *q == ',')
		q = blank(q + 1, end);
	if (q == end || *q != '"')
		return false;
	*key = q + 1;
	q = string_end(q, end);
	if (!q)
		return false;
	*n = (size_t)(q - *key) - 1;
	if (!gv_scan_char(&q, end, ':'))
		return false;
	*p = blank(q, end);
	return *p < end;
}

static bool
is_key(const char *key, size_t n, const char *want)
{
	return n == strlen(want) && !memcmp(key, want, n);
}

/* Where the tables are, and how many of each. */
struct tables {
	struct gv_token_text *x;
	int vocabs, merges;
};

/* Those of the model that *p is in, and *p behind it. */
static bool
find_in_model(struct tables *t, const char **p, const char *end)
{
	const char *key, *v;
	size_t n;

	while (next_key(p, end, &key, &n)) {
		v = *p;
		*p = value_end(v, end);
		if (!*p)
			return false;
		if (is_key(key, n, "vocab") && *v == '{') {
			t->x->vocab = v;
			t->x->vocab_bytes = (size_t)(*p - v);
			t->vocabs++;
		} else if (is_key(key, n, "merges") && *v == '[') {
			t->x->merges = v;
			t->x->merges_bytes = (size_t)(*p - v);
			t->merges++;
		}
	}
	return gv_scan_char(p, end, '}');
}

/* Looks for model's two tables; false unless both are there, once.  The text,
 * of many megabytes, is gone through once. */
static bool
find_tables(const char *p, const char *end, struct gv_token_text *x)
{
	struct tables t = {x, 0, 0};
	const char *key;
	size_t n;

	if (!gv_scan_char(&p, end, '{'))
		return false;
	while (next_key(&p, end, &key, &n)) {
		if (is_key(key, n, "model") && *p == '{') {
			p++;
			if (!find_in_model(&t, &p, end))
				return false;
		} else if (!(p = value_end(p, end))) {
			return false;
		}
	}
	return t.vocabs == 1 && t.merges == 1;
}

json_t *
gv_token_scan(const char *s, size_t n, struct gv_token_text *x)
{
	const char *a, *b, *a_past, *b_past;
	const char *empty[2] = {"{}", "[]"};
	size_t k = 0;
	struct gv_error quiet = {0};
	json_t *o;
	char *rest;

	memset(x, 0, sizeof *x);
	if (!find_tables(s, s + n, x) || !(rest = gv_alloc(n, 1)))
		return NULL;
	a = x->vocab;
	b = x->merges;
	a_past = a + x->vocab_bytes;
	b_past = b + x->merges_bytes;
	if (a > b) {
		const char *swap = a;

		a = b;
		b = swap;
		swap = a_past;
		a_past = b_past;
		b_past = swap;
		empty[0] = "[]";
		empty[1] = "{}";
	}
#define PUT(from, bytes) \
	(memcpy(rest + k, (from), (size_t)(bytes)), k += (size_t)(bytes))
	PUT(s, a - s);
	PUT(empty[0], 2);
	PUT(a_past, b - a_past);
	PUT(empty[1], 2);
	PUT(b_past, s + n - b_past);
#undef PUT
	if (gv_json_parse(&o, rest, k, &quiet))
		o = NULL;
	gv_free(rest);
	return o;
}
