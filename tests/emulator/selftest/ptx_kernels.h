// The kernels of ptx.cpp, compiled by the real NVRTC. The names of those with a fault say which.
#pragma once

static const char* const kernels = R"(
typedef unsigned u32;
struct Args { const u32* in; u32* out; };
#define KERNEL(name) extern "C" __global__ void __launch_bounds__(128) name(const __grid_constant__ Args args)
__device__ volatile u32* shared() { extern __shared__ __align__(128) u32 memory[]; return memory; }
__device__ u32 at(u32 i) { return (u32)__cvta_generic_to_shared((void*)(shared() + i)); }
__device__ void copy(u32 to, const u32* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}
__device__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int n> __device__ void wait() { asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory"); }
#define LANE (threadIdx.x % 32)
#define NEXT ((threadIdx.x + 1) % blockDim.x)

#define OUT(...) { u32 r; asm volatile(__VA_ARGS__); args.out[n++] = r; }
KERNEL(instructions) {
    u32 n = 0, a = args.in[0], nan = 0x7fc00000u, inf = 0x7f800000u, big = 40;
    OUT("shl.b32 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(big))
    OUT("shr.s32 %0, %1, %2;" : "=r"(r) : "r"(~a), "r"(big))
    OUT("shr.u32 %0, %1, 32;" : "=r"(r) : "r"(a))
    OUT("bfi.b32 %0, %1, %2, 4, 8;" : "=r"(r) : "r"(0xffabu), "r"(0x1234500fu))
    OUT("{ .reg .f32 x, y; mov.b32 x, %1; neg.f32 y, x; add.rn.f32 x, x, y; mov.b32 %0, x; }" : "=r"(r) : "r"(inf))
    OUT("{ .reg .pred p; .reg .f32 x; .reg .b32 y; mov.b32 x, %1; setp.lt.f32 p, x, x; selp.b32 %0, 1, 0, p;"
        " setp.ltu.f32 p, x, x; selp.b32 y, 2, 0, p; or.b32 %0, %0, y; setp.neu.f32 p, x, x; selp.b32 y, 4, 0, p;"
        " or.b32 %0, %0, y; setp.ne.f32 p, x, x; selp.b32 y, 8, 0, p; or.b32 %0, %0, y; }" : "=r"(r) : "r"(nan))
    OUT("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(__uint_as_float(0x40008000u)), "f"(__uint_as_float(0x40018000u)))
    OUT("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(__uint_as_float(0xffc00001u)), "f"(__uint_as_float(0x7f7fffffu)))
    float e = __uint_as_float(0x3f800001u); // 1 + 2^-23; its square less 1 + 2^-22 is 2^-46
    OUT("{ .reg .f32 x; fma.rn.f32 x, %1, %1, %2; mov.b32 %0, x; }" : "=r"(r) : "f"(e), "f"(-1.0f - 0x1p-22f))
    OUT("{ .reg .f32 x; mul.rn.f32 x, %1, %1; add.rn.f32 x, x, %2; mov.b32 %0, x; }"
        : "=r"(r) : "f"(e), "f"(-1.0f - 0x1p-22f))
    OUT("{ .reg .b16 l, h; .reg .b32 x; mov.b32 {l, h}, %1; cvt.u32.u16 x, l; cvt.u32.u16 %0, h;"
        " shl.b32 %0, %0, 16; add.s32 %0, %0, x; }" : "=r"(r) : "r"(0x00021111u))
    OUT("{ .reg .b16 l, h; mov.u16 l, 2; mov.u16 h, 3; mov.b32 %0, {l, h}; }" : "=r"(r) :)
#define FLOAT(operation, a, b) \
    OUT("{ .reg .f32 x; " operation ".f32 x, %1, %2; mov.b32 %0, x; }" : "=r"(r) : "f"(a), "f"(b))
    FLOAT("add.rm", 8388608.0f, 2.75f)
    FLOAT("add.rm", 8388608.0f, -0.25f)
    FLOAT("add.rm", 1.0f, -0x1p-100f)
    FLOAT("add.rm", 1.0f, -1.0f)
    FLOAT("add.rm", 0x1.fffffep127f, 0x1p80f)
    FLOAT("max.NaN", __uint_as_float(0xffc00001u), 1.0f)
    FLOAT("max.NaN", 1.0f, __uint_as_float(nan))
    FLOAT("max.NaN", -3.0f, 0.0f)
    FLOAT("max", __uint_as_float(nan), 1.0f)
// The upper half of a float64.
#define DOUBLE(code, a) \
    OUT("{ .reg .f64 x; .reg .b32 l; " code " mov.b64 {l, %0}, x; }" : "=r"(r) : "d"(a))
    DOUBLE("mov.f64 x, 0d3FF0000000000000; min.f64 x, x, %1;", __longlong_as_double(0x7ff8000000000000ll))
    DOUBLE("rcp.rn.f64 x, %1;", 4.0)
    DOUBLE("abs.f64 x, %1;", -2.0)
    OUT("{ .reg .b64 x; .reg .b32 l; cvt.u64.u32 x, %1; not.b64 x, x; mov.b64 {l, %0}, x; }" : "=r"(r) : "r"(0u))
    OUT("{ .reg .pred p; .reg .b32 y; setp.nan.f32 p, %1, %2; selp.b32 %0, 1, 0, p; setp.nan.f32 p, %2, %2;"
        " selp.b32 y, 2, 0, p; or.b32 %0, %0, y; }" : "=r"(r) : "f"(__uint_as_float(nan)), "f"(1.0f))
}

KERNEL(shuffle) {
    args.out[LANE] = __shfl_xor_sync(~0u, LANE, 9);
}

// A is (16, 16) and B (16, 8), rows first, in shared memory.
template <bool SWAPPED>
__device__ void multiply_by(const Args& args) {
    for (u32 i = LANE; i < 192; i += 32) shared()[i] = args.in[i];
    __syncthreads();
    u32 g = LANE / 4, q = LANE % 4, a[4], b[4], from = at(128 + LANE % 16 * 4);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3]) : "r"(at(LANE % 16 * 8 + LANE / 16 * 4)));
    if (SWAPPED) { u32 t = a[1]; a[1] = a[2]; a[2] = t; }
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3]) : "r"(from));
    float d[4] = {};
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    float* out = (float*)args.out;
    for (u32 i = 0; i < 4; i++) out[(g + i / 2 * 8) * 8 + q * 2 + i % 2] = d[i];
}
KERNEL(multiply) { multiply_by<false>(args); }
KERNEL(multiply_wrong_fragments) { multiply_by<true>(args); }

