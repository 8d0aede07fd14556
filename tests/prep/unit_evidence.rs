//! Tests of how the unit of times is found if the user doesn't give it.

use hdf5::types::{FixedAscii, FixedUnicode, VarLenAscii, VarLenUnicode};

use super::camera::Camera;
use super::left_over::npz;
use super::recording::{convert, fails, hdf5_file, samples, says, scratch};
use super::units::{SENSOR, e2vid_of, notes, npy_of_floats, refused};

/// Makes `n` random events of a camera within `seconds` seconds.
fn lasting(seed: u64, n: usize, seconds: i64) -> Camera {
    Camera::random(seed, n, seconds * 1_000_000)
}

#[test]
fn fractions_of_microseconds_are_probably_milliseconds() {
    let dir = scratch();
    let set = |name: &str| dir.join(name);
    let ms = |us: i64| us as f64 / 1e3;
    for (n, seconds) in [(400, 4), (20_000, 12), (20_000, 40)] {
        let camera = lasting(81, n, seconds);
        let file = npy_of_floats(&camera, &set("ms.npy"), ms);
        let said = refused(&file, &set("none"), &SENSOR);
        let took = format!("in ms they would last {seconds} s");
        says(&said, &["times: expected times in whole us", &took, "--time-unit ms takes them for ms"]);
        let single = npy_of_floats(&camera, &set("single.npy"), |us| f64::from(ms(us) as f32));
        says(&refused(&single, &set("none"), &SENSOR), &[&took]);
        let epoch = npy_of_floats(&camera, &set("epoch.npy"), |us| 1.7e12 + ms(us));
        says(&refused(&epoch, &set("none"), &SENSOR), &[&took]);
        notes(&file, &set("us"), &[&SENSOR[..], &["--time-unit", "us"]].concat());
        notes(&file, &set("set"), &[&SENSOR[..], &["--time-unit", "ms"]].concat());
        notes(&camera.npy(&set("whole.npy")), &set("whole"), &[&SENSOR[..], &["--time-unit", "us"]].concat());
        let ledgers = |name: &str| samples(&set(name)).into_iter().map(|sample| sample.ledger).collect::<Vec<_>>();
        assert!(ledgers("set") == ledgers("whole"), "{seconds}");
    }
    // Two minutes are as probable as 120 ms of a fast camera. So there is only a warning, also if the file is one of
    // several.
    let long = lasting(82, 400_000, 120);
    let file = npy_of_floats(&long, &set("long.npy"), ms);
    let words = [
        "warning: ",
        "fractions of us: ",
        "% of its times are not whole, and it",
        "lasts 120 ms; in ms it would last 2 minutes: ",
        "--time-unit",
    ];
    let found = notes(&file, &set("set"), &SENSOR);
    says(&found.concat(), &words);
    let [other, slow] = [lasting(87, 4_000, 300), lasting(88, 4_000, 90)];
    let other = npy_of_floats(&other, &set("other.npy"), ms);
    says(&notes(&other, &set("set"), &SENSOR).concat(), &["lasts 300 ms; in ms it would last 5 minutes"]);
    let slow = npy_of_floats(&slow, &set("slow.npy"), |us| us as f64);
    let mut all = convert(&[&slow, &file, &other], &set("all"));
    let said = all.args(SENSOR).output().unwrap();
    says(&String::from_utf8(said.stderr).unwrap(), &["convert: warning: long.npy and 1 more: fractions of us: "]);
    for unit in ["us", "ms"] {
        assert!(
            !notes(&file, &set("set"), &[&SENSOR[..], &["--time-unit", unit]].concat())
                .concat()
                .contains("fractions of us")
        );
    }
}

