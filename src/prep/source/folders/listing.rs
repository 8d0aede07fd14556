//! Lists a folder: its recordings, its sub-folders, and the files that are skipped because they are not recordings.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{DirEntry, FileType};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use tonic_base::some_of;
use tonic_shard::{MANIFEST_FILE, MARKER};

use crate::error::{BaseFault, Error, Result};
use crate::source::folders::unread::{Unread, may_be_recording, unread};
use crate::source::formats::{self, ENDINGS};
use crate::source::packed::{Archive, path_in};

/// Maximum depth of nested folders. This limit ends loops of symbolic links.
const MAX_DEPTH: usize = 16;
/// Names of folders made by operating systems and tools. They contain no recordings and are not classes.
pub(crate) const SYSTEM_FOLDERS: [&str; 6] =
    ["__MACOSX", "__pycache__", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information"];

/// Text for error messages: how the user can leave a file out of the set.
pub(crate) const LEAVE_OUT: &str = "(or leave it out: move it, or list the files to take in `labels`)";
/// Endings of files that contain no events, separated by spaces. Such files are skipped without a warning.
const OTHER_ENDINGS: &str = "md rst html py ipynb m sh ini cfg log tmp png jpg jpeg gif bmp tif tiff svg webp pdf avi \
                             mov mp4 mkv webm wav flac mp3 ogg";

/// The contents of a folder or of a zip archive. Names are paths relative to it, separated by `/`. Lists of names are
/// sorted.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The recordings: files with a usual ending ([`ENDINGS`]), and files whose first bytes are those of a recording.
    pub files: Vec<String>,
    /// Sub-folders at every depth, including empty ones. Converted sets, and folders of only converted sets, are left
    /// out.
    pub folders: Vec<String>,
    /// The names of files that are or may be recordings but are not read. Either this crate doesn't read their format,
    /// or they are copies of recordings that are read.
    unread: BTreeMap<String, Unread>,
    /// For each symbolic link in the folder: its name, and the path of the recording or folder that it leads to.
    links: Vec<(String, PathBuf)>,
    /// Symbolic links to folders that are already listed under their own names.
    doubles: Vec<String>,
    /// The path of the folder, with symbolic links resolved. `None` if a table lists the files to take. Then links
    /// cannot add files to the set, so they need no check.
    root: Option<PathBuf>,
    /// Skipped files whose ending doesn't show whether they contain events.
    others: Vec<String>,
    /// Number of converted sets in the folder.
    sets: u64,
    /// Number of skipped files for each ending. Hidden files, hidden folders and [`SYSTEM_FOLDERS`] have their whole
    /// names as keys.
    skipped: BTreeMap<String, u64>,
}

impl Listing {
    /// Lists the folder `dir`. `known` has files that the options name; they don't count as skipped. `has_table` says
    /// whether a table lists the files to take.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`]; [`Error::NotARecording`] for folders nested too deeply, for names that are not UTF-8,
    /// for links that lead nowhere, and for recordings that would be taken twice because of links.
    pub(crate) fn of(dir: &Path, known: &[&Path], has_table: bool) -> Result<Listing> {
        let known: Vec<PathBuf> = known.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let root = if has_table { None } else { dir.canonicalize().ok() };
        let mut listing = Listing { root, ..Listing::default() };
        match Archive::is(dir) {
            true => listing.add_archive(dir, &*Archive::open(dir)?)?,
            false => listing.add(dir, "", &known, MAX_DEPTH)?,
        }
        listing.files.sort_unstable();
        let patterns = listing.patterns();
        // A MATLAB file may have other data than events.
        let is_named_alike = |name: &str, found: &Unread| has_table || listing.lacks(name, found, &patterns);
        let is_taken = |(name, found): &(&String, &Unread)| {
            (**found == Unread::RENAMED && !listing.has_copy(name))
                || (**found == Unread::MATLAB && is_named_alike(name, found))
        };
        let taken: Vec<String> = listing.unread.iter().filter(is_taken).map(|(name, _)| name.clone()).collect();
        taken.iter().for_each(|name| drop(listing.unread.remove(name)));
        listing.files.extend(taken);
        listing.files.sort_unstable();
        listing.folders.sort_unstable();
        listing.links.sort_unstable();
        listing.check_links(dir)?;
        Ok(listing)
    }

