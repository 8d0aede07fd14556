//! Any recipe, on any events: accounted for to the last event, the same when read again, refused in one line where it
//! makes no sense, and never a panic.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use tonic_toolkit::prep::{Error, Events, Framer, Recipe, SensorSize, Signature, admit, catalogue};
use tonic_toolkit::shard::{ColumnBuf, Ledger, ShardSet};

use super::camera::Camera;
use super::recording::{Recording, contents, convert, fails, prep, says, scratch};

const SENSOR: SensorSize = SensorSize { width: 12, height: 9, polarities: 2 };

/// The signatures of transforms and of framings.
fn lists() -> [&'static [Signature]; 2] {
    [catalogue().transforms, catalogue().framings]
}

/// Numbers as one writes them, and numbers as nobody should.
fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => (0..4000_i64).prop_map(|n| json!(n)),
        8 => prop::sample::select(vec![0.5, 0.25, 1.0, 2.5, 0.001, 1.0 / 3.0, 33.3, 1e6]).prop_map(|n| json!(n)),
        1 => prop::sample::select(vec![-1.0, -2.5, 1e300, -1e300, 5e-324, 0.0, -0.0, 9.3e18]).prop_map(|n| json!(n)),
        1 => prop::sample::select(vec![-1, i64::MIN, i64::MAX, 1 << 32, 1 << 53]).prop_map(|n| json!(n)),
    ]
}

fn whole() -> impl Strategy<Value = Value> {
    prop_oneof![
        9 => (1..60_i64).prop_map(|n| json!(n)),
        3 => (0..4000_i64).prop_map(|n| json!(n)),
        1 => prop::sample::select(vec![-1, i64::MIN, i64::MAX, 1 << 32]).prop_map(|n| json!(n)),
    ]
}

fn pair() -> impl Strategy<Value = Value> {
    (1..14_i64, 1..11_i64).prop_map(|(x, y)| json!([x, y]))
}

/// A table of some of these parameters.
fn table(name: &'static str, parameters: Vec<(&'static str, u32, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let given: Vec<_> = parameters
        .into_iter()
        .map(|(key, tenths, value)| prop::option::weighted(f64::from(tenths) / 10.1, value).prop_map(move |v| (key, v)))
        .collect();
    given
        .prop_map(move |given| {
            let mut table = json!({"name": name});
            given.into_iter().for_each(|(key, value)| {
                value.into_iter().for_each(|value| table[key] = value);
            });
            table
        })
        .boxed()
}

fn steps() -> impl Strategy<Value = Vec<Value>> {
    let methods = prop::sample::select(vec![json!("integrator"), json!("differentiator"), json!("naive")]).boxed();
    let pixels = prop::collection::vec((0..12_i64, 0..9_i64), 0..9).prop_map(|pixels| json!(pixels)).boxed();
    let step = prop_oneof![
        table("CenterCrop", vec![("size", 9, prop_oneof![pair(), whole()].boxed())]),
        table("CropTime", vec![("min", 5, number().boxed()), ("max", 5, number().boxed())]),
        table("Denoise", vec![("filter_time", 9, number().boxed())]),
        table("Decimation", vec![("n", 9, whole().boxed())]),
        table("DropPixel", vec![("coordinates", 9, pixels)]),
        table("DropPixel", vec![("hot_pixel_frequency", 9, number().boxed())]),
        table("Downsample", vec![("time_factor", 5, number().boxed()), ("target_size", 5, pair().boxed())]),
        table("Downsample", vec![("spatial_factor", 9, number().boxed())]),
        table(
            "EventDownsampling",
            vec![
                ("target_size", 10, pair().boxed()),
                ("downsampling_method", 10, methods),
                ("dt", 10, number().boxed()),
                ("noise_threshold", 7, (0..4_i64).prop_map(|n| json!(n)).boxed()),
                ("differentiator_time_bins", 3, (0..4_i64).prop_map(|n| json!(n)).boxed()),
            ]
        ),
        table("MergePolarities", vec![]),
        table("RefractoryPeriod", vec![("delta", 9, number().boxed())]),
        table("TimeAlignment", vec![]),
        table("TimeSkew", vec![("coefficient", 10, number().boxed()), ("offset", 4, number().boxed())]),
    ];
    prop::collection::vec(step, 0..5)
}

