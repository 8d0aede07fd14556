//! Tests of recordings whose events are out of order.

use std::path::Path;

use tonic_toolkit::shard::FLAG_SORTED;

use super::camera::Camera;
use super::clocks::{CUTS, converted, refused, usual};
use super::recording::{prep, says, scratch};

#[test]
fn jitter_is_sorted_and_described() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let straight = usual(82);
    let mut late = straight.clone();
    late.t[2_500..2_505].iter_mut().for_each(|t| *t -= 99_000);
    let file = late.prophesee(&path("late.h5"));
    let largest = (straight.t[2_499] - late.t[2_500..2_505].iter().min().unwrap()) as f64 / 1e3;
    let words =
        format!("jitter: 5 events are out of order; the largest step back is {largest:.1} ms, before event 2500");
    for cut in CUTS {
        let (found, notes) = converted(&file, &path("set"), cut);
        assert!(notes.iter().any(|note| note.starts_with(&words)), "{notes:?}");
        assert!(found.iter().any(|sample| sample.flags & FLAG_SORTED != 0));
    }
    // The note is also printed on the terminal. With several recordings, it names the recordings.
    let mut command = prep();
    let files = [&file, &straight.prophesee(&path("b.h5")), &late.prophesee(&path("c.h5"))];
    let command = command.arg("convert").args(files).arg("-o").arg(path("several"));
    let said = String::from_utf8(command.assert().success().get_output().stderr.clone()).unwrap();
    says(&said, &[&format!("convert: note: late.h5 and 1 more: {words}")]);
}

/// Sorts the events of `camera` by `key`, which gets the index of an event.
fn by_key<K: Ord>(camera: &Camera, key: impl Fn(usize) -> K) -> Camera {
    let mut order: Vec<usize> = (0..camera.t.len()).collect();
    order.sort_by_key(|&i| key(i));
    let pick = |column: &[u16]| order.iter().map(|&i| column[i]).collect();
    Camera {
        t: order.iter().map(|&i| camera.t[i]).collect(),
        x: pick(&camera.x),
        y: pick(&camera.y),
        p: order.iter().map(|&i| camera.p[i]).collect(),
    }
}

#[test]
fn files_in_another_order_are_sorted_when_asked_in_every_layout() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let straight = usual(87);
    let expected = CUTS.map(|cut| converted(&straight.npy(&path("straight.npy")), &path("plain"), cut).0);
    let shifted = |i: usize| (i + 2_500) % 5_000;
    let late = Camera { t: straight.t.iter().map(|t| t + 5_000_000).collect(), ..straight.clone() };
    for (camera, what) in [
        (by_key(&straight, |i| usize::MAX - i), "its events are in descending order of time"),
        (by_key(&straight, |i| straight.p[i]), "its events are sorted by p first, then by time"),
        (by_key(&straight, |i| (straight.x[i] / 10, i)), "its events are sorted by x first"),
        (by_key(&straight, |i| (straight.y[i], straight.x[i])), "sorted by something else than time"),
        (by_key(&straight, shifted), "the events from 2500 on end where the first begin"),
        (by_key(&late, |i| i % 2), "cover the same times"),
    ] {
        let files: [fn(&Camera, &Path) -> std::path::PathBuf; 6] =
            [Camera::npy, Camera::npz, Camera::dsec, Camera::e2vid, Camera::mvsec, Camera::prophesee];
        for (i, write) in files.into_iter().enumerate() {
            let file = write(&camera, &path(&format!("{i}.file")));
            refused(
                &file,
                &path("none"),
                &["got a disorder: ", what, "--allow-clock-trouble sorts all events by time"],
            );
        }
        for (cut, expected) in CUTS.iter().zip(&expected) {
            let (found, notes) =
                converted(&path("2.file"), &path("set"), &[cut, &["--allow-clock-trouble"][..]].concat());
            assert!(notes.iter().any(|note| note.contains(what) && note.ends_with("it was sorted")), "{notes:?}");
            // Events with the same time keep the order of the file. This order matters only if the recording is cut by
            // the number of events.
            if what.contains("same times") {
                continue;
            }
            let same = found.iter().zip(expected).all(|(a, b)| a.ledger == b.ledger && a.dense == b.dense);
            assert!(cut.contains(&"--sample-events") || (same && found.len() == expected.len()), "{what} {cut:?}");
        }
    }
    // Events in random order are sorted, and a note says so.
    let notes = converted(&by_key(&straight, |i| i * 7_919 % 4_999).npy(&path("a.npy")), &path("set"), &[]).1;
    says(&notes[0], &["disorder: ", "of 5000 events are out of place, by up to", "they were sorted"]);
}
