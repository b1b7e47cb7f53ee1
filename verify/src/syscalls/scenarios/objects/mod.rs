//! What processes do with locks, values, groups and services: what there is before, what the victim does, who is
//! beside it, and what somebody must find who comes afterwards.

mod barrier;
mod condvar;
mod event;
mod group;
mod latch;
mod latest;
mod mutex;
mod once;
mod rwlock;
mod semaphore;
mod service;
mod table;
mod waitset;

use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use quoit::Error;
use quoit::sync::SyncOptions;

use super::{Scenario, scenario};
use crate::syscalls::stage::{Ended, Found, Stage};
use crate::tracee::mark;

/// Few, so that a lock left behind on any of them is met.
const SEATS: u32 = 3;

const fn of(
    name: &'static str,
    prepare: fn(&Stage) -> Ended,
    body: fn(&Stage) -> Ended,
    afresh: fn(&Stage) -> Found,
) -> Scenario {
    scenario(name, prepare, body).afresh(afresh)
}

pub(super) static SCENARIOS: &[Scenario] = &[
    of("mutex: create", nothing, mutex::create, mutex::afresh),
    of("mutex: create on disk", nothing, mutex::create, mutex::afresh).on_disk(),
    of("mutex: open or create", nothing, mutex::open_or_create, mutex::afresh),
    of("mutex: lock and commit", mutex::make, mutex::lock, mutex::afresh),
    of("mutex: clone", mutex::make, mutex::clone, mutex::afresh),
    of("mutex: lock, sleeping", mutex::make, mutex::lock, mutex::afresh).beside(mutex::hold),
    of("mutex: lock, time passes", mutex::make, mutex::time_passes, mutex::afresh).beside(mutex::stay),
    of("mutex: lock what the dead had", mutex::make_dead, mutex::recover, mutex::afresh).needs_proof(),
    of("mutex: seats taken", mutex::make, mutex::seats_taken, mutex::afresh).beside(mutex::sit),
    of("semaphore: create", nothing, semaphore::create, semaphore::afresh),
    of("semaphore: acquire", semaphore::make, semaphore::acquire, semaphore::afresh),
    of("semaphore: acquire, sleeping", semaphore::make, semaphore::acquire, semaphore::afresh)
        .beside(semaphore::hold),
    of("semaphore: acquire what the dead had", semaphore::make_dead, semaphore::acquire, semaphore::afresh)
        .needs_proof(),
    of("semaphore: acquire, time passes", semaphore::make, semaphore::time_passes, semaphore::afresh)
        .beside(semaphore::stay),
    of("event: create", nothing, event::create, event::afresh),
    of("event: set and take", event::make, event::set_and_take, event::afresh),
    of("event: wait, sleeping", event::make, event::wait, event::afresh).beside(event::set_late),
    of("event: wait, time passes", event::make, event::time_passes, event::afresh),
    of("barrier: create", nothing, barrier::create, barrier::afresh),
    of("barrier: arrive, sleeping", barrier::make, barrier::arrive, barrier::afresh).with(barrier::come_late),
    of("barrier: broken by the dead", barrier::make, barrier::broken, barrier::afresh)
        .with(barrier::leave)
        .needs_proof(),
    of("barrier: arrive, time passes", barrier::make, barrier::time_passes, barrier::afresh),
    of("latch: create", nothing, latch::create, latch::afresh),
    of("latch: join and arrive", latch::make, latch::arrive, latch::afresh),
    of("latch: wait, sleeping", latch::make, latch::wait, latch::afresh).beside(latch::arrive_late),
    of("latch: wait, time passes", latch::make, latch::time_passes, latch::afresh)
        .beside(latch::join_and_stay),
    of("latch: broken by the dead", latch::make_dead, latch::broken, latch::afresh).needs_proof(),
    of("once: create and call", nothing, once::all, once::afresh),
    of("once: call, sleeping", once::make, once::wait, once::afresh).beside(once::do_slowly),
    of("once: call, time passes", once::make, once::time_passes, once::afresh).beside(once::never_end),
    of("once: call what the dead began", once::make_dead, once::again, once::afresh).needs_proof(),
    of("condvar: wait, sleeping", condvar::make, condvar::wait, condvar::afresh).beside(condvar::change_late),
    of("condvar: change and notify", condvar::make, condvar::change, condvar::afresh),
    of("rwlock: create", nothing, rwlock::create, rwlock::afresh),
    of("rwlock: read and write", rwlock::make, rwlock::both, rwlock::afresh),
    of("rwlock: write, sleeping", rwlock::make, rwlock::both, rwlock::afresh).beside(rwlock::read_a_while),
    of("rwlock: read and write, time passes", rwlock::make, rwlock::time_passes, rwlock::afresh)
        .beside(rwlock::write_and_stay),
    of("rwlock: recover what the dead had", rwlock::make_dead, rwlock::recover, rwlock::afresh).needs_proof(),
    of("latest: create and set", nothing, latest::create, latest::afresh),
    of("latest: get", latest::make, latest::get, latest::afresh),
    of("latest: next, sleeping", latest::make, latest::next, latest::afresh).beside(latest::set_late),
    of("table: create", nothing, table::create, table::afresh),
    of("table: set and get", table::make, table::set, table::afresh),
    of("table: next, sleeping", table::make, table::next, table::afresh).beside(table::set_late),
    of("group: take and acknowledge", group::make, group::take, group::afresh),
    of("group: take, sleeping", group::make, group::wait, group::afresh).beside(group::send_late),
    of("group: take what the dead had", group::make_dead, group::take, group::afresh).needs_proof(),
    of("group: make", group::make_ring, group::take, group::afresh),
    of("group: give back, and leave", group::make, group::give_back, group::afresh),
    of("group: give back, waking", group::make, group::give_back_waking, group::afresh)
        .with(group::sleep_for_it),
    of("group: leave, waking", group::make, group::leave_waking, group::afresh).with(group::sleep_for_it),
    of("group: put aside", group::make_careful, group::put_aside, group::afresh_careful),
    of("group: inspect", group::make, group::inspect, group::afresh).beside(group::have),
    of("group: in a wait set", group::make_with_event, group::wait_in_a_set, group::afresh)
        .beside(group::send_late)
        .helped(),
    of("service: create", nothing, service::create, service::afresh),
    of("service: call, sleeping", service::make, service::call, service::afresh).beside(service::serve),
    of("service: serve, sleeping", service::make, service::serve_one, service::afresh).beside(service::ask),
    of("service: call, time passes", service::make, service::time_passes, service::afresh),
    of("service: call, the server goes", service::make, service::server_gone, service::afresh)
        .beside(service::take_and_go)
        .needs_proof(),
    of("service: take over", service::make, service::take_over, service::afresh).beside(service::ask_again),
    of("service: take over from the dead", service::make_dead, service::take_over_the_lost, service::afresh),
    of("service: cancel", service::make, service::cancel, service::afresh),
    of("service: more, waiting for room", service::make, service::more, service::afresh)
        .beside(service::ask_and_read_late),
    of("service: inspect", service::make, service::inspect, service::afresh).beside(service::have_asked),
    of("service: in a wait set", service::make_with_event, service::call_in_a_set, service::afresh)
        .beside(service::serve)
        .helped(),
    of("wait set: one thing, sleeping", waitset::make, waitset::sleep_for_one, waitset::afresh)
        .beside(waitset::send_late),
    of("wait set: two things, sleeping", waitset::make, waitset::sleep_for_two, waitset::afresh)
        .beside(waitset::set_late)
        .helped(),
    of(
        "wait set: two things, sleeping, futex_waitv refused",
        waitset::make,
        waitset::sleep_for_two,
        waitset::afresh,
    )
    .beside(waitset::set_late)
    .without(libc::SYS_futex_waitv, Errno::ENOSYS)
    .helped(),
    of("wait set: two things, time passes", waitset::make, waitset::time_passes, waitset::afresh).helped(),
    of("watch: two things", waitset::make, waitset::watch, waitset::afresh)
        .beside(waitset::set_late)
        .helped(),
    of("descriptor: two things", waitset::make, waitset::descriptor, waitset::afresh)
        .beside(waitset::set_late)
        .helped(),
    of("merge: two readers, sleeping", waitset::make, waitset::merge, waitset::afresh)
        .beside(waitset::send_late)
        .helped(),
];

fn nothing(_: &Stage) -> Ended {
    Ok(())
}

fn options() -> SyncOptions {
    SyncOptions::new().seats(SEATS)
}

fn moment() {
    std::thread::sleep(Duration::from_millis(5));
}

/// From here on the victim's system calls are failed.
fn begin() {
    mark();
}

/// Every seat can be taken: nobody has left a lock behind.
fn all_seats<T>(seats: u32, open: impl Fn() -> Result<T, Error>) -> Result<Vec<T>, Error> {
    (0..seats).map(|_| open()).collect()
}