fn frames() -> impl Strategy<Value = Value> {
    let flag = any::<bool>().prop_map(|b| json!(b));
    let decay = prop::sample::select(vec![json!("exp"), json!("lin")]);
    let slicing = |way| {
        let overlap = prop_oneof![(0..100_i64).prop_map(|n| json!(n)), Just(json!(0.3))];
        table("ToFrame", vec![(way, 10, whole().boxed()), ("overlap", 4, overlap.boxed())])
    };
    prop_oneof![
        slicing("time_window"),
        slicing("event_count"),
        slicing("n_time_bins"),
        slicing("n_event_bins"),
        table("ToImage", vec![]),
        table("ToBinaRep", vec![("n_frames", 5, whole().boxed()), ("n_bits", 5, whole().boxed())]),
        table(
            "ToTimesurface",
            vec![
                ("dt", 10, (20..9000_i64).prop_map(|n| json!(n)).boxed()),
                ("tau", 10, number().boxed()),
                ("overlap", 3, (0..30_i64).prop_map(|n| json!(n)).boxed()),
                ("include_incomplete", 5, flag.boxed()),
            ]
        ),
        table(
            "ToAveragedTimesurface",
            vec![
                ("surface_size", 5, prop::sample::select(vec![json!(1), json!(3), json!(4)]).boxed()),
                ("cell_size", 5, whole().boxed()),
                ("time_window", 5, number().boxed()),
                ("tau", 5, number().boxed()),
                ("decay", 5, decay.boxed()),
            ]
        ),
        table("ToVoxelGrid", vec![("n_time_bins", 10, whole().boxed())]),
    ]
}

/// Times with ties, and now and then one that is far from all others.
fn events() -> impl Strategy<Value = Vec<(i64, i64, i64, i64)>> {
    let time = prop_oneof![
        30 => 0..3000_i64,
        10 => (0..12_i64).prop_map(|n| n * 250),
        1 => prop::sample::select(vec![-1, -50_000, i64::MIN, i64::MAX, 1 << 53, 1 << 40]),
    ];
    prop::collection::vec((time, 0..12_i64, 0..9_i64, 0..2_i64), 0..60)
}

/// The recipe of a list of steps and a framing, as text.
fn text(steps: &[Value], frames: &Value) -> String {
    toml::to_string(&json!({"transform": steps, "frames": frames})).unwrap()
}

fn read(text: &str) -> Result<Recipe, Error> {
    let recipe = Recipe::parse(None, text)?;
    recipe.check_sensor(SENSOR)?;
    Ok(recipe)
}

