//! Waiting for one ring, for many, and as a task: what it adds to a wake-up, and what it takes while nothing comes.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use quoit::{Attach, Consumer, Event, Producer, WaitMode, WaitSet, Waitable};
use quoit_async::AsyncConsumer;
use quoit_floors::asleep::asking;
use quoit_floors::figures::{Figures, Measured};
use quoit_floors::scene::{Scene, Side, nanos};
use quoit_floors::windows::partner;
use rustix::time::ClockId;
use serde::{Deserialize, Serialize};

use crate::ends::{both_ways, options, unexpected};

const BYTES: usize = 64;
/// Bytes of a ring.
const CAPACITY: usize = 64 << 10;

/// How the receiver waits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Waiter {
    /// In a receive.
    Recv,
    /// In a set of so many rings, all but one of which stay empty.
    Set { rings: usize },
    /// As a task.
    Task,
}

/// Receives a record, however it waits, and answers.
trait Answers {
    fn answer(&mut self, producer: &mut Producer) -> Result<()>;
}

impl Answers for Consumer {
    fn answer(&mut self, producer: &mut Producer) -> Result<()> {
        take(self.recv()?)?;
        Ok(producer.send(&[7; BYTES]).map(drop)?)
    }
}

fn take(event: Event<'_>) -> Result<()> {
    match event {
        Event::Record(record) => {
            ensure!(record.len() == BYTES, "a record of {} bytes", record.len());
            Ok(())
        }
        event => Err(unexpected(&event)),
    }
}

struct Set {
    set: WaitSet,
    asked: Consumer,
    others: Vec<(Producer, Consumer)>,
}

impl Answers for Set {
    fn answer(&mut self, producer: &mut Producer) -> Result<()> {
        loop {
            let mut things: Vec<&mut dyn Waitable> = vec![&mut self.asked];
            things.extend(self.others.iter_mut().map(|(_, consumer)| consumer as &mut dyn Waitable));
            let is_ready = self.set.wait(&mut things).contains(0);
            drop(things);
            if is_ready && let Some(event) = self.asked.try_recv()? {
                take(event)?;
                return Ok(producer.send(&[7; BYTES]).map(drop)?);
            }
        }
    }
}

impl Answers for AsyncConsumer {
    fn answer(&mut self, producer: &mut Producer) -> Result<()> {
        loop {
            block_on(self.ready());
            if let Some(event) = self.get_mut().try_recv()? {
                take(event)?;
                return Ok(producer.send(&[7; BYTES]).map(drop)?);
            }
        }
    }
}

/// The least that runs a task: its thread sleeps until the task is woken.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}

pub(super) fn wake(scene: &Scene, waiter: Waiter, count: u64) -> Result<Measured> {
    let (mut producer, mut consumer) = both_ways(scene, &options(CAPACITY, WaitMode::default()))?;
    consumer.set_spins(0);
    if scene.side == Side::Right {
        return match waiter {
            Waiter::Recv => answering(scene, consumer, producer, count),
            Waiter::Set { rings } => {
                let mut set = WaitSet::new();
                set.set_spins(0);
                let others = quiet(scene, rings - 1)?;
                answering(scene, Set { set, asked: consumer, others }, producer, count)
            }
            Waiter::Task => {
                // The thread that sleeps for the task runs on this CPU, too.
                let _helped = scene.helped();
                answering(scene, AsyncConsumer::new(consumer)?, producer, count)
            }
        };
    }
    scene.meet();
    let measured = asking(scene, count, || {
        producer.send(&[7; BYTES])?;
        take(consumer.recv()?)
    })?;
    scene.meet();
    Ok(measured)
}

fn answering(
    scene: &Scene,
    mut waiter: impl Answers,
    mut producer: Producer,
    count: u64,
) -> Result<Measured> {
    scene.meet();
    let measured = partner(scene, || {
        (0..count).try_for_each(|_| waiter.answer(&mut producer))?;
        Ok(None)
    })?;
    scene.meet();
    Ok(measured)
}

/// Rings from which nothing comes. Nothing is left of their files.
fn quiet(scene: &Scene, count: usize) -> Result<Vec<(Producer, Consumer)>> {
    let one = |number| {
        let path = scene.path(&format!("quiet{number}"));
        let producer = Producer::create(&path, &options(CAPACITY, WaitMode::default()))?;
        let mut consumer = Consumer::open(&path, &Attach::lossy())?;
        consumer.set_spins(0);
        std::fs::remove_file(&path)?;
        Ok((producer, consumer))
    };
    (0..count).map(one).collect()
}

/// The right side's processor time in this time, from when it begins to wait. The left side sleeps.
pub(super) fn idle(scene: &Scene, rings: usize, millis: u64) -> Result<Measured> {
    let time = Duration::from_millis(millis);
    if scene.side == Side::Left {
        scene.meet();
        thread::sleep(time);
        scene.meet();
        return Ok(Figures::default().into());
    }
    let mut quiet = quiet(scene, rings)?;
    let mut set = WaitSet::new();
    scene.meet();
    let (begin, before) = (Instant::now(), nanos(ClockId::ProcessCPUTime));
    let mut things: Vec<_> = quiet.iter_mut().map(|(_, each)| each as &mut dyn Waitable).collect();
    if !set.wait_deadline(&mut things, begin + time).is_empty() {
        return Err(anyhow!("something came from a ring that nobody sends to"));
    }
    let ran = (nanos(ClockId::ProcessCPUTime) - before) as f64;
    let (part, seconds) = (ran / begin.elapsed().as_nanos() as f64, begin.elapsed().as_secs_f64());
    scene.meet();
    // Of a second, as a time.
    Ok(Figures { typical: ran / seconds, share: Some(part), ..Figures::default() }.into())
}
