//! `quoit evict`: removes the gate of a consumer that blocks the producer.

use std::path::PathBuf;
use std::time::Duration;

use quoit::{ConsumerInfo, Error, Evicted, Inspector};

use crate::exit::{Exit, Failure};
use crate::output::say;
use crate::{shown, standing, units};

/// Remove the gate of a consumer that blocks the producer.
///
/// The consumer continues without a gate and receives an eviction event; a name that is away keeps its place. The
/// living producer carries out the eviction the next time it is blocked or has published one lap of the ring. Without
/// a living producer the request is refused; use `forget` to free a slot kept for a name. A living consumer can be
/// evicted only if it can be overwritten: one with a budget, or one that attached as evictable.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ring
    path: PathBuf,
    /// The slot number of the consumer, as `info` shows it
    #[arg(long, value_name = "N", required_unless_present = "name", conflicts_with = "name")]
    slot: Option<u32>,
    /// The name of the consumer
    #[arg(long)]
    name: Option<String>,
    /// Wait at most this long for the eviction; after that exit with code 6, and the eviction still happens later
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "5s")]
    wait: Duration,
    /// Print nothing on success
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let ring = Inspector::open(&args.path)?.snapshot()?;
    let wanted = |consumer: &&ConsumerInfo| match &args.name {
        Some(name) => consumer.name.as_ref() == Some(name),
        None => Some(consumer.slot) == args.slot,
    };
    let consumer = ring.consumers.iter().find(wanted);
    let slot = match (consumer, args.slot, &args.name) {
        (Some(consumer), ..) => consumer.slot,
        (None, Some(slot), _) => return Err(Error::NotGated { slot }.into()),
        (None, None, name) => {
            return Err(Error::NameUnknown { name: name.clone().unwrap_or_default() }.into());
        }
    };
    let who = who(slot, consumer);
    let goes_on = if consumer.is_some_and(|consumer| consumer.alive) {
        "it goes on as a lossy consumer, and is told"
    } else {
        "its place is kept"
    };
    let message = match quoit::evict(&args.path, slot, args.wait)? {
        Evicted::Done => format!("evicted {who}: {goes_on}"),
        Evicted::Left => format!("{who} already gave up its gate: nothing to do"),
        // `Asked`, and any variant added later.
        _ => {
            let wait = units::time(args.wait);
            let message = format!(
                "asked the producer to evict {who}; it has not done so within {wait}, and does when it is next held up, \
                 or has gone once round the ring"
            );
            return Err(Failure::new(Exit::Timeout, message).into());
        }
    };
    if !args.quiet {
        say(message);
    }
    Ok(Exit::Done)
}

/// For example "slot 0 'audit' (process 2844)". Names the process only if it is alive.
pub(crate) fn who(slot: u32, consumer: Option<&ConsumerInfo>) -> String {
    let mut who = format!("slot {slot}");
    if let Some(consumer) = consumer {
        if let Some(name) = &consumer.name {
            who.push_str(&format!(" '{}'", shown::text(name)));
        }
        if consumer.is_group {
            who.push_str(" (a group)");
        } else if consumer.alive {
            who.push_str(&format!(" ({})", standing::process(consumer.pid)));
        }
    }
    who
}
