//! Runs a real Slurm with four virtual nodes on this machine, in separate network and process namespaces.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Maximum time that a test waits for one condition.
const PATIENCE: Duration = Duration::from_secs(120);

/// Time between two checks of a condition.
pub(crate) const POLL: Duration = Duration::from_millis(50);

pub(crate) struct Cluster {
    pub dir: tempfile::TempDir,
    /// The process of `unshare`. Its child is process 1 in the new namespaces.
    namespaces: Child,
    first_process: String,
    daemons: Vec<Child>,
}

impl Cluster {
    /// Starts Slurm's daemons. Returns `None` if Slurm is not installed or this user may not create namespaces.
    pub(crate) fn start() -> Option<Cluster> {
        let missing: Vec<&str> = ["slurmctld", "slurmd", "munged", "unshare", "nsenter", "ip"]
            .into_iter()
            .filter(|program| {
                !Command::new("which")
                    .env("PATH", path())
                    .arg(program)
                    .output()
                    .is_ok_and(|output| output.status.success())
            })
            .collect();
        if !missing.is_empty() {
            eprintln!("skipped: {} not found: scripts/setup --cluster installs them", missing.join(", "));
            return None;
        }
        // MPI names its shared memory by process, and the processes of two clusters can have the same numbers.
        let ready = "(mount -t tmpfs tmpfs /dev/shm || true) && ip link set lo up && ip addr add 127.0.0.2/8 dev lo && \
                     echo ready && exec sleep infinity";
        let mut namespaces = Command::new("unshare")
            .args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", ready])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(namespaces.stdout.take().unwrap()).read_line(&mut said).unwrap();
        if said.trim() != "ready" {
            let _ = namespaces.wait();
            eprintln!("skipped: this user may not make namespaces: run the tests as root");
            return None;
        }
        let id = namespaces.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        // A short path: the name of a socket has at most 108 bytes.
        let dir = tempfile::Builder::new().prefix("slurm").tempdir_in("/tmp").unwrap();
        let mut cluster = Cluster { dir, namespaces, first_process: children.trim().into(), daemons: Vec::new() };
        cluster.start_daemons();
        Some(cluster)
    }

    fn start_daemons(&mut self) {
        let dir = self.dir.path().to_path_buf();
        let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        for name in ["munge", "socket", "state", "work"] {
            std::fs::create_dir(dir.join(name)).unwrap();
        }
        let key = dir.join("munge/key");
        let random: Vec<u8> = (0..1024).map(|_| rand::random()).collect();
        std::fs::write(&key, random).unwrap();
        mode(&dir, 0o755);
        mode(&dir.join("munge"), 0o700);
        mode(&key, 0o400);
        let host = Command::new("hostname").arg("-s").output().unwrap().stdout;
        let host = String::from_utf8(host).unwrap().trim().to_string();
        let text = include_str!("slurm.conf").replace("HOST", &host).replace("DIR", dir.to_str().unwrap());
        std::fs::write(dir.join("slurm.conf"), text).unwrap();

        let file = |name: &str| format!("{}/{name}", dir.display());
        self.daemon(&[
            "munged",
            "-F",
            &format!("--key-file={}", file("munge/key")),
            &format!("--socket={}", file("socket/munge")),
            &format!("--pid-file={}", file("munge/pid")),
            &format!("--log-file={}", file("munge/log")),
            &format!("--seed-file={}", file("munge/seed")),
        ]);
        wait("munge", POLL, || dir.join("socket/munge").exists());
        self.daemon(&["slurmctld", "-D"]);
        for node in 1..=4 {
            let name = format!("n{node}");
            std::fs::create_dir(dir.join(format!("tmp.{name}"))).unwrap();
            self.daemon(&["slurmd", "-D", "-N", &name]);
        }
        wait("four idle nodes", POLL, || self.says(&["sinfo", "-h", "-t", "idle", "-o", "%D"]) == "4");
    }

    fn daemon(&mut self, words: &[&str]) {
        let log = std::fs::File::create(self.dir.path().join(format!("log.{}", self.daemons.len()))).unwrap();
        let child = self.command(words).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        self.daemons.push(child.unwrap());
    }

    /// Returns a command that runs in the namespaces and working directory of the jobs.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first_process, "--net", "--pid", "--mount"]);
        command.args(["env", &format!("--chdir={}", self.work().display())]).args(words);
        command.env("SLURM_CONF", self.dir.path().join("slurm.conf"));
        command.env("PATH", path());
        command
    }

    /// Returns the folder of the jobs and their logs.
    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs a command. Returns its stdout without the last line break.
    pub(crate) fn says(&self, words: &[&str]) -> String {
        let output = self.run(words);
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    }

    /// Submits a job. Returns the number of the job.
    pub(crate) fn submit(&self, words: &[&str]) -> String {
        let output = self.run(&[&["sbatch", "--parsable"], words].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    }

    /// Waits until `is_so` returns true. Then sends SIGSTOP to all processes whose command line matches `programs`.
    pub(crate) fn stop_when(&self, programs: &str, what: &str, mut is_so: impl FnMut() -> bool) {
        wait(what, Duration::from_millis(2), || {
            is_so() && self.run(&["pkill", "-STOP", "-f", programs]).status.success()
        });
    }

    /// Waits until the stopped processes that match `programs` have a pending signal. Then continues them.
    pub(crate) fn continue_when_signalled(&self, programs: &str) {
        wait("a signal", POLL, || {
            let ids = self.says(&["pgrep", "-f", programs]);
            let mut statuses = ids.lines().map(|id| self.says(&["cat", &format!("/proc/{id}/status")]));
            statuses.any(|status| {
                let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
                pending.is_some_and(|mask| mask.trim().contains(|digit| digit != '0'))
            })
        });
        assert!(self.run(&["pkill", "-CONT", "-f", programs]).status.success());
    }

    pub(crate) fn wait_for_all(&self) {
        wait("the end of all jobs", POLL, || {
            let output = self.run(&["squeue", "-h"]);
            output.status.success() && output.stdout.is_empty()
        });
    }

    /// Returns the states of a job's tasks, such as COMPLETED, without repetitions.
    pub(crate) fn states(&self, job: &str) -> Vec<String> {
        let text = self.says(&["scontrol", "show", "job", job]);
        let mut states: Vec<String> =
            text.split_whitespace().filter_map(|word| Some(word.strip_prefix("JobState=")?.to_string())).collect();
        states.sort();
        states.dedup();
        states
    }

    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for entry in std::fs::read_dir(self.work()).unwrap().map(Result::unwrap) {
            if entry.path().extension().is_some_and(|ending| ending == "log") {
                let log = std::fs::read_to_string(entry.path()).unwrap();
                text += &format!("\n--- {}\n{log}", entry.file_name().display());
            }
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.namespaces.kill();
        let _ = self.namespaces.wait();
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// Returns the path of one of the scripts in scripts/cluster.
pub(crate) fn script(name: &str) -> String {
    format!("{}/scripts/cluster/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Returns a `PATH` with the folders of our programs and of Slurm's daemons.
fn path() -> String {
    let ours = Path::new(env!("CARGO_BIN_EXE_tonic-prep")).parent().unwrap();
    format!("{}:{}:/usr/sbin", ours.display(), std::env::var("PATH").unwrap())
}

/// Calls `is_so` once every `poll` until it returns true. Panics if this takes longer than [`PATIENCE`].
pub(crate) fn wait(what: &str, poll: Duration, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(poll);
    }
}
