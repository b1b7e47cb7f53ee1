//! What the victim does. Everything before `begin` is setup; from there on its system calls are failed, including
//! those of dropping its handles.

use std::path::Path;
use std::time::{Duration, Instant};

use quoit::{
    Attach, Consumer, Error, Event, Inspector, Memory, MemoryOutcome, MemoryReport, Observer, Options,
    Producer, RecvError, Ring, SendError, Start,
};

use super::before::closed;
use crate::syscalls::stage::{Ended, Problem, Stage, check, fill, payload, publish, receive, soon, wrong};
use crate::tracee::mark;

/// From here on the victim's system calls are failed.
pub(super) fn begin() {
    mark();
}

pub(super) fn create(stage: &Stage) -> Ended {
    begin();
    let mut producer = Producer::create(stage.ring(), &stage.options())?;
    publish(&mut producer, 3)
}

pub(super) fn create_relative(stage: &Stage) -> Ended {
    std::env::set_current_dir(&stage.folder).map_err(|error| Problem::Wrong(error.to_string()))?;
    begin();
    let mut producer = Producer::create("ring", &stage.options())?;
    publish(&mut producer, 3)
}

/// The error that must come came; another one comes through.
pub(super) fn expect(result: Result<(), Error>, expected: fn(&Error) -> bool) -> Ended {
    match result {
        Err(error) if expected(&error) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => wrong!("what must be refused was not"),
    }
}

pub(super) fn create_exists(stage: &Stage) -> Ended {
    begin();
    let created = Producer::create(stage.ring(), &stage.options()).map(drop);
    expect(created, |error| matches!(error, Error::Exists { .. }))
}

pub(super) fn create_nowhere(stage: &Stage) -> Ended {
    let path = stage.folder.join("missing/ring");
    begin();
    let created = Producer::create(path, &stage.options()).map(drop);
    expect(created, |error| matches!(error, Error::NoDirectory { .. }))
}

pub(super) fn create_too_large(stage: &Stage) -> Ended {
    begin();
    let created = Producer::create(stage.ring(), &stage.options().capacity(1 << 40)).map(drop);
    // The victim's own limit, which keeps the machine's memory safe, is met first.
    expect(created, |error| matches!(error, Error::NoSpace { .. } | Error::FileSizeLimit { .. }))
}

pub(super) fn options_create(stage: &Stage) -> Ended {
    begin();
    Ok(stage.options().create(stage.ring())?)
}

pub(super) fn open_or_create(stage: &Stage) -> Ended {
    begin();
    let mut producer = Producer::open_or_create(stage.ring(), &stage.options())?;
    publish(&mut producer, 3)
}

pub(super) fn local(stage: &Stage) -> Ended {
    begin();
    let ring = Ring::heap(&Options::new().capacity(1 << 20).wait(stage.mode))?;
    let mut producer = ring.producer()?;
    let mut consumer = ring.consumer(&Attach::gated())?;
    consumer.set_spins(0);
    publish(&mut producer, 3)?;
    receive(&mut consumer, 0, 3)?;
    match consumer.recv_timeout(Duration::from_millis(1)) {
        Err(RecvError::TimedOut) => Ok(()),
        event => wrong!("{event:?} that nobody sent"),
    }
}

pub(super) fn open(stage: &Stage) -> Ended {
    begin();
    let mut producer = Producer::open(stage.ring())?;
    publish(&mut producer, 3)
}

pub(super) fn open_missing(stage: &Stage) -> Ended {
    begin();
    expect(Producer::open(stage.ring()).map(drop), |error| matches!(error, Error::NotFound { .. }))
}

pub(super) fn open_garbage(stage: &Stage) -> Ended {
    begin();
    let opened = Consumer::open(stage.folder.join("garbage"), &Attach::lossy()).map(drop);
    expect(opened, |error| matches!(error, Error::NotARing { .. }))
}

pub(super) fn open_alive(stage: &Stage) -> Ended {
    begin();
    expect(Producer::open(stage.ring()).map(drop), |error| matches!(error, Error::ProducerAlive { .. }))
}

pub(super) fn attach_lossy(stage: &Stage) -> Ended {
    let mut producer = Producer::open(stage.ring())?;
    begin();
    let mut consumer = Consumer::open(stage.ring(), &Attach::lossy())?;
    publish(&mut producer, 3)?;
    receive(&mut consumer, 10, 13)?;
    if !consumer.producer_alive() {
        wrong!("the producer is said to be dead");
    }
    Ok(())
}

pub(super) fn attach_gated(stage: &Stage) -> Ended {
    begin();
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated().start(Start::Oldest))?;
    receive(&mut consumer, 0, 10)?;
    consumer.release();
    Ok(())
}

