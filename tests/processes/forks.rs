//! `fork`: a child's copies of its parent's handles are of no use to it and do no harm to anybody. Above all they do
//! not keep a dead parent alive.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use quoit::{
    AnyReader, Attach, Conflate, Consumer, Error, Event, Inspector, Observer, Options, Producer, RecvError,
    SendError, Start, Status,
};

use crate::process::{Part, Stage, eventually, hear, note, say};

#[allow(unsafe_code, reason = "the fork under test")]
pub(crate) fn split() -> ForkResult {
    // SAFETY: the C library makes its allocator usable in the child, and the child uses no other lock that another
    // thread could have held.
    unsafe { fork() }.expect("fork")
}

/// Descriptors of this process that lead into `directory`.
fn descriptors_into(directory: &Path) -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").expect("list descriptors");
    let links = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.filter(|link| link.starts_with(directory)).count()
}

fn maps_of(directory: &Path) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("list maps");
    let directory = directory.to_str().expect("a path of text");
    maps.lines().filter(|line| line.contains(directory)).count()
}

pub(crate) fn wait_for_file(path: &Path) {
    let start = Instant::now();
    // The directory goes if the test fails: nobody waits for ever.
    while !path.exists()
        && path.parent().is_some_and(Path::exists)
        && start.elapsed() < Duration::from_secs(60)
    {
        sleep(Duration::from_millis(2));
    }
}

struct Family {
    producer: Producer,
    gated: Consumer,
    named: Consumer,
    /// After the one with a name.
    follower: Consumer,
    lossy: Consumer,
    observer: Observer,
    inspector: Inspector,
}

impl Family {
    fn open(ring: &Path) -> Self {
        let attach = |attach: Attach| Consumer::open(ring, &attach).expect("attach");
        Self {
            producer: Producer::open(ring).expect("become the producer"),
            gated: attach(Attach::gated()),
            named: attach(Attach::gated().name("kin")),
            follower: attach(Attach::gated().after("kin")),
            lossy: attach(Attach::lossy()),
            observer: Observer::open(ring, Start::Newest).expect("observe"),
            inspector: Inspector::open(ring).expect("inspect"),
        }
    }

    /// In the child: every handle refuses, by every method.
    fn refuse(mut self) {
        let soon = || Instant::now() + Duration::from_secs(5);
        let producer = &mut self.producer;
        assert_eq!(producer.send(b"x"), Err(SendError::Forked));
        assert_eq!(producer.try_send(b"x"), Err(SendError::Forked));
        assert_eq!(producer.send_deadline(b"x", soon()), Err(SendError::Forked));
        assert!(matches!(producer.claim(8), Err(SendError::Forked)));
        assert!(matches!(producer.try_claim(8), Err(SendError::Forked)));
        assert!(matches!(producer.claim_deadline(8, soon()), Err(SendError::Forked)));
        assert_eq!(producer.batch().send(b"x"), Err(SendError::Forked));
        assert_eq!(producer.batch().send_all([b"x"]), Err(SendError::Forked));
        assert_eq!(producer.batch().publish(), None);
        assert!(producer.is_stale() && producer.next_sequence() == 3 && producer.epoch() == 1);
        for consumer in [&mut self.gated, &mut self.named, &mut self.follower, &mut self.lossy] {
            assert!(matches!(consumer.recv(), Err(RecvError::Forked)));
            assert!(matches!(consumer.try_recv(), Err(RecvError::Forked)));
            assert!(matches!(consumer.recv_deadline(soon()), Err(RecvError::Forked)));
            assert!(matches!(consumer.drain(10, |_| {}), Err(RecvError::Forked)));
            assert_eq!(consumer.skip_to_newest(|_| {}), Err(RecvError::Forked));
            assert!(matches!(consumer.latest(|_| {}), Err(RecvError::Forked)));
            consumer.release();
            consumer.unfollow();
            assert!(consumer.is_stale() && consumer.account().records == 0);
            assert_eq!(consumer.status(), Status::Streaming, "the calls that receive say what is wrong");
            let _ = (consumer.slot(), consumer.next_sequence(), consumer.producer_alive());
        }
        assert!(matches!(self.observer.recv(), Err(RecvError::Forked)));
        assert!(matches!(self.observer.try_recv(), Err(RecvError::Forked)));
        assert_eq!(self.observer.skip_to_newest(|_| {}), Err(RecvError::Forked));
        let mut conflate = Conflate::new(self.observer, 8, |_| ());
        assert_eq!(conflate.try_recv(|_| {}), Err(RecvError::Forked));
        assert_eq!(conflate.recv(|_| {}), Err(RecvError::Forked));
        let AnyReader::Observer(observer) = conflate.into_reader() else { unreachable!("it was one") };
        assert!(observer.is_stale());
        assert!(matches!(self.inspector.snapshot(), Err(Error::Forked)));
        let text = format!("{:?} {:?} {:?}", self.producer, self.gated, observer);
        assert!(text.contains("Producer"), "and can be shown");
    }

