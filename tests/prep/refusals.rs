//! What a recipe cannot say is refused in one line that says what it can, and what would take all time or memory is
//! stopped.

use tonic_toolkit::prep::{Events, Framer, Recipe, SensorSize};
use tonic_toolkit::shard::Ledger;

const SENSOR: SensorSize = SensorSize { width: 5, height: 4, polarities: 2 };

#[test]
fn what_a_recipe_cannot_say_is_refused_with_what_it_can() {
    let step = |text: &str| format!("[[transform]]\n{text}\n[frames]\nevent_count = 3\n");
    for (text, words) in [
        (
            step("name = \"Denoiser\""),
            vec!["transform 1", "one of CenterCrop, CropTime, Decimation, Denoise,", "Denoiser"],
        ),
        (step("name = \"EventDrop\""), vec!["belongs to training", "EventDrop"]),
        (step("name = \"Compose\""), vec!["one [[transform]] each", "Compose"]),
        (step("name = \"NumpyAsType\""), vec!["narrowest type", "NumpyAsType"]),
        (step("name = \"ToImage\""), vec!["under [frames]", "ToImage"]),
        (step("name = 3"), vec!["transform 1", "name = \"CropTime\"", "3"]),
        (step(""), vec!["transform 1", "name = \"CropTime\"", "none"]),
        (step("name = \"Denoise\""), vec!["transform 1, Denoise.filter_time: expected a number, got none"]),
        (
            step("name = \"Denoise\"\nfilter_time = \"long\""),
            vec!["Denoise.filter_time: expected a number, got \"long\""],
        ),
        (
            step("name = \"Denoise\"\nfilter_time = -1"),
            vec!["Denoise.filter_time: expected microseconds, at least 0, got -1"],
        ),
        (step("name = \"Denoise\"\nfilter_time = inf"), vec!["Denoise.filter_time", "at least 0"]),
        (step("name = \"Denoise\"\ntime = 3"), vec!["a parameter of Denoise: filter_time", "time"]),
        (step("name = \"TimeAlignment\"\nt = 3"), vec!["TimeAlignment: expected no parameters, got t"]),
        (step("name = \"Decimation\"\nn = 0"), vec!["Decimation.n: expected at least 1, got 0"]),
        (step("name = \"Decimation\"\nn = -3"), vec!["Decimation.n", "a count, 0 to 2^32 - 1", "-3"]),
        (step("name = \"Decimation\"\nn = 99999999999"), vec!["Decimation.n", "2^32 - 1", "99999999999"]),
        (
            step("name = \"TimeSkew\"\ncoefficient = [0.8, 1.2]"),
            vec!["TimeSkew.coefficient: expected one number", "training"],
        ),
        (
            step("name = \"TimeSkew\"\ncoefficient = 1\noffset = [0, 9]"),
            vec!["TimeSkew.offset: expected one number", "training"],
        ),
        (
            step("name = \"RefractoryPeriod\"\ndelta = [0, 9]"),
            vec!["RefractoryPeriod.delta: expected one number", "training"],
        ),
        (step("name = \"TimeSkew\"\ncoefficient = nan"), vec!["a finite number, got NaN"]),
        (step("name = \"DropPixel\""), vec!["either coordinates or hot_pixel_frequency", "neither"]),
        (step("name = \"DropPixel\"\ncoordinates = [[1, 2], [3]]"), vec!["a list of [x, y]"]),
        (step("name = \"DropPixel\"\nhot_pixel_frequency = 0"), vec!["a positive number, got 0"]),
        (step("name = \"CenterCrop\"\nsize = [0, 5]"), vec!["CenterCrop.size", "1 to 65536", "[0, 5]"]),
        (step("name = \"CenterCrop\"\nsize = 65536"), vec!["a sensor of at most 2^28 cells", "65536x65536x2"]),
        (
            step("name = \"CenterCrop\"\nsize = 3\nsensor_size = [5, 4, 1]"),
            vec!["sensor_size: expected [5, 4, 2]", "[5, 4, 1]"],
        ),
        (
            step("name = \"Downsample\"\ntarget_size = [6, 4]"),
            vec!["target_size: expected at most the sensor's [5, 4]", "[6, 4]"],
        ),
        (step("name = \"Downsample\"\ntarget_size = [0, 4]"), vec!["target_size: expected sizes of at least 1"]),
        (step("name = \"Downsample\"\ntarget_size = [2, 2]\nspatial_factor = 0.5"), vec!["none beside target_size"]),
        (
            step(
                "name = \"MergePolarities\"\n[[transform]]\nname = \"EventDownsampling\"\ntarget_size = [2, 2]\ndt = 1\n\
                  downsampling_method = \"integrator\"",
            ),
            vec!["transform 2, EventDownsampling: expected a sensor of two polarities", "5x4x1"],
        ),
        (
            step("name = \"EventDownsampling\"\ntarget_size = [2, 2]\ndt = 0\ndownsampling_method = \"integrator\""),
            vec!["EventDownsampling.dt: expected a positive number of milliseconds, got 0"],
        ),
        (
            step("name = \"EventDownsampling\"\ntarget_size = [2, 2]\ndt = 1\ndownsampling_method = \"naive\""),
            vec!["downsampling_method: expected \"integrator\" or \"differentiator\", got \"naive\""],
        ),
        ("transform = 3\n[frames]\nevent_count = 3\n".into(), vec!["[[transform]] in double brackets", "3"]),
        (
            "[transform]\nname = \"Denoise\"\n[frames]\nevent_count = 3\n".into(),
            vec!["[[transform]] in double brackets"],
        ),
        ("frames = 3\n".into(), vec!["[frames], one table", "3"]),
        ("[frame]\n[frames]\nevent_count = 3\n".into(), vec!["[[transform]] and [frames] only, got frame"]),
        ("[frames]\nevent_count = \n".into(), vec!["line 2: expected TOML"]),
        ("[frames]\nname = \"Denoise\"\n".into(), vec!["frames.name", "under [[transform]]", "Denoise"]),
        ("[frames]\nname = \"ToFrames\"\n".into(), vec!["frames.name: expected one of ToFrame, ToImage,", "ToFrames"]),
        ("[frames]\nname = \"ToSparseTensor\"\n".into(), vec!["frames are stored sparse", "ToSparseTensor"]),
        ("[frames]\nname = \"ToBinaRep\"\nn_bits = 25\n".into(), vec!["frames.n_bits: expected 2 to 24", "25"]),
        ("[frames]\nname = \"ToBinaRep\"\nn_frames = 4000000\n".into(), vec!["at most 16777216 slices", "32000000"]),
        ("[frames]\nname = \"ToTimesurface\"\ndt = 0\ntau = 1\n".into(), vec!["frames.dt: expected a positive number"]),
        (
            "[frames]\nname = \"ToTimesurface\"\ndt = 1\ntau = 0\n".into(),
            vec!["frames.tau: expected a positive number"],
        ),
        (
            "[frames]\nname = \"ToTimesurface\"\ndt = 5\ntau = 1\noverlap = 5\n".into(),
            vec!["frames.overlap: expected", "5"],
        ),
        ("[frames]\nname = \"ToVoxelGrid\"\nn_time_bins = 4000000000\n".into(), vec!["at most 16777216", "4000000000"]),
        ("[frames]\nname = \"ToAveragedTimesurface\"\nsurface_size = 4\n".into(), vec!["an odd size", "4"]),
        (
            "[frames]\nname = \"ToAveragedTimesurface\"\nsurface_size = 11\n".into(),
            vec!["at most the cell_size of 10", "11"],
        ),
        (
            "[frames]\nname = \"ToAveragedTimesurface\"\ndecay = \"log\"\n".into(),
            vec!["\"exp\" or \"lin\", got \"log\""],
        ),
        (
            "[frames]\nname = \"ToImage\"\nsensor_size = [1, 1, 1]\n".into(),
            vec!["frames.sensor_size: expected [5, 4, 2]"],
        ),
    ] {
        let checked = Recipe::parse(None, &text).and_then(|recipe| recipe.check_sensor(SENSOR));
        let said = checked.expect_err(&text).to_string();
        assert!(!said.contains('\n'), "{said}");
        for word in words {
            assert!(said.contains(word), "{text}\nsays: {said}\nnot:  {word}");
        }
    }
}

