/* Statistics of vocabularies as a table to read. */
#include "token_stats.h"

#include "banned.h"

#define WIDTH  24 /* of the names */
#define COLUMN 20 /* of the numbers of a vocabulary */

struct table {
	struct gv_out *o;
	const json_t *list; /* of vocabularies */
};

/* What a row says of a vocabulary: text of at most COLUMN - 1 bytes. */
typedef void cell(const json_t *v, const char *key, char *out);

static int
print_row(const struct table *t, const char *name, cell *fill, const char *key,
    struct gv_error *e)
{
	char text[COLUMN];
	size_t i;

	if (gv_out_printf(t->o, e, "%-*s", WIDTH, name))
		return e->code;
	for (i = 0; i < json_array_size(t->list); i++) {
		text[0] = '\0';
		fill(json_array_get(t->list, i), key, text);
		if (gv_out_printf(t->o, e, "%*s", COLUMN, text))
			return e->code;
	}
	return gv_out_printf(t->o, e, "\n");
}

/* ---- cells --------------------------------------------------------------- */

static void
put_share(char *out, double part, double all)
{
	if (all > 0)
		snprintf(out, COLUMN, "%.2f %%", 100 * part / all);
	else
		snprintf(out, COLUMN, "-");
}

/* A name, or its end. */
static void
name_cell(const json_t *v, const char *key, char *out)
{
	const char *s = json_string_value(json_object_get(v, key));
	size_t n = s ? strlen(s) : 0;

	if (n < COLUMN - 1)
		snprintf(out, COLUMN, "%s", s ? s : "-");
	else
		snprintf(out, COLUMN, "...%s", s + n - (COLUMN - 5));
}

static void
number_cell(const json_t *v, const char *key, char *out)
{
	const json_t *x = json_object_get(v, key);

	if (json_is_integer(x))
		snprintf(out, COLUMN, "%lld", (long long)json_integer_value(x));
	else if (json_is_real(x))
		snprintf(out, COLUMN, "%.4f", json_real_value(x));
	else
		snprintf(out, COLUMN, "-");
}

static void
document_cell(const json_t *v, const char *key, char *out)
{
	number_cell(json_object_get(v, "document"), key, out);
}

static double
get(const json_t *v, const char *key)
{
	return json_number_value(json_object_get(v, key));
}

static void
used_cell(const json_t *v, const char *key, char *out)
{
	put_share(out, get(v, key), get(v, "size"));
}

static void
tokens_cell(const json_t *v, const char *key, char *out)
{
	put_share(out, get(v, key), get(v, "tokens"));
}

static void
kind_cell(const json_t *v, const char *key, char *out)
{
	const json_t *k = json_object_get(json_object_get(v, "kinds"), key);
	char share[COLUMN], both[2 * COLUMN];

	put_share(share, get(k, "tokens"), get(v, "tokens"));
	snprintf(both, sizeof both, "%d  %s", (int)get(k, "used"), share);
	snprintf(out, COLUMN, "%.*s", COLUMN - 1, both);
}

/* ---- the table ----------------------------------------------------------- */

static int
print_documents(const struct table *t, struct gv_error *e)
{
	static const char *const key[] = {
	    "mean", "min", "p5", "p25", "p50", "p75", "p95", "p99", "max"};
	static const char *const name[] = {"tokens a document, mean", "  least",
	    "  5 % have at most", "  25 %", "  half of them", "  75 %",
	    "  95 %", "  99 %", "  most"};
	size_t i;

	for (i = 0; i < sizeof key / sizeof *key; i++)
		if (print_row(t, name[i], document_cell, key[i], e))
			return e->code;
	return 0;
}

static int
print_kinds(const struct table *t, struct gv_error *e)
{
	static const char *const key[] = {
	    "letters", "numbers", "blanks", "other", "mixed", "broken"};
	static const char *const name[] = {"  letters", "  numbers", "  blanks",
	    "  other characters", "  mixed", "  parts of characters"};
	size_t i;

	if (gv_out_printf(t->o, e, "ids used, share of tokens\n"))
		return e->code;
	for (i = 0; i < sizeof key / sizeof *key; i++)
		if (print_row(t, name[i], kind_cell, key[i], e))
			return e->code;
	return 0;
}

static int
print_longest(const struct table *t, const json_t *v, struct gv_error *e)
{
	const json_t *list = json_object_get(v, "longest");
	char q[120];
	size_t i;

	if (gv_out_printf(t->o, e, "longest tokens, %s\n",
		json_string_value(json_object_get(v, "model"))))
		return e->code;
	for (i = 0; i < json_array_size(list); i++) {
		const json_t *x = json_array_get(list, i);
		const json_t *text = json_object_get(x, "text");

		if (gv_out_printf(t->o, e, "%8.0f bytes, %8.0f times: '%s'\n",
			get(x, "bytes"), get(x, "count"),
			gv_quote(q, sizeof q, json_string_value(text),
			    json_string_length(text))))
			return e->code;
	}
	return 0;
}

int
gv_token_stats_print(struct gv_out *o, const json_t *report, struct gv_error *e)
{
	struct table t = {o, json_object_get(report, "vocabularies")};
	size_t i;

	if (gv_out_printf(o, e, "%.0f documents, %.0f bytes\n",
		get(report, "documents"), get(report, "bytes")) ||
	    print_row(&t, "", name_cell, "model", e) ||
	    print_row(&t, "tokens", number_cell, "tokens", e) ||
	    print_row(&t, "bytes a token", number_cell, "bytes_per_token", e) ||
	    print_documents(&t, e) ||
	    print_row(&t, "ids", number_cell, "size", e) ||
	    print_row(&t, "  used", number_cell, "used", e) ||
	    print_row(&t, "  share that is used", used_cell, "used", e) ||
	    print_row(&t, "tokens of one byte", tokens_cell, "single", e) ||
	    print_kinds(&t, e))
		return e->code;
	for (i = 0; i < json_array_size(t.list); i++)
		if (print_longest(&t, json_array_get(t.list, i), e))
			return e->code;
	return 0;
}
