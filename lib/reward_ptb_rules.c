/* Where tokens of captions end: the rules of lib/reward_ptb_priv.h. */
#include "reward_ptb_priv.h"

#include "banned.h"

#include <utf8proc.h>

/* ---- characters ---------------------------------------------------------- */

static bool
is_ascii_letter(uint32_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_capital(uint32_t c)
{
	return c >= 'A' && c <= 'Z';
}

/* Letters, and the marks that belong to them. */
static bool
is_letter(uint32_t c)
{
	if (c < 0x80)
		return is_ascii_letter(c);
	switch (utf8proc_category((utf8proc_int32_t)c)) {
	case UTF8PROC_CATEGORY_LU:
	case UTF8PROC_CATEGORY_LL:
	case UTF8PROC_CATEGORY_LT:
	case UTF8PROC_CATEGORY_LM:
	case UTF8PROC_CATEGORY_LO:
	case UTF8PROC_CATEGORY_MN:
	case UTF8PROC_CATEGORY_MC:
		return c != 0xaa && c != 0xba;
	default:
		return false;
	}
}

static bool
is_alnum(uint32_t c)
{
	return is_letter(c) || gv_py_digit(c);
}

static bool
is_ascii_alnum(uint32_t c)
{
	return is_ascii_letter(c) || (c >= '0' && c <= '9');
}

bool
gv_ptb_apostrophe(uint32_t c)
{
	return c == '\'' || c == 0x2019 || c == 0x92;
}

static uint32_t
small(uint32_t c)
{
	return is_capital(c) ? c - 'A' + 'a' : c;
}

/* Is this word, in any case, at i?  Its apostrophe may be a curly one. */
static bool
is_at(const struct gv_ptb_text *t, size_t i, const char *word)
{
	for (; *word; word++, i++)
		if (*word == '\'' ? !gv_ptb_apostrophe(t->c[i])
				  : small(t->c[i]) != (uint32_t)*word)
			return false;
	return true;
}

/* ---- words --------------------------------------------------------------- */

/* Each rule gives where its longest match at i ends, or i. */

static size_t
word(const struct gv_ptb_text *t, size_t i)
{
	if (!is_letter(t->c[i]))
		return i;
	for (;;) {
		while (is_alnum(t->c[i]))
			i++;
		if ((t->c[i] != '.' && t->c[i] != '!' && t->c[i] != '?') ||
		    !is_letter(t->c[i + 1]))
			return i;
		i++;
	}
}

#define LONGEST 12 /* letters of the words in the lists below */

/* Copies the ASCII letters from i to `end` in lower case; "" if there is
 * something else among them, or more than lists have. */
static void
lower_word(
    char low[LONGEST + 1], const struct gv_ptb_text *t, size_t i, size_t end)
{
	size_t k;

	low[0] = '\0';
	if (end - i > LONGEST)
		return;
	for (k = i; k < end; k++) {
		if (!is_ascii_letter(t->c[k])) {
			low[0] = '\0';
			return;
		}
		low[k - i] = (char)small(t->c[k]);
	}
	low[k - i] = '\0';
}

static bool
listed(const char *word, const char *const *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!strcmp(word, list[i]))
			return true;
	return false;
}

#define LISTED(word, list) listed(word, list, sizeof(list) / sizeof *(list))

/* Does the text end at i, or does a word stand behind the spaces there that
 * starts a sentence?  The list was learnt from the original by asking it of
 * each word; it takes the next text for what follows, and most begin so. */
static bool
sentence_starts(const struct gv_ptb_text *t, size_t i)
{
	static const char *const words[] = {"a", "about", "according",
	    "additionally", "after", "an", "as", "at", "but", "earlier", "he",
	    "her", "here", "however", "if", "in", "it", "last", "many", "more",
	    "now", "once", "one", "other", "our", "she", "since", "so", "some",
	    "such", "that", "the", "their", "then", "there", "these", "they",
	    "this", "we", "what", "when", "while", "yet", "you"};
	char low[LONGEST + 1];
	size_t end, from = i;

	while (gv_py_space(t->c[i]))
		i++;
	if (i >= t->n)
		return true;
	for (end = i; is_alnum(t->c[end]); end++)
		;
	lower_word(low, t, i, end);
	return i > from && is_capital(t->c[i]) && LISTED(low, words);
}

/* Letters with full stops between them, and one at the end; which a single
 * letter at the end of a sentence doesn't have.  Or Ph.D. */
