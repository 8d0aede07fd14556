//! Adaptive leaky integrate-and-fire: `adlif` and `silif`, which differ only in how alpha and beta are learned.
//!
//! ```text
//! w[t] = beta w[t-1] + a u[t-1] + b s[t-1]
//! u[t] = alpha (u[t-1] - s[t-1]) + (1 - alpha) (I[t] - w[t])
//!
//! ls[t] = g[t] - alpha lu[t+1] + b lw[t+1]
//! lu[t] = sigma[t] ls[t] + alpha lu[t+1] + a lw[t+1]
//! lw[t] = beta lw[t+1] - (1 - alpha) lu[t]
//! dL/dI[t] = (1 - alpha) lu[t]
//! dL/dalpha = sum of lu[t] (u[t-1] - s[t-1] - I[t] + w[t])        dL/dbeta = sum of lw[t] w[t-1]
//! dL/da = sum of lw[t] u[t-1]                                     dL/db = sum of lw[t] s[t-1]
//! ```
//!
//! adlif is sparch's adLIF (Bittar and Garner 2022), silif is SiLIF (Fabre et al. 2025). ls, lu and lw are the
//! gradients of the loss with respect to s, u and w.

use crate::kernel::cell::dynamics::{Dynamics, Step};
use crate::kernel::cell::{CONSTANTS, PARAMETER_SUMS};
use crate::kernel::vector::Real;

/// `adlif` and `silif`, whose constants are alpha, beta, a, b and 1 - alpha, and whose states are u and w.
pub(super) struct Adaptive;

impl Dynamics for Adaptive {
    #[inline(always)]
    fn step<V: Real>(c: &[V; CONSTANTS], [u, w]: [V; 2], spikes_before: V, input: V) -> [V; 2] {
        let [alpha, beta, a, b, gain] = *c;
        let w = spikes_before.mul_add(b, u.mul_add(a, w.mul(beta)));
        [input.sub(w).mul_add(gain, u.sub(spikes_before).mul(alpha)), w]
    }

    #[inline(always)]
    fn back<V: Real>(c: &[V; CONSTANTS], at: &Step<V>, next: [V; 2], sums: &mut [V; PARAMETER_SUMS]) -> ([V; 2], V) {
        let [alpha, beta, a, b, gain] = *c;
        let [next_u, next_w] = next;
        let decayed = alpha.mul(next_u);
        let s = next_w.mul_add(b, at.g.sub(decayed));
        let u = at.sigma.mul_add(s, next_w.mul_add(a, decayed));
        let input = gain.mul(u);
        let w = next_w.mul(beta).sub(input);
        let [u_before, w_before] = at.before;
        sums[0] = u.mul_add(u_before.sub(at.spikes_before).sub(at.input.sub(at.after[1])), sums[0]);
        sums[1] = w.mul_add(w_before, sums[1]);
        sums[2] = w.mul_add(u_before, sums[2]);
        sums[3] = w.mul_add(at.spikes_before, sums[3]);
        ([u, w], input)
    }
}
