//! Finds out from the environment whether a launcher started this process as one of several.

/// How a launcher started this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Number of processes that were started together.
    pub size: usize,
    /// The environment variable that has this number.
    pub variable: &'static str,
}

/// Variables with the number of processes. The first are those of Open MPI, MPICH and MVAPICH.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"];
/// A variable that shows that `srun --mpi=pmix` started this process, and the variable with the number of processes.
/// Without PMIx, `srun` starts processes that know nothing of each other.
const PMIX: (&str, &str) = ("PMIX_RANK", "SLURM_STEP_NUM_TASKS");

impl Launch {
    /// Returns how this process was started. `None` if it is the only one.
    pub fn of_process() -> Option<Launch> {
        Launch::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Option<Launch> {
        let under_pmix = variable(PMIX.0).map(|_| PMIX.1);
        let sizes = SIZES.into_iter().chain(under_pmix);
        let launch = |name| Some(Launch { size: variable(name)?.trim().parse().ok()?, variable: name });
        sizes.filter_map(launch).find(|launch| launch.size > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Launch;

    #[test]
    fn a_launcher_of_several_processes_is_known_by_its_variables() {
        let of = |set: &[(&str, &str)]| {
            Launch::of(|name| set.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned()))
        };
        let several = |size, variable| Some(Launch { size, variable });
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("OMPI_COMM_WORLD_SIZE", "1")]), None);
        assert_eq!(of(&[("OMPI_COMM_WORLD_SIZE", "4")]), several(4, "OMPI_COMM_WORLD_SIZE"));
        assert_eq!(of(&[("PMI_SIZE", "2")]), several(2, "PMI_SIZE"));
        let slurm = ("SLURM_STEP_NUM_TASKS", "8");
        assert_eq!(of(&[slurm, ("PMIX_RANK", "0")]), several(8, "SLURM_STEP_NUM_TASKS"));
        // `srun` without PMIx starts tasks that may be separate runs.
        assert_eq!(of(&[slurm]), None);
        assert_eq!(of(&[("OMPI_COMM_WORLD_SIZE", "many")]), None);
    }
}
