// Shared by the CUDA sources: PTX instructions that C++ lacks, numbers in bfloat16 pieces, and products of tiles on
// tensor cores. Everything that only a GPU understands is behind __CUDACC__; the tests compile the rest as plain C++.
//
// Words of all sources:
// - piece: a bfloat16 number. One to three pieces add up to one number.
// - tile: TILE by TILE numbers of a matrix. All matrices are padded to whole tiles.
// - plane: a tile in shared memory, of float32 or of one piece of each number. It has PLANE elements, and its rows are
//   STRIDE elements apart.
// - term: the product of two tiles. A tile of a matrix product is the sum of its terms; their number is the depth.
// - stage: one of 1 to 3 buffers in shared memory, each for the tiles of a term. If the weights are resident, the block
//   keeps the weights of all terms next to the stages, and a stage has no weights.
//
// A float32 w is the sum of three pieces, w = w0 + w1 + w2. Each piece is the bfloat16 nearest to w minus the pieces
// before it. Spike counts up to 256 are one piece. Products of pieces are exact. Tensor cores add them in float32 and
// truncate towards zero: over thousands of steps, the error is a ten-thousandth of a sum. With more than one piece,
// tensor cores therefore add only within a term, and terms are added with float32 rounding. The error is then at most a
// millionth of a sum.
//
// Sizes (TILE, STRIDE, PLANE, BLOCK_THREADS, ...) and the constants of the exponential are macros that Rust defines:
// see kernel/program.rs.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef u16 bf16;

#ifdef __CUDACC__
#define KERNEL(name, Args, max_threads) \
    extern "C" __global__ void __launch_bounds__(max_threads) name(const __grid_constant__ Args args)

__device__ __forceinline__ u8* dynamic_shared_memory() {
    extern __shared__ __align__(128) u8 memory[];
    return memory;
}

// d += a b, of 16 by 16 and 16 by 8, in the fragments of mma.m16n8k16.
__device__ __forceinline__ void mma_16816(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

template <typename T>
__device__ __forceinline__ bool is_finite(T x) {
    return x - x == 0;
}

// Stores in `state` that hidden layer `layer` has a potential that is NaN or infinite. The layers run in their order,
// so `state` keeps the lowest such layer of a batch. All threads of a layer write the same number.
__device__ __forceinline__ void note_overflow(State& state, u32 layer) {
    if (state.overflowed == 0) state.overflowed = layer + 1;
}

// Adds up one number per thread of a block, in a fixed order. Only the first thread gets the sum.
__device__ __forceinline__ double block_sum(double own) {
    double* sums = (double*)dynamic_shared_memory(); // (BLOCK_THREADS,)
    sums[threadIdx.x] = own;
    for (u32 half = BLOCK_THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    return sums[0];
}

// Copies 16 bytes into shared memory, asynchronously.
__device__ __forceinline__ void copy_16(void* to, const void* from) {
#ifdef __CUDACC__
    const u32 at = (u32)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(from) : "memory");
#else
    *(uint4*)to = *(const uint4*)from;
#endif
}

// Ends a group of copies.
__device__ __forceinline__ void copies_end() {
#ifdef __CUDACC__
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most `groups` groups of this thread's copies are unfinished.
template <int groups>
__device__ __forceinline__ void copies_wait() {
#ifdef __CUDACC__
    asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
#endif
}

// The nearest bfloat16, ties to even.
__device__ __forceinline__ bf16 to_bf16(float x) {
    u32 bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff; // NaN stays NaN
    return (bf16)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

__device__ __forceinline__ float from_bf16(bf16 x) {
    return __uint_as_float((u32)x << 16);
}

// Writes the pieces of x. If x is NaN or infinite, the first piece is too, and so is every product.
template <int pieces>
__device__ __forceinline__ void split(float x, bf16 (&out)[pieces]) {
#pragma unroll
    for (int p = 0; p < pieces; p++) {
        out[p] = to_bf16(x);
        float rest = x - from_bf16(out[p]);
        x = rest - rest == 0.0f ? rest : 0.0f;
    }
}

// The nearest bfloat16s of two numbers, the first in the low half.
__device__ __forceinline__ u32 to_bf16_pair(float low, float high) {
#ifdef __CUDACC__
    u32 both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
#else
    return (u32)to_bf16(low) | (u32)to_bf16(high) << 16;
#endif
}

// The pieces of two numbers, as in `split`.
template <int pieces>
__device__ __forceinline__ void split_pair(float low, float high, u32 (&out)[pieces]) {
#pragma unroll
    for (int p = 0; p < pieces; p++) {
        out[p] = to_bf16_pair(low, high);
        if (p + 1 == pieces) break;
        float l = low - __uint_as_float(out[p] << 16), h = high - __uint_as_float(out[p] & 0xffff0000u);
        low = l - l == 0.0f ? l : 0.0f;
        high = h - h == 0.0f ? h : 0.0f;
    }
}

// Two neighbouring numbers of a plane.
__device__ __forceinline__ u32 pair(const bf16* at) {
    return *(const u32*)at;
}

// Two numbers of a column of a plane, in neighbouring rows.
__device__ __forceinline__ u32 column_pair(const bf16* at) {
    return (u32)at[0] | (u32)at[STRIDE] << 16;
}

// Loads four 8 by 8 matrices of a plane as fragments of mma: a 16 by 16 square that starts at `row` and `column`. The
// order is top left, bottom left, top right, bottom right if DOWN, else top left, top right, bottom left, bottom right.
// If TRANSPOSED, a thread gets pairs of neighbours in a column, otherwise pairs of neighbours in a row.
template <bool TRANSPOSED, bool DOWN>
__device__ __forceinline__ void load_matrices(u32 (&out)[4], const bf16* plane, int row, int column) {
    const int lane = threadIdx.x % WARP;
    auto start = [&](int i) {
        return plane + (row + (DOWN ? i % 2 : i / 2) * 8) * STRIDE + column + (DOWN ? i / 2 : i % 2) * 8;
    };
#ifdef __CUDACC__
    u32 at = (u32)__cvta_generic_to_shared(start(lane / 8) + lane % 8 * STRIDE);
    if (TRANSPOSED) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                     : "r"(at)
                     : "memory");
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                     : "r"(at)
                     : "memory");
    }
#else
    for (int i = 0; i < 4; i++) {
        if (TRANSPOSED) out[i] = column_pair(start(i) + lane % 4 * 2 * STRIDE + lane / 4);
        else out[i] = pair(start(i) + lane / 4 * STRIDE + lane % 4 * 2);
    }
#endif
}

