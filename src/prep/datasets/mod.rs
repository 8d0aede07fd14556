//! The data sets that are known by name: what each contains, where it is downloaded from, and how a download is
//! converted (`presets`).

mod presets;
mod unpack;

use std::sync::LazyLock;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tonic_base::human_bytes;

use crate::events::SensorSize;
pub use presets::dataset_source;
pub use unpack::{Unpacked, is_archive, unpack};

static TABLE: LazyLock<Table> =
    LazyLock::new(|| toml::from_str(include_str!("datasets.toml")).expect("a test parses the table"));

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    dataset: Vec<Dataset>,
}

/// A published data set. If its sources don't give a fact, the field of this fact is `None`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Name of Tonic's class in lower case, or the usual name if Tonic has no class.
    pub name: String,
    /// Name in its publication.
    pub title: String,
    /// Other names.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Size of the sensor. `None` if it differs between recordings.
    #[serde(default, deserialize_with = "sensor_size")]
    pub sensor: Option<SensorSize>,
    /// Number of classes. `None` if its labels are not classes.
    pub classes: Option<u32>,
    /// What its labels are.
    pub labels: String,
    /// Format of the files that are converted.
    pub format: String,
    /// Size of the whole download in bytes, rounded.
    pub bytes: Option<u64>,
    /// Name of the licence, such as `CC BY 4.0`.
    pub licence: Option<String>,
    /// URL of the page that describes it.
    pub page: String,
    /// Why no program can download it. `None` if `fetch` can.
    pub by_hand: Option<ByHand>,
    /// Parts of the data set, such as train and test.
    #[serde(rename = "split")]
    pub splits: Vec<DatasetSplit>,
}

/// Why a data set has to be downloaded by hand.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByHand {
    /// Why no program can download it.
    pub why: String,
    /// URL to open in a browser.
    pub from: String,
}

/// A part of a data set, such as `train`. If one file holds several parts, the name has all of them: `train,test`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSplit {
    /// Name of the part.
    pub name: String,
    /// Number of samples in the part, or of recordings if the data set has no classes. If `name` has several parts, the
    /// sum over these parts. `None` if unknown.
    pub samples: Option<u32>,
    /// Number of samples of each part, if `name` has several parts.
    #[serde(default)]
    parts: Vec<u32>,
    /// Beginning of the URLs of files that have no `url` of their own.
    #[serde(default)]
    base: String,
    #[serde(default)]
    files: Vec<ListedFile>,
    each: Option<Each>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListedFile {
    file: String,
    md5: Option<String>,
    url: Option<String>,
}

/// The files of several recordings. Each recording has one file of each kind. In `url`, `file` and `into`, `{r}` stands
/// for the recording and `{k}` for the kind of file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Each {
    url: String,
    file: String,
    #[serde(default)]
    into: String,
    kinds: Vec<String>,
    recordings: Vec<String>,
}

/// A file to download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// URL of the file. Empty if it has to be downloaded by hand.
    pub url: String,
    /// Path of the file below the directory of the data set.
    pub file: String,
    /// MD5 of the file, in lower-case hexadecimal digits. `None` if it is unknown.
    pub md5: Option<String>,
    /// The folder into which an archive is unpacked, as a path below the directory of the data set. Empty for the
    /// directory itself.
    pub into: String,
    /// Name of the recording, by which `fetch --split` can choose it.
    pub recording: String,
}

impl DatasetSplit {
    /// Returns the files to download.
    pub fn downloads(&self) -> Vec<Download> {
        let listed = self.files.iter().map(|ListedFile { file, md5, url }| Download {
            url: match url {
                None if self.base.is_empty() => String::new(),
                None => format!("{}{file}", self.base),
                Some(url) => url.clone(),
            },
            file: file.clone(),
            md5: md5.clone(),
            into: String::new(),
            recording: recording_of(file).into(),
        });
        listed.chain(self.each.iter().flat_map(Each::downloads)).collect()
    }
}

