/* Matrix products on Hopper's tensor cores: wgmma on tiles that TMA brings.
 *
 * Bound by the tensor cores: 2MNK FLOP.  Two blocks, a cluster, make 256 x 256
 * of c; each its 128 rows, of which two warpgroups take 64 each and keep them
 * in registers (128 a thread):
 *
 *	        B 256 columns		a stage: 64 of K, 48 KiB; 3 stages
 *	   A  +----------------+
 *	block | warpgroup 1    | 64	B is brought once for both blocks: each
 *	  0   | warpgroup 2    | 64	loads one half and sends it to both.
 *	      +----------------+
 *	block | warpgroup 1    | 64
 *	  1   | warpgroup 2    | 64
 *	      +----------------+
 *
 * One thread of a third warpgroup loads; blocks stay and go from tile to tile,
 * so that loads of the next tile run during the end of this one.  Tiles go in
 * bands of BAND clusters' rows, down first, so that what runs at one time
 * shares its operands in the second-level cache.
 *
 * Ends.  All blocks come to the end of a tile at the same time, and waiting
 * until it is written would leave the tensor cores idle for as long as memory
 * takes.  So an end reads and writes shared memory only, 32 KiB a warpgroup
 * (its desk), and TMA does the rest while the next tile is multiplied: what an
 * end reads is brought to the desk early in the tile, is replaced there by
 * what the end makes of it, and leaves from there.
 *
 *	        g.. u..			GATED: the columns of B are 128 of g and
 *	      +----------------+	the same 128 of u, so that a thread has
 *	      | 128    | 128   |	both of a pair.
 *
 * What finds no place there is put off: kept in registers (`late`), and worked
 * off in steps between the products of the next tile, while these run.  So y
 * of GATED where gu is kept too; and all of GATED_BWD, which reads and writes
 * five times what others write.  Its tiles have 192 columns, the desk holds 64
 * of g, u and y, and dy is rounded before it is used.
 *
 * Operands of any kind: what is stored along K lies in panels of 64 of K, what
 * is stored across in panels of 64 of M or N, and wgmma turns the latter.
 * Edges: TMA fills with zeros what lies outside, and writes nothing there.
 *
 * H100 SXM, 2026-11-23, all in, in TFLOP/s of 989 (cuBLASLt's best of 16 for
 * the bare product in brackets): 16384 rows, 1536 to 2 x 8960 gated 800 (812),
 * with gu kept 710 (720); 17920 to 1536 790 (748), 8960 to 1536 770 (782), 1536
 * to 1536 635 (672); 65536 rows, 1024 to 4096 with GELU 627 (761).  GATED_BWD
 * 450 (795): its product alone takes 0.57 ms, with the arithmetic 0.69, with
 * the traffic instead 0.93, with both 1.00.
 *
 * Next rung: find what holds GATED_BWD's traffic to 1.5 TB/s; K in parts that
 * take turns to add, for weight gradients of few tiles.
 */
#include "hopper.cuh"
#include "product.cuh"

#define TILE_M  128
#define TILE_K  HOPPER_PANEL
#define PANEL   (64 * 128) /* bytes: 64 rows of 128 */
#define A_BYTES (TILE_M * TILE_K * 2)
#define THREADS (3 * HOPPER_GROUP)
#define CLUSTER 2 /* blocks */
#define WARPS   8 /* of a block that consume */
#define BAND    8
#define IN_AT   2 /* the stage of a tile at which what its end reads is asked for */

/* Sizes that depend on the end, and on whether it has a second result. */
template <enum product_end END, bool TWO> struct sizes {
	static const bool bwd = END == PRODUCT_GATED_BWD, small = END == PRODUCT_GATED && !TWO;
	static const int n = bwd ? 192 : 256; /* columns of a tile */
	static const int stages = bwd || small ? 4 : 3;
	static const int stage = A_BYTES + n * TILE_K * 2; /* bytes */
	static const int desk = (bwd ? 3 : small ? 2 : 4) * PANEL;
	static const bool puts_off = bwd || (END == PRODUCT_GATED && TWO);
	static const int late = bwd ? 48 : puts_off ? 32 : 1; /* registers */
	static const int steps = bwd ? 6 : puts_off ? 1 : 0;
	static const int smem = 1024 + stages * stage + 2 * desk + (2 * stages + 2) * 8;
	static const int width = END == PRODUCT_GATED ? n / 2 : n; /* from tile to tile */
};

