//! The optimisers Adam, AdamW and SGD, and the clipping of gradients, with PyTorch's formulas.
//!
//! ```text
//! clip:   g = g * min(1, clip_norm / (|g| + 1e-6))               |g|: Euclidean norm over all trained parameters
//!
//! Adam:   g = g + decay * w
//!         m = beta1 * m + (1 - beta1) * g
//!         v = beta2 * v + (1 - beta2) * g^2
//!         w = w - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
//! AdamW:  w = w * (1 - lr * decay), then the last three lines of Adam
//! SGD:    g = g + decay * w
//!         m = momentum * m + g
//!         w = w - lr * m                                          with Nesterov: w - lr * (g + momentum * m)
//! ```
//!
//! g is the gradient of a parameter w. In Adam and AdamW, m is the moving average of g, and v is the moving average of
//! g^2. In SGD, m is the velocity. t is the number of updates, including the current one. eps is added after the bias
//! correction, as in `torch.optim.Adam`.
//!
//! Sources: Kingma and Ba 2015 (Adam), Loshchilov and Hutter 2019 (AdamW), Sutskever et al. 2013 (SGD).

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::kernel::isa::{Isa, for_each_isa};
use crate::kernel::vector::Real;

/// Number of parameters that one parallel task updates. The squares of the gradients are also added up in such
/// chunks.
const CHUNK: usize = 1 << 14;
/// Number that is added to the norm of the gradients before the division by this norm, as in PyTorch.
pub(super) const CLIP_EPS: f64 = 1e-6;

/// The formula of an update, with its constants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Rule {
    /// Adam, with the weight decay added to the gradient.
    Adam(Moments),
    /// AdamW: Adam with a weight decay that does not pass through the moving averages.
    AdamW(Moments),
    /// Stochastic gradient descent.
    Sgd {
        /// Weight of the old velocity; 0 for plain gradient descent.
        momentum: f64,
        /// Whether the update looks one step ahead along the velocity (Nesterov).
        nesterov: bool,
    },
}

/// Constants of Adam and AdamW.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moments {
    /// Weight of the old value in the moving average m of the gradient.
    pub beta1: f64,
    /// Weight of the old value in the moving average v of the squared gradient.
    pub beta2: f64,
    /// Small number in the denominator of the update, which avoids a division by 0.
    pub eps: f64,
}

impl Default for Moments {
    /// Returns PyTorch's default settings.
    fn default() -> Moments {
        Moments { beta1: 0.9, beta2: 0.999, eps: 1e-8 }
    }
}

impl Default for Rule {
    fn default() -> Rule {
        Rule::Adam(Moments::default())
    }
}

impl Rule {
    /// Returns the momentum of SGD, or beta1 of Adam and AdamW.
    pub fn momentum(&self) -> f64 {
        match *self {
            Rule::Adam(moments) | Rule::AdamW(moments) => moments.beta1,
            Rule::Sgd { momentum, .. } => momentum,
        }
    }

    /// Returns the rule with another [`momentum`](Rule::momentum).
    pub fn with_momentum(self, momentum: f64) -> Rule {
        match self {
            Rule::Adam(moments) => Rule::Adam(Moments { beta1: momentum, ..moments }),
            Rule::AdamW(moments) => Rule::AdamW(Moments { beta1: momentum, ..moments }),
            Rule::Sgd { nesterov, .. } => Rule::Sgd { momentum, nesterov },
        }
    }
}

/// Settings of an optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimiserConfig {
    /// The formula of the update.
    pub rule: Rule,
    /// Learning rate.
    pub lr: f64,
    /// Factor of the weight decay. It acts only on groups with [`decays`](Group::decays).
    pub weight_decay: f64,
    /// Maximum norm of the gradients of all trained parameters together. If the norm is larger, the gradients are scaled
    /// down. `None`: no maximum.
    pub clip_norm: Option<f64>,
}

impl Default for OptimiserConfig {
    /// Returns Adam with PyTorch's default settings.
    fn default() -> OptimiserConfig {
        OptimiserConfig { rule: Rule::default(), lr: 1e-3, weight_decay: 0.0, clip_norm: None }
    }
}

/// Consecutive parameters that the optimiser treats in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Indices in the flat list of the parameters.
    pub range: Range<usize>,
    /// Whether the weight decay acts on these parameters. It doesn't act on biases and on parameters of norms.
    pub decays: bool,
    /// Whether these parameters keep their values. The clipping then ignores their gradients.
    pub frozen: bool,
}