pub(super) fn attach_last(stage: &Stage) -> Ended {
    begin();
    let mut last = Consumer::open(stage.ring(), &Attach::gated().start(Start::Last(4)))?;
    let mut exact = Consumer::open(stage.ring(), &Attach::gated().start(Start::Sequence(8)))?;
    receive(&mut last, 6, 10)?;
    receive(&mut exact, 8, 10)
}

pub(super) fn attach_named(stage: &Stage) -> Ended {
    begin();
    let attach = Attach::gated().name("new").hold_forever().start(Start::Last(2));
    let mut consumer = Consumer::open(stage.ring(), &attach)?;
    receive(&mut consumer, 8, 10)
}

pub(super) fn resume(stage: &Stage) -> Ended {
    begin();
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated().name("kept"))?;
    if consumer.resumed().is_none_or(|resumed| resumed.sequence != 2) {
        wrong!("resumed at {:?}", consumer.resumed());
    }
    receive(&mut consumer, 2, 5)
}

pub(super) fn resume_held(stage: &Stage) -> Ended {
    begin();
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated().name("held"))?;
    receive(&mut consumer, 2, 20)
}

pub(super) fn name_in_use(stage: &Stage) -> Ended {
    begin();
    let opened = Consumer::open(stage.ring(), &Attach::gated().name("taken")).map(drop);
    expect(opened, |error| matches!(error, Error::NameInUse { .. }))
}

pub(super) fn slots_taken(stage: &Stage) -> Ended {
    begin();
    let opened = Consumer::open(stage.ring(), &Attach::gated()).map(drop);
    expect(opened, |error| matches!(error, Error::SlotsTaken { .. }))
}

pub(super) fn observe(stage: &Stage) -> Ended {
    begin();
    let mut observer = Observer::open(stage.ring(), Start::Oldest)?;
    for sequence in 0..10 {
        match observer.try_recv()? {
            Some(event) => check(&event, sequence)?,
            None => wrong!("record {sequence} is not there"),
        }
    }
    Ok(())
}

pub(super) fn inspect(stage: &Stage) -> Ended {
    begin();
    let snapshot = Inspector::open(stage.ring())?.snapshot()?;
    // When the kernel does not say, everybody is alive; and here everybody is.
    let alive = snapshot.consumers.iter().any(|consumer| consumer.alive);
    if !snapshot.producer_alive || !alive || snapshot.next_sequence != 10 {
        wrong!("a wrong picture: {snapshot:?}");
    }
    Ok(())
}

pub(super) fn forget(stage: &Stage) -> Ended {
    begin();
    Ok(quoit::forget(stage.ring(), "held")?)
}

pub(super) fn forget_unknown(stage: &Stage) -> Ended {
    begin();
    expect(quoit::forget(stage.ring(), "nobody"), |error| matches!(error, Error::NameUnknown { .. }))
}

/// A refused wish is an error with the kernel's answer.
pub(super) fn granted(report: &MemoryReport) -> Ended {
    for outcome in [report.populate, report.lock, report.huge_pages, report.node] {
        if let MemoryOutcome::Refused(refusal) = outcome {
            let text = report.to_string();
            return Err(Problem::Refused { variant: "Memory".to_owned(), text, errno: refusal.errno });
        }
    }
    Ok(())
}

/// All that is to be had: no huge pages on disk, or where the kernel gives tmpfs none; no node where it has no NUMA.
pub(super) fn wishes(stage: &Stage) -> Memory {
    let policy = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    let on_tmpfs = stage.folder.starts_with("/dev/shm");
    let huge_pages = on_tmpfs && policy.is_ok_and(|policy| !policy.contains("[deny]"));
    let wishes = Memory::new().populate(true).lock(true).huge_pages(huge_pages);
    if Path::new("/proc/self/numa_maps").exists() { wishes.node(0) } else { wishes }
}

pub(super) fn prepare_producer(stage: &Stage) -> Ended {
    let mut producer = Producer::open(stage.ring())?;
    let wishes = wishes(stage);
    begin();
    let report = producer.prepare(&wishes);
    publish(&mut producer, 3)?;
    granted(&report)
}

pub(super) fn prepare_consumer(stage: &Stage) -> Ended {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated().start(Start::Oldest))?;
    let wishes = wishes(stage);
    begin();
    let report = consumer.prepare(&wishes);
    receive(&mut consumer, 0, 10)?;
    granted(&report)
}

pub(super) fn prepare_observer(stage: &Stage) -> Ended {
    let mut observer = Observer::open(stage.ring(), Start::Oldest)?;
    let wishes = wishes(stage);
    begin();
    let report = observer.prepare(&wishes);
    for sequence in 0..10 {
        match observer.try_recv()? {
            Some(event) => check(&event, sequence)?,
            None => wrong!("record {sequence} is not there"),
        }
    }
    granted(&report)
}

pub(super) fn create_huge(stage: &Stage) -> Ended {
    begin();
    let mut producer = Producer::create(stage.ring(), &stage.options().huge_pages(true))?;
    publish(&mut producer, 3)
}

