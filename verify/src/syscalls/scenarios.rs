//! What the victim does. Everything before `begin` is setting up; from there on its system calls are failed, the
//! drop of its handles included.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use quoit::WaitMode::{self, Fence, Membarrier, Spin};
use quoit::{
    Attach, Consumer, Error, Event, Inspector, Memory, MemoryOutcome, MemoryReport, Observer, Options,
    Producer, RecvError, SendError, Start,
};

use super::stage::{Cue, Ended, Problem, Stage, check, fill, payload, publish, receive, soon, wrong};
use crate::tracee::mark;

/// One thing that a process does with a ring.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) mode: WaitMode,
    pub(crate) disk: bool,
    /// Makes what is in the folder before each run; in a process of its own, which then dies.
    pub(crate) prepare: fn(&Stage) -> Ended,
    pub(crate) neighbour: Option<fn(&Stage, &mut Cue) -> Ended>,
    /// The neighbour comes to an end of its own, and has done its part then.
    pub(crate) neighbour_ends: bool,
    /// A call that this kernel refuses throughout.
    pub(crate) refused: Option<(i64, Errno)>,
    /// Nothing comes of it unless the kernel says who is dead.
    pub(crate) needs_proof: bool,
    pub(crate) body: fn(&Stage) -> Ended,
}

const fn scenario(name: &'static str, prepare: fn(&Stage) -> Ended, body: fn(&Stage) -> Ended) -> Scenario {
    let (mode, disk, neighbour, neighbour_ends, refused) = (Membarrier, false, None, false, None);
    Scenario { name, mode, disk, prepare, neighbour, neighbour_ends, refused, needs_proof: false, body }
}

impl Scenario {
    const fn on_disk(self) -> Self {
        Self { disk: true, ..self }
    }

    const fn mode(self, mode: WaitMode) -> Self {
        Self { mode, ..self }
    }

    /// Beside one that stays until the victim has gone.
    const fn beside(self, neighbour: fn(&Stage, &mut Cue) -> Ended) -> Self {
        Self { neighbour: Some(neighbour), ..self }
    }

    /// Together with one whose own end is part of it.
    const fn with(self, neighbour: fn(&Stage, &mut Cue) -> Ended) -> Self {
        Self { neighbour: Some(neighbour), neighbour_ends: true, ..self }
    }

    const fn needs_proof(self) -> Self {
        Self { needs_proof: true, ..self }
    }

    const fn without(self, call: i64, errno: Errno) -> Self {
        Self { refused: Some((call, errno)), ..self }
    }
}

/// From here on the victim's system calls are failed.
fn begin() {
    mark();
}

