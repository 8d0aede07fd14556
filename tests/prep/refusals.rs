//! Tests that invalid recipes are refused with an error of one line, and huge ones are stopped.

use tonic_toolkit::prep::{Events, Framer, Recipe, SensorSize};
use tonic_toolkit::shard::Ledger;

const SENSOR: SensorSize = SensorSize { width: 5, height: 4, polarities: 2 };

/// Words that an error message must contain.
type Words = &'static [&'static str];

/// Transforms that are refused: name, parameters, and words of the error.
const STEPS: [(&str, &str, Words); 36] = [
    (
        "Denoiser",
        "",
        &["transform 1.name: expected one of CenterCrop, CropTime, Decimation, Denoise,", "TimeSkew, got Denoiser"],
    ),
    ("TimeJitter", "std = 5", &["deterministic transforms", "belongs to training", "got TimeJitter"]),
    ("DropEvent", "p = 0.5", &["deterministic transforms", "got DropEvent"]),
    ("EventDrop", "", &["belongs to training", "EventDrop"]),
    ("Compose", "", &["one [[transform]] each", "Compose"]),
    ("NumpyAsType", "", &["narrowest type", "NumpyAsType"]),
    ("ToImage", "", &["under [frames]", "ToImage"]),
    ("CropTime", "maximum = 5", &["transform 1, CropTime: expected a parameter of CropTime: min, max", "got maximum"]),
    ("CropTime", "min = 9\nmax = 5", &["CropTime: expected max of at least min", "min 9, max 5"]),
    ("Denoise", "", &["transform 1, Denoise.filter_time: expected a number, got none"]),
    ("Denoise", "filter_time = \"long\"", &["Denoise.filter_time: expected a number, got \"long\""]),
    ("Denoise", "filter_time = -1", &["Denoise.filter_time: expected microseconds, at least 0, got -1"]),
    ("Denoise", "filter_time = inf", &["Denoise.filter_time", "at least 0"]),
    ("Denoise", "time = 3", &["a parameter of Denoise: filter_time", "time"]),
    ("TimeAlignment", "t = 3", &["TimeAlignment: expected no parameters, got t"]),
    ("Decimation", "n = 0", &["Decimation.n: expected at least 1, got 0"]),
    ("Decimation", "n = -3", &["Decimation.n", "a count, 0 to 2^32 - 1", "-3"]),
    ("Decimation", "n = 99999999999", &["Decimation.n", "2^32 - 1", "99999999999"]),
    ("TimeSkew", "coefficient = [0.8, 1.2]", &["TimeSkew.coefficient: expected one number", "training"]),
    ("TimeSkew", "coefficient = 1\noffset = [0, 9]", &["TimeSkew.offset: expected one number", "training"]),
    ("RefractoryPeriod", "delta = [0, 9]", &["RefractoryPeriod.delta: expected one number", "training"]),
    ("TimeSkew", "coefficient = nan", &["a finite number, got NaN"]),
    ("DropPixel", "", &["either coordinates or hot_pixel_frequency", "neither"]),
    ("DropPixel", "coordinates = [[1, 2], [3]]", &["a list of [x, y]"]),
    ("DropPixel", "hot_pixel_frequency = 0", &["a positive number, got 0"]),
    ("CenterCrop", "size = [0, 5]", &["CenterCrop.size", "1 to 65536", "[0, 5]"]),
    ("CenterCrop", "size = 65536", &["a sensor of at most 2^28 cells", "65536x65536x2"]),
    ("CenterCrop", "size = 3\nsensor_size = [5, 4, 1]", &["sensor_size: expected [5, 4, 2]", "[5, 4, 1]"]),
    ("Downsample", "spatial_factor = [2.0, 1.0]", &["Downsample.spatial_factor: expected factors above 0", "[2, 1]"]),
    ("Downsample", "time_factor = nan", &["Downsample.time_factor: expected a positive number", "NaN"]),
    ("Downsample", "target_size = [6, 4]", &["target_size: expected at most the sensor's [5, 4]", "[6, 4]"]),
    ("Downsample", "target_size = [0, 4]", &["target_size: expected sizes of at least 1"]),
    ("Downsample", "target_size = [2, 2]\nspatial_factor = 0.5", &["none beside target_size"]),
    (
        "MergePolarities",
        "[[transform]]\nname = \"EventDownsampling\"\ntarget_size = [2, 2]\ndt = 1\ndownsampling_method = \"integrator\"",
        &["transform 2, EventDownsampling: expected a sensor of two polarities", "5x4x1"],
    ),
    (
        "EventDownsampling",
        "target_size = [2, 2]\ndt = 0\ndownsampling_method = \"integrator\"",
        &["EventDownsampling.dt: expected a positive number of milliseconds, got 0"],
    ),
    (
        "EventDownsampling",
        "target_size = [2, 2]\ndt = 1\ndownsampling_method = \"naive\"",
        &["downsampling_method: expected \"integrator\" or \"differentiator\", got \"naive\""],
    ),
];

