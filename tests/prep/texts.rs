//! Tests of texts with a row of cells for each event, such as CSV.

use std::fmt::Write;
use std::path::Path;

use proptest::prelude::*;
use tonic_toolkit::prep::{Error, Recording, SensorSize, SourceOptions, TimeUnit, Times};

use super::camera::Camera;
use super::camera_formats::events_of;
use super::recording::{Scratch, convert, convert_aloud, fails, json, refuses, samples, says, scratch, stderr};

const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];
const SIZE: SensorSize = SensorSize { width: 40, height: 30, polarities: 2 };
/// Number of rows in a long text. To find out which columns are t, x, y and p, the program reads fewer rows than this.
const MANY: usize = 40_000;

fn converted(dir: &Scratch, text: &str, arguments: &[&str]) -> String {
    let file = dir.file("a.csv", text);
    stderr(convert_aloud(&[&file], &dir.join("set")).args(arguments).arg("--overwrite"))
}

#[test]
fn texts_of_all_kinds_have_the_same_events() {
    let dir = scratch();
    let camera = Camera::random(61, 900, 60_000);
    let of = |head: &str, row: &dyn Fn(i64, u16, u16, u8) -> String, end: &str| {
        let rows = (0..camera.t.len()).map(|i| row(camera.t[i], camera.x[i], camera.y[i], camera.p[i]));
        head.to_owned() + &rows.collect::<Vec<_>>().join(end)
    };
    let whole = |t, x, y, p| format!("{t},{x},{y},{p}");
    let s = |t: i64| super::camera::seconds(t);
    for (what, text, arguments) in [
        ("a header", of("t,x,y,p\n", &whole, "\n"), &[][..]),
        ("CRLF, a mark, quotes", of("\u{feff}\"t\",\"x\",\"y\",\"p\"\r\n", &whole, "\r\n"), &[]),
        ("line ends of an old Mac", of("t,x,y,p\r", &whole, "\r"), &[]),
        ("semicolons", of("T;X;Y;Polarity\n", &|t, x, y, p| format!("{t};{x};{y};{p}"), "\n"), &[]),
        ("tabs", of("# x\ty\tts\ton\n", &|t, x, y, p| format!("{x}\t{y}\t{t}\t{p}"), "\n"), &[]),
        ("spaces", of("# t x y pol\n", &|t, x, y, p| format!("{t:>9} {x:3}  {y} {p} "), "\n"), &[]),
        ("comments", of("% mine\nt,x,y,p\n", &|t, x, y, p| format!("{t}, {x}, {y}, {p} % {x}\n\n% lap"), "\n"), &[]),
        (
            "seconds",
            of("timestamp x y sign\n", &|t, x, y, p| format!("{} {x} {y} {}", s(t), i8::from(p == 1) * 2 - 1), "\n"),
            &[],
        ),
        ("exponents", of("t,x,y,p\n", &|t, x, y, p| format!("{:.18e},{x}.0,{y}e0,{p}.00", s(t)), "\n"), &[]),
        (
            "decimal commas",
            of("t;x;y;p\n", &|t, x, y, p| format!("{};{x};{y};{p}", s(t).to_string().replace('.', ",")), "\n"),
            &[],
        ),
        (
            "words",
            of("x,y,p,t_us\n", &|t, x, y, p| format!("{x},{y},{},{t}", if p == 1 { "True" } else { "False" }), "\n"),
            &[],
        ),
        ("nanoseconds", of("t_ns,x,y,on\n", &|t, x, y, p| format!("{t}999,{x},{y},{p}"), "\n"), &[]),
        (
            "milliseconds",
            of("Timestamp [ms],x,y,on\n", &|t, x, y, p| format!("{}.{:03},{x},{y},{p}", t / 1000, t % 1000), "\n"),
            &["--lenient"],
        ),
        (
            "the unit of the user",
            of("t,x,y,p\n", &|t, x, y, p| format!("{t}000,{x},{y},{p}"), "\n"),
            &["--time-unit", "ns"],
        ),
        ("more columns", of("id,t,x,y,p,name\n", &|t, x, y, p| format!("7,{t},{x},{y},{p},\"a, b\""), "\n"), &[]),
        ("no header", of("", &|t, x, y, p| format!("{x} {y} {p} 9 {t}"), "\n"), &["--columns", "x,y,p,_,t"]),
        ("other names", of("when,col,row,value\n", &whole, "\n"), &["--map", "t=when,x=col,y=row,p=value"]),
        ("other names in order", of("when,col,row,value\n", &whole, "\n"), &["--columns", "t,x,y,p"]),
        ("e2vid", of("40 30\n", &|t, x, y, p| format!("{} {x} {y} {p}", s(t)), "\n"), &[]),
        (
            "Metavision",
            of("%geometry:40,30\n", &|t, x, y, p| format!("{x},{y},{p},{t}"), "\n"),
            &["--columns", "x,y,p,t"],
        ),
        ("a header again", of("t,x,y,p\n", &|t, x, y, p| format!("{t},{x},{y},{p}\nt,x,y,p"), "\n"), &[]),
    ] {
        let file = dir.file("a.txt", &text);
        let said = stderr(convert_aloud(&[&file], &dir.join("set")).args(SENSOR).args(arguments).arg("--overwrite"));
        says(&said, &["layout: text (CSV), sensor 40x30x2"]);
        let expected = camera.csv(&dir.join("b.csv"));
        let expected = samples(&dir.convert(&[expected], "other", &["--overwrite"]));
        let found = samples(&dir.join("set"));
        assert!(what == "milliseconds" || found[0].dense == expected[0].dense, "{what}\n{said}");
        assert_eq!(found[0].ledger.events_in, 900, "{what}\n{said}");
    }
}

