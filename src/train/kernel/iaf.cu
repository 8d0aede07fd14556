// A layer of integrate-and-fire neurons: the product with its weights and the recursion over time in one kernel,
// forward and backward (kernel/iaf.rs has the formulas). Currents and incoming gradients never leave the
// multiprocessor.
//
// A block has one sample and TILE neighbouring neurons. It goes through time in tiles of TILE steps. First the currents
// of a tile are computed: in the first layer by adding rows of W^T in float32, in the other layers on tensor cores.
// Then one thread per neuron goes through the steps. The block stores v, and the spikes or lambda in the layout that
// the next product reads: matrices (batch, T, neurons), with T and neurons rounded up to whole tiles.

// VS: number of potentials that a thread loads together. AHEAD: number of steps whose values a thread loads into
// registers before it goes through them.
#define VS 32
#define AHEAD 16

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

// Steps of a layer's neurons forward in time: the second half of both forward kernels.
struct Forward {
    const ForwardArgs& args;
    Neuron neuron;
    u32 sample, n0, steps;
    bool simple;
    float u, total, most;

    __device__ __forceinline__ Forward(const ForwardArgs& args, u32 sample, u32 n0, u32 steps)
        : args(args), neuron(args.neuron), sample(sample), n0(n0), steps(steps), u(0.0f), total(0.0f), most(0.0f) {
        simple = neuron.theta == 1.0f && neuron.lower == __uint_as_float(0xff800000u);
    }

    // Threads below TILE, one neuron each: replaces the currents of a tile's steps with v.
    __device__ __forceinline__ void step(u32 t0, float* currents) {
        if (simple) run<true>(t0, currents);
        else run<false>(t0, currents);
    }

    // All threads, two neurons each: writes v and the spikes of the tile as the next products read them.
    template <int BLOCK>
    __device__ __forceinline__ void write(u32 t0, const float* currents) const {
        if (simple) put<true, BLOCK>(t0, currents);
        else put<false, BLOCK>(t0, currents);
    }

    template <bool SIMPLE>
    __device__ __forceinline__ float spikes(float v) const {
        float whole = truncf(v);
        return !SIMPLE ? neuron.spikes(v) : v < 0.0f ? 0.0f : whole;
    }

    // Each step depends on the step before. SIMPLE neurons, which have a threshold of 1 and no bound, take half the
    // time.
    template <bool SIMPLE>
    __device__ __forceinline__ void run(u32 t0, float* currents) {
        const int count = (int)min((u32)TILE, steps - t0);
#pragma unroll 1
        for (int t = 0; t < TILE; t += AHEAD) {
            float* at = currents + t * STRIDE + threadIdx.x;
            float x[AHEAD];
#pragma unroll
            for (int i = 0; i < AHEAD; i++) x[i] = at[i * STRIDE];
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
                most = s > most ? s : most;
            }
        }
    }

    template <bool SIMPLE, int BLOCK>
    __device__ __forceinline__ void put(u32 t0, const float* currents) const {
        const u32 column = threadIdx.x % (TILE / 2) * 2, first = threadIdx.x / (TILE / 2);
        const int count = (int)min((u32)TILE, steps - t0);
        const size_t at = ((size_t)sample * args.time + t0) * args.width + n0 + column;
#pragma unroll 4
        for (int t = first; t < TILE; t += BLOCK / (TILE / 2)) {
            const float2 v = *(const float2*)(currents + t * STRIDE + column);
            const size_t to = at + (size_t)t * args.width;
            if (args.v) *(float2*)(args.v + to) = v;
            const float left = t < count ? v.x : 0.0f, right = t < count ? v.y : 0.0f;
            if (args.spikes) *(u32*)(args.spikes + to) = to_bf16_pair(spikes<SIMPLE>(left), spikes<SIMPLE>(right));
        }
    }

    __device__ __forceinline__ void end() const {
        if (threadIdx.x >= TILE) return;
        if (args.totals) args.totals[(size_t)sample * args.width + n0 + threadIdx.x] = total;
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
    Forward forward(args, sample, n0, drawn.steps);
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
        if (threadIdx.x < TILE) forward.step(t0, currents);
        else if (more) entries.fetch<BLOCK_THREADS - TILE>(args.columns, drawn, next[0], next[TILE], threadIdx.x - TILE);
        __syncthreads();
        forward.write<BLOCK_THREADS>(t0, currents);
        __syncthreads();
    }
    forward.end();
}

