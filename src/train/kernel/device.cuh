// Shared by the CUDA sources: PTX instructions that C++ lacks, numbers in bfloat16 pieces, and products of tiles on
// tensor cores. Everything that only a GPU understands is behind __CUDACC__; the tests compile the rest as plain C++.
//
// A float32 w is the sum of three bfloat16 pieces, w = w0 + w1 + w2. Each piece is the bfloat16 nearest to what the
// pieces before it leave. Spike counts up to 256 are one piece. Products of pieces are exact. Tensor cores add them in
// float32 and truncate towards zero: over thousands of steps, the error is a ten-thousandth of a sum. With more than
// one piece, tensor cores therefore add only over the depth of a tile, and tiles are added with float32 rounding. The
// error is then at most a part in a million.
//
// Sizes (TILE, STRIDE, PLANE, MULTIPLY_THREADS, BLOCK_THREADS, ...) and the constants of the exponential are macros
// that Rust defines: see kernel/program.rs.

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
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

// Copies 16 bytes into shared memory, asynchronously.
__device__ __forceinline__ void copy_16(void* to, const void* from) {
#ifdef __CUDACC__
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((u32)__cvta_generic_to_shared(to)), "l"(from) : "memory");
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

// Two neighbouring numbers of a tile in shared memory.
__device__ __forceinline__ u32 pair(const bf16* at) {
    return *(const u32*)at;
}

// Two numbers of a column, in neighbouring rows.
__device__ __forceinline__ u32 column_pair(const bf16* at) {
    return (u32)at[0] | (u32)at[STRIDE] << 16;
}

// Loads four 8 by 8 blocks, transposed, of a tile whose rows are the depth of a product. The first block starts at
// `row` and `column`; the second is the next in depth if `deep`, else the next in width.
__device__ __forceinline__ void load_transposed(u32 (&out)[4], const bf16* tile, int row, int column, bool deep) {
    int lane = threadIdx.x % 32;
#ifdef __CUDACC__
    int block = lane / 8;
    int r = row + lane % 8 + (deep ? block % 2 : block / 2) * 8;
    int c = column + (deep ? block / 2 : block % 2) * 8;
    u32 at = (u32)__cvta_generic_to_shared(tile + r * STRIDE + c);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(at)
                 : "memory");
#else
    for (int block = 0; block < 4; block++) {
        int r = row + (deep ? block % 2 : block / 2) * 8 + lane % 4 * 2;
        int c = column + (deep ? block / 2 : block % 2) * 8 + lane / 4;
        out[block] = column_pair(tile + r * STRIDE + c);
    }
#endif
}

// A warp's 32 by 32 part of a tile: [16 rows][8 columns][fragment].
struct Sums {
    float at[2][4][4];
};

__device__ __forceinline__ void clear(Sums& sums) {
#pragma unroll
    for (int i = 0; i < 32; i++) ((float*)sums.at)[i] = 0.0f;
}

// Adds the products of pieces that matter: piece i of a by piece j of b, with i + j below the larger number of pieces.
template <int A, int B>
__device__ __forceinline__ void add_products(Sums& sums, const u32 (&a)[A][2][4], const u32 (&b)[B][4][2]) {
    constexpr int count = A > B ? A : B;
#pragma unroll
    for (int i = A - 1; i >= 0; i--)
#pragma unroll
        for (int j = B - 1; j >= 0; j--) {
            if (i + j >= count) continue;
#pragma unroll
            for (int m = 0; m < 2; m++)
#pragma unroll
                for (int n = 0; n < 4; n++) mma_16816(sums.at[m][n], a[i][m], b[j][n]);
        }
}

// Calls `add` to add a tile's products to the sums. With several pieces, it adds to sums of its own first.
template <int pieces, typename Add>
__device__ __forceinline__ void add_tile(Sums& sums, Add add) {
    if (pieces == 1) {
        add(sums);
        return;
    }
    Sums tile;
    clear(tile);
    add(tile);
#pragma unroll
    for (int i = 0; i < 32; i++) ((float*)sums.at)[i] += ((const float*)tile.at)[i];
}

