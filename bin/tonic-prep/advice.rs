//! Advice after errors in recordings, conversions and sets: what the user can type next.

use std::path::Path;

use tonic_prep::{Absence, Error as PrepError, FolderKind, Remedy, TimeUnit};
use tonic_sets::Error as SetsError;

use crate::clock_advice::clock_advice;
use crate::part_commands::{of_part, part_commands, words_as_text};
use crate::quoted::{quoted, quoted_path};
use crate::shared_advice::Cause;
use crate::typed::words;

/// Returns what to type next after an error in recordings or in their conversion. `None` if there is no advice.
pub(crate) fn prep_advice(error: &Cause) -> Option<String> {
    Some(match error.downcast_ref()? {
        PrepError::UnknownLayout { maps, .. } if !maps.is_empty() => {
            let lines: Vec<String> = maps.iter().map(typed).collect();
            format!("any columns are read once they are named, perhaps: {}", lines.join(" or "))
        }
        PrepError::Columns { path, remedies, .. } if !remedies.is_empty() => {
            let (smaller, others): (Vec<_>, Vec<_>) =
                remedies.iter().partition(|remedy| matches!(remedy, Remedy::Sensor(_)));
            let lines: Vec<String> = others.into_iter().map(typed).collect();
            let smaller = smaller.first().map(|sensor| match lines.is_empty() {
                true => typed(sensor),
                false => format!("; only if no field has them: {}", typed(sensor)),
            });
            let maps = remedies.iter().any(|remedy| matches!(remedy, Remedy::Map(_)));
            let others = match maps && is_in_folder(path) {
                true => {
                    "; --map holds for all files: if the others have other names, save a copy of this one with theirs \
                     instead of it, or convert it by itself"
                }
                false => "",
            };
            format!("type {}{}{others}", lines.join(" or "), smaller.unwrap_or_default())
        }
        PrepError::NotADownload { dataset, dir, .. } => format!(
            "name the folder that the data set was unpacked into; or tonic-prep fetch {dataset} {} downloads it there",
            quoted_path(dir)
        ),
        PrepError::MissingData { absence, .. } => missing_advice(*absence).into(),
        PrepError::OutsideSensor { origin: Some(origin), .. } => {
            format!("--origin {origin} reads coordinates that start at {origin}")
        }
        PrepError::NoPixel { .. } => {
            "--lenient leaves out what has no pixel, and the ledger counts it as outside; or convert a copy without \
             it: in NumPy, events[np.isfinite(x) & np.isfinite(y)]"
                .into()
        }
        PrepError::NoEvents { .. } => "leave the file out; a recording that is empty is read of \
             np.savez(\"empty.npz\", t=[], x=[], y=[], p=[])"
            .into(),
        PrepError::OutsideSensor { lowest: Some(lowest), .. } => {
            let negative = ["x", "y"].into_iter().zip(lowest).filter(|(_, lowest)| **lowest < 0);
            let added = negative.map(|(column, lowest)| {
                let n = lowest.unsigned_abs();
                format!("{n} is added to {column} (in NumPy: {column} = {column}.astype(\"i8\") + {n})")
            });
            let added = added.collect::<Vec<_>>().join(" and ");
            format!("pixels are counted from 0: save a copy in which {added}, or half of the sensor if 0 is its middle")
        }
        PrepError::OutsideSensor { .. } => {
            "--sensor W,H,P gives the size that the recording needs; --lenient keeps only the events inside, and the \
             ledger counts the lost ones as outside"
                .into()
        }
        PrepError::TooMuchLost { converted: true, .. } => {
            "mend the cause and convert again with --overwrite; or keep this set, with --resume and a larger --max-loss"
                .into()
        }
        PrepError::NotPixels { least, most, .. } => match (*least, *most) {
            (0.0.., ..1.0) => {
                "of a sensor of W by H, save floor(x * W) and floor(y * H) if 1 is its edge, round(x * (W - 1)) and \
                 round(y * (H - 1)) if 1 is the last pixel"
            }
            (0.0.., 1.0) => {
                "of a sensor of W by H, save round(x * (W - 1)) and round(y * (H - 1)): 1 is the last pixel"
            }
            (-1.0.., ..=1.0) => {
                "of a sensor of W by H, save round((x + 1) / 2 * (W - 1)) and round((y + 1) / 2 * (H - 1)), if -1 and \
                 1 are the first and the last pixel"
            }
            _ => {
                "save coordinates that are numbers of pixels, from 0; if these are, save np.rint of them, or give the \
                 size that they fill with --sensor W,H,P"
            }
        }
        .into(),
        PrepError::TooLittleMemory { samples: 2.., .. } => {
            "take fewer --threads, or cut the recordings, with --sample-duration or --sample-events".into()
        }
        PrepError::TooLittleMemory { .. } | PrepError::SampleTooLarge { .. } => {
            "cut the recording, with --sample-duration or --sample-events".into()
        }
        PrepError::NotClasses { path, kind, .. } => match kind {
            FolderKind::Parts(parts) => format!(
                "convert each part by itself, as below; to join them, give their folders one after the other; \
                 --class-level 1 takes them as classes:{}",
                part_commands(words_as_text(), path, parts)
            ),
            FolderKind::PartsOfEach => "--labels with a table (file,label) of one part's files converts that part; if \
                                        the outer folders are the classes, --class-level 1 joins all parts, so that \
                                        test samples are trained on"
                .into(),
            FolderKind::SameFiles { file, class } => format!(
                "if files are named by their class, --labels with a table gives each file its class, in lines such as \
                 {file},{class}; --class-level 1 takes the folders as classes"
            ),
            FolderKind::Loose(level) => format!(
                "move each file into the folder of its class ({}/{}CLASS) or away; or --labels with a table \
                 (file,label) gives each file its class, and takes no others",
                path.display(),
                "*/".repeat(level - 1)
            ),
            FolderKind::Groups => {
                "--labels with a table (file,label) gives each file its class, --class-level 1 takes \
                                   the folders as classes"
                    .into()
            }
            FolderKind::Above(level) => format!(
                "--class-level {level} takes the inner folders as classes, --class-level {} the outer ones; if the \
                 outer ones are parts of a dataset, for training and for tests, convert each by itself",
                level - 1
            ),
        },
        PrepError::UnknownClass { .. } => {
            "add them to the end of the list (--classes FILE), so that the others keep their numbers".into()
        }
        PrepError::NotUtf8 { path, encoding, .. } => match encoding {
            Some(encoding) => format!(
                "save it as UTF-8 (in a spreadsheet: CSV UTF-8), or type: iconv -f {encoding} -t UTF-8 {} > utf8.csv",
                quoted_path(path)
            ),
            None => "save it as a table in UTF-8 (in a spreadsheet: CSV UTF-8)".into(),
        },
        PrepError::BadSample { what, .. } if what == "times" => {
            "NaN says that this column was not filled: --map t=FIELD,... names another; numbers beyond 64 bits need \
             another --time-unit"
                .into()
        }
        PrepError::BadSample { what, .. } if what == "frames" => "--time-unit says what the times count".into(),
        PrepError::ImplausibleTimes { assumed, probable: Some(unit), alone: true, .. } => {
            let length = |unit: TimeUnit| unit.of_integer(1_000_000_000).unwrap_or(1);
            let (many, few) = (length(*unit), length(*assumed));
            let (scaled, factor) = if many > few { ("multiplied", many / few) } else { ("divided", few / many) };
            format!(
                "the others are in {assumed}: leave this one out, or put in its place a copy of it in {assumed}, with \
                 its times {scaled} by {factor}"
            )
        }
        PrepError::ImplausibleTimes { assumed, probable: Some(unit), .. } => {
            format!("--time-unit {unit} takes them for {unit}, --time-unit {assumed} leaves them as they are")
        }
        PrepError::ImplausibleTimes { assumed, probable: None, .. } => {
            format!("--time-unit says what they count; --time-unit {assumed} takes them as they are")
        }
        PrepError::OddUnit { multiple: Some(us), .. } => {
            let whole = (us - us.round()).abs() < us * 1e-6;
            let (factor, unit) = if whole { (us.round(), "us") } else { (us * 1e3, "ns") };
            format!(
                "save a copy in which all times are multiplied by {factor} (t * {factor}, with h5py or NumPy), and \
                 convert it with --time-unit {unit}"
            )
        }
        PrepError::OddUnit { multiple: None, .. } => "--time-unit s, ms, us or ns says what the times count".into(),
        PrepError::ClockTrouble { path, remedy, period, .. } => {
            let unwrapped = period.as_ref().map(|period| {
                let kind = if period.contains('.') { "f8" } else { "i8" };
                format!(
                    "; if its counter wrapped, save a copy with \
                     t = np.unwrap(t.astype(\"{kind}\"), period={period})"
                )
            });
            clock_advice(path, remedy) + &unwrapped.unwrap_or_default()
        }
        PrepError::UnknownLayout { .. } => {
            "save t, x, y and p as numbers, one an event: in NumPy, np.savez(\"events.npz\", t=t, x=x, y=y, p=p)".into()
        }
        PrepError::Columns { .. } => {
            "save numbers, one an event: in NumPy, np.savez(\"events.npz\", t=t, x=x, y=y, p=p); or name another \
             column with --map"
                .into()
        }
        PrepError::Foreign { command: Some(command), .. } => format!("type {}", typed(command)),
        PrepError::Foreign { .. } => "then convert the HDF5, .npy or .npz file that has the events".into(),
        // For a file of a folder, the text of the error itself says what to do.
        PrepError::NotARecording { got, .. } if got.contains("`labels`") => return None,
        PrepError::NotARecording { .. } => "tonic-prep convert --help lists what is read, under --layout".into(),
        PrepError::MissingDataset { dataset, layout: "Heidelberg" | "N-TIDIGITS18", .. } => {
            format!("if it has another name, give a copy of the file this one, with h5py: f[{dataset:?}] = f[NAME]")
        }
        PrepError::MissingDataset { .. } => {
            "--map names the columns of any HDF5 or NumPy file, --layout another layout".into()
        }
        PrepError::WrongType { expected, got, .. } if expected.contains("time_unit") && got.contains("int") => {
            "--time-unit s, ms, us or ns says what the integers count".into()
        }
        PrepError::WrongType { dataset, mapped: false, .. } => format!(
            "save it as that in a copy of the file, with h5py: f = h5py.File(COPY, \"r+\"); data = f[{dataset:?}][:]; \
             del f[{dataset:?}]; f[{dataset:?}] = CORRECTED"
        ),
        PrepError::WrongType { .. } => {
            "save it as that in a copy of the file, with h5py or NumPy, or name other columns with --map".into()
        }
        PrepError::DamagedRecording { .. } => {
            "compare its size or checksum with the original's; if h5py or NumPy reads it, save it anew with them".into()
        }
        PrepError::DamagedBytes { events: 0, .. } => {
            "compare its size or checksum with the original's, and copy or record it again".into()
        }
        PrepError::DamagedBytes { .. } => {
            "--lenient reads the events before the damage; or compare its size or checksum \
                                           with the original's, and copy it again"
                .into()
        }
        PrepError::BadRow { events: 0, .. } => {
            "correct that line in a copy, or delete it if it is no event, and convert the copy".into()
        }
        PrepError::BadRow { .. } => {
            "correct that line in a copy, or delete it if it is no event, and convert the copy; \
                                     --lenient reads the events before it"
                .into()
        }
        PrepError::BadSample { .. } => {
            "look at it with h5py or NumPy, and convert a copy in which it is corrected".into()
        }
        PrepError::BadTable { .. } => "correct that line of the table and run the command again".into(),
        PrepError::BadRecipe { .. } => {
            "tonic-prep transforms lists what a recipe can name, with parameters and defaults".into()
        }
        PrepError::TooMuchLost { converted: false, .. } => {
            "mend the cause, or allow it with a larger --max-loss".into()
        }
        _ => return None,
    })
}

