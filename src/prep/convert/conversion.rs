//! The settings of a conversion, and the default recipe.

use std::path::PathBuf;

use tonic_base::Verbosity;
use tonic_shard::{Existing, Part, SetDescription};

use crate::convert::inputs::Inputs;
use crate::error::{BaseFault, Error, Result};
use crate::recipe::Recipe;
use crate::source::SourceOptions;

/// Default compression level of zstd. Higher levels gain little, because packed entries are already small. Level 3
/// takes 4 times as long as level 1, and its files are even 1% larger. Level 19 takes 100 times as long, and its files
/// are 3% smaller.
pub const LEVEL: i32 = 1;
/// By default, a cochlea with more than this number of channels is downsampled to this number.
const CHANNELS: u32 = 100;
/// Default time after which a cochlea's events are dropped, in microseconds.
const CROP_TIME: i64 = 1_000_000;
/// Default durations of a frame in microseconds: for a cochlea, and for a camera.
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
    /// Maximum number of samples to convert, from the start of the recordings. `None` converts all samples.
    pub limit: Option<u64>,
    /// Which part of the set the conversion makes: a range of the set's chunks. Parts can be merged later. `None`
    /// makes the whole set.
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
    /// Whether events outside the sensor are counted and left out. If false, they are an error.
    pub lenient: bool,
    /// Largest share of the events, 0 to 1, that a conversion can lose. If more events are lost, the conversion fails
    /// and the set stays incomplete. `None` is no limit.
    ///
    /// An event is lost if it is left out because of one of these:
    ///
    /// - the table of labels
    /// - the range of events
    /// - an invalid time
    /// - the sensor's bounds
    /// - CropTime
    /// - slicing
    pub max_loss: Option<f64>,
    /// Words of the command that converts `part`, without the output directory and the number of the part. The part's
    /// manifest stores these words, to show users how to make a missing part. Not used for a whole set.
    pub command: Vec<String>,
    /// How much progress and information is printed.
    pub verbosity: Verbosity,
}

/// Where a conversion's recipe comes from.
#[derive(Clone, Debug)]
pub enum RecipeChoice {
    /// A recipe that the caller gives.
    Recipe(Recipe),
    /// The recipe of another set: the place of that set (a directory or a URL), and its description. The frames of the
    /// new set must have the same shape as in that set.
    Of(PathBuf, Box<SetDescription>),
    /// The default recipe for the sensor, changed by the values that are given here.
    ///
    /// For a cochlea, the default recipe drops events after the first second, and a frame is 4 ms. A cochlea with more
    /// than 100 channels is downsampled to 100. For a camera, a frame is 10 ms.
    Usual {
        /// Number of channels to which a cochlea is downsampled.
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
            RecipeChoice::Of(place, description) => {
                let recipe = Recipe::parse(Some(place), &description.recipe)?;
                let made = recipe.frames.shape(recipe.sensor_after(sensor));
                if made != description.shape {
                    let got = format!("{made}, of a sensor of {sensor}");
                    let expected = format!("frames of {}, as {} has", description.shape, place.display());
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
