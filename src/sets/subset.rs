//! Writes selected samples of a set as a new set, or divides them among several sets.

use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

use tonic_base::{Progress, in_order};
use tonic_shard::{Chunk, Existing, Manifest, NO_LABEL, SampleReader, SetDescription, ShardSet};

use crate::error::{BaseFault, Error, Result};
use crate::range::{SampleRange, check_range, class_number};
use crate::selection::{Output, Selection, made_before, tool_of, write};
use crate::split::{Candidate, Split};

/// Which samples of a set to select: those that meet all conditions in these fields.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Ranges of samples to select from; all samples if empty.
    pub samples: Vec<SampleRange>,
    /// Classes to select from, by name or label; all classes if empty.
    pub classes: Vec<String>,
    /// Conditions on extra columns. A sample must meet all of them.
    pub conditions: Vec<Condition>,
    /// Whether the new set lists only `classes`, with labels from 0. Otherwise it keeps all classes and labels.
    pub renumber: bool,
}

/// Condition that an extra column has one of several values: `speaker=3,5`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    column: String,
    values: Vec<i64>,
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Condition, String> {
        let expected = || "expected COLUMN=N or COLUMN=N,N, such as speaker=3,5".to_string();
        let (column, values) = text.split_once('=').ok_or_else(expected)?;
        let values: Option<Vec<i64>> = values.split(',').map(|n| n.trim().parse().ok()).collect();
        Ok(Condition { column: column.into(), values: values.ok_or_else(expected)? })
    }
}

/// Writes the samples that `filter` selects as a new set. With `split`, each part becomes a set in a folder of its own
/// inside `output`.
///
/// Returns the directory and the manifest of each new set.
///
/// # Errors
/// [`tonic_base::Error::Usage`] for unknown classes and columns, for ranges outside the set, and if no sample is
/// selected; errors of reading and writing sets.
pub fn subset(
    set: ShardSet,
    filter: &Filter,
    split: Option<&Split>,
    output: &Output,
) -> Result<Vec<(PathBuf, Manifest)>> {
    let sets = [set];
    let set = &sets[0];
    let by = split.and_then(|split| split.by.as_deref()).map(|name| column(set, name)).transpose()?;
    let classes = filter.classes.iter().map(|class| class_number(set, class)).collect::<Result<Vec<u32>>>()?;
    let taken = take(set, filter, &classes, by, output)?;
    if taken.is_empty() {
        return Err(Error::usage("subset", "at least one sample that fulfils all conditions", "none"));
    }
    let parts = match split {
        None => vec![(output.clone(), taken)],
        Some(split) => {
            let named = split.divide(&taken)?.into_iter();
            named.map(|(name, part)| (Output { path: output.path.join(name), ..output.clone() }, part)).collect()
        }
    };
    let mut described = Vec::with_capacity(parts.len());
    for (output, part) in parts {
        let mut selection = Selection::of(&sets);
        part.iter().for_each(|taken| selection.push(0, taken.sample..taken.sample + 1));
        let description = describe(set, &mut selection, filter.renumber.then_some(&classes[..]));
        described.push((output, selection, description));
    }
    write_all(&sets, described)
}

