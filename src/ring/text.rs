//! Options and events as text: parsing from a command line or a file, and display.

use core::fmt;
use core::str::FromStr;
use std::time::Duration;

use crate::ring::attach::{Attach, Start};
use crate::ring::holding::Hold;
use crate::ring::parse::ParseError;
use crate::ring::protocol::record::{Event, Loss, LossCause, Status};
use crate::ring::reading::events::EventOf;
use crate::ring::rfc3339::Rfc3339;
use crate::wait::clock::duration_ns;
use crate::wait::mode::WaitMode;
use crate::wait::timestamp::Timestamp;

/// `oldest` (or `earliest`), `newest` (or `latest`), a sequence, or `-N` for the last N records; a time ago as in `5m-ago`,
/// counted from the call; a time of day as an [`Rfc3339`]; or `@` and seconds on the publish clock, as a [`Timestamp`]
/// shows them.
impl FromStr for Start {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let number = |digits: &str| {
            // The standard library would also accept a sign.
            let is_plain = digits.bytes().all(|digit| digit.is_ascii_digit());
            digits.parse::<u64>().ok().filter(|_| is_plain)
        };
        let start = match text {
            "oldest" | "earliest" => Some(Self::Oldest),
            "newest" | "latest" => Some(Self::Newest),
            _ => match text.strip_prefix('-') {
                Some(last) => number(last).map(Self::Last),
                None => number(text).map(Self::Sequence).or_else(|| time(text)),
            },
        };
        let expected = "oldest, newest, a sequence, -N for the last N records, a time such as 5m-ago, or a time of day \
                        such as 2026-11-29T19:21:48Z";
        start.ok_or_else(|| ParseError::new(text, expected))
    }
}

/// A start at a time.
fn time(text: &str) -> Option<Start> {
    if let Some(ago) = text.strip_suffix("-ago") {
        return duration(ago).map(|ago| Start::Time(Timestamp::now().saturating_sub(ago)));
    }
    if let Some(seconds) = text.strip_prefix('@') {
        let since_start = duration(&format!("{seconds}s"))?;
        return Some(Start::Time(Timestamp::from_nanos(duration_ns(since_start))));
    }
    text.parse().ok().map(|Rfc3339(time)| Start::Wall(time))
}

/// In the form that `FromStr` parses.
impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest"),
            Self::Oldest => f.write_str("oldest"),
            Self::Sequence(sequence) => write!(f, "{sequence}"),
            Self::Last(records) => write!(f, "-{records}"),
            Self::Time(time) => write!(f, "@{time}"),
            Self::Wall(time) => Rfc3339(*time).fmt(f),
        }
    }
}

/// A policy: `lossy`, `gated`, or `gated:TIME` for [`Attach::gated_for`], as in `gated:50ms`.
impl FromStr for Attach {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let attach = match text {
            "lossy" => Some(Self::lossy()),
            "gated" => Some(Self::gated()),
            _ => text.strip_prefix("gated:").and_then(duration).map(Self::gated_for),
        };
        attach.ok_or_else(|| ParseError::new(text, "lossy, gated, or gated:TIME, such as gated:50ms"))
    }
}

/// `membarrier`, `fence` or `spin`.
impl FromStr for WaitMode {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "membarrier" => Ok(Self::Membarrier),
            "fence" => Ok(Self::Fence),
            "spin" => Ok(Self::Spin),
            _ => Err(ParseError::new(text, "membarrier, fence or spin")),
        }
    }
}

/// In the form that `FromStr` parses.
impl fmt::Display for WaitMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Membarrier => "membarrier",
            Self::Fence => "fence",
            Self::Spin => "spin",
        })
    }
}

/// `forever`, or a time such as `50ms`, `1.5s`, `2h`.
impl FromStr for Hold {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let hold = match text {
            "forever" => Some(Self::Forever),
            _ => duration(text).map(Self::For),
        };
        hold.ok_or_else(|| ParseError::new(text, "a time such as 50ms, 1.5s or 2h, or forever"))
    }
}

/// In the form that `FromStr` parses.
impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(time) => Time(*time).fmt(f),
            Self::Forever => f.write_str("forever"),
        }
    }
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overrun => "overrun",
            Self::Evicted => "evicted",
            Self::Away => "away",
            Self::Attaching => "attaching",
        })
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, bytes, cause, first, next } = self;
        let [records, bytes] = [Counted(*records, "record"), Counted(*bytes, "byte")];
        write!(f, "lost {records} ({bytes}) from sequence {first} on, going on at {next}: {cause}")
    }
}

/// One line. A record shows its sequence and length, not its payload.
impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(record) => {
                write!(f, "record {} of {}", record.sequence(), Counted(record.len() as u64, "byte"))
            }
            Self::Lost(loss) => loss.fmt(f),
            Self::Evicted => f.write_str(EVICTED),
            Self::ProducerChanged { epoch } => changed(*epoch, f),
        }
    }
}

/// As an [`Event`]. A record shows its sequence.
impl<P> fmt::Display for EventOf<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { sequence, .. } => write!(f, "record {sequence}"),
            Self::Lost(loss) => loss.fmt(f),
            Self::Evicted => f.write_str(EVICTED),
            Self::ProducerChanged { epoch } => changed(*epoch, f),
        }
    }
}

