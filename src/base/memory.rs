//! Finds out how much memory this process can still use. Takes the limits of control groups (cgroups) into account.

use std::path::Path;

use crate::cgroup::groups_around;
use crate::share::processes;

/// Returns the number of bytes of memory that this process can still use. `None` if the system doesn't report it.
///
/// This is the free memory of the machine (`MemAvailable`) or, if smaller, what the limit of a control group (cgroup)
/// leaves free. Memory for cached files counts as free. After a call of [`share_machine`](crate::share_machine), this
/// number is divided by the number of processes.
pub fn free_memory() -> Option<u64> {
    free_at(Path::new("/")).map(|free| free / processes() as u64)
}

/// Returns the free memory that the files in `proc` and `sys` below `root` report. `None` if they don't report it.
fn free_at(root: &Path) -> Option<u64> {
    let machine = std::fs::read_to_string(root.join("proc/meminfo")).ok();
    let machine = machine.and_then(|text| Some(number_after(&text, "MemAvailable:")? * 1024));
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    groups.lines().filter_map(|line| left_of(root, line)).chain(machine).min()
}

/// Names of the files in which a control group reports its memory. `cached` is the name of a number in `memory.stat`.
struct Names {
    limits: &'static [&'static str],
    used: &'static str,
    cached: &'static str,
}

const VERSION_1: Names =
    Names { limits: &["memory.limit_in_bytes"], used: "memory.usage_in_bytes", cached: "total_inactive_file" };
// Above `memory.high`, the system slows the processes down until they make no progress.
const VERSION_2: Names =
    Names { limits: &["memory.max", "memory.high"], used: "memory.current", cached: "inactive_file" };

/// Returns how many bytes a control group and the groups that contain it can still use: the smallest result of
/// [`left_in`]. `line` is the line of `/proc/self/cgroup` that names the control group.
fn left_of(root: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (mounts, names) = match controllers {
        "" => (["sys/fs/cgroup", "sys/fs/cgroup/unified"].as_slice(), VERSION_2),
        _ if controllers.split(',').any(|name| name == "memory") => (["sys/fs/cgroup/memory"].as_slice(), VERSION_1),
        _ => return None,
    };
    groups_around(root, mounts, path).filter_map(|group| left_in(&group, &names)).min()
}

/// Returns how many bytes the control group in the folder `group` can still use. `None` if there is no limit.
fn left_in(group: &Path, names: &Names) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(group.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let limit = names.limits.iter().filter_map(|name| number(name)).min()?;
    let used = number(names.used)?;
    let cached = read("memory.stat").and_then(|text| number_after(&text, names.cached)).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(cached)))
}

/// Returns the number that follows the word `name` at the start of a line.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| (words.next()? == name).then(|| words.next()?.parse().ok()).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Writes `files`, (path, text), to a temporary folder. Returns the free memory that [`free_at`] finds there.
    fn free(name: &str, files: &[(&str, String)]) -> Option<u64> {
        let root = std::env::temp_dir().join(format!("tonic-base-memory-{}-{name}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let free = free_at(&root);
        let _ = std::fs::remove_dir_all(root);
        free
    }

    fn machine(mib: u64) -> (&'static str, String) {
        ("proc/meminfo", format!("MemTotal: 9 kB\nMemAvailable:   {} kB\n", mib * 1024))
    }

    #[test]
    fn the_tightest_limit_counts() {
        let bytes = |mib: u64| format!("{}\n", mib * MIB);
        assert_eq!(free("none", &[]), None);
        assert_eq!(free("machine", &[machine(900)]), Some(900 * MIB));
        let slurm = |limit: String| {
            vec![
                machine(900),
                ("proc/self/cgroup", "0::/system.slice/job_7/step_0\n".into()),
                ("sys/fs/cgroup/system.slice/job_7/step_0/memory.max", "max\n".into()),
                ("sys/fs/cgroup/system.slice/job_7/step_0/memory.current", bytes(300)),
                ("sys/fs/cgroup/system.slice/job_7/memory.max", limit),
                ("sys/fs/cgroup/system.slice/job_7/memory.current", bytes(400)),
                ("sys/fs/cgroup/system.slice/job_7/memory.stat", format!("anon 5\ninactive_file {}\n", 100 * MIB)),
            ]
        };
        assert_eq!(free("job", &slurm(bytes(500))), Some(200 * MIB), "500 less 400, of which 100 are cached files");
        assert_eq!(free("over", &slurm(bytes(100))), Some(0));
        assert_eq!(free("unlimited", &slurm("max\n".into())), Some(900 * MIB));
        let mut high = slurm(bytes(500));
        high.push(("sys/fs/cgroup/system.slice/job_7/memory.high", bytes(350)));
        assert_eq!(free("high", &high), Some(50 * MIB));
        high[4].1 = "max\n".into();
        assert_eq!(free("only high", &high), Some(50 * MIB));
        let old = [
            machine(900),
            ("proc/self/cgroup", "4:cpu,memory:/slurm/job_7\n2:pids:/x\n".into()),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", bytes(64)),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", bytes(24)),
            ("sys/fs/cgroup/memory/memory.stat", format!("inactive_file 1\ntotal_inactive_file {}\n", 4 * MIB)),
        ];
        assert_eq!(free("old", &old), Some(44 * MIB), "in a container only the top is mounted");
        assert_eq!(free("odd", &[machine(9), ("proc/self/cgroup", "\n0::\nx\n".into())]), Some(9 * MIB));
    }
}
