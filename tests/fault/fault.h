/* Calls that fail on demand: what the parts of fail.so share.
 *
 * fail.so is preloaded into a program under test.  Its environment says which
 * call fails:
 *
 *	GV_FAULT=alloc:N		malloc and its kin find no memory
 *	GV_FAULT=CALL:ERROR:N		CALL fails with that errno
 *	GV_FAULT=CALL:SHORT:N		read or write moves one byte
 *
 * It is the N-th call that fails, N from 1, or with N+ that one and all after
 * it.  Calls count from the start of main(), so that the dynamic linker and
 * the constructors of libraries are left alone.  GV_FAULT_FD is a descriptor
 * of eight bytes that are mapped to count the matching calls: a counter that
 * stays below N says that nothing failed.
 *
 * CALL is read, write, open, close, fsync, rename, ftruncate or mmap, each
 * with its variants.  Only calls through the dynamic linker are seen: not
 * those that libc makes inside itself, as for stdio.  Of mmap only the
 * program's own calls count, for OpenBLAS never ends where all of its fail.
 */
#ifndef FAULT_H
#define FAULT_H

#include <stdbool.h>

#define FAULT_SHORT (-1)

/* Counts a call; returns 0 if it shall be made, else the errno it fails with,
 * or FAULT_SHORT. */
int fault_due(const char *call);

/* Whether an address is code of the program, not of a shared library. */
bool fault_is_own(const void *address);

#endif
