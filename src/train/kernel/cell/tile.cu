// A layer of neurons over time, between its linear layer and the next linear layer (kernel/cell has the formulas, from
// which the structs of the cells are generated). A thread has one neuron of one sample, and TILE threads are a block.
//
// The forward pass stores the states only before every CELL_AHEAD steps. The backward pass computes the states in
// between again, with the same operations and therefore the same bits.

// What a cell needs besides its formulas: spikes, and the surrogate gradient.
template <typename Formulas>
struct Spiking {
    float c[CONSTANTS];
    u32 formula;
    float a, b;

    __device__ __forceinline__ Spiking(const CellArgs& args, u32 n)
        : formula(args.surrogate), a(args.surrogate_a), b(args.surrogate_b) {
#pragma unroll
        for (int i = 0; i < CONSTANTS; i++) c[i] = args.constants[(size_t)i * args.width + n];
    }

    __device__ __forceinline__ float spikes(const float (&states)[2]) const {
        return Formulas::potential(states) > 1.0f ? 1.0f : 0.0f;
    }

    __device__ __forceinline__ bool are_finite(const float (&states)[2]) const {
        return is_finite(states[0]) && is_finite(states[1]);
    }

    __device__ __forceinline__ void step(
        const float (&before)[2], float spikes_before, float input, float (&after)[2]) const {
        Formulas::step(c, before, spikes_before, input, after);
    }

    __device__ __forceinline__ float back(
        const float (&before)[2], float spikes_before, const float (&after)[2], float input, float g,
        float (&next)[2], float (&sums)[PARAMETER_SUMS]) const {
        float current;
        const float sigma = surrogate(formula, Formulas::potential(after) - 1.0f, a, b);
        Formulas::back(c, before, spikes_before, after, spikes(after), input, sigma, g, next, sums, current);
        return current;
    }
};

// Integrate-and-fire neurons (kernel/iaf.rs). The first state is v, the potential before the step's spikes are
// subtracted. The second is 0 before the first step, where u is 0 also if the lower bound is larger, and then 1.
struct IafCell {
    Neuron neuron;

    __device__ __forceinline__ IafCell(const CellArgs& args, u32) : neuron(args.neuron) {}

    __device__ __forceinline__ float spikes(const float (&states)[2]) const { return neuron.spikes(states[0]); }

    __device__ __forceinline__ bool are_finite(const float (&states)[2]) const { return neuron.is_finite(states[0]); }

    __device__ __forceinline__ void step(
        const float (&before)[2], float spikes_before, float input, float (&after)[2]) const {
        const float u = fmaf(-neuron.theta, spikes_before, before[0]);
        after[0] = (before[1] == 0.0f ? 0.0f : u < neuron.lower ? neuron.lower : u) + input;
        after[1] = 1.0f;
    }

    __device__ __forceinline__ float back(
        const float (&)[2], float, const float (&after)[2], float, float g, float (&next)[2],
        float (&)[PARAMETER_SUMS]) const {
        // Below the bound the potential was replaced, so no gradient flows back through it.
        const float left = fmaf(-neuron.theta, spikes(after), after[0]);
        const float open = left <= neuron.lower ? 0.0f : next[0];
        next[0] = fmaf(neuron.surrogate(after[0]), fmaf(-neuron.theta, open, g), open);
        return next[0];
    }
};

// Calls `run` with a cell of the type that `args.cell` stands for.
template <typename Run>
__device__ __forceinline__ void with_cell(const CellArgs& args, u32 n, Run run) {
    switch (args.cell) {
    case CELL_IAF: return run(IafCell(args, n));
    case CELL_LIF_SOFT: return run(Spiking<LifSoft>(args, n));
    case CELL_LIF_HARD: return run(Spiking<LifHard>(args, n));
    case CELL_SILIF: return run(Spiking<Silif>(args, n));
    }
}

// States and spikes of a neuron before the first step.
struct Start {
    float states[2], spikes;

    __device__ __forceinline__ Start(const Drawn& drawn, u32 layer, u32 random_states, bool real, u32 n) {
        states[0] = states[1] = spikes = 0.0f;
        if (random_states == 0 || !real) return;
        const u64 stream = stream_of(drawn, STATE_STREAMS + layer);
        states[0] = uniform_start(stream, n, 0);
        if (random_states > 1) states[1] = uniform_start(stream, n, 1);
        spikes = uniform_start(stream, n, 2);
    }
};

// Loads N steps of a column of an array (time, width) together.
template <int N>
__device__ __forceinline__ void load_steps(float (&to)[N], const float* from, size_t width) {
#pragma unroll
    for (int i = 0; i < N; i++) to[i] = from[i * width];
}

