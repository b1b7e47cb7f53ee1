//! `quoit bench`: runs the package `quoit-bench`.

use anyhow::Result;
pub(crate) use quoit_bench::{Args, ChildArgs};
use quoit_bench::{Caller, Interrupted, Unreadable};

use crate::exit::{Exit, Failure};
use crate::output;
use crate::signals::Signals;

pub(crate) fn run(args: &Args) -> Result<Exit> {
    let signals = Signals::install()?;
    let caller = Caller {
        version: env!("CARGO_PKG_VERSION"),
        interrupted: &|| signals.caught(),
        say: &|words| output::say(words),
    };
    let text = quoit_bench::run(args, &caller).map_err(|error| {
        let exit = match error.downcast_ref() {
            Some(Unreadable::Missing(_)) => Exit::NotFound,
            Some(Unreadable::Unusable(_)) => Exit::Mismatch,
            None if error.is::<Interrupted>() => signals.exit(),
            None => return error,
        };
        Failure::new(exit, error.to_string()).into()
    })?;
    output::print(&text)?;
    Ok(Exit::Done)
}

pub(crate) fn run_child(args: ChildArgs) -> Result<Exit> {
    quoit_bench::run_child(args).map(|()| Exit::Done)
}
