//! Test cases for the errors of recordings, recipes and conversions.

use tonic_prep::{Absence, ClockRemedy, ClockTimes, Error as Prep, FolderKind, Remedy, RowEvents, TimeUnit};

use super::{corrupt, file, mismatch, words};
use crate::errors::tests::{Case, case};

pub(super) fn prep() -> Vec<Case> {
    let (expected, got, place) = (words("this"), words("that"), words("there"));
    let missing = |absence, next| {
        let (path, dataset, what) = (file(), words("events/t"), words("0..9 are missing"));
        case(Prep::MissingData { path, dataset, what, absence }, &["in.h5: events/t: 0..9 are missing"], next)
    };
    let folder = |kind, next| {
        case(
            Prep::NotClasses { path: file(), got: words("a, b"), kind },
            &["in.h5: expected a folder for each class, got a, b"],
            next,
        )
    };
    let wrong_type = |mapped, next| {
        let (path, dataset, expected, got) = (file(), words("t"), words("this"), words("that"));
        case(Prep::WrongType { path, dataset, expected, got, mapped }, &["in.h5: t: expected this, got that"], next)
    };
    let times = |probable, alone, next| {
        let (path, place, expected, got) = (file(), words("times"), words("a second"), words("a year"));
        let assumed = TimeUnit::Seconds;
        case(
            Prep::ImplausibleTimes { path, place, expected, got, assumed, probable, alone },
            &["in.h5: times: expected a second, got a year"],
            next,
        )
    };
    let utf8 = |encoding, next| {
        case(
            Prep::NotUtf8 { path: "a b.csv".into(), line: 2, got: words("UTF-16"), encoding },
            &["a b.csv: line 2: expected text in UTF-8, got UTF-16"],
            next,
        )
    };
    let events = |range: &str| range.parse().unwrap();
    let trouble = |remedy, period, next| {
        let (place, got) = (words("times"), words("a reset at event 9"));
        case(
            Prep::ClockTrouble { path: file(), place, got, remedy, period },
            &["in.h5: times: expected a clock that goes on, got a reset at event 9"],
            next,
        )
    };
    let clock = |remedy, next| trouble(remedy, None, next);
    let keep = |clocks| {
        let times = ClockTimes { from: words("0.5"), to: words("9.5"), events: 7, unit: TimeUnit::Seconds };
        ClockRemedy::Keep { clocks: vec![times; clocks], removed: 3 }
    };
    let of_rows = |rows: [Option<u64>; 2], more, next| {
        let row = |row: Option<u64>| {
            let (arrays, events) = ([words("a"), words("b")], vec![events("0..4"), events("6..9")]);
            RowEvents { arrays, row, events, in_parts: row.is_none() }
        };
        clock(ClockRemedy::OfRows { rows: rows.map(row).to_vec(), more }, next)
    };
    let unit = |multiple, next| {
        case(
            Prep::OddUnit { path: file(), place: words("units of t"), got: words("10 us"), multiple },
            &["in.h5: units of t: expected a unit of time (s, ms, us or ns), got 10 us"],
            next,
        )
    };
    let lost = |converted, next| {
        let (path, most, got, reasons) = (file(), words("1%"), words("9%"), words("cropped"));
        case(
            Prep::TooMuchLost { path, most, got, reasons, converted },
            &["in.h5: expected at most 1% of the events to be lost, got 9%: cropped"],
            next,
        )
    };
    let little_memory = |samples, text, next| {
        let (path, step, needed, free) = (file(), "Denoise", words("4 GB"), words("2 GB"));
        case(
            Prep::TooLittleMemory { path, sample: 7, events: 99, samples, step, needed, free },
            &["in.h5: sample 7: expected about 4 GB of free memory, because", text],
            next,
        )
    };
    let outside = |origin, lowest, next| {
        let (path, expected, got) = (file(), words("this"), words("that"));
        case(
            Prep::OutsideSensor { path, sample: 7, event: 8, expected, got, origin, lowest },
            &["in.h5: sample 7: event 8: expected this, got that"],
            next,
        )
    };
    let pixels = |least, most, next| {
        let (path, field) = (file(), words("x"));
        case(Prep::NotPixels { path, field, least, most }, &["in.h5: x: expected pixels, got fractions from "], next)
    };
    let columns = |remedies, next| {
        let (path, place, expected, got) = (file(), words("events"), words("t, x"), words("a, b"));
        case(Prep::Columns { path, place, expected, got, remedies }, &["in.h5: events: expected t, x, got a, b"], next)
    };
    let copy = |command: &[&str], file, with| Remedy::Copy {
        words: command.iter().map(|word| words(word)).collect(),
        file: words(file),
        with,
    };
    let foreign = |command, next| {
        let (path, place, expected, format) = (file(), String::new(), words("this"), words("MAT"));
        let reader = words("scipy reads it");
        case(
            Prep::Foreign { path, place, expected, format, reader, command },
            &["in.h5: expected this, got MAT: scipy reads it"],
            next,
        )
    };
    let unknown = |maps, next| {
        let (path, looked, has) = (file(), words("events/t"), words("it has a"));
        case(
            Prep::UnknownLayout { path, looked, has, maps },
            &["in.h5: no layout fits: looked for events/t; it has a"],
            next,
        )
    };
    let sample = |what: &str, next| {
        let (path, what, expected, got) = (file(), words(what), words("this"), words("that"));
        case(
            Prep::BadSample { path, sample: 7, what, expected, got },
            &["in.h5: sample 7: ", "expected this, got that"],
            next,
        )
    };
    vec![
        case(Prep::Base(corrupt("x.shard")), &["chunk 3"], "repair"),
        case(Prep::Shard(mismatch("recipe", "src")), &["recipe"], "--recipe-of src"),
        case(
            Prep::NotARecording { path: file(), expected: expected.clone(), got: got.clone() },
            &["in.h5: expected this, got that"],
            "--help",
        ),
        case(
            Prep::MissingDataset { path: file(), dataset: words("events/t"), layout: "dsec", present: words("a, b") },
            &["in.h5: expected a dataset events/t (dsec layout), got none; the file has a, b"],
            "--map",
        ),
        case(
            Prep::MissingDataset {
                path: file(),
                dataset: words("labels"),
                layout: "Heidelberg",
                present: words("spikes/times (float32, shape [9])"),
            },
            &[
                "expected a dataset labels (Heidelberg layout), got none; the file has spikes/times (float32, shape [9])",
            ],
            "f[\"labels\"] = f[NAME]",
        ),
        case(
            Prep::NoPixel { path: file(), sample: 7, event: 8, got: words("x = NaN, y = 1") },
            &["in.h5: sample 7: event 8: expected x and y that are finite, got x = NaN, y = 1"],
            "; --lenient leaves out what has no pixel",
        ),
        case(
            Prep::NoEvents { path: file(), got: words("an empty array") },
            &["in.h5: expected events, got an empty array"],
            "np.savez(\"empty.npz\", t=[], x=[], y=[], p=[])",
        ),
        wrong_type(true, "--map"),
        wrong_type(false, "del f[\"t\"]; f[\"t\"] = CORRECTED"),
        case(
            Prep::DamagedRecording { path: file(), place: place.clone(), reason: words("no filter") },
            &["in.h5: there: cannot be read: no filter"],
            "save it anew",
        ),
        case(
            Prep::DamagedBytes { path: file(), at: 9, expected: words("an event"), got: words("x"), events: 8 },
            &["in.h5: byte 9: expected an event, got x; the 8 events before it are whole"],
            "--lenient reads",
        ),
        case(
            Prep::DamagedBytes { path: file(), at: 9, expected: words("an event"), got: words("x"), events: 0 },
            &["in.h5: byte 9: expected an event, got x; the 0 events before it are whole"],
            "record it again",
        ),
        case(
            Prep::BadRow {
                path: file(),
                line: 9,
                place: words(", column x"),
                expected: words("a number"),
                got: words("\"a\""),
                events: 8,
            },
            &["in.h5: line 9, column x: expected a number, got \"a\"; the 8 events before it are whole"],
            "--lenient reads",
        ),
        case(
            Prep::BadRow {
                path: file(),
                line: 1,
                place: words(""),
                expected: words("a row"),
                got: words("\"a\""),
                events: 0,
            },
            &["in.h5: line 1: expected a row, got \"a\""],
            "correct that line",
        ),
        missing(Absence::VirtualSource, "HDF5_VDS_PREFIX"),
        missing(Absence::RawFile, "HDF5_EXTFILE_PREFIX"),
        missing(Absence::NeverWritten, "look for a copy"),
        missing(Absence::Link, "--map"),
        sample("frames", "--time-unit"),
        sample("times", "--map t=FIELD,... names another"),
        sample("labels", "h5py or NumPy"),
        case(
            Prep::SampleTooLarge { path: file(), sample: 7, most: 10, got: 11, step: "Denoise" },
            &["in.h5: sample 7: events: expected at most 10, because Denoise needs all of them at once, got 11"],
            "--sample-duration",
        ),
        little_memory(1, "Denoise needs all of its 99 events at once, got 2 GB", "; cut the recording"),
        little_memory(3, "events at once (3 such samples at the same time), got 2 GB", "take fewer --threads"),
        outside(None, None, "; --sensor W,H,P gives the size"),
        outside(None, Some([-64, 0]), "save a copy in which 64 is added to x (in NumPy: x = x.astype(\"i8\") + 64)"),
        outside(Some(1), None, "--origin 1"),
        outside(Some(0), None, "--origin 0"),
        columns(Vec::new(), "name another column with --map"),
        columns(vec![Remedy::Map("t=a b,x=x".into())], "type --map 't=a b,x=x'"),
        columns(
            vec![Remedy::Columns("t,x,y,p".into()), Remedy::Sensor("9,9,2".into())],
            "type --columns t,x,y,p; only if no field has them: --sensor 9,9,2",
        ),
        columns(vec![Remedy::Sensor("9,9,2".into())], "type --sensor 9,9,2"),
        columns(vec![copy(&["cp", "a b", "c"], "c", Vec::new())], "type cp 'a b' c, and convert c"),
        columns(
            vec![copy(&["cp"], "c", vec![Remedy::Unit(TimeUnit::Seconds), Remedy::Columns("t,x".into())])],
            "and convert c with --time-unit s --columns t,x",
        ),
        pixels(0.25, 0.75, "floor(x * W)"),
        pixels(0.0, 1.0, "round(x * (W - 1))"),
        pixels(-1.0, 0.5, "round((x + 1) / 2 * (W - 1))"),
        pixels(7.25, 7.75, "numbers of pixels"),
        foreign(None, "then convert the HDF5, .npy or .npz file"),
        foreign(
            Some(Box::new(copy(&["unzip", "in h5"], "", Vec::new()))),
            "type unzip 'in h5', and convert what that gives",
        ),
        times(Some(TimeUnit::Milliseconds), false, "--time-unit ms"),
        times(Some(TimeUnit::Milliseconds), true, "a copy of it in s, with its times divided by 1000"),
        times(None, false, "--time-unit s takes them"),
        unit(Some(10.0), "multiplied by 10 (t * 10, with h5py or NumPy), and convert it with --time-unit us"),
        unit(Some(0.5), "multiplied by 500 (t * 500, with h5py or NumPy), and convert it with --time-unit ns"),
        unit(None, "--time-unit s, ms, us or ns"),
        trouble(ClockRemedy::Sort, Some("4096".into()), "t = np.unwrap(t.astype(\"i8\"), period=4096)"),
        clock(ClockRemedy::Unwrap, "--unwrap"),
        clock(ClockRemedy::Sort, "--allow-clock-trouble sorts all events by time"),
        clock(ClockRemedy::TakeOut(vec![events("9..10")]), "(in NumPy: np.delete(events, np.s_[9:10]))"),
        clock(ClockRemedy::TakeOut(vec![events("0..1"), events("9..10")]), "np.delete(events, np.r_[0:1, 9:10])"),
        clock(keep(1), "keep = (t >= 0.5) & (t <= 9.5) (7 events), which removes 3 events;"),
        clock(keep(2), "(7 events) or keep = (t >= 0.5) & (t <= 9.5) (7 events); each clock by itself"),
        of_rows(
            [Some(7), Some(9)],
            0,
            "for rows, out in [([7, 9], numpy.r_[0:4, 6:9])] for row in rows for n in [\"a\", \"b\"]]'; --allow",
        ),
        of_rows([Some(7), Some(9)], 5, "(these are 2 samples; 5 more are named next; faults of another kind"),
        of_rows([None; 2], 0, "only not in order; if its clock started again, take that out"),
        of_rows([None; 2], 0, "for names, out in [([\"a\", \"b\"], numpy.r_[0:4, 6:9]), ([\"a\", \"b\"], numpy"),
        clock(ClockRemedy::Parts(vec![events("1..")]), "leave the others out, with --events 1..;"),
        clock(
            ClockRemedy::Parts(vec![events("..9"), events("9..")]),
            "convert each part by itself, with --events ..9 or --events 9..",
        ),
        case(
            Prep::NotADownload {
                path: file(),
                dir: "a b".into(),
                dataset: "nmnist",
                title: "N-MNIST",
                expected: expected.clone(),
                got: got.clone(),
            },
            &["in.h5: expected this, as in the download of N-MNIST, got that"],
            "tonic-prep fetch nmnist 'a b'",
        ),
        unknown(Vec::new(), "np.savez"),
        unknown(vec![Remedy::Map("t=a,x=b".into()), Remedy::Map("t=c,x=d".into())], "--map t=a,x=b or --map t=c,x=d"),
        folder(FolderKind::Parts(Vec::new()), "--class-level 1"),
        folder(FolderKind::PartsOfEach, "--class-level 1"),
        folder(FolderKind::SameFiles { file: words("lab/wave.npy"), class: words("wave") }, "as lab/wave.npy,wave;"),
        folder(FolderKind::Loose(2), "(in.h5/*/CLASS) or away; or --labels"),
        folder(FolderKind::Groups, "--labels with a table"),
        folder(FolderKind::Above(2), "--class-level 2"),
        case(
            Prep::UnknownClass {
                path: file(),
                line: Some(3),
                list: "list.txt".into(),
                expected: expected.clone(),
                got: got.clone(),
            },
            &["in.h5: line 3: expected classes of list.txt (this), got that"],
            "add them to the end of the list",
        ),
        utf8(Some("UTF-16"), "iconv -f UTF-16 -t UTF-8 'a b.csv' > utf8.csv"),
        utf8(None, "CSV UTF-8"),
        case(
            Prep::BadTable { path: file(), line: 4, expected: expected.clone(), got: got.clone() },
            &["in.h5: line 4: expected this, got that"],
            "correct that line",
        ),
        lost(true, "--resume"),
        lost(false, "--max-loss"),
        case(
            Prep::BadRecipe { path: Some("r.toml".into()), place, expected, got },
            &["recipe r.toml: there: expected this, got that"],
            "tonic-prep transforms",
        ),
    ]
}
