//! A follower of a stage as a task, under two runtimes: it receives what the stage has released, and is told when that is gone.

mod common;

use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{PATIENCE, Runtime};
use futures_lite::{StreamExt, future};
use quoit::{Attach, Consumer, Error, EventOf, Options, Producer, RecvError, Ring, Start};
use quoit_async::AsyncConsumer;

fn options() -> Options {
    Options::new().capacity(4096).slots(3)
}

fn journal() -> Attach {
    Attach::gated().name("journal").start(Start::Oldest)
}

fn logic() -> Attach {
    Attach::gated().after("journal").start(Start::Oldest)
}

/// A ring, its stage, and a follower of that.
fn ring() -> (Ring, Consumer, AsyncConsumer) {
    let ring = Ring::heap(&options()).unwrap();
    let mut journal = ring.consumer(&journal()).unwrap();
    journal.keep(true);
    let logic = AsyncConsumer::new(ring.consumer(&logic()).unwrap()).unwrap();
    (ring, journal, logic)
}

fn send(producer: &mut Producer, numbers: std::ops::Range<u64>) {
    for number in numbers {
        producer.send(&number.to_le_bytes()).unwrap();
    }
}

/// The stage receives this record, and has it in hand.
fn receive(journal: &mut Consumer, number: u64) {
    assert_eq!(journal.recv().unwrap().record().and_then(|record| record.read()), Some(number));
}

fn number(event: EventOf<Vec<u8>>) -> u64 {
    u64::from_le_bytes(event.payload().expect("a record")[..8].try_into().unwrap())
}

async fn nothing(logic: &mut AsyncConsumer, why: &str) {
    assert!(future::poll_once(logic.next()).await.is_none(), "{why}");
}

#[test]
fn only_what_was_released_is_received() {
    Runtime::each(|_| async {
        let (ring, mut journal, mut logic) = ring();
        let mut producer = ring.producer().unwrap();
        send(&mut producer, 0..20);
        for expected in 0..20 {
            nothing(&mut logic, "the stage has not received it").await;
            receive(&mut journal, expected);
            nothing(&mut logic, "the stage has it in hand").await;
            journal.release();
            assert_eq!(number(logic.next().await.unwrap()), expected);
        }
        // The end comes last.
        send(&mut producer, 20..21);
        drop(producer);
        nothing(&mut logic, "the stage has still to release a record").await;
        receive(&mut journal, 20);
        journal.release();
        assert_eq!(number(logic.next().await.unwrap()), 20);
        assert_eq!(logic.next().await.unwrap_err(), RecvError::Closed);
    });
}

/// The stage releases each record only when its follower waits for that. Were it not woken, each would take a slice of a tenth
/// of a second, and all of them longer than a test may.
#[test]
fn each_release_wakes_a_task() {
    const RECORDS: u64 = 400;
    Runtime::each(|_| async {
        let (ring, mut journal, mut logic) = ring();
        let mut producer = ring.producer().unwrap();
        let (ask, asked) = mpsc::channel();
        let stage = thread::spawn(move || {
            for number in 0..RECORDS {
                send(&mut producer, number..number + 1);
                receive(&mut journal, number);
                asked.recv().unwrap();
                thread::sleep(Duration::from_micros(200));
                journal.release();
            }
            (producer, journal)
        });
        for expected in 0..RECORDS {
            ask.send(()).unwrap();
            assert_eq!(number(logic.next().await.unwrap()), expected);
        }
        stage.join().unwrap();
    });
}

#[test]
fn a_stage_that_leaves_ends_the_stream() {
    Runtime::each(|_| async {
        let (ring, mut journal, mut logic) = ring();
        let mut producer = ring.producer().unwrap();
        send(&mut producer, 0..2);
        receive(&mut journal, 0);
        journal.release();
        drop(journal);
        assert_eq!(StreamExt::next(&mut logic).await.unwrap().map(number), Ok(0));
        assert_eq!(StreamExt::next(&mut logic).await, Some(Err(RecvError::StageGone)));
        assert!(StreamExt::next(&mut logic).await.is_none(), "it goes on after its end");
        // Without a stage, everything published.
        logic.get_mut().unfollow();
        assert_eq!(number(logic.next().await.unwrap()), 1);
    });
}

/// Not a test of its own: the stage of [`the_death_of_a_stage_is_told`], in a process that is killed.
#[test]
fn plays_the_stage() {
    let Some(ring) = std::env::var_os("QUOIT_STAGE_OF") else { return };
    let mut journal = Consumer::open(ring, &journal()).unwrap();
    journal.keep(true);
    receive(&mut journal, 0);
    journal.release();
    receive(&mut journal, 1);
    thread::sleep(PATIENCE);
}

/// A process that is killed with the test.
struct Stage(Child);

impl Stage {
    fn start(ring: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["plays_the_stage", "--exact"]).env("QUOIT_STAGE_OF", ring);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_death_of_a_stage_is_told() {
    Runtime::each(|runtime| async move {
        let directory = tempfile::Builder::new().prefix("quoit-test-").tempdir_in("/dev/shm").unwrap();
        let path = directory.path().join("ring");
        let mut producer = Producer::create(&path, &options()).unwrap();
        send(&mut producer, 0..2);
        let stage = Stage::start(&path);
        let logic = loop {
            match Consumer::open(&path, &logic()) {
                Ok(logic) => break logic,
                Err(Error::NoStage { .. }) => runtime.sleep(Duration::from_millis(1)).await,
                Err(error) => panic!("{error}"),
            }
        };
        let mut logic = AsyncConsumer::new(logic).unwrap();
        assert_eq!(number(logic.next().await.unwrap()), 0);
        nothing(&mut logic, "the stage has it in hand").await;
        let killing = async {
            runtime.sleep(Duration::from_millis(30)).await;
            drop(stage);
        };
        let (told, ()) = future::zip(logic.next(), killing).await;
        assert_eq!(told.unwrap_err(), RecvError::StageGone);
        // As after the end of a stream, the next call waits, and what is not released is withheld.
        nothing(&mut logic, "nobody has released it").await;
        // Its successor goes on with what it had in hand.
        let mut successor = Consumer::open(&path, &journal()).unwrap();
        successor.keep(true);
        receive(&mut successor, 1);
        successor.release();
        assert_eq!(number(logic.next().await.unwrap()), 1);
    });
}
