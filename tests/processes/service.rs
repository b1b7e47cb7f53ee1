//! A service between processes: servers and clients are killed anywhere, stopped, and forked. Each call ends exactly once,
//! as what really happened, by notes outside the service.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::ForkResult;
use quoit::service::{CallId, CallOptions, Client, Outcome, Request, Server, ServiceOptions};
use quoit::{CallError, Error, ReplyError};

use crate::forks::split;
use crate::process::{Part, Process, SOON, Stage, hear, note, say};

/// Numbers that a process appends to a file of its own or to a common one, three at a time: what it has done until it is
/// killed.
struct Notes(File);

impl Notes {
    fn open(path: &Path) -> Self {
        Self(File::options().append(true).create(true).open(path).expect("open"))
    }

    fn add(&mut self, numbers: [u64; 3]) {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.0.write_all(&bytes).expect("write");
    }

    fn read(path: &Path) -> Vec<[u64; 3]> {
        let bytes = std::fs::read(path).unwrap_or_default();
        let (entries, rest) = bytes.as_chunks::<24>();
        assert!(rest.is_empty(), "half a note");
        let number =
            |entry: &[u8; 24], at: usize| u64::from_le_bytes(entry[8 * at..8 * at + 8].try_into().unwrap());
        entries.iter().map(|entry| [0, 1, 2].map(|at| number(entry, at))).collect()
    }
}

/// What a client notes.
const STARTED: u64 = 0;
const REPLIED: u64 = 1;
const FAILED: u64 = 2;
const DROPPED: u64 = 3;
const NEVER_RAN: u64 = 4;
const MAY_HAVE_RUN: u64 = 5;

/// Every seventh call may run again.
fn is_repeatable(number: u64) -> bool {
    number % 7 == 3
}

/// The reply to a call.
fn reply_to(client: u64, number: u64) -> u64 {
    client.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) ^ number.wrapping_mul(0xff51_afd7_ed55_8ccd)
}

/// Serves until it is killed: notes each request, then answers it, some later than others.
///
/// `ring`, `ran`.
pub(crate) fn serve(part: &Part) {
    let server = Server::open(part.ring()).expect("open");
    let mut ran = Notes::open(&part.get::<PathBuf>("ran"));
    say("serves");
    let mut late: Vec<Request<'_>> = Vec::new();
    for turn in 0_u64.. {
        match server.recv_timeout(Duration::from_millis(1)).expect("recv") {
            Some(request) => late.push(request),
            None => answer(&mut late, &mut ran),
        }
        if turn % 4 == 3 || late.len() > 8 {
            answer(&mut late, &mut ran);
        }
    }
}

