//! Part D of docs/format.md: the bytes of a group, and of its slot in the ring.

use quoit::{Attach, Consumer, Group, GroupEvent, GroupMember, Options, Producer};

use crate::common::Backing;
use crate::word;

const DATA: usize = 8192;
const ENTRIES: usize = DATA + 256;

/// The owned word of an incarnation.
fn owned(generation: u64, seat: u64) -> u64 {
    generation << 16 | seat << 2
}

#[test]
fn a_group_stands_where_the_document_says() {
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let directory = backing.directory();
        let path = directory.path().join("ring");
        let mut producer = Producer::open_or_create(&path, &Options::new().capacity(4096)).unwrap();
        // So that the group has another slot than the first.
        let _consumer = Consumer::open(&path, &Attach::gated()).unwrap();
        producer.send(&[1; 16]).unwrap();
        let options = Group::new("g").leases(100).limit(7).lease_time(std::time::Duration::from_secs(60));
        let mut first = GroupMember::join(&path, &options).unwrap();
        let mut second = GroupMember::join(&path, &options).unwrap();
        let (group, ring) = (
            || std::fs::read(directory.path().join("ring.g.group")).unwrap(),
            || std::fs::read(&path).unwrap(),
        );
        let size = DATA + (256_usize + 128 * 100).next_multiple_of(4096);
        assert_eq!((word(&group(), 40), group().len()), (size as u64, size));
        assert_eq!(group()[32..40], *b"group   ", "the kind");
        assert_eq!([128, 136, 144].map(|at| word(&group(), at)), [64, 100, 0]);
        let name = ring().windows(8).position(|bytes| bytes == b"g\0\0\0\0\0\0\0").unwrap();
        let slot = name - 128;
        assert_eq!([216, 224].map(|at| word(&ring(), slot + at)), [1, 1], "incarnation and group");
        // The turn is free; leases 1, and none yet.
        let line = |at: [usize; 3]| at.map(|at| word(&group(), DATA + at));
        assert_eq!(line([0, 16, 24]), [0, 1, 1]);
        assert_eq!(line([72, 80, 88]), [word(&ring(), 56), word(&ring(), 64), 1], "ring and slot");
        assert_eq!(line([96, 104, 112]), [1, 60_000_000_000, 7]);
        let entry = |entry: usize, at: [usize; 4]| at.map(|at| word(&group(), ENTRIES + 128 * entry + at));
        assert_eq!(entry(0, [0, 56, 64, 72]), [0xffff_ffff, 24, 1, 16], "where the group starts");

        for payload in [8, 24, 32] {
            producer.send(&vec![2; payload]).unwrap();
        }
        let take = |member: &mut GroupMember, ids: &mut Vec<quoit::JobId>, most| {
            let keep = |event: GroupEvent<'_>| match event {
                GroupEvent::Job(job) => ids.push(job.id()),
                other => panic!("{other:?}"),
            };
            member.recv_up_to(most, keep).unwrap()
        };
        let mut ids = Vec::new();
        assert_eq!((take(&mut first, &mut ids, 2), take(&mut second, &mut ids, 2)), (2, 1));
        assert_eq!(line([16, 24, 40]), [3, 1, 2]);
        assert_eq!(entry(1, [0, 8, 16, 32]), [1 << 32 | 0xffff_fffc, owned(1, 0), 1, 24]);
        assert_eq!(entry(1, [40, 48, 56, 64]), [1, 16, 24 + 16 + 32, 3]);
        assert_eq!(entry(2, [0, 8, 32, 56]), [2 << 32 | 0xffff_fffe, owned(1, 1), 72, 72 + 40]);
        first.ack(ids[1]).unwrap();
        second.nack(ids[2]).unwrap();
        assert_eq!(entry(1, [0, 8, 16, 32])[..2], [1 << 32 | 0xffff_fffe, owned(1, 0)]);
        assert_eq!((entry(2, [8, 16, 0, 0])[..2].to_vec(), word(&group(), DATA + 32)), (vec![0, 1], 1));
        // Handed out again, with another tag.
        assert_eq!(take(&mut first, &mut ids, 2), 1);
        assert_eq!(entry(2, [0, 8, 16, 32]), [3 << 32 | 0xffff_fffe, owned(1, 0), 2, 72]);
        assert_eq!(line([32, 40, 48]), [1, 3, 1]);
    }
}
