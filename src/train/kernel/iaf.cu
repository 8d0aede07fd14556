// A layer of integrate-and-fire neurons: the product with its weights and the recursion over time in one kernel,
// forward and backward (kernel/iaf.rs has the formulas). Currents and incoming gradients never leave the
// multiprocessor.
//
// A block has one sample and TILE neighbouring neurons. It goes through time in tiles of TILE steps. First the currents
// of a tile are computed: in the first layer by adding rows of W^T in float32, in the other layers on tensor cores.
// Then one thread per neuron goes through the steps. The block stores v, and the spikes or lambda in the layout that
// the next product reads: matrices (batch, T, neurons), with T and neurons rounded up to whole tiles.

// AHEAD: number of steps whose values a thread loads into registers before it goes through them. QUADS: number of
// groups of four neighbouring neurons of a tile that a thread reads or writes.
#define AHEAD 16
#define QUADS (TILE * TILE / 4 / BLOCK_THREADS)

// Calls `each` with the step and the first neuron of each quad of this thread, and the number of the quad.
template <typename Each>
__device__ __forceinline__ void for_each_quad(Each each) {
#pragma unroll
    for (int i = 0; i < QUADS; i++) each(threadIdx.x / (TILE / 4) + i * (TILE / QUADS), threadIdx.x % (TILE / 4) * 4, i);
}

struct Neuron {
    float theta, reciprocal, lower, peak, rate;
    bool exact;

    __device__ __forceinline__ explicit Neuron(const NeuronArgs& args)
        : theta(args.theta), reciprocal(args.reciprocal), lower(args.lower), peak(args.peak), rate(args.rate),
          exact(args.exact != 0) {}

    // Number of spikes at v. It is NaN if v is NaN, so that a diverged layer leads to a loss of NaN.
    __device__ __forceinline__ float spikes(float v) const {
        float whole = truncf(exact ? v * reciprocal : v / theta);
        return v < 0.0f ? 0.0f : whole;
    }

    __device__ __forceinline__ float surrogate(float v) const {
        return exp_nonpositive(fabsf(v - theta) * -rate) * peak;
    }
};

// Steps of a layer's neurons forward in time: the second half of the forward kernels. TILE threads have one neuron each,
// n0 + column.
struct Forward {
    const ForwardArgs& args;
    Neuron neuron;
    u32 sample, n0, column, steps;
    bool simple;
    float u, total, most;

    __device__ __forceinline__ Forward(const ForwardArgs& args, u32 sample, u32 n0, u32 column, u32 steps)
        : args(args), neuron(args.neuron), sample(sample), n0(n0), column(column), steps(steps), u(0.0f), total(0.0f),
          most(0.0f) {
        simple = neuron.theta == 1.0f && neuron.lower == __uint_as_float(0xff800000u);
    }

    // Threads with a neuron: replaces the currents of AHEAD steps, from t of the tile at t0 on, with v.
    __device__ __forceinline__ void step(u32 t0, int t, float* currents) {
        if (simple) run<true>(t0, t, currents);
        else run<false>(t0, t, currents);
    }

    // All threads: writes v and the spikes of the tile as the next products read them.
    __device__ __forceinline__ void write(u32 t0, const float* currents) const {
        if (simple) put<true>(t0, currents);
        else put<false>(t0, currents);
    }

    template <bool SIMPLE>
    __device__ __forceinline__ float spikes(float v) const {
        float whole = truncf(v);
        return !SIMPLE ? neuron.spikes(v) : v < 0.0f ? 0.0f : whole;
    }