/// Answers what is there, the newest first.
fn answer(late: &mut Vec<Request<'_>>, ran: &mut Notes) {
    while let Some(mut request) = late.pop() {
        let [client, number, length] = request.payload().read::<[u64; 3]>().unwrap_or_else(|| {
            // Longer ones end with filling.
            let mut numbers = [0; 24];
            assert_eq!(request.payload().read_at(0, &mut numbers), 24);
            [0, 8, 16].map(|at| u64::from_le_bytes(numbers[at..at + 8].try_into().unwrap()))
        });
        assert_eq!(request.payload().len() as u64, 24 + length, "a torn request");
        ran.add([client, number, u64::from(request.is_again())]);
        let reply = reply_to(client, number).to_le_bytes();
        match number % 16 {
            5 => drop(request),
            6 => request.fail(&reply).expect("fail"),
            7 | 8 => {
                for _ in 0..3 {
                    match request.more(&reply) {
                        Ok(()) | Err(ReplyError::ClientGone) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                request.reply(&reply).expect("reply");
            }
            _ => request.reply(&reply).expect("reply"),
        }
    }
}

/// Calls, with several calls in flight, until it is killed or told to end by a file; then collects what is in flight.
///
/// `ring`, `notes`, `client`, `end`.
pub(crate) fn call(part: &Part) {
    let (me, end): (u64, PathBuf) = (part.get("client"), part.get("end"));
    let mut notes = Notes::open(&part.get::<PathBuf>("notes"));
    let mut client = Client::open(part.ring()).expect("open");
    say("calls");
    let mut numbers: BTreeMap<CallId, u64> = BTreeMap::new();
    let mut next = 0;
    // A client that is the last to be replaced may begin after the end has come: it makes calls all the same.
    while next == 0 || next % 64 != 0 || !end.exists() {
        let how = CallOptions::new().repeatable(is_repeatable(next));
        let how = match next % 5 {
            0 => how.timeout(Duration::from_micros(next * 97 % 3000)),
            1 => how.timeout(Duration::from_millis(50)),
            _ => how,
        };
        let length = if next % 11 == 0 { next * 131 % 1500 } else { 0 };
        let mut request: Vec<u8> =
            [me, next, length].iter().flat_map(|number| number.to_le_bytes()).collect();
        request.resize(24 + length as usize, next as u8);
        notes.add([STARTED, next, 0]);
        match client.start(&request, how) {
            Ok(call) => {
                numbers.insert(call, next);
                if next % 13 == 0 && client.cancel(call).expect("cancel") {
                    numbers.remove(&call);
                    notes.add([NEVER_RAN, next, 0]);
                }
            }
            Err(CallError::NotExecuted) => notes.add([NEVER_RAN, next, 0]),
            Err(error) => panic!("{error}"),
        }
        next += 1;
        while client.in_flight() > (next % 12) as usize {
            collect(&mut client, &mut numbers, &mut notes, me);
        }
    }
    while client.in_flight() > 0 {
        collect(&mut client, &mut numbers, &mut notes, me);
    }
    while client.try_recv().expect("recv").is_some_and(|answer| {
        let number = numbers.remove(&answer.call()).expect("an answer to a call in flight");
        notes.add([kind(answer.outcome(), me, number), number, 0]);
        true
    }) {}
    assert!(numbers.is_empty(), "{numbers:?} did not end");
    say(format_args!("done {next}"));
}

fn collect(client: &mut Client, numbers: &mut BTreeMap<CallId, u64>, notes: &mut Notes, me: u64) {
    let answer = client.recv().expect("recv");
    let number = *numbers.get(&answer.call()).expect("an answer to a call in flight");
    if let Outcome::More(reply) = answer.outcome() {
        assert_eq!(reply.read(), Some(reply_to(me, number)), "the reply to another call");
        return;
    }
    numbers.remove(&answer.call());
    notes.add([kind(answer.outcome(), me, number), number, 0]);
}

fn kind(outcome: &Outcome<'_>, me: u64, number: u64) -> u64 {
    match outcome {
        Outcome::Reply(reply) => {
            assert_eq!(reply.read(), Some(reply_to(me, number)), "the reply to another call");
            REPLIED
        }
        Outcome::Failed(reply) => {
            assert_eq!(reply.read(), Some(reply_to(me, number)), "the reply to another call");
            FAILED
        }
        Outcome::Dropped => DROPPED,
        Outcome::NotExecuted => NEVER_RAN,
        Outcome::Unanswered | Outcome::ServerGone => MAY_HAVE_RUN,
        other => panic!("{other:?}"),
    }
}

fn kills() -> u64 {
    std::env::var("QUOIT_KILLS").map_or(120, |text| text.parse().expect("QUOIT_KILLS is a number"))
}

/// The calls of one client, held against what ran.
fn check(
    client: u64,
    notes: &[[u64; 3]],
    was_killed: bool,
    runs: &BTreeMap<(u64, u64), u64>,
    account: &mut [u64; 6],
) {
    let mut ends: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for [kind, number, _] in notes {
        match *kind {
            STARTED => assert!(ends.insert(*number, Vec::new()).is_none(), "started twice"),
            end => ends.get_mut(number).expect("an end of a call that was started").push(end),
        }
    }
    for (number, ends) in ends {
        let ran = runs.get(&(client, number)).copied().unwrap_or(0);
        let what = format!("call {number} of client {client}: ends {ends:?}, ran {ran} times");
        assert!(ran <= 1 || is_repeatable(number), "{what}");
        match ends[..] {
            [REPLIED | FAILED | DROPPED] => assert!(ran >= 1 || ends == [DROPPED], "{what}"),
            [NEVER_RAN] => assert_eq!(ran, 0, "{what}"),
            [MAY_HAVE_RUN] => {}
            [] => assert!(was_killed, "{what}"),
            _ => panic!("{what}"),
        }
        account[ends.first().copied().unwrap_or(STARTED) as usize] += 1;
    }
}

/// A server and three clients under load; one after the other is killed, wherever it is, and replaced.
#[test]
fn servers_and_clients_are_killed() {
    let stage = Stage::tmpfs(300);
    let (path, ran, end) = (stage.file("service"), stage.file("ran"), stage.file("end"));
    let options = ServiceOptions::new().clients(4).request_bytes(4096).reply_bytes(4096);
    drop(Server::create(&path, &options).expect("create"));
    let serving = || {
        let mut process = Part::new("serve calls").on(&path).with("ran", ran.display()).start();
        process.says("serves");
        process
    };
    let calling = |client: u64| {
        let notes = stage.file(&format!("client-{client}"));
        let part = Part::new("make calls").on(&path).with("notes", notes.display());
        let mut process = part.with("client", client).with("end", end.display()).start();
        process.says("calls");
        process
    };
    let mut server = serving();
    let mut clients: Vec<(u64, Process)> = (0..3).map(|client| (client, calling(client))).collect();
    let (mut next, mut killed) = (3, Vec::new());
    for kill in 0..kills() {
        std::thread::sleep(Duration::from_micros(kill * 37 % 5000));
        if kill % 2 == 0 {
            let said = server.kill();
            assert!(said.is_empty(), "{said:?}");
            // Now and then nobody serves for a while.
            std::thread::sleep(Duration::from_micros(kill * 53 % 3000));
            server = serving();
        } else {
            let (client, process) = &mut clients[(kill / 2 % 3) as usize];
            let said = process.kill();
            assert!(said.is_empty(), "{said:?}");
            killed.push(*client);
            (*client, *process) = (next, calling(next));
            next += 1;
        }
    }
    File::create(&end).expect("tell them to end");
    for (_, client) in &mut clients {
        assert!(client.says("done")[0] > 0);
    }
    server.kill();
    let mut runs = BTreeMap::new();
    for [client, number, _] in Notes::read(&ran) {
        *runs.entry((client, number)).or_insert(0) += 1;
    }
    let mut account = [0; 6];
    for client in 0..next {
        let notes = Notes::read(&stage.file(&format!("client-{client}")));
        check(client, &notes, killed.contains(&client), &runs, &mut account);
    }
    let [open, replied, failed, dropped, never, perhaps] = account;
    assert!(replied > kills() && never > 0, "hardly anything happened: {account:?}");
    note(format_args!(
        "service: {} kills; calls: {replied} replies, {failed} errors, {dropped} dropped, {never} never ran, {perhaps} may \
         have run, {open} of killed clients; {} ran more than once",
        kills(),
        runs.values().filter(|times| **times > 1).count()
    ));
}

/// Takes a request, says so, and answers it when it is told to go on.
///
/// `ring`.
pub(crate) fn hold(part: &Part) {
    let server = Server::open(part.ring()).expect("open");
    say("serves");
    let request = server.recv().expect("recv");
    say("holds");
    hear();
    request.reply(b"at last").expect("reply");
    say("done");
}

fn holder(path: &Path) -> Process {
    let mut holder = Part::new("hold a request").on(path).start();
    holder.says("serves");
    holder
}

#[test]
fn who_waits_is_told_of_a_server_that_dies() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("service");
    drop(Server::create(&path, &ServiceOptions::new()).expect("create"));
    let mut client = Client::open(&path).expect("open");
    for waits_ms in [0, 5, 300] {
        let mut server = holder(&path);
        let call = client.start(b"", CallOptions::new()).expect("start");
        server.says("holds");
        std::thread::sleep(Duration::from_millis(waits_ms));
        // Not reaped: what counts is that the kernel closed its files.
        server.strike();
        let answer = client.recv_timeout(SOON).expect("recv").expect("it is told");
        assert!(answer.call() == call && matches!(answer.outcome(), Outcome::ServerGone), "{answer:?}");
        server.reap();
    }
}

/// Makes a repeatable call, and waits for ever.
///
/// `ring`.
pub(crate) fn call_repeatably(part: &Part) {
    let mut client = Client::open(part.ring()).expect("open");
    client.start(b"again", CallOptions::new().repeatable(true)).expect("start");
    say("calls");
    hear();
}

/// One that kills its servers would otherwise go on doing so for nobody.
#[test]
fn a_repeatable_call_of_a_client_that_was_killed_does_not_run_again() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("service");
    for is_killed in [false, true] {
        let server = Server::create(&path, &ServiceOptions::new()).expect("create");
        let mut client = Part::new("call repeatably").on(&path).start();
        client.says("calls");
        std::mem::forget(server.recv().expect("recv"));
        drop(server);
        if is_killed {
            client.kill();
        }
        let next = Server::open(&path).expect("open");
        let again = next.try_recv().expect("look");
        assert_eq!(again.is_some_and(|request| request.is_again()), !is_killed);
        if !is_killed {
            client.kill();
        }
        drop(next);
        std::fs::remove_file(&path).expect("remove");
    }
}

