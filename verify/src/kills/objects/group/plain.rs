//! Members take a few records, acknowledge all of them, and take the next.

use std::time::{Duration, Instant};

use quoit::{Group, GroupError, GroupEvent, GroupMember};

use super::records::{begins, ends};
use crate::kills::objects::Life;

pub(super) fn group() -> Group {
    super::workers().hold_forever()
}

pub(super) fn work(life: &Life) {
    let mut member = GroupMember::join(&life.path, &group()).expect("join");
    life.works();
    loop {
        let most = 1 + life.roll(5) as u32;
        let mut jobs = Vec::new();
        let limit = Instant::now() + Duration::from_millis(20);
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
        life.board.hold(life.number, u64::from(!jobs.is_empty()));
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
