//! The parts of every picture. Colours are classes, for the page or the picture to define.

use std::fmt::{Display, Write as _};

/// Opens a picture of this size.
pub fn begin(width: f64, height: f64, title: &str) -> String {
    let title = escape(title);
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="{title}">"#
    ) + "\n"
}

/// Words at a place; `anchor` says which end of them is there.
pub fn text(svg: &mut String, class: &str, x: f64, y: f64, anchor: &str, words: &str) {
    let words = escape(words);
    put(
        svg,
        format_args!(r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#),
    );
}

/// A line of the picture.
pub fn put(svg: &mut String, part: impl Display) {
    // Writing to a string cannot fail.
    let _ = writeln!(svg, "{part}");
}

/// Text as it stands in a page or a picture.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
