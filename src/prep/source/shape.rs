//! Shapes of arrays: which of them are a column with one number for each event, and which are a table with several.

/// Maximum number of columns of a table.
const MAX_COLUMNS: u64 = 16;

/// An array with several numbers for each event: rows of events, or a row for each column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Number of events.
    pub(crate) len: u64,
    /// Numbers for each event.
    pub(crate) columns: u64,
    /// Whether the shape is (columns, events), as MATLAB writes it.
    pub(crate) transposed: bool,
}

/// The number of events of a column: the shape (N,), (N, 1) or (1, N).
pub(crate) fn column(shape: &[u64]) -> Option<u64> {
    let mut long = shape.iter().filter(|&&size| size != 1);
    match (shape, long.next(), long.next()) {
        ([], ..) | (_, _, Some(_)) => None,
        (_, len, None) => Some(len.copied().unwrap_or(1)),
    }
}

/// The events and columns of a table: the shape (N, columns) or (columns, N). If both sizes could be the columns, they
/// are `columns` if that is given, or else the last size.
pub(crate) fn table(shape: &[u64], columns: Option<u64>) -> Option<Table> {
    let &[first, last] = shape else { return None };
    let fits = |size: u64| columns.map_or((2..=MAX_COLUMNS).contains(&size), |columns| size == columns);
    if fits(last) {
        Some(Table { len: first, columns: last, transposed: false })
    } else if fits(first) {
        Some(Table { len: last, columns: first, transposed: true })
    } else {
        None
    }
}

/// The events and columns of a table whose number of columns is not known: four if that fits.
pub(crate) fn likely_table(shape: &[u64]) -> Option<Table> {
    table(shape, Some(4)).or_else(|| table(shape, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_columns_or_tables() {
        let columns = [(&[][..], None), (&[7], Some(7)), (&[7, 1], Some(7)), (&[1, 7], Some(7)), (&[0], Some(0))];
        for (shape, len) in columns.into_iter().chain([(&[1, 1][..], Some(1)), (&[7, 4], None), (&[0, 1], Some(0))]) {
            assert_eq!(column(shape), len, "{shape:?}");
        }
        let whole = |len, columns, transposed| Some(Table { len, columns, transposed });
        for (shape, columns, expected) in [
            (&[900, 4][..], None, whole(900, 4, false)),
            (&[4, 900], None, whole(900, 4, true)),
            (&[4, 4], None, whole(4, 4, false)),
            (&[4, 10], Some(4), whole(10, 4, true)),
            (&[0, 4], Some(4), whole(0, 4, false)),
            (&[900, 4], Some(3), None),
            (&[900, 900], None, None),
            (&[900, 4, 2], None, None),
            (&[900], None, None),
        ] {
            assert_eq!(table(shape, columns), expected, "{shape:?} {columns:?}");
        }
        assert_eq!(likely_table(&[4, 6]), whole(6, 4, true));
        assert_eq!(likely_table(&[6, 3]), whole(6, 3, false));
    }
}
