//! Pictures: bars of ratios against the floor, and curves of percentiles. Colours are classes of the page's style.

use quoit_floors::latencies::Latencies;
use quoit_floors::stats::Spread;
use quoit_floors::svg::{begin, escape, put, text};
use quoit_floors::units;

use crate::document::{Outcome, Verdict};
use crate::ratio::Ratio;
use crate::words;

/// Bars: the width of everything, where they begin and end, and the height of one.
const WIDTH: f64 = 760.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 570.0;
/// Where the figures stand: right of everything that is drawn, so that no line runs through them.
const VALUES: f64 = RIGHT + 14.0;
const ROW: f64 = 30.0;

/// A bar each, with quartiles, worst round and target; of ratios to a floor, a line at 1. What is beyond all quartiles and
/// targets stands at the edge.
pub(crate) fn bars(outcomes: &[&Outcome]) -> String {
    let ends = outcomes.iter().flat_map(|outcome| {
        let target = outcome.target;
        [outcome.ratio.map(|ratio| ratio.spread.upper_quartile), target]
    });
    let most = ends.flatten().fold(1.0, f64::max) * 1.08;
    let x = |ratio: f64| LEFT + (RIGHT - LEFT) * (ratio / most).clamp(0.0, 1.0);
    let has_ratios =
        outcomes.iter().all(|outcome| matches!(outcome.ratio_of, Ratio::Time | Ratio::Throughput));
    let height = 26.0 + ROW * outcomes.len() as f64 + 8.0;
    let title = outcomes.first().map_or("", |outcome| caption(outcome.ratio_of));
    let mut svg = begin(WIDTH, height, title);
    let bottom = height - 8.0;
    for tick in ticks(most) {
        let at = x(tick);
        let class = if tick == 1.0 && has_ratios { "floor" } else { "grid" };
        put(
            &mut svg,
            format_args!(r#"<line class="{class}" x1="{at:.1}" y1="20" x2="{at:.1}" y2="{bottom}"/>"#),
        );
        put(
            &mut svg,
            format_args!(r#"<text class="tick" x="{at:.1}" y="13" text-anchor="middle">{tick}</text>"#),
        );
    }
    for (number, outcome) in outcomes.iter().enumerate() {
        let top = 26.0 + ROW * number as f64;
        let middle = top + ROW / 2.0;
        text(&mut svg, "label", LEFT - 10.0, middle + 4.0, "end", &outcome.label);
        let Some(ratio) = outcome.ratio else {
            text(&mut svg, "tick", LEFT + 8.0, middle + 4.0, "start", "not measured");
            continue;
        };
        let class = match outcome.verdict {
            Some(Verdict::Met | Verdict::JustMet) => "met",
            Some(_) => "missed",
            None => "plain",
        };
        let Spread { lower_quartile, median, upper_quartile } = ratio.spread;
        let [low, at, high, worst] = [lower_quartile, median, upper_quartile, ratio.worst].map(x);
        let width = at - LEFT;
        let title = format!(
            "{}: {median:.2}, quartiles {}, worst round {:.2}",
            outcome.label,
            words::quartiles(outcome.ratio),
            ratio.worst
        );
        put(
            &mut svg,
            format_args!(
                r#"<rect class="{class}" x="{LEFT}" y="{:.1}" width="{width:.1}" height="16" rx="2"><title>{}</title></rect>"#,
                middle - 8.0,
                escape(&title)
            ),
        );
        put(
            &mut svg,
            format_args!(
                r#"<path class="whisker" d="M{low:.1} {middle:.1}H{high:.1}M{low:.1} {:.1}v8M{high:.1} {:.1}v8"/>"#,
                middle - 4.0,
                middle - 4.0
            ),
        );
        put(&mut svg, format_args!(r#"<circle class="worst" cx="{worst:.1}" cy="{middle:.1}" r="3.5"/>"#));
        if let Some(target) = outcome.target {
            let at = x(target);
            put(
                &mut svg,
                format_args!(
                    r#"<line class="target" x1="{at:.1}" y1="{:.1}" x2="{at:.1}" y2="{:.1}"/>"#,
                    middle - 12.0,
                    middle + 12.0
                ),
            );
        }
        let words = match (outcome.target, outcome.verdict) {
            (Some(target), Some(verdict)) => {
                format!("{median:.2}  {} {target:.2} {}", outcome.ratio_of.sign(), verdict.word())
            }
            _ => format!("{median:.2}"),
        };
        text(&mut svg, "value", VALUES, middle + 4.0, "start", &words);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Curves: the size of the whole, and the frame within.
const SIZE: (f64, f64) = (370.0, 230.0);
const FRAME: (f64, f64, f64, f64) = (48.0, 26.0, 360.0, 200.0);

/// Percentiles of one row and its floor: nines to the right, time upwards, both logarithmic.
pub(crate) fn curves(outcome: &Outcome) -> Option<String> {
    let quoit = outcome.quoit_latencies.as_ref()?;
    let lines = [("floor-line", outcome.floor_latencies.as_ref()), ("quoit-line", Some(quoit))];
    let all = || lines.iter().filter_map(|(_, latencies)| *latencies);
    let low = all().map(|latencies| latencies.at(0.0)).min()?.max(1) as f64;
    let high = all().map(|latencies| latencies.at(1.0)).max()? as f64;
    let nines = all().map(Latencies::count).max()?.max(10) as f64;
    let (left, top, right, bottom) = FRAME;
    let (decades, low, high) = (nines.log10(), low.log10(), (high * 1.1).log10().max(low.log10() + 0.3));
    let x = |tail: f64| left + (right - left) * (-tail.log10() / decades).min(1.0);
    let y = |nanos: f64| bottom - (bottom - top) * (nanos.max(1.0).log10() - low) / (high - low);
    let title = format!("Percentiles of {}", words::row(outcome));
    let mut svg = begin(SIZE.0, SIZE.1, &title);
    text(&mut svg, "label", left, 14.0, "start", &words::row(outcome));
    for (percentile, tail) in [
        ("50 %", 0.5),
        ("90 %", 0.1),
        ("99 %", 0.01),
        ("99.9 %", 0.001),
        ("99.99 %", 1e-4),
        ("99.999 %", 1e-5),
    ] {
        if -f64::log10(tail) <= decades {
            let at = x(tail);
            put(
                &mut svg,
                format_args!(r#"<line class="grid" x1="{at:.1}" y1="{top}" x2="{at:.1}" y2="{bottom}"/>"#),
            );
            // The last one would stick out of the picture.
            let (at, anchor) = if at + 24.0 > SIZE.0 { (SIZE.0, "end") } else { (at, "middle") };
            text(&mut svg, "tick", at, bottom + 15.0, anchor, percentile);
        }
    }
    let mut decade = 10_f64.powf(low.floor());
    while decade <= 10_f64.powf(high) {
        for step in [1.0, 2.0, 5.0] {
            let nanos = decade * step;
            if (low..=high).contains(&nanos.log10()) {
                let at = y(nanos);
                put(
                    &mut svg,
                    format_args!(
                        r#"<line class="grid" x1="{left}" y1="{at:.1}" x2="{right}" y2="{at:.1}"/>"#
                    ),
                );
                // Over many decades the powers of ten are enough.
                if step == 1.0 || high - low < 3.0 {
                    text(&mut svg, "tick", left - 5.0, at + 4.0, "end", &units::nanos(nanos, 3));
                }
            }
        }
        decade *= 10.0;
    }
    for (class, latencies) in lines {
        let Some(latencies) = latencies else { continue };
        let mut path = String::new();
        let steps = 120;
        for step in 0..=steps {
            let tail = 10_f64.powf(-decades * f64::from(step) / f64::from(steps));
            let nanos = latencies.at(1.0 - tail) as f64;
            let letter = if step == 0 { 'M' } else { 'L' };
            put(&mut path, format_args!("{letter}{:.1} {:.1}", x(tail), y(nanos)));
        }
        put(&mut svg, format_args!(r#"<path class="{class}" d="{path}"/>"#));
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

/// Round numbers up to `most`, with 1 among them.
fn ticks(most: f64) -> Vec<f64> {
    let step =
        [0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0].into_iter().find(|step| most / step <= 9.0);
    let step = step.unwrap_or(most / 5.0);
    let mut ticks: Vec<f64> = (0..=(most / step) as u32).map(|number| f64::from(number) * step).collect();
    if !ticks.contains(&1.0) {
        ticks.push(1.0);
    }
    ticks
}

/// What bars show, and which way is good.
pub(crate) fn caption(ratio: Ratio) -> &'static str {
    match ratio {
        Ratio::Time => "Ratio to the floor; shorter is better",
        Ratio::Throughput => "Ratio to the floor; longer is better",
        Ratio::Extra => "Nanoseconds beyond the floor; shorter is better",
        Ratio::Share => "Share; longer is better",
        Ratio::Part => "Percent; shorter is better",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_has_a_tick() {
        assert_eq!(ticks(1.9), [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]);
        assert_eq!(ticks(4.6), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert!(ticks(40.0).contains(&1.0));
    }
}
