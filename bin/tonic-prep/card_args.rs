//! The command `card`, which describes a set for people, and its arguments.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use tonic_base::{BaseFault, Error as BaseError, printable};
use tonic_sets::{Card, directory_name};
use tonic_shard::{CARD, CARD_PICTURE, Manifest, ShardSet};

use crate::quoted::quoted;
use crate::set_place::url_of;
use crate::write_args::verbosity;

/// Maximum number of recordings that the command on the card names. If the set has more, the command has the word
/// RECORDINGS instead of the names.
const MOST_NAMED: usize = 4;

#[derive(Args)]
pub(crate) struct CardArgs {
    /// Directory of the set
    dir: PathBuf,
    /// Licence of the recordings, such as CC-BY-4.0 [default: that of the card that is there already]
    #[arg(long, value_name = "TEXT")]
    license: Option<String>,
    /// Web page that the recordings come from [default: that of the card that is there already]
    #[arg(long, value_name = "URL")]
    source_url: Option<String>,
    /// Replace a README.md that was written or changed by hand
    #[arg(long)]
    force: bool,
    /// Print the result as one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

impl CardArgs {
    /// Writes the card. Returns the result as JSON, and as text for the user.
    pub(crate) fn run(self, quiet: bool) -> anyhow::Result<(Value, String)> {
        let CardArgs { dir, license, source_url, force, json } = self;
        if url_of(&dir).is_some() {
            let what = "a directory: write the card there, then push the set";
            return Err(BaseError::usage("dir", what, "a URL").into());
        }
        let set = ShardSet::open(&dir)?;
        let name = directory_name(&dir);
        let (made, load) = (made(set.manifest(), &name), load(set.manifest(), &name));
        Card { name, license, source_url, made, load }.write(&set, force, verbosity(quiet || json))?;
        let (page, picture) = (dir.join(CARD), dir.join(CARD_PICTURE));
        let value = json!({
            "path": page, "picture": picture, "set_id": set.manifest().set_id, "samples": set.len(), "notes": [],
        });
        Ok((value, format!("{}\n{}", printable(&page.to_string_lossy()), printable(&picture.to_string_lossy()))))
    }
}

/// Returns the command that made the set. If the manifest doesn't contain this command, returns a command that makes
/// a similar set.
fn made(manifest: &Manifest, name: &str) -> Vec<String> {
    let description = &manifest.description;
    let output = quoted(&format!("shards/{name}"));
    if !manifest.command.is_empty() {
        let words: Vec<String> = manifest.command.iter().map(|word| quoted(word)).collect();
        let part = description.part.map_or(String::new(), |part| format!(" --part {}/{}", part.index, part.of));
        return vec![format!("{}{part} -o {output}", words.join(" "))];
    }
    let mut names: Vec<String> = description.sources.iter().map(|source| quoted(&source.name)).collect();
    if names.is_empty() || names.len() > MOST_NAMED {
        names = vec!["RECORDINGS".into()];
    }
    let chunk = description.chunk_samples;
    vec![
        "# recipe.toml is the recipe below; options that say how to read the recordings are not recorded".into(),
        format!("tonic-prep convert {} -o {output} --recipe recipe.toml --chunk-samples {chunk}", names.join(" ")),
    ]
}

/// Returns the commands that fetch a set and load it.
fn load(manifest: &Manifest, name: &str) -> Vec<String> {
    let set = quoted(&format!("shards/{name}"));
    vec![
        format!("tonic-prep pull 'URL#{}' {set}    # URL: where the set was pushed to", manifest.set_id),
        format!("tonic-prep verify {set}"),
        format!("tonic-train fit --train {set} -o runs/first"),
        format!("tonic-prep export {set} --npy arrays    # for NumPy"),
    ]
}
