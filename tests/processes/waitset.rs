//! Wait sets between processes: one process follows several producers, which die, close, and come anew; under filters
//! that refuse what a set sleeps with; and after a fork.

use std::path::Path;
use std::time::Duration;

use nix::libc;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::ForkResult;
use quoit::sync::{Event as Signal, Latest, LatestOptions, LatestReader, Reset, SyncOptions};
use quoit::{
    Attach, Consumer, Error, Event, Observer, Options, Producer, RecvError, Ring, Start, WaitFd, WaitMethod,
    WaitMode, WaitSet, Waitable,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::filters::install;
use crate::forks::split;
use crate::oracle::Oracle;
use crate::process::{Part, SOON, Stage, note, say};

const MAX: usize = 300;
const RINGS: usize = 3;
const RECORDS: u64 = 100;

fn ring(directory: &Path, number: usize) -> std::path::PathBuf {
    directory.join(format!("ring{number}"))
}

/// What `follow` says at its end: how many records it received of each ring, and how many producers died.
struct Followed {
    records: [u64; RINGS],
    gone: u64,
    /// How it says that it slept.
    method: u64,
    /// Error number with which the kernel refused to sleep; 0: it did not.
    refused: u64,
}

const FUTEXES: u64 = 0;
const THREADS: u64 = 1;
const NO_FUTEX: u64 = 2;
const NO_BARRIER: u64 = 3;
const NAPS: u64 = 4;

impl Followed {
    fn of(numbers: Vec<u64>) -> Self {
        let [a, b, c, gone, method, refused] = numbers[..] else { panic!("{numbers:?}") };
        Self { records: [a, b, c], gone, method, refused }
    }
}

/// What a process waits with.
enum Waiter {
    Set(WaitSet),
    Descriptor(WaitFd),
}

impl Waiter {
    fn new(by: &str) -> Self {
        match by {
            "set" => {
                let mut set = WaitSet::new();
                set.set_spins(0);
                Self::Set(set)
            }
            _ => Self::Descriptor(WaitFd::new().expect("a descriptor")),
        }
    }

    /// Waits until something is ready.
    fn wait(&mut self, things: &mut [&mut dyn Waitable]) -> Vec<usize> {
        match self {
            Self::Set(set) => {
                let ready: Vec<_> = set.wait(things).into_iter().collect();
                assert!(!ready.is_empty(), "a wait without an end ended");
                ready
            }
            Self::Descriptor(descriptor) => loop {
                let ready: Vec<_> = descriptor.arm(things).expect("arm").into_iter().collect();
                if !ready.is_empty() {
                    return ready;
                }
                let limit = Timespec::try_from(SOON).expect("a time");
                let readable = poll(&mut [PollFd::new(descriptor, PollFlags::IN)], Some(&limit));
                assert_eq!(readable, Ok(1), "it is readable at the end of a slice at the latest");
            },
        }
    }

    fn method(&self) -> WaitMethod {
        match self {
            Self::Set(set) => set.method(),
            Self::Descriptor(descriptor) => descriptor.method(),
        }
    }
}

/// Follows all rings of a directory with one set until each has ended.
///
/// `ring`: the directory; `refuse`, `refuse too` and `errno`: system calls that fail; `observe`: the first one read-only;
/// `by`: what it waits with.
pub(crate) fn follow(part: &Part) {
    if let Some(call) = part.find("refuse")
        && !install(&[call, part.find("refuse too").unwrap_or(call)], part.get("errno"))
    {
        return say("skipped");
    }
    let (oracle, directory) = (Oracle::new(MAX), part.ring());
    let mut observer = part
        .find("observe")
        .unwrap_or(false)
        .then(|| Observer::open(ring(&directory, 0), Start::Oldest).expect("observe"));
    let first = usize::from(observer.is_some());
    let attach = Attach::gated().start(Start::Oldest);
    let mut consumers: Vec<_> = (first..RINGS)
        .map(|number| Consumer::open(ring(&directory, number), &attach).expect("attach"))
        .collect();
    let mut waiter = Waiter::new(&part.find("by").unwrap_or_else(|| "set".to_owned()));
    say("ready");
    let (mut records, mut ends) = ([0; RINGS], [None; RINGS]);
    while ends.iter().any(Option::is_none) {
        let mut things: Vec<&mut dyn Waitable> = Vec::new();
        things.extend(observer.iter_mut().map(|each| each as &mut dyn Waitable));
        things.extend(consumers.iter_mut().map(|each| each as &mut dyn Waitable));
        for token in waiter.wait(&mut things) {
            loop {
                let event = match (&mut observer, token) {
                    (Some(observer), 0) => observer.recv_timeout(Duration::ZERO),
                    _ => consumers[token - first].recv_timeout(Duration::ZERO),
                };
                match event {
                    Ok(Event::Record(record)) => {
                        assert_eq!(record.sequence(), records[token], "one is missing");
                        oracle.check(record.sequence(), &record.bytes());
                        records[token] += 1;
                    }
                    Ok(_) => {}
                    Err(RecvError::TimedOut) => break,
                    Err(end) => {
                        ends[token] = Some(end);
                        break;
                    }
                }
            }
        }
    }
    let gone = ends.iter().filter(|end| **end == Some(RecvError::ProducerGone)).count();
    let (method, refused) = match waiter.method() {
        WaitMethod::Futexes => (FUTEXES, 0),
        WaitMethod::Threads(errno) => (THREADS, errno),
        WaitMethod::NoFutex(errno) => (NO_FUTEX, errno),
        WaitMethod::NoBarrier => (NO_BARRIER, 0),
        WaitMethod::Naps => (NAPS, 0),
        other => panic!("{other}"),
    };
    let [a, b, c] = records;
    say(format_args!("done {a} {b} {c} {gone} {method} {refused}"));
}

fn scene(seconds: u64, mode: WaitMode) -> Stage {
    let stage = Stage::tmpfs(seconds);
    for number in 0..RINGS {
        let options = Options::new().capacity(1 << 14).slots(2).wait(mode);
        options.create(ring(stage.path(), number)).expect("create");
    }
    stage
}

/// Everybody sends, and closes.
fn all_are_followed(follower: &Part, mode: WaitMode) -> Option<Followed> {
    let stage = scene(60, mode);
    let mut follower = follower.clone().on(stage.path()).start();
    if follower.line(SOON) == "skipped" {
        return None;
    }
    let produce = |number: usize| {
        let part = Part::new("produce").on(&ring(stage.path(), number)).with("max", MAX);
        part.with("seed", number + 5).with("count", RECORDS).with("pause_us", 300).start()
    };
    let producers: Vec<_> = (0..RINGS).map(produce).collect();
    let followed = Followed::of(follower.says("done"));
    assert_eq!((followed.records, followed.gone), ([RECORDS; RINGS], 0), "{mode:?}");
    follower.finish();
    producers.into_iter().for_each(crate::process::Process::finish);
    Some(followed)
}

#[test]
fn one_process_follows_several() {
    for mode in [WaitMode::Membarrier, WaitMode::Fence, WaitMode::Spin] {
        for (observe, by) in [(false, "set"), (true, "set"), (false, "descriptor"), (true, "descriptor")] {
            let follower = Part::new("follow many").with("observe", observe).with("by", by);
            let followed = all_are_followed(&follower, mode).expect("nothing is refused");
            if followed.refused != 0 {
                note(format_args!("futex_waitv is refused here: {}", followed.refused));
            } else {
                let naps = observe || mode == WaitMode::Spin;
                assert_eq!(followed.method, if naps { NAPS } else { FUTEXES }, "{mode:?}, {by}");
            }
        }
    }
}

fn without_what_it_sleeps_with(by: &str) {
    let (waitv, barrier, futex) = (libc::SYS_futex_waitv, libc::SYS_membarrier, libc::SYS_futex);
    for errno in [libc::EPERM, libc::ENOSYS] {
        for (call, other) in
            [(waitv, waitv), (barrier, barrier), (waitv, barrier), (waitv, futex), (futex, barrier)]
        {
            // The helpers' locks are those of the standard library, which needs futexes.
            if by == "descriptor" && [call, other].contains(&futex) {
                continue;
            }
            let follower =
                Part::new("follow many").with("refuse", call).with("refuse too", other).with("by", by);
            let Some(followed) = all_are_followed(&follower.with("errno", errno), WaitMode::Membarrier)
            else {
                note("SKIPPED, no system-call filter can be installed: wait sets");
                return;
            };
            let told = match (call, other) {
                _ if [call, other].contains(&barrier) => (NO_BARRIER, 0),
                _ if other == futex => (NO_FUTEX, errno as u64),
                _ => (THREADS, errno as u64),
            };
            assert_eq!((followed.method, followed.refused), told, "it does not say what is refused");
        }
    }
}

#[test]
fn a_set_works_without_what_it_sleeps_with() {
    without_what_it_sleeps_with("set");
}

#[test]
fn a_descriptor_works_without_what_its_helpers_sleep_with() {
    without_what_it_sleeps_with("descriptor");
}

/// Says how a set sleeps on one word.
///
/// `refuse`, `errno`: the system call that fails.
pub(crate) fn one_word(part: &Part) {
    let ring = Ring::heap(&Options::new().capacity(4096)).expect("a ring");
    let _producer = ring.producer().expect("a producer");
    let mut consumer = ring.consumer(&Attach::gated()).expect("a consumer");
    if !install(&[part.get("refuse")], part.get("errno")) {
        return say("skipped");
    }
    let mut set = WaitSet::new();
    // On a busy machine the time may be over before it sleeps.
    while set.method() == WaitMethod::None {
        assert!(set.wait_timeout(&mut [&mut consumer], Duration::from_millis(1)).is_empty());
    }
    say(format_args!("{:?}", set.method()));
}

#[test]
fn a_set_says_what_is_refused_to_it() {
    for (call, told) in [
        (libc::SYS_futex, "NoFutex(1)"),
        (libc::SYS_membarrier, "NoBarrier"),
        (libc::SYS_futex_waitv, "Futex"),
    ] {
        let part = Part::new("one word").with("refuse", call).with("errno", libc::EPERM);
        let line = part.start().line(SOON);
        assert!([told, "skipped"].contains(&&line[..]), "{line}, not {told}");
    }
}

/// Where no thread can sleep on several words, and there are more words than helpers.
pub(crate) fn too_many(part: &Part) {
    if !install(&[libc::SYS_futex_waitv], libc::ENOSYS) {
        return say("skipped");
    }
    let count: usize = part.get("count");
    let rings: Vec<_> =
        (0..count).map(|_| Ring::heap(&Options::new().capacity(4096)).expect("a ring")).collect();
    let mut producers: Vec<_> = rings.iter().map(|ring| ring.producer().expect("a producer")).collect();
    let mut consumers: Vec<_> =
        rings.iter().map(|ring| ring.consumer(&Attach::gated()).expect("a consumer")).collect();
    for by in ["set", "descriptor"] {
        let mut waiter = Waiter::new(by);
        for turn in [0, count / 2, count - 1, count - 1] {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(3));
                    producers[turn].send(b"x").expect("send");
                });
                let mut things: Vec<_> = consumers.iter_mut().map(|each| each as &mut dyn Waitable).collect();
                assert_eq!(waiter.wait(&mut things), [turn]);
            });
            assert!(consumers[turn].try_recv().expect("receive").is_some());
        }
        let is_napping = waiter.method() == WaitMethod::Refused(libc::ENOSYS);
        assert_eq!(is_napping, count > 64, "{by}: {}", waiter.method());
    }
    say("done");
}

