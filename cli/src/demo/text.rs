//! Text with a little colour, and ages.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::units;

/// The meaning of a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Dim,
    Strong,
    Good,
    Warn,
    Bad,
}

/// A line of text in pieces.
pub(crate) type Pieces = Vec<(Tone, String)>;

/// The line for a terminal, with colours, or as it is.
pub(crate) fn paint(line: &Pieces, colours: bool) -> String {
    let mut text = String::new();
    for (tone, piece) in line {
        let code = match tone {
            Tone::Plain => "",
            Tone::Dim => "2",
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
        };
        if colours && !code.is_empty() {
            text.push_str(&format!("\x1b[{code}m{piece}\x1b[0m"));
        } else {
            text.push_str(piece);
        }
    }
    text.trim_end().to_owned()
}

/// The line wrapped to `width` columns, all but the first indented by `indent` spaces. Words stay whole, and so do
/// the gaps between them within a line.
pub(crate) fn wrap(line: &Pieces, width: usize, indent: usize) -> Vec<Pieces> {
    let mut lines = vec![Pieces::new()];
    let mut column = 0;
    for (tone, piece) in line {
        let mut rest = piece.as_str();
        while !rest.is_empty() {
            let gap = rest.len() - rest.trim_start_matches(' ').len();
            let end = rest[gap..].find(' ').map_or(rest.len(), |end| gap + end);
            let (mut word, after) = rest.split_at(end);
            rest = after;
            if column > indent && column + word.chars().count() > width {
                lines.push(vec![(Tone::Plain, " ".repeat(indent))]);
                column = indent;
                word = &word[gap..];
            }
            column += word.chars().count();
            if let Some(last) = lines.last_mut() {
                last.push((*tone, word.to_owned()));
            }
        }
    }
    lines
}

/// Nanoseconds in at most six characters.
pub(crate) fn nanos(nanos: u64) -> String {
    units::nanos(nanos as f64, 2)
}

/// The column of an event's text, after its time.
pub(crate) const EVENT: usize = 11;

/// A time within the demo.
pub(crate) fn moment(at: Duration) -> String {
    format!("t+{:>4.1} s", at.as_secs_f64())
}

/// A histogram of ages from 1 ns to a minute, to two figures.
pub(crate) fn histogram() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, 60_000_000_000, 2) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("the bounds are constant: {error}"),
    }
}

/// p50, p99, p99.9 and the highest, or dashes.
pub(crate) fn percentiles(ages: &Histogram<u64>) -> [String; 4] {
    if ages.is_empty() {
        return std::array::from_fn(|_| "–".to_owned());
    }
    [ages.value_at_quantile(0.5), ages.value_at_quantile(0.99), ages.value_at_quantile(0.999), ages.max()]
        .map(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fit_six_characters() {
        assert_eq!(nanos(994), "990 ns");
        assert_eq!(nanos(4_512), "4.5 µs");
        assert_eq!(nanos(45_120), "45 µs");
        assert_eq!(nanos(9_960_000), "10 ms");
        assert_eq!(nanos(50_400_000), "50 ms");
        assert_eq!(nanos(1_200_000_000), "1.2 s");
        for value in (0..60).map(|power| 1_u64 << power).filter(|value| *value < 60_000_000_000) {
            assert!(nanos(value).chars().count() <= 6, "{}", nanos(value));
        }
    }

    #[test]
    fn lines_keep_to_the_width() {
        let line =
            vec![(Tone::Dim, " t+ 1.0 s  ".to_owned()), (Tone::Bad, "kill -9 123: the producer".to_owned())];
        let shown = |width| wrap(&line, width, 11).iter().map(|line| paint(line, false)).collect::<Vec<_>>();
        assert_eq!(shown(79), [" t+ 1.0 s  kill -9 123: the producer"]);
        assert_eq!(shown(36), [" t+ 1.0 s  kill -9 123: the producer"]);
        assert_eq!(shown(35), [" t+ 1.0 s  kill -9 123: the", "           producer"]);
        assert_eq!(shown(20), [" t+ 1.0 s  kill -9", "           123: the", "           producer"]);
        let padded = vec![(Tone::Plain, "a    b".to_owned()), (Tone::Good, "    ".to_owned())];
        assert_eq!(wrap(&padded, 79, 2).len(), 1);
        assert_eq!(paint(&wrap(&padded, 79, 2)[0], false), "a    b");
    }

    #[test]
    fn colour_only_where_wanted() {
        let line = vec![(Tone::Good, "yes".to_owned()), (Tone::Plain, " or no".to_owned())];
        assert_eq!(paint(&line, false), "yes or no");
        assert_eq!(paint(&line, true), "\x1b[32myes\x1b[0m or no");
    }
}
