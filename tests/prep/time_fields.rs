//! Tests of time fields whose names or attributes have a unit, a rate or an offset, and of coarse times.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use zip::write::SimpleFileOptions;

use super::camera::{Camera, npy_header, npz};
use super::recording::{Recording, Scratch, column, hdf5_file, samples, says, scratch};
use super::unit_evidence::tell;
use super::units::{SENSOR, notes, refused};

/// Writes the events of a camera as npy, npz and HDF5. `times` has the names and the numbers of the time fields.
fn files(dir: &Scratch, camera: &Camera, times: &[(&str, Vec<i64>)]) -> [PathBuf; 3] {
    files_with(dir, camera, times, |_| {})
}

/// Like [`files`], but also calls `more` with the HDF5 file.
fn files_with(dir: &Scratch, camera: &Camera, times: &[(&str, Vec<i64>)], more: impl Fn(&hdf5::File)) -> [PathBuf; 3] {
    let of = |column: &[u16]| column.iter().map(|&n| n.into()).collect::<Vec<i64>>();
    let p = camera.p.iter().map(|&p| p.into()).collect();
    let rest = [("x", of(&camera.x)), ("y", of(&camera.y)), ("p", p)];
    let all: Vec<_> = times.iter().chain(&rest).collect();
    let bytes = |column: &[i64]| column.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let shape = format!("({},)", camera.t.len());
    let types: Vec<String> = all.iter().map(|(name, _)| format!("('{name}', '<i8')")).collect();
    let rows: Vec<i64> = (0..camera.t.len()).flat_map(|i| all.iter().map(move |(_, column)| column[i])).collect();
    let npy = [npy_header(&format!("[{}]", types.join(", ")), &shape), bytes(&rows)].concat();
    let arrays: Vec<_> = all.iter().map(|(name, column)| (*name, "'<i8'", &*shape, bytes(column))).collect();
    npz(&dir.join("a.npz"), &arrays);
    let h5 = hdf5_file(&dir.join("a.h5"), |file| {
        let events = file.create_group("events").unwrap();
        all.iter().for_each(|(name, numbers)| column(&events, name, numbers));
        more(file);
    });
    [dir.file("a.npy", npy), dir.join("a.npz"), h5]
}

#[test]
fn two_fields_of_times_have_to_agree() {
    let dir = scratch();
    let (set, none) = (dir.join("set"), dir.join("none"));
    let camera = Camera::random(91, 3_000, 2_000_000);
    notes(&camera.npy(&dir.join("right.npy")), &dir.join("right"), &SENSOR);
    let times = |scale: f64, add: i64| camera.t.iter().map(|&t| (t as f64 * scale) as i64 + add).collect::<Vec<i64>>();
    for (name, other) in [("t_ns", times(1e3, 1_700_000_000_000_000_000)), ("time_ms", times(1e-3, 0))] {
        for file in files(&dir, &camera, &[("t", times(1.0, 0)), (name, other)]) {
            notes(&file, &set, &SENSOR);
            assert!(samples(&set) == samples(&dir.join("right")), "{name} of {}", file.display());
        }
    }
    // Either the first field is in ms, or the two fields come from different clocks.
    for file in files(&dir, &camera, &[("t", times(1e-3, 0)), ("t_us", times(1.0, 0))]) {
        let at = if file.extension().unwrap() == "h5" { "events/" } else { "" };
        let got = format!("got times in us that differ from them; they agree if {at}t is in ms");
        let maps = ["t_us", "t"].map(|t| format!("--map t={at}{t},x={at}x,y={at}y,p={at}p"));
        let typed = format!("type --time-unit ms or {} or {}", maps[0], maps[1]);
        says(&refused(&file, &none, &SENSOR), &[&format!("expected the times of {at}t_us, "), &got, &typed]);
        notes(&file, &set, &[&SENSOR[..], &["--time-unit", "ms"]].concat());
        assert_eq!(samples(&set)[0].shape[0], samples(&dir.join("right"))[0].shape[0]);
        notes(&file, &set, &[&SENSOR[..], &maps[0].split(' ').collect::<Vec<_>>()].concat());
        assert!(samples(&set) == samples(&dir.join("right")), "{}", file.display());
    }
    for file in files(&dir, &camera, &[("t", times(1.0, 0)), ("timestamp_ns", times(1001.0, 0))]) {
        let said = refused(&file, &none, &SENSOR);
        says(&said, &["got times in us that differ from them", "timestamp_ns,x="]);
        assert!(!said.contains("--time-unit"), "{said}");
    }
}

