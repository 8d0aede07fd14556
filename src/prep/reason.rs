//! Reasons why a recording or a folder was refused.

/// Why a file lacks data that it declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// A source of a virtual dataset is missing or too small.
    VirtualSource,
    /// An external raw file is missing or too short.
    RawFile,
    /// The chunks of a dataset were never written.
    NeverWritten,
    /// The target of a link does not exist.
    Link,
}

/// What the folders inside the opened folder are, if they are not classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderKind {
    /// Parts of a dataset, such as train and test. The value is the list of their names.
    Parts(Vec<String>),
    /// Folders that each contain the parts of a dataset, such as `wave/train` and `wave/test`.
    PartsOfEach,
    /// Folders of persons or sessions. They contain recordings and no folders.
    Groups,
    /// Folders that contain files of the same names, such as folders of sessions. The files are probably named after
    /// their classes.
    SameFiles {
        /// Path of one of the files as an example, relative to the opened folder.
        file: String,
        /// The class that the name of `file` gives.
        class: String,
    },
    /// Some recordings are outside the class folders. The value is the level of the class folders: 1 for folders
    /// directly inside the opened folder.
    Loose(usize),
    /// Folders that contain the class folders, such as folders of persons. The value is the probable level of the class
    /// folders: 2 if they are directly inside the folders of persons.
    Above(usize),
}
