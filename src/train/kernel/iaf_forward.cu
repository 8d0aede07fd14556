// Runs a layer forward in time. In the first layer, the currents are sums in float32 of count times row of W^T, over
// the active cells, or a product with the dense input. In the other layers, the currents are a product with the spikes
// of the layer before.

// Runs TILE neurons, beginning with neuron n0, step by step. TILE threads have one neuron each: neuron n0 + column.
struct Forward {
    const ForwardArgs& args;
    Neuron neuron;
    u32 sample, n0, column, steps;
    bool simple;
    float u, v_last, total, largest; // potentials after and before a step's spikes; sum and maximum of the spikes

    __device__ __forceinline__ Forward(const ForwardArgs& args, u32 sample, u32 n0, u32 column, u32 steps)
        : args(args), neuron(args.neuron), sample(sample), n0(n0), column(column), steps(steps), u(0.0f), v_last(0.0f),
          total(0.0f), largest(0.0f) {
        simple = neuron.theta == 1.0f && neuron.lower == __uint_as_float(0xff800000u);
    }

    // For threads with a neuron: replaces the currents of AHEAD steps by v, from step t of the tile at t0 on.
    __device__ __forceinline__ void step(u32 t0, int t, float* currents) {
        if (simple) run<true>(t0, t, currents);
        else run<false>(t0, t, currents);
    }

    // For BLOCK_THREADS threads: writes v and the spikes of the tile at t0 as the next products read them.
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
    // half the time. All neurons here spike any number of times per step.
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
                v_last = v;
                total += s;
                largest = fmaxf(largest, s);
            }
            if (largest < SMALL) return;
            u = u_before, total = total_before; // compute the steps again, for potentials of any size
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
            v_last = t + i < count ? v : v_last;
            s = t + i < count ? s : 0.0f; // values after the last step are not read
            total += s;
            largest = fmaxf(largest, s);
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
        if (args.spikes && largest > 256.0f) args.state->rounded = 1;
        if (!neuron.is_finite(v_last)) note_overflow(*args.state, args.layer);
    }
};

// Entries (cell, count) of a tile of frames. Shared memory has at most ENTRIES entries at a time.
struct Entries {
    u32* starts;  // (2, TILE + 4): where each frame begins, and the last one ends, in this tile and the next
    uint2* there; // (ENTRIES,): cell, and count as float32

    __device__ __forceinline__ Entries(u8* memory) : starts((u32*)memory), there((uint2*)(starts + 2 * (TILE + 4))) {}

    // Returns TILE + 1 numbers for the tile at t0: where each frame begins, and where the last frame ends.
    __device__ __forceinline__ u32* starts_at(u32 t0) const { return starts + t0 / TILE % 2 * (TILE + 4); }