impl Each {
    fn downloads(&self) -> Vec<Download> {
        let mut downloads = Vec::new();
        for recording in &self.recordings {
            for kind in &self.kinds {
                let fill = |text: &str| text.replace("{r}", recording).replace("{k}", kind);
                let (url, file, into) = (fill(&self.url), fill(&self.file), fill(&self.into));
                downloads.push(Download { url, file, md5: None, into, recording: recording.clone() });
            }
        }
        downloads
    }
}

fn sensor_size<'de, D: Deserializer<'de>>(numbers: D) -> Result<Option<SensorSize>, D::Error> {
    let [width, height, polarities] = Deserialize::deserialize(numbers)?;
    Ok(Some(SensorSize { width, height, polarities }))
}

/// Returns the name of a file without its folder, up to the first dot.
fn recording_of(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split('.').next().unwrap_or(name)
}

impl Dataset {
    /// All data sets, in alphabetical order.
    pub fn all() -> &'static [Dataset] {
        &TABLE.dataset
    }

    /// Returns the data set with this name or alias. Ignores `-`, `_`, spaces, and whether letters are upper or lower
    /// case.
    pub fn named(text: &str) -> Option<&'static Dataset> {
        let plain = |name: &str| name.to_lowercase().replace(['-', '_', ' '], "");
        let name = plain(text);
        Dataset::all()
            .iter()
            .find(|set| [&set.name, &set.title].into_iter().chain(&set.aliases).any(|other| plain(other) == name))
    }

    /// Returns the names of all data sets, separated by commas.
    pub fn names() -> String {
        Dataset::all().iter().map(|set| set.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Returns all data sets as a table.
    pub fn text() -> String {
        let head =
            ["name", "sensor", "classes", "samples", "size", "format", "licence", "splits", "fetch"].map(String::from);
        let rows: Vec<[String; 9]> = std::iter::once(head).chain(Dataset::all().iter().map(Dataset::row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..9).map(width).collect();
        let line = |row: &[String; 9]| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Returns all data sets as a JSON object with the key `datasets`.
    pub fn json_of_all() -> Value {
        json!({"datasets": Dataset::all().iter().map(Dataset::json).collect::<Vec<_>>()})
    }

    /// Returns the facts about the data set as lines of text.
    pub fn details(&self) -> String {
        let [_, sensor, classes, samples, size, format, licence, ..] = self.row();
        let labels =
            if self.classes.is_some() { format!("{}, {classes} classes", self.labels) } else { self.labels.clone() };
        let mut lines = vec![format!("{} ({})", self.title, self.name)];
        let facts =
            [("page", &self.page), ("sensor", &sensor), ("labels", &labels), ("samples", &samples), ("size", &size)];
        let facts = facts.into_iter().chain([("format", &format), ("licence", &licence)]);
        lines.extend(facts.map(|(name, value)| format!("{name:<9}{value}")));
        if let Some(ByHand { why, from }) = &self.by_hand {
            lines.push(format!("by hand  {why}: {from}"));
        }
        for split in &self.splits {
            let samples =
                split.samples.map_or("number of samples unknown".into(), |samples| format!("{samples} samples"));
            lines.push(format!("split {}, {samples}", split.name));
            for Download { url, file, md5, .. } in split.downloads() {
                let md5 = md5.map_or("md5 unknown".into(), |md5| format!("md5 {md5}"));
                lines.push(format!("  {file}  {md5}  {url}").trim_end().into());
            }
        }
        lines.join("\n")
    }

    /// Returns the facts about the data set as a JSON object. Unknown facts are null.
    pub fn json(&self) -> Value {
        let split = |split: &DatasetSplit| {
            let file = |file: &Download| {
                let url = (!file.url.is_empty()).then_some(&file.url);
                json!({"file": file.file, "url": url, "md5": file.md5, "recording": file.recording})
            };
            let files: Vec<Value> = split.downloads().iter().map(file).collect();
            json!({"name": split.name, "samples": split.samples, "files": files})
        };
        json!({
            "name": self.name, "title": self.title, "aliases": self.aliases,
            "sensor": self.sensor.map(|sensor| [sensor.width, sensor.height, sensor.polarities]),
            "classes": self.classes, "labels": self.labels, "samples": self.samples(), "bytes": self.bytes,
            "format": self.format, "licence": self.licence, "page": self.page,
            "by_hand": self.by_hand.as_ref().map(|hand| json!({"why": hand.why, "from": hand.from})),
            "splits": self.splits.iter().map(split).collect::<Vec<_>>(),
        })
    }

    /// Number of samples of the part `name`, such as `train`, if it is known.
    fn samples_of(&self, name: &str) -> Option<u32> {
        let place = |split: &DatasetSplit| split.name.split(',').position(|part| part == name);
        let (split, i) = self.splits.iter().find_map(|split| Some((split, place(split)?)))?;
        split.parts.get(i).copied().or(split.samples.filter(|_| split.name == name))
    }

    /// Total number of samples in all splits. `None` if the number is unknown for one of the splits.
    fn samples(&self) -> Option<u32> {
        self.splits.iter().map(|split| split.samples).sum()
    }

    fn row(&self) -> [String; 9] {
        let known = |text: Option<String>| text.unwrap_or_else(|| "unknown".into());
        let splits: Vec<&str> = self.splits.iter().map(|split| split.name.as_str()).collect();
        [
            self.name.clone(),
            self.sensor.map_or("varies".into(), |sensor| sensor.to_string()),
            self.classes.map_or("-".into(), |classes| classes.to_string()),
            known(self.samples().map(|samples| samples.to_string())),
            known(self.bytes.map(human_bytes)),
            self.format.clone(),
            known(self.licence.clone()),
            splits.join(","),
            if self.by_hand.is_some() { "by hand".into() } else { "yes".into() },
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_files_are_unique_and_well_formed() {
        let mut names = BTreeSet::new();
        for set in Dataset::all() {
            for name in [&set.name].into_iter().chain(&set.aliases) {
                assert!(names.insert(name), "{name} twice");
                assert_eq!(Dataset::named(&name.to_uppercase()).unwrap().name, set.name);
            }
            assert!(set.page.starts_with("http"), "{}", set.name);
            let mut files = BTreeSet::new();
            for split in &set.splits {
                let parts = split.name.split(',').count();
                let sum = Some(split.parts.iter().sum());
                assert!(split.parts.is_empty() || (split.parts.len(), sum) == (parts, split.samples), "{}", set.name);
                assert!(!split.downloads().is_empty(), "{} {}", set.name, split.name);
                for download in split.downloads() {
                    assert!(files.insert(download.file.clone()), "{}: {} twice", set.name, download.file);
                    assert!(!download.file.starts_with('/') && !download.file.contains(".."), "{download:?}");
                    assert!(set.by_hand.is_some() == download.url.is_empty(), "{download:?}");
                    assert!(download.url.is_empty() || download.url.starts_with("http"), "{download:?}");
                    let is_md5 =
                        |md5: &str| md5.len() == 32 && md5.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                    assert!(download.md5.as_deref().is_none_or(is_md5), "{download:?}");
                }
            }
        }
        assert!(Dataset::all().is_sorted_by_key(|set| &set.name));
    }

    #[test]
    fn a_set_is_found_by_any_spelling() {
        for (text, name) in
            [("N-MNIST", "nmnist"), ("DAVIS24", "davisdata"), ("tum-vie", "tumvie"), ("3ET", "threeet_eyetracking")]
        {
            assert_eq!(Dataset::named(text).unwrap().name, name);
        }
        assert!(Dataset::named("mnist").is_none());
    }

    #[test]
    fn recordings_have_urls_of_their_own() {
        let dsec = Dataset::named("dsec").unwrap();
        let downloads = dsec.splits[0].downloads();
        assert_eq!(downloads.len(), 41 * 2);
        let first = &downloads[0];
        assert_eq!(
            first.url,
            "https://download.ifi.uzh.ch/rpg/DSEC/train/interlaken_00_c/interlaken_00_c_events_left.zip"
        );
        assert_eq!(first.into, "interlaken_00_c/events_left");
        assert_eq!(first.recording, "interlaken_00_c");
    }
}
