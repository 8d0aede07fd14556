//! The surrogate gradient, used in place of the derivative of the spike count, which is 0 or infinite.

use serde::{Deserialize, Serialize};

/// Surrogate gradient of the spike function: an exponential that decays on both sides of the threshold theta.
///
/// ```text
/// sigma(v) = grad_scale / (theta * grad_width) * exp(-|v - theta| / (theta * grad_width))
/// ```
///
/// Sinabs' `SingleExponential` (Shrestha and Orchard 2018), with its defaults.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SingleExponential {
    /// Width in units of the threshold.
    pub grad_width: f32,
    /// Half of the area under sigma.
    pub grad_scale: f32,
}

impl Default for SingleExponential {
    fn default() -> SingleExponential {
        SingleExponential { grad_width: 0.5, grad_scale: 1.0 }
    }
}
