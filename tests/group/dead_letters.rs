//! What is handed out as often as it may be goes to a ring of its own.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use quoit::{
    Attach, Consumer, DeadLetter, DeadLetterError, Error, ErrorKind, Event, Group, GroupError, GroupMember,
    Options, RecvError, Ring, SendError, Start, Typed,
};

use crate::{Scene, nothing, receive, send, workers};

impl Scene {
    fn dead_letters(&self, options: &Options) -> Ring {
        Ring::create(self.directory.path().join("dead"), options).expect("create")
    }

    fn group(&self, most: u32) -> (Group, Ring) {
        let ring = self.dead_letters(&Options::new().capacity(4096));
        (workers().max_deliveries(most, &ring), ring)
    }
}

/// What there is: number, sequence, and how often it was handed out.
fn letters(consumer: &mut Consumer) -> Vec<(u64, u64, u32)> {
    let mut letters = Vec::new();
    loop {
        match consumer.recv_timeout(Duration::from_secs(20)) {
            Ok(Event::Record(record)) => {
                let record = record.to_vec();
                let letter = DeadLetter::parse(&record).expect("a dead letter");
                let number = u64::from_le_bytes(letter.payload().try_into().expect("a number"));
                letters.push((number, letter.sequence(), letter.deliveries()));
            }
            Ok(_) => {}
            Err(RecvError::Closed) => return letters,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn what_is_given_back_too_often_is_put_aside() {
    let scene = Scene::new();
    let (group, dead) = scene.group(3);
    let mut consumer = dead.consumer(&Attach::gated()).expect("a consumer");
    let mut producer = scene.ring().producer().expect("a producer");
    let (mut first, mut second) = (scene.join(&group), scene.join(&group));
    send(&mut producer, 0, 2);
    for deliveries in 1..=3 {
        let (number, times, id) = receive(&mut first);
        assert_eq!((number, times), (0, deliveries));
        first.nack(id).expect("its own");
    }
    // Nobody is told: the next record comes.
    let (number, times, id) = receive(&mut second);
    assert_eq!((number, times), (1, 1));
    second.ack(id).expect("its own");
    nothing(&mut first);
    assert_eq!(letters(&mut consumer), [(0, 0, 3)]);
    // It counts as acknowledged, and its room can be used.
    for _ in 0..CAPACITY_IN_RECORDS {
        producer.try_send(&[0; 8]).expect("room");
        let id = receive(&mut first).2;
        first.ack(id).expect("its own");
    }
    drop(producer);
    assert!(matches!(first.recv(), Err(GroupError::Closed)));
}

const CAPACITY_IN_RECORDS: u64 = crate::CAPACITY / 16;

#[test]
fn a_letter_says_where_it_comes_from() {
    let scene = Scene::new();
    let (group, dead) = scene.group(1);
    let mut producer = scene.ring().producer().expect("a producer");
    let mut member = scene.join(&group);
    send(&mut producer, 70, 71);
    let id = receive(&mut member).2;
    member.nack(id).expect("its own");
    nothing(&mut member);
    let mut bytes = [0; 16];
    std::fs::File::open(scene.path()).expect("open").read_exact_at(&mut bytes, 56).expect("the id");
    let mut consumer = dead.consumer(&Attach::lossy().start(Start::Oldest)).expect("a consumer");
    let record = consumer.recv_record(|_| {}).expect("a letter").to_vec();
    let wanted = [&bytes[..], &0_u64.to_le_bytes(), &1_u32.to_le_bytes(), b"dead", &70_u64.to_le_bytes()];
    assert_eq!(record, wanted.concat());
    assert_eq!(DeadLetter::parse(&record).expect("a letter").ring(), u128::from_le_bytes(bytes));
    // Anything else is none.
    assert_eq!(DeadLetter::parse(&record[..31]), None);
    assert_eq!(DeadLetter::parse(&[0; 40]), None);
    assert!(DeadLetter::parse(&record[..32]).is_some_and(|letter| letter.payload().is_empty()));
}

/// Seven are taken together, and the third kills whoever has it.
#[test]
fn one_of_several_is_put_aside_alone() {
    let scene = Scene::new();
    let (group, dead) = scene.group(3);
    let mut consumer = dead.consumer(&Attach::gated()).expect("a consumer");
    let mut producer = scene.ring().producer().expect("a producer");
    let keeper = scene.join(&group);
    send(&mut producer, 0, 7);
    let (mut done, mut tries) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let mut member = scene.join(&group);
        let mut jobs = Vec::new();
        member
            .recv_up_to(7, |event| match event {
                quoit::GroupEvent::Job(job) => jobs.push((job.id(), job.deliveries())),
                other => panic!("{other:?}"),
            })
            .expect("records");
        // What comes back comes alone.
        let (alone, times) = jobs[0];
        tries.push((jobs.len(), alone.sequence(), times));
        for (id, _) in jobs {
            if id.sequence() == 2 {
                break;
            }
            member.ack(id).expect("its own");
            done.push(id.sequence());
        }
        // It leaves with what it has.
    }
    assert_eq!(tries, [(7, 0, 1), (1, 2, 2), (1, 2, 3)]);
    let mut member = scene.join(&group);
    for sequence in 3..7 {
        let (number, times, id) = receive(&mut member);
        assert_eq!((number, times), (sequence, 2));
        member.ack(id).expect("its own");
        done.push(id.sequence());
    }
    nothing(&mut member);
    assert_eq!(done, [0, 1, 3, 4, 5, 6]);
    assert_eq!(letters(&mut consumer), [(2, 2, 3)]);
    drop(keeper);
}

/// A member that has one record of a lease has no more than that, and the limit counts no other.
#[test]
fn what_comes_later_is_nobodys() {
    let scene = Scene::new();
    let (group, _dead) = scene.group(5);
    let mut producer = scene.ring().producer().expect("a producer");
    let (mut first, mut second) = (scene.join(&group), scene.join(&group));
    send(&mut producer, 0, 3);
    let mut ids = Vec::new();
    first
        .recv_up_to(3, |event| match event {
            quoit::GroupEvent::Job(job) => ids.push(job.id()),
            other => panic!("{other:?}"),
        })
        .expect("records");
    ids.iter().for_each(|id| first.nack(*id).expect("its own"));
    let id = receive(&mut second).2;
    assert_eq!((id.sequence(), second.unacknowledged()), (0, 1));
    nothing(&mut first);
    // Given back, it is the first again; acknowledged, the next one is.
    second.nack(id).expect("its own");
    let id = receive(&mut first).2;
    assert_eq!(id.sequence(), 0);
    first.ack(id).expect("its own");
    for sequence in 1..3 {
        let (number, times, id) = receive(&mut second);
        assert_eq!((number, times, second.unacknowledged()), (sequence, 2, 1));
        second.ack(id).expect("its own");
    }
    nothing(&mut first);
    drop(producer);
    assert!(matches!(first.recv(), Err(GroupError::Closed)));
}

fn fail(member: &mut GroupMember, sequence: u64) -> DeadLetterError {
    match member.recv_timeout(Duration::ZERO) {
        Err(GroupError::DeadLetter { sequence: found, error }) => {
            assert_eq!(found, sequence);
            error
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_that_cannot_be_put_aside_is_told_and_stays() {
    let scene = Scene::new();
    let (group, dead) = scene.group(1);
    let mut consumer = dead.consumer(&Attach::gated()).expect("a consumer");
    let mut other = dead.producer().expect("a producer");
    while other.try_send(&[0; 1000]).is_ok() {}
    let mut producer = scene.ring().producer().expect("a producer");
    let (mut first, mut second) = (scene.join(&group), scene.join(&group));
    send(&mut producer, 0, 2);
    let id = receive(&mut first).2;
    first.nack(id).expect("its own");
    // Somebody else is the producer, then there is no room.
    let error = fail(&mut first, 0);
    assert!(matches!(error, DeadLetterError::Open(Error::ProducerAlive { .. })), "{error}");
    assert_eq!(error.kind(), ErrorKind::InUse);
    drop(other);
    let error = fail(&mut second, 0);
    assert!(matches!(error, DeadLetterError::Send(SendError::Full { slot: 0 })), "{error}");
    assert_eq!(error.kind(), ErrorKind::Full);
    // Others go on, and nobody gets it.
    let (number, times, id) = receive(&mut first);
    assert_eq!((number, times), (1, 1));
    first.ack(id).expect("its own");
    nothing(&mut second);
    drop(producer);
    // It is told again, and it is not the end before it is put aside.
    let again = first.recv();
    assert!(matches!(again, Err(GroupError::DeadLetter { sequence: 0, .. })), "{again:?}");
    while !matches!(consumer.recv(), Err(RecvError::Closed)) {}
    let end = first.recv();
    assert!(matches!(end, Err(GroupError::Closed)), "{end:?}");
    assert_eq!(letters(&mut consumer), [(0, 0, 1)]);
}

#[test]
fn a_ring_that_is_gone_or_too_small_is_told() {
    let scene = Scene::new();
    let (group, dead) = scene.group(1);
    let mut producer = scene.ring().producer().expect("a producer");
    let mut member = scene.join(&group);
    producer.send(&[1; 2030]).expect("send");
    let Some(quoit::GroupEvent::Job(job)) = member.try_recv().expect("try") else { panic!("a record") };
    job.nack().expect("its own");
    std::fs::remove_file(dead.path().expect("a file")).expect("remove");
    let error = fail(&mut member, 0);
    assert!(matches!(error, DeadLetterError::Open(Error::NotFound { .. })), "{error}");
    scene.dead_letters(&Options::new().capacity(4096));
    std::thread::sleep(Duration::from_millis(110));
    let error = fail(&mut member, 0);
    assert!(matches!(error, DeadLetterError::Send(SendError::TooLarge { len: 2062, .. })), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unsuitable);
    std::fs::remove_file(dead.path().expect("a file")).expect("remove");
    let dead = scene.dead_letters(&Options::new().capacity(8192));
    drop(producer);
    let end = member.recv();
    assert!(matches!(end, Err(GroupError::Closed)), "{end:?}");
    let mut consumer = dead.consumer(&Attach::lossy().start(Start::Oldest)).expect("a consumer");
    assert_eq!(consumer.recv_record(|_| {}).expect("a letter").to_vec().len(), 2062);
}

#[derive(quoit::zerocopy::FromBytes, quoit::zerocopy::Immutable, quoit::zerocopy::IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
#[repr(C)]
struct Number(u64);

impl Typed for Number {
    const TAG: u32 = 1;
}

#[test]
fn rings_that_take_no_dead_letters() {
    let scene = Scene::new();
    let refused = |ring: &Ring| {
        let error = GroupMember::join(scene.path(), &workers().max_deliveries(2, ring)).expect_err("refused");
        assert!(matches!(error, Error::BadOption { .. }), "{error}");
    };
    refused(&scene.ring());
    refused(&scene.dead_letters(&Options::new().schema::<Number>()));
    let (_producer, sealed) = Ring::sealed(&Options::new().capacity(4096)).expect("a sealed ring");
    refused(&sealed);
    assert!(!scene.file().exists(), "a refusal makes no group");
}

#[test]
fn who_joins_names_the_ring() {
    let scene = Scene::new();
    let (group, dead) = scene.group(2);
    let first = scene.join(&group);
    let error = GroupMember::join(scene.path(), &workers()).expect_err("without a ring");
    assert!(matches!(error, Error::BadOption { .. }), "{error}");
    // How often is what the first said.
    let mut producer = scene.ring().producer().expect("a producer");
    let mut second = scene.join(&workers().max_deliveries(9, &dead));
    send(&mut producer, 0, 1);
    for _ in 0..2 {
        let id = receive(&mut second).2;
        second.nack(id).expect("its own");
    }
    nothing(&mut second);
    let mut clone = second.try_clone().expect("clone");
    nothing(&mut clone);
    drop((first, second, clone));
    // A number that nobody can have written.
    scene.poke(120, 1 << 40);
    let error = GroupMember::join(scene.path(), &group).expect_err("garbage");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}
