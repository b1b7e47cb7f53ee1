//! Members have records for a time, and now and then for too long: then another gets them. Two may acknowledge the same
//! record at the same moment, and one of them is told that it is not its own.
//!
//! The entry of a record says whether it is acknowledged, and how many are just about to: those that were killed in that
//! stay there.

use std::sync::atomic::Ordering::SeqCst;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use quoit::{Group, GroupError, GroupEvent, GroupMember};

use super::records::{self, GONE};
use crate::kills::objects::{Life, Site};

/// A member that was not held up has acknowledged what it took by then.
const LEASE: Duration = Duration::from_millis(2);

pub(super) fn group() -> Group {
    super::workers().hold_forever().lease_time(LEASE)
}

/// Word of the board: how often a record was another's by the time that it was acknowledged.
const REFUSED: usize = 1;

const ACKED: u64 = 0x80;

fn noted(sequence: u64) -> u64 {
    (sequence + 1) << 8
}

fn is_over(sequence: u64, found: u64) -> bool {
    found & !0xff == noted(sequence) && found & 0xff != 0
}

pub(super) fn produce(life: &Life) {
    records::produce_as(life, GONE, noted, is_over);
}

/// Changes the entry of a record. Returns whether it is that record's still.
fn change(life: &Life, sequence: u64, change: impl Fn(u64) -> u64) -> bool {
    let change = |found: u64| (found & !0xff == noted(sequence)).then(|| change(found));
    life.board.entry(sequence).fetch_update(SeqCst, SeqCst, change).is_ok()
}

fn begins(life: &Life, sequence: u64) -> bool {
    change(life, sequence, |found| found + 1)
}

/// `is_its_own`: the entry was this record's when it began.
fn ends(life: &Life, sequence: u64, is_its_own: bool, is_acked: bool) {
    let end = |found: u64| {
        assert!(!is_acked || found & ACKED == 0, "record {sequence} is acknowledged twice: {found:x}");
        (found - 1) | if is_acked { ACKED } else { 0 }
    };
    if is_its_own {
        change(life, sequence, end);
    }
    assert!(is_its_own || !is_acked, "record {sequence} is acknowledged after it was overwritten");
    life.done();
}

pub(super) fn work(life: &Life) {
    let mut member = GroupMember::join(&life.path, &group()).expect("join");
    life.works();
    let mut began = Instant::now();
    loop {
        let most = 1 + life.roll(5) as u32;
        let mut jobs = Vec::new();
        let now = Instant::now();
        // Of what came back together it may have been given a part only, and has the rest since then.
        if member.unacknowledged() == 0 {
            began = now;
        }
        let received = life.inside(|| {
            member.recv_up_to_deadline(most, now + Duration::from_millis(20), |event| match event {
                GroupEvent::Job(job) => {
                    assert_eq!(job.record().to_vec(), job.sequence().to_le_bytes(), "another record's bytes");
                    if job.deliveries() > 1 {
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
            Err(error) => panic!("{error}"),
        }
        life.board.hold(life.number, u64::from(!jobs.is_empty()));
        if life.roll(128) == 0 {
            sleep(LEASE + Duration::from_micros(life.roll(2000)));
        }
        // Nobody else has what it took before its time is over.
        let is_refused = |sequence: u64| {
            let has_had = began.elapsed();
            assert!(has_had >= LEASE, "record {sequence} is another's after {has_had:?}");
            life.board.words[REFUSED].fetch_add(1, SeqCst);
        };
        if life.roll(4) == 0 && !jobs.is_empty() {
            let own: Vec<bool> = jobs.iter().map(|id| begins(life, id.sequence())).collect();
            let count = life.inside(|| member.ack_all()).expect("ack") as usize;
            // They are one lease.
            assert!(count == jobs.len() || count == 0, "{count} of {} taken together", jobs.len());
            if count == 0 {
                is_refused(jobs[0].sequence());
            }
            jobs.drain(..).zip(own).for_each(|(id, own)| ends(life, id.sequence(), own, count > 0));
        }
        for id in jobs {
            let sequence = id.sequence();
            if life.roll(16) == 0 {
                match life.inside(|| member.nack(id)) {
                    Ok(()) => continue,
                    Err(GroupError::NotLeased { .. }) => is_refused(sequence),
                    Err(error) => panic!("{error}"),
                }
                continue;
            }
            let own = begins(life, sequence);
            match life.inside(|| member.ack(id)) {
                Ok(()) => ends(life, sequence, own, true),
                Err(GroupError::NotLeased { .. }) => {
                    is_refused(sequence);
                    ends(life, sequence, own, false);
                }
                Err(error) => panic!("{error}"),
            }
        }
        life.board.hold(life.number, 0);
    }
}

pub(super) fn end(site: &Site) -> Result<()> {
    records::end(site, &group(), is_over)?;
    ensure!(site.board.told() > 0, "nothing was handed out again");
    ensure!(site.board.words[REFUSED].load(SeqCst) > 0, "no lease's time was ever over");
    Ok(())
}