#[test]
fn helpers_are_as_many_as_they_may_be() {
    for count in [2, 64, 65, 200] {
        let line = Part::new("too many").with("count", count).start().line(SOON);
        assert!(["done", "skipped"].contains(&&line[..]), "{line}");
    }
}

/// Where no thread can be started, and then no descriptor be made: a set works all the same, and what needs a helper
/// says that it has none.
pub(crate) fn without_helpers(part: &Part) {
    let options = Options::new().capacity(4096);
    let rings: [Ring; 2] = [(); 2].map(|()| Ring::heap(&options).expect("a ring"));
    let mut producer = rings[1].producer().expect("a producer");
    let [mut first, mut second] =
        rings.each_ref().map(|ring| ring.consumer(&Attach::gated()).expect("a consumer"));
    // A thread that was there before is not under the filter.
    let (ask, asked) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        for () in asked {
            std::thread::sleep(Duration::from_millis(3));
            producer.send(b"x").expect("send");
        }
    });
    if !install(&[libc::SYS_clone, libc::SYS_clone3], part.get("errno")) {
        return say("skipped");
    }
    assert!(std::thread::Builder::new().spawn(|| {}).is_err(), "a thread was started");
    let mut wait = |method: WaitMethod| {
        let mut waiter = Waiter::new("set");
        // On a busy machine the record may be there before it sleeps.
        while waiter.method() == WaitMethod::None {
            ask.send(()).expect("the sender");
            assert_eq!(waiter.wait(&mut [&mut first, &mut second]), [1]);
            assert!(second.try_recv().expect("receive").is_some());
        }
        assert_eq!(waiter.method(), method);
        let mut descriptor = WaitFd::new().expect("a descriptor");
        let refused = descriptor.arm(&mut [&mut first, &mut second]).expect_err("no helper");
        assert!(matches!(refused, Error::Io { action: "start a thread that waits", .. }), "{refused}");
        // What is ready is told without a helper.
        ask.send(()).expect("the sender");
        let ready = loop {
            match descriptor.arm(&mut [&mut first, &mut second]) {
                Ok(ready) => break ready.into_iter().collect::<Vec<_>>(),
                Err(_) => std::thread::yield_now(),
            }
        };
        assert_eq!(ready, [1]);
        assert!(second.try_recv().expect("receive").is_some());
    };
    wait(WaitMethod::Futexes);
    assert!(install(&[libc::SYS_futex_waitv], libc::EPERM), "one more filter");
    wait(WaitMethod::Refused(libc::EPERM));
    assert!(install(&[libc::SYS_eventfd2], libc::EMFILE), "one more filter");
    let refused = WaitFd::new().expect_err("no descriptor");
    assert!(matches!(refused, Error::Io { action: "make an event descriptor", .. }), "{refused}");
    say("done");
}