const EVICTED: &str = "evicted: lossy from here on";

fn changed(epoch: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "producer {epoch} has opened the ring")
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Streaming => "streaming",
            Self::Closed => "closed",
            Self::ProducerGone => "producer gone",
            Self::StageGone => "stage gone",
        })
    }
}

/// A number and its noun, in the singular or plural.
struct Counted(u64, &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, noun) = self;
        write!(f, "{number} {noun}{}", if *number == 1 { "" } else { "s" })
    }
}

/// Units of time, the largest first, with their length in ns.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Splits a number, which may have a fraction, from its unit.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|each: char| !each.is_ascii_digit() && each != '.')?;
    let (number, unit) = text.split_at(unit);
    let unit = match unit {
        "µs" | "μs" => "us",
        "min" => "m",
        unit => unit,
    };
    let (_, unit_ns) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fits = (1..=20).contains(&whole.len()) && fraction.len() <= 15 && !number.ends_with('.');
    // At most 35 digits, and 47 bits of unit: the product may not fit.
    let digits: u128 = format!("{whole}{fraction}").parse().ok().filter(|_| fits)?;
    let ns = digits.checked_mul(u128::from(unit_ns))? / 10_u128.pow(fraction.len() as u32);
    u64::try_from(ns).ok().map(Duration::from_nanos)
}

/// A duration as it is parsed, exactly: `5ms`, `1500us`, `90s`.
pub(crate) struct Time(pub(crate) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.as_nanos();
        // Uses the largest unit that leaves no fraction.
        let fits = |unit_ns: u64| ns > 0 && ns.is_multiple_of(u128::from(unit_ns));
        let (name, unit_ns) =
            UNITS.into_iter().find(|(_, unit_ns)| fits(*unit_ns)).unwrap_or(("s", 1_000_000_000));
        write!(f, "{}{name}", ns / u128::from(unit_ns))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_understood() {
        let time = Timestamp::from_nanos(12_000_000_345);
        let wall = std::time::UNIX_EPOCH + Duration::from_millis(1_500);
        for start in [
            Start::Newest,
            Start::Oldest,
            Start::Sequence(7),
            Start::Last(0),
            Start::Last(9),
            Start::Time(time),
            Start::Wall(wall),
        ] {
            assert_eq!(start.to_string().parse(), Ok(start));
        }
        for mode in [WaitMode::Membarrier, WaitMode::Fence, WaitMode::Spin] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        for ns in [0, 1, 999, 5_000_000, 1_500_000, 90_000_000_000, 3_600_000_000_000, u64::MAX] {
            let hold = Hold::For(Duration::from_nanos(ns));
            assert_eq!(hold.to_string().parse(), Ok(hold), "{hold}");
        }
        assert_eq!("forever".parse(), Ok(Hold::Forever));
    }

    #[test]
    fn times() {
        let shown = |ns| Time(Duration::from_nanos(ns)).to_string();
        assert_eq!([shown(0), shown(5_000_000), shown(1_500_000)], ["0s", "5ms", "1500us"]);
        assert_eq!([shown(90_000_000_000), shown(120_000_000_000)], ["90s", "2m"]);
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("99999999999999999999.999999999999999d"), None);
        for bad in ["", "5", "ms", ".5s", "5.s", "5 ms", "-5ms", "1.2.3s", "5x", "é"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_time_ago_counts_from_now() {
        let (before, start) = (Timestamp::now(), "90s-ago".parse());
        let Ok(Start::Time(time)) = start else { panic!("{start:?} is not a time") };
        let ago = Duration::from_secs(90);
        assert!(before.saturating_sub(ago) <= time && time <= Timestamp::now().saturating_sub(ago));
        assert_eq!("100000d-ago".parse(), Ok(Start::Time(Timestamp::from_nanos(0))));
    }

    #[test]
    fn what_is_no_word_is_named() {
        for bad in [
            "5m-age",
            "-5m-ago",
            "ago",
            "@",
            "@-1",
            "@1s",
            "2026-11-29",
            "",
            "-",
            "--5",
            "new",
            "1.5",
            "-x",
            "+5",
            "99999999999999999999",
        ] {
            assert!(bad.parse::<Start>().is_err(), "{bad:?} was taken for a start");
        }
        let error = "gated:soon".parse::<Attach>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"gated:soon\" is not understood; give lossy, gated, or gated:TIME, such as gated:50ms"
        );
        assert_eq!("gated:50ms".parse(), Ok(Attach::gated_for(Duration::from_millis(50))));
        assert_eq!("gated".parse(), Ok(Attach::gated()));
    }

    #[test]
    fn losses_are_told_in_a_line() {
        let mut loss = Loss { records: 1, bytes: 100_000, cause: LossCause::Overrun, first: 7, next: 8 };
        assert_eq!(
            loss.to_string(),
            "lost 1 record (100000 bytes) from sequence 7 on, going on at 8: overrun"
        );
        loss.records = 2;
        assert_eq!(Event::Lost(loss).to_string(), EventOf::<()>::Lost(loss).to_string());
    }
}
