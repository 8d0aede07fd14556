// Integrate-and-fire neurons (kernel/iaf.rs has the formulas): code that iaf_forward.cu, iaf_backward.cu and spikes.cu
// share.
//
// A kernel computes a layer forward or backward in time, together with the product with the layer's weights. Currents
// and incoming gradients therefore stay on the multiprocessor. A block has one sample and TILE neighbouring neurons,
// and goes through time in tiles of TILE steps. For each tile it computes the currents or gradients, and then one
// thread per neuron goes through the steps. The block stores v, and the spikes or lambda as matrices (batch, T,
// neurons) for the next product, with T and neurons rounded up to whole tiles.

// Number of quads that each of BLOCK_THREADS threads has in a tile. A quad is four neighbouring neurons at one step.
#define QUADS (TILE * TILE / 4 / BLOCK_THREADS)

// Calls `each` for each quad of this thread, with the quad's step, its first neuron, and its index among the thread's
// quads.
template <typename Each>
__device__ __forceinline__ void for_each_quad(Each each) {
#pragma unroll
    for (int i = 0; i < QUADS; i++) {
        each(threadIdx.x / (TILE / 4) + i * (TILE / QUADS), threadIdx.x % (TILE / 4) * 4, i);
    }
}

struct Neuron {
    float theta, reciprocal, lower, peak, rate, silent;
    bool exact, single;

    __device__ __forceinline__ explicit Neuron(const NeuronArgs& args)
        : theta(args.theta), reciprocal(args.reciprocal), lower(args.lower), peak(args.peak), rate(args.rate),
          silent(args.largest_silent), exact(args.exact != 0), single(args.single != 0) {}

    // Returns the number of spikes at v. For NaN it is NaN, or 1 if neurons spike once: the check of the last potential
    // finds NaN.
    __device__ __forceinline__ float spikes(float v) const {
        if (single) return v <= silent ? 0.0f : 1.0f;
        float whole = truncf(exact ? v * reciprocal : v / theta);
        return v < 0.0f ? 0.0f : whole;
    }

    // Returns whether a potential is finite. A lower bound replaces minus infinity, which then counts as finite.
    __device__ __forceinline__ bool is_finite(float v) const {
        const float bounded = v < lower ? lower : v;
        return bounded - bounded == 0.0f;
    }

    // Returns sigma(v), the surrogate gradient.
    __device__ __forceinline__ float surrogate(float v) const {
        return exp_nonpositive(fabsf(v - theta) * -rate) * peak;
    }
};
