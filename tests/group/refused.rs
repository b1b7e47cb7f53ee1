//! What is refused: names, rings and files that are not what a member needs, and damage.

use std::time::Duration;

use quoit::sync::{Mutex, SyncOptions};
use quoit::{Attach, Consumer, Error, ErrorKind, Group, GroupError, GroupMember, Kind, Options, Ring, Start};

use crate::{CAPACITY, LEASE, Scene, nothing, receive, send, workers};

#[test]
fn a_name_is_a_group_or_a_consumer() {
    let scene = Scene::new();
    let attach = Attach::gated().name("workers");
    let mut producer = scene.ring().producer().expect("a producer");
    let mut consumer = Consumer::open(scene.path(), &attach).expect("attach");
    let refused = GroupMember::join(scene.path(), &workers()).expect_err("a consumer has the name");
    assert!(matches!(refused, Error::NameInUse { .. }), "{refused}");
    send(&mut producer, 0, 2);
    assert!(consumer.try_recv().expect("try").is_some());
    drop(consumer);
    // The name goes on as a group, with what the consumer had not released.
    let mut member = scene.join(&workers());
    assert_eq!(receive(&mut member).0, 0);
    let after = Attach::gated().after("workers");
    let refused = Consumer::open(scene.path(), &after).expect_err("a group is no stage");
    assert!(matches!(refused, Error::NotAStage { .. }), "{refused}");
    for _ in 0..2 {
        let refused = Consumer::open(scene.path(), &attach).expect_err("a group has the name");
        assert_eq!(refused.kind(), ErrorKind::InUse, "{refused}");
        let refused = quoit::forget(scene.path(), "workers").expect_err("it has a member");
        assert!(matches!(refused, Error::NameInUse { .. }), "{refused}");
    }
    drop(member);
    let refused = Consumer::open(scene.path(), &attach).expect_err("a group has the name");
    assert!(matches!(refused, Error::NameOfGroup { .. }), "{refused}");
    assert_eq!(receive(&mut scene.join(&workers())).1, 2);
    // A group that is forgotten begins anew.
    quoit::forget(scene.path(), "workers").expect("it has no member");
    let mut member = scene.join(&workers().start(Start::Oldest));
    let (number, deliveries, _) = receive(&mut member);
    assert_eq!((number, deliveries), (0, 1));
}

#[test]
fn what_is_left_of_another_ring_is_replaced() {
    let scene = Scene::new();
    let mut old = scene.join(&workers());
    std::fs::remove_file(scene.path()).expect("remove");
    Options::new().capacity(CAPACITY).create(scene.path()).expect("create");
    let mut member = scene.join(&workers());
    let mut producer = scene.ring().producer().expect("a producer");
    send(&mut producer, 0, 1);
    assert_eq!(receive(&mut member).0, 0);
    nothing(&mut old);
    // Without its file a group that has members is not made again.
    std::fs::remove_file(scene.file()).expect("remove");
    let refused = GroupMember::join(scene.path(), &workers()).expect_err("it has a member");
    assert!(matches!(refused, Error::NameInUse { .. }), "{refused}");
    drop(member);
    scene.join(&workers());
}

#[test]
fn rings_that_have_no_groups() {
    let refused = |ring: &Ring, group: &Group| GroupMember::on(ring, group).expect_err("refused").to_string();
    let options = || Options::new().capacity(CAPACITY);
    let limited = Ring::heap(&options().hard_limit(Duration::from_millis(5))).expect("a ring");
    assert!(refused(&limited, &workers()).contains("hard limit"));
    let in_place = Ring::heap(&options().gated_only(true)).expect("a ring");
    assert!(refused(&in_place, &workers()).contains("gated consumers only"));
    let (_producer, sealed) = Ring::sealed(&options()).expect("a ring");
    assert!(refused(&sealed, &workers()).contains("sealed"));
    let ring = Ring::heap(&options()).expect("a ring");
    assert!(refused(&ring, &Group::new("a/b")).contains("slash"));
    assert!(refused(&ring, &Group::new("")).contains("name"));
    assert!(refused(&ring, &workers().leases(63)).contains("leases"));
    assert!(refused(&ring, &workers().members(0)).contains("seats"));
    let only = GroupMember::on(&ring, &workers().members(1)).expect("make");
    assert!(matches!(only.try_clone(), Err(Error::SeatsTaken { seats: 1, .. })));
    assert!(matches!(GroupMember::on(&ring, &workers()), Err(Error::NameInUse { .. })));
}

#[test]
fn other_files_and_damage_are_refused() {
    let scene = Scene::new();
    Mutex::<u64>::create(scene.file(), &SyncOptions::new(), &0).expect("create");
    let refused = GroupMember::join(scene.path(), &workers()).expect_err("a mutex");
    assert!(matches!(refused, Error::OtherKind { found: Kind::Mutex, wanted: Kind::Group, .. }), "{refused}");
    std::fs::remove_file(scene.file()).expect("remove");
    let refused = GroupMember::join(scene.file(), &workers()).expect_err("no file");
    assert!(matches!(refused, Error::NotFound { .. }), "{refused}");
    let member = scene.join(&workers());
    let refused = GroupMember::join(scene.file(), &workers()).expect_err("a group");
    assert!(matches!(refused, Error::OtherKind { found: Kind::Group, wanted: Kind::Ring, .. }), "{refused}");
    drop(member);
}

#[test]
fn garbage_is_told() {
    // Byte of the data area, and what another process writes there.
    let damages: [(&str, u64, u64); 9] = [
        ("the number of the next lease", 16, u64::MAX),
        ("the number of the oldest lease", 24, 5000),
        ("the owner of the turn", 0, 1 << 40 | 900 << 2),
        ("the owner of a lease", LEASE + 8, 1 << 40 | 900 << 2),
        ("the place of a lease", LEASE + 32, 3),
        ("the place of a lease, ahead of all", LEASE + 32, 1 << 40),
        ("the sequence of a lease", LEASE + 40, 77),
        ("the end of a lease", LEASE + 64, 1 << 50),
        ("the end of the last lease", LEASE + 128 + 56, 5),
    ];
    for (what, byte, word) in damages {
        let scene = Scene::new();
        let (mut producer, mut first, mut second) = scene.two();
        send(&mut producer, 0, 3);
        let id = receive(&mut first).2;
        receive(&mut second);
        first.nack(id).expect("its own");
        scene.poke(byte, word);
        std::thread::sleep(Duration::from_millis(2));
        // At least one of the next calls says so, and none does worse.
        let told = (0..4).any(|_| match first.try_recv() {
            Err(GroupError::Failed(error)) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
                true
            }
            Ok(_) => false,
            Err(error) => panic!("{what}: {error}"),
        });
        assert!(told, "{what}");
    }
}
