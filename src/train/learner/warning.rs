//! Warnings: what a user must know about a result that is not an error.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// Maximum number of names of a list that are shown.
const MAX_NAMES: usize = 10;

/// What training or evaluation warns about. It is shown as text, and is text in JSON.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// All samples of a set are of one class.
    OneClass {
        /// The set.
        set: PathBuf,
        /// Name of the class.
        class: String,
    },
    /// A training set has no samples of some of its classes.
    MissingClasses {
        /// The set.
        set: PathBuf,
        /// Names of the classes.
        classes: Vec<String>,
    },
    /// A class has many more samples than others.
    Imbalanced {
        /// The set.
        set: PathBuf,
        /// Name of the largest class.
        largest: String,
        /// Number of samples of the largest class.
        most: u64,
        /// Name of the smallest class that has samples.
        smallest: String,
        /// Number of samples of the smallest class.
        fewest: u64,
        /// Accuracy of always guessing the largest class.
        share: f64,
        /// Whether the training loss has weights that balance the classes.
        weighted: bool,
    },
    /// All neurons of some hidden layers are silent: they pass no information on the input to the next layer.
    SilentLayers {
        /// Number of the epoch, counted from 1.
        epoch: u64,
        /// Numbers of the layers, counted from 1.
        layers: Vec<usize>,
    },
    /// An epoch's accuracy and loss are no better than those of guessing.
    AtChance {
        /// Number of the epoch, counted from 1.
        epoch: u64,
        /// Training accuracy.
        accuracy: f64,
        /// Accuracy of always guessing the largest class.
        guessed_accuracy: f64,
        /// Training loss.
        loss: f64,
        /// Loss of guessing.
        guessed_loss: f64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::OneClass { set, class } => write!(
                f,
                "{}: all samples are of class {class:?}: any network is right about all of them, and nothing is learned",
                set.display()
            ),
            Warning::MissingClasses { set, classes } => {
                let names: Vec<String> = classes.iter().take(MAX_NAMES).map(|name| format!("{name:?}")).collect();
                let more = classes.len() - names.len();
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let which = if classes.len() == 1 { "class" } else { "classes" };
                write!(f, "{}: no samples of {which} {}{more}", set.display(), names.join(", "))
            }
            Warning::Imbalanced { set, largest, most, smallest, fewest, share, .. } => write!(
                f,
                "{}: class {largest:?} has {most} samples, {smallest:?} has {fewest}; always guessing {largest:?} gives \
                 an accuracy of {:.1}%",
                set.display(),
                share * 100.0
            ),
            Warning::SilentLayers { epoch, layers } => {
                let numbers: Vec<String> = layers.iter().map(ToString::to_string).collect();
                let (layers, are) = if layers.len() == 1 { ("layer", "is") } else { ("layers", "are") };
                write!(f, "epoch {epoch}: hidden {layers} {} {are} silent: no neuron spikes", numbers.join(", "))
            }
            Warning::AtChance { epoch, accuracy, guessed_accuracy, loss, guessed_loss } => write!(
                f,
                "epoch {epoch} ended at chance: accuracy {:.1}% and loss {loss:.4}, where guessing gives {:.1}% and \
                 {guessed_loss:.4}",
                accuracy * 100.0,
                guessed_accuracy * 100.0
            ),
        }
    }
}

impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
