//! What a cell's recursion is to the loops over time.

use crate::kernel::cell::{CONSTANTS, PARAMETER_SUMS};
use crate::kernel::vector::F32x16;

/// The recursion of a cell, for sixteen neurons. The first element of a pair of states is the first state variable.
pub(super) trait Dynamics {
    /// Returns the states at step t from the states and spikes at t - 1, and the input current at t.
    fn step<V: F32x16>(c: &[V; CONSTANTS], before: [V; 2], spikes_before: V, input: V) -> [V; 2];

    /// Returns the potential that spikes above 1.
    fn potential<V: F32x16>(states: [V; 2]) -> V {
        states[0]
    }

    /// Returns the gradients for the states at step t, and for the input current at t, from those for the states at
    /// t + 1 (`next`). Adds the gradients of step t for the constants to `sums`.
    fn back<V: F32x16>(c: &[V; CONSTANTS], at: &Step<V>, next: [V; 2], sums: &mut [V; PARAMETER_SUMS]) -> ([V; 2], V);
}

/// What a step of the backward pass reads.
pub(super) struct Step<V> {
    /// States and spikes at step t - 1.
    pub before: [V; 2],
    pub spikes_before: V,
    /// States and spikes at step t.
    pub after: [V; 2],
    pub spikes: V,
    /// Input current at step t.
    pub input: V,
    /// Surrogate gradient at step t.
    pub sigma: V,
    /// Gradient of the loss with respect to the spikes at step t, from outside the cell.
    pub g: V,
}