#[test]
fn a_unit_in_the_name_of_the_times_is_their_unit() {
    let dir = scratch();
    let set = dir.join("set");
    let camera = Camera::random(92, 3_000, 2_000_000);
    notes(&camera.npy(&dir.join("right.npy")), &dir.join("right"), &SENSOR);
    let ns: Vec<i64> = camera.t.iter().map(|t| t * 1_000).collect();
    for file in files(&dir, &camera, &[("timestamp_ns", ns)]) {
        let at = if file.extension().unwrap() == "h5" { "events/" } else { "" };
        let map = format!("t={at}timestamp_ns,x={at}x,y={at}y,p={at}p");
        says(&refused(&file, &dir.join("none"), &SENSOR), &[&format!("--map {map}")]);
        let given = [&SENSOR[..], &["--map", &map]].concat();
        let note = format!("times are in ns, as the name of {at}timestamp_ns says, not in us as is usual");
        assert!(notes(&file, &set, &given).contains(&note));
        assert!(samples(&set) == samples(&dir.join("right")), "{}", file.display());
        let said = notes(&file, &set, &[&given[..], &["--time-unit", "us"]].concat());
        says(&said.join("\n"), &[" says that times are in ns; they are taken as us, the unit that was given"]);
    }
}

#[test]
fn rates_and_offsets_of_times_are_used_or_named() {
    let dir = scratch();
    let set = dir.join("set");
    let camera = Camera::random(95, 3_000, 2_000_000);
    notes(&camera.npy(&dir.join("right.npy")), &dir.join("right"), &SENSOR);
    let file = |scale: i64, name: &str, value: &str| {
        hdf5_file(&dir.join("a.h5"), |file| {
            camera.fill_dsec(file);
            let events = file.group("events").unwrap();
            events.unlink("t").unwrap();
            column(&events, "t", &camera.t.iter().map(|t| t * scale).collect::<Vec<i64>>());
            tell(&events.dataset("t").unwrap(), name, value);
        })
    };
    let place = |name: &str| format!("the attribute {name:?} of \"events/t\"");
    for (scale, name, value, expected) in [
        (1_000, "sampling_rate", "1e9", Some(format!("times are in ns, as {} says", place("sampling_rate")))),
        (1_000, "tick_rate", "'1 GHz'", Some(format!("times are in ns, as {} says", place("tick_rate")))),
        (1, "clock_frequency", "1e6", None),
        (1, "sample_rate", "'1 MHz'", None),
        (1, "scale", "0.001", Some(format!("the times are not multiplied by {}: 0.001", place("scale")))),
        (1, "gain", "3", Some(format!("the times are not multiplied by {}: 3", place("gain")))),
        (1, "fs", "1e3", Some(format!("warning: ticks per second: {} is 1000, and times are taken as", place("fs")))),
        (1, "offset", "250", Some(format!("{} is not added to the times: 250", place("offset")))),
        (1, "offset", "0", None),
    ] {
        let said = notes(&file(scale, name, value), &set, &SENSOR).join("\n");
        match expected {
            Some(expected) => says(&said, &[&expected]),
            None => assert!(!said.contains("the attribute"), "{said}"),
        }
        assert!(samples(&set) == samples(&dir.join("right")), "{name} {value}");
    }
}