// Any hidden layer but the first, from the spikes of the layer before.
KERNEL(iaf_forward, ForwardArgs, MULTIPLY_THREADS) {
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
    auto load = [&](u32 part, u32 slot) {
        bf16* to = stages + slot * stage;
        u32 t0 = part / depth * TILE, k0 = part % depth * TILE;
        copy_tile(to, before + (size_t)t0 * args.before_width + k0, args.before_width);
        for (int p = 0; p < PIECES; p++) {
            copy_tile(to + (1 + p) * PLANE, pieces + p * plane + k0, args.before_width);
        }
    };
    pipeline<FORWARD_STAGES>(parts, load, [&](u32 part, u32 slot) {
        const bf16* from = stages + slot * stage;
        multiply_rows<1, PIECES>(sums, from, from + PLANE);
        if (part % depth < depth - 1) return;
        for_each_pair(sums, [&](int row, int column, float first, float second) {
            u32 n = n0 + column;
            currents[row * STRIDE + column] = first + (n < args.neurons ? args.bias[n] : 0.0f);
            currents[row * STRIDE + column + 1] = second + (n + 1 < args.neurons ? args.bias[n + 1] : 0.0f);
        });
        clear(sums);
        __syncthreads();
        const u32 t0 = part / depth * TILE;
        if (threadIdx.x < TILE) forward.step(t0, currents);
        __syncthreads();
        forward.write<MULTIPLY_THREADS>(t0, currents);
    });
    forward.end();
}

// Computes sigma g, and the factor of lambda of the next step, for the steps `first`, `first + 2`, ... below `left`.
template <bool CONSTANT, bool BOUNDED>
__device__ __forceinline__ void prepare(const Neuron& neuron, const float (&vs)[VS], u32 first, u32 left, float row, float* gains) {
    float *gain = gains + first * STRIDE + threadIdx.x % TILE, *keep = gain + PLANE;
#pragma unroll
    for (int i = 0; i < VS; i++) {
        const int to = i * (MULTIPLY_THREADS / TILE) * STRIDE;
        const bool real = first + i * (MULTIPLY_THREADS / TILE) < left;
        float sigma = neuron.surrogate(vs[i]);
        // Below the bound the potential was replaced, so no gradient flows back through it.
        bool closed = BOUNDED && fmaf(-neuron.theta, neuron.spikes(vs[i]), vs[i]) <= neuron.lower;
        gain[to] = real ? sigma * (CONSTANT ? row : gain[to]) : 0.0f;
        keep[to] = real && !closed ? fmaf(-neuron.theta, sigma, 1.0f) : 0.0f;
    }
}

