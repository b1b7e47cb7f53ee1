//! The command line of `quoit sub`.

use std::path::PathBuf;
use std::time::Duration;

use quoit::{Attach, Hold, Start};

use crate::memory::Wishes;
use crate::units;

/// Receive records and write them to standard output, a line each unless told otherwise.
///
/// Starts at the oldest record that is still in the ring (--from) and ends when it has received what was published
/// when it attached, unless told to go on: --follow or --until-closed. Without a policy it only looks on (--observe): it needs
/// no more than permission to read, takes no slot, and never holds anybody up.
///
/// A consumer's records are released only after they were written to standard output. Whoever is killed and comes
/// back under its --name goes on at the first record that was not released, so it may repeat the last ones, and
/// says on standard error at which sequence it resumed.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("policy"), group = clap::ArgGroup::new("gates").multiple(true))]
pub(crate) struct Args {
    /// The ring
    pub(crate) path: PathBuf,

    /// Lose nothing: the producer waits for this consumer
    #[arg(long, group = "policy", group = "gates", help_heading = "Policy")]
    pub(crate) gated: bool,
    /// Lose nothing unless this consumer holds the producer up for longer than this
    #[arg(long, value_name = "TIME", value_parser = units::duration, group = "policy", group = "gates", help_heading = "Policy")]
    pub(crate) gated_for: Option<Duration>,
    /// Never hold the producer up; take a slot, so that others see this consumer and its loss. The default with --name
    #[arg(long, group = "policy", help_heading = "Policy")]
    pub(crate) lossy: bool,
    /// Never hold the producer up and take no slot; permission to read is enough. The default
    #[arg(long, group = "policy", conflicts_with = "name", help_heading = "Policy")]
    pub(crate) observe: bool,
    /// Keep the place in the ring under this name, and resume there the next time
    #[arg(long, help_heading = "Policy")]
    pub(crate) name: Option<String>,
    /// While away, stay a gate for so long; "forever" until it comes back or is forgotten
    #[arg(long, value_name = "TIME|forever", requires = "name", requires = "gates", help_heading = "Policy")]
    pub(crate) hold: Option<Hold>,

    /// Where to start: oldest, newest, a sequence, or -N for the last N records; a name that resumes ignores it. Oldest
    /// unless given, with --next newest
    #[arg(
        long,
        value_name = "oldest|newest|SEQ|-N",
        allow_hyphen_values = true,
        help_heading = "From where to where"
    )]
    pub(crate) from: Option<Start>,
    /// End after so many records at the latest
    #[arg(long, value_name = "N", help_heading = "From where to where")]
    pub(crate) count: Option<u64>,
    /// Go on with what is published later, by later producers too; Ctrl-C is the regular end. When the file is removed
    /// or replaced it is a failure (code 8), unless the name is followed: then the next ring at the path is read, from
    /// its oldest record
    #[arg(
        long,
        short,
        value_enum,
        value_name = "ring|name",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "ring",
        group = "onward",
        help_heading = "From where to where"
    )]
    pub(crate) follow: Option<Follow>,
    /// Go on until the producer closes the ring, which it may have done already; that it died is a failure (code 7)
    #[arg(long, group = "onward", help_heading = "From where to where")]
    pub(crate) until_closed: bool,
    /// Leave what is in the ring already, and end with the next producer, or with one that is there now
    #[arg(long, requires = "until_closed", conflicts_with = "follow", help_heading = "From where to where")]
    pub(crate) next: bool,
    /// Wait for the ring to be made, at most so long if a time is given (then code 6)
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        require_equals = true,
        value_parser = units::duration,
        help_heading = "From where to where"
    )]
    pub(crate) wait_for_ring: Option<Option<Duration>>,
    /// Wait at most so long for whoever uses the name, or for a slot; without this that is a failure at once (code 9)
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "From where to where")]
    pub(crate) wait_for_turn: Option<Duration>,
    /// With either of these: fail (code 6) when nothing was received for so long
    #[arg(long, value_name = "TIME", value_parser = units::duration, requires = "onward", help_heading = "From where to where")]
    pub(crate) timeout: Option<Duration>,
    /// End with code 5 at the first loss
    #[arg(long, help_heading = "From where to where")]
    pub(crate) fail_on_loss: bool,

    /// Payloads with nothing between them
    #[arg(long, group = "format", help_heading = "Output")]
    pub(crate) raw: bool,
    /// A line of JSON for each record: {"sequence":7,"payload":"..."}, with "encoding":"base64" where the payload is
    /// no UTF-8; and for what befalls: {"lost":{...}}, {"evicted":true}, {"producer_changed":{...}}, {"resumed":{...}},
    /// {"ring_changed":true}
    #[arg(long, group = "format", help_heading = "Output")]
    pub(crate) json: bool,
    /// Each payload behind its length, four bytes, little-endian
    #[arg(long, group = "format", help_heading = "Output")]
    pub(crate) length_prefixed: bool,
    #[command(flatten)]
    pub(crate) memory: Wishes,

    /// On standard error nothing but loss and failures
    #[arg(long, short, help_heading = "Output")]
    pub(crate) quiet: bool,
}