KERNEL(cell_forward, CellArgs, TILE) {
    const u32 sample = blockIdx.x, n = blockIdx.y * TILE + threadIdx.x;
    if (sample >= args.state->samples) return;
    const Drawn& drawn = args.drawn[sample];
    const u32 steps = drawn.steps, words = args.width / MASK_TILE;
    const size_t row = (size_t)sample * args.time;
    const float scale = args.norm[n], shift = args.norm[args.width + n];
    with_cell(args, n, [&](auto cell) {
        const Start start(drawn, args.layer, args.random_states, n < args.neurons, n);
        float states[2] = {start.states[0], start.states[1]}, fired = start.spikes, largest = 0.0f;
        double total = 0.0;
        u32 active = 0;
        // After the last step, spikes are 0 up to the end of the tile, because the products read whole tiles.
        for (u32 t0 = 0; t0 < (steps + TILE - 1) / TILE * TILE; t0 += CELL_AHEAD) {
            const size_t at = (row + t0) * args.width + n;
            float y[CELL_AHEAD];
            u32 kept[CELL_AHEAD];
            load_steps(y, args.y + at, args.width);
#pragma unroll
            for (int i = 0; i < CELL_AHEAD; i++) {
                kept[i] = args.masks ? args.masks[(row + t0 + i) * words + n / MASK_TILE] >> n % MASK_TILE & 1 : 1;
            }
            if (args.checkpoints) {
                float* to = args.checkpoints + (row + t0) / CELL_AHEAD * 2 * args.width + n;
                to[0] = states[0], to[args.width] = states[1];
            }
#pragma unroll
            for (int i = 0; i < CELL_AHEAD; i++) {
                bf16 out = 0;
                if (t0 + i < steps) {
                    float after[2];
                    cell.step(states, fired, fmaf(y[i], scale, shift), after);
                    states[0] = after[0], states[1] = after[1];
                    fired = cell.spikes(states);
                    if (args.counted) total += fired, active += fired > 0.0f;
                    if (kept[i]) out = to_bf16(fired), largest = fmaxf(largest, fired);
                }
                args.spikes[at + (size_t)i * args.width] = out;
            }
        }
        if (largest > 256.0f) args.state->rounded = 1;
        if (!cell.are_finite(states)) note_overflow(*args.state, args.layer);
        if (!args.counted) return;
        args.counted[(size_t)sample * args.width + n] = total;
        args.active_steps[(size_t)sample * args.width + n] = active;
    });
}

KERNEL(cell_backward, CellArgs, TILE) {
    const u32 sample = blockIdx.x, n = blockIdx.y * TILE + threadIdx.x;
    if (sample >= args.state->samples) return;
    const Drawn& drawn = args.drawn[sample];
    const u32 steps = drawn.steps, words = args.width / MASK_TILE;
    const size_t row = (size_t)sample * args.time, of_sample = (size_t)sample * args.width + n;
    const float scale = args.norm[n], shift = args.norm[args.width + n], mean = args.norm[2 * args.width + n];
    const float rate = args.rates ? args.rates[of_sample] : 0.0f;
    with_cell(args, n, [&](auto cell) {
        const Start start(drawn, args.layer, args.random_states, n < args.neurons, n);
        float next[2] = {0.0f, 0.0f}, sums[PARAMETER_SUMS] = {}, total = 0.0f, product = 0.0f;
        for (u32 chunk = (steps + CELL_AHEAD - 1) / CELL_AHEAD; chunk-- > 0;) {
            const u32 t0 = chunk * CELL_AHEAD;
            const size_t at = (row + t0) * args.width + n;
            float y[CELL_AHEAD], g[CELL_AHEAD], states[CELL_AHEAD + 1][2];
            load_steps(y, args.y + at, args.width);
            load_steps(g, args.gradient + at, args.width);
            const float* from = args.checkpoints + (row + t0) / CELL_AHEAD * 2 * args.width + n;
            states[0][0] = from[0], states[0][1] = from[args.width];
            if (args.masks) {
#pragma unroll
                for (int i = 0; i < CELL_AHEAD; i++) {
                    const u32 word = args.masks[(row + t0 + i) * words + n / MASK_TILE];
                    g[i] = word >> n % MASK_TILE & 1 ? g[i] : 0.0f;
                }
            }
            const float before = t0 == 0 ? start.spikes : cell.spikes(states[0]);
#pragma unroll
            for (int i = 0; i < CELL_AHEAD; i++) {
                const float spikes = i == 0 ? before : cell.spikes(states[i]);
                cell.step(states[i], spikes, fmaf(y[i], scale, shift), states[i + 1]);
            }
#pragma unroll
            for (int i = CELL_AHEAD - 1; i >= 0; i--) {
                if (t0 + i >= steps) continue;
                const float spikes = i == 0 ? before : cell.spikes(states[i]);
                const float input = fmaf(y[i], scale, shift);
                const float current = cell.back(states[i], spikes, states[i + 1], input, g[i] + rate, next, sums);
                total += current;
                product = fmaf(current, y[i] - mean, product);
                args.gradient[at + (size_t)i * args.width] = current;
            }
        }
        const size_t apart = (size_t)args.batch_size * args.width;
#pragma unroll
        for (int i = 0; i < PARAMETER_SUMS; i++) args.sums[i * apart + of_sample] = sums[i];
        args.sums[PARAMETER_SUMS * apart + of_sample] = total;
        args.sums[(PARAMETER_SUMS + 1) * apart + of_sample] = product;
    });
}

