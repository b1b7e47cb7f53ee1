//! Sizes such as `64MiB`, durations such as `50ms`, and how both are printed.

use std::time::Duration;

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
    const HELP: &str = "give a number with ns, us, ms, s, m or h, such as 50ms or 1.5s";
    let bad = || format!("{text:?} is no duration; {HELP}");
    let (number, unit) = split(text);
    let nanos_per_unit: u128 = match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
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

/// A number as people group it: 1 234 567 reads faster than 1234567.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// Bytes in the largest binary unit that leaves a number from 1 up, exact where it can be.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let power = number.ilog2() / 10;
    let unit = UNITS[power as usize - 1];
    let scale = 1_u64 << (10 * power);
    if number.is_multiple_of(scale) {
        format!("{} {unit}", number / scale)
    } else {
        format!("{:.1} {unit}", number as f64 / scale as f64)
    }
}

/// A duration to three figures or so.
pub(crate) fn time(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => trimmed(nanos as f64 / 1e3, "us"),
        1_000_000..1_000_000_000 => trimmed(nanos as f64 / 1e6, "ms"),
        1_000_000_000..60_000_000_000 => trimmed(nanos as f64 / 1e9, "s"),
        _ => {
            let seconds = duration.as_secs();
            match seconds / 3600 {
                0 => format!("{}m{:02}s", seconds / 60, seconds % 60),
                hours => format!("{hours}h{:02}m", seconds / 60 % 60),
            }
        }
    }
}

fn trimmed(number: f64, unit: &str) -> String {
    let text = format!("{number:.2}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
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
        assert_eq!(count(1_000), "1 000");
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!(bytes(1000), "1000 B");
        assert_eq!(bytes(64 << 20), "64 MiB");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        assert_eq!(time(Duration::from_nanos(12)), "12ns");
        assert_eq!(time(Duration::from_micros(1500)), "1.5ms");
        assert_eq!(time(Duration::from_secs(2)), "2s");
        assert_eq!(time(Duration::from_secs(135)), "2m15s");
        assert_eq!(time(Duration::from_secs(7380)), "2h03m");
    }
}
