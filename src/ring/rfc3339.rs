//! Times of day as text, as RFC 3339 has them.

use core::fmt;
use core::str::FromStr;
use std::time::{Duration, SystemTime};

use crate::ring::parse::ParseError;

/// A time of day as text: `2026-11-29T19:21:48.25Z`. It is shown in UTC, to the nanosecond where it is not a whole second. Parsing
/// accepts a space for the `T`, small letters, and an offset such as `+01:00` for the `Z`; not a time before 1970, and not a leap second.
///
/// ```
/// use quoit::Rfc3339;
///
/// let time: Rfc3339 = "2026-11-29 20:21:48.25+01:00".parse()?;
/// assert_eq!(time.to_string(), "2026-11-29T19:21:48.250000000Z");
/// # Ok::<(), quoit::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rfc3339(pub SystemTime);

const DAY: u64 = 86_400;

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (seconds, ns) = (since.as_secs(), since.subsec_nanos());
        let (year, month, day) = date(seconds / DAY);
        let (hour, minute, second) = (seconds % DAY / 3_600, seconds % 3_600 / 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if ns > 0 {
            write!(f, ".{ns:09}")?;
        }
        f.write_str("Z")
    }
}

impl FromStr for Rfc3339 {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text).map(Self).ok_or_else(|| ParseError::new(text, "a time such as 2026-11-29T19:21:48.25Z"))
    }
}

fn parse(text: &str) -> Option<SystemTime> {
    let (day, rest) = text.split_at_checked(10)?;
    let time = rest.strip_prefix(['T', 't', ' '])?;
    let [year, month, day] = numbers(day, '-', [4, 2, 2])?;
    let (clock, offset) = match time.strip_suffix(['Z', 'z']) {
        Some(clock) => (clock, 0),
        None => {
            let (clock, offset) = time.split_at(time.find(['+', '-'])?);
            let [hours, minutes] = numbers(&offset[1..], ':', [2, 2])?;
            let minutes = (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)? as i64;
            (clock, if offset.starts_with('-') { -minutes } else { minutes })
        }
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let is_digits = !fraction.is_empty() && fraction.bytes().all(|digit| digit.is_ascii_digit());
    let ns: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok().filter(|_| is_digits)?;
    let days = days_to(year, month, day)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days * DAY + hour * 3_600 + minute * 60 + second;
    let seconds = seconds.checked_add_signed(-60 * offset)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, ns))
}

/// Numbers of so many digits each, with a separator between them.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[u64; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        let is_plain = part.len() == digits && part.bytes().all(|digit| digit.is_ascii_digit());
        *number = part.parse().ok().filter(|_| is_plain)?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Days from 1 January 1970 to a date. `None`: it is earlier, or no date.
fn days_to(year: u64, month: u64, day: u64) -> Option<u64> {
    let is_leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let lengths = [31, 28 + u64::from(is_leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = lengths.get(..usize::try_from(month).ok()?.checked_sub(1)?)?;
    let length = lengths.get(before.len())?;
    let years = year.checked_sub(1970)?;
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let leaps = leap_days(year - 1) - leap_days(1969);
    (1..=*length).contains(&day).then(|| years * 365 + leaps + before.iter().sum::<u64>() + day - 1)
}

/// Year, month and day so many days after 1 January 1970.
fn date(days: u64) -> (u64, u64, u64) {
    // 400 years from a first of March on have 146,097 days, and in each year the leap day comes last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_day_is_shown_and_understood() {
        // Through the leap years 2000, 2096 and 2104, and 2100, which is none.
        for day in 0..60_000 {
            let (year, month, of_month) = date(day);
            assert_eq!(days_to(year, month, of_month), Some(day), "{year}-{month}-{of_month}");
        }
        assert_eq!(
            (date(0), date(11_016), date(59), date(47_541)),
            ((1970, 1, 1), (2000, 2, 29), (1970, 3, 1), (2100, 3, 1))
        );
    }

    #[test]
    fn times_are_shown_and_understood() {
        for (seconds, ns, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (1_795_980_108, 250_000_000, "2026-11-29T19:21:48.250000000Z"),
            (951_868_799, 1, "2000-02-29T23:59:59.000000001Z"),
        ] {
            let time = Rfc3339(SystemTime::UNIX_EPOCH + Duration::new(seconds, ns));
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time));
        }
        let noon: Rfc3339 = "2026-11-29T12:00:00Z".parse().unwrap();
        for same in ["2026-11-29 13:30:00+01:30", "2026-11-29t12:00:00.0z", "2026-11-28T20:00:00-16:00"] {
            assert_eq!(same.parse(), Ok(noon), "{same}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "2026-11-29",
            "2026-11-29T12:00:00",
            "2026-11-29T12:00Z",
            "2026-11-31T12:00:00Z",
            "2026-02-29T12:00:00Z",
            "2026-13-01T12:00:00Z",
            "2026-00-01T12:00:00Z",
            "2026-11-29T24:00:00Z",
            "2026-11-29T12:00:60Z",
            "1969-12-31T23:59:59Z",
            "2026-11-29T12:00:00.Z",
            "2026-11-29T12:00:00.x5Z",
            "2026-11-29T12:00:00+1:00",
            "2026-11-29T12:00:00+25:00",
            "2026-11-29T12:00:00ZZ",
            "1970-01-01T00:00:00+00:01",
            "2026-1-29T12:00:00Z",
            "é026-11-29T12:00:00Z",
            "2026-11-29T12:00:00é",
        ] {
            assert!(bad.parse::<Rfc3339>().is_err(), "{bad:?} was taken for a time");
        }
    }
}
