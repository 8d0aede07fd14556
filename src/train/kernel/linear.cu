// Gradients of the weights of all layers, and in integrate-and-fire networks of the readout's bias. (There, the bias
// gradient of a hidden layer is lambda summed over time, by iaf_backward.cu, and over samples, by the kernel `update`. In
// layered networks, `layer_gradient` in cell/tile.cu computes the gradients of biases.) `readout_gradient` also writes
// the score of the batch, in layered networks only that.
//
// The weight gradient of a hidden layer is the sum of input times lambda over all samples and steps: a product on
// tensor cores, with one term for each tile of steps of each sample. A block computes two tiles of W^T, one below the
// other, which share lambda. The samples are split among blocks. The kernel `update` adds the blocks' partial sums in a
// fixed order.

// Writes the cells `m0` to `m0 + TILE` of the TILE frames from t0 on into INPUT_PIECES planes: LANES threads per frame.
__device__ __forceinline__ void inflate_tile(
    bf16* planes, const SampleColumns& columns, const Drawn& drawn, u32 t0, u32 m0) {
    constexpr u32 LANES = BLOCK_THREADS / TILE;
    u32 row = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    bf16* to = planes + row * STRIDE;
    uint4 zero = make_uint4(0, 0, 0, 0);
#pragma unroll
    for (int p = 0; p < INPUT_PIECES; p++)
#pragma unroll
        for (int i = 0; i < TILE / LANES; i += 8) *(uint4*)(to + p * PLANE + lane * (TILE / LANES) + i) = zero;
    __syncwarp();
    if (t0 + row >= drawn.frames) return;
    const Cell* cell = (const Cell*)columns.cells + drawn.first_entry;
    const Count* count = (const Count*)columns.counts + drawn.first_entry;
    u32 e = frame_start(columns, drawn.first_frame, t0 + row), end = frame_end(columns, drawn.first_frame, t0 + row);
    for (e = lower_bound(cell, e, end, m0) + lane; e < end && cell[e] - m0 < TILE; e += LANES) {
        bf16 pieces[INPUT_PIECES];
        split((float)count[e], pieces);
#pragma unroll
        for (int p = 0; p < INPUT_PIECES; p++) to[p * PLANE + (cell[e] - m0)] = pieces[p];
    }
}

// Where a layer's input is: the spikes of the layer before, the dense input, or the active cells.
enum class From { SPIKES, INPUT, CELLS };

template <From from>
__device__ __forceinline__ void weight_gradient_of(const GradientArgs& args) {
    constexpr int A = from == From::SPIKES ? 1 : INPUT_PIECES;
    constexpr int stage_size = (2 * A + PIECES) * PLANE;
    u32 tiles = args.width / TILE, m0 = blockIdx.x / tiles * 2 * TILE, n0 = blockIdx.x % tiles * TILE;
    const int inputs = m0 + TILE < args.before_width ? 2 : 1; // number of tiles of inputs
    u32 each = (args.batch_size + gridDim.y - 1) / gridDim.y, samples = args.state->samples;
    u32 first = blockIdx.y * each;
    bf16* stages = (bf16*)dynamic_shared_memory();
    const size_t rows = (size_t)args.batch_size * args.time;

    // Steps of a sample that have input.
    auto steps = [&](u32 sample) {
        const Drawn& drawn = args.drawn[sample];
        return from == From::SPIKES ? drawn.steps : min(drawn.frames, drawn.steps);
    };
    const u32 end = min(first + each, samples);
    u32 terms = 0;
#pragma unroll 4
    for (u32 b = first; b < end; b++) terms += (steps(b) + TILE - 1) / TILE;
    const TileCopy copy_before(args.before_width), copy_lambda(args.width);
    // The steps of the next sample are loaded long before they are needed.
    auto steps_of_next = [&](u32 sample) { return sample + 1 < end ? steps(sample + 1) : 0; };
    u32 sample = first, t0 = 0, until = first < end ? steps(first) : 0, next_until = steps_of_next(first);
    auto load = [&](u32 stage) {
        while (t0 >= until) until = next_until, next_until = steps_of_next(++sample), t0 = 0;
        bf16* to = stages + stage * stage_size;
        const size_t row = (size_t)sample * args.time + t0;
        for (int m = 0; m < inputs; m++) {
            const u32 at = m0 + m * TILE;
            bf16* planes = to + m * A * PLANE;
            if (from == From::CELLS) inflate_tile(planes, args.columns, args.drawn[sample], t0, at);
            else copy_before.pieces<A>(planes, args.before + row * args.before_width + at, rows * args.before_width);
        }
        copy_lambda.pieces<PIECES>(to + 2 * A * PLANE, args.lambda + row * args.width + n0, rows * args.width);
        t0 += TILE;
    };
    Sums sums[2];
    clear(sums[0]), clear(sums[1]);
    pipeline(terms, args.stages, load, [&](u32 stage) {
        const bf16* at = stages + stage * stage_size;
#pragma unroll
        for (int m = 0; m < 2; m++) {
            if (m < inputs) multiply<false, A, PIECES>(sums[m], at + m * A * PLANE, at + 2 * A * PLANE);
        }
    });
#pragma unroll
    for (int m = 0; m < 2; m++) {
        if (m == inputs) break;
        float* out = args.partials + ((size_t)blockIdx.y * args.before_width + m0 + m * TILE) * args.width + n0;
        store(sums[m], out, args.width);
    }
}