#[test]
fn a_column_takes_a_wider_type_if_a_later_row_needs_it() {
    let dir = scratch();
    let text = |late: &str| {
        let mut text = String::from("t,x,y,p\n");
        (0..MANY).for_each(|i| writeln!(text, "{},{},{},{}", i * 10, i % 40, i % 30, i % 2).unwrap());
        text + late + "400007,3,4,1\n"
    };
    let events = |late: &str| {
        let (_, camera) = events_of(&dir.file("a.csv", text(late)), Some(SIZE));
        (camera.t.len(), camera.t[MANY..].to_vec(), camera.x[MANY..].to_vec())
    };
    assert_eq!(events("400005,7.0,4,1\n"), (MANY + 2, vec![400_005, 400_007], vec![7, 3]));
    assert_eq!(events("400005,7,4.0,-1\n"), (MANY + 2, vec![400_005, 400_007], vec![7, 3]));
    assert_eq!(events("400005,7,4,1e0\n"), (MANY + 2, vec![400_005, 400_007], vec![7, 3]));
    // A coordinate far outside the sensor is reported with its number, and counted as outside.
    let file = dir.file("a.csv", text("400005,-70000,4,1\n"));
    refuses(convert(&[&file], &dir.join("set")).args(SENSOR), 3, &["inside the sensor, 40x30x2", "-70000"]);
    let said = json(convert(&[&file], &dir.join("set")).args(SENSOR).args(["--lenient", "--json"]));
    assert_eq!(said["ledger"]["outside"], 1, "{said}");
    // One fraction makes all times seconds. The implausible duration shows the mistake.
    let file = dir.file("b.csv", text("400005.5,7,4,1\n"));
    refuses(convert(&[&file], &dir.join("none")).args(SENSOR), 3, &["lasts at most a day", "--time-unit us"]);
}

