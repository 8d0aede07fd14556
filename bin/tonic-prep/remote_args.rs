//! The commands `push`, `pull` and `prune`, which send, fetch and remove sets on servers, and their arguments.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tonic_base::{BaseFault, Error as BaseError, human_bytes};
use tonic_remote::{Error as RemoteError, Fetch, Location, Patience, RemoteSet, prune, pull, push};
use tonic_sets::{Filter, Output, SampleRange, info, subset};
use tonic_shard::{Existing, Id, Manifest, ShardSet, is_url};

use crate::errors::{BAD_SET, USAGE};
use crate::lock_args::locked_pull;
use crate::notes::card_notes;
use crate::shared_advice::Cause;
use crate::write_args::{threads, verbosity};

/// Options of the commands that use a network.
#[derive(Args)]
pub(crate) struct NetworkArgs {
    /// Give up after this many seconds without progress; the time of repeated tries counts too
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// Print the result as one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

impl NetworkArgs {
    pub(crate) fn patience(&self) -> Patience {
        Patience { timeout: Duration::from_secs(self.timeout) }
    }
}

#[derive(Args)]
pub(crate) struct PushArgs {
    /// Directory of the set
    dir: PathBuf,
    /// Where to: file:///dir, s3://bucket/path or az://container/path
    url: String,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Args)]