    // Each step depends on the step before. SIMPLE neurons, which have a threshold of 1 and no bound, take less than
    // half the time.
    template <bool SIMPLE>
    __device__ __forceinline__ void run(u32 t0, int t, float* currents) {
        const int count = (int)min((u32)TILE, steps - t0);
        float* at = currents + t * STRIDE + column;
        float x[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++) x[i] = at[i * STRIDE];
        if (SIMPLE && t + AHEAD <= count) {
            const float u_before = u, total_before = total;
#pragma unroll
            for (int i = 0; i < AHEAD; i++) {
                const float v = u + x[i], s = whole_below_small(v);
                u = v - s;
                at[i * STRIDE] = v;
                total += s;
                most = fmaxf(most, s);
            }
            if (most < SMALL) return;
            u = u_before, total = total_before; // again, with potentials of any size
        }
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            float v = u + x[i], s = spikes<SIMPLE>(v);
            if (SIMPLE) {
                u = v - s;
            } else {
                u = fmaf(-neuron.theta, s, v);
                u = u < neuron.lower ? neuron.lower : u;
            }
            at[i * STRIDE] = v;
            s = t + i < count ? s : 0.0f; // values after the last step are not read
            total += s;
            most = fmaxf(most, s);
        }
    }

    template <bool SIMPLE>
    __device__ __forceinline__ void put(u32 t0, const float* currents) const {
        const int count = (int)min((u32)TILE, steps - t0);
        const size_t at = ((size_t)sample * args.time + t0) * args.width + n0;
        for_each_quad([&](int t, int column, int) {
            const float4 v = *(const float4*)(currents + t * STRIDE + column);
            const size_t to = at + (size_t)t * args.width + column;
            if (args.v) *(float4*)(args.v + to) = v;
            if (!args.spikes) return;
            uint2 both = make_uint2(0, 0);
            if (t < count) {
                both.x = to_bf16_pair(spikes<SIMPLE>(v.x), spikes<SIMPLE>(v.y));
                both.y = to_bf16_pair(spikes<SIMPLE>(v.z), spikes<SIMPLE>(v.w));
            }
            *(uint2*)(args.spikes + to) = both;
        });
    }

    __device__ __forceinline__ void end() const {
        if (args.totals) args.totals[(size_t)sample * args.width + n0 + column] = total;
        if (args.spikes && most > 256.0f) args.state->rounded = 1;
    }
};

// Entries of a tile of frames in shared memory: all of them, or ENTRIES at a time.
struct Entries {
    u32* ends;    // (2, TILE + 4): where each frame begins, and the last ends, of this tile and the next
    uint2* there; // (ENTRIES): cell, and count as float32

    __device__ __forceinline__ Entries(u8* memory) : ends((u32*)memory), there((uint2*)(ends + 2 * (TILE + 4))) {}

    // Starts and ends of the frames of the tile at t0.
    __device__ __forceinline__ u32* ends_at(u32 t0) const { return ends + t0 / TILE % 2 * (TILE + 4); }

    // Thread `thread` of FETCHERS loads its share of the entries `from` to `end`, with all loads in flight together.
    template <int FETCHERS>
    __device__ __forceinline__ void fetch(const SampleColumns& columns, const Drawn& drawn, u32 from, u32 end, u32 thread) {
        const Cell* cell = (const Cell*)columns.cells + drawn.first_entry + from;
        const Count* count = (const Count*)columns.counts + drawn.first_entry + from;
        const u32 n = min(end - from, (u32)ENTRIES);
        constexpr int each = (ENTRIES + FETCHERS - 1) / FETCHERS;
        Cell cells[each];
        Count counts[each];
#pragma unroll
        for (int j = 0; j < each; j++) {
            u32 i = thread + j * FETCHERS;
            if (i < n) cells[j] = cell[i], counts[j] = count[i];
        }
#pragma unroll
        for (int j = 0; j < each; j++) {
            u32 i = thread + j * FETCHERS;
            if (i < n) there[i] = make_uint2((u32)cells[j], __float_as_uint((float)counts[j]));
        }
    }
};

