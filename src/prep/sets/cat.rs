//! A sample's entries as text, for eyes and for other programs.

use std::io::Write;

use serde_json::json;

use super::show::Shown;
use super::{digits, said};
use crate::error::Result;

impl Shown<'_> {
    /// Writes every occupied cell as a line of tab-separated `frame p y x count`, below a line with these names.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`].
    pub fn write_tsv(&self, out: &mut impl Write) -> Result<()> {
        writeln!(out, "frame\tp\ty\tx\tcount").map_err(said)?;
        for (frame, cell, count) in self.frames().iter() {
            let [p, y, x] = self.shape().place(cell);
            writeln!(out, "{frame}\t{p}\t{y}\t{x}\t{}", digits(count)).map_err(said)?;
        }
        Ok(())
    }

    /// Writes the same as one JSON object, whose `entries` are arrays in the order of `columns`.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`].
    pub fn write_json(&self, out: &mut impl Write) -> Result<()> {
        let shape = self.shape();
        let head = json!({
            "sample": self.number(), "class": self.class(), "frames": self.frames().frames(), "shape": shape,
            "columns": ["frame", "p", "y", "x", "count"],
        });
        let head = head.to_string();
        write!(out, "{},\"entries\":[", head.strip_suffix('}').unwrap_or(&head)).map_err(said)?;
        for (i, (frame, cell, count)) in self.frames().iter().enumerate() {
            let ([p, y, x], comma) = (shape.place(cell), if i > 0 { "," } else { "" });
            write!(out, "{comma}[{frame},{p},{y},{x},{}]", digits(count)).map_err(said)?;
        }
        writeln!(out, "]}}").map_err(said)
    }
}