/// The recipe's answer for one sample must account for it, lie inside the sensor and keep the bound on its frames.
fn accounts(recipe: &Recipe, list: &[(i64, i64, i64, i64)]) -> Result<(), TestCaseError> {
    let raw: Vec<_> = list.iter().map(|&(t, x, y, p)| (Some(t), x, y, p)).collect();
    let mut events: Events = admit(SENSOR, raw.into_iter()).events;
    let mut ledger = Ledger { events_in: list.len() as u64, ..Ledger::default() };
    let Ok(()) = recipe.apply(&mut events, SENSOR, &mut ledger) else { return Ok(()) };
    let sensor = recipe.sensor_after(SENSOR);
    prop_assert!(events.t.is_sorted());
    for (column, size) in [(&events.x, sensor.width), (&events.y, sensor.height)] {
        prop_assert!(column.len() == events.len() && column.iter().all(|&v| u32::from(v) < size));
    }
    prop_assert!(events.p.iter().all(|&p| u32::from(p) < sensor.polarities));

    let mut framer = Framer::new(sensor, &recipe.frames);
    let Ok(framed) = framer.frame(&events).cloned() else { return Ok(()) };
    (ledger.binned, ledger.cut) = (framed.binned, framed.cut);
    prop_assert!(ledger.balances(), "{ledger:?}");
    let limit = recipe.frame_limit(SENSOR).unwrap_or(u64::MAX);
    prop_assert!((1..=limit).contains(&(framed.frame_sizes.len() as u64)), "limit {limit}");
    let cells = recipe.frames.shape(sensor).cells();
    let mut rest = framed.cells.as_slice();
    for &n in &framed.frame_sizes {
        let (frame, after) = rest.split_at(n as usize);
        prop_assert!(frame.is_sorted_by(|a, b| a < b) && frame.iter().all(|&cell| u64::from(cell) < cells));
        rest = after;
    }
    prop_assert!(rest.is_empty());
    match &framed.counts {
        ColumnBuf::F32(values) => prop_assert!(values.iter().all(|v| v.is_finite() && *v != 0.0)),
        ColumnBuf::U32(counts) => {
            let sum: u64 = counts.iter().map(|&n| u64::from(n)).sum();
            prop_assert!(sum == framed.binned || recipe.frames.overlaps() && sum >= framed.binned);
        }
        other => prop_assert!(false, "{other:?}"),
    }
    prop_assert_eq!(framer.frame(&events).unwrap(), &framed, "what a sample leaves behind shows in the next");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_recipe_accounts_for_every_event(
        steps in steps(),
        frames in frames(),
        samples in prop::collection::vec(events(), 1..4),
    ) {
        match read(&text(&steps, &frames)) {
            Err(error) => {
                let said = error.to_string();
                prop_assert!(matches!(error, Error::BadRecipe { .. }), "{}", said);
                prop_assert!(!said.contains('\n') && !said.contains("other parameters"), "{}", said);
            }
            Ok(recipe) => {
                prop_assert_eq!(&Recipe::parse(None, &recipe.to_toml()).unwrap(), &recipe);
                for sample in &samples {
                    accounts(&recipe, sample)?;
                }
            }
        }
    }
}

/// Tonic 1.7.0's `tonic.transforms`, all of it: what is none of our names is refused with the reason.
#[test]
fn everything_of_tonic_is_known_or_refused_with_its_reason() {
    let random = "deterministic transforms (random augmentation belongs to training, fresh every epoch)";
    let elsewhere = [
        ("Compose", "one [[transform]] each"),
        ("NumpyAsType", "the narrowest type"),
        ("Repeat", "labels are stored as they are"),
        ("ToOneHotEncoding", "labels are stored as they are"),
        ("ToSparseTensor", "frames are stored sparse"),
    ];
    let tonics = "CenterCrop CropTime Denoise Decimation DropEvent DropEventByTime DropEventByArea DropPixel Downsample \
        EventDrop EventDownsampling MergePolarities RandomCrop RandomDropPixel RandomFlipPolarity RandomFlipLR \
        RandomFlipUD RandomTimeReversal RefractoryPeriod SpatialJitter TimeAlignment TimeJitter TimeSkew UniformNoise \
        NumpyAsType ToAveragedTimesurface ToFrame ToSparseTensor ToImage ToTimesurface ToVoxelGrid ToBinaRep Repeat \
        ToOneHotEncoding Compose";
    let [transforms, framings] = lists().map(|list| list.iter().map(|signature| signature.name).collect::<Vec<_>>());
    let mut counts = [0; 4];
    for name in tonics.split_whitespace() {
        let refused = |table: &str| {
            let error = Recipe::parse(None, &format!("{table}\nname = \"{name}\"\n")).unwrap_err().to_string();
            says(&error, &[&format!("got {name}")]);
            error
        };
        if transforms.contains(&name) {
            says(&refused("[frames]"), &["a framing (a transform of events belongs under [[transform]])"]);
            counts[0] += 1;
        } else if framings.contains(&name) {
            says(&refused("[frames]\nn_event_bins = 1\n[[transform]]"), &["a framing belongs under [frames]"]);
            counts[1] += 1;
        } else if let Some((_, why)) = elsewhere.iter().find(|(other, _)| *other == name) {
            says(&refused("[frames]\nn_event_bins = 1\n[[transform]]"), &[why]);
            counts[2] += 1;
        } else {
            for table in ["[frames]\nn_event_bins = 1\n[[transform]]", "[frames]"] {
                says(&refused(table), &[random]);
            }
            counts[3] += 1;
        }
    }
    assert_eq!((counts, transforms.len(), framings.len()), ([11, 6, 5, 13], 11, 6));
}