#[test]
fn without_threads_a_set_works_and_a_descriptor_says_so() {
    for errno in [libc::EPERM, libc::EAGAIN] {
        let line = Part::new("without helpers").with("errno", errno).start().line(SOON);
        assert!(["done", "skipped"].contains(&&line[..]), "{line}");
    }
}

/// Producers that are killed asleep, at work, or stopped: the set is told, and goes on with the others.
#[test]
fn a_set_outlives_its_producers() {
    for round in 0..3 {
        let stage = scene(60, WaitMode::Membarrier);
        let mut follower = Part::new("follow many").on(stage.path()).start();
        follower.line(SOON);
        let produce = |number: usize, pause_us: u64| {
            let part = Part::new("produce").on(&ring(stage.path(), number)).with("max", MAX);
            let mut child = part.with("seed", number + round).with("pause_us", pause_us).start();
            child.says("ready");
            child
        };
        let mut idle = produce(0, 1_000_000_000);
        let mut busy = produce(1, 200);
        let mut other = produce(2, 0);
        other.stop();
        std::thread::sleep(Duration::from_millis(30));
        idle.kill();
        other.kill();
        std::thread::sleep(Duration::from_millis(30));
        assert!(follower.is_silent(), "it gave up one that lives");
        busy.kill();
        let followed = Followed::of(follower.says("done"));
        assert_eq!(followed.gone, 3, "{:?}", followed.records);
        assert!(followed.records[1] > 0);
        follower.finish();
    }
}