/// Whether the user gave a folder that contains the recording, and not the recording itself.
fn is_in_folder(path: &Path) -> bool {
    let words = words();
    words.iter().skip(1).all(|word| Path::new(word) != path) && words.iter().any(|word| path.starts_with(word))
}

/// Returns what the user has to type for a remedy that the library suggests.
fn typed(remedy: &Remedy) -> String {
    match remedy {
        Remedy::Map(map) => format!("--map {}", quoted(map)),
        Remedy::Columns(columns) => format!("--columns {}", quoted(columns)),
        Remedy::Sensor(sensor) => format!("--sensor {sensor}"),
        Remedy::Unit(unit) => format!("--time-unit {unit}"),
        Remedy::Copy { words, file, with } => {
            let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            let with: String = with.iter().map(|remedy| format!(" {}", typed(remedy))).collect();
            let given = if with.is_empty() { String::new() } else { format!(" with{with}") };
            let file = if file.is_empty() { "what that gives".into() } else { quoted_path(Path::new(file)) };
            format!("{}, and convert {file}{given}", words.join(" "))
        }
    }
}

/// Returns what to type next if parts of a set are missing. `None` for other errors.
pub(crate) fn sets_advice(error: &Cause) -> Option<String> {
    let SetsError::MissingParts { part, given, command, .. } = error.downcast_ref()? else { return None };
    let line = of_part(command, *part, given);
    Some(line.unwrap_or_else(|| "convert the missing parts (--part N/M), and merge all of them".into()))
}

/// Returns what to do about data that a file declares but does not contain.
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
            "look for a copy that has them, of the source if they come from one; else write what was recorded to a new \
             file (in h5py, if only the end is missing: new[name] = file[name][:N] for each column, N being the first \
             that is missing), and convert that"
        }
        Absence::Link => "put its target back, or name another dataset with --map",
    }
}
