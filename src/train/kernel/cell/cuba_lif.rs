//! Leaky integrate-and-fire with a synaptic current: `cuba-lif`.
//!
//! ```text
//! i[t] = alpha i[t-1] + I[t]
//! u[t] = beta r[t-1] + i[t]        r = u - s (soft reset), or u (1 - s) (hard reset)
//!
//! lu[t] = dL/du[t], computed as in lif.rs, with beta instead of alpha
//! li[t] = alpha li[t+1] + lu[t]    dL/dI[t] = li[t]
//! dL/dalpha = sum of li[t] i[t-1]  dL/dbeta = sum of lu[t] r[t-1]
//! ```
//!
//! This is snnTorch's Synaptic with `reset_delay=False`, except that Synaptic's gradient stops at the reset. It is
//! also NIR's CubaLIF with:
//! - alpha = 1 - dt / tau_syn, and beta = 1 - dt / tau_mem
//! - w_in = tau_syn / dt, and NIR's resistance = tau_mem / dt

use crate::kernel::cell::dynamics::{Dynamics, Step};
use crate::kernel::cell::lif::{back_through_reset, reset};
use crate::kernel::cell::{CONSTANTS, PARAMETER_SUMS};
use crate::kernel::vector::Real;

/// `cuba-lif`, whose constants are alpha and beta, and whose states are u and i.
pub(super) struct CubaLif<const HARD: bool>;

impl<const HARD: bool> Dynamics for CubaLif<HARD> {
    #[inline(always)]
    fn step<V: Real>(c: &[V; CONSTANTS], before: [V; 2], spikes_before: V, input: V) -> [V; 2] {
        let [alpha, beta, ..] = *c;
        let current = before[1].mul_add(alpha, input);
        [reset::<V, HARD>(before[0], spikes_before).mul_add(beta, current), current]
    }

    #[inline(always)]
    fn back<V: Real>(c: &[V; CONSTANTS], at: &Step<V>, next: [V; 2], sums: &mut [V; PARAMETER_SUMS]) -> ([V; 2], V) {
        let [alpha, beta, ..] = *c;
        let u = back_through_reset::<V, HARD>(at, at.after[0], beta.mul(next[0]));
        let current = next[1].mul_add(alpha, u);
        sums[0] = current.mul_add(at.before[1], sums[0]);
        sums[1] = u.mul_add(reset::<V, HARD>(at.before[0], at.spikes_before), sums[1]);
        ([u, current], current)
    }
}