__device__ void rotate_with(const Args& args, int how) {
    shared()[threadIdx.x] = 9;
    __syncthreads();
    shared()[threadIdx.x] = threadIdx.x;
    if (how == 1) __syncthreads();
    if (how == 2) __syncwarp();
    u32 spare = how == 3 ? __shfl_xor_sync(~0u, LANE, 1) : 0;
    u32 next = how == 2 && blockDim.x > 32 && args.in[1] ? threadIdx.x / 32 * 32 + (LANE + 1) % 32 : NEXT;
    args.out[blockIdx.x * blockDim.x + threadIdx.x] = shared()[next] + spare;
}
KERNEL(rotate) { rotate_with(args, 1); }
KERNEL(rotate_in_warp) { rotate_with(args, 2); }
KERNEL(rotate_without_barrier) { rotate_with(args, 0); }
KERNEL(rotate_by_shuffle) { rotate_with(args, 3); }
KERNEL(rotate_in_warp_of_two) {
    for (u32 i = 0; i < 2; i++) {
        shared()[threadIdx.x] = i;
        if (i == 0) __syncthreads();
    }
    __syncwarp();
    args.out[threadIdx.x] = shared()[NEXT];
}
KERNEL(overwrite) {
    shared()[threadIdx.x] = 1;
    __syncthreads();
    u32 x = shared()[NEXT];
    shared()[threadIdx.x] = x + 1;
}
KERNEL(rotate_in_global) {
    volatile u32* own = args.out + blockIdx.x * blockDim.x;
    own[threadIdx.x] = threadIdx.x;
    __syncthreads();
    u32 x = own[NEXT];
    __syncthreads();
    own[threadIdx.x] = x;
}
KERNEL(in_global_without_barrier) {
    volatile u32* own = args.out + blockIdx.x * blockDim.x;
    own[threadIdx.x] = threadIdx.x;
    shared()[threadIdx.x] = own[NEXT];
}
KERNEL(across_blocks) {
    volatile u32* out = args.out;
    out[blockIdx.x * blockDim.x + threadIdx.x] = 1;
    __syncthreads();
    shared()[threadIdx.x] = out[(blockIdx.x + 1) % gridDim.x * blockDim.x + threadIdx.x];
}
KERNEL(same) { args.out[0] = 7; }
KERNEL(differently) { args.out[0] = blockIdx.x; }
// Neighbouring threads write the halves of a word.
KERNEL(halves) {
    ((volatile unsigned short*)shared())[threadIdx.x] = 1;
    ((unsigned short*)args.out)[blockIdx.x * blockDim.x + threadIdx.x] = 1;
}