#[test]
fn every_parameter_is_checked_and_named() {
    let frames = "[frames]\nn_event_bins = 1\n";
    for signature in lists()[0] {
        let given = format!("{frames}[[transform]]\nname = \"{}\"\n", signature.name);
        let error = Recipe::parse(None, &format!("{given}nonsense = 1\n")).unwrap_err().to_string();
        says(&error, &[&format!("transform 1, {}: expected", signature.name), "got nonsense"]);
        for parameter in signature.parameters {
            says(&error, &[parameter.name]);
            let text = format!("{given}{} = {{}}\n", parameter.name);
            let said = Recipe::parse(None, &text).unwrap_err().to_string();
            says(&said, &[&format!("{}.{}: expected {}, got {{", signature.name, parameter.name, parameter.kind)]);
        }
    }
    for signature in lists()[1] {
        let given = format!("[frames]\nname = \"{}\"\n", signature.name);
        let error = Recipe::parse(None, &format!("{given}nonsense = 1\n")).unwrap_err().to_string();
        says(&error, &["frames: expected", "got nonsense"]);
        for parameter in signature.parameters {
            says(&error, &[parameter.name]);
            let text = format!("{given}{} = {{}}\n", parameter.name);
            let said = Recipe::parse(None, &text).unwrap_err().to_string();
            says(&said, &[&format!("frames.{}: expected {}, got {{", parameter.name, parameter.kind)]);
        }
    }
}

