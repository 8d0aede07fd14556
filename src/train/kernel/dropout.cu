// Dropout (kernel/dropout.rs has the formulas): draws the masks of a layer, the same as on the CPU. Random initial
// states come from the same hash.

// The sample's stream of random numbers for a layer.
__device__ __forceinline__ u64 stream_of(const Drawn& drawn, u64 layer) {
    return mix_64(drawn.key ^ mix_64(layer));
}

KERNEL(dropout_masks, MaskArgs, BLOCK_THREADS) {
    const u32 blocks = gridDim.x / args.batch_size, sample = blockIdx.x / blocks;
    const u32 i = blockIdx.x % blocks * BLOCK_THREADS + threadIdx.x;
    if (sample >= args.state->samples || i >= args.time * args.tiles) return;
    const u64 stream = stream_of(args.drawn[sample], args.layer), step = args.per_sample ? 0 : i / args.tiles;
    const u64 counter = (step << 27) + ((u64)(i % args.tiles) << 3);
    u32 mask = 0, drawn = 0;
    u64 pair = 0;
    for (u32 digit = 0; digit < MASK_DIGITS; digit++) {
        const bool one = args.kept >> digit & 1;
        if (drawn == 0 && !one) continue; // digits below the lowest 1 need no random word
        if (drawn % 2 == 0) pair = mix_64(stream + (counter + drawn / 2) * MIX_INCREMENT);
        const u32 word = (u32)(pair >> (32 * (drawn % 2)));
        mask = one ? mask | word : mask & word;
        drawn++;
    }
    if (args.kept >> MASK_DIGITS) mask = 0xffffffffu;
    args.masks[(size_t)sample * args.time * args.tiles + i] = mask;
}

// A number in [0, 1) for a state (row 0 or 1) or the spikes (row 2) of a neuron before the first step.
__device__ __forceinline__ float uniform_start(u64 states_stream, u32 neuron, u32 row) {
    return (float)(u32)(mix_64(states_stream + mix_64((u64)neuron * 3 + row)) >> 40) * (1.0f / 16777216.0f);
}