    /// Makes a listing that has only these recordings. They need not be sorted.
    pub(crate) fn taken(files: Vec<String>) -> Listing {
        Listing { files, ..Listing::default() }
    }

    /// Returns an error if a symbolic link would let a recording be taken twice, unless a table lists the files to
    /// take.
    fn check_links(&self, dir: &Path) -> Result<()> {
        let mut first = HashMap::new();
        for (name, target) in self.links.iter().filter(|_| self.root.is_some()) {
            let inside = self.root.as_ref().and_then(|root| target.strip_prefix(root).ok()?.to_str());
            let listed = inside.filter(|inside| self.files.iter().any(|file| file == inside));
            if let Some(same) = listed.or_else(|| first.insert(target, name.as_str()).filter(|_| target.is_dir())) {
                let got = format!("{name}, a link to the same as {same} {LEAVE_OUT}");
                return Err(Error::not_a_recording(dir, "each recording once", got));
            }
        }
        Ok(())
    }

    fn add(&mut self, dir: &Path, prefix: &str, known: &[PathBuf], depth: usize) -> Result<()> {
        let refused = |expected: String, got: String| Err(Error::not_a_recording(dir, expected, got));
        if depth == 0 {
            return refused(format!("at most {MAX_DEPTH} folders in each other"), "deeper ones".into());
        }
        let entries: std::io::Result<Vec<DirEntry>> = std::fs::read_dir(dir).and_then(Iterator::collect);
        let entries = entries.map_err(Error::io(dir, "list the folder"))?;
        let looked: Vec<Looked> = entries.par_iter().map(|entry| Looked::at(entry, known)).collect();
        for Looked { path, lossy, ending, kind, is_known, foreign } in looked {
            let hidden = lossy.starts_with('.');
            let ours = ending.as_ref().is_some_and(|ending| ENDINGS.contains(&ending.as_str()));
            let may_be = ending.as_deref().is_none_or(may_be_recording);
            let kind = match kind {
                Ok(kind) => kind,
                Err(_) if self.root.is_some() && !hidden && may_be && path.is_symlink() => {
                    let target = std::fs::read_link(&path).unwrap_or_default();
                    let got =
                        format!("{prefix}{lossy}, a link to {}, which is not there {LEAVE_OUT}", target.display());
                    return Err(Error::not_a_recording(dir, "links that lead to something", got));
                }
                Err(_) if hidden || !ours => {
                    self.skip(prefix, &lossy, ending);
                    continue;
                }
                Err(e) => return Err(Error::io(&path, "open the recording")(e)),
            };
            if kind.is_dir() && is_set(&path) {
                self.sets += 1;
            } else if kind.is_dir() && (hidden || SYSTEM_FOLDERS.contains(&lossy.as_str())) {
                *self.skipped.entry(format!("{lossy}/")).or_default() += 1;
            } else if kind.is_dir() || (ours && kind.is_file() && !hidden) {
                let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                    let expected = "names in UTF-8 (rename it, or move it away)";
                    return refused(expected.into(), format!("{:?}", path.file_name().unwrap_or_default()));
                };
                let name = format!("{prefix}{name}");
                if let Some(root) = self.root.as_ref().filter(|_| path.is_symlink()) {
                    let target = path.canonicalize().map_err(Error::io(&path, "follow the link"))?;
                    // Files in hidden folders, such as that of git-annex, are not listed under their own names.
                    let is_shown = |inside: &Path| inside.iter().all(|part| !part.as_encoded_bytes().starts_with(b"."));
                    if kind.is_dir() && target.strip_prefix(root).is_ok_and(is_shown) {
                        self.doubles.push(name);
                        continue;
                    }
                    self.links.push((name.clone(), target));
                }
                if kind.is_dir() {
                    let before = (self.files.len(), self.folders.len(), self.sets);
                    self.add(&path, &format!("{name}/"), known, depth - 1)?;
                    let sets_only =
                        (self.files.len(), self.folders.len()) == (before.0, before.1) && self.sets > before.2;
                    if !sets_only {
                        self.folders.push(name);
                    }
                } else {
                    self.files.push(name);
                }
            } else if let Some(foreign) = foreign {
                self.unread.insert(format!("{prefix}{lossy}"), foreign);
            } else if !is_known {
                self.skip(prefix, &lossy, ending);
            }
        }
        Ok(())
    }

    /// Adds the members of an archive.
    fn add_archive(&mut self, path: &Path, archive: &Archive) -> Result<()> {
        let mut folders = BTreeSet::new();
        for name in &archive.names {
            let is_hidden = |part: &str| part.starts_with('.') || SYSTEM_FOLDERS.contains(&part);
            let (folder, own) = name.trim_end_matches('/').rsplit_once('/').unwrap_or(("", name));
            if let Some(hidden) = folder.split('/').find(|part| is_hidden(part)) {
                *self.skipped.entry(format!("{hidden}/")).or_default() += 1;
                continue;
            }
            let above = folder.match_indices('/').map(|(at, _)| &folder[..at]).chain([folder]);
            let above = above.chain(name.strip_suffix('/')).filter(|folder| !folder.is_empty());
            folders.extend(above.map(String::from));
            if name.ends_with('/') {
                continue;
            }
            let ending = own.rsplit_once('.').map(|(_, ending)| ending.to_lowercase());
            if own.starts_with('.') {
                self.skip(&format!("{folder}/"), own, ending);
            } else if ending.as_ref().is_some_and(|ending| ENDINGS.contains(&ending.as_str())) {
                self.files.push(name.clone());
            } else {
                let head = formats::head(&path_in(path, name))?;
                let found =
                    if formats::is_read(&head, Path::new(name)) { Some(Unread::RENAMED) } else { unread(&head, own) };
                match found {
                    Some(found) => _ = self.unread.insert(name.clone(), found),
                    None => self.skip(&format!("{folder}/"), own, ending),
                }
            }
        }
        self.folders.extend(folders);
        Ok(())
    }

    /// Returns whether all files that may be recordings are read.
    pub(crate) fn has_no_unread(&self) -> bool {
        self.unread.is_empty()
    }

    /// Checks the files that are or may be recordings, but are not read. Returns notes for the user about these files
    /// and about skipped links.
    ///
    /// # Errors
    /// [`Error::Foreign`] if the set would lack the events of such a file, unless a table lists the files to take.
    pub(crate) fn check_unread(&self, dir: &Path) -> Result<Vec<String>> {
        let has_table = self.root.is_none();
        let patterns = self.patterns();
        let missing = self.unread.iter().filter(|(name, unread)| !has_table && self.lacks(name, unread, &patterns));
        let missing: Vec<(&String, &Unread)> = missing.collect();
        if let Some((name, unread)) = missing.first() {
            let more = match missing.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more files that are not read)"),
            };
            let path = path_in(dir, name);
            return Err(Error::Foreign {
                command: formats::command_in_folder(dir, &path),
                path,
                place: String::new(),
                expected: formats::READ.into(),
                format: format!("{}{more}", unread.format),
                reader: format!("{} {LEAVE_OUT}", unread.reader),
            });
        }
        let mut kinds: BTreeMap<(bool, &Unread), Vec<&str>> = BTreeMap::new();
        for (name, unread) in &self.unread {
            kinds.entry((!has_table && !self.has_copy(name), unread)).or_default().push(name);
        }
        let note = |((is_lost, unread), names): ((bool, &Unread), Vec<&str>)| {
            let warning = if is_lost { "warning: " } else { "" };
            format!("{warning}not read and in no sample: {}, {}: {}", some_of(&names), unread.format, unread.reader)
        };
        let mut notes: Vec<String> = kinds.into_iter().map(note).collect();
        let doubles = || format!("links to folders that are in it anyway were skipped: {}", some_of(&self.doubles));
        notes.extend((!self.doubles.is_empty()).then(doubles));
        let is_alike = |name: &&String| !has_table && patterns.contains(&pattern(name)) && !self.has_copy(name);
        let alike: Vec<&String> = self.others.iter().filter(is_alike).collect();
        notes.extend((!alike.is_empty()).then(|| {
            format!(
                "warning: named as the recordings are, but of no known format, and in no sample: {}",
                some_of(&alike)
            )
        }));
        Ok(notes)
    }

    /// Returns the [`pattern`] of each recording.
    fn patterns(&self) -> HashSet<String> {
        self.files.iter().map(|file| pattern(file)).collect()
    }

    /// Returns whether events would be missing from the set because the file `name` is not read. `patterns` has the
    /// [`pattern`] of each recording.
    fn lacks(&self, name: &str, unread: &Unread, patterns: &HashSet<String>) -> bool {
        match name.split_once('/') {
            _ if unread.has_events || patterns.contains(&pattern(name)) => !self.has_copy(name),
            // Any other file counts as a recording only if no recording in its first-level folder is read.
            None => self.files.is_empty(),
            Some((class, _)) => self.beginning_with(&format!("{class}/")).next().is_none(),
        }
    }

    /// Returns whether a recording that is read is a copy of the file `name`: `a.npy`, `a_1.h5` and `a/1.h5` are copies
    /// of `a.mat`.
    fn has_copy(&self, name: &str) -> bool {
        let stem = &name[..stem_of(name).end];
        let is_copy = |rest: &str| rest.starts_with(['.', '/', '_', '-']);
        self.beginning_with(stem).any(|file| is_copy(&file[stem.len()..]))
    }

    /// Returns the recordings whose names begin with `begin`.
    fn beginning_with<'a>(&'a self, begin: &'a str) -> impl Iterator<Item = &'a String> {
        let first = self.files.partition_point(|file| file.as_str() < begin);
        self.files[first..].iter().take_while(move |file| file.starts_with(begin))
    }

    fn skip(&mut self, prefix: &str, name: &str, ending: Option<String>) {
        let tells = |ending: &String| OTHER_ENDINGS.split(' ').any(|other| other == ending);
        if !name.starts_with('.') && ending.as_ref().is_some_and(|ending| !tells(ending)) {
            self.others.push(format!("{prefix}{name}"));
        }
        let kind = match (name.strip_prefix('.'), ending) {
            (Some(rest), _) if rest.starts_with('_') => "._*".into(),
            (Some(_), _) => name.into(),
            (None, Some(ending)) => format!(".{ending}"),
            (None, None) => "without an ending".into(),
        };
        *self.skipped.entry(kind).or_default() += 1;
    }

    /// Returns the numbers of skipped files as text, such as `3 (2 .txt, 1 .DS_Store)`. `None` if no file was skipped.
    pub(crate) fn skipped(&self) -> Option<String> {
        let mut kinds: Vec<(&String, &u64)> = self.skipped.iter().collect();
        kinds.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        let kinds: Vec<String> = kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        let all: u64 = self.skipped.values().sum();
        (all > 0).then(|| format!("{all} ({})", some_of(&kinds)))
    }
}

