// Writes frames of (cell, count) entries as dense frames.

// Start and end of a frame's entries, counted from the start of the sample.
__device__ __forceinline__ u32 frame_start(const SampleColumns& columns, u64 first_frame, u32 frame) {
    return frame == 0 ? 0 : ((const FrameEnd*)columns.frame_ends)[first_frame + frame - 1];
}

__device__ __forceinline__ u32 frame_end(const SampleColumns& columns, u64 first_frame, u32 frame) {
    return ((const FrameEnd*)columns.frame_ends)[first_frame + frame];
}

// Returns the index of the first entry, from `start` to before `end`, whose cell is at least `cell`. Returns `end` if
// there is none. Cells ascend.
__device__ __forceinline__ u32 lower_bound(const Cell* cells, u32 start, u32 end, u32 cell) {
    while (start < end) {
        u32 middle = start + (end - start) / 2;
        if (cells[middle] < cell) start = middle + 1;
        else end = middle;
    }
    return start;
}

// Where the entries of a block's frames are. This struct is at the start of the block's shared memory, and the dense
// frames come after it. The first warp fills in the struct. Meanwhile the other warps clear the dense frames.
struct BlockFrames {
    u64 first_entry;            // index of the sample's first entry
    u32 end;                    // index after the last entry of the frames, counted from the sample's first entry
    u32 starts[INFLATE_FRAMES]; // index of each frame's first entry, counted from the sample's first entry
};

// Finds the entries of the block's frames. Only the first warp calls this. `sample` is a Sample or a Drawn. Frames
// after the end of the block or of the sample get no entries.
template <typename Record>
__device__ __forceinline__ void find_frames(
    BlockFrames& found, const SampleColumns& columns, const Record& sample, u32 t0, u32 frames) {
    const u64 first_frame = sample.first_frame, first_entry = sample.first_entry;
    const u32 f = threadIdx.x, count = sample.frames > t0 ? min(sample.frames - t0, frames) : 0;
    u32 start = 0xffffffffu, end = 0;
    if (f < count) start = frame_start(columns, first_frame, t0 + f), end = frame_end(columns, first_frame, t0 + f);
    found.starts[f] = start;
    if (f + 1 == max(count, 1)) found.first_entry = first_entry, found.end = end;
}

// Sets the dense frames to 0. All warps except the first call this. `n` is the number of 16-byte words.
__device__ __forceinline__ void clear_frames(uint4* dense, u32 n) {
    for (u32 i = threadIdx.x - WARP; i < n; i += blockDim.x - WARP) dense[i] = make_uint4(0, 0, 0, 0);
}

// Calls `write` with the frame, the cell and the count of each entry.
template <typename Write>
__device__ __forceinline__ void for_each_entry(const BlockFrames& found, const SampleColumns& columns, Write write) {
    const Cell* cells = (const Cell*)columns.cells + found.first_entry;
    const Count* counts = (const Count*)columns.counts + found.first_entry;
    const u32 end = found.end;
    constexpr u32 ahead = 4; // number of entries that a thread loads together
    for (u32 first = found.starts[0] + threadIdx.x; first < end; first += ahead * BLOCK_THREADS) {
        Cell cell[ahead];
        Count count[ahead];
#pragma unroll
        for (u32 j = 0; j < ahead; j++) {
            const u32 e = min(first + j * BLOCK_THREADS, end - 1);
            cell[j] = cells[e], count[j] = counts[e];
        }
#pragma unroll
        for (u32 j = 0; j < ahead; j++) {
            const u32 e = first + j * BLOCK_THREADS;
            u32 f = 0; // the last frame that starts at or before e
#pragma unroll
            for (u32 step = INFLATE_FRAMES / 2; step > 0; step /= 2) f += found.starts[f + step] <= e ? step : 0;
            if (e < end) write(f, (u32)cell[j], (float)count[j]);
        }
    }
}

