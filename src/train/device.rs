//! Where training runs: the choice of `--device`, and what this machine makes of it.

use std::fmt;
use std::str::FromStr;

use super::kernel::cuda::{Device, check_compiler};
use crate::error::{Error, Result};
use crate::progress::human_bytes;

/// What `--device` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU where there is one that can be used, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU, counted from 0.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<DeviceChoice, String> {
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "cuda" => Ok(DeviceChoice::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|number| number.parse::<u16>().ok())
                .map(|number| DeviceChoice::Cuda(number.into()))
                .ok_or_else(|| "expected auto, cpu, cuda or cuda:N".into()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// What a [`DeviceChoice`] comes to on this machine.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The GPU; none is the CPU.
    pub device: Option<Device>,
    /// A line for people: "cuda:0: NVIDIA H200, 139.8 GB free", "cpu: no NVIDIA driver is installed (...)".
    pub why: String,
}

impl DeviceChoice {
    /// Opens the GPU, and finds its compiler. With [`DeviceChoice::Auto`] it is no error that there is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the GPU that was asked for is not there, or the driver or NVRTC is missing or too
    /// old; [`Error::Cuda`] where the driver refuses it.
    pub fn resolve(self) -> Result<Resolved> {
        match self {
            DeviceChoice::Cpu => Ok(Resolved { device: None, why: "cpu".into() }),
            DeviceChoice::Cuda(ordinal) => gpu(ordinal),
            DeviceChoice::Auto => Ok(gpu(0).unwrap_or_else(|error| {
                let why = match error {
                    Error::Unavailable { why, .. } => why,
                    other => other.to_string(),
                };
                Resolved { device: None, why: format!("cpu: {why}") }
            })),
        }
    }
}

fn gpu(ordinal: usize) -> Result<Resolved> {
    let device = Device::open(ordinal)?;
    check_compiler(&device)?;
    let why = format!("cuda:{ordinal}: {}, {} free", device.name(), human_bytes(device.free_memory()?));
    Ok(Resolved { device: Some(device), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_it_is_written() {
        for (text, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("cuda:0", DeviceChoice::Cuda(0)),
            ("cuda:12", DeviceChoice::Cuda(12)),
        ] {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(choice.to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for text in ["", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cuda: 1", "cuda:70000", "cuda0"] {
            let expected = Err("expected auto, cpu, cuda or cuda:N".to_string());
            assert_eq!(text.parse::<DeviceChoice>(), expected, "{text:?}");
        }
    }
}
