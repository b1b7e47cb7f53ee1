//! Sizes such as `64MiB`, durations such as `50ms`, and how every number is printed that people read.
//!
//! One style: 1,234,567; 1.5 KiB; 12.3 µs; 2 min 15 s.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Sizes: bytes, or a number with a unit. As with other tools of the kind a bare `k` means 1024, and `kB` 1000.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    const HELP: &str = "give bytes, or a number with k, M, G, T (or KiB, MiB, ...: powers of 1024) or kB, MB, GB, TB \
                        (powers of 1000)";
    let (number, unit) = split(text);
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is no size; {HELP}"))?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" | "ki" | "kib" => Some(1 << 10),
        "m" | "mi" | "mib" => Some(1 << 20),
        "g" | "gi" | "gib" => Some(1 << 30),
        "t" | "ti" | "tib" => Some(1 << 40),
        "kb" => Some(1_000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        "tb" => Some(1_000_000_000_000),
        _ => None,
    };
    let factor: u64 = factor.ok_or_else(|| format!("{unit:?} is no unit of size; {HELP}"))?;
    number.checked_mul(factor).ok_or_else(|| format!("{text:?} is larger than any file; give a smaller size"))
}

/// Durations: a number, which may have a fraction, and a unit, which may not be left out.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const HELP: &str = "give a number with ns, us, ms, s, m, h or d, such as 50ms or 1.5s";
    let bad = || format!("{text:?} is no duration; {HELP}");
    let (number, unit) = split(text);
    let nanos_per_unit: u128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        "" => return Err(format!("{text:?} has no unit; {HELP}")),
        _ => return Err(bad()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || whole.len() > 20 || fraction.len() > 15 || number.ends_with('.') {
        return Err(bad());
    }
    let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| bad())?;
    let nanos = digits * nanos_per_unit / 10_u128.pow(fraction.len() as u32);
    let nanos = u64::try_from(nanos).map_err(|_| format!("{text:?} is longer than 584 years; give less"))?;
    Ok(Duration::from_nanos(nanos))
}

/// A number as people group it: 1,234,567 reads faster than 1234567.
pub(crate) fn count(number: u64) -> String {
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
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// As [`counted`], in digits that a script can read.
pub(crate) fn plain(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Bytes in the largest binary unit that leaves a number from 1 up, exact where it can be.
pub(crate) fn bytes(number: u64) -> String {
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
pub(crate) fn time(duration: Duration) -> String {
    nanos(duration.as_nanos() as f64, 3)
}

/// Nanoseconds to so many figures, without zeros that say nothing: "4.3 ms", "129 ns"; from a minute on in two units.
pub(crate) fn nanos(nanos: f64, figures: i32) -> String {
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

/// How long ago, by the wall clock, something was that happened at so many nanoseconds since 1970.
pub(crate) fn ago(unix_ns: u64) -> String {
    let then = UNIX_EPOCH + Duration::from_nanos(unix_ns);
    match SystemTime::now().duration_since(then) {
        Ok(age) if age < Duration::from_secs(1) => "just now".into(),
        Ok(age) => format!("{} ago", time(Duration::from_secs(age.as_secs()))),
        Err(_) => "in the future, by this clock".into(),
    }
}

/// A permission mode in octal, as `chmod` takes it.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| format!("{text:?} is no mode; give three octal digits such as 0600 or 660"))
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64k"), Ok(65_536));
        assert_eq!(size("64K"), Ok(65_536));
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("1 GiB"), Ok(1 << 30));
        assert_eq!(size("2t"), Ok(2 << 40));
        assert_eq!(size("5MB"), Ok(5_000_000));
        assert_eq!(size("0"), Ok(0));
        for bad in
            ["", "MiB", "-1", "1.5GiB", "64 apples", "64Mi B", "99999999999999999999", "99999999T", "0x10"]
        {
            assert!(size(bad).is_err(), "{bad:?} was taken for a size");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(duration("7ns"), Ok(Duration::from_nanos(7)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for bad in [
            "",
            "5",
            "s",
            ".5s",
            "5.s",
            "1.2.3s",
            "-1s",
            "5 days",
            "99999999999999999999h",
            "1e3s",
            "forever",
        ] {
            assert!(duration(bad).is_err(), "{bad:?} was taken for a duration");
        }
    }

    #[test]
    fn modes() {
        assert_eq!(mode("0600"), Ok(0o600));
        assert_eq!(mode("660"), Ok(0o660));
        assert!(mode("888").is_err());
        assert!(mode("rw").is_err());
        assert!(mode("7777").is_err());
    }

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

    #[test]
    fn the_age_of_something_new() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        assert_eq!(ago(now), "just now");
        assert_eq!(ago(now - 90_500_000_000), "1 min 30 s ago");
        assert_eq!(ago(now + 60_000_000_000), "in the future, by this clock");
    }
}