static size_t
acronym(const struct gv_ptb_text *t, size_t i)
{
	size_t from = i;

	if (is_at(t, i, "ph.d."))
		return i + 5;
	if (t->c[i] && t->c[i + 1] == '.' && sentence_starts(t, i + 2))
		return i;

	while (is_ascii_letter(t->c[i]) && t->c[i + 1] == '.')
		i += 2;
	return is_alnum(t->c[i]) ? from : i;
}

/* A part of a compound. */
static size_t
part(const struct gv_ptb_text *t, size_t i)
{
	uint32_t c = small(t->c[i]);
	size_t end = acronym(t, i);

	if (end > i + 2 && t->c[end] == '-' && is_alnum(t->c[end + 1]))
		return end;
	if ((c == 'd' || c == 'o' || c == 'l') &&
	    gv_ptb_apostrophe(t->c[i + 1]) && is_alnum(t->c[i + 2]))
		i += 2;
	while (is_alnum(t->c[i]))
		i++;
	return i;
}

static size_t
compound(const struct gv_ptb_text *t, size_t i)
{
	size_t end = part(t, i), k = i;

	if (end == i)
		return i;
	while (gv_py_digit(t->c[k]) ||
	       (k > i && (t->c[k] == '.' || t->c[k] == ',') &&
		   gv_py_digit(t->c[k + 1])))
		k++;
	if (k > end && t->c[k] == '-' && is_alnum(t->c[k + 1]))
		end = k; /* "1.5-mile" */
	while ((t->c[end] == '-' || t->c[end] == '_') &&
	       (i = part(t, end + 1)) > end + 1)
		end = i;
	return end;
}

/* [A-Za-z0-9]+(-[A-Za-z]+){0,2} */
static size_t
side(const struct gv_ptb_text *t, size_t i)
{
	int k;

	while (is_ascii_alnum(t->c[i]))
		i++;
	for (k = 0; k < 2 && t->c[i] == '-' && is_ascii_letter(t->c[i + 1]);
	     k++)
		for (i++; is_ascii_letter(t->c[i]); i++)
			;
	return i;
}

static size_t
slashes(const struct gv_ptb_text *t, size_t i)
{
	size_t end = side(t, i), from = i;
	int k;

	if (end == i)
		return from;
	for (k = 0; k < 2 && t->c[end] == '/' && is_ascii_alnum(t->c[end + 1]);
	     k++)
		end = side(t, end + 1);
	return k ? end : from;
}

static size_t
number(const struct gv_ptb_text *t, size_t i)
{
	size_t from = i;
	bool any;

	i += t->c[i] == '-' || t->c[i] == '+';
	any = gv_py_digit(t->c[i]);
	while (gv_py_digit(t->c[i]))
		i++;
	while ((t->c[i] == '.' || t->c[i] == ':' || t->c[i] == ',') &&
	       gv_py_digit(t->c[i + 1])) {
		any = true;
		for (i++; gv_py_digit(t->c[i]); i++)
			;
	}
	return any ? i : from;
}

/* A&B, of capitals. */
static size_t
ampersands(const struct gv_ptb_text *t, size_t i)
{
	size_t end = i;
	bool any = false;

	while (is_capital(t->c[end]))
		end++;
	while (end > i && t->c[end] == '&' && is_capital(t->c[end + 1])) {
		any = true;
		for (end++; is_capital(t->c[end]); end++)
			;
	}
	return any ? end : i;
}

/* ---- words with full stops ----------------------------------------------- */

/* Learnt from the original by asking it of each: in order. */
static const char *const abbreviations[] = {"adj", "adm", "adv", "al", "ala",
    "alex", "apr", "ariz", "assn", "assoc", "asst", "atty", "aug", "ave",
    "bancorp", "bhd", "bldg", "blvd", "brig", "bros", "calif", "capt", "cf",
    "cie", "cmdr", "co", "col", "colo", "comdr", "conn", "corp", "cos", "cpl",
    "ct", "dak", "dec", "dept", "det", "dr", "drs", "ens", "esq", "est", "etc",
    "ext", "feb", "fla", "fri", "ft", "ga", "gen", "gov", "govs", "hon", "inc",
    "ind", "insp", "intl", "jan", "jos", "jr", "jul", "jun", "kan", "kans",
    "ky", "lieut", "lt", "ltd", "maj", "mar", "md", "messrs", "mfg", "mich",
    "minn", "mlle", "mme", "mo", "mon", "mont", "mr", "mrs", "ms", "msgr", "mt",
    "mtg", "neb", "nev", "nov", "oct", "okla", "penn", "pfc", "ph", "plc",
    "pres", "prof", "profs", "pte", "pty", "pvt", "rd", "rep", "reps", "rev",
    "rt", "sen", "sens", "sep", "sept", "seq", "sfc", "sgt", "spc", "sq", "sr",
    "st", "ste", "supt", "sys", "tel", "tenn", "thu", "thurs", "tue", "tues",
    "univ", "va", "vs", "vt", "wed", "wis", "wisc", "wm", "wyo"};

