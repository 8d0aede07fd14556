//! The surface that pictures are drawn on: an SVG and an image at the same time. Making the image from the finished
//! SVG would need another library.

use std::io;

use plotters::prelude::*;
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingErrorKind};

/// Pixels of the finished image per unit of the SVG, in each direction.
const SCALE: u32 = 2;
/// The image is first drawn this many times larger, because plotters places letters and lines on whole pixels.
const OVERSAMPLING: u32 = 2;
const DRAWN: u32 = SCALE * OVERSAMPLING;
/// Makes text in the image look as in the SVG: (factor for the font size, downward shift as a share of the font size).
const TEXT: (f64, f64) = (0.9, 0.12);

/// An SVG and an RGB image that plotters draws into.
pub(crate) struct Sheet<'a> {
    svg: SVGBackend<'a>,
    image: BitMapBackend<'a>,
}

type Drawn = Result<(), DrawingErrorKind<io::Error>>;

/// RGB image: `size` is (width, height), and `pixels` has the shape (height, width, 3).
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub size: (u32, u32),
    pub pixels: Vec<u8>,
}

impl Image {
    /// Creates a black image for a [`Sheet`] of this size in units of the SVG.
    pub(crate) fn of_sheet((width, height): (u32, u32)) -> Image {
        let size = (width * DRAWN, height * DRAWN);
        Image { size, pixels: vec![0; size.0 as usize * size.1 as usize * 3] }
    }

    /// Reduces the image to its final size: averages blocks of pixels.
    pub(crate) fn averaged(self) -> Image {
        let over = OVERSAMPLING as usize;
        let (width, size) = (self.size.0 as usize, (self.size.0 / OVERSAMPLING, self.size.1 / OVERSAMPLING));
        let sum = |row: usize, column: usize, channel: usize| -> usize {
            let cell = (0..over * over).map(|i| (row * over + i / over) * width + column * over + i % over);
            cell.map(|pixel| self.pixels[pixel * 3 + channel] as usize).sum()
        };
        let pixels = (0..size.1 as usize * size.0 as usize * 3).map(|i| {
            let (pixel, channel) = (i / 3, i % 3);
            (sum(pixel / size.0 as usize, pixel % size.0 as usize, channel) / (over * over)) as u8
        });
        Image { size, pixels: pixels.collect() }
    }
}

impl<'a> Sheet<'a> {
    /// Creates a surface of `size` units. `image` must come from [`Image::of_sheet`] with the same size.
    pub(crate) fn new(svg: &'a mut String, image: &'a mut Image, size: (u32, u32)) -> Sheet<'a> {
        let image = BitMapBackend::with_buffer(&mut image.pixels, image.size);
        Sheet { svg: SVGBackend::with_string(svg, size), image }
    }
}

fn scaled((x, y): BackendCoord) -> BackendCoord {
    (x * DRAWN as i32, y * DRAWN as i32)
}

fn pen(style: &impl BackendStyle) -> ShapeStyle {
    let BackendColor { alpha, rgb: (r, g, b) } = style.color();
    let color = RGBAColor(r, g, b, alpha);
    ShapeStyle { color, filled: true, stroke_width: style.stroke_width() * DRAWN }
}

fn on_image<E: std::error::Error + Send + Sync + 'static>(drawn: Result<(), DrawingErrorKind<E>>) -> Drawn {
    drawn.map_err(|e| DrawingErrorKind::DrawingError(io::Error::other(e)))
}

impl DrawingBackend for Sheet<'_> {
    type ErrorType = io::Error;

    fn get_size(&self) -> (u32, u32) {
        self.svg.get_size()
    }

    fn ensure_prepared(&mut self) -> Drawn {
        self.svg.ensure_prepared()?;
        on_image(self.image.ensure_prepared())
    }

    fn present(&mut self) -> Drawn {
        self.svg.present()?;
        on_image(self.image.present())
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Drawn {
        self.draw_rect(point, (point.0 + 1, point.1 + 1), &color, true)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.svg.draw_line(from, to, style)?;
        on_image(self.image.draw_line(scaled(from), scaled(to), &pen(style)))
    }

    fn draw_rect<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S, fill: bool) -> Drawn {
        self.svg.draw_rect(from, to, style, fill)?;
        on_image(self.image.draw_rect(scaled(from), scaled(to), &pen(style), fill))
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        let path: Vec<BackendCoord> = path.into_iter().collect();
        self.svg.draw_path(path.iter().copied(), style)?;
        on_image(self.image.draw_path(path.into_iter().map(scaled), &pen(style)))
    }

    fn draw_circle<S: BackendStyle>(&mut self, center: BackendCoord, radius: u32, style: &S, fill: bool) -> Drawn {
        self.svg.draw_circle(center, radius, style, fill)?;
        on_image(self.image.draw_circle(scaled(center), radius * DRAWN, &pen(style), fill))
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, vertices: I, style: &S) -> Drawn {
        let vertices: Vec<BackendCoord> = vertices.into_iter().collect();
        self.svg.fill_polygon(vertices.iter().copied(), style)?;
        on_image(self.image.fill_polygon(vertices.into_iter().map(scaled), &pen(style)))
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, position: BackendCoord) -> Drawn {
        self.svg.draw_text(text, style, position)?;
        let size = style.size() * f64::from(DRAWN);
        let lower = style.transform().transform(0, (TEXT.1 * size) as i32);
        let position = (scaled(position).0 + lower.0, scaled(position).1 + lower.1);
        let font = FontDesc::new(style.family(), TEXT.0 * size, style.style()).transform(style.transform());
        let style = TextStyle { font, color: style.color(), pos: style.anchor() };
        on_image(self.image.draw_text(text, &style, position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_shows_what_the_svg_holds() {
        let (size, mut svg) = ((9, 7), String::new());
        let mut image = Image::of_sheet(size);
        let area = Sheet::new(&mut svg, &mut image, size).into_drawing_area();
        area.fill(&WHITE).unwrap();
        area.draw(&Rectangle::new([(2, 3), (4, 6)], RED.filled())).unwrap();
        drop(area);
        let image = image.averaged();
        assert!(svg.contains(r#"<rect x="2" y="3" width="2" height="3""#), "{svg}");
        assert_eq!(image.size, (18, 14));
        for (i, pixel) in image.pixels.chunks(3).enumerate() {
            let red = (4..8).contains(&(i % 18)) && (6..12).contains(&(i / 18));
            assert_eq!(pixel, if red { [255, 0, 0] } else { [255; 3] }, "pixel {i}");
        }
    }
}