// Adds up to ENTRIES entries of a tile of frames, from entry `first` on, to the currents of the tile. Each thread adds
// the entries of a frame to the currents of W neighbouring neurons.
template <int W>
__device__ __forceinline__ void gather(const ForwardArgs& args, const Entries& entries, const u32* ends, u32 n0, u32 first, float* currents) {
    constexpr u32 lanes = TILE / W, groups = BLOCK_THREADS / lanes;
    const u32 column = threadIdx.x % lanes * W, n = n0 + column;
    const bool real = n < args.neurons; // W divides neurons
    const float* weights = args.weights + n;
    const uint2* there = entries.there - first;
    const bool begins = first == ends[0];
    float bias[W];
#pragma unroll
    for (int i = 0; i < W; i++) bias[i] = real ? args.bias[n + i] : 0.0f;
    for (u32 t = threadIdx.x / lanes; t < TILE; t += groups) {
        float* to = currents + t * STRIDE + column;
        float x[W];
#pragma unroll
        for (int i = 0; i < W; i++) x[i] = begins ? bias[i] : to[i];
        if (real) {
            u32 until = min(ends[t + 1], first + ENTRIES);
#pragma unroll 4
            for (u32 e = max(ends[t], first); e < until; e++) {
                const uint2 entry = there[e];
                const float count = __uint_as_float(entry.y);
                const float* row = weights + (size_t)entry.x * args.neurons;
                float w[W];
                if (W == 4) *(float4*)w = *(const float4*)row;
                else w[0] = *row;
#pragma unroll
                for (int i = 0; i < W; i++) x[i] = fmaf(count, w[i], x[i]);
            }
        }
#pragma unroll
        for (int i = 0; i < W; i++) to[i] = x[i];
    }
}

// The first layer, straight from the sparse cells. Each active cell adds a row of W^T, in float32, in the order of the
// cells.
KERNEL(iaf_forward_cells, ForwardArgs, BLOCK_THREADS) {
    u32 sample = blockIdx.x, n0 = blockIdx.y * TILE;
    if (sample >= args.state->samples) return;
    const Drawn drawn = args.drawn[sample];
    float* currents = (float*)dynamic_shared_memory();
    Entries entries((u8*)(currents + PLANE));
    Forward forward(args, sample, n0, threadIdx.x, drawn.steps);
    const bool quads = args.neurons % 4 == 0;
    auto frame_begin = [&](u32 t) { return frame_start(args.columns, drawn.first_frame, min(t, drawn.frames)); };
    if (threadIdx.x <= TILE) entries.ends[threadIdx.x] = frame_begin(threadIdx.x);
    __syncthreads();
    entries.fetch<BLOCK_THREADS>(args.columns, drawn, entries.ends[0], entries.ends[TILE], threadIdx.x);
    __syncthreads();
    for (u32 t0 = 0; t0 < drawn.steps; t0 += TILE) {
        const u32 *ends = entries.ends_at(t0), end = ends[TILE];
        u32* next = entries.ends_at(t0 + TILE);
        const bool more = t0 + TILE < drawn.steps;
        u32 begin = 0;
        if (more && threadIdx.x <= TILE) begin = frame_begin(t0 + TILE + threadIdx.x);
        for (u32 first = ends[0];; first += ENTRIES) {
            if (quads) gather<4>(args, entries, ends, n0, first, currents);
            else gather<1>(args, entries, ends, n0, first, currents);
            if (more && threadIdx.x <= TILE) next[threadIdx.x] = begin;
            __syncthreads();
            if (end - first <= ENTRIES) break;
            entries.fetch<BLOCK_THREADS>(args.columns, drawn, first + ENTRIES, end, threadIdx.x);
            __syncthreads();
        }
        // One thread per neuron steps; the others load the next entries.
        if (threadIdx.x < TILE) {
#pragma unroll 1
            for (int t = 0; t < TILE; t += AHEAD) forward.step(t0, t, currents);
        } else if (more) {
            entries.fetch<BLOCK_THREADS - TILE>(args.columns, drawn, next[0], next[TILE], threadIdx.x - TILE);
        }
        __syncthreads();
        forward.write(t0, currents);
        __syncthreads();
    }
    if (threadIdx.x < TILE) forward.end();
}

