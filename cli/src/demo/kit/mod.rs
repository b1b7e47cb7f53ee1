//! `quoit demo --kit`: a service, a work group and a barrier among real processes; kills one member of each, and checks
//! what became of its work, and what the others were told.
//!
//! The parent makes the objects and starts children ([`serving`], [`working`], [`meeting`]). Each child notes what it does in
//! a file of its own ([`notes`]), so the [`verdict`] does not depend on anything that the objects count.

mod account;
mod board;
mod cast;
mod lines;
mod meeting;
mod notes;
mod page;
mod play;
mod serving;
mod verdict;
mod view;
mod working;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use rustix::process::{Signal, set_parent_process_death_signal};

use self::cast::Role;
use self::notes::Notes;
use self::play::Show;
use self::view::View;
use super::verdict::Kept;
use crate::demo::{text, view as screen};
use crate::exit::Exit;
use crate::output;
use crate::signals::Signals;

/// One of the demo's own processes.
#[derive(Debug, clap::Args)]
pub(crate) struct ChildArgs {
    role: Role,
    /// Which one of its role
    #[arg(long)]
    number: u32,
    #[arg(long)]
    directory: PathBuf,
    #[arg(long)]
    notes: PathBuf,
}

/// Runs the demo and returns an exit code: 0 if every guarantee held.
pub(super) fn run(seconds: u64, plain: bool) -> Result<u8> {
    let signals = Signals::install()?;
    let mut show = Show::new(Duration::from_secs(seconds), View::choose(plain))?;
    show.play(signals)?;
    let is_forgotten = show.view.forgets();
    let (board, account) = show.close();
    let promises = verdict::judge(&account);
    let mut page = String::new();
    for line in page::lines(&board, &account, &promises, is_forgotten, screen::width()) {
        page.push_str(&text::paint(&line, screen::colours()));
        page.push('\n');
    }
    output::print(&page)?;
    let is_broken = promises.iter().any(|promise| promise.kept == Kept::No);
    Ok(if is_broken { Exit::Failed } else { Exit::Done } as u8)
}

/// Runs one child. It ends with its parent, however the parent ends.
pub(crate) fn run_child(args: &ChildArgs) -> Result<u8> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let notes = Notes::create(&args.notes)?;
    match args.role {
        Role::Server => serving::serve(args, notes)?,
        Role::Caller => serving::call(args, notes)?,
        Role::Feed => working::feed(args, notes)?,
        Role::Worker => working::work(args, notes)?,
        Role::Party => meeting::meet(args, notes)?,
    }
    Ok(Exit::Done as u8)
}