/// In a child everything is ready, and says why.
pub(crate) fn forked(part: &Part) {
    let directory = part.ring();
    let mut consumer = Consumer::open(ring(&directory, 0), &Attach::gated()).expect("attach");
    let mut observer = Observer::open(ring(&directory, 0), Start::Newest).expect("observe");
    let mut producer = Producer::open(ring(&directory, 1)).expect("become the producer");
    let latest = Latest::create(directory.join("latest"), &LatestOptions::new(), &1_u64).expect("create");
    let mut reader = LatestReader::<u64>::open(directory.join("latest")).expect("open to read");
    reader.get().expect("the first value");
    let mut event =
        Signal::create(directory.join("event"), &SyncOptions::new(), Reset::Auto).expect("create");
    let mut descriptor = WaitFd::new().expect("a descriptor");
    assert!(descriptor.arm(&mut [&mut reader, &mut event]).expect("arm").is_empty());
    let mut set = WaitSet::new();
    let mut wait = || {
        let things: &mut [&mut dyn Waitable] =
            &mut [&mut consumer, &mut observer, &mut producer.space(8), &mut reader, &mut event];
        set.wait_timeout(things, Duration::ZERO).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(wait(), [2], "only the space is free");
    match split() {
        ForkResult::Child => {
            assert_eq!(wait(), [0, 1, 2, 3, 4]);
            assert!(matches!(consumer.try_recv(), Err(RecvError::Forked)));
            assert!(matches!(descriptor.arm(&mut []), Err(Error::Forked)));
            drop(descriptor);
            // What it makes itself works, with helpers of its own.
            let ring = Ring::heap(&Options::new().capacity(4096)).expect("a ring");
            let mut own = ring.consumer(&Attach::gated()).expect("a consumer");
            let mut producer = ring.producer().expect("a producer");
            let mut waiter = Waiter::new("descriptor");
            let sender = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(3));
                producer.send(b"x").expect("send");
                producer
            });
            assert_eq!(waiter.wait(&mut [&mut own]), [0]);
            let _producer = sender.join().expect("sent");
            std::process::exit(0);
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
            assert_eq!(wait(), [2], "the child did something to its parent");
            let limit = Timespec::try_from(SOON).expect("a time");
            assert_eq!(poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&limit)), Ok(1));
            assert!(descriptor.arm(&mut []).expect("arm").is_empty());
        }
    }
    drop(latest);
}

#[test]
fn a_child_is_told_that_it_is_one() {
    let stage = scene(60, WaitMode::Membarrier);
    Part::new("wait and fork").on(stage.path()).start().finish();
}
