//! The settings of a conversion, and the recipe that is used if the caller gives none.

use std::path::PathBuf;

use tonic_base::Verbosity;
use tonic_shard::{Existing, Manifest, Part};

use crate::convert::inputs::Inputs;
use crate::error::{BaseFault, Error, Result};
use crate::recipe::Recipe;
use crate::source::SourceOptions;

/// The default zstd level. Higher levels gain little, because packed entries are already small. Compared with level 1,
/// level 3 takes 4 times as long and gives 1% larger files. Level 19 takes 100 times as long and gives 3% smaller
/// files.
pub const LEVEL: i32 = 1;
/// Default number of channels to which a cochlea with more channels is downsampled.
const CHANNELS: u32 = 100;
/// Default time after which a cochlea's events are dropped, in microseconds.
const CROP_TIME: i64 = 1_000_000;
/// Default durations of a frame in microseconds: of a cochlea, and of a camera.
const TIME_WINDOWS: [i64; 2] = [4_000, 10_000];
/// The settings of a conversion.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// Paths of the recordings, in order.
    pub inputs: Vec<PathBuf>,
    /// Directory of the new set.
    pub output: PathBuf,
    /// Where the recipe comes from.
    pub recipe: RecipeChoice,
    /// Options for opening the recordings.
    pub source: SourceOptions,
    /// Number of samples to convert at most: the first samples of the recordings. `None` converts all samples.
    pub limit: Option<u64>,
    /// The part of the set to convert, which is a range of its chunks. The parts can be merged later. `None` converts
    /// the whole set.
    pub part: Option<Part>,
    /// Number of worker threads.
    pub threads: usize,
    /// zstd compression level.
    pub level: i32,
    /// Samples per chunk. `None` means 64, or fewer if the samples are large.
    pub chunk_samples: Option<u32>,
    /// Approximate bytes per shard.
    pub shard_bytes: u64,
    /// What to do if the set exists already.
    pub existing: Existing,
    /// Whether events outside the sensor are left out and counted. If false, such an event is an error.
    pub lenient: bool,
    /// Maximum share of the events, 0 to 1, that a conversion can lose without an error. The events that are lost by
    /// the table of labels, the range of events, bad times, the sensor's bounds, CropTime and slicing are added up. If
    /// they are a larger share, the conversion fails and leaves the set incomplete. `None` is no limit.
    pub max_loss: Option<f64>,
    /// The command that converts `part`, as a list of words, without the output directory and the number of the part.
    /// It is stored in the part's manifest. If another part is missing when the parts are merged, the user is shown
    /// this command to make it. Not used for a whole set.
    pub command: Vec<String>,
    /// How much progress and information is printed.
    pub verbosity: Verbosity,
}

/// Where a conversion's recipe comes from.
#[derive(Clone, Debug)]
pub enum RecipeChoice {
    /// A recipe that the caller gives.
    Recipe(Recipe),
    /// The recipe of the set in this directory. The frames of the new set must have the same shape as in that set.
    Of(PathBuf),
    /// The default recipe for the sensor, changed by the values that are given here. By default, a cochlea with more
    /// than 100 channels is downsampled to 100, events after the first second are dropped, and a frame is 4 ms. For a
    /// camera, a frame is 10 ms.
    Usual {
        /// Number of channels to downsample a cochlea to.
        channels: Option<u32>,
        /// Time after which events are dropped, in microseconds.
        crop_time: Option<i64>,
        /// Microseconds per frame.
        time_window: Option<i64>,
    },
}

impl RecipeChoice {
    pub(super) fn settle(&self, inputs: &Inputs) -> Result<Recipe> {
        let sensor = inputs.sensor;
        match self {
            RecipeChoice::Recipe(recipe) => Ok(recipe.clone()),
            RecipeChoice::Of(dir) => {
                let description = Manifest::read(dir)?.description;
                let recipe = Recipe::parse(Some(dir), &description.recipe)?;
                let made = recipe.frames.shape(recipe.sensor_after(sensor));
                if made != description.shape {
                    let got = format!("{made}, of a sensor of {sensor}");
                    let expected = format!("frames of {}, as {} has", description.shape, dir.display());
                    return Err(Error::usage("recipe_of", expected, got));
                }
                Ok(recipe)
            }
            RecipeChoice::Usual { channels, crop_time, time_window } => {
                let cochlea = inputs.cochlea;
                match channels {
                    Some(n) if *n > sensor.width => {
                        return Err(Error::usage("channels", format!("at most the sensor's {}", sensor.width), n));
                    }
                    Some(n) if !cochlea => {
                        let expected = "a cochlea; a recipe with Downsample makes a camera's frames smaller";
                        return Err(Error::usage("channels", expected, format!("{n} for a sensor of {sensor}")));
                    }
                    _ => {}
                }
                let channels = channels.or((cochlea && sensor.width > CHANNELS).then_some(CHANNELS));
                let crop_time = crop_time.or(cochlea.then_some(CROP_TIME));
                let time_window = time_window.unwrap_or(TIME_WINDOWS[usize::from(!cochlea)]);
                Ok(Recipe::of(sensor, channels, crop_time, time_window))
            }
        }
    }
}