// A warp's 32 by 16 numbers of a tile of a product: at[m][n] is the fragment of 16 rows from row 16 m on, and of 8
// columns from column 8 n on. Of the eight warps that multiply, four have the upper half of the tile, and four the
// lower half.
struct Sums {
    float at[2][2][4];
    enum { COUNT = 16 };

    __device__ __forceinline__ static int row() { return threadIdx.x / 128 * 32; }
    __device__ __forceinline__ static int column() { return threadIdx.x / WARP % 4 * 16; }
};

__device__ __forceinline__ void clear(Sums& sums) {
#pragma unroll
    for (int i = 0; i < Sums::COUNT; i++) ((float*)sums.at)[i] = 0.0f;
}

// Adds the products of pieces that matter: piece i of a by piece j of b, with i + j below the larger number of pieces.
template <int A, int B>
__device__ __forceinline__ void add_products(Sums& sums, const u32 (&a)[A][2][4], const u32 (&b)[B][2][2]) {
    constexpr int count = A > B ? A : B;
#pragma unroll
    for (int i = A - 1; i >= 0; i--)
#pragma unroll
        for (int j = B - 1; j >= 0; j--) {
            if (i + j >= count) continue;
#pragma unroll
            for (int m = 0; m < 2; m++)
#pragma unroll
                for (int n = 0; n < 2; n++) mma_16816(sums.at[m][n], a[i][m], b[j][n]);
        }
}

// Calls `add` to add a term to the sums. With several pieces, `add` gets sums of 0, which are then added to `sums`.
template <int pieces, typename Add>
__device__ __forceinline__ void add_term(Sums& sums, Add add) {
    if (pieces == 1) {
        add(sums);
        return;
    }
    Sums term;
    clear(term);
    add(term);
#pragma unroll
    for (int i = 0; i < Sums::COUNT; i++) ((float*)sums.at)[i] += ((const float*)term.at)[i];
}

// Adds the term of two tiles, `a` of A planes and `b` of B planes, to the sums: rows of `a` by rows of `b` if ROWS,
// else columns of `a` by columns of `b`.
template <bool ROWS, int A, int B>
__device__ __forceinline__ void multiply(Sums& sums, const bf16* a, const bf16* b) {
    const int rows = Sums::row(), columns = Sums::column();
    add_term<(A > B ? A : B)>(sums, [&](Sums& term) {
#pragma unroll
        for (int k = 0; k < TILE; k += 16) {
            u32 as[A][2][4], bs[B][2][2];
#pragma unroll
            for (int p = 0; p < A; p++)
#pragma unroll
                for (int m = 0; m < 2; m++) {
                    const bf16* from = a + p * PLANE;
                    if (ROWS) load_matrices<false, true>(as[p][m], from, rows + m * 16, k);
                    else load_matrices<true, false>(as[p][m], from, k, rows + m * 16);
                }
#pragma unroll
            for (int p = 0; p < B; p++) {
                const bf16* from = b + p * PLANE;
                u32 both[4];
                if (ROWS) load_matrices<false, false>(both, from, columns, k);
                else load_matrices<true, true>(both, from, k, columns);
                bs[p][0][0] = both[0], bs[p][0][1] = both[1];
                bs[p][1][0] = both[2], bs[p][1][1] = both[3];
            }
            add_products<A, B>(term, as, bs);
        }
    });
}