// sums += a b^T: rows of `a` (A planes) by rows of `b` (B planes), both TILE deep.
template <int A, int B>
__device__ __forceinline__ void multiply_rows(Sums& sums, const bf16* a, const bf16* b) {
    int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, q = threadIdx.x % 4;
    const bf16* a_at = a + (warp / 2 * 32 + g) * STRIDE + 2 * q;
    const bf16* b_at = b + (warp % 2 * 32 + g) * STRIDE + 2 * q;
    add_tile<(A > B ? A : B)>(sums, [&](Sums& tile) {
#pragma unroll
        for (int k = 0; k < TILE; k += 16) {
            u32 as[A][2][4], bs[B][4][2];
#pragma unroll
            for (int p = 0; p < A; p++)
#pragma unroll
                for (int m = 0; m < 2; m++) {
                    const bf16* at = a_at + p * PLANE + m * 16 * STRIDE + k;
                    as[p][m][0] = pair(at);
                    as[p][m][1] = pair(at + 8 * STRIDE);
                    as[p][m][2] = pair(at + 8);
                    as[p][m][3] = pair(at + 8 * STRIDE + 8);
                }
#pragma unroll
            for (int p = 0; p < B; p++)
#pragma unroll
                for (int n = 0; n < 4; n++) {
                    const bf16* at = b_at + p * PLANE + n * 8 * STRIDE + k;
                    bs[p][n][0] = pair(at);
                    bs[p][n][1] = pair(at + 8);
                }
            add_products<A, B>(tile, as, bs);
        }
    });
}

// sums += a^T b: columns of `a` (A planes) by columns of `b` (B planes), both TILE deep.
template <int A, int B>
__device__ __forceinline__ void multiply_columns(Sums& sums, const bf16* a, const bf16* b) {
    int warp = threadIdx.x / 32, rows = warp / 2 * 32, columns = warp % 2 * 32;
    add_tile<(A > B ? A : B)>(sums, [&](Sums& tile) {
#pragma unroll
        for (int k = 0; k < TILE; k += 16) {
            u32 as[A][2][4], bs[B][4][2];
#pragma unroll
            for (int p = 0; p < A; p++)
#pragma unroll
                for (int m = 0; m < 2; m++) load_transposed(as[p][m], a + p * PLANE, k, rows + m * 16, false);
#pragma unroll
            for (int p = 0; p < B; p++)
#pragma unroll
                for (int n = 0; n < 4; n += 2) {
                    u32 both[4];
                    load_transposed(both, b + p * PLANE, k, columns + n * 8, true);
                    bs[p][n][0] = both[0], bs[p][n][1] = both[1];
                    bs[p][n + 1][0] = both[2], bs[p][n + 1][1] = both[3];
                }
            add_products<A, B>(tile, as, bs);
        }
    });
}

// Calls `each` with the row, the even column, and the two neighbouring sums of this thread.
template <typename Each>
__device__ __forceinline__ void for_each_pair(const Sums& sums, Each each) {
    int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, q = threadIdx.x % 4;
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                int row = warp / 2 * 32 + m * 16 + half * 8 + g, column = warp % 2 * 32 + n * 8 + 2 * q;
                each(row, column, sums.at[m][n][2 * half], sums.at[m][n][2 * half + 1]);
            }
}

// Copies a TILE by TILE part of a matrix of `width` columns into a tile, asynchronously.
__device__ __forceinline__ void copy_tile(bf16* tile, const bf16* from, size_t width) {
#pragma unroll
    for (int i = 0; i < TILE * 8 / MULTIPLY_THREADS; i++) {
        int chunk = threadIdx.x + i * MULTIPLY_THREADS, row = chunk / 8, part = chunk % 8;
        copy_16(tile + row * STRIDE + part * 8, from + row * width + part * 8);
    }
}

// Calls `load` and then `use` with each of `parts` parts and its slot in shared memory. With two STAGES, a part is
// loaded while the one before it is used.
template <int STAGES, typename Load, typename Use>
__device__ __forceinline__ void pipeline(u32 parts, Load load, Use use) {
    if (STAGES > 1 && parts > 0) load(0, 0);
    copies_end();
    for (u32 part = 0; part < parts; part++) {
        u32 next = part + STAGES - 1;
        if (next < parts) load(next, next % STAGES);
        copies_end();
        copies_wait<STAGES - 1>();
        __syncthreads();
        use(part, part % STAGES);
        __syncthreads();
    }
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
