//! Services: a server and clients are killed; each call ends once, and as what it was.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use anyhow::{Result, ensure};
use quoit::service::{CallId, CallOptions, Client, Outcome, Request, Server, ServiceOptions};
use quoit::{CallError, Error, ReplyError};

use super::board::ENTRIES;
use super::{LOOK, Life, Play, Site, nothing};
use crate::kills::page::ROLES;

pub(super) const PLAYS: &[Play] = &[Play {
    what: "services",
    share: 200,
    make: |path| {
        let options = ServiceOptions::new().clients(5).request_bytes(4096).reply_bytes(4096);
        Ok(Server::create(path, &options).map(drop)?)
    },
    victims: &[serve, call, call],
    steady: &[call],
    after: nothing,
    tells_each: false,
    end,
}];

/// Calls that each client may have noted at a time.
const NOTED: u64 = (ENTRIES / ROLES) as u64;
/// The most that are on their way.
const MOST: u64 = 8;

/// The entry of a client's call. It has the number of the call and, in its low bits, how often it was run.
fn entry(life: &Life, client: u64, number: u64) -> &std::sync::atomic::AtomicU64 {
    life.board.entry(client * NOTED + number % NOTED)
}

/// Its client was told that it never runs.
const NEVER: u64 = 0x80;

fn noted(number: u64) -> u64 {
    (number + 1) << 8
}

/// Every seventh call may run again.
fn is_repeatable(number: u64) -> bool {
    number % 7 == 3
}

fn reply_to(client: u64, number: u64) -> u64 {
    support::dice::mix(client << 48 ^ number)
}

