//! Follows the soft and external links on a path in an HDF5 file.

use std::path::PathBuf;

use hdf5::Group;

use crate::source::hdf::search;
use crate::source::hdf::sys::{Link, link};

/// Maximum number of links on one path, as in libhdf5. The limit ends the search if links form a circle.
const MOST_LINKS: usize = 16;

/// A file that holds data of a recording, but is not the recording's own file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedPath {
    /// The name by which the HDF5 file refers to this file. For the labels of MNIST: the name of the file.
    pub name: String,
    /// Path at which the file was found.
    pub path: PathBuf,
}

/// The result of following a path in an HDF5 file.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// The files that external links on the path lead to.
    pub(super) files: Vec<LinkedPath>,
    /// If a link on the path is broken: a text for messages that says what is wrong with it.
    pub(super) broken: Option<String>,
}

/// Follows the soft and external links on a path that starts at `group`.
pub(super) fn follow(group: &Group, path: &str) -> Trail {
    let mut trail = Trail::default();
    trail.broken = walk(group, path, &mut trail.files);
    trail
}

/// Follows the soft and external links on a path that starts at `group`. Adds the linked files to `files`. If a link on
/// the path is broken, returns what is wrong with it.
fn walk(group: &Group, path: &str, files: &mut Vec<LinkedPath>) -> Option<String> {
    let mut group = group.clone();
    let mut rest: Vec<String> = components(path);
    let (mut links, mut last) = (0, None); // number of followed links; message if the last one is broken
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

/// Returns the names on a path in reverse order, so that the first name is popped first.
fn components(path: &str) -> Vec<String> {
    path.split('/').rev().filter(|name| !["", "."].contains(name)).map(String::from).collect()
}
