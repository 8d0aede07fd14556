//! Folders of recordings: their files, and the classes that their sub-folders stand for.
//!
//! ```text
//! folder                       opens a folder
//! listing, unread              lists the files of a folder; recognises recordings that this crate does not read
//! class_folders, class_list    which sub-folders are classes; the caller's list of classes
//! ```

mod class_folders;
mod class_list;
pub(crate) mod folder;
mod listing;
mod unread;

pub use class_list::ClassList;
