/* A directory of a test's own, and golden directories for one that works in
 * it.
 */
#ifndef SCRATCH_H
#define SCRATCH_H

#include "dir.h"
#include "golden.h"

static char scratch[] = "/tmp/gv-test-XXXXXX";

/* Makes it; scratch_enter() goes there, too. */
static inline void
scratch_make(void)
{
	if (!mkdtemp(scratch))
		bail(scratch, "cannot be made");
}

static inline void
scratch_enter(void)
{
	scratch_make();
	if (chdir(scratch))
		bail(scratch, "cannot be entered");
}

static inline void
scratch_remove(void)
{
	struct gv_error e = {0};

	if (chdir("/"))
		bail("/", "cannot be entered");
	must(gv_remove_tree(scratch, &e), &e);
}

static inline void
in_scratch(char path[GV_PATH_MAX], const char *name)
{
	snprintf(path, GV_PATH_MAX, "%s/%s", scratch, name);
}

/* The absolute path of a golden directory, as golden_find() has it, before this
 * program leaves; of at most eight. */
static inline const char *
golden_path(const char *argv0, const char *variable, const char *set,
    const char *name)
{
	static char path[8][MOST_DIR];
	static size_t n;
	char dir[MOST_DIR];

	golden_find(dir, argv0, variable, set, name);
	if (n == sizeof path / sizeof *path || !realpath(dir, path[n]))
		bail(dir, "has no path");
	return path[n++];
}

#endif
