//! Tests of unusual coordinates and polarities.

use tonic_toolkit::prep::SourceOptions;

use super::camera::{Camera, npy_header, npz};
use super::columns::{hdf5_of, put, put_all, read};
use super::recording::{convert, fails, hdf5_file, json, refuses, samples, says, scratch};

#[test]
fn coordinates_that_are_not_pixels_are_refused() {
    let dir = scratch();
    let float_columns = |name: &str, x: &[f64], y: &[f64]| {
        hdf5_file(&dir.join(name), |f| {
            let builder = || f.new_dataset_builder();
            builder().with_data(&(0..x.len() as i64).collect::<Vec<_>>()).create("t").unwrap();
            builder().with_data(x).create("x").unwrap();
            builder().with_data(y).create("y").unwrap();
            builder().with_data(&(0..x.len()).map(|i| i % 2 == 0).collect::<Vec<_>>()).create("p").unwrap();
        })
    };
    let n = 200_000;
    let scaled = |size: f64| (0..n).map(|i| f64::from(i * 7 % 997) / 997.0 * size).collect::<Vec<f64>>();
    let sensor = ["--sensor", "40,30,2"];
    let normalised = float_columns("a.h5", &scaled(1.0), &scaled(1.0));
    refuses(
        convert(&[&normalised], &dir.join("none")).args(sensor),
        3,
        &["x: expected pixels, got fractions from 0 to 0.99", "not pixels", "save floor(x * W) and floor(y * H)"],
    );
    let both_ends = float_columns("g.h5", &[0.0, 0.5, 1.0], &[0.0, 0.5, 1.0]);
    refuses(convert(&[&both_ends], &dir.join("none")).args(sensor), 3, &["from 0 to 1", "save round(x * (W - 1))"]);
    let corner = float_columns("h.h5", &scaled(4.9), &scaled(29.9));
    let words =
        ["x: expected pixels, got fractions from 0 to 4.8", "a corner of the sensor", "np.rint", "--sensor W,H,P"];
    refuses(convert(&[&corner], &dir.join("none")).args(sensor), 3, &words);
    convert(&[&corner], &dir.join("corner")).args(["--sensor", "5,30,2"]).assert().success();
    let rows = float_columns("b.h5", &scaled(39.9), &scaled(1.0));
    refuses(convert(&[&rows], &dir.join("none")).args(sensor), 3, &["y: expected pixels"]);
    let table = dir.join("c.npy");
    let numbers: Vec<u8> =
        (0..100).flat_map(|i| [f64::from(i), f64::from(i) / 100.0, 1.0, 1.0]).flat_map(f64::to_le_bytes).collect();
    std::fs::write(&table, [npy_header("'<f8'", "(100, 4)"), numbers].concat()).unwrap();
    let columns = ["--columns", "t,x,y,p"];
    refuses(convert(&[&table], &dir.join("none")).args(sensor).args(columns), 3, &["[1]: expected pixels"]);
    // Coordinates with fractions over many pixels are rounded down, with a warning. Whole floats are pixels, without a
    // warning.
    let parts = float_columns("d.h5", &scaled(39.9), &scaled(29.9));
    let told = json(convert(&[&parts], &dir.join("set")).args(sensor).arg("--json"));
    says(&told["notes"].to_string(), &["warning: x has fractions", "warning: y has fractions"]);
    let whole = float_columns("e.h5", &[0.0, 1.0, 1.0], &[1.0, 0.0, 0.0]);
    let told = json(convert(&[&whole], &dir.join("whole")).args(sensor).arg("--json"));
    assert_eq!(told["notes"], serde_json::json!([]));
    // Whole numbers on another scale lie outside the sensor. If no sensor is given, they lie outside all usual
    // cameras.
    let large = hdf5_file(&dir.join("f.h5"), |f| {
        put_all(f, ["t", "x", "y", "p"], &[6]);
        f.unlink("x").unwrap();
        put(f, "x", &[0, 65_535, 13_000, 7, 900, 40_000], &[6]);
    });
    refuses(convert(&[&large], &dir.join("none")).args(sensor), 3, &["event 1: expected x, y, p inside the sensor"]);
    refuses(
        &mut convert(&[&large], &dir.join("none")),
        2,
        &["x up to 65535", "beyond the usual cameras and may be on another scale"],
    );
}

