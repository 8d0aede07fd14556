//! Data sets with a folder for each class, in which each file is one sample.
//!
//! | set | folders | files |
//! |---|---|---|
//! | N-MNIST | `Train/0` to `Test/9` | `.bin`; y = 240 is an overflow of the clock |
//! | CIFAR10-DVS | `airplane` to `truck` | `.aedat4`, as Tonic has them, or jAER's `.aedat` of the first publication |
//! | N-Caltech101 | `Caltech101/BACKGROUND_Google` to `yin_yang` | `.bin` of images of different sizes |
//! | N-CARS | `n-cars_train/background`, `n-cars_test/cars` | `.dat` without a geometry |
//! | ASL-DVS | `a` to `y` | `.mat` of `ts`, `x`, `y`, `pol`; rows counted from below |
//! | ST-MNIST | `0` to `9` | `.mat` with a matrix of spikes |
//! | DVS-Lip | `train/accused` to `test/young` | `.npy` of records |
//! | POKER-DVS | `pips_train/cl` to `pips_test/sp` | `.npy`, tables t, x, y, p |

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tonic_base::some_of;

use crate::datasets::presets::data_dir::{DataDir, Entries, Found, columns};
use crate::error::Result;
use crate::events::SensorSize;
use crate::source::{DIGITS, LabelSource, Layout, ListedFile, ListedFiles, SourceOptions};
use crate::time_unit::TimeUnit;

/// A data set with a folder for each class.
#[derive(Debug)]
pub(super) struct ClassFolders {
    /// Name and folder of each split. A data set without splits has one split with the name `all`.
    pub splits: &'static [(&'static str, &'static str)],
    classes: Classes,
    /// Possible endings of the recordings. Only the first ending that is found is used.
    endings: &'static [&'static str],
    /// Size of the sensor, if the table of data sets doesn't have it.
    sensor: Option<SensorSize>,
    /// Layout of the recordings, if their bytes don't tell it.
    layout: Option<Layout>,
    /// Order of the columns of a table.
    columns: Option<&'static str>,
    /// Unit of the times of NumPy files.
    time_unit: Option<TimeUnit>,
    to_zero: bool,
    flip_y: bool,
    /// Classes that have no recordings.
    empty: &'static [&'static str],
}

