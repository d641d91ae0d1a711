/* Room on disk for what doesn't fit into memory. */
#include "temporary.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "banned.h"

int
gv_temporary(struct gv_error *e)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];
	int fd;

	if (!dir || !*dir)
		dir = "/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	/* a file system without O_TMPFILE */
	if (snprintf(path, sizeof path, "%s/gv.XXXXXX", dir) <
	    (int)sizeof path) {
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			unlink(path);
	}
	if (fd < 0)
		return gv_fail(
		    e, GV_ERR_SYS, "cannot make a temporary in '%s':", dir);
	return fd;
}
