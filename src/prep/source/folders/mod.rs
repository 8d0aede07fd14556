//! Folders of recordings: their files, and the classes that their sub-folders stand for.
//!
//! ```text
//! folder                       opens a folder
//! listing                      lists the files of a folder
//! unread                       recognises recordings that this crate does not read
//! class_folders                decides which sub-folders are classes
//! folder_names                 recognises names of dataset parts, persons, sessions and dates
//! ```

mod class_folders;
pub(crate) mod folder;
mod folder_names;
mod listing;
mod unread;

pub(crate) use listing::SYSTEM_FOLDERS;