/// An optimiser for a flat list of parameters: settings and state.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimiser {
    /// Settings. Learning rate and momentum may change between updates.
    pub config: OptimiserConfig,
    /// Number of updates so far.
    pub step: u64,
    /// For each parameter, the moving average m of its gradient. For SGD, the velocity.
    pub mean: Vec<f32>,
    /// Moving average v of the squared gradient of each parameter. Empty for SGD.
    pub mean_square: Vec<f32>,
    groups: Vec<Group>,
}

impl Optimiser {
    /// Makes an optimiser for `parameters` parameters, with a state of 0. The weight decay acts on all of them.
    pub fn new(config: OptimiserConfig, parameters: usize) -> Optimiser {
        Optimiser::with_groups(config, vec![Group { range: 0..parameters, decays: true, frozen: false }])
    }

    /// Makes an optimiser for the parameters of `groups`, with a state of 0. The groups must be in order, without
    /// gaps.
    pub fn with_groups(config: OptimiserConfig, groups: Vec<Group>) -> Optimiser {
        let parameters = groups.last().map_or(0, |group| group.range.end);
        let squares = if matches!(config.rule, Rule::Sgd { .. }) { 0 } else { parameters };
        Optimiser { config, step: 0, mean: vec![0.0; parameters], mean_square: vec![0.0; squares], groups }
    }

    /// Groups of parameters that the optimiser treats in the same way, in the order of the flat list.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Sets the learning rate and the [`momentum`](Rule::momentum) of the next updates.
    pub fn set_rates(&mut self, [lr, momentum]: [f64; 2]) {
        self.config.lr = lr;
        self.config.rule = self.config.rule.with_momentum(momentum);
    }

    /// Updates every parameter that is not frozen, and the state of the optimiser. `gradients[i]` is the gradient for
    /// `parameters[i]`.
    ///
    /// # Panics
    /// If `parameters` or `gradients` doesn't have the length that the optimiser was made for.
    pub fn update(&mut self, parameters: &mut [f32], gradients: &[f32]) {
        assert_eq!(parameters.len(), self.mean.len(), "parameters for the optimiser's state");
        assert_eq!(gradients.len(), self.mean.len(), "gradients for the optimiser's state");
        self.step += 1;
        let isa = Isa::chosen();
        let clip = self.clip_factor(gradients);
        let Optimiser { config, step, mean, mean_square, groups } = self;
        for Group { range, decays, .. } in groups.iter().filter(|group| !group.frozen) {
            let range = range.clone();
            let decay = if *decays { config.weight_decay } else { 0.0 };
            let chunks = (parameters[range.clone()].par_chunks_mut(CHUNK), gradients[range.clone()].par_chunks(CHUNK))
                .into_par_iter()
                .zip(mean[range.clone()].par_chunks_mut(CHUNK));
            match config.rule {
                Rule::Sgd { momentum, nesterov } => {
                    let factors = Descent::of(config.lr, momentum, nesterov, decay, clip);
                    chunks.for_each(|((w, g), m)| descend(isa, &factors, w, g, m));
                }
                Rule::Adam(moments) | Rule::AdamW(moments) => {
                    let is_decoupled = matches!(config.rule, Rule::AdamW(_));
                    let factors = Factors::of(config.lr, &moments, *step, (decay, is_decoupled), clip);
                    let squares = mean_square[range].par_chunks_mut(CHUNK);
                    chunks.zip(squares).for_each(|(((w, g), m), v)| update_chunk(isa, &factors, w, g, m, v));
                }
            }
        }
    }

    /// Returns the factor that reduces the norm of the gradients to `clip_norm`, or 1 if the norm is small enough.
    fn clip_factor(&self, gradients: &[f32]) -> f32 {
        let Some(clip_norm) = self.config.clip_norm else { return 1.0 };
        let trained = self.groups.iter().filter(|group| !group.frozen);
        let squares: f64 = trained
            .map(|group| {
                // One sum for each chunk, in a fixed order: the bits don't depend on the threads.
                let sums: Vec<f64> = gradients[group.range.clone()].par_chunks(CHUNK).map(sum_of_squares).collect();
                sums.iter().sum::<f64>()
            })
            .sum();
        (clip_norm / (squares.sqrt() + CLIP_EPS)).min(1.0) as f32
    }
}

