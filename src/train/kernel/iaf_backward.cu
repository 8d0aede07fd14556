// Runs a layer backward in time, and computes lambda, the gradient of the loss with respect to the layer's currents. g
// is the gradient of the loss with respect to the layer's spikes: the product of the next layer's lambda with the
// weights between the two layers. In the last hidden layer, g is the same at every step, because the readout is summed
// over time.

// Multiplies `gain`, which is g, by sigma(v). Computes `keep`, the factor of the next step's lambda.
template <bool BOUNDED>
__device__ __forceinline__ void prepare(const Neuron& neuron, float v, float& gain, float& keep) {
    const float sigma = neuron.surrogate(v);
    // Below the bound the potential was replaced, so no gradient flows back through it.
    const bool closed = BOUNDED && fmaf(-neuron.theta, neuron.spikes(v), v) <= neuron.lower;
    gain *= sigma;
    keep = closed ? 0.0f : fmaf(-neuron.theta, sigma, 1.0f);
}

// CONSTANT: g is the same at every step.
template <bool CONSTANT>
__device__ __forceinline__ void backward(const BackwardArgs& args) {
    const u32 sample = blockIdx.x, n0 = blockIdx.y * TILE;
    if (sample >= args.state->samples) return;
    const Neuron neuron(args.neuron);
    const bool bounded = neuron.lower != __uint_as_float(0xff800000u);
    const u32 steps = args.drawn[sample].steps;
    const u32 depth = CONSTANT ? 1 : args.above_width / TILE, tiles = (steps + TILE - 1) / TILE;
    // Two planes of float32: the first holds g, then sigma g, then lambda; the second holds `keep`. If `apart` is not
    // set, the planes reuse the stage of a tile's last term.
    float* own_gains = (float*)dynamic_shared_memory();
    bf16* all_weights = (bf16*)own_gains + (args.apart ? 4 * PLANE : 0); // of all terms, if they are resident
    bf16* stages = all_weights + (args.resident ? depth * PIECES * PLANE : 0);
    const int stage_size = (args.resident ? 1 : 2) * PIECES * PLANE;
    const size_t rows = (size_t)args.batch_size * args.time;
    const bf16* above = args.above + (size_t)sample * args.time * args.above_width;
    const bf16* weights = args.weight_pieces + (size_t)n0 * args.above_width;
    const size_t above_apart = rows * args.above_width, weights_apart = (size_t)args.width * args.above_width;

    float4 row = {};
    const size_t of_quad = (size_t)sample * args.width + n0 + threadIdx.x % (TILE / 4) * 4;
    if (CONSTANT) row = *(const float4*)(args.row + of_quad);
    // The gradient of the penalty for spike rates is the same at every step.
    float4 rate = {};
    if (args.rates) rate = *(const float4*)(args.rates + of_quad);
    float next = 0.0f, total = 0.0f;
    Sums sums;
    clear(sums);
    const TileCopy copy(args.above_width);
    auto load_weights = [&](bf16* to, u32 k) { copy.pieces<PIECES>(to, weights + k * TILE, weights_apart); };
    if (!CONSTANT && args.resident && tiles > 0) { // without tiles, nothing waits for the copies
        for (u32 k = 0; k < depth; k++) load_weights(all_weights + k * PIECES * PLANE, k);
    }
    // All potentials of a tile are loaded together, as soon as the potentials of the next tile in time have been used.
    float4 vs[QUADS];
    auto load_potentials = [&](u32 t0) {
        const float* v = args.v + ((size_t)sample * args.time + t0) * args.width + n0;
        for_each_quad([&](int t, int column, int i) {
            vs[i] = t0 + t < steps ? *(const float4*)(v + (size_t)t * args.width + column) : float4{};
        });
    };
    if (tiles > 0) {
        load_potentials((tiles - 1) * TILE);
        above += (size_t)(tiles - 1) * TILE * args.above_width;
    }
    // The first terms are those of the last tile of steps.
    Term loaded(depth), used(depth);
    auto load = [&](u32 stage) {
        if (CONSTANT) return;
        bf16* to = stages + stage * stage_size;
        copy.pieces<PIECES>(to, above + loaded.k * TILE, above_apart);
        if (!args.resident) load_weights(to + PIECES * PLANE, loaded.k);
        if (loaded.is_last()) above -= (size_t)TILE * args.above_width;
        loaded.advance();
    };
    pipeline(tiles * depth, args.stages, load, [&](u32 stage) {
        const u32 t0 = (tiles - 1 - used.tile) * TILE, k = used.k;
        const bool last = used.is_last();
        used.advance();
        const bf16* from = stages + stage * stage_size;
        if (!CONSTANT) {
            const bf16* with = args.resident ? all_weights + k * PIECES * PLANE : from + PIECES * PLANE;
            multiply<true, PIECES, PIECES>(sums, from, with);
        }
        if (!last) return;
        float* gains = args.apart ? own_gains : (float*)from;
        if (!CONSTANT) {
            if (!args.apart) __syncthreads();
            store(sums, gains, STRIDE);
            clear(sums);
            __syncthreads();
        }
        // Computes the exponentials of all steps at once, because they depend only on v.
        for_each_quad([&](int t, int column, int i) {
            float* at = gains + t * STRIDE + column;
            float4 gain = CONSTANT ? row : *(const float4*)at, keep;
            if (args.rates) gain.x += rate.x, gain.y += rate.y, gain.z += rate.z, gain.w += rate.w;
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
                for (int i = 0; i < AHEAD; i++) {
                    add[i] = gain[(t + i) * STRIDE], keep[i] = gain[(t + i) * STRIDE + PLANE];
                }
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

// The last hidden layer.
KERNEL(iaf_backward_constant, BackwardArgs, BLOCK_THREADS) {
    backward<true>(args);
}
