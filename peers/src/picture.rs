//! A picture of the outcome: for every workload and size a bar for each system, how many times the floor it takes.

use quoit_floors::stats::Spread;
use quoit_floors::svg::{begin, put, text};
use quoit_floors::units;

use crate::document::Document;
use crate::table::number;

const COLUMNS: usize = 3;
const PANEL: f64 = 340.0;
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
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#9da7b3}.peer{fill:#6e7681}.threads{fill:#857548}\
.quoit{fill:#58a6ff}.floor{stroke:#ff7b72}}";

pub(crate) fn picture(document: &Document) -> String {
    let groups = document.groups();
    let mut body = String::new();
    let mut y = 46.0;
    for row in groups.chunks(COLUMNS) {
        let tallest = row.iter().map(|(_, _, outcomes)| outcomes.len()).max().unwrap_or(0);
        for (column, (workload, bytes, outcomes)) in row.iter().enumerate() {
            let x = 10.0 + PANEL * column as f64;
            let title = format!("{}, {}", short(workload.title()), units::bytes(*bytes as u64));
            text(&mut body, "title", x, y + 16.0, "start", &title);
            let mut sorted = outcomes.clone();
            let key = |ratio: Option<Spread>| ratio.map_or(f64::MAX, |ratio| ratio.median);
            sorted.sort_by(|a, b| key(a.ratio).total_cmp(&key(b.ratio)));
            for (number_of, outcome) in sorted.iter().enumerate() {
                let Some(ratio) = outcome.ratio else { continue };
                let at = y + 26.0 + STEP * number_of as f64;
                let class = match outcome.system.name() {
                    "quoit" => "quoit",
                    _ if outcome.system.threads() => "threads",
                    _ => "peer",
                };
                let share =
                    outcome.share.map_or_else(String::new, |share| format!(", {:.0} %", share * 100.0));
                let width = along(ratio.median);
                let (left, line) = (x + NAME, at + 11.0);
                text(&mut body, "label", left - 6.0, line, "end", outcome.system.name());
                put(
                    &mut body,
                    format_args!(
                        r#"<rect class="{class}" x="{left}" y="{at}" width="{width:.1}" height="{BAR}" rx="2"/>"#
                    ),
                );
                let words = format!("{}{share}", number(Some(ratio.median)));
                text(&mut body, "label", left + width + 4.0, line, "start", &words);
            }
            let floor = x + NAME + along(1.0);
            let end = y + 26.0 + STEP * sorted.len() as f64;
            let top = y + 22.0;
            put(
                &mut body,
                format_args!(
                    r#"<line class="floor" x1="{floor:.1}" x2="{floor:.1}" y1="{top}" y2="{end}"/>"#
                ),
            );
        }
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

/// Above everything, with the heights they stand at.
const NOTES: [(f64, &str); 2] = [
    (
        18.0,
        "Time by the floor's of the same round, logarithmic; shorter is better. The broken line is the floor: plain \
         atomics, nothing of a queue's duties.",
    ),
    (
        35.0,
        "Grey and blue: between two processes. Brown: between two threads of one. A share: of the records, so many \
         were received.",
    ),
];

/// How long a bar is.
fn along(ratio: f64) -> f64 {
    let part = (ratio.clamp(LEAST, MOST) / LEAST).ln() / (MOST / LEAST).ln();
    (part * (PANEL - NAME - 80.0)).max(1.0)
}

fn short(title: &str) -> &str {
    title.split(',').next().unwrap_or(title)
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
