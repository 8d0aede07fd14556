// Counts the spikes of a hidden layer per sample and neuron, from the membrane potentials that a forward pass stored
// (kernel/spikes.rs). Computes the penalty for spike rates.
//
// In `count_spikes`, a block has one sample and TILE neighbouring neurons; BLOCK_THREADS / TILE threads share the steps
// of a neuron.

KERNEL(count_spikes, SpikesArgs, BLOCK_THREADS) {
    const u32 b = blockIdx.x, column = threadIdx.x % TILE, n = blockIdx.y * TILE + column;
    const u32 first = threadIdx.x / TILE, groups = BLOCK_THREADS / TILE;
    double* spikes = (double*)dynamic_shared_memory(); // (groups, TILE)
    u32* active = (u32*)(spikes + BLOCK_THREADS);
    const bool there = b < args.state->samples && n < args.neurons;
    const u32 steps = there ? args.drawn[b].steps : 0;
    const Neuron neuron(args.neuron);
    const float* v = args.v + (size_t)b * args.time * args.width + n;
    double sum = 0; // exact up to 2^53 spikes
    u32 some = 0;
    for (u32 t = first; t < steps; t += groups) {
        const float count = neuron.spikes(v[(size_t)t * args.width]);
        sum += count;
        some += count > 0.0f;
    }
    spikes[threadIdx.x] = sum, active[threadIdx.x] = some;
    __syncthreads();
    if (first > 0) return;
    for (u32 i = 1; i < groups; i++) sum += spikes[i * TILE + column], some += active[i * TILE + column];
    args.spikes[(size_t)b * args.width + n] = sum;
    args.active_steps[(size_t)b * args.width + n] = some;
}

// The penalty for the spike rates of a hidden layer, and the gradient of the penalty with respect to the spikes
// (engine/training_loss.rs has the formulas). A block has one sample.
KERNEL(spike_rates, RateArgs, BLOCK_THREADS) {
    const u32 b = blockIdx.x, samples = args.state->samples;
    if (b >= samples) return;
    const double whole = args.whole_samples > 0.0 ? args.whole_samples : (double)samples;
    const double steps = max(args.drawn[b].steps, 1u), factor = args.weight / whole / args.neurons;
    double penalty = 0.0;
    for (u32 n = threadIdx.x; n < args.width; n += BLOCK_THREADS) {
        const size_t i = (size_t)b * args.width + n;
        double apart = 0.0;
        if (n < args.neurons) {
            const double rate = args.counted[i] / steps;
            if (rate > args.most) apart = rate - args.most;
            if (rate < args.least) apart = rate - args.least;
        }
        penalty += factor * apart * apart;
        args.rates[i] = (float)(factor / steps * 2.0 * apart);
    }
    penalty = block_sum(penalty);
    if (threadIdx.x == 0) args.penalties[b] = penalty;
}
