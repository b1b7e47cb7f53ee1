//! The environment of a scenario: a folder with the ring, records that identify themselves, and the processes around
//! the victim.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use nix::unistd::{alarm, pipe};
use quoit::{
    Attach, CallError, Consumer, DeadLetterError, Error, Event, GroupError, Inspector, Observer, Options,
    Producer, RecvError, SendError, Start, WaitMode,
};
use support::offsets;

use crate::adopt::adopt;
use crate::child::{self, Child};

/// Slots of the rings: few, so that a lock left behind on any of them is met.
pub(crate) const SLOTS: u32 = 4;
const CAPACITY: u64 = 16 << 10;
/// The words that sleepers arm, with this many slots and segments.
const DATA_WORD: u64 = offsets::CONTROL + offsets::DATA_WORD;
const SPACE_WORD: u64 = offsets::CONTROL + offsets::SPACE_WORD;
/// Whoever takes longer hangs.
pub(crate) const ALARM_SECONDS: u32 = 30;

/// How a scenario ended that did not succeed.
#[derive(Debug)]
pub(crate) enum Problem {
    /// An error of the library that names its cause.
    Refused { variant: String, text: String, errno: Option<i32> },
    /// Anything else.
    Wrong(String),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let variant = format!("{error:?}");
        let end = variant.find([' ', '(', '{']).unwrap_or(variant.len());
        let errno = match &error {
            Error::Io { source, .. } => source.raw_os_error(),
            _ => None,
        };
        Self::Refused { variant: variant[..end].to_owned(), text: error.to_string(), errno }
    }
}

impl From<GroupError> for Problem {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::Failed(error) => error.into(),
            GroupError::DeadLetter { error: DeadLetterError::Open(error), .. } => error.into(),
            error => Self::Wrong(format!("a member ended with {error:?}")),
        }
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Client(error) => error.into(),
            error => Self::Wrong(format!("a call ended with {error:?}")),
        }
    }
}

impl From<SendError> for Problem {
    fn from(error: SendError) -> Self {
        Self::Wrong(format!("a send ended with {error:?}"))
    }
}

impl From<RecvError> for Problem {
    fn from(error: RecvError) -> Self {
        Self::Wrong(format!("a receive ended with {error:?}"))
    }
}

/// What a scenario ends with: nothing, or a problem.
pub(crate) type Ended = Result<(), Problem>;

/// What somebody finds who had no part: the number that the object stands at, and whether it has its random number.
pub(crate) type Found = Result<(u64, bool), Problem>;

/// Ends a scenario: something came out that must not.
macro_rules! wrong {
    ($($arg:tt)*) => { return Err($crate::syscalls::stage::Problem::Wrong(format!($($arg)*))) };
}
pub(crate) use wrong;

/// A folder for one ring.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) folder: PathBuf,
    pub(crate) mode: WaitMode,
}

impl Stage {
    pub(crate) fn ring(&self) -> PathBuf {
        self.folder.join("ring")
    }

    /// Any other object.
    pub(crate) fn object(&self) -> PathBuf {
        self.folder.join("object")
    }

    pub(crate) fn options(&self) -> Options {
        Options::new().capacity(CAPACITY).slots(SLOTS).wait(self.mode)
    }

