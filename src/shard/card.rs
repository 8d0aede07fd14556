//! The card of a set: a page and a picture next to the manifest, which describe the set for people. No hash covers
//! these files.

use std::path::Path;

use crate::description::Id;
use crate::error::{Error, ShardFault};
use crate::manifest::MANIFEST_FILE;

/// File name of a set's card: a page that describes the set for people. A set can be without a card.
pub const CARD: &str = "README.md";
/// File name of the picture on the card of a set.
pub const CARD_PICTURE: &str = "card.png";
/// Start of the card's line with the id of the set.
const ID_LINE: &str = "- set id: `";

/// Returns the card's line with the id of the set.
pub fn card_id_line(id: Id) -> String {
    format!("{ID_LINE}{id}`")
}

/// Returns an error if the card in the directory `dir` has the id of another set. Accepts a directory without a card,
/// and a card without an id.
///
/// # Errors
/// [`Error::Mismatch`], with the card as its path.
pub fn check_card(dir: &Path, id: Id) -> Result<(), Error> {
    let path = dir.join(CARD);
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(()) };
    let described = text.lines().find_map(|line| line.strip_prefix(ID_LINE)?.strip_suffix('`')?.parse::<Id>().ok());
    match described.filter(|described| *described != id) {
        Some(described) => {
            let manifest = dir.join(MANIFEST_FILE);
            Err(Error::mismatch(&path, &manifest, "set id of the card", id.to_string(), described.to_string()))
        }
        None => Ok(()),
    }
}
