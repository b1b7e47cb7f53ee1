//! Groups: members are killed beside a producer; each record is acknowledged once, to the record.

use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Result, bail, ensure};
use quoit::{Group, GroupError, GroupEvent, GroupMember, Options, Producer};

use super::board::ENTRIES;
use super::{Life, Play, Site, nothing, soon};

pub(super) const PLAYS: &[Play] = &[Play {
    what: "groups",
    share: 700,
    make: |path| {
        let producer = Producer::create(path, &Options::new().capacity(1 << 14))?;
        drop(GroupMember::join(path, &group())?);
        drop(producer);
        Ok(())
    },
    victims: &[work, work, work],
    steady: &[work, produce],
    after: nothing,
    tells_each: false,
    end,
}];

fn group() -> Group {
    Group::new("workers").hold_forever().members(12)
}

/// Word of the board: how many records were sent.
const SENT: usize = 0;

/// What an entry of the board says of a record, in the low bits; above them stands its sequence and one.
const SENDS: u64 = 1;
const ACKS: u64 = 2;
const ACKED: u64 = 3;

fn noted(sequence: u64, state: u64) -> u64 {
    (sequence + 1) << 2 | state
}

/// Sends as fast as it may. No record may be sent over an entry whose record is not acknowledged.
fn produce(life: &Life) {
    let mut producer = Producer::open(&life.path).expect("take over");
    life.works();
    while life.goes_on() {
        let next = producer.next_sequence();
        let entry = life.board.entry(next);
        let before = entry.swap(noted(next, SENDS), SeqCst);
        if let Some(old) = next.checked_sub(ENTRIES as u64) {
            let is_acked = before == noted(old, ACKED) || before == noted(old, ACKS);
            assert!(is_acked, "LOST: record {old} was overwritten, and was not acknowledged: {before:x}");
        }
        life.inside(|| producer.send_deadline(&next.to_le_bytes(), soon())).expect("nobody keeps a record");
        life.board.words[SENT].store(next + 1, SeqCst);
        life.done();
    }
}

fn work(life: &Life) {
    let mut member = GroupMember::join(&life.path, &group()).expect("join");
    life.works();
    loop {
        let most = 1 + life.roll(5) as u32;
        let mut jobs = Vec::new();
        let limit = std::time::Instant::now() + std::time::Duration::from_millis(20);
        let received = life.inside(|| {
            member.recv_up_to_deadline(most, limit, |event| match event {
                GroupEvent::Job(job) => {
                    let bytes = job.record().to_vec();
                    assert_eq!(bytes, job.sequence().to_le_bytes(), "another record's bytes");
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
        life.board.hold(life.number, 1);
        if life.roll(4) == 0 {
            jobs.iter().for_each(|id| begins(life, id.sequence()));
            let acknowledged = life.inside(|| member.ack_all()).expect("its own");
            assert_eq!(acknowledged as usize, jobs.len(), "records taken together are not its own");
            jobs.iter().for_each(|id| ends(life, id.sequence()));
            jobs.clear();
        }
        for id in jobs {
            if life.roll(16) == 0 {
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

/// A record is about to be acknowledged.
fn begins(life: &Life, sequence: u64) {
    let before = life.board.entry(sequence).swap(noted(sequence, ACKS), SeqCst);
    // One that was killed in its acknowledgement may not have come to it.
    let is_open = before == noted(sequence, SENDS) || before == noted(sequence, ACKS);
    assert!(is_open, "record {sequence} is handed out after it was acknowledged: {before:x}");
}

/// It is acknowledged.
fn ends(life: &Life, sequence: u64) {
    // If this process was held up, the entry may be a later record's by now.
    let (acks, acked) = (noted(sequence, ACKS), noted(sequence, ACKED));
    let now = life.board.entry(sequence).compare_exchange(acks, acked, SeqCst, SeqCst);
    let now = now.unwrap_or_else(|now| now);
    let is_mine = now == acks || now >> 2 > sequence + 1;
    assert!(is_mine, "record {sequence} is acknowledged twice: {now:x}");
    life.done();
}

/// The account, to the record.
fn end(site: &Site) -> Result<()> {
    let sent = site.board.words[SENT].load(SeqCst);
    ensure!(sent > 0, "nothing was sent");
    for sequence in sent.saturating_sub(ENTRIES as u64)..sent {
        let found = site.board.entry(sequence).load(SeqCst);
        let is_acked = found == noted(sequence, ACKED) || found == noted(sequence, ACKS);
        ensure!(is_acked, "LOST: record {sequence} of {sent} was not acknowledged: {found:x}");
    }
    let mut member = GroupMember::join(&site.path, &group())?;
    match member.recv_timeout(std::time::Duration::ZERO) {
        Err(GroupError::Closed) => Ok(()),
        other => bail!("something is left: {other:?}"),
    }
}