KERNEL(copy) {
    copy(at(threadIdx.x * 4), args.in + threadIdx.x * 4);
    commit();
    wait<0>();
    __syncthreads();
    args.out[blockIdx.x * blockDim.x + threadIdx.x] = shared()[NEXT * 4];
}
KERNEL(copy_without_wait) {
    copy(at(threadIdx.x * 4), args.in + threadIdx.x * 4);
    commit();
    __syncthreads();
    args.out[threadIdx.x] = shared()[threadIdx.x * 4];
}
KERNEL(copy_without_commit) {
    copy(at(threadIdx.x * 4), args.in + threadIdx.x * 4);
    wait<0>();
    __syncthreads();
    args.out[threadIdx.x] = shared()[threadIdx.x * 4];
}
KERNEL(copy_with_wait_for_all_but_one) {
    for (u32 i = 0; i < 2; i++) copy(at(i * 256 + threadIdx.x * 4), args.in + threadIdx.x * 4), commit();
    wait<1>();
    __syncthreads();
    args.out[threadIdx.x] = shared()[256 + threadIdx.x * 4];
}
KERNEL(copy_without_barrier) {
    shared()[threadIdx.x * 4] = 1;
    __syncthreads();
    copy(at(threadIdx.x * 4), args.in + threadIdx.x * 4);
    commit();
    wait<0>();
    args.out[threadIdx.x] = shared()[NEXT * 4];
}
KERNEL(copy_onto_read) {
    for (u32 i = 0; i < 4; i++) shared()[threadIdx.x * 4 + i] = 1;
    __syncthreads();
    args.out[threadIdx.x] = shared()[NEXT * 4];
    copy(at(threadIdx.x * 4), args.in + threadIdx.x * 4);
    commit();
    wait<0>();
}
KERNEL(copy_left_behind) { copy(at(threadIdx.x * 4), args.in + threadIdx.x * 4); commit(); }
KERNEL(copy_misaligned) { copy(at(threadIdx.x * 4 + 2), args.in + threadIdx.x * 4); commit(); wait<0>(); }
KERNEL(pipeline) {
    u32 sum = 0;
    copy(at(threadIdx.x * 4), args.in + threadIdx.x * 4), commit();
    for (u32 part = 0; part < 4; part++) {
        if (part < 3) copy(at((part + 1) % 2 * 256 + threadIdx.x * 4), args.in + (part + 1) * 256 + threadIdx.x * 4);
        commit();
        wait<1>();
        __syncthreads();
        sum += shared()[part % 2 * 256 + (threadIdx.x * 4 + 4) % 256];
        __syncthreads();
    }
    args.out[blockIdx.x * blockDim.x + (threadIdx.x + 1) % blockDim.x] = sum;
}
KERNEL(matrix_misaligned) {
    for (u32 i = LANE; i < 64; i += 32) shared()[i] = i;
    __syncthreads();
    u32 r[4], from = at(LANE % 8 * 4 + 2);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(from));
    args.out[LANE] = r[0] + r[1] + r[2] + r[3];
}
KERNEL(vector_misaligned) { *(uint2*)(args.out + 2 * threadIdx.x + 1) = make_uint2(1, 2); }
KERNEL(beyond_shared) { shared()[2048] = 1; }
KERNEL(beyond_global) { args.out[1024] = 1; }
KERNEL(unwritten) { args.out[threadIdx.x] = shared()[threadIdx.x]; }

__device__ void product(u32* out) {
    float d[4] = {};
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%4,%4,%4}, {%4,%4}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(0));
    out[LANE] = __float_as_uint(d[0]);
}
KERNEL(half_a_warp) { if (LANE < 16) product(args.out); else __syncthreads(); }
KERNEL(ended_lanes) { if (LANE < 16) product(args.out); }
KERNEL(diverged) { if (LANE < 16) product(args.out); else product(args.out + 32); }
KERNEL(ended_before_barrier) { if (LANE < 16) return; __syncthreads(); }
KERNEL(two_barriers) {
    if (LANE < 16) asm volatile("bar.sync 0; // one");
    else asm volatile("bar.sync 0; // other");
}
)";