/// What to go on with when the path leads to another ring, or to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Follow {
    /// The ring that was opened
    Ring,
    /// Whatever ring is at the path
    Name,
}

impl Args {
    /// How to attach; `None`: as an observer.
    pub(crate) fn attach(&self) -> Option<Attach> {
        let mut attach = match self.gated_for {
            Some(deadline) => Attach::gated_for(deadline),
            None if self.gated => Attach::gated().evictable(),
            None if self.lossy || self.name.is_some() => Attach::lossy(),
            None => return None,
        };
        attach = attach.start(self.start());
        if let Some(name) = &self.name {
            attach = attach.name(name);
        }
        Some(match self.hold {
            None => attach,
            Some(Hold::For(time)) => attach.hold(time),
            Some(_) => attach.hold_forever(),
        })
    }

    pub(crate) fn is_gated(&self) -> bool {
        self.gated || self.gated_for.is_some()
    }

    pub(crate) fn start(&self) -> Start {
        self.from.unwrap_or(if self.next { Start::Newest } else { Start::Oldest })
    }

    /// Does it go on after it has caught up?
    pub(crate) fn goes_on(&self) -> bool {
        self.follow.is_some() || self.until_closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Line::try_parse_from(["sub", "ring"].into_iter().chain(line.split_whitespace())).map(|line| line.args)
    }

    #[test]
    fn starts() {
        for (word, start) in [
            ("oldest", Start::Oldest),
            ("latest", Start::Newest),
            ("17", Start::Sequence(17)),
            ("-5", Start::Last(5)),
        ] {
            assert_eq!(parse(&format!("--from {word}")).unwrap().start(), start, "{word}");
        }
        for bad in ["-", "--5", "new", "1.5", "-x", "99999999999999999999"] {
            assert!(parse(&format!("--from={bad}")).is_err(), "{bad:?} was taken for a start");
        }
        assert_eq!(parse("--from -5").unwrap().start(), Start::Last(5));
        assert_eq!(parse("--until-closed").unwrap().start(), Start::Oldest);
        assert_eq!(parse("--until-closed --next").unwrap().start(), Start::Newest);
        assert_eq!(parse("--until-closed --next --from 3").unwrap().start(), Start::Sequence(3));
    }

    #[test]
    fn what_is_followed() {
        for (line, follow) in [
            ("", None),
            ("--follow", Some(Follow::Ring)),
            ("-f", Some(Follow::Ring)),
            ("--follow=name", Some(Follow::Name)),
        ] {
            assert_eq!(parse(line).unwrap().follow, follow, "{line}");
        }
    }

    #[test]
    fn policies() {
        assert!(parse("").unwrap().attach().is_none());
        assert!(parse("--observe").unwrap().attach().is_none());
        for line in ["--lossy", "--gated", "--gated-for 50ms", "--name x", "--gated --name x --hold forever"]
        {
            assert!(parse(line).unwrap().attach().is_some(), "{line}");
        }
        assert_eq!(
            parse("--gated-for 1s --name x --hold 2s").unwrap().hold,
            Some(Hold::For(Duration::from_secs(2)))
        );
        for line in [
            "--gated --lossy",
            "--gated --gated-for 50ms",
            "--observe --name x",
            "--hold 2s",
            "--gated --hold 2s",
            "--name x --hold 2s",
            "--lossy --name x --hold 2s",
            "--raw --json",
            "--follow --until-closed",
            "--timeout 5s",
            "--next",
            "--follow --next",
            "--gated-for 50",
        ] {
            assert!(parse(line).is_err(), "{line} was taken");
        }
    }
}
