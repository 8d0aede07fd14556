//! Tests a frozen set, which every later version of this program must read.
//!
//! The expected numbers come from a reader in Python that was written from FORMAT.md.

use std::path::PathBuf;

use tonic_toolkit::prep::Recipe;
use tonic_toolkit::shard::{FrameShape, Ledger, ShardSet, Width};

use super::recording::{contents, data, faults, reference_recipe, samples};

fn fixture() -> PathBuf {
    data("v2")
}

#[test]
fn a_set_of_version_2_is_whole_and_keeps_its_id() {
    let set = ShardSet::open(&fixture()).unwrap();
    assert!(faults(&set).is_empty(), "{:?}", faults(&set));
    let (manifest, size) = (set.manifest(), contents(&fixture()).values().map(Vec::len).sum::<usize>());
    let (description, totals) = (&manifest.description, &manifest.totals);
    assert!(size < 30_000, "{size} bytes in the repository");
    assert_eq!(manifest.set_id.to_string(), "d7117eba96b3d40e7cc1db9c37b72726dc1c8fd73445193779c017969da22a0d");
    assert_eq!(description.recipe_id.to_string(), "f9e0a6f5c74d1d428b161f1bf86df8332e535f567f741356680859e4dd8380d7");
    assert_eq!((set.len(), set.chunks(), set.shards().len()), (6, 2, 1));
    assert_eq!(description.shape, FrameShape { polarities: 1, height: 1, width: 100 });
    assert_eq!(description.widths.counts, Width::U8);
    assert_eq!(description.classes, ["class00", "class01", "class02"]);
    assert_eq!(description.extras, ["speaker"]);
    assert_eq!((description.frame_limit, totals.max_frames), (Some(250), 250));
    assert_eq!((totals.frames, totals.entries), (1403, 17_154));
    let ledger = Ledger { events_in: 51_443, binned: 51_081, cropped: 362, ..Ledger::default() };
    assert_eq!(totals.ledger, ledger);
}

#[test]
fn its_recipe_is_still_the_reference_recipe() {
    let set = ShardSet::open(&fixture()).unwrap();
    assert_eq!(Recipe::parse(None, &set.manifest().description.recipe).unwrap(), reference_recipe());
    assert_eq!(set.manifest().description.recipe, reference_recipe().to_toml(), "the recipe's text is hashed");
}

#[test]
fn its_samples_are_what_they_were() {
    let found = samples(&fixture());
    let expected: [(u32, usize, u64, u64, i64, &str); 6] = [
        (1, 250, 7901, 80, 43, "0bb46f472152b769"),
        (1, 250, 12588, 235, 56, "7bb40df6a556e0f6"),
        (2, 221, 6068, 0, 142, "df15b5f1afa2ac44"),
        (0, 222, 7196, 0, 92, "72d294b54890f357"),
        (0, 210, 7741, 0, 30, "fe86c0ab1b890680"),
        (1, 250, 9949, 47, 174, "4e4e1efba4e6fa47"),
    ];
    assert_eq!(found.len(), expected.len());
    for (i, (sample, (label, frames, events_in, cropped, speaker, digest))) in found.iter().zip(expected).enumerate() {
        assert_eq!((sample.label, sample.shape), (label, [frames, 1, 1, 100]), "sample {i}");
        assert_eq!(sample.extras, [speaker], "sample {i}");
        let ledger = Ledger { events_in, binned: events_in - cropped, cropped, ..Ledger::default() };
        assert_eq!(sample.ledger, ledger, "sample {i}");
        assert_eq!(sample.digest(), digest, "sample {i}");
    }
    let frame: Vec<(usize, u32)> =
        found[0].dense[1000..1100].iter().copied().enumerate().filter(|(_, n)| *n > 0).collect();
    assert_eq!(frame, [(3, 2), (71, 1)], "frame 10 of sample 0");
}
