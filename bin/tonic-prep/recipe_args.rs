//! The arguments that choose a recipe, for all commands that make frames from recordings.

use std::path::PathBuf;

use clap::Args;
use tonic_base::BaseFault;
use tonic_prep::{Error, Recipe, RecipeChoice, Result};

use crate::set_description::description_of;

/// Options that choose the recipe.
#[derive(Args)]
pub(crate) struct RecipeArgs {
    /// Recipe in TOML, instead of --channels, --crop-time and --time-window. `tonic-prep transforms` lists the
    /// transforms and framings that a recipe can name
    #[arg(long, conflicts_with_all = ["channels", "crop_time", "time_window"])]
    recipe: Option<PathBuf>,
    /// Set whose recipe is used again, so that a network can be trained on that set and on the new one: a directory or a
    /// URL
    #[arg(long, value_name = "SET", conflicts_with_all = ["recipe", "channels", "crop_time", "time_window"])]
    recipe_of: Option<PathBuf>,
    /// Number of channels to downsample a cochlea to [default: 100, if the cochlea has more]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    channels: Option<u32>,
    /// Keep only events up to this time (inclusive), in microseconds [default: 1000000 for a cochlea, no limit for a
    /// camera]
    #[arg(long, value_name = "MAX_US", value_parser = clap::value_parser!(i64).range(0..))]
    crop_time: Option<i64>,
    /// Duration of a frame in microseconds [default: 4000 for a cochlea, 10000 for a camera]
    #[arg(long, value_name = "US", value_parser = clap::value_parser!(i64).range(1..))]
    time_window: Option<i64>,
}

impl RecipeArgs {
    /// Returns these options in the form that the library takes. If `--recipe` is given, reads its file.
    pub(crate) fn choice(self) -> Result<RecipeChoice> {
        Ok(match (self.recipe, self.recipe_of) {
            (Some(path), _) => {
                let text = std::fs::read_to_string(&path).map_err(Error::io(&path, "read the recipe"))?;
                RecipeChoice::Recipe(Recipe::parse(Some(&path), &text)?)
            }
            (None, Some(place)) => {
                let description = description_of(&place)?;
                RecipeChoice::Of(place, Box::new(description))
            }
            (None, None) => RecipeChoice::Usual {
                channels: self.channels,
                crop_time: self.crop_time,
                time_window: self.time_window,
            },
        })
    }
}
