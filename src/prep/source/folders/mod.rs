//! Folders of recordings: their files, and the classes that their sub-folders stand for.
//!
//! ```text
//! folder                       opens a folder
//! listing, unread              lists the files of a folder; recognises recordings that this crate does not read
//! class_folders, folder_names  which sub-folders are classes; what their names say
//! ```

mod class_folders;
pub(crate) mod folder;
mod folder_names;
mod listing;
mod unread;
