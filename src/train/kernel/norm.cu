// Batch norm over batch and time (kernel/norm.rs has the formulas): the statistics of a batch, and the backward pass.
// Products of y are added up in float64, in which the differences of large sums stay precise. Every sum has a fixed
// order. The kernel `layer_gradient` (cell/tile.cu) computes the gradients of gamma and beta.
//
// To add over samples, a block has NORM_CHANNELS channels: BLOCK_THREADS / NORM_CHANNELS threads share the samples of a
// channel.
#define NORM_GROUPS (BLOCK_THREADS / NORM_CHANNELS)

// Adds up N numbers of each channel over the samples. `add` adds the numbers of one sample. All threads of the block
// must call this function. The first NORM_CHANNELS threads get the totals.
template <int N, typename Add>
__device__ __forceinline__ void over_samples(double (&totals)[N], u32 samples, Add add) {
    double* shared = (double*)dynamic_shared_memory(); // (N, BLOCK_THREADS)
#pragma unroll
    for (int i = 0; i < N; i++) totals[i] = 0.0;
#pragma unroll 4
    for (u32 b = threadIdx.x / NORM_CHANNELS; b < samples; b += NORM_GROUPS) add(b, totals);
    for (int i = 0; i < N; i++) shared[i * BLOCK_THREADS + threadIdx.x] = totals[i];
    __syncthreads();
    if (threadIdx.x >= NORM_CHANNELS) return;
    for (u32 group = 1; group < NORM_GROUPS; group++) {
        for (int i = 0; i < N; i++) totals[i] += shared[i * BLOCK_THREADS + group * NORM_CHANNELS + threadIdx.x];
    }
}

// Adds up N numbers of each channel over the samples of a batch. If several ranks share the batch, the first of two
// launches writes the totals of this rank to `shared`, (N, width), and the second reads the totals of all ranks from
// `shared`. Returns whether this thread has the totals of channel n.
template <int N, typename Add>
__device__ __forceinline__ bool over_batch(
    double (&totals)[N], u32 samples, double* shared, bool has_totals, u32 width, u32 n, Add add) {
    if (!has_totals) over_samples(totals, samples, add);
    if (threadIdx.x >= NORM_CHANNELS) return false;
    if (!shared) return samples > 0;
    for (int i = 0; i < N; i++) {
        double& total = shared[(size_t)i * width + n];
        if (has_totals) totals[i] = total;
        else total = totals[i];
    }
    return has_totals;
}

// The sums of y and y^2 over the time steps of a sample. A block has one sample and TILE neighbouring channels.
KERNEL(norm_sums, NormArgs, BLOCK_THREADS) {
    const u32 sample = blockIdx.x, column = threadIdx.x % TILE, n = blockIdx.y * TILE + column;
    const u32 first = threadIdx.x / TILE, groups = BLOCK_THREADS / TILE;
    if (sample >= args.state->samples) return;
    const u32 steps = args.drawn[sample].steps;
    const float* y = args.y + (size_t)sample * args.time * args.width + n;
    double sum = 0.0, squares = 0.0;
#pragma unroll 8
    for (u32 t = first; t < steps; t += groups) {
        const double value = y[(size_t)t * args.width];
        sum += value;
        squares = fma(value, value, squares);
    }
    double* shared = (double*)dynamic_shared_memory(); // (2, BLOCK_THREADS)
    shared[threadIdx.x] = sum, shared[BLOCK_THREADS + threadIdx.x] = squares;
    __syncthreads();
    if (first > 0) return;
    for (u32 i = 1; i < groups; i++) {
        sum += shared[i * TILE + column], squares += shared[BLOCK_THREADS + i * TILE + column];
    }
    double* out = args.sums + (size_t)sample * args.width + n;
    out[0] = sum, out[(size_t)args.batch_size * args.width] = squares;
}

