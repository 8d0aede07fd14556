//! Tells from the shape of an array whether it is a column (one number per event) or a table (several numbers per
//! event). Axes of length 1 are ignored.

pub(crate) const MAX_COLUMNS: u64 = 16;

/// The shape of an array with several numbers for each event: (events, columns) or (columns, events).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Number of events.
    pub(crate) len: u64,
    pub(crate) columns: u64,
    /// Axis of the events, and axis of the columns.
    pub(crate) axes: [usize; 2],
}

impl Table {
    /// Returns whether the shape is (columns, events), as MATLAB writes it.
    pub(crate) fn is_transposed(&self) -> bool {
        self.axes[0] > self.axes[1]
    }
}

/// Returns the number of events if the shape is that of a column, such as (N,), (N, 1) or (1, N).
pub(crate) fn column(shape: &[u64]) -> Option<u64> {
    let mut long = shape.iter().filter(|&&size| size != 1);
    match (shape, long.next(), long.next()) {
        ([], ..) | (_, _, Some(_)) => None,
        (_, len, None) => Some(len.copied().unwrap_or(1)),
    }
}

/// Returns the table of an array of shape (N, columns) or (columns, N). If `columns` is `None`, accepts 2 to
/// [`MAX_COLUMNS`] columns. If both axes fit, the last one is the axis of the columns.
pub(crate) fn table(shape: &[u64], columns: Option<u64>) -> Option<Table> {
    let mut axes: Vec<usize> = (0..shape.len()).collect();
    while axes.len() > 2 {
        axes.remove(axes.iter().position(|&axis| shape[axis] == 1)?);
    }
    let &[a, b] = &axes[..] else { return None };
    let (first, last) = (shape[a], shape[b]);
    let fits = |size: u64| columns.map_or((2..=MAX_COLUMNS).contains(&size), |columns| size == columns);
    if fits(last) {
        Some(Table { len: first, columns: last, axes: [a, b] })
    } else if fits(first) {
        Some(Table { len: last, columns: first, axes: [b, a] })
    } else {
        None
    }
}

/// Returns the same as [`table`] for an unknown number of columns, but prefers an axis of length 4 as the columns.
pub(crate) fn likely_table(shape: &[u64]) -> Option<Table> {
    table(shape, Some(4)).or_else(|| table(shape, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_columns_or_tables() {
        let columns = [(&[][..], None), (&[7], Some(7)), (&[7, 1], Some(7)), (&[1, 7], Some(7)), (&[0], Some(0))];
        for (shape, len) in columns.into_iter().chain([
            (&[1, 1][..], Some(1)),
            (&[7, 4], None),
            (&[0, 1], Some(0)),
            (&[1, 1, 7], Some(7)),
        ]) {
            assert_eq!(column(shape), len, "{shape:?}");
        }
        let of = |len, columns, axes| Some(Table { len, columns, axes });
        let whole = |len, columns, transposed| of(len, columns, if transposed { [1, 0] } else { [0, 1] });
        for (shape, columns, expected) in [
            (&[900, 4][..], None, whole(900, 4, false)),
            (&[4, 900], None, whole(900, 4, true)),
            (&[4, 4], None, whole(4, 4, false)),
            (&[4, 10], Some(4), whole(10, 4, true)),
            (&[0, 4], Some(4), whole(0, 4, false)),
            (&[900, 4], Some(3), None),
            (&[900, 900], None, None),
            (&[900, 4, 2], None, None),
            (&[1, 900, 4], None, of(900, 4, [1, 2])),
            (&[900, 4, 1], None, of(900, 4, [0, 1])),
            (&[1, 4, 1, 900], None, of(900, 4, [3, 1])),
            (&[1, 1, 4], None, of(1, 4, [1, 2])),
            (&[1, 4, 1], None, of(1, 4, [2, 1])),
            (&[900], None, None),
        ] {
            assert_eq!(table(shape, columns), expected, "{shape:?} {columns:?}");
        }
        assert_eq!(likely_table(&[4, 6]), whole(6, 4, true));
        assert_eq!(likely_table(&[6, 3]), whole(6, 3, false));
    }
}