#[test]
fn a_line_that_is_no_event_is_named() {
    let dir = scratch();
    let text = |late: &str| {
        let mut text = String::from("t,x,y,p\n");
        for i in 0..MANY {
            match i == 30_000 {
                true => text += late,
                false => writeln!(text, "{},{},{},{}", i * 10, i % 40, i % 30, i % 2).unwrap(),
            }
        }
        text
    };
    for (late, words) in [
        ("10,3,7\n", "line 30002: expected 4 cells as in the other lines, got 3 in \"10,3,7\""),
        ("10,3,7,1,0\n", "line 30002: expected 4 cells as in the other lines, got 5"),
        ("10;3;7;1\n", "line 30002: expected 4 cells as in the other lines, got 1"),
        ("10,3,,1\n", "line 30002, column y: expected a number, got \"\""),
        ("10,NULL,3,1\n", "line 30002, column x: expected a number, got \"NULL\""),
        ("nan,3,7,1\n", "line 30002, column t: expected a finite number, got \"nan\""),
        ("10,3,-inf,1\n", "line 30002, column y: expected a finite number, got \"-inf\""),
        ("10,3,7,on\n", "line 30002, column p: expected a number, got \"on\""),
        ("99999999999999999999,3,7,1\n", "line 30002, column t: expected a number of at most 64 bits"),
        ("\n# lap\n# t,y,x,p\n", "line 30004: expected the columns in the same order, got \"# t,y,x,p\""),
        ("10,3,7\u{7},1\n", "line 30002, column y: expected a number, got \"7\\u{7}\""),
    ] {
        let file = dir.file("a.csv", text(late));
        let words = [words, "the 30000 events before it are whole", "--lenient"];
        refuses(convert(&[&file], &dir.join("none")).args(SENSOR), 3, &words);
        let mut command = convert_aloud(&[&file], &dir.join("set"));
        let said = stderr(command.args(SENSOR).args(["--lenient", "--overwrite"]));
        says(&said, &["warning: damaged: line 3000", "only the 30000 events before it are read"]);
        assert_eq!(samples(&dir.join("set"))[0].ledger.events_in, 30_000, "{late}");
    }
    // The end of a file that was cut off.
    let whole = text("10,3,7,1\n");
    let file = dir.file("a.csv", &whole[..whole.len() - 5]);
    refuses(convert(&[&file], &dir.join("none")).args(SENSOR), 3, &["line 40001", "got 2 in \"399990,"]);
    // Seconds that do not fit 64 bits as microseconds.
    let file = dir.file("a.csv", "t,x,y,p\n9223372036854775807,1,2,0\n");
    let words = ["line 2, column t: expected a time in s that fits 64 bits in us, got \"9223372036854775807\""];
    refuses(convert(&[&file], &dir.join("none")).args(SENSOR).args(["--time-unit", "s"]), 3, &words);
}

#[test]
fn columns_and_units_that_are_not_certain_are_asked_for() {
    let dir = scratch();
    let refused = |text: &str, arguments: &[&str], words: &[&str]| {
        let file = dir.file("a.txt", text);
        refuses(convert(&[&file], &dir.join("none")).args(SENSOR).args(arguments), 3, words);
    };
    let rows = "0.5 3 9 1\n0.75 1 7 0\n0.8 2 8 1\n";
    refused(
        rows,
        &[],
        &["expected a header with the names of the columns", "the first row is \"0.5 3 9 1\"", "--columns t,x,y,p"],
    );
    refused(rows, &["--columns", "t,x,y"], &["expected 3 columns, as given, got 4", "--columns t,x,y,p"]);
    refused(rows, &["--map", "t=t,x=x"], &["expected a column t, got [0], [1], [2], [3]"]);
    refused(
        "a,b,c,d\n10,3,7,1\n20,1,7,0\n",
        &[],
        &["the usual names of t and x", "got a, b, c, d", "--columns t,x,y,p"],
    );
    refused(
        "t,ts,x,y,p\n1,2,3,4,1\n",
        &[],
        &["expected one column for t, got t and ts", "--columns t,_,x,y,p", "--columns _,t,x,y,p"],
    );
    refused(
        "t,x,y,p\n1,2,3,a\n2,2,3,b\n",
        &[],
        &["line 2, column p: expected numbers, or words for off and on, got \"a\""],
    );
    refused("t [ticks],x,y,p\n1,2,3,1\n", &[], &["the name of t [ticks]", "expected a unit of time", "\"ticks\""]);
    refused("t [10 us],x,y,p\n1,2,3,1\n", &[], &["\"10 us\""]);
    refused("t,t_ns,x,y,p\n1,1000000,3,4,1\n2,2000000,3,4,1\n", &[], &["expected the times of t_ns", "--time-unit ms"]);
    refused("7\n10,3,7,1\n20,1,7,0\n", &["--columns", "t,x,y,p"], &["line 1: expected a row of 4 cells", "got \"7\""]);
    refused("t;x;y;p\n900;1;2;0\n1,900;1;3;1\n", &[], &["line 3, column t: expected a number, got \"1,900\""]);
    refused("t,x,y,p\n1,2,3,2\n2,2,3,1\n3,1,1,2\n", &[], &["polarities", "1 and 2"]);
    refused("t,x,y,p\n1,2,3,0\n2,2,3,-1\n3,1,1,0\n", &[], &["polarities", "no 1"]);
    refused("t,x,y,p\n1,0.2,0.3,0\n2,0.4,0.5,1\n3,0.7,0.9,0\n", &[], &["pixels"]);
    // Microseconds with fractions are refused, as in HDF5.
    let mut text = String::from("t_us,x,y,p\n");
    (0..300).for_each(|i| writeln!(text, "{}.5,3,7,1", i * 10).unwrap());
    refused(&text, &[], &["times in whole us"]);
    let said = converted(&dir, "t,x,y,p\n0.001,1,2,-1\n0.002,1,2,0\n0.003,1,3,1\n", &SENSOR);
    says(&said, &["t = t (float64, s), x = x (uint16), y = y (uint16), p = p (int8)", "p has -1, 0 and 1: both"]);
    let said = converted(&dir, "t,x@40,y@30,on,z\n10,1,2,1,9\n20,1,2,0,8\n", &[]);
    says(&said, &["sensor 40x30x2", "field z was not used"]);
    // No events at all.
    converted(&dir, "t,x,y,p\n", &SENSOR);
    assert_eq!(samples(&dir.join("set"))[0].ledger.events_in, 0);
}

