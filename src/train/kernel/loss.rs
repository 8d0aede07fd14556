//! The loss: softmax cross entropy of the logits, which are the outputs of the readout.

use crate::kernel::exp::exp;

/// Returns the loss of a sample, -log softmax(logits)\[label\]. Writes the gradient of the loss with respect to the
/// logits, times `scale`, to `gradient`.
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

/// Returns the index of the largest logit, or the first index if several logits are equally large.
pub(crate) fn predicted(logits: &[f32]) -> usize {
    let mut best = 0;
    for (class, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = class;
        }
    }
    best
}

/// Returns softmax(logits) in float64, with the same bits on every machine.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&logit| libm::exp(f64::from(logit) - f64::from(largest))).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::softmax;

    #[test]
    fn the_softmax_of_large_logits_is_finite() {
        assert_eq!(softmax(&[1000.0, 1000.0, -1000.0]), [0.5, 0.5, 0.0]);
    }
}
