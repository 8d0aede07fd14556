//! The loss: softmax cross entropy of the logits, which are the output of the readout summed over time.

use crate::kernel::exp::exp;

/// Returns the loss of a sample, -log softmax(logits)\[label\]. Writes the gradient of the loss by the logits,
/// multiplied by `scale`, to `gradient`: scale * (softmax(logits) - onehot(label)). If the loss of the batch is the
/// mean, `scale` is 1 / batch size.
///
/// The largest logit is subtracted from all logits first, for numerical stability. If a logit is NaN or positive
/// infinity, the loss is NaN. If the logit of the label is negative infinity and all other logits are finite, the loss
/// is infinite.
///
/// # Panics
/// If `label` is not a class.
pub(crate) fn cross_entropy(logits: &[f32], label: usize, scale: f32, gradient: &mut [f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (gradient, logit) in gradient.iter_mut().zip(logits) {
        *gradient = exp(logit - largest);
        sum += *gradient;
    }
    for gradient in gradient.iter_mut() {
        *gradient = *gradient / sum * scale;
    }
    gradient[label] -= scale;
    f64::from(sum).ln() + f64::from(largest) - f64::from(logits[label])
}

/// Returns the predicted class, which is the index of the largest logit. If several logits are equally large, returns
/// the first of their indices.
pub(crate) fn predicted(logits: &[f32]) -> usize {
    let mut best = 0;
    for (class, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = class;
        }
    }
    best
}
