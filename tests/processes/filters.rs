//! `membarrier` and futex refused by a system-call filter, to one participant and not to the others: everything still
//! works, later by a slice at most. Where no filter can be installed these tests say that they were skipped.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use quoit::service::{CallOptions, Client, Server, ServiceOptions};
use quoit::{Inspector, Options, WaitMode};
use seccompiler::{SeccompAction, SeccompFilter, apply_filter};

use crate::oracle::Sums;
use crate::process::{Part, SOON, Stage, note, say};

/// What is refused.
const FILTERS: [(&str, &[i64]); 3] = [
    ("membarrier", &[libc::SYS_membarrier]),
    ("futex", &[libc::SYS_futex]),
    ("membarrier and futex", &[libc::SYS_membarrier, libc::SYS_futex]),
];

/// Refuses these calls to this thread from now on. False: no filter can be installed here.
pub(crate) fn install(calls: &[i64], errno: i32) -> bool {
    let rules: BTreeMap<_, _> = calls.iter().map(|call| (*call, Vec::new())).collect();
    let arch = std::env::consts::ARCH.try_into().expect("an architecture with filters");
    let refuse = SeccompAction::Errno(errno as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).expect("a filter");
    let program: seccompiler::BpfProgram = filter.try_into().expect("a program");
    apply_filter(&program).is_ok()
}

/// Plays the part of name `play` under the filter of name `filter`, whose calls fail with `errno`.
pub(crate) fn filtered(part: &Part) {
    let name: String = part.get("filter");
    let (_, calls) = FILTERS.iter().find(|(known, _)| *known == name).expect("a known filter");
    let errno: i32 = part.get("errno");
    if !install(calls, errno) {
        say("skipped");
        return;
    }
    // The filter is in force: what follows proves something.
    for call in *calls {
        // SAFETY: it is refused before it looks at anything; unrefused, these arguments ask for nothing.
        #[allow(unsafe_code, reason = "a system call that must be refused")]
        let result = unsafe { libc::syscall(*call, 0, 0, 0, 0, 0, 0) };
        assert_eq!((result, Errno::last_raw()), (-1, errno), "call {call} is not refused");
    }
    let play: String = part.get("play");
    let part = part.clone().renamed(&play);
    match &play[..] {
        "produce" => crate::load::produce(&part),
        "answer" => answer(&part),
        "ask" => ask(&part),
        _ => crate::load::consume(&part),
    }
}

const CALLS: u64 = 40;

/// Answers so many calls, each with its request.
pub(crate) fn answer(part: &Part) {
    let server = Server::open(part.ring()).expect("open");
    say("ready");
    for _ in 0..CALLS {
        let request = server.recv().expect("recv");
        let payload = request.payload().to_vec();
        request.reply(&payload).expect("reply");
    }
    say("done");
}

/// Makes so many calls, with pauses in which the server goes to sleep.
pub(crate) fn ask(part: &Part) {
    let mut client = Client::open(part.ring()).expect("open");
    say("ready");
    for number in 0..CALLS {
        std::thread::sleep(Duration::from_millis(number % 5));
        let reply = client.call(&number.to_le_bytes(), CallOptions::new()).expect("call");
        assert_eq!(reply.to_vec(), number.to_le_bytes());
    }
    say("done");
}

/// One run of a server and a client, of which these are under the filter. False: skipped.
fn calls_filtered(filtered: &[&str], filter: &str, errno: i32) -> bool {
    let stage = Stage::tmpfs(60);
    let path = stage.file("service");
    drop(Server::create(&path, &ServiceOptions::new().clients(2)).expect("create"));
    let mut processes = Vec::new();
    for play in ["answer", "ask"] {
        let part = Part::new(if filtered.contains(&play) { "filtered" } else { play }).on(&path);
        let mut process = part.with("play", play).with("filter", filter).with("errno", errno).start();
        let line = process.line(SOON);
        if line == "skipped" {
            return false;
        }
        assert_eq!(line, "ready", "{filtered:?} without {filter}");
        processes.push(process);
    }
    for mut process in processes {
        process.says("done");
        process.finish();
    }
    true
}

