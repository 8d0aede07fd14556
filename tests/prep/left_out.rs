//! Tests of events that are in no sample because the options leave them out. They count as lost.

use std::path::PathBuf;

use super::camera::Camera;
use super::folder::Folder;
use super::loss::{Bench, FRAMES, SENSOR, crop, notes};
use super::recording::{convert, convert_aloud, refuses, says, scratch, stderr};

#[test]
fn a_table_in_another_unit_is_found_and_the_loss_can_be_refused() {
    let camera = Camera::at(&(0..5_000).map(|i| i * 1_000).collect::<Vec<_>>());
    let bench = Bench::of(&camera);
    let table = |text: &str| bench.dir.file("labels.csv", text).to_str().unwrap().to_string();
    let milliseconds = table("0,2000,a\n2000,5000,b\n");
    let expected = "the intervals of --labels leave out 99.9% of the events of a.npy (4995 of 5000): they go from 0 to \
                    0.005 s, the events from 0 to 4.999 s; are they in ms? Their unit can be at each, as in 20ms";
    for more in [&["--overwrite"][..], &["--dry-run"], &["--sample-duration", "1ms", "--overwrite"]] {
        let found = bench.notes("set", &[&["--labels", &milliseconds], more].concat());
        assert!(found.contains(&format!("warning: {expected}")), "{found:?}");
    }
    let mut command = convert_aloud(&[&bench.file], &bench.path("set"));
    let said = stderr(command.args(SENSOR).args(["--labels", &milliseconds, "--overwrite", "--quiet"]));
    says(&said, &[&format!("convert: warning: {expected}")]);
    let limited = |most: &str, table: &str| {
        let mut command = convert(&[&bench.file], &bench.path("limited"));
        command.args(SENSOR).args(["--labels", table, "--max-loss", most]);
        command
    };
    refuses(&mut limited("99%", &milliseconds), 3, &["at most 99% of the events to be lost, got 99.9%", expected]);
    assert!(!bench.path("limited").exists());
    limited("99.91%", &milliseconds).assert().success();

    // With the right unit, nothing is lost. If a tenth of the events is in gaps between intervals, there is no
    // warning, but --max-loss counts these events.
    assert_eq!(bench.notes("right", &["--labels", &table("0ms,2000ms,a\n2000ms,5000ms,b\n")]), [""; 0]);
    let gaps = table("0,1s,a\n1.5s,5s,b\n");
    assert_eq!(bench.notes("gaps", &["--labels", &gaps]), ["500 events are in no sample"]);
    let mut refused = limited("9%", &gaps);
    refuses(
        refused.arg("--overwrite"),
        3,
        &["got 10% (500 of 5000): ", "go from 0 to 5 s, the events from 0 to 4.999 s; their unit"],
    );
    // The limit bounds the sum of all losses: the gaps lose 10% of the events, and the recipe loses 702 of the other
    // 4500.
    let recipe = bench.recipe(&(crop(2_799_999) + FRAMES));
    let sum = |most: &str| {
        let mut command = limited(most, &gaps);
        command.args(["--recipe", &recipe]);
        command
    };
    let words = ["at most 23.9% of the events", "got 24% (1202 of 5000)", "leave out 10% of", "CropTime lost 15.6% of"];
    refuses(sum("23.9%").arg("--overwrite"), 3, &words);
    refuses(sum("23.9%").arg("--dry-run"), 3, &words);
    sum("24.1%").arg("--overwrite").assert().success();
    // A recording without a row in the table counts as lost too.
    let table = table("a.npy,0,5s,a\n");
    let other = Camera::at(&(0..1_000).map(|i| i * 1_000).collect::<Vec<_>>()).npy(&bench.path("b.npy"));
    let both = |most: &str| {
        let mut command = convert(&[&bench.file, &other], &bench.path("limited"));
        command.args(SENSOR).args(["--labels", &table, "--overwrite", "--max-loss", most]);
        command
    };
    let words = ["got 16.7% (1000 of 6000)", "1 recordings without a row in --labels have 16.7% of the events"];
    refuses(&mut both("16%"), 3, &words);
    both("17%").assert().success();
    // Events that --events leaves out of a single recording are not a loss.
    let found = bench.notes("part", &["--labels", &gaps, "--events", "0..900"]);
    assert_eq!(found[0], "4100 events are in no sample");
    assert!(found.iter().all(|note| !note.starts_with("warning: ")), "{found:?}");
}

#[test]
fn a_range_of_events_that_cuts_several_recordings_is_a_loss() {
    let folder = Folder::of(&["a/1.npy", "b/2.h5", "b/3.npz"]);
    folder.put("a/1.npy", &Camera::random(7, 1_000, 90_000));
    let file = |name: &str| folder.root.join(name);
    let cut = |inputs: &[PathBuf], range: &str, more: &[&str]| {
        let mut command = convert(inputs, &folder.dir.join("set"));
        command.args(SENSOR).args(["--events", range]).args(more);
        command
    };
    let leaves = "the range of --events leaves out";
    for (inputs, range, expected, sum) in [
        (
            vec![folder.root.clone()],
            "..15",
            "98.5% of the events of a/1.npy (985 of 1000), and 95.7% of this one's and those of 2 more (1005 of 1050)",
            "95.7% (1005 of 1050)",
        ),
        (
            vec![file("a/1.npy"), file("b/3.npz")],
            "20..",
            "66.7% of the events of 3.npz (20 of 30)",
            "3.9% (40 of 1030)",
        ),
    ] {
        let warning = format!("warning: {leaves} {expected}: it cuts every recording");
        for more in [&["--overwrite"][..], &["--dry-run"], &["--sample-events", "5", "--overwrite"]] {
            let found = notes(&mut cut(&inputs, range, more));
            assert!(found.iter().any(|note| note.starts_with(&warning)), "{found:?}");
        }
        refuses(&mut cut(&inputs, range, &["--max-loss", "1%"]), 3, &["to be lost, got", sum, leaves]);
    }
    // A loss of up to a tenth gives no warning, but --max-loss counts it.
    let two = [file("a/1.npy"), file("b/3.npz")];
    refuses(&mut cut(&two, "3..", &["--max-loss", "0.1%"]), 3, &["got 0.6% (6 of 1030)", leaves]);
    assert!(notes(&mut cut(&two, "3..", &["--overwrite"])).iter().all(|note| !note.contains("warning")));
    // If there is only one recording, the events outside the range are not a loss.
    cut(&[file("a/1.npy")], "..15", &["--max-loss", "0", "--overwrite"]).assert().success();
}

#[test]
fn what_follows_an_array_is_not_lost_in_silence() {
    let dir = scratch();
    let bytes = Camera::random(515, 500, 90_000).npy_bytes();
    let file = dir.file("a.npy", [&bytes[..], &bytes].concat());
    let words = [&format!("byte {}: expected the end of the array, got another array", bytes.len()), "np.load once"];
    refuses(convert(&[&file], &dir.join("set")).args(SENSOR), 3, &words);
    assert!(!dir.join("set").exists());
    let file = dir.file("a.npy", [&bytes[..], &[0; 7]].concat());
    let found = notes(convert(&[&file], &dir.join("set")).args(SENSOR));
    assert!(found.len() == 1 && found[0].starts_with("the 7 bytes after the array of "), "{found:?}");
}