#[test]
fn arrays_and_datasets_beside_the_times_tell_what_attributes_do() {
    let dir = scratch();
    let (set, right) = (dir.join("set"), dir.join("right"));
    let camera = Camera::random(97, 3_000, 2_000_000);
    notes(&camera.npy(&dir.join("right.npy")), &right, &SENSOR);
    let entry = |scale: i64, name: &str, value: f64| {
        // The number is another array of the npz archive, or a dataset of a group above the times in the HDF5 file.
        let t: Vec<i64> = camera.t.iter().map(|t| t * scale).collect();
        let of_group = |group: &str| {
            files_with(&dir, &camera, &[("t", t.clone())], |file| {
                let group = file.group(group).unwrap();
                group.new_dataset::<f64>().create(name).unwrap().write_scalar(&value).unwrap();
            })
        };
        let (h5, above) = (dir.join("beside.h5"), dir.join("above.h5"));
        std::fs::rename(&of_group("events")[2], &h5).unwrap();
        let [_, npz_file, root] = of_group("/");
        std::fs::rename(root, &above).unwrap();
        let mut zip =
            zip::ZipWriter::new_append(File::options().read(true).write(true).open(&npz_file).unwrap()).unwrap();
        zip.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
        zip.write_all(&[npy_header("'<f8'", "()"), value.to_le_bytes().to_vec()].concat()).unwrap();
        zip.finish().unwrap();
        [(npz_file, "array", ""), (h5, "dataset", "events/"), (above, "dataset", "")]
    };
    for (scale, name, value, before, after) in [
        (1_000, "fs", 1e9, "times are in ns, as the ", " says, not in us as is usual"),
        (1, "Sample_Rate", 1e6, "", ""),
        (
            1,
            "rate",
            1e3,
            "warning: ticks per second: the ",
            " is 1000, and times are taken as they are; if they count its",
        ),
        (1, "t0", 17.0, "the ", " is not added to the times: 17"),
        (1, "offset", 0.5, "the ", " is not added to the times: 0.5"),
        (1, "offset", 0.0, "", ""),
        (1, "scale", 1e-6, "the times are not multiplied by the ", ": 0.000001"),
        // These names are used for frames and sensors as often as for times.
        (1, "frequency", 30.0, "", ""),
        (1, "gain", 2.0, "", ""),
    ] {
        for (file, what, group) in entry(scale, name, value) {
            let said = notes(&file, &set, &SENSOR);
            let place = format!("{what} \"{group}{name}\"");
            match before {
                "" => assert!(said.is_empty(), "{}: {said:?}", file.display()),
                _ => assert!(said.len() == 1 && said[0].starts_with(&format!("{before}{place}{after}")), "{said:?}"),
            }
            assert!(samples(&set) == samples(&right), "{name} of {}", file.display());
        }
    }
    // The name means a unit of time, but no unit has ticks of 1e-5 s.
    for (file, what, group) in entry(1, "time_unit", 1e-5) {
        let place =
            format!("the {what} \"{group}time_unit\": expected a unit of time (s, ms, us or ns), got \"0.00001\"");
        says(&refused(&file, &dir.join("none"), &SENSOR), &[&place]);
        let said = notes(&file, &set, &[&SENSOR[..], &["--time-unit", "us"]].concat());
        assert!(!said.concat().contains("not used"), "{said:?}");
    }
    // In speech recordings, the field `units` has channels. It isn't taken for a unit of time, even with one sample.
    let speech = Recording::random(7, 1, 30).write(&dir.join("speech.h5"));
    assert!(notes(&speech, &set, &[]).is_empty());
    // Files of a folder share one note.
    let folder = dir.folder("many");
    for i in 0..5_u8 {
        let [(file, ..), _, _] = entry(1, "t0", f64::from(i) + 1.5);
        std::fs::rename(file, folder.join(format!("{i}.npz"))).unwrap();
    }
    for cut in [&[][..], &["--sample-events", "1000"]] {
        let said = notes(&folder, &set, &[&SENSOR[..], cut].concat());
        let told: Vec<_> = said.iter().filter(|note| note.contains("t0")).collect();
        assert_eq!(told, ["0.npz and 4 more: the array \"t0\" is not added to the times: 1.5"]);
    }
}