/// The classes of a data set.
#[derive(Debug)]
enum Classes {
    /// Folder and name of each class, in the order of the classes' numbers.
    Named(&'static [(&'static str, &'static str)]),
    /// The ten digits, with Tonic's names.
    Digits,
    /// Words in alphabetical order, separated by spaces. Each word is the name of a class and of its folder.
    Words(&'static str),
    /// The number of classes. Each folder is a class, in alphabetical order.
    Found(usize),
}

const USUAL: ClassFolders = ClassFolders {
    splits: &[],
    classes: Classes::Found(0),
    endings: &["npy"],
    sensor: None,
    layout: None,
    columns: None,
    time_unit: None,
    to_zero: false,
    flip_y: false,
    empty: &[],
};

pub(super) const NMNIST: ClassFolders = ClassFolders {
    splits: &[("train", "Train"), ("test", "Test")],
    classes: Classes::Digits,
    endings: &["bin"],
    layout: Some(Layout::Nmnist),
    ..USUAL
};

pub(super) const CIFAR10DVS: ClassFolders = ClassFolders {
    splits: &[("all", "")],
    classes: Classes::Words("airplane automobile bird cat deer dog frog horse ship truck"),
    endings: &["aedat4", "aedat"],
    ..USUAL
};

pub(super) const NCALTECH101: ClassFolders = ClassFolders {
    splits: &[("all", "Caltech101")],
    classes: Classes::Found(101),
    endings: &["bin"],
    sensor: Some(SensorSize { width: 240, height: 180, polarities: 2 }),
    layout: Some(Layout::Nmnist),
    to_zero: true,
    ..USUAL
};

pub(super) const NCARS: ClassFolders = ClassFolders {
    splits: &[("train", "n-cars_train"), ("test", "n-cars_test")],
    classes: Classes::Named(&[("background", "background"), ("cars", "car")]),
    endings: &["dat"],
    sensor: Some(SensorSize { width: 120, height: 100, polarities: 2 }),
    layout: Some(Layout::Dat),
    ..USUAL
};

pub(super) const DVSLIP: ClassFolders = ClassFolders {
    splits: &[("train", "train"), ("test", "test")],
    classes: Classes::Words(
        "accused action allow allowed america american another around attacks banks become being benefit benefits \
         between billion called capital challenge change chief couple court death described difference different \
         during economic education election england evening everything exactly general germany giving ground happen \
         happened having heavy house hundreds immigration judge labour leaders legal little london majority meeting \
         military million minutes missing needs number numbers paying perhaps point potential press price question \
         really right russia russian saying security several should significant spend spent started still support \
         syria syrian taken taking terms these thing think times tomorrow under warning water welcome words worst \
         years young",
    ),
    time_unit: Some(TimeUnit::Microseconds),
    ..USUAL
};

pub(super) const POKERDVS: ClassFolders = ClassFolders {
    splits: &[("train", "pips_train"), ("test", "pips_test")],
    classes: Classes::Named(&[("cl", "cl"), ("he", "he"), ("di", "di"), ("sp", "sp")]),
    columns: Some("t,x,y,p"),
    time_unit: Some(TimeUnit::Microseconds),
    ..USUAL
};

/// Tonic numbers all 26 letters, but the data set lacks j and z, whose signs move.
pub(super) const ASLDVS: ClassFolders = ClassFolders {
    splits: &[("all", "")],
    classes: Classes::Words("a b c d e f g h i j k l m n o p q r s t u v w x y z"),
    endings: &["mat"],
    layout: Some(Layout::Mat),
    time_unit: Some(TimeUnit::Microseconds),
    flip_y: true,
    empty: &["j", "z"],
    ..USUAL
};

pub(super) const STMNIST: ClassFolders = ClassFolders {
    splits: &[("all", "")],
    classes: Classes::Digits,
    endings: &["mat"],
    layout: Some(Layout::Stmnist),
    ..USUAL
};

impl ClassFolders {
    /// Lists the recordings of a split with their classes.
    ///
    /// # Errors
    /// [`crate::Error::NotADownload`] if a class has no recordings, or if there are recordings of other classes.
    pub(super) fn find(&self, data: &DataDir<'_>) -> Result<Found> {
        let split = self.splits.iter().find(|(split, _)| *split == data.split);
        let dir = self.folder(data, split.map_or("", |(_, folder)| *folder))?;
        let folders = Entries::of(&dir)?.folders;
        let classes = self.classes(data, &dir, &folders)?;
        let contents = |name: &String| Ok((name.clone(), Entries::of(&dir.join(name))?));
        let contents = folders.iter().map(contents).collect::<Result<Vec<(String, Entries)>>>()?;
        let has = |ending: &&&str| contents.iter().any(|(_, entries)| entries.ending_with(ending).next().is_some());
        let Some(ending) = self.endings.iter().find(has) else {
            let expected = format!("folders of .{} files", self.endings.join(" or ."));
            return Err(data.missing(&dir, expected));
        };
        let mut files = Vec::new();
        for (folder, entries) in &contents {
            let number = classes.iter().position(|(class, _)| class == folder);
            let found = entries.ending_with(ending);
            match number {
                Some(number) => {
                    let before = files.len();
                    files.extend(found.map(|name| ListedFile::whole(format!("{folder}/{name}"), number as u32)));
                    if files.len() == before {
                        return Err(data.missing(&dir.join(folder), format!(".{ending} files")));
                    }
                }
                None if found.count() > 0 => {
                    let names: Vec<&str> = classes.iter().map(|(class, _)| class.as_str()).collect();
                    let expected = format!("folders of the classes {} alone", some_of(&names));
                    return Err(data.unlike(&dir, expected, format!("{folder}/ with .{ending} files")));
                }
                None => {}
            }
        }
        let names = classes.into_iter().map(|(_, name)| name).collect();
        let listed = ListedFiles { classes: names, notes: data.notes(files.len()), files };
        let source = SourceOptions {
            layout: self.layout,
            columns: self.columns.map(columns).transpose()?,
            time_unit: self.time_unit,
            sensor: data.dataset.sensor.or(self.sensor),
            to_zero: self.to_zero,
            flip_y: self.flip_y,
            labels: LabelSource::Listed(Arc::new(listed)),
            ..SourceOptions::default()
        };
        Ok((dir, source))
    }

    /// Returns the folder that contains the class folders of a split: `folder` or, if `folder` contains a folder with
    /// the name of the split, that one. If `folder` is empty, looks for the folder of the first class.
    fn folder(&self, data: &DataDir<'_>, folder: &str) -> Result<PathBuf> {
        if folder.is_empty() {
            let classes: Vec<&str> = self.first_class().into_iter().collect();
            let first = data.find(&classes)?;
            return Ok(first.parent().unwrap_or(data.dir).into());
        }
        let dir = data.find(&[folder])?;
        let inner = dir.join(data.split);
        Ok(if inner.is_dir() { inner } else { dir })
    }

    fn first_class(&self) -> Option<&'static str> {
        match self.classes {
            Classes::Named(classes) => classes.first().map(|(folder, _)| *folder),
            Classes::Digits => Some("0"),
            Classes::Words(words) => words.split(' ').next(),
            Classes::Found(_) => None,
        }
    }

    /// Returns the folder and the name of each class.
    fn classes(&self, data: &DataDir<'_>, dir: &Path, folders: &[String]) -> Result<Vec<(String, String)>> {
        let classes: Vec<(String, String)> = match self.classes {
            Classes::Named(classes) => {
                classes.iter().map(|(folder, name)| ((*folder).into(), (*name).into())).collect()
            }
            Classes::Digits => DIGITS.iter().map(|name| (name[..1].into(), (*name).into())).collect(),
            Classes::Words(words) => words.split_whitespace().map(|word| (word.into(), word.into())).collect(),
            Classes::Found(number) if number == folders.len() => {
                return Ok(folders.iter().map(|name| (name.clone(), name.clone())).collect());
            }
            Classes::Found(number) => {
                let got = format!("{} folders: {}", folders.len(), some_of(folders));
                return Err(data.unlike(dir, format!("{number} folders, one for each class"), got));
            }
        };
        let may_lack = |folder: &String| self.empty.contains(&folder.as_str());
        match classes.iter().find(|(folder, _)| !folders.contains(folder) && !may_lack(folder)) {
            Some((folder, _)) => Err(data.missing(dir, format!("a folder {folder}/ and those of all other classes"))),
            None => Ok(classes),
        }
    }
}
