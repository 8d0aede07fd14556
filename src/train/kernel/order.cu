// Draws the samples of a batch, with the permutations of shard/order.rs.

// MurmurHash3's finaliser.
__device__ __forceinline__ u32 mix(u32 h) {
    h = (h ^ (h >> 16)) * 0x85ebca6bu;
    h = (h ^ (h >> 13)) * 0xc2b2ae35u;
    return h ^ (h >> 16);
}

__device__ __forceinline__ u32 permuted(const DrawPermutation& p, u32 i) {
    u32 mask = (1u << p.half_bits) - 1;
    do {
        u32 left = i >> p.half_bits, right = i & mask;
        for (int round = 0; round < 8; round++) {
            u32 next = left ^ (mix(right ^ p.key[round]) & mask);
            left = right;
            right = next;
        }
        i = left << p.half_bits | right;
    } while (i >= p.n);
    return i;
}

// Returns the number of samples in the slots before `slot`. Only the chunk in the short slot can have fewer samples.
__device__ __forceinline__ u64 samples_before(const DrawOrder& order, u64 slot) {
    return slot * order.chunk_samples - (slot > order.short_slot ? order.missing : 0);
}

// Returns the index of the sample at a position of the epoch.
__device__ __forceinline__ u64 sample_at(const DrawOrder& order, u64 position) {
    if (!order.shuffled) return position;
    u64 whole = (u64)order.window_chunks * order.chunk_samples;
    u64 w = position / whole;
    if (w + 1 < order.windows && position >= samples_before(order, (w + 1) * order.window_chunks)) w++;
    u64 start = samples_before(order, w * order.window_chunks);
    u64 index = start + permuted(order.window_permutations[w], (u32)(position - start));
    // The index that the sample would have if all chunks had the same length.
    if (index >= samples_before(order, (u64)order.short_slot + 1)) index += order.missing;
    u32 chunk = permuted(order.slots, (u32)(index / order.chunk_samples));
    return (u64)chunk * order.chunk_samples + index % order.chunk_samples;
}

// A hash of 64 bits whose result looks random: SplitMix64, as `mix` of the loader.
__device__ __forceinline__ u64 mix_64(u64 state) {
    u64 z = state + MIX_INCREMENT;
    z = (z ^ z >> 30) * MIX_FIRST;
    z = (z ^ z >> 27) * MIX_SECOND;
    return z ^ z >> 31;
}

// Draws the next batch, in one block. After training has stopped, the batch is empty.
KERNEL(draw, DrawArgs, BLOCK_THREADS) {
    State& state = *args.state;
    const DrawOrder order = *args.order; // a copy: all fields are loaded together
    u32* longest = (u32*)dynamic_shared_memory();
    const u64 position = state.next, begin = order.one_batch ? 0 : position - order.first;
    u64 left = state.stopped || begin >= order.end ? 0 : order.end - begin;
    u32 samples = left < args.batch_size ? (u32)left : args.batch_size;
    __syncthreads(); // all threads have read the state, which the first thread writes below

    u32 most = 0;
    for (u32 i = threadIdx.x; i < samples; i += blockDim.x) {
        const Sample sample = args.samples[sample_at(order, begin + i)];
        Drawn& drawn = args.drawn[i];
        drawn.first_frame = sample.first_frame;
        drawn.first_entry = sample.first_entry;
        drawn.frames = sample.frames;
        drawn.label = sample.label;
        drawn.key = order.one_batch ? sample.key : mix_64(order.epoch_key ^ mix_64(sample.key));
        drawn.steps = max(args.steps, sample.frames); // a longer sample keeps all its frames
        most = max(most, sample.frames);
    }
    if (args.steps == LONGEST_OF_BATCH) { // Tonic's PadTensors
        for (u32 lanes = 16; lanes > 0; lanes /= 2) most = max(most, __shfl_xor_sync(0xffffffffu, most, lanes));
        longest[threadIdx.x / WARP] = most;
        __syncthreads();
        for (u32 i = 0; i < blockDim.x / WARP; i++) most = max(most, longest[i]);
        for (u32 i = threadIdx.x; i < samples; i += blockDim.x) args.drawn[i].steps = most;
    }
    if (threadIdx.x == 0) {
        state.begin = position; // the position in the epoch, also for an order of one batch
        state.samples = samples;
        if (samples > 0) {
            state.next = position + samples;
            state.batch = state.batches;
            state.batches += 1;
            state.updates += 1;
        }
    }
}
