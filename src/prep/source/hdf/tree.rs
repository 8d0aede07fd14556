//! Lists the datasets of an HDF5 file whose structure is not known, to search them for the columns of events.

use std::path::Path;

use crate::source::columns::{ArrayInfo, FieldPath, GUESSED_EVENTS, MAX_ARRAYS, Survey};
use crate::source::hdf::objects::{Objects, array, objects, objects_in_cells};
use crate::source::hdf::{File, NumberColumn, text_bytes};
use crate::source::layout::Layout;

/// Names of attributes that can list the columns of a table: as one text, or as one text per column.
const NAMES_OF_COLUMNS: [&str; 7] = ["columns", "column_names", "colnames", "fields", "field_names", "names", "order"];

/// The datasets of an HDF5 file, or of a part of it, that are searched for the columns of events.
pub(crate) struct Tree<'a> {
    path: &'a Path,
    file: &'a File,
    objects: Objects,
}

impl<'a> Tree<'a> {
    /// Lists the datasets of the whole file.
    pub(crate) fn of_file(path: &'a Path, file: &'a File) -> Tree<'a> {
        Tree { path, file, objects: objects(file) }
    }

    /// Lists the datasets that the cells of a MATLAB file refer to.
    pub(crate) fn of_cells(path: &'a Path, file: &'a File) -> Tree<'a> {
        Tree { path, file, objects: objects_in_cells(file) }
    }

    /// Lists only the dataset `name`. The list is empty if the dataset cannot be opened.
    pub(crate) fn of_dataset(path: &'a Path, file: &'a File, name: &str) -> Tree<'a> {
        let dataset = file.dataset(name).ok();
        let arrays = dataset.iter().map(|dataset| array(name.into(), dataset)).collect();
        Tree { path, file, objects: Objects { arrays, has_more: false } }
    }

    /// Lists the datasets of one group, but not the datasets of its sub-groups. An empty name stands for the root.
    pub(crate) fn of_group(path: &'a Path, file: &'a File, name: &str) -> Tree<'a> {
        let group = if name.is_empty() { file.as_group() } else { file.group(name) };
        let slash = if name.is_empty() { "" } else { "/" };
        let names: Vec<String> = group.iter().flat_map(|group| group.member_names().unwrap_or_default()).collect();
        let has_more = names.len() > MAX_ARRAYS;
        let arrays = names.into_iter().take(MAX_ARRAYS).filter_map(|member| {
            let path = format!("{name}{slash}{member}");
            Some(array(path.clone(), &file.dataset(&path).ok()?))
        });
        let arrays = arrays.collect();
        Tree { path, file, objects: Objects { arrays, has_more } }
    }
}

impl Survey for Tree<'_> {
    fn arrays(&self) -> &[ArrayInfo] {
        &self.objects.arrays
    }

    fn has_more(&self) -> bool {
        self.objects.has_more
    }

    fn sample(&self, field: &FieldPath) -> Option<Vec<f64>> {
        let column = NumberColumn::open(self.path, self.file, field, Layout::Map.name()).ok()?;
        Some(column.read(self.path, 0..column.len.min(GUESSED_EVENTS)).ok()?.floats())
    }

    fn column_names(&self, table: &ArrayInfo) -> Option<Vec<String>> {
        let dataset = self.file.dataset(&table.name).ok()?;
        let texts = |name: &str| {
            let attribute = dataset.attr(name).ok()?;
            let texts = text_bytes(&attribute, &attribute.dtype().ok()?.to_descriptor().ok()?).ok()??;
            Some(texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>())
        };
        // PyTables has an attribute for each column.
        let each = (0..).map_while(|i| texts(&format!("FIELD_{i}_NAME"))?.pop()).collect::<Vec<_>>();
        let names = NAMES_OF_COLUMNS.iter().find_map(|name| texts(name)).unwrap_or(each);
        Some(match &names[..] {
            [one] => one
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .filter(|name| !name.is_empty())
                .map(String::from)
                .collect(),
            _ => names,
        })
    }

    fn looked(&self) -> String {
        let known = Layout::ALL.iter().filter(|(layout, ..)| layout.has_dataset());
        known.map(|(_, name, mark)| format!("{mark} ({name})")).collect::<Vec<_>>().join(", ")
    }
}
