// The readout summed over time, its softmax cross entropy, and what the last layer's spikes are to that: a block a sample.
// The readout is linear, so the sum of the spikes is all it needs to see. Formulas are those of kernel/loss.rs.

// Classes of a group, and groups that share the neurons of a class.
#define CLASSES 32
#define GROUPS 8

KERNEL(readout, ReadoutArgs, CLASSES * GROUPS) {
    u32 b = blockIdx.x;
    if (b >= args.state->samples) return;
    const Drawn& drawn = args.drawn[b];
    u64 place = args.by_position ? args.state->begin + b : b;
    float* parts = (float*)dynamic_shared_memory(); // (GROUPS, CLASSES)
    const float* totals = args.totals + (size_t)b * args.width;
    float* logits = args.logits + (size_t)b * args.classes;
    float* gradient = args.gradient + (size_t)b * args.classes;
    u32 group = threadIdx.x / CLASSES, lane = threadIdx.x % CLASSES;

    for (u32 k0 = 0; k0 < args.classes; k0 += CLASSES) {
        u32 k = k0 + lane;
        float sum = 0.0f;
        if (k < args.classes) {
#pragma unroll 4
            for (u32 h = group; h < args.neurons; h += GROUPS) {
                sum = fmaf(totals[h], args.weights[(size_t)h * args.classes + k], sum);
            }
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

    // Threads that have a class. The largest logit, by all of them and then by one; NaN is not the largest, but makes the sum NaN.
    const u32 busy = min(args.classes, blockDim.x);
    float* largest = parts;
    u32* best = (u32*)(parts + CLASSES * GROUPS);
    float most = __uint_as_float(0xff800000u); // negative infinity
    u32 at = 0xffffffffu;
    for (u32 k = threadIdx.x; k < args.classes; k += blockDim.x) {
        if (logits[k] > most) most = logits[k], at = k;
    }
    largest[threadIdx.x] = most, best[threadIdx.x] = at;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (u32 i = 1; i < busy; i++) {
            // The first of equals.
            if (largest[i] > most || (largest[i] == most && best[i] < at)) most = largest[i], at = best[i];
        }
        largest[0] = most;
        args.labels[place] = drawn.label;
        args.predicted[place] = at == 0xffffffffu ? 0 : at;
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
    if (threadIdx.x == 0) {
        for (u32 i = 1; i < busy; i++) sum += parts[i];
        parts[0] = sum;
        args.losses[place] = log((double)sum) + (double)most - (double)logits[drawn.label];
    }
    __syncthreads();
    sum = parts[0];
    const float scale = 1.0f / (float)args.state->samples;
    for (u32 k = threadIdx.x; k < args.classes; k += blockDim.x) {
        float share = gradient[k] / sum * scale;
        gradient[k] = k == drawn.label ? share - scale : share;
    }
    if (!args.row) return;
    __syncthreads();
    for (u32 h = threadIdx.x; h < args.width; h += blockDim.x) {
        float g = 0.0f;
        if (h < args.neurons) {
            for (u32 k = 0; k < args.classes; k++) {
                g = fmaf(args.weights[(size_t)h * args.classes + k], gradient[k], g);
            }
        }
        args.row[(size_t)b * args.width + h] = g;
    }
}