struct gemm {
	int M, N, K;
	int pairs, tiles_n; /* tiles of a cluster */
	const bf16 *bias;
	enum gvk_act act;
	bool in; /* PLAIN: something is read at the end */
	bool add; /* F32: c is added to */
	bool two; /* the end's second result is wanted: pre, gu, y */
};

struct maps {
	CUtensorMap a, b;
	CUtensorMap in, out, two; /* of the end; what isn't used is not filled */
};

#if HOPPER

struct tile {
	int m, n; /* first row of the block, first column */
};

template <enum product_end END, bool TWO>
static __device__ __forceinline__ struct tile
tile_at(const struct gemm &g, int i, int rank)
{
	int per = BAND * g.tiles_n, band = i / per, at = i - band * per;
	int rows = min(BAND, g.pairs - band * BAND), n = at / rows;
	struct tile t;

	t.m = ((band * BAND + at - n * rows) * CLUSTER + rank) * TILE_M;
	t.n = n * sizes<END, TWO>::width;
	return t;
}

struct ring {
	unsigned stage, parity;
};

template <enum product_end END, bool TWO>
static __device__ __forceinline__ void
next(struct ring *r)
{
	if (++r->stage == sizes<END, TWO>::stages) {
		r->stage = 0;
		r->parity ^= 1;
	}
}

struct place { /* in shared memory */
	unsigned stages, desks, full, empty, in;
};

/* ---- loading ------------------------------------------------------------ */

/* A stage: this block's rows of A, and its half of B's for the cluster. */
template <enum product_kind KIND, enum product_end END, bool TWO>
static __device__ __forceinline__ void
load_stage(unsigned at, unsigned full, const struct maps *m, const struct gemm &g, struct tile t,
    int k, int rank)
{
	const int panels = sizes<END, TWO>::n / 64, half = sizes<END, TWO>::n / 2;
	unsigned b = at + A_BYTES;

	if constexpr (KIND == PRODUCT_TN) {
		hopper_load(at, &m->a, full, t.m, k);
		hopper_load(at + PANEL, &m->a, full, t.m + 64, k);
	} else {
		hopper_load(at, &m->a, full, k, t.m);
	}
	if constexpr (KIND == PRODUCT_NT) {
		hopper_load_to(b + rank * half * 128, &m->b, full, k,
		    t.n + rank * (END == PRODUCT_GATED ? g.N : half), 3);
	} else {
#pragma unroll
		for (int i = 0; i < panels; i++)
			hopper_load_to(b + i * PANEL + rank * PANEL / 2, &m->b, full, t.n + 64 * i,
			    k + rank * TILE_K / 2, 3);
	}
}

template <enum product_kind KIND, enum product_end END, bool TWO>
static __device__ __forceinline__ void
produce(const struct gemm &g, const struct maps *m, const struct place &p, int rank)
{
	const int tiles = g.pairs * g.tiles_n, stage = sizes<END, TWO>::stage;
	struct ring r = {0, 1};

	for (int i = blockIdx.x / CLUSTER; i < tiles; i += gridDim.x / CLUSTER) {
		struct tile t = tile_at<END, TWO>(g, i, rank);

		for (int k = 0; k < g.K; k += TILE_K) {
			unsigned full = p.full + 8 * r.stage;

			hopper_bar_wait(p.empty + 8 * r.stage, r.parity);
			hopper_bar_expect(full, stage);
			load_stage<KIND, END, TWO>(
			    p.stages + r.stage * stage, full, m, g, t, k, rank);
			next<END, TWO>(&r);
		}
	}
}

/* ---- the desk ----------------------------------------------------------- */

/* A warpgroup's part of a tile, and its thread's place in it. */
struct desk {
	unsigned at; /* the desk */
	unsigned lane; /* this thread's row on it, of stmatrix and ldmatrix */
	int group; /* 0, 1 */
	int m, n; /* first row of the warpgroup, first column of the tile */
};

/* Whether the end reads something. */
template <enum product_end END, class T>
static __device__ __forceinline__ bool
reads(const struct gemm &g)
{
	if (END == PRODUCT_PLAIN && sizeof(T) == 2)
		return g.in;
	return END == PRODUCT_SLOPE;
}