#[test]
fn texts_in_a_folder_are_recordings_by_their_content() {
    let dir = scratch();
    let root = dir.folder("data");
    for (class, n) in [("wave", 300), ("clap", 200)] {
        let folder = dir.folder(&format!("data/{class}"));
        Camera::random(n as u64, n, 50_000).csv(&folder.join("1.csv"));
        Camera::random(n as u64 + 1, n, 50_000).csv(&folder.join("2.txt"));
    }
    dir.file("data/labels.csv", "file,label\n1.npy,wave\n");
    dir.file("data/boxes.csv", "t,x,y,w,h,class_id\n1,2,3,4,5,0\n");
    let said = stderr(convert_aloud(&[&root], &dir.join("set")).args(SENSOR));
    says(&said, &["layout: text (CSV)"]);
    let labels: Vec<u32> = samples(&dir.join("set")).iter().map(|sample| sample.label).collect();
    assert_eq!(labels, [0, 0, 1, 1]);
    // A copy in NumPy's format is read instead.
    Camera::random(300, 300, 50_000).npy(&root.join("wave/1.npy"));
    let said = stderr(convert_aloud(&[&root], &dir.join("set")).args(SENSOR).arg("--overwrite"));
    says(&said, &["not read and in no sample: wave/1.csv"]);
    assert_eq!(samples(&dir.join("set")).len(), 4);
    dir.file("data/wave/3.csv", "t,x,y,p\n1,2,3,1\n2,2,3\n3,2,3,1\n");
    refuses(convert(&[&root], &dir.join("none")).args(SENSOR), 3, &["wave/3.csv: line 3: expected 4 cells"]);
    let said = stderr(convert_aloud(&[&root], &dir.join("set")).args(SENSOR).args(["--lenient", "--overwrite"]));
    says(&said, &["wave/3.csv", "line 3: expected 4 cells", "only the 1 events before it are read"]);
}

#[test]
fn a_large_text_is_cut_into_samples() {
    let dir = scratch();
    let n = (1 << 22) + 50_000;
    let mut text = String::from("t x y p\n");
    (0..n).for_each(|i| writeln!(text, "{} {} {} {}", i, i % 40, i % 30, i % 2).unwrap());
    let file = dir.file("a.txt", text);
    let cut = ["--sample-duration", "1s"];
    let set = dir.convert(&[&file], "set", &[&SENSOR[..], &cut].concat());
    let events: Vec<u64> = samples(&set).iter().map(|sample| sample.ledger.events_in).collect();
    assert_eq!(events, [1_000_000, 1_000_000, 1_000_000, 1_000_000, n as u64 - 4_000_000]);
}

/// Converts the cells of a column of times to microseconds, with the parser of the standard library. `None` if the
/// program must refuse the cells.
fn slowly(cells: &[String], unit: TimeUnit) -> Option<Vec<i64>> {
    let are_whole = cells.iter().all(|cell| cell.parse::<i64>().is_ok());
    let time = |cell: &String| match cell.parse::<i64>() {
        Ok(whole) if are_whole => unit.of_integer(whole),
        _ => unit.of_float(cell.parse::<f64>().ok().filter(|time| time.is_finite())?),
    };
    cells.iter().map(time).collect()
}