#[test]
fn the_list_is_printed_for_people_and_for_programs() {
    let said = |json: &[&str]| {
        let output = prep().arg("transforms").args(json).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let (text, value): (_, Value) = (said(&[]), serde_json::from_str(&said(&["--json"])).unwrap());
    for (list, printed) in lists().into_iter().zip([&value["transforms"], &value["framings"]]) {
        assert_eq!(printed.as_array().unwrap().len(), list.len());
        for (signature, printed) in list.iter().zip(printed.as_array().unwrap()) {
            assert_eq!((&printed["name"], &printed["about"]), (&json!(signature.name), &json!(signature.about)));
            says(&text, &[&format!("\n  {}: {}\n", signature.name, signature.about)]);
            let names: Vec<_> = printed["parameters"].as_array().unwrap().iter().map(|p| p["name"].clone()).collect();
            assert_eq!(names, signature.parameters.iter().map(|p| json!(p.name)).collect::<Vec<_>>());
        }
    }
    let tau = &value["framings"][4]["parameters"][3];
    assert_eq!((&tau["name"], &tau["default"], &tau["required"]), (&json!("tau"), &json!(100.0), &json!(false)));
    let delta = &value["transforms"][8]["parameters"][0];
    assert_eq!((&delta["name"], &delta["default"], &delta["required"]), (&json!("delta"), &Value::Null, &json!(true)));
}

/// What the list says of defaults is what a recipe that leaves them out gets.
#[test]
fn defaults_are_those_of_the_list() {
    use tonic_toolkit::prep::IfAbsent;
    let examples = [
        ("CenterCrop", "size = 3"),
        ("Denoise", "filter_time = 5"),
        ("Decimation", "n = 2"),
        ("DropPixel", "coordinates = [[1, 2]]"),
        ("EventDownsampling", "target_size = [2, 2]\ndownsampling_method = \"differentiator\"\ndt = 1"),
        ("RefractoryPeriod", "delta = 5"),
        ("TimeSkew", "coefficient = 2"),
        ("ToFrame", "n_event_bins = 1"),
        ("ToTimesurface", "dt = 5\ntau = 5"),
        ("ToVoxelGrid", "n_time_bins = 5"),
    ];
    for (which, list) in lists().into_iter().enumerate() {
        for signature in list {
            let least = examples.iter().find(|(name, _)| *name == signature.name).map_or("", |(_, text)| text);
            let recipe = |more: &str| {
                let table = format!("name = \"{}\"\n{least}\n{more}", signature.name);
                let text = match which {
                    0 => format!("[frames]\nn_event_bins = 1\n[[transform]]\n{table}"),
                    _ => format!("[frames]\n{table}"),
                };
                Recipe::parse(None, &text).unwrap_or_else(|e| panic!("{e}"))
            };
            let defaults = signature.parameters.iter().filter_map(|p| match p.default {
                IfAbsent::Is(value) => Some(format!("{} = {value}\n", p.name)),
                _ => None,
            });
            let given = recipe(&defaults.collect::<String>());
            let list = [(7, 1, 1, 0), (9, 1, 2, 0), (12, 2, 2, 1)];
            let answer = |recipe: &Recipe| {
                let mut events = admit(SENSOR, list.map(|(t, x, y, p)| (Some(t), x, y, p)).into_iter()).events;
                recipe.apply(&mut events, SENSOR, &mut Ledger::default()).unwrap();
                Framer::new(recipe.sensor_after(SENSOR), &recipe.frames).frame(&events).unwrap().clone()
            };
            assert_eq!(answer(&given), answer(&recipe("")), "{}", signature.name);
        }
    }
}

/// What each framing makes of a cochlea and of a camera, through the binary.
#[test]
fn sets_of_every_framing_go_all_the_way() {
    let dir = scratch();
    let cochlea = Recording::random(71, 30, 60).write(&dir.path().join("a.h5"));
    let camera = Camera::random(73, 4_000, 900_000).dsec(&dir.path().join("b.h5"));
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
        std::fs::write(dir.path().join("recipe.toml"), text).unwrap();
        let occupied = go_all_the_way(dir.path(), file, options, name, float, limit);
        assert!(occupied > if parameters.contains("tau = 1\n") { 0 } else { 100 }, "{name}: {occupied}");
    }
}

/// A set is whole, the same for any number of threads, and the same numbers in NumPy's hands; how many are not 0.
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
    prep().arg("verify").arg(&out).assert().success();
    prep().args(["show", "--sample", "3"]).arg(&out).assert().success();
    prep().arg("show").arg(&out).arg("--png").arg(path("a.png")).assert().success();
    prep().arg("cat").arg(&out).assert().success();
    prep().arg("export").arg(&out).arg("--npy").arg(path("npy")).arg("--overwrite").assert().success();

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

/// A set's samples, dense.
fn all_values(set: &ShardSet) -> Vec<Vec<f32>> {
    let mut decoder = tonic_toolkit::shard::Decoder::new();
    let mut chunk = set.empty_chunk();
    let shape = set.manifest().description.shape;
    let mut values = Vec::new();
    for number in 0..set.chunks() {
        set.decode(number, &mut decoder, &mut chunk).unwrap();
        values.extend(chunk.frames.samples().map(|sample| sample.to_dense::<f32>(shape)));
    }
    values
}

#[test]
fn a_sensor_that_a_recipe_does_not_fit_is_named() {
    let dir = scratch();
    let file = Recording::random(72, 3, 20).write(&dir.path().join("a.h5"));
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
        std::fs::write(dir.path().join("recipe.toml"), recipe).unwrap();
        let mut command = convert(&[&file], &dir.path().join("set"));
        says(&fails(command.arg("--recipe").arg(dir.path().join("recipe.toml")), 3), &words);
    }
}
