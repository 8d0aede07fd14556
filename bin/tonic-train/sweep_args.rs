//! The command `tonic-train sweep` and its arguments.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use tonic_base::{BaseFault, Error as BaseError, printable_json, printable_lines};
use tonic_train::run::{RunOption, check_options};
use tonic_train::sweep::{RUNS, Sweep};

use crate::fit_args::FitArgs;
use crate::options_file::OptionsParser;
use crate::quoted::quoted_path;
use crate::typed::without_credentials;

/// Options that the file of a sweep cannot have, because they are given when a run is trained.
const OF_A_RUN: [&str; 3] = ["output", "resume", "overwrite"];

/// Largest task number that a Slurm array can have with Slurm's default setting, `MaxArraySize` 1001.
const SLURM_TASKS: usize = 1000;

#[derive(Args)]
pub(crate) struct SweepArgs {
    /// TOML file with options for all runs, and a table [vary] with a list of values for each option that varies
    #[arg(value_name = "SPEC.toml")]
    spec: PathBuf,
    /// Folder of the sweep
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// Print the result as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// Refuses URLs with credentials: the options are written to the folder of each run.
fn check_credentials(args: &SweepArgs, options: &[RunOption]) -> Result<(), BaseError> {
    for option in options {
        let Some(text) = option.value.as_str() else { continue };
        let short = without_credentials(text.into());
        if short != *text {
            let expected = "a URL without user, password and query, because it is written to the folders of the runs \
                            (keys of object stores go to environment variables)";
            return Err(BaseError::usage(
                option.place(&args.spec),
                expected,
                format!("{} with them", short.to_string_lossy()),
            ));
        }
    }
    Ok(())
}

/// Checks and writes the sweep, and prints how to train its runs.
pub(crate) fn run(args: &SweepArgs) -> anyhow::Result<()> {
    let sweep = Sweep::read(&args.spec)?;
    let (mut parser, mut checked) = (OptionsParser::<FitArgs>::new(), HashSet::new());
    for run in &sweep.runs {
        if let Some(option) = run.options.iter().find(|option| OF_A_RUN.contains(&option.name.as_str())) {
            let what = option.place(&args.spec);
            return Err(BaseError::usage(what, "no such key: every run has a folder in DIR", "one").into());
        }
        if run.options.iter().all(|option| option.name != "train") {
            let what = format!("{}: train", args.spec.display());
            return Err(BaseError::usage(what, "the folder of the training set", "none").into());
        }
        check_credentials(args, &run.options)?;
        let parsed = parser.run(&args.spec, &run.options)?;
        let lock = parsed.lock.path();
        let planned = parsed.into_planned()?;
        let sets = (planned.train.clone(), planned.valid.clone(), planned.test.clone());
        if checked.insert((sets, lock, planned.drop_last, planned.batch_size)) {
            check_options(&planned).with_context(|| format!("{}: run {}", args.spec.display(), run.name))?;
        }
    }
    let is_new = sweep.write(&args.output)?;
    let dir = quoted_path(&args.output);
    let list = quoted_path(&args.output.join(RUNS));
    let count = sweep.runs.len();
    let sbatch = format!("sbatch --array=1-{count} scripts/cluster/fit.sbatch --sweep {dir}");
    let note = (count > SLURM_TASKS).then(|| {
        format!(
            "{count} tasks are more than Slurm's default MaxArraySize of {} allows: scontrol show config tells that of \
             the cluster; if it is too small, write several smaller sweeps",
            SLURM_TASKS + 1
        )
    });
    let each = format!(
        "tr '\\n' '\\0' < {list} | xargs -0 -I{{}} tonic-train fit --options {{}}/fit.toml -o {{}} --resume=auto"
    );
    let mut out = std::io::stdout().lock();
    if args.json {
        let names: Vec<&str> = sweep.runs.iter().map(|run| run.name.as_str()).collect();
        let mut json = serde_json::json!({
            "folder": args.output, "runs": names, "written": is_new, "sbatch": sbatch, "without_slurm": each,
        });
        if let Some(note) = note {
            json["note"] = note.into();
        }
        writeln!(out, "{}", printable_json(&json.to_string()))?;
    } else {
        let done = if is_new { "written to" } else { "unchanged: the same sweep is in" };
        let compare = format!("tonic-train compare {dir}");
        let note = note.map_or(String::new(), |note| format!("\n  note: {note}"));
        let text = format!(
            "{count} runs {done} {dir}\n\ntrain them with Slurm:\n  {sbatch}{note}\nor one after the other, on this \
             machine:\n  {each}\nand compare them, also while they run:\n  {compare}\n"
        );
        write!(out, "{}", printable_lines(&text))?;
    }
    Ok(())
}
