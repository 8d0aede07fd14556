//! Tests random recipes on random events: the ledger, reading a written recipe, and refusals.

use proptest::prelude::*;
use serde_json::{Value, json};
use tonic_toolkit::prep::{Error, Events, Framer, Recipe, SensorSize, Signature, admit, catalogue};
use tonic_toolkit::shard::{ColumnBuf, Ledger};

use super::recording::{prep, says, stdout};

const SENSOR: SensorSize = SensorSize { width: 12, height: 9, polarities: 2 };

/// Returns the signatures of the transforms, and those of the framings.
fn lists() -> [&'static [Signature]; 2] {
    [catalogue().transforms, catalogue().framings]
}

/// Generates numbers, some of which make no sense.
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

/// Generates the TOML of a transform or framing. Each parameter has a name, its probability in tenths, and its values.
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

/// Generates events (t, x, y, p), some of them at the same time or far from all others.
fn events() -> impl Strategy<Value = Vec<(i64, i64, i64, i64)>> {
    let time = prop_oneof![
        30 => 0..3000_i64,
        10 => (0..12_i64).prop_map(|n| n * 250),
        1 => prop::sample::select(vec![-1, -50_000, i64::MIN, i64::MAX, 1 << 53, 1 << 40]),
    ];
    prop::collection::vec((time, 0..12_i64, 0..9_i64, 0..2_i64), 0..60)
}

/// Returns the recipe with these transforms and this framing, as TOML.
fn text(steps: &[Value], frames: &Value) -> String {
    toml::to_string(&json!({"transform": steps, "frames": frames})).unwrap()
}

fn read(text: &str) -> Result<Recipe, Error> {
    let recipe = Recipe::parse(None, text)?;
    recipe.check_sensor(SENSOR)?;
    Ok(recipe)
}

/// Applies the recipe to one sample. Asserts that the ledger balances, that events lie inside the sensor, and that
/// there are not too many frames.
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
            // Float64 cannot tell windows of larger times apart, so they overlap, as in Tonic.
            let overlaps = recipe.frames.overlaps() || events.t.iter().any(|t| t.unsigned_abs() >= 1 << 53);
            prop_assert!(sum == framed.binned || overlaps && sum >= framed.binned);
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

/// Near -2^63, float64 is too coarse for the bounds of windows: neighbouring windows get the same bounds, or overlap.
#[test]
fn windows_at_very_large_times_are_accounted_for() {
    let events: Vec<_> = (0..60).map(|i| (i64::MIN + i * 37, i % 12, i % 9, i % 2)).collect();
    for frames in [
        json!({"name": "ToFrame", "n_time_bins": 7}),
        json!({"name": "ToFrame", "time_window": 100}),
        json!({"name": "ToBinaRep", "n_frames": 3, "n_bits": 4}),
        json!({"name": "ToTimesurface", "dt": 100, "tau": 50}),
        json!({"name": "ToVoxelGrid", "n_time_bins": 5}),
    ] {
        accounts(&read(&text(&[], &frames)).unwrap(), &events).unwrap();
    }
}

/// Checks all names in Tonic 1.7.0's `tonic.transforms`.
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
    let framing = |_: &Signature| "frames".to_string();
    let step = |signature: &Signature| format!("transform 1, {}", signature.name);
    let [transforms, framings] = lists();
    check_parameters(transforms, "[frames]\nn_event_bins = 1\n[[transform]]\n", step);
    check_parameters(framings, "[frames]\n", framing);
}

/// Asserts that an error about a parameter names the parameter. `head` is the TOML before the parameters.
fn check_parameters(list: &[Signature], head: &str, place: impl Fn(&Signature) -> String) {
    for signature in list {
        let refused = |more: &str| {
            let text = format!("{head}name = \"{}\"\n{more}\n", signature.name);
            Recipe::parse(None, &text).unwrap_err().to_string()
        };
        let (place, nonsense) = (place(signature), refused("nonsense = 1"));
        says(&nonsense, &[&format!("{place}: expected"), "got nonsense"]);
        for parameter in signature.parameters {
            says(&nonsense, &[parameter.name]);
            let words = format!("{place}.{}: expected {}, got {{", parameter.name, parameter.kind);
            says(&refused(&format!("{} = {{}}", parameter.name)), &[&words]);
        }
    }
}

#[test]
fn the_list_is_printed_for_people_and_for_programs() {
    let text = stdout(prep().arg("transforms"));
    let value = super::recording::json(prep().args(["transforms", "--json"]));
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
