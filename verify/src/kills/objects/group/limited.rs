//! Members keep records over several turns, up to a limit, and acknowledge them in any order.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use quoit::{Group, GroupError, GroupEvent, GroupMember, JobId};

use super::records::{self, begins, ends};
use crate::kills::objects::{Life, Site};

const LIMIT: u32 = 8;

/// Word of the board: how often a member had too many for another one.
const REFUSED: usize = 1;

pub(super) fn group() -> Group {
    super::workers().hold_forever().limit(LIMIT)
}

pub(super) fn work(life: &Life) {
    let mut member = GroupMember::join(&life.path, &group()).expect("join");
    life.works();
    let mut held: Vec<JobId> = Vec::new();
    loop {
        let most = 1 + life.roll(5) as u32;
        // Of what came back together it may have been given a part only: the rest is its own, too.
        let had = member.unacknowledged();
        let is_more = had as usize > held.len();
        let deadline = Instant::now() + Duration::from_millis(20);
        let received = life.inside(|| {
            member.recv_up_to_deadline(most, deadline, |event| match event {
                GroupEvent::Job(job) => {
                    assert_eq!(job.record().to_vec(), job.sequence().to_le_bytes(), "another record's bytes");
                    if job.deliveries() > 1 {
                        life.board.tell();
                    }
                    held.push(job.id());
                }
                other => panic!("{other:?}"),
            })
        });
        let has_room = had < LIMIT || is_more;
        match received {
            Ok(_) => assert!(has_room, "it had {had}, and was given more"),
            Err(GroupError::Unacknowledged { limit }) => {
                assert!(limit == LIMIT && !has_room, "it had {had} of {limit}, and was refused");
                life.board.words[REFUSED].fetch_add(1, SeqCst);
            }
            Err(GroupError::Closed) if !life.goes_on() && held.is_empty() => break,
            Err(GroupError::TimedOut | GroupError::Closed | GroupError::ProducerGone) => {
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
        let count = member.unacknowledged();
        assert!(count as usize >= held.len(), "it has {count}, and was given {}", held.len());
        // What comes back together is taken together.
        assert!(count < 2 * LIMIT, "it has {count}");
        life.board.hold(life.number, u64::from(!held.is_empty()));
        let keeps = if life.goes_on() { life.roll(2 * u64::from(LIMIT)) as usize } else { 0 };
        while held.len() > keeps {
            let id = held.swap_remove(life.roll(held.len() as u64) as usize);
            if life.roll(16) == 0 {
                life.inside(|| member.nack(id)).expect("its own");
                continue;
            }
            begins(life, id.sequence());
            life.inside(|| member.ack(id)).expect("its own");
            ends(life, id.sequence());
        }
        life.board.hold(life.number, u64::from(!held.is_empty()));
    }
}

pub(super) fn end(site: &Site) -> Result<()> {
    records::end(site, &group(), records::is_over)?;
    ensure!(site.board.words[REFUSED].load(SeqCst) > 0, "nobody ever had too many");
    Ok(())
}
