//! Time limits: of a call, that passes while a server takes it, and of a server that waits for room for a reply.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use quoit::service::{CallOptions, Client, Outcome, Server};

use super::{CLIENTS, ENDED, REPLY, REQUEST, TOOK, alone, make, serve_next};
use crate::steps::objects::{Case, End, Scene, Stage, Word};
use crate::tracee::mark;

pub(in crate::steps::objects) const CASES: &[Case] = &[
    Case::new("serve-more-for-room", make, alone, wait_for_room).beside(take_replies_late),
    Case::new("serve-take-late", make, late, take_in_time),
];

/// The client takes no replies before the server waits for room.
fn wait_for_room(stage: &Stage) {
    let server = Server::open(stage.path()).expect("serve");
    let mut request = server.recv().expect("recv");
    stage.add(Word::Others, 1);
    while request.try_more(b"first").is_ok() {}
    stage.set(Word::First, 1);
    mark();
    let more = request.more(b"first");
    let replied = request.reply(REPLY);
    stage.set(Word::Done, 1);
    mark();
    more.and(replied).expect("room");
    stage.stay();
}

/// The client of [`wait_for_room`], which is killed, or not.
fn take_replies_late(stage: &Stage) {
    let mut client = Client::open(stage.path()).expect("open");
    client.start(REQUEST, CallOptions::new()).expect("start");
    stage.until_first();
    // The uninterrupted run takes longer.
    std::thread::sleep(Duration::from_millis(if stage.point() == 0 { 200 } else { 4 }));
    let mut parts = 0;
    loop {
        let answer = client.recv().expect("recv");
        match answer.outcome() {
            Outcome::More(part) => assert_eq!(part.to_vec(), b"first"),
            Outcome::Reply(reply) => {
                assert_eq!(reply.to_vec(), REPLY);
                break;
            }
            Outcome::ServerGone => {
                assert_eq!(stage.get(Word::Done), 0, "the reply was sent");
                stage.set(Word::Told, 1);
                break;
            }
            other => panic!("{other:?}"),
        }
        parts += 1;
    }
    assert!(parts > 100, "{parts} parts");
    stage.set(Word::Through, 1);
}

/// How long the client waits: longer than the victim needs to get to where it is stopped.
const LIMIT: Duration = Duration::from_millis(25);

fn take_in_time(stage: &Stage) {
    let server = Server::open(stage.path()).expect("serve");
    mark();
    let taken = server.recv_timeout(2 * LIMIT).expect("recv");
    if taken.is_some() {
        stage.set(Word::Come, TOOK);
        stage.add(Word::Begun, 1);
    }
    mark();
    stage.stay();
    if let Some(request) = taken {
        request.reply(REPLY).expect("reply");
        stage.set(Word::Come, ENDED);
    }
}

/// This process has one call on its way, whose time is over while the victim takes it.
struct Late<'a> {
    stage: &'a Stage,
    client: Client,
    until: Option<Instant>,
    ended: Option<Ended>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    NotExecuted,
    Perhaps,
    Answered,
}

fn late(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    let mut client = Client::open(stage.path())?;
    // The uninterrupted run takes longer.
    let until = (stage.point() > 0).then(|| Instant::now() + LIMIT);
    let how = until.map_or(CallOptions::new(), |until| CallOptions::new().deadline(until));
    client.start(REQUEST, how)?;
    Ok(Box::new(Late { stage, client, until, ended: None }))
}

impl Late<'_> {
    /// Looks once, when the time is over.
    fn look(&mut self) -> Result<()> {
        if let Some(until) = self.until {
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
        }
        let Some(answer) = self.client.try_recv()? else { return Ok(()) };
        let ended = match answer.outcome() {
            Outcome::NotExecuted => Ended::NotExecuted,
            Outcome::Unanswered | Outcome::ServerGone => Ended::Perhaps,
            Outcome::Reply(_) => Ended::Answered,
            other => bail!("{other:?}"),
        };
        let before = self.ended.replace(ended);
        self.stage.is(before.is_none(), || format!("{ended:?} after {before:?}"))
    }
}

impl Scene for Late<'_> {
    fn while_stopped(&mut self) -> Result<()> {
        self.look()?;
        self.stage.is(self.ended.is_some() || self.until.is_none(), || "its time is over".to_owned())
    }

    fn afterwards(mut self: Box<Self>, end: End) -> Result<()> {
        let stage = self.stage;
        if self.until.is_some() && self.ended.is_none() {
            self.look()?;
        }
        let server = serve_next(stage)?;
        let mut runs = 0;
        while let Some(request) = server.try_recv()? {
            runs += 1;
            let _ = request.reply(REPLY);
        }
        super::super::until("the call has ended", || self.ended.is_some() || self.look().is_err())?;
        // Nothing else comes.
        self.look()?;
        let (ended, taken) = (self.ended, stage.get(Word::Begun));
        stage.is(runs + taken <= 1, || format!("it ran {taken} times, and {runs} times afterwards"))?;
        stage.is(ended != Some(Ended::NotExecuted) || runs + taken == 0, || {
            format!("it ran, and was said never to: {taken}, {runs}")
        })?;
        stage
            .is(ended != Some(Ended::Answered) || runs + taken == 1, || "a reply without a run".to_owned())?;
        // After its time nobody takes it.
        stage.is(self.until.is_none() || runs == 0, || "it runs after its time".to_owned())?;
        if ended == Some(Ended::Perhaps) && end == End::Killed {
            stage.note_told();
        }
        drop(self.client);
        let clients = stage.take_seats(CLIENTS, || Client::open(stage.path()))?;
        stage.is(clients.iter().all(Client::has_server), || "a client sees no server".to_owned())
    }
}
