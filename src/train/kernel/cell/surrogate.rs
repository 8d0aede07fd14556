//! Surrogate gradients: what the backward pass uses instead of the derivative of a spike.

use crate::kernel::exp::exp;
use crate::kernel::vector::Real;

/// The surrogate sigma(x) of ds/dv, where x = v - theta is the distance of the potential v to the threshold theta.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Surrogate {
    /// peak * exp(-rate * |x|). Sinabs' SingleExponential has peak = grad_scale / grad_width, rate = 1 / grad_width.
    SingleExponential { peak: f32, rate: f32 },
    /// height for -half_width < x <= half_width, else 0. SiLIF and sparch have height 1, half_width 0.5.
    Boxcar { height: f32, half_width: f32 },
    /// alpha / 2 / (1 + (pi / 2 * alpha * x)^2). This is snnTorch's ATan, whose default alpha is 2 (Fang et al. 2021).
    Arctan { alpha: f32 },
    /// 1 / (1 + slope * |x|)^2. This is snnTorch's FastSigmoid, whose default slope is 25 (Zenke and Ganguli 2018).
    FastSigmoid { slope: f32 },
}

impl Default for Surrogate {
    /// Returns the surrogate of SiLIF and sparch.
    fn default() -> Surrogate {
        Surrogate::Boxcar { height: 1.0, half_width: 0.5 }
    }
}

impl Surrogate {
    /// Returns sigma(x).
    #[inline(always)]
    pub(super) fn at<R: Real>(&self, x: R) -> R {
        let c = R::splat;
        match *self {
            Surrogate::SingleExponential { peak, rate } => exp(x.abs().mul(c(-rate))).mul(c(peak)),
            Surrogate::Boxcar { height, half_width } => {
                c(height).keep_above(x, c(-half_width)).keep_at_most(x, c(half_width))
            }
            Surrogate::Arctan { alpha } => {
                let y = x.mul(c(std::f32::consts::FRAC_PI_2 * alpha));
                c(0.5 * alpha).div(y.mul_add(y, c(1.0)))
            }
            Surrogate::FastSigmoid { slope } => {
                let y = x.abs().mul_add(c(slope), c(1.0));
                c(1.0).div(y.mul(y))
            }
        }
    }

    /// Returns a bound for |x|: above it, sigma(x) is 0. Returns infinity if sigma(x) is never 0.
    pub(crate) fn support(&self) -> f32 {
        match *self {
            Surrogate::Boxcar { half_width, .. } => half_width,
            _ => f32::INFINITY,
        }
    }
}
