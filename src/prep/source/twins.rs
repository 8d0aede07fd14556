//! Compares recordings whose file names differ only in the ending, such as `1.npy` and `1.npz`: probably one recording
//! in two formats.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tonic_base::some_of;

use crate::source::detect::open_stream;
use crate::source::options::SourceOptions;
use crate::source::raw::Coordinates;
use crate::source::recording::Recording;
use crate::source::stream::EventStream;

/// Number of events that are compared at the start of two recordings, and also at their end.
const COMPARED: u64 = 1 << 16;

/// Returns warnings about recordings whose file names differ only in the ending. A warning says which of them have
/// the same events.
pub(crate) fn twins(recordings: &[Recording], options: &SourceOptions) -> Vec<String> {
    let mut named: BTreeMap<PathBuf, Vec<&Recording>> = BTreeMap::new();
    for recording in recordings.iter().filter(|recording| !recording.layout.has_samples()) {
        named.entry(recording.path.with_extension("")).or_default().push(recording);
    }
    let (mut equal, mut different) = (Vec::new(), Vec::new());
    for same in named.into_values().filter(|same| same.len() > 1) {
        let open = |recording: &Recording| {
            open_stream(&recording.path, &SourceOptions { layout: Some(recording.layout), ..options.clone() }).ok()
        };
        let streams: Vec<Option<EventStream>> = same.iter().map(|recording| open(recording)).collect();
        for (i, recording) in same.iter().enumerate().skip(1) {
            let is_equal = |j: &usize| {
                let pair = streams[*j].as_ref().zip(streams[i].as_ref());
                pair.is_some_and(|(a, b)| have_same_events(a, b))
            };
            let (list, j) = (0..i).find(is_equal).map_or((&mut different, 0), |j| (&mut equal, j));
            list.push(format!("{} and {}", same[j].name, recording.name));
        }
    }
    let say =
        |what: &str, pairs: &[String]| (!pairs.is_empty()).then(|| format!("warning: {what}: {}", some_of(pairs)));
    let equal = say("the same events twice, in files of one name (leave one of them out)", &equal);
    let different = say("files of one name, but with different events, are all in this set", &different);
    equal.into_iter().chain(different).collect()
}

/// Returns whether two recordings have the same number of events, and equal events at the start and at the end. Times
/// may differ by 1 microsecond. A column that only one recording has is not compared.
fn have_same_events(a: &EventStream, b: &EventStream) -> bool {
    let tail = a.len.saturating_sub(COMPARED).max(COMPARED.min(a.len));
    let are_equal = |range: std::ops::Range<u64>| match (a.read(range.clone()), b.read(range)) {
        (Ok(a), Ok(b)) => {
            let is_close = |(a, b): (&i64, &i64)| a.abs_diff(*b) <= 1;
            let are_equal = |(a, b): (&Option<Coordinates>, &Option<Coordinates>)| match (a, b) {
                (Some(a), Some(b)) => a.len() == b.len() && (0..a.len()).all(|i| a.get(i) == b.get(i)),
                _ => true,
            };
            let (x, x_of_b) = (Some(a.x), Some(b.x));
            a.t.us.iter().zip(&b.t.us).all(is_close)
                && [(&x, &x_of_b), (&a.y, &b.y), (&a.p, &b.p)].into_iter().all(are_equal)
        }
        _ => false,
    };
    a.len == b.len && are_equal(0..COMPARED.min(a.len)) && are_equal(tail..a.len)
}
