//! Sizes such as `64MiB` and durations such as `50ms`, and how they are printed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) use quoit_floors::units::{bytes, count, counted, nanos, time};

/// Sizes: bytes, or a number with a unit. As in similar tools a bare `k` means 1024, and `kB` 1000.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    const HELP: &str = "give bytes, or a number with k, M, G, T (or KiB, MiB, ...: powers of 1024) or kB, MB, GB, TB \
                        (powers of 1000)";
    let (number, unit) = split(text);
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is not a size; {HELP}"))?;
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
    let factor: u64 = factor.ok_or_else(|| format!("{unit:?} is not a unit of size; {HELP}"))?;
    number.checked_mul(factor).ok_or_else(|| format!("{text:?} is larger than any file; give a smaller size"))
}

/// Durations: a number, which may have a fraction, and a unit, which is required.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const HELP: &str = "give a number with ns, us, ms, s, m, h or d, such as 50ms or 1.5s";
    let bad = || format!("{text:?} is not a duration; {HELP}");
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

/// As [`counted`], in digits that a script can read.
pub(crate) fn plain(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The age, by the wall clock, of a time given in nanoseconds since 1970.
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
        .ok_or_else(|| format!("{text:?} is not a mode; give three octal digits such as 0600 or 660"))
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
    fn the_age_of_something_new() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        assert_eq!(ago(now), "just now");
        assert_eq!(ago(now - 90_500_000_000), "1 min 30 s ago");
        assert_eq!(ago(now + 60_000_000_000), "in the future, by this clock");
    }
}