fn serve(life: &Life) {
    let server = loop {
        match Server::open(&life.path) {
            Ok(server) => break server,
            Err(Error::ServerAlive { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    life.works();
    let mut late: Vec<Request<'_>> = Vec::new();
    while life.goes_on() {
        match life.inside(|| server.recv_timeout(Duration::from_millis(1))).expect("recv") {
            Some(request) => late.push(request),
            None => answer(life, &mut late),
        }
        if life.roll(4) == 0 || late.len() > 6 {
            answer(life, &mut late);
        }
    }
    // What a dead server had and is to run again has no end without a server, whoever cancels it.
    while let Some(request) = life.inside(|| server.recv_timeout(LOOK)).expect("recv") {
        late.push(request);
        answer(life, &mut late);
    }
}

/// Answers what is there, the newest first. A run is noted before it can be known to anybody else.
fn answer(life: &Life, late: &mut Vec<Request<'_>>) {
    while let Some(mut request) = late.pop() {
        let [client, number] = request.payload().read::<[u64; 2]>().expect("a whole request");
        // The entry is of a later call by now, if this one's client was killed long ago.
        let one_more = |run: u64| (run >> 8 == number + 1).then_some(run + 1);
        if let Ok(run) = entry(life, client, number).fetch_update(SeqCst, SeqCst, one_more) {
            assert!(run & NEVER == 0, "call {number} of {client} runs, and was said never to");
            assert!(run & 0xff == 0 || is_repeatable(number), "call {number} of {client} runs once more");
        }
        if request.is_again() {
            life.board.tell();
        }
        life.board.hold(life.number, 1);
        let reply = reply_to(client, number).to_le_bytes();
        let replied = match number % 16 {
            5 => {
                life.inside(|| drop(request));
                Ok(())
            }
            6 => life.inside(|| request.fail(&reply)),
            7 => life.inside(|| request.more(&reply)).and_then(|()| life.inside(|| request.reply(&reply))),
            _ => life.inside(|| request.reply(&reply)),
        };
        life.board.hold(life.number, 0);
        match replied {
            Ok(()) | Err(ReplyError::ClientGone) => life.done(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Words of the board from here on: the number of each client's next call, from life to life.
const NEXT: usize = 8;

fn call(life: &Life) {
    let me = life.number as u64;
    let mut client = loop {
        match Client::open(&life.path) {
            Ok(client) => break client,
            Err(Error::SeatsTaken { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    life.works();
    let next = &life.board.words[NEXT + life.number];
    let mut calls: BTreeMap<CallId, u64> = BTreeMap::new();
    while life.goes_on() {
        let number = next.fetch_add(1, SeqCst);
        entry(life, me, number).store(noted(number), SeqCst);
        let how = CallOptions::new().repeatable(is_repeatable(number));
        let how = match number % 5 {
            0 => how.timeout(Duration::from_micros(number * 97 % 3000)),
            1 => how.timeout(Duration::from_millis(50)),
            _ => how,
        };
        let request: [u8; 16] = std::array::from_fn(|at| {
            let word = if at < 8 { me } else { number };
            word.to_le_bytes()[at % 8]
        });
        match life.inside(|| client.start(&request, how)) {
            Ok(call) => {
                calls.insert(call, number);
                if number.is_multiple_of(13) && life.inside(|| client.cancel(call)).expect("cancel") {
                    calls.remove(&call);
                    ended(life, me, number, Ended::NeverRan);
                }
            }
            Err(CallError::NotExecuted) => ended(life, me, number, Ended::NeverRan),
            Err(error) => panic!("{error}"),
        }
        while calls.len() as u64 > life.roll(MOST) {
            collect(life, &mut client, &mut calls);
        }
    }
    // The server leaves as well: what it had ends with that, and what nobody has taken is withdrawn.
    for (call, number) in calls.clone() {
        if life.inside(|| client.cancel(call)).expect("cancel") {
            calls.remove(&call);
            ended(life, me, number, Ended::NeverRan);
        }
    }
    while !calls.is_empty() {
        collect(life, &mut client, &mut calls);
    }
}

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Ran,
    NeverRan,
    Perhaps,
}

/// Holds an end against what ran.
fn ended(life: &Life, client: u64, number: u64, how: Ended) {
    let found = entry(life, client, number).load(SeqCst);
    assert_eq!(found >> 8, number + 1, "the entry of another call");
    let runs = found & 0xff;
    let is_right = match how {
        Ended::Ran => runs >= 1,
        Ended::NeverRan => runs == 0,
        Ended::Perhaps => true,
    };
    assert!(is_right && (runs <= 1 || is_repeatable(number)), "call {number}: {how:?}, and ran {runs} times");
    if how == Ended::NeverRan {
        // And never will: a run would be noted.
        entry(life, client, number).store(noted(number) | NEVER, SeqCst);
    }
    life.done();
}

fn collect(life: &Life, client: &mut Client, calls: &mut BTreeMap<CallId, u64>) {
    let me = life.number as u64;
    let answer = life.inside(|| client.recv_timeout(Duration::from_secs(20))).expect("recv");
    let answer = answer.expect("a call that ends");
    let number = *calls.get(&answer.call()).expect("an answer to a call on its way");
    let is_mine = |reply: &quoit::service::Payload<'_>| reply.read() == Some(reply_to(me, number));
    let how = match answer.outcome() {
        Outcome::More(reply) => {
            assert!(is_mine(reply), "the reply to another call");
            return;
        }
        Outcome::Reply(reply) | Outcome::Failed(reply) => {
            assert!(is_mine(reply), "the reply to another call");
            Ended::Ran
        }
        // Whoever took it may have died, or panicked, before it was run.
        Outcome::Dropped | Outcome::Unanswered => Ended::Perhaps,
        Outcome::ServerGone => {
            life.board.tell();
            Ended::Perhaps
        }
        Outcome::NotExecuted => Ended::NeverRan,
        other => panic!("{other:?}"),
    };
    calls.remove(&answer.call());
    ended(life, me, number, how);
}

fn end(site: &Site) -> Result<()> {
    let calls: u64 = site.board.words[NEXT..].iter().map(|word| word.load(SeqCst)).sum();
    ensure!(calls > 0, "nobody called");
    Ok(())
}
