/* RUN/weights, as trainer and samplers map it. */
#ifndef GV_PUBLISH_PRIV_H
#define GV_PUBLISH_PRIV_H

#include "digest.h"
#include "dir.h"
#include "publish.h"

#include <stdatomic.h>

#define GV_PAGE_MAGIC  "gv-pub1"
#define GV_PAGE_COPIES 2

/* What is above the line is written once, before the file has its name. */
struct gv_page {
	char magic[8];
	uint32_t size; /* of this struct */
	int32_t pid, fd; /* where host copies are; fd -1: on a device */
	uint32_t dtype; /* enum gvk_dtype */
	uint64_t bytes; /* of one copy */
	char layout[GV_DIGEST]; /* of the tensors' names and places */
	char frozen[GV_PARTS][GV_DIGEST]; /* "" where the part trains */
	unsigned char handle[GV_PAGE_COPIES][GVK_HANDLE];
	/* ------------------------------------------------------------------ */
	_Atomic uint32_t event; /* changes with all below; a futex */
	_Atomic uint32_t finished;
	_Atomic uint64_t wanted, used, next;
	_Atomic int64_t version; /* -1: none yet; stored last */
	/* version + 1 of each copy, before and after it was written */
	_Atomic int64_t began[GV_PAGE_COPIES], ended[GV_PAGE_COPIES];
};

/* "RUN/weights" and a tail; a run whose name is too long gives "". */
void gv_page_path(char path[GV_PATH_MAX], const char *run, const char *tail);

/* The digest of the names and places of the tensors of `parts`. */
int gv_page_layout(const struct gv_model *m, unsigned parts,
    char out[GV_DIGEST], struct gv_error *e) GV_USE_RESULT;

/* Bytes of a part in a copy, where parts stand one after the other. */
size_t gv_page_part(const struct gv_model *m, int part);

#endif
