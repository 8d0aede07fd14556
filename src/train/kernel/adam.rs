//! The Adam optimiser, with PyTorch's formula.
//!
//! ```text
//! m = beta1 * m + (1 - beta1) * g
//! v = beta2 * v + (1 - beta2) * g^2
//! w = w - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
//! ```
//!
//! g is the gradient of a parameter w. m and v are the moving averages of g and g^2. t is the number of updates,
//! including this one. (Kingma and Ba 2015. Epsilon is added after the bias correction, as in `torch.optim.Adam`.)

use rayon::prelude::*;

use crate::kernel::isa::{Isa, for_each_isa};
use crate::kernel::vector::Real;

/// Number of parameters that one parallel task updates.
const CHUNK: usize = 1 << 14;

/// Adam's settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// Learning rate.
    pub lr: f64,
    /// Weight of the old value in the moving average m of the gradient g: m = beta1 * m + (1 - beta1) * g.
    pub beta1: f64,
    /// Weight of the old value in the moving average v of the squared gradient: v = beta2 * v + (1 - beta2) * g^2.
    pub beta2: f64,
    /// Small number in the denominator of the update, which avoids a division by 0.
    pub eps: f64,
}

impl Default for AdamConfig {
    /// Returns PyTorch's default settings.
    fn default() -> AdamConfig {
        AdamConfig { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 }
    }
}

/// The Adam optimiser for a flat list of parameters: settings and state.
#[derive(Clone, Debug, PartialEq)]
pub struct Adam {
    /// Settings. `config.lr` may change between updates.
    pub config: AdamConfig,
    /// Number of updates so far.
    pub step: u64,
    /// Moving average m of the gradient of each parameter.
    pub mean: Vec<f32>,
    /// Moving average v of the squared gradient of each parameter.
    pub mean_square: Vec<f32>,
}

impl Adam {
    /// Makes an optimiser for `parameters` parameters. All moving averages are 0.
    pub fn new(config: AdamConfig, parameters: usize) -> Adam {
        Adam { config, step: 0, mean: vec![0.0; parameters], mean_square: vec![0.0; parameters] }
    }

    /// Updates every parameter and its moving averages once. `gradients[i]` is the gradient for `parameters[i]`.
    ///
    /// # Panics
    /// If `parameters` or `gradients` doesn't have the length that [`Adam::new`] was called with.
    pub fn update(&mut self, parameters: &mut [f32], gradients: &[f32]) {
        assert_eq!(parameters.len(), self.mean.len(), "parameters for Adam's state");
        assert_eq!(gradients.len(), self.mean.len(), "gradients for Adam's state");
        self.step += 1;
        let AdamConfig { lr, beta1, beta2, eps } = self.config;
        let factors = Factors {
            decay: beta1 as f32,
            gain: (1.0 - beta1) as f32,
            square_decay: beta2 as f32,
            square_gain: (1.0 - beta2) as f32,
            root_correction: (1.0 - power(beta2, self.step)).sqrt() as f32,
            eps: eps as f32,
            step_size: (lr / (1.0 - power(beta1, self.step))) as f32,
        };
        let isa = Isa::chosen();
        (parameters.par_chunks_mut(CHUNK), gradients.par_chunks(CHUNK))
            .into_par_iter()
            .zip((self.mean.par_chunks_mut(CHUNK), self.mean_square.par_chunks_mut(CHUNK)))
            .for_each(|((parameters, gradients), (mean, square))| {
                update_chunk(isa, &factors, parameters, gradients, mean, square)
            });
    }
}

struct Factors {
    decay: f32,
    gain: f32,
    square_decay: f32,
    square_gain: f32,
    root_correction: f32,
    eps: f32,
    step_size: f32,
}

for_each_isa! {
    fn update_chunk<V>(f: &Factors, parameters: &mut [f32], gradients: &[f32], mean: &mut [f32], square: &mut [f32]) {
        let (w, w_rest) = parameters.as_chunks_mut::<16>();
        let (g, g_rest) = gradients.as_chunks::<16>();
        let (m, m_rest) = mean.as_chunks_mut::<16>();
        let (v, v_rest) = square.as_chunks_mut::<16>();
        for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            let updated = f.update(V::load(w), V::load(g), V::load(m), V::load(v));
            updated.into_iter().zip([w, m, v]).for_each(|(value, to)| value.store(to));
        }
        for (((w, g), m), v) in w_rest.iter_mut().zip(g_rest).zip(m_rest).zip(v_rest) {
            [*w, *m, *v] = f.update(*w, *g, *m, *v);
        }
    }
}

impl Factors {
    /// Returns the new values of a parameter w and of its moving averages m and v. g is the gradient of w.
    #[inline(always)]
    fn update<R: Real>(&self, w: R, g: R, m: R, v: R) -> [R; 3] {
        let c = R::splat;
        let m = m.mul_add(c(self.decay), g.mul(c(self.gain)));
        let v = v.mul_add(c(self.square_decay), g.mul(g).mul(c(self.square_gain)));
        let root = v.sqrt().div(c(self.root_correction)).add(c(self.eps));
        [m.div(root).mul_add(c(-self.step_size), w), m, v]
    }
}

/// Returns base^exponent with the same bits on every machine, unlike `f64::powi`.
fn power(base: f64, exponent: u64) -> f64 {
    let (mut result, mut square, mut left) = (1.0, base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result *= square;
        }
        square *= square;
        left >>= 1;
    }
    result
}
