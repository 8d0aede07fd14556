//! Tests of HDF5 datasets whose data is in other files or was never written. Here, a dataset has one column or all
//! columns of the events.

use hdf5::H5Type;

use super::recording::{column, convert, hdf5_file, samples, says, scratch};
use super::storage::{names, refused, same};

const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];

#[derive(Clone, Copy, H5Type)]
#[repr(C)]
struct Record {
    timestamp: i64,
    x: u16,
    y: u16,
    on: u8,
}

fn records() -> Vec<Record> {
    (0..600).map(|i| Record { timestamp: 7 * i64::from(i), x: i % 40, y: i % 30, on: (i % 2) as u8 }).collect()
}

#[test]
fn a_link_that_leads_nowhere_is_no_column_that_is_missing() {
    let dir = scratch();
    let file = |lost: &[&str]| {
        hdf5_file(&dir.join("a.h5"), |file| {
            file.create_group("dvs/left").unwrap();
            for name in ["time", "x", "y", "pol"] {
                let path = format!("dvs/left/{name}");
                match lost.contains(&name) {
                    true => file.link_external("gone.h5", &path, &path).unwrap(),
                    false => column(file, &path, &[1_u8, 0, 1]),
                }
            }
        })
    };
    for (lost, field) in
        [(&["pol"][..], "pol"), (&["time"], "time"), (&["x", "y"], "x"), (&["time", "x", "y", "pol"], "time")]
    {
        let field = format!("a.h5: dvs/left/{field}: dvs/left/{field} is an external link to the file");
        // A column with missing data is an error even for a sensor of one polarity.
        for sensor in ["40,30,2", "40,30,1"] {
            says(&refused(&file(lost), &["--sensor", sensor]), &[&field, "gone.h5, which is not there"]);
        }
    }
    // A complete column is preferred to a broken link with another usual name of this column.
    let two = hdf5_file(&dir.join("two.h5"), |file| {
        ["t", "x", "y", "p"].iter().for_each(|name| column(file, name, &[1_u8, 0, 1]));
        for name in ["pol", "Time", "On"] {
            file.link_soft(&format!("/gone/{name}"), name).unwrap();
        }
    });
    let output =
        convert(&[two], &dir.join("two")).args(SENSOR).args(["--json"]).assert().success().get_output().clone();
    let said = String::from_utf8(output.stdout).unwrap();
    says(
        &said,
        &["Time (a link that leads nowhere), pol (a link that leads nowhere) were not used", "\"field\":\"p\""],
    );
    let map = ["--map", "t=dvs/left/time,x=dvs/left/x,y=dvs/left/y", "--sensor", "40,30,1"];
    convert(&[file(&["pol"])], &dir.join("set")).args(map).assert().success();
    let member = ["--map", "t=dvs/left/time.t,x=dvs/left/x", "--sensor", "40"];
    says(&refused(&file(&["time"]), &member), &["dvs/left/time: dvs/left/time is an external link to the file"]);
    let other = hdf5_file(&dir.join("b.h5"), |file| file.link_soft("/none", "recording").unwrap());
    let words = ["no layout fits", "recording (a link that leads nowhere: recording is a soft link to /none"];
    says(&refused(&other, &SENSOR), &words);
}

#[test]
fn records_of_any_name_are_checked() {
    let dir = scratch();
    let file = hdf5_file(&dir.join("a.h5"), |file| {
        let dataset = file.new_dataset::<Record>().chunk(100).shape(600).create("dvs").unwrap();
        dataset.write_slice(&records()[..400], 0..400).unwrap();
    });
    says(&refused(&file, &SENSOR), &["a.h5: dvs: events 400 to 599 were never written"]);
    hdf5_file(&dir.join("source.h5"), |file| column(file, "all", &records()));
    let plain = hdf5_file(&dir.join("plain.h5"), |file| column(file, "dvs", &records()));
    let file = hdf5_file(&dir.join("v.h5"), |file| {
        let builder = file.new_dataset::<Record>().shape(600).virtual_map("source.h5", "all", 600, .., 600, ..);
        builder.create("dvs").unwrap();
    });
    assert_eq!(names(&same(&file, &plain, &SENSOR)), ["source.h5"]);
    std::fs::remove_file(dir.join("source.h5")).unwrap();
    says(&refused(&file, &SENSOR), &["v.h5: dvs: events 0 to 599 come from", "source.h5, dataset all, which is not"]);
}

#[test]
fn tables_are_checked_in_the_columns_that_are_used() {
    let dir = scratch();
    let events: Vec<i64> = (0..600).map(|i| i % 2).collect();
    let table = |name: &str, transposed: bool, written: [usize; 4]| {
        hdf5_file(&dir.join(name), |file| {
            let builder = file.new_dataset::<i64>();
            let builder = if transposed { builder.chunk((1, 100)) } else { builder.chunk((100, 1)) };
            let dataset = builder.shape(if transposed { (4, 600) } else { (600, 4) }).create("dvs").unwrap();
            for (i, written) in written.into_iter().enumerate().filter(|(_, written)| *written > 0) {
                let part = ndarray::ArrayView1::from(&events[..written]);
                match transposed {
                    true => dataset.write_slice(part, (i, ..written)).unwrap(),
                    false => dataset.write_slice(part, (..written, i)).unwrap(),
                }
            }
        })
    };
    let (all, three) = (["--columns", "t,x,y,p"], ["--columns", "t,x,y,_", "--sensor", "40,30,1", "--time-unit", "us"]);
    for (name, transposed, words) in [
        ("a.h5", false, "a.h5: dvs: events 500 to 599 were never written"),
        ("b.h5", true, "b.h5: dvs: rows of the array 3 to 3 were never written"),
    ] {
        let file = table(name, transposed, [600, 600, 600, 500]);
        says(&refused(&file, &[&all[..], &SENSOR].concat()), &[words]);
        // A column that is not used needs no data.
        let set = dir.join("set");
        convert(&[&file], &set).args(three).arg("--overwrite").assert().success();
        assert_eq!(samples(&set)[0].ledger.binned, 600);
    }
}

#[test]
fn columns_of_one_row_are_checked() {
    let dir = scratch();
    let file = hdf5_file(&dir.join("a.mat"), |file| {
        ["t", "x", "y"].iter().for_each(|name| column(file, name, &[1_u8; 300]));
        file.new_dataset::<u8>().chunk((1, 100)).shape((1, 300)).create("p").unwrap();
    });
    says(&refused(&file, &SENSOR), &["a.mat: p: rows of the array 0 to 0 were never written"]);
}