#[test]
fn healthy_microseconds_with_fractions_are_read() {
    let dir = scratch();
    let set = |name: &str| dir.join(name);
    let camera = lasting(83, 3_000, 3);
    let short = Camera::random(84, 3_000, 30_000);
    let start = 1.7e9_f64;
    type Time<'a> = &'a dyn Fn(i64) -> f64;
    let times: [(&str, &Camera, Time<'_>); 8] = [
        ("whole us", &short, &|us| us as f64),
        ("float64 s * 1e6", &short, &|us| us as f64 / 1e6 * 1e6),
        ("float32 s * 1e6", &short, &|us| f64::from((us as f64 / 1e6) as f32) * 1e6),
        ("s since 1970 * 1e6", &short, &|us| (start + us as f64 / 1e6) * 1e6),
        ("s since a start in 1970 * 1e6", &short, &|us| (start + us as f64 / 1e6 - start) * 1e6),
        ("ns / 1e3", &camera, &|us| (us * 1_000 + us % 997) as f64 / 1e3),
        ("halves", &camera, &|us| us as f64 + 0.5),
        ("a few fractions", &short, &|us| us as f64 + if us % 5 == 0 { 0.25 } else { 0.0 }),
    ];
    for (name, camera, time) in times {
        let found = notes(&npy_of_floats(camera, &set("a.npy"), time), &set("set"), &SENSOR);
        assert!(!found.concat().contains("fractions of us"), "{name}: {found:?}");
        assert_eq!(samples(&set("set"))[0].ledger.events_in, 3_000, "{name}");
    }
}

#[test]
fn recordings_given_one_by_one_are_judged_together() {
    let dir = scratch();
    let files = |time: fn(i64) -> f64| {
        let file = |seed| npy_of_floats(&lasting(seed, 60, 2), &dir.join(format!("{seed}.npy")), time);
        [file(1), file(2), file(3)]
    };
    let of = |files: &[std::path::PathBuf]| {
        let mut command = convert(files, &dir.join("set"));
        command.args(SENSOR).arg("--overwrite");
        command
    };
    // Times in ms with fractions are refused. So are whole times that would last less than 1 ms in microseconds.
    says(
        &fails(&mut of(&files(|us| us as f64 / 1e3)), 3),
        &["1.npy: times of 3 files: expected times in whole us", "--time-unit ms takes them for ms"],
    );
    let kilo = files(|us| (us / 10_000) as f64);
    says(&fails(&mut of(&kilo), 3), &["times of 3 files: expected recordings that last 1 ms to a day on average"]);
    of(&kilo).args(["--time-unit", "ms"]).assert().success();
    of(&kilo[..1]).assert().success();
    of(&files(|us| us as f64)).assert().success();
    // If one recording has enough events, its unit is clear, and all recordings are accepted.
    let many = npy_of_floats(&lasting(4, 200, 2), &dir.join("4.npy"), |us| us as f64);
    of(&[&kilo[..], &[many]].concat()).assert().success();
}

/// Writes an attribute. Its type depends on `value`:
///
/// - a number
/// - several numbers, if there are commas between them
/// - otherwise a text
pub(crate) fn tell(place: &hdf5::Location, name: &str, value: &str) {
    let numbers: Option<Vec<f64>> = value.split(',').map(|number| number.parse().ok()).collect();
    match numbers.as_deref() {
        Some([number]) => place.new_attr::<f64>().create(name).unwrap().write_scalar(number).unwrap(),
        Some(numbers) => drop(place.new_attr_builder().with_data(numbers).create(name).unwrap()),
        None => {
            let text: VarLenUnicode = value.trim_matches('\'').parse().unwrap();
            place.new_attr::<VarLenUnicode>().create(name).unwrap().write_scalar(&text).unwrap();
        }
    }
}

#[test]
fn ticks_in_attributes_are_units() {
    let dir = scratch();
    let set = |name: &str| dir.join(name);
    let camera = lasting(85, 3_000, 2);
    notes(&camera.npy(&set("us.npy")), &set("us"), &SENSOR);
    let file = |told: &[(&str, &str, &str)]| {
        e2vid_of(&camera, &set("a.h5"), |events| {
            let times: Vec<f64> = camera.t.iter().map(|&t| t as f64).collect();
            let ts = events.new_dataset_builder().with_data(&times).create("ts").unwrap();
            let root = events.file().unwrap();
            for (place, name, value) in told {
                match *place {
                    "ts" => tell(&ts, name, value),
                    "events" => tell(events, name, value),
                    _ => tell(&root, name, value),
                }
            }
        })
    };
    // Float times of this layout are in seconds, unless an attribute gives another unit.
    for (place, name, value) in [
        ("ts", "time_base", "1e-6"),
        ("events", "timebase", "'1/1000000'"),
        ("/", "TIME_BASE", "1,1000000"),
        ("ts", "tick", "0.000001"),
        ("events", "ticks", "'1 us'"),
        ("/", "resolution", "1e-6"),
        ("ts", "time resolution", "'us'"),
        ("ts", "scale_factor", "0.0000009999999974752427"),
        ("events", "time_scale", "1e-6"),
        ("ts", "timestamp_resolution", "'1e-6 s'"),
    ] {
        let said = notes(&file(&[(place, name, value)]), &set("set"), &SENSOR);
        says(&said[0], &[&format!("times are in us, as the attribute {name:?} of "), "not in s as is usual"]);
        assert!(samples(&set("set")) == samples(&set("us")), "{name} {value}");
    }
    // An attribute with a factor, next to an attribute with a unit.
    let both = [("ts", "units", "'s'"), ("ts", "scale_factor", "1e-6")];
    says(&notes(&file(&both), &set("set"), &SENSOR)[0], &["times are in us, as the attribute \"units\""]);
    assert!(samples(&set("set")) == samples(&set("us")));
    for (told, words) in [
        (("ts", "tick", "1e-5"), &["the attribute \"tick\" of \"events/ts\"", "got \"0.00001\"", "t * 10, with"][..]),
        (("ts", "ticks", "1000000"), &["the attribute \"ticks\"", "--time-unit s, ms, us or ns says"]),
        (("/", "time_base", "50"), &["the attribute \"time_base\" of \"/\""]),
        (("events", "time_resolution", "'10 us'"), &["got \"10 us\"", "t * 10,"]),
        (("events", "resolution", "'0.1 ms'"), &["got \"0.1 ms\"", "t * 100,"]),
    ] {
        let path = file(&[told]);
        says(&refused(&path, &set("none"), &SENSOR), words);
        notes(&path, &set("set"), &[&SENSOR[..], &["--time-unit", "us"]].concat());
        assert!(samples(&set("set")) == samples(&set("us")), "{told:?}");
    }
    says(
        &refused(&file(&[("ts", "units", "'us'"), ("ts", "scale_factor", "10")]), &set("none"), &SENSOR),
        &["with the attribute \"scale_factor\"", "t * 10,"],
    );
    // Attributes that are not about times change nothing. The file has microseconds, and an attribute says so.
    let other = [
        ("ts", "unit", "'us'"),
        ("ts", "scale_factor", "1"),
        ("events", "resolution", "40,30"),
        ("/", "resolution", "'40x30'"),
        ("/", "scale_factor", "0.5"),
        ("events", "ticks", "7"),
        ("events", "base", "1e-9"),
        ("ts", "base_time", "1589163147"),
        ("/", "sensor_resolution", "30,40"),
    ];
    let found = notes(&file(&other), &set("set"), &SENSOR);
    assert!(found.len() == 1 && found[0].contains("the attribute \"unit\""), "{found:?}");
    assert!(samples(&set("set")) == samples(&set("us")));
    let none = notes(&file(&[&other[1..]].concat()), &set("set"), &[&SENSOR[..], &["--time-unit", "us"]].concat());
    assert_eq!(none, [""; 0]);
}

#[test]
fn arrays_of_an_archive_give_the_unit() {
    let dir = scratch();
    let set = |name: &str| dir.join(name);
    let camera = lasting(86, 3_000, 2);
    notes(&camera.npy(&set("us.npy")), &set("us"), &SENSOR);
    let n = format!("({},)", camera.t.len());
    let numbers = |numbers: &[u16]| numbers.iter().flat_map(|&n| i64::from(n).to_le_bytes()).collect::<Vec<u8>>();
    let p: Vec<u16> = camera.p.iter().map(|&p| p.into()).collect();
    let file = |type_of_t: &str, ns: i64, name: &str, descr: &str, shape: &str, value: Vec<u8>| {
        let t = camera.t.iter().flat_map(|t| (t * ns).to_le_bytes()).collect();
        let events = [("t", type_of_t, &*n, t), ("x", "'<i8'", &n, numbers(&camera.x))];
        let rest = [("y", "'<i8'", &*n, numbers(&camera.y)), ("p", "'<i8'", &n, numbers(&p))];
        npz(set("a.npz"), &[&events[..], &rest, &[(name, descr, shape, value)]].concat())
    };
    let text = |text: &str| text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect::<Vec<u8>>();
    for (name, descr, shape, value) in [
        ("time_unit", "'<U2'", "()", text("ns")),
        ("units", "'|S2'", "(1,)", b"ns".to_vec()),
        ("time_base", "'<f8'", "()", 1e-9_f64.to_le_bytes().to_vec()),
        ("resolution", "'<f4'", "(1,)", 1e-9_f32.to_le_bytes().to_vec()),
    ] {
        let said = notes(&file("'<i8'", 1_000, name, descr, shape, value), &set("set"), &SENSOR);
        assert_eq!(said, [format!("times are in ns, as the array {name:?} says, not in us as is usual")]);
        assert!(samples(&set("set")) == samples(&set("us")), "{name}");
    }
    let odd = || file("'<i8'", 1, "time_unit", "'<U5'", "()", text("10 us"));
    says(&refused(&odd(), &set("none"), &SENSOR), &["the array \"time_unit\"", "got \"10 us\"", "h5py or NumPy"]);
    notes(&odd(), &set("set"), &[&SENSOR[..], &["--time-unit", "us"]].concat());
    assert!(samples(&set("set")) == samples(&set("us")));
    // The unit of the type of the times is preferred to an array with a unit. An array with the size of a sensor gives
    // no unit.
    notes(&file("'<m8[us]'", 1, "time_unit", "'<U2'", "()", text("ns")), &set("set"), &SENSOR);
    assert!(samples(&set("set")) == samples(&set("us")));
    let size = [40_i64, 30].iter().flat_map(|n| n.to_le_bytes()).collect();
    let said = notes(&file("'<i8'", 1, "resolution", "'<i8'", "(2,)", size), &set("set"), &SENSOR);
    assert_eq!(said, ["field resolution was not used"]);
    assert!(samples(&set("set")) == samples(&set("us")));
}

#[test]
fn units_in_attributes_are_used() {
    let dir = scratch();
    let camera = Camera::random(62, 3_000, 200_000);
    let set = |name: &str| dir.join(name);
    let file = camera.npy(&set("plain.npy"));
    notes(&file, &set("plain"), &SENSOR);
    let ms: Vec<f64> = camera.t.iter().map(|&t| t as f64 / 1e3).collect();
    let ms: Vec<f64> =
        ms.iter().zip(&camera.t).map(|(&ms, &t)| if (ms * 1e3) as i64 == t { ms } else { ms.next_up() }).collect();
    type Tell<'a> = &'a dyn Fn(&hdf5::Group, &hdf5::Dataset);
    fn fixed<const N: usize>(text: &str) -> FixedAscii<N> {
        FixedAscii::from_ascii(text.as_bytes()).unwrap()
    }
    let tells: [(&str, Tell<'_>); 6] = [
        ("unit", &|_, t| {
            let text: VarLenUnicode = "ms".parse().unwrap();
            t.new_attr::<VarLenUnicode>().create("unit").unwrap().write_scalar(&text).unwrap();
        }),
        ("Time_Units", &|group, _| {
            let text = VarLenAscii::from_ascii(b"MilliSeconds").unwrap();
            group.new_attr::<VarLenAscii>().create("Time_Units").unwrap().write_scalar(&text).unwrap();
        }),
        ("UNITS", &|_, t| {
            t.new_attr::<FixedAscii<4>>().create("UNITS").unwrap().write_scalar(&fixed::<4>("msec")).unwrap();
        }),
        ("timestamp unit", &|_, t| {
            let text: FixedUnicode<32> = "milliseconds since 2020".parse().unwrap();
            t.new_attr::<FixedUnicode<32>>().create("timestamp unit").unwrap().write_scalar(&text).unwrap();
        }),
        ("units", &|_, t| {
            t.new_attr_builder().with_data(&[fixed::<2>("ms")]).create("units").unwrap();
        }),
        ("time_unit", &|group, t| {
            // The attribute of the dataset is preferred to that of the group, and `time_unit` is preferred to `unit`.
            group.new_attr::<FixedAscii<2>>().create("unit").unwrap().write_scalar(&fixed::<2>("us")).unwrap();
            t.new_attr::<FixedAscii<2>>().create("unit").unwrap().write_scalar(&fixed::<2>("px")).unwrap();
            t.new_attr::<FixedAscii<2>>().create("time_unit").unwrap().write_scalar(&fixed::<2>("ms")).unwrap();
        }),
    ];
    for (i, (name, tell)) in tells.into_iter().enumerate() {
        let file = e2vid_of(&camera, &set(&format!("{i}.h5")), |events| {
            let t = events.new_dataset_builder().with_data(&ms).create("ts").unwrap();
            tell(events, &t);
        });
        let said = notes(&file, &set("set"), &SENSOR);
        says(&said[0], &[&format!("times are in ms, as the attribute {name:?} of \"events"), "not in s as is usual"]);
        assert!(samples(&set("set")) == samples(&set("plain")), "{name}");
        // The unit that the user gives is preferred to attributes.
        let said = notes(&file, &set("set"), &[&SENSOR[..], &["--time-unit", "s"]].concat());
        says(&said[0], &["says that times are in ms; they are taken as s, the unit that was given"]);
        assert_eq!(notes(&file, &set("set"), &[&SENSOR[..], &["--time-unit", "ms"]].concat()), [""; 0]);
    }
    // An attribute of a group holds for everything in the group, and an attribute of the root for the whole file. The
    // attribute of the nearest group is preferred.
    for (at, near) in [("/", None), ("/", Some("ms")), ("/a", None)] {
        let file = hdf5_file(&set("above.h5"), |file| {
            let events = file.create_group("a").unwrap().create_group("events").unwrap();
            let column = || events.new_dataset_builder();
            column().with_data(&camera.x).create("x").unwrap();
            column().with_data(&camera.y).create("y").unwrap();
            column().with_data(&camera.p).create("p").unwrap();
            column().with_data(&ms).create("t").unwrap();
            let tell = |place: &hdf5::Group, unit: &str| {
                place.new_attr::<FixedAscii<2>>().create("unit").unwrap().write_scalar(&fixed::<2>(unit)).unwrap();
            };
            tell(&file.group(at).unwrap(), if near.is_some() { "us" } else { "ms" });
            near.iter().for_each(|unit| tell(&events, unit));
        });
        let said = notes(&file, &set("set"), &SENSOR).concat();
        let place = near.map_or(at.trim_start_matches('/'), |_| "a/events");
        says(
            &said,
            &["times are in ms, as the attribute \"unit\" of ", &format!("{place}\" says, not in s as is usual")],
        );
        assert!(samples(&set("set")) == samples(&set("plain")), "{at} {near:?}");
    }
    // A multiple such as `0.001 s` is read if it is a unit. Other values of the attribute are refused, unless the user
    // gives the unit or the value is not about time. The error escapes control characters in the value.
    let told = |place: &str, tell: &dyn Fn(&hdf5::Location)| {
        e2vid_of(&camera, &set("odd.h5"), |events| {
            let t = events.new_dataset_builder().with_data(&ms).create("ts").unwrap();
            tell(if place == "ts" { &t } else { events });
        })
    };
    let text = |name: &'static str, text: &str| {
        let text: VarLenUnicode = text.parse().unwrap();
        move |place: &hdf5::Location| {
            place.new_attr::<VarLenUnicode>().create(name).unwrap().write_scalar(&text).unwrap()
        }
    };
    for unit in
        ["0.001 s", "1e-3 s", "1/1000 sec", "10^-3 s", "1000us", "ticks of 1 ms", "1 ms", "datetime64[ms]", "0.001"]
    {
        notes(&told("ts", &text("units", unit)), &set("set"), &SENSOR);
        assert!(samples(&set("set")) == samples(&set("plain")), "{unit}");
    }
    let number =
        |place: &hdf5::Location| place.new_attr::<f64>().create("time_unit").unwrap().write_scalar(&1e-3).unwrap();
    notes(&told("events", &number), &set("set"), &SENSOR);
    assert!(samples(&set("set")) == samples(&set("plain")));
    for (place, name, unit, words) in [
        ("ts", "units", "10 us", &["got \"10 us\"", "t * 10, with h5py", "--time-unit us"][..]),
        ("events", "units", "ticks of 10us", &["got \"ticks of 10us\"", "t * 10,"]),
        ("ts", "units", "0.1 ms", &["t * 100,", "--time-unit us"]),
        ("ts", "units", "100ns", &["t * 100,", "--time-unit ns"]),
        (
            "ts",
            "units",
            "\u{1b}[2Jticks",
            &["the attribute \"units\" of \"events/ts\": expected a unit", "\\u{1b}[2Jticks"],
        ),
        ("ts", "time_unit", "clock cycles", &["got \"clock cycles\"", "--time-unit s, ms, us or ns says"]),
        ("events", "unit", "us per tick", &["got \"us per tick\""]),
        ("ts", "unit", "1 MHz", &["got \"1 MHz\""]),
        ("events", "unit_of_time", "10us", &["got \"10us\""]),
        ("ts", "units", "minutes", &["t * 60000000,"]),
        ("ts", "units", "ticks", &["got \"ticks\""]),
        ("ts", "unit", "1", &["got \"1\""]),
    ] {
        let file = told(place, &text(name, unit));
        says(&refused(&file, &set("none"), &SENSOR), words);
        notes(&file, &set("set"), &[&SENSOR[..], &["--time-unit", "ms"]].concat());
        assert!(samples(&set("set")) == samples(&set("plain")), "{unit}");
    }
    let said =
        notes(&told("events", &text("unit", "px")), &set("set"), &[&SENSOR[..], &["--allow-clock-trouble"]].concat());
    says(&said[0], &["is \"px\", which is no known unit (s, ms, us, ns); times are taken as s"]);
}
