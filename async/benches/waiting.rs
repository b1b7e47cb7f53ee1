//! What waiting costs, one way beside the other: the round trip of a record to a thread that sleeps until it comes, and the
//! processor time of a process that waits for nothing.
//!
//!     cargo bench -p quoit-async --bench waiting [-- idle [RINGS...]]
//!
//! The one side sends, and sleeps in `recv` for the answer. The other side waits in the way that is measured, and answers.
//! Nobody polls before sleeping. Each side has a processor, which it shares with its helper threads. `docs/waiting.md` has
//! figures.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Options, Producer, Record, RecvError, WaitFd, WaitMode, WaitSet, Waitable};
use quoit_async::AsyncConsumer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::thread::{CpuSet, futex, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// Payload bytes.
const BYTES: usize = 64;

struct Rings {
    directory: tempfile::TempDir,
    mode: WaitMode,
}

impl Rings {
    fn new(mode: WaitMode) -> Self {
        let directory = tempfile::Builder::new().prefix("quoit-bench-").tempdir_in("/dev/shm");
        Self { directory: directory.expect("a directory on tmpfs"), mode }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn create(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        Options::new().capacity(1 << 16).slots(2).wait(self.mode).create(&path).expect("create a ring");
        path
    }
}

fn consumer(path: &Path) -> Consumer {
    let mut consumer = Consumer::open(path, &Attach::lossy()).expect("attach");
    consumer.set_spins(0);
    consumer
}

/// Consumers of rings from which nothing comes, and their producers.
fn idle(rings: &Rings, count: usize) -> Vec<(Producer, Consumer)> {
    let one = |number| {
        let path = rings.create(&format!("idle{number}"));
        (Producer::open(&path).expect("become the producer"), consumer(&path))
    };
    (0..count).map(one).collect()
}

/// The other side: waits, and answers, until the stream ends.
type Answering = fn(&Rings, Consumer, Producer);

fn answer(producer: &mut Producer, record: &Record<'_>) {
    producer.send(&record.bytes()).expect("answer");
}

/// Answers all there is. False: the stream has ended.
fn answer_all(asked: &mut Consumer, answers: &mut Producer) -> bool {
    loop {
        match asked.recv_timeout(Duration::ZERO) {
            Ok(event) => {
                if let Some(record) = event.record() {
                    answer(answers, &record);
                }
            }
            Err(RecvError::TimedOut) => return true,
            Err(_) => return false,
        }
    }
}

fn by_recv(_: &Rings, mut asked: Consumer, mut answers: Producer) {
    while let Ok(record) = asked.recv_record(|_| {}) {
        answer(&mut answers, &record);
    }
}

fn by_set<const OTHERS: usize>(rings: &Rings, mut asked: Consumer, mut answers: Producer) {
    let mut others = idle(rings, OTHERS);
    let mut set = WaitSet::new();
    set.set_spins(0);
    loop {
        let mut things: Vec<&mut dyn Waitable> = vec![&mut asked];
        things.extend(others.iter_mut().map(|(_, consumer)| consumer as &mut dyn Waitable));
        let ready = set.wait(&mut things);
        if ready.contains(0) && !answer_all(&mut asked, &mut answers) {
            return;
        }
    }
}

fn by_descriptor(_: &Rings, mut asked: Consumer, mut answers: Producer) {
    let mut descriptor = WaitFd::new().expect("a descriptor");
    loop {
        while descriptor.arm(&mut [&mut asked]).expect("arm").is_empty() {
            poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], None).expect("poll");
        }
        if !answer_all(&mut asked, &mut answers) {
            return;
        }
    }
}

async fn answer_async(asked: Consumer, mut answers: Producer) {
    let mut asked = AsyncConsumer::new(asked).expect("an async consumer");
    loop {
        asked.ready().await;
        if !answer_all(asked.get_mut(), &mut answers) {
            return;
        }
    }
}

fn by_tokio(_: &Rings, asked: Consumer, answers: Producer) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(answer_async(asked, answers));
}

fn by_smol(_: &Rings, asked: Consumer, answers: Producer) {
    smol::block_on(answer_async(asked, answers));
}

/// Keeps this thread, and those that it starts, on one processor, if there are several.
fn pin(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    // Refused: there is only one, or they are others.
    let _ = sched_setaffinity(None, &set);
}

/// The median of some round trips.
fn round_trip(mode: WaitMode, answering: Answering, count: usize) -> f64 {
    let rings = Rings::new(mode);
    let (there, back) = (rings.create("there"), rings.create("back"));
    let mut ask = Producer::open(&there).expect("become the producer");
    let (asked, mut answered) = (consumer(&there), consumer(&back));
    let answers = Producer::open(&back).expect("become the producer");
    let mut times = Vec::with_capacity(count);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            answering(&rings, asked, answers);
        });
        pin(0);
        for turn in 0..count + count / 5 {
            // The other side has had the time to fall asleep.
            std::thread::sleep(Duration::from_micros(300));
            let begin = Instant::now();
            ask.send(&[7; BYTES]).expect("ask");
            let answer = answered.recv_record(|_| {}).expect("an answer");
            assert_eq!(answer.len(), BYTES);
            // The first ones make caches and threads warm.
            if turn >= count / 5 {
                times.push(begin.elapsed().as_secs_f64() * 1e6);
            }
        }
        drop(ask);
    });
    median(times)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// For how long nothing has come before processor time is measured, and then for how long it is.