    /// In the parent: everything works, for everybody.
    fn work(&mut self, records: u64) {
        let before = self.producer.next_sequence();
        for sequence in before..before + records {
            assert_eq!(self.producer.send(&sequence.to_le_bytes()), Ok(sequence));
        }
        // In this order: the follower receives what the one before it has released.
        for consumer in [&mut self.gated, &mut self.named, &mut self.follower, &mut self.lossy] {
            let mut next = consumer.next_sequence();
            while let Some(event) = consumer.try_recv().expect("receive") {
                if let Event::Record(record) = event {
                    assert_eq!((record.sequence(), &record.bytes()[..]), (next, &next.to_le_bytes()[..]));
                    next += 1;
                }
            }
            assert_eq!(next, before + records);
        }
        while self.observer.try_recv().expect("receive").is_some() {}
        assert_eq!(self.observer.next_sequence(), before + records);
    }

    fn consumers(&self) -> String {
        let snapshot = self.inspector.snapshot().expect("snapshot");
        assert!(snapshot.producer_alive && !snapshot.closed);
        let mut consumers = snapshot.consumers;
        assert!(consumers.iter().all(|consumer| consumer.alive));
        // Releases go on; nothing else may change.
        consumers.iter_mut().for_each(|consumer| consumer.next_sequence = 0);
        format!("{consumers:?}")
    }
}

/// A parent with one handle of each kind, and its child.
pub(crate) fn family(part: &Part) {
    let directory: std::path::PathBuf = part.get("directory");
    let ring = part.ring();
    let mut family = Family::open(&ring);
    family.work(3);
    let before = family.consumers();
    match split() {
        ForkResult::Child => {
            assert_eq!(descriptors_into(&directory), 0, "the child inherits no descriptor");
            assert_eq!(maps_of(&directory), 0, "and no memory");
            family.refuse();
            // It may open the ring anew, like anybody else.
            assert!(matches!(Producer::open(&ring), Err(Error::ProducerAlive { .. })));
            let named = Consumer::open(&ring, &Attach::gated().name("kin"));
            assert!(matches!(named, Err(Error::NameInUse { .. })));
            drop(Consumer::open(&ring, &Attach::lossy()).expect("attach anew"));
            assert_eq!(descriptors_into(&directory), 0);
            std::fs::write(directory.join("child is done"), b"").expect("a file");
            // Outlives its parent, on purpose.
            wait_for_file(&directory.join("child may go"));
        }
        ForkResult::Parent { child } => {
            wait_for_file(&directory.join("child is done"));
            assert_eq!(family.consumers(), before, "the child's drops touched no slot and no lock");
            family.work(500);
            say(format_args!("ready {child} {}", family.producer.next_sequence()));
            hear();
        }
    }
}

