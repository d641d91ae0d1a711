/* CRC-32 as in zlib, at the speed of memory. */
#ifndef GV_CRC_H
#define GV_CRC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The CRC-32 of the bytes so far (0 for none) continued over `n` more: the
 * same function as zlib's crc32().  Uses carry-less multiplication where the
 * processor has it (V. Gopal et al., "Fast CRC Computation for Generic
 * Polynomials Using PCLMULQDQ Instruction", Intel, 2009), else zlib. */
uint32_t gv_crc(uint32_t crc, const void *data, size_t n);

#ifdef __cplusplus
}
#endif
#endif
