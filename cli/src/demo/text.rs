//! Numbers as people read them, and a little colour.

use std::time::Duration;

use hdrhistogram::Histogram;

/// What a piece of text is to be taken as.
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

/// 1234567 as 1,234,567.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Nanoseconds in at most six characters.
pub(crate) fn nanos(nanos: u64) -> String {
    let (value, unit) = match nanos {
        0..1_000 => return format!("{nanos} ns"),
        1_000..999_500 => (nanos as f64 / 1e3, "µs"),
        999_500..999_500_000 => (nanos as f64 / 1e6, "ms"),
        _ => (nanos as f64 / 1e9, "s"),
    };
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// A moment of the show.
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
    fn counts() {
        let shown = [0, 7, 999, 1000, 65_536, 1_234_567, u64::MAX].map(count);
        assert_eq!(shown, ["0", "7", "999", "1,000", "65,536", "1,234,567", "18,446,744,073,709,551,615"]);
    }

    #[test]
    fn times_fit_six_characters() {
        assert_eq!(nanos(999), "999 ns");
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
    fn colour_only_where_wanted() {
        let line = vec![(Tone::Good, "yes".to_owned()), (Tone::Plain, " or no".to_owned())];
        assert_eq!(paint(&line, false), "yes or no");
        assert_eq!(paint(&line, true), "\x1b[32myes\x1b[0m or no");
    }
}
