//! What a check finds, and how it compares numbers.

/// Result of a check: how well GPU and CPU agree (`Ok`), or how they differ (`Err`).
pub(super) type Verdict = Result<String, String>;

/// Returns the Euclidean norm of `got - expected`, divided by the Euclidean norm of `expected`.
pub(super) fn relative_difference(got: &[f32], expected: &[f32]) -> f64 {
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let apart = length(&mut got.iter().zip(expected).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    let size = length(&mut expected.iter().map(|&x| f64::from(x)));
    if apart == 0.0 {
        0.0
    } else if apart.is_finite() {
        apart / size.max(1e-30)
    } else {
        f64::INFINITY
    }
}
