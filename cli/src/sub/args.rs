//! The command line of `quoit sub`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use quoit::{Attach, Hold, Start};

use crate::memory::Wishes;
use crate::units;

/// Receive records and write them to standard output, one line each by default.
///
/// Starts at the oldest record that is still in the ring (see --from). Ends when it has received everything that was
/// published when it attached; --follow and --until-closed continue from there. Without a policy it observes
/// (--observe): it needs only permission to read, takes no slot, and never blocks the producer.
///
/// Records are released only after they were written to standard output. A consumer that is killed and comes back
/// under its --name resumes at the first record that was not released. It may repeat the last records, and prints on
/// standard error the sequence at which it resumed.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("policy"), group = clap::ArgGroup::new("gates").multiple(true), group = clap::ArgGroup::new("kept"))]
pub(crate) struct Args {
    /// The ring
    pub(crate) path: PathBuf,

    /// Lose nothing, unless evicted on request (quoit evict) or over the ring's hard limit: the producer waits for this
    /// consumer
    #[arg(long, group = "policy", group = "gates", help_heading = "Policy")]
    pub(crate) gated: bool,
    /// Lose nothing unless this consumer blocks the producer for longer than TIME within one lap of the ring
    #[arg(long, value_name = "TIME", value_parser = units::duration, group = "policy", group = "gates", help_heading = "Policy")]
    pub(crate) gated_for: Option<Duration>,
    /// Never block the producer; take a slot, so that others see this consumer and its loss. The default with --name or
    /// --after
    #[arg(long, group = "policy", help_heading = "Policy")]
    pub(crate) lossy: bool,
    /// Never block the producer and take no slot; permission to read is enough. The default without --name and --after
    #[arg(long, group = "policy", conflicts_with = "name", help_heading = "Policy")]
    pub(crate) observe: bool,
    /// Keep this consumer's place in the ring under a name, and resume there the next time
    #[arg(long, group = "kept", help_heading = "Policy")]
    pub(crate) name: Option<String>,
    /// Follow the gated consumer with this name, the stage: receive a record only once the stage has released it. The stage
    /// must be attached, or away with its gate held; --wait-for-ring waits for it too. Never blocks the producer, unless
    /// --gated or --gated-for is given. Exit with code 7 once the stage is gone and its gate is not held
    #[arg(long, value_name = "NAME", conflicts_with_all = ["observe", "group"], help_heading = "Policy")]
    pub(crate) after: Option<String>,
    /// Keep the gate for this long while the consumer is away; "forever": until it comes back or is forgotten
    #[arg(long, value_name = "TIME|forever", requires = "kept", requires = "gates", help_heading = "Policy")]
    pub(crate) hold: Option<Hold>,

