//! Tests of faulty clocks in recordings whose samples are HDF5 rows, and in recordings with few events.

use hdf5::types::VarLenUnicode;
use serde_json::Value;

use super::camera::Camera;
use super::clocks::refused;
use super::recording::{Recording, Sample, Times, column, convert, fails, hdf5_file, samples, says, scratch};

#[test]
fn rows_of_speech_have_clocks_too() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let straight: Vec<f64> = (0..2_000).map(|i| f64::from(i) * 1e-3 / 2.0).collect();
    let with = |from: usize, by: f64| {
        straight.iter().enumerate().map(|(i, t)| if i < from { *t } else { t + by }).collect::<Vec<f64>>()
    };
    let period = f64::from(1 << 19) / 1e6;
    let wrapped: Vec<f64> = straight.iter().map(|t| t % period).collect();
    let mut one = straight.clone();
    one[600] = 1e9;
    for (i, (row, what, next)) in [
        (wrapped, "a wrap: its clock wraps at 2^19 us (524 ms), once before event 1049", "--unwrap adds"),
        (with(1_200, -0.6), "a reset: the times step back by 600 ms before event 1200", "numpy.r_[1200:2000]"),
        (with(1_970, -0.985), "a reset: the times step back by 984 ms before event 1970", "numpy.r_[1970:2000]"),
        (with(40, 3_000.0), "a gap: 50 minutes pass between event 39 and event 40", "numpy.r_[0:40]"),
        (with(40, 20.0), "a gap: 20 s pass between event 39 and event 40", "numpy.r_[0:40]"),
        (one, "a stray time: event 600 is 11574 days ahead of all others", "numpy.r_[600:601]"),
        (straight.iter().rev().copied().collect(), "a disorder: its events are in descending order", "sorts all"),
    ]
    .into_iter()
    .enumerate()
    {
        let rows = [&straight, &row, &straight];
        let speech = Recording {
            times_as: Times::F64,
            ..Recording::of(rows.map(|row| row.iter().map(|t| (*t, 5)).collect()).to_vec())
        };
        let digits = hdf5_file(&path(&format!("{i}.digits")), |file| {
            let names: Vec<VarLenUnicode> = ["a-1", "b-1", "c-1"].map(|name| name.parse().unwrap()).to_vec();
            column(file, "train_labels", &names);
            for (group, name) in [("train_addresses", 0), ("train_timestamps", 1)] {
                let group = file.create_group(group).unwrap();
                for (row, sample) in rows.iter().zip(["a-1", "b-1", "c-1"]) {
                    match name {
                        0 => column(&group, sample, &vec![5_u8; row.len()]),
                        _ => column(&group, sample, row),
                    }
                }
            }
        });
        for file in [speech.write(&path(&format!("{i}.h5"))), digits] {
            let said = fails(&mut convert(&[&file], &path("none")), 3);
            says(&said, &["sample 1: times: expected a clock that goes on, got ", what, next]);
            assert!(!path("none").exists() && !said.contains("--time-unit"), "{said}");
            let mended = if i == 0 { "--unwrap" } else { "--allow-clock-trouble" };
            let mut command = convert(&[&file], &path("set"));
            let command = command.args(["--time-window", "1000000", "--overwrite", "--json", mended]);
            let json: Value = serde_json::from_slice(&command.assert().success().get_output().stdout).unwrap();
            let said = json["notes"].to_string();
            says(&said, &["sample 1: ", if i == 0 { "it was unwrapped" } else { what.split_once(' ').unwrap().1 }]);
            let found = samples(&path("set"));
            let same = |other: &Sample| other.dense == found[0].dense && other.ledger == found[0].ledger;
            assert_eq!(same(&found[1]), [0, 1, 2, 6].contains(&i), "{i}");
            assert!(same(&found[2]));
        }
    }
}

#[test]
fn few_events_and_rows_are_held_to_the_same_rule() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let even = |n: i64, from: i64| (0..n).map(|i| from + 20_000 * i).collect::<Vec<i64>>();
    let halves = |a: Vec<i64>, b: Vec<i64>| [a, b].concat();
    let wrapped: Vec<i64> = even(50, (1 << 32) - 500_000).iter().map(|t| t % (1 << 32)).collect();
    let both =
        ["a reset: ", "--events ..55 or --events 55..", "np.unwrap(t.astype(\"i8\"), period=1048576)", "2^20 us"];
    for (times, words) in [
        (wrapped.clone(), &["a wrap: its clock wraps at 2^32 us (1.2 hours), once before event 25", "--unwrap"][..]),
        (halves(even(25, 5_000_000), even(25, 0)), &["a reset: the times step back by 5.5 s before event 25"]),
        (halves(even(55, 0), even(55, 0)).iter().map(|t| t * 185 / 200).collect(), &both),
        (halves(vec![0], even(49, 4_294_000_000)), &["a stray time: event 0 is 1.2 hours behind", "--events 1..;"]),
        (halves(even(9, 0), even(41, 4_294_000_000)), &["a gap: 1.2 hours pass", "--events 9.. or --events ..9"]),
    ] {
        refused(&Camera::at(&times).npy(&path("few.npy")), &path("none"), words);
        // The same times in a row of a file with many samples. The suggested command corrects the row.
        let row: Vec<(f64, i64)> = times.iter().map(|&t| (t as f64 / 1e6, 3)).collect();
        let good: Vec<(f64, i64)> = even(40, 0).iter().map(|&t| (t as f64 / 1e6, 3)).collect();
        let rows = Recording::of(vec![good.clone(), row, good]);
        let speech = Recording { times_as: Times::F64, ..rows };
        let said = fails(&mut convert(&[&speech.write(&path("few.h5"))], &path("none")), 3);
        says(&said, &["sample 1: times: ", words[0]]);
    }
    // A row that is unwrapped counts from its first event, and is not cropped.
    let row = wrapped.iter().map(|&t| (t as f64 / 1e6, 3)).collect();
    let rows = Recording::of(vec![row, even(50, 0).iter().map(|&t| (t as f64 / 1e6, 3)).collect()]);
    let speech = Recording { times_as: Times::F64, ..rows };
    let file = speech.write(&path("wrap.h5"));
    convert(&[&file], &path("set")).arg("--unwrap").assert().success();
    let found = samples(&path("set"));
    // The last event may be on the edge of a window, which is left out.
    let kept = |sample: &Sample| (sample.ledger.cropped, sample.ledger.binned + sample.ledger.cut);
    assert_eq!(found.iter().map(kept).collect::<Vec<_>>(), [(0, 50); 2]);
}
