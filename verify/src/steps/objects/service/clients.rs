//! Clients that are killed with a request that is not published yet, and with a call that a server has died with.

use std::time::Duration;

use quoit::CallError;
use quoit::service::{CallOptions, Client, Outcome, Server};

use super::{ENDS, REPLY, REQUEST, alone, answer, make};
use crate::steps::objects::{Case, Stage, Word};
use crate::tracee::mark;

pub(in crate::steps::objects) const CASES: &[Case] = &[
    Case::new("call-claim", make, alone, claim).beside(super::serve),
    Case::new("call-claim-dropped", make, alone, claim_and_drop).beside(super::serve),
    Case::new("call-for-room", make, alone, call_for_room).beside(serve_late),
    Case::new("call-lost", make, alone, call_lost).beside(lose),
    Case::new("call-again-time-out", make, alone, call_again_time_out).beside(lose_and_wait),
];

fn claim(stage: &Stage) {
    let mut client = Client::open(stage.path()).expect("open");
    mark();
    let call = client.claim(REQUEST.len(), CallOptions::new()).map(|mut claim| {
        assert!(claim.write_at(0, REQUEST), "it fits");
        claim.start()
    });
    mark();
    let reply = client.wait(call.expect("room")).map(|reply| reply.to_vec());
    assert!(matches!(&reply, Ok(reply) if reply == REPLY), "{reply:?}");
    stage.set(Word::Done, 1);
    stage.stay();
}

/// It never becomes a call.
fn claim_and_drop(stage: &Stage) {
    let mut client = Client::open(stage.path()).expect("open");
    stage.set(Word::Come, ENDS);
    mark();
    let is_written =
        client.claim(REQUEST.len(), CallOptions::new()).map(|mut claim| claim.write_at(0, REQUEST));
    mark();
    assert!(matches!(is_written, Ok(true)), "{is_written:?}");
    stage.stay();
}

/// Two of these fill the channel of requests.
const LARGE: usize = 2000;

fn call_for_room(stage: &Stage) {
    let mut client = Client::open(stage.path()).expect("open");
    for _ in 0..2 {
        client.start(&[0; LARGE], CallOptions::new()).expect("room");
    }
    let mut request = [0; LARGE];
    request[..REQUEST.len()].copy_from_slice(REQUEST);
    stage.set(Word::First, 1);
    mark();
    let call = client.start(&request, CallOptions::new());
    mark();
    let reply = client.wait(call.expect("room")).map(|reply| reply.to_vec());
    assert!(matches!(&reply, Ok(reply) if reply == REPLY), "{reply:?}");
    stage.set(Word::Done, 1);
    stage.stay();
}

/// Serves once the client waits for room.
fn serve_late(stage: &Stage) {
    stage.until_first();
    std::thread::sleep(Duration::from_millis(3));
    super::serve(stage);
}

/// A server takes a call and dies, and another has come since.
fn next_after_death(stage: &Stage) -> Server {
    let server = Server::open(stage.path()).expect("serve");
    stage.set(Word::Ready, 1);
    std::mem::forget(server.recv().expect("recv"));
    drop(server);
    let next = Server::open(stage.path()).expect("serve next");
    stage.set(Word::First, 1);
    next
}

fn lose(stage: &Stage) {
    let next = next_after_death(stage);
    super::serve_by(stage, &next);
}

/// Takes nothing before the victim is gone.
fn lose_and_wait(stage: &Stage) {
    let next = next_after_death(stage);
    stage.until_set(Word::Second);
    while let Some(request) = next.try_recv().expect("recv") {
        answer(stage, request);
    }
    stage.set(Word::Through, 1);
}

fn call_lost(stage: &Stage) {
    let mut client = Client::open(stage.path()).expect("open");
    let call = client.start(REQUEST, CallOptions::new()).expect("start");
    stage.until_set(Word::First);
    // Nobody ever runs it again.
    stage.set(Word::Come, ENDS);
    mark();
    let lost = client.wait(call).map(drop);
    mark();
    assert!(matches!(lost, Err(CallError::ServerGone)), "{lost:?}");
    stage.stay();
}

/// Its call is to run again, and nobody has taken it when its time is over.
fn call_again_time_out(stage: &Stage) {
    const LIMIT: Duration = Duration::from_millis(25);
    let mut client = Client::open(stage.path()).expect("open");
    let how = CallOptions::new().repeatable(true).timeout(LIMIT);
    let call = client.start(REQUEST, how).expect("start");
    stage.until_set(Word::First);
    std::thread::sleep(LIMIT);
    mark();
    let is_unanswered =
        client.recv().map(|answer| answer.call() == call && matches!(answer.outcome(), Outcome::Unanswered));
    // Nobody runs it from here on.
    stage.set(Word::Come, ENDS);
    mark();
    assert!(matches!(is_unanswered, Ok(true)), "{is_unanswered:?}");
    stage.stay();
}
