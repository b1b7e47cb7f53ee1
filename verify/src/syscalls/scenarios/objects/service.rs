//! Services.

use std::time::Duration;

use quoit::service::{CallOptions, Client, Inspector, Outcome, Server, ServiceOptions};
use quoit::sync::{Event, Reset, SyncOptions};
use quoit::{Error, WaitSet};

use super::{SEATS, all_seats, begin, moment};
use crate::syscalls::stage::{Cue, Ended, Found, Stage, soon, wrong};

fn options() -> ServiceOptions {
    ServiceOptions::new().clients(SEATS).request_bytes(4096).reply_bytes(4096).largest_reply(64)
}

pub(super) fn create(stage: &Stage) -> Ended {
    begin();
    drop(Server::create(stage.object(), &options())?);
    Ok(())
}

pub(super) fn make(stage: &Stage) -> Ended {
    Server::create(stage.object(), &options())?;
    Ok(())
}

pub(super) fn call(stage: &Stage) -> Ended {
    begin();
    let mut client = Client::open(stage.object())?;
    let call = client.start(b"request", CallOptions::new())?;
    match client.recv_deadline(soon())? {
        Some(answer) if answer.call() == call => match answer.outcome() {
            Outcome::Reply(reply) if reply.to_vec() == b"reply" => Ok(()),
            other => wrong!("{other:?}"),
        },
        other => wrong!("{other:?}"),
    }
}

pub(super) fn time_passes(stage: &Stage) -> Ended {
    begin();
    let mut client = Client::open(stage.object())?;
    let ended = client.call(b"request", CallOptions::new().timeout(Duration::from_millis(3))).map(drop);
    match ended {
        Err(quoit::CallError::NotExecuted) => Ok(()),
        Err(quoit::CallError::Client(error)) => Err(error.into()),
        other => wrong!("{other:?} without a server"),
    }
}

pub(super) fn serve(stage: &Stage, cue: &mut Cue) -> Ended {
    let server = Server::open(stage.object())?;
    cue.ready();
    cue.await_go();
    moment();
    loop {
        reply(server.recv()?)?;
    }
}

fn reply(request: quoit::service::Request<'_>) -> Ended {
    match request.reply(b"reply") {
        Ok(()) | Err(quoit::ReplyError::ClientGone) => Ok(()),
        Err(quoit::ReplyError::Server(error)) => Err(error.into()),
        Err(error) => wrong!("{error}"),
    }
}

pub(super) fn serve_one(stage: &Stage) -> Ended {
    begin();
    let server = Server::open(stage.object())?;
    match server.recv_deadline(soon())? {
        Some(request) => reply(request),
        None => wrong!("no request in time"),
    }
}

/// Calls that a server took which is gone: lost, or run again.
pub(super) fn take_over(stage: &Stage) -> Ended {
    begin();
    let server = Server::open(stage.object())?;
    match server.recv_deadline(soon())? {
        Some(request) if request.is_again() => reply(request),
        other => wrong!("{other:?} instead of the call that another server took"),
    }
}

/// A client whose server took its call, and went.
pub(super) fn ask_again(stage: &Stage, cue: &mut Cue) -> Ended {
    let server = Server::open(stage.object())?;
    let mut client = Client::open(stage.object())?;
    client.start(b"request", CallOptions::new().repeatable(true))?;
    std::mem::forget(server.recv()?);
    drop(server);
    cue.ready();
    loop {
        let _ = client.recv()?;
    }
}

/// Its server died with its call, and it died, too.
pub(super) fn make_dead(stage: &Stage) -> Ended {
    let server = Server::create(stage.object(), &options())?;
    let mut client = Client::open(stage.object())?;
    client.start(b"request", CallOptions::new())?;
    std::mem::forget(server.recv()?);
    std::mem::forget((server, client));
    Ok(())
}

/// The dead client's call is lost, and nobody gets it.
pub(super) fn take_over_the_lost(stage: &Stage) -> Ended {
    begin();
    match Server::open(stage.object())?.try_recv()? {
        None => Ok(()),
        Some(request) => wrong!("{request:?} runs twice"),
    }
}

