// The readout over time (kernel/readout.rs has the formulas), without its linear layer: from y to the logits, and from
// the gradient for the logits to dL/dI. A block has one sample.
//
// A warp computes the softmax of a time step, and a thread goes through the time steps of a class.

// The largest number of a warp.
__device__ __forceinline__ float warp_max(float x) {
    for (u32 lanes = WARP / 2; lanes > 0; lanes /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, lanes));
    return x;
}

// A leaky integrator of a class.
struct Integrator {
    float decay, gain, start;

    __device__ __forceinline__ Integrator(const ReduceArgs& args, const Drawn& drawn, u32 k) {
        const double r = clamped(args.leak, k);
        decay = (float)r, gain = (float)(1.0 - r);
        start = args.random_states ? uniform_start(stream_of(drawn, STATE_STREAMS + args.layer), k, 0) : 0.0f;
    }
};

KERNEL(reduce, ReduceArgs, BLOCK_THREADS) {
    const u32 sample = blockIdx.x, warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (sample >= args.state->samples) return;
    const Drawn& drawn = args.drawn[sample];
    const u32 steps = drawn.steps;
    const size_t row = (size_t)sample * args.time;
    float* logits = args.logits + (size_t)sample * args.classes;
    for (u32 k = threadIdx.x; k < args.classes; k += BLOCK_THREADS) {
        const float scale = args.norm[k], shift = args.norm[args.width + k];
        const Integrator integrator(args, drawn, k);
        float value = integrator.start, result = args.reduction == REDUCE_MAX ? __uint_as_float(0xff800000u) : 0.0f;
        for (u32 t0 = 0; t0 < steps; t0 += AHEAD) {
            const size_t at = (row + t0) * args.width + k;
            float y[AHEAD];
            load_steps(y, args.y + at, args.width);
#pragma unroll
            for (int i = 0; i < AHEAD; i++) {
                if (t0 + i >= steps) break;
                const float input = fmaf(y[i], scale, shift);
                if (args.reduction == REDUCE_SUM) {
                    result += input;
                    continue;
                }
                value = fmaf(value, integrator.decay, input * integrator.gain);
                args.values[at + (size_t)i * args.width] = value;
                // NaN stays, so that the loss is NaN too.
                if (args.reduction == REDUCE_LAST || value > result || value != value) result = value;
            }
        }
        if (args.reduction != REDUCE_SOFTMAX) logits[k] = result;
    }
    if (args.reduction != REDUCE_SOFTMAX) return;
    __syncthreads();
    for (u32 t = warp; t < steps; t += BLOCK_THREADS / WARP) {
        const float* values = args.values + (row + t) * args.width;
        float largest = __uint_as_float(0xff800000u), sum = 0.0f;
        for (u32 k = lane; k < args.classes; k += WARP) largest = fmaxf(largest, values[k]);
        largest = warp_max(largest);
        for (u32 k = lane; k < args.classes; k += WARP) sum += exp_nonpositive(values[k] - largest);
        sum = warp_sum(sum);
        if (lane == 0) args.softmax[(row + t) * 2] = largest, args.softmax[(row + t) * 2 + 1] = sum;
    }
    __syncthreads();
    for (u32 k = threadIdx.x; k < args.classes; k += BLOCK_THREADS) {
        float result = 0.0f;
#pragma unroll 8
        for (u32 t = 0; t < steps; t++) {
            const float* of = args.softmax + (row + t) * 2;
            result += exp_nonpositive(args.values[(row + t) * args.width + k] - of[0]) / of[1];
        }
        logits[k] = result;
    }
}

KERNEL(reduce_backward, ReduceArgs, BLOCK_THREADS) {
    const u32 sample = blockIdx.x, warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (sample >= args.state->samples) return;
    const Drawn& drawn = args.drawn[sample];
    const u32 steps = drawn.steps;
    const size_t row = (size_t)sample * args.time;
    const float* errors = args.errors + (size_t)sample * args.classes;
    if (args.reduction == REDUCE_SOFTMAX) {
        // Writes q of each step, p (e - <e, p>), to `gradient`.
        for (u32 t = warp; t < steps; t += BLOCK_THREADS / WARP) {
            const float* values = args.values + (row + t) * args.width;
            const float largest = args.softmax[(row + t) * 2], sum = args.softmax[(row + t) * 2 + 1];
            float dot = 0.0f;
            for (u32 k = lane; k < args.classes; k += WARP) {
                dot = fmaf(errors[k], exp_nonpositive(values[k] - largest) / sum, dot);
            }
            dot = warp_sum(dot);
            float* q = args.gradient + (row + t) * args.width;
            for (u32 k = lane; k < args.classes; k += WARP) {
                q[k] = exp_nonpositive(values[k] - largest) / sum * (errors[k] - dot);
            }
        }
        __syncthreads();
    }
    for (u32 k = threadIdx.x; k < args.width; k += BLOCK_THREADS) {
        const size_t apart = (size_t)args.batch_size * args.width;
        float* sums = args.sums + (size_t)sample * args.width + k;
        for (int i = 0; i < PARAMETER_SUMS + 2; i++) sums[i * apart] = 0.0f;
        if (k >= args.classes) { // the padding
            for (u32 t = 0; t < steps; t++) args.gradient[(row + t) * args.width + k] = 0.0f;
            continue;
        }
        const float scale = args.norm[k], shift = args.norm[args.width + k], mean = args.norm[2 * args.width + k];
        const Integrator integrator(args, drawn, k);
        const float error = errors[k];
        const bool integrates = args.reduction != REDUCE_SUM;
        const float* values = args.values + row * args.width + k;
        u32 chosen = steps - 1; // the step that gets the whole gradient: the last, or the first with the largest value
        if (args.reduction == REDUCE_MAX && steps > 0) {
            float largest = values[0];
            chosen = 0;
#pragma unroll 8
            for (u32 t = 1; t < steps; t++) {
                const float value = values[(size_t)t * args.width];
                if (value > largest) largest = value, chosen = t;
            }
        }
        float next = 0.0f, leak = 0.0f, total = 0.0f, product = 0.0f;
        for (u32 chunk = (steps + AHEAD - 1) / AHEAD; chunk-- > 0;) {
            const u32 t0 = chunk * AHEAD;
            const size_t at = (row + t0) * args.width + k;
            float y[AHEAD], q[AHEAD], value[AHEAD];
            load_steps(y, args.y + at, args.width);
            if (args.reduction == REDUCE_SOFTMAX) load_steps(q, args.gradient + at, args.width);
            if (integrates) load_steps(value, args.values + at, args.width);
            const float before = integrates && t0 > 0 ? args.values[at - args.width] : integrator.start;
#pragma unroll
            for (int i = AHEAD - 1; i >= 0; i--) {
                if (t0 + i >= steps) continue;
                float current = error;
                if (integrates) {
                    const float own = args.reduction == REDUCE_SOFTMAX ? q[i] : t0 + i == chosen ? error : 0.0f;
                    next = fmaf(next, integrator.decay, own);
                    current = next * integrator.gain;
                    leak = fmaf(next, (i == 0 ? before : value[i - 1]) - fmaf(y[i], scale, shift), leak);
                }
                total += current;
                product = fmaf(current, y[i] - mean, product);
                args.gradient[at + (size_t)i * args.width] = current;
            }
        }
        sums[0] = leak;
        sums[PARAMETER_SUMS * apart] = total;
        sums[(PARAMETER_SUMS + 1) * apart] = product;
    }
}