    /// The names in the folder, in order.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Waits until somebody sleeps on the word at this offset of a ring.
    fn until_armed(ring: &Path, offset: u64) {
        let file = File::open(ring).expect("the ring is there");
        let end = Instant::now() + Duration::from_secs(15);
        let mut word = [0; 4];
        while Instant::now() < end {
            file.read_exact_at(&mut word, offset).expect("the control area is there");
            if word[0] & 1 == 1 {
                return;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        panic!("nobody goes to sleep");
    }

    /// Waits until a reader sleeps, or for a moment where readers sleep unseen.
    pub(crate) fn until_reader_sleeps(&self) {
        match self.mode {
            WaitMode::Spin => std::thread::sleep(Duration::from_millis(4)),
            _ => Self::until_armed(&self.ring(), DATA_WORD),
        }
    }

    /// Waits until a member of a group sleeps, whose ring is the object.
    pub(crate) fn until_member_sleeps(&self) {
        Self::until_armed(&self.object(), DATA_WORD);
    }

    /// Waits until somebody sleeps who follows the consumer in the first slot.
    pub(crate) fn until_follower_sleeps(&self) {
        Self::until_armed(&self.ring(), offsets::CONTROL + offsets::slot(0) + offsets::RELEASED);
    }

    /// Waits until the producer sleeps for space, or for a moment where it sleeps unseen.
    pub(crate) fn until_producer_sleeps(&self) {
        match self.mode {
            WaitMode::Spin => std::thread::sleep(Duration::from_millis(4)),
            _ => Self::until_armed(&self.ring(), SPACE_WORD),
        }
    }
}

/// The record of this sequence: its length and its bytes follow from it.
pub(crate) fn payload(sequence: u64) -> Vec<u8> {
    let len = (sequence.wrapping_mul(37) % 150) as usize;
    (0..len).map(|at| (sequence.wrapping_mul(31).wrapping_add(at as u64 * 7) % 251) as u8).collect()
}

/// Sends `records` records.
pub(crate) fn publish(producer: &mut Producer, records: u32) -> Ended {
    for _ in 0..records {
        let next = producer.next_sequence();
        let sent = producer.send_deadline(&payload(next), soon())?;
        if sent != next {
            wrong!("sequence {sent} sent instead of {next}");
        }
    }
    Ok(())
}

/// Sends until the ring is full.
pub(crate) fn fill(producer: &mut Producer) -> Ended {
    loop {
        match producer.try_send(&payload(producer.next_sequence())) {
            Ok(_) => {}
            Err(SendError::Full { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The event is this record, whole.
pub(crate) fn check(event: &Event<'_>, sequence: u64) -> Ended {
    match event {
        Event::Record(record) if record.sequence() == sequence && record.to_vec() == payload(sequence) => {
            Ok(())
        }
        Event::Record(record) if record.sequence() == sequence => wrong!("record {sequence} has other bytes"),
        other => wrong!("{other:?} instead of record {sequence}"),
    }
}

/// Receives the records from `first` up to, but not including, `end`.
pub(crate) fn receive(consumer: &mut Consumer, first: u64, end: u64) -> Ended {
    for sequence in first..end {
        match consumer.recv_deadline(soon()) {
            Err(RecvError::TimedOut) => wrong!("record {sequence} does not come"),
            event => check(&event?, sequence)?,
        }
    }
    Ok(())
}

/// When everything has happened that ever will. Before the alarm.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(15)
}

/// What a process that had no part so far finds at the path: a ring that works in every role, with every record
/// intact and every lock free; or nothing, and then it can create one. Returns the sequence it went on with,
/// and whether the ring has its random number.
pub(crate) fn afresh(stage: &Stage) -> Found {
    let path = stage.ring();
    let mut producer = match Producer::open(&path) {
        Err(Error::NotFound { .. }) => Producer::create(&path, &stage.options())?,
        other => other?,
    };
    let next = producer.next_sequence();
    let snapshot = Inspector::open(&path)?.snapshot()?;
    if let Some(left) = snapshot.consumers.iter().find(|consumer| consumer.alive) {
        wrong!("slot {} is still locked", left.slot);
    }
    let mut observer = Observer::open(&path, Start::Oldest)?;
    for sequence in snapshot.oldest_sequence..next {
        match observer.try_recv()? {
            Some(event) => check(&event, sequence)?,
            None => wrong!("record {sequence} of {next} is gone"),
        }
    }
    // Whoever is kept under a name comes back, receives what it missed, and is forgotten.
    for info in &snapshot.consumers {
        let Some(name) = &info.name else { continue };
        let mut consumer = Consumer::open(&path, &Attach::gated().name(name))?;
        receive(&mut consumer, info.next_sequence, next)?;
        consumer.release();
        drop(consumer);
        quoit::forget(&path, name)?;
    }
    // Every slot: the first reads along, the others only hold theirs.
    let mut consumers = Vec::new();
    for _ in 0..SLOTS {
        consumers.push(Consumer::open(&path, &Attach::gated())?);
    }
    publish(&mut producer, 3)?;
    receive(&mut consumers[0], next, next + 3)?;
    drop(consumers);
    drop(producer);
    Ok((next, snapshot.ring_id != 0))
}

/// Runs `work` in a child that had no part in anything so far. What it says comes back; an error if it ends in
/// any other way.
pub(crate) fn elsewhere(work: impl FnOnce() -> Result<String, String>) -> Result<String> {
    Neighbour::start(|_| work())?.finish()
}

/// A process beside the victim.
#[derive(Debug)]
pub(crate) struct Neighbour {
    child: Child,
    says: File,
    ready: File,
    go: File,
}

/// How a neighbour and the check wait for each other.
#[derive(Debug)]
pub(crate) struct Cue {
    ready: File,
    go: File,
}

impl Cue {
    /// The victim may come.
    pub(crate) fn ready(&mut self) {
        self.ready.write_all(b"r").expect("the check reads this");
    }

    /// Waits until the victim is where its system calls are failed.
    pub(crate) fn await_go(&mut self) {
        self.go.read_exact(&mut [0]).expect("the check writes this");
    }

    /// Nothing more to do but to be there.
    pub(crate) fn stay(&self) -> ! {
        loop {
            std::thread::sleep(Duration::from_secs(60));
        }
    }
}

impl Neighbour {
    pub(crate) fn start(work: impl FnOnce(&mut Cue) -> Result<String, String>) -> Result<Self> {
        let says = File::from(memfd()?);
        let (ready_in, ready_out) = pipe()?;
        let (go_in, go_out) = pipe()?;
        let child = child::fork(|| {
            alarm::set(ALARM_SECONDS);
            guard_disk();
            let mut cue = Cue { ready: ready_out.into(), go: go_in.into() };
            let text = match catch(|| work(&mut cue)) {
                Ok(text) => format!("+{text}"),
                Err(text) => format!("-{text}"),
            };
            let _ = says.write_all_at(text.as_bytes(), 0);
            0
        })?;
        Ok(Self { child: Child::adopt(child), says, ready: ready_in.into(), go: go_out.into() })
    }

    /// Waits until it has everything in place.
    pub(crate) fn await_ready(&mut self) -> Result<()> {
        match self.ready.read(&mut [0])? {
            0 => bail!("a neighbour ended before it was ready: {:?}", said(&self.says)),
            _ => Ok(()),
        }
    }

    pub(crate) fn go(&mut self) {
        // It may have ended already, or never wait for this.
        let _ = self.go.write_all(b"g");
    }

    /// Waits for its end, and returns what it has to say.
    pub(crate) fn finish(mut self) -> Result<String> {
        match self.child.end()? {
            WaitStatus::Signaled(_, Signal::SIGALRM, _) => bail!("a process beside the victim hangs"),
            WaitStatus::Exited(..) => {}
            other => bail!("a process beside the victim ended with {other:?}"),
        }
        said(&self.says)
    }
}

/// What a child wrote into its scratch file.
pub(crate) fn said(file: &File) -> Result<String> {
    let mut text = vec![0; usize::try_from(file.metadata()?.len())?];
    file.read_exact_at(&mut text, 0)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(said), _) => Ok(said.to_owned()),
        (_, Some(said)) => bail!("{said}"),
        _ => bail!("a child ended without a word"),
    }
}

pub(crate) fn memfd() -> Result<std::os::fd::OwnedFd> {
    Ok(rustix::fs::memfd_create("says", rustix::fs::MemfdFlags::CLOEXEC)?)
}

/// Runs `work`; a panic becomes its error.
pub(crate) fn catch<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    // The hook runs where the panic is: it has the place, and must not print.
    std::panic::set_hook(Box::new(|info| {
        LAST_PANIC.with(|last| *last.borrow_mut() = info.to_string());
    }));
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(_) => Err(LAST_PANIC.with(|last| last.borrow().clone())),
    }
}

std::thread_local! {
    static LAST_PANIC: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

/// A request that should be refused for its size must not fill the machine's memory if it is not.
pub(crate) fn guard_disk() {
    let limit = rustix::process::Rlimit { current: Some(1 << 28), maximum: Some(1 << 28) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Fsize, limit);
}

/// What is in a folder, to be put there again before each run.
#[derive(Debug, Default)]
pub(crate) struct Template(Vec<(String, Vec<u8>)>);

impl Template {
    pub(crate) fn take(stage: &Stage) -> Result<Self> {
        let read = |name: String| Ok((name.clone(), std::fs::read(stage.folder.join(name))?));
        Ok(Self(stage.names()?.into_iter().map(read).collect::<Result<_>>()?))
    }

    /// Nothing else is left there. Every block of the files is written, so rings stay rings.
    pub(crate) fn restore(&self, folder: &Path) -> Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        for (name, bytes) in &self.0 {
            std::fs::write(folder.join(name), bytes)?;
            adopt(&folder.join(name))?;
        }
        Ok(())
    }
}
