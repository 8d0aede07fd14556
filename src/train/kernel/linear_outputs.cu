// The products of a linear layer in layered networks: its outputs y, and the gradient for its input.
// (iaf_forward.cu and iaf_backward.cu compute these products together with the neurons; a norm needs all of y first.)
//
// A block has one sample and TILE neighbouring outputs, and goes through time in tiles of TILE steps.

// The left operand is in A pieces. FROM_INPUT: the left operand is the dense input, which ends with the sample's frames
// and counts as 0 after that.
template <int A, bool FROM_INPUT>
__device__ __forceinline__ void product(const OutputsArgs& args) {
    const u32 sample = blockIdx.x, n0 = blockIdx.y * TILE;
    if (sample >= args.state->samples) return;
    const Drawn& drawn = args.drawn[sample];
    const u32 depth = args.before_width / TILE, tiles = (drawn.steps + TILE - 1) / TILE;
    const u32 with_input = FROM_INPUT ? (drawn.frames + TILE - 1) / TILE : tiles;
    bf16* all_weights = (bf16*)dynamic_shared_memory(); // of all terms, if they are resident
    bf16* stages = all_weights + (args.resident ? depth * PIECES * PLANE : 0);
    const int stage_size = (A + (args.resident ? 0 : PIECES)) * PLANE;
    const bf16* before = args.before + (size_t)sample * args.time * args.before_width;
    const size_t before_apart = (size_t)args.batch_size * args.time * args.before_width;
    const bf16* weights = args.weight_pieces + (size_t)n0 * args.before_width;
    const size_t weights_apart = (size_t)args.width * args.before_width;
    float* out = args.out + (size_t)sample * args.time * args.width + n0;

    float bias[2][2];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const u32 n = n0 + Sums::column() + i / 2 * 8 + threadIdx.x % 4 * 2 + i % 2;
        bias[i / 2][i % 2] = args.bias && n < args.neurons ? args.bias[n] : 0.0f;
    }
    Sums sums;
    clear(sums);
    auto write = [&](u32 tile) {
#pragma unroll
        for (int i = 0; i < Sums::COUNT; i++) {
            float& sum = sums.at[i / 8][i / 4 % 2][i % 4];
            sum = fmaf(sum, args.scale, bias[i / 4 % 2][i % 2]);
        }
        store(sums, out + (size_t)tile * TILE * args.width, args.width);
        clear(sums);
    };
    const TileCopy copy(args.before_width);
    auto load_weights = [&](bf16* to, u32 k) { copy.pieces<PIECES>(to, weights + k * TILE, weights_apart); };
    if (args.resident && with_input > 0) { // without input, nothing waits for the copies
        for (u32 k = 0; k < depth; k++) load_weights(all_weights + k * PIECES * PLANE, k);
    }
    Term loaded(depth), used(depth);
    auto load = [&](u32 stage) {
        bf16* to = stages + stage * stage_size;
        copy.pieces<A>(to, before + loaded.k * TILE, before_apart);
        if (!args.resident) load_weights(to + A * PLANE, loaded.k);
        if (loaded.is_last()) before += (size_t)TILE * args.before_width;
        loaded.advance();
    };
    pipeline(with_input * depth, args.stages, load, [&](u32 stage) {
        const u32 tile = used.tile, k = used.k;
        const bool last = used.is_last();
        used.advance();
        const bf16* from = stages + stage * stage_size;
        multiply<true, A, PIECES>(sums, from, args.resident ? all_weights + k * PIECES * PLANE : from + A * PLANE);
        if (last) write(tile);
    });
    for (u32 tile = with_input; tile < tiles; tile++) write(tile);
}

// y of a layer after the first, from spikes.
KERNEL(outputs, OutputsArgs, BLOCK_THREADS) {
    product<1, false>(args);
}

// y of the first layer, from the dense input that `inflate_input` wrote.
KERNEL(outputs_input, OutputsArgs, BLOCK_THREADS) {
    product<INPUT_PIECES, true>(args);
}

// The gradient for the input of a layer after the first: dL/dy times the weights.
KERNEL(input_gradient, OutputsArgs, BLOCK_THREADS) {
    product<PIECES, false>(args);
}

// y of the first layer, from sparse cells: the rows of W^T are added in the order of the cells.
KERNEL(outputs_cells, OutputsArgs, BLOCK_THREADS) {
    const u32 sample = blockIdx.x, n0 = blockIdx.y * TILE;
    if (sample >= args.state->samples) return;
    const Drawn drawn = args.drawn[sample];
    float* currents = (float*)dynamic_shared_memory();
    Entries entries((u8*)(currents + PLANE));
    const bool quads = args.neurons % 4 == 0;
    auto frame_begin = [&](u32 t) { return frame_start(args.columns, drawn.first_frame, min(t, drawn.frames)); };
    for (u32 t0 = 0; t0 < drawn.steps; t0 += TILE) {
        if (threadIdx.x <= TILE) entries.starts[threadIdx.x] = frame_begin(t0 + threadIdx.x);
        __syncthreads();
        const u32 *starts = entries.starts, end = starts[TILE];
        for (u32 first = starts[0];; first += ENTRIES) {
            entries.fetch<BLOCK_THREADS>(args.columns, drawn, first, end, threadIdx.x);
            __syncthreads();
            if (quads) gather<4>(args, entries, starts, n0, first, currents);
            else gather<1>(args, entries, starts, n0, first, currents);
            __syncthreads();
            if (end - first <= ENTRIES) break;
        }
        float* out = args.out + ((size_t)sample * args.time + t0) * args.width + n0;
        for_each_quad([&](int t, int column, int) {
            *(float4*)(out + (size_t)t * args.width + column) = *(const float4*)(currents + t * STRIDE + column);
        });
    }
}
