#![doc = include_str!("README.md")]
#![forbid(unsafe_code)]

// sheet, picture             what pictures are drawn on; SVG and PNG
// plot, curve_groups         plots of a sample, of curves and of confusion matrices; curves of many runs
// page, bars                 a page of small plots; bar charts
// strategy                   the table of ways to feed a network
// npy, csv                   arrays as NumPy files; rows as CSV
// error                      errors of pictures and reports

mod bars;
mod csv;
mod curve_groups;
mod error;
mod npy;
mod page;
mod picture;
mod plot;
mod sheet;
mod strategy;

pub use bars::figures;
pub use csv::csv_row;
pub use curve_groups::{CurveGroup, Scale, curve_groups};
pub use error::{Error, Result};
pub use npy::write_npy;
pub use page::{Panel, PanelKind, page};
pub use picture::{Picture, png_path};
pub use plot::{Curve, RasterAxes, RasterPoint, confusion, curves, raster};
pub use strategy::{Report, Strategy, Work, chart, check_dense, median, table};
