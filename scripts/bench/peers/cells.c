// The adaptive and the leaky cell over time, forward and backward, fused. For cells_torch.py, which compiles it. Layout
// (B, T, H), float32.
// cc -O3 -march=native -ffp-contract=off -shared -fPIC cells.c -o libcells.so
#include <stddef.h>
#include <string.h>

#define BOX(x) (((x) > -0.5f) && ((x) <= 0.5f) ? 1.0f : 0.0f)

// Samples b0 to b1 - 1. u, w, s: states and spikes after each step.
void adaptive_forward(int b0, int b1, int T, int H, const float *I, const float *alpha, const float *beta,
                      const float *a, const float *b, const float *u0, const float *w0, const float *s0, float *U,
                      float *W, float *S) {
    for (int n = b0; n < b1; n++) {
        const float *u = u0 + (size_t)n * H, *w = w0 + (size_t)n * H, *s = s0 + (size_t)n * H;
        for (int t = 0; t < T; t++) {
            size_t o = ((size_t)n * T + t) * H;
            float *un = U + o, *wn = W + o, *sn = S + o;
            const float *in = I + o;
            for (int h = 0; h < H; h++) {
                float wv = (beta[h] * w[h] + a[h] * u[h]) + b[h] * s[h];
                float uv = alpha[h] * (u[h] - s[h]) + (1 - alpha[h]) * (in[h] - wv);
                wn[h] = wv;
                un[h] = uv;
                sn[h] = uv - 1.0f > 0 ? 1.0f : 0.0f;
            }
            u = un;
            w = wn;
            s = sn;
        }
    }
}

// G: 4 rows of H, zeroed by the caller: gradients for alpha, beta, a, b. scratch: 6 rows of H.
void adaptive_backward(int b0, int b1, int T, int H, const float *I, const float *g, const float *alpha,
                       const float *beta, const float *a, const float *b, const float *u0, const float *w0,
                       const float *s0, const float *U, const float *W, const float *S, float *dI, double *G,
                       float *scratch) {
    float *lu = scratch, *lw = lu + H, *g0 = lw + H, *g1 = g0 + H, *g2 = g1 + H, *g3 = g2 + H;
    for (int n = b0; n < b1; n++) {
        memset(scratch, 0, 6 * H * sizeof(float));
        for (int t = T - 1; t >= 0; t--) {
            size_t o = ((size_t)n * T + t) * H, first = (size_t)n * H;
            const float *up = t ? U + o - H : u0 + first, *wp = t ? W + o - H : w0 + first;
            const float *sp = t ? S + o - H : s0 + first, *un = U + o, *wn = W + o, *in = I + o, *gg = g + o;
            float *d = dI + o;
            for (int h = 0; h < H; h++) {
                float ls = gg[h] - alpha[h] * lu[h] + b[h] * lw[h];
                float l = BOX(un[h] - 1.0f) * ls + alpha[h] * lu[h] + a[h] * lw[h];
                float k = beta[h] * lw[h] - (1 - alpha[h]) * l;
                d[h] = (1 - alpha[h]) * l;
                g0[h] += l * ((up[h] - sp[h]) - (in[h] - wn[h]));
                g1[h] += k * wp[h];
                g2[h] += k * up[h];
                g3[h] += k * sp[h];
                lu[h] = l;
                lw[h] = k;
            }
        }
        for (int h = 0; h < 4 * H; h++) G[h] += g0[h];
    }
}

// spikes: 0 for the readout, an integrator without spikes. s0 and S are then not read.
void leaky_forward(int b0, int b1, int T, int H, const float *I, const float *alpha, const float *u0, const float *s0,
                   float *U, float *S, int spikes) {
    for (int n = b0; n < b1; n++) {
        const float *u = u0 + (size_t)n * H, *s = s0 + (size_t)n * H;
        for (int t = 0; t < T; t++) {
            size_t o = ((size_t)n * T + t) * H;
            float *un = U + o, *sn = S + o;
            const float *in = I + o;
            for (int h = 0; h < H; h++) {
                float before = spikes ? u[h] - s[h] : u[h];
                float uv = alpha[h] * before + (1 - alpha[h]) * in[h];
                un[h] = uv;
                if (spikes) sn[h] = uv - 1.0f > 0 ? 1.0f : 0.0f;
            }
            u = un;
            s = sn;
        }
    }
}

// G: a row of H, zeroed by the caller. scratch: 2 rows of H.
void leaky_backward(int b0, int b1, int T, int H, const float *I, const float *g, const float *alpha, const float *u0,
                    const float *s0, const float *U, const float *S, float *dI, double *G, float *scratch, int spikes) {
    float *lu = scratch, *g0 = scratch + H;
    for (int n = b0; n < b1; n++) {
        memset(scratch, 0, 2 * H * sizeof(float));
        for (int t = T - 1; t >= 0; t--) {
            size_t o = ((size_t)n * T + t) * H, first = (size_t)n * H;
            const float *up = t ? U + o - H : u0 + first, *sp = t ? S + o - H : s0 + first;
            const float *un = U + o, *in = I + o, *gg = g + o;
            float *d = dI + o;
            for (int h = 0; h < H; h++) {
                float sg = spikes ? BOX(un[h] - 1.0f) : 1.0f, keep = spikes ? 1 - sg : 1.0f;
                float l = sg * gg[h] + alpha[h] * keep * lu[h];
                d[h] = (1 - alpha[h]) * l;
                g0[h] += l * ((spikes ? up[h] - sp[h] : up[h]) - in[h]);
                lu[h] = l;
            }
        }
        for (int h = 0; h < H; h++) G[h] += g0[h];
    }
}