/* The same, if they begin with a capital. */
static const char *const capital_abbreviations[] = {"ark", "az", "del", "ill",
    "la", "mass", "miss", "ore", "pa", "tex", "wash"};

/* The same, before a digit. */
static const char *const before_digits[] = {
    "art", "ca", "fig", "figs", "no", "nos", "op", "pp", "prop"};

static bool
before_clause(const struct gv_ptb_text *t, size_t i)
{
	return t->c[i] == ',' || t->c[i] == ';' || t->c[i] == ':';
}

/* Does the full stop behind the word from i to `end` belong to it? */
static bool
abbreviated(const struct gv_ptb_text *t, size_t i, size_t end)
{
	uint32_t next = t->c[end + 1];
	char low[LONGEST + 1];

	if (before_clause(t, end + 1))
		return true;
	lower_word(low, t, i, end);
	if (LISTED(low, abbreviations))
		return true;
	if (is_capital(t->c[i]) && LISTED(low, capital_abbreviations))
		return true;
	while (next == ' ' || next == 0xa0)
		next = t->c[++end + 1];
	return gv_py_digit(next) && LISTED(low, before_digits);
}

/* A word with the full stop that belongs to it. */
static size_t
stopped(const struct gv_ptb_text *t, size_t i)
{
	size_t end = word(t, i);

	if (end > i && t->c[end] == '.' && abbreviated(t, i, end))
		return end + 1;
	end = compound(t, i);
	return end > i && t->c[end] == '.' && before_clause(t, end + 1)
		   ? end + 1
		   : i;
}

/* ---- apostrophes --------------------------------------------------------- */

static size_t
one_of(const struct gv_ptb_text *t, size_t i, const char *const *list, size_t n)
{
	size_t k, len;

	for (k = 0; k < n; k++) {
		len = strlen(list[k]);
		if (is_at(t, i, list[k]) && !is_letter(t->c[i + len]))
			return i + len;
	}
	return i;
}

/* 's and the like, and n't, to which letters may stick. */
size_t
gv_ptb_verb_end(const struct gv_ptb_text *t, size_t i)
{
	static const char *const list[] = {
	    "'s", "'m", "'d", "'re", "'ve", "'ll"};

	if (is_at(t, i, "n't")) {
		for (i += 3; is_letter(t->c[i]); i++)
			;
		return i;
	}
	return one_of(t, i, list, sizeof list / sizeof *list);
}

/* Those, 'em and the like, '90s. */
static size_t
clitic(const struct gv_ptb_text *t, size_t i)
{
	static const char *const list[] = {
	    "'em", "'n", "'til", "'till", "'cause"};
	size_t end = gv_ptb_verb_end(t, i);

	if (end == i)
		end = one_of(t, i, list, sizeof list / sizeof *list);
	if (end == i + 2 && small(t->c[i + 1]) == 'n')
		return end + gv_ptb_apostrophe(t->c[end]);
	if (end == i && gv_ptb_apostrophe(t->c[i]) &&
	    gv_py_digit(t->c[i + 1]) && gv_py_digit(t->c[i + 2]) &&
	    !gv_py_digit(t->c[i + 3]) && t->c[i + 3] != '"')
		end = i + 3 + (small(t->c[i + 3]) == 's');
	return end;
}

/* Words with an apostrophe in or behind them. */
static size_t
with_apostrophe(const struct gv_ptb_text *t, size_t i)
{
	static const char *const words[] = {"ol'", "y'", "c'mon", "ma'am",
	    "somethin'", "nothin'", "s'more", "s'mores", "ne'er", "hallowe'en"};
	size_t k, n;

	for (k = 0; k < sizeof words / sizeof *words; k++) {
		n = strlen(words[k]);
		if (is_at(t, i, words[k]) &&
		    (words[k][n - 1] == '\'' || !is_letter(t->c[i + n])))
			return i + n;
	}
	return i;
}

/* Two words written as one: where the first ends, if the whole is there. */
size_t
gv_ptb_assimilated(const struct gv_ptb_text *t, size_t i, size_t *first)
{
	static const struct {
		const char *word;
		size_t first;
	} row[] = {{"cannot", 3}, {"gonna", 3}, {"gotta", 3}, {"gimme", 3},
	    {"lemme", 3}, {"wanna", 3}, {"more'n", 4}, {"'tis", 2},
	    {"'twas", 2}};
	size_t k;

	for (k = 0; k < sizeof row / sizeof *row; k++) {
		size_t end = i + strlen(row[k].word);

		if (!is_at(t, i, row[k].word) || is_alnum(t->c[end]))
			continue;
		*first = i + row[k].first;
		return end;
	}
	return i;
}