/* One thread: what the end reads, once the desk's last content has left. */
static __device__ __forceinline__ void
bring(const struct maps *m, const struct desk &d, unsigned bar)
{
	hopper_store_wait_read<0>();
	hopper_bar_expect(bar, 4 * PANEL);
#pragma unroll
	for (int i = 0; i < 4; i++)
		hopper_load(d.at + i * PANEL, &m->in, bar, d.n + i * 64, d.m);
}

static __device__ __forceinline__ bool
leads(void)
{
	return threadIdx.x % HOPPER_GROUP == 0;
}

static __device__ __forceinline__ void
meet(const struct desk &d)
{
	hopper_sync(1 + d.group, HOPPER_GROUP);
}

/* The desk may be written. */
static __device__ __forceinline__ void
clear(const struct desk &d)
{
	if (leads())
		hopper_store_wait_read<0>();
	meet(d);
}

/* What has been written may leave: true for the thread that sends it, which
 * then commits. */
static __device__ __forceinline__ bool
written(const struct desk &d)
{
	hopper_fence_async();
	meet(d);
	return leads();
}

/* Panels from..from + n - 1 of the desk to column d.n on. */
static __device__ __forceinline__ void
send(const struct desk &d, const CUtensorMap *m, int from, int n)
{
	for (int i = 0; i < n; i++)
		hopper_store(m, d.at + (from + i) * PANEL, d.n + i * 64, d.m);
}

/* Where 16 columns, from 16 k of the desk on, lie for this thread. */
static __device__ __forceinline__ unsigned
sixteen(const struct desk &d, int k)
{
	unsigned lane = threadIdx.x % CUDA_WARP, chunk = 2 * (k % 4) + (lane >> 4);

	return d.lane + k / 4 * PANEL + ((chunk ^ (lane & 7)) << 4);
}

/* A thread's eight of 16 columns are two rows of two columns, and of the two
 * eight columns on: x[0], x[1]; x[2], x[3] in row + 8; x[4], x[5] in column +
 * 8; x[6], x[7].  Rounded to the desk, and from there. */
static __device__ __forceinline__ void
put(const struct desk &d, int k, const float *x)
{
	hopper_put4(sixteen(d, k), pack2(x[0], x[1]), pack2(x[2], x[3]), pack2(x[4], x[5]),
	    pack2(x[6], x[7]));
}

static __device__ __forceinline__ void
unpack(float x[8], const unsigned u[4])
{
#pragma unroll
	for (int i = 0; i < 4; i++) {
		x[2 * i] = __uint_as_float(u[i] << 16);
		x[2 * i + 1] = __uint_as_float(u[i] & 0xffff0000u);
	}
}

static __device__ __forceinline__ void
get(const struct desk &d, int k, float x[8])
{
	unsigned u[4];

	hopper_get4(u, sixteen(d, k));
	unpack(x, u);
}

/* ---- ends --------------------------------------------------------------- */

/* x, the eight of columns n.., gets their bias. */
static __device__ __forceinline__ void
add_bias(const struct gemm &g, int n, float *x)
{
	int col = n + threadIdx.x % 4 * 2;

#pragma unroll
	for (int i = 0; i < 8; i += 4) {
		int at = col + 2 * i;
		unsigned u = at < g.N ? *reinterpret_cast<const unsigned *>(g.bias + at) : 0;
		float lo = __uint_as_float(u << 16), hi = __uint_as_float(u & 0xffff0000u);

		x[i] += lo;
		x[i + 1] += hi;
		x[i + 2] += lo;
		x[i + 3] += hi;
	}
}

static __device__ __forceinline__ void
finish_plain(const struct gemm &g, const struct maps *m, const struct desk &d, float *z)
{
#pragma unroll
	for (int k = 0; k < 16; k++) {
		float *x = z + 8 * k, r[8];

		if (g.bias)
			add_bias(g, d.n + 16 * k, x);
		if (g.in) {
			get(d, k, r);
#pragma unroll
			for (int i = 0; i < 8; i++)
				x[i] += r[i];
		}
		put(d, k, x);
	}
	if (written(d)) {
		send(d, &m->out, 0, 4);
		hopper_store_commit();
	}
}

