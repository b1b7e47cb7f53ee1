//! Descriptors across a Unix socket, and everything a ring does on the other side.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};
use quoit::{Attach, Consumer, Event, Observer, Options, Producer, RecvError, Ring, Start, WaitMode};

use crate::process::{Part, Process, SOON, Stage, hear, say};

/// Hands a ring to whoever connects next.
pub(crate) fn hand_over(listener: &UnixListener, ring: &Ring) {
    let (socket, _) = listener.accept().expect("a peer");
    let descriptors = [ring.records().unwrap().as_raw_fd(), ring.control().unwrap().as_raw_fd()];
    let sent = ControlMessage::ScmRights(&descriptors);
    sendmsg::<UnixAddr>(socket.as_raw_fd(), &[IoSlice::new(b"r")], &[sent], MsgFlags::empty(), None)
        .expect("send the descriptors");
}

/// What was handed over: the descriptors of records and control.
pub(crate) fn descriptors(socket: &Path) -> (OwnedFd, OwnedFd) {
    let socket = UnixStream::connect(socket).expect("connect");
    let mut space = cmsg_space!([RawFd; 2]);
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let got =
        recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
            .expect("receive the descriptors");
    let rights = got.cmsgs().expect("whole").find_map(|message| match message {
        ControlMessageOwned::ScmRights(rights) => Some(rights),
        _ => None,
    });
    let [records, control] = rights.expect("descriptors")[..] else { panic!("two descriptors") };
    // SAFETY: both were just received, and nobody else knows them.
    let owned = |fd| unsafe { OwnedFd::from_raw_fd(fd) };
    (owned(records), owned(control))
}

pub(crate) fn receive(socket: &Path) -> Ring {
    let (records, control) = descriptors(socket);
    Ring::from_descriptors(records, control).expect("a sealed ring")
}

pub(crate) fn payload(sequence: u64) -> Vec<u8> {
    let len = (sequence.wrapping_mul(0x9e37_79b9) >> 7) as usize % 2000;
    (0..len).map(|at| (sequence as usize * 31 + at * 7) as u8).collect()
}

fn listen(stage: &Stage) -> UnixListener {
    UnixListener::bind(stage.file("socket")).expect("listen")
}

fn follower(stage: &Stage, kind: &str, count: u64) -> Process {
    let part = Part::new("follow").with("socket", stage.file("socket").display());
    part.with("kind", kind).with("count", count).start()
}

/// Follows a ring that was handed over, until the producer ends.
pub(crate) fn follow(part: &Part) {
    let ring = receive(&part.get::<std::path::PathBuf>("socket"));
    let kind: String = part.get("kind");
    let (mut next, mut received, mut lost) = (0, 0, 0);
    let mut feed = |event: Event<'_>| match event {
        Event::Record(record) => {
            assert_eq!(record.sequence(), next);
            assert!(record.to_vec() == payload(next), "record {next}");
            (next, received) = (next + 1, received + 1);
        }
        Event::Lost(loss) => {
            assert_eq!(loss.first, next);
            (next, lost) = (loss.next, lost + loss.records);
        }
        Event::Evicted => {}
        Event::ProducerChanged { .. } => panic!("nobody can take over"),
        _ => unreachable!("no other kind is known here"),
    };
    let end = if kind == "observer" {
        let mut observer: Observer = ring.observer(Start::Oldest).expect("observe");
        say("up");
        loop {
            match observer.recv() {
                Ok(event) => feed(event),
                Err(end) => break end,
            }
        }
    } else {
        let attach = if kind == "gated" { Attach::gated() } else { Attach::lossy() };
        let mut consumer: Consumer = ring.consumer(&attach.start(Start::Oldest)).expect("attach");
        say("up");
        loop {
            match consumer.recv() {
                Ok(event) => feed(event),
                Err(end) => break end,
            }
        }
    };
    assert_eq!(received + lost, part.get("count"));
    match end {
        RecvError::Closed => say(format_args!("closed {received}")),
        RecvError::ProducerGone => say(format_args!("gone {received}")),
        other => panic!("{other:?}"),
    }
}