// Scale, shift and mean, from the statistics of the batch or from the running statistics.
KERNEL(norm_statistics, NormArgs, BLOCK_THREADS) {
    const u32 n = blockIdx.x * NORM_CHANNELS + threadIdx.x % NORM_CHANNELS, samples = args.state->samples;
    double mean = 0.0, variance = 0.0;
    if (!args.evaluates) {
        double totals[3]; // number of rows, sum of y, sum of y^2
        const double* sums = args.sums + n;
        const size_t apart = (size_t)args.batch_size * args.width;
        auto add = [&](u32 b, double (&totals)[3]) {
            totals[0] += args.drawn[b].steps;
            totals[1] += sums[(size_t)b * args.width];
            totals[2] += sums[apart + (size_t)b * args.width];
        };
        if (!over_batch(totals, samples, args.totals, args.has_totals, args.width, n, add)) return;
        const double rows = totals[0];
        mean = totals[1] / rows, variance = totals[2] / rows - mean * mean;
        variance = variance < 0.0 ? 0.0 : variance; // NaN stays NaN
        if (n < args.channels) {
            args.batch[n] = (float)mean;
            args.batch[args.channels + n] = (float)(variance * (rows / (rows > 2.0 ? rows - 1.0 : 1.0)));
        }
    } else {
        if (threadIdx.x >= NORM_CHANNELS) return;
        if (n < args.channels) mean = args.running[n], variance = args.running[args.channels + n];
    }
    const bool there = n < args.channels;
    const double inverse = 1.0 / sqrt(variance + NORM_EPS), scale = there ? args.gamma[n] * inverse : 0.0;
    args.inverse[n] = inverse;
    args.norm[n] = (float)scale;
    args.norm[args.width + n] = there ? (float)(args.beta[n] - mean * scale) : 0.0f;
    args.norm[2 * args.width + n] = (float)mean;
}

// Computes dL/dy from dL/dI, and writes it in pieces. In a layer without norm, dL/dy is dL/dI. A block has one sample and TILE steps of TILE neighbouring
// channels. Steps after the sample's last, up to a whole tile, become 0.
KERNEL(norm_backward, NormArgs, BLOCK_THREADS) {
    const u32 tiles = args.time / TILE, sample = blockIdx.x / tiles, t0 = blockIdx.x % tiles * TILE;
    const u32 n0 = blockIdx.y * TILE;
    if (sample >= args.state->samples) return;
    const u32 steps = args.drawn[sample].steps;
    if (t0 >= steps) return;
    const size_t rows = (size_t)args.batch_size * args.time;
    const size_t at = ((size_t)sample * args.time + t0) * args.width + n0;
    for_each_quad([&](int t, int column, int) {
        const size_t i = at + (size_t)t * args.width + column;
        float4 g = *(const float4*)(args.gradient + i);
        if (args.gamma) {
            const float* by = args.coefficients + n0 + column;
            const float4 a = *(const float4*)by, b = *(const float4*)(by + args.width);
            const float4 c = *(const float4*)(by + 2 * args.width);
            const float4 mean = *(const float4*)(args.norm + 2 * args.width + n0 + column);
            const float4 y = *(const float4*)(args.y + i);
            g.x = fmaf(y.x - mean.x, b.x, fmaf(g.x, a.x, c.x));
            g.y = fmaf(y.y - mean.y, b.y, fmaf(g.y, a.y, c.y));
            g.z = fmaf(y.z - mean.z, b.z, fmaf(g.z, a.z, c.z));
            g.w = fmaf(y.w - mean.w, b.w, fmaf(g.w, a.w, c.w));
        }
        if (t0 + t >= steps) g = float4{};
        u32 left[PIECES], right[PIECES];
        split_pair(g.x, g.y, left);
        split_pair(g.z, g.w, right);
        for (int p = 0; p < PIECES; p++) {
            *(uint2*)(args.lambda + p * rows * args.width + i) = make_uint2(left[p], right[p]);
        }
    });
}

// Moves the running statistics towards those of the batch.
KERNEL(norm_follow, NormArgs, BLOCK_THREADS) {
    const u32 i = blockIdx.x * BLOCK_THREADS + threadIdx.x;
    if (args.state->stopped || args.state->samples == 0 || i >= 2 * args.channels) return;
    args.running[i] = (1.0f - args.momentum) * args.running[i] + args.momentum * args.batch[i];
}
