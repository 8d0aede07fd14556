//! Tests training on several ranks: any number of ranks gives the bits of one process, over shared memory, over TCP
//! between virtual nodes, and in jobs that are queued again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::slurm::{Cluster, POLL, script, succeed, wait};

/// Environment variables for MPI between nodes that are on one machine, without its shared memory.
const TCP: [&str; 4] =
    ["OMPI_MCA_pml=ob1", "OMPI_MCA_btl=self,tcp", "OMPI_MCA_btl_tcp_if_include=lo", "OMPI_MCA_oob_tcp_if_include=lo"];

/// A network with everything that is summed over samples: norms, learned parameters of neurons, recurrent weights. All
/// layers spike.
const NETWORK: &str = "layers = [
  { linear = 24, bias = false }, { norm = \"batch\" }, { neuron = \"silif\" }, { dropout = 0.3 },
  { linear = 16 }, { norm = \"batch\" }, { neuron = \"iaf\" }, { dropout = 0.3 },
  { linear = 12, bias = false }, { norm = \"batch\" }, { recurrent = \"dense\" }, { neuron = \"adlif\" }, { dropout = 0.3 },
  { linear = \"classes\", bias = false }, { norm = \"batch\" }, { readout = \"leaky\" },
]
";

const AUGMENTATION: &str = "[[transform]]\nname = \"DropEvent\"\np = [0.0, 0.3]\n";

/// Options of three runs. In the first run, the last batches have fewer blocks of samples than there are ranks.
pub(crate) const IAF: [&str; 11] = [
    "--hidden",
    "20,12",
    "--batch-size",
    "33",
    "--epochs",
    "2",
    "--pad",
    "batch",
    "--class-weights",
    "balanced",
    "--cache=stream",
];
const LAYERED: [&str; 11] = [
    "--network",
    "network.toml",
    "--batch-size",
    "40",
    "--epochs",
    "2",
    "--augment",
    "augment.toml",
    "--reestimate-norm",
    "--select",
    "valid-accuracy",
];
const TERMS: [&str; 12] = [
    "--hidden",
    "20,12",
    "--batch-size",
    "50",
    "--epochs",
    "2",
    "--spike-rate",
    "0.1,0.2",
    "--clip-norm",
    "0.5",
    "--label-smoothing=0.1",
    "--drop-last",
];

pub(crate) struct Bench {
    pub(crate) cluster: Cluster,
}

impl Bench {
    /// Starts the namespaces, and makes two sets in the working directory.
    pub(crate) fn start() -> Option<Bench> {
        let has_mpi = Command::new("which").arg("mpirun").output().is_ok_and(|output| output.status.success());
        if !has_mpi {
            eprintln!("skipped: mpirun not found: scripts/setup --cluster installs it");
            return None;
        }
        let cluster = Cluster::start()?;
        let work = cluster.work();
        let prep =
            |words: &[&str]| succeed(Command::new(env!("CARGO_BIN_EXE_tonic-prep")).current_dir(&work).args(words));
        for (set, samples, seed) in [("set", "170", "1"), ("other", "150", "2")] {
            let file = format!("{set}.h5");
            prep(&["synth", "-o", &file, "--samples", samples, "--classes", "4", "--seed", seed]);
            prep(&["convert", &file, "-o", set, "--chunk-samples", "8"]);
        }
        std::fs::write(work.join("network.toml"), NETWORK).unwrap();
        std::fs::write(work.join("augment.toml"), AUGMENTATION).unwrap();
        Some(Bench { cluster })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.cluster.work().join(name)
    }

    /// Returns the words of a `fit` into the folder `run`.
    pub(crate) fn fit<'a>(run: &'a str, options: &[&'a str]) -> Vec<&'a str> {
        [&["tonic-train", "fit", "--train", "set", "--valid", "other", "--test", "other", "-o", run], options].concat()
    }

    /// Runs `words` as one process.
    pub(crate) fn alone(&self, words: &[&str]) -> Output {
        self.cluster.run(words)
    }

    /// Returns a command that runs `words` on `ranks` ranks. `words` can have a colon between the words of two programs.
    pub(crate) fn mpirun(&self, ranks: &str, words: &[&str]) -> Command {
        let mpirun = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", ranks];
        let mut command = self.cluster.command(&[&mpirun, words].concat());
        command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        // The only network here is the loopback, which Open MPI leaves out by default.
        command.env("OMPI_MCA_oob_tcp_if_include", "lo").env("OMPI_MCA_btl_tcp_if_include", "lo");
        command.env("OMPI_MCA_orte_tmpdir_base", self.path("")).env("RAYON_NUM_THREADS", "1");
        command
    }

    /// Returns the content of the files of a run that don't depend on the time.
    pub(crate) fn results(&self, run: &str) -> BTreeMap<&str, Vec<u8>> {
        let read = |name: &'static str| {
            let bytes = std::fs::read(self.path(run).join(name)).unwrap_or_else(|e| panic!("{run}/{name}: {e}"));
            (name, bytes)
        };
        let files = ["config.toml", "checkpoint.safetensors", "model.safetensors", "best.safetensors", "test.json"];
        let mut results: BTreeMap<_, _> = files.map(read).into();
        let lines = String::from_utf8(read("metrics.jsonl").1).unwrap();
        let metrics = lines.lines().map(|line| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            let fields = line.as_object_mut().unwrap();
            fields.retain(|name, _| !name.contains("second"));
            line.to_string()
        });
        results.insert("metrics.jsonl", metrics.collect::<Vec<_>>().join("\n").into());
        results
    }

    pub(crate) fn assert_same(&self, run: &str, expected: &str) {
        for ((name, got), of) in self.results(run).iter().zip(self.results(expected).values()) {
            assert!(got == of, "{name} of {run} differs from {expected}");
        }
    }
}

pub(crate) fn text(output: &Output) -> String {
    format!("{}\n{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn assert_succeeds(output: &Output) {
    assert!(output.status.success(), "{}", text(output));
}

#[test]
fn ranks_come_to_the_bits_of_one_process() {
    let Some(bench) = Bench::start() else { return };
    for (name, options) in [("iaf", &IAF[..]), ("layered", &LAYERED), ("terms", &TERMS)] {
        let alone = format!("{name}-alone");
        assert_succeeds(&bench.alone(&Bench::fit(&alone, options)));
        let counts = if name == "iaf" { &["1", "2", "4", "8"][..] } else { &["1", "2", "4"] };
        for &ranks in counts {
            let run = format!("{name}-{ranks}");
            let output = bench.mpirun(ranks, &Bench::fit(&run, options)).output().unwrap();
            assert_succeeds(&output);
            let said = text(&output);
            assert_eq!(said.matches("epoch 2/2").count(), 1, "only rank 0 talks: {said}");
            assert!(ranks == "1" || said.contains(&format!("ranks    {ranks} train together")), "{said}");
            bench.assert_same(&run, &alone);
        }
    }
    // Over TCP, between four virtual nodes.
    for (name, options) in [("iaf", &IAF[..]), ("layered", &LAYERED)] {
        let run = format!("{name}-tcp");
        let words = [&["env"], &TCP[..], &["srun", "--mpi=pmix", "-N", "4", "-n", "4"], &Bench::fit(&run, options)[..]]
            .concat();
        assert_succeeds(&bench.cluster.run(&words));
        bench.assert_same(&run, &format!("{name}-alone"));
    }
    // A run that ends at its limit of epochs on one number of ranks is continued on another number of ranks.
    for counts in [["4", "1"], ["1", "2"], ["2", "4"]] {
        let run = format!("across-{}-{}", counts[0], counts[1]);
        for (ranks, (epochs, resume)) in counts.iter().zip([("--epochs=1", None), ("--epochs=2", Some("--resume"))]) {
            let mut words = Bench::fit(&run, &LAYERED);
            let place = words.iter().position(|word| *word == "--epochs").unwrap();
            words.splice(place..place + 2, [epochs]);
            words.extend(resume);
            assert_succeeds(&bench.mpirun(ranks, &words).output().unwrap());
        }
        bench.assert_same(&run, "layered-alone");
    }
}

#[test]
fn jobs_of_several_tasks_that_are_queued_again_come_to_the_bits_of_one_process() {
    let Some(bench) = Bench::start() else { return };
    let options = ["--hidden", "32,32", "--epochs", "60", "--batch-size", "32"];
    assert_succeeds(&bench.alone(&Bench::fit("alone", &options)));
    let fit = script("fit.sbatch");
    let words =
        [&["--nodes=2", "--ntasks=2", "--cpus-per-task=1", "--mem=500", &fit], &Bench::fit("queued", &options)[2..]];
    let exported = format!("--export=ALL,{}", TCP.join(",").replace("self,tcp", "^vader"));
    let job = bench.cluster.submit(&[&[exported.as_str()], &words.concat()[..]].concat());
    let metrics = bench.path("queued/metrics.jsonl");
    wait("an epoch", POLL, || std::fs::read_to_string(&metrics).is_ok_and(|text| text.contains('\n')));
    bench.cluster.run(&["scancel", "--batch", "--signal=USR1", &job]);
    bench.cluster.wait_for_all();
    let logs = bench.cluster.logs();
    assert_eq!(bench.cluster.states(&job), ["COMPLETED"], "{logs}");
    assert!(logs.contains("interrupted") && logs.contains("resume   after"), "the job was not interrupted: {logs}");
    bench.assert_same("queued", "alone");
}
