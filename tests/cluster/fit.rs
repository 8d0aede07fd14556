//! Tests training in Slurm jobs: runs that are killed or started again, and sweeps by the tasks of an array.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::slurm::{Cluster, script, succeed};

/// Options of `fit` for a run of several seconds.
const OPTIONS: [&str; 10] =
    ["--train", "set", "--valid", "set", "--epochs", "40", "--hidden", "32,32", "--batch-size", "32"];

struct Bench {
    cluster: Cluster,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.cluster.work().join(name)
    }

    fn submit(&self, run: &str) -> String {
        let script = script("fit.sbatch");
        let words = [&[&script, "-o", run], &OPTIONS[..]].concat();
        self.cluster.submit(&[&["--cpus-per-task=1", "--mem=100"], &words[..]].concat())
    }

    /// Waits until a run has finished an epoch, and stops the task that trains it.
    fn stop_trainer(&self, run: &str) {
        let has_epoch =
            || std::fs::read_to_string(self.path(run).join("metrics.jsonl")).is_ok_and(|m| m.contains('\n'));
        self.cluster.stop_when(&trainer(run), &format!("an epoch of {run}: {}", self.cluster.logs()), has_epoch);
    }

    fn model(&self, run: &str) -> Vec<u8> {
        std::fs::read(self.path(run).join("model.safetensors")).unwrap()
    }
}

/// Returns a pattern that matches the command line of the process that trains `run`.
fn trainer(run: &str) -> String {
    format!("^[^ ]*tonic-train fit -o {run}")
}

fn train(work: &Path, words: &[&str]) {
    succeed(Command::new(env!("CARGO_BIN_EXE_tonic-train")).current_dir(work).args(words));
}

#[test]
fn runs_that_are_requeued_or_killed_and_those_of_a_sweep_come_to_the_same_bits() {
    let Some(cluster) = Cluster::start() else { return };
    let work = cluster.work();
    let prep = |words: &[&str]| succeed(Command::new(env!("CARGO_BIN_EXE_tonic-prep")).current_dir(&work).args(words));
    prep(&["synth", "-o", "a.h5", "--samples", "200", "--classes", "4"]);
    prep(&["convert", "a.h5", "-o", "set"]);
    train(&work, &[&["fit", "-o", "whole"], &OPTIONS[..]].concat());
    let bench = Bench { cluster };
    let (cluster, expected) = (&bench.cluster, bench.model("whole"));

    let job = bench.submit("requeued");
    bench.stop_trainer("requeued");
    cluster.run(&["scancel", "--batch", "--signal=USR1", &job]);
    cluster.continue_when_signalled(&trainer("requeued"));
    cluster.wait_for_all();
    let logs = cluster.logs();
    assert_eq!(cluster.states(&job), ["COMPLETED"], "{logs}");
    assert!(logs.contains("interrupted") && logs.contains("resume   after"), "the job was not interrupted: {logs}");
    assert!(bench.model("requeued") == expected);

    let job = bench.submit("killed");
    bench.stop_trainer("killed");
    cluster.run(&["pkill", "-9", "-f", &trainer("killed")]);
    cluster.wait_for_all();
    assert_eq!(cluster.states(&job), ["FAILED"], "{}", cluster.logs());
    // Two jobs for one run: the second waits, and finds it done.
    let jobs = [bench.submit("killed"), bench.submit("killed")];
    cluster.wait_for_all();
    for job in jobs {
        assert_eq!(cluster.states(&job), ["COMPLETED"], "{}", cluster.logs());
    }
    assert!(bench.model("killed") == expected);

    let sweep = "train = \"set\"\nvalid = \"set\"\nepochs = 40\nbatch-size = 32\n\
                 [vary]\nhidden = [[32, 32], [16]]\nseed = [1, 0]\n";
    std::fs::write(bench.path("sweep.toml"), sweep).unwrap();
    train(&work, &["sweep", "sweep.toml", "-o", "runs"]);
    let words = [script("fit.sbatch"), "--sweep".into(), "runs".into()];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let job = cluster.submit(&[&["--array=1-4", "--cpus-per-task=1", "--mem=100"], &words[..]].concat());
    cluster.wait_for_all();
    assert_eq!(cluster.states(&job), ["COMPLETED"], "{}", cluster.logs());
    assert!(bench.model("runs/002-hidden32x32-seed0") == expected);
    train(&work, &["compare", "runs", "--csv", "runs.csv"]);
    let table = std::fs::read_to_string(bench.path("runs.csv")).unwrap();
    assert_eq!(table.matches(",finished,").count(), 4, "{table}");
}
