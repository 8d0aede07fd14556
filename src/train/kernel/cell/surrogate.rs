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
    pub(crate) fn formula(&self) -> (Formula, [f32; 2]) {
        self.with_formula(|formula, constants| (formula, constants))
    }

    /// Returns sigma(x).
    #[inline(always)]
    pub(super) fn at<R: Real>(&self, x: R) -> R {
        self.with_formula(|formula, [a, b]| formula.at(x, [R::splat(a), R::splat(b)]))
    }

    /// Calls `work` with the formula and its two constants. The compiler gets a copy of `work` for each formula.
    #[inline(always)]
    fn with_formula<T>(&self, work: impl Fn(Formula, [f32; 2]) -> T) -> T {
        match *self {
            Surrogate::SingleExponential { peak, rate } => work(Formula::SingleExponential, [peak, -rate]),
            Surrogate::Boxcar { height, half_width } => work(Formula::Boxcar, [height, half_width]),
            Surrogate::Arctan { alpha } => work(Formula::Arctan, [0.5 * alpha, std::f32::consts::FRAC_PI_2 * alpha]),
            Surrogate::FastSigmoid { slope } => work(Formula::FastSigmoid, [1.0, slope]),
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
