//! Groups whose records may be lost: that never hold the producer up, or for a moment only. What a member is not given, and
//! does not acknowledge, is told to one member.
//!
//! A member that is killed may have been told of losses that it had not noted yet, and what it had may be overwritten before
//! another gets it. These are among the records from where its last turn began to where the group had come when it died, and
//! among those that were given back: of them nobody need be told, and of no others.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use quoit::{Group, GroupError, GroupEvent, GroupInspector, GroupMember, Lost, Producer};

use super::records::{self, ACKED, ACKS, BACK, LOST, MAY_BE_LOST, SENDS, SENT, begins, ends, is_over, noted};
use crate::kills::objects::board::{Board, ENTRIES};
use crate::kills::objects::{Life, Site, soon};

pub(super) fn lossy() -> Group {
    super::workers().lossy()
}

pub(super) fn budgeted() -> Group {
    super::workers().gated_for(Duration::from_micros(100))
}

/// Words of the board: how far the group has come; how many records were told as lost for certain; the first one that was
/// given back since the last death, inverted; and, for each process that may have a record, or be told of one, how far the
/// group had come when its turn began, and one.
const SEEN: usize = 1;
const TOLD: usize = 2;
const RETURNED: usize = 3;
const SINCE: usize = 4;

const MANY: u64 = ENTRIES as u64;

/// Bytes of the ring: few, so that records are overwritten in the hands of members, too.
pub(super) const CAPACITY: u64 = 1 << 12;

/// Sends in bursts of up to a few laps. Between them the group catches up, now and then.
pub(super) fn produce(life: &Life) {
    let mut producer = Producer::open(&life.path).expect("take over");
    life.works();
    let seen = || life.board.words[SEEN].load(SeqCst);
    while life.goes_on() {
        for _ in 0..life.roll(CAPACITY / 3) {
            let next = producer.next_sequence();
            wait("nobody goes on", || next < seen() + MANY / 4 && next < since(life.board) + MANY / 2);
            let before = life.board.entry(next).swap(noted(next, SENDS), SeqCst);
            if let Some(old) = next.checked_sub(MANY) {
                assert!(is_over(old, before), "LOST: record {old}, and nobody was told: {before:x}");
            }
            life.inside(|| producer.send_deadline(&next.to_le_bytes(), soon()))
                .expect("nobody keeps a record");
            life.board.words[SENT].store(next + 1, SeqCst);
            life.done();
        }
        match life.roll(4) {
            0 => wait("the last record is gone", || seen() == producer.next_sequence() || !life.goes_on()),
            _ => life.dawdle(),
        }
    }
}

/// Where the oldest turn of those that live began.
fn since(board: &Board) -> u64 {
    let turns = board.words[SINCE..].iter().map(|word| word.load(SeqCst));
    turns.filter(|since| *since > 0).min().map_or(u64::MAX / 2, |since| since - 1)
}

fn wait(what: &str, is_over: impl Fn() -> bool) {
    let until = soon();
    while !is_over() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_micros(20));
    }
}

pub(super) fn work_lossy(life: &Life) {
    work(life, &lossy());
}

pub(super) fn work_budgeted(life: &Life) {
    work(life, &budgeted());
}

