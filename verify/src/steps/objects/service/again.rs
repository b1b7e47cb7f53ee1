//! Calls of a server that died: the next one loses them, or runs them again, and is killed at that.

use anyhow::Result;
use quoit::service::Server;

use super::{Calling, calling_repeatable, make, take, take_and_reply_in_two, take_over};
use crate::steps::objects::{Case, Scene, Stage};
use crate::tracee::mark;

pub(in crate::steps::objects) const CASES: &[Case] = &[
    Case::new("serve-take-more-repeatable", make, calling_repeatable, take_and_reply_in_two),
    Case::new("serve-take-over-lost", make, calling_lost, take_over),
    Case::new("serve-take-over-repeatable", make, calling_again, take_over),
    Case::new("serve-take-again", make, calling_again, take_over_and_take),
];

/// A server has died with the first of two calls.
fn calling_after_death(stage: &'static Stage, is_repeatable: bool) -> Result<Box<dyn Scene>> {
    let calling = Calling::new(stage, is_repeatable)?;
    let server = Server::open(stage.path())?;
    std::mem::forget(server.recv()?);
    drop(server);
    Ok(Box::new(Calling { taken_before: 1, ..calling }))
}

fn calling_lost(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    calling_after_death(stage, false)
}

fn calling_again(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    calling_after_death(stage, true)
}

fn take_over_and_take(stage: &Stage) {
    mark();
    let server = Server::open(stage.path()).expect("serve");
    let request = take(stage, &server);
    let is_again = request.is_again();
    mark();
    assert!(is_again, "a call that a dead server had runs as a new one");
    std::mem::forget(request);
    stage.stay();
}