pub(crate) static SCENARIOS: &[Scenario] = &[
    scenario("create", nothing, create),
    scenario("create on disk", nothing, create).on_disk(),
    scenario("create, no fallocate", nothing, create).without(libc::SYS_fallocate, Errno::EOPNOTSUPP),
    scenario("create at a relative path", nothing, create_relative),
    scenario("create where a file is", closed, create_exists),
    scenario("create where no folder is", nothing, create_nowhere),
    scenario("create larger than the disk", nothing, create_too_large),
    scenario("create without a producer", nothing, options_create),
    scenario("create without a producer on disk", nothing, options_create).on_disk(),
    scenario("create for huge pages", nothing, create_huge),
    scenario("open_or_create, nothing there", nothing, open_or_create),
    scenario("open_or_create, a ring there", closed, open_or_create),
    scenario("open_or_create on disk", nothing, open_or_create).on_disk(),
    scenario("ring on the heap", nothing, local),
    scenario("open after a close", closed, open),
    scenario("open after a close on disk", closed, open).on_disk(),
    scenario("open after a death", died, open),
    scenario("open, membarrier refused", closed, open).without(libc::SYS_membarrier, Errno::EPERM),
    scenario("open, nothing there", nothing, open_missing),
    scenario("open what is no ring", garbage, open_garbage),
    scenario("open beside a living producer", closed, open_alive).beside(producing),
    scenario("attach lossy", closed, attach_lossy),
    scenario("attach lossy on disk", closed, attach_lossy).on_disk(),
    scenario("attach gated, oldest", closed, attach_gated),
    scenario("attach gated, last and sequence", closed, attach_last),
    scenario("attach under a new name, held", closed, attach_named),
    scenario("resume under a name", named, resume),
    scenario("resume what is held", held, resume_held),
    scenario("attach, the name in use", closed, name_in_use).beside(naming),
    scenario("attach, all slots taken", closed, slots_taken).beside(sitting),
    scenario("observe", closed, observe),
    scenario("inspect", closed, inspect).beside(naming),
    scenario("forget", held, forget),
    scenario("forget an unknown name", closed, forget_unknown),
    scenario("prepare a producer", huge, prepare_producer),
    scenario("prepare a producer on disk", closed, prepare_producer).on_disk(),
    scenario("prepare a consumer", huge, prepare_consumer),
    scenario("prepare an observer", huge, prepare_observer),
    scenario("is_stale", closed, is_stale),
    scenario("is_stale, replaced", closed, is_stale_replaced),
    scenario("receive, sleeping", closed, sleep_for_a_record).beside(sending),
    scenario("receive, sleeping, fences", closed, sleep_for_a_record).mode(Fence).beside(sending),
    scenario("receive, spinning", closed, sleep_for_a_record).mode(Spin).beside(sending),
    scenario("receive, sleeping, futex refused", closed, sleep_for_a_record)
        .beside(sending)
        .without(libc::SYS_futex, Errno::ENOSYS),
    scenario("receive, sleeping, membarrier refused", closed, sleep_for_a_record)
        .beside(sending)
        .without(libc::SYS_membarrier, Errno::ENOSYS),
    scenario("receive, time passes", closed, time_passes).beside(producing),
    scenario("receive the end", closed, receive_the_end),
    scenario("receive what the dead left", died, receive_the_dead).needs_proof(),
    scenario("wait for another producer", closed, await_successor).beside(succeeding),
    scenario("observe, napping", closed, observe_napping).beside(sending),
    scenario("send, waiting for space", closed, wait_for_space).beside(reading_late),
    scenario("send, waiting for space, fences", closed, wait_for_space).mode(Fence).beside(reading_late),
    scenario("send, waiting for space, spinning", closed, wait_for_space).mode(Spin).beside(reading_late),
    scenario("send, waiting for space, futex refused", closed, wait_for_space)
        .beside(reading_late)
        .without(libc::SYS_futex, Errno::ENOSYS),
    scenario("send, time passes", closed, send_times_out).beside(not_reading),
    scenario("send, evicting", closed, send_evicting).beside(not_reading_for_long),
    scenario("send past a dead consumer", full_of_the_dead, send_reclaiming).needs_proof(),
    scenario("send held up by a name", held, send_held),
    scenario("send, waking", closed, send_waking).with(waiting),
    scenario("send, waking, fences", closed, send_waking).mode(Fence).with(waiting),
    scenario("release, waking", closed, release_waking).with(blocking),
    scenario("release, waking, fences", closed, release_waking).mode(Fence).with(blocking),
];

// What is there before.

fn nothing(_: &Stage) -> Ended {
    Ok(())
}

/// Ten records, ended cleanly.
fn closed(stage: &Stage) -> Ended {
    let mut producer = Producer::create(stage.ring(), &stage.options())?;
    publish(&mut producer, 10)
}

/// The same, aligned to huge pages.
fn huge(stage: &Stage) -> Ended {
    let mut producer = Producer::create(stage.ring(), &stage.options().huge_pages(true))?;
    publish(&mut producer, 10)
}

/// A few laps, and the producer dies.
fn died(stage: &Stage) -> Ended {
    let mut producer = Producer::create(stage.ring(), &stage.options())?;
    publish(&mut producer, 500)?;
    std::mem::forget(producer);
    Ok(())
}

