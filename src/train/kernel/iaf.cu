// A layer of integrate-and-fire neurons: the product with its weights and the recursion over time in one kernel, forward
// and backward, by the formulas of kernel/iaf.rs. Currents and incoming gradients never leave the multiprocessor.
//
// A block has one sample and TILE neighbouring neurons. It goes through time a tile at a time: the tensor cores make the
// currents of TILE steps, then a thread for each neuron steps through them. What is kept is v, and the spikes or lambda as
// the next product reads them: matrices (batch, T, neurons), T and neurons rounded up to whole tiles.

// Threads of a block of the first layer, entries that it has in shared memory at a time, and potentials that a thread
// fetches together.
#define CELL_THREADS 256
#define ENTRIES 2048
#define VS 8

struct Neuron {
    float theta, reciprocal, lower, peak, rate;
    bool exact;

    __device__ __forceinline__ explicit Neuron(const NeuronArgs& args)
        : theta(args.theta), reciprocal(args.reciprocal), lower(args.lower), peak(args.peak), rate(args.rate),
          exact(args.exact != 0) {}

    // How often it spikes at v. NaN gives NaN, so that a diverged layer is seen in the loss.
    __device__ __forceinline__ float spikes(float v) const {
        float whole = truncf(exact ? v * reciprocal : v / theta);
        return v < 0.0f ? 0.0f : whole;
    }

    __device__ __forceinline__ float surrogate(float v) const {
        return exp_nonpositive(fabsf(v - theta) * -rate) * peak;
    }
};

// Steps of a layer's neurons forward: what both kinds of first half end in.
struct Forward {
    const ForwardArgs& args;
    Neuron neuron;
    u32 sample, n, steps;
    float u, total;

    __device__ __forceinline__ Forward(const ForwardArgs& args, u32 sample, u32 n0, u32 steps)
        : args(args), neuron(args.neuron), sample(sample), n(n0 + threadIdx.x), steps(steps), u(0.0f), total(0.0f) {}

    // The neurons of threads 0 to TILE through the steps of a tile of currents.
    __device__ __forceinline__ void step(u32 t0, const float* currents) {
        if (threadIdx.x >= TILE) return;
        if (neuron.theta == 1.0f && neuron.lower == __uint_as_float(0xff800000u)) run<true>(t0, currents);
        else run<false>(t0, currents);
    }

    // A step waits for the one before: SIMPLE neurons, with a threshold of 1 and no bound, do so half as long.
    template <bool SIMPLE>
    __device__ __forceinline__ void run(u32 t0, const float* currents) {
        size_t at = ((size_t)sample * args.time + t0) * args.width + n;
        u32 count = min((u32)TILE, steps - t0);
        bool rounded = false;
#pragma unroll 4
        for (u32 t = 0; t < count; t++, at += args.width) {
            float v = u + currents[t * STRIDE + threadIdx.x];
            float s;
            if (SIMPLE) {
                float whole = truncf(v);
                s = v < 0.0f ? 0.0f : whole;
                u = v - s;
            } else {
                s = neuron.spikes(v);
                u = fmaf(-neuron.theta, s, v);
                u = u < neuron.lower ? neuron.lower : u;
            }
            total += s;
            rounded |= s > 256.0f;
            if (args.v) args.v[at] = v;
            if (args.spikes) args.spikes[at] = to_bf16(s);
        }
        if (args.spikes) {
            for (u32 t = count; t < TILE; t++, at += args.width) args.spikes[at] = 0;
            if (rounded) args.state->rounded = 1;
        }
    }

    __device__ __forceinline__ void end() const {
        if (args.totals && threadIdx.x < TILE) args.totals[(size_t)sample * args.width + n] = total;
    }
};

// The entries of a tile of frames in shared memory, as far as they fit.
struct Entries {
    u32* ends;     // (TILE + 1): where each frame begins, and the last ends
    Cell* cells;   // (ENTRIES)
    Count* counts; // (ENTRIES)
    u32 first;     // of those that are here

    __device__ __forceinline__ Entries(u8* memory)
        : ends((u32*)memory), cells((Cell*)(ends + TILE + 4)), counts((Count*)(cells + ENTRIES)), first(0) {}

    // Threads `thread` of `threads` fetch where the frames from t0 on end.
    __device__ __forceinline__ void fetch_ends(const Columns& columns, const Drawn& drawn, u32 t0, u32 thread, u32 threads) {
        for (u32 t = thread; t <= TILE; t += threads) {
            u32 frame = min(t0 + t, drawn.frames);
            ends[t] = frame_start(columns, drawn.first_frame, frame);
        }
    }

    // They fetch entries from `from` on.
    __device__ __forceinline__ void fetch(const Columns& columns, const Drawn& drawn, u32 from, u32 thread, u32 threads) {
        const Cell* cell = (const Cell*)columns.cells + drawn.first_entry;
        const Count* count = (const Count*)columns.counts + drawn.first_entry;
        u32 n = min(ends[TILE] - from, (u32)ENTRIES);
#pragma unroll 4
        for (u32 i = thread; i < n; i += threads) {
            cells[i] = cell[from + i];
            counts[i] = count[from + i];
        }
    }
};

