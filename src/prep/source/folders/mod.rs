//! Folders of recordings: their files, and the classes that their sub-folders stand for.
//!
//! ```text
//! folder                       opens a folder
//! listing, unread              lists the files of a folder; recognises recordings that this crate does not read
//! class_folders                which sub-folders are classes
//! ```

mod class_folders;
pub(crate) mod folder;
mod listing;
mod unread;
