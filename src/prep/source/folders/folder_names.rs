//! Recognises what the names of folders and files stand for: parts of a dataset, persons, sessions, dates, numbered
//! files.

/// Words in the names of folders that hold the training part of a dataset.
const TRAINING: &str = "train training trn trainval";
/// Short words for the training part of a dataset, and for all other parts. They can also be the names of classes.
const SHORT_PARTS: [&str; 2] = ["tr", "te ts va vl"];
/// Words for numbered parts of a dataset, as in `fold1` and `split_a`.
const NUMBERED_PARTS: &str = "fold kfold split partition part cv";
/// Words in the names of folders that hold a part of a dataset other than the training part.
const OTHER_PARTS: &str = "test testing tst val valid validation validate validating eval evaluation evaluate dev \
                           devel development holdout heldout";
/// Words for persons, sessions and similar groups, as in `user01` and `subject_3`.
const GROUPS: &str = "user subject subj sub sbj speaker spk spkr participant person people actor signer patient \
                      volunteer session sess ses trial take run rep recording rec seq sequence day date block batch \
                      camera cam room";
/// Letters for persons, sessions and similar groups, as in `s01` and `p3`.
const GROUP_LETTERS: &str = "s p u r f m";
/// Words in the names of numbered files, as in `sample_0003`. Such a name says nothing about the class of the file.
pub(super) const FILES: &str = "sample file item clip example event events data img image video v n no nr";

/// Returns whether folders with these `names` are the parts of a dataset.
pub(super) fn are_parts(names: &[&str]) -> bool {
    let training = names.iter().filter(|name| is_part(name, TRAINING)).count();
    let other = names.iter().filter(|name| is_part(name, OTHER_PARTS)).count();
    let numbered = names.iter().filter(|name| is_numbered(name, NUMBERED_PARTS)).count();
    let short = |part: &&str| names.iter().filter(|name| is_part(name, part)).count();
    let [short_training, short_other] = SHORT_PARTS.each_ref().map(short);
    let (parts, all) = (training + other + numbered, names.len());
    2 * parts > all
        || (2 * parts == all && training > 0 && other > 0)
        || (parts + short_training + short_other == all && training + short_training > 0 && other + short_other > 0)
}

/// Returns whether a folder's name has one of the words in `parts`, as `val2017`, `dvs_train` and `ibmGestureTrain` do.
/// The words in `parts` are separated by spaces.
fn is_part(name: &str, parts: &str) -> bool {
    let words = words(name);
    let joined = words.concat();
    let ends = [words.first(), words.last(), Some(&joined)];
    ends.into_iter().flatten().any(|word| {
        let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let ends = ["set", "data", "split", "samples"];
        let word = ends.iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
        is_listed(word, parts)
    })
}

/// Splits a name into words, in lower case. The words of `ibmGesture-Train` are `ibm`, `gesture` and `train`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Returns whether a folder is named after a person, a session, a day or a similar group, such as `user01` or `s01`.
pub(super) fn is_group(name: &str) -> bool {
    let has_digit = name.contains(|c: char| c.is_ascii_digit());
    is_numbered(name, GROUPS) || (has_digit && is_numbered(name, GROUP_LETTERS)) || is_date(name)
}

/// Returns whether a name begins with a date, such as `2021-01-31`, `31.1.2021` or `20210131_lab`.
fn is_date(name: &str) -> bool {
    let is_year = |text: &str| text.len() == 4 && (text.starts_with("19") || text.starts_with("20"));
    let is_day = |text: &str, most| text.len() < 3 && text.parse().is_ok_and(|n: u8| (1..=most).contains(&n));
    let parts: Vec<&str> = name.split(|c: char| !c.is_ascii_digit()).collect();
    match parts[..] {
        [day, ..] if day.len() == 8 => is_year(&day[..4]) && is_day(&day[4..6], 12) && is_day(&day[6..], 31),
        [a, b, c, ..] if is_year(a) => is_day(b, 12) && is_day(c, 31),
        [a, b, c, ..] => is_year(c) && is_day(a, 31) && is_day(b, 31),
        _ => false,
    }
}

/// Returns whether a name begins with one of `words`, and continues with a number or a single letter. `words` are
/// separated by spaces.
pub(super) fn is_numbered(name: &str, words: &str) -> bool {
    let name = name.to_lowercase();
    let (word, rest) = name.split_at(name.find(|c: char| !c.is_alphabetic()).unwrap_or(name.len()));
    let rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
    is_listed(word, words) && (rest.starts_with(|c: char| c.is_ascii_digit()) || rest.chars().count() == 1)
}

fn is_listed(word: &str, words: &str) -> bool {
    words.split(' ').any(|listed| listed == word)
}

/// Returns whether a folder's name is a number or a date: it has digits and no letters.
pub(super) fn is_number(name: &str) -> bool {
    name.contains(|c: char| c.is_ascii_digit()) && !name.contains(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_recognised() {
        for (name, expected) in [
            ("2021-01-31", true),
            ("31.1.2021", true),
            ("20210131_lab", true),
            ("2021_1_2_lab", true),
            ("12345678", false),
            ("2021", false),
            ("2021-13-01", false),
            ("1-2-3", false),
            ("wave", false),
        ] {
            assert_eq!(is_date(name), expected, "{name}");
        }
    }
}
