//! Groups on a small ring: their members, and how often each record was acknowledged.

use std::cell::Cell;
use std::rc::Rc;

use quoit::fate::{crash_after, kill};
use quoit::{Group, GroupEvent, GroupMember, Job, Producer, Ring, WaitMode};

use super::{Handle, options, payload, spawn};

/// A ring of four records of a word, without an inline copy, so that records are read in place.
pub(crate) fn ring(wait: WaitMode) -> Ring {
    Ring::heap(&options(0).inline(false).wait(wait)).unwrap()
}

pub(crate) fn group(ring: &Ring, members: u32) -> GroupMember {
    GroupMember::on(ring, &Group::new("g").members(members).leases(4).hold_forever()).unwrap()
}

pub(crate) fn fill(producer: &mut Producer, records: std::ops::Range<u64>) {
    for number in records {
        producer.try_send(&payload(number, 1)).unwrap();
    }
}

/// The sequence of a record, which is whole.
pub(crate) fn whole(job: &Job<'_>) -> u64 {
    let sequence = job.sequence();
    assert_eq!(job.record().to_vec(), payload(sequence, 1), "torn or foreign payload");
    sequence
}

/// How often each record was acknowledged.
#[derive(Clone, Default)]
pub(crate) struct Account(Rc<[Cell<u32>; 4]>);

impl Account {
    /// Acknowledges a record, which nobody has done before.
    pub(crate) fn ack(&self, job: Job<'_>) {
        let sequence = whole(&job);
        job.ack().unwrap();
        let times = &self.0[sequence as usize];
        times.set(times.get() + 1);
        assert_eq!(times.get(), 1, "acknowledged twice");
    }

    /// Receives and acknowledges what there is.
    pub(crate) fn drain(&self, member: &mut GroupMember) {
        while let Some(event) = member.try_recv().unwrap() {
            match event {
                GroupEvent::Job(job) => self.ack(job),
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn times(&self) -> [u32; 4] {
        self.0.each_ref().map(Cell::get)
    }

    /// The first records were acknowledged, and no others.
    pub(crate) fn is(&self, records: usize) {
        let wanted = std::array::from_fn(|record| u32::from(record < records));
        assert_eq!(self.times(), wanted, "records are lost");
    }
}

/// Reads up to two records that are there, and acknowledges them together. Returns how many that were.
pub(crate) fn ack_two(member: &mut GroupMember) -> Option<u32> {
    let received = member.recv_up_to(2, |event| match event {
        GroupEvent::Job(job) => {
            whole(&job);
        }
        other => panic!("{other:?}"),
    });
    received.ok()?;
    member.ack_all().ok()
}

/// A thread on which a member receives so many times, acknowledges nothing, and is killed: before that store, or at the end.
/// Whether it came to its end.
pub(crate) fn dies_receiving(stores: usize, mut member: GroupMember, times: usize) -> Handle<bool> {
    spawn(move || {
        let lived = crash_after(stores, || {
            for _ in 0..times {
                let _ = member.try_recv();
            }
        });
        kill(member);
        lived.is_some()
    })
}
