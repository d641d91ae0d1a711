/* Tar files, read in one pass: POSIX.1-2001 (pax) and ustar, and GNU's long
 * names.  Archives may follow each other, as `cat *.tar` makes them.
 */
#ifndef GV_TAR_H
#define GV_TAR_H

#include "err.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gv_tar;

/* path "-" is standard input. */
int gv_tar_open(
    struct gv_tar **t, const char *path, struct gv_error *e) GV_USE_RESULT;
void gv_tar_close(struct gv_tar **t);

struct gv_tar_member {
	const char *name; /* valid until the next gv_tar_next() */
	uint64_t bytes;
};

/* 1 and the next regular file, 0 at the end, or an error with the offset:
 * GV_ERR_CUT where the input ends without the zero block that ends an archive,
 * GV_ERR_FORMAT for a wrong checksum or what is no tar file, GV_ERR_NOSUP for
 * a sparse file and for a compressed archive, by name.  Directories, links and
 * devices are passed over. */
int gv_tar_next(struct gv_tar *t, struct gv_tar_member *m,
    struct gv_error *e) GV_USE_RESULT;

/* The content of that member, all of it; valid until the next call.  At most
 * 1 GiB, else GV_ERR_LIMIT. */
int gv_tar_data(
    struct gv_tar *t, const uint8_t **p, struct gv_error *e) GV_USE_RESULT;

#ifdef __cplusplus
}
#endif
#endif