/* F32: 128 columns fill the desk. */
static __device__ __forceinline__ void
finish_f32(const struct gemm &g, const struct maps *m, const struct desk &d, float *z)
{
	const unsigned lane = threadIdx.x % CUDA_WARP, row = threadIdx.x % HOPPER_GROUP / 32 * 16;
	const unsigned at = d.at + (row + lane / 4) * 128 + lane % 2 * 8;

#pragma unroll
	for (int half = 0; half < 2; half++) {
		if (half)
			clear(d);
#pragma unroll
		for (int j = 0; j < 16; j++) { /* of eight columns */
			unsigned chunk = 2 * (j % 4) + lane % 4 / 2;
			unsigned to = at + j / 4 * PANEL + ((chunk ^ (lane / 4)) << 4);
			const float *x = z + 64 * half + 4 * j;

			asm volatile(
			    "st.shared.v2.f32 [%0], {%1, %2};" ::"r"(to), "f"(x[0]), "f"(x[1])
			    : "memory");
			asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(to + 8 * 128),
				     "f"(x[2]), "f"(x[3])
				     : "memory");
		}
		if (!written(d))
			continue;
		for (int i = 0; i < 4; i++) {
			int n = d.n + 128 * half + 32 * i;

			if (g.add)
				hopper_add(&m->out, d.at + i * PANEL, n, d.m);
			else
				hopper_store(&m->out, d.at + i * PANEL, n, d.m);
		}
		hopper_store_commit();
	}
}

template <enum gvk_act A>
static __device__ __forceinline__ void
finish_act(const struct gemm &g, const struct maps *m, const struct desk &d, float *z)
{
	if (g.bias)
#pragma unroll
		for (int k = 0; k < 16; k++)
			add_bias(g, d.n + 16 * k, z + 8 * k);
	if (g.two) {
#pragma unroll
		for (int k = 0; k < 16; k++)
			put(d, k, z + 8 * k);
		if (written(d)) {
			send(d, &m->two, 0, 4);
			hopper_store_commit();
		}
	}
#pragma unroll
	for (int i = 0; i < 128; i++)
		z[i] = act_fwd(A, z[i]);
	if (g.two)
		clear(d);
#pragma unroll
	for (int k = 0; k < 16; k++)
		put(d, k, z + 8 * k);
	if (written(d)) {
		send(d, &m->out, 0, 4);
		hopper_store_commit();
	}
}

template <enum gvk_act A>
static __device__ __forceinline__ void
finish_slope(const struct maps *m, const struct desk &d, float *z)
{
#pragma unroll
	for (int k = 0; k < 16; k++) {
		float *x = z + 8 * k, pre[8];

		get(d, k, pre);
#pragma unroll
		for (int i = 0; i < 8; i++)
			x[i] *= act_slope(A, pre[i]);
		put(d, k, x);
	}
	if (written(d)) {
		send(d, &m->out, 0, 4);
		hopper_store_commit();
	}
}

/* z's first half is g, the other u. */
static __device__ __forceinline__ void
gate(float *z)
{
#pragma unroll
	for (int i = 0; i < 64; i++)
		z[i] *= sigmoid(z[i]) * z[64 + i];
}

static __device__ __forceinline__ void
finish_gated(const struct maps *m, const struct desk &d, float *z)
{
	gate(z);
#pragma unroll
	for (int k = 0; k < 8; k++)
		put(d, k, z + 8 * k);
	if (written(d)) {
		send(d, &m->out, 0, 2);
		hopper_store_commit();
	}
}

/* ---- ends put off ------------------------------------------------------- */

/* Of the last tile, rounded: columns 16 k.. in u[4 k .. 4 k + 3]. */
template <int R> struct late {
	unsigned u[R];
	int m, n; /* of that tile */
	int step; /* the next of sizes::steps */
	unsigned parity; /* of the barrier for what has been brought */
};

template <int R>
static __device__ __forceinline__ void
keep_late(struct late<R> *l, const struct desk &d, const float *z)
{
#pragma unroll
	for (int i = 0; i < R; i++)
		l->u[i] = pack2(z[2 * i], z[2 * i + 1]);
	l->m = d.m;
	l->n = d.n;
	l->step = 0;
}

/* GATED: gu leaves at once, and y when the desk is free again. */
static __device__ __forceinline__ void
put_off(const struct maps *m, const struct desk &d, float *z, struct late<32> *l)
{
	clear(d);
#pragma unroll
	for (int k = 0; k < 16; k++)
		put(d, k, z + 8 * k);
	if (written(d)) {
		for (int i = 0; i < 4; i++)
			hopper_store(&m->two, d.at + i * PANEL, d.n + i % 2 * 64, i / 2, d.m);
		hopper_store_commit();
	}
	gate(z);
	keep_late(l, d, z);
}