KERNEL(weight_gradient, GradientArgs, BLOCK_THREADS) {
    weight_gradient_of<From::SPIKES>(args);
}

// The first layer.
KERNEL(weight_gradient_input, GradientArgs, BLOCK_THREADS) {
    weight_gradient_of<From::INPUT>(args);
}

// The first layer, if its input is too large to be made dense.
KERNEL(weight_gradient_cells, GradientArgs, BLOCK_THREADS) {
    weight_gradient_of<From::CELLS>(args);
}

// Writes the score of the batch: the mean loss, weighted by class if there are class weights, and the number of correct
// samples. If several ranks share the batch, the sum of their scores is the score of the whole batch. Every sum has a
// fixed order.
__device__ __forceinline__ void write_score(const ReadoutArgs& args, State& state, u32 samples) {
    double* losses = (double*)dynamic_shared_memory();
    u32* correct = (u32*)(losses + blockDim.x);
    double* weights = (double*)(correct + blockDim.x); // aligned: the offset is a multiple of 8 bytes
    double* penalties = weights + blockDim.x;
    double loss = 0, weight = 0, penalty = 0;
    u32 right = 0;
    for (u32 b = threadIdx.x; b < samples; b += blockDim.x) {
        const u32 label = args.drawn[b].label;
        const double of = args.class_weights ? args.class_weights[label] : 1.0;
        loss += args.smoothing > 0.0 ? args.smoothed[b] : of * args.losses[b];
        weight += of;
        right += args.predicted[b] == label;
        for (u32 i = 0; i < args.penalty_layers; i++) penalty += args.penalties[(size_t)i * args.batch_size + b];
    }
    losses[threadIdx.x] = loss, correct[threadIdx.x] = right, weights[threadIdx.x] = weight;
    penalties[threadIdx.x] = penalty;
    for (u32 half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x >= half) continue;
        losses[threadIdx.x] += losses[threadIdx.x + half];
        correct[threadIdx.x] += correct[threadIdx.x + half];
        weights[threadIdx.x] += weights[threadIdx.x + half];
        penalties[threadIdx.x] += penalties[threadIdx.x + half];
    }
    if (threadIdx.x > 0) return;
    loss = losses[0] / (args.whole_weight > 0.0 ? args.whole_weight : weights[0]) + penalties[0];
    args.scores[state.batch] = {loss, penalties[0], correct[0], samples, state.overflowed};
    if (!is_finite(loss) || state.overflowed) state.stopped = 1; // no update, and no further batch
}

// Computes the gradients of the readout's parameters, WARP numbers per block. Each of the eight warps adds up every
// eighth sample, and the sums of the warps are added in order. The last block writes the score of the batch instead.
// All steps of a sample have the same gradient, because the readout is summed over time.
KERNEL(readout_gradient, ReadoutArgs, BLOCK_THREADS) {
    State& state = *args.state;
    const u32 samples = state.samples;
    if (samples == 0) return;
    if (blockIdx.x + 1 == gridDim.x) {
        write_score(args, state, samples);
        return;
    }
    constexpr u32 warps = BLOCK_THREADS / WARP, ahead = 16;
    float* sums = (float*)dynamic_shared_memory(); // (warps, WARP)
    const u32 warp = threadIdx.x / WARP;
    const u64 i = (u64)blockIdx.x * WARP + threadIdx.x % WARP;
    const u32 h = (u32)(i / args.classes), k = (u32)(i % args.classes);
    // The sum of times(b) * gradient over the warp's samples b. The numbers of `ahead` samples are loaded together.
    auto sum_of = [&](auto times) {
        float sum = 0.0f;
        for (u32 b0 = warp; b0 < samples; b0 += warps * ahead) {
            float left[ahead], right[ahead];
#pragma unroll
            for (u32 j = 0; j < ahead; j++) {
                const u32 b = b0 + j * warps;
                left[j] = b < samples ? times(b) : 0.0f;
                right[j] = b < samples ? args.gradient[(size_t)b * args.classes + k] : 0.0f;
            }
#pragma unroll
            for (u32 j = 0; j < ahead; j++) sum = fmaf(left[j], right[j], sum);
        }
        return sum;
    };
    float sum = 0.0f;
    if (h < args.neurons) {
        sum = sum_of([&](u32 b) { return args.totals[(size_t)b * args.width + h]; });
    } else if (h == args.neurons) {
        sum = sum_of([&](u32 b) { return (float)args.drawn[b].steps; });
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (warp > 0 || h > args.neurons) return;
    for (u32 w = 1; w < warps; w++) sum += sums[threadIdx.x + w * WARP];
    args.out[i] = sum;
}
