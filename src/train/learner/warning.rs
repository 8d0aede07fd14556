//! Warnings about a set or a result, which are not errors.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};
use tonic_base::first_of;

/// Maximum number of class names that a warning lists.
const MAX_NAMES: usize = 10;

/// Which options of a new run change how often hidden neurons spike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knobs {
    /// Whether `gain`, the factor of the initial weights, does. It doesn't if a norm undoes it.
    pub gain: bool,
    /// Whether `theta`, the spike threshold, does. It doesn't if a network file describes the neurons.
    pub theta: bool,
}

/// A warning of training or evaluation. In JSON, a warning is the text that `Display` writes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// All samples of a set have the same class.
    OneClass {
        /// Folder of the set.
        set: PathBuf,
        /// Name of the only class that has samples.
        class: String,
    },
    /// No sample of a training set has events.
    NoEvents {
        /// Folder of the set.
        set: PathBuf,
    },
    /// A training set has classes without samples.
    MissingClasses {
        /// Folder of the set.
        set: PathBuf,
        /// Names of the classes without samples.
        classes: Vec<String>,
    },
    /// A class has many more samples than another class.
    Imbalanced {
        /// Folder of the set.
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
        /// Whether class weights balance the classes in the training loss.
        weighted: bool,
    },
    /// In some hidden layers, no neuron spikes, so the layers after them learn nothing about the input.
    SilentLayers {
        /// Number of the epoch, counted from 1.
        epoch: u64,
        /// Numbers of the silent hidden layers, counted from 1.
        layers: Vec<usize>,
        /// Which options change how often neurons spike.
        knobs: Knobs,
    },
    /// In some hidden layers, nearly every neuron either spikes at nearly every time step, or never spikes.
    SaturatedLayers {
        /// Number of the epoch, counted from 1.
        epoch: u64,
        /// Numbers of the saturated hidden layers, counted from 1.
        layers: Vec<usize>,
        /// Which options change how often neurons spike.
        knobs: Knobs,
    },
    /// In an epoch, the training accuracy and the training loss are no better than those of guessing.
    AtChance {
        /// Number of the epoch, counted from 1.
        epoch: u64,
        /// Training accuracy of the epoch.
        accuracy: f64,
        /// Accuracy of always guessing the largest class.
        guessed_accuracy: f64,
        /// Training loss of the epoch, without the penalty for spike rates.
        loss: f64,
        /// Loss of a guess that predicts the same class probabilities for all samples.
        guessed_loss: f64,
        /// Which options change how often neurons spike.
        knobs: Knobs,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::OneClass { set, class } => write!(
                f,
                "{}: all samples are of class {class:?}: any network is right about all of them, and nothing is \
                 learned",
                set.display()
            ),
            Warning::NoEvents { set } => {
                write!(f, "{}: its samples have no events: nothing can be learned", set.display())
            }
            Warning::MissingClasses { set, classes } => {
                let names: Vec<String> = classes.iter().map(|name| format!("{name:?}")).collect();
                let which = if classes.len() == 1 { "class" } else { "classes" };
                write!(f, "{}: no samples of {which} {}", set.display(), first_of(&names, MAX_NAMES))
            }
            Warning::Imbalanced { set, largest, most, smallest, fewest, share, .. } => write!(
                f,
                "{}: class {largest:?} has {most} samples, {smallest:?} has {fewest}; always guessing {largest:?} \
                 gives an accuracy of {:.1}%",
                set.display(),
                share * 100.0
            ),
            Warning::SilentLayers { epoch, layers, .. } => {
                write!(f, "epoch {epoch}: {} silent: no neuron spikes", hidden(layers))
            }
            Warning::SaturatedLayers { epoch, layers, .. } => write!(
                f,
                "epoch {epoch}: {} saturated: nearly all neurons have a spike or more at each step, or none at all",
                hidden(layers)
            ),
            Warning::AtChance { epoch, accuracy, guessed_accuracy, loss, guessed_loss, .. } => write!(
                f,
                "epoch {epoch} ended at chance: accuracy {:.1}% and loss {loss:.4}, where guessing gives {:.1}% and \
                 {guessed_loss:.4}",
                accuracy * 100.0,
                guessed_accuracy * 100.0
            ),
        }
    }
}

/// Returns a text such as "hidden layers 1, 2 are".
fn hidden(layers: &[usize]) -> String {
    let numbers: Vec<String> = layers.iter().map(ToString::to_string).collect();
    let (layers, are) = if layers.len() == 1 { ("layer", "is") } else { ("layers", "are") };
    format!("hidden {layers} {} {are}", numbers.join(", "))
}

impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