/// Records go across in every wait mode; the gated consumer loses none; all are told the end.
#[test]
fn a_ring_is_handed_over_and_followed() {
    for mode in [WaitMode::Membarrier, WaitMode::Fence, WaitMode::Spin] {
        let stage = Stage::tmpfs(60);
        let listener = listen(&stage);
        let options = Options::new().capacity(1 << 16).wait(mode).hard_limit(SOON);
        let (mut producer, ring) = Ring::sealed(&options).expect("create");
        let mut peers: Vec<_> =
            ["gated", "gated", "lossy", "observer"].map(|kind| (kind, follower(&stage, kind, 3000))).into();
        // In whatever order they come.
        peers.iter().for_each(|_| hand_over(&listener, &ring));
        peers.iter_mut().for_each(|(_, peer)| drop(peer.says("up")));
        let snapshot = ring.inspector().expect("inspect").snapshot().expect("snapshot");
        assert!(snapshot.producer_alive);
        assert_eq!(snapshot.consumers.iter().filter(|consumer| consumer.alive).count(), 3);
        for sequence in 0..3000 {
            // Now and then everybody falls asleep.
            if sequence % 1000 == 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
            assert_eq!(producer.send(&payload(sequence)), Ok(sequence));
        }
        assert!(!producer.is_stale());
        drop(producer);
        for (kind, mut peer) in peers {
            let received = peer.says("closed")[0];
            assert!(kind != "gated" || received == 3000, "{kind} lost records under no pressure");
            peer.finish();
        }
    }
}

/// The producer is killed: consumers receive what is left and are told; a consumer that is killed is noticed.
#[test]
fn deaths_are_noticed() {
    let stage = Stage::tmpfs(60);
    let listener = listen(&stage);
    let part = Part::new("publish and die").with("socket", stage.file("back").display());
    let mut publisher = part.start();
    publisher.says("up");
    let ring = receive(&stage.file("back"));
    let mut gated = follower(&stage, "gated", 10);
    hand_over(&listener, &ring);
    gated.says("up");
    let mut victim = follower(&stage, "gated", 10);
    hand_over(&listener, &ring);
    victim.says("up");
    let inspector = ring.inspector().expect("inspect");
    let living = || {
        let snapshot = inspector.snapshot().expect("snapshot");
        (snapshot.producer_alive, snapshot.consumers.iter().filter(|consumer| consumer.alive).count())
    };
    assert_eq!(living(), (true, 2));
    victim.kill();
    assert_eq!(living(), (true, 1));
    publisher.tell("publish");
    publisher.says("published");
    publisher.kill();
    assert_eq!(gated.says("gone"), [10]);
    gated.finish();
    assert_eq!(living(), (false, 0));
}

pub(crate) fn publish_and_die(part: &Part) {
    let (mut producer, ring) = Ring::sealed(&Options::new().capacity(1 << 16)).expect("create");
    let socket: std::path::PathBuf = part.get("socket");
    let listener = UnixListener::bind(socket).expect("listen");
    say("up");
    hand_over(&listener, &ring);
    hear();
    for sequence in 0..10 {
        producer.send(&payload(sequence)).expect("send");
    }
    say("published");
    hear();
}

/// Handles of one process on one pair of descriptors are as many participants.
#[test]
fn handles_do_not_share_their_locks() {
    let (mut producer, ring) = Ring::sealed(&Options::new().capacity(4096).slots(2)).expect("create");
    let first = ring.consumer(&Attach::gated()).expect("attach");
    let second = ring.consumer(&Attach::gated()).expect("attach");
    assert_ne!(first.slot(), second.slot());
    assert!(matches!(ring.consumer(&Attach::lossy()), Err(quoit::Error::SlotsTaken { slots: 2, saved: 0 })));
    drop(first);
    let third = ring.consumer(&Attach::lossy()).expect("attach in the place of the first");
    assert!(third.producer_alive());
    assert!(!third.is_stale());
    producer.send(b"x").expect("send");
    drop::<Producer>(producer);
    assert!(!third.producer_alive());
}
