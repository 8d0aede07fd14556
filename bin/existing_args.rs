//! `--resume` and `--overwrite`: what a program does if its output exists already.

use std::str::FromStr;

use clap::Args;
use tonic_shard::Existing;

#[derive(Args)]
pub(crate) struct ExistingArgs {
    /// Continue an interrupted run. What it has saved is kept, and the result is the same as without the interruption.
    /// --resume=auto starts a new run if there is none to continue: for jobs that a cluster can start again
    #[arg(
        long,
        value_name = "auto",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "unfinished",
        conflicts_with = "overwrite"
    )]
    resume: Option<Resume>,
    /// Delete what an earlier run has written, before the new run begins
    #[arg(long)]
    overwrite: bool,
}

impl ExistingArgs {
    pub(crate) fn existing(&self) -> Existing {
        match self.resume {
            Some(Resume(existing)) => existing,
            None if self.overwrite => Existing::Overwrite,
            None => Existing::Refuse,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Resume(Existing);

impl FromStr for Resume {
    type Err = String;

    fn from_str(text: &str) -> Result<Resume, String> {
        match text {
            "unfinished" => Ok(Resume(Existing::Resume)),
            "auto" => Ok(Resume(Existing::Auto)),
            _ => Err("expected --resume, or --resume=auto".into()),
        }
    }
}
