//! Surrogate gradients: what the backward pass uses instead of the derivative of a spike.

use crate::kernel::exp::exp;
use crate::kernel::vector::Real;

/// Surrogate sigma(x) for the derivative of a spike. x = u - 1 is the membrane potential minus the threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Surrogate {
    /// height for -width < x <= width, else 0. The default is that of sparch and SiLIF: a height of 1 and a width of
    /// 0.5.
    Boxcar {
        /// Height of the box.
        height: f32,
        /// Half of the width of the box.
        width: f32,
    },
    /// scale / width * exp(-|x| / width), the same as `SingleExponential` of Sinabs.
    SingleExponential {
        /// Distance at which the curve falls to 1/e.
        width: f32,
        /// Half of the area under the curve.
        scale: f32,
    },
    /// alpha / 2 / (1 + (pi / 2 * alpha * x)^2), the same as `atan` of snnTorch (Fang et al. 2021).
    Arctan {
        /// alpha in the formula. The height is alpha / 2.
        alpha: f32,
    },
    /// 1 / (1 + slope * |x|)^2, the same as `fast_sigmoid` of snnTorch (Zenke and Ganguli 2018).
    FastSigmoid {
        /// slope in the formula. The height is 1.
        slope: f32,
    },
}

impl Default for Surrogate {
    fn default() -> Surrogate {
        Surrogate::Boxcar { height: 1.0, width: 0.5 }
    }
}

/// The formulas of surrogates. The kernels on a GPU know a formula by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Formula {
    SingleExponential = 0,
    Boxcar = 1,
    Arctan = 2,
    FastSigmoid = 3,
}

impl Formula {
    pub(super) const ALL: [Formula; 4] =
        [Formula::SingleExponential, Formula::Boxcar, Formula::Arctan, Formula::FastSigmoid];

    /// Returns sigma(x). `a` and `b` are the constants that [`Surrogate::formula`] returns.
    #[inline(always)]
    pub(super) fn at<R: Real>(self, x: R, [a, b]: [R; 2]) -> R {
        let one = R::splat(1.0);
        match self {
            Formula::SingleExponential => exp(x.abs().mul(b)).mul(a),
            Formula::Boxcar => a.keep_above(x, R::splat(0.0).sub(b)).keep_at_most(x, b),
            Formula::Arctan => {
                let y = x.mul(b);
                a.div(y.mul_add(y, one))
            }
            Formula::FastSigmoid => {
                let y = x.abs().mul_add(b, a);
                one.div(y.mul(y))
            }
        }
    }
}

impl Surrogate {
    /// Returns the formula and its two constants.
    #[inline(always)]
    pub(crate) fn formula(&self) -> (Formula, [f32; 2]) {
        match *self {
            Surrogate::SingleExponential { width, scale } => {
                (Formula::SingleExponential, [scale / width, -(1.0 / width)])
            }
            Surrogate::Boxcar { height, width } => (Formula::Boxcar, [height, width]),
            Surrogate::Arctan { alpha } => (Formula::Arctan, [0.5 * alpha, std::f32::consts::FRAC_PI_2 * alpha]),
            Surrogate::FastSigmoid { slope } => (Formula::FastSigmoid, [1.0, slope]),
        }
    }

    /// Returns sigma(x). There is no closure here: the compiler wouldn't inline it into the kernels.
    #[inline(always)]
    pub(super) fn at<R: Real>(&self, x: R) -> R {
        let (formula, [a, b]) = self.formula();
        formula.at(x, [R::splat(a), R::splat(b)])
    }

    /// Returns a bound for |x|: above it, sigma(x) is 0. Returns infinity if sigma(x) is never 0.
    pub(crate) fn support(&self) -> f32 {
        match *self {
            Surrogate::Boxcar { width, .. } => width,
            _ => f32::INFINITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::Surrogate;

    /// What scripts/goldens/surrogates.py has recorded from snnTorch and Sinabs.
    #[derive(Deserialize)]
    #[serde(tag = "surrogate", rename_all = "kebab-case")]
    enum Recorded {
        Arctan { steepness: f32, x: Vec<f32>, sigma: Vec<f32> },
        FastSigmoid { steepness: f32, x: Vec<f32>, sigma: Vec<f32> },
        SingleExponential { width: f32, scale: f32, x: Vec<f32>, sigma: Vec<f32> },
    }

    #[test]
    fn formulas_are_those_of_snntorch_and_sinabs() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/goldens/surrogates.json");
        let recorded: Vec<Recorded> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(recorded.len(), 6);
        for case in recorded {
            let (surrogate, x, sigma) = match case {
                Recorded::Arctan { steepness, x, sigma } => (Surrogate::Arctan { alpha: steepness }, x, sigma),
                Recorded::FastSigmoid { steepness, x, sigma } => {
                    (Surrogate::FastSigmoid { slope: steepness }, x, sigma)
                }
                Recorded::SingleExponential { width, scale, x, sigma } => {
                    (Surrogate::SingleExponential { width, scale }, x, sigma)
                }
            };
            for (x, sigma) in x.into_iter().zip(sigma) {
                let got: f32 = surrogate.at(x);
                assert!((got - sigma).abs() <= 1e-6 * sigma, "{surrogate:?} at {x}: {got} {sigma}");
            }
        }
    }
}
