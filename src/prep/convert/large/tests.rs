//! Tests that large samples give the same result when they are read in blocks and when they are read whole.

use std::path::{Path, PathBuf};

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tonic_base::Verbosity;
use tonic_shard::{ChunkRecord, Existing, Totals, Width};

use crate::convert::chunks::ChunkFailure;
use crate::convert::conversion::{Conversion, RecipeChoice};
use crate::convert::job::Job;
use crate::convert::large::BlockSizes;
use crate::convert::loss::Step;
use crate::event_range::EventRange;
use crate::recipe::Recipe;
use crate::source::{Cut, SourceOptions};

const SIZE: [u16; 2] = [6, 4];

/// A recording's events as they are stored: times as float64, x, y and p as int16.
type Stored = Vec<(f64, [i16; 3])>;

fn write(path: &Path, events: &Stored) {
    let head = format!(
        "{{'descr': [('t', '<f8'), ('x', '<i2'), ('y', '<i2'), ('p', '<i2')], 'fortran_order': False, 'shape': ({},)}}\n",
        events.len()
    );
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((head.len() as u16).to_le_bytes());
    bytes.extend(head.as_bytes());
    for (t, rest) in events {
        bytes.extend(t.to_le_bytes());
        rest.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
    }
    std::fs::write(path, bytes).unwrap();
}

/// Makes a random recording. `kind` says what is unusual in it:
///
/// - 0: nothing
/// - 1: jitter
/// - 2: shuffled events
/// - 3: invalid times
/// - 4: events outside the sensor
/// - 5: a 12-bit clock that wraps
/// - 6: shuffled events, invalid times and events outside the sensor
/// - 7: times of about 9e15
fn recording(random: &mut ChaCha8Rng, kind: usize) -> Stored {
    let n = random.random_range(0..900);
    let step = random.random_range(1..40);
    let mut time = random.random_range(0..5000);
    let mut events: Stored = (0..n)
        .map(|_| {
            time += random.random_range(0..step);
            let [x, y] = SIZE.map(|size| random.random_range(0..size) as i16);
            (time as f64, [x, y, random.random_range(0..2)])
        })
        .collect();
    let some = |random: &mut ChaCha8Rng| random.random_bool(0.05);
    match kind {
        1 => events.iter_mut().for_each(|event| event.0 -= f64::from(random.random_range(0..90))),
        2 => events.shuffle(random),
        3 => {
            let first = random.random_range(0..40);
            for (i, event) in events.iter_mut().enumerate() {
                if i < first || some(random) {
                    event.0 = [f64::NAN, f64::INFINITY, 1e300][random.random_range(0..3)];
                }
            }
        }
        4 => {
            for event in &mut events {
                if some(random) {
                    event.1[random.random_range(0..3)] = [-3, 6, 999][random.random_range(0..3)];
                }
            }
        }
        5 => events.iter_mut().for_each(|event| event.0 %= 4096.0),
        6 => {
            events.shuffle(random);
            for event in &mut events {
                if some(random) {
                    event.0 = f64::NAN;
                } else if some(random) {
                    event.1[0] = 77;
                }
            }
        }
        7 => events.iter_mut().for_each(|event| event.0 += 9e15),
        _ => {}
    }
    events
}

fn recipes(random: &mut ChaCha8Rng) -> Vec<String> {
    let steps = [
        "[[transform]]\nname = \"CropTime\"\nmin = 900\nmax = 6000\n",
        "[[transform]]\nname = \"Downsample\"\ntime_factor = 0.37\nspatial_factor = 0.5\n",
        "[[transform]]\nname = \"MergePolarities\"\n",
        "[[transform]]\nname = \"CenterCrop\"\nsize = [4, 4]\n",
        "[[transform]]\nname = \"TimeAlignment\"\n",
        "[[transform]]\nname = \"TimeSkew\"\ncoefficient = 1.7\noffset = -3000\n",
        "[[transform]]\nname = \"Decimation\"\nn = 3\n",
        "[[transform]]\nname = \"RefractoryPeriod\"\ndelta = 60.0\n",
        "[[transform]]\nname = \"DropPixel\"\ncoordinates = [[0, 0], [1, 1]]\n",
        "[[transform]]\nname = \"TimeSkew\"\ncoefficient = 1e13\n",
    ];
    let frames = [
        "[frames]\ntime_window = 150\ninclude_incomplete = true\n",
        "[frames]\ntime_window = 400\noverlap = 250.5\n",
        "[frames]\ntime_window = 90\nstart_time = 1000\nend_time = 4000\n",
        "[frames]\nevent_count = 70\noverlap = 20.0\n",
        "[frames]\nname = \"ToImage\"\n",
        "[frames]\ntime_window = 2\ninclude_incomplete = true\n",
    ];
    let mut made = vec![frames[0].to_string()];
    for _ in 0..3 {
        let mut order: Vec<usize> = (0..steps.len()).collect();
        order.shuffle(random);
        order.truncate(random.random_range(0..4));
        let steps: String = order.into_iter().map(|i| steps[i]).collect();
        made.push(steps + frames[random.random_range(0..frames.len())]);
    }
    made
}