/* Takes the n of n't off a word that is all letters. */
size_t
gv_ptb_without_nt(const struct gv_ptb_text *t, size_t i, size_t end)
{
	if (end > i + 1 && small(t->c[end - 1]) == 'n' &&
	    gv_ptb_apostrophe(t->c[end]) && small(t->c[end + 1]) == 't')
		return end - 1;
	return end;
}

/* ---- other things -------------------------------------------------------- */

static size_t
run_of(const struct gv_ptb_text *t, size_t i, const char *set)
{
	while (t->c[i] && t->c[i] < 0x80 && strchr(set, (int)t->c[i]))
		i++;
	return i;
}

/* [<>]?[:;=][-o*']?[()DPdpO\{@|[\]] */
static size_t
smiley(const struct gv_ptb_text *t, size_t i)
{
	size_t at = i + (t->c[i] == '<' || t->c[i] == '>');

	if (!t->c[at] || run_of(t, at, ":;=") == at)
		return i;
	at++;
	at += run_of(t, at, "-o*'") > at &&
	      run_of(t, at + 1, "()DPdpO\\{@|[]") > at + 1;
	return run_of(t, at, "()DPdpO\\{@|[]") > at && !is_alnum(t->c[at + 1])
		   ? at + 1
		   : i;
}

/* US$ */
static size_t
dollars(const struct gv_ptb_text *t, size_t i)
{
	size_t end = i;

	while (is_capital(t->c[end]))
		end++;
	return end > i && t->c[end] == '$' ? end + 1 : i;
}

static size_t
named(const struct gv_ptb_text *t, size_t i)
{
	size_t end = i + 1;

	if ((t->c[i] != '#' && t->c[i] != '@') ||
	    (!is_letter(t->c[end]) && t->c[end] != '_'))
		return i;
	while (is_alnum(t->c[end]) || t->c[end] == '_')
		end++;
	return end;
}

static bool
is_address(uint32_t c)
{
	return c > ' ' && !gv_py_space(c) &&
	       (c > 0x7f || !strchr("\"<>|()", (int)c));
}

static size_t
address(const struct gv_ptb_text *t, size_t i)
{
	size_t end = i, from;

	if (is_at(t, i, "http://"))
		from = i + 7;
	else if (is_at(t, i, "https://"))
		from = i + 8;
	else
		return i;
	for (end = from; is_address(t->c[end]); end++)
		;
	while (end > from && t->c[end - 1] < 0x80 &&
	       strchr(".!?(){},-", (int)t->c[end - 1]))
		end--;
	return end > from ? end : i;
}

/* a.b@c.de, or just a@b, with almost anything in between. */
static size_t
mail(const struct gv_ptb_text *t, size_t i)
{
	size_t end = i, at = 0;

	if (!is_ascii_alnum(t->c[i]))
		return i;
	for (; is_address(t->c[end]); end++)
		if (t->c[end] == '@' && end > i)
			at = end;
	while (at && end > at + 1 && t->c[end - 1] == '.')
		end--;
	return at && end > at + 1 && t->c[at + 1] != '.' ? end : i;
}

static size_t
tag(const struct gv_ptb_text *t, size_t i)
{
	size_t end = i + 1 + (t->c[i] && t->c[i + 1] == '/');

	if (t->c[i] != '<' || !is_ascii_letter(t->c[end]))
		return i;
	while (is_ascii_alnum(t->c[end]))
		end++;
	return t->c[end] == '>' ? end + 1 : i;
}

/* The longest that a rule finds at i. */
size_t
gv_ptb_longest(const struct gv_ptb_text *t, size_t i)
{
	static size_t (*const rules[])(const struct gv_ptb_text *, size_t) = {
	    word, compound, slashes, number, ampersands, acronym, stopped,
	    clitic, with_apostrophe, smiley, named, address, mail, tag,
	    dollars};
	size_t k, end = i;

	for (k = 0; k < sizeof rules / sizeof *rules; k++) {
		size_t got = rules[k](t, i);

		if (got > end)
			end = got;
	}
	k = run_of(t, i, "!?");
	if (k > i + 1 && k > end)
		end = k;
	k = run_of(t, i, "*");
	if (k > end)
		end = k;
	k = run_of(t, i, "_");
	return k > end ? k : end;
}
