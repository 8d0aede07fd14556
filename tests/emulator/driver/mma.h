// Computes mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 for a whole warp at once: the inner loop of every
// emulated training step. Each sum is exact until it becomes a float32, and then rounded towards zero, as tensor cores
// do.
#pragma once

#include <cstdint>
#include <cstring>

#include "../kernel_abi.h"

namespace emulator {

inline float low_bf16(unsigned pair) {
    float value;
    pair <<= 16;
    memcpy(&value, &pair, 4);
    return value;
}

inline float high_bf16(unsigned pair) {
    float value;
    pair &= 0xffff0000u;
    memcpy(&value, &pair, 4);
    return value;
}

inline float towards_zero(double sum) {
    uint64_t bits;
    memcpy(&bits, &sum, 8);
    bits &= ~0x1fffffffull;  // the bits of a float64's mantissa that a float32 lacks
    memcpy(&sum, &bits, 8);
    return static_cast<float>(sum);
}

// Products of bfloat16 are exact in float64, so that fused multiply-add changes no bit.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
__attribute__((optimize("O3"), target_clones("arch=haswell", "default")))
#endif
static void mma(void* const* exchange) {
    float a[16][16];
    double b[16][8];
    for (unsigned lane = 0; lane < 32; lane++) {
        unsigned g = lane / 4, k = lane % 4 * 2;
        const Mma& from = *static_cast<const Mma*>(exchange[lane]);
        for (unsigned i = 0; i < 4; i++) {
            float* to = &a[g + i % 2 * 8][k + i / 2 * 8];
            to[0] = low_bf16(from.a[i]);
            to[1] = high_bf16(from.a[i]);
        }
        for (unsigned i = 0; i < 2; i++) {
            b[k + i * 8][g] = low_bf16(from.b[i]);
            b[k + i * 8 + 1][g] = high_bf16(from.b[i]);
        }
    }
    for (unsigned row = 0; row < 16; row++) {
        double sum[8] = {};
        for (unsigned k = 0; k < 16; k++)
            for (unsigned column = 0; column < 8; column++) sum[column] += a[row][k] * b[k][column];
        for (unsigned q = 0; q < 4; q++) {
            float* d = static_cast<const Mma*>(exchange[row % 8 * 4 + q])->d + row / 8 * 2;
            d[0] = towards_zero(d[0] + sum[2 * q]);
            d[1] = towards_zero(d[1] + sum[2 * q + 1]);
        }
    }
}

}  // namespace emulator