/// What it answers when the kernel does not say is not judged: there is no third answer.
pub(super) fn is_stale(stage: &Stage) -> Ended {
    let consumer = Consumer::open(stage.ring(), &Attach::lossy())?;
    begin();
    let _ = consumer.is_stale();
    Ok(())
}

pub(super) fn is_stale_replaced(stage: &Stage) -> Ended {
    let consumer = Consumer::open(stage.ring(), &Attach::lossy())?;
    std::fs::remove_file(stage.ring()).map_err(|error| Problem::Wrong(error.to_string()))?;
    closed(stage)?;
    begin();
    if !consumer.is_stale() {
        wrong!("a removed ring is said to be there");
    }
    Ok(())
}

pub(super) fn sleep_for_a_record(stage: &Stage) -> Ended {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated())?;
    consumer.set_spins(0);
    begin();
    check(&consumer.recv()?, 10)
}

pub(super) fn observe_napping(stage: &Stage) -> Ended {
    let mut observer = Observer::open(stage.ring(), Start::Newest)?;
    observer.set_spins(0);
    begin();
    check(&observer.recv()?, 10)
}

pub(super) fn time_passes(stage: &Stage) -> Ended {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated())?;
    consumer.set_spins(0);
    begin();
    match consumer.recv_timeout(Duration::from_millis(3)) {
        Err(RecvError::TimedOut) => Ok(()),
        event => wrong!("{event:?} that nobody sent"),
    }
}

pub(super) fn receive_the_end(stage: &Stage) -> Ended {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated().start(Start::Last(2)))?;
    consumer.set_spins(0);
    begin();
    receive(&mut consumer, 8, 10)?;
    match consumer.recv() {
        Err(RecvError::Closed) => Ok(()),
        other => wrong!("{other:?} instead of the end"),
    }
}

pub(super) fn receive_the_dead(stage: &Stage) -> Ended {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated().start(Start::Last(2)))?;
    consumer.set_spins(0);
    begin();
    receive(&mut consumer, 498, 500)?;
    match consumer.recv() {
        Err(RecvError::ProducerGone) => Ok(()),
        other => wrong!("{other:?} instead of the producer's death"),
    }
}

pub(super) fn await_successor(stage: &Stage) -> Ended {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated())?;
    consumer.set_spins(0);
    begin();
    let end = soon();
    while Instant::now() < end {
        match consumer.recv() {
            Err(RecvError::Closed) => {}
            Ok(Event::ProducerChanged { epoch: 2 }) => return check(&consumer.recv()?, 10),
            other => wrong!("{other:?} instead of another producer"),
        }
    }
    wrong!("nothing of the other producer")
}

/// A producer before a full ring.
pub(super) fn blocked(stage: &Stage) -> Result<Producer, Problem> {
    let mut producer = Producer::open(stage.ring())?;
    producer.set_spins(0);
    fill(&mut producer)?;
    Ok(producer)
}

pub(super) fn wait_for_space(stage: &Stage) -> Ended {
    let mut producer = blocked(stage)?;
    begin();
    publish(&mut producer, 1)
}

pub(super) fn send_times_out(stage: &Stage) -> Ended {
    let mut producer = blocked(stage)?;
    let next = producer.next_sequence();
    begin();
    match producer.send_deadline(&payload(next), Instant::now() + Duration::from_millis(3)) {
        Err(SendError::TimedOut { .. }) => Ok(()),
        other => wrong!("{other:?} from a full ring"),
    }
}

pub(super) fn send_held(stage: &Stage) -> Ended {
    let mut producer = Producer::open(stage.ring())?;
    producer.set_spins(0);
    let next = producer.next_sequence();
    begin();
    match producer.send_deadline(&payload(next), Instant::now() + Duration::from_millis(3)) {
        Err(SendError::TimedOut { .. }) => Ok(()),
        other => wrong!("{other:?} past a name that is held"),
    }
}

pub(super) fn send_evicting(stage: &Stage) -> Ended {
    let mut producer = blocked(stage)?;
    begin();
    publish(&mut producer, 1)
}

pub(super) fn send_reclaiming(stage: &Stage) -> Ended {
    let mut producer = Producer::open(stage.ring())?;
    producer.set_spins(0);
    begin();
    publish(&mut producer, 1)
}

pub(super) fn send_waking(stage: &Stage) -> Ended {
    let mut producer = Producer::open(stage.ring())?;
    // What woke the reader just now was the opening: it goes back to sleep.
    std::thread::sleep(Duration::from_millis(1));
    stage.until_reader_sleeps();
    begin();
    publish(&mut producer, 1)
}

pub(super) fn release_waking(stage: &Stage) -> Ended {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated())?;
    stage.until_producer_sleeps();
    begin();
    let first = consumer.next_sequence();
    receive(&mut consumer, first, first + 20)?;
    consumer.release();
    Ok(())
}
