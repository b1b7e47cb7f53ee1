//! The guard within one process: threads, forks, claims, other handles.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork as fork_process};
use quoit::{
    Attach, Consumer, Error, Event, Inspector, Observer, Options, Producer, RecvError, SendError, Start,
};

use crate::process::{Part, SOON, Stage, say};

fn cut(ring: &Path) {
    File::options().write(true).open(ring).expect("open").set_len(4096).expect("cut");
}

fn options() -> Options {
    Options::new().capacity(1 << 14).slots(4)
}

fn plays(name: &str) {
    let mut child = Part::new(name).with("guard", true).start();
    child.says_within("done", 3 * SOON);
    child.finish();
}

#[test]
fn threads_on_rings_of_their_own() {
    plays("threads");
}

#[test]
fn children_guard_their_own() {
    plays("fork");
}

#[test]
fn claims_batches_and_other_handles() {
    plays("claims");
}

/// Four threads whose rings are cut again and again, while two others open and drop handles without a pause.
pub(crate) fn threads() {
    let stage = Stage::tmpfs(60);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..2 {
            let (ring, stop) = (stage.file(&format!("steady-{number}")), &stop);
            scope.spawn(move || {
                let mut producer = Producer::create(&ring, &options()).expect("create");
                let mut opened = 0;
                while !stop.load(Ordering::Relaxed) || opened < 100 {
                    let mut consumer = Consumer::open(&ring, &Attach::gated()).expect("attach");
                    producer.send(&[7; 300]).expect("send");
                    assert!(matches!(consumer.recv(), Ok(Event::Record(_))));
                    opened += 1;
                }
            });
        }
        let cutters: Vec<_> = (0..4)
            .map(|number| {
                let stage = &stage;
                scope.spawn(move || {
                    for round in 0..100 {
                        let ring = stage.file(&format!("cut-{number}"));
                        let mut producer = Producer::create(&ring, &options()).expect("create");
                        let mut consumer = Consumer::open(&ring, &Attach::gated()).expect("attach");
                        let mut observer = Observer::open(&ring, Start::Oldest).expect("observe");
                        let inspector = Inspector::open(&ring).expect("inspect");
                        producer.send(&[7; 300]).expect("send");
                        cut(&ring);
                        assert_eq!(producer.send(&[7; 300]), Err(SendError::Truncated), "round {round}");
                        assert!(matches!(consumer.recv(), Err(RecvError::Truncated)), "round {round}");
                        assert!(matches!(observer.recv(), Err(RecvError::Truncated)), "round {round}");
                        assert_eq!(
                            consumer.skip_to_newest(|_| {}),
                            Err(RecvError::Truncated),
                            "round {round}"
                        );
                        assert!(
                            matches!(observer.latest(|_| {}), Err(RecvError::Truncated)),
                            "round {round}"
                        );
                        assert!(matches!(inspector.snapshot(), Err(Error::Truncated)), "round {round}");
                        std::fs::remove_file(&ring).expect("remove");
                    }
                })
            })
            .collect();
        let cut: Vec<_> = cutters.into_iter().map(|cutter| cutter.join()).collect();
        stop.store(true, Ordering::Relaxed);
        cut.into_iter().for_each(|cut| cut.expect("a thread"));
    });
    drop(stage);
    say("done");
}

/// A child's handles are guarded in the child, at the addresses that its parent's have, too.
pub(crate) fn fork() {
    let stage = Stage::tmpfs(60);
    let (parents, childs) = (stage.file("parent"), stage.file("child"));
    let mut producer = Producer::create(&parents, &options()).expect("create");
    producer.send(&[7; 300]).expect("send");
    // SAFETY: the child does what a forked child of a process with a sleeping second thread may not do in general,
    // allocate; the other thread, a watchdog, holds no lock meanwhile.
    match unsafe { fork_process() }.expect("fork") {
        ForkResult::Child => {
            assert_eq!(producer.send(b"x"), Err(SendError::Forked));
            // Their maps come to lie where the parent's are not in this process.
            for dropped in [false, true] {
                let mut own = Producer::create(&childs, &options()).expect("create");
                own.send(&[7; 300]).expect("send");
                cut(&childs);
                assert_eq!(own.send(&[7; 300]), Err(SendError::Truncated));
                std::fs::remove_file(&childs).expect("remove");
                if dropped {
                    break;
                }
                assert_eq!(producer.send(b"x"), Err(SendError::Forked));
            }
            drop(producer);
            let own = Producer::create(&childs, &options()).expect("create");
            cut(&childs);
            drop(own);
            std::process::exit(0);
        }
        ForkResult::Parent { child } => {
            assert!(matches!(waitpid(child, None), Ok(WaitStatus::Exited(_, 0))), "the child failed");
        }
    }
    producer.send(&[7; 300]).expect("the parent goes on");
    cut(&parents);
    assert_eq!(producer.send(&[7; 300]), Err(SendError::Truncated));
    // A child of a handle whose memory is gone.
    // SAFETY: as above.
    match unsafe { fork_process() }.expect("fork") {
        ForkResult::Child => {
            assert_eq!(producer.send(b"x"), Err(SendError::Forked));
            std::process::exit(0);
        }
        ForkResult::Parent { child } => {
            assert!(matches!(waitpid(child, None), Ok(WaitStatus::Exited(_, 0))), "the child failed");
        }
    }
    drop(producer);
    drop(stage);
    say("done");
}

/// What cannot fail publishes nothing; other rings, and handles that do not touch what is gone, go on.
pub(crate) fn claims() {
    let stage = Stage::tmpfs(60);
    let (cut_ring, other_ring) = (stage.file("cut"), stage.file("other"));
    let data =
        |ring: &Path| File::options().write(true).open(ring).expect("open").set_len(3 * 4096).expect("cut");
    let mut other = Producer::create(&other_ring, &options()).expect("create");
    for batch in [false, true] {
        let mut producer = Producer::create(&cut_ring, &options()).expect("create");
        let mut bystander = Consumer::open(&cut_ring, &Attach::lossy()).expect("attach");
        let before = producer.next_sequence();
        // The data area alone is gone: what is published is still there to be seen.
        if batch {
            let mut batch = producer.batch();
            batch.send(&[7; 300]).expect("stage");
            data(&cut_ring);
            batch.send(&[7; 3000]).expect("stage, into private zeros");
            assert_eq!(batch.publish(), None);
        } else {
            let mut claim = producer.claim(3000).expect("claim");
            data(&cut_ring);
            claim.write_at(0, &[7; 3000]).expect("write");
            claim.publish();
        }
        assert_eq!(producer.next_sequence(), before, "nothing was published");
        assert_eq!(producer.send(b"x"), Err(SendError::Truncated));
        // It reads the head alone, which is there.
        assert!(matches!(bystander.try_recv(), Ok(None)));
        drop(producer);
        assert!(matches!(bystander.recv(), Err(RecvError::ProducerGone)));
        // A lent record could vanish while it is looked at: guarded consumers get copies.
        let mut gated = Consumer::open(&other_ring, &Attach::gated()).expect("attach");
        other.send(&[9; 2000]).expect("send");
        let Ok(Event::Record(record)) = gated.recv() else { panic!("a record") };
        assert!(matches!(record.bytes(), std::borrow::Cow::Borrowed(_)));
        std::fs::remove_file(&cut_ring).expect("remove");
    }
    drop(stage);
    say("done");
}
