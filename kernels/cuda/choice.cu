/* Which way each product is made, once it has been found out: a table a device,
 * and a file that keeps it for the next run.
 *
 * The file is ${XDG_CACHE_HOME:-$HOME/.cache}/ghostvis/PRODUCTS-GPU-LT-OURS, for
 * this GPU, this version of cuBLASLt and this table's own; so a choice, and
 * with it every bit of a result, is the same in the next run.  A line a choice,
 * all numbers hexadecimal: the key's, maker, cuBLASLt's algorithm.  It is
 * written whole to a temporary file, then renamed.  A file that can't be read
 * or written is no error, and a line that makes no sense is passed over.
 *
 * Rows are told apart by three bits behind their first, so that batches of
 * nearly the same size are made the same way.
 */
#include "choice.cuh"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION 3 /* of the keys, of our own kernels, of what of cuBLASLt's is let in */
#define SLOTS   2048
#define MOST    (SLOTS * 3 / 4)
#define ALGO    8 /* words of cuBLASLt's algorithm */

struct slot {
	struct product_key key;
	struct product_way way;
	bool used;
};

struct table {
	struct table *next;
	int device;
	int n; /* slots in use */
	char path[512]; /* "" if there is none */
	struct slot slot[SLOTS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct table *tables; /* live as long as the process */

/* ---- keys --------------------------------------------------------------- */

static int64_t
bucket(int64_t rows)
{
	int64_t step = 1;

	while (rows / step >= 16)
		step *= 2;
	return cuda_div_up(rows, step) * step;
}

/* What the address is a multiple of, 1 to 16. */
static uint64_t
alignment(const void *p)
{
	uintptr_t low = (uintptr_t)p & -(uintptr_t)p;

	return low == 0 || low > 16 ? 16 : low;
}

struct product_key
cuda_product_key(const struct product *p)
{
	bool tn = p->kind == PRODUCT_TN, in_place = p->gu && p->c == p->gu;
	unsigned added = p->add ? 1 : p->r == p->c && p->r ? 2 : p->r ? 3 : 0;
	struct product_key k;

	k.word[0] = (uint64_t)(tn ? p->M : bucket(p->M));
	k.word[1] = (uint64_t)p->N;
	k.word[2] = (uint64_t)(tn ? bucket(p->K) : p->K);
	k.word[3] = (uint64_t)p->lda;
	k.word[4] = (uint64_t)p->ldb;
	k.word[5] = (uint64_t)p->ldc;
	k.word[6] = (uint64_t)p->kind | (uint64_t)p->end << 4 | (uint64_t)p->act << 8 |
		    (uint64_t)added << 12 | (uint64_t)p->f32 << 16 | (uint64_t) !!p->bias << 17 |
		    (uint64_t) !!p->pre << 18 | (uint64_t) !!p->gu << 19 | (uint64_t) !!p->y << 20 |
		    (uint64_t)in_place << 21;
	k.word[7] = alignment(p->a) | alignment(p->b) << 5 | alignment(p->c) << 10 |
		    alignment(p->bias) << 15 | alignment(p->r) << 20 | alignment(p->pre) << 25 |
		    alignment(p->gu) << 30 | alignment(p->y) << 35;
	return k;
}

static struct slot *
find(struct table *t, const struct product_key *k)
{
	uint64_t h = 0;

	for (int i = 0; i < PRODUCT_KEY; i++)
		h = (h ^ k->word[i]) * 0x9e3779b97f4a7c15u, h ^= h >> 29;
	for (;; h++) {
		struct slot *s = &t->slot[h % SLOTS];

		if (!s->used || memcmp(&s->key, k, sizeof *k) == 0)
			return s;
	}
}

static void
put(struct table *t, const struct product_key *k, const struct product_way *w)
{
	struct slot *s = find(t, k);

	if (!s->used && t->n >= MOST)
		return;
	t->n += !s->used;
	s->used = true;
	s->key = *k;
	s->way = *w;
}

/* ---- the file ----------------------------------------------------------- */

/* Appends one path component, its odd characters replaced; false if too long. */
static bool
append(char *path, size_t cap, const char *name)
{
	size_t n = strlen(path);

	if (n + 1 + strlen(name) >= cap)
		return false;
	path[n++] = '/';
	for (; *name; name++)
		path[n++] = isalnum((unsigned char)*name) || strchr(".-", *name) ? *name : '_';
	path[n] = 0;
	return true;
}

/* Makes the folder, and the name of the file of this device in it. */
static bool
place(char *path, size_t cap, int device)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	bool xdg = cache && cache[0] == '/';
	struct cudaDeviceProp prop;
	char name[400];

	if (!xdg && !(home && home[0] == '/'))
		return false;
	if (cudaGetDeviceProperties(&prop, device) != cudaSuccess) {
		cudaGetLastError();
		return false;
	}
	if (snprintf(path, cap, "%s%s", xdg ? cache : home, xdg ? "" : "/.cache") >= (int)cap)
		return false;
	mkdir(path, 0777);
	if (!append(path, cap, "ghostvis"))
		return false;
	mkdir(path, 0777);
	snprintf(
	    name, sizeof name, "PRODUCTS-%.256s-%zu-%d", prop.name, cublasLtGetVersion(), VERSION);
	return append(path, cap, name);
}

static void
read_file(struct table *t)
{
	FILE *f = fopen(t->path, "r");
	char line[512];

	while (f && fgets(line, sizeof line, f)) {
		unsigned long long word[PRODUCT_KEY + 1 + ALGO];
		const size_t words = sizeof word / sizeof *word;
		struct product_key k;
		struct product_way w;
		char *at = line, *end;
		size_t n = 0;

		for (; n < words; n++, at = end) {
			word[n] = strtoull(at, &end, 16);
			if (end == at)
				break;
		}
		if (n < words || *at != '\n' || word[PRODUCT_KEY] >= MAKERS)
			continue;
		for (int i = 0; i < PRODUCT_KEY; i++)
			k.word[i] = word[i];
		w.maker = (enum product_maker)word[PRODUCT_KEY];
		w.timed = true;
		for (int i = 0; i < ALGO; i++)
			w.algo.data[i] = word[PRODUCT_KEY + 1 + i];
		put(t, &k, &w);
	}
	if (f)
		fclose(f);
}

static void
write_file(const struct table *t)
{
	char temp[sizeof t->path + 32];
	bool bad = false;
	FILE *f;

	snprintf(temp, sizeof temp, "%s.%ld", t->path, (long)getpid());
	f = t->path[0] ? fopen(temp, "w") : NULL;
	if (!f)
		return;
	for (const struct slot *s = t->slot; s < t->slot + SLOTS; s++) {
		if (!s->used || !s->way.timed)
			continue;
		for (int i = 0; i < PRODUCT_KEY; i++)
			fprintf(f, "%llx ", (unsigned long long)s->key.word[i]);
		fprintf(f, "%x", (unsigned)s->way.maker);
		for (int i = 0; i < ALGO; i++)
			fprintf(f, " %llx", (unsigned long long)s->way.algo.data[i]);
		bad |= fputc('\n', f) == EOF;
	}
	bad |= fclose(f) != 0;
	if (bad || rename(temp, t->path) != 0)
		remove(temp);
}

/* ---- the table ---------------------------------------------------------- */

/* The device's, made if need be; NULL without memory.  Under the lock. */
static struct table *
table_of(int device)
{
	struct table *t = tables;

	while (t && t->device != device)
		t = t->next;
	if (t)
		return t;
	t = (struct table *)calloc(1, sizeof *t);
	if (!t)
		return NULL;
	t->device = device;
	t->next = tables;
	tables = t;
	if (cuda_product_tunes() && place(t->path, sizeof t->path, device))
		read_file(t);
	else
		t->path[0] = 0;
	return t;
}

bool
cuda_product_tunes(void)
{
	const char *v = getenv("GVK_TUNE");

	return !v || strcmp(v, "0") != 0;
}

bool
cuda_choice(int device, const struct product_key *k, struct product_way *w)
{
	struct table *t;
	struct slot *s = NULL;

	pthread_mutex_lock(&lock);
	t = table_of(device);
	if (t)
		s = find(t, k);
	if (s && s->used)
		*w = s->way;
	pthread_mutex_unlock(&lock);
	return s && s->used;
}

void
cuda_choose(int device, const struct product_key *k, struct product_way *w)
{
	struct table *t;
	struct slot *s;

	pthread_mutex_lock(&lock);
	t = table_of(device);
	if (t) {
		s = find(t, k);
		if (s->used && s->way.timed) {
			*w = s->way; /* another stream was faster */
		} else {
			put(t, k, w);
			if (w->timed)
				write_file(t);
		}
	}
	pthread_mutex_unlock(&lock);
}