#[test]
fn calls_work_without_membarrier_and_futex() {
    let mut runs = 0;
    for (filter, _) in FILTERS {
        for errno in [libc::EPERM, libc::ENOSYS] {
            for filtered in [&["answer"][..], &["ask"], &["answer", "ask"]] {
                if !calls_filtered(filtered, filter, errno) {
                    note("SKIPPED, no system-call filter can be installed: calls");
                    return;
                }
                runs += 1;
            }
        }
    }
    note(format_args!("calls under {runs} filters: work"));
}

const RECORDS: u64 = 150;

/// One run with `role` under the filter, everybody else without. False: skipped.
fn one_filtered(role: &str, filter: &str, errno: i32, mode: WaitMode) -> bool {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    // Small, so that the producer too has to wait.
    Options::new().capacity(4096).slots(4).wait(mode).create(&ring).expect("create");
    let part = |name: &str, play: &str| {
        let part = Part::new(if role == name { "filtered" } else { play }).on(&ring).with("max", 200);
        part.with("play", play).with("filter", filter).with("errno", errno)
    };
    let reader =
        part("consumer", "consume").with("policy", "gated").with("nap_every", 40).with("nap_us", 3_000);
    let mut consumer = reader.with("spins", 0).start();
    let mut observer = part("observer", "consume").with("policy", "observer").with("spins", 0).start();
    for reader in [&mut consumer, &mut observer] {
        let line = reader.line(SOON);
        if line == "skipped" {
            return false;
        }
        assert_eq!(line, "ready 0 0", "{role} without {filter}");
    }
    let producer = part("producer", "produce").with("seed", 11).with("count", RECORDS).with("pause_us", 500);
    let mut producer = producer.start();
    let line = producer.line(SOON);
    if line == "skipped" {
        return false;
    }
    assert_eq!(line, "ready 0 1");
    let used = Inspector::open(&ring).expect("inspect").snapshot().expect("snapshot").mode;
    if role == "producer" && filter != "futex" && mode == WaitMode::Membarrier {
        assert_eq!(used, WaitMode::Fence, "a producer that may not register fences");
    } else {
        assert_eq!(used, mode);
    }
    assert_eq!(producer.says("done"), [RECORDS], "{role} without {filter}");
    for reader in [&mut consumer, &mut observer] {
        let mut numbers = reader.says("done");
        numbers.pop();
        let sums = Sums::from(numbers);
        assert_eq!(
            (sums.first, sums.next, sums.delivered + sums.lost),
            (0, RECORDS, RECORDS),
            "{role}: {sums:?}"
        );
    }
    for child in [producer, consumer, observer] {
        child.finish();
    }
    true
}

fn without_it(role: &str) {
    let mut runs = 0;
    for (filter, _) in FILTERS {
        for errno in [libc::EPERM, libc::ENOSYS] {
            for mode in [WaitMode::Membarrier, WaitMode::Fence, WaitMode::Spin] {
                // Only one mode has any use for `membarrier`.
                if filter == "membarrier" && mode != WaitMode::Membarrier {
                    continue;
                }
                if !one_filtered(role, filter, errno, mode) {
                    note(format_args!(
                        "SKIPPED, no system-call filter can be installed: {role} without {filter}"
                    ));
                    return;
                }
                runs += 1;
            }
        }
    }
    note(format_args!("{role} under {runs} filters: works"));
}

#[test]
fn a_producer_works_without_membarrier_and_futex() {
    without_it("producer");
}

#[test]
fn a_consumer_works_without_membarrier_and_futex() {
    without_it("consumer");
}

#[test]
fn an_observer_works_without_membarrier_and_futex() {
    without_it("observer");
}
