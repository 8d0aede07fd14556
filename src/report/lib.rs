#![doc = include_str!("README.md")]
#![forbid(unsafe_code)]

mod bars;
mod curve_groups;
mod error;
mod page;
mod picture;
mod plot;
mod sheet;
mod strategy;

pub use bars::figures;
pub use curve_groups::{CurveGroup, Scale, curve_groups};
pub use error::{Error, Result};
pub use page::{Panel, PanelKind, page};
pub use picture::{Picture, png_path};
pub use plot::{Curve, RasterAxes, RasterPoint, confusion, curves, raster};
pub use strategy::{Report, Strategy, Work, chart, check_dense, median, table};
