//! Tests conversions by the tasks of a Slurm array: the merged set has the same bytes as a set that one process
//! converts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::slurm::{Cluster, POLL, script, succeed, wait};

/// Number of samples in each recording: enough to stop a task after its first shard.
const SAMPLES: usize = 520;

/// Options of `convert` for small shards that take long to write, because of compression level 19.
const OPTIONS: [&str; 6] = ["--chunk-samples", "8", "--shard-size", "1", "--level", "19"];

/// A cluster with recordings, and the set that one process converted from them.
struct Bench {
    cluster: Cluster,
    files: Vec<String>,
    expected: BTreeMap<String, Vec<u8>>,
}

impl Bench {
    fn start() -> Option<Bench> {
        let cluster = Cluster::start()?;
        let work = cluster.work();
        let files: Vec<String> = (0..3).map(|i| format!("{i}.h5")).collect();
        for (seed, file) in files.iter().enumerate() {
            let seed = seed.to_string();
            prep(&work, &["synth", "-o", file, "--samples", &SAMPLES.to_string(), "--classes", "5", "--seed", &seed]);
        }
        let words: Vec<&str> = files.iter().map(String::as_str).collect();
        prep(&work, &[&["convert"], &words[..], &OPTIONS, &["-o", "whole"]].concat());
        let expected = contents(&work.join("whole"));
        assert_eq!(expected.len(), (3 * SAMPLES).div_ceil(8) + 1);
        Some(Bench { cluster, files, expected })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.cluster.work().join(name)
    }

    /// Submits an array job of four tasks, each of which converts one part of `set`. Returns the number of the job.
    fn submit_array(&self, set: &str, more: &[&str]) -> String {
        let script = script("convert.sbatch");
        let files: Vec<&str> = self.files.iter().map(String::as_str).collect();
        let sbatch = [&["--array=1-4", "--cpus-per-task=1", "--mem=100"], more, &[&script[..], set]].concat();
        self.cluster.submit(&[&sbatch[..], &files, &OPTIONS].concat())
    }

    /// Submits a job that merges the parts of `set` after the job `job` has succeeded. Returns the number of the new
    /// job.
    fn submit_merge(&self, job: &str, set: &str) -> String {
        let after = format!("--dependency=afterok:{job}");
        let script = script("convert.sbatch");
        let kill = "--kill-on-invalid-dep=yes";
        self.cluster.submit(&[&after, kill, "--cpus-per-task=1", "--mem=100", &script, "--merge", set])
    }

    /// Stops the process that writes the folder `part` as soon as the folder has a shard.
    fn stop_writer(&self, part: &str) {
        let has_shard = || {
            std::fs::read_dir(self.path(part)).is_ok_and(|mut entries| {
                entries.any(|entry| entry.unwrap().path().extension().is_some_and(|e| e == "shard"))
            })
        };
        self.cluster.stop_when(&writer(part), &format!("a shard of {part}: {}", self.cluster.logs()), has_shard);
    }

    /// Waits for all jobs, and asserts that the set has the expected bytes.
    fn assert_merged(&self, merge: &str, set: &str) {
        self.cluster.wait_for_all();
        assert_eq!(self.cluster.states(merge), ["COMPLETED"], "{}", self.cluster.logs());
        assert!(contents(&self.path(set)) == self.expected, "{set}: {}", self.cluster.logs());
    }
}

/// Returns a pattern that matches the command line of the process that writes `parts`.
fn writer(parts: &str) -> String {
    format!("^[^ ]*tonic-prep .*{parts}")
}

fn prep(work: &Path, words: &[&str]) {
    succeed(Command::new(env!("CARGO_BIN_EXE_tonic-prep")).current_dir(work).args(words));
}

fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect()
}

#[test]
fn an_array_and_its_merge_make_the_whole_set() {
    let Some(bench) = Bench::start() else { return };
    let job = bench.submit_array("set", &["--array=0-3"]);
    let merge = bench.submit_merge(&job, "set");
    bench.assert_merged(&merge, "set");

    // An array with gaps doesn't tell how many parts there are.
    let odd = bench.submit_array("odd", &["--array=1,3,7"]);
    bench.cluster.wait_for_all();
    assert_eq!(bench.cluster.states(&odd), ["FAILED"]);
    let logs = bench.cluster.logs();
    assert!(logs.contains("type --part $SLURM_ARRAY_TASK_ID/N with the number N of all parts"), "{logs}");

    // A missing part is named, with the line that makes it. The tasks are numbered from 0, the parts from 1.
    std::fs::remove_dir_all(bench.path("set.parts/2")).unwrap();
    let merge = bench.cluster.submit(&[&script("convert.sbatch"), "--merge", "again"]);
    bench.cluster.wait_for_all();
    assert_eq!(bench.cluster.states(&merge), ["FAILED"]);
    let _ = std::fs::rename(bench.path("set.parts"), bench.path("again.parts"));
    let merge = bench.cluster.submit(&[&script("convert.sbatch"), "--merge", "again"]);
    bench.cluster.wait_for_all();
    assert_eq!(bench.cluster.states(&merge), ["FAILED"]);
    let logs = bench.cluster.logs();
    let line = logs.lines().find_map(|line| line.split_once("make it: ")).expect(&logs).1.to_string();
    assert!(
        line.starts_with("tonic-prep convert 0.h5 1.h5 2.h5") && line.ends_with("--part 3/4 -o again.parts/2"),
        "{line}"
    );
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    prep(&bench.cluster.work(), &words);
    let merge = bench.cluster.submit(&[&script("convert.sbatch"), "--merge", "again"]);
    bench.assert_merged(&merge, "again");
}

