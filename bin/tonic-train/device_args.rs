//! The arguments that choose the device and the precision of its matrix products.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use tonic_base::Error as BaseError;
use tonic_ranks::Ranks;
use tonic_train::MatmulPrecision;
use tonic_train::engine::EngineChoice;
use tonic_train::gpu::set_libtorch;
use tonic_train::learner::Backend;
use tonic_train::{Error, Result};

use crate::advice::advice;

/// Options that choose the device and the precision of its matrix products.
#[derive(Args)]
pub(crate) struct DeviceArgs {
    /// Device: auto, cpu, cuda or cuda:N. With auto, the first GPU if it can be used, else the CPU (with --engine
    /// reference or several ranks, always the CPU). With several ranks and cuda, each takes a GPU of its machine. A GPU
    /// needs NVIDIA's driver and NVRTC
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Precision of matrix products on a GPU, as in PyTorch: highest (float32), high (16 bits of each number) or medium
    /// (8 bits, bfloat16). Spikes are exact at every precision; weights and gradients are rounded [default: highest, or
    /// that of the resumed run]
    #[arg(long, value_name = "P")]
    matmul_precision: Option<MatmulPrecision>,
    /// Directory of libtorch 2.11.0 or of Python's torch package. NVRTC is searched for there first, then in the usual
    /// places. With --engine reference on a GPU, libtorch's CUDA part is loaded only from there
    #[arg(long, value_name = "DIR")]
    libtorch: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum DeviceChoice {
    Auto,
    Cpu,
    /// The index of the GPU. With `None`, the first GPU, or with several ranks a GPU for each.
    Cuda(Option<usize>),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<DeviceChoice, String> {
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "cuda" => Ok(DeviceChoice::Cuda(None)),
            _ => text
                .strip_prefix("cuda:")
                .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|number| number.parse::<u16>().ok())
                .map(|number| DeviceChoice::Cuda(Some(number.into())))
                .ok_or_else(|| "expected auto, cpu, cuda or cuda:N".into()),
        }
    }
}

impl DeviceArgs {
    /// Chooses the device and the engine that compute the training steps.
    pub(crate) fn choose(&self, engine: EngineChoice) -> Result<Backend> {
        self.choose_resumed(engine, MatmulPrecision::default(), Ranks::solo())
    }

    /// Like [`choose`](Self::choose), for `ranks`. On a GPU, `precision` is used if the user gives no precision.
    pub(crate) fn choose_resumed(
        &self,
        engine: EngineChoice,
        precision: MatmulPrecision,
        ranks: Ranks,
    ) -> Result<Backend> {
        if let Some(dir) = &self.libtorch {
            set_libtorch(dir)?;
        }
        let cpu = Backend { ranks, ..Backend::cpu(engine, self.matmul_precision.unwrap_or_default()) };
        let gpu = |ordinal| Backend::gpu(ordinal, engine, self.matmul_precision.unwrap_or(precision));
        let automatic = |gpu: Backend| Backend { is_automatic: true, ..gpu };
        match (self.device, engine) {
            (DeviceChoice::Cuda(None), _) if !ranks.is_solo() => {
                Backend::gpu_of_rank(ranks, engine, self.matmul_precision.unwrap_or(precision))
            }
            (DeviceChoice::Cuda(ordinal), _) => Ok(Backend { ranks, ..gpu(ordinal.unwrap_or(0))? }),
            (DeviceChoice::Auto, _) if !ranks.is_solo() => {
                Ok(Backend { why: "cpu: several ranks train on GPUs only with --device cuda".into(), ..cpu })
            }
            // The CUDA part of libtorch is a separate download, so it is used only on request.
            (DeviceChoice::Cpu, _) | (_, EngineChoice::Reference) => Ok(cpu),
            (DeviceChoice::Auto, EngineChoice::Fused) => Ok(gpu(0).map(automatic).unwrap_or_else(|error| {
                let advice = advice(&error).map_or(String::new(), |advice| format!("; {advice}"));
                let why = match error {
                    Error::Base(BaseError::Unavailable { why, .. }) => why,
                    other => other.to_string(),
                };
                Backend { why: format!("cpu: {why}{advice}"), ..cpu }
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceChoice::{self, Auto, Cpu, Cuda};

    #[test]
    fn a_device_is_auto_cpu_or_a_numbered_gpu() {
        for (text, choice) in
            [("auto", Auto), ("cpu", Cpu), ("cuda", Cuda(None)), ("cuda:0", Cuda(Some(0))), ("cuda:12", Cuda(Some(12)))]
        {
            assert_eq!(text.parse(), Ok(choice));
        }
        for text in ["", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cuda: 1", "cuda:70000", "cuda0"] {
            let expected = Err("expected auto, cpu, cuda or cuda:N".to_string());
            assert_eq!(text.parse::<DeviceChoice>(), expected, "{text:?}");
        }
    }
}
