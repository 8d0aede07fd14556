//! Leaky integrate-and-fire: `lif`.
//!
//! ```text
//! u[t] = alpha r[t-1] + (1 - alpha) I[t]        r = u - s (soft reset), or u (1 - s) (hard reset)
//!
//! lu[t] = sigma[t] (g[t] - alpha q lu[t+1]) + alpha k lu[t+1]        lu = dL/du
//!         q = 1, k = 1 (soft reset), or q = u[t], k = 1 - s[t] (hard reset)
//! dL/dI[t] = (1 - alpha) lu[t]        dL/dalpha = sum of lu[t] (r[t-1] - I[t])
//! ```
//!
//! With soft reset this is sparch's LIF (Bittar and Garner 2022), and also NIR's LIF if NIR's resistance is 1 and
//! alpha = 1 - dt / tau.

use crate::kernel::cell::dynamics::{Dynamics, Step};
use crate::kernel::cell::{CONSTANTS, PARAMETER_SUMS};
use crate::kernel::vector::Real;

/// `lif`, whose constants are alpha and 1 - alpha.
pub(super) struct Lif<const HARD: bool>;

/// Returns the potential after the reset.
#[inline(always)]
pub(super) fn reset<V: Real, const HARD: bool>(u: V, s: V) -> V {
    if HARD { u.mul(V::splat(1.0).sub(s)) } else { u.sub(s) }
}

/// Returns the gradient for the potential u at step t. `after_reset` is the gradient for the potential after the
/// reset. `potential` is u. `at.g` is the gradient for the spikes.
#[inline(always)]
pub(super) fn back_through_reset<V: Real, const HARD: bool>(at: &Step<V>, potential: V, after_reset: V) -> V {
    if HARD {
        let for_spikes = at.g.sub(potential.mul(after_reset));
        at.sigma.mul_add(for_spikes, after_reset.mul(V::splat(1.0).sub(at.spikes)))
    } else {
        at.sigma.mul_add(at.g.sub(after_reset), after_reset)
    }
}

impl<const HARD: bool> Dynamics for Lif<HARD> {
    const STATES: usize = 1;

    #[inline(always)]
    fn step<V: Real>(c: &[V; CONSTANTS], before: [V; 2], spikes_before: V, input: V) -> [V; 2] {
        let [alpha, gain, ..] = *c;
        [input.mul_add(gain, reset::<V, HARD>(before[0], spikes_before).mul(alpha)), before[1]]
    }

    #[inline(always)]
    fn back<V: Real>(c: &[V; CONSTANTS], at: &Step<V>, next: [V; 2], sums: &mut [V; PARAMETER_SUMS]) -> ([V; 2], V) {
        let [alpha, gain, ..] = *c;
        let u = back_through_reset::<V, HARD>(at, at.after[0], alpha.mul(next[0]));
        sums[0] = u.mul_add(reset::<V, HARD>(at.before[0], at.spikes_before).sub(at.input), sums[0]);
        ([u, next[1]], gain.mul(u))
    }
}