/// Framings that are refused: name, parameters, and words of the error.
const FRAMINGS: [(&str, &str, Words); 24] = [
    ("ToFrame", "time_window = 4000\nwindow = 3", &["a parameter of ToFrame: time_window,", "got window"]),
    ("ToFrame", "time_window = 4000\nevent_count = 3", &["frames: expected exactly one of", "2 of them"]),
    ("ToFrame", "overlap = 0.0", &["frames: expected exactly one of", "0 of them"]),
    ("ToFrame", "time_window = 0", &["at least 1", "got 0"]),
    ("ToFrame", "time_window = -4", &["at least 1", "got -4"]),
    ("ToFrame", "time_window = 2.5", &["frames.time_window: expected a whole number", "got 2.5"]),
    ("ToFrame", "event_count = -5", &["frames.event_count: expected a count, 0 to 2^32 - 1", "got -5"]),
    ("ToFrame", "n_time_bins = 99999999", &["at most 16777216 bins", "99999999"]),
    ("ToFrame", "time_window = 4000\noverlap = 4000", &["an overlap from 0 to below the window", "4000"]),
    (
        "ToFrame",
        "event_count = 3\nstart_time = 0",
        &["start_time and end_time with time_window only", "another slicing"],
    ),
    ("ToFrame", "event_count = ", &["line 3: expected TOML"]),
    ("Denoise", "", &["frames.name", "under [[transform]]", "Denoise"]),
    ("ToFrames", "", &["frames.name: expected one of ToFrame, ToImage,", "ToFrames"]),
    ("ToSparseTensor", "", &["frames are stored sparse", "ToSparseTensor"]),
    ("ToBinaRep", "n_bits = 25", &["frames.n_bits: expected 2 to 24", "25"]),
    ("ToBinaRep", "n_frames = 4000000", &["at most 16777216 slices", "32000000"]),
    ("ToTimesurface", "dt = 0\ntau = 1", &["frames.dt: expected a positive number"]),
    ("ToTimesurface", "dt = 1\ntau = 0", &["frames.tau: expected a positive number"]),
    ("ToTimesurface", "dt = 5\ntau = 1\noverlap = 5", &["frames.overlap: expected", "5"]),
    ("ToVoxelGrid", "n_time_bins = 4000000000", &["at most 16777216", "4000000000"]),
    ("ToAveragedTimesurface", "surface_size = 4", &["an odd size", "4"]),
    ("ToAveragedTimesurface", "surface_size = 11", &["at most the cell_size of 10", "11"]),
    ("ToAveragedTimesurface", "decay = \"log\"", &["\"exp\" or \"lin\", got \"log\""]),
    ("ToImage", "sensor_size = [1, 1, 1]", &["frames.sensor_size: expected [5, 4, 2]"]),
];

/// Recipes whose TOML has the wrong form, and words of the error.
const TEXTS: [(&str, Words); 8] = [
    ("[[transform]]\nname = 3\n[frames]\nevent_count = 3\n", &["transform 1", "name = \"CropTime\"", "3"]),
    ("[[transform]]\n[frames]\nevent_count = 3\n", &["transform 1", "name = \"CropTime\"", "none"]),
    ("transform = 3\n[frames]\nevent_count = 3\n", &["[[transform]] in double brackets", "3"]),
    ("[transform]\nname = \"Denoise\"\n[frames]\nevent_count = 3\n", &["[[transform]] in double brackets"]),
    ("[[transform]]\nname = \"CropTime\"\n", &["frames: expected [frames], which says", "got none"]),
    ("frames = 3\n", &["[frames], one table", "3"]),
    ("[frame]\n[frames]\nevent_count = 3\n", &["[[transform]] and [frames] only, got frame"]),
    ("[frames\n", &["line 1: expected TOML", "got unclosed table"]),
];

#[test]
fn what_a_recipe_cannot_say_is_refused_with_what_it_can() {
    let steps = STEPS.map(|(name, parameters, words)| {
        (format!("[[transform]]\nname = \"{name}\"\n{parameters}\n[frames]\nevent_count = 3\n"), words)
    });
    let frames =
        FRAMINGS.map(|(name, parameters, words)| (format!("[frames]\nname = \"{name}\"\n{parameters}\n"), words));
    let texts = TEXTS.map(|(text, words)| (text.to_string(), words));
    for (text, words) in steps.into_iter().chain(frames).chain(texts) {
        let checked = Recipe::parse(None, &text).and_then(|recipe| recipe.check_sensor(SENSOR));
        let said = checked.expect_err(&text).to_string();
        assert!(!said.contains('\n'), "{said}");
        for word in words {
            assert!(said.contains(word), "{text}\nsays: {said}\nnot:  {word}");
        }
    }
}

/// Tests that recipes with huge but valid numbers don't take hours or all memory.
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
    // The smallest and largest times neither wrap nor panic in any step.
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
