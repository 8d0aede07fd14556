// The output of the readout summed over time, the softmax cross entropy, and the gradient of the loss with respect to
// the spikes of the last hidden layer. One block per sample. The readout is linear, so it needs only the spikes summed
// over time. kernel/loss.rs has the formulas.

// The warps divide the neurons among themselves, and compute READOUT_CLASSES classes at a time, two in each thread.
// Thread i then finishes the classes i, i + BLOCK_THREADS, and so on. It keeps the logit of class i in a register.
#define READOUT_WARPS (BLOCK_THREADS / WARP)

// Adds up one number per thread of a warp, in a fixed order. All threads get the sum.
__device__ __forceinline__ float warp_sum(float x) {
    for (u32 lanes = WARP / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xffffffffu, x, lanes);
    return x;
}

// The largest logit so far, and its class. Of equal logits, the lowest class counts. NaN is never the largest logit,
// but makes the denominator of the softmax NaN, and therefore the loss.
struct Largest {
    float most = __uint_as_float(0xff800000u); // negative infinity
    u32 best = 0xffffffffu;

    __device__ __forceinline__ void consider(float logit, u32 k) {
        if (logit > most || (logit == most && k < best)) most = logit, best = k;
    }
};

// Computes the loss of sample b and the gradient for its logits. `own` is the logit of class threadIdx.x, and `largest`
// has considered the logits of this thread. Writes the gradient of the first BLOCK_THREADS logits to `first` too.
// `of_warp` is shared memory for (4, READOUT_WARPS) numbers.
__device__ __forceinline__ void finish_loss(
    const ReadoutArgs& args, u32 b, float own, Largest largest, float* first, float* of_warp) {
    const u32 samples = args.state->samples, label = args.drawn[b].label;
    const u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const float* logits = args.logits + (size_t)b * args.classes;
    float* gradient = args.gradient + (size_t)b * args.classes;
    for (u32 lanes = WARP / 2; lanes > 0; lanes /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, largest.most, lanes);
        const u32 k = __shfl_xor_sync(0xffffffffu, largest.best, lanes);
        largest.consider(other, k);
    }
    if (lane == 0) of_warp[warp] = largest.most, ((u32*)of_warp)[READOUT_WARPS + warp] = largest.best;
    __syncthreads();
    for (u32 i = 0; i < READOUT_WARPS; i++) largest.consider(of_warp[i], ((u32*)of_warp)[READOUT_WARPS + i]);

    const float most = largest.most;
    float sum = 0.0f, weight = 0.0f;
    for (u32 k = threadIdx.x; k < args.classes; k += BLOCK_THREADS) {
        const float power = exp_nonpositive((k < BLOCK_THREADS ? own : logits[k]) - most);
        if (k < BLOCK_THREADS) own = power;
        else gradient[k] = power;
        sum += power;
    }
    if (args.class_weights) {
        for (u32 i = threadIdx.x; i < samples; i += BLOCK_THREADS) weight += args.class_weights[args.drawn[i].label];
    }
    sum = warp_sum(sum), weight = warp_sum(weight);
    if (lane == 0) of_warp[2 * READOUT_WARPS + warp] = sum, of_warp[3 * READOUT_WARPS + warp] = weight;
    __syncthreads();
    sum = weight = 0.0f;
    for (u32 i = 0; i < READOUT_WARPS; i++) {
        sum += of_warp[2 * READOUT_WARPS + i];
        weight += of_warp[3 * READOUT_WARPS + i];
    }
    auto weight_of = [&](u32 k) { return args.class_weights ? args.class_weights[k] : 1.0f; };
    if (!args.class_weights) weight = (float)samples;
    if (args.whole_weight > 0.0) weight = (float)args.whole_weight;
    const float scale = weight_of(label) / weight;
    // With label smoothing: the weight of the label and that of each class in the target (engine/training_loss.rs).
    const double each = args.smoothing > 0.0 ? args.smoothing / args.classes : 0.0;
    const double target = args.smoothing > 0.0 ? (1.0 - args.smoothing) * weight_of(label) : 0.0;
    double powers = 0.0;
    if (args.smoothing > 0.0) {
        for (u32 k = 0; k < args.classes; k++) powers += exp((double)logits[k] - (double)most);
    }
    for (u32 k = threadIdx.x; k < args.classes; k += BLOCK_THREADS) {
        const float share = (k < BLOCK_THREADS ? own : gradient[k]) / sum * scale;
        float g = k == label ? share - scale : share;
        if (args.smoothing > 0.0) {
            // In float64, because the two terms cancel where the network has learned the smoothed target.
            const double p = exp((double)logits[k] - (double)most) / powers, whole = target + each * args.weight_sum;
            const double wanted = each * weight_of(k) + (k == label ? target : 0.0);
            g = (float)((whole * p - wanted) / weight);
        }
        gradient[k] = g;
        if (k < BLOCK_THREADS) first[k] = g;
    }
    __syncthreads();
    // A logarithm takes long: the last warp computes it while the others continue.
    if (warp + 1 < READOUT_WARPS || lane > 0) return;
    const u64 index = args.by_position ? args.state->begin + b : b;
    args.labels[index] = label;
    args.predicted[index] = largest.best == 0xffffffffu ? 0 : largest.best;
    // A sample without a label has no loss.
    const double nll = label < args.classes ? log((double)sum) + (double)most - (double)logits[label] : 0.0;
    args.losses[index] = nll;
    if (args.smoothing == 0.0) return;
    double smooth = 0.0;
    for (u32 k = 0; k < args.classes; k++) smooth += weight_of(k) * (nll + (double)logits[label] - (double)logits[k]);
    args.smoothed[b] = target * nll + each * smooth;
}