static __device__ __forceinline__ void
step(const struct gemm &, const struct maps *m, const struct desk &d, struct late<32> *l, unsigned)
{
	clear(d);
#pragma unroll
	for (int k = 0; k < 8; k++)
		hopper_put4(
		    sixteen(d, k), l->u[4 * k], l->u[4 * k + 1], l->u[4 * k + 2], l->u[4 * k + 3]);
	if (written(d)) {
		for (int i = 0; i < 2; i++)
			hopper_store(&m->out, d.at + i * PANEL, l->n + 64 * i, l->m);
		hopper_store_commit();
	}
	l->step++;
}

/* GATED_BWD: of 64 columns, and of the next and the last, g and u are brought;
 * a while later their gradients take their place, and y lies behind. */
static __device__ __forceinline__ void
put_off(const struct maps *, const struct desk &d, float *z, struct late<48> *l)
{
	keep_late(l, d, z);
}

static __device__ __forceinline__ void
bring_gu(const struct maps *m, const struct desk &d, int row, int n, unsigned bar)
{
	hopper_store_wait_read<0>();
	hopper_bar_expect(bar, 2 * PANEL);
	hopper_load(d.at, &m->in, bar, n, 0, row, HOPPER_ONCE);
	hopper_load(d.at + PANEL, &m->in, bar, n, 1, row, HOPPER_ONCE);
}

static __device__ __forceinline__ void
gate_bwd(const struct gemm &g, const struct maps *m, const struct desk &d, const unsigned u16[16],
    int row, int n)
{
#pragma unroll
	for (int k = 0; k < 4; k++) {
		float dy[8], a[8], u[8];

		unpack(dy, u16 + 4 * k);
		get(d, k, a);
		get(d, 4 + k, u);
#pragma unroll
		for (int i = 0; i < 8; i++) {
			float sig = sigmoid(a[i]), silu = a[i] * sig, y = silu * u[i];

			a[i] = dy[i] * u[i] * (sig + silu * (1 - sig));
			u[i] = dy[i] * silu;
			dy[i] = y;
		}
		put(d, k, a);
		put(d, 4 + k, u);
		if (g.two)
			put(d, 8 + k, dy);
	}
	if (!written(d))
		return;
	hopper_store(&m->out, d.at, n, 0, row);
	hopper_store(&m->out, d.at + PANEL, n, 1, row);
	if (g.two)
		hopper_store(&m->two, d.at + 2 * PANEL, n, row);
	hopper_store_commit();
}

static __device__ __forceinline__ void
step(const struct gemm &g, const struct maps *m, const struct desk &d, struct late<48> *l,
    unsigned bar)
{
	int n = l->n + l->step / 2 * 64;

	if (l->step % 2 == 0) {
		if (leads())
			bring_gu(m, d, l->m, n, bar);
	} else {
		hopper_bar_wait(bar, l->parity);
		l->parity ^= 1;
		/* registers have no index but a constant one */
		if (l->step == 1)
			gate_bwd(g, m, d, l->u, l->m, n);
		else if (l->step == 3)
			gate_bwd(g, m, d, l->u + 16, l->m, n);
		else
			gate_bwd(g, m, d, l->u + 32, l->m, n);
	}
	l->step++;
}

/* Which of the products of a tile, `blocks` of them, a step follows.  The
 * warpgroups do theirs at different times, so that one goes on. */
template <int STEPS>
static __device__ __forceinline__ int
due(int step, int blocks, int group)
{
	if (STEPS == 1)
		return blocks / 8;
	return blocks * (step / 2 * 8 + step % 2 * 5 + 2 * group) / 24;
}

/* ---- multiplying -------------------------------------------------------- */

template <enum product_end END, class T>
static __device__ __forceinline__ void
finish(const struct gemm &g, const struct maps *m, const struct desk &d, float *z)
{
	if constexpr (END == PRODUCT_ACT)
		CUDA_BY_ACT(g.act, finish_act, g, m, d, z);
	else if constexpr (END == PRODUCT_SLOPE)
		CUDA_BY_ACT(g.act, finish_slope, m, d, z);
	else if constexpr (END == PRODUCT_GATED)
		finish_gated(m, d, z);
	else if constexpr (sizeof(T) == 4)
		finish_f32(g, m, d, z);
	else
		finish_plain(g, m, d, z);
}

