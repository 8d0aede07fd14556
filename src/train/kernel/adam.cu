// The update: sums up the partial sums of the gradients, does Adam's step (kernel/adam.rs has the formula), and writes
// the weights in the pieces and layouts that the next matrix products read. One thread per parameter.

// base^exponent by squaring, as in kernel/adam.rs.
__device__ __forceinline__ double power(double base, u64 exponent) {
    double result = 1.0, square = base;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1) result *= square;
        square *= square;
    }
    return result;
}

// Returns the layer of parameter `i`, and sets `i` to the index in that layer: W^T, (in, out), then the bias.
__device__ __forceinline__ const Layer& layer_of(const Layer* layers, u64& i) {
    while (i >= (u64)(layers->inputs + 1) * layers->outputs) {
        i -= (u64)(layers->inputs + 1) * layers->outputs;
        layers++;
    }
    return *layers;
}

// Writes the copies of a weight that the products read: (out, in) for the currents, (in, out) for the gradient of the
// input.
__device__ __forceinline__ void pack_weight(const Layer& layer, u32 row, u32 column, float w) {
    bf16 pieces[PIECES];
    split(w, pieces);
    size_t plane = (size_t)layer.input_width * layer.output_width;
    for (int p = 0; p < PIECES; p++) {
        if (layer.forward) layer.forward[p * plane + (size_t)column * layer.input_width + row] = pieces[p];
        if (layer.backward) layer.backward[p * plane + (size_t)row * layer.output_width + column] = pieces[p];
    }
}

KERNEL(pack, UpdateArgs, BLOCK_THREADS) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= args.count) return;
    float w = args.parameters[i];
    const Layer& layer = layer_of(args.layers, i);
    u32 row = (u32)(i / layer.outputs);
    if (row < layer.inputs) pack_weight(layer, row, (u32)(i % layer.outputs), w);
}

KERNEL(update, UpdateArgs, BLOCK_THREADS) {
    const State& state = *args.state;
    u64 parameter = (u64)blockIdx.x * blockDim.x + threadIdx.x, i = parameter;
    if (parameter >= args.count || state.stopped || state.samples == 0) return;
    const Layer& layer = layer_of(args.layers, i);
    u32 row = (u32)(i / layer.outputs), column = (u32)(i % layer.outputs);
    float g = 0.0f;
    if (row < layer.inputs || layer.readout) {
        const float* from = layer.partials + (size_t)row * layer.output_width + column;
        size_t plane = (size_t)layer.input_width * layer.output_width;
#pragma unroll 16
        for (u32 p = 0; p < layer.splits; p++) g += from[p * plane];
    } else {
#pragma unroll 16
        for (u32 b = 0; b < state.samples; b++) g += layer.bias_sums[(size_t)b * layer.output_width + column];
    }
    if (args.gradients) args.gradients[parameter] = g;
    if (!args.mean) return;

    float root_correction = (float)sqrt(1.0 - power(args.beta2, state.updates));
    float step_size = (float)(*args.lr / (1.0 - power(args.beta1, state.updates)));
    float m = fmaf(args.mean[parameter], (float)args.beta1, g * (float)(1.0 - args.beta1));
    float v = fmaf(args.mean_square[parameter], (float)args.beta2, g * g * (float)(1.0 - args.beta2));
    float root = sqrtf(v) / root_correction + (float)args.eps;
    float w = fmaf(m / root, -step_size, args.parameters[parameter]);
    args.mean[parameter] = m;
    args.mean_square[parameter] = v;
    args.parameters[parameter] = w;
    if (row < layer.inputs) pack_weight(layer, row, column, w);
}