// The first layer, straight from the cells: each active cell adds its row of W^T, in float32 and in their order.
KERNEL(iaf_forward_cells, ForwardArgs, CELL_THREADS) {
    u32 sample = blockIdx.x, n0 = blockIdx.y * TILE;
    if (sample >= args.state->samples) return;
    const Drawn& drawn = args.drawn[sample];
    float* currents = (float*)dynamic_shared_memory();
    Entries entries((u8*)(currents + PLANE));
    Forward forward(args, sample, n0, drawn.steps);
    const u32 lane = threadIdx.x % TILE, n = n0 + lane;
    const bool real = n < args.neurons;
    const float bias = real ? args.bias[n] : 0.0f;
    const float* weights = args.weights + n;
    entries.fetch_ends(args.columns, drawn, 0, threadIdx.x, CELL_THREADS);
    __syncthreads();
    entries.fetch(args.columns, drawn, entries.ends[0], threadIdx.x, CELL_THREADS);
    __syncthreads();
    for (u32 t0 = 0; t0 < drawn.steps; t0 += TILE) {
        u32 end = entries.ends[TILE];
        for (u32 first = entries.ends[0];; first += ENTRIES) {
            u32 beyond = first + ENTRIES;
            for (u32 t = threadIdx.x / TILE; t < TILE; t += CELL_THREADS / TILE) {
                float x = first == entries.ends[0] ? bias : currents[t * STRIDE + lane];
                u32 until = min(entries.ends[t + 1], beyond);
                if (real) {
#pragma unroll 4
                    for (u32 e = max(entries.ends[t], first); e < until; e++) {
                        x = fmaf((float)entries.counts[e - first], weights[(size_t)entries.cells[e - first] * args.neurons], x);
                    }
                }
                currents[t * STRIDE + lane] = x;
            }
            __syncthreads();
            if (beyond >= end) break;
            entries.fetch(args.columns, drawn, beyond, threadIdx.x, CELL_THREADS);
            __syncthreads();
        }
        // A thread for each neuron steps; the others fetch what comes next.
        const bool more = t0 + TILE < drawn.steps;
        if (threadIdx.x < TILE) forward.step(t0, currents);
        else if (more) entries.fetch_ends(args.columns, drawn, t0 + TILE, threadIdx.x - TILE, CELL_THREADS - TILE);
        __syncthreads();
        if (more) entries.fetch(args.columns, drawn, entries.ends[0], threadIdx.x, CELL_THREADS);
        __syncthreads();
    }
    forward.end();
}

// A further layer, from the spikes of the one before.
KERNEL(iaf_forward, ForwardArgs, THREADS) {
    u32 sample = blockIdx.x, n0 = blockIdx.y * TILE;
    if (sample >= args.state->samples) return;
    const Drawn& drawn = args.drawn[sample];
    float* currents = (float*)dynamic_shared_memory();
    bf16* stages = (bf16*)(currents + PLANE);
    const int stage = (1 + PIECES) * PLANE;
    const bf16* before = args.before + (size_t)sample * args.time * args.before_width;
    const bf16* pieces = args.pieces + (size_t)n0 * args.before_width;
    const size_t plane = (size_t)args.width * args.before_width;
    u32 depth = args.before_width / TILE, parts = (drawn.steps + TILE - 1) / TILE * depth;

    Forward forward(args, sample, n0, drawn.steps);
    Sums sums;
    clear(sums);
    auto load = [&](u32 part, u32 place) {
        bf16* to = stages + place * stage;
        u32 t0 = part / depth * TILE, k0 = part % depth * TILE;
        copy_tile(to, before + (size_t)t0 * args.before_width + k0, args.before_width);
        for (int p = 0; p < PIECES; p++) {
            copy_tile(to + (1 + p) * PLANE, pieces + p * plane + k0, args.before_width);
        }
    };
    pipeline<FORWARD_STAGES>(parts, load, [&](u32 part, u32 place) {
        const bf16* from = stages + place * stage;
        multiply_rows<1, PIECES>(sums, from, from + PLANE);
        if (part % depth < depth - 1) return;
        for_each_pair(sums, [&](int row, int column, float first, float second) {
            u32 n = n0 + column;
            currents[row * STRIDE + column] = first + (n < args.neurons ? args.bias[n] : 0.0f);
            currents[row * STRIDE + column + 1] = second + (n + 1 < args.neurons ? args.bias[n + 1] : 0.0f);
        });
        clear(sums);
        __syncthreads();
        forward.step(part / depth * TILE, currents);
    });
    forward.end();
}

