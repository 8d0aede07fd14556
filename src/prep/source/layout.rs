//! The file layouts of recordings, with their names and how they are recognised.

use std::str::FromStr;

/// How a file stores its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The Heidelberg datasets SHD and SSC, speech from a cochlea.
    Hsd,
    /// N-TIDIGITS18, spoken digits from a cochlea.
    Ntidigits,
    /// The camera datasets DSEC and TUM-VIE.
    Dsec,
    /// Files for e2vid, files of the simulator ESIM, and datasets derived from them.
    E2vid,
    /// The camera dataset MVSEC.
    Mvsec,
    /// Metavision files of Prophesee.
    Prophesee,
    /// A NumPy array (`.npy`): of records, or with several numbers for each event.
    Npy,
    /// An archive of NumPy arrays (`.npz`).
    Npz,
    /// Any HDF5 file whose columns are given by a [`Map`](crate::Map) or found by their names.
    Map,
}

impl Layout {
    /// For each layout: its name, and the dataset or other property by which its files are recognised.
    pub const ALL: [(Layout, &str, &str); 9] = [
        (Layout::Hsd, "hsd", "spikes/times"),
        (Layout::Ntidigits, "ntidigits", "train_labels"),
        (Layout::Dsec, "dsec", "events/t"),
        (Layout::E2vid, "e2vid", "events/ts"),
        (Layout::Mvsec, "mvsec", "davis/left/events"),
        (Layout::Prophesee, "prophesee", "CD/events"),
        (Layout::Npy, "npy", "a NumPy array"),
        (Layout::Npz, "npz", "a NumPy archive"),
        (Layout::Map, "map", "columns that are named"),
    ];

    /// Returns the name of the layout on the command line and in JSON.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(layout, ..)| *layout == self).map_or("", |(_, name, _)| name)
    }

    /// Returns whether files of the layout are recognised by the name of an HDF5 dataset.
    pub(crate) fn has_dataset(self) -> bool {
        !matches!(self, Layout::Npy | Layout::Npz | Layout::Map)
    }

    /// Returns the names of several layouts, separated by commas.
    pub(crate) fn names(layouts: &[Layout]) -> String {
        layouts.iter().map(|layout| layout.name()).collect::<Vec<_>>().join(", ")
    }

    /// Returns the name of the layout in messages.
    pub fn title(self) -> &'static str {
        match self {
            Layout::Hsd => "Heidelberg (SHD, SSC)",
            Layout::Ntidigits => "N-TIDIGITS18",
            Layout::Dsec => "camera (DSEC)",
            Layout::E2vid => "camera (e2vid)",
            Layout::Mvsec => "camera (MVSEC)",
            Layout::Prophesee => "camera (Prophesee)",
            Layout::Npy => "NumPy array",
            Layout::Npz => "NumPy archive",
            Layout::Map => "columns by name",
        }
    }

    /// Returns whether a file of this layout holds many samples with labels, instead of one recording.
    pub(crate) fn has_samples(self) -> bool {
        matches!(self, Layout::Hsd | Layout::Ntidigits)
    }
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> Result<Layout, String> {
        let names = || Self::ALL.map(|(_, name, _)| name).join(", ");
        let found = Self::ALL.iter().find(|(_, name, _)| *name == text);
        found.map(|(layout, ..)| *layout).ok_or_else(|| format!("expected one of {}", names()))
    }
}
