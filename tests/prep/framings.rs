//! Tests every framing, from a recording to exported NumPy arrays.

use std::path::Path;

use tonic_toolkit::shard::{Decoder, ShardSet};

use super::camera::Camera;
use super::recording::{Recording, contents, convert, prep, refuses, scratch, tool};

#[test]
fn sets_of_every_framing_go_all_the_way() {
    let dir = scratch();
    let cochlea = Recording::random(71, 30, 60).write(&dir.join("a.h5"));
    let camera = Camera::random(73, 4_000, 900_000).dsec(&dir.join("b.h5"));
    let sensor = ["--sensor", "40,30,2", "--sample-duration", "90ms"];
    let crop = "[[transform]]\nname = \"CropTime\"\nmax = 500000\n";
    let emit = "[[transform]]\nname = \"EventDownsampling\"\ntarget_size = [20, 15]\ndt = 4\n\
        downsampling_method = \"integrator\"\nnoise_threshold = 1\n";
    let averaged = "cell_size = 100\nsurface_size = 7\ntau = 9000\ntime_window = 100000";
    let overlapping = "dt = 20000.5\ntau = 9000\noverlap = 5000.25\ninclude_incomplete = true\n";
    for (file, options, steps, name, parameters, float, limit) in [
        (&cochlea, &[][..], crop, "ToTimesurface", "dt = 120000\ntau = 20000\n", true, Some(4)),
        (&cochlea, &[], crop, "ToTimesurface", "dt = 120000\ntau = 1\ninclude_incomplete = true\n", true, Some(5)),
        (&cochlea, &[], crop, "ToAveragedTimesurface", averaged, true, Some(7)),
        (&cochlea, &[], crop, "ToBinaRep", "n_frames = 3\nn_bits = 4\n", true, Some(3)),
        (&cochlea, &[], crop, "ToImage", "", false, Some(1)),
        (&cochlea, &[], crop, "ToFrame", "event_count = 10\n", false, None),
        (&camera, &sensor, "", "ToVoxelGrid", "n_time_bins = 4\n", true, Some(4)),
        (&camera, &sensor, "", "ToTimesurface", overlapping, true, None),
        (&camera, &sensor, emit, "ToImage", "", false, Some(1)),
    ] {
        let text = format!("{steps}[frames]\nname = \"{name}\"\n{parameters}");
        dir.file("recipe.toml", text);
        let occupied = go_all_the_way(&dir, file, options, name, float, limit);
        assert!(occupied > if parameters.contains("tau = 1\n") { 0 } else { 100 }, "{name}: {occupied}");
    }
}

/// Converts `file` and runs the tools on the set. Asserts that the exported arrays have the numbers of the set. Returns
/// how many of these numbers are not 0.
fn go_all_the_way(dir: &Path, file: &Path, options: &[&str], name: &str, float: bool, limit: Option<u64>) -> usize {
    let path = |name: &str| dir.join(name);
    let made = ["1", "2"].map(|threads| {
        let mut command = convert(&[file], &path(threads));
        command.arg("--recipe").arg(path("recipe.toml")).args(["--threads", threads, "--overwrite"]).args(options);
        command.args(["--chunk-samples", "4"]).assert().success();
        contents(&path(threads))
    });
    assert!(made[0] == made[1], "{name}: threads change the bytes");
    let out = path("1");
    tool("verify", &out).assert().success();
    prep().args(["show", "--sample", "3"]).arg(&out).assert().success();
    tool("show", &out).arg("--png").arg(path("a.png")).assert().success();
    tool("cat", &out).assert().success();
    tool("export", &out).arg("--npy").arg(path("npy")).arg("--overwrite").assert().success();

    let set = ShardSet::open(&out).unwrap();
    assert_eq!(set.manifest().description.frame_limit, limit, "{name}");
    let mut occupied = 0;
    for (i, sample) in all_values(&set).into_iter().enumerate() {
        let bytes = std::fs::read(path("npy").join(format!("frames_{i}.npy"))).unwrap();
        let npy = npyz::NpyFile::new(&bytes[..]).unwrap();
        assert!(limit.is_none_or(|limit| npy.shape()[0] <= limit), "{name}: {:?}", npy.shape());
        let kind = npy.dtype().descr();
        assert_eq!(kind.contains("<f4"), float, "{name}: {kind}");
        let dense: Vec<f32> = match float {
            true => npy.into_vec().unwrap(),
            false => npy.into_vec::<u8>().unwrap().into_iter().map(f32::from).collect(),
        };
        occupied += dense.iter().filter(|&&v| v != 0.0).count();
        assert_eq!(dense, sample, "{name}, sample {i}");
    }
    occupied
}

/// Returns the dense frames of each sample of a set.
fn all_values(set: &ShardSet) -> Vec<Vec<f32>> {
    let shape = set.manifest().description.shape;
    let (mut decoder, mut chunk, mut values) = (Decoder::new(), set.empty_chunk(), Vec::new());
    for number in 0..set.chunks() {
        set.decode(number, &mut decoder, &mut chunk).unwrap();
        values.extend(chunk.frames.samples().map(|sample| sample.to_dense::<f32>(shape)));
    }
    values
}

#[test]
fn a_sensor_that_a_recipe_does_not_fit_is_named() {
    let dir = scratch();
    let file = Recording::random(72, 3, 20).write(&dir.join("a.h5"));
    for (recipe, words) in [
        ("[frames]\nname = \"ToVoxelGrid\"\nn_time_bins = 5\n", ["frames: expected a sensor of two", "got 700x1x1"]),
        (
            "[frames]\nn_event_bins = 1\n[[transform]]\nname = \"Downsample\"\ntarget_size = [900, 1]\n",
            ["transform 1, Downsample.target_size: expected at most the sensor's [700, 1]", "got [900, 1]"],
        ),
        (
            "[frames]\nn_event_bins = 1\nsensor_size = [700, 1, 1]\n[[transform]]\nname = \"CenterCrop\"\nsize = [100, 1]\n",
            ["frames.sensor_size: expected [100, 1, 1], the size at this step", "got [700, 1, 1]"],
        ),
    ] {
        let recipe = dir.file("recipe.toml", recipe);
        refuses(convert(&[&file], &dir.join("set")).arg("--recipe").arg(recipe), 3, &words);
    }
}
