//! Follows soft and external links: which other files a path leads through, and where it ends if it leads nowhere.

use std::path::PathBuf;

use hdf5::Group;

use crate::source::hdf::search;
use crate::source::hdf::sys::{Link, link};

/// Maximum number of links on one path, as in libhdf5, so that links in a circle end.
const MOST_LINKS: usize = 16;

/// Another file that holds data of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedPath {
    /// Name of the file in the mapping or in the link.
    pub name: String,
    /// Where it was found.
    pub path: PathBuf,
}

/// Where a path leads.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// The files that it leads through, without the first.
    pub(super) files: Vec<LinkedPath>,
    /// What is wrong with a link on it that leads nowhere.
    pub(super) broken: Option<String>,
}

/// Follows a path from a group of the file at `from`.
pub(super) fn follow(group: &Group, path: &str) -> Trail {
    let mut trail = Trail::default();
    trail.broken = walk(group, path, &mut trail.files);
    trail
}

/// Follows a path. Returns what is wrong with the last link of it, if that leads nowhere.
fn walk(group: &Group, path: &str, files: &mut Vec<LinkedPath>) -> Option<String> {
    let mut group = group.clone();
    let mut rest: Vec<String> = components(path);
    let (mut links, mut last) = (0, None); // how many were followed, and what to say of the last
    while let Some(name) = rest.pop() {
        let place = format!("{}/{name}", group.name());
        let place = place.trim_start_matches('/');
        match link(&group, &name).ok()? {
            None => return last,
            Some(Link::Hard) if rest.is_empty() => return None,
            Some(Link::Hard) => match group.group(&name) {
                Ok(below) => group = below,
                Err(_) => return last,
            },
            Some(_) if links == MOST_LINKS => return Some(format!("{place} is one of too many links, in a circle?")),
            Some(Link::Soft(target)) => {
                links += 1;
                last = Some(format!("{place} is a soft link to {target}, which is not there"));
                if target.starts_with('/') {
                    group = group.file().ok()?.as_group().ok()?;
                }
                rest.extend(components(&target));
            }
            Some(Link::External { file, path }) => {
                links += 1;
                let from = PathBuf::from(group.filename());
                let (found, opened) = match search::open(&file, &from, search::LINK_PREFIX) {
                    Ok(opened) => opened,
                    Err(wrong) => {
                        let file = search::expected_at(&file, &from);
                        return Some(format!("{place} is an external link to the file {}, {wrong}", file.display()));
                    }
                };
                last = Some(format!("{place} is an external link to {path} in {file}, which is not there"));
                group = opened.as_group().ok()?;
                files.push(LinkedPath { name: file, path: found });
                rest.extend(components(&path));
            }
        }
    }
    None
}

/// The names on a path, the first at the end.
fn components(path: &str) -> Vec<String> {
    path.split('/').rev().filter(|name| !["", "."].contains(name)).map(String::from).collect()
}
