//! Services: every call ends exactly once: with a reply, as never run, or with a death.

pub(super) mod again;
pub(super) mod clients;
pub(super) mod deadlines;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use quoit::service::{CallId, CallOptions, Client, Outcome, Request, Server, ServiceOptions};
use quoit::{CallError, Error};

use super::stage::Stage;
use super::{Case, End, PATIENCE, SHORT, Scene, Word, soon};
use crate::child::Child;
use crate::tracee::mark;

const CLIENTS: u32 = 3;

pub(super) const CASES: &[Case] = &[
    // The victim is the client.
    Case::new("call-reply", make, alone, call).beside(serve),
    Case::new("call-cancel", make, alone, cancel),
    Case::new("call-time-out", make, alone, call_time_out),
    Case::new("call-open", make, alone, open_client),
    Case::new("call-close", make, alone, close_client),
    // The victim is the server.
    Case::new("serve-take-reply", make, calling, take_and_reply),
    Case::new("serve-take-more-reply", make, calling, take_and_reply_in_two),
    Case::new("serve-take-fail", make, calling, take_and_fail),
    Case::new("serve-take-drop", make, calling, take_and_drop),
    Case::new("serve-take-repeatable", make, calling_repeatable, take_and_reply),
    Case::new("serve-reply-wake", make, alone, reply_to_another).beside(call_once),
    Case::new("serve-take-over", make_with_dead, calling, take_over),
    Case::new("serve-time-out", make, alone, serve_time_out),
    Case::new("serve-close", make, calling, close_server),
];

fn options() -> ServiceOptions {
    ServiceOptions::new().clients(CLIENTS).request_bytes(4096).reply_bytes(4096).largest_reply(64)
}

fn make(stage: &Stage) -> Result<()> {
    drop(Server::create(stage.path(), &options())?);
    Ok(())
}

/// A server has died with a call of a client that has died, too.
fn make_with_dead(stage: &Stage) -> Result<()> {
    make(stage)?;
    let mut both = Child::start(|| {
        let server = Server::open(stage.path()).expect("serve");
        let mut client = Client::open(stage.path()).expect("open");
        client.start(b"of the dead", CallOptions::new()).expect("start");
        std::mem::forget(server.recv().expect("a request"));
        std::mem::forget((client, server));
    })?;
    both.ends_within(PATIENCE)?.context("a server that dies")?;
    Ok(())
}

/// The victim's call, and what runs it.
const REQUEST: &[u8] = b"a request";
const REPLY: &[u8] = b"its reply";

/// How far the victim has come: a server with a request, or a client with a call.
const TOOK: u64 = 1;
const ENDS: u64 = 2;
const ENDED: u64 = 3;
/// It may have left its place already.
const LEAVES: u64 = 4;

// ---- clients that are killed

/// Serves until the check says that it is enough.
fn serve(stage: &Stage) {
    let server = Server::open(stage.path()).expect("serve");
    stage.set(Word::Ready, 1);
    serve_by(stage, &server);
}

fn serve_by(stage: &Stage, server: &Server) {
    while stage.get(Word::Second) == 0 {
        if let Some(request) = server.recv_timeout(Duration::from_millis(1)).expect("recv") {
            answer(stage, request);
        }
    }
    stage.set(Word::Through, 1);
}

/// Notes a run, and replies.
fn answer(stage: &Stage, request: Request<'_>) {
    if request.payload().to_vec().starts_with(REQUEST) {
        stage.add(Word::Others, 1);
    }
    match request.reply(REPLY) {
        Ok(()) | Err(quoit::ReplyError::ClientGone) => {}
        Err(error) => panic!("{error}"),
    }
}

fn call(stage: &Stage) {
    let mut client = Client::open(stage.path()).expect("open");
    mark();
    let reply = client.call(REQUEST, CallOptions::new()).map(|reply| reply.to_vec());
    stage.set(Word::Come, ENDED);
    mark();
    assert!(matches!(&reply, Ok(reply) if reply == REPLY), "{reply:?}");
    stage.set(Word::Done, 1);
    stage.stay();
}

