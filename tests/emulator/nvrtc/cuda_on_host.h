// Defines the part of CUDA C++ that the kernels use, so that a C++ compiler can compile them. It includes no <cstdint>
// and nothing of std, because NVRTC has neither: a kernel that used them must not compile here.
#pragma once

#include <math.h>
#include <string.h>

#include "../kernel_abi.h"

#define __device__
#define __forceinline__ inline __attribute__((always_inline))

// Set by the driver when it loads the shared object.
extern "C" {
const emulator::Runtime* emulator_runtime;
}

// `KERNEL(scale, ScaleArgs, 128) { ... args.n ... }` exports an emulator::Kernel of that name with this body.
#define KERNEL(kernel, Args, threads)                                                            \
    static void kernel##_body(const Args& args);                                                 \
    static void kernel##_thread(const void* args) { kernel##_body(*(const Args*)args); }         \
    extern "C" {                                                                                 \
    extern const emulator::Kernel kernel;                                                        \
    const emulator::Kernel kernel = {emulator::kernel_magic, #kernel, sizeof(Args), threads, kernel##_thread, 0}; \
    }                                                                                            \
    static void kernel##_body([[maybe_unused]] const Args& args)

#define threadIdx (emulator_runtime->thread_index)
#define blockIdx (emulator_runtime->block_index)
#define blockDim (emulator_runtime->block_dim)
#define gridDim (emulator_runtime->grid_dim)

inline unsigned char* dynamic_shared_memory() { return emulator_runtime->shared_memory; }

struct __attribute__((aligned(8))) uint2 {
    unsigned x, y;
};
struct __attribute__((aligned(8))) float2 {
    float x, y;
};
struct __attribute__((aligned(16))) uint4 {
    unsigned x, y, z, w;
};
struct __attribute__((aligned(16))) float4 {
    float x, y, z, w;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

inline unsigned min(unsigned a, unsigned b) { return b < a ? b : a; }
inline unsigned max(unsigned a, unsigned b) { return a < b ? b : a; }

template <class To, class From>
inline To emulator_bits(From from) {
    static_assert(sizeof(To) == 4 && sizeof(From) == 4);
    To to;
    memcpy(&to, &from, 4);
    return to;
}
inline unsigned __float_as_uint(float a) { return emulator_bits<unsigned>(a); }
inline float __uint_as_float(unsigned a) { return emulator_bits<float>(a); }

inline void __syncthreads() { emulator_runtime->sync_threads(); }
inline void emulator_nothing(void* const*, unsigned, unsigned) {}
inline void __syncwarp() { emulator_runtime->warp(emulator_nothing, nullptr); }

// All kernels shuffle whole warps. The value of a lane that has ended is undefined in CUDA; here it is all ones.
struct EmulatorShuffle {
    unsigned value, flip, result;
};
inline void emulator_shuffle(void* const* exchange, unsigned lanes, unsigned) {
    for (unsigned lane = 0; lane < 32; lane++) {
        if (!(lanes >> lane & 1)) continue;
        auto* own = (EmulatorShuffle*)exchange[lane];
        unsigned source = (lane ^ own->flip) % 32;
        own->result = lanes >> source & 1 ? ((EmulatorShuffle*)exchange[source])->value : ~0u;
    }
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, unsigned flip) {
    if (mask != ~0u) __builtin_trap();
    EmulatorShuffle shuffle = {emulator_bits<unsigned>(value), flip, 0};
    emulator_runtime->warp(emulator_shuffle, &shuffle);
    return emulator_bits<T>(shuffle.result);
}

// mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 with d as the accumulator, in and out.
inline void mma_16816(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    emulator::Mma mma = {d, a, b};
    emulator_runtime->warp(emulator_runtime->mma, &mma);
}
