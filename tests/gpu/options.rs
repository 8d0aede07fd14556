//! Tests of the GPU's options: they are applied, printed, stored in the run's configuration, or refused.

use tonic_toolkit::train::MatmulPrecision;
use tonic_toolkit::train::engine::Arithmetic;
use tonic_toolkit::train::network::read_model;
use tonic_toolkit::train::run::Config;

use crate::runs::{assert_same, epochs};
use crate::sets::{self, assert_says, fails, succeeds};
use crate::trainer::{fit, fitted, on_gpu};

#[test]
fn a_run_says_where_it_is_trained_and_keeps_it() {
    let dir = sets::task();
    let stderr = succeeds(&mut fit(dir.path(), "run", "--epochs 1"));
    assert_says(&stderr, &["device   cuda:0: ", " free", "cache    train  device: its ", "network  12-24-16-3, "]);
    let config = Config::read(&dir.path().join("run")).unwrap();
    assert_eq!((config.device, config.matmul_precision), (Arithmetic::Cuda, MatmulPrecision::Highest));
    // `auto` and `cuda` choose the GPU; `cpu` chooses the CPU.
    for (device, words, arithmetic) in [
        ("auto", "device   cuda:0: ", Arithmetic::Cuda),
        ("cuda", "device   cuda:0: ", Arithmetic::Cuda),
        ("cpu", "device   cpu", Arithmetic::Cpu),
    ] {
        let others = format!("--device {device} --epochs 1 --overwrite");
        assert_says(&succeeds(&mut on_gpu(sets::fit(dir.path(), "run", &others))), &[words]);
        assert_eq!(Config::read(&dir.path().join("run")).unwrap().device, arithmetic);
    }
}

#[test]
fn products_of_lower_precision_train_to_a_similar_loss() {
    let dir = sets::task();
    let loss = |run: &str, others: &str| {
        let run = fitted(dir.path(), run, &format!("--epochs 3 {others}"));
        (epochs(&run)[2].train.loss, Config::read(&run).unwrap().matmul_precision)
    };
    let (highest, _) = loss("highest", "--deterministic");
    assert_same(&dir.path().join("highest"), &fitted(dir.path(), "plain", "--epochs 3"));
    for (name, precision) in [("high", MatmulPrecision::High), ("medium", MatmulPrecision::Medium)] {
        let (loss, kept) = loss(name, &format!("--matmul-precision {name}"));
        assert_eq!(kept, precision);
        assert!((loss - highest).abs() < 0.15 * highest, "{name}: {loss}, {highest}");
        let again = format!("--matmul-precision {name} --epochs 3 --cache stream");
        assert_same(&dir.path().join(name), &fitted(dir.path(), "again", &format!("{again} --overwrite")));
    }
}

#[test]
fn what_cannot_be_had_is_said_in_a_line() {
    let dir = sets::task();
    let (reference, remedy) = match cfg!(feature = "libtorch") {
        true => ("libtorch's CUDA part is not available", "scripts/setup --cuda"),
        false => ("--engine reference is not available", "scripts/setup --libtorch"),
    };
    let cases = [
        ("--deterministic --engine reference", 2, vec!["--deterministic is not available", "--device cpu"]),
        ("--engine reference", 2, vec![reference, remedy]),
        ("--engine reference --cache device", 2, vec![reference]),
        ("--libtorch /nowhere", 2, vec!["--libtorch: expected a folder with lib/libtorch_cpu.so, got /nowhere"]),
        ("--matmul-precision low", 2, vec!["--matmul-precision", "expected highest, high or medium"]),
    ];
    for (others, code, words) in cases {
        if crate::is_real() && words[0].contains("CUDA part") {
            continue; // libtorch's CUDA part may be installed on this machine
        }
        let stderr = fails(&mut fit(dir.path(), "run", others), code, &words);
        let lines = stderr.lines().filter(|line| line.starts_with("tonic-train: error: ")).count();
        assert!(lines == 1 || words[0].starts_with("--matmul"), "{stderr}");
        assert!(!dir.path().join("run").exists(), "{others}");
    }
    let device = |device: &str| on_gpu(sets::fit(dir.path(), "run", &format!("--device {device}")));
    fails(&mut device("cuda:9"), 2, &["--device cuda:9 is not available", "this machine has "]);
    let lower = "--device cpu --matmul-precision high";
    fails(&mut on_gpu(sets::fit(dir.path(), "run", lower)), 2, &["--matmul-precision is not available"]);
    let cpu = "--device cpu --cache device";
    fails(&mut on_gpu(sets::fit(dir.path(), "run", cpu)), 2, &["--cache device is not available", "on a GPU"]);
    assert!(!dir.path().join("run").exists());
}