/// The server takes the call and goes.
pub(super) fn server_gone(stage: &Stage) -> Ended {
    begin();
    let mut client = Client::open(stage.object())?;
    client.start(b"request", CallOptions::new())?;
    match client.recv_deadline(soon())? {
        Some(answer) if matches!(answer.outcome(), Outcome::ServerGone) => Ok(()),
        other => wrong!("{other:?} of a server that is gone"),
    }
}

pub(super) fn take_and_go(stage: &Stage, cue: &mut Cue) -> Ended {
    let server = Server::open(stage.object())?;
    cue.ready();
    std::mem::forget(server.recv()?);
    drop(server);
    cue.stay()
}

pub(super) fn cancel(stage: &Stage) -> Ended {
    begin();
    let mut client = Client::open(stage.object())?;
    let call = client.start(b"request", CallOptions::new())?;
    if !client.cancel(call)? || client.in_flight() != 0 {
        wrong!("a call that nobody took is not cancelled");
    }
    Ok(())
}

/// Replies before the last, more than there is room for.
pub(super) fn more(stage: &Stage) -> Ended {
    begin();
    let server = Server::open(stage.object())?;
    let Some(mut request) = server.recv_deadline(soon())? else { wrong!("no request in time") };
    for _ in 0..MORE {
        match request.more_deadline(&[7; 256], soon()) {
            Ok(()) => {}
            Err(quoit::ReplyError::Server(error)) => return Err(error.into()),
            Err(error) => wrong!("{error}"),
        }
    }
    reply(request)
}

/// Of 256 bytes: some more than the channel of 4 KiB takes.
const MORE: u32 = 24;

pub(super) fn ask_and_read_late(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut client = Client::open(stage.object())?;
    cue.ready();
    cue.await_go();
    client.start(b"request", CallOptions::new())?;
    moment();
    moment();
    loop {
        let _ = client.recv()?;
    }
}

pub(super) fn inspect(stage: &Stage) -> Ended {
    begin();
    let inspector = Inspector::open(stage.object())?;
    let snapshot = inspector.snapshot()?;
    // What it answers when the kernel does not say is not judged.
    let _ = inspector.is_stale();
    let queued: Vec<u32> = snapshot.clients.iter().map(|client| client.queued).collect();
    if snapshot.garbage.is_some() || queued != [1] {
        wrong!("{snapshot:?}");
    }
    Ok(())
}

/// A client with a call that nobody takes.
pub(super) fn have_asked(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut client = Client::open(stage.object())?;
    client.start(b"request", CallOptions::new())?;
    cue.ready();
    cue.stay()
}

/// A client and an event.
pub(super) fn call_in_a_set(stage: &Stage) -> Ended {
    begin();
    let mut client = Client::open(stage.object())?;
    let mut event = Event::open(stage.folder.join("event"))?;
    let call = client.start(b"request", CallOptions::new())?;
    let mut set = WaitSet::new();
    set.set_spins(0);
    loop {
        if set.wait_deadline(&mut [&mut event, &mut client], soon()).is_empty() {
            wrong!("no answer in time");
        }
        if let Some(answer) = client.try_recv()? {
            match answer.outcome() {
                Outcome::Reply(reply) if answer.call() == call && reply.to_vec() == b"reply" => return Ok(()),
                other => wrong!("{other:?}"),
            }
        }
    }
}

pub(super) fn make_with_event(stage: &Stage) -> Ended {
    Event::create(stage.folder.join("event"), &SyncOptions::new(), Reset::Auto)?;
    make(stage)
}

pub(super) fn ask(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut client = Client::open(stage.object())?;
    cue.ready();
    cue.await_go();
    moment();
    client.start(b"request", CallOptions::new())?;
    cue.stay()
}

pub(super) fn afresh(stage: &Stage) -> Found {
    let server = match Server::open(stage.object()) {
        Err(Error::NotFound { .. }) => Server::create(stage.object(), &options())?,
        found => found?,
    };
    let mut clients = all_seats(SEATS, || Client::open(stage.object()))?;
    let client = &mut clients[0];
    let call = client.start(b"afterwards", CallOptions::new())?;
    // What a client that is gone has left comes first.
    for _ in 0..2 {
        if let Some(request) = server.try_recv()? {
            reply(request)?;
        }
    }
    match client.recv_deadline(soon())? {
        Some(answer) if answer.call() == call && answer.is_last() => Ok((0, true)),
        other => wrong!("{other:?}"),
    }
}
