//! Web pages with tables, charts and images, each in one file. They work on screens of any width, in light and dark
//! mode, and on paper. A page has no scripts, and its content security policy forbids loading other files.

use std::fmt::Write;

use base64::prelude::{BASE64_STANDARD, Engine};
use plotters::style::RGBColor;
use tonic_base::printable;

use crate::curve_groups::{Scale, panel};
use crate::error::Result;
use crate::picture::{GROUPS, Picture, draw};
use crate::plot::{Curve, draw_shares};

/// Size of a chart. On a phone, a chart is as wide as the screen, and its text stays readable.
const CHART: (u32, u32) = (420, 270);
/// Size of a chart whose horizontal axis is the time within a sample.
const TIME_CHART: (u32, u32) = (420, 190);
const STYLE: &str = include_str!("page.css");

/// Escapes a text for HTML. Hidden characters become visible escapes.
pub fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in printable(text).chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Returns a page with this title. `body` is HTML.
pub fn html_page(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         img-src data:\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

/// Returns a table. The first `texts` columns have texts, the others numbers.
pub fn html_table(head: &[&str], texts: usize, rows: &[Vec<String>]) -> String {
    let class = |column: usize| if column < texts { "" } else { " class=\"number\"" };
    let mut out = String::from("<div class=\"wide\"><table>\n<thead><tr>");
    for (i, name) in head.iter().enumerate() {
        let _ = write!(out, "<th{}>{}</th>", class(i), escaped(name));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (i, cell) in row.iter().enumerate() {
            let _ = write!(out, "<td{}>{}</td>", class(i), escaped(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// Returns a confusion matrix as a table. `matrix[t][p]` is the number of samples of class `t` that were predicted as
/// class `p`. The strength of a cell's colour shows its share of the samples of class `t`.
pub fn confusion_table(classes: &[String], matrix: &[Vec<u64>]) -> String {
    let mut out =
        String::from("<div class=\"wide\"><table class=\"confusion\">\n<thead><tr><th>true \\ predicted</th>");
    for name in classes {
        let _ = write!(out, "<th><span>{}</span></th>", escaped(name));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for (t, (name, counts)) in classes.iter().zip(matrix).enumerate() {
        let total = counts.iter().sum::<u64>().max(1) as f64;
        let _ = write!(out, "<tr><th>{}</th>", escaped(name));
        for (p, &count) in counts.iter().enumerate() {
            let words = format!("{count} of {name} predicted as {}", classes[p]);
            let kind = if t == p { "hit" } else { "miss" };
            let share = (count as f64 / total).sqrt() * 100.0;
            let _ = match count {
                0 => write!(out, "<td></td>"),
                _ => write!(
                    out,
                    "<td class=\"{kind}\" style=\"--share:{share:.0}%\" title=\"{}\">{count}</td>",
                    escaped(&words)
                ),
            };
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// Returns a chart of curves over epochs, with its title and a legend: a `figure` element.
///
/// # Errors
/// [`Error::Plot`](crate::Error::Plot).
pub fn epoch_chart(title: &str, y_name: &str, scale: Scale, curves: &[Curve]) -> Result<String> {
    let groups: Vec<[Vec<(f64, f64)>; 1]> = curves.iter().map(|curve| [curve.points.clone()]).collect();
    let groups: Vec<&[Vec<(f64, f64)>]> = groups.iter().map(<[_; 1]>::as_slice).collect();
    let picture = draw(CHART, title, |area| panel(area, (y_name, scale), &groups))?;
    Ok(figure(title, &picture, curves))
}

/// Returns a chart as a `figure` element, with a legend. The curves show shares from 0 to 1 over the time within a
/// sample.
///
/// # Errors
/// [`Error::Plot`](crate::Error::Plot).
pub fn time_chart(title: &str, x_name: &str, curves: &[Curve]) -> Result<String> {
    let picture = draw(TIME_CHART, title, |area| draw_shares(area, "share", x_name, curves, false))?;
    Ok(figure(title, &picture, curves))
}

fn figure(title: &str, picture: &Picture, curves: &[Curve]) -> String {
    let mut out = format!("<figure class=\"chart\"><figcaption>{}</figcaption>", escaped(title));
    out.push_str(&scalable(picture.svg(), title));
    out.push_str("<p class=\"legend\">");
    let named = if curves.len() > 1 { curves } else { &[] };
    for (curve, RGBColor(r, g, b)) in named.iter().zip(GROUPS.iter().cycle()) {
        let _ = write!(out, "<span><i data-colour=\"#{r:02X}{g:02X}{b:02X}\"></i>{}</span> ", escaped(&curve.name));
    }
    out.push_str("</p></figure>\n");
    out
}

/// Makes an SVG take the full width of its container. `name` is the text that screen readers read out.
fn scalable(svg: &str, name: &str) -> String {
    let Some((head, rest)) = svg.split_once('>') else { return String::new() };
    let attribute = |key: &str| head.split_once(&format!(" {key}=\"")).and_then(|(_, rest)| rest.split('"').next());
    let size = attribute("viewBox").unwrap_or("0 0 1 1");
    format!("<svg viewBox=\"{size}\" role=\"img\" aria-label=\"{}\">{}", escaped(name), rest.trim_end())
}

/// Returns an `img` element that contains the image's data. `height` is its height in pixels.
pub(crate) fn image(png: &[u8], name: &str, class: &str, height: usize) -> String {
    let data = BASE64_STANDARD.encode(png);
    format!(
        "<img class=\"{class}\" height=\"{height}\" alt=\"{}\" src=\"data:image/png;base64,{data}\">",
        escaped(name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "</title><script>alert('1')</script>\"\u{1b}[2J";

    #[test]
    fn texts_cannot_become_elements() {
        let name = || HOSTILE.to_string();
        let curve = Curve { name: name(), points: vec![(1.0, 0.5), (2.0, 0.25)] };
        let parts = [
            html_page(HOSTILE, ""),
            html_table(&[HOSTILE], 1, &[vec![name()]]),
            confusion_table(&[name(), name()], &[vec![1, 2], vec![0, 3]]),
            epoch_chart(HOSTILE, HOSTILE, Scale::Auto, std::slice::from_ref(&curve)).unwrap(),
            time_chart(HOSTILE, "frame", &[curve]).unwrap(),
            image(&[1, 2, 3], HOSTILE, "raster", 9),
        ];
        for part in parts {
            assert!(!part.contains("<script") && !part.contains('\u{1b}') && part.contains("&lt;script&gt;"), "{part}");
        }
    }

    #[test]
    fn a_chart_scales_and_has_the_colours_of_its_legend() {
        let curve = |name: &str| Curve { name: name.into(), points: vec![(1.0, 1.0), (2.0, 0.5)] };
        let html = epoch_chart("loss", "cross entropy", Scale::Auto, &[curve("train"), curve("valid")]).unwrap();
        assert!(html.contains("<svg viewBox=\"0 0 420 270\" role=\"img\""), "{html}");
        for colour in ["#0072B2", "#D55E00"] {
            assert!(html.contains(&format!("<i data-colour=\"{colour}\">")), "{colour}");
            assert!(html.contains(&format!("stroke=\"{colour}\"")), "{colour}");
        }
    }
}
