//! The hardware and the version of a process: device, processor, threads.

use serde::{Deserialize, Serialize};

use crate::kernel::isa::Isa;
use crate::learner::Backend;

/// The hardware that a process computes on, and the version of the program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The device and why it was chosen, as `fit` prints it.
    pub(crate) device: String,
    /// Name of the processor, and the instruction set of the kernels.
    pub(crate) processor: String,
    /// Number of worker threads.
    pub(crate) threads: usize,
    /// Version of this crate.
    pub(crate) version: String,
}

impl Machine {
    /// Describes the machine of this process.
    pub(crate) fn of(backend: &Backend) -> Machine {
        let name = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| model_name(&text));
        let name = name.unwrap_or_else(|| std::env::consts::ARCH.into());
        Machine {
            device: backend.why.clone(),
            processor: format!("{name}, {}", Isa::chosen().name()),
            threads: rayon::current_num_threads(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

/// Returns the name of the first processor in the text of `/proc/cpuinfo`.
fn model_name(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::model_name;

    #[test]
    fn the_name_of_the_processor_has_single_spaces() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC  7551 32-Core Processor\nmodel name\t: other\n";
        assert_eq!(model_name(text).as_deref(), Some("AMD EPYC 7551 32-Core Processor"));
        assert_eq!(model_name("Hardware: x"), None);
    }
}