/// Huge numbers that make sense must not take hours or all memory for a few events.
#[test]
fn recipes_that_would_flood_are_stopped() {
    let sparse = || Events { t: vec![0, 1 << 40], x: vec![0, 4], y: vec![0, 3], p: vec![0, 1] };
    let down = |more: &str| {
        let step = "[[transform]]\nname = \"EventDownsampling\"\ntarget_size = [5, 4]\n";
        format!("{step}{more}\n[frames]\nevent_count = 1\n")
    };
    for (text, words) in [
        (down("downsampling_method = \"integrator\"\ndt = 0.001"), ["EventDownsampling.dt", "at most 16777216 steps"]),
        (down("downsampling_method = \"integrator\"\ndt = 1e-300"), ["EventDownsampling.dt", "at most 16777216 steps"]),
        (down("downsampling_method = \"integrator\"\ndt = 100"), ["EventDownsampling.noise_threshold", "at least 1"]),
    ] {
        let recipe = Recipe::parse(None, &text).unwrap();
        let fault = recipe.apply(&mut sparse(), SENSOR, &mut Ledger::default()).unwrap_err();
        let said = format!("{}: {}", fault.place, fault.expected);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    for frames in ["name = \"ToTimesurface\"\ndt = 1\ntau = 5", "name = \"ToTimesurface\"\ndt = 1e-300\ntau = 5"] {
        let recipe = Recipe::parse(None, &format!("[frames]\n{frames}\n")).unwrap();
        assert!(Framer::new(SENSOR, &recipe.frames).frame(&sparse()).is_err(), "{frames}");
    }
    // The ends of time neither wrap nor panic, whatever is done to them.
    let ends = || Events { t: vec![i64::MIN, -1, i64::MAX], x: vec![0, 1, 4], y: vec![0, 1, 3], p: vec![0, 1, 1] };
    let steps = [
        "CropTime\"\nmax = 5",
        "Denoise\"\nfilter_time = 5",
        "DropPixel\"\nhot_pixel_frequency = 5",
        "Downsample\"\ntime_factor = 3",
        "EventDownsampling\"\ntarget_size = [2, 2]\ndownsampling_method = \"differentiator\"\ndt = 1e14",
        "RefractoryPeriod\"\ndelta = 5",
        "TimeAlignment\"",
        "TimeSkew\"\ncoefficient = -1",
        "TimeSkew\"\ncoefficient = 1.5\noffset = 1e300",
    ];
    let frames = [
        "ToFrame\"\ntime_window = 3000000000000000000",
        "ToFrame\"\nn_time_bins = 3",
        "ToBinaRep\"",
        "ToTimesurface\"\ndt = 3e18\ntau = 1e18",
        "ToAveragedTimesurface\"\ntime_window = 1e19",
        "ToVoxelGrid\"\nn_time_bins = 3",
    ];
    let mut framed = 0;
    for text in steps.iter().flat_map(|step| frames.iter().map(move |frames| (step, frames))) {
        let text = format!("[[transform]]\nname = \"{}\n[frames]\nname = \"{}\n", text.0, text.1);
        let recipe = Recipe::parse(None, &text).unwrap_or_else(|e| panic!("{text}{e}"));
        let (mut events, mut ledger) = (ends(), Ledger { events_in: 3, ..Ledger::default() });
        recipe.apply(&mut events, SENSOR, &mut ledger).unwrap_or_else(|fault| panic!("{text}{fault:?}"));
        assert!(events.t.is_sorted(), "{text}");
        let mut framer = Framer::new(recipe.sensor_after(SENSOR), &recipe.frames);
        if let Ok(sample) = framer.frame(&events) {
            (ledger.binned, ledger.cut) = (sample.binned, sample.cut);
            assert!(ledger.balances(), "{text}{ledger:?}");
            framed += 1;
        }
    }
    assert!(framed > 40, "{framed}");
}
