/* Tools that a model can call while it writes: the text of a call goes in, and
 * tokens come back that are forced upon it.
 *
 * "calculator" is built in: arithmetic on decimal numbers with + - * / // and
 * parentheses, computed exactly; and 'text'.count('t').  Any other name is a
 * command for a coprocess (coproc.h: same user, same files, limits against
 * accidents), asked one JSON line a call, in an order that depends on the
 * batch:
 *
 *	{"id": "12:3:0", "text": "6*7"}		prompt, sample, and which call
 *	{"output": "42"}			of the sample this is
 *
 * or {"error": "why"}, or either with the id.  Anything else is the program's
 * fault, and an error here.  A call that has no answer, because it isn't what
 * the tool takes, gives the model the text "error", and what the program said
 * of it behind a colon.
 *
 * The model sees the answer between two marks, and what it said between two
 * others makes a call.  They are nano's special tokens unless others are given.
 */
#ifndef GV_TOOL_H
#define GV_TOOL_H

#include "err.h"
#include "token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Marks: those around a call, and those around its answer.  Special tokens in
 * them are such. */
struct gv_tool_marks {
	const char *start, *end, *out_start, *out_end;
};

/* Marks that are NULL are nano's: <|python_start|>, <|python_end|>,
 * <|output_start|>, <|output_end|>; where `start` and `end` are given and the
 * vocabulary lacks the latter two, an answer has none around it. */
struct gv_tool_opts {
	const char *name; /* "calculator" or a command */
	double timeout; /* seconds that a command may take for an answer */
	struct gv_tool_marks marks;
};

/* The marks to use with a vocabulary: those given, or nano's, as above;
 * out_start and out_end may be left NULL.  Errors are gv_tool_open()'s.  They
 * point to what was given, or to constants. */
int gv_tool_marks_of(struct gv_tool_marks *m, const struct gv_tool_marks *given,
    const struct gv_tokenizer *t, struct gv_error *e) GV_USE_RESULT;

struct gv_tool;

/* `t` must outlive it.  GV_ERR_MATCH if the vocabulary has no nano marks and
 * none are given, GV_ERR_USAGE for an empty mark around a call, or for one
 * without the other. */
int gv_tool_open(struct gv_tool **tool, const struct gv_tool_opts *o,
    const struct gv_tokenizer *t, struct gv_error *e) GV_USE_RESULT;
void gv_tool_close(struct gv_tool **tool); /* NULL is allowed */

/* Never NULL but for the last two, which may both be. */
const struct gv_tool_marks *gv_tool_marks(const struct gv_tool *tool);

struct gv_tool_call {
	uint64_t prompt;
	uint32_t sample, number;
	const char *text;
	size_t n;
};

/* Appends the answer to a call, marks included.  A program that dies, is too
 * slow or answers what is no answer is GV_ERR_SYS, a line that says so. */
int gv_tool_call(struct gv_tool *tool, const struct gv_tool_call *c,
    struct gv_ids *out, struct gv_error *e) GV_USE_RESULT;

/* Lets a command end by itself; GV_ERR_SYS if it doesn't, or ends badly. */
int gv_tool_finish(struct gv_tool *tool, struct gv_error *e) GV_USE_RESULT;

/* ---- the calculator ------------------------------------------------------ */

#define GV_CALC_TEXT 64 /* bytes that a result takes, with its NUL */

/* Evaluates n bytes, at most 4096: false if they are no expression, or it has
 * no value (division by 0), or one that as a fraction takes more than 37 digits
 * above or below the line.  An integer is written as one; another number with
 * at most 12 significant digits, rounded to nearest (ties away from 0), without
 * an exponent and without zeros at its end.
 *	sum:	product { ("+" | "-") product }
 *	product: factor { ("*" | "/" | "//") factor }	// rounds down
 *	factor:	{ "+" | "-" } (number | "(" sum ")")
 *	number:	digits [ "." [ digits ] ] | "." digits
 *	count:	string ".count(" string ")"
 *	string:	in ' or ", with \\ \' \" \n and \t
 * Spaces may stand between these.  A count is of places that don't overlap; an
 * empty string is found once more often than there are characters. */
bool gv_calculate(const char *s, size_t n, char out[GV_CALC_TEXT]);

#ifdef __cplusplus
}
#endif
#endif
