//! Tests of notes and errors about data sets: missing samples, files of a second camera, gzip, and invalid spikes.

use std::io::Write;

use super::matlab_files::Mat;
use super::presets::unpack;
use super::recording::{convert, convert_aloud, manifest, refuses, samples, says, scratch, stderr};

#[test]
fn each_part_of_an_archive_with_several_has_its_number_of_samples() {
    let (dir, _) = unpack("ncars");
    let said = stderr(convert_aloud(&[&*dir], &dir.join("a")).args(["--dataset", "ncars", "--split", "test"]));
    says(&said, &["warning: N-CARS test has 8607 samples, of which"]);
    let (dir, _) = unpack("dvsgesture");
    let said = stderr(convert_aloud(&[&*dir], &dir.join("a")).args(["--dataset", "dvsgesture"]));
    says(&said, &["warning: DVS128 Gesture train has 1077 samples, of which"]);
    // The original files have other numbers of samples than the version that Tonic downloads.
    let (dir, _) = unpack("dvsgesture_aedat");
    let said = stderr(convert_aloud(&[&*dir], &dir.join("a")).args(["--dataset", "dvsgesture"]));
    assert!(!said.contains("of which"), "{said}");
}

#[test]
fn the_right_camera_is_named_if_its_files_are_there() {
    let (dir, _) = unpack("tumvie");
    let said = |set: &str| {
        let arguments = ["--dataset", "tumvie", "--split", "mocap-6dof"];
        stderr(convert_aloud(&[&*dir], &dir.join(set)).args(arguments))
    };
    let right = "mocap-6dof/mocap-6dof-events_right.h5";
    says(&said("a"), &["note: of the right camera, in no sample; they convert by themselves: ", right]);
    std::fs::remove_file(dir.join("TUMVIE").join(right)).unwrap();
    assert!(!said("b").contains("right"));
}

#[test]
fn mnist_is_read_in_gzip() {
    let (dir, _) = unpack("smnist");
    let plain = dir.join("smnist/train-images-idx3-ubyte");
    convert(&[&plain], &dir.join("plain")).assert().success();
    for name in ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"] {
        let path = dir.join("smnist").join(name);
        let file = std::fs::File::create(dir.join(format!("{name}.gz"))).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        gzip.write_all(&std::fs::read(path).unwrap()).unwrap();
        gzip.finish().unwrap();
    }
    convert(&[dir.join("train-images-idx3-ubyte.gz")], &dir.join("packed")).assert().success();
    assert_eq!(manifest(&dir.join("packed")).description.classes, manifest(&dir.join("plain")).description.classes);
    let shard = |set: &str| std::fs::read(dir.join(set).join("00000.shard")).unwrap();
    assert!(!samples(&dir.join("plain")).is_empty());
    assert_eq!(shard("packed"), shard("plain"));
}

#[test]
fn a_spike_of_st_mnist_is_1_or_minus_1() {
    let dir = scratch();
    let mat = Mat::default();
    let write = |spike: f64| {
        let mut numbers = [0.0; 3 * 101];
        (numbers[7], numbers[100]) = (1.0, 0.5);
        (numbers[101 + 13], numbers[201]) = (spike, 0.75);
        (numbers[202], numbers[302]) = (-1.0, 1.25);
        let data: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let array = mat.array(6, "spiketrain", &[101, 3], &[mat.element(9, &data)]);
        dir.file("a.mat", mat.bytes(&[array]))
    };
    let set = dir.join("set");
    convert(&[write(-1.0)], &set).args(["--layout", "stmnist"]).assert().success();
    assert_eq!(samples(&set)[0].ledger.events_in, 3);
    for wrong in [2.0, 0.5, f64::NAN] {
        let file = write(wrong);
        refuses(convert(&[file], &dir.join("none")).args(["--layout", "stmnist"]), 3, &["spikes of 1, -1 or 0"]);
    }
}
