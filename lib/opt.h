/* Command lines from one table: parsing, --help and the man-page test.
 *
 * A program describes its options in a `struct gv_opt[]` that ends with
 * { 0 }.  gv_opt_parse() stores values through the table's pointers;
 * gv_opt_help() prints the same table.  Options are long (`--size 64x64` or
 * `--size=64x64`); a few have one letter as well.  Operands may stand between
 * options; `--` ends the options; a lone `-` is an operand.
 *
 * Every program also has the common options of GV_OPT_COMMON.
 */
#ifndef GV_OPT_H
#define GV_OPT_H

#include "err.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

enum gv_opt_type {
	GV_OPT_FLAG = 1, /* bool, set to true */
	GV_OPT_COUNT,    /* int, one more each time */
	GV_OPT_INT,      /* int64_t between min and max; k, M, G (1000^n) and
	                  * Ki, Mi, Gi suffixes */
	GV_OPT_F64,      /* double between min and max; finite */
	GV_OPT_STR,      /* const char *, points into argv; not empty */
	GV_OPT_WORD,     /* int, index of the value among `words` ("a|b|c") */
	GV_OPT_LIST      /* struct gv_opt_list, every value in order */
};

/* Values of an option that may be repeated.  Pointers into argv; `v` is freed
 * with gv_free(). */
struct gv_opt_list {
	const char **v;
	size_t n, cap;
};

struct gv_opt {
	const char *name;      /* without the dashes; NULL ends the table */
	char letter;           /* one-letter form, or 0 */
	enum gv_opt_type type;
	void *to;              /* where the value goes, by type */
	const char *arg;       /* what --help calls the value, "FILE" */
	const char *help;      /* one line; names the default if it matters */
	double min, max;       /* GV_OPT_INT and GV_OPT_F64: both 0 = any */
	const char *words;     /* GV_OPT_WORD: "exact|cider" */
};

/* What all programs have.  Filled in by gv_opt_parse(). */
struct gv_opt_common {
	bool help, version, quiet, force, json;
	int verbose;           /* -v, -vv */
	const char *output;    /* -o FILE; NULL is standard output */
	int64_t seed;          /* --seed, 0 */
	const char *device;    /* --device or GV_DEVICE, "auto" */
	int64_t threads;       /* --threads, 0 = number of cores */
	int64_t max_errors;    /* --max-errors, 0 */
};

/* Which of the common options a program takes (help and version always). */
enum {
	GV_OPT_C_OUTPUT = 1,  /* -o, -f */
	GV_OPT_C_JSON = 2,    /* --json */
	GV_OPT_C_SEED = 4,    /* --seed */
	GV_OPT_C_DEVICE = 8,  /* --device */
	GV_OPT_C_THREADS = 16,/* --threads */
	GV_OPT_C_ERRORS = 32, /* --max-errors */
	GV_OPT_C_FORCE = 64   /* -f without -o */
};

struct gv_opt_prog {
	const char *name;       /* "gv-cat" */
	const char *synopsis;   /* "[-o FILE] [FILE ...]" */
	const char *summary;    /* one line: "join streams end to end" */
	unsigned common;        /* GV_OPT_C_* */
	const struct gv_opt *opts;
};

/* Parses argv[1..].  Operands are moved to the front of argv[1..] in order and
 * counted in *nargs (they are then argv[1] .. argv[*nargs]).  A wrong command
 * line is GV_ERR_USAGE.  --help and --version stop the parsing: c->help or
 * c->version is set and 0 returned.  Destinations keep the defaults that they
 * had. */
int gv_opt_parse(const struct gv_opt_prog *p, struct gv_opt_common *c,
    int argc, char **argv, int *nargs, struct gv_error *e) GV_USE_RESULT;

/* Writes the --help text to `f` (the caller checks the stream). */
void gv_opt_help(const struct gv_opt_prog *p, FILE *f);

/* Parses "64", "1.5k", "2Mi" as gv_opt_parse does.  0 or GV_ERR_USAGE. */
int gv_opt_i64(const char *s, int64_t *out);
int gv_opt_f64(const char *s, double *out);

#ifdef __cplusplus
}
#endif
#endif
