/* How products are made, and the memory of it (choice.cu). */
#ifndef GVK_CUDA_CHOICE_CUH
#define GVK_CUDA_CHOICE_CUH

#include "product.cuh"

enum product_maker {
	MAKER_PASS, /* plain.cu, or for other ends a PLAIN product and a pass */
	MAKER_GEMM, /* gemm.cu */
	MAKER_LT, /* cuBLASLt with one of its algorithms */
	MAKERS
};

struct product_way {
	enum product_maker maker;
	bool timed; /* found to be the fastest; else the first that came */
	cublasLtMatmulAlgo_t algo; /* of LT */
};

/* What a way depends on.  Compared as bytes. */
#define PRODUCT_KEY 8
struct product_key {
	uint64_t word[PRODUCT_KEY];
};
struct product_key cuda_product_key(const struct product *p);

/* True, and the way that the device's table has for a key. */
bool cuda_choice(int device, const struct product_key *k, struct product_way *w);

/* Enters a way, or replaces *w with the one that another stream has entered
 * meanwhile.  Ways that were timed replace ones that were not, and go to the
 * file. */
void cuda_choose(int device, const struct product_key *k, struct product_way *w);

/* False if the environment's GVK_TUNE is 0: no timing, no file. */
bool cuda_product_tunes(void);

#endif
