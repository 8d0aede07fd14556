//! Compares two sets by their decoded content, not by their compressed bytes.

use serde_json::{Map, Value, json};
use tonic_base::{Progress, Verbosity, in_order, printable};
use tonic_shard::{
    Chunk, ChunkRecord, Ledger, SampleFrames, SampleReader, SetDescription, SetLayout, ShardSet, differing_parts,
    listed,
};

use crate::error::Result;
use crate::text::digits;

/// Fields of a set's description that say how samples are stored, not what they contain.
const LAYOUT: [&str; 2] = ["chunk_samples", "counts"];

/// The differences between two sets, a and b.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// Each field of the description that differs: its name, its value in set a, its value in set b.
    pub fields: Vec<(&'static str, String, String)>,
    /// Indices of the chunks of set a that have differing samples.
    pub chunks: Vec<u64>,
    /// Number of compared samples. 0 if the sets have different frame shapes or different extra columns.
    pub compared: u64,
    /// Number of samples that differ.
    pub differing: u64,
    /// The first samples that differ, at most as many as the argument `list` of [`diff`].
    pub samples: Vec<SampleDifference>,
}

/// The differences between the samples with the same index in set a and set b.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleDifference {
    /// Index of the sample, which is the same in both sets.
    pub sample: u64,
    /// Each field that differs: its name, its value in set a, its value in set b. The name is `label`, `flags`,
    /// `number of frames`, a column of the ledger or an extra column.
    pub fields: Vec<(String, Value, Value)>,
    /// The first cell that differs: its position (frame, p, y, x), its value in set a, its value in set b. Empty cells
    /// have the value 0. `None` if all cells are equal.
    pub entry: Option<([u64; 4], f64, f64)>,
}

impl Difference {
    /// Whether no differences were found.
    pub fn is_none(&self) -> bool {
        self.fields.is_empty() && self.differing == 0
    }

    /// Whether the sets have equal samples, but different numbers of samples per chunk or different widths of counts.
    pub fn only_layout(&self) -> bool {
        !self.is_none() && self.differing == 0 && self.fields.iter().all(|(name, ..)| LAYOUT.contains(name))
    }

    /// Returns the differences as one JSON object.
    pub fn json(&self) -> Value {
        let pair = |(name, a, b): &(&str, String, String)| json!({"field": name, "a": a, "b": b});
        json!({
            "equal": self.is_none(),
            "only_layout_differs": self.only_layout(),
            "fields": self.fields.iter().map(pair).collect::<Vec<_>>(),
            "chunks": self.chunks,
            "compared_samples": self.compared,
            "differing_samples": self.differing,
            "samples": self.samples.iter().map(SampleDifference::json).collect::<Vec<_>>(),
        })
    }

    /// Returns the differences as text for people. The last line says whether the sets are equal.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        for (name, a, b) in &self.fields {
            text.push(format!("{name}: {a} | {b}"));
        }
        if !self.chunks.is_empty() {
            text.push(format!("chunks: {}", ranges(&self.chunks)));
        }
        for difference in &self.samples {
            text.push(format!("sample {}: {}", difference.sample, difference.words()));
        }
        let more = self.differing - self.samples.len() as u64;
        if more > 0 {
            text.push(format!("and {more} more samples"));
        }
        text.push(match (self.is_none(), self.compared) {
            (true, n) => format!("equal: {n} samples"),
            (false, 0) => "different: the samples cannot be compared".into(),
            (false, n) if self.only_layout() => format!(
                "different layout: all {n} samples are equal, but not the chunks that they are stored in; so the ids \
                 differ, and training reads the samples in another order (a conversion with equal chunk sizes gives \
                 equal sets)"
            ),
            (false, n) if self.differing == 0 => {
                let names: Vec<&str> = self.fields.iter().map(|(name, ..)| *name).collect();
                format!("different: {}; the {n} samples that both have are equal", names.join(", "))
            }
            (false, n) => format!("different: {} of {n} samples", self.differing),
        });
        text.iter().map(|line| printable(line)).collect::<Vec<_>>().join("\n")
    }
}

impl SampleDifference {
    fn words(&self) -> String {
        let fields = self.fields.iter().map(|(name, a, b)| format!("{name} {a} | {b}"));
        let entry = self.entry.map(|([frame, p, y, x], a, b)| {
            format!("frame {frame}, cell (p {p}, y {y}, x {x}): {} | {}", digits(a), digits(b))
        });
        fields.chain(entry).collect::<Vec<_>>().join("; ")
    }

    fn json(&self) -> Value {
        let fields = self.fields.iter().map(|(name, a, b)| (name.clone(), json!([a, b]))).collect::<Map<_, _>>();
        let entry = self
            .entry
            .map(|([frame, p, y, x], a, b)| json!({"frame": frame, "p": p, "y": y, "x": x, "values": [a, b]}));
        json!({"sample": self.sample, "fields": fields, "entry": entry})
    }
}