// Writes the sums to a tile whose rows are `stride` elements apart.
__device__ __forceinline__ void store(const Sums& sums, float* tile, size_t stride) {
    const int g = threadIdx.x % WARP / 4, q = threadIdx.x % 4;
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int n = 0; n < 2; n++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int row = Sums::row() + m * 16 + half * 8 + g, column = Sums::column() + n * 8 + 2 * q;
                const float* two = sums.at[m][n] + 2 * half;
                *(float2*)(tile + row * stride + column) = make_float2(two[0], two[1]);
            }
}

// BLOCK_THREADS threads copy tiles of a matrix of `width` columns into planes, asynchronously. The constructor computes
// once what depends only on the thread.
struct TileCopy {
    size_t first, next;
    u32 to;

    __device__ __forceinline__ explicit TileCopy(u32 width) {
        const u32 row = threadIdx.x / 8, column = threadIdx.x % 8 * 8;
        first = (size_t)row * width + column;
        next = (size_t)(BLOCK_THREADS / 8) * width;
        to = row * STRIDE + column;
    }

    // Copies the tile at `from`, in N pieces. In device memory the pieces are `apart` elements apart.
    template <int N>
    __device__ __forceinline__ void pieces(bf16* planes, const bf16* from, size_t apart) const {
        for (int p = 0; p < N; p++) plane(planes + p * PLANE, from + p * apart);
    }

  private:
    __device__ __forceinline__ void plane(bf16* plane, const bf16* from) const {
        from += first, plane += to;
#pragma unroll
        for (int i = 0; i < TILE * 8 / BLOCK_THREADS; i++) {
            copy_16(plane, from);
            from += next, plane += BLOCK_THREADS / 8 * STRIDE;
        }
    }
};

// Counts through the terms of a product without divisions: for each tile of steps, k goes from 0 to depth - 1.
struct Term {
    u32 tile = 0, k = 0, depth;

    __device__ __forceinline__ explicit Term(u32 depth) : depth(depth) {}

    __device__ __forceinline__ bool is_last() const { return k + 1 == depth; }

    __device__ __forceinline__ void advance() {
        if (is_last()) tile++, k = 0;
        else k++;
    }
};

// Calls `load` and then `use` for each of `terms` terms, with the index of the term's stage. There are 1 to 3 stages.
// With more than one stage, the next terms are loaded while one term is used.
template <typename Load, typename Use>
__device__ __forceinline__ void pipeline(u32 terms, u32 stages, Load load, Use use) {
    u32 to = 0, from = 0, next = 0;
    auto load_next = [&] {
        if (next < terms) load(to);
        copies_end();
        next++;
        to = to + 1 == stages ? 0 : to + 1;
    };
    while (next + 1 < stages) load_next();
    for (u32 term = 0; term < terms; term++) {
        load_next();
        if (stages == 3) copies_wait<2>();
        else if (stages == 2) copies_wait<1>();
        else copies_wait<0>();
        __syncthreads();
        use(from);
        __syncthreads();
        from = from + 1 == stages ? 0 : from + 1;
    }
}

// v rounded down to an integer, or 0 if v is negative. v must be below SMALL. NaN stays NaN. This takes a third of the
// time of truncf and a comparison.
#define SMALL 4194304.0f
__device__ __forceinline__ float whole_below_small(float v) {
#ifdef __CUDACC__
    float count;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(count) : "f"(__fadd_rd(v, 8388608.0f) - 8388608.0f), "f"(0.0f));
    return count;
#else
    const double exact = (double)v + 8388608.0;
    const float sum = (float)exact, down = sum > exact ? nextafterf(sum, -INFINITY) : sum;
    return down < 8388608.0f ? 0.0f : down - 8388608.0f;
#endif
}

// e^x for x <= 0, as in kernel/exp.rs.
__device__ __forceinline__ float exp_nonpositive(float x) {
    float bounded = x < EXP_UNDERFLOW ? EXP_UNDERFLOW : x;
    float shifted = fmaf(bounded, EXP_LOG2_E, EXP_ROUND);
    float n = shifted - EXP_ROUND;
    float r = fmaf(n, -EXP_LN2_LOW, fmaf(n, -EXP_LN2_HIGH, bounded));
    float square = r * r;
    float low = fmaf(r, EXP_C3, EXP_C2);
    float middle = fmaf(r, EXP_C5, EXP_C4);
    float high = fmaf(r, EXP_C7, EXP_C6);
    high = fmaf(fmaf(high, square, middle), square, low);
    float p = fmaf(high, square, r + 1.0f);
    float power = __uint_as_float((__float_as_uint(shifted) + 127) << 23);
    return x <= EXP_UNDERFLOW ? 0.0f : p * power;
}
