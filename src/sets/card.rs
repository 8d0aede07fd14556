//! Writes the card of a set next to the manifest: `README.md`, a page for people, and a picture.

use std::fmt::Write;

use tonic_base::{Verbosity, human_bytes, printable, printable_lines, publish, remove_file};
use tonic_shard::{CARD, CARD_PICTURE, Ledger, Manifest, ShardSet, card_id_line};

use crate::error::{BaseFault, Error, Result};
use crate::stats::stats;

/// Maximum number of rows of a table in a card.
const MOST_ROWS: usize = 200;
/// Names of the two lines of a card whose values come from the user.
const LICENSE: &str = "licence of the recordings";
const SOURCE: &str = "source";
/// Value of a licence or a source that the user has not given.
const NOT_GIVEN: &str = "not given";
/// Start of the last line of a card. The line has a hash of the text above it, which shows changes made by hand.
const SEAL: &str = "<!-- written by tonic-prep card, blake3 ";

/// What the user says about a set in its card.
#[derive(Clone, Debug, Default)]
pub struct Card {
    /// Name of the set, for the title.
    pub name: String,
    /// Licence of the recordings. `None` keeps the licence of the old card; an empty text removes it.
    pub license: Option<String>,
    /// URL of the page that the recordings come from. `None` keeps the URL of the old card; an empty text removes it.
    pub source_url: Option<String>,
    /// Commands that make the set from its recordings, one per line.
    pub made: Vec<String>,
    /// Commands that fetch the set and load it, one per line.
    pub load: Vec<String>,
}

impl Card {
    /// Writes the card of `set` into the directory of the set. Reads all samples, for the picture. A card that was
    /// written or changed by hand is replaced only with `force`.
    ///
    /// # Errors
    /// [`tonic_base::Error::Exists`] for a card that was written or changed by hand; [`tonic_base::Error::Corrupt`];
    /// [`tonic_base::Error::Io`]; [`tonic_report::Error::Plot`].
    pub fn write(&self, set: &ShardSet, force: bool, verbosity: Verbosity) -> Result<()> {
        let (page, picture) = (set.dir().join(CARD), set.dir().join(CARD_PICTURE));
        let earlier = match std::fs::read(&page) {
            Ok(text) => Some(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(Error::io(&page, "read the card")(e)),
        };
        let is_ours = earlier.as_ref().map_or(!picture.exists(), |text| is_unchanged(text));
        if !is_ours && !force {
            let existing = if page.exists() { &page } else { &picture };
            return Err(Error::exists(existing, "it was written or changed by hand"));
        }
        let found = stats(set, verbosity)?;
        remove_file(&page)?; // a failure must not leave an old page next to a new picture
        found.page(&format!("{}, {} samples", printable(&self.name), set.len()))?.write_png(&picture)?;
        let earlier = earlier.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let kept = |given: &Option<String>, name: &str| given.clone().or_else(|| value_of(&earlier, name));
        let (license, source_url) = (kept(&self.license, LICENSE), kept(&self.source_url, SOURCE));
        let text = Card { license, source_url, ..self.clone() }.text(set.manifest());
        Ok(publish(&page, format!("{text}{SEAL}{} -->\n", blake3::hash(text.as_bytes())).as_bytes())?)
    }

    /// Returns the card as Markdown, without its last line.
    fn text(&self, manifest: &Manifest) -> String {
        let Manifest { description, totals, set_id, .. } = manifest;
        let mut out = format!("# {}\n\n", plain(&self.name));
        out.push_str("A shard set of tonic-toolkit: event recordings as sparse frames, ready for training.\n\n");
        let _ = writeln!(out, "{}", card_id_line(*set_id));
        let given = |text: &Option<String>| match text.as_deref() {
            None | Some("") => NOT_GIVEN.into(),
            Some(text) => link(text),
        };
        let shape = format!("(P, H, W) = {}", description.shape);
        let longest = format!("{}, at most {} a sample, {shape}", totals.frames, totals.max_frames);
        for (name, value) in [
            ("samples", description.samples.to_string()),
            ("size", plain(&human_bytes(manifest.stored_bytes()))),
            ("frames", plain(&longest)),
            ("extra columns", plain(&description.extras.join(", "))),
            (LICENSE, given(&self.license)),
            (SOURCE, given(&self.source_url)),
            ("written by", plain(&description.tool.to_string())),
        ]
        .iter()
        .filter(|(_, value)| !value.is_empty())
        {
            let _ = writeln!(out, "- {name}: {value}");
        }
        let _ = writeln!(out, "\n![statistics of the set]({CARD_PICTURE})\n\n## Fetch and load\n");
        out.push_str(&fenced("sh", &self.load.join("\n")));
        classes(manifest, &mut out);
        let _ = writeln!(out, "\n## How it was made\n");
        out.push_str(&fenced("sh", &self.made.join("\n")));
        let _ = writeln!(out, "\nThe recipe:\n");
        out.push_str(&fenced("toml", description.recipe.trim()));
        recordings(manifest, &mut out);
        let _ = writeln!(out, "\n## Where every event went\n\n| | events |\n|---|---:|");
        for (name, n) in Ledger::NAMES.iter().zip(totals.ledger.columns()) {
            let _ = writeln!(out, "| {} | {n} |", plain(name));
        }
        out.push('\n');
        out
    }
}

/// Adds the table of the classes to a card.
fn classes(manifest: &Manifest, out: &mut String) {
    let classes = &manifest.description.classes;
    let _ = writeln!(out, "\n## Classes\n\n| class | samples |\n|---|---:|");
    for (class, n) in classes.iter().zip(&manifest.totals.class_samples).take(MOST_ROWS) {
        let _ = writeln!(out, "| {} | {n} |", plain(class));
    }
    let labelled: u64 = manifest.totals.class_samples.iter().sum();
    if let Some(unlabelled) = manifest.description.samples.checked_sub(labelled).filter(|&n| n > 0) {
        let _ = writeln!(out, "| (without a label) | {unlabelled} |");
    }
    say_more(classes.len(), out);
}

/// If a table of `rows` rows has more than [`MOST_ROWS`], adds a line that says how many are left out.
fn say_more(rows: usize, out: &mut String) {
    if rows > MOST_ROWS {
        let _ = writeln!(out, "\nAnd {} more, which the manifest lists.", rows - MOST_ROWS);
    }
}

/// Adds the table of the recordings to a card.
fn recordings(manifest: &Manifest, out: &mut String) {
    let description = &manifest.description;
    let sources = description.sources.iter().map(|s| (&s.name, s.bytes, s.samples.to_string(), s.blake3));
    let linked = description.linked_files.iter().map(|file| (&file.name, file.bytes, "linked".into(), file.blake3));
    let files: Vec<_> = sources.chain(linked).collect();
    if files.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n## Recordings\n\n| file | bytes | samples | BLAKE3 |\n|---|---:|---:|---|");
    for (name, bytes, samples, hash) in files.iter().take(MOST_ROWS) {
        let _ = writeln!(out, "| {} | {bytes} | {samples} | `{hash}` |", plain(name));
    }
    say_more(files.len(), out);
}

/// Whether a card is unchanged since this program wrote it.
fn is_unchanged(card: &[u8]) -> bool {
    let Some((text, seal)) = std::str::from_utf8(card).ok().and_then(|card| card.split_once(SEAL)) else {
        return false;
    };
    seal == format!("{} -->\n", blake3::hash(text.as_bytes()))
}

/// Escapes Markdown and hidden characters, so that the text is shown unchanged on one line.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in printable(text).chars() {
        // Some viewers turn "www." into a link. Other dots have no meaning in Markdown.
        let is_plain = if c == '.' { !out.ends_with(['w', 'W']) } else { ",;/%'\"=?-+()".contains(c) };
        if c.is_ascii_punctuation() && !is_plain {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Returns the value that a card has for `name`, or `None` if the user has not given it.
fn value_of(card: &str, name: &str) -> Option<String> {
    let value = card.lines().find_map(|line| line.strip_prefix("- ")?.strip_prefix(name)?.strip_prefix(": "))?;
    if value == NOT_GIVEN {
        return None;
    }
    if let Some(url) = value.strip_prefix('<').and_then(|url| url.strip_suffix('>')) {
        return Some(url.into());
    }
    let mut out = String::new();
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.next_if(char::is_ascii_punctuation) } else { None };
        out.push(escaped.unwrap_or(c));
    }
    Some(out)
}