fn cancel(stage: &Stage) {
    let mut client = Client::open(stage.path()).expect("open");
    mark();
    let call = client.start(REQUEST, CallOptions::new());
    let is_cancelled = call.as_ref().map_or(Ok(false), |call| client.cancel(*call));
    stage.set(Word::Come, ENDS);
    mark();
    assert!(matches!(is_cancelled, Ok(true)), "{call:?}, {is_cancelled:?}");
    stage.stay();
}

fn call_time_out(stage: &Stage) {
    let mut client = Client::open(stage.path()).expect("open");
    mark();
    let reply = client.call(REQUEST, CallOptions::new().timeout(SHORT)).map(|reply| reply.to_vec());
    stage.set(Word::Come, ENDS);
    mark();
    assert!(matches!(reply, Err(CallError::NotExecuted)), "{reply:?}");
    stage.stay();
}

fn open_client(stage: &Stage) {
    mark();
    let client = Client::open(stage.path());
    mark();
    let client = client.expect("open");
    stage.stay();
    drop(client);
}

fn close_client(stage: &Stage) {
    let mut client = Client::open(stage.path()).expect("open");
    client.start(REQUEST, CallOptions::new()).expect("start");
    mark();
    drop(client);
    mark();
    stage.stay();
}

/// No call of this process is on its way.
struct Alone<'a> {
    stage: &'a Stage,
}

fn alone(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    Ok(Box::new(Alone { stage }))
}

impl Scene for Alone<'_> {
    fn afterwards(self: Box<Self>, end: End) -> Result<()> {
        let stage = self.stage;
        let come = stage.get(Word::Come);
        stage.set(Word::Second, 1);
        if stage.get(Word::Ready) == 1 {
            stage.until_through()?;
        }
        let server = serve_next(stage)?;
        let mut clients = stage.take_seats(CLIENTS - 1, || Client::open(stage.path()))?;
        let Some(client) = clients.first_mut() else { return Ok(()) };
        let call = client.start(b"afterwards", CallOptions::new())?;
        let mut reply = None;
        super::until("the next server replies", || {
            if let Ok(Some(request)) = server.try_recv() {
                answer(stage, request);
            }
            if let Ok(Some(answer)) = client.try_recv() {
                reply = Some((answer.call(), answer.into_result().map(|reply| reply.to_vec()).ok()));
            }
            reply.is_some()
        })?;
        let is_its_own = reply == Some((call, Some(REPLY.to_vec())));
        stage.is(is_its_own, || format!("the next client got {reply:?}"))?;
        let runs = stage.get(Word::Others);
        stage.is(runs <= 1, || format!("a call ran {runs} times"))?;
        stage.is(runs == 0 || come != ENDS, || "a call ran that never was to".to_owned())?;
        stage.is(runs == 1 || stage.get(Word::Done) == 0, || "a reply without a run".to_owned())?;
        if stage.get(Word::Told) == 1 {
            stage.is(end == End::Killed, || "a death is told, and nobody died".to_owned())?;
            stage.note_told();
        }
        Ok(())
    }
}

/// The next server, as soon as the last one is gone.
fn serve_next(stage: &Stage) -> Result<Server> {
    let mut opened = Server::open(stage.path());
    super::until("the server's place is free", || {
        if let Err(Error::ServerAlive { .. }) = opened {
            opened = Server::open(stage.path());
        }
        !matches!(opened, Err(Error::ServerAlive { .. }))
    })?;
    opened.context("the next server")
}

// ---- servers that are killed

#[inline(always)]
fn take<'s>(stage: &Stage, server: &'s Server) -> Request<'s> {
    let request = server.recv().expect("recv");
    stage.set(Word::Come, TOOK);
    stage.add(Word::Begun, 1);
    request
}

fn take_and_reply(stage: &Stage) {
    let server = Server::open(stage.path()).expect("serve");
    mark();
    let request = take(stage, &server);
    stage.set(Word::Come, ENDS);
    let replied = request.reply(REPLY);
    stage.set(Word::Come, ENDED);
    mark();
    replied.expect("reply");
    stage.stay();
}

