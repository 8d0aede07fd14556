//! The user's choice of device and engine, and the device that it resolves to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tonic_base::{Error as BaseError, human_bytes};

use crate::error::{Error, Result};
use crate::gpu::{Device, check_compiler};

/// The engine that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// The kernels of this crate.
    #[default]
    Fused,
    /// libtorch's autograd, to compare the kernels with.
    Reference,
}

/// The kind of device that a run was trained on, by which its sums are rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// A CPU. All of them round alike.
    #[default]
    Cpu,
    /// A GPU.
    Cuda,
}

impl Arithmetic {
    /// The arithmetic of a GPU, or of the CPU without one.
    pub fn of(device: Option<&Device>) -> Arithmetic {
        if device.is_some() { Arithmetic::Cuda } else { Arithmetic::Cpu }
    }
}

/// The device that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU if there is one that can be used, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU, counted from 0.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<DeviceChoice, String> {
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

/// The device that a [`DeviceChoice`] stands for on this machine.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The GPU, or none for the CPU.
    pub device: Option<Device>,
    /// A line for people: "cuda:0: NVIDIA H200, 139.8 GB free", "cpu: no NVIDIA driver is installed (...)".
    pub why: String,
}

impl DeviceChoice {
    /// Opens the GPU and finds its compiler. With [`DeviceChoice::Auto`], a missing GPU is not an error.
    ///
    /// # Errors
    /// [`BaseError::Unavailable`] if the GPU that was asked for, the driver or NVRTC is missing or too old;
    /// [`Error::Cuda`] if the driver refuses the GPU.
    pub fn resolve(self) -> Result<Resolved> {
        match self {
            DeviceChoice::Cpu => Ok(Resolved { device: None, why: "cpu".into() }),
            DeviceChoice::Cuda(ordinal) => gpu(ordinal),
            DeviceChoice::Auto => Ok(gpu(0).unwrap_or_else(|error| {
                let why = match error {
                    Error::Base(BaseError::Unavailable { why, .. }) => why,
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
