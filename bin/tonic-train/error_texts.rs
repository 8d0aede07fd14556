//! Tests the text of every error of training: what happened, where, and what to type next.

use std::path::PathBuf;

use tonic_base::Error as Base;
use tonic_report::Error as Report;
use tonic_shard::Error as Shard;
use tonic_train::{Divergence, Error, KernelError, ModelError};

use crate::advice::advice;
use crate::cli::Cli;
use crate::errors::tests::{Case, case, check, has_every_variant};

const EVAL: [&str; 6] = ["tonic-train", "eval", "--model", "run", "--data", "set"];
const FIT: [&str; 6] = ["tonic-train", "fit", "--train", "set", "--output", "run"];

fn words(words: &str) -> String {
    words.into()
}

fn kernel() -> Vec<Case> {
    let whole = "tonic-prep verify SET";
    let case = |error: KernelError, words: &[&'static str], next| case(Error::from(error), words, next);
    vec![
        case(
            KernelError::CellOutsideInputs { sample: 3, cell: 9, inputs: 8 },
            &["sample 3 of the batch has an event in cell 9, but the network has 8 inputs"],
            whole,
        ),
        case(
            KernelError::RaggedSample { sample: 3, sizes: 1, cells: 2, counts: 4 },
            &["sample 3 of the batch is inconsistent: frames of 1 cells, 2 cells, 4 counts"],
            whole,
        ),
        case(
            KernelError::LabelOutsideReadout { sample: 3, label: 5, classes: 4 },
            &["sample 3 of the batch has label 5, but the readout has 4 classes"],
            whole,
        ),
        case(KernelError::KeysMissing { samples: 3, keys: 2 }, &["a batch of 3 samples has 2 keys"], whole),
        case(KernelError::LabelsMissing { samples: 3, labels: 2 }, &["a batch of 3 samples has 2 labels"], whole),
        case(KernelError::EmptyBatch, &["a batch has no samples"], whole),
        case(KernelError::NonFiniteLoss { loss: f64::NAN }, &["the loss is NaN"], "--lr"),
        case(KernelError::HugeLoss { loss: 1e9 }, &["the loss is 1.0000e9"], "--lr"),
        case(KernelError::NonFinitePotential { layer: 2 }, &["of hidden layer 2 are NaN or infinite"], "--lr"),
        case(
            KernelError::NonFiniteGradient { layer: 2, layers: 3 },
            &["the gradient of layer 2 of 3 is NaN or infinite"],
            "--lr",
        ),
    ]
}

fn model() -> Vec<Case> {
    let named = |source: ModelError, words: &[&'static str]| {
        let words = [&["run/model.safetensors: "], words].concat();
        case(Error::Model { path: PathBuf::from("run/model.safetensors"), source }, &words, "name the run folder")
    };
    let name = || words("layers.0.weight");
    let not_json = serde_json::from_str::<u8>("x").unwrap_err();
    vec![
        named(ModelError::Format(safetensors::SafeTensorError::HeaderTooSmall), &["not a whole safetensors file"]),
        named(ModelError::NoDescription, &["no \"tonic_toolkit\""]),
        named(ModelError::Description(not_json), &["cannot be read", "line 1"]),
        named(
            ModelError::Constant { name: "theta", expected: "a positive number", value: -1.0 },
            &["theta is -1, expected a positive number"],
        ),
        named(ModelError::NoClasses, &["no class names"]),
        named(ModelError::NegativeVariance { name: name() }, &["layers.0.weight has a negative variance"]),
        named(ModelError::Missing { name: name() }, &["layers.0.weight is missing"]),
        named(ModelError::Unexpected { name: name() }, &["layers.0.weight belongs to no layer"]),
        named(ModelError::Type { name: name(), got: safetensors::Dtype::F64 }, &["has type F64, expected F32"]),
        named(
            ModelError::Shape { name: name(), expected: words("[2, 3]"), got: vec![3, 2] },
            &["has shape [3, 2], expected [2, 3]"],
        ),
        named(ModelError::NonFinite { name: name() }, &["has a NaN or infinite value"]),
        named(ModelError::ClassNames { expected: 3, got: 2 }, &["2 class names for a readout of 3 classes"]),
    ]
}

fn differs(field: &str) -> Error {
    let (path, other) = ("a set".into(), "run/config.toml".into());
    Error::Shard(Shard::Mismatch { path, other, field: field.into(), expected: words("1"), got: words("2") })
}

fn training() -> Vec<Case> {
    let corrupt = Base::Corrupt { path: "run/x".into(), place: words("it"), expected: words("1"), got: words("2") };
    let diverged = |cause, next| {
        let error = Error::Diverged {
            what: words("the loss is NaN"),
            epoch: 2,
            batch: 3,
            saved: words("epoch 1 is kept"),
            cause,
        };
        case(error, &["the loss is NaN at epoch 2, batch 3: epoch 1 is kept"], next)
    };
    let unlabelled = |labels, samples, next| {
        let path = "a set".into();
        case(Error::Unlabelled { path, labels, samples }, &["a set: expected samples, each with a label, got "], next)
    };
    let no_run = Base::Io {
        path: "run/config.toml".into(),
        action: "read the run's configuration",
        source: std::io::ErrorKind::NotFound.into(),
    };
    let no_best = Base::Io {
        path: "run/best.safetensors".into(),
        action: "read the model",
        source: std::io::ErrorKind::NotFound.into(),
    };
    let mut cases = vec![
        case(Error::Base(no_best), &["run/best.safetensors: cannot read the model"], "leave --best out"),
        case(Error::Base(no_run), &["run/config.toml: cannot read the run's configuration"], "name the run folder"),
        case(Error::Base(corrupt), &["run/x: corrupt: it: expected 1, got 2"], "from a copy"),
        case(differs("set_id"), &["a set: set_id differs from run/config.toml: expected 1, got 2"], "another --output"),
        case(
            Error::Report(Report::Plot { what: words("a page"), reason: words("why") }),
            &["cannot draw a page: why"],
            "report",
        ),
        case(
            Error::Cuda { doing: words("load it"), what: words("CUDA_ERROR") },
            &["cannot load it: CUDA_ERROR"],
            "--device cpu",
        ),
        case(
            Error::DeviceMemory { what: words("GPU 0"), needed: words("9 GB"), free: words("1 GB") },
            &["GPU 0: expected 9 GB of free memory, got 1 GB"],
            "--batch-size",
        ),
        diverged(Divergence::LearningRate { lr: 0.5, of_batch: 0.5 }, "with --resume and an --lr below 0.5"),
        diverged(
            Divergence::LearningRate { lr: 0.5, of_batch: 0.125 },
            "an --lr below 0.5, of which the schedule makes 1.2500e-1 at this batch",
        ),
        diverged(
            Divergence::InitialWeights { loss: 1e9, gain: Some(10.0), theta: Some(1.0) },
            "give 1.0000e9 already: start again with --overwrite and a --gain below 10.0 or a --theta above 1.0",
        ),
        diverged(Divergence::InitialWeights { loss: 1e9, gain: None, theta: None }, "readout = \"leaky\""),
        diverged(Divergence::Unstable { layer: 2 }, "a = [0.0, 1.0] in the neurons of hidden layer 2"),
        unlabelled(0, 9, "with --labels TABLE.csv"),
        unlabelled(8, 9, "tonic-prep subset NEW 'a set' --classes"),
        unlabelled(0, 0, "name a set that has samples"),
    ];
    cases.extend(kernel());
    cases.extend(model());
    cases
}

#[test]
fn every_error_says_what_to_type_next() {
    let source = include_str!("../../src/train/error.rs");
    let cases = training();
    has_every_variant(source, "Error", &cases);
    has_every_variant(source, "KernelError", &kernel());
    has_every_variant(source, "ModelError", &model());
    has_every_variant(source, "Divergence", &cases);
    check::<Cli>(&FIT, |cause| advice(cause.downcast_ref()?), &cases);
    let evaluated = [
        case(
            differs("classes"),
            &["a set: classes differs"],
            "run/config.toml has no class 2: if it is another spelling, rename it",
        ),
        case(
            differs("recipe"),
            &["a set: recipe differs"],
            "'a set' again with --recipe-of and the set of the training",
        ),
    ];
    check::<Cli>(&EVAL, |cause| advice(cause.downcast_ref()?), &evaluated);
}
