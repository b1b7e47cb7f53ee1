//! Groups that put records aside: each is acknowledged once, or it is among the dead letters, and never both.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use quoit::{
    Attach, Consumer, DeadLetter, Event, Group, GroupError, GroupEvent, GroupMember, Options, RecvError,
    Ring, Start,
};

use super::records::{self, ACKS, ASIDE, SENDS, begins, ends, is_over, noted};
use crate::kills::objects::board::{Board, ENTRIES};
use crate::kills::objects::{LOOK, Life, Site};

/// How often a record is handed out.
const MOST: u32 = 3;

/// Word of the board: how many dead letters were read.
const LETTERS: usize = 1;

/// Nobody ever acknowledges these.
fn is_bad(sequence: u64) -> bool {
    sequence % 64 == 7
}

fn letters(path: &Path) -> PathBuf {
    path.with_file_name("letters")
}

fn group(path: &Path) -> Result<Group> {
    Ok(super::workers().hold_forever().max_deliveries(MOST, &Ring::open(letters(path))?))
}

/// Keeps every dead letter until it is read.
fn reader(path: &Path) -> Result<Consumer> {
    let attach = Attach::gated().name("reader").hold_forever().start(Start::Oldest);
    Ok(Consumer::open(letters(path), &attach)?)
}

pub(super) fn make(path: &Path) -> Result<()> {
    Ring::create(letters(path), &Options::new().capacity(super::CAPACITY))?;
    drop(reader(path)?);
    super::make(path, &group(path)?)
}

pub(super) fn work(life: &Life) {
    let group = group(&life.path).expect("the ring for dead letters");
    let mut member = GroupMember::join(&life.path, &group).expect("join");
    life.works();
    loop {
        let most = 1 + life.roll(5) as u32;
        let mut jobs = Vec::new();
        let deadline = Instant::now() + Duration::from_millis(20);
        let received = life.inside(|| {
            member.recv_up_to_deadline(most, deadline, |event| match event {
                GroupEvent::Job(job) => {
                    assert_eq!(job.record().to_vec(), job.sequence().to_le_bytes(), "another record's bytes");
                    let deliveries = job.deliveries();
                    assert!(deliveries <= MOST, "record {} is handed out {deliveries} times", job.sequence());
                    if deliveries > 1 {
                        life.board.tell();
                    }
                    jobs.push(job.id());
                }
                other => panic!("{other:?}"),
            })
        });
        match received {
            Ok(_) => {}
            Err(GroupError::TimedOut) => continue,
            Err(GroupError::Closed) if !life.goes_on() => break,
            Err(GroupError::Closed | GroupError::ProducerGone) => std::thread::yield_now(),
            // Its reader is behind, or another is that ring's producer: the next call tries again.
            Err(GroupError::DeadLetter { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        life.board.hold(life.number, u64::from(!jobs.is_empty()));
        for id in jobs {
            if is_bad(id.sequence()) || life.roll(16) == 0 {
                life.inside(|| member.nack(id)).expect("its own");
                continue;
            }
            begins(life, id.sequence());
            life.inside(|| member.ack(id)).expect("its own");
            ends(life, id.sequence());
        }
        life.board.hold(life.number, 0);
    }
}

/// Who reads the dead letters may be behind, so the board is, too.
pub(super) fn produce(life: &Life) {
    records::produce_beside(life, ENTRIES as u64 / 2);
}

/// Reads the dead letters.
pub(super) fn read(life: &Life) {
    let mut consumer = reader(&life.path).expect("the ring for dead letters");
    life.works();
    while life.goes_on() {
        match consumer.recv_timeout(LOOK) {
            Ok(Event::Record(record)) => {
                note_letter(life.board, &record.to_vec());
                life.done();
            }
            Ok(Event::Lost(loss)) => panic!("{loss:?}"),
            // Each letter comes from a producer of its own.
            Ok(_) | Err(RecvError::TimedOut | RecvError::Closed | RecvError::ProducerGone) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn note_letter(board: &Board, record: &[u8]) {
    let letter = DeadLetter::parse(record).expect("a dead letter");
    let sequence = letter.sequence();
    assert_eq!(letter.payload(), sequence.to_le_bytes(), "another record's bytes");
    assert_eq!(letter.deliveries(), MOST, "how often record {sequence} was handed out");
    let before = board.entry(sequence).swap(noted(sequence, ASIDE), SeqCst);
    // Who was killed when it was about to acknowledge it did not come to that.
    let is_open = [SENDS, ACKS, ASIDE].map(|state| noted(sequence, state)).contains(&before);
    assert!(is_open, "record {sequence} is put aside, and acknowledged: {before:x}");
    board.words[LETTERS].fetch_add(1, SeqCst);
}

pub(super) fn end(site: &Site) -> Result<()> {
    let mut consumer = reader(&site.path)?;
    loop {
        match consumer.try_recv()? {
            Some(Event::Record(record)) => note_letter(site.board, &record.to_vec()),
            Some(Event::Lost(loss)) => bail!("{loss:?}"),
            Some(_) => {}
            None => break,
        }
    }
    ensure!(site.board.words[LETTERS].load(SeqCst) > 0, "nothing was put aside");
    let is_right = |sequence: u64, found: u64| {
        if is_bad(sequence) { found == noted(sequence, ASIDE) } else { is_over(sequence, found) }
    };
    records::end(site, &group(&site.path)?, is_right)
}
