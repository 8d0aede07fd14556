//! Plans a sweep: reads which options vary, plans a run for every combination, and writes the folder of the sweep.
//!
//! ```text
//! DIR/runs.txt         folder of each run, one per line
//! DIR/NAME/fit.toml    options of a run; the run itself is written next to it
//! ```

use std::path::Path;

use toml::{Table, Value};
use tonic_base::publish;
use tonic_shard::refuse_url;

use crate::error::{BaseFault, Error, Result};
use crate::run::{RunOption, options_of, read_toml, table_at};

/// Name of the file that lists the runs of a sweep.
pub const RUNS: &str = "runs.txt";
pub(super) const OPTIONS_FILE: &str = "fit.toml";
/// Name of the TOML table with a list of values for each option that varies.
const VARY: &str = "vary";
const MOST_RUNS: usize = 10_000;
/// Maximum number of characters of a run's name.
const MOST_LETTERS: usize = 80;

/// A planned sweep: many runs with different options.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The runs, in the order of their numbers. The last option that varies changes fastest.
    pub runs: Vec<PlannedRun>,
}

/// A run of a sweep.
#[derive(Clone, Debug)]
pub struct PlannedRun {
    /// Name of the run's folder, such as `003-lr0.001-seed2`: the number of the run, and the options that vary.
    pub name: String,
    /// All options of the run: first the options that all runs share, then the options that vary.
    pub options: Vec<RunOption>,
}

impl Sweep {
    /// Reads a sweep from a TOML file. The table `[vary]` has a list of values for each option that varies. All other
    /// keys are options of all runs.
    ///
    /// # Errors
    /// - [`Io`](tonic_base::Error::Io)
    /// - [`Usage`](tonic_base::Error::Usage) if the file is not TOML or not a sweep, if a list is empty or has a value
    ///   twice, or if there are more than 10,000 runs
    pub fn read(spec: &Path) -> Result<Sweep> {
        let (plain, varied) = read_toml(spec, |text, document, mut table| {
            let varied = match (table.remove(VARY), table_at(document, VARY)) {
                (Some(Value::Table(table)), Some(document)) => options_of(spec, text, document, table)?,
                _ => Vec::new(),
            };
            Ok((options_of(spec, text, document, table)?, varied))
        })?;
        let refused = |key: &str, expected: &str, got: String| {
            Err(Error::usage(format!("{}: {key}", spec.display()), expected, got))
        };
        if varied.is_empty() {
            return refused("[vary]", "a table of lists, such as seed = [1, 2, 3]", "none".into());
        }
        let mut axes: Vec<(&RunOption, &[Value])> = Vec::new();
        for option in &varied {
            let key = format!("line {}: vary.{}", option.line, option.key());
            let value = &option.value;
            let Some(values) = value.as_array().filter(|values| !values.is_empty()) else {
                return refused(&key, "a list of values", value.to_string());
            };
            if let Some(twice) = values.iter().enumerate().find(|&(i, value)| values[..i].contains(value)) {
                return refused(&key, "values that differ", format!("{} twice", twice.1));
            }
            if plain.iter().any(|other| other.name == option.name) {
                return refused(&key, "it once, for all runs or in [vary]", "it in both".into());
            }
            axes.push((option, values));
        }
        let count = axes.iter().try_fold(1_usize, |count, (_, values)| count.checked_mul(values.len()));
        let Some(count) = count.filter(|&count| count <= MOST_RUNS) else {
            let factors: Vec<String> = axes.iter().map(|(_, values)| values.len().to_string()).collect();
            return refused("[vary]", "10,000 combinations or fewer", factors.join(" x "));
        };
        let digits = count.to_string().len().max(3);
        let run = |number: usize| {
            let mut rest = number;
            let mut picked: Vec<RunOption> = Vec::new();
            for (option, values) in axes.iter().rev() {
                picked.push(RunOption { value: values[rest % values.len()].clone(), ..(*option).clone() });
                rest /= values.len();
            }
            picked.reverse();
            let words = picked.iter().map(|option| format!("-{}{}", option.key(), word(&option.value)));
            let name = format!("{:0digits$}{}", number + 1, words.collect::<String>());
            let name = name.chars().map(safe).take(MOST_LETTERS).collect();
            PlannedRun { name, options: plain.iter().cloned().chain(picked).collect() }
        };
        Ok(Sweep { runs: (0..count).map(run).collect() })
    }

