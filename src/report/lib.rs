#![doc = include_str!("README.md")]
#![forbid(unsafe_code)]

// sheet, picture             what pictures are drawn on; SVG and PNG
// plot, curve_groups         plots of curves and of confusion matrices; curves of many runs
// raster                     rasters of samples and of layers: pictures, text, images for web pages
// page, bars                 a page of small plots; bar charts
// html                       web pages in one file: tables, charts, images
// strategy                   measurements of loading strategies, with their table and chart
// npy, csv                   arrays as NumPy files; rows as CSV
// events                     event files of TensorBoard
// error                      errors of pictures and reports

mod bars;
mod csv;
mod curve_groups;
mod error;
mod events;
mod html;
mod npy;
mod page;
mod picture;
mod plot;
mod raster;
mod sheet;
mod strategy;

pub use bars::figures;
pub use csv::csv_row;
pub use curve_groups::{CurveGroup, Scale, curve_groups};
pub use error::{Error, Result};
pub use events::EventFile;
pub use html::{confusion_table, epoch_chart, escaped, html_page, html_table, time_chart};
pub use npy::{Elements, NamedArray, write_npy, write_npz};
pub use page::{Panel, PanelKind, page};
pub use picture::{Picture, png_path};
pub use plot::{Curve, confusion, curves};
pub use raster::{COLUMNS, Raster, RasterPoint, raster_page};
pub use strategy::{Report, Strategy, Work, chart, check_dense, median, table};