fn times(path: &Path, unit: TimeUnit) -> Result<Vec<i64>, Error> {
    let options = SourceOptions {
        sensor: Some(SIZE),
        time_unit: Some(unit),
        allow_clock_trouble: true,
        ..SourceOptions::default()
    };
    let recording = Recording::open(path, &options)?.remove(0);
    let raw = recording.read(0..1)?;
    match raw.times {
        Times::Us(times) => Ok(times),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// The program must read the same times as the standard library's exact parser.
    #[test]
    fn times_are_exact(
        cells in proptest::collection::vec("-?[0-9]{1,19}|[0-9]{1,12}\\.[0-9]{0,12}|-?[0-9]{0,3}\\.[0-9]{1,20}|[0-9]e-?[0-9]{1,2}", 1..40),
        unit in 0..4_usize,
        spaces in 0..3_usize,
    ) {
        let unit = [TimeUnit::Seconds, TimeUnit::Milliseconds, TimeUnit::Microseconds, TimeUnit::Nanoseconds][unit];
        let dir = scratch();
        let row = |cell: &String| format!("{}{cell},1,2,0\n", " ".repeat(spaces));
        let file = dir.file("a.csv", "t,x,y,p\n".to_owned() + &cells.iter().map(row).collect::<String>());
        match (times(&file, unit), slowly(&cells, unit)) {
            (Ok(found), Some(expected)) => prop_assert_eq!(found, expected),
            (Err(Error::BadRow { .. }), expected) => prop_assert!(
                expected.is_none() || cells.iter().any(|cell| cell.parse::<i64>().is_err() && !cell.contains(['.', 'e']))
            ),
            (found, expected) => prop_assert!(false, "{:?} {:?}", found, expected),
        }
    }

    /// A damaged text is read or refused. If it is read, every event is accounted for.
    #[test]
    fn damaged_texts_are_read_or_refused(at in 0..4_000_usize, bytes in proptest::collection::vec(any::<u8>(), 1..6), lenient: bool) {
        let dir = scratch();
        let file = Camera::random(7, 400, 60_000).csv(&dir.join("a.csv"));
        let mut text = std::fs::read(&file).unwrap();
        let at = at.min(text.len() - bytes.len());
        text[at..at + bytes.len()].copy_from_slice(&bytes);
        std::fs::write(&file, text).unwrap();
        let options = SourceOptions { sensor: Some(SIZE), lenient, allow_clock_trouble: true, ..SourceOptions::default() };
        let Ok(recordings) = Recording::open(&file, &options) else { return Ok(()) };
        let raw = recordings[0].read(0..1).unwrap();
        let admitted = raw.admit(0, SIZE);
        prop_assert_eq!(admitted.events.len() as u64 + admitted.non_finite + admitted.outside, raw.count(0));
    }
}

#[test]
fn a_text_of_another_kind_is_refused() {
    let dir = scratch();
    for (bytes, words) in [
        (&b"file,label\n1.npy,wave\n"[..], "got a text that begins with \"file,label\""),
        (b"{\"t\": [1, 2, 3]}\n", "got a JSON text"),
        (b"\xff\xfet\0,\0x\0", "got a text in UTF-16"),
        (b"class,start,end\n1,2000,3000\n", "usual names of t and x"),
    ] {
        let said = fails(convert(&[dir.file("a.csv", bytes)], &dir.join("none")).args(SENSOR), 3);
        says(&said, &[words]);
    }
    let map = ["--map", "t=t,x=x,y=y,p=p,label=p"];
    let csv = Camera::random(60, 900, 60_000).csv(&dir.join("d.csv"));
    refuses(convert(&[&csv], &dir.join("none")).args(SENSOR).args(map), 2, &["expected no label for", "got label=p"]);
    let npy = Camera::random(1, 90, 5_000).npy(&dir.join("a.csv"));
    refuses(convert(&[&npy], &dir.join("none")).args(["--layout", "csv"]), 2, &["expected npy, as the bytes"]);
    refuses(
        convert(&[dir.file("b.csv", b"\x01\x02")], &dir.join("none")).args(["--layout", "csv"]),
        3,
        &["a text with a row"],
    );
}

#[test]
fn a_last_number_that_may_be_cut_short_is_told() {
    let dir = scratch();
    let open = "the last, has no end: if the text was cut short there, its last number is wrong";
    let rows: String = (0..200).map(|i| format!("{},{},1,{}\n", i % 2, i % 40, 1000 + 37 * i)).collect();
    let text = format!("p,x,y,t\n{rows}");
    assert!(!converted(&dir, &text, &SENSOR).contains(open));
    says(&converted(&dir, text.trim_end(), &SENSOR), &["warning: line 201, ", open]);
    // All polarities have one digit, so that nothing can be missing.
    let rows: String = (0..200).map(|i| format!("{},{},1,{}\n", 1000 + 37 * i, i % 40, i % 2)).collect();
    assert!(!converted(&dir, format!("t,x,y,p\n{rows}").trim_end(), &SENSOR).contains(open));
}