#[test]
fn tasks_that_are_requeued_cancelled_or_killed_continue_to_the_same_bytes() {
    let Some(bench) = Bench::start() else { return };
    let cluster = &bench.cluster;

    // The signal before the time limit: the task saves its state and is queued again.
    let job = bench.submit_array("requeued", &[]);
    let merge = bench.submit_merge(&job, "requeued");
    bench.stop_writer("requeued.parts/2");
    cluster.run(&["scancel", "--batch", "--signal=USR1", &format!("{job}_2")]);
    cluster.continue_when_signalled(&writer("requeued.parts/2"));
    bench.assert_merged(&merge, "requeued");
    let logs = cluster.logs();
    assert!(logs.contains("interrupted: complete shards are kept"), "the task was not interrupted: {logs}");

    // scancel ends a task, and Slurm then cancels the merge. If the same jobs are submitted again, they continue.
    let job = bench.submit_array("cancelled", &[]);
    let merge = bench.submit_merge(&job, "cancelled");
    bench.stop_writer("cancelled.parts/3");
    cluster.run(&["scancel", &format!("{job}_3")]);
    cluster.wait_for_all();
    assert_eq!(cluster.states(&merge), ["CANCELLED"], "its dependency can't be satisfied: {}", cluster.logs());
    let job = bench.submit_array("cancelled", &[]);
    let merge = bench.submit_merge(&job, "cancelled");
    bench.assert_merged(&merge, "cancelled");

    // kill -9
    let job = bench.submit_array("killed", &[]);
    bench.stop_writer("killed.parts/1");
    cluster.run(&["pkill", "-9", "-f", &writer("killed.parts/1")]);
    cluster.wait_for_all();
    assert!(cluster.states(&job).contains(&"FAILED".into()), "{:?} {}", cluster.states(&job), cluster.logs());
    let job = bench.submit_array("killed", &[]);
    let merge = bench.submit_merge(&job, "killed");
    bench.assert_merged(&merge, "killed");
}

#[test]
fn lost_nodes_and_second_arrays_leave_the_same_bytes() {
    let Some(bench) = Bench::start() else { return };
    let cluster = &bench.cluster;

    // A node hangs with all its processes, and is marked as down: Slurm queues its tasks again at once. The old
    // processes are still alive after the new ones have ended.
    let job = bench.submit_array("lost", &[]);
    let merge = bench.submit_merge(&job, "lost");
    bench.stop_writer("lost.parts/2");
    let node = cluster.says(&["squeue", "-h", "-j", &format!("{job}_2"), "-o", "%N"]);
    let programs = format!("^(slurmd -D -N {node}|slurmstepd|[^ ]*tonic-prep .*lost.parts)");
    assert!(cluster.run(&["pkill", "-STOP", "-f", &programs]).status.success());
    let down = ["scontrol", "update", &format!("node={node}"), "state=down", "reason=test"];
    assert!(cluster.run(&down).status.success());
    bench.assert_merged(&merge, "lost");
    let writers = writer("lost.parts");
    let live = || cluster.run(&["pgrep", "-f", &writers]).status.success();
    assert!(live(), "the old processes have ended before the new ones: {}", cluster.logs());
    assert!(cluster.run(&["pkill", "-CONT", "-f", &writers]).status.success());
    wait("the end of the old processes", POLL, || !live());
    for part in 1..=4 {
        prep(&cluster.work(), &["verify", &format!("lost.parts/{part}")]);
    }
    prep(&cluster.work(), &["merge", "once-more", "lost.parts/1", "lost.parts/2", "lost.parts/3", "lost.parts/4"]);
    assert!(contents(&bench.path("once-more")) == bench.expected);

    // Two arrays into one output.
    let first = bench.submit_array("twice", &[]);
    let second = bench.submit_array("twice", &[]);
    let merge = bench.submit_merge(&format!("{first}:{second}"), "twice");
    bench.assert_merged(&merge, "twice");
}
