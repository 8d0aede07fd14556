//! A picture: drawn once, written as SVG or PNG. Only the PNG looks the same on every machine, because it uses a
//! built-in font.

use std::path::{Path, PathBuf};
use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use crate::error::{Error, Result};
use crate::sheet::{Image, Sheet};
use tonic_base::{printable, publish};

const FONT: &str = "sans-serif";
pub(crate) const INK: RGBColor = RGBColor(38, 43, 51);
pub(crate) const FAINT: RGBColor = RGBColor(228, 231, 236);
/// Four colours that colour-blind readers can tell apart, from the palette of Okabe and Ito.
pub(crate) const SERIES: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];
/// Seven colours that colour-blind readers can tell apart: six from the palette of Okabe and Ito, and the text's
/// colour.
pub(crate) const GROUPS: [RGBColor; 7] =
    [SERIES[0], SERIES[1], SERIES[2], SERIES[3], RGBColor(230, 159, 0), RGBColor(86, 180, 233), INK];

/// A finished picture.
#[derive(Clone, Debug)]
pub struct Picture {
    svg: String,
    image: Image,
}

impl Picture {
    /// Returns the picture as an `svg` element.
    pub(crate) fn svg(&self) -> &str {
        &self.svg
    }

    /// Writes the picture as SVG.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    pub fn write_svg(&self, path: &Path) -> Result<()> {
        Ok(publish(path, self.svg.as_bytes())?)
    }

    /// Writes the picture as PNG, in pixels twice as wide and twice as high as the SVG.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`]; [`Error::Plot`] if the image cannot be encoded.
    pub fn write_png(&self, path: &Path) -> Result<()> {
        let Image { size, pixels } = &self.image;
        let file = encode_png(*size, png::ColorType::Rgb, pixels, &path.display().to_string())?;
        Ok(publish(path, &file)?)
    }
}

/// Encodes an image as PNG. `what` is for the error message.
pub(crate) fn encode_png(
    (width, height): (u32, u32),
    color: png::ColorType,
    pixels: &[u8],
    what: &str,
) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    let encoded = (|| {
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(color);
        encoder.write_header()?.write_image_data(pixels)
    })();
    encoded.map_err(|e| Error::Plot { what: what.into(), reason: e.to_string() })?;
    Ok(file)
}

/// Parses a path that must end in `.png`.
///
/// # Errors
/// A message that says what was expected.
pub fn png_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_png = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    if is_png { Ok(path) } else { Err("expected a name that ends in .png".into()) }
}

pub(crate) type Drawing<'a> = DrawingArea<Sheet<'a>, Shift>;
pub(crate) type DrawResult = Result<(), Box<dyn std::error::Error>>;

pub(crate) fn draw(size: (u32, u32), what: &str, body: impl FnOnce(&Drawing<'_>) -> DrawResult) -> Result<Picture> {
    static FONT_REGISTERED: Once = Once::new();
    // Registering fails only for data that isn't a font, so the result can be ignored.
    FONT_REGISTERED.call_once(|| drop(register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)));
    let (mut svg, mut image) = (String::new(), Image::of_sheet(size));
    let drawn = (|| {
        let area = Sheet::new(&mut svg, &mut image, size).into_drawing_area();
        area.fill(&WHITE)?;
        body(&area)?;
        area.present()?;
        Ok(())
    })();
    drawn.map_err(|e: Box<dyn std::error::Error>| Error::Plot { what: what.into(), reason: e.to_string() })?;
    Ok(Picture { svg, image: image.averaged() })
}

pub(crate) fn text(size: usize) -> TextStyle<'static> {
    (FONT, size as i32).into_font().color(&INK)
}

/// Prepares a text for a picture. Escapes hidden characters. If the text then has more than `room` characters, cuts it
/// to `room` characters. The last three are "...".
pub(crate) fn label(words: &str, room: usize) -> String {
    let words = printable(words);
    if words.chars().count() <= room {
        return words.into();
    }
    words.chars().take(room.saturating_sub(3)).chain("...".chars()).collect()
}
