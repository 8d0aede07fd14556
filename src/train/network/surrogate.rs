//! The surrogate gradient: the backward pass uses it in place of the derivative of the spike count.

use serde::{Deserialize, Serialize};

/// Surrogate gradient of the spike count: an exponential that decays on both sides of the threshold theta.
///
/// ```text
/// sigma(v) = grad_scale / (theta * grad_width) * exp(-|v - theta| / (theta * grad_width))
/// ```
///
/// This is Sinabs' `SingleExponential` (Shrestha and Orchard 2018). The default values are those of Sinabs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SingleExponential {
    /// Width of the curve, as a multiple of theta.
    pub grad_width: f32,
    /// Half of the area under the curve sigma(v).
    pub grad_scale: f32,
}

impl Default for SingleExponential {
    fn default() -> SingleExponential {
        SingleExponential { grad_width: 0.5, grad_scale: 1.0 }
    }
}