pub(crate) struct PullArgs {
    /// Where from: a URL that a set was pushed to, or the URL of a folder with a manifest.json. `URL#SETID` means the
    /// set with this id, and no other
    #[arg(required_unless_present = "lock")]
    url: Option<String>,
    /// Directory of the copy
    #[arg(required_unless_present = "lock")]
    dir: Option<PathBuf>,
    /// Fetch all sets of this lock file, which `tonic-prep lock` writes, from the URLs in it. Each set goes to a folder
    /// with its name in the lock file, inside DIR [default: .]. A set that is there already is only verified
    #[arg(long, value_name = "SET.toml", conflicts_with_all = ["samples", "classes", "expect"])]
    lock: Option<PathBuf>,
    /// Fetch only the samples of these ranges: A..B (B is excluded), A.. or ..B
    #[arg(long, value_name = "A..B,...", value_delimiter = ',')]
    samples: Vec<SampleRange>,
    /// Fetch only the samples of these classes, by name or number. The copy still lists all classes of the set, so
    /// that labels stay as they are
    #[arg(long, value_name = "CLASS,...", value_delimiter = ',')]
    classes: Vec<String>,
    /// Id of the set that is expected. Another one is refused
    #[arg(long, value_name = "SETID")]
    expect: Option<String>,
    /// Replace another set in the directory
    #[arg(long)]
    overwrite: bool,
    /// Number of requests at the same time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    connections: u8,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Args)]
pub(crate) struct PruneArgs {
    /// URL that sets were pushed to
    url: String,
    /// Number of sets that stay, the latest one included
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: u32,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

impl PushArgs {
    /// Sends the set. Returns the result as JSON, and as text for the user.
    pub(crate) fn run(&self, quiet: bool) -> anyhow::Result<(Value, String)> {
        let location = Location::parse(&self.url)?;
        let pushed = push(&self.dir, &location, self.network.patience(), verbosity(quiet || self.network.json))?;
        let id = Manifest::read(&self.dir)?.set_id;
        let (url, sent) = (location.shown(), human_bytes(pushed.sent_bytes));
        let value = json!({
            "url": format!("{url}#{id}"), "set_id": id, "sent_shards": pushed.sent, "sent_bytes": pushed.sent_bytes,
            "copied_shards": pushed.copied, "present_shards": pushed.there,
        });
        let text = format!(
            "{url}#{id}\n{} shards sent ({sent}), {} copied at the server, {} there already",
            pushed.sent, pushed.copied, pushed.there
        );
        Ok((value, text))
    }
}

impl PullArgs {
    /// Fetches the set. Returns the result as JSON, and as text for the user.
    pub(crate) fn run(&self, quiet: bool) -> anyhow::Result<(Value, String)> {
        let verbosity = verbosity(quiet || self.network.json);
        let (first, connections) = (self.url.as_deref().unwrap_or("."), self.connections.into());
        if self.lock.is_some() && (self.dir.is_some() || is_url(Path::new(first))) {
            let got = match &self.dir {
                Some(dir) => format!("two arguments, the second {}", dir.display()),
                None => "a URL".into(),
            };
            return Err(BaseError::usage("lock", "only DIR besides it: the URLs are in the file", got).into());
        }
        let dir = self.dir.clone().unwrap_or_else(|| first.into());
        let fetch = Fetch { dir: dir.clone(), overwrite: self.overwrite, connections, verbosity };
        if let Some(lock) = &self.lock {
            return locked_pull::run(lock, &fetch, self.network.patience());
        }
        let location = Location::parse(first)?;
        let set = RemoteSet::open(&location, self.network.patience())?;
        if let Some(expected) = &self.expect {
            set.expect(set_id(expected)?)?;
        }
        let (manifest, fetched) = if self.samples.is_empty() && self.classes.is_empty() {
            let fetched = pull(&set, &fetch)?;
            (set.manifest().clone(), Some(fetched))
        } else {
            let filter = Filter { samples: self.samples.clone(), classes: self.classes.clone(), ..Filter::default() };
            let existing = if self.overwrite { Existing::Overwrite } else { Existing::Auto };
            let output = Output { path: dir.clone(), existing, threads: threads(None), verbosity };
            let written = subset(ShardSet::open_in(&set)?, &filter, None, &output)?;
            let Some((_, manifest)) = written.into_iter().next() else {
                unreachable!("a subset without a split is one set")
            };
            (manifest, None)
        };
        let notes = card_notes(&dir, &manifest, self.network.json);
        let value = json!({
            "dir": dir, "url": format!("{}#{}", location.shown(), set.manifest().set_id),
            "set_id": manifest.set_id, "samples": manifest.description.samples, "fetched_bytes": fetched,
            "notes": notes,
        });
        let there = if fetched == Some(0) { ": it was there already" } else { "" };
        Ok((value, format!("{}: {}{there}", dir.display(), info::line(&manifest))))
    }
}

impl PruneArgs {
    /// Removes old sets at the URL. Returns the result as JSON, and as text for the user.
    pub(crate) fn run(&self, quiet: bool) -> anyhow::Result<(Value, String)> {
        let location = Location::parse(&self.url)?;
        let verbosity = verbosity(quiet || self.network.json);
        let pruned = prune(&location, self.keep as usize, self.network.patience(), verbosity)?;
        let ids = |ids: &[Id]| ids.iter().map(|id| format!("\n  {id}")).collect::<String>();
        let value = json!({ "removed": pruned.removed, "kept": pruned.kept });
        let text = format!(
            "{} sets removed{}\n{} left, the latest first{}",
            pruned.removed.len(),
            ids(&pruned.removed),
            pruned.kept.len(),
            ids(&pruned.kept)
        );
        Ok((value, text))
    }
}

fn set_id(text: &str) -> anyhow::Result<Id> {
    let got = || tonic_base::Error::Usage {
        what: "expect".into(),
        expected: "the id of a set, 64 hexadecimal digits".into(),
        got: text.into(),
    };
    Ok(text.parse().map_err(|_| got())?)
}

/// Returns the exit code for an error that only [`tonic_remote`] has. `None` for all other errors.
pub(crate) fn exit_code(cause: &Cause) -> Option<u8> {
    match cause.downcast_ref()? {
        RemoteError::BadUrl { .. } | RemoteError::ReadOnly { .. } => Some(USAGE),
        RemoteError::OtherSet { .. } | RemoteError::Overtaken { .. } | RemoteError::BeingPruned { .. } => Some(BAD_SET),
        _ => None,
    }
}

/// Returns what the user can do after an error that only [`tonic_remote`] has. `None` if there is no advice.
pub(crate) fn advice(cause: &Cause) -> Option<String> {
    Some(match cause.downcast_ref()? {
        RemoteError::Overtaken { .. } => "push again to make it the latest; URL#SETID names it as it is".into(),
        RemoteError::OtherSet { expected, .. } => {
            format!("URL#{expected} names the set itself, if it was pushed there")
        }
        RemoteError::BeingPruned { .. } => "push again when prune has ended".into(),
        RemoteError::BadUrl { .. } => {
            "a URL is such as s3://BUCKET/NAME, az://CONTAINER/NAME, file:///FOLDER/NAME or https://HOST/NAME".into()
        }
        RemoteError::ReadOnly { .. } => "push to the folder or the bucket that this server shows".into(),
        _ => return None,
    })
}