#[test]
fn coordinates_from_one_are_counted_from_zero() {
    let dir = scratch();
    let camera = Camera::random(5, 4_000, 50_000);
    let mut from_one = camera.clone();
    from_one.x.iter_mut().for_each(|x| *x += 1);
    from_one.y.iter_mut().for_each(|y| *y += 1);
    let sensor = ["--sensor", "40,30,2"];
    convert(&[camera.npy(&dir.join("a.npy"))], &dir.join("set")).args(sensor).assert().success();
    let expected = samples(&dir.join("set"));
    let files = [from_one.npy(&dir.join("b.npy")), from_one.npz(&dir.join("b.npz")), from_one.dsec(&dir.join("b.h5"))];
    for file in files {
        refuses(
            convert(&[&file], &dir.join("none")).args(sensor),
            3,
            &["expected x, y, p inside the sensor", "--origin 1 reads coordinates that start at 1"],
        );
        let set = dir.join("one");
        convert(&[&file], &set).args(sensor).args(["--origin", "1", "--overwrite"]).assert().success();
        assert!(samples(&set) == expected, "{}", file.display());
        refuses(convert(&[&file], &dir.join("none")).args(["--origin", "1"]), 2, &["x up to 39 and y up to 29"]);
    }
    // --origin 1 is not suggested for coordinates that start at 0. If it is given for such a recording, the coordinate
    // 0 is an error.
    let file = dir.join("a.npy");
    let said = fails(convert(&[&file], &dir.join("none")).args(["--sensor", "39,30,2"]), 3);
    assert!(said.contains("--lenient") && !said.contains("--origin"), "{said}");
    refuses(
        convert(&[&file], &dir.join("none")).args(sensor).args(["--origin", "1"]),
        3,
        &["inside the sensor", "after 1 is subtracted (--origin)", "--origin 0 reads coordinates that start at 0"],
    );
    fails(convert(&[&file], &dir.join("none")).args(sensor).args(["--origin", "2"]), 2);
    // The option also holds for the files of a folder.
    dir.folder("folder");
    from_one.npy(&dir.join("folder/1.npy"));
    let set = dir.join("folded");
    convert(&[dir.join("folder")], &set).args(sensor).args(["--origin", "1"]).assert().success();
    assert!(samples(&set) == expected);
}

