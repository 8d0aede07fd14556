//! A sample's occupied cells as text: tab-separated values or JSON.

use std::io::Write;

use serde_json::json;

use crate::error::Result;
use crate::sample::Sample;
use crate::text::{digits, stdout_error};
use tonic_base::printable_json;

impl Sample<'_> {
    /// Writes a header line, then one line per occupied cell: `frame`, `p`, `y`, `x` and `count`, separated by tabs.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    pub fn write_tsv(&self, out: &mut impl Write) -> Result<()> {
        writeln!(out, "frame\tp\ty\tx\tcount").map_err(stdout_error)?;
        for (frame, cell, count) in self.frames().iter() {
            let [p, y, x] = self.shape().coordinates(cell);
            writeln!(out, "{frame}\t{p}\t{y}\t{x}\t{}", digits(count)).map_err(stdout_error)?;
        }
        Ok(())
    }

    /// Writes the occupied cells as one JSON object. Its field `entries` has one array per cell: frame, p, y, x,
    /// count.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    pub fn write_json(&self, out: &mut impl Write) -> Result<()> {
        let shape = self.shape();
        let head = json!({
            "sample": self.number(), "class": self.class(), "frames": self.frames().frames(), "shape": shape,
            "columns": ["frame", "p", "y", "x", "count"],
        });
        let head = printable_json(&head.to_string()).into_owned();
        write!(out, "{},\"entries\":[", head.strip_suffix('}').unwrap_or(&head)).map_err(stdout_error)?;
        for (i, (frame, cell, count)) in self.frames().iter().enumerate() {
            let ([p, y, x], comma) = (shape.coordinates(cell), if i > 0 { "," } else { "" });
            write!(out, "{comma}[{frame},{p},{y},{x},{}]", digits(count)).map_err(stdout_error)?;
        }
        writeln!(out, "]}}").map_err(stdout_error)
    }
}
