//! Tests of warnings about repeated events, rounded times, and coordinates that are counted from the middle of the
//! sensor.

use std::path::Path;

use super::camera::{Camera, npy_header};
use super::recording::{Recording, Times, convert, refuses, samples, says, scratch};
use super::units::{SENSOR, notes};

/// Writes a structured NumPy array. `rows` has the bytes of each event.
fn npy(path: &Path, descr: &str, rows: &[Vec<u8>]) {
    std::fs::write(path, [npy_header(descr, &format!("({},)", rows.len())), rows.concat()].concat()).unwrap();
}

#[test]
fn equal_events_at_an_end_are_warned_of() {
    let dir = scratch();
    let set = |name: &str| dir.join(name);
    let camera = Camera::random(5, 3_000, 900_000);
    let padded = |head: usize, tail: usize| {
        let mut padded = camera.clone();
        let last = camera.t.len() - 1;
        padded.t.extend(vec![camera.t[last]; tail]);
        padded.x.extend(vec![camera.x[last]; tail]);
        padded.y.extend(vec![camera.y[last]; tail]);
        padded.p.extend(vec![camera.p[last]; tail]);
        padded.t.splice(0..0, vec![0; head]);
        padded.x.splice(0..0, vec![0; head]);
        padded.y.splice(0..0, vec![0; head]);
        padded.p.splice(0..0, vec![0; head]);
        padded
    };
    notes(&camera.npy(&set("whole.npy")), &set("whole"), &SENSOR);
    for (head, tail) in [(1_000, 0), (20, 0), (0, 500), (0, 19)] {
        let [npy, npz, h5] = ["a.npy", "a.npz", "a.h5"].map(&set);
        let padded = padded(head, tail);
        // The last real event is equal to the filler after it, so it counts as filler too.
        let (which, count) = if head > 0 { ("first", head) } else { ("last", tail + 1) };
        let range = if head > 0 { format!("{head}..") } else { "..2999".into() };
        for file in [padded.npy(&npy), padded.npz(&npz), padded.dsec(&h5)] {
            let said = notes(&file, &set("set"), &SENSOR).join("\n");
            says(&said, &["warning: equal events: sample 0: its ", &format!("{which} {count} events are equal")]);
            says(&said, &[&format!("--events {range} leaves them out")]);
            let said = notes(&file, &set("set"), &[&SENSOR[..], &["--events", &range]].concat());
            assert!(said.iter().all(|note| !note.contains("equal")), "{said:?}");
            if head > 0 {
                assert!(samples(&set("set")) == samples(&set("whole")));
            }
        }
    }
    for (head, tail) in [(19, 0), (0, 18)] {
        let said = notes(&padded(head, tail).npy(&set("a.npy")), &set("set"), &SENSOR);
        assert!(said.is_empty(), "{said:?}");
    }
    // Rows of speech that are padded to the same length.
    let mut speech = Recording { times_as: Times::F64, ..Recording::random(6, 5, 300) };
    for row in [1, 3] {
        let (time, unit) = (*speech.times[row].last().unwrap(), *speech.units[row].last().unwrap());
        speech.times[row].extend([time; 50]);
        speech.units[row].extend([unit; 50]);
    }
    let said = notes(&speech.write(&set("speech.h5")), &set("set"), &[]).join("\n");
    says(&said, &["warning: equal events: sample 1 and 1 more: its last 51 events are equal, all at channel"]);
}

#[test]
fn times_that_their_type_rounds_are_warned_of() {
    let dir = scratch();
    let set = |name: &str| dir.join(name);
    let camera = Camera::random(7, 3_000, 900_000);
    let write = |name: &str, kind: &str, time: &dyn Fn(f64) -> Vec<u8>| {
        let descr = format!("[('t', '{kind}'), ('x', '<u2'), ('y', '<u2'), ('p', '|u1')]");
        let row = |i: usize| {
            let (x, y) = (camera.x[i].to_le_bytes(), camera.y[i].to_le_bytes());
            [&time(camera.t[i] as f64 / 1e6)[..], &x, &y, &[camera.p[i]]].concat()
        };
        npy(&set(name), &descr, &(0..camera.t.len()).map(row).collect::<Vec<_>>());
        notes(&set(name), &set("set"), &[&SENSOR[..], &["--time-unit", "s"]].concat()).join("\n")
    };
    let since_1970 = write("unix4.npy", "<f4", &|t| ((1.7e9 + t) as f32).to_le_bytes().to_vec());
    says(&since_1970, &["warning: coarse times: as float32 they are multiples of 2.1 minutes", "as float64"]);
    let later = write("late4.npy", "<f4", &|t| ((36_000.0 + t) as f32).to_le_bytes().to_vec());
    says(&later, &["warning: coarse times: as float32 they are multiples of 3.9 ms, and the recording lasts 90"]);
    for said in [
        write("f4.npy", "<f4", &|t| (t as f32).to_le_bytes().to_vec()),
        write("minutes4.npy", "<f4", &|t| ((600.0 + t) as f32).to_le_bytes().to_vec()),
        write("unix8.npy", "<f8", &|t| (1.7e9 + t).to_le_bytes().to_vec()),
    ] {
        assert_eq!(said, "");
    }
}

#[test]
fn coordinates_around_the_middle_are_explained() {
    let dir = scratch();
    let camera = Camera::random(8, 3_000, 900_000);
    let write = |few: usize| {
        let row = |i: usize| {
            let middle = if i < few { [20, 15] } else { [0, 0] };
            let [x, y] = [(camera.x[i], middle[0]), (camera.y[i], middle[1])].map(|(n, middle)| n as i16 - middle);
            [&camera.t[i].to_le_bytes()[..], &x.to_le_bytes(), &y.to_le_bytes(), &[camera.p[i]]].concat()
        };
        let rows: Vec<_> = (0..camera.t.len()).map(row).collect();
        npy(&dir.join("a.npy"), "[('t', '<i8'), ('x', '<i2'), ('y', '<i2'), ('p', '|u1')]", &rows);
    };
    let file = dir.join("a.npy");
    write(3_000);
    let words = ["pixels are counted from 0", "x = x.astype(\"i8\") + 20", "and 15 is added to y"];
    refuses(convert(&[&file], &dir.join("none")).args(SENSOR), 3, &words);
    // If only a few events have negative coordinates, the error suggests --lenient.
    write(30);
    refuses(convert(&[&file], &dir.join("few")).args(SENSOR), 3, &["--lenient keeps only the events inside"]);
}