#[test]
fn polarities_of_zero_and_minus_one_without_one_are_refused() {
    let dir = scratch();
    let sensor = ["--sensor", "40,30,2"];
    let n = 3_000_usize;
    // t, x and y as float64, and p in some type.
    let column = |of: fn(usize) -> f64| (0..n).map(of).flat_map(f64::to_le_bytes).collect::<Vec<u8>>();
    let (t, x) = (column(|i| i as f64 * 100.0), column(|i| (i % 30) as f64));
    let shape = format!("({n},)");
    let files = |name: &str, descr: &str, p: &[Vec<u8>]| {
        let records = dir.join(format!("{name}.npy"));
        let row = |i: usize| [&t[i * 8..][..8], &x[i * 8..][..8], &x[i * 8..][..8], &p[i]].concat();
        let header = npy_header(&format!("[('t', '<f8'), ('x', '<f8'), ('y', '<f8'), ('p', '{descr}')]"), &shape);
        std::fs::write(&records, [header, (0..n).flat_map(row).collect()].concat()).unwrap();
        let archive = dir.join(format!("{name}.npz"));
        let coordinates = |name| (name, "'<f8'", shape.as_str(), x.clone());
        let (t, quoted) = (("t", "'<f8'", shape.as_str(), t.clone()), format!("'{descr}'"));
        npz(&archive, &[t, coordinates("x"), coordinates("y"), ("p", &quoted, &shape, p.concat())]);
        [records, archive]
    };
    let some = |values: &[Vec<u8>]| (0..n).map(|i| values[i * 7 % values.len()].clone()).collect::<Vec<_>>();
    let floats = [0.0, -1.0].map(|n: f32| n.to_le_bytes().to_vec());
    for (name, descr, values, got) in [
        ("i1", "|i1", &[vec![0], vec![255]][..], "-1 and 0, and no 1"),
        ("u1", "|u1", &[vec![255], vec![0]], "0 and 255, which may stand for -1, and no 1"),
        ("u2", "<u2", &[vec![0, 0], vec![255; 2]], "0 and 65535, which may"),
        ("u4", ">u4", &[vec![0; 4], vec![255; 4]], "0 and 4294967295, which"),
        ("u8", "<u8", &[vec![0; 8], vec![255; 8]], "0 and 18446744073709551615, which"),
        ("i8", "<i8", &[vec![0; 8], vec![255; 8]], "-1 and 0"),
        ("f4", "<f4", &floats, "-1 and 0"),
    ] {
        for file in files(name, descr, &some(values)) {
            // Of two unsigned numbers, the larger one is probably ON. Of 0 and -1, it is unknown which one is ON.
            let next = if name.starts_with('u') { "p=f[\"p\"][:] == " } else { "name another column with --map" };
            let words = ["p: expected polarities -1 or 0 for off and 1 for on", got, next];
            refuses(convert(&[&file], &dir.join("none")).args(sensor).arg("--lenient"), 3, &words);
        }
    }
    for (name, values, on) in [
        ("all", &[vec![255], vec![0], vec![1]][..], 1_000),
        ("signed", &[vec![255], vec![1]], 1_500),
        ("usual", &[vec![0], vec![1]], 1_500),
        ("zeros", &[vec![0]], 0),
        ("minus", &[vec![255]], 0),
    ] {
        for file in files(name, "|u1", &some(values)) {
            let (_, events) = read(&file, &SourceOptions::default()).unwrap();
            assert_eq!(events.p.iter().map(|&p| usize::from(p)).sum::<usize>(), on, "{name}");
        }
    }
    // A single 1 at the end makes clear that 1 is ON.
    let mut late = some(&[vec![255], vec![0]]);
    late[n - 1] = vec![1];
    for file in files("late", "|u1", &late) {
        assert_eq!(read(&file, &SourceOptions::default()).unwrap().1.p.iter().filter(|&&p| p == 1).count(), 1);
    }
    // For a sensor of one polarity, the meaning of p doesn't matter. The polarities of HDF5 files and of tables are
    // checked too.
    convert(&[dir.join("u1.npy")], &dir.join("set")).args(["--sensor", "40,30,1"]).assert().success();
    let (_dir, file) = hdf5_of(|f| {
        put_all(f, ["t", "x", "y", "other"], &[6]);
        put(f, "p", &[0, -1, 0, -1, -1, 0], &[6]);
    });
    refuses(convert(&[&file], &dir.join("none")).args(sensor), 3, &["p: expected polarities", "-1 and 0, and no 1"]);
    let table: Vec<i64> = (0..6).flat_map(|i| [i * 1_000, i, i, -(i % 2)]).collect();
    let (_dir, file) = hdf5_of(|f| put(f, "events", &table, &[6, 4]));
    let columns = ["--columns", "t,x,y,p"];
    let words = ["events[3]: expected polarities", "-1 and 0"];
    refuses(convert(&[&file], &dir.join("none")).args(sensor).args(columns), 3, &words);
    dir.folder("folder");
    std::fs::copy(dir.join("u1.npz"), dir.join("folder/1.npz")).unwrap();
    refuses(convert(&[dir.join("folder")], &dir.join("none")).args(sensor), 3, &["1.npz: p: expected polarities"]);
}

#[test]
fn polarities_without_a_number_are_named_as_such_when_they_are_left_out() {
    let dir = scratch();
    let numbers = |of: fn(i64) -> i64| (0..400).flat_map(|i| of(i).to_le_bytes()).collect::<Vec<u8>>();
    let column = |name, of| (name, "'<i8'", "(400,)", numbers(of));
    let odd = |i: i32| if i % 4 == 2 { f64::NAN } else { f64::from(i % 2) };
    let p = (0..400).flat_map(|i| odd(i).to_le_bytes()).collect();
    let file = dir.join("a.npz");
    npz(
        &file,
        &[column("t", |i| 100 * i), column("x", |i| i % 40), column("y", |i| i % 30), ("p", "'<f8'", "(400,)", p)],
    );
    let said = json(convert(&[&file], &dir.join("set")).args(["--sensor", "40,30,2", "--lenient", "--json"]));
    let words = ["event 2 of sample 0 has x = 2, y = 2, p = NaN or a fraction: save polarities as 0 and 1"];
    says(&said["notes"].to_string(), &words);
}