// Lambda of a layer, back through time; g comes from the layer above, or is one row for all steps below the readout.
template <bool CONSTANT>
__device__ __forceinline__ void backward(const BackwardArgs& args) {
    u32 sample = blockIdx.x, n0 = blockIdx.y * TILE, n = n0 + threadIdx.x % TILE;
    if (sample >= args.state->samples) return;
    Neuron neuron(args.neuron);
    u32 steps = args.drawn[sample].steps;
    float* gains = (float*)dynamic_shared_memory(); // g, then sigma g
    float* keeps = gains + PLANE;                   // what lambda keeps of the next step's
    bf16* stages = (bf16*)(keeps + PLANE);
    const int stage = 2 * PIECES * PLANE;
    const size_t rows = (size_t)args.batch_size * args.time;
    const bf16* above = args.above + (size_t)sample * args.time * args.above_width;
    const bf16* pieces = args.pieces + (size_t)n0 * args.above_width;
    const size_t above_plane = rows * args.above_width, pieces_plane = (size_t)args.width * args.above_width;
    u32 depth = CONSTANT ? 1 : args.above_width / TILE, tiles = (steps + TILE - 1) / TILE, parts = tiles * depth;

    float row = CONSTANT ? args.row[(size_t)sample * args.width + n] : 0.0f;
    float next = 0.0f, total = 0.0f;
    Sums sums;
    clear(sums);
    auto load = [&](u32 part, u32 place) {
        if (CONSTANT) return;
        bf16* to = stages + place * stage;
        u32 t0 = (tiles - 1 - part / depth) * TILE, k0 = part % depth * TILE;
        for (int p = 0; p < PIECES; p++) {
            copy_tile(to + p * PLANE, above + p * above_plane + (size_t)t0 * args.above_width + k0, args.above_width);
            copy_tile(to + (PIECES + p) * PLANE, pieces + p * pieces_plane + k0, args.above_width);
        }
    };
    pipeline<BACKWARD_STAGES>(parts, load, [&](u32 part, u32 place) {
        const bf16* from = stages + place * stage;
        if (!CONSTANT) multiply_rows<PIECES, PIECES>(sums, from, from + PIECES * PLANE);
        if (part % depth < depth - 1) return;
        if (!CONSTANT) {
            for_each_pair(sums, [&](int row, int column, float first, float second) {
                gains[row * STRIDE + column] = first;
                gains[row * STRIDE + column + 1] = second;
            });
            clear(sums);
            __syncthreads();
        }
        u32 t0 = (tiles - 1 - part / depth) * TILE;
        const size_t at = ((size_t)sample * args.time + t0) * args.width + n;
        // The exponentials of all steps at once: they wait for nothing but v, and for that together.
        for (u32 t = threadIdx.x / TILE; t < TILE; t += VS * (THREADS / TILE)) {
            float vs[VS];
#pragma unroll
            for (u32 i = 0; i < VS; i++) {
                u32 step = t + i * (THREADS / TILE);
                vs[i] = t0 + step < steps ? args.v[at + (size_t)step * args.width] : 0.0f;
            }
#pragma unroll
            for (u32 i = 0; i < VS; i++) {
                u32 step = t + i * (THREADS / TILE), to = step * STRIDE + threadIdx.x % TILE;
                float sigma = neuron.surrogate(vs[i]);
                // Below the bound the state was replaced, so nothing flows back through it.
                bool closed = fmaf(-neuron.theta, neuron.spikes(vs[i]), vs[i]) <= neuron.lower;
                bool real = t0 + step < steps;
                gains[to] = real ? sigma * (CONSTANT ? row : gains[to]) : 0.0f;
                keeps[to] = real && !closed ? fmaf(-neuron.theta, sigma, 1.0f) : 0.0f;
            }
        }
        __syncthreads();
        if (threadIdx.x < TILE) {
#pragma unroll 8
            for (int t = TILE - 1; t >= 0; t--) {
                u32 to = t * STRIDE + threadIdx.x;
                next = fmaf(keeps[to], next, gains[to]);
                total += next;
                gains[to] = next;
            }
        }
        __syncthreads();
        // All threads write what those have found, two neurons each.
        const u32 column = threadIdx.x % (TILE / 2) * 2;
        bf16* lambda = args.lambda + ((size_t)sample * args.time + t0) * args.width + n0 + column;
#pragma unroll 4
        for (u32 t = threadIdx.x / (TILE / 2); t < TILE; t += THREADS / (TILE / 2)) {
            bf16 left[PIECES], right[PIECES];
            split(gains[t * STRIDE + column], left);
            split(gains[t * STRIDE + column + 1], right);
            for (int p = 0; p < PIECES; p++) {
                *(u32*)(lambda + (p * rows + t) * args.width) = (u32)left[p] | (u32)right[p] << 16;
            }
        }
    });
    if (threadIdx.x < TILE) args.totals[(size_t)sample * args.width + n] = total;
}

KERNEL(iaf_backward, BackwardArgs, THREADS) {
    backward<false>(args);
}

// Below the readout, which is summed over time.
KERNEL(iaf_backward_constant, BackwardArgs, THREADS) {
    backward<true>(args);
}
