//! Presets know how the downloads of data sets are arranged. A preset finds the files of a split and their classes. It
//! also sets the options for these files, such as layout, sensor, columns and unit of time.
//!
//! ```text
//! data_dir                     finds files in the folder of a data set
//! class_folders                data sets with a folder for each class
//! gestures                     DVS Gesture
//! one_file                     data sets with one file for each split
//! recordings                   data sets of long recordings without classes
//! lists                        3ET and NeRDD, which have no classes
//! ```

mod class_folders;
mod data_dir;
mod gestures;
mod lists;
mod one_file;
mod recordings;

use std::path::PathBuf;

use crate::datasets::Dataset;
use crate::datasets::presets::data_dir::DataDir;
use crate::error::{BaseFault, Error, Result};
use crate::source::{Digits, LabelSource, SourceOptions};

/// How the files of a data set are arranged.
#[derive(Debug)]
enum Preset {
    ClassFolders(class_folders::ClassFolders),
    Gestures,
    OneFile(&'static [one_file::OneFile]),
    Recordings(recordings::Recordings),
    ThreeEt,
    Nerdd,
}

/// A data set and its preset:
///
/// - name of the data set
/// - folders, inside the folder of the download, that can contain the data; Tonic or the archive creates them
/// - preset
type Known = (&'static str, &'static [&'static str], Preset);

/// The presets of all data sets.
static PRESETS: [Known; 21] = [
    ("nmnist", &["NMNIST"], Preset::ClassFolders(class_folders::NMNIST)),
    ("dvsgesture", &["DVSGesture", "DvsGesture"], Preset::Gestures),
    ("cifar10dvs", &["CIFAR10DVS"], Preset::ClassFolders(class_folders::CIFAR10DVS)),
    ("ncaltech101", &["NCALTECH101", "N-Caltech101-archive"], Preset::ClassFolders(class_folders::NCALTECH101)),
    ("ncars", &["Prophesee_Dataset_n_cars"], Preset::ClassFolders(class_folders::NCARS)),
    ("dvslip", &["DVS-Lip", "DVSLip/DVS-Lip"], Preset::ClassFolders(class_folders::DVSLIP)),
    ("shd", &["SHD"], Preset::OneFile(&one_file::SHD)),
    ("ssc", &["SSC"], Preset::OneFile(&one_file::SSC)),
    ("ntidigits18", &["NTIDIGITS18"], Preset::OneFile(&one_file::NTIDIGITS18)),
    ("pokerdvs", &["POKERDVS"], Preset::ClassFolders(class_folders::POKERDVS)),
    (
        "asldvs",
        &["ASLDVS", "ICCV2019_DVS_dataset", "ASLDVS/ICCV2019_DVS_dataset"],
        Preset::ClassFolders(class_folders::ASLDVS),
    ),
    (
        "stmnist",
        &["STMNIST", "data_submission", "STMNIST/data_submission"],
        Preset::ClassFolders(class_folders::STMNIST),
    ),
    ("ebssa", &["EBSSA"], Preset::OneFile(&one_file::EBSSA)),
    ("smnist", &["smnist"], Preset::OneFile(&one_file::SMNIST)),
    ("threeet_eyetracking", &["ThreeET_Eyetracking"], Preset::ThreeEt),
    ("nerdd", &["NeRDD"], Preset::Nerdd),
    ("dsec", &["DSEC"], Preset::Recordings(recordings::DSEC)),
    ("davisdata", &["DAVISDATA"], Preset::Recordings(recordings::DAVISDATA)),
    ("vpr", &["VPR"], Preset::Recordings(recordings::VPR)),
    ("mvsec", &["MVSEC"], Preset::Recordings(recordings::MVSEC)),
    ("tumvie", &["TUMVIE"], Preset::Recordings(recordings::TUMVIE)),
];

impl Preset {
    /// Returns the names of the splits of the data set, followed by the names of recordings that can be chosen.
    fn splits(&self, dataset: &'static Dataset) -> Vec<String> {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect();
        match self {
            Preset::ClassFolders(set) => set.splits.iter().map(|(split, _)| (*split).to_string()).collect(),
            Preset::Gestures => names(&gestures::SPLITS.map(|(split, ..)| split)),
            Preset::OneFile(files) => files.iter().map(|file| file.split.to_string()).collect(),
            Preset::Recordings(_) => recordings::splits(dataset),
            Preset::ThreeEt => names(&lists::THREEET.map(|(split, _)| split)),
            Preset::Nerdd => names(&["all"]),
        }
    }
}

/// Finds the recordings of a split of a data set. `dirs` must contain only the folder of the unpacked download. Returns
/// the file or folder to open. Also returns the options `given`, together with those that the data set needs.
///
/// # Errors
/// - [`tonic_base::Error::Usage`] for an unknown data set or split, for more than one folder, and for an option in
///   `given` that contradicts the data set.
/// - [`Error::NotADownload`] if a part of the download is missing.
pub fn dataset_source(
    dataset: &str,
    split: Option<&str>,
    dirs: &[PathBuf],
    given: SourceOptions,
) -> Result<(Vec<PathBuf>, SourceOptions)> {
    let (dataset, (_, folders, preset)) = named(dataset)?;
    let [dir] = dirs else {
        let expected = format!("one folder, that of the download of {}", dataset.title);
        return Err(Error::usage("recordings", expected, format!("{} files and folders", dirs.len())));
    };
    let split = split_of(dataset, &preset.splits(dataset), split)?;
    let data = DataDir { dataset, dir, folders, split: &split };
    let (path, set) = match preset {
        Preset::ClassFolders(set) => set.find(&data)?,
        Preset::Gestures => gestures::find(&data)?,
        Preset::OneFile(files) => one_file::find(files, &data)?,
        Preset::Recordings(set) => set.find(&data)?,
        Preset::ThreeEt => lists::threeet(&data)?,
        Preset::Nerdd => lists::nerdd(&data)?,
    };
    Ok((vec![path], joined(dataset, given, set)?))
}

/// Returns a data set by its name, with its row of [`PRESETS`].
fn named(name: &str) -> Result<(&'static Dataset, &'static Known)> {
    let unknown = || Error::usage("dataset", format!("one of {}", Dataset::names()), name);
    let dataset = Dataset::named(name).ok_or_else(unknown)?;
    let preset = PRESETS.iter().find(|(of, ..)| *of == dataset.name).ok_or_else(unknown)?;
    Ok((dataset, preset))
}

/// Returns the split with this name. Without a name, returns the only split. If there are several, returns `train` or
/// `all`.
fn split_of(dataset: &Dataset, splits: &[String], name: Option<&str>) -> Result<String> {
    let found = match name {
        Some(name) => splits.iter().find(|split| *split == name),
        None if splits.len() == 1 => splits.first(),
        None => splits.iter().find(|split| ["train", "all"].contains(&split.as_str())),
    };
    found.cloned().ok_or_else(|| {
        let expected = match splits {
            [_] => format!("none, because {} has no splits", dataset.title),
            _ => format!("one of {} for {}", splits.join(", "), dataset.title),
        };
        Error::usage("split", expected, name.unwrap_or("none"))
    })
}

/// Joins the user's options with those of a data set. Fails if they contradict each other.
fn joined(dataset: &Dataset, given: SourceOptions, set: SourceOptions) -> Result<SourceOptions> {
    let default = SourceOptions::default();
    let contradicts = |option: bool, is_set: bool| option && !is_set;
    let refused = [
        ("label", matches!(given.labels, LabelSource::One(_))),
        ("labels", matches!(given.labels, LabelSource::Csv(_))),
        ("class_level", given.class_level.is_some()),
        ("layout", given.layout.is_some_and(|layout| set.layout != Some(layout))),
        ("map", given.map.is_some() && given.map != set.map),
        ("topic", given.topic.is_some() && given.topic != set.topic),
        ("columns", given.columns.is_some() && given.columns != set.columns),
        ("time_unit", given.time_unit.is_some_and(|unit| set.time_unit != Some(unit))),
        ("sensor", given.sensor.zip(set.sensor).is_some_and(|(given, set)| given != set)),
        ("origin", given.origin != default.origin && given.origin != set.origin),
        ("flip_y", contradicts(given.flip_y, set.flip_y)),
        ("to_zero", contradicts(given.to_zero, set.to_zero)),
        ("digits", given.digits.train != default.digits.train && given.digits.train != set.digits.train),
    ];
    if let Some((option, _)) = refused.iter().find(|(_, refused)| *refused) {
        let expected = format!("none next to `dataset`, which knows it of {}", dataset.title);
        return Err(Error::usage(*option, expected, "another"));
    }
    Ok(SourceOptions {
        layout: set.layout,
        map: set.map,
        topic: set.topic,
        columns: set.columns,
        time_unit: set.time_unit,
        sensor: set.sensor.or(given.sensor),
        origin: set.origin,
        flip_y: set.flip_y,
        to_zero: set.to_zero,
        labels: set.labels,
        digits: Digits { train: set.digits.train, single: given.digits.single },
        ..given
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_data_set_has_a_preset_with_its_splits() {
        for (name, _, preset) in &PRESETS {
            let dataset = Dataset::named(name).unwrap();
            assert_eq!(dataset.name, *name);
            let splits = preset.splits(dataset);
            for split in dataset.splits.iter().flat_map(|split| split.name.split(',')) {
                assert!(splits.iter().any(|name| name == split), "{name}: {split} is not in {splits:?}");
            }
        }
        for dataset in Dataset::all() {
            assert!(PRESETS.iter().any(|(name, ..)| *name == dataset.name), "{} has no preset", dataset.name);
        }
    }
}
