//! `quoit forget`: frees the slots of named consumers that will not come back.

use std::path::PathBuf;
use std::time::Duration;

use quoit::Forgotten;

use crate::exit::Exit;
use crate::output::say;
use crate::{shown, units};

/// Free the slot kept for a named consumer that is away, or the slots of all that are away.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ring
    path: PathBuf,
    /// The name; its place, its hold and its loss account are deleted
    #[arg(required_unless_present_any = ["slot", "away_for", "all_away"])]
    name: Option<String>,
    /// The slot number, as `info` shows it, whatever name it is kept for
    #[arg(long, value_name = "N", conflicts_with = "name")]
    slot: Option<u32>,
    /// Every name whose consumer has been away for at least this long; for a killed consumer, counted from when its
    /// death was noticed
    #[arg(long, value_name = "TIME", value_parser = units::duration, conflicts_with_all = ["name", "slot"])]
    away_for: Option<Duration>,
    /// Every name whose consumer is away
    #[arg(long, conflicts_with_all = ["name", "slot", "away_for"])]
    all_away: bool,
    /// Do not print which names were freed
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let away_for = args.away_for.or(args.all_away.then_some(Duration::ZERO));
    match (&args.name, args.slot, away_for) {
        (Some(name), ..) => quoit::forget(&args.path, name)?,
        (None, Some(slot), _) => quoit::forget_slot(&args.path, slot)?,
        (None, None, Some(away_for)) => {
            let forgotten = quoit::forget_away(&args.path, away_for)?;
            if !args.quiet {
                tell(&forgotten, away_for);
            }
        }
        (None, None, None) => unreachable!("clap asks for one of them"),
    }
    Ok(Exit::Done)
}

fn tell(forgotten: &[Forgotten], away_for: Duration) {
    if forgotten.is_empty() {
        let so_long =
            if away_for.is_zero() { String::new() } else { format!(" for {}", units::time(away_for)) };
        return say(format_args!("no name whose consumer has been away{so_long}"));
    }
    for Forgotten { slot, name, away_for, .. } in forgotten {
        let since =
            away_for.map_or_else(|| "killed".into(), |time| format!("away for {}", units::time(time)));
        say(format_args!("forgot slot {slot} '{}', {since}", shown::text(name)));
    }
}
