// The update: adds up the partial sums of the gradients, does the optimiser's step (kernel/optimiser.rs has the
// formulas), and writes the weights in the pieces and layouts that the next matrix products read.
//
// The parameters of a layer are a matrix: W^T, (in, out), with the bias as one more row. Each tensor of other
// parameters is a layer with no inputs and one row. A block has UPDATE_ROWS by UPDATE_COLUMNS parameters of a layer, so
// that it reads and writes several neighbours in both layouts. UPDATE_SHARES threads add up the gradient of a
// parameter: each thread adds a share of the partial sums. The first of these threads updates the parameter.

#define UPDATE_PARAMETERS (UPDATE_ROWS * UPDATE_COLUMNS)
#define UPDATE_SHARES (BLOCK_THREADS / UPDATE_PARAMETERS)

// base^exponent by squaring, as in kernel/optimiser.rs.
__device__ __forceinline__ double power(double base, u64 exponent) {
    double result = 1.0, square = base;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1) result *= square;
        square *= square;
    }
    return result;
}

// A parameter of a layer.
struct Place {
    u32 row, column;
    bool there; // false beyond the layer's edges
    u64 index;  // in the network's flat list
};

// The layer of this block.
__device__ __forceinline__ const UpdatedLayer& layer_of(const UpdateArgs& args) {
    u32 at = 0;
#pragma unroll 4
    for (u32 i = 1; i < args.layer_count; i++) at += args.layers[i].first_block <= blockIdx.x; // independent loads
    return args.layers[at];
}

__device__ __forceinline__ Place place_of(const UpdatedLayer& layer) {
    const u32 across = (layer.outputs + UPDATE_COLUMNS - 1) / UPDATE_COLUMNS, i = threadIdx.x % UPDATE_PARAMETERS;
    const u32 block = blockIdx.x - layer.first_block;
    const u32 row = block / across * UPDATE_ROWS + i / UPDATE_COLUMNS;
    const u32 column = block % across * UPDATE_COLUMNS + i % UPDATE_COLUMNS;
    const bool there = row < layer.rows && column < layer.outputs;
    return {row, column, there, layer.at + (u64)row * layer.outputs + column};
}

// Writes the copies of a weight that the matrix products read: (out, in) for the currents, (in, out) for the gradient
// with respect to the input.
__device__ __forceinline__ void pack_weight(const UpdatedLayer& layer, u32 row, u32 column, float w) {
    bf16 pieces[PIECES];
    split(w, pieces);
    size_t apart = (size_t)layer.input_width * layer.output_width;
    for (int p = 0; p < PIECES; p++) {
        if (layer.forward) layer.forward[p * apart + (size_t)column * layer.input_width + row] = pieces[p];
        if (layer.backward) layer.backward[p * apart + (size_t)row * layer.output_width + column] = pieces[p];
    }
}

KERNEL(pack, UpdateArgs, BLOCK_THREADS) {
    const UpdatedLayer& layer = layer_of(args);
    const Place at = place_of(layer);
    if (threadIdx.x >= UPDATE_PARAMETERS || !at.there || at.row == layer.inputs) return;
    pack_weight(layer, at.row, at.column, args.parameters[at.index]);
}

