//! Barriers, latches and onces between processes: parties are killed.

use std::time::{Duration, Instant};

use quoit::sync::{Barrier, Latch, Once, SyncOptions};
use quoit::{Error, WaitSet};

use crate::process::{Part, SOON, Stage, hear, note, say};

/// Meets the others, round after round, until it is killed. A broken round is reset.
///
/// `ring`.
pub(crate) fn meet(part: &Part) {
    let barrier = Barrier::open(part.ring()).expect("open");
    say("meets");
    loop {
        match barrier.wait() {
            Ok(_) => {}
            Err(Error::Broken) => std::thread::sleep(Duration::from_micros(200)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Joins a latch, and arrives when it is told to.
///
/// `ring`.
pub(crate) fn join(part: &Part) {
    let party = Latch::open(part.ring()).expect("open").join().expect("join");
    say("joined");
    hear();
    say(format_args!("arrived {}", u32::from(party.arrive().expect("arrive"))));
}

/// Begins a deed, says so, and finishes it when it is told to.
///
/// `ring`.
pub(crate) fn once(part: &Part) {
    let mut once = Once::open(part.ring()).expect("open");
    let mine = once.call(|state| {
        say(format_args!("begins {}", state.attempts));
        hear();
    });
    say(format_args!("done {}", u32::from(mine.expect("call"))));
}

/// Three parties, this process the fourth. One after the other is killed and replaced: the round is passed by all or
/// broken for all, and it goes on after a reset.
#[test]
fn parties_are_killed() {
    let stage = Stage::tmpfs(300);
    let path = stage.file("barrier");
    let barrier = Barrier::create(&path, &SyncOptions::new(), 4).expect("create");
    let start = || {
        let mut party = Part::new("meet at a barrier").on(&path).start();
        party.says("meets");
        party
    };
    let mut parties = [(); 3].map(|()| start());
    let kills = std::env::var("QUOIT_KILLS").map_or(40, |text| text.parse().expect("a number"));
    let (mut passed, mut broken) = (0_u64, 0_u64);
    for kill in 0_u64..kills {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_micros(kill * 237 % 5000) {
            match barrier.wait_deadline(begin + SOON) {
                Ok(_) => passed += 1,
                Err(Error::Broken) => barrier.reset().expect("reset"),
                Err(error) => panic!("{error}"),
            }
        }
        let at = (kill % 3) as usize;
        parties[at].kill();
        // Now one party is missing, or has arrived and is missing in the next round.
        loop {
            match barrier.wait_deadline(Instant::now() + SOON) {
                Ok(_) => passed += 1,
                Err(Error::Broken) => break,
                Err(error) => panic!("somebody waits for the dead: {error}"),
            }
        }
        broken += 1;
        parties[at] = start();
        barrier.reset().expect("reset");
    }
    while passed < kills {
        match barrier.wait_deadline(Instant::now() + SOON) {
            Ok(_) => passed += 1,
            Err(Error::Broken) => barrier.reset().expect("reset"),
            Err(error) => panic!("{error}"),
        }
    }
    note(format_args!("barrier: {kills} kills, {passed} rounds passed, {broken} broken"));
}

#[test]
fn a_latch_is_told_of_a_death() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("latch");
    let latch = Latch::create(&path, &SyncOptions::new(), 2).expect("create");
    let join = || {
        let mut party = Part::new("join a latch").on(&path).start();
        party.says("joined");
        party
    };
    let (mut whole, mut dying) = (join(), join());
    dying.kill();
    let told = latch.wait_deadline(Instant::now() + SOON).unwrap_err();
    assert!(matches!(told, Error::Broken), "{told}");
    let mut other = join();
    latch.reset().expect("reset");
    assert!(!latch.try_wait().expect("look"));
    whole.tell("arrive");
    assert_eq!(whole.says("arrived"), [0]);
    whole.finish();
    other.tell("arrive");
    assert_eq!(other.says("arrived"), [1]);
    latch.wait_deadline(Instant::now() + SOON).expect("both arrived");
    other.finish();
}

/// Nobody rings for the dead: sets find them at the end of a slice.
#[test]
fn a_set_is_told_of_a_death() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("latch");
    let mut latch = Latch::create(&path, &SyncOptions::new(), 1).expect("create");
    let mut dying = Part::new("join a latch").on(&path).start();
    dying.says("joined");
    let killing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        dying.kill();
    });
    assert!(WaitSet::new().wait_deadline(&mut [&mut latch], Instant::now() + SOON).contains(0));
    assert!(matches!(latch.try_wait(), Err(Error::Broken)));
    killing.join().expect("kill");

    let path = stage.file("barrier");
    let mut barrier = Barrier::create(&path, &SyncOptions::new(), 2).expect("create");
    let mut dying = Part::new("meet at a barrier").on(&path).start();
    dying.says("meets");
    dying.kill();
    // It may have arrived in one round before.
    let ends = [(); 2].map(|()| {
        barrier.arrive()?;
        assert!(WaitSet::new().wait_deadline(&mut [&mut barrier], Instant::now() + SOON).contains(0));
        barrier.try_wait().map(|pass| pass.expect("it was ready"))
    });
    assert!(matches!(ends[1], Err(Error::Broken)), "{ends:?}");
}

#[test]
fn a_deed_is_done_again_after_a_death() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("once");
    let mut once = Once::create(&path, &SyncOptions::new()).expect("create");
    for attempts in 0..3 {
        let mut dying = Part::new("do it once").on(&path).start();
        assert_eq!(dying.says("begins"), [attempts]);
        assert_eq!(once.holder().unwrap().expect("somebody is at it").pid, dying.pid());
        assert!(once.try_call(|_| unreachable!()).unwrap().is_none());
        dying.kill();
    }
    let mut at_last = Part::new("do it once").on(&path).start();
    assert_eq!(at_last.says("begins"), [3]);
    at_last.tell("go on");
    assert_eq!(at_last.says("done"), [1]);
    at_last.finish();
    assert!(!once.call_deadline(Instant::now() + SOON, |_| unreachable!()).unwrap());
}
