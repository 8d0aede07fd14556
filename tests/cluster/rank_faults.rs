//! Tests that a rank that fails ends all ranks: soon, with one clear error, and with a whole checkpoint.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tonic_base::DirLock;
use tonic_ranks::Ranks;

use crate::ranks::{Bench, assert_succeeds, text};
use crate::slurm::wait;

/// Options of a run that takes long enough to be disturbed.
const LONG: [&str; 6] = ["--hidden", "32,32", "--epochs", "60", "--batch-size", "32"];

/// A run on three ranks.
struct Disturbed<'a> {
    bench: &'a Bench,
    run: &'a str,
    child: Child,
}

impl<'a> Disturbed<'a> {
    /// Starts a run, and waits until it has finished an epoch.
    fn start(bench: &'a Bench, run: &'a str, more: &[&'a str]) -> Disturbed<'a> {
        let words = [&Bench::fit(run, &LONG)[..], more].concat();
        let mut command = bench.mpirun("3", &words);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let metrics = bench.path(run).join("metrics.jsonl");
        wait("an epoch", Duration::from_millis(5), || {
            std::fs::read_to_string(&metrics).is_ok_and(|text| text.contains('\n'))
        });
        Disturbed { bench, run, child }
    }

    /// Sends a signal to a rank.
    fn signal(&self, name: &str, rank: usize) {
        let text = format!(
            "for p in $(pgrep -f '^tonic-train fit.* {} '); do \
             tr '\\0' '\\n' </proc/$p/environ | grep -qx OMPI_COMM_WORLD_RANK={rank} && kill -{name} $p; done",
            self.run
        );
        self.bench.cluster.run(&["bash", "-c", &text]);
    }

    /// Waits until the run ends. Asserts that this takes less time than `within`.
    fn end(self, within: Duration) -> Output {
        let start = Instant::now();
        let output = self.child.wait_with_output().unwrap();
        assert!(start.elapsed() < within, "after {:?}: {}", start.elapsed(), text(&output));
        output
    }
}

/// Continues a run as one process, and compares it with the run `whole`, which nothing disturbed.
fn assert_continues(bench: &Bench, run: &str) {
    let words = [&Bench::fit(run, &LONG)[..], &["--resume"]].concat();
    assert_succeeds(&bench.alone(&words));
    bench.assert_same(run, "whole");
}

fn errors(output: &Output) -> Vec<String> {
    let all = String::from_utf8_lossy(&output.stderr).into_owned();
    all.lines().filter(|line| line.starts_with("tonic-train: error")).map(str::to_owned).collect()
}

#[test]
fn a_rank_that_is_lost_ends_all_and_leaves_a_whole_checkpoint() {
    let Some(bench) = Bench::start() else { return };
    assert_succeeds(&bench.alone(&Bench::fit("whole", &LONG)));

    for rank in [0, 2] {
        let run = format!("killed-{rank}");
        let disturbed = Disturbed::start(&bench, &run, &[]);
        disturbed.signal("KILL", rank);
        let output = disturbed.end(Duration::from_secs(10));
        assert!(!output.status.success(), "{}", text(&output));
        assert_continues(&bench, &run);
    }

    for rank in [0, 1] {
        let run = format!("hung-{rank}");
        let disturbed = Disturbed::start(&bench, &run, &["--timeout", "4"]);
        disturbed.signal("STOP", rank);
        let output = disturbed.end(Duration::from_secs(15));
        let errors = errors(&output);
        let [error] = &errors[..] else { panic!("{}", text(&output)) };
        assert!(
            error.contains(&format!("rank {rank} of 3 ranks gave no answer")) && error.contains("--timeout"),
            "{error}"
        );
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert_continues(&bench, &run);
    }

    for rank in [0, 2] {
        let run = format!("asked-{rank}");
        let disturbed = Disturbed::start(&bench, &run, &[]);
        disturbed.signal("TERM", rank);
        let output = disturbed.end(Duration::from_secs(20));
        assert_eq!(errors(&output).len(), 1, "{}", text(&output));
        assert!(errors(&output)[0].contains("interrupted: the run is saved"), "{}", text(&output));
        assert_eq!(output.status.code(), Some(130), "{}", text(&output));
        assert_continues(&bench, &run);
    }
}

/// A scheduler may suspend a job for longer than ranks wait for each other.
#[test]
fn ranks_that_are_suspended_together_continue_to_the_same_bits() {
    let Some(bench) = Bench::start() else { return };
    assert_succeeds(&bench.alone(&Bench::fit("whole", &LONG)));
    let disturbed = Disturbed::start(&bench, "suspended", &["--timeout", "4"]);
    (0..3).for_each(|rank| disturbed.signal("STOP", rank));
    let metrics = || std::fs::read(bench.path("suspended").join("metrics.jsonl")).unwrap();
    let before = metrics();
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(before, metrics(), "the ranks are suspended");
    assert!(before.iter().filter(|&&byte| byte == b'\n').count() < 60, "the run ended too early");
    (0..3).rev().for_each(|rank| disturbed.signal("CONT", rank)); // ranks that waited for rank 0 wake up before it
    assert_succeeds(&disturbed.end(Duration::from_secs(60)));
    bench.assert_same("suspended", "whole");
}

#[test]
fn ranks_wait_for_a_run_that_another_process_trains() {
    let Some(bench) = Bench::start() else { return };
    for asked in [false, true] {
        let run = if asked { "asked" } else { "waited" };
        std::fs::create_dir(bench.path(run)).unwrap();
        let lock = DirLock::take(&bench.path(run)).unwrap();
        let options = ["--hidden", "8", "--epochs", "1", "--resume=auto", "--timeout", "1"];
        let mut command = bench.mpirun("2", &Bench::fit(run, &options));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let disturbed = Disturbed { bench: &bench, run, child };
        std::thread::sleep(Duration::from_secs(4)); // longer than the ranks wait for each other
        let output = if asked {
            disturbed.signal("TERM", 1);
            disturbed.end(Duration::from_secs(10))
        } else {
            drop(lock);
            disturbed.end(Duration::from_secs(30))
        };
        let said = text(&output);
        assert_eq!(output.status.code(), Some(if asked { 130 } else { 0 }), "{said}");
        assert_eq!(said.matches("waiting  another process").count(), 1, "{said}");
        assert!(!asked || said.contains("nothing was changed"), "{said}");
    }
}

#[test]
fn ranks_that_differ_are_refused_by_the_name_of_what_differs() {
    let Some(bench) = Bench::start() else { return };
    for (flag, first, second) in [
        ("--seed", &["--seed", "1"][..], &["--seed", "2"][..]),
        ("--epochs", &["--epochs", "3"], &[]),
        ("--train", &[], &["--train", "other"]),
        ("--momentum", &["--optimiser", "sgd", "--momentum", "0.9"], &["--optimiser", "sgd", "--momentum", "0.8"]),
        ("--drop-last", &["--drop-last"], &[]),
        ("--batch-size", &["--preset", "lif", "--epochs", "3"], &["--epochs", "3"]),
    ] {
        let words = |options: &[&'static str]| -> Vec<&str> {
            let words = Bench::fit("apart", &[]);
            let is_set = options.first() == Some(&"--train");
            let words = words.into_iter().enumerate().filter(|(i, _)| !(is_set && (2..4).contains(i)));
            words.map(|(_, word)| word).chain(options.iter().copied()).collect()
        };
        let output =
            bench.mpirun("1", &[&words(first)[..], &[":", "-n", "1"], &words(second)].concat()).output().unwrap();
        let all = errors(&output);
        assert_eq!((output.status.code(), all.len()), (Some(2), 1), "{flag}: {}", text(&output));
        assert!(all[0].contains(&format!("{flag}: expected")) && all[0].contains("on rank 1"), "{}", all[0]);
        assert!(!bench.path("apart").exists());
    }

    // Another build of the program.
    let other = bench.path("tonic-train");
    std::fs::copy(env!("CARGO_BIN_EXE_tonic-train"), &other).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(&other).unwrap();
    std::io::Write::write_all(&mut file, b"\0").unwrap();
    drop(file);
    let mut words = Bench::fit("apart", &[]);
    let first = words.clone();
    words[0] = "./tonic-train";
    let output = bench.mpirun("1", &[&first[..], &[":", "-n", "1"], &words].concat()).output().unwrap();
    assert!(errors(&output)[0].contains("program: expected"), "{}", text(&output));

    // Several ranks cannot use the reference engine.
    let output = bench.mpirun("2", &Bench::fit("apart", &["--engine", "reference"])).output().unwrap();
    assert!(errors(&output).len() == 1 && errors(&output)[0].contains("--engine reference"), "{}", text(&output));
}

#[test]
fn a_rank_that_loses_its_set_or_panics_ends_all() {
    let Some(bench) = Bench::start() else { return };
    // The second rank has a copy of the set in which a shard is cut.
    let copy = bench.path("copy");
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(bench.path("set")).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let shard = std::fs::read_dir(&copy).unwrap().map(|entry| entry.unwrap().path());
    let shard = shard.filter(|path| path.extension().is_some_and(|of| of == "shard")).min().unwrap();
    let mut bytes = std::fs::read(&shard).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0x5a);
    std::fs::write(&shard, bytes).unwrap();
    let options = ["--cache", "stream", "--epochs", "1"];
    let first = Bench::fit("lost", &options);
    let second: Vec<&str> = first.iter().map(|&word| if word == "set" { "copy" } else { word }).collect();
    let output = bench.mpirun("1", &[&first[..], &[":", "-n", "1"], &second].concat()).output().unwrap();
    let all = errors(&output);
    assert_eq!((output.status.code(), all.len()), (Some(4), 1), "{}", text(&output));
    assert!(all[0].contains("rank 1 of 2") && all[0].contains("copy/") && all[0].contains("corrupt"), "{}", all[0]);

    let test = std::env::current_exe().unwrap();
    let words = [test.to_str().unwrap(), "--ignored", "--exact", "rank_faults::panics_on_rank_1", "--nocapture"];
    let start = Instant::now();
    let output = bench.mpirun("3", &words).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(101), "{said}");
    assert!(said.contains("rank 1 of 3 panics") && said.contains("on purpose"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// Not a test of its own: the program of three ranks, one of which panics, while the others wait for it.
#[test]
#[ignore = "started by another test"]
fn panics_on_rank_1() {
    let ranks = Ranks::join(Duration::from_secs(60), |_| 1).unwrap();
    let [sum] = ranks.fold_array([0], |[sum]| *sum += 1);
    assert_eq!(sum, ranks.size() as u64);
    assert!(ranks.rank() != 1, "on purpose");
    ranks.max(0);
}

/// Not a test of its own: a program of several ranks that checks what the ranks send each other.
#[test]
#[ignore = "started by another test"]
fn talk() {
    let ranks = Ranks::join(Duration::from_secs(60), |_| 1).unwrap();
    let (rank, size) = (ranks.rank(), ranks.size());
    // `fold` visits the ranks in order, and each rank appends a digit. The list is long enough for several segments.
    let mut digits: Vec<u64> = vec![7; 40_000];
    ranks.fold(&mut digits, |range, part| {
        part.iter_mut().zip(range).for_each(|(digits, i)| *digits = *digits * 10 + (rank + i % 3) as u64);
    });
    let expected = |i: usize| (0..size).fold(7, |digits, rank| digits * 10 + (rank + i % 3) as u64);
    assert!(digits.iter().enumerate().all(|(i, &got)| got == expected(i)));
    let names: Vec<String> = (0..size).map(|rank| "x".repeat(rank * 20_000)).collect();
    assert_eq!(ranks.gather(&names[rank]), names);
    assert_eq!(ranks.from_root(ranks.is_root().then(|| names[size - 1].clone())), names[size - 1]);
    assert_eq!((ranks.max(rank as u64), ranks.any(rank == 1), ranks.any(false)), (size as u64 - 1, true, false));
    assert_eq!([ranks.local_rank(), ranks.local_size()], [ranks.rank(), size]);
    let mut all = vec![0_u64; size * 3];
    ranks.place(&mut all, rank * 3, &[rank as u64; 3]);
    assert!((0..size * 3).all(|i| all[i] == (i / 3) as u64));
    ranks.leave();
}

#[test]
fn ranks_tell_each_other_what_they_have() {
    let Some(bench) = Bench::start() else { return };
    let test = std::env::current_exe().unwrap();
    let words = [test.to_str().unwrap(), "--ignored", "--exact", "rank_faults::talk"];
    for ranks in ["2", "5"] {
        assert_succeeds(&bench.mpirun(ranks, &words).output().unwrap());
    }
}

#[test]
fn a_program_of_another_launcher_is_refused() {
    let Some(bench) = Bench::start() else { return };
    let mut command = Command::new(env!("CARGO_BIN_EXE_tonic-train"));
    let words = Bench::fit("foreign", &[]);
    let output = command.current_dir(bench.cluster.work()).args(&words[1..]).env("PMI_SIZE", "4").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(errors(&output)[0].contains("4 processes (PMI_SIZE), but MPI joins 1"), "{}", text(&output));
    assert!(!bench.path("foreign").exists());
}
