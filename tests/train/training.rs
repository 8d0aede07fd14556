//! Tests of how a run trains: optimisers, schedules of the learning rate, selection of an epoch, augmentation.

use std::path::Path;
use std::time::Duration;

use safetensors::SafeTensors;
use serde_json::Value;
use tonic_toolkit::train::learner::{Curve, Select, Selected};
use tonic_toolkit::train::run::Config;

use crate::resume::start;
use crate::runs::{assert_same, bytes, epochs, interrupted};
use crate::sets::{self, Spec, assert_says, eval, fails, fit, json, succeeds};

const AUGMENTATION: &str = "[[transform]]\nname = 'DropEvent'\np = [0.0, 0.2]\n[[transform]]\nname = 'TimeJitter'\n\
                            std = 1.0\n[[transform]]\nname = 'ChannelShift'\nmax = 1\n";

/// Returns the bytes of the tensor `name` in the model of a run.
fn tensor(run: &Path, name: &str) -> Vec<u8> {
    let model = bytes(run, "model.safetensors");
    SafeTensors::deserialize(&model).unwrap().tensor(name).unwrap().data().to_vec()
}

#[test]
fn a_stopped_run_resumes_to_the_same_bits_however_it_trains() {
    let dir = tempfile::tempdir().unwrap();
    Spec::new(3000, 64).write(&dir.path().join("train"), sets::learnable(1));
    Spec::new(60, 8).write(&dir.path().join("valid"), sets::learnable(2));
    std::fs::write(dir.path().join("augment.toml"), AUGMENTATION).unwrap();
    let augment = format!("--augment {}", dir.path().join("augment.toml").display());
    let cases = [
        ("sgd", "--optimiser sgd --momentum 0.9 --nesterov --clip-norm 1 --schedule one-cycle", augment.as_str()),
        ("adamw", "--optimiser adamw --schedule plateau --lr-patience 0 --warmup-epochs 1 --select valid-loss", ""),
    ];
    for (name, training, augment) in cases {
        let (whole, stopped) = (dir.path().join(name), dir.path().join(format!("{name}-stopped")));
        let arguments = format!(
            "--valid DIR/valid --epochs 4 --batch-size 2 --hidden 128,128 --lr 0.005 --quiet {training} {augment}"
        );
        succeeds(&mut fit(dir.path(), name, &format!("{arguments} --threads 2")));
        let folder = format!("{name}-stopped");
        let begin = |resume| {
            let how = if resume { "--resume --threads 1 --cache stream" } else { "--threads 3" };
            start(dir.path(), &folder, &format!("{arguments} {how}"))
        };
        interrupted(begin, &stopped, Duration::from_millis(20));
        // A resumed run keeps its options of training.
        let resumed = "--valid DIR/valid --epochs 4 --batch-size 2 --hidden 128,128 --lr 0.005 --quiet --resume";
        succeeds(&mut fit(dir.path(), &folder, resumed));
        assert_same(&whole, &stopped);
        assert_eq!(bytes(&whole, "best.safetensors"), bytes(&stopped, "best.safetensors"));
        assert_eq!(bytes(&whole, "config.toml"), bytes(&stopped, "config.toml"));
    }
}

#[test]
fn schedules_end_at_the_learning_rates_that_the_metrics_tell() {
    let dir = sets::task();
    let rates = |name: &str, others: &str| -> Vec<f64> {
        succeeds(&mut fit(dir.path(), name, &format!("--quiet --lr 0.01 {others}")));
        epochs(&dir.path().join(name)).iter().map(|epoch| epoch.lr.unwrap()).collect()
    };
    assert_eq!(rates("constant", "--epochs 2"), [0.01; 2]);
    let step = rates("step", "--epochs 4 --schedule step --step-epochs 2 --lr-factor 0.5");
    assert_eq!(step, [0.01, 0.01, 0.005, 0.005]);
    let cosine = rates("cosine", "--epochs 3 --schedule cosine --min-lr 0.001");
    assert!(cosine[0] > 0.0075 && cosine[2] < 0.0012 && cosine[2] > 0.001, "{cosine:?}");
    // A resume with more epochs keeps the curve of the learning rate, and then stays at the curve's last value.
    let stderr = succeeds(&mut fit(dir.path(), "cosine", "--lr 0.01 --epochs 4 --resume"));
    assert_says(&stderr, &["lr       its schedule ends with epoch 3, and its last value stays"]);
    assert_eq!(epochs(&dir.path().join("cosine"))[3].lr, Some(0.001));
    let warm = rates("warm", "--epochs 3 --warmup-epochs 2 --warmup-start 0.1");
    assert!(warm[0] < 0.0055 && warm[1] > 0.009 && warm[2] == 0.01, "{warm:?}");
    // With this threshold, the validation score never gets better. So the rate is cut after each epoch but the first.
    let plateau = rates("plateau", "--epochs 4 --schedule plateau --lr-patience 0 --valid DIR/valid --theta 1000");
    assert!(plateau.windows(2).skip(1).all(|pair| (pair[1] - pair[0] / 10.0).abs() < 1e-12), "{plateau:?}");
}