/* A warp has read the stage: both blocks may load it anew. */
static __device__ __forceinline__ void
release(const struct place &p, unsigned stage)
{
	unsigned lane = threadIdx.x % CUDA_WARP;

	if (lane < CLUSTER)
		hopper_bar_arrive_at(p.empty + 8 * stage, lane);
}

template <enum product_kind KIND, int D>
static __device__ __forceinline__ void
multiply(float (&z)[D], unsigned at, int group, bool add)
{
	const bool ta = KIND == PRODUCT_TN, tb = KIND != PRODUCT_NT;
	unsigned a_at = at + group * PANEL, b_at = at + A_BYTES;
	uint64_t a = ta ? hopper_cols(a_at, PANEL) : hopper_rows(a_at);
	uint64_t b = tb ? hopper_cols(b_at, PANEL) : hopper_rows(b_at);

	hopper_mma_fence();
#pragma unroll
	for (int i = 0; i < TILE_K / 16; i++) {
		hopper_mma<ta, tb>(z, a, b, add || i > 0);
		a += ta ? HOPPER_COLS_STEP : HOPPER_ROWS_STEP;
		b += tb ? HOPPER_COLS_STEP : HOPPER_ROWS_STEP;
	}
	hopper_mma_commit();
}

template <enum product_kind KIND, enum product_end END, class T, bool TWO>
static __device__ __forceinline__ void
consume(const struct gemm &g, const struct maps *m, const struct place &p, int rank)
{
	typedef struct sizes<END, TWO> sizes_t;
	const int tiles = g.pairs * g.tiles_n, blocks = (g.K + TILE_K - 1) / TILE_K;
	const int in_at = min(IN_AT, blocks - 1);
	struct late<sizes_t::late> late;
	struct ring r = {0, 0};
	struct desk d;
	float z[sizes_t::n / 2];
	unsigned in_parity = 0;

	late.step = sizes_t::steps;
	late.parity = 0;
	d.group = threadIdx.x / HOPPER_GROUP - 1;
	d.at = p.desks + d.group * sizes_t::desk;
	d.lane = d.at + (threadIdx.x % HOPPER_GROUP / 32 * 16 + threadIdx.x % 16) * 128;
	for (int i = blockIdx.x / CLUSTER; i < tiles; i += gridDim.x / CLUSTER) {
		struct tile t = tile_at<END, TWO>(g, i, rank);
		unsigned bar = p.in + 8 * d.group, before = 0;

		d.m = t.m + d.group * 64;
		d.n = t.n;
		for (int k = 0; k < blocks; k++) {
			hopper_bar_wait(p.full + 8 * r.stage, r.parity);
			multiply<KIND>(z, p.stages + r.stage * sizes_t::stage, d.group, k > 0);
			if (k > 0) {
				hopper_mma_wait<1>();
				release(p, before);
			}
			before = r.stage;
			next<END, TWO>(&r);
			if (reads<END, T>(g) && k == in_at && leads())
				bring(m, d, bar);
			if constexpr (sizes_t::puts_off)
				if (late.step < sizes_t::steps &&
				    k >= due<sizes_t::steps>(late.step, blocks, d.group))
					step(g, m, d, &late, bar);
		}
		hopper_mma_wait<0>();
		hopper_mma_hold(z);
		release(p, before);
		if constexpr (sizes_t::puts_off) {
			while (late.step < sizes_t::steps) /* few stages */
				step(g, m, d, &late, bar);
			put_off(m, d, z, &late);
		} else {
			if (reads<END, T>(g)) {
				hopper_bar_wait(bar, in_parity);
				in_parity ^= 1;
			} else {
				clear(d);
			}
			finish<END, T>(g, m, d, z);
		}
	}
	if constexpr (sizes_t::puts_off)
		while (late.step < sizes_t::steps)
			step(g, m, d, &late, p.in + 8 * d.group);
	if (leads())
		hopper_store_wait<0>();
}

#endif /* HOPPER */

