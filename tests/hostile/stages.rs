//! Garbage in the words between a stage and its followers. A follower may be told that its stage is gone, or corruption, and
//! may take what is published for released; it may not panic, hang, or read beyond the ring. The producer goes on.

use quoit::Inspector;

use super::*;

/// Words of a stage's slot, from its start.
const STRETCH: u64 = 48;
const BEGAN: u64 = 56;
const RELEASED: u64 = 64;
const FOLLOWERS: u64 = 72;
const HEARD: u64 = 80;
/// Of a follower's.
const AFTER: u64 = 232;

const GARBAGE: [u64; 14] =
    [0, 1, 3, 4, 5, 8, 16, 1023, CAPACITY, 1 << 31, 1 << 54, 1 << 62, u64::MAX - 7, u64::MAX];

/// Receives for a while, without waiting. Errors that stay end it.
fn receive(follower: &mut Consumer) {
    for _ in 0..200 {
        match at_once("receive", || follower.try_recv().map(|event| event.is_some())) {
            Ok(true) => {}
            Ok(false) => break,
            Err(RecvError::Corrupt(_)) => return,
            Err(error) => panic!("{error:?}"),
        }
    }
    at_once("ask", || follower.status());
    match at_once("wait", || follower.recv_timeout(Duration::from_micros(10)).map(drop)) {
        Ok(()) | Err(RecvError::TimedOut | RecvError::StageGone | RecvError::Corrupt(_)) => {}
        Err(error) => panic!("{error:?}"),
    }
    match at_once("skip", || follower.latest(|_| {}).map(drop)) {
        Ok(()) | Err(RecvError::Corrupt(_)) => {}
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn words_of_a_stage() {
    let victim = Victim::new();
    for field in [at::STATE, at::CURSOR, at::HOLD, STRETCH, BEGAN, RELEASED, FOLLOWERS, HEARD] {
        for garbage in GARBAGE {
            victim.restore();
            let mut producer = victim.producer();
            let mut stage = victim.consumer(Attach::gated().name("stage"));
            let mut gated = victim.consumer(Attach::gated().name("follower").after("stage"));
            let mut lossy = victim.consumer(Attach::lossy().after("stage"));
            for sequence in 0..10 {
                assert_eq!(producer.send(&payload(sequence, 100)), Ok(sequence));
            }
            assert!(stage.try_recv().unwrap().is_some());
            stage.release();
            let slot = at::slot(u64::from(stage.slot()));
            victim.set(slot + field, garbage);
            receive(&mut gated);
            receive(&mut lossy);
            // It goes on with its own work, whatever stands there.
            while at_once("the stage", || stage.try_recv().map(|event| event.is_some())).unwrap() {}
            receive(&mut gated);
            receive(&mut lossy);
            at_once("inspect", || Inspector::open(&victim.path).unwrap().snapshot().unwrap());
            at_once("leave", || drop((gated, lossy, stage)));
            victim.restore();
        }
    }
}

#[test]
fn what_a_follower_names() {
    let victim = Victim::new();
    for garbage in GARBAGE {
        victim.restore();
        let mut producer = victim.producer();
        let mut stage = victim.consumer(Attach::gated().name("stage").hold_forever());
        let mut follower = victim.consumer(Attach::gated().name("follower").after("stage"));
        victim.set(at::slot(u64::from(follower.slot())) + AFTER, garbage);
        let snapshot = at_once("inspect", || Inspector::open(&victim.path).unwrap().snapshot().unwrap());
        assert_eq!(snapshot.consumers.len(), 2);
        // The handle knows what it follows. Its stage may not know that it does, and then takes its time.
        assert_eq!(producer.send(&payload(0, 100)), Ok(0));
        assert!(follower.try_recv().unwrap().is_none());
        assert!(stage.try_recv().unwrap().is_some());
        stage.release();
        assert!(follower.recv_timeout(AT_ONCE).is_ok());
        follower.unfollow();
        drop((follower, stage));
        at_once("forget", || quoit::forget(&victim.path, "stage")).unwrap();
    }
}

/// A name that is followed by itself, or by one that follows it in turn: nobody looks further than one step.
#[test]
fn circles_that_are_written() {
    let victim = Victim::new();
    let mut producer = victim.producer();
    let first = victim.consumer(Attach::gated().name("first"));
    let second = victim.consumer(Attach::gated().name("second").after("first"));
    let word = |slot: u32| victim.get(at::slot(u64::from(slot)) + STRETCH) << 10 | u64::from(slot);
    victim.set(at::slot(u64::from(first.slot())) + AFTER, word(second.slot()));
    let snapshot = at_once("inspect", || Inspector::open(&victim.path).unwrap().snapshot().unwrap());
    let names = |at: usize| snapshot.consumers[at].after.as_ref().and_then(|stage| stage.name.clone());
    assert_eq!([names(0).as_deref(), names(1).as_deref()], [Some("second"), Some("first")]);
    assert_eq!(producer.send(&payload(0, 100)), Ok(0));
    at_once("leave", || drop((first, second)));
}