    /// Share the records with the other members of the group: each goes to one of them, and what a member that died had goes to
    /// another. Gated, unless --gated-for or --lossy says otherwise. Policy, start and --hold are those of whoever makes the
    /// group
    #[arg(
        long,
        value_name = "NAME",
        group = "kept",
        group = "gates",
        conflicts_with_all = ["observe", "next", "times", "stats", "populate", "lock", "huge", "numa_node"],
        help_heading = "Groups"
    )]
    pub(crate) group: Option<String>,
    /// Run COMMAND by /bin/sh for each record, with the payload as its standard input, and QUOIT_SEQUENCE and QUOIT_DELIVERIES in
    /// its environment. The record is acknowledged if it exits with 0, and given back otherwise. Without this, a record is
    /// acknowledged once it was written to standard output
    #[arg(long, value_name = "COMMAND", requires = "group", conflicts_with_all = ["raw", "json", "length_prefixed"], help_heading = "Groups")]
    pub(crate) ack_after: Option<String>,
    /// Put a record aside once it was handed out so often and never acknowledged
    #[arg(long, value_name = "N", requires = "group", requires = "dead_letters", help_heading = "Groups")]
    pub(crate) max_deliveries: Option<NonZeroU32>,
    /// The ring for what is put aside; made if there is none
    #[arg(long, value_name = "PATH", requires = "max_deliveries", help_heading = "Groups")]
    pub(crate) dead_letters: Option<PathBuf>,

    /// Where to start: oldest, newest, a sequence, or -N for the last N records; on a ring with times, also a time ago such
    /// as 5m-ago, or a time of day such as 2026-11-29T19:21:48Z; ignored when a name resumes. Default: oldest; newest
    /// with --next
    #[arg(
        long,
        value_name = "oldest|newest|SEQ|-N|TIME",
        allow_hyphen_values = true,
        help_heading = "From where to where"
    )]
    pub(crate) from: Option<Start>,
    /// Stop after at most N records
    #[arg(long, value_name = "N", help_heading = "From where to where")]
    pub(crate) count: Option<u64>,
    /// Continue with records published later, also by later producers; end it with Ctrl-C. If the file is removed or
    /// replaced, exit with code 8. With --follow=name, continue with the next ring at the path, from its oldest
    /// record
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
    /// Continue until the producer closes the ring, or end at once if it is closed; exit with code 7 if the producer
    /// died
    #[arg(long, group = "onward", help_heading = "From where to where")]
    pub(crate) until_closed: bool,
    /// Skip what is in the ring, and end with the next producer, or with the current one if there is one
    #[arg(long, requires = "until_closed", conflicts_with = "follow", help_heading = "From where to where")]
    pub(crate) next: bool,
    /// Wait for the ring to be created, at most TIME if given (then exit with code 6)
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        require_equals = true,
        value_parser = units::duration,
        help_heading = "From where to where"
    )]
    pub(crate) wait_for_ring: Option<Option<Duration>>,
    /// Wait at most this long for the name, or for a slot, to become free; without this exit with code 9 at once
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "From where to where")]
    pub(crate) wait_for_turn: Option<Duration>,
    /// With --follow or --until-closed: exit with code 6 when nothing was received for this long
    #[arg(long, value_name = "TIME", value_parser = units::duration, requires = "onward", help_heading = "From where to where")]
    pub(crate) timeout: Option<Duration>,
    /// Exit with code 5 at the first loss
    #[arg(long, help_heading = "From where to where")]
    pub(crate) fail_on_loss: bool,

    /// Write payloads with nothing between them
    #[arg(long, group = "format", help_heading = "Output")]
    pub(crate) raw: bool,
    /// Write one line of JSON per record: {"sequence":7,"payload":"..."}, with "encoding":"base64" if the payload is
    /// not UTF-8. Other events are {"lost":{...}}, {"group_lost":{...}}, {"evicted":true}, {"producer_changed":{...}}, {"resumed":{...}}
    /// and {"ring_changed":true}
    #[arg(long, group = "format", help_heading = "Output")]
    pub(crate) json: bool,
    /// Write each payload after its length, four bytes, little-endian
    #[arg(long, group = "format", help_heading = "Output")]
    pub(crate) length_prefixed: bool,
    /// Write when each record was published, before its payload or as "time" in JSON. The ring needs times: quoit create
    /// --times
    #[arg(long, conflicts_with_all = ["raw", "length_prefixed"], help_heading = "Output")]
    pub(crate) times: bool,
    /// At the end, print on standard error how long records took from their publish to here. The ring needs times. Records
    /// that were there at the start count, so start with --from newest
    #[arg(long, help_heading = "Output")]
    pub(crate) stats: bool,
    #[command(flatten)]
    pub(crate) memory: Wishes,

    /// Print only losses and failures on standard error
    #[arg(long, short, help_heading = "Output")]
    pub(crate) quiet: bool,
}

/// What to continue with when the path leads to another ring, or to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Follow {
    /// The ring that was opened
    Ring,
    /// Any ring at the path
    Name,
}

impl Args {
    /// How to attach. `None`: as an observer.
    pub(crate) fn attach(&self) -> Option<Attach> {
        let mut attach = match self.gated_for {
            Some(deadline) => Attach::gated_for(deadline),
            None if self.gated => Attach::gated().evictable(),
            None if self.lossy || self.name.is_some() || self.after.is_some() => Attach::lossy(),
            None => return None,
        };
        attach = attach.start(self.start());
        if let Some(name) = &self.name {
            attach = attach.name(name);
        }
        if let Some(stage) = &self.after {
            attach = attach.after(stage);
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

    /// Does it continue after it has caught up?
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
            ("1970-01-01T00:00:00Z", Start::Wall(std::time::UNIX_EPOCH)),
        ] {
            assert_eq!(parse(&format!("--from {word}")).unwrap().start(), start, "{word}");
        }
        for bad in ["-", "--5", "new", "1.5", "-x", "99999999999999999999"] {
            assert!(parse(&format!("--from={bad}")).is_err(), "{bad:?} was taken for a start");
        }
        assert_eq!(parse("--from -5").unwrap().start(), Start::Last(5));
        assert!(matches!(parse("--from 5m-ago").unwrap().start(), Start::Time(_)));
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
        for line in [
            "--group g --hold forever",
            "--group g --gated-for 5ms --until-closed",
            "--group g --lossy --json",
            "--group g --ack-after true --max-deliveries 3 --dead-letters x --follow",
        ] {
            assert!(parse(line).is_ok_and(|args| args.group.is_some()), "{line}");
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
            "--raw --times",
            "--length-prefixed --times",
            "--follow --until-closed",
            "--timeout 5s",
            "--next",
            "--follow --next",
            "--gated-for 50",
            "--group g --name x",
            "--group g --observe",
            "--group g --until-closed --next",
            "--group g --populate",
            "--ack-after true",
            "--group g --ack-after true --json",
            "--group g --max-deliveries 3",
            "--group g --dead-letters x",
            "--group g --max-deliveries 0 --dead-letters x",
        ] {
            assert!(parse(line).is_err(), "{line} was taken");
        }
    }
}
