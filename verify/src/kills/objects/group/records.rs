//! What the board says of each record of a group: how far it has come.

use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Result, bail, ensure};
use quoit::{Group, GroupError, GroupMember, Producer};

use super::CAPACITY;
use crate::kills::objects::board::ENTRIES;
use crate::kills::objects::{Life, Site, soon};

/// Word of the board: how many records were sent.
pub(super) const SENT: usize = 0;

/// What an entry of the board says of a record, in the low bits; above them stands its sequence and one.
pub(super) const SENDS: u64 = 1;
pub(super) const ACKS: u64 = 2;
pub(super) const ACKED: u64 = 3;
/// It was told as lost, or whoever may have been told of it, or had it, is dead.
pub(super) const LOST: u64 = 4;
pub(super) const MAY_BE_LOST: u64 = 5;
/// It is among the dead letters.
pub(super) const ASIDE: u64 = 6;
/// Somebody gave it back.
pub(super) const BACK: u64 = 7;

pub(super) fn noted(sequence: u64, state: u64) -> u64 {
    (sequence + 1) << 3 | state
}

/// Nothing so old is in the ring any more: no record takes up less than 16 bytes.
pub(super) const GONE: u64 = CAPACITY / 16 + 1;

/// Sends as fast as it may. When a record is overwritten, it is acknowledged.
pub(super) fn produce(life: &Life) {
    produce_beside(life, GONE);
}

/// The same. `gone`: how many records later the board says that a record is done.
pub(super) fn produce_beside(life: &Life, gone: u64) {
    produce_as(life, gone, |sequence| noted(sequence, SENDS), is_over);
}

/// The same where entries mean something else: `fresh` is that of a record that is about to be sent.
pub(super) fn produce_as(life: &Life, gone: u64, fresh: fn(u64) -> u64, is_over: fn(u64, u64) -> bool) {
    let mut producer = Producer::open(&life.path).expect("take over");
    life.works();
    while life.goes_on() {
        let next = producer.next_sequence();
        life.board.entry(next).store(fresh(next), SeqCst);
        life.inside(|| producer.send_deadline(&next.to_le_bytes(), soon())).expect("nobody keeps a record");
        if let Some(old) = next.checked_sub(gone) {
            let found = life.board.entry(old).load(SeqCst);
            let is_over = is_over(old, found);
            assert!(is_over, "LOST: record {old} was overwritten, and was not acknowledged: {found:x}");
        }
        life.board.words[SENT].store(next + 1, SeqCst);
        life.done();
    }
}

/// Whether an entry says of a record that no member gets it any more, or may say so: one that was killed in its
/// acknowledgement may have come to it.
pub(super) fn is_over(sequence: u64, found: u64) -> bool {
    [ACKS, ACKED, LOST, MAY_BE_LOST, ASIDE].map(|state| noted(sequence, state)).contains(&found)
}

/// A record is about to be acknowledged.
pub(super) fn begins(life: &Life, sequence: u64) {
    let before = life.board.entry(sequence).swap(noted(sequence, ACKS), SeqCst);
    // One that was killed in its acknowledgement may not have come to it.
    let is_open = [SENDS, BACK, ACKS, MAY_BE_LOST].map(|state| noted(sequence, state)).contains(&before);
    assert!(is_open, "record {sequence} is handed out after it was done, lost or put aside: {before:x}");
}

/// It is acknowledged.
pub(super) fn ends(life: &Life, sequence: u64) {
    // If this process was held up, the entry may be a later record's by now.
    let (acks, acked) = (noted(sequence, ACKS), noted(sequence, ACKED));
    let now = life.board.entry(sequence).compare_exchange(acks, acked, SeqCst, SeqCst);
    let now = now.unwrap_or_else(|now| now);
    let is_mine = now == acks || now >> 3 > sequence + 1;
    assert!(is_mine, "record {sequence} is acknowledged twice: {now:x}");
    life.done();
}

/// The account, to the record: `is_over` judges each entry. Then nothing is left for a member.
pub(super) fn end(site: &Site, group: &Group, is_over: impl Fn(u64, u64) -> bool) -> Result<()> {
    let sent = site.board.words[SENT].load(SeqCst);
    ensure!(sent > 0, "nothing was sent");
    for sequence in sent.saturating_sub(ENTRIES as u64)..sent {
        let found = site.board.entry(sequence).load(SeqCst);
        ensure!(is_over(sequence, found), "LOST: record {sequence} of {sent}: {found:x}");
    }
    let mut member = GroupMember::join(&site.path, group)?;
    match member.recv_timeout(std::time::Duration::ZERO) {
        Err(GroupError::Closed) => Ok(()),
        other => bail!("something is left: {other:?}"),
    }
}