fn garbage(stage: &Stage) -> Ended {
    std::fs::write(stage.folder.join("garbage"), [0x5a; 8192])
        .map_err(|error| Problem::Wrong(error.to_string()))
}

/// A name that has received two of five.
fn named(stage: &Stage) -> Ended {
    let mut producer = Producer::create(stage.ring(), &stage.options())?;
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated().name("kept"))?;
    publish(&mut producer, 5)?;
    receive(&mut consumer, 0, 2)?;
    consumer.release();
    Ok(())
}

/// A full ring, kept so by a name whose consumer died.
fn held(stage: &Stage) -> Ended {
    let mut producer = Producer::create(stage.ring(), &stage.options())?;
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated().name("held").hold_forever())?;
    publish(&mut producer, 5)?;
    receive(&mut consumer, 0, 2)?;
    consumer.release();
    std::mem::forget(consumer);
    fill(&mut producer)
}

/// A full ring whose consumer and producer died.
fn full_of_the_dead(stage: &Stage) -> Ended {
    let mut producer = Producer::create(stage.ring(), &stage.options())?;
    std::mem::forget(Consumer::open(stage.ring(), &Attach::gated())?);
    fill(&mut producer)?;
    std::mem::forget(producer);
    Ok(())
}

// Who is there besides.

fn producing(stage: &Stage, cue: &mut Cue) -> Ended {
    let _producer = Producer::open(stage.ring())?;
    cue.ready();
    cue.stay()
}

fn naming(stage: &Stage, cue: &mut Cue) -> Ended {
    let _producer = Producer::open(stage.ring())?;
    let _consumer = Consumer::open(stage.ring(), &Attach::gated().name("taken"))?;
    cue.ready();
    cue.stay()
}

fn sitting(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut consumers = Vec::new();
    for _ in 0..super::stage::SLOTS {
        consumers.push(Consumer::open(stage.ring(), &Attach::lossy())?);
    }
    cue.ready();
    cue.stay()
}

fn sending(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut producer = Producer::open(stage.ring())?;
    cue.ready();
    cue.await_go();
    // Consumers arm; observers and spinning ones sleep unseen.
    std::thread::sleep(Duration::from_millis(5));
    publish(&mut producer, 1)?;
    cue.stay()
}

fn succeeding(stage: &Stage, cue: &mut Cue) -> Ended {
    cue.ready();
    cue.await_go();
    std::thread::sleep(Duration::from_millis(5));
    let mut producer = Producer::open(stage.ring())?;
    publish(&mut producer, 1)?;
    cue.stay()
}

/// Reads on once the producer sleeps for it.
fn reading_late(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated())?;
    cue.ready();
    cue.await_go();
    stage.until_producer_sleeps();
    loop {
        let next = consumer.next_sequence();
        match consumer.recv() {
            Ok(Event::ProducerChanged { .. }) | Err(RecvError::Closed | RecvError::ProducerGone) => {}
            other => check(&other?, next)?,
        }
    }
}

fn not_reading(stage: &Stage, cue: &mut Cue) -> Ended {
    let _consumer = Consumer::open(stage.ring(), &Attach::gated())?;
    cue.ready();
    cue.stay()
}

fn not_reading_for_long(stage: &Stage, cue: &mut Cue) -> Ended {
    let _consumer = Consumer::open(stage.ring(), &Attach::gated_for(Duration::from_millis(2)))?;
    cue.ready();
    cue.stay()
}

/// Sleeps until the victim sends.
fn waiting(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated())?;
    consumer.set_spins(0);
    cue.ready();
    loop {
        let next = consumer.next_sequence();
        match consumer.recv() {
            Ok(Event::ProducerChanged { .. }) | Err(RecvError::Closed | RecvError::ProducerGone) => {}
            other => return check(&other?, next),
        }
    }
}

