//! Tests SIGKILL at hundreds of random moments: readers see a complete set or none, and a resume gives the same bytes.
//!
//! To repeat the random choices of a test, set the environment variable `TONIC_TEST_SEED` to the number that the test
//! printed.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tonic_toolkit::base::Error as BaseError;
use tonic_toolkit::shard::{Error, ShardSet};

use super::recording::{NO_LOCKS, Recording, contents, convert, faults, json, manifest, program, scratch};

/// Minimum number of kills.
const KILLS: u32 = 300;
const QUICK: Duration = Duration::from_secs(30);
const SAMPLES: usize = 36;
const CHUNK: u64 = 2;
const MARKER: &str = ".incomplete.json";
const MANIFEST: &str = "manifest.json";

type Files = BTreeMap<String, Vec<u8>>;

/// A conversion that is killed again and again, and the files of the set that it makes without kills.
struct Job {
    file: PathBuf,
    arguments: Vec<String>,
    expected: Files,
    shard_samples: u64,
    /// Time of a run without kills.
    length: Duration,
}

impl Job {
    /// Makes a job that converts `recording` with a slow level of compression.
    fn new(dir: &Path, name: &str, recording: &Recording) -> Job {
        let file = recording.write(&dir.join(format!("{name}.h5")));
        let arguments = ["--chunk-samples", "2", "--shard-size", "1500", "--level", "16"].map(String::from).to_vec();
        let (out, start) = (dir.join(format!("{name}-whole")), Instant::now());
        convert(&[&file], &out).args(&arguments).args(["--threads", "2"]).assert().success();
        let length = start.elapsed();
        let description = manifest(&out).description;
        assert!(description.shard_chunks > 1 && description.shards() > 6, "{description:?}");
        let shard_samples = CHUNK * u64::from(description.shard_chunks);
        Job { file, arguments, expected: contents(&out), shard_samples, length }
    }

    fn spawn(&self, out: &Path, how: Option<&str>, threads: &str) -> Child {
        let mut command = Command::new(program());
        command.env(NO_LOCKS.0, NO_LOCKS.1);
        command.arg("convert").arg(&self.file).arg("-o").arg(out).args(&self.arguments);
        command.args(["--quiet", "--threads", threads]).args(how);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Runs the conversion to the end. Returns the number of samples that were already done.
    fn finish(&self, out: &Path, how: Option<&str>, threads: &str) -> u64 {
        let mut command = convert(&[&self.file], out);
        let said = json(command.args(&self.arguments).args(["--threads", threads, "--json"]).args(how));
        said["resumed_samples"].as_u64().unwrap()
    }

    /// Returns the number of samples in `files` that a resumed run must keep.
    fn taken_up(&self, files: &Files) -> u64 {
        // Shards whose counts are too narrow are complete, but all of them are made again.
        if self.widths(files).is_none_or(|widths| Some(widths) != self.widths(&self.expected)) {
            return 0;
        }
        (shards(files) as u64 * self.shard_samples).min(SAMPLES as u64)
    }

    fn done(&self, files: &Files) -> bool {
        visible(files) == self.expected && !files.contains_key(MARKER)
    }

    /// Returns the column widths of the complete or unfinished set in `files`.
    fn widths(&self, files: &Files) -> Option<Value> {
        let text = files.get(MARKER).or_else(|| files.get(MANIFEST))?;
        Some(serde_json::from_slice::<Value>(text).unwrap()["widths"].clone())
    }
}

/// Returns the number of published shards before the first shard that is missing.
fn shards(files: &Files) -> usize {
    (0..).take_while(|n| files.contains_key(&format!("{n:05}.shard"))).count()
}

/// Returns the files of a set's directory, or no files if it doesn't exist.
fn look(out: &Path) -> Files {
    if out.exists() { contents(out) } else { Files::new() }
}

/// Returns the files whose names don't begin with a dot.
fn visible(files: &Files) -> Files {
    files.iter().filter(|(name, _)| !name.starts_with('.')).map(|(name, bytes)| (name.clone(), bytes.clone())).collect()
}

/// When to kill the child.
#[derive(Clone, Debug)]
enum Moment {
    After(Duration),
    /// This duration after a file appears (`true`) or disappears (`false`). The text is the name of the file, or, if
    /// it ends in a dot, the start of the name.
    File(String, bool, Duration),
}

impl Moment {
    fn draw(rng: &mut ChaCha8Rng, job: &Job) -> Moment {
        let shard = rng.random_range(0..job.expected.len() - 1);
        let spin = Duration::from_micros(rng.random_range(0..400));
        match rng.random_range(0..12) {
            0 => Moment::File(MARKER.into(), true, spin),
            1 => Moment::File(format!("{shard:05}.shard"), true, spin),
            2 => Moment::File(format!(".{shard:05}.shard."), true, spin),
            3 => Moment::File(format!(".{shard:05}.shard."), false, spin),
            4 => Moment::File(format!(".{MANIFEST}."), true, spin / 4),
            5 => Moment::File(MANIFEST.into(), true, spin / 8),
            6 => Moment::File(MANIFEST.into(), false, spin),
            _ => Moment::After(job.length.mul_f64(rng.random_range(0.0..1.0))),
        }
    }