#[test]
fn the_selected_epoch_is_kept_and_tested_and_training_stops_early() {
    let dir = sets::task();
    let run = dir.path().join("run");
    let arguments = "--valid DIR/valid --test DIR/valid --lr 0.1";
    let stderr =
        succeeds(&mut fit(dir.path(), "run", &format!("{arguments} --select valid-loss --patience 2 --epochs 60")));
    let epochs_done = epochs(&run);
    let losses: Vec<f64> = epochs_done.iter().map(|epoch| epoch.valid.unwrap().loss).collect();
    let best = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap();
    assert_eq!(losses.len(), best + 3, "{losses:?}");
    let epoch = best + 1;
    assert_says(&stderr, &[&format!("stop     after epoch {}: 2 epochs without a better valid-loss", epoch + 2)]);
    assert_says(&stderr, &[&format!("select   epoch {epoch}, the first with the best valid-loss")]);
    let test: Value = serde_json::from_slice(&bytes(&run, "test.json")).unwrap();
    assert_eq!((&test["selected"]["epoch"], &test["selected"]["by"]), (&epoch.into(), &"valid-loss".into()));
    assert_eq!(test["loss"].as_f64().unwrap(), losses[best]);
    let evaluated = json(eval(dir.path(), "run", "valid").arg("--best"));
    assert_eq!(evaluated["loss"], test["loss"]);
    // The checkpoint is that of the last epoch, and a resume with more patience continues from it.
    succeeds(&mut fit(dir.path(), "run", &format!("{arguments} --resume --quiet")));
    assert_eq!(epochs(&run).len(), epochs_done.len());
    let more = format!("--epochs {} --patience 50", epochs_done.len() + 1);
    succeeds(&mut fit(dir.path(), "run", &format!("{arguments} --resume --quiet {more}")));
    let whole = format!("{arguments} --select valid-loss --quiet --epochs {}", epochs_done.len() + 1);
    succeeds(&mut fit(dir.path(), "whole", &whole));
    assert_same(&dir.path().join("whole"), &run);
    let compared = {
        let output = sets::train().arg("compare").arg(&run).arg("--json").output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert_eq!(compared["runs"][0]["state"], "finished");
    let config = Config::read(&run).unwrap();
    let selected = config.training.best(&epochs(&run)).unwrap();
    assert_eq!(compared["runs"][0]["best"]["epoch"], selected.epoch);
    assert_eq!(selected.by, Select::ValidLoss);
    assert!(matches!(selected, Selected { epoch, .. } if epoch > 0));
}

#[test]
fn frozen_parts_keep_their_initial_values() {
    let dir = sets::task();
    let run = |name: &str, others: &str| {
        succeeds(&mut fit(dir.path(), name, &format!("--quiet {others}")));
        dir.path().join(name)
    };
    let [short, long] = [("short", 1), ("long", 3)]
        .map(|(name, n)| run(name, &format!("--epochs {n} --freeze 0,2.bias --optimiser adamw --weight-decay 0.5")));
    for name in ["0.weight", "0.bias", "2.bias"] {
        assert_eq!(tensor(&short, name), tensor(&long, name), "{name}");
    }
    for name in ["2.weight", "4.weight", "4.bias"] {
        assert_ne!(tensor(&short, name), tensor(&long, name), "{name}");
    }
    let expected = ["--freeze: expected parts of the network (0.weight, 0.bias, 2.weight", "got 6"];
    fails(&mut fit(dir.path(), "none", "--freeze 6"), 2, &expected);
    fails(&mut fit(dir.path(), "none", "--freeze 0,2,4"), 2, &["--freeze: expected a part that is trained"]);
}

#[test]
fn augmentation_changes_training_alone_and_is_saved() {
    let dir = sets::task();
    std::fs::write(dir.path().join("augment.toml"), AUGMENTATION).unwrap();
    let file = dir.path().join("augment.toml").display().to_string();
    let run = |name: &str, others: &str| {
        succeeds(&mut fit(dir.path(), name, &format!("--quiet --epochs 2 --valid DIR/valid {others}")));
        dir.path().join(name)
    };
    let plain = run("plain", "");
    let first = run("first", &format!("--augment {file} --threads 1"));
    assert_same(&first, &run("again", &format!("--augment {file} --threads 4 --cache stream")));
    let scores = |run: &Path| epochs(run).iter().map(|epoch| epoch.train).collect::<Vec<_>>();
    assert_ne!(scores(&plain), scores(&first));
    let text = String::from_utf8(bytes(&first, "config.toml")).unwrap();
    assert_says(&text, &["[[training.augment]]", "name = \"DropEvent\"", "std = 1.0", "max = 1"]);
    assert_eq!(bytes(&plain, "config.toml").windows(8).filter(|part| part == b"training").count(), 0);
    // Spikes are counted on samples without augmentation. So with a learning rate of almost 0, they are equal.
    let still = |name: &str, others: &str| epochs(&run(name, &format!("--lr 1e-30 {others}")));
    let (stored, augmented) = (still("still", ""), still("moved", &format!("--augment {file}")));
    assert_eq!((&stored[1].activity, stored[1].valid), (&augmented[1].activity, augmented[1].valid));
    std::fs::write(dir.path().join("bad.toml"), "[[transform]]\nname = 'RandomFlipUD'\n").unwrap();
    let bad = dir.path().join("bad.toml").display().to_string();
    let words = ["augment: transform 1: expected frames of more than one row, got 1"];
    fails(&mut fit(dir.path(), "none", &format!("--augment {bad}")), 2, &words);
    let resumed = format!("--resume --valid DIR/valid --epochs 3 --augment {bad}");
    fails(&mut fit(dir.path(), "first", &resumed), 4, &["augment differs", "DropEvent", "RandomFlipUD"]);
    std::fs::write(dir.path().join("bad.toml"), "[[transform]]\nname = 'DropEvents'\n").unwrap();
    fails(&mut fit(dir.path(), "none", &format!("--augment {bad}")), 2, &["bad.toml: transform 1", "DropEventByTime"]);
}

#[test]
fn options_without_effect_and_contradictions_are_refused() {
    let dir = sets::task();
    let run = |others: &str| fit(dir.path(), "run", others);
    for (others, words) in [
        ("--momentum 0.9", ["--momentum: expected --optimiser sgd", "without effect"]),
        ("--optimiser sgd --nesterov", ["--nesterov: expected --optimiser sgd with a --momentum", "without effect"]),
        ("--optimiser adamax", ["--optimiser", "adamw"]),
        ("--schedule step", ["--step-epochs: expected the number of epochs of a step", "got none"]),
        ("--lr-factor 0.5", ["--lr-factor: expected --schedule step or plateau", "without effect"]),
        ("--schedule one-cycle --warmup-epochs 1", ["--warmup-epochs: expected another schedule", "without effect"]),
        ("--warmup-start 0.5", ["--warmup-start: expected --warmup-epochs above 0", "without effect"]),
        ("--schedule cosine --warmup-epochs 20", ["--warmup-epochs: expected fewer than the 2 epochs", "got 20"]),
        ("--schedule plateau", ["expected a validation set (--valid DIR)", "got none"]),
        ("--select valid-loss", ["--select: expected a validation set (--valid DIR)", "got none"]),
        ("--select test-loss", ["--select", "valid-accuracy"]),
        ("--patience 3", ["--patience: expected a validation set (--valid DIR)", "got none"]),
        ("--clip-norm 0", ["--clip-norm", "expected a positive number"]),
        ("--min-v-mem nan", ["--min-v-mem", "expected a number"]),
        ("--min-v-mem 0.5 --theta 0.5", ["--min-v-mem: expected a number below the threshold", "got 0.5"]),
    ] {
        fails(&mut run(others), 2, &words);
        assert!(!dir.path().join("run").exists(), "{others}");
    }
    let begin = "--epochs 1 --optimiser sgd --momentum 0.5 --schedule step --step-epochs 1 --quiet --valid DIR/valid";
    succeeds(&mut run(begin));
    for (others, words) in [
        ("--optimiser adamw", ["optimiser differs", "expected sgd, got adamw"]),
        ("--momentum 0.9", ["momentum differs", "expected 0.5, got 0.9"]),
        ("--clip-norm 1", ["clip_norm differs", "expected none, got 1.0"]),
        ("--schedule cosine", ["schedule differs", "expected step, got cosine"]),
        ("--select valid-loss", ["select differs", "expected none, got valid-loss"]),
        ("--freeze 0", ["freeze differs", "expected none, got 0"]),
    ] {
        let line = format!("--epochs 2 --resume --valid DIR/valid {others}");
        let stderr = fails(&mut run(&line), 4, &words);
        assert_says(&stderr, &["leave --", "another --output"]);
    }
    succeeds(&mut run("--epochs 2 --resume --valid DIR/valid --optimizer sgd --momentum 0.5 --quiet"));
}

#[test]
fn texts_about_learning_rates_know_the_schedule() {
    let dir = sets::task();
    let run = |others: &str| fit(dir.path(), "run", others);
    let step = "--schedule step --step-epochs 1 --lr-factor 0.5";
    succeeds(&mut run(&format!("{step} --epochs 2 --quiet")));
    let said = succeeds(&mut run("--resume --epochs 3 --lr 0.004"));
    assert_says(&said, &["lr       1.0000e-3 from here on, 2.5000e-4 before: the schedule changes 0.004"]);
    assert_eq!(epochs(&dir.path().join("run"))[2].lr, Some(0.001));
    let cosine = "--schedule cosine --lr 1e30 --overwrite --epochs 2";
    fails(&mut run(cosine), 5, &["epoch 1, batch 2", "an --lr below 1e30, of which the schedule makes 9."]);
    let said = succeeds(&mut run("--optimiser sgd --momentum 0.9 --schedule one-cycle --lr 0.01 --overwrite"));
    assert_says(&said, &["one-cycle schedule moves it between 0.85 and 0.95, instead of 0.9"]);
    let momentum = |run: &str| epochs(&dir.path().join(run)).last().unwrap().momentum;
    assert!((momentum("run").unwrap() - 0.95).abs() < 1e-12);
    succeeds(&mut fit(dir.path(), "adam", "--epochs 1 --quiet"));
    assert_eq!(momentum("adam"), Some(0.9));
}

#[test]
fn a_run_begins_with_the_parameters_of_a_file() {
    let dir = sets::task();
    let fit = |name: &str, others: &str| fit(dir.path(), name, others);
    succeeds(&mut fit("first", "--epochs 1 --quiet"));
    let file = dir.path().join("first/model.safetensors");
    let init = format!("--init {}", file.display());
    // With everything frozen but the last bias, the other parts stay those of the file.
    let stderr = succeeds(&mut fit("second", &format!("{init} --epochs 1 --seed 5 --freeze 0,2,4.weight")));
    assert_says(&stderr, &["init     all parameters are from ", "first/model.safetensors"]);
    for name in ["0.weight", "0.bias", "2.weight", "4.weight"] {
        assert_eq!(tensor(&dir.path().join("first"), name), tensor(&dir.path().join("second"), name), "{name}");
    }
    assert_ne!(tensor(&dir.path().join("first"), "4.bias"), tensor(&dir.path().join("second"), "4.bias"));
    fails(&mut fit("third", &format!("{init} --gain 2")), 2, &["--gain: expected random weights in a hidden layer"]);
    // A resumed run has its parameters in the checkpoint.
    succeeds(&mut fit("second", "--epochs 2 --seed 5 --resume --quiet"));
    succeeds(&mut fit("whole", &format!("{init} --epochs 2 --seed 5 --freeze 0,2,4.weight --quiet")));
    assert_same(&dir.path().join("whole"), &dir.path().join("second"));
    fails(&mut fit("first", &format!("--epochs 2 --resume {init}")), 4, &["init differs", "expected none"]);
    // Without a checkpoint, the file is needed again.
    std::fs::remove_file(dir.path().join("second/checkpoint.safetensors")).unwrap();
    std::fs::remove_file(dir.path().join("second/metrics.jsonl")).unwrap();
    std::fs::remove_file(dir.path().join("second/sums.json")).unwrap();
    fails(&mut fit("second", "--epochs 2 --resume"), 2, &["--init: expected the file with the BLAKE3 sum", "got none"]);
    let other = format!("{init} --hidden 24,8 --epochs 1");
    let words =
        ["--init: expected a safetensors file with parts of the network (0.weight", "2.weight has shape [16, 24]"];
    fails(&mut fit("other", &other), 2, &words);
    fails(&mut fit("other", &format!("{init} --hidden 24,16,16 --epochs 1")), 2, &["--init", "shape"]);
    // Parts that the file doesn't have are random.
    let model = std::fs::read(&file).unwrap();
    let tensors = SafeTensors::deserialize(&model).unwrap();
    let part = tensors.iter().filter(|(name, _)| name.starts_with('0'));
    std::fs::write(dir.path().join("part.safetensors"), safetensors::serialize(part, None).unwrap()).unwrap();
    let part = format!("--init {} --epochs 1", dir.path().join("part.safetensors").display());
    let stderr = succeeds(&mut fit("part", &part));
    assert_says(&stderr, &["except 2.weight, 2.bias, 4.weight, 4.bias, which are random"]);
}

#[test]
fn smoothed_targets_and_spike_rates_change_the_loss_of_training_alone() {
    let dir = sets::task();
    let run = |name: &str, others: &str| {
        succeeds(&mut fit(dir.path(), name, &format!("--quiet --epochs 6 --valid DIR/valid {others}")));
        epochs(&dir.path().join(name))
    };
    let plain = run("plain", "--lr 1e-30");
    let smoothed = run("smoothed", "--lr 1e-30 --label-smoothing 0.2");
    assert!(smoothed[0].train.loss != plain[0].train.loss && smoothed[0].valid == plain[0].valid);
    let wanted = "--spike-rate 0.2,0.3 --spike-rate-weight 30";
    let [free, held] = [("free", ""), ("held", wanted)].map(|(name, others)| run(name, others));
    let apart = |epochs: &[tonic_toolkit::train::run::EpochMetrics]| -> f64 {
        let layers = epochs.last().unwrap().activity.as_ref().unwrap();
        layers.iter().map(|layer| (layer.spikes - 0.25).abs()).sum()
    };
    assert!(apart(&held) < apart(&free), "{} {}", apart(&held), apart(&free));
    let (loss, penalty) = (held[5].train.loss, held[5].penalty.unwrap());
    assert!(free[5].penalty.is_none() && penalty > 0.0 && penalty < loss, "{loss} {penalty}");
    let text = String::from_utf8(bytes(&dir.path().join("held"), "config.toml")).unwrap();
    assert_says(&text, &["[training.spike_rate]", "bounds = [0.2, 0.3]", "weight = 30.0"]);
    fails(&mut fit(dir.path(), "none", "--spike-rate 0.3,0.2"), 2, &["--spike-rate", "MIN,MAX"]);
    fails(&mut fit(dir.path(), "none", "--label-smoothing 1"), 2, &["--label-smoothing", "from 0 to below 1"]);
    succeeds(&mut fit(dir.path(), "layers", "--preset lif --hidden 8,8,8 --spike-rate 0.1,0.2 --quiet"));
    assert!(!dir.path().join("none").exists());
}

#[test]
fn another_schedule_than_that_of_a_file_leaves_out_what_belongs_to_it() {
    let dir = sets::task();
    let run = |name: &str, others: &str| {
        let arguments = format!("--preset silif-shd --hidden 8,8 --epochs 1 --quiet --valid DIR/valid {others}");
        succeeds(&mut fit(dir.path(), name, &arguments));
        Config::read(&dir.path().join(name)).unwrap().training.schedule.curve
    };
    assert_eq!(run("preset", ""), Curve::Plateau { patience: 5, factor: 0.7, min_lr: 1e-6 });
    assert_eq!(run("patient", "--lr-patience 9"), Curve::Plateau { patience: 9, factor: 0.7, min_lr: 1e-6 });
    assert_eq!(run("same", "--schedule plateau"), Curve::Plateau { patience: 5, factor: 0.7, min_lr: 1e-6 });
    assert_eq!(run("other", "--schedule one-cycle"), Curve::OneCycle);
    assert_eq!(run("cosine", "--schedule cosine --min-lr 0.001"), Curve::Cosine { min_lr: 0.001 });
}