    /// Writes the folder of the sweep. Keeps existing files of the same sweep. Returns whether a file was written.
    ///
    /// # Errors
    /// - [`Exists`](tonic_base::Error::Exists) if the folder has another sweep, or other files but no `runs.txt`
    /// - [`Usage`](tonic_base::Error::Usage) if the path of the folder is not UTF-8 or has a line break
    /// - [`Io`](tonic_base::Error::Io)
    pub fn write(&self, dir: &Path) -> Result<bool> {
        let Some(folder) = dir.to_str().filter(|text| !text.contains(['\n', '\r'])) else {
            return Err(Error::usage("output", "a path of UTF-8 in one line", format!("{dir:?}")));
        };
        let list = dir.join(RUNS);
        let is_listed = list.exists();
        if is_listed && listed(dir)? != self.runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>() {
            return Err(Error::exists(dir, "it is the folder of a sweep with other runs"));
        }
        let is_ours = |name: &std::ffi::OsStr| self.runs.iter().any(|run| *run.name == *name);
        if !is_listed && dir.exists() {
            for entry in dir.read_dir().map_err(Error::io(dir, "list the folder"))? {
                let entry = entry.map_err(Error::io(dir, "list the folder"))?;
                if !is_ours(&entry.file_name()) {
                    return Err(Error::exists(&entry.path(), "the folder of a new sweep has to be empty"));
                }
            }
        }
        let mut missing = Vec::new();
        for run in &self.runs {
            let path = dir.join(&run.name).join(OPTIONS_FILE);
            let text = run.to_toml();
            match std::fs::read_to_string(&path) {
                Ok(found) if found == text => {}
                Ok(_) => return Err(Error::exists(&path, "it has other options than the sweep")),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => missing.push((path, text)),
                Err(error) => return Err(Error::io(&path, "read the options")(error)),
            }
        }
        refuse_url("output", dir)?;
        for (path, text) in &missing {
            let folder = path.parent().unwrap_or(dir);
            std::fs::create_dir_all(folder).map_err(Error::io(folder, "create the run folder"))?;
            publish(path, text.as_bytes())?;
        }
        if !is_listed {
            let folder = Path::new(folder);
            let lines = self.runs.iter().map(|run| format!("{}\n", folder.join(&run.name).display()));
            publish(&list, lines.collect::<String>().as_bytes())?;
        }
        Ok(!missing.is_empty() || !is_listed)
    }
}

impl PlannedRun {
    /// Returns the options as TOML, which `fit --options` reads.
    fn to_toml(&self) -> String {
        let line = |option: &RunOption| {
            let table = Table::from_iter([(option.key(), option.value.clone())]);
            toml::to_string(&table).expect("an option is TOML")
        };
        self.options.iter().map(line).collect()
    }
}

/// Reads the names of a sweep's runs from `runs.txt`.
pub(super) fn listed(dir: &Path) -> Result<Vec<String>> {
    let list = dir.join(RUNS);
    let text = std::fs::read_to_string(&list).map_err(Error::io(&list, "read the list of runs"))?;
    let name = |(i, line): (usize, &str)| match Path::new(line).file_name() {
        Some(name) => Ok(name.to_string_lossy().into_owned()),
        None => Err(Error::corrupt(&list, format!("line {}", i + 1), "the folder of a run", format!("{line:?}"))),
    };
    text.lines().enumerate().map(name).collect()
}

/// Returns a value as text for the name of a run.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Float(number) => format!("{number:?}"),
        // As on the command line: "16" stands for three layers of 16 neurons, "16," for one layer.
        Value::Array(values) if values.len() == 1 => format!("{},", word(&values[0])),
        Value::Array(values) => values.iter().map(word).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Returns the character that stands for `letter` in names of folders.
fn safe(letter: char) -> char {
    match letter {
        ',' => 'x',
        '.' | '-' | '+' => letter,
        _ if letter.is_ascii_alphanumeric() => letter,
        _ => '_',
    }
}