// A layer whose input is dense, in A pieces: the spikes of the layer before, or the frames of the batch. BLOCK_THREADS
// threads multiply; TILE threads, one for each neuron, go through the steps of the tile before meanwhile.
template <int A, bool FRAMES>
__device__ __forceinline__ void forward_dense(const ForwardArgs& args) {
    const u32 sample = blockIdx.x, n0 = blockIdx.y * TILE;
    if (sample >= args.state->samples) return;
    const Drawn& drawn = args.drawn[sample];
    const bool steps_here = threadIdx.x >= BLOCK_THREADS;
    const u32 depth = args.before_width / TILE, tiles = (drawn.steps + TILE - 1) / TILE;
    // Frames end where the sample ends. After that, the input is 0.
    const u32 with_input = FRAMES ? (drawn.frames + TILE - 1) / TILE : tiles;
    float* planes = (float*)dynamic_shared_memory(); // currents, then v, of two tiles
    bf16* all_weights = (bf16*)(planes + 2 * PLANE); // of all parts, if they are resident
    bf16* stages = all_weights + (args.resident ? depth * PIECES * PLANE : 0);
    const int stage = (A + (args.resident ? 0 : PIECES)) * PLANE;
    const bf16* before = args.before + (size_t)sample * args.time * args.before_width;
    const size_t before_plane = (size_t)args.batch_size * args.time * args.before_width;
    const bf16* pieces = args.pieces + (size_t)n0 * args.before_width;
    const size_t plane = (size_t)args.width * args.before_width;

    Forward forward(args, sample, n0, threadIdx.x - BLOCK_THREADS, drawn.steps);
    float bias[2][2];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        u32 n = n0 + Sums::column() + i / 2 * 8 + threadIdx.x % 4 * 2 + i % 2;
        bias[i / 2][i % 2] = n < args.neurons ? args.bias[n] : 0.0f;
    }
    Sums sums;
    auto begin = [&] {
#pragma unroll
        for (int i = 0; i < Sums::COUNT; i++) sums.at[i / 8][i / 4 % 2][i % 4] = bias[i / 4 % 2][i % 2];
    };
    begin();
    const TileCopy copy(args.before_width);
    auto load_weights = [&](bf16* to, u32 k) {
        for (int p = 0; p < PIECES; p++) copy(to + p * PLANE, pieces + p * plane + k * TILE);
    };
    if (args.resident && !steps_here) {
        for (u32 k = 0; k < depth; k++) load_weights(all_weights + k * PIECES * PLANE, k);
    }
    Part loaded(depth), used(depth);
    auto load = [&](u32 slot) {
        if (steps_here) return;
        bf16* to = stages + slot * stage;
        if (loaded.t < with_input) {
            for (int p = 0; p < A; p++) copy(to + p * PLANE, before + p * before_plane + loaded.k * TILE);
            if (!args.resident) load_weights(to + A * PLANE, loaded.k);
        }
        if (loaded.is_last()) before += (size_t)TILE * args.before_width;
        loaded.advance();
    };
    u32 due = 0; // share of the steps of the tile before that has not been done: in parts of 1 / depth chunks
    int next = 0;
    // While the currents of tile t are computed, the neurons step through tile t - 1, and v of tile t - 2 is written.
    pipeline((tiles + 2) * depth, args.stages, load, [&](u32 slot) {
        const u32 t = used.t, k = used.k;
        const bool last = used.is_last();
        used.advance();
        float* currents = planes + t % 2 * PLANE;
        if (!steps_here && k == 0 && t > 1) forward.write((t - 2) * TILE, currents);
        if (depth == 1) __syncthreads(); // otherwise the end of a part is between this and the next currents
        if (steps_here) {
            if (t == 0 || t > tiles) return;
            if (k == 0) due = next = 0;
            for (due += TILE / AHEAD; due >= depth; due -= depth, next += AHEAD) {
                forward.step((t - 1) * TILE, next, planes + (t - 1) % 2 * PLANE);
            }
        } else if (t < tiles) {
            const bf16* from = stages + slot * stage;
            const bf16* weights = args.resident ? all_weights + k * PIECES * PLANE : from + A * PLANE;
            if (t < with_input) multiply<true, A, PIECES>(sums, from, weights);
            if (!last) return;
            for_each_pair(sums, [&](int row, int column, float first, float second) {
                *(float2*)(currents + row * STRIDE + column) = make_float2(first, second);
            });
            begin();
        }
    });
    if (steps_here) forward.end();
}