fn take_and_reply_in_two(stage: &Stage) {
    let server = Server::open(stage.path()).expect("serve");
    mark();
    let mut request = take(stage, &server);
    let more = request.more(b"first");
    stage.set(Word::Come, ENDS);
    let replied = request.reply(REPLY);
    stage.set(Word::Come, ENDED);
    mark();
    more.and(replied).expect("reply");
    stage.stay();
}

fn take_and_fail(stage: &Stage) {
    let server = Server::open(stage.path()).expect("serve");
    mark();
    let request = take(stage, &server);
    stage.set(Word::Come, ENDS);
    let failed = request.fail(REPLY);
    stage.set(Word::Come, ENDED);
    mark();
    failed.expect("fail");
    stage.stay();
}

fn take_and_drop(stage: &Stage) {
    let server = Server::open(stage.path()).expect("serve");
    mark();
    let request = take(stage, &server);
    stage.set(Word::Come, ENDS);
    drop(request);
    stage.set(Word::Come, ENDED);
    mark();
    stage.stay();
}

fn take_over(stage: &Stage) {
    mark();
    let server = Server::open(stage.path());
    mark();
    let server = server.expect("serve");
    stage.stay();
    drop(server);
}

fn close_server(stage: &Stage) {
    let server = Server::open(stage.path()).expect("serve");
    let request = take(stage, &server);
    std::mem::forget(request);
    stage.set(Word::First, LEAVES);
    mark();
    drop(server);
    mark();
    stage.stay();
}

fn serve_time_out(stage: &Stage) {
    let server = Server::open(stage.path()).expect("serve");
    mark();
    let none = server.recv_timeout(SHORT).map(|request| request.is_none());
    mark();
    assert!(matches!(none, Ok(true)), "{none:?}");
    stage.stay();
}

/// The client of [`call_once`] sleeps until there is a reply.
fn reply_to_another(stage: &Stage) {
    let server = Server::open(stage.path()).expect("serve");
    stage.set(Word::First, 1);
    let request = server.recv().expect("recv");
    if request.payload().to_vec() == REQUEST {
        stage.add(Word::Others, 1);
    }
    std::thread::sleep(Duration::from_millis(3));
    mark();
    let replied = request.reply(REPLY);
    stage.set(Word::Done, 1);
    mark();
    replied.expect("reply");
    stage.stay();
}

fn call_once(stage: &Stage) {
    let mut client = Client::open(stage.path()).expect("open");
    stage.until_first();
    match client.call(REQUEST, CallOptions::new()).map(|reply| reply.to_vec()) {
        Ok(reply) => assert_eq!(reply, REPLY),
        Err(CallError::ServerGone) => {
            assert_eq!(stage.get(Word::Done), 0, "the reply was sent");
            stage.set(Word::Told, 1);
        }
        Err(error) => panic!("{error}"),
    }
    stage.set(Word::Through, 1);
}

/// This process has two calls on their way.
struct Calling<'a> {
    stage: &'a Stage,
    client: Client,
    calls: Vec<CallId>,
    is_repeatable: bool,
    /// How many of them a server had that died before the victim came: the first ones.
    taken_before: u64,
    /// Those whose end was the reply of another run than the first.
    anew: Vec<CallId>,
}

impl<'a> Calling<'a> {
    fn new(stage: &'a Stage, is_repeatable: bool) -> Result<Self> {
        let mut client = Client::open(stage.path())?;
        let how = || CallOptions::new().repeatable(is_repeatable);
        let calls = vec![client.start(REQUEST, how())?, client.start(REQUEST, how())?];
        Ok(Self { stage, client, calls, is_repeatable, taken_before: 0, anew: Vec::new() })
    }
}

fn calling(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    Ok(Box::new(Calling::new(stage, false)?))
}

fn calling_repeatable(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    Ok(Box::new(Calling::new(stage, true)?))
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Answered,
    ServerGone,
}

