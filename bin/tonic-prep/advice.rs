//! What to type next after an error: the libraries know no flags.

use tonic_prep::{Absence, Error as PrepError, FolderKind, Remedy};

use crate::errors::Cause;
use crate::part_commands::part_commands;

/// Advice on an error of recordings.
pub(crate) fn prep_advice(error: &Cause) -> Option<String> {
    Some(match error.downcast_ref()? {
        PrepError::UnknownLayout { map: Some(map), .. } => {
            format!("any columns are read once they are named, perhaps: {}", typed(map))
        }
        PrepError::Columns { remedies, .. } if !remedies.is_empty() => {
            let lines: Vec<String> = remedies.iter().map(typed).collect();
            format!("type {}", lines.join(" or "))
        }
        PrepError::MissingData { absence, .. } => missing_advice(*absence).into(),
        PrepError::OutsideSensor { one_based: true, .. } => "--origin 1 reads coordinates that start at 1".into(),
        PrepError::OutsideSensor { .. } => "--lenient leaves such events out".into(),
        PrepError::TooMuchLost { converted: true, .. } => {
            "mend the cause and convert again with --overwrite; or keep this set, with --resume and a larger --max-loss"
                .into()
        }
        PrepError::NotPixels { .. } => {
            "multiply x by the sensor's width and y by its height, and save them as whole numbers".into()
        }
        PrepError::SampleTooLarge { .. } => "cut the recording, with --sample-duration or --sample-events".into(),
        PrepError::NotClasses { path, kind, .. } => match kind {
            FolderKind::Parts(parts) => format!(
                "convert each part by itself, or name them as classes with --class-level 1:{}",
                part_commands(std::env::args(), path, parts)
            ),
            FolderKind::PartsOfEach => "--labels with a table (file,label) of one part's files converts that part, \
                                        --class-level 1 converts all parts into one set"
                .into(),
            FolderKind::Above(level) => {
                let first = level - 1;
                format!(
                    "--class-level {level} takes the inner folders as classes, --class-level {first} the outer ones"
                )
            }
        },
        PrepError::UnknownClass { .. } => "add them to the list (--classes FILE), or leave their recordings out".into(),
        PrepError::NotUtf8 { path, encoding, .. } => match encoding {
            Some(encoding) => format!(
                "save it as UTF-8 (in a spreadsheet: CSV UTF-8), or type: iconv -f {encoding} -t UTF-8 {0:?} > utf8.csv",
                path.display().to_string()
            ),
            None => "save it as a table in UTF-8 (in a spreadsheet: CSV UTF-8)".into(),
        },
        PrepError::BadSample { what, .. } if what == "frames" => "--time-unit says what the times count".into(),
        PrepError::ImplausibleTimes { assumed, probable: Some(unit), .. } => {
            format!("--time-unit {unit} takes them for {unit}, --time-unit {assumed} leaves them as they are")
        }
        PrepError::ImplausibleTimes { assumed, probable: None, .. } => {
            format!("--time-unit says what they count; --time-unit {assumed} takes them as they are")
        }
        PrepError::ClockTrouble { wraps: true, .. } => {
            "--unwrap adds the period from there on; --allow-clock-trouble takes the times as they are, sorted".into()
        }
        PrepError::ClockTrouble { keep, .. } => {
            let ranges: Vec<String> = keep.iter().map(|range| format!("--events {range}")).collect();
            let ranges = ranges.join(" or ");
            format!("{ranges} leaves the other events out; --allow-clock-trouble takes all as they are, sorted")
        }
        _ => return None,
    })
}

/// What to type.
fn typed(remedy: &Remedy) -> String {
    match remedy {
        Remedy::Map(map) => format!("--map {map}"),
        Remedy::Columns(columns) => format!("--columns {columns}"),
        Remedy::Sensor(sensor) => format!("--sensor {sensor}"),
    }
}

/// Advice on data that is not there.
fn missing_advice(absence: Absence) -> &'static str {
    match absence {
        Absence::VirtualSource => {
            "put the whole source where the file looks for it, or set HDF5_VDS_PREFIX to the folder that it is in"
        }
        Absence::RawFile => {
            "put the whole raw file there, or set HDF5_EXTFILE_PREFIX to its folder ('${ORIGIN}' is that of the HDF5 \
             file)"
        }
        Absence::NeverWritten => {
            "copy what was recorded to a new file and convert that, or, if only the end is missing, cut the end off \
             all columns (in h5py: file[name].resize(N, axis=0))"
        }
        Absence::Link => "put its target back, or name another dataset with --map",
    }
}
