//! Merges sets of one recipe, or the parts of one set, into one set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tonic_base::and_more;
use tonic_shard::{
    Error as ShardError, Existing, LinkedFile, Manifest, Part, SetDescription, ShardSet, SourceFile, Width, Widths,
    listed,
};

use crate::error::{BaseFault, Error, Result, ShardFault};
use crate::selection::{Output, Selection, made_before, tool_of, write};

/// Merges whole sets in the given order, or the parts of one set in the order of their numbers. Merging all parts gives
/// the same bytes as a conversion without parts.
///
/// The merged set has `chunk_samples` samples per chunk; by default, as many as the first set.
///
/// # Errors
/// [`tonic_shard::Error::Mismatch`] for sets with different recipes or classes, and for parts that don't belong
/// together; [`Error::MissingParts`]; errors of opening, reading and writing sets.
pub fn merge(dirs: &[PathBuf], output: &Output, chunk_samples: Option<u32>) -> Result<Manifest> {
    let mut sets = dirs.iter().map(|dir| ShardSet::open(dir)).collect::<Result<Vec<_>, _>>()?;
    if sets.is_empty() {
        return Err(Error::usage("sets", "at least one", "none"));
    }
    let usual = usual(&sets, |set| set.manifest().description.recipe_id);
    sets.iter().try_for_each(|set| check_same(set, usual))?;
    let parts = check_parts(&sets, &output.path)?;
    let mut sources = None;
    if parts {
        sets.sort_by_key(part_index);
        check_settings(&sets)?;
        sources = joined(&sets)?.or_else(|| sum_listed(sets.iter().map(|set| &set.manifest().description.sources[..])));
    }
    let mut selection = Selection::of(&sets);
    for (i, set) in sets.iter().enumerate() {
        selection.push(i, 0..set.len());
    }
    let mut description = describe(&sets, &selection, sources);
    if parts {
        check_shares(&sets, &description)?;
    }
    if let Some(chunk_samples) = chunk_samples {
        description.resize_chunks(chunk_samples);
    }
    if output.existing == Existing::Auto
        && let Some(made) = made_before(output, &selection, &description)?
    {
        return Ok(made);
    }
    let dir = output.open(&sets)?;
    write(&selection, description, output, dir, "merge")
}

/// Returns the description of the merged set. Its source files are `sources`; by default, the source files of the
/// selected samples.
fn describe(sets: &[ShardSet], selection: &Selection<'_>, sources: Option<Vec<SourceFile>>) -> SetDescription {
    let descriptions = || sets.iter().map(|set| &set.manifest().description);
    let first = &sets[0].manifest().description;
    let counts = descriptions().map(|d| d.widths.counts).max().unwrap_or(Width::U8);
    SetDescription {
        samples: selection.len(),
        widths: Widths::of(first.shape, counts),
        frame_limit: descriptions().map(|d| d.frame_limit).try_fold(0, |most, limit| Some(most.max(limit?))),
        sources: sources.unwrap_or_else(|| selection.sources()),
        linked_files: linked(descriptions()),
        tool: tool_of(sets),
        part: None,
        ..first.clone()
    }
}

/// Returns the first set with the most frequent value of `key`. The other sets are compared with this one, so that an
/// error names a set that differs from most sets.
fn usual<K: PartialEq>(sets: &[ShardSet], key: impl Fn(&ShardSet) -> K) -> &ShardSet {
    let keys: Vec<K> = sets.iter().map(key).collect();
    let count = |i: usize| keys.iter().filter(|key| **key == keys[i]).count();
    // `max_by_key` returns the last maximum. With `rev`, this is the first set.
    let most = (0..sets.len()).rev().max_by_key(|&i| count(i));
    &sets[most.unwrap_or(0)]
}

/// Returns an error if the settings of a part differ from those of most parts. Parts without settings are not checked.
fn check_settings(sets: &[ShardSet]) -> Result<()> {
    let usual = usual(sets, |set| set.manifest().settings.clone());
    let settings = &usual.manifest().settings;
    for set in sets {
        let mine = &set.manifest().settings;
        let recordings = String::from("recordings"); // compared first, because other settings depend on the recordings
        let mut names = [&recordings].into_iter().chain(settings.keys());
        let differs = names.find(|name| !mine.is_empty() && mine.get(*name) != settings.get(*name));
        if let Some(name) = differs {
            let say = |settings: &BTreeMap<String, String>| settings.get(name).cloned().unwrap_or_default();
            return Err(Error::mismatch(set.dir(), usual.dir(), name.clone(), say(settings), say(mine)));
        }
    }
    Ok(())
}

/// Returns the linked files of all sets, each file once.
fn linked<'a>(descriptions: impl Iterator<Item = &'a SetDescription>) -> Vec<LinkedFile> {
    let mut all: Vec<LinkedFile> = Vec::new();
    for file in descriptions.flat_map(|description| &description.linked_files) {
        if !all.contains(file) {
            all.push(file.clone());
        }
    }
    all
}

