//! Services.

use std::time::Duration;

use quoit::Error;
use quoit::service::{CallOptions, Client, Outcome, Server, ServiceOptions};

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