KERNEL(update, UpdateArgs, BLOCK_THREADS) {
    const State& state = *args.state;
    const UpdatedLayer& layer = layer_of(args);
    const u32 samples = state.samples, share = threadIdx.x / UPDATE_PARAMETERS;
    if (state.stopped || samples == 0) return;
    const Place at = place_of(layer);
    float* sums = (float*)dynamic_shared_memory(); // (UPDATE_SHARES, UPDATE_PARAMETERS)
    float* factors = sums + BLOCK_THREADS;
    float mean = 0.0f, mean_square = 0.0f, w = 0.0f;
    const bool frozen = at.row < layer.inputs ? layer.frozen_weights : layer.frozen_row;
    const bool updates = args.mean && share == 0 && at.there && !frozen;
    const bool has_squares = args.rule == RULE_ADAM || args.rule == RULE_ADAMW;
    if (updates) mean = args.mean[at.index], w = args.parameters[at.index];
    if (updates && has_squares) mean_square = args.mean_square[at.index];

    // The gradient is the sum of `n` numbers. A thread loads `ahead` numbers together.
    constexpr u32 ahead = 16;
    const bool split = at.row < layer.inputs || layer.row_in_partials;
    const size_t apart = split ? (size_t)layer.input_width * layer.output_width : layer.output_width;
    const float* from = split ? layer.partials + (size_t)at.row * layer.output_width : layer.bias_sums;
    const u32 n = !at.there || args.clipped ? 0 : split ? layer.splits : samples;
    float numbers[ahead];
    auto load = [&](u32 first) {
#pragma unroll
        for (u32 j = 0; j < ahead; j++) {
            const u32 p = first + j * UPDATE_SHARES;
            numbers[j] = p < n ? from[p * apart + at.column] : 0.0f;
        }
    };
    load(share);
    // While these numbers load, two threads compute Adam's bias corrections: factors[1] is lr / (1 - beta1^t), and
    // factors[0] is sqrt(1 - beta2^t).
    const double* rates = args.rates + 2 * (u64)state.batch;
    if (args.mean && has_squares && threadIdx.x >= BLOCK_THREADS - 2) {
        const u32 i = threadIdx.x % 2;
        const double lr = rates[0], correction = 1.0 - power(i ? rates[1] : args.beta2, state.updates);
        factors[i] = (float)(i ? lr / correction : sqrt(correction));
    }
    float g = 0.0f;
    for (u32 p = share; p < n; p += UPDATE_SHARES * ahead, load(p)) {
#pragma unroll
        for (u32 j = 0; j < ahead; j++) g += numbers[j];
    }
    sums[threadIdx.x] = g;
    __syncthreads();
    if (share > 0 || !at.there) return;
    for (u32 i = 1; i < UPDATE_SHARES; i++) g += sums[threadIdx.x + i * UPDATE_PARAMETERS];
    if (at.row < layer.inputs) g *= layer.scale;
    if (args.clipped) g = args.gradients[at.index] * *args.clipped;
    else if (args.gradients) args.gradients[at.index] = frozen ? 0.0f : g;
    if (!updates) return;

    const double decay = at.row < layer.inputs ? args.weight_decay : 0.0;
    const float momentum = (float)rates[1];
    if (args.rule == RULE_ADAMW) w *= (float)(1.0 - rates[0] * decay);
    else if (decay != 0.0) g = fmaf(w, (float)decay, g);
    if (has_squares) {
        mean = fmaf(mean, momentum, g * (float)(1.0 - rates[1]));
        mean_square = fmaf(mean_square, (float)args.beta2, g * g * (float)(1.0 - args.beta2));
        const float root = sqrtf(mean_square) / factors[0] + (float)args.eps;
        w = fmaf(mean / root, -factors[1], w);
        args.mean_square[at.index] = mean_square;
    } else {
        mean = fmaf(mean, momentum, g);
        w = fmaf(args.rule == RULE_NESTEROV ? fmaf(mean, momentum, g) : mean, -(float)rates[0], w);
    }
    args.mean[at.index] = mean;
    args.parameters[at.index] = w;
    if (at.row < layer.inputs) pack_weight(layer, at.row, at.column, w);
}

// Writes the sum of squares of each chunk of CLIP_CHUNK gradients. A block has one chunk.
KERNEL(squares, ClipArgs, BLOCK_THREADS) {
    const u64 first = (u64)blockIdx.x * CLIP_CHUNK;
    double sum = 0.0;
    for (u64 i = first + threadIdx.x; i < first + CLIP_CHUNK && i < args.parameters; i += BLOCK_THREADS) {
        sum = fma((double)args.gradients[i], (double)args.gradients[i], sum);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) args.squares[blockIdx.x] = sum;
}

// Computes the factor that reduces the norm of all gradients to `clip_norm`, or 1 if the norm is small enough. Runs as
// one block.
KERNEL(clip, ClipArgs, BLOCK_THREADS) {
    const u64 chunks = (args.parameters + CLIP_CHUNK - 1) / CLIP_CHUNK;
    double sum = 0.0;
    for (u64 i = threadIdx.x; i < chunks; i += BLOCK_THREADS) sum += args.squares[i];
    sum = block_sum(sum);
    const double factor = args.clip_norm / (sqrt(sum) + CLIP_EPS);
    if (threadIdx.x == 0) *args.factor = factor < 1.0 ? (float)factor : 1.0f;
}
