// Executes the PTX instructions that a warp executes together: shuffles, and loads and products of matrix fragments,
// whose layouts are tables of the PTX ISA.
#pragma once

#include <utility>

#include "machine.h"

namespace emulator {

// For instructions marked .aligned: all 32 lanes, at the same place.
inline WarpStep* const* aligned(void* const* exchange, unsigned mask, unsigned warp) {
    auto* lanes = reinterpret_cast<WarpStep* const*>(exchange);
    unsigned first = __builtin_ctz(mask), thread = warp * 32 + first, site = lanes[first]->site;
    if (mask != ~0u) found("an aligned instruction without all lanes of its warp", thread, site);
    for (unsigned lane = 0; lane < 32; lane++)
        if (lanes[lane]->site != site)
            found("lanes of a warp are at different aligned instructions", thread, site, lanes[lane]->site);
    return lanes;
}

inline void ptx_sync(void* const*, unsigned mask, unsigned warp) { order_warp(warp, mask); }

// shfl.sync.bfly. in: the value, the bits of the lane's number to flip, 31 for no segments, and the mask of all lanes.
inline void ptx_shuffle(void* const* exchange, unsigned mask, unsigned warp) {
    auto* lanes = reinterpret_cast<WarpStep* const*>(exchange);
    for (unsigned rest = mask; rest; rest &= rest - 1) {
        unsigned lane = __builtin_ctz(rest), *in = lanes[lane]->in, from = lane ^ (in[1] & 31);
        auto refuse = [&](const char* what) { found(what, warp * 32 + lane, lanes[lane]->site); };
        if (in[2] != 31 || in[3] != ~0u) refuse("a shuffle of a part of a warp");
        if (!(mask >> from & 1)) refuse("a shuffle from a lane that has ended");
        lanes[lane]->out[0] = lanes[from]->in[0];
    }
}

// Loads four 8 by 8 matrices. in: an address, of lane i that of row i % 8 of matrix i / 8, and whether to transpose. Of
// each matrix a lane gets two elements of row lane / 4 (of column lane / 4 if transposed): number lane % 4 * 2 and the
// next.
inline void ptx_ldmatrix(void* const* exchange, unsigned mask, unsigned warp) {
    auto* lanes = aligned(exchange, mask, warp);
    unsigned site = lanes[0]->site;
    Place rows[32];
    for (unsigned i = 0; i < 32; i++)
        rows[i] = place(StateSpace::shared, lanes[i]->in[0], 16, warp * 32 + i, site);
    for (unsigned lane = 0; lane < 32; lane++)
        for (unsigned m = 0; m < 4; m++) {
            unsigned short pair[2];
            for (unsigned i = 0; i < 2; i++) {
                unsigned row = lane / 4, column = lane % 4 * 2 + i;
                if (lanes[lane]->in[1]) std::swap(row, column);
                Place at = rows[m * 8 + row];
                at.bytes += 2 * column, at.shadows += 2 * column / granule;
                read_by(warp * 32 + lane, at, 2, site);
                memcpy(&pair[i], at.bytes, 2);
            }
            lanes[lane]->out[m] = pair[0] | unsigned{pair[1]} << 16;
        }
}

// in: a in 4 registers, b in 2 and c in 4.
inline void ptx_mma(void* const* exchange, unsigned mask, unsigned warp) {
    auto* lanes = aligned(exchange, mask, warp);
    float sums[32][4];
    Mma steps[32];
    void* operands[32];
    for (unsigned lane = 0; lane < 32; lane++) {
        const unsigned* in = lanes[lane]->in;
        memcpy(sums[lane], in + 6, sizeof sums[lane]);
        steps[lane] = {sums[lane], in, in + 4};
        operands[lane] = &steps[lane];
    }
    mma(operands);
    for (unsigned lane = 0; lane < 32; lane++) memcpy(lanes[lane]->out, sums[lane], sizeof sums[lane]);
}

inline const Machine machine = {ptx_load, ptx_store,   ptx_copy,     ptx_commit, ptx_wait, ptx_barrier,
                                ptx_sync, ptx_shuffle, ptx_ldmatrix, ptx_mma};

}  // namespace emulator
