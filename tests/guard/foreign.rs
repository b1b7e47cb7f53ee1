//! SIGBUS that is none of the library's: it goes where it would have gone without the guard.

use std::fs::File;
use std::os::raw::{c_int, c_void};
use std::os::unix::process::ExitStatusExt;

use memmap2::MmapOptions;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use quoit::{Attach, Consumer, Producer, RecvError};

use crate::process::{Part, SOON, Stage, say};

/// How the process came to its end: by a signal, or with an exit code.
type Death = (Option<i32>, Option<i32>);

const KILLED: Death = (Some(7), None);

#[test]
fn foreign_faults_and_signals_go_where_they_went_before() {
    let stage = Stage::tmpfs(60);
    // Before the guard came: the default, the handler of Rust's runtime, and handlers of both kinds, which leave 41.
    let cases = [
        ("default", "fault", KILLED),
        ("runtime", "fault", KILLED),
        ("ignored", "fault", KILLED),
        ("plain", "fault", (None, Some(41))),
        ("informed", "fault", (None, Some(42))),
        ("default", "sent", KILLED),
        ("plain", "sent", (None, Some(41))),
        ("ignored", "sent", (None, Some(0))),
        // Rust's handler lets the first pass, and gives up its place for the second.
        ("runtime", "sent", (None, Some(0))),
        ("runtime", "sent twice", KILLED),
        ("returning", "sent", (None, Some(0))),
        ("returning", "sent twice", (None, Some(0))),
        ("resetting", "sent", (None, Some(0))),
    ];
    for (before, event, death) in cases {
        let part = Part::new("foreign").with("directory", stage.path().display());
        let mut child = part.with("before", before).with("event", event).start();
        child.says("up");
        let status = child.status_within(SOON);
        assert_eq!((status.signal(), status.code()), death, "{before}, {event}");
        std::fs::read_dir(stage.path()).expect("list").flatten().for_each(|entry| {
            std::fs::remove_file(entry.path()).expect("remove");
        });
    }
}

extern "C" fn plain(_: c_int) {
    // SAFETY: may be called in a handler, and does not return.
    unsafe { libc::_exit(41) };
}

extern "C" fn returning(_: c_int) {}

/// As some runtimes do: once, and never again.
extern "C" fn resetting(signal: c_int) {
    // SAFETY: safe in a handler; the default for a signal.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

extern "C" fn informed(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the caller says that this is what the kernel passed.
    let code = unsafe { (*info).si_code };
    let all = signal == libc::SIGBUS && code == libc::BUS_ADRERR && !context.is_null();
    // SAFETY: as in `plain`.
    unsafe { libc::_exit(if all { 42 } else { 43 }) };
}

pub(crate) fn foreign(part: &Part) {
    let before: String = part.get("before");
    let handler = match &before[..] {
        "default" => Some(SigHandler::SigDfl),
        "ignored" => Some(SigHandler::SigIgn),
        "plain" => Some(SigHandler::Handler(plain)),
        "informed" => Some(SigHandler::SigAction(informed)),
        "returning" => Some(SigHandler::Handler(returning)),
        "resetting" => Some(SigHandler::Handler(resetting)),
        _ => None,
    };
    if let Some(handler) = handler {
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // SAFETY: the handlers do what handlers may do.
        unsafe { sigaction(Signal::SIGBUS, &action) }.expect("sigaction");
    }
    quoit::guard_against_truncation().expect("guard");
    quoit::guard_against_truncation().expect("a second time");
    let directory: std::path::PathBuf = part.get("directory");
    let (ring, other) = (directory.join("ring"), directory.join("other"));
    let mut producer = Producer::create(&ring, &quoit::Options::new().capacity(4096)).expect("create");
    let mut consumer = Consumer::open(&ring, &Attach::gated()).expect("attach");
    // Our own faults are caught all the while.
    producer.send(b"x").expect("send");
    File::options().write(true).open(&ring).expect("open").set_len(0).expect("cut");
    assert!(matches!(consumer.recv(), Err(RecvError::Truncated)));
    say("up");
    let event: String = part.get("event");
    if event.starts_with("sent") {
        for _ in 0..if event == "sent twice" { 2 } else { 1 } {
            nix::sys::signal::raise(Signal::SIGBUS).expect("raise");
        }
        // Survived, it changes nothing: the next cut is told as well.
        assert!(producer.send(b"x").is_err());
        let second = directory.join("second");
        let mut producer = Producer::create(&second, &quoit::Options::new().capacity(4096)).expect("create");
        File::options().write(true).open(&second).expect("open").set_len(0).expect("cut");
        assert_eq!(producer.send(b"x"), Err(quoit::SendError::Truncated));
        return;
    }
    let file = File::options().read(true).write(true).create_new(true).open(&other).expect("create");
    file.set_len(4096).expect("grow");
    let map = MmapOptions::new().map_raw(&file).expect("map");
    file.set_len(0).expect("cut");
    // SAFETY: inside the map; the fault is what it is for.
    let byte = unsafe { map.as_ptr().read_volatile() };
    panic!("read {byte} where there is nothing");
}