/// Returns a text as Markdown: a URL of a web page as a link, any other text escaped.
fn link(text: &str) -> String {
    let is_page = text.starts_with("https://") || text.starts_with("http://");
    let is_usual = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#@!$&'()*+,;=%".contains(c);
    if is_page && text.chars().all(is_usual) { format!("<{text}>") } else { plain(text) }
}

/// Returns a code block in Markdown. Its fence is longer than any run of backquotes in the text.
fn fenced(language: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}\n", printable_lines(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_files_stays_text() {
        assert_eq!(plain("a|b <img>\n*x* [y](z) `c` \u{1b}[2J"), r"a\|b \<img\>\\n\*x\* \[y\](z) \`c\` \\u\{1b\}\[2J");
        assert_eq!(link("https://zenkelab.org/a_b?x=1"), "<https://zenkelab.org/a_b?x=1>");
        assert_eq!(link("https://a.b/> <script>"), r"https\://a.b/\> \<script\>");
        assert_eq!(link("javascript:x"), r"javascript\:x");
        assert_eq!(fenced("sh", "a ```` b\n\u{202e}"), "`````sh\na ```` b\n\\u{202e}\n`````\n");
    }

    #[test]
    fn values_are_read_as_they_were_given() {
        for text in ["CC-BY-4.0", "https://a.b/c_d?x=1", "a *b* \\c <d> `e`", "not given\u{200b}", "ä\u{1b}[2J"] {
            let card = format!("# a\n\n- source: {}\n- licence: x\n", link(text));
            let kept = value_of(&card, "source").unwrap();
            assert_eq!(link(&kept), link(text), "{card}");
            assert!(kept == text || text.contains(['\u{200b}', '\u{1b}']), "{kept}");
        }
        assert_eq!(value_of("- source: not given\n", "source"), None);
        assert_eq!(value_of("- sources: a\n", "source"), None);
    }

    #[test]
    fn a_changed_card_is_known() {
        let text = "# a\n";
        let card = format!("{text}{SEAL}{} -->\n", blake3::hash(text.as_bytes()));
        assert!(is_unchanged(card.as_bytes()));
        for other in [card.replace("# a", "# b"), format!("{card}more\n"), text.into(), format!("\u{feff}{card}")] {
            assert!(!is_unchanged(other.as_bytes()), "{other}");
        }
    }
}
