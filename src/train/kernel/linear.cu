// Gradients of the weights of all layers and of the readout's bias. (The bias gradient of a hidden layer is lambda
// summed over time, by iaf.cu, and over samples, by the kernel `update`.) The weight gradient of a hidden layer is the
// sum of input times lambda over all samples and steps: a product on tensor cores, with one tile of W^T per block. The
// samples are divided among blocks. The kernel `update` adds the partial sums of the blocks in a fixed order.

// Writes the cells `m0` to `m0 + TILE` of TILE frames into a tile of INPUT_PIECES planes: two threads per frame.
__device__ __forceinline__ void inflate_tile(bf16* tile, const SampleColumns& columns, const Drawn& drawn, u32 t0, u32 m0) {
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

// Source of a layer's input: spikes of the layer before, the dense input, or the input's cells.
enum class From { SPIKES, INPUT, CELLS };

template <From from>
__device__ __forceinline__ void weight_gradient_of(const GradientArgs& args) {
    constexpr int A = from == From::SPIKES ? 1 : INPUT_PIECES;
    constexpr int stage = (A + PIECES) * PLANE;
    u32 tiles = args.width / TILE, m0 = blockIdx.x / tiles * TILE, n0 = blockIdx.x % tiles * TILE;
    u32 each = (args.batch_size + gridDim.y - 1) / gridDim.y, samples = args.state->samples;
    u32 first = blockIdx.y * each;
    bf16* stages = (bf16*)dynamic_shared_memory();
    const size_t rows = (size_t)args.batch_size * args.time;

    // Steps of a sample that have input.
    auto steps = [&](u32 sample) {
        const Drawn& drawn = args.drawn[sample];
        return from == From::SPIKES ? drawn.steps : min(drawn.frames, drawn.steps);
    };
    u32 parts = 0, sample = first, t0 = 0, end = min(first + each, samples);
    for (u32 b = first; b < end; b++) parts += (steps(b) + TILE - 1) / TILE;
    auto load = [&](u32, u32 slot) {
        while (t0 >= steps(sample)) sample++, t0 = 0;
        bf16* to = stages + slot * stage;
        size_t row = (size_t)sample * args.time + t0;
        if (from == From::CELLS) {
            inflate_tile(to, args.columns, args.drawn[sample], t0, m0);
        } else {
            for (int p = 0; p < A; p++) {
                copy_tile(to + p * PLANE, args.before + (p * rows + row) * args.before_width + m0, args.before_width);
            }
        }
        for (int p = 0; p < PIECES; p++) {
            copy_tile(to + (A + p) * PLANE, args.lambda + (p * rows + row) * args.width + n0, args.width);
        }
        t0 += TILE;
    };
    Sums sums;
    clear(sums);
    pipeline<GRADIENT_STAGES>(parts, load, [&](u32, u32 slot) {
        const bf16* at = stages + slot * stage;
        multiply_columns<A, PIECES>(sums, at, at + A * PLANE);
    });
    float* out = args.partials + ((size_t)blockIdx.y * args.before_width + m0) * args.width + n0;
    for_each_pair(sums, [&](int row, int column, float left, float right) {
        float* to = out + (size_t)row * args.width + column;
        to[0] = left, to[1] = right;
    });
}

KERNEL(weight_gradient, GradientArgs, MULTIPLY_THREADS) {
    weight_gradient_of<From::SPIKES>(args);
}

// The first layer.
KERNEL(weight_gradient_input, GradientArgs, MULTIPLY_THREADS) {
    weight_gradient_of<From::INPUT>(args);
}

// The first layer, if its input is too large to be made dense.
KERNEL(weight_gradient_cells, GradientArgs, MULTIPLY_THREADS) {
    weight_gradient_of<From::CELLS>(args);
}

// Writes the score of the batch: the mean loss, weighted by class if there are class weights, and the number of correct
// samples. Sums are added in halves, which is a fixed order.
__device__ __forceinline__ void write_score(const ReadoutArgs& args, State& state, u32 samples) {
    double* losses = (double*)dynamic_shared_memory();
    u32* correct = (u32*)(losses + blockDim.x);
    double* weights = (double*)(correct + blockDim.x); // aligned: the offset is a multiple of 8 bytes
    double loss = 0, weight = 0;
    u32 right = 0;
    for (u32 b = threadIdx.x; b < samples; b += blockDim.x) {
        const u32 label = args.drawn[b].label;
        const double of = args.class_weights ? args.class_weights[label] : 1.0;
        loss += of * args.losses[b];
        weight += of;
        right += args.predicted[b] == label;
    }
    losses[threadIdx.x] = loss, correct[threadIdx.x] = right, weights[threadIdx.x] = weight;
    for (u32 half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x >= half) continue;
        losses[threadIdx.x] += losses[threadIdx.x + half];
        correct[threadIdx.x] += correct[threadIdx.x + half];
        weights[threadIdx.x] += weights[threadIdx.x + half];
    }
    if (threadIdx.x > 0) return;
    loss = losses[0] / weights[0];
    args.scores[state.batch] = {loss, correct[0], samples};
    if (!(loss - loss == 0)) state.stopped = 1; // no update, and no further batch
}

// The gradients of the readout. The last block writes the score of the batch instead. All steps of a sample have the
// same gradient, because the readout is summed over time.
KERNEL(readout_gradient, ReadoutArgs, BLOCK_THREADS) {
    State& state = *args.state;
    u32 samples = state.samples;
    if (samples == 0) return;
    if (blockIdx.x + 1 == gridDim.x) {
        write_score(args, state, samples);
        return;
    }
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (u64)(args.neurons + 1) * args.classes) return;
    u32 h = (u32)(i / args.classes), k = (u32)(i % args.classes);
    float sum = 0.0f;
#pragma unroll 8
    for (u32 b = 0; b < samples; b++) {
        float times = h < args.neurons ? args.totals[(size_t)b * args.width + h] : (float)args.drawn[b].steps;
        sum = fmaf(times, args.gradient[(size_t)b * args.classes + k], sum);
    }
    args.out[i] = sum;
}
