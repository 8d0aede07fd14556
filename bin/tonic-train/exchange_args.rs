//! The commands `tonic-train export` and `tonic-train import`, and their arguments.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tonic_base::{BaseFault, Error as BaseError, printable, printable_json};
use tonic_sets::frame_seconds;
use tonic_train::network::write_model;
use tonic_train::nir::{self, Convention};
use tonic_train::run::{Config, export_npz, model_file};

use crate::best_args::BestArgs;
use crate::values::{nir_path, npz_path, safetensors_path};

#[derive(Args)]
pub(crate) struct ExportArgs {
    /// Run folder that `fit` wrote
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Write a graph of NIR, the Neuromorphic Intermediate Representation, in HDF5
    #[arg(long, value_name = "FILE.nir", required_unless_present = "npz", conflicts_with = "npz", value_parser = nir_path)]
    nir: Option<PathBuf>,
    /// Write the tensors of model.safetensors, and their description as JSON in the array tonic_toolkit, for NumPy
    #[arg(long, value_name = "FILE.npz", value_parser = npz_path)]
    npz: Option<PathBuf>,
    #[command(flatten)]
    best: BestArgs,
    /// Who reads the graph: nir (NIR's equations, times in seconds), or the importers of sinabs or snntorch, which read
    /// time constants and resets differently
    #[arg(long, default_value = "nir", conflicts_with = "npz")]
    convention: Convention,
    /// Duration of a time step in seconds, for the time constants of --convention nir [default: that of the recipe]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "npz")]
    dt: Option<f64>,
    /// Print the result as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct ImportArgs {
    /// Graph of NIR in HDF5
    #[arg(value_name = "FILE.nir")]
    graph: PathBuf,
    /// Model file, as in a run folder
    #[arg(long, short, value_name = "FILE.safetensors", value_parser = safetensors_path)]
    output: PathBuf,
    /// Who wrote the graph: nir (NIR's equations, times in seconds), sinabs or snntorch
    #[arg(long, default_value = "nir")]
    convention: Convention,
    /// Duration of a time step in seconds, for the time constants of --convention nir
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    dt: Option<f64>,
    /// Number of time steps of a sample
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Print the result as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok().filter(|&number: &f64| number > 0.0 && number.is_finite());
    number.ok_or_else(|| "expected a positive number of seconds".into())
}

/// Refuses a time step for readers that don't use it.
fn check_dt(convention: Convention, dt: Option<f64>) -> Result<(), BaseError> {
    match dt.filter(|_| convention != Convention::Nir) {
        None => Ok(()),
        Some(_) => Err(BaseError::usage("dt", "--convention nir, which alone has times in seconds", "another one")),
    }
}

pub(crate) fn run_export(args: ExportArgs) -> anyhow::Result<()> {
    let ExportArgs { run, nir, npz, best, convention, dt, json } = args;
    check_dt(convention, dt)?;
    let model = model_file(&run, best.choose(&run))?;
    let (path, notes) = match (nir, npz) {
        (Some(path), _) => {
            let dt = dt.or_else(|| frame_seconds(&Config::read(&run).ok()?.data.recipe));
            let notes = nir::export(&model, &path, convention, dt)?;
            (path, notes)
        }
        (None, path) => {
            let path = path.unwrap_or_default();
            export_npz(&model, &path)?;
            (path, Vec::new())
        }
    };
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", printable_json(&json!({"path": path, "notes": notes}).to_string()))?;
        return Ok(());
    }
    for note in notes {
        writeln!(out, "note: {}", printable(&note))?;
    }
    writeln!(out, "{} -> {}", printable(&run.display().to_string()), printable(&path.display().to_string()))?;
    Ok(())
}

pub(crate) fn run_import(args: ImportArgs) -> anyhow::Result<()> {
    let ImportArgs { graph, output, convention, dt, steps, json } = args;
    check_dt(convention, dt)?;
    let model = nir::import(&graph, convention, dt, steps as usize)?;
    write_model(&output, &model)?;
    let mut out = std::io::stdout().lock();
    let network = model.network.layers().text();
    if json {
        let value = json!({"path": output, "classes": model.classes, "network": network});
        writeln!(out, "{}", printable_json(&value.to_string()))?;
    } else {
        write!(out, "{network}")?;
        writeln!(out, "{} -> {}", printable(&graph.display().to_string()), printable(&output.display().to_string()))?;
    }
    Ok(())
}
