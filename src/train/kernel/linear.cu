// The gradients of weights and biases. Those of a hidden layer are sums over all samples and steps of what went in times
// lambda: products on tensor cores, a tile of W^T a block, the samples divided among blocks. What each makes is added up
// by the update, in a fixed order.

// Writes the cells `m0` to `m0 + TILE` of TILE frames into a tile of INPUT_PIECES planes: two threads a frame.
__device__ __forceinline__ void inflate_tile(bf16* tile, const Columns& columns, const Drawn& drawn, u32 t0, u32 m0) {
    u32 row = threadIdx.x / 2, half = threadIdx.x % 2;
    bf16* to = tile + row * STRIDE;
    uint4 zero = make_uint4(0, 0, 0, 0);
#pragma unroll
    for (int p = 0; p < INPUT_PIECES; p++)
#pragma unroll
        for (int i = 0; i < 4; i++) *(uint4*)(to + p * PLANE + half * 32 + i * 8) = zero;
    __syncwarp();
    if (t0 + row >= drawn.frames) return;
    const Cell* cell = (const Cell*)columns.cells + drawn.first_entry;
    const Count* count = (const Count*)columns.counts + drawn.first_entry;
    u32 e = frame_start(columns, drawn.first_frame, t0 + row), end = frame_end(columns, drawn.first_frame, t0 + row);
    for (e = lower_bound(cell, e, end, m0) + half; e < end && cell[e] - m0 < TILE; e += 2) {
        bf16 pieces[INPUT_PIECES];
        split((float)count[e], pieces);
#pragma unroll
        for (int p = 0; p < INPUT_PIECES; p++) to[p * PLANE + (cell[e] - m0)] = pieces[p];
    }
}

template <bool CELLS>
__device__ __forceinline__ void weight_gradient_of(const GradientArgs& args) {
    constexpr int A = CELLS ? INPUT_PIECES : 1;
    constexpr int stage = (A + PIECES) * PLANE;
    u32 tiles = args.width / TILE, m0 = blockIdx.x / tiles * TILE, n0 = blockIdx.x % tiles * TILE;
    u32 each = (args.batch_size + gridDim.y - 1) / gridDim.y, samples = args.state->samples;
    u32 first = blockIdx.y * each;
    bf16* stages = (bf16*)dynamic_shared_memory();
    const size_t plane = (size_t)args.batch_size * args.time * args.width;

    // Steps of a sample in which something goes in.
    auto steps = [&](u32 sample) {
        const Drawn& drawn = args.drawn[sample];
        return CELLS ? min(drawn.frames, drawn.steps) : drawn.steps;
    };
    u32 parts = 0, sample = first, t0 = 0, end = min(first + each, samples);
    for (u32 b = first; b < end; b++) parts += (steps(b) + TILE - 1) / TILE;
    auto load = [&](u32, u32 place) {
        while (t0 >= steps(sample)) sample++, t0 = 0;
        bf16* to = stages + place * stage;
        size_t row = (size_t)sample * args.time + t0;
        if (CELLS) inflate_tile(to, args.columns, args.drawn[sample], t0, m0);
        else copy_tile(to, args.before + row * args.before_width + m0, args.before_width);
        for (int p = 0; p < PIECES; p++) {
            copy_tile(to + (A + p) * PLANE, args.lambda + p * plane + row * args.width + n0, args.width);
        }
        t0 += TILE;
    };
    Sums sums;
    clear(sums);
    pipeline(parts, load, [&](u32, u32 place) {
        const bf16* from = stages + place * stage;
        multiply_columns<A, PIECES>(sums, from, from + A * PLANE);
    });
    float* out = args.partials + ((size_t)blockIdx.y * args.before_width + m0) * args.width + n0;
    for_each_pair(sums, [&](int row, int column, float left, float right) {
        float* to = out + (size_t)row * args.width + column;
        to[0] = left, to[1] = right;
    });
}

KERNEL(weight_gradient, GradientArgs, THREADS) {
    weight_gradient_of<false>(args);
}

// Of the first layer, straight from the cells.
KERNEL(weight_gradient_cells, GradientArgs, THREADS) {
    weight_gradient_of<true>(args);
}

// The readout's gradients, and in the last block the batch's loss: below a sum over time, all steps of a sample are one.
KERNEL(readout_gradient, ReadoutArgs, 256) {
    State& state = *args.state;
    u32 samples = state.samples;
    if (samples == 0) return;
    if (blockIdx.x + 1 == gridDim.x) {
        if (threadIdx.x > 0) return;
        double loss = 0;
        u32 correct = 0;
        for (u32 b = 0; b < samples; b++) {
            loss += args.losses[b];
            correct += args.predicted[b] == args.drawn[b].label;
        }
        loss /= samples;
        args.scores[state.batch] = {loss, correct, samples};
        if (!(loss - loss == 0)) state.stopped = 1; // no update, and no further batch
        return;
    }
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (args.neurons + 1) * args.classes) return;
    u32 h = i / args.classes, k = i % args.classes;
    float sum = 0.0f;
    for (u32 b = 0; b < samples; b++) {
        float times = h < args.neurons ? args.totals[(size_t)b * args.width + h] : (float)args.drawn[b].steps;
        sum = fmaf(times, args.gradient[(size_t)b * args.classes + k], sum);
    }
    args.out[i] = sum;
}