/// The weights after training on the GPU are those of the CPU, up to rounding.
#[test]
fn every_optimiser_trains_as_on_the_cpu() {
    let dir = sets::task();
    for (name, others) in [
        ("adam", "--weight-decay 0.1 --schedule cosine"),
        ("adamw", "--optimiser adamw --weight-decay 0.1 --warmup-epochs 1"),
        ("sgd", "--optimiser sgd --momentum 0.9 --weight-decay 0.01 --schedule one-cycle"),
        ("nesterov", "--optimiser sgd --momentum 0.5 --nesterov --schedule step --step-epochs 1"),
        ("clipped", "--clip-norm 0.05 --freeze 2 --optimiser sgd --lr 0.5"),
        ("smoothed", "--label-smoothing 0.1 --spike-rate 0.05,0.1 --spike-rate-weight 10"),
    ] {
        let line = format!("--epochs 2 --batch-size 30 {others}");
        let gpu = fitted(dir.path(), name, &line);
        let on_cpu = format!("{name}-cpu");
        succeeds(&mut sets::fit(dir.path(), &on_cpu, &format!("{line} --quiet")));
        let network = |run: &std::path::Path| read_model(&run.join("model.safetensors")).unwrap().network;
        let (gpu_network, cpu_network) = (network(&gpu), network(&dir.path().join(&on_cpu)));
        let pairs = || gpu_network.parameters.flat().iter().zip(cpu_network.parameters.flat());
        let apart = pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let largest = pairs().map(|(_, b)| b.abs()).fold(0.0, f32::max);
        assert!(apart < 1e-3 * largest, "{name}: {apart} of {largest}");
        let rates = |run: &std::path::Path| epochs(run).iter().map(|epoch| epoch.lr).collect::<Vec<_>>();
        assert_eq!(rates(&gpu), rates(&dir.path().join(&on_cpu)), "{name}");
        let penalties = |run: &std::path::Path| epochs(run).into_iter().map(|epoch| epoch.penalty).collect::<Vec<_>>();
        for (gpu, cpu) in penalties(&gpu).into_iter().zip(penalties(&dir.path().join(&on_cpu))) {
            assert_eq!([gpu.is_some(), cpu.is_some()], [name == "smoothed"; 2]);
            assert!((gpu.unwrap_or(1.0) / cpu.unwrap_or(1.0) - 1.0).abs() < 0.01, "{name}: {gpu:?} {cpu:?}");
        }
        // A resume takes the optimiser's state from the checkpoint.
        let half = format!("{name}-half");
        if !["sgd", "adam", "clipped"].contains(&name) {
            fitted(dir.path(), &half, &line.replace("--epochs 2", "--epochs 1"));
            fitted(dir.path(), &half, "--epochs 2 --batch-size 30 --resume");
            assert_same(&gpu, &dir.path().join(&half));
        }
    }
    // Frozen parameters keep their bits: only the others depend on the learning rate.
    let [slow, fast] = ["0.001", "0.01"].map(|lr| {
        let run = fitted(dir.path(), lr, &format!("--epochs 1 --batch-size 30 --freeze 0,2.bias,4.weight --lr {lr}"));
        read_model(&run.join("model.safetensors")).unwrap().network.parameters
    });
    for tensor in slow.architecture().tensors() {
        let [slow, fast] = [&slow, &fast].map(|of| &of.flat()[tensor.range.clone()]);
        let is_frozen = ["0.weight", "0.bias", "2.bias", "4.weight"].contains(&tensor.name.as_str());
        assert_eq!(slow == fast, is_frozen, "{}", tensor.name);
    }
}