KERNEL(iaf_forward, ForwardArgs, FORWARD_THREADS) {
    forward_dense<1, false>(args);
}

// The first layer, from the frames that `inflate_input` wrote.
KERNEL(iaf_forward_input, ForwardArgs, FORWARD_THREADS) {
    forward_dense<INPUT_PIECES, true>(args);
}

// Computes sigma g from g, and the factor of lambda of the next step.
template <bool BOUNDED>
__device__ __forceinline__ void prepare(const Neuron& neuron, float v, float& gain, float& keep) {
    const float sigma = neuron.surrogate(v);
    // Below the bound the potential was replaced, so no gradient flows back through it.
    const bool closed = BOUNDED && fmaf(-neuron.theta, neuron.spikes(v), v) <= neuron.lower;
    gain *= sigma;
    keep = closed ? 0.0f : fmaf(-neuron.theta, sigma, 1.0f);
}

// Computes lambda of a layer, backward in time. g is computed from lambda of the layer above. In the last hidden layer,
// g is the same at every step.
template <bool CONSTANT>
__device__ __forceinline__ void backward(const BackwardArgs& args) {
    u32 sample = blockIdx.x, n0 = blockIdx.y * TILE;
    if (sample >= args.state->samples) return;
    Neuron neuron(args.neuron);
    const bool bounded = neuron.lower != __uint_as_float(0xff800000u);
    u32 steps = args.drawn[sample].steps;
    const u32 depth = CONSTANT ? 1 : args.above_width / TILE, tiles = (steps + TILE - 1) / TILE;
    // Two planes of float32: the first holds g, then sigma g, then lambda; the second the factor of the next step's
    // lambda. If `apart` is not set, they reuse the space of the product's last part.
    float* own_gains = (float*)dynamic_shared_memory();
    bf16* all_weights = (bf16*)own_gains + (args.apart ? 4 * PLANE : 0); // of all parts, if they are resident
    bf16* stages = all_weights + (args.resident ? depth * PIECES * PLANE : 0);
    const int stage = (args.resident ? 1 : 2) * PIECES * PLANE;
    const size_t rows = (size_t)args.batch_size * args.time;
    const bf16* above = args.above + (size_t)sample * args.time * args.above_width;
    const bf16* pieces = args.pieces + (size_t)n0 * args.above_width;
    const size_t above_plane = rows * args.above_width, pieces_plane = (size_t)args.width * args.above_width;

    float4 row = {};
    if (CONSTANT) row = *(const float4*)(args.row + (size_t)sample * args.width + n0 + threadIdx.x % (TILE / 4) * 4);
    float next = 0.0f, total = 0.0f;
    Sums sums;
    clear(sums);
    const TileCopy copy(args.above_width);
    auto load_weights = [&](bf16* to, u32 k) {
        for (int p = 0; p < PIECES; p++) copy(to + p * PLANE, pieces + p * pieces_plane + k * TILE);
    };
    if (!CONSTANT && args.resident) {
        for (u32 k = 0; k < depth; k++) load_weights(all_weights + k * PIECES * PLANE, k);
    }
    // All potentials of a tile are loaded together, as soon as those of the tile before have been used.
    float4 vs[QUADS];
    auto load_potentials = [&](u32 t0) {
        const float* v = args.v + ((size_t)sample * args.time + t0) * args.width + n0;
        for_each_quad([&](int t, int column, int i) {
            vs[i] = t0 + t < steps ? *(const float4*)(v + (size_t)t * args.width + column) : float4{};
        });
    };
    if (tiles > 0) load_potentials((tiles - 1) * TILE);
    // The parts begin with the last tile of steps.
    Part loaded(depth), used(depth);
    above += (size_t)(tiles - 1) * TILE * args.above_width;
    auto load = [&](u32 slot) {
        if (CONSTANT) return;
        bf16* to = stages + slot * stage;
        for (int p = 0; p < PIECES; p++) copy(to + p * PLANE, above + p * above_plane + loaded.k * TILE);
        if (!args.resident) load_weights(to + PIECES * PLANE, loaded.k);
        if (loaded.is_last()) above -= (size_t)TILE * args.above_width;
        loaded.advance();
    };
    pipeline(tiles * depth, args.stages, load, [&](u32 slot) {
        const u32 t0 = (tiles - 1 - used.t) * TILE, k = used.k;
        const bool last = used.is_last();
        used.advance();
        const bf16* from = stages + slot * stage;
        if (!CONSTANT) {
            multiply<true, PIECES, PIECES>(sums, from, args.resident ? all_weights + k * PIECES * PLANE : from + PIECES * PLANE);
        }
        if (!last) return;
        float* gains = args.apart ? own_gains : (float*)from;
        if (!CONSTANT) {
            if (!args.apart) __syncthreads();
            for_each_pair(sums, [&](int row, int column, float first, float second) {
                *(float2*)(gains + row * STRIDE + column) = make_float2(first, second);
            });
            clear(sums);
            __syncthreads();
        }
        // The exponentials of all steps at once: they depend only on v.
        for_each_quad([&](int t, int column, int i) {
            float* at = gains + t * STRIDE + column;
            float4 gain = CONSTANT ? row : *(const float4*)at, keep;
            auto prepare_all = [&](auto one) {
                one(vs[i].x, gain.x, keep.x), one(vs[i].y, gain.y, keep.y);
                one(vs[i].z, gain.z, keep.z), one(vs[i].w, gain.w, keep.w);
            };
            if (bounded) prepare_all([&](float v, float& g, float& k) { prepare<true>(neuron, v, g, k); });
            else prepare_all([&](float v, float& g, float& k) { prepare<false>(neuron, v, g, k); });
            const bool real = t0 + t < steps;
            *(float4*)at = real ? gain : float4{};
            *(float4*)(at + PLANE) = real ? keep : float4{};
        });
        if (t0 > 0) load_potentials(t0 - TILE);
        __syncthreads();
        if (threadIdx.x < TILE) {
            float* gain = gains + threadIdx.x;
#pragma unroll 1
            for (int t = TILE - AHEAD; t >= 0; t -= AHEAD) {
                float add[AHEAD], keep[AHEAD];
#pragma unroll
                for (int i = 0; i < AHEAD; i++) add[i] = gain[(t + i) * STRIDE], keep[i] = gain[(t + i) * STRIDE + PLANE];
#pragma unroll
                for (int i = AHEAD - 1; i >= 0; i--) {
                    next = fmaf(keep[i], next, add[i]);
                    total += next;
                    gain[(t + i) * STRIDE] = next;
                }
            }
        }
        __syncthreads();
        bf16* lambda = args.lambda + ((size_t)sample * args.time + t0) * args.width + n0;
        for_each_quad([&](int t, int column, int) {
            const float4 quad = *(const float4*)(gains + t * STRIDE + column);
            u32 left[PIECES], right[PIECES];
            split_pair(quad.x, quad.y, left);
            split_pair(quad.z, quad.w, right);
            for (int p = 0; p < PIECES; p++) {
                *(uint2*)(lambda + (p * rows + t) * args.width + column) = make_uint2(left[p], right[p]);
            }
        });
    });
    if (threadIdx.x < TILE) args.totals[(size_t)sample * args.width + n0 + threadIdx.x] = total;
}

KERNEL(iaf_backward, BackwardArgs, BLOCK_THREADS) {
    backward<false>(args);
}

// The last hidden layer. g is the same at every step, because the readout is summed over time.
KERNEL(iaf_backward_constant, BackwardArgs, BLOCK_THREADS) {
    backward<true>(args);
}
