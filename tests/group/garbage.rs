//! Every single bit of what a group keeps in its file, flipped one at a time: before somebody joins, and between two calls
//! of members that are there.

use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use quoit::{Error, Group, GroupError, GroupEvent, GroupInspector, GroupMember, JobId};

use crate::{DATA, LEASE, Scene, receive, send, take, workers};

/// The word that says whose turn it is.
const TURN: Range<u64> = DATA..DATA + 8;
/// The ring that the group is on, its slot there, and what tells it from other groups.
const RING: Range<u64> = DATA + 72..DATA + 104;
const LEASE_BYTES: u64 = 128;
const SEAT_BYTES: u64 = 64;
/// The seats of three members, what all share, and the leases 1 to 5: those that are done, out, given back, and the first two
/// that are none yet. Their words end before their blocks do.
const PARTS: [Range<u64>; 7] =
    [4096..4096 + 3 * SEAT_BYTES, TURN.end..DATA + 152, lease(0), lease(1), lease(2), lease(3), lease(4)];

const fn lease(number: u64) -> Range<u64> {
    let at = DATA + LEASE + number * LEASE_BYTES;
    at..at + 80
}

/// What may be told of a group with garbage in it. Nothing else, and no panic.
#[track_caller]
fn answered<T>(tried: Result<T, GroupError>) -> Option<T> {
    match tried {
        Ok(found) => Some(found),
        Err(GroupError::Failed(error)) => {
            opened(Err::<(), _>(error));
            None
        }
        // Its records may be anybody's, and it may have all of them.
        Err(
            GroupError::TimedOut
            | GroupError::Closed
            | GroupError::ProducerGone
            | GroupError::NotLeased { .. }
            | GroupError::Unacknowledged { .. },
        ) => None,
        Err(error) => panic!("{error:?}"),
    }
}

#[track_caller]
fn opened<T>(tried: Result<T, Error>) -> Option<T> {
    match tried {
        Ok(found) => Some(found),
        Err(
            Error::Garbage { .. }
            // Of the ring, as the place of a lease is another one now.
            | Error::Corrupt(_)
            | Error::SeatsTaken { .. }
            // The words of the group may say that it is another ring's, or that it puts records aside.
            | Error::NotFound { .. }
            | Error::NameInUse { .. }
            | Error::BadOption { .. },
        ) => None,
        Err(error) => panic!("{error:?}"),
    }
}

/// Calls of a member, none of which waits for longer than a moment.
fn act(member: &mut GroupMember, known: Option<JobId>) {
    let mut ids = Vec::new();
    if let Some(id) = known {
        answered(member.ack(id));
    }
    for _ in 0..3 {
        if let Some(Some(GroupEvent::Job(job))) = answered(member.try_recv()) {
            let _ = (job.record().to_vec(), job.deliveries());
            ids.push(job.id());
        }
    }
    if let Some(id) = ids.pop() {
        answered(member.nack(id));
    }
    let deadline = Instant::now() + Duration::from_micros(20);
    answered(member.recv_up_to_deadline(4, deadline, |event| {
        if let GroupEvent::Job(job) = event {
            let _ = job.record().to_vec();
        }
    }));
    answered(member.ack_all());
    assert!(member.unacknowledged() <= 32 * 64);
}

fn every_bit_flipped(group: &Group) {
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let (mut first, mut second) = (scene.join(group), scene.join(group));
    send(&mut producer, 0, 8);
    let done = receive(&mut first).2;
    let ids = take(&mut first, 3);
    let back = take(&mut second, 2);
    first.ack(done).expect("its own");
    for id in back {
        second.nack(id).expect("its own");
    }
    let files = [scene.path(), scene.file()].map(|path| {
        let file = std::fs::File::options().write(true).open(&path).expect("open");
        (file, std::fs::read(&path).expect("read"))
    });
    let keep = scene.directory.path().join("keep");
    std::fs::hard_link(scene.file(), &keep).expect("link");
    let put_back = || {
        for (file, bytes) in &files {
            file.write_all_at(&bytes[4096..], 4096).expect("write");
        }
        // A file that says it is of another ring is removed by whoever joins.
        if !scene.file().exists() {
            std::fs::hard_link(&keep, scene.file()).expect("link");
        }
    };
    let (file, bytes) = &files[1];
    let flip = |byte: u64, bit: u8| {
        file.write_all_at(&[bytes[byte as usize] ^ 1 << bit], byte).expect("write");
    };
    // A look from outside, and one that comes.
    let look = || {
        if let Some(inspector) = opened(GroupInspector::open(scene.path(), "workers")) {
            inspector.snapshot().expect("garbage is no error of a look");
        }
    };
    let come = || {
        if let Some(mut member) = opened(GroupMember::join(scene.path(), group)) {
            act(&mut member, None);
        }
    };
    for byte in PARTS.into_iter().flatten() {
        for bit in 0..8 {
            flip(byte, bit);
            look();
            // A seat that looks free and is not, or a file that looks like another ring's while the group has members: whoever
            // comes waits for those to go, up to a second. Once for each will do.
            let seat = (4096..4096 + 2 * SEAT_BYTES).contains(&byte) && byte % SEAT_BYTES < 8;
            let is_once =
                (seat && byte.is_multiple_of(SEAT_BYTES)) || (RING.contains(&byte) && byte.is_multiple_of(8));
            if (is_once && bit == 0) || !(seat || RING.contains(&byte)) {
                come();
            }
            put_back();
            // One that is there.
            flip(byte, bit);
            act(&mut first, ids.first().copied());
            put_back();
        }
    }
    drop((first, second));
    // Who has the turn: if that is said of one that lives, others wait for it, as for one that is stopped. So nobody does.
    for byte in TURN {
        for bit in 0..8 {
            put_back();
            flip(byte, bit);
            look();
            come();
        }
    }
    // With the bits back the records are there: those that nobody has, and those of the members that have gone.
    put_back();
    let mut last = scene.join(group);
    let mut records = Vec::new();
    while let Some(event) = last.try_recv().expect("in good order") {
        match event {
            GroupEvent::Job(job) => {
                records.push(job.record().read::<u64>().expect("a number"));
                job.ack().expect("its own");
            }
            other => panic!("{other:?}"),
        }
    }
    records.sort_unstable();
    assert_eq!(records, (1..8).collect::<Vec<_>>());
}

#[test]
fn every_bit_flipped_harms_nobody() {
    every_bit_flipped(&workers());
}

#[test]
fn every_bit_flipped_where_leases_have_a_time_and_a_limit() {
    every_bit_flipped(
        &workers().lease_time(Duration::from_secs(60)).limit(16).gated_for(Duration::from_secs(60)),
    );
}