/// The results of converting all samples to one chunk, and of reading samples again.
#[derive(Debug, PartialEq)]
struct Outcome {
    made: Result<(ChunkRecord, Vec<u8>, Totals), String>,
    losses: Vec<String>,
    again: Vec<String>,
    found: Vec<String>,
}

fn convert(conversion: &Conversion, counts: Width, sizes: BlockSizes) -> Result<Outcome, String> {
    let job = Job::open(conversion).map_err(|error| error.to_string())?;
    let description = job.describe(Vec::new(), counts);
    let mut maker = job.maker(&description).map_err(|error| error.to_string())?;
    maker.sizes = sizes;
    let samples = description.samples;
    let made = maker.make_samples(0, 0..samples).map(|(totals, encoded)| {
        let mut bytes = Vec::new();
        let read = encoded.stored.read(|piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        });
        read.unwrap();
        (encoded.record, bytes, totals)
    });
    let made = made.map_err(|failure| match failure {
        ChunkFailure::Error(error) => error.to_string(),
        ChunkFailure::TooNarrow(count) => format!("a count of {count}"),
    });
    let losses = maker.take_losses();
    let losses = losses.steps().iter().map(|step| format!("{step:?}")).collect();
    let mut again = Vec::new();
    for sample in (0..samples).filter(|_| made.is_ok()) {
        again.push(format!("{:?}", maker.lost_again(sample, &Default::default()).unwrap()));
        for step in [Step::Sensor, Step::Slicing] {
            let before = maker.events_before(sample, step).unwrap();
            again.push(format!("{:?} {:?} {}", before.first_outside, before.times, before.events));
        }
    }
    Ok(Outcome { made, losses, again, found: job.inputs.found() })
}

#[test]
fn blocks_give_what_the_whole_sample_gives() {
    let dir: PathBuf = std::env::temp_dir().join(format!("tonic-prep-large-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(13);
    let (mut made, mut failed) = (0, 0);
    for round in 0..56 {
        let path = dir.join("a.npy");
        write(&path, &recording(&mut random, round % 8));
        let cut = match round % 5 {
            3 => Cut::Duration { length: 2000, overlap: 300 },
            4 => Cut::Events { count: 130, overlap: 10 },
            _ => Cut::Whole,
        };
        let source = SourceOptions {
            sensor: Some("6,4,2".parse().unwrap()),
            origin: u8::from(round % 11 == 10),
            flip_y: round % 13 == 4,
            to_zero: round % 9 == 4,
            events: (round % 7 == 6).then_some(EventRange { start: 20, end: Some(700) }),
            unwrap: round % 3 == 0,
            allow_clock_trouble: round % 3 == 1,
            cut,
            ..SourceOptions::default()
        };
        for text in recipes(&mut random) {
            let conversion = Conversion {
                inputs: vec![path.clone()],
                output: dir.join("set"),
                recipe: RecipeChoice::Recipe(Recipe::parse(None, &text).unwrap()),
                source: source.clone(),
                limit: None,
                part: None,
                threads: 1,
                level: 1,
                chunk_samples: Some(64),
                shard_bytes: 1 << 26,
                existing: Existing::Refuse,
                lenient: round % 4 != 0,
                max_loss: None,
                command: Vec::new(),
                verbosity: Verbosity::Quiet,
            };
            for counts in [Width::U8, Width::U16] {
                let expected = convert(&conversion, counts, BlockSizes::default());
                let is_made = expected.as_ref().is_ok_and(|outcome| outcome.made.is_ok());
                (made, failed) = (made + u32::from(is_made), failed + u32::from(!is_made));
                for (above, events, sorted) in [(0, 1, 5), (0, 7, 100), (100, 64, 64), (0, 5000, 5000)] {
                    let got = convert(&conversion, counts, BlockSizes { above, events, sorted });
                    assert_eq!(got, expected, "{round}: {events} {text}");
                }
            }
        }
    }
    assert!(made > 150 && failed > 50, "{made} {failed}");
    std::fs::remove_dir_all(dir).unwrap();
}