/// Fills the ring behind the victim and sleeps until there is space.
fn blocking(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut producer = Producer::open(stage.ring())?;
    producer.set_spins(0);
    cue.ready();
    let end = soon();
    let inspector = Inspector::open(stage.ring())?;
    while inspector.snapshot()?.consumers.is_empty() {
        if Instant::now() >= end {
            wrong!("the victim does not come");
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    fill(&mut producer)?;
    publish(&mut producer, 1)
}

// What the victim does.

fn create(stage: &Stage) -> Ended {
    begin();
    let mut producer = Producer::create(stage.ring(), &stage.options())?;
    publish(&mut producer, 3)
}

fn create_relative(stage: &Stage) -> Ended {
    std::env::set_current_dir(&stage.folder).map_err(|error| Problem::Wrong(error.to_string()))?;
    begin();
    let mut producer = Producer::create("ring", &stage.options())?;
    publish(&mut producer, 3)
}

/// The error that must come came; another one comes through.
fn expect(result: Result<(), Error>, expected: fn(&Error) -> bool) -> Ended {
    match result {
        Err(error) if expected(&error) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => wrong!("what must be refused was not"),
    }
}

fn create_exists(stage: &Stage) -> Ended {
    begin();
    let created = Producer::create(stage.ring(), &stage.options()).map(drop);
    expect(created, |error| matches!(error, Error::Exists { .. }))
}

fn create_nowhere(stage: &Stage) -> Ended {
    let path = stage.folder.join("missing/ring");
    begin();
    let created = Producer::create(path, &stage.options()).map(drop);
    expect(created, |error| matches!(error, Error::NoDirectory { .. }))
}

fn create_too_large(stage: &Stage) -> Ended {
    begin();
    let created = Producer::create(stage.ring(), &stage.options().capacity(1 << 40)).map(drop);
    expect(created, |error| matches!(error, Error::NoSpace { .. }))
}

fn options_create(stage: &Stage) -> Ended {
    begin();
    Ok(stage.options().create(stage.ring())?)
}

fn open_or_create(stage: &Stage) -> Ended {
    begin();
    let mut producer = Producer::open_or_create(stage.ring(), &stage.options())?;
    publish(&mut producer, 3)
}

fn local(stage: &Stage) -> Ended {
    begin();
    let ring = Options::new().capacity(1 << 20).wait(stage.mode).local()?;
    let mut producer = ring.producer()?;
    let mut consumer = ring.consumer(&Attach::gated())?;
    consumer.set_spins(0);
    publish(&mut producer, 3)?;
    receive(&mut consumer, 0, 3)?;
    match consumer.recv_timeout(Duration::from_millis(1))? {
        None => Ok(()),
        Some(event) => wrong!("{event:?} that nobody sent"),
    }
}

fn open(stage: &Stage) -> Ended {
    begin();
    let mut producer = Producer::open(stage.ring())?;
    publish(&mut producer, 3)
}

fn open_missing(stage: &Stage) -> Ended {
    begin();
    expect(Producer::open(stage.ring()).map(drop), |error| matches!(error, Error::NotFound { .. }))
}

fn open_garbage(stage: &Stage) -> Ended {
    begin();
    let opened = Consumer::open(stage.folder.join("garbage"), &Attach::lossy()).map(drop);
    expect(opened, |error| matches!(error, Error::NotARing { .. }))
}

fn open_alive(stage: &Stage) -> Ended {
    begin();
    expect(Producer::open(stage.ring()).map(drop), |error| matches!(error, Error::ProducerAlive { .. }))
}

fn attach_lossy(stage: &Stage) -> Ended {
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

fn attach_gated(stage: &Stage) -> Ended {
    begin();
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated().start(Start::Oldest))?;
    receive(&mut consumer, 0, 10)?;
    consumer.release();
    Ok(())
}

fn attach_last(stage: &Stage) -> Ended {
    begin();
    let mut last = Consumer::open(stage.ring(), &Attach::gated().start(Start::Last(4)))?;
    let mut exact = Consumer::open(stage.ring(), &Attach::gated().start(Start::Sequence(8)))?;
    receive(&mut last, 6, 10)?;
    receive(&mut exact, 8, 10)
}

fn attach_named(stage: &Stage) -> Ended {
    begin();
    let attach = Attach::gated().name("new").hold_forever().start(Start::Last(2));
    let mut consumer = Consumer::open(stage.ring(), &attach)?;
    receive(&mut consumer, 8, 10)
}

fn resume(stage: &Stage) -> Ended {
    begin();
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated().name("kept"))?;
    if consumer.resumed().is_none_or(|resumed| resumed.sequence != 2) {
        wrong!("resumed at {:?}", consumer.resumed());
    }
    receive(&mut consumer, 2, 5)
}

fn resume_held(stage: &Stage) -> Ended {
    begin();
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated().name("held"))?;
    receive(&mut consumer, 2, 20)
}