/// An entry of a folder, with its type and with what was found in its first bytes.
struct Looked {
    path: PathBuf,
    /// The entry's name. Bytes that are not UTF-8 are replaced. `ending` is in lower case.
    lossy: String,
    ending: Option<String>,
    /// The type of the file. For a symbolic link, the type of the file that it leads to.
    kind: std::io::Result<FileType>,
    /// Whether the options name this file.
    is_known: bool,
    /// For a file whose ending is not in [`ENDINGS`]: its format, if the file may be a recording.
    foreign: Option<Unread>,
}

impl Looked {
    fn at(entry: &DirEntry, known: &[PathBuf]) -> Looked {
        let path = entry.path();
        let lossy = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let ours = ending.as_ref().is_some_and(|ending| ENDINGS.contains(&ending.as_str()));
        let is_known = !known.is_empty() && path.canonicalize().is_ok_and(|path| known.contains(&path));
        let kind = match entry.file_type() {
            Ok(kind) if kind.is_symlink() => std::fs::metadata(&path).map(|meta| meta.file_type()),
            kind => kind,
        };
        let mut foreign = None;
        if kind.as_ref().is_ok_and(FileType::is_file) && !ours && !lossy.starts_with('.') && !is_known {
            let head = formats::head_of(&path);
            foreign = if formats::is_read(&head, &path) { Some(Unread::RENAMED) } else { unread(&head, &lossy) };
        }
        Looked { path, lossy, ending, kind, is_known, foreign }
    }
}

/// Returns the byte range of the file's name in a path, up to the first dot of the name.
fn stem_of(path: &str) -> Range<usize> {
    let start = path.rfind('/').map_or(0, |slash| slash + 1);
    start..path[start..].find('.').map_or(path.len(), |dot| start + dot)
}

/// Returns a file's name without its ending and its digits. It is the same for all files of a numbered series.
fn pattern(path: &str) -> String {
    path[stem_of(path)].chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Returns whether a folder is a converted set, complete or not.
fn is_set(path: &Path) -> bool {
    [MANIFEST_FILE, MARKER].iter().any(|name| path.join(name).exists())
}