    /// Checks the set until this moment, and then kills the child. Returns false if the child ended earlier.
    fn kill(&self, child: &mut Child, out: &Path, old: &Files, job: &Job) -> bool {
        match self {
            Moment::After(time) => std::thread::sleep(*time),
            Moment::File(name, there, spin) => {
                let (path, start) = (out.join(name), Instant::now());
                let begins = |entry: std::io::Result<std::fs::DirEntry>| {
                    entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(name))
                };
                let exists = || match name.ends_with('.') {
                    true => std::fs::read_dir(out).is_ok_and(|mut entries| entries.any(begins)),
                    false => path.exists(),
                };
                let mut before = exists();
                while child.try_wait().unwrap().is_none() {
                    let now = exists();
                    if now == *there && before != now {
                        break;
                    }
                    before = now;
                    assert!(start.elapsed() < Duration::from_secs(60), "a convert that makes no progress");
                    if let Ok(set) = ShardSet::open(out) {
                        let id = set.manifest().set_id;
                        let whole =
                            |files: &Files| files.get(MANIFEST).is_some_and(|text| says_id(text, &id.to_string()));
                        assert!(whole(old) || whole(&job.expected), "readers see the old set or the new one");
                    }
                }
                let start = Instant::now();
                while start.elapsed() < *spin {
                    std::hint::spin_loop();
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap().signal() == Some(9)
    }
}

fn says_id(manifest: &[u8], id: &str) -> bool {
    String::from_utf8_lossy(manifest).contains(id)
}

/// Returns the phase in which a process was killed, judged by the files that it left.
fn phase(files: &Files, job: &Job) -> &'static str {
    let has = |part: &str| files.keys().any(|name| name.contains(part));
    let drafts = |part: &str| files.keys().any(|name| name.contains(part) && name.ends_with(".tmp"));
    let all = shards(files) == job.expected.len() - 1;
    match () {
        () if files.contains_key(MANIFEST) && files.contains_key(MARKER) => "at the marker's removal",
        () if files.contains_key(MANIFEST) => "with a whole set",
        () if drafts(".json.") && all => "in the manifest",
        () if all => "between the last shard and the manifest",
        () if drafts(".shard.") && shards(files) > 0 => "in a later shard",
        () if drafts(".shard.") => "in the first shard",
        () if has(".shard") && files.contains_key(MARKER) => "between shards",
        () if has(".shard") => "in the removal of an old set",
        () if files.contains_key(MARKER) => "after the marker",
        () => "before the marker",
    }
}

/// Asserts that readers find no set, an incomplete set or a complete set, and that published files are complete.
/// Returns the files.
fn check_left(job: &Job, out: &Path, old: &Files) -> Files {
    let files = look(out);
    let names: Vec<&String> = files.keys().collect();
    match ShardSet::open(out) {
        Err(Error::Incomplete { .. }) => assert!(!files.contains_key(MANIFEST), "{names:?}"),
        Err(Error::NotASet { .. } | Error::Base(BaseError::Io { .. })) => {
            assert!(visible(&files).is_empty(), "{names:?}");
        }
        Err(other) => panic!("{names:?}: {other}"),
        Ok(set) => {
            let visible = visible(&files);
            assert!(visible == job.expected || visible == *old, "a set that opens is whole: {names:?}");
            assert!(faults(&set).is_empty(), "{:?}", faults(&set));
        }
    }
    let drafts: Vec<_> = names.iter().filter(|name| name.contains(".shard.") && name.ends_with(".tmp")).collect();
    assert!(drafts.len() <= 1, "one shard is under way, and no more: {names:?}");
    if job.widths(&files) == job.widths(&job.expected) && files.contains_key(MARKER) {
        for (name, bytes) in visible(&files) {
            assert!(job.expected[&name] == bytes, "{name} in place and not whole");
        }
        assert_eq!(visible(&files).len() - usize::from(files.contains_key(MANIFEST)), shards(&files), "{names:?}");
    }
    files
}

/// Returns the inodes of the first shards, which change if a shard is written again.
fn inodes(out: &Path, shards: usize) -> Vec<u64> {
    (0..shards).map(|n| std::fs::metadata(out.join(format!("{n:05}.shard"))).unwrap().ino()).collect()
}

#[test]
fn kills_at_random_moments_leave_nothing_or_an_incomplete_set_that_resumes() {
    let seed = match std::env::var("TONIC_TEST_SEED") {
        Ok(seed) => seed.parse().expect("TONIC_TEST_SEED is a number"),
        Err(_) => std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
    };
    println!("TONIC_TEST_SEED={seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let dir = scratch();
    let plain = Recording::random(80, SAMPLES, 1200);
    let mut busy = Recording::random(81, SAMPLES, 1200);
    // In a sample near the end, a cell has more events than fit into a byte. So the conversion starts over.
    busy.crowd(SAMPLES - 9, 300, 0.5, 420);
    let jobs = [Job::new(&dir, "plain", &plain), Job::new(&dir, "busy", &busy)];
    println!("undisturbed: {:?}, {:?}", jobs[0].length, jobs[1].length);

    let (mut kills, mut rounds, mut resumed) = (0, 0, 0);
    let mut phases = BTreeMap::<&str, u32>::new();
    let start = Instant::now();
    while kills < KILLS || (kills < 2 * KILLS && start.elapsed() < QUICK) {
        let which = usize::from(rng.random_bool(0.3));
        let (job, other) = (&jobs[which], &jobs[1 - which]);
        let out = dir.join(format!("round-{rounds}"));
        rounds += 1;
        // About every third conversion replaces another complete set.
        let mut old = Files::new();
        if rng.random_bool(0.33) {
            std::fs::create_dir(&out).unwrap();
            other.expected.iter().for_each(|(name, bytes)| std::fs::write(out.join(name), bytes).unwrap());
            old = other.expected.clone();
        }
        let mut left = look(&out);
        for _ in 0..rng.random_range(1..8) {
            let how = how(&left, &old);
            let threads = ["1", "2", "8"].choose(&mut rng).unwrap();
            let (moment, taken_up) = (Moment::draw(&mut rng, job), job.taken_up(&left));
            let kept = inodes(&out, (taken_up / job.shard_samples) as usize);
            let killed = moment.kill(&mut job.spawn(&out, how, threads), &out, &old, job);
            left = check_left(job, &out, &old);
            let at = format!("seed {seed}, round {rounds}: {moment:?} of a run {how:?} with {threads} threads");
            assert!(killed || left == job.expected, "{at}: ended by itself without a set");
            assert_eq!(inodes(&out, kept.len()), kept, "{at}: made again");
            kills += u32::from(killed);
            if killed {
                *phases.entry(phase(&left, job)).or_default() += 1;
            }
            if job.done(&left) {
                break;
            }
        }
        if !job.done(&left) {
            let (how, expected) = (how(&left, &old), job.taken_up(&left));
            let found = job.finish(&out, how, ["1", "2", "8"].choose(&mut rng).unwrap());
            assert_eq!(found, expected, "seed {seed}, round {rounds}: all that was in place is taken up");
            resumed += u32::from(found > 0);
        }
        left = contents(&out);
        left.remove(".lock"); // which a kill at the very end leaves
        assert!(left == job.expected, "seed {seed}, round {rounds}: the bytes of an undisturbed run");
        std::fs::remove_dir_all(&out).unwrap();
    }
    println!("{kills} kills in {rounds} sets, {resumed} resumed in the middle: {phases:#?}");
    assert!(resumed >= 10, "{resumed} sets were resumed in the middle");
    for phase in ["before the marker", "in the first shard", "in a later shard", "between shards", "in the manifest"] {
        assert!(phases.contains_key(phase), "no kill {phase}: {phases:?}");
    }
}

/// Returns the flag for the next run: none for an empty directory, `--overwrite` for a complete old set, else
/// `--resume`.
fn how(left: &Files, old: &Files) -> Option<&'static str> {
    match left.is_empty() {
        true => None,
        false if visible(left) == *old && !left.contains_key(MARKER) => Some("--overwrite"),
        false => Some("--resume"),
    }
}
