//! How every number is printed that people read, by the measurements and by the command.
//!
//! One style: 1,234,567; 1.5 KiB; 12.3 µs; 2 min 15 s.

use std::time::Duration;

/// A number as people group it: 1,234,567 reads faster than 1234567.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// So many of them: "1 record", "2,000 records".
pub fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// Bytes in the largest binary unit that leaves a number from 1 up, exact where it can be.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1024 {
        return counted_bytes(number);
    }
    let mut power = number.ilog2() / 10;
    // 1023.96 KiB is not to be shown as 1024.0 KiB.
    let rounded = |power: u32| (number as f64 / (1_u64 << (10 * power)) as f64 * 10.0).round() / 10.0;
    if power < UNITS.len() as u32 && rounded(power) >= 1024.0 {
        power += 1;
    }
    let (unit, scale) = (UNITS[power as usize - 1], 1_u64 << (10 * power));
    if number.is_multiple_of(scale) {
        format!("{} {unit}", count(number / scale))
    } else {
        let value = rounded(power);
        format!("{}.{} {unit}", count(value as u64), (value * 10.0) as u64 % 10)
    }
}

fn counted_bytes(number: u64) -> String {
    format!("{} B", count(number))
}

/// A duration to three figures.
pub fn time(duration: Duration) -> String {
    nanos(duration.as_nanos() as f64, 3)
}

/// Nanoseconds to so many figures, without zeros that say nothing: "4.3 ms", "129 ns"; from a minute on in two units.
pub fn nanos(nanos: f64, figures: i32) -> String {
    const UNITS: [(&str, f64); 4] = [("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)];
    // Rounded first: 999.6 µs are 1 ms, not 1000 µs.
    let magnitude = nanos.max(1.0).log10().floor() as i32;
    let step = 10_f64.powi(magnitude + 1 - figures);
    let rounded = (nanos / step).round() * step;
    if rounded >= 60e9 {
        return minutes((nanos / 1e9).round() as u64);
    }
    let (unit, scale) = UNITS.into_iter().rfind(|(_, scale)| rounded >= *scale).unwrap_or(UNITS[0]);
    let value = rounded / scale;
    let before = value.max(1.0).log10().floor() as i32 + 1;
    let mut text = format!("{value:.0$}", (figures - before).max(0) as usize);
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    format!("{text} {unit}")
}

/// Seconds, a minute of them or more.
fn minutes(seconds: u64) -> String {
    let pairs = [("d", 86_400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)];
    let (large, per_large, small, per_small) =
        pairs.into_iter().find(|(_, per_large, ..)| seconds >= *per_large).unwrap_or(pairs[2]);
    let (whole, rest) = (count(seconds / per_large), seconds % per_large / per_small);
    if rest == 0 { format!("{whole} {large}") } else { format!("{whole} {large} {rest} {small}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(counted(1, "record"), "1 record");
        assert_eq!(counted(0, "record"), "0 records");
        assert_eq!(counted(2_000, "record"), "2,000 records");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1000), "1,000 B");
        assert_eq!(bytes(1023), "1,023 B");
        assert_eq!(bytes(1024), "1 KiB");
        assert_eq!(bytes(64 << 20), "64 MiB");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(1000 << 10), "1,000 KiB");
        assert_eq!(bytes((1000 << 10) + 512), "1,000.5 KiB");
        assert_eq!(bytes((1 << 20) - 1), "1.0 MiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn times_printed() {
        let shown = |nanos| time(Duration::from_nanos(nanos));
        assert_eq!(shown(0), "0 ns");
        assert_eq!(shown(12), "12 ns");
        assert_eq!(shown(999), "999 ns");
        assert_eq!(shown(1_000), "1 µs");
        assert_eq!(shown(1_500_000), "1.5 ms");
        assert_eq!(shown(4_302_000), "4.3 ms");
        assert_eq!(shown(123_456), "123 µs");
        assert_eq!(shown(999_499), "999 µs");
        assert_eq!(shown(999_500), "1 ms");
        assert_eq!(shown(2_000_000_000), "2 s");
        assert_eq!(shown(59_940_000_000), "59.9 s");
        assert_eq!(shown(59_960_000_000), "1 min");
        assert_eq!(shown(135_000_000_000), "2 min 15 s");
        assert_eq!(shown(3_600_000_000_000), "1 h");
        assert_eq!(shown(7_380_000_000_000), "2 h 3 min");
        assert_eq!(shown(270_000_000_000_000), "3 d 3 h");
        assert_eq!(nanos(1.234, 3), "1.23 ns");
        assert_eq!(nanos(0.512, 3), "0.51 ns");
        assert_eq!(nanos(100.0, 2), "100 ns");
        assert_eq!(nanos(45_120.0, 2), "45 µs");
        assert_eq!(nanos(9_960_000.0, 2), "10 ms");
    }
}