fn work(life: &Life, group: &Group) {
    let mut member = GroupMember::join(&life.path, group).expect("join");
    life.works();
    let (seen, since) = (&life.board.words[SEEN], &life.board.words[SINCE + life.number]);
    loop {
        let most = 1 + life.roll(5) as u32;
        let (mut jobs, mut losses) = (Vec::new(), Vec::new());
        since.store(seen.load(SeqCst) + 1, SeqCst);
        let deadline = Instant::now() + Duration::from_millis(20);
        let received = life.inside(|| {
            member.recv_up_to_deadline(most, deadline, |event| match event {
                GroupEvent::Job(job) => {
                    assert_eq!(job.record().to_vec(), job.sequence().to_le_bytes(), "another record's bytes");
                    if job.deliveries() > 1 {
                        life.board.tell();
                    }
                    jobs.push(job.id());
                    // What it took together with this may be overwritten before it is read.
                    if life.roll(16) == 0 {
                        std::thread::sleep(Duration::from_micros(life.roll(1000)));
                    }
                }
                GroupEvent::Lost(lost) => losses.push(lost),
                other => panic!("{other:?}"),
            })
        });
        match received {
            Ok(_) | Err(GroupError::TimedOut) => {}
            Err(GroupError::Closed) if !life.goes_on() => break,
            Err(GroupError::Closed | GroupError::ProducerGone) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
        life.board.hold(life.number, u64::from(!jobs.is_empty()));
        for lost in losses {
            note_lost(life, &lost);
            seen.fetch_max(lost.next, SeqCst);
        }
        if let Some(last) = jobs.last() {
            seen.fetch_max(last.sequence() + 1, SeqCst);
        }
        life.dawdle();
        for id in jobs {
            if life.roll(16) == 0 {
                gives_back(life.board, id.sequence());
                life.inside(|| member.nack(id)).expect("its own");
                continue;
            }
            begins(life, id.sequence());
            life.inside(|| member.ack(id)).expect("its own");
            ends(life, id.sequence());
        }
        life.board.hold(life.number, 0);
        since.store(0, SeqCst);
    }
    since.store(0, SeqCst);
}

/// A loss says how many records are lost: exactly those that were not acknowledged, and that nobody was told of.
fn note_lost(life: &Life, lost: &Lost) {
    assert!(lost.first < lost.next && lost.records > 0, "{lost:?}");
    let (mut certain, mut perhaps) = (0, 0);
    for sequence in lost.first..lost.next {
        let of = |state| noted(sequence, state);
        let note = |found: u64| [SENDS, BACK, MAY_BE_LOST].map(of).contains(&found).then(|| of(LOST));
        match life.board.entry(sequence).fetch_update(SeqCst, SeqCst, note) {
            // Somebody may have been told of it, and killed before it could note that.
            Ok(found) if found == of(MAY_BE_LOST) => perhaps += 1,
            Ok(_) => certain += 1,
            // Whoever was killed in its acknowledgement had come to it, or not.
            Err(found) if found == of(ACKS) => perhaps += 1,
            // What lies between may be done, or be told, already. Then it is not counted once more.
            Err(found) => assert!([ACKED, LOST].map(of).contains(&found), "record {sequence}: {found:x}"),
        }
    }
    assert!(
        (certain..=certain + perhaps).contains(&lost.records),
        "{lost:?}, and {certain} were neither done nor told, and {perhaps} perhaps"
    );
    life.board.words[TOLD].fetch_add(certain, SeqCst);
    life.done();
}

/// A record is about to be given back. Noted before and after, since somebody may die in between.
fn gives_back(board: &Board, sequence: u64) {
    let note = || board.words[RETURNED].fetch_max(!sequence, SeqCst);
    note();
    change(board, sequence, &[SENDS], BACK);
    note();
}

fn change(board: &Board, sequence: u64, from: &[u64], to: u64) {
    let is_one = |found: u64| from.iter().any(|state| noted(sequence, *state) == found);
    let change = |found: u64| is_one(found).then(|| noted(sequence, to));
    let _ = board.entry(sequence).fetch_update(SeqCst, SeqCst, change);
}

/// Of what the dead had, and were told, nobody need be told.
pub(super) fn note_the_dead(site: &Site, struck: &[usize]) -> Result<()> {
    // Nobody is handed, or told of, anything that the group has not come to.
    let next = GroupInspector::open(&site.path, "workers")?.snapshot()?.next_sequence;
    for number in struck {
        let since = site.board.words[SINCE + number].swap(0, SeqCst);
        if let Some(first) = since.checked_sub(1) {
            let returned = !site.board.words[RETURNED].swap(0, SeqCst);
            let returned = returned.max(next.saturating_sub(MANY));
            (returned..first).for_each(|sequence| change(site.board, sequence, &[BACK], MAY_BE_LOST));
            (first..next).for_each(|sequence| change(site.board, sequence, &[SENDS, BACK], MAY_BE_LOST));
        }
    }
    Ok(())
}

pub(super) fn end(site: &Site, group: &Group) -> Result<()> {
    records::end(site, group, is_over)?;
    ensure!(site.board.words[TOLD].load(SeqCst) > 0, "nothing was ever lost");
    Ok(())
}
