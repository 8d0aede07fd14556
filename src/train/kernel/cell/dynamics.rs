//! The trait for the recursion of a cell. The loops over time call its functions.

use crate::kernel::cell::{CONSTANTS, PARAMETER_SUMS};
use crate::kernel::vector::Real;

/// The recursion of a cell, for one neuron per element of `V`. A pair of states has the two state variables, such as u
/// and w.
pub(super) trait Dynamics {
    /// Number of state variables, 1 or 2. If it is 1, the second state stays 0.
    const STATES: usize = 2;

    /// Returns the states at step t from the states and spikes at t - 1, and the input current at t.
    fn step<V: Real>(c: &[V; CONSTANTS], before: [V; 2], spikes_before: V, input: V) -> [V; 2];

    /// Returns the membrane potential. A neuron spikes if its potential is above 1.
    fn potential<V: Real>(states: [V; 2]) -> V {
        states[0]
    }

    /// Goes one step back in time. `next` has the gradients for the states at step t + 1. Returns the gradients for
    /// the states at step t, and for the input current at step t. Adds the gradients of step t for the constants to
    /// `sums`.
    fn back<V: Real>(c: &[V; CONSTANTS], at: &Step<V>, next: [V; 2], sums: &mut [V; PARAMETER_SUMS]) -> ([V; 2], V);
}

/// Input of one step of the backward pass.
pub(super) struct Step<V> {
    /// States at step t - 1.
    pub before: [V; 2],
    pub spikes_before: V,
    /// States at step t.
    pub after: [V; 2],
    pub spikes: V,
    /// Input current at step t.
    pub input: V,
    /// Surrogate gradient at step t.
    pub sigma: V,
    /// Gradient of the loss with respect to the spikes at step t, from outside the cell.
    pub g: V,
}
