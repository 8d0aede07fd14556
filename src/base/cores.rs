//! Finds out how many threads this process can run at once, from the affinity mask and the CPU quota of its cgroups.

use std::path::Path;

use crate::cgroup::groups_around;
use crate::share::processes;

/// Returns the number of threads that can run at once, at least 1. This is the first of these that is known:
///
/// - The value of the environment variable `RAYON_NUM_THREADS`.
/// - On Linux, the number of processors in the affinity mask, or the CPU quota of the control groups if it is smaller.
/// - The result of [`std::thread::available_parallelism`].
///
/// After a call of [`share_machine`](crate::share_machine), the number of processors of the machine and the quota are
/// divided by the number of processes. The affinity mask is not divided, because a launcher may have given each process
/// its own processors.
pub fn cores() -> usize {
    let asked = std::env::var("RAYON_NUM_THREADS").ok().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
    asked
        .or_else(|| cores_at(Path::new("/"), processes()))
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Returns the number of threads that the files in `proc` and `sys` below `root` allow each of `processes` processes.
/// `None` if they list no affinity mask.
fn cores_at(root: &Path, processes: usize) -> Option<usize> {
    let status = std::fs::read_to_string(root.join("proc/self/status")).ok()?;
    let allowed = count(status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?)?;
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let quotas = groups.lines().filter_map(|line| quota(root, line)).map(|cores| cores.round() as usize);
    let online = std::fs::read_to_string(root.join("sys/devices/system/cpu/online")).ok();
    let shared = quotas.chain(online.and_then(|list| count(&list))).map(|cores| cores / processes);
    shared.chain([allowed]).min().map(|cores| cores.max(1))
}

/// Counts the processors of a list such as `0-3,8`.
fn count(list: &str) -> Option<usize> {
    let ranges = list.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?)? + 1)
    });
    ranges.sum()
}

/// Returns the smallest CPU quota, in processors, of a control group and of the groups that contain it. `line` is the
/// line of `/proc/self/cgroup` that names the control group.
fn quota(root: &Path, line: &str) -> Option<f64> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let is_old = controllers.split(',').any(|name| name == "cpu");
    let mounts = match controllers {
        "" => ["sys/fs/cgroup", "sys/fs/cgroup/unified"],
        _ if is_old => ["sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"],
        _ => return None,
    };
    let quotas = groups_around(root, &mounts, path).filter_map(|group| {
        let read = |name: &str| std::fs::read_to_string(group.join(name)).ok();
        let text = match is_old {
            false => read("cpu.max")?, // the quota or "max", and the period
            true => format!("{} {}", read("cpu.cfs_quota_us")?.trim(), read("cpu.cfs_period_us")?),
        };
        let mut numbers = text.split_whitespace().map(|word| word.parse::<f64>().ok().filter(|n| *n > 0.0));
        Some(numbers.next()?? / numbers.next()??)
    });
    quotas.min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Files<'a> = &'a [(&'a str, &'a str)];

    const ALLOWED: (&str, &str) = ("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-3,8,10-11\n");

    /// Writes `files`, (path, text), to a temporary folder. Returns what [`cores_at`] finds there.
    fn found(name: &str, files: Files<'_>, processes: usize) -> Option<usize> {
        let root = std::env::temp_dir().join(format!("tonic-base-cores-{}-{name}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let found = cores_at(&root, processes);
        let _ = std::fs::remove_dir_all(root);
        found
    }

    #[test]
    fn processes_divide_a_machine_unless_each_has_processors_of_its_own() {
        let online = ("sys/devices/system/cpu/online", "0-15\n");
        let group = ("proc/self/cgroup", "0::/job\n");
        let quota = ("sys/fs/cgroup/job/cpu.max", "600000 100000\n");
        for (processes, of_machine, of_quota) in [(1, 7, 6), (2, 7, 3), (4, 4, 1), (8, 2, 1), (40, 1, 1)] {
            assert_eq!(found("machine", &[ALLOWED, online], processes), Some(of_machine), "{processes}");
            assert_eq!(found("quota", &[ALLOWED, online, group, quota], processes), Some(of_quota), "{processes}");
        }
    }

    #[test]
    fn the_tightest_limit_counts_and_is_rounded() {
        let allowed = ALLOWED;
        let new = ("proc/self/cgroup", "0::/slurm/job_7\n");
        let old = ("proc/self/cgroup", "5:memory:/slurm/job_7\n4:cpu,cpuacct:/slurm/job_7\n");
        let (job, around) = ("sys/fs/cgroup/slurm/job_7/cpu.max", "sys/fs/cgroup/slurm/cpu.max");
        let (quota, period) = ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "sys/fs/cgroup/cpu/cpu.cfs_period_us");
        let cases: [(Files<'_>, Option<usize>); 11] = [
            (&[], None),
            (&[allowed], Some(7)),
            (&[allowed, new, (job, "max 100000\n")], Some(7)),
            (&[allowed, new, (job, "150000 100000\n")], Some(2)),
            (&[allowed, new, (job, "140000 100000\n")], Some(1)),
            (&[allowed, new, (job, "20000 100000\n")], Some(1)),
            (&[allowed, new, (job, "900000 100000\n"), (around, "300000 100000\n")], Some(3)),
            (&[allowed, new, (job, "900000 100000\n")], Some(7)),
            (&[allowed, old, (quota, "250000\n"), (period, "100000\n")], Some(3)),
            (&[allowed, old, (quota, "-1\n"), (period, "100000\n")], Some(7)),
            (&[("proc/self/status", "Name:\tx\n")], None),
        ];
        for (i, (files, expected)) in cases.into_iter().enumerate() {
            assert_eq!(found(&i.to_string(), files, 1), expected, "{files:?}");
        }
        assert!(cores() >= 1);
    }
}
