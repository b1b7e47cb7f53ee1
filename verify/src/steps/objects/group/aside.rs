//! A record that was handed out as often as it may be is put into the ring for dead letters, or cannot be.

use anyhow::{Context, Result, bail};
use quoit::{
    Attach, Consumer, DeadLetter, Error, Event, Group, GroupError, GroupEvent, GroupMember, Options,
    Producer, Ring, Start,
};

use super::{BACK, GIVEN, Members, PATIENCE, ack, bit, every, group, take};
use crate::child::Child;
use crate::steps::objects::{Case, End, Scene, Stage};
use crate::tracee::mark;

pub(in crate::steps::objects) const CASES: &[Case] = &[
    Case::new("group-put-aside", make_spent, joined_aside, put_aside),
    Case::new("group-not-put-aside", make_no_room, joined_aside, not_put_aside),
];

/// How often a record is handed out.
const MOST: u32 = 2;

const LETTERS: &str = "letters";

fn with_letters(stage: &Stage) -> Result<Group, Error> {
    Ok(group().max_deliveries(MOST, &Ring::open(stage.at(LETTERS))?))
}

fn open(stage: &Stage) -> Result<GroupMember, Error> {
    GroupMember::join(stage.path(), &with_letters(stage)?)
}

/// Who reads the dead letters. They are kept until then.
pub(super) struct Reader {
    consumer: Consumer,
    /// Those that were read, by their sequence.
    letters: Vec<u64>,
}

/// Where there are dead letters in this case: who reads them. From then on there is room for more.
pub(super) fn reader(stage: &Stage, aside: u64) -> Result<Option<Reader>> {
    if aside == 0 {
        return Ok(None);
    }
    let mut reader = Reader { consumer: open_reader(stage)?, letters: Vec::new() };
    reader.read(stage)?;
    Ok(Some(reader))
}

fn open_reader(stage: &Stage) -> Result<Consumer, Error> {
    let attach = Attach::gated().name("reader").hold_forever().start(Start::Oldest);
    Consumer::open(stage.at(LETTERS), &attach)
}

impl Reader {
    fn read(&mut self, stage: &Stage) -> Result<()> {
        while let Some(event) = self.consumer.try_recv()? {
            let record = match event {
                Event::Record(record) => record.to_vec(),
                Event::Lost(loss) => bail!("a dead letter is lost: {loss:?}"),
                _ => continue,
            };
            // What fills the ring is none.
            let Some(letter) = DeadLetter::parse(&record) else { continue };
            let is_whole = letter.payload().iter().all(|byte| u64::from(*byte) == letter.sequence());
            stage.is(is_whole && letter.deliveries() == MOST, || format!("{letter:?}"))?;
            self.letters.push(letter.sequence());
        }
        Ok(())
    }

    /// Each record is there that was to be put aside, and no other. If nobody died, it is there once.
    pub(super) fn check(mut self, stage: &Stage, aside: u64, end: End) -> Result<()> {
        self.read(stage)?;
        let letters = &self.letters;
        let all = letters.iter().fold(0, |all, sequence| all | bit(*sequence));
        let most = if end == End::Killed { 2 } else { 1 };
        stage.is(all == aside && letters.len() <= most, || format!("the dead letters are {letters:?}"))
    }
}

/// A member has died with a record that was handed out as often as it may be.
fn make_spent(stage: &Stage) -> Result<()> {
    Ring::create(stage.at(LETTERS), &Options::new().capacity(4096))?;
    drop(open_reader(stage)?);
    let mut producer = Producer::create(stage.path(), &Options::new().capacity(4096))?;
    drop(open(stage)?);
    for number in 0..6 {
        producer.send(&[number; 8])?;
    }
    let mut member = Child::start(|| {
        let mut member = open(stage).expect("join");
        for _ in 1..MOST {
            member.recv_job(|_| {}).expect("a record").nack().expect("its own");
        }
        let _ = member.recv_job(|_| {}).expect("a record");
        std::mem::forget(member);
    })?;
    member.ends_within(PATIENCE)?.context("a member that dies")?;
    Ok(())
}

/// The same, and there is no room for a dead letter.
fn make_no_room(stage: &Stage) -> Result<()> {
    make_spent(stage)?;
    let mut producer = Producer::open(stage.at(LETTERS))?;
    while producer.try_send(&[0; 40]).is_ok() {}
    Ok(())
}

fn joined_aside(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    let (all, aside) = (every(stage)? & !bit(0), bit(0));
    Ok(Box::new(Members { open, member: Some(open(stage)?), aside, ..Members::late(stage, all) }))
}

/// It puts one record aside, and is given the next.
fn put_aside(stage: &Stage) {
    let mut member = open(stage).expect("join");
    mark();
    let id = take(stage, &mut member);
    ack(stage, &member, id);
    mark();
    stage.stay();
    let given = stage.get(GIVEN);
    stage.add(BACK, given);
}

fn not_put_aside(stage: &Stage) {
    let mut member = open(stage).expect("join");
    mark();
    let mut refused = 0;
    // It is tried again a tenth of a second later, which may be over when this is done in single steps.
    let id = loop {
        match member.recv() {
            Ok(GroupEvent::Job(job)) => break job.id(),
            Err(GroupError::DeadLetter { sequence: 0, .. }) => refused += 1,
            other => panic!("{other:?}"),
        }
    };
    stage.add(GIVEN, bit(id.sequence()));
    ack(stage, &member, id);
    mark();
    assert!(refused > 0, "there was room");
    stage.stay();
    let given = stage.get(GIVEN);
    stage.add(BACK, given);
}