/// Joins the parts' lists of source files. `None` if a source file has no `first_sample`.
///
/// Each part must begin at the start of a recording, or where the part before it ended. Otherwise, returns an error.
fn joined(sets: &[ShardSet]) -> Result<Option<Vec<SourceFile>>> {
    let words = |source: &SourceFile, sample: u64| format!("sample {sample} of {} ({:.8})", source.name, source.blake3);
    let listed = || sets.iter().flat_map(|set| &set.manifest().description.sources);
    let parts_with = |source: &SourceFile| listed().filter(|other| other.is_same_file(source)).count();
    let mut all: Vec<SourceFile> = Vec::new();
    let mut end = 0; // sample of its recording at which the last source ends
    for (i, set) in sets.iter().enumerate() {
        for source in &set.manifest().description.sources {
            let Some(first) = source.first_sample else { return Ok(None) };
            match all.last_mut() {
                _ if first == 0 => all.push(SourceFile { first_sample: None, ..source.clone() }),
                Some(last) if end == first && last.is_same_file(source) => last.samples += source.samples,
                last => {
                    let before = sets[i.saturating_sub(1)].dir();
                    // One of the two parts is wrong. Report the part whose recording is listed by fewer parts.
                    let is_rarer = last.as_ref().is_some_and(|last| parts_with(last) < parts_with(source));
                    let (end, start) =
                        (last.map_or("the start of a recording".into(), |last| words(last, end)), words(source, first));
                    return Err(match is_rarer {
                        true => Error::mismatch(before, set.dir(), "last sample", start, end),
                        false => Error::mismatch(set.dir(), before, "first sample", end, start),
                    });
                }
            }
            end = first + source.samples;
        }
    }
    Ok(Some(all))
}

/// Adds up the numbers of samples in several lists of the same source files. `None` if the lists name different files.
fn sum_listed<'a>(mut lists: impl Iterator<Item = &'a [SourceFile]>) -> Option<Vec<SourceFile>> {
    let mut sum = lists.next()?.to_vec();
    for list in lists {
        let same = |(a, b): (&SourceFile, &SourceFile)| a.is_same_file(b);
        if list.len() != sum.len() || !sum.iter().zip(list).all(same) {
            return None;
        }
        sum.iter_mut().zip(list).for_each(|(a, b)| a.samples += b.samples);
    }
    Some(sum)
}

/// Returns an error if `set` cannot be merged with `first`, for example because the recipes differ.
fn check_same(set: &ShardSet, first: &ShardSet) -> Result<()> {
    set.manifest().check_compatible(set.dir(), first.manifest(), first.dir())?;
    let (mine, theirs) = (&set.manifest().description, &first.manifest().description);
    let surface = |d: &SetDescription| String::from(if d.widths.counts == Width::F32 { "surfaces" } else { "counts" });
    let fields = [
        ("list of extra columns", listed(&theirs.extras), listed(&mine.extras)),
        ("kind of frames", surface(theirs), surface(mine)),
        ("recipe_id", theirs.recipe_id.to_string(), mine.recipe_id.to_string()),
    ];
    Ok(ShardError::refuse_difference(set.dir(), first.dir(), fields)?)
}

fn part_of(set: &ShardSet) -> Option<Part> {
    set.manifest().description.part
}

fn part_index(set: &ShardSet) -> u32 {
    part_of(set).map_or(0, |part| part.index)
}

/// Whether `sets` are the parts of one set. Returns an error if a part is missing or repeated, or if the sets don't
/// belong together.
fn check_parts(sets: &[ShardSet], out: &Path) -> Result<bool> {
    let say = |set: &ShardSet| part_of(set).map_or("no part".into(), |part| part.to_string());
    if sets.iter().all(|set| part_of(set).is_none()) {
        return Ok(false);
    }
    let first = usual(sets, |set| {
        let SetDescription { chunk_samples, shard_chunks, part, tool, .. } = &set.manifest().description;
        (part.map(|part| part.of), *chunk_samples, *shard_chunks, tool.level)
    });
    let of = part_of(first).map_or(0, |part| part.of);
    for set in sets {
        let (d, f) = (&set.manifest().description, &first.manifest().description);
        if part_of(set).is_none_or(|part| part.of != of) {
            return Err(Error::mismatch(set.dir(), first.dir(), "part", format!("another part of {of}"), say(set)));
        }
        let fields = [
            ("chunk_samples", f.chunk_samples.to_string(), d.chunk_samples.to_string()),
            ("shard_chunks", f.shard_chunks.to_string(), d.shard_chunks.to_string()),
            ("zstd level", f.tool.level.to_string(), d.tool.level.to_string()),
        ];
        ShardError::refuse_difference(set.dir(), first.dir(), fields)?;
    }
    let mut given: Vec<(u32, &Path)> = sets.iter().map(|set| (part_index(set), set.dir())).collect();
    given.sort_unstable();
    if let Some(twice) = given.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let got = format!("part {} of {of} twice", twice[0].0);
        return Err(Error::mismatch(twice[1].1, twice[0].1, "part", "every part once", got));
    }
    let absent = |i: &u32| given.binary_search_by_key(i, |(index, _)| *index).is_err();
    let missing: Vec<String> = (1..=of).filter(absent).take(20).map(|i| i.to_string()).collect();
    let Some(index) = (1..=of).find(absent) else { return Ok(true) };
    let (more, are) = (of as usize - given.len() - missing.len(), if missing.len() == 1 { "is" } else { "are" });
    let missing = format!("part {} of {of} {are} missing", and_more(&missing.join(", "), more));
    let command = first.manifest().command.clone();
    let given = given.into_iter().map(|(index, dir)| (index, dir.into())).collect();
    Err(Error::MissingParts { path: out.into(), missing, part: Part { index, of }, given, command })
}

/// Returns an error if a part has more or fewer samples than its share of the whole set. Such a part was made from
/// other recordings.
fn check_shares(sets: &[ShardSet], whole: &SetDescription) -> Result<()> {
    for set in sets {
        let share = part_of(set).map_or(0..0, |part| part.chunks(whole.chunks()));
        let samples = whole.samples_of(share);
        let (expected, got) = (samples.end - samples.start, set.len());
        if expected != got {
            let expected = format!("{expected}, the share of {} samples", whole.samples);
            return Err(Error::mismatch(set.dir(), sets[0].dir(), "samples", expected, got.to_string()));
        }
    }
    Ok(())
}
