// What kernel sources see in place of nvcc's built-ins when they are compiled as plain C++. No <cstdint> and no std
// names on purpose: NVRTC has neither.
#pragma once

#include <math.h>
#include <string.h>

#include "kernel_abi.h"

#define __device__
#define __host__
#define __global__
#define __constant__
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))

// Set by the driver when it loads the shared object.
extern "C" {
const emulator::Runtime* emulator_runtime;
}

// `KERNEL(scale, ScaleArgs, 128) { ... args.n ... }`: an exported record of the kernel's name, then its body.
#define KERNEL(kernel, Args, threads)                                                            \
    static void kernel##_body(const Args& args);                                                 \
    static void kernel##_thread(const void* args) { kernel##_body(*(const Args*)args); }         \
    extern "C" {                                                                                 \
    extern const emulator::Kernel kernel;                                                        \
    const emulator::Kernel kernel = {emulator::kernel_magic, #kernel, sizeof(Args), threads, kernel##_thread}; \
    }                                                                                            \
    static void kernel##_body([[maybe_unused]] const Args& args)

#define threadIdx (emulator_runtime->thread_index)
#define blockIdx (emulator_runtime->block_index)
#define blockDim (emulator_runtime->block_dim)
#define gridDim (emulator_runtime->grid_dim)
#define warpSize 32

inline unsigned char* dynamic_shared_memory() { return emulator_runtime->shared_memory; }

struct uint2 {
    unsigned x, y;
} __align__(8);
struct int2 {
    int x, y;
} __align__(8);
struct float2 {
    float x, y;
} __align__(8);
struct uint4 {
    unsigned x, y, z, w;
} __align__(16);
struct int4 {
    int x, y, z, w;
} __align__(16);
struct float4 {
    float x, y, z, w;
} __align__(16);
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

// Overloads and not a template: arguments of different types are as doubtful here as on the device.
#define EMULATOR_MIN_MAX(T)                              \
    inline T min(T a, T b) { return b < a ? b : a; }     \
    inline T max(T a, T b) { return a < b ? b : a; }
EMULATOR_MIN_MAX(int)
EMULATOR_MIN_MAX(unsigned)
EMULATOR_MIN_MAX(long)
EMULATOR_MIN_MAX(unsigned long)
EMULATOR_MIN_MAX(long long)
EMULATOR_MIN_MAX(unsigned long long)
#undef EMULATOR_MIN_MAX
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

// The host build has -ffp-contract=off, so the plain operators round as these do.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }

template <class To, class From>
inline To emulator_bits(From from) {
    static_assert(sizeof(To) <= 8 && sizeof(From) <= 8);
    To to{};
    memcpy(&to, &from, sizeof(To) < sizeof(From) ? sizeof(To) : sizeof(From));
    return to;
}
inline unsigned __float_as_uint(float a) { return emulator_bits<unsigned>(a); }
inline float __uint_as_float(unsigned a) { return emulator_bits<float>(a); }
inline int __float_as_int(float a) { return emulator_bits<int>(a); }
inline float __int_as_float(int a) { return emulator_bits<float>(a); }
inline int __popc(unsigned a) { return __builtin_popcount(a); }
inline int __ffs(int a) { return __builtin_ffs(a); }
inline int __clz(int a) { return a ? __builtin_clz((unsigned)a) : 32; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }

template <class T>
inline T __ldg(const T* p) {
    return *p;
}

// Threads switch only at barriers: a plain addition is atomic.
inline unsigned atomicAdd(unsigned* p, unsigned value) {
    unsigned old = *p;
    *p = old + value;
    return old;
}

inline void __syncthreads() { emulator_runtime->sync_threads(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) {
    emulator_runtime->warp(emulator::WarpOperation::sync, mask, nullptr);
}
inline void __threadfence() {}

inline unsigned emulator_lane() {
    return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32;
}

template <class T>
inline T emulator_shuffle(unsigned mask, T value, unsigned source) {
    emulator::Shuffle shuffle = {emulator_bits<unsigned long long>(value), 0, source};
    emulator_runtime->warp(emulator::WarpOperation::shuffle, mask, &shuffle);
    return emulator_bits<T>(shuffle.result);
}
// A lane whose source lies outside its segment of `width` lanes gets its own value.
template <class T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    unsigned segment = emulator_lane() & ~(unsigned)(width - 1);
    return emulator_shuffle(mask, value, segment + (unsigned)source % (unsigned)width);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    unsigned lane = emulator_lane();
    return emulator_shuffle(mask, value, lane % width + delta < (unsigned)width ? lane + delta : lane);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    unsigned lane = emulator_lane();
    return emulator_shuffle(mask, value, lane % width >= delta ? lane - delta : lane);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
    unsigned lane = emulator_lane(), source = lane ^ (unsigned)lanes;
    return emulator_shuffle(mask, value, source < (lane | (unsigned)(width - 1)) + 1 ? source : lane);
}

inline unsigned __ballot_sync(unsigned mask, int predicate) {
    emulator::Vote vote = {predicate != 0, 0};
    emulator_runtime->warp(emulator::WarpOperation::vote, mask, &vote);
    return vote.ballot;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }

// mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32, with d as the accumulator in and out.
inline void mma_16816(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    emulator::Mma mma = {d, a, b};
    emulator_runtime->warp(emulator::WarpOperation::mma, 0xffffffffu, &mma);
}
