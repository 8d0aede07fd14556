//! A picture: drawn once as SVG, written as SVG or PNG.
//!
//! The PNG is rendered from the SVG with a built-in font, so that it looks the same on a cluster node without fonts as
//! on a laptop.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use resvg::{tiny_skia, usvg};

use crate::error::{Error, Result};
use tonic_base::{printable, publish};

/// PNG pixels per SVG unit. 2 is sharp on high-density screens.
const SCALE: f32 = 2.0;
const FONT: &str = "sans-serif";
pub(crate) const INK: RGBColor = RGBColor(38, 43, 51);
pub(crate) const FAINT: RGBColor = RGBColor(228, 231, 236);
/// Colours of Okabe and Ito, which colour-blind readers can tell apart.
pub(crate) const SERIES: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];

/// A finished picture.
#[derive(Clone, Debug)]
pub struct Picture {
    svg: String,
}

impl Picture {
    /// Writes the picture as SVG.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    pub fn write_svg(&self, path: &Path) -> Result<()> {
        Ok(publish(path, self.svg.as_bytes())?)
    }

    /// Writes the picture as PNG.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`]; [`Error::Plot`] if the SVG cannot be rendered.
    pub fn write_png(&self, path: &Path) -> Result<()> {
        let failed = |reason: String| Error::Plot { what: path.display().to_string(), reason };
        let mut fonts = usvg::fontdb::Database::new();
        fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
        let family = fonts.faces().next().map(|face| face.families[0].0.clone());
        fonts.set_sans_serif_family(family.unwrap_or_default());
        let options = usvg::Options { fontdb: Arc::new(fonts), ..usvg::Options::default() };
        let tree = usvg::Tree::from_str(&self.svg, &options).map_err(|e| failed(e.to_string()))?;
        let size = tree.size().to_int_size();
        let side = |n: u32| (n as f32 * SCALE) as u32;
        let mut pixels = tiny_skia::Pixmap::new(side(size.width()), side(size.height()))
            .ok_or_else(|| failed("it has no size".into()))?;
        resvg::render(&tree, tiny_skia::Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
        Ok(publish(path, &pixels.encode_png().map_err(|e| failed(e.to_string()))?)?)
    }
}

/// Parses a path that must end in `.png`, so that a mistyped argument cannot replace another kind of file.
///
/// # Errors
/// A message that says what was expected.
pub fn png_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_png = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    if is_png { Ok(path) } else { Err("expected a name that ends in .png".into()) }
}

pub(crate) type Drawing<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(crate) type DrawResult = Result<(), Box<dyn std::error::Error>>;

pub(crate) fn draw(size: (u32, u32), what: &str, body: impl FnOnce(&Drawing<'_>) -> DrawResult) -> Result<Picture> {
    static FONT_REGISTERED: Once = Once::new();
    // Registering fails only for data that isn't a font, so the result can be ignored.
    FONT_REGISTERED.call_once(|| drop(register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)));
    let mut svg = String::new();
    let drawn = (|| {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        body(&area)?;
        area.present()?;
        Ok(())
    })();
    drawn.map_err(|e: Box<dyn std::error::Error>| Error::Plot { what: what.into(), reason: e.to_string() })?;
    Ok(Picture { svg })
}

pub(crate) fn text(size: usize) -> TextStyle<'static> {
    (FONT, size as i32).into_font().color(&INK)
}

/// Words for a picture: printable, and cut to `room` characters with "..." at the end.
pub(crate) fn label(words: &str, room: usize) -> String {
    let words = printable(words);
    if words.chars().count() <= room {
        return words.into();
    }
    words.chars().take(room.saturating_sub(3)).chain("...".chars()).collect()
}