template <enum product_kind KIND, enum product_end END, class T, bool TWO>
static __global__ void
__launch_bounds__(THREADS, 1)
    gemm_kernel(const __grid_constant__ struct maps m, const __grid_constant__ struct gemm g)
{
#if HOPPER
	extern __shared__ unsigned char memory[];
	const int rank = hopper_cluster_rank(), stages = sizes<END, TWO>::stages;
	struct place p;

	p.stages = (hopper_smem(memory) + 1023) & ~1023u;
	p.desks = p.stages + stages * sizes<END, TWO>::stage;
	p.full = p.desks + 2 * sizes<END, TWO>::desk;
	p.empty = p.full + stages * 8;
	p.in = p.empty + stages * 8;
	if (threadIdx.x == 0) {
		for (int i = 0; i < stages; i++) {
			hopper_bar_init(p.full + 8 * i, 1);
			hopper_bar_init(p.empty + 8 * i, CLUSTER * WARPS);
		}
		hopper_bar_init(p.in, 1);
		hopper_bar_init(p.in + 8, 1);
		hopper_bar_made();
	}
	hopper_cluster_sync();
	cuda_follow();
	cuda_lead();
	if (threadIdx.x < HOPPER_GROUP) {
		hopper_regs_give<40>();
		if (threadIdx.x == 0)
			produce<KIND, END, TWO>(g, &m, p, rank);
		__syncwarp();
	} else {
		hopper_regs_take<232>();
		consume<KIND, END, T, TWO>(g, &m, p, rank);
		__syncwarp();
	}
	hopper_cluster_sync();
#endif
}

/* ---- the host ----------------------------------------------------------- */

typedef void gemm_fn(const struct maps, const struct gemm);

struct instance {
	gemm_fn *fn; /* NULL if there is none */
	int smem, width;
};

template <enum product_kind KIND, enum product_end END, class T, bool TWO = false>
static struct instance
instance(void)
{
	struct instance i = {
	    gemm_kernel<KIND, END, T, TWO>, sizes<END, TWO>::smem, sizes<END, TWO>::width};

	return i;
}

static struct instance
instance_for(const struct product *p)
{
	struct instance none = {};

	switch (p->kind) {
	case PRODUCT_NT:
		if (p->end == PRODUCT_PLAIN && p->f32)
			return instance<PRODUCT_NT, PRODUCT_PLAIN, float>();
		if (p->end == PRODUCT_PLAIN)
			return instance<PRODUCT_NT, PRODUCT_PLAIN, bf16>();
		if (p->end == PRODUCT_ACT)
			return instance<PRODUCT_NT, PRODUCT_ACT, bf16>();
		if (p->end == PRODUCT_GATED)
			return p->gu ? instance<PRODUCT_NT, PRODUCT_GATED, bf16, true>()
				     : instance<PRODUCT_NT, PRODUCT_GATED, bf16>();
		break;
	case PRODUCT_NN:
		if (p->end == PRODUCT_PLAIN && !p->f32)
			return instance<PRODUCT_NN, PRODUCT_PLAIN, bf16>();
		if (p->end == PRODUCT_SLOPE)
			return instance<PRODUCT_NN, PRODUCT_SLOPE, bf16>();
		if (p->end == PRODUCT_GATED_BWD)
			return instance<PRODUCT_NN, PRODUCT_GATED_BWD, bf16>();
		break;
	case PRODUCT_TN:
		if (p->end == PRODUCT_PLAIN && p->f32)
			return instance<PRODUCT_TN, PRODUCT_PLAIN, float>();
		break;
	}
	return none;
}

bool
cuda_gemm_can(struct gvk_stream *s, const struct product *p)
{
	const int64_t most = INT32_MAX - 1024;
	struct cuda_stream *c = (struct cuda_stream *)s->priv;

	return c->dev->sm == 90 && instance_for(p).fn && p->M <= most && 2 * p->N <= most &&
	       p->K <= most && p->N % 8 == 0 && cuda_vec8(p->a, p->lda) &&
	       cuda_vec8(p->b, p->ldb) && cuda_vec8(p->c, p->ldc) && cuda_vec8(p->bias, 0) &&
	       cuda_vec8(p->r, 0) && cuda_vec8(p->pre, 0) && cuda_vec8(p->gu, 0) &&
	       cuda_vec8(p->y, 0);
}

/* A map of panels of 64 rows over what an end reads or writes, (M,N) of row
 * stride ld; or over g and u, (M,2,N). */
