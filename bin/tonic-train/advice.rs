//! What to type after an error of training. The library says what is wrong, and knows no flags and no scripts.

use tonic_base::Error as BaseError;
use tonic_train::Error;

/// What to type after an error.
pub(crate) fn advice(error: &Error) -> Option<String> {
    match error {
        Error::DeviceMemory { .. } => Some("a smaller --batch-size or --hidden, or --cache host, takes less".into()),
        Error::Diverged { lr, .. } => Some(format!("go on from it with --resume and an --lr below {lr:?}")),
        Error::Base(BaseError::Unavailable { what, why }) => missing(what, why).map(String::from),
        _ => None,
    }
}

/// How to get a library that is missing.
fn missing(what: &str, why: &str) -> Option<&'static str> {
    if what.starts_with("NVRTC") && why.starts_with("no libnvrtc") {
        Some("scripts/setup --nvrtc brings it")
    } else if what.starts_with("engine reference") && why.contains("built without libtorch") {
        Some("scripts/setup --libtorch && cargo build --release --features libtorch")
    } else if what.starts_with("libtorch") && why.ends_with("no libtorch_cuda.so") {
        Some("scripts/setup --cuda brings it; --libtorch DIR names a libtorch that has it")
    } else if what.starts_with("libtorch") {
        Some("--libtorch DIR names a libtorch that has it")
    } else {
        None
    }
}