/// Opens all output directories first, then writes the new sets.
fn write_all(
    sets: &[ShardSet],
    described: Vec<(Output, Selection<'_>, SetDescription)>,
) -> Result<Vec<(PathBuf, Manifest)>> {
    let several = described.len() > 1;
    let mut opened = Vec::with_capacity(described.len());
    for (output, selection, description) in described {
        let made = if several || output.existing == Existing::Auto {
            made_before(&output, &selection, &description)?
        } else {
            None
        };
        let dir = if made.is_none() { Some(output.open(sets)?) } else { None };
        opened.push((output, selection, description, made, dir));
    }
    let mut written = Vec::with_capacity(opened.len());
    for (output, selection, description, made, dir) in opened {
        let manifest = match (made, dir) {
            (None, Some(dir)) => write(&selection, description, &output, dir, "subset")?,
            (Some(manifest), _) => manifest,
            (None, None) => continue,
        };
        written.push((output.path, manifest));
    }
    Ok(written)
}

/// Returns the index of the extra column `name` of `set`.
fn column(set: &ShardSet, name: &str) -> Result<usize> {
    let extras = &set.manifest().description.extras;
    extras.iter().position(|extra| extra == name).ok_or_else(|| {
        let expected = if extras.is_empty() { "a set with extra columns".into() } else { extras.join(" or ") };
        Error::usage("column", expected, name)
    })
}

/// Returns the samples that meet all conditions of `filter`, in the order of the set.
fn take(
    set: &ShardSet,
    filter: &Filter,
    classes: &[u32],
    by: Option<usize>,
    output: &Output,
) -> Result<Vec<Candidate>> {
    let ranges = ranges(set, &filter.samples)?;
    let inside = |sample: u64| {
        let after = ranges.partition_point(|range| range.end <= sample);
        ranges.get(after).is_some_and(|range| range.contains(&sample))
    };
    let conditions = filter
        .conditions
        .iter()
        .map(|condition| Ok((column(set, &condition.column)?, &condition.values)))
        .collect::<Result<Vec<_>>>()?;
    let fits = |chunk: &Chunk, i: usize| {
        (classes.is_empty() || classes.contains(&chunk.table.labels[i]))
            && conditions.iter().all(|(column, values)| values.contains(&chunk.table.extras[*column][i]))
    };
    let per_chunk = u64::from(set.manifest().description.chunk_samples);
    let look = |reader: &mut SampleReader<'_>, number: u64| -> Result<(u64, Vec<Candidate>)> {
        let samples = set.manifest().description.samples_of(number..number + 1);
        if !ranges.iter().any(|range| range.start < samples.end && samples.start < range.end) {
            return Ok((samples.end - samples.start, Vec::new()));
        }
        let chunk = reader.chunk(number)?;
        let taken =
            (0..chunk.len()).filter(|&i| inside(number * per_chunk + i as u64) && fits(chunk, i)).map(|i| Candidate {
                sample: number * per_chunk + i as u64,
                label: chunk.table.labels[i],
                by: by.map_or(0, |column| chunk.table.extras[column][i]),
            });
        Ok((chunk.len() as u64, taken.collect()))
    };
    let progress = Progress::start_bar(output.verbosity, "look", set.len(), "samples");
    let mut all = Vec::new();
    in_order(
        0..set.chunks(),
        output.threads,
        "nothing was written",
        || Ok(SampleReader::new(set)),
        look,
        |(n, taken)| {
            all.extend(taken);
            progress.add(n);
            Ok(())
        },
    )?;
    progress.clear();
    Ok(all)
}

/// Returns the given ranges, sorted and joined. If none is given, returns the range of all samples.
fn ranges(set: &ShardSet, given: &[SampleRange]) -> Result<Vec<Range<u64>>> {
    let mut ranges: Vec<Range<u64>> = given.iter().map(|range| range.of(set)).collect();
    ranges.iter().try_for_each(|range| check_range(set, range))?;
    if ranges.is_empty() {
        ranges.push(0..set.len());
    }
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut().filter(|last| last.end >= range.start) {
            Some(last) => last.end = last.end.max(range.end),
            None => joined.push(range),
        }
    }
    Ok(joined)
}

/// Returns the description of the new set. With `classes`, gives these classes labels from 0, in their order in `set`.
fn describe(set: &ShardSet, selection: &mut Selection<'_>, classes: Option<&[u32]>) -> SetDescription {
    let whole = &set.manifest().description;
    let mut names = whole.classes.clone();
    if let Some(kept) = classes {
        let mut labels = vec![NO_LABEL; names.len()];
        let kept: Vec<usize> = (0..names.len()).filter(|&i| kept.contains(&(i as u32))).collect();
        kept.iter().enumerate().for_each(|(new, &old)| labels[old] = new as u32);
        names = kept.iter().map(|&i| whole.classes[i].clone()).collect();
        selection.relabel(labels);
    }
    SetDescription {
        samples: selection.len(),
        recipe_id: SetDescription::recipe_id(whole.shape, &whole.recipe, &names, &whole.extras),
        classes: names,
        sources: selection.sources(),
        tool: tool_of(std::slice::from_ref(set)),
        part: None,
        ..whole.clone()
    }
}