#[derive(Clone, Copy)]
struct Idle {
    silence: Duration,
    time: Duration,
}

impl Idle {
    /// The part of a processor that this process takes while `wait` waits for nothing.
    fn part(self, wait: impl FnOnce(Instant) + Send) -> f64 {
        let Self { silence, time } = self;
        let begin = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(move || wait(begin + silence + time + Duration::from_millis(50)));
            std::thread::sleep(silence);
            let (begin, before) = (Instant::now(), processor_time());
            std::thread::sleep(time);
            (processor_time() - before).as_secs_f64() / begin.elapsed().as_secs_f64()
        })
    }

    /// A thread that sleeps in slices of 100 ms on a futex of its own, and does nothing else.
    fn futex(self) -> f64 {
        let word = AtomicU32::new(0);
        let slice = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        self.part(|end| {
            while Instant::now() < end {
                let slept = futex::wait(&word, futex::Flags::PRIVATE, 0, Some(&slice));
                assert_eq!(slept, Err(Errno::TIMEDOUT));
            }
        })
    }

    fn set(self, count: usize) -> f64 {
        let rings = Rings::new(WaitMode::Membarrier);
        let mut others = idle(&rings, count);
        let mut set = WaitSet::new();
        self.part(|end| {
            let mut things: Vec<_> = others.iter_mut().map(|(_, each)| each as &mut dyn Waitable).collect();
            assert!(set.wait_deadline(&mut things, end).is_empty());
        })
    }

    fn tasks(self, count: usize) -> f64 {
        let rings = Rings::new(WaitMode::Membarrier);
        let (producers, consumers): (Vec<_>, Vec<_>) = idle(&rings, count).into_iter().unzip();
        let part = self.part(|end| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            runtime.block_on(async {
                let local = tokio::task::LocalSet::new();
                for consumer in consumers {
                    local.spawn_local(async move {
                        let mut consumer = AsyncConsumer::new(consumer).expect("an async consumer");
                        panic!("something came: {:?}", consumer.next().await);
                    });
                }
                local.run_until(tokio::time::sleep_until(end.into())).await;
            });
        });
        drop(producers);
        part
    }

    /// Prints the rows that are asked for by the number of rings, or all.
    fn print(self, wanted: &[usize]) {
        let Self { silence, time } = self;
        println!("part of a processor over {time:?}, after nothing has come for {silence:?}");
        let is_wanted = |count: usize| wanted.is_empty() || wanted.contains(&count);
        if is_wanted(0) {
            println!("a thread that sleeps on a futex: {:.4} %", self.futex() * 100.0);
        }
        for count in [1, 16, 128].into_iter().filter(|count| is_wanted(*count)) {
            println!("{count:>4} rings: WaitSet {:.4} %", self.set(count) * 100.0);
            println!("{count:>4} rings: tasks under tokio {:.4} %", self.tasks(count) * 100.0);
        }
    }
}

fn main() {
    // `cargo test` runs everything once, `cargo bench` for as long as figures need.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (rounds, count) = if is_bench { (15, 200) } else { (1, 20) };
    let time = if is_bench { Duration::from_secs(5) } else { Duration::from_millis(50) };
    let silences = if is_bench { &[Duration::ZERO, Duration::from_secs(17)][..] } else { &[Duration::ZERO] };
    let ways: [(&str, Answering); 7] = [
        ("recv", by_recv),
        ("WaitSet, 1 ring", by_set::<0>),
        ("WaitSet, 16 rings", by_set::<15>),
        ("WaitSet, 128 rings", by_set::<127>),
        ("WaitFd and poll", by_descriptor),
        ("AsyncConsumer, tokio", by_tokio),
        ("AsyncConsumer, smol", by_smol),
    ];
    let is_idle_only = std::env::args().any(|argument| argument == "idle");
    let modes = if is_idle_only { &[][..] } else { &[WaitMode::Membarrier, WaitMode::Fence][..] };
    if !is_idle_only {
        println!("round trip to a sleeper: medians of {rounds} rounds of {count}");
    }
    for mode in modes.iter().copied() {
        let (mut times, mut ratios) = ([const { Vec::new() }; 7], [const { Vec::new() }; 7]);
        for _ in 0..rounds {
            let round = ways.map(|(_, answering)| round_trip(mode, answering, count));
            for (way, time) in round.into_iter().enumerate() {
                times[way].push(time);
                ratios[way].push(time / round[0]);
            }
        }
        for (((name, _), times), ratios) in ways.iter().zip(times).zip(ratios) {
            println!("{mode:>11}  {name:<22} {:7.1} us   {:.2} of recv", median(times), median(ratios));
        }
    }
    let wanted: Vec<_> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    for silence in silences.iter().copied() {
        Idle { silence, time }.print(&wanted);
    }
}