fn is_alive(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_forked_child_can_do_nothing_and_keeps_no_dead_parent_alive() {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    Options::new().capacity(1 << 16).slots(5).create(&ring).expect("create");
    let part = Part::new("family").on(&ring).with("directory", stage.path().display());
    let mut parent = part.start();
    let said = parent.says("ready");
    let [child, sent] = said[..] else { panic!("{said:?}") };
    assert!(matches!(Producer::open(&ring), Err(Error::ProducerAlive { .. })));
    parent.strike();
    eventually("the dead parent's place is free", || Producer::open(&ring).is_ok());
    assert!(is_alive(child), "although its child lives");
    let mut heir = Producer::open(&ring).expect("take over");
    assert_eq!(heir.next_sequence(), sent);
    heir.send(b"after").expect("send");
    let snapshot = Inspector::open(&ring).expect("inspect").snapshot().expect("snapshot");
    assert!(snapshot.consumers.iter().all(|consumer| !consumer.alive), "{:?}", snapshot.consumers);
    let named = Consumer::open(&ring, &Attach::gated().name("kin")).expect("the name is free");
    assert_eq!(named.resumed().expect("it had been here").sequence, sent);
    let others: Vec<_> =
        (0..4).map(|_| Consumer::open(&ring, &Attach::lossy()).expect("a free slot")).collect();
    assert_eq!(others.len(), 4, "all slots but the name's");
    assert!(is_alive(child));
    std::fs::write(stage.file("child may go"), b"").expect("a file");
    eventually("the child goes", || !is_alive(child));
    parent.reap();
}

/// Forks while other threads open and close handles: no child may ever have a descriptor.
pub(crate) fn storm(part: &Part) {
    let directory: std::path::PathBuf = part.get("directory");
    let ring = part.ring();
    for _ in 0..3 {
        let ring = ring.clone();
        std::thread::spawn(move || {
            loop {
                drop(Consumer::open(&ring, &Attach::lossy()));
                drop(Producer::open(&ring));
                drop(Observer::open(&ring, Start::Newest));
            }
        });
    }
    let mut lasting = Consumer::open(&ring, &Attach::gated()).expect("attach");
    let mut busy = 0;
    for _ in 0..300 {
        busy += usize::from(descriptors_into(&directory) > 1);
        match split() {
            ForkResult::Child => {
                let found = descriptors_into(&directory);
                assert_eq!(found, 0, "a child inherits {found} descriptors");
                let refused = matches!(lasting.try_recv(), Err(RecvError::Forked));
                std::process::exit(i32::from(!refused));
            }
            ForkResult::Parent { child } => reap(child),
        }
    }
    assert!(lasting.try_recv().is_ok());
    say(format_args!("done {busy}"));
    hear();
}

/// Forks while a drain hands on a record, and while payloads are asked for: the child's calls end there.
pub(crate) fn within(part: &Part) {
    let ring = part.ring();
    let mut producer = Producer::open(&ring).expect("become the producer");
    let attach = |attach: Attach| Consumer::open(&ring, &attach).expect("attach");
    let mut consumers = [attach(Attach::gated()), attach(Attach::lossy())];
    for at in 0..8 {
        let mut child = None;
        let payloads = (0..8).inspect(|n| {
            if *n == at {
                child = Some(split());
            }
        });
        let sent = producer.batch().send_all(payloads.map(|n: u64| n.to_le_bytes()));
        match child.expect("it forked") {
            ForkResult::Child => std::process::exit(i32::from(sent != Err(SendError::Forked))),
            ForkResult::Parent { child } => reap(child),
        }
        assert_eq!(sent, Ok(8));
        let mut batch = producer.batch();
        assert_eq!(batch.send_all((0..8_u64).map(u64::to_le_bytes)), Ok(8));
        batch.publish();
        for consumer in &mut consumers {
            let (mut child, mut seen) = (None, 0);
            let drained = consumer.drain(100, |_| {
                if seen == at {
                    child = Some(split());
                }
                seen += 1;
            });
            match child.expect("it forked") {
                ForkResult::Child => {
                    let refused = matches!(drained, Err(RecvError::Forked));
                    std::process::exit(i32::from(!refused || seen != at + 1));
                }
                ForkResult::Parent { child } => reap(child),
            }
            assert_eq!((drained.expect("receive"), seen), (8, 8));
        }
    }
    say(format_args!("done"));
    hear();
}

#[test]
fn a_fork_within_a_drain_or_among_payloads_ends_the_childs_call() {
    let stage = Stage::tmpfs(30);
    let ring = stage.file("ring");
    Options::new().capacity(1 << 16).slots(2).create(&ring).expect("create");
    let mut parent = Part::new("fork within").on(&ring).start();
    parent.says("done");
}

fn reap(child: Pid) {
    match waitpid(child, None).expect("wait for a child") {
        WaitStatus::Exited(_, 0) => {}
        other => panic!("the child failed: {other:?}"),
    }
}

#[test]
fn a_fork_in_the_middle_of_other_threads_opens_hands_on_no_descriptor() {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    Options::new().capacity(4096).create(&ring).expect("create");
    let part = Part::new("forking storm").on(&ring).with("directory", stage.path().display());
    let mut child = part.start();
    let busy = child.says("done")[0];
    assert!(busy > 0, "handles were open while it forked");
    note(format_args!("300 forks, {busy} of them with other threads' handles open"));
}

/// Says how many descriptors lead into `directory`.
pub(crate) fn descriptors(part: &Part) {
    let directory: std::path::PathBuf = part.get("directory");
    say(format_args!("inherited {}", descriptors_into(&directory)));
}

#[test]
fn a_started_program_inherits_nothing() {
    let stage = Stage::tmpfs(30);
    let ring = stage.file("ring");
    let mut producer = Producer::create(&ring, &Options::new().capacity(4096)).expect("create");
    let _consumer = Consumer::open(&ring, &Attach::lossy()).expect("attach");
    let part = Part::new("descriptors").with("directory", stage.path().display());
    assert_eq!(part.start().says("inherited"), [0]);
    producer.send(b"still here").expect("send");
}

/// An open claim and a half-filled batch: the child drops them, the parent publishes them.
#[test]
fn open_claims_and_batches_survive_a_childs_drop() {
    let stage = Stage::tmpfs(30);
    let ring = stage.file("ring");
    let mut producer = Producer::create(&ring, &Options::new().capacity(4096)).expect("create");
    let mut consumer = Consumer::open(&ring, &Attach::gated()).expect("attach");
    let mut claim = producer.claim(5).expect("room");
    claim.write_at(0, b"claim").expect("fits");
    match split() {
        // Nothing but drops here: this is a copy of a test's thread, among a test harness.
        ForkResult::Child => {
            drop(claim);
            drop(producer);
            drop(consumer);
            leave();
        }
        ForkResult::Parent { child } => reap(child),
    }
    assert_eq!(claim.publish(), 0);
    let mut batch = producer.batch();
    batch.send(b"one").expect("room");
    match split() {
        ForkResult::Child => {
            let refused = batch.send(b"two") == Err(SendError::Forked);
            drop(batch);
            drop(producer);
            if refused {
                leave();
            }
            std::process::abort();
        }
        ForkResult::Parent { child } => reap(child),
    }
    batch.send(b"two").expect("room");
    assert_eq!(batch.publish(), Some(2));
    let mut seen = Vec::new();
    while let Some(event) = consumer.try_recv().expect("receive") {
        if let Event::Record(record) = event {
            seen.push(record.to_vec());
        }
    }
    assert_eq!(seen, [&b"claim"[..], b"one", b"two"]);
}

/// Ends a forked child without running anything that belongs to its parent.
#[allow(unsafe_code, reason = "ends the process without its exit handlers")]
fn leave() -> ! {
    // SAFETY: ends the process.
    unsafe { nix::libc::_exit(0) }
}
