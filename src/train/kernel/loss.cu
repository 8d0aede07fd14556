// The output of the readout summed over time, the softmax cross entropy, and the gradient of the loss by the spikes of
// the last hidden layer: one block per sample. The readout is linear, so that it needs only the sum of the spikes.
// kernel/loss.rs has the formulas.

// A group of threads is a warp and computes CLASSES classes. The GROUPS groups divide the neurons among themselves.
#define CLASSES 32
#define GROUPS (BLOCK_THREADS / CLASSES)

KERNEL(readout, ReadoutArgs, BLOCK_THREADS) {
    u32 b = blockIdx.x;
    if (b >= args.state->samples) return;
    const Drawn& drawn = args.drawn[b];
    u64 index = args.by_position ? args.state->begin + b : b;
    float* parts = (float*)dynamic_shared_memory(); // (GROUPS, CLASSES)
    const float* totals = args.totals + (size_t)b * args.width;
    float* logits = args.logits + (size_t)b * args.classes;
    float* gradient = args.gradient + (size_t)b * args.classes;
    u32 group = threadIdx.x / CLASSES, lane = threadIdx.x % CLASSES;

    for (u32 k0 = 0; k0 < args.classes; k0 += CLASSES) {
        u32 k = k0 + lane;
        float sum = 0.0f;
        // Eight numbers of each array are loaded together.
        for (u32 h0 = group; h0 < args.neurons; h0 += GROUPS * 8) {
            float total[8], weight[8];
#pragma unroll
            for (u32 i = 0; i < 8; i++) {
                u32 h = h0 + i * GROUPS;
                bool there = h < args.neurons && k < args.classes;
                total[i] = there ? totals[h] : 0.0f;
                weight[i] = there ? args.weights[(size_t)h * args.classes + k] : 0.0f;
            }
#pragma unroll
            for (u32 i = 0; i < 8; i++) sum = fmaf(total[i], weight[i], sum);
        }
        parts[threadIdx.x] = sum;
        __syncthreads();
        if (group == 0 && k < args.classes) {
            sum = args.bias[k] * (float)drawn.steps;
            for (u32 i = 0; i < GROUPS; i++) sum += parts[i * CLASSES + lane];
            logits[k] = sum;
        }
        __syncthreads();
    }

    // Number of threads that have a class. All of them, then one warp, find the largest logit. NaN is never the
    // largest, but makes the sum NaN.
    const u32 busy = min(args.classes, blockDim.x);
    float* largest = parts;
    u32* best = (u32*)(parts + CLASSES * GROUPS);
    float most = __uint_as_float(0xff800000u); // negative infinity
    u32 at = 0xffffffffu;
    // Of equal logits, the first one counts.
    auto consider = [&](float logit, u32 k) {
        if (logit > most || (logit == most && k < at)) most = logit, at = k;
    };
    for (u32 k = threadIdx.x; k < args.classes; k += blockDim.x) {
        float logit = logits[k];
        if (logit > most) most = logit, at = k;
    }
    largest[threadIdx.x] = most, best[threadIdx.x] = at;
    __syncthreads();
    if (threadIdx.x < 32) {
        for (u32 i = threadIdx.x + 32; i < busy; i += 32) consider(largest[i], best[i]);
        for (u32 lanes = 16; lanes > 0; lanes /= 2) {
            float other = __shfl_xor_sync(0xffffffffu, most, lanes);
            u32 k = __shfl_xor_sync(0xffffffffu, at, lanes);
            consider(other, k);
        }
        if (threadIdx.x == 0) {
            largest[0] = most;
            args.labels[index] = drawn.label;
            args.predicted[index] = at == 0xffffffffu ? 0 : at;
        }
    }
    __syncthreads();
    most = largest[0];
    __syncthreads();
    float sum = 0.0f;
    for (u32 k = threadIdx.x; k < args.classes; k += blockDim.x) {
        float power = exp_nonpositive(logits[k] - most);
        gradient[k] = power;
        sum += power;
    }
    parts[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        for (u32 i = threadIdx.x + 32; i < busy; i += 32) sum += parts[i];
        for (u32 lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
        if (threadIdx.x == 0) parts[0] = sum;
    }
    __syncthreads();
    sum = parts[0];
    // A logarithm takes long: a thread without a class, if there is one, computes it while the others continue.
    if (threadIdx.x + 1 == blockDim.x) {
        args.losses[index] = log((double)sum) + (double)most - (double)logits[drawn.label];
    }
    float scale = 1.0f / (float)args.state->samples;
    if (args.class_weights) {
        // Each warp adds up the weights of the batch, in the same order.
        float total = 0.0f;
        for (u32 i = lane; i < args.state->samples; i += 32) total += args.class_weights[args.drawn[i].label];
        for (u32 lanes = 16; lanes > 0; lanes /= 2) total += __shfl_xor_sync(0xffffffffu, total, lanes);
        scale = args.class_weights[drawn.label] / total;
    }
    for (u32 k = threadIdx.x; k < args.classes; k += blockDim.x) {
        float share = gradient[k] / sum * scale;
        gradient[k] = k == drawn.label ? share - scale : share;
    }
    if (!args.row) return;
    __syncthreads();
    // One warp per neuron, so that its contiguous weights are read together.
    for (u32 h = threadIdx.x / 32; h < args.width; h += blockDim.x / 32) {
        float g = 0.0f;
        if (h < args.neurons) {
            const float* weights = args.weights + (size_t)h * args.classes;
            for (u32 k = lane; k < args.classes; k += 32) g = fmaf(weights[k], gradient[k], g);
            for (u32 lanes = 16; lanes > 0; lanes /= 2) g += __shfl_xor_sync(0xffffffffu, g, lanes);
        }
        if (lane == 0) args.row[(size_t)b * args.width + h] = g;
    }
}