impl Calling<'_> {
    /// One more look of the client. Returns whether a call has ended.
    fn collect(&mut self, ended: &mut Vec<(CallId, Ended)>) -> Result<bool> {
        let Some(answer) = self.client.try_recv()? else { return Ok(false) };
        let (call, is_anew) = (answer.call(), answer.begins_anew());
        let how = match answer.outcome() {
            Outcome::More(part) => {
                self.stage.is(part.to_vec() == b"first" && !is_anew, || format!("{part:?}, {is_anew}"))?;
                return Ok(false);
            }
            Outcome::Reply(reply) | Outcome::Failed(reply) => {
                self.stage.is(reply.to_vec() == REPLY, || format!("{reply:?}"))?;
                Ended::Answered
            }
            Outcome::Dropped => Ended::Answered,
            Outcome::ServerGone => Ended::ServerGone,
            other => bail!("{other:?}"),
        };
        let is_new = self.calls.contains(&call) && ended.iter().all(|(other, _)| *other != call);
        self.stage.is(is_new, || format!("an end of {call:?} after {ended:?}"))?;
        ended.push((call, how));
        if is_anew {
            self.anew.push(call);
        }
        Ok(true)
    }
}

impl Scene for Calling<'_> {
    fn while_stopped(&mut self) -> Result<()> {
        if self.stage.get(Word::Come) == TOOK && self.stage.get(Word::First) != LEAVES {
            let second = Server::open(self.stage.path()).map(drop);
            self.stage
                .is(matches!(second, Err(Error::ServerAlive { .. })) && self.client.has_server(), || {
                    format!("beside a stopped server: {second:?}")
                })?;
        }
        Ok(())
    }

    fn afterwards(mut self: Box<Self>, end: End) -> Result<()> {
        let (stage, come) = (self.stage, self.stage.get(Word::Come));
        let taken = stage.get(Word::Begun) + self.taken_before;
        let mut ended = Vec::new();
        let must_end = come == ENDED || (come == TOOK && !self.is_repeatable);
        if must_end {
            // Without another server.
            super::until("the call has ended", || !matches!(self.collect(&mut ended), Ok(false)))?;
            let how = ended.first().map(|(_, how)| *how);
            let expected = if come == ENDED { Ended::Answered } else { Ended::ServerGone };
            stage.is(how == Some(expected), || format!("{how:?} instead of {expected:?}"))?;
        }
        let server = serve_next(stage)?;
        let (mut runs, mut again) = (0, 0);
        let began = soon();
        while ended.len() < self.calls.len() {
            if let Some(request) = server.try_recv()? {
                runs += u64::from(request.payload().to_vec() == REQUEST);
                again += u64::from(request.is_again());
                match request.reply(REPLY) {
                    Ok(()) | Err(quoit::ReplyError::ClientGone) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            self.collect(&mut ended)?;
            stage.is(std::time::Instant::now() < began, || format!("a call never ends: {ended:?}"))?;
        }
        let gone = ended.iter().filter(|(_, how)| *how == Ended::ServerGone).count() as u64;
        let left = self.calls.len() as u64 - runs;
        // Whatever is not repeatable ran once at most, and a call that is said to be lost does not run after that.
        stage.is(self.is_repeatable || runs + gone <= 2, || format!("{runs} ran again, {gone} were lost"))?;
        stage.is(self.is_repeatable || taken <= left, || format!("{taken} taken, {runs} run afterwards"))?;
        stage.is(again == 0 || self.is_repeatable, || "a call is run again".to_owned())?;
        let is_told = gone > 0 || again > 0;
        let had_one = self.taken_before > 0 || end == End::Killed && come == TOOK;
        // What comes before the reply of another run is void, and the client is told so.
        let must_be_anew = again > 0 && come != ENDS && come != ENDED;
        let anew: &[CallId] = if must_be_anew { &self.calls[..1] } else { &self.anew };
        stage.is(anew == self.anew && self.anew.len() as u64 <= again, || {
            format!("{:?} began anew, and {again} ran again", self.anew)
        })?;
        stage.is(is_told || !had_one, || "the death of a server with a call was not told".to_owned())?;
        stage.is(gone == 0 || !self.is_repeatable, || "a repeatable call was given up".to_owned())?;
        if is_told {
            stage.note_told();
        }
        let open = self.client.in_flight();
        stage.is(open == 0 && server.open_requests() == 0, || format!("{open} calls are left"))?;
        drop(self.client);
        let clients = stage.take_seats(CLIENTS, || Client::open(stage.path()))?;
        stage.is(clients.iter().all(Client::has_server), || "a client sees no server".to_owned())
    }
}