/// Compares two sets. The result lists at most `list` samples that differ.
///
/// Chunks with equal identities (hashes of their content) are not read, so damage in them is not found.
///
/// # Errors
/// [`tonic_base::Error::Corrupt`] if a chunk that has to be read is damaged.
pub fn diff(a: &ShardSet, b: &ShardSet, list: usize, threads: usize, verbosity: Verbosity) -> Result<Difference> {
    let (mine, theirs) = (&a.manifest().description, &b.manifest().description);
    let mut difference = Difference { fields: fields(mine, theirs), ..Difference::default() };
    if mine.shape != theirs.shape || mine.extras != theirs.extras {
        return Ok(difference);
    }
    let samples = a.len().min(b.len());
    difference.compared = samples;
    let progress = Progress::start(verbosity, "diff", samples, "samples");
    let comparable = mine.layout() == SetLayout { recipe_id: mine.recipe_id.0, ..theirs.layout() };
    let chunks = samples.div_ceil(mine.chunk_samples.into());
    let compare = |pair: &mut [SampleReader<'_>; 2], number: u64| -> Result<(u64, u64, Vec<SampleDifference>)> {
        let range = mine.samples_of(number..number + 1);
        let range = range.start..range.end.min(samples);
        let same = comparable && {
            let [x, y] = [a, b].map(|set| record(set, number));
            (x.identity, x.samples) == (y.identity, y.samples)
        };
        let mut found = Vec::new();
        for sample in range.clone().take_while(|_| !same) {
            let [first, second] = pair.each_mut().map(|reader| reader.sample(sample));
            found.extend(compare_samples(mine, sample, first?, second?));
        }
        Ok((number, range.end - range.start, found))
    };
    in_order(
        0..chunks,
        threads,
        "nothing was written",
        || Ok([SampleReader::new(a), SampleReader::new(b)]),
        compare,
        |(number, compared, found)| {
            progress.add(compared);
            if !found.is_empty() {
                difference.chunks.push(number);
            }
            difference.differing += found.len() as u64;
            difference.samples.extend(found.into_iter().take(list - difference.samples.len()));
            Ok(())
        },
    )?;
    Ok(difference)
}

fn record(set: &ShardSet, number: u64) -> &ChunkRecord {
    let (shard, k) = set.locate(number);
    &shard.head().chunks[k]
}

/// Compares two descriptions. Returns the fields that differ, each as (name, value in a, value in b).
fn fields(a: &SetDescription, b: &SetDescription) -> Vec<(&'static str, String, String)> {
    let widths = |d: &SetDescription| format!("{:?}", d.widths.counts).to_lowercase();
    let recipes = differing_parts(&a.recipe, &b.recipe);
    let fields = [
        ("shape", a.shape.to_string(), b.shape.to_string()),
        ("recipe", recipes.0, recipes.1),
        ("classes", listed(&a.classes), listed(&b.classes)),
        ("extras", listed(&a.extras), listed(&b.extras)),
        ("samples", a.samples.to_string(), b.samples.to_string()),
        ("chunk_samples", a.chunk_samples.to_string(), b.chunk_samples.to_string()),
        ("counts", widths(a), widths(b)),
    ];
    fields.into_iter().filter(|(_, a, b)| a != b).collect()
}

/// A decoded chunk and the index of a sample in it.
type Decoded<'a> = (&'a Chunk, usize);

fn compare_samples(d: &SetDescription, sample: u64, a: Decoded<'_>, b: Decoded<'_>) -> Option<SampleDifference> {
    let (x, y) = (&a.0.table, &b.0.table);
    let mut fields = vec![
        ("label".to_string(), json!(d.class_name(x.labels[a.1])), json!(d.class_name(y.labels[b.1]))),
        ("flags".to_string(), json!(x.flags[a.1]), json!(y.flags[b.1])),
    ];
    if x.labels[a.1] != y.labels[b.1] && fields[0].1 == fields[0].2 {
        (fields[0].1, fields[0].2) = (json!(x.labels[a.1]), json!(y.labels[b.1]));
    }
    let columns = x.ledgers[a.1].columns().into_iter().zip(y.ledgers[b.1].columns());
    fields.extend(Ledger::NAMES.iter().zip(columns).map(|(name, (a, b))| (name.to_string(), json!(a), json!(b))));
    let extras = d.extras.iter().zip(x.extras.iter().zip(&y.extras));
    fields.extend(extras.map(|(name, (x, y))| (name.clone(), json!(x[a.1]), json!(y[b.1]))));
    let (first, second) = (a.0.frames.sample(a.1), b.0.frames.sample(b.1));
    fields.push(("number of frames".to_string(), json!(first.frames()), json!(second.frames())));
    fields.retain(|(_, a, b)| a != b);
    let entry = first_entry(d, first, second);
    (!fields.is_empty() || entry.is_some()).then_some(SampleDifference { sample, fields, entry })
}

/// Returns the first cell that differs: its position (frame, p, y, x), its value in a, its value in b.
fn first_entry(d: &SetDescription, a: SampleFrames<'_>, b: SampleFrames<'_>) -> Option<([u64; 4], f64, f64)> {
    let position = |(frame, cell, _): (usize, u32, f64)| (frame, cell);
    let (mut a, mut b) = (a.iter(), b.iter());
    let (x, y) = loop {
        match (a.next(), b.next()) {
            (None, None) => return None,
            (x, y) if x == y => {}
            pair => break pair,
        }
    };
    // Cells ascend. If the next cells differ, the lower one is empty in the other set.
    let at = [x, y].into_iter().flatten().map(position).min()?;
    let value =
        |entry: Option<(usize, u32, f64)>| entry.filter(|&e| position(e) == at).map_or(0.0, |(.., value)| value);
    let [p, row, column] = d.shape.coordinates(at.1);
    Some(([at.0 as u64, p.into(), row.into(), column.into()], value(x), value(y)))
}

/// Formats ascending numbers, with ranges of consecutive ones: `3, 5 to 9, 12`.
pub(crate) fn ranges(numbers: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &n in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == n => *last = n,
            _ => ranges.push((n, n)),
        }
    }
    let say = |(first, last): (u64, u64)| if first == last { first.to_string() } else { format!("{first} to {last}") };
    ranges.into_iter().map(say).collect::<Vec<_>>().join(", ")
}
