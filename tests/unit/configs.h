/* For tests of configurations: objects from short text, parsed, and written to
 * and read from the directory "m".
 */
#ifndef CONFIGS_H
#define CONFIGS_H

#include "config.h"
#include "dir.h"
#include "philox.h"
#include "tap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A new object; single quotes stand for double ones. */
static inline json_t *
json(const char *text)
{
	char *s = strdup(text), *p;
	json_error_t je;
	json_t *o;

	for (p = s; *p; p++)
		if (*p == '\'')
			*p = '"';
	o = json_loads(s, 0, &je);
	if (!o)
		printf("# %s in %s\n", je.text, s);
	free(s);
	return o;
}

/* The members of `patch` into `o`; "DELETE" deletes one. */
static inline void
merge(json_t *o, const json_t *patch)
{
	const char *key;
	json_t *v, *old;

	json_object_foreach((json_t *)patch, key, v)
	{
		old = json_object_get(o, key);
		if (json_is_object(v) && json_is_object(old))
			merge(old, v);
		else if (json_is_string(v) &&
			 !strcmp(json_string_value(v), "DELETE"))
			json_object_del(o, key);
		else
			json_object_set(o, key, v);
	}
}

/* An empty directory "m". */
static inline void
fresh(void)
{
	struct gv_error e = {0};

	if (gv_remove_tree("m", &e) || mkdir("m", 0777))
		printf("# %s\n", e.msg);
}

/* A configuration from `o`, which is taken over, and a patch. */
static inline int
parse(json_t *o, const char *patch, struct gv_config *c, struct gv_error *e)
{
	json_t *p = json(patch);
	int r;

	merge(o, p);
	json_decref(p);
	gv_error_clear(e);
	r = gv_config_parse(c, o, e);
	json_decref(o);
	return r;
}

/* Equal but for the files that they came from. */
static inline int
same(const struct gv_config *a, const struct gv_config *b)
{
	struct gv_config x = *a, y = *b;

	x.json = x.preprocessor = x.generation = NULL;
	y.json = y.preprocessor = y.generation = NULL;
	return !memcmp(&x, &y, sizeof x);
}

static inline void
back(struct gv_config *c, const char *what)
{
	struct gv_error e = {0};
	struct gv_config d;

	is_int(gv_config_write(c, "m", &e), 0, "%s is written %s", what, e.msg);
	is_int(gv_config_open(&d, "m", &e), 0, "and read %s", e.msg);
	if (e.code)
		return;
	ok(same(c, &d), "with the same values");
	gv_config_free(&d);
}

static inline void
put(const char *path, const char *text)
{
	size_t n = strlen(text);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	if (fd < 0 || write(fd, text, n) != (ssize_t)n || close(fd))
		printf("# cannot write %s\n", path);
}

/* The result r of taking `what` was a refusal with this code and these words;
 * what was taken all the same is freed. */
static inline void
refused(int r, struct gv_config *c, const struct gv_error *e, int code,
    const char *says, const char *kind, const char *what)
{
	bool right = r == code && strstr(e->msg, says);

	ok(right, "%s: %s", kind, what);
	if (!right)
		printf("# code %d '%s'\n", r, e->msg);
	if (!r)
		gv_config_free(c);
}

#define MUTATED 1024 /* bytes of a text */

/* Up to three bytes of `from` changed at random, in `text`: as a new object, or
 * NULL if it is no JSON any more. */
static inline json_t *
mutated(struct gv_rng *rng, const char *from, char text[MUTATED])
{
	static const char bytes[] = "0123456789-.eE{}[],:'ntrual_ x";
	uint64_t size, k;

	snprintf(text, MUTATED, "%s", from);
	size = strlen(text);
	for (k = gv_rng_below(rng, 3) + 1; k > 0; k--)
		text[gv_rng_below(rng, size)] =
		    bytes[gv_rng_below(rng, sizeof bytes - 1)];
	for (k = 0; k < size; k++)
		text[k] = (char)(text[k] == '\'' ? '"' : text[k]);
	return json_loads(text, JSON_REJECT_DUPLICATES, NULL);
}

#endif