#[test]
fn times_of_another_age_are_in_another_unit() {
    let dir = scratch();
    let (set, none) = (dir.join("set"), dir.join("none"));
    let camera = Camera::random(98, 3_000, 2_000_000);
    notes(&camera.npy(&dir.join("right.npy")), &dir.join("right"), &SENSOR);
    let start = 1_700_000_000_i64;
    // Times in nanoseconds since 1970 are refused as microseconds. Few events are enough for this.
    for n in [3_000, 5] {
        let ns = camera.t[..n].iter().map(|t| t * 1_000 + start * 1_000_000_000).collect();
        let few = Camera { t: Vec::new(), x: camera.x[..n].into(), y: camera.y[..n].into(), p: camera.p[..n].into() };
        let few = Camera { t: camera.t[..n].into(), ..few };
        for file in files(&dir, &few, &[("t", ns)]) {
            let words = ["times of at most 1000 years (in ns, they are since 1970)", "--time-unit ns takes them"];
            says(&refused(&file, &none, &SENSOR), &words);
            for cut in [&[][..], &["--sample-duration", "10s"]] {
                says(&refused(&file, &none, &[&SENSOR[..], cut].concat()), &words);
            }
            notes(&file, &set, &[&SENSOR[..], &["--time-unit", "ns"]].concat());
            assert_eq!(samples(&set)[0].ledger.binned, samples(&dir.join("right"))[0].ledger.binned.min(n as u64));
            notes(&file, &set, &[&SENSOR[..], &["--time-unit", "us"]].concat());
        }
    }
    // Microseconds since 1970 and since 1601 are times.
    for since in [start * 1_000_000, 13_300_000_000_000_000] {
        let us = camera.t.iter().map(|t| t + since).collect();
        for file in files(&dir, &camera, &[("t", us)]) {
            assert!(notes(&file, &set, &SENSOR).is_empty());
            assert!(samples(&set) == samples(&dir.join("right")), "{}", file.display());
        }
    }
}

#[test]
fn coarse_times_are_warned_of_in_every_format() {
    let dir = scratch();
    for (seconds, is_coarse) in [(3_600, true), (30, false)] {
        let camera = Camera::random(96, 3_000, seconds * 1_000_000);
        let single: Vec<f32> = camera.t.iter().map(|&t| (t as f64 / 1e6) as f32).collect();
        let h5 = hdf5_file(&dir.join("a.h5"), |file| {
            let events = file.create_group("events").unwrap();
            column(&events, "ts", &single);
            column(&events, "xs", &camera.x);
            column(&events, "ys", &camera.y);
            column(&events, "ps", &camera.p);
        });
        let shape = format!("({},)", single.len());
        let types = "[('t', '<f4'), ('x', '<u2'), ('y', '<u2'), ('p', '|u1')]";
        let row = |i: usize| {
            [&single[i].to_le_bytes()[..], &camera.x[i].to_le_bytes(), &camera.y[i].to_le_bytes(), &[camera.p[i]]]
                .concat()
        };
        let rows: Vec<u8> = (0..single.len()).flat_map(row).collect();
        npz(&dir.join("a.npz"), &[("events", types, &shape, rows.clone())]);
        let npy = dir.file("a.npy", [npy_header(types, &shape), rows].concat());
        for file in [h5, npy, dir.join("a.npz")] {
            let said = notes(&file, &dir.join("set"), &[&SENSOR[..], &["--time-unit", "s"]].concat()).join("\n");
            let warning = "warning: coarse times: as float32 they are multiples of 244 us";
            assert_eq!(said.contains(warning), is_coarse, "{}: {said}", file.display());
        }
    }
}
