//! Prints the notes of a conversion on stderr.

use std::path::Path;

use tonic_base::printable;
use tonic_prep::Inputs;
use tonic_shard::{Manifest, check_card};

use crate::quoted::quoted_path;
use crate::typed::Typed;

/// Prints how the recordings were opened. With `quiet`, prints only the warnings.
pub(crate) fn report_opening(inputs: &Inputs, typed: &Typed, quiet: bool) {
    if !quiet {
        inputs.lines().iter().for_each(|line| eprintln!("convert: {}", printable(line)));
    }
    report_notes(&with_flags(typed, &inputs.notes), quiet);
}

/// Prints notes and warnings. With `quiet`, prints only the warnings.
pub(crate) fn report_notes(notes: &[String], quiet: bool) {
    /// Maximum number of warnings, and maximum number of notes, that are printed.
    const MOST: usize = 12;
    let (warnings, notes): (Vec<_>, Vec<_>) = notes.iter().partition(|note| note.starts_with("warning: "));
    let show = |kind: &str, notes: &[&String], mark: &str| {
        notes.iter().take(MOST).for_each(|note| eprintln!("convert: {mark}{}", printable(note)));
        if notes.len() > MOST {
            eprintln!("convert: {kind}: and {} more of the kind", notes.len() - MOST);
        }
    };
    show("warning", &warnings, "");
    if !quiet {
        show("note", &notes, "note: ");
    }
}

/// Replaces names of parameters in the notes with flags: `chunk_samples` with `--chunk-samples`.
pub(crate) fn with_flags(typed: &Typed, notes: &[String]) -> Vec<String> {
    notes.iter().map(|note| typed.with_flags(note)).collect()
}

/// Returns a note if the directory has the card of another set. Prints this note too, unless `json` is true.
pub(crate) fn card_notes(dir: &Path, manifest: &Manifest, json: bool) -> Vec<String> {
    let Err(fault) = check_card(dir, manifest.set_id) else { return Vec::new() };
    let note = format!("warning: {}; tonic-prep card {} writes it anew", fault, quoted_path(dir));
    if !json {
        eprintln!("{}", printable(&note));
    }
    vec![note]
}