// The value of a parameter for neuron n, clamped to the parameter's range.
__device__ __forceinline__ double clamped(const ParameterArgs& parameter, u32 n) {
    const float raw = parameter.values ? parameter.values[n] : parameter.fixed;
    return raw < parameter.low ? parameter.low : raw > parameter.high ? parameter.high : raw;
}

// The constants of all neurons of a layer, which are 0 for the padding.
KERNEL(cell_constants, CellArgs, BLOCK_THREADS) {
    const u32 n = blockIdx.x * BLOCK_THREADS + threadIdx.x;
    if (n >= args.width) return;
    float c[CONSTANTS] = {};
    if (n < args.neurons) {
        double p[CONSTANTS];
        for (int i = 0; i < CONSTANTS; i++) p[i] = clamped(args.parameters[i], n);
        switch (args.cell) {
        case CELL_LIF_SOFT: LifSoft::constants(p, c); break;
        case CELL_LIF_HARD: LifHard::constants(p, c); break;
        case CELL_SILIF: Silif::constants(p, c); break;
        }
    }
    for (int i = 0; i < CONSTANTS; i++) args.constants[(size_t)i * args.width + n] = c[i];
}

// Adds up the sums over all samples, and turns them into the gradients of the layer's vectors and the coefficients of
// `norm_backward`.
KERNEL(layer_gradient, CellArgs, BLOCK_THREADS) {
    const u32 n = blockIdx.x * NORM_CHANNELS + threadIdx.x % NORM_CHANNELS, samples = args.state->samples;
    constexpr int SUMS = PARAMETER_SUMS + 2;
    double totals[SUMS + 1]; // the last one is the number of time steps of all samples
    const size_t apart = (size_t)args.batch_size * args.width;
    auto add = [&](u32 b, double (&totals)[SUMS + 1]) {
        const float* from = args.sums + (size_t)b * args.width + n;
#pragma unroll
        for (int i = 0; i < SUMS; i++) totals[i] += from[i * apart];
        totals[SUMS] += args.drawn[b].steps;
    };
    if (!over_batch(totals, samples, args.totals, args.has_totals, args.width, n, add)) return;
    const double total = totals[PARAMETER_SUMS], product = totals[PARAMETER_SUMS + 1], rows = totals[SUMS];
    float* vectors = args.vectors + n;
    if (args.gamma) {
        const double inverse = args.inverse[n], a = n < args.neurons ? args.gamma[n] * inverse : 0.0;
        args.coefficients[n] = (float)a;
        args.coefficients[args.width + n] = (float)(-a * inverse * inverse * product / rows);
        args.coefficients[2 * args.width + n] = (float)(-a * total / rows);
        vectors[0] = (float)(product * inverse);
        vectors[args.width] = (float)total;
    }
    // A norm subtracts the mean, so the bias of the linear layer before it changes nothing.
    vectors[2 * args.width] = args.gamma ? 0.0f : (float)total;
    if (n >= args.neurons) return;
    double p[CONSTANTS], sums[PARAMETER_SUMS], out[CONSTANTS] = {};
    for (int i = 0; i < CONSTANTS; i++) p[i] = clamped(args.parameters[i], n);
    for (int i = 0; i < PARAMETER_SUMS; i++) sums[i] = totals[i];
    switch (args.cell) {
    case CELL_LIF_SOFT: LifSoft::gradients(p, sums, out); break;
    case CELL_LIF_HARD: LifHard::gradients(p, sums, out); break;
    case CELL_SILIF: Silif::gradients(p, sums, out); break;
    case CELL_LEAKY: out[0] = sums[0]; break;
    }
    for (int i = 0; i < CONSTANTS; i++) {
        const ParameterArgs& parameter = args.parameters[i];
        if (!parameter.values) continue;
        // Both ends of a range are inside it.
        const bool open = parameter.values[n] >= parameter.low && parameter.values[n] <= parameter.high;
        vectors[(3 + i) * args.width] = open ? (float)out[i] : 0.0f;
    }
}
