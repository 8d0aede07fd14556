//! The file layouts of recordings, with their names and how they are recognised.

use std::str::FromStr;

use serde_json::{Value, json};

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
    /// A MATLAB file of version 5.
    Mat,
    /// Prophesee RAW in EVT 2.
    Evt2,
    /// Prophesee RAW in EVT 2.1.
    Evt21,
    /// Prophesee RAW in EVT 3.
    Evt3,
    /// Prophesee DAT.
    Dat,
    /// AEDAT 2 of jAER, from a DVS128 or a DAVIS.
    Aedat2,
    /// AEDAT 3.1 of cAER.
    Aedat3,
    /// AEDAT 4 of DV.
    Aedat4,
    /// A bag of ROS 1.
    Rosbag,
    /// Event Stream (`.es`).
    Es,
    /// The `.bin` files of N-MNIST and N-Caltech101.
    Nmnist,
    /// Images of MNIST (IDX), encoded as spiking sequential MNIST.
    Smnist,
    /// A text with a row of cells for each event, such as CSV.
    Csv,
    /// ST-MNIST: a matrix of spikes in a MATLAB file.
    Stmnist,
    /// EBSSA: many recordings in an HDF5 file.
    Ebssa,
    /// Any HDF5 file whose columns are given by a [`Map`](crate::Map) or found by their names.
    Map,
}

impl Layout {
    /// For each layout: its name, and the dataset or other property by which its files are recognised.
    pub const ALL: [(Layout, &str, &str); 24] = [
        (Layout::Hsd, "hsd", "spikes/times"),
        (Layout::Ntidigits, "ntidigits", "train_labels"),
        (Layout::Dsec, "dsec", "events/t"),
        (Layout::E2vid, "e2vid", "events/ts"),
        (Layout::Mvsec, "mvsec", "davis/left/events"),
        (Layout::Prophesee, "prophesee", "CD/events"),
        (Layout::Npy, "npy", "a NumPy array"),
        (Layout::Npz, "npz", "a NumPy archive"),
        (Layout::Mat, "mat", "MATLAB 5.0 MAT-file"),
        (Layout::Evt2, "evt2", "% evt 2.0"),
        (Layout::Evt21, "evt21", "% evt 2.1"),
        (Layout::Evt3, "evt3", "% evt 3.0"),
        (Layout::Dat, "dat", "% Version, or .dat with plausible events"),
        (Layout::Aedat2, "aedat2", "#!AER-DAT2"),
        (Layout::Aedat3, "aedat3", "#!AER-DAT3.1"),
        (Layout::Aedat4, "aedat4", "#!AER-DAT4"),
        (Layout::Rosbag, "rosbag", "#ROSBAG V2.0"),
        (Layout::Es, "es", "Event Stream"),
        (Layout::Nmnist, "nmnist", ".bin with plausible events"),
        (Layout::Smnist, "smnist", "an IDX file of images of 28 by 28"),
        (Layout::Csv, "csv", "lines of numbers, with names of columns"),
        (Layout::Stmnist, "stmnist", "only by --layout or --dataset"),
        (Layout::Ebssa, "ebssa", "only by --layout or --dataset"),
        (Layout::Map, "map", "columns that are named"),
    ];

    /// Returns the name of the layout on the command line and in JSON.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(layout, ..)| *layout == self).map_or("", |(_, name, _)| name)
    }

    /// Returns whether files of the layout are recognised by the name of an HDF5 dataset.
    pub(crate) fn has_dataset(self) -> bool {
        !self.has_arrays()
            && !matches!(self, Layout::Smnist | Layout::Stmnist | Layout::Ebssa | Layout::Map)
            && !self.is_of_camera()
    }

    /// Returns whether the columns t, x, y and p of the layout's files are found by their names or by the numbers in
    /// them, unless the options give them.
    pub(crate) fn has_arrays(self) -> bool {
        matches!(self, Layout::Npy | Layout::Npz | Layout::Mat | Layout::Csv)
    }

    /// Returns whether the layout is a camera's own file format. Such a file is decoded as a whole.
    pub fn is_of_camera(self) -> bool {
        matches!(
            self,
            Layout::Evt2
                | Layout::Evt21
                | Layout::Evt3
                | Layout::Dat
                | Layout::Aedat2
                | Layout::Aedat3
                | Layout::Aedat4
                | Layout::Rosbag
                | Layout::Es
                | Layout::Nmnist
        )
    }

    /// Returns the names of several layouts, separated by commas.
    pub(crate) fn names(layouts: &[Layout]) -> String {
        layouts.iter().map(|layout| layout.name()).collect::<Vec<_>>().join(", ")
    }

    /// Returns all layouts as lines of text: name, title, and how its files are recognised. The last line is about all
    /// layouts.
    pub fn text() -> String {
        let line = |(layout, name, told): &(Layout, &str, &str)| format!("{name:<12}{:<26}{told}\n", layout.title());
        Self::ALL.iter().map(line).collect::<String>()
            + "A recording of any layout may be in gzip or in a zip archive.\n"
    }

    /// Returns all layouts as a JSON object with the key `layouts`.
    pub fn json() -> Value {
        let entry = |(layout, name, told): &(Layout, &str, &str)| json!({"name": name, "title": layout.title(), "recognised_by": told});
        json!({"layouts": Self::ALL.iter().map(entry).collect::<Vec<_>>()})
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
            Layout::Mat => "MATLAB 5",
            Layout::Evt2 => "Prophesee RAW (EVT 2)",
            Layout::Evt21 => "Prophesee RAW (EVT 2.1)",
            Layout::Evt3 => "Prophesee RAW (EVT 3)",
            Layout::Dat => "Prophesee DAT",
            Layout::Aedat2 => "AEDAT 2",
            Layout::Aedat3 => "AEDAT 3.1",
            Layout::Aedat4 => "AEDAT 4",
            Layout::Rosbag => "ROS bag",
            Layout::Es => "Event Stream",
            Layout::Nmnist => "N-MNIST (.bin)",
            Layout::Smnist => "MNIST (sequential)",
            Layout::Csv => "text (CSV)",
            Layout::Stmnist => "ST-MNIST",
            Layout::Ebssa => "EBSSA",
            Layout::Map => "columns by name",
        }
    }

    /// Returns whether a file of this layout holds many samples with labels, instead of one recording.
    pub(crate) fn has_samples(self) -> bool {
        matches!(self, Layout::Hsd | Layout::Ntidigits | Layout::Smnist | Layout::Ebssa)
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