fn sum_of_squares(values: &[f32]) -> f64 {
    let (rows, rest) = values.as_chunks::<16>();
    let mut sums = [0.0f64; 16];
    for row in rows {
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value) * f64::from(value));
    }
    sums.iter_mut().zip(rest).for_each(|(sum, &value)| *sum += f64::from(value) * f64::from(value));
    sums.iter().sum()
}

/// Constants of one update with Adam or AdamW.
struct Factors {
    decay: f32,
    gain: f32,
    square_decay: f32,
    square_gain: f32,
    root_correction: f32,
    eps: f32,
    step_size: f32,
    clip: f32,
    /// Weight decay that is added to the gradient, for Adam. 0 for AdamW.
    pull: f32,
    /// Factor that reduces the weights before the update, for AdamW. 1 for Adam.
    shrink: f32,
}

/// Constants of one update with SGD.
struct Descent {
    lr: f32,
    momentum: f32,
    nesterov: bool,
    pull: f32,
    clip: f32,
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

    fn descend<V>(f: &Descent, parameters: &mut [f32], gradients: &[f32], velocity: &mut [f32]) {
        let (w, w_rest) = parameters.as_chunks_mut::<16>();
        let (g, g_rest) = gradients.as_chunks::<16>();
        let (m, m_rest) = velocity.as_chunks_mut::<16>();
        for ((w, g), m) in w.iter_mut().zip(g).zip(m) {
            let updated = f.update(V::load(w), V::load(g), V::load(m));
            updated.into_iter().zip([w, m]).for_each(|(value, to)| value.store(to));
        }
        for ((w, g), m) in w_rest.iter_mut().zip(g_rest).zip(m_rest) {
            [*w, *m] = f.update(*w, *g, *m);
        }
    }
}

impl Factors {
    fn of(lr: f64, moments: &Moments, step: u64, (decay, is_decoupled): (f64, bool), clip: f32) -> Factors {
        let Moments { beta1, beta2, eps } = *moments;
        Factors {
            decay: beta1 as f32,
            gain: (1.0 - beta1) as f32,
            square_decay: beta2 as f32,
            square_gain: (1.0 - beta2) as f32,
            root_correction: (1.0 - power(beta2, step)).sqrt() as f32,
            eps: eps as f32,
            step_size: (lr / (1.0 - power(beta1, step))) as f32,
            clip,
            pull: if is_decoupled { 0.0 } else { decay as f32 },
            shrink: if is_decoupled { (1.0 - lr * decay) as f32 } else { 1.0 },
        }
    }

    /// Returns the new values of a parameter w and of its moving averages m and v. g is the gradient of w.
    #[inline(always)]
    fn update<R: Real>(&self, w: R, g: R, m: R, v: R) -> [R; 3] {
        let c = R::splat;
        let g = pulled(g.mul(c(self.clip)), w, self.pull);
        let w = w.mul(c(self.shrink));
        let m = m.mul_add(c(self.decay), g.mul(c(self.gain)));
        let v = v.mul_add(c(self.square_decay), g.mul(g).mul(c(self.square_gain)));
        let root = v.sqrt().div(c(self.root_correction)).add(c(self.eps));
        [m.div(root).mul_add(c(-self.step_size), w), m, v]
    }
}

impl Descent {
    fn of(lr: f64, momentum: f64, nesterov: bool, decay: f64, clip: f32) -> Descent {
        Descent { lr: lr as f32, momentum: momentum as f32, nesterov, pull: decay as f32, clip }
    }

    /// Returns the new values of a parameter w and of its velocity m. g is the gradient of w.
    #[inline(always)]
    fn update<R: Real>(&self, w: R, g: R, m: R) -> [R; 2] {
        let c = R::splat;
        let g = pulled(g.mul(c(self.clip)), w, self.pull);
        let m = m.mul_add(c(self.momentum), g);
        let ahead = if self.nesterov { m.mul_add(c(self.momentum), g) } else { m };
        [ahead.mul_add(c(-self.lr), w), m]
    }
}

/// Returns the gradient `g` of the weight `w`, plus the weight decay with the factor `pull`.
#[inline(always)]
fn pulled<R: Real>(g: R, w: R, pull: f32) -> R {
    if pull == 0.0 { g } else { w.mul_add(R::splat(pull), g) }
}

/// Returns base^exponent with the same bits on every machine, unlike `f64::powi`.
pub(crate) fn power(base: f64, exponent: u64) -> f64 {
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

#[cfg(test)]
mod tests;