KERNEL(readout, ReadoutArgs, BLOCK_THREADS) {
    const u32 b = blockIdx.x, samples = args.state->samples;
    const u32 steps = args.drawn[b].steps;
    float* partials = (float*)dynamic_shared_memory();           // (READOUT_WARPS, READOUT_CLASSES)
    float* first = partials + READOUT_WARPS * READOUT_CLASSES;   // gradient of the first BLOCK_THREADS logits
    float* of_warp = first + BLOCK_THREADS;                      // (4, READOUT_WARPS)
    const float* totals = args.totals + (size_t)b * args.width;
    float* logits = args.logits + (size_t)b * args.classes;
    float* gradient = args.gradient + (size_t)b * args.classes;
    const u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;

    Largest largest;
    float own = 0.0f; // the logit of class threadIdx.x
    for (u32 k0 = 0; k0 < args.classes; k0 += READOUT_CLASSES) {
        constexpr u32 ahead = 8; // neurons whose numbers are loaded together
        const u32 left = min(k0 + lane, args.classes - 1), right = min(k0 + lane + WARP, args.classes - 1);
        const u32 k = k0 + threadIdx.x % READOUT_CLASSES;
        const float bias = args.bias[min(k, args.classes - 1)];
        float sums[2] = {0.0f, 0.0f};
        for (u32 h0 = warp; h0 < args.neurons; h0 += READOUT_WARPS * ahead) {
            float total[ahead], weights[ahead][2];
#pragma unroll
            for (u32 j = 0; j < ahead; j++) {
                const u32 h = min(h0 + j * READOUT_WARPS, args.neurons - 1);
                total[j] = totals[h];
                weights[j][0] = args.weights[(size_t)h * args.classes + left];
                weights[j][1] = args.weights[(size_t)h * args.classes + right];
            }
#pragma unroll
            for (u32 j = 0; j < ahead; j++) {
                if (h0 + j * READOUT_WARPS >= args.neurons) continue;
                for (u32 i = 0; i < 2; i++) sums[i] = fmaf(total[j], weights[j][i], sums[i]);
            }
        }
        // A block without a sample returns only here. The totals that it has read until now are valid memory.
        if (b >= samples) return;
        if (k0 > 0) __syncthreads();
        for (u32 i = 0; i < 2; i++) partials[warp * READOUT_CLASSES + i * WARP + lane] = sums[i];
        __syncthreads();
        if (k % BLOCK_THREADS == threadIdx.x && k < args.classes) {
            float logit = bias * (float)steps;
            for (u32 i = 0; i < READOUT_WARPS; i++) logit += partials[i * READOUT_CLASSES + k - k0];
            logits[k] = logit;
            if (k < BLOCK_THREADS) own = logit;
            largest.consider(logit, k);
        }
    }
    finish_loss(args, b, own, largest, first, of_warp);
    if (!args.row || warp + 1 == READOUT_WARPS) return;
    // Eight lanes per neuron.
    for (u32 h0 = 4 * warp; h0 < args.width; h0 += 4 * (READOUT_WARPS - 1)) {
        const u32 h = h0 + lane / 8;
        const float* weights = args.weights + (size_t)min(h, args.neurons - 1) * args.classes;
        float g = 0.0f;
        for (u32 k0 = lane % 8; k0 < args.classes; k0 += READOUT_CLASSES) {
            float w[8], of[8];
#pragma unroll
            for (u32 j = 0; j < 8; j++) {
                const u32 k = min(k0 + 8 * j, args.classes - 1);
                w[j] = weights[k];
                of[j] = k0 < BLOCK_THREADS ? first[k] : gradient[k];
            }
#pragma unroll
            for (u32 j = 0; j < 8; j++) {
                if (k0 + 8 * j < args.classes) g = fmaf(w[j], of[j], g);
            }
        }
        for (u32 lanes = 4; lanes > 0; lanes /= 2) g += __shfl_xor_sync(0xffffffffu, g, lanes);
        if (lane % 8 == 0) args.row[(size_t)b * args.width + h] = h < args.neurons ? g : 0.0f;
    }
}

// The loss of layered networks, from the logits that `reduce` wrote.
KERNEL(cross_entropy, ReadoutArgs, BLOCK_THREADS) {
    const u32 b = blockIdx.x;
    if (b >= args.state->samples) return;
    const float* logits = args.logits + (size_t)b * args.classes;
    float* first = (float*)dynamic_shared_memory();
    Largest largest;
    for (u32 k = threadIdx.x; k < args.classes; k += BLOCK_THREADS) largest.consider(logits[k], k);
    const float own = threadIdx.x < args.classes ? logits[threadIdx.x] : 0.0f;
    finish_loss(args, b, own, largest, first, first + BLOCK_THREADS);
}