// Writes a batch as dense float32, (batch, steps, cells). Frames after a sample's end are 0, and frames after `steps`
// are left out. The blocks with index x in the grid write sample x. A block computes `block_frames` frames of
// `block_cells` cells in shared memory, and then copies them to one contiguous range: if `block_cells` is less than a
// frame, `block_frames` is 1.
KERNEL(inflate, InflateArgs, BLOCK_THREADS) {
    const DrawOrder& order = *args.order;
    const u64 position = args.position + blockIdx.x;
    if (position >= order.end) return;
    const u32 across = args.block_cells < args.cells ? (args.cells + args.block_cells - 1) / args.block_cells : 1;
    const u32 index = args.first_block + blockIdx.y, down = across == 1 ? index : index / across;
    const u32 t0 = down * args.block_frames, c0 = (index - down * across) * args.block_cells;
    const u32 frames = min(args.block_frames, args.steps - t0), width = min(args.block_cells, args.cells - c0);
    const u32 n = frames * width;
    BlockFrames& found = *(BlockFrames*)dynamic_shared_memory();
    float* dense = (float*)(dynamic_shared_memory() + INFLATE_HEAD);
    if (threadIdx.x < WARP) {
        find_frames(found, args.columns, args.columns.samples[sample_at(order, position)], t0, frames);
    } else {
        clear_frames((uint4*)dense, (n + 3) / 4);
    }
    __syncthreads();
    for_each_entry(found, args.columns, [&](u32 frame, u32 cell, float count) {
        if (cell - c0 < width) dense[frame * width + cell - c0] = count;
    });
    __syncthreads();
    float* out = args.dense + (((size_t)blockIdx.x * args.steps + t0) * args.cells + c0);
    const u32 fours = (size_t)out % 16 == 0 ? n / 4 : 0;
    for (u32 i = threadIdx.x; i < fours; i += blockDim.x) ((float4*)out)[i] = ((const float4*)dense)[i];
    for (u32 i = 4 * fours + threadIdx.x; i < n; i += blockDim.x) out[i] = dense[i];
}

// Writes the dense input of a batch for the first layer: in bfloat16 pieces, (INPUT_PIECES, batch_size, time, width).
// Steps after the tile with a sample's last frame are not written. The blocks with index x in the grid write sample x.
// A block writes `block_frames` frames.
KERNEL(inflate_input, InflateInputArgs, BLOCK_THREADS) {
    const u32 t0 = blockIdx.y * args.block_frames, samples = args.state->samples;
    const Drawn& drawn = args.drawn[blockIdx.x];
    // `|` instead of `||`: the numbers on both sides are loaded together.
    if ((blockIdx.x >= samples) | (t0 >= (drawn.frames + TILE - 1) / TILE * TILE)) return;
    const u32 frames = min(args.block_frames, args.time - t0), n = frames * args.width;
    BlockFrames& found = *(BlockFrames*)dynamic_shared_memory();
    bf16* dense = (bf16*)(dynamic_shared_memory() + INFLATE_HEAD);
    if (threadIdx.x < WARP) {
        find_frames(found, args.columns, drawn, t0, frames);
    } else {
        clear_frames((uint4*)dense, INPUT_PIECES * n / 8);
    }
    __syncthreads();
    for_each_entry(found, args.columns, [&](u32 frame, u32 cell, float count) {
        bf16 pieces[INPUT_PIECES];
        split(count, pieces);
#pragma unroll
        for (int p = 0; p < INPUT_PIECES; p++) dense[p * n + frame * args.width + cell] = pieces[p];
    });
    __syncthreads();
    const size_t apart = (size_t)args.batch_size * args.time * args.width;
    bf16* out = args.out + ((size_t)blockIdx.x * args.time + t0) * args.width;
#pragma unroll
    for (int p = 0; p < INPUT_PIECES; p++) {
        for (u32 i = threadIdx.x; i < n / 8; i += blockDim.x) {
            ((uint4*)(out + p * apart))[i] = ((const uint4*)(dense + p * n))[i];
        }
    }
}
