// Writes frames of (cell, count) entries as dense frames.

// Start and end of a frame's entries in its sample.
__device__ __forceinline__ u32 frame_start(const SampleColumns& columns, u64 first_frame, u32 frame) {
    return frame == 0 ? 0 : ((const FrameEnd*)columns.frame_ends)[first_frame + frame - 1];
}

__device__ __forceinline__ u32 frame_end(const SampleColumns& columns, u64 first_frame, u32 frame) {
    return ((const FrameEnd*)columns.frame_ends)[first_frame + frame];
}

// The first of the entries `start` to `end` with a cell of at least `cell`. Cells ascend.
__device__ __forceinline__ u32 lower_bound(const Cell* cells, u32 start, u32 end, u32 cell) {
    while (start < end) {
        u32 middle = start + (end - start) / 2;
        if (cells[middle] < cell) start = middle + 1;
        else end = middle;
    }
    return start;
}

// Writes a batch as dense float32, (B, T, C). Frames after a sample's end are 0, and frames after T are left out. A
// block computes `block_frames` frames of `block_cells` cells of a sample in shared memory, and then writes them.
KERNEL(inflate, InflateArgs, BLOCK_THREADS) {
    const DrawOrder& order = *args.order;
    float* tile = (float*)dynamic_shared_memory();
    u32 parts = (args.cells + args.block_cells - 1) / args.block_cells;
    u32 blocks = (args.steps + args.block_frames - 1) / args.block_frames * parts;
    u32 b = blockIdx.x / blocks, block = blockIdx.x % blocks;
    u32 t0 = block / parts * args.block_frames, c0 = block % parts * args.block_cells;
    u64 position = args.position + b;
    u32 frames = min(args.block_frames, args.steps - t0), cells = min(args.block_cells, args.cells - c0);
    u32 n = frames * cells;
    if (position >= order.end) return;
    for (u32 i = threadIdx.x; i < n; i += blockDim.x) tile[i] = 0.0f;
    __syncthreads();
    const Sample& sample = args.columns.samples[sample_at(order, position)];
    const Cell* cell = (const Cell*)args.columns.cells + sample.first_entry;
    const Count* count = (const Count*)args.columns.counts + sample.first_entry;
    // One warp per frame.
    for (u32 f = threadIdx.x / 32; f < frames && t0 + f < sample.frames; f += blockDim.x / 32) {
        u32 e = frame_start(args.columns, sample.first_frame, t0 + f);
        u32 end = frame_end(args.columns, sample.first_frame, t0 + f);
        if (parts > 1) e = lower_bound(cell, e, end, c0);
        for (e += threadIdx.x % 32; e < end && cell[e] - c0 < cells; e += 32) {
            tile[f * cells + (cell[e] - c0)] = (float)count[e];
        }
    }
    __syncthreads();
    float* out = args.dense + (((size_t)b * args.steps + t0) * args.cells + c0);
    if (parts == 1 && n % 4 == 0 && (size_t)out % 16 == 0) {
        for (u32 i = threadIdx.x; i < n / 4; i += blockDim.x) ((float4*)out)[i] = ((const float4*)tile)[i];
    } else {
        for (u32 i = threadIdx.x; i < n; i += blockDim.x) out[i / cells * (size_t)args.cells + i % cells] = tile[i];
    }
}

// Writes the input of a batch as the first layer's weight gradient reads it: in bfloat16 pieces, (INPUT_PIECES, batch,
// T, cells rounded up). Steps after the tile with a sample's last frame are not written. A block writes `block_frames`
// frames.
KERNEL(inflate_input, InflateInputArgs, BLOCK_THREADS) {
    const u32 blocks = (args.time + args.block_frames - 1) / args.block_frames;
    const u32 b = blockIdx.x / blocks, t0 = blockIdx.x % blocks * args.block_frames;
    if (b >= args.state->samples) return;
    const Drawn& drawn = args.drawn[b];
    if (t0 >= (drawn.frames + TILE - 1) / TILE * TILE) return;
    bf16* tile = (bf16*)dynamic_shared_memory();
    const u32 frames = min(args.block_frames, args.time - t0), n = frames * args.width;
    for (u32 i = threadIdx.x; i < INPUT_PIECES * n / 8; i += blockDim.x) ((uint4*)tile)[i] = make_uint4(0, 0, 0, 0);
    __syncthreads();
    const Cell* cell = (const Cell*)args.columns.cells + drawn.first_entry;
    const Count* count = (const Count*)args.columns.counts + drawn.first_entry;
    for (u32 f = threadIdx.x / 32; f < frames && t0 + f < drawn.frames; f += blockDim.x / 32) {
        u32 end = frame_end(args.columns, drawn.first_frame, t0 + f);
        for (u32 e = frame_start(args.columns, drawn.first_frame, t0 + f) + threadIdx.x % 32; e < end; e += 32) {
            bf16 pieces[INPUT_PIECES];
            split((float)count[e], pieces);
            for (int p = 0; p < INPUT_PIECES; p++) tile[p * n + f * args.width + cell[e]] = pieces[p];
        }
    }
    __syncthreads();
    const size_t plane = (size_t)args.batch_size * args.time * args.width;
    bf16* out = args.out + ((size_t)b * args.time + t0) * args.width;
    for (u32 i = threadIdx.x; i < INPUT_PIECES * n / 8; i += blockDim.x) {
        ((uint4*)(out + i / (n / 8) * plane))[i % (n / 8)] = ((const uint4*)tile)[i];
    }
}
