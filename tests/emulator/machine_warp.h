// Instructions of PTX that a warp executes together: fragments of matrices and shuffles, by the tables of the PTX ISA.
#pragma once

#include "machine.h"

namespace emulator {

// For instructions marked .aligned: all 32 lanes, at the same place.
inline void check_aligned(WarpStep* const* lanes, unsigned mask, unsigned warp) {
    unsigned first = __builtin_ctz(mask), thread = warp * 32 + first, site = lanes[first]->site;
    if (mask != ~0u) found("an aligned instruction without all lanes of its warp", thread, site);
    for (unsigned lane = 0; lane < 32; lane++)
        if (lanes[lane]->site != site)
            found("lanes of a warp are at different aligned instructions", thread, site, lanes[lane]->site);
}

inline void ptx_sync(WarpStep* const*, unsigned mask, unsigned warp) { order_warp(warp, mask); }

// in: a number, which bits of a lane's own number to turn for the other's, and 31 for a whole warp.
inline void ptx_shuffle(WarpStep* const* lanes, unsigned mask, unsigned warp) {
    for (unsigned rest = mask; rest; rest &= rest - 1) {
        unsigned lane = __builtin_ctz(rest), from = lane ^ (lanes[lane]->in[1] & 31);
        if (lanes[lane]->in[2] != 31) found("a shuffle in parts of a warp", warp * 32 + lane, lanes[lane]->site);
        if (!(mask >> from & 1)) found("a shuffle from a lane that takes no part", warp * 32 + lane, lanes[lane]->site);
        lanes[lane]->out[0] = lanes[from]->in[0];
    }
}

// in: the address, and whether each of four 8 by 8 matrices is transposed. Lane i has the address of row i % 8 of matrix
// i / 8. Of each matrix a lane gets two neighbours of row lane / 4: columns lane % 4 * 2 and the next.
inline void ptx_ldmatrix(WarpStep* const* lanes, unsigned mask, unsigned warp) {
    check_aligned(lanes, mask, warp);
    unsigned site = lanes[0]->site;
    bool transposed = lanes[0]->in[1];
    Place rows[32];
    for (unsigned i = 0; i < 32; i++)
        rows[i] = place(StateSpace::shared, lanes[i]->in[0], 16, warp * 32 + i, site);
    for (unsigned lane = 0; lane < 32; lane++)
        for (unsigned m = 0; m < 4; m++) {
            unsigned short pair[2];
            for (unsigned i = 0; i < 2; i++) {
                unsigned row = lane / 4, column = lane % 4 * 2 + i;
                if (transposed) std::swap(row, column);
                Place at = rows[m * 8 + row];
                at.bytes += 2 * column, at.shadows += 2 * column / granule;
                read_by(warp * 32 + lane, at, 2, site);
                memcpy(&pair[i], at.bytes, 2);
            }
            lanes[lane]->out[m] = pair[0] | unsigned{pair[1]} << 16;
        }
}

// in: a in 4, b in 2 and c in 4 registers.
inline void ptx_mma(WarpStep* const* lanes, unsigned mask, unsigned warp) {
    check_aligned(lanes, mask, warp);
    float sums[32][4];
    Mma steps[32];
    void* exchange[32];
    for (unsigned lane = 0; lane < 32; lane++) {
        const unsigned* in = lanes[lane]->in;
        memcpy(sums[lane], in + 6, sizeof sums[lane]);
        steps[lane] = {sums[lane], in, in + 4};
        exchange[lane] = &steps[lane];
    }
    mma(exchange);
    for (unsigned lane = 0; lane < 32; lane++) memcpy(lanes[lane]->out, sums[lane], sizeof sums[lane]);
}

inline void ptx_warp(WarpStep* step, unsigned mask) { warp_operation(WarpOperation::ptx, mask, step); }

inline const Machine machine = {ptx_load,    ptx_store, ptx_copy, ptx_commit,  ptx_wait,    ptx_barrier,
                                ptx_warp, ptx_sync, ptx_shuffle, ptx_ldmatrix, ptx_mma};

}  // namespace emulator
