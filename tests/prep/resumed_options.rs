//! Tests of the options of a resumed conversion.

use std::path::PathBuf;

use super::clocks::{SENSOR, usual};
use super::recording::{Scratch, contents, convert, fails, json, says, scratch};

const SMALL: [&str; 4] = ["--chunk-samples", "1", "--shard-size", "500"];

/// Makes a folder of three recordings, each with another class. The clock of the second recording wraps.
fn folder(dir: &Scratch) -> PathBuf {
    let folder = dir.folder("folder");
    for class in ["a", "b", "c"] {
        std::fs::create_dir(folder.join(class)).unwrap();
        usual(90).npy(&folder.join(class).join("1.npy"));
    }
    let mut wrapped = usual(91);
    wrapped.t.iter_mut().for_each(|t| *t = (*t + (1 << 24) - 300_000) % (1 << 24));
    wrapped.npy(&folder.join("b/1.npy"));
    folder
}

#[test]
fn a_refused_file_of_a_folder_costs_no_shard() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let folder = folder(&dir);
    let said = fails(convert(&[&folder], &path("set")).args(SENSOR).args(SMALL), 3);
    says(&said, &["b/1.npy: times: expected a clock that goes on, got a wrap", "--unwrap"]);
    let mut resumed = convert(&[&folder], &path("set"));
    let json = json(resumed.args(SENSOR).args(SMALL).args(["--resume", "--unwrap", "--json"]));
    assert_eq!(json["resumed_samples"], 1);
    convert(&[&folder], &path("whole")).args(SENSOR).args(SMALL).arg("--unwrap").assert().success();
    assert!(contents(&path("set")) == contents(&path("whole")));
}

#[test]
fn a_resume_must_not_change_how_the_rest_is_read() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let folder = folder(&dir);
    // The options must stay the same even if the resume adds an option that corrects the clock.
    let table = path("table.csv");
    std::fs::write(&table, "file,label\na/1.npy,b\nb/1.npy,c\nc/1.npy,a\n").unwrap();
    let start = |arguments: &[&str]| {
        std::fs::remove_dir_all(path("part")).unwrap_or_default();
        fails(convert(&[&folder], &path("part")).args(SMALL).args(arguments), 3);
    };
    for (began, resumed, words) in [
        (&["--time-unit", "us"][..], &["--time-unit", "ms"][..], &["expected us, got ms", "give --time-unit us"][..]),
        (&[], &["--time-unit", "s"], &["time_unit differs", "expected us, got s", "give --time-unit us, as it began"]),
        (&[], &["--origin", "1"], &["expected 0, got 1", "give --origin 0", "--overwrite for --resume"]),
        (&[], &["--sensor", "40,31,2"], &["give --sensor 40,30,2, as"]),
        (&[], &["--map", "t=t,x=y,y=x,p=p"], &["t=t,x=x,y=y,p=p, got t=t,x=y,y=x,p=p", "give --map, --columns and"]),
        (&[], &["--events", "1.."], &["expected none, got 1..", "leave --events out"]),
        (&["--events", "1.."], &[], &["expected 1.., got none", "give --events 1.., as it"]),
        (&[], &["--sample-duration", "9s"], &["sample_duration differs", "leave --sample-duration out"]),
        (&[], &["--labels", table.to_str().unwrap()], &["labels differs", "give the same --labels"]),
    ] {
        let sensor = if resumed.contains(&"--sensor") { &[][..] } else { &SENSOR };
        start(&[&SENSOR, began].concat());
        let mut command = convert(&[&folder], &path("part"));
        let said = fails(command.args(SMALL).args(sensor).args(resumed).args(["--resume", "--unwrap"]), 4);
        says(&said, words);
    }
    // A resumed conversion may give the unit that was used before. It must not leave out --unwrap.
    start(&SENSOR);
    let resume = |arguments: &[&str]| {
        let mut command = convert(&[&folder], &path("part"));
        command.args(SENSOR).args(SMALL).arg("--resume").args(arguments);
        command
    };
    let mut wrong = usual(91);
    wrong.t[4_000..].iter_mut().for_each(|t| *t += 7_200_000_000);
    wrong.npy(&folder.join("c/1.npy"));
    start(&[&SENSOR[..], &["--unwrap"]].concat());
    says(&fails(&mut resume(&["--allow-clock-trouble"]), 4), &["unwrap differs", "add --unwrap, as it began"]);
    resume(&["--unwrap", "--time-unit", "us", "--allow-clock-trouble"]).assert().success();
}