    // Thread `thread` of FETCHERS loads its share of the entries `from` to `end`, with all loads in flight together.
    template <int FETCHERS>
    __device__ __forceinline__ void fetch(
        const SampleColumns& columns, const Drawn& drawn, u32 from, u32 end, u32 thread) {
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

// Adds up to ENTRIES entries of a tile of frames, from entry `first` on, to the currents of the tile. `starts` has the
// index of each frame's first entry. Each thread adds the entries of a frame to the currents of W neighbouring neurons.
template <int W, typename Args>
__device__ __forceinline__ void gather(
    const Args& args, const Entries& entries, const u32* starts, u32 n0, u32 first, float* currents) {
    constexpr u32 lanes = TILE / W, groups = BLOCK_THREADS / lanes;
    const u32 column = threadIdx.x % lanes * W, n = n0 + column;
    const bool real = n < args.neurons; // W divides neurons
    const float* weights = args.weights + n;
    const uint2* there = entries.there - first;
    const bool begins = first == starts[0];
    float bias[W];
#pragma unroll
    for (int i = 0; i < W; i++) bias[i] = real && args.bias ? args.bias[n + i] : 0.0f;
    for (u32 t = threadIdx.x / lanes; t < TILE; t += groups) {
        float* to = currents + t * STRIDE + column;
        float x[W];
#pragma unroll
        for (int i = 0; i < W; i++) x[i] = begins ? bias[i] : to[i];
        if (real) {
            u32 until = min(starts[t + 1], first + ENTRIES);
#pragma unroll 4
            for (u32 e = max(starts[t], first); e < until; e++) {
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

// The first layer, from sparse cells: all threads add the rows of W^T, in the order of the cells. Then TILE threads go
// through the steps, while the other threads load the next entries.
KERNEL(iaf_forward_cells, ForwardArgs, BLOCK_THREADS) {
    u32 sample = blockIdx.x, n0 = blockIdx.y * TILE;
    if (sample >= args.state->samples) return;
    const Drawn drawn = args.drawn[sample];
    float* currents = (float*)dynamic_shared_memory();
    Entries entries((u8*)(currents + PLANE));
    Forward forward(args, sample, n0, threadIdx.x, drawn.steps);
    const bool quads = args.neurons % 4 == 0;
    auto frame_begin = [&](u32 t) { return frame_start(args.columns, drawn.first_frame, min(t, drawn.frames)); };
    if (threadIdx.x <= TILE) entries.starts[threadIdx.x] = frame_begin(threadIdx.x);
    __syncthreads();
    entries.fetch<BLOCK_THREADS>(args.columns, drawn, entries.starts[0], entries.starts[TILE], threadIdx.x);
    __syncthreads();
    for (u32 t0 = 0; t0 < drawn.steps; t0 += TILE) {
        const u32 *starts = entries.starts_at(t0), end = starts[TILE];
        u32* next = entries.starts_at(t0 + TILE);
        const bool more = t0 + TILE < drawn.steps;
        u32 begin = 0;
        if (more && threadIdx.x <= TILE) begin = frame_begin(t0 + TILE + threadIdx.x);
        for (u32 first = starts[0];; first += ENTRIES) {
            if (quads) gather<4>(args, entries, starts, n0, first, currents);
            else gather<1>(args, entries, starts, n0, first, currents);
            if (more && threadIdx.x <= TILE) next[threadIdx.x] = begin;
            __syncthreads();
            if (end - first <= ENTRIES) break;
            entries.fetch<BLOCK_THREADS>(args.columns, drawn, first + ENTRIES, end, threadIdx.x);
            __syncthreads();
        }
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

// A layer with dense input, in A pieces: the spikes of the layer before, or the dense input of the batch. BLOCK_THREADS
// threads compute the currents of a tile. Meanwhile TILE more threads, one for each neuron, go through the steps of the
// tile before.
template <int A, bool FROM_INPUT>
__device__ __forceinline__ void forward_dense(const ForwardArgs& args) {
    const u32 sample = blockIdx.x, n0 = blockIdx.y * TILE;
    if (sample >= args.state->samples) return;
    const Drawn& drawn = args.drawn[sample];
    const bool has_neuron = threadIdx.x >= BLOCK_THREADS;
    const u32 depth = args.before_width / TILE, tiles = (drawn.steps + TILE - 1) / TILE;
    // The dense input ends with the sample's frames. After that, it counts as 0.
    const u32 with_input = FROM_INPUT ? (drawn.frames + TILE - 1) / TILE : tiles;
    float* both_currents = (float*)dynamic_shared_memory(); // currents, then v, of two tiles
    bf16* all_weights = (bf16*)(both_currents + 2 * PLANE);  // of all terms, if they are resident
    bf16* stages = all_weights + (args.resident ? depth * PIECES * PLANE : 0);
    const int stage_size = (A + (args.resident ? 0 : PIECES)) * PLANE;
    const bf16* before = args.before + (size_t)sample * args.time * args.before_width;
    const size_t before_apart = (size_t)args.batch_size * args.time * args.before_width;
    const bf16* weights = args.weight_pieces + (size_t)n0 * args.before_width;
    const size_t weights_apart = (size_t)args.width * args.before_width;

    Forward forward(args, sample, n0, threadIdx.x - BLOCK_THREADS, drawn.steps);
    float bias[2][2];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        u32 n = n0 + Sums::column() + i / 2 * 8 + threadIdx.x % 4 * 2 + i % 2;
        bias[i / 2][i % 2] = n < args.neurons ? args.bias[n] : 0.0f;
    }
    Sums sums;
    auto begin_with_bias = [&] {
#pragma unroll
        for (int i = 0; i < Sums::COUNT; i++) sums.at[i / 8][i / 4 % 2][i % 4] = bias[i / 4 % 2][i % 2];
    };
    begin_with_bias();
    const TileCopy copy(args.before_width);
    auto load_weights = [&](bf16* to, u32 k) { copy.pieces<PIECES>(to, weights + k * TILE, weights_apart); };
    if (args.resident && !has_neuron) {
        for (u32 k = 0; k < depth; k++) load_weights(all_weights + k * PIECES * PLANE, k);
    }
    Term loaded(depth), used(depth);
    auto load = [&](u32 stage) {
        if (has_neuron) return;
        bf16* to = stages + stage * stage_size;
        if (loaded.tile < with_input) {
            copy.pieces<A>(to, before + loaded.k * TILE, before_apart);
            if (!args.resident) load_weights(to + A * PLANE, loaded.k);
        }
        if (loaded.is_last()) before += (size_t)TILE * args.before_width;
        loaded.advance();
    };
    // The neurons' steps are divided evenly among the terms of a tile. Each term adds TILE / AHEAD to `due`. While
    // `due` is at least `depth`, AHEAD steps are computed and `due` decreases by `depth`. `next` is the first step that
    // has not been computed.
    u32 due = 0;
    int next = 0;
    // While the currents of one tile are computed, the neurons step through the tile before, and v of the tile two
    // before is written.
    pipeline((tiles + 2) * depth, args.stages, load, [&](u32 stage) {
        const u32 tile = used.tile, k = used.k;
        const bool last = used.is_last();
        used.advance();
        float* currents = both_currents + tile % 2 * PLANE;
        if (!has_neuron && k == 0 && tile > 1) forward.write((tile - 2) * TILE, currents);
        if (depth == 1) __syncthreads(); // with more terms, the barrier of `pipeline` comes before the next `store`
        if (has_neuron) {
            if (tile == 0 || tile > tiles) return;
            if (k == 0) due = next = 0;
            for (due += TILE / AHEAD; due >= depth; due -= depth, next += AHEAD) {
                forward.step((tile - 1) * TILE, next, both_currents + (tile - 1) % 2 * PLANE);
            }
        } else if (tile < tiles) {
            const bf16* from = stages + stage * stage_size;
            const bf16* with = args.resident ? all_weights + k * PIECES * PLANE : from + A * PLANE;
            if (tile < with_input) multiply<true, A, PIECES>(sums, from, with);
            if (!last) return;
            store(sums, currents, STRIDE);
            begin_with_bias();
        }
    });
    if (has_neuron) forward.end();
}

KERNEL(iaf_forward, ForwardArgs, FORWARD_THREADS) {
    forward_dense<1, false>(args);
}

// The first layer, from the dense input that `inflate_input` wrote.
KERNEL(iaf_forward_input, ForwardArgs, FORWARD_THREADS) {
    forward_dense<INPUT_PIECES, true>(args);
}