// Computes lambda of a layer, backward in time. g is computed from lambda of the layer above. In the last hidden layer,
// g is the same at every step.
template <bool CONSTANT>
__device__ __forceinline__ void backward(const BackwardArgs& args) {
    u32 sample = blockIdx.x, n0 = blockIdx.y * TILE, n = n0 + threadIdx.x % TILE;
    if (sample >= args.state->samples) return;
    Neuron neuron(args.neuron);
    const bool bounded = neuron.lower != __uint_as_float(0xff800000u);
    u32 steps = args.drawn[sample].steps;
    // Two planes of float32: the first holds g, then sigma g, then lambda; the second the factor of the next step's
    // lambda. They reuse the space of the product's last part if that is large enough.
    constexpr bool apart = CONSTANT || PIECES == 1;
    constexpr int stage = 2 * PIECES * PLANE;
    bf16* stages = (bf16*)dynamic_shared_memory() + (apart ? 4 * PLANE : 0);
    const size_t rows = (size_t)args.batch_size * args.time;
    const bf16* above = args.above + (size_t)sample * args.time * args.above_width;
    const bf16* pieces = args.pieces + (size_t)n0 * args.above_width;
    const size_t above_plane = rows * args.above_width, pieces_plane = (size_t)args.width * args.above_width;
    u32 depth = CONSTANT ? 1 : args.above_width / TILE, tiles = (steps + TILE - 1) / TILE, parts = tiles * depth;

    float row = CONSTANT ? args.row[(size_t)sample * args.width + n] : 0.0f;
    float next = 0.0f, total = 0.0f;
    Sums sums;
    clear(sums);
    auto load = [&](u32 part, u32 slot) {
        if (CONSTANT) return;
        bf16* to = stages + slot * stage;
        u32 t0 = (tiles - 1 - part / depth) * TILE, k0 = part % depth * TILE;
        for (int p = 0; p < PIECES; p++) {
            copy_tile(to + p * PLANE, above + p * above_plane + (size_t)t0 * args.above_width + k0, args.above_width);
            copy_tile(to + (PIECES + p) * PLANE, pieces + p * pieces_plane + k0, args.above_width);
        }
    };
    pipeline<BACKWARD_STAGES>(parts, load, [&](u32 part, u32 slot) {
        const bf16* from = stages + slot * stage;
        const bool last = part % depth == depth - 1;
        const u32 t0 = (tiles - 1 - part / depth) * TILE, first = threadIdx.x / TILE;
        // All potentials of a tile are loaded together, while its product is computed.
        float vs[VS];
        if (last) {
            const float* v = args.v + ((size_t)sample * args.time + t0 + first) * args.width + n;
#pragma unroll
            for (int i = 0; i < VS; i++) {
                vs[i] = t0 + first + i * (MULTIPLY_THREADS / TILE) < steps ? v[(size_t)(i * (MULTIPLY_THREADS / TILE)) * args.width] : 0.0f;
            }
        }
        if (!CONSTANT) multiply_rows<PIECES, PIECES>(sums, from, from + PIECES * PLANE);
        if (!last) return;
        float* gains = apart ? (float*)dynamic_shared_memory() : (float*)from;
        if (!CONSTANT) {
            if (!apart) __syncthreads();
            for_each_pair(sums, [&](int row, int column, float first, float second) {
                gains[row * STRIDE + column] = first;
                gains[row * STRIDE + column + 1] = second;
            });
            clear(sums);
            __syncthreads();
        }
        // The exponentials of all steps at once: they depend only on v.
        if (bounded) prepare<CONSTANT, true>(neuron, vs, first, steps - t0, row, gains);
        else prepare<CONSTANT, false>(neuron, vs, first, steps - t0, row, gains);
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
        // All threads write lambda, two neurons each.
        const u32 column = threadIdx.x % (TILE / 2) * 2;
        bf16* lambda = args.lambda + ((size_t)sample * args.time + t0) * args.width + n0 + column;
#pragma unroll 4
        for (int t = threadIdx.x / (TILE / 2); t < TILE; t += MULTIPLY_THREADS / (TILE / 2)) {
            const float2 both = *(const float2*)(gains + t * STRIDE + column);
            u32 split[PIECES];
            split_pair(both.x, both.y, split);
            for (int p = 0; p < PIECES; p++) *(u32*)(lambda + (p * rows + t) * args.width) = split[p];
        }
    });
    if (threadIdx.x < TILE) args.totals[(size_t)sample * args.width + n] = total;
}

KERNEL(iaf_backward, BackwardArgs, MULTIPLY_THREADS) {
    backward<false>(args);
}

// The last hidden layer. g is the same at every step, because the readout is summed over time.
KERNEL(iaf_backward_constant, BackwardArgs, MULTIPLY_THREADS) {
    backward<true>(args);
}