/// A stopped server is alive, and has what it has.
#[test]
fn a_stopped_server_keeps_its_calls() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("service");
    drop(Server::create(&path, &ServiceOptions::new()).expect("create"));
    let mut client = Client::open(&path).expect("open");
    let mut server = holder(&path);
    client.start(b"", CallOptions::new()).expect("start");
    server.says("holds");
    server.stop();
    assert!(client.recv_timeout(Duration::from_millis(50)).expect("recv").is_none());
    assert!(client.has_server() && matches!(Server::open(&path), Err(Error::ServerAlive { .. })));
    // Deadlines do not wait for it.
    let how = CallOptions::new().timeout(Duration::from_millis(5));
    assert!(matches!(client.call(b"", how), Err(CallError::NotExecuted)));
    server.cont();
    server.tell("go on");
    server.says("done");
    let answer = client.recv_timeout(SOON).expect("recv").expect("an answer");
    assert_eq!(answer.into_result().expect("a reply").to_vec(), b"at last");
    server.finish();
}

/// Serves and calls in one process, forks, and lets the child try.
///
/// `ring`.
pub(crate) fn fork(part: &Part) {
    let server = Server::open(part.ring()).expect("open");
    let mut client = Client::open(part.ring()).expect("open");
    let call = client.start(b"of the parent", CallOptions::new()).expect("start");
    let request = server.recv().expect("recv");
    if let ForkResult::Parent { child } = split() {
        let ended = waitpid(child, None).expect("wait for the child");
        assert!(matches!(ended, WaitStatus::Exited(_, 0)), "{ended:?}");
        assert!(!request.is_cancelled() && client.has_server());
        request.reply(b"still there").expect("reply");
        assert_eq!(client.wait(call).expect("a reply").to_vec(), b"still there");
        return;
    }
    assert!(matches!(client.start(b"", CallOptions::new()), Err(CallError::Client(Error::Forked))));
    assert!(
        matches!(client.try_recv(), Err(Error::Forked)) && matches!(client.cancel(call), Err(Error::Forked))
    );
    assert!(matches!(client.try_clone(), Err(Error::Forked)) && matches!(client.serve(), Err(Error::Forked)));
    assert!(matches!(server.try_recv(), Err(Error::Forked)) && matches!(server.client(), Err(Error::Forked)));
    assert!(!client.has_server() && request.time_left().is_none() && !request.is_cancelled());
    assert!(request.payload().is_empty());
    assert!(matches!(request.reply(b"not mine"), Err(ReplyError::Server(Error::Forked))));
    drop((client, server));
    // Of its own it may have one.
    let mut own = Client::open(part.ring()).expect("open");
    assert!(own.has_server(), "the parent's");
    let how = CallOptions::new().deadline(Instant::now());
    assert!(matches!(own.call(b"", how), Err(CallError::NotExecuted)));
    drop(own);
    std::process::exit(0);
}

#[test]
fn a_child_owns_nothing() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("service");
    drop(Server::create(&path, &ServiceOptions::new()).expect("create"));
    Part::new("fork with calls").on(&path).start().finish();
}
