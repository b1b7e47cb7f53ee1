//! Wait sets between processes: one process follows several producers, which die, close, and come anew; under filters
//! that refuse what a set sleeps with; and after a fork.

use std::path::Path;
use std::time::Duration;

use nix::libc;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use quoit::sync::{Latest, LatestOptions, LatestReader};
use quoit::{
    Attach, Consumer, Event, Observer, Options, Producer, RecvError, Start, WaitMethod, WaitMode, WaitSet,
    Waitable,
};

use crate::filters::install;
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
    /// Error number with which the kernel refused to sleep on several words; 0: it did not.
    refused: u64,
}

impl Followed {
    fn of(numbers: Vec<u64>) -> Self {
        let [a, b, c, gone, refused] = numbers[..] else { panic!("{numbers:?}") };
        Self { records: [a, b, c], gone, refused }
    }
}

/// Follows all rings of a directory with one set until each has ended.
///
/// `ring`: the directory; `refuse` and `errno`: a system call that fails; `observe`: the first one read-only.
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
    let mut set = WaitSet::new();
    set.set_spins(0);
    say("ready");
    let (mut records, mut ends) = ([0; RINGS], [None; RINGS]);
    while ends.iter().any(Option::is_none) {
        let mut things: Vec<&mut dyn Waitable> = Vec::new();
        things.extend(observer.iter_mut().map(|each| each as &mut dyn Waitable));
        things.extend(consumers.iter_mut().map(|each| each as &mut dyn Waitable));
        let ready: Vec<_> = set.wait(&mut things).into_iter().collect();
        assert!(!ready.is_empty(), "a wait without an end ended");
        for token in ready {
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
    let refused = match set.method() {
        WaitMethod::Refused(errno) => errno,
        _ => 0,
    };
    let [a, b, c] = records;
    say(format_args!("done {a} {b} {c} {gone} {refused}"));
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
        for observe in [false, true] {
            let follower = Part::new("follow many").with("observe", observe);
            let followed = all_are_followed(&follower, mode).expect("nothing is refused");
            if followed.refused != 0 {
                note(format_args!("futex_waitv is refused here: {}", followed.refused));
            }
        }
    }
}

#[test]
fn a_set_works_without_what_it_sleeps_with() {
    let (waitv, barrier, futex) = (libc::SYS_futex_waitv, libc::SYS_membarrier, libc::SYS_futex);
    for errno in [libc::EPERM, libc::ENOSYS] {
        for (call, other) in [(waitv, waitv), (barrier, barrier), (waitv, futex), (futex, barrier)] {
            let follower = Part::new("follow many").with("refuse", call).with("refuse too", other);
            let Some(followed) = all_are_followed(&follower.with("errno", errno), WaitMode::Membarrier)
            else {
                note("SKIPPED, no system-call filter can be installed: wait sets");
                return;
            };
            if call == waitv {
                assert_eq!(followed.refused, errno as u64, "it does not say that it is refused");
            }
        }
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
    let mut set = WaitSet::new();
    let mut wait = || {
        let things: &mut [&mut dyn Waitable] =
            &mut [&mut consumer, &mut observer, &mut producer.space(8), &mut reader];
        set.wait_timeout(things, Duration::ZERO).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(wait(), [2], "only the space is free");
    #[allow(unsafe_code, reason = "the fork under test")]
    // SAFETY: the child uses no lock that another thread could have held.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Child => {
            assert_eq!(wait(), [0, 1, 2, 3]);
            assert!(matches!(consumer.try_recv(), Err(RecvError::Forked)));
            std::process::exit(0);
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
            assert_eq!(wait(), [2], "the child did something to its parent");
        }
    }
    drop(latest);
}

#[test]
fn a_child_is_told_that_it_is_one() {
    let stage = scene(60, WaitMode::Membarrier);
    Part::new("wait and fork").on(stage.path()).start().finish();
}