fn name_in_use(stage: &Stage) -> Ended {
    begin();
    let opened = Consumer::open(stage.ring(), &Attach::gated().name("taken")).map(drop);
    expect(opened, |error| matches!(error, Error::NameInUse { .. }))
}

fn slots_taken(stage: &Stage) -> Ended {
    begin();
    let opened = Consumer::open(stage.ring(), &Attach::gated()).map(drop);
    expect(opened, |error| matches!(error, Error::SlotsTaken { .. }))
}

fn observe(stage: &Stage) -> Ended {
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

fn inspect(stage: &Stage) -> Ended {
    begin();
    let snapshot = Inspector::open(stage.ring())?.snapshot()?;
    // When the kernel does not say, everybody is alive; and here everybody is.
    let alive = snapshot.consumers.iter().any(|consumer| consumer.alive);
    if !snapshot.producer_alive || !alive || snapshot.next_sequence != 10 {
        wrong!("a wrong picture: {snapshot:?}");
    }
    Ok(())
}

fn forget(stage: &Stage) -> Ended {
    begin();
    Ok(quoit::forget(stage.ring(), "held")?)
}

fn forget_unknown(stage: &Stage) -> Ended {
    begin();
    expect(quoit::forget(stage.ring(), "nobody"), |error| matches!(error, Error::NameUnknown { .. }))
}

/// A refused wish is an error with the kernel's answer.
fn granted(report: &MemoryReport) -> Ended {
    for outcome in [report.populate, report.lock, report.huge_pages] {
        if let MemoryOutcome::Refused(refusal) = outcome {
            let text = report.to_string();
            return Err(Problem::Refused { variant: "Memory".to_owned(), text, errno: refusal.errno });
        }
    }
    Ok(())
}

/// All that is to be had: no huge pages on disk, or where the kernel gives tmpfs none.
fn wishes(stage: &Stage) -> Memory {
    let policy = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    let on_tmpfs = stage.folder.starts_with("/dev/shm");
    let huge_pages = on_tmpfs && policy.is_ok_and(|policy| !policy.contains("[deny]"));
    Memory::new().populate(true).lock(true).huge_pages(huge_pages)
}

fn prepare_producer(stage: &Stage) -> Ended {
    let mut producer = Producer::open(stage.ring())?;
    let wishes = wishes(stage);
    begin();
    let report = producer.prepare(&wishes);
    publish(&mut producer, 3)?;
    granted(&report)
}

fn prepare_consumer(stage: &Stage) -> Ended {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated().start(Start::Oldest))?;
    let wishes = wishes(stage);
    begin();
    let report = consumer.prepare(&wishes);
    receive(&mut consumer, 0, 10)?;
    granted(&report)
}

