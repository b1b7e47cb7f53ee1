//! `lock --shared`: commands that hold a lock together, and one that holds it alone.

use quoit::sync::{Mutex, RwLock, SyncOptions};
use rustix::process::Signal;

use crate::support::Place;

const ALONE: &str = "lock RING";
const SHARED: &str = "lock RING --shared";

#[test]
fn many_share_it_or_one_has_it_alone() {
    let place = Place::new();
    let (first, _command) = place.hold(SHARED);
    let (second, _command) = place.hold("lock RING -s");
    assert_eq!((&place.info()["readers"], &place.info()["is_held"]), (&2.into(), &true.into()));
    let refused = place.run("lock RING -n -E 75 -- true", b"").assert_code(75).assert_one_line();
    for holder in [&first, &second] {
        assert!(refused.stderr.contains(&format!("process {}", holder.pid())), "{}", refused.stderr);
    }
    // Who wants it alone waits for both, and goes before those who come later to share it.
    let alone = place.under(ALONE, "echo alone >>order");
    place.wait_until_asleep(&alone);
    place.run("lock RING --shared --timeout 50ms -- true", b"").assert_code(1).assert_one_line();
    let late = place.under(SHARED, "echo late >>order");
    place.wait_until_asleep(&late);
    for holder in [first, second] {
        assert!(!place.file("order").exists());
        holder.signal(Signal::TERM);
        holder.end().assert_code(143);
    }
    alone.end().assert_code(0);
    late.end().assert_code(0);
    assert_eq!(std::fs::read_to_string(place.file("order")).unwrap(), "alone\nlate\n");

    let (holder, _command) = place.hold(ALONE);
    let held = format!("in time, held by process {}", holder.pid());
    place.run("lock RING -sn -- true", b"").assert_code(1).assert_one_line().assert_says(&held);
    holder.signal(Signal::TERM);
    holder.end().assert_code(143);
    place.run("lock RING -sn -- true", b"").assert_code(0);
}

#[test]
fn who_shares_is_told_of_a_death_and_cannot_put_it_in_order() {
    let place = Place::new();
    let (holder, command) = place.hold(ALONE);
    holder.kill();
    // The command still runs, so it still holds.
    place.run("lock RING --shared --timeout 100ms -- true", b"").assert_code(1);
    command.kill();
    let told = "echo \"$QUOIT_ABANDONED\"";
    let refused = place.run("lock RING --shared --refuse-abandoned -- true", b"").assert_code(11);
    refused.assert_one_line().assert_says("a holder died");
    for verb in [SHARED, SHARED, ALONE] {
        place.under(verb, told).end().assert_code(0).assert_stdout("1\n").assert_says("may be half done");
    }
    for verb in [SHARED, ALONE] {
        assert_eq!(place.under(verb, told).end().assert_code(0).assert_stdout("\n").stderr, "");
    }
}

#[test]
fn the_death_of_one_that_shares_is_nobodys_concern() {
    let place = Place::new();
    for is_quoit_killed in [true, false] {
        let (holder, command) = place.hold(SHARED);
        let other = place.hold(SHARED);
        if is_quoit_killed {
            holder.kill();
            place.run("lock RING --timeout 50ms -- true", b"").assert_code(1);
            command.kill();
        } else {
            command.kill();
            assert_eq!(holder.end().assert_code(137).stderr, "");
        }
        place.run("lock RING -n -- true", b"").assert_code(1);
        other.0.kill();
        other.1.kill();
        let next = place.under("lock RING --timeout 20s", "echo \"$QUOIT_ABANDONED\"").end();
        assert_eq!(next.assert_code(0).assert_stdout("\n").stderr, "");
    }
}

/// Locks that programs made.
#[test]
fn a_programs_lock_is_held_as_it_allows() {
    let place = Place::new();
    let mut mutex = Mutex::create(&place.ring, &SyncOptions::new(), &()).unwrap();
    let guard = mutex.lock().unwrap();
    place.run("lock RING -n -- true", b"").assert_code(1).assert_one_line().assert_says("held by process");
    drop(guard);
    place.run("lock RING -n -- true", b"").assert_code(0);
    let refused = place.run("lock RING --shared -- true", b"").assert_code(3).assert_one_line();
    refused.assert_says("this is a mutex, not a reader-writer lock");
    let (holder, command) = place.hold(ALONE);
    command.kill();
    holder.end().assert_code(137).assert_says("whoever comes next is told");
    assert!(matches!(mutex.lock(), Err(quoit::Error::Abandoned)));
    place.run("lock RING -- true", b"").assert_code(0).assert_says("may be half done");
    drop(mutex.lock().unwrap());

    let mut lock = RwLock::create(place.file("shared"), &SyncOptions::new(), &()).unwrap();
    let guard = lock.read().unwrap();
    place.run("lock shared --shared -- true", b"").assert_code(0);
    place.run("lock shared -n -- true", b"").assert_code(1);
    drop(guard);
    let _guard = lock.write().unwrap();
    place.run("lock shared --shared -n -- true", b"").assert_code(1);
    // A value is not the command's to keep.
    let _value = RwLock::create(place.file("value"), &SyncOptions::new(), &1_u64).unwrap();
    place
        .run("lock value -- true", b"")
        .assert_code(4)
        .assert_one_line()
        .assert_says("holds values of 8 bytes");
}
