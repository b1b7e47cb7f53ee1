//! A picture of the outcome: a panel for a column of each table, a bar for each system, how many times the floor it takes.

use quoit_floors::svg::{begin, put, text};

use crate::document::Document;
use crate::system::System;
use crate::table::{Cell, Table, number, tables};

/// Of each table one column, or the few that say different things.
const SHOWN: [&str; 5] = ["64 B", "4 consumers", "nobody reads", "one busy consumer", "p50"];

const COLUMNS: usize = 3;
const PANEL: f64 = 380.0;
const NAME: f64 = 126.0;
const BAR: f64 = 14.0;
const STEP: f64 = 18.0;
const TOP: f64 = 44.0;
/// The scale is logarithmic: from a little under the floor to so many times of it.
const LEAST: f64 = 0.25;
const MOST: f64 = 100.0;

/// Colours that can be read on white and on black.
const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#24292f}.title{font-weight:600;font-size:13px}.note{fill:#57606a}\
.peer{fill:#8c959f}.threads{fill:#c3b28a}.quoit{fill:#0969da}.floor{stroke:#cf222e;stroke-dasharray:3 2}\
.worst{stroke:#57606a}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#9da7b3}.peer{fill:#6e7681}.threads{fill:#857548}\
.quoit{fill:#58a6ff}.floor{stroke:#ff7b72}.worst{stroke:#9da7b3}}";

/// One column of a table.
struct Panel {
    title: String,
    bars: Vec<(System, Cell)>,
}

fn panels(table: &Table) -> Vec<Panel> {
    let columns = table.columns.iter().enumerate();
    let shown = columns.filter(|(_, column)| SHOWN.contains(&column.label.as_str()));
    let panel = |(at, label): (usize, &str)| {
        let mut bars: Vec<_> =
            table.rows.iter().filter_map(|row| Some((row.system, row.cells[at]?))).collect();
        bars.sort_by(|(_, a), (_, b)| a.ratio.median().total_cmp(&b.ratio.median()));
        // What the table has in all columns is in its title.
        let title = table.title.replace(", 64 B", "");
        Panel { title: format!("{title}, {label}"), bars }
    };
    shown.map(|(at, column)| panel((at, &column.label))).collect()
}

pub(crate) fn picture(document: &Document) -> String {
    let panels: Vec<Panel> = tables(document).iter().flat_map(panels).collect();
    let mut body = String::new();
    let mut y = 63.0;
    for row in panels.chunks(COLUMNS) {
        for (column, panel) in row.iter().enumerate() {
            draw(&mut body, 10.0 + PANEL * column as f64, y, panel);
        }
        let tallest = row.iter().map(|panel| panel.bars.len()).max().unwrap_or(0);
        y += TOP + STEP * tallest as f64;
    }
    let width = 10.0 + PANEL * COLUMNS as f64;
    let mut picture = begin(width, y, "Time by the floor's time, for every workload and system");
    put(&mut picture, format_args!("<style>{STYLE}</style>"));
    for (y, note) in NOTES {
        text(&mut picture, "note", 10.0, y, "start", note);
    }
    picture + &body + "</svg>\n"
}

fn draw(body: &mut String, x: f64, y: f64, panel: &Panel) {
    text(body, "title", x, y + 16.0, "start", &panel.title);
    let left = x + NAME;
    for (number_of, (system, cell)) in panel.bars.iter().enumerate() {
        let at = y + 26.0 + STEP * number_of as f64;
        let class = match system {
            System::Quoit => "quoit",
            _ if system.threads() => "threads",
            _ => "peer",
        };
        let (line, middle) = (at + 11.0, at + BAR / 2.0);
        let (width, worst) = (along(cell.ratio.median()), along(cell.ratio.worst));
        text(body, "label", left - 6.0, line, "end", system.name());
        put(
            body,
            format_args!(
                r#"<rect class="{class}" x="{left}" y="{at}" width="{width:.1}" height="{BAR}" rx="2"/>"#
            ),
        );
        put(
            body,
            format_args!(
                r#"<line class="worst" x1="{:.1}" x2="{:.1}" y1="{middle}" y2="{middle}"/>"#,
                left + width,
                left + worst
            ),
        );
        let share = cell.share.map_or_else(String::new, |share| format!(", {:.0} %", share * 100.0));
        let words = format!("{}{share}", number(cell.ratio.median()));
        text(body, "label", left + worst + 4.0, line, "start", &words);
    }
    let floor = left + along(1.0);
    let (top, end) = (y + 22.0, y + 26.0 + STEP * panel.bars.len() as f64);
    put(body, format_args!(r#"<line class="floor" x1="{floor:.1}" x2="{floor:.1}" y1="{top}" y2="{end}"/>"#));
}

/// Above everything, with the heights they stand at.
const NOTES: [(f64, &str); 3] = [
    (
        18.0,
        "Time by the floor's of the same round, logarithmic; shorter is better. The broken line is the floor: plain \
         atomics, nothing of a queue's duties.",
    ),
    (35.0, "A bar is the median, and the line behind it ends at the worst round kept."),
    (
        52.0,
        "Grey and blue: between processes. Brown: between threads of one process. A share: of the records, so many were \
         received.",
    ),
];

/// How long a bar is.
fn along(ratio: f64) -> f64 {
    let part = (ratio.clamp(LEAST, MOST) / LEAST).ln() / (MOST / LEAST).ln();
    (part * (PANEL - NAME - 100.0)).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_with_the_ratio() {
        let lengths = [0.1, 0.5, 1.0, 10.0, 1000.0].map(along);
        assert!(lengths.is_sorted() && lengths[0] == 1.0, "{lengths:?}");
        assert!(lengths[4] <= PANEL - NAME);
    }
}