fn prepare_observer(stage: &Stage) -> Ended {
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

fn create_huge(stage: &Stage) -> Ended {
    begin();
    let mut producer = Producer::create(stage.ring(), &stage.options().huge_pages(true))?;
    publish(&mut producer, 3)
}

/// What it answers when the kernel does not say is not judged: there is no third answer.
fn is_stale(stage: &Stage) -> Ended {
    let consumer = Consumer::open(stage.ring(), &Attach::lossy())?;
    begin();
    let _ = consumer.is_stale();
    Ok(())
}

fn is_stale_replaced(stage: &Stage) -> Ended {
    let consumer = Consumer::open(stage.ring(), &Attach::lossy())?;
    std::fs::remove_file(stage.ring()).map_err(|error| Problem::Wrong(error.to_string()))?;
    closed(stage)?;
    begin();
    if !consumer.is_stale() {
        wrong!("a removed ring is said to be there");
    }
    Ok(())
}

fn sleep_for_a_record(stage: &Stage) -> Ended {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated())?;
    consumer.set_spins(0);
    begin();
    check(&consumer.recv()?, 10)
}

fn observe_napping(stage: &Stage) -> Ended {
    let mut observer = Observer::open(stage.ring(), Start::Newest)?;
    observer.set_spins(0);
    begin();
    check(&observer.recv()?, 10)
}

fn time_passes(stage: &Stage) -> Ended {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated())?;
    consumer.set_spins(0);
    begin();
    match consumer.recv_timeout(Duration::from_millis(3))? {
        None => Ok(()),
        Some(event) => wrong!("{event:?} that nobody sent"),
    }
}

fn receive_the_end(stage: &Stage) -> Ended {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated().start(Start::Last(2)))?;
    consumer.set_spins(0);
    begin();
    receive(&mut consumer, 8, 10)?;
    match consumer.recv() {
        Err(RecvError::Closed) => Ok(()),
        other => wrong!("{other:?} instead of the end"),
    }
}

fn receive_the_dead(stage: &Stage) -> Ended {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated().start(Start::Last(2)))?;
    consumer.set_spins(0);
    begin();
    receive(&mut consumer, 498, 500)?;
    match consumer.recv() {
        Err(RecvError::ProducerGone) => Ok(()),
        other => wrong!("{other:?} instead of the producer's death"),
    }
}

fn await_successor(stage: &Stage) -> Ended {
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
fn blocked(stage: &Stage) -> Result<Producer, Problem> {
    let mut producer = Producer::open(stage.ring())?;
    producer.set_spins(0);
    fill(&mut producer)?;
    Ok(producer)
}

fn wait_for_space(stage: &Stage) -> Ended {
    let mut producer = blocked(stage)?;
    begin();
    publish(&mut producer, 1)
}

fn send_times_out(stage: &Stage) -> Ended {
    let mut producer = blocked(stage)?;
    let next = producer.next_sequence();
    begin();
    match producer.send_deadline(&payload(next), Instant::now() + Duration::from_millis(3)) {
        Err(SendError::TimedOut) => Ok(()),
        other => wrong!("{other:?} from a full ring"),
    }
}

fn send_held(stage: &Stage) -> Ended {
    let mut producer = Producer::open(stage.ring())?;
    producer.set_spins(0);
    let next = producer.next_sequence();
    begin();
    match producer.send_deadline(&payload(next), Instant::now() + Duration::from_millis(3)) {
        Err(SendError::TimedOut) => Ok(()),
        other => wrong!("{other:?} past a name that is held"),
    }
}

fn send_evicting(stage: &Stage) -> Ended {
    let mut producer = blocked(stage)?;
    begin();
    publish(&mut producer, 1)
}

fn send_reclaiming(stage: &Stage) -> Ended {
    let mut producer = Producer::open(stage.ring())?;
    producer.set_spins(0);
    begin();
    publish(&mut producer, 1)
}

fn send_waking(stage: &Stage) -> Ended {
    let mut producer = Producer::open(stage.ring())?;
    // What woke the reader just now was the opening: it goes back to sleep.
    std::thread::sleep(Duration::from_millis(1));
    stage.until_reader_sleeps();
    begin();
    publish(&mut producer, 1)
}

fn release_waking(stage: &Stage) -> Ended {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated())?;
    stage.until_producer_sleeps();
    begin();
    let first = consumer.next_sequence();
    receive(&mut consumer, first, first + 20)?;
    consumer.release();
    Ok(())
}