static bool
map_desk(struct gvk_stream *s, CUtensorMap *to, const void *at, const struct product *p, int64_t ld,
    bool gu)
{
	struct hopper_tensor t = {};
	int last = gu ? 2 : 1;

	t.p = at;
	t.type = p->f32 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
	t.swizzle = CU_TENSOR_MAP_SWIZZLE_128B;
	t.rank = last + 1;
	t.size[0] = (uint64_t)p->N;
	t.box[0] = p->f32 ? 32 : 64;
	t.size[1] = 2;
	t.stride[1] = (uint64_t)p->N * sizeof(bf16);
	t.box[1] = 1;
	t.size[last] = (uint64_t)p->M;
	t.stride[last] = (uint64_t)ld * (p->f32 ? sizeof(float) : sizeof(bf16));
	t.box[last] = 64;
	return hopper_map(s, to, &t);
}

static bool
map_all(struct gvk_stream *s, struct maps *m, const struct product *p, int width)
{
	bool gated = p->end == PRODUCT_GATED, bwd = p->end == PRODUCT_GATED_BWD;
	const void *in = bwd                       ? p->gu
			 : p->end == PRODUCT_SLOPE ? p->pre
			 : p->add && !p->f32       ? (const bf16 *)p->c
						   : p->r;
	const void *two = gated ? p->gu : bwd ? p->y : p->end == PRODUCT_ACT ? p->pre : NULL;
	int box = gated ? width : width / 2; /* of B's rows that a block loads */

	if (!(p->kind == PRODUCT_TN
		    ? hopper_map_panels(s, &m->a, p->a, p->K, p->M, p->lda, 64)
		    : hopper_map_panels(s, &m->a, p->a, p->M, p->K, p->lda, TILE_M)))
		return false;
	if (!(p->kind == PRODUCT_NT
		    ? hopper_map_panels(s, &m->b, p->b, gated ? 2 * p->N : p->N, p->K, p->ldb, box)
		    : hopper_map_panels(s, &m->b, p->b, p->K, p->N, p->ldb, TILE_K / 2)))
		return false;
	return (!in || map_desk(s, &m->in, in, p, bwd ? 2 * p->N : p->ldc, bwd)) &&
	       map_desk(s, &m->out, p->c, p, p->ldc, bwd) &&
	       (!two || map_desk(s, &m->two, two, p,
			    gated ? 2 * p->N
			    : bwd ? p->N
				  : p->ldc,
			    gated));
}

static void
launch(struct gvk_stream *s, const struct instance *i, const struct maps *m, const struct gemm *g)
{
	struct cuda_stream *c = (struct cuda_stream *)s->priv;
	int64_t clusters = cuda_min(c->dev->processors / CLUSTER, (int64_t)g->pairs * g->tiles_n);
	cudaLaunchAttribute attr[2] = {};
	cudaLaunchConfig_t to = {};

	attr[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
	attr[1].val.programmaticStreamSerializationAllowed = 1;
	attr[0].id = cudaLaunchAttributeClusterDimension;
	attr[0].val.clusterDim.x = CLUSTER;
	attr[0].val.clusterDim.y = 1;
	attr[0].val.clusterDim.z = 1;
	to.gridDim = dim3((unsigned)clusters * CLUSTER);
	to.blockDim = dim3(THREADS);
	to.dynamicSmemBytes = (size_t)i->smem;
	to.stream = c->st;
	to.attrs = attr;
	to.numAttrs = c->soon ? 2 : 1;
	c->soon = true;
	if (CUDA_SMEM(s, i->fn, i->smem))
		cuda_ok(s, cudaLaunchKernelEx(&to, i->fn, *m, *g), "gemm");
}

bool
cuda_gemm(struct gvk_stream *s, const struct product *p)
{
	struct instance i = instance_for(p);
	struct gemm g = {};
	struct maps m;

	if (!cuda_gemm_can(s, p))
		return false;
	g.M = (int)p->M;
	g.N = (int)p->N;
	g.K = (int)p->K;
	g.pairs = (int)cuda_div_up(p->M, TILE_M * CLUSTER);
	g.tiles_n = (int)cuda_div_up(p->N, i.width);
	g.bias = p->bias;
	g.act = p->act;
	g.add = p->add;
	g.in = p->add || p->r;
	g.two = p->end == PRODUCT_GATED       ? p->gu != NULL
		: p->end == PRODUCT_GATED_BWD ? p->y != NULL
					      : p->pre != NULL;
	if (map_all(s, &m, p, i.width))
		launch(s, &i, &m, &g);
	return true;
}
