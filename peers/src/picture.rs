//! A picture of the outcome: for every workload and size a bar for each system, how many times the floor it takes.

use std::fmt::Write as _;

use crate::document::Document;
use crate::table::{number, size};

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
            let title = format!("{}, {}", short(workload.title()), size(*bytes));
            let _ = writeln!(body, r#"<text class="title" x="{x}" y="{}">{title}</text>"#, y + 16.0);
            let mut sorted = outcomes.clone();
            let key =
                |ratio: Option<quoit_floors::stats::Spread>| ratio.map_or(f64::MAX, |ratio| ratio.median);
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
                let _ = writeln!(
                    body,
                    r#"<text x="{}" y="{}" text-anchor="end">{}</text><rect class="{class}" x="{}" y="{at}" width="{width:.1}" height="{BAR}" rx="2"/><text x="{:.1}" y="{}">{}{share}</text>"#,
                    x + NAME - 6.0,
                    at + 11.0,
                    outcome.system.name(),
                    x + NAME,
                    x + NAME + width + 4.0,
                    at + 11.0,
                    number(Some(ratio.median)),
                );
            }
            let floor = x + NAME + along(1.0);
            let end = y + 26.0 + STEP * sorted.len() as f64;
            let _ = writeln!(
                body,
                r#"<line class="floor" x1="{floor:.1}" x2="{floor:.1}" y1="{}" y2="{end}"/>"#,
                y + 22.0
            );
        }
        y += TOP + STEP * tallest as f64;
    }
    let width = 10.0 + PANEL * COLUMNS as f64;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {y}\" width=\"{width}\" height=\"{y}\" \
         role=\"img\" aria-label=\"Time by the floor's time, for every workload and system\">\n<style>{STYLE}</style>\n\
         <text class=\"note\" x=\"10\" y=\"18\">Time by the floor's of the same round, logarithmic; shorter is better. \
         The broken line is the floor: plain atomics, nothing of a queue's duties.</text>\n\
         <text class=\"note\" x=\"10\" y=\"35\">Grey and blue: between two processes. Brown: between two threads of \
         one. A share: of the records, so many were received.</text>\n{body}</svg>\n"
    )
}

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
