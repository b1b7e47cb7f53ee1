//! Everything under two runtimes, on several threads each.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENCE, Runtime};
use futures_lite::{StreamExt, future};
use quoit::sync::{Latest, LatestOptions};
use quoit::zerocopy::{FromBytes, Immutable, IntoBytes};
use quoit::{Attach, Event, EventOf, Merge, Options, Producer, RecvError, Ring, SendError, Start, Typed};
use quoit_async::{
    AsyncConsumer, AsyncLatest, AsyncMerge, AsyncObserver, AsyncProducer, AsyncTypedConsumer,
    AsyncTypedProducer,
};

fn ring() -> Ring {
    Ring::heap(&Options::new().capacity(4096).slots(8)).unwrap()
}

fn consumer(ring: &Ring) -> AsyncConsumer {
    AsyncConsumer::new(ring.consumer(&Attach::gated()).unwrap()).unwrap()
}

fn number(event: EventOf<Vec<u8>>) -> u64 {
    u64::from_le_bytes(event.payload().expect("a record")[..8].try_into().unwrap())
}

/// Sends the numbers from 0, with pauses of all lengths that matter.
fn send_numbers(mut producer: Producer, count: u64) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for number in 0..count {
            if number % 7 == 0 {
                thread::sleep(Duration::from_micros(number % 5 * 100));
            }
            producer.send(&number.to_le_bytes()).unwrap();
        }
    })
}

#[test]
fn records_come_as_futures() {
    Runtime::each(|_| async {
        let ring = ring();
        let mut consumer = consumer(&ring);
        let sender = send_numbers(ring.producer().unwrap(), 500);
        for expected in 0..500 {
            assert_eq!(number(consumer.next().await.unwrap()), expected);
        }
        assert_eq!(consumer.next().await.unwrap_err(), RecvError::Closed);
        sender.join().unwrap();
        // After the end, for another producer.
        let sender = send_numbers(ring.producer().unwrap(), 1);
        assert_eq!(consumer.next().await.unwrap(), EventOf::ProducerChanged { epoch: 2 });
        assert_eq!(number(consumer.next().await.unwrap()), 0);
        sender.join().unwrap();
    });
}

#[test]
fn records_come_as_a_stream() {
    Runtime::each(|_| async {
        let ring = ring();
        let mut consumer = consumer(&ring);
        let sender = send_numbers(ring.producer().unwrap(), 500);
        let mut expected = 0;
        while let Some(event) = StreamExt::next(&mut consumer).await {
            assert_eq!(number(event.unwrap()), expected);
            expected += 1;
        }
        assert_eq!(expected, 500);
        assert!(StreamExt::next(&mut consumer).await.is_none(), "it goes on after its end");
        sender.join().unwrap();
    });
}

/// Futures that are dropped half way have taken nothing.
#[test]
fn nothing_is_lost_by_cancelling() {
    Runtime::each(|runtime| async move {
        let ring = ring();
        let mut consumer = consumer(&ring);
        let sender = send_numbers(ring.producer().unwrap(), 300);
        let (mut expected, mut cancelled) = (0, 0_u64);
        while expected < 300 {
            let time = Duration::from_micros(cancelled % 4 * 50);
            let event = future::or(async { Some(consumer.next().await.unwrap()) }, async {
                runtime.sleep(time).await;
                None
            });
            match event.await {
                Some(event) => {
                    assert_eq!(number(event), expected);
                    expected += 1;
                }
                None => cancelled += 1,
            }
            // Polled once, and dropped.
            let _ = future::poll_once(consumer.ready()).await;
        }
        sender.join().unwrap();
    });
}

/// Records are lent, too.
#[test]
fn a_task_may_wait_and_then_receive() {
    Runtime::each(|_| async {
        let ring = ring();
        let mut consumer = consumer(&ring);
        let sender = send_numbers(ring.producer().unwrap(), 100);
        let mut received = 0;
        let end = loop {
            consumer.ready().await;
            match consumer.get_mut().recv_timeout(Duration::ZERO) {
                Ok(Event::Record(record)) => {
                    assert_eq!(record.to_vec(), u64::to_le_bytes(received));
                    received += 1;
                }
                Ok(_) | Err(RecvError::TimedOut) => {}
                Err(end) => break end,
            }
        };
        assert_eq!((received, end), (100, RecvError::Closed));
        sender.join().unwrap();
    });
}

#[test]
fn many_tasks_wait_at_once() {
    Runtime::each(|runtime| async move {
        let rings: Vec<_> = (0..150).map(|_| ring()).collect();
        let tasks: Vec<_> = rings
            .iter()
            .map(|ring| {
                let mut consumer = consumer(ring);
                runtime.spawn(async move {
                    for expected in 0..20 {
                        assert_eq!(number(consumer.next().await.unwrap()), expected);
                    }
                })
            })
            .collect();
        let sender = thread::spawn(move || {
            let mut producers: Vec<_> = rings.iter().map(|ring| ring.producer().unwrap()).collect();
            for number in 0..20_u64 {
                for producer in &mut producers {
                    producer.send(&number.to_le_bytes()).unwrap();
                }
                thread::sleep(Duration::from_micros(300));
            }
        });
        for task in tasks {
            task.await;
        }
        sender.join().unwrap();
    });
}

#[test]
fn a_producer_waits_for_space() {
    Runtime::each(|runtime| async move {
        let ring = ring();
        let mut consumer = consumer(&ring);
        let mut producer = AsyncProducer::new(ring.producer().unwrap()).unwrap();
        let sender = runtime.spawn(async move {
            for number in 0..200_u64 {
                let mut record = number.to_le_bytes().to_vec();
                record.resize(1000, 0);
                assert_eq!(producer.send(&record).await.unwrap(), number);
            }
            producer.space(1000).await;
            let len = producer.get_ref().max_len() + 1;
            assert!(matches!(producer.send(&vec![0; len]).await, Err(SendError::TooLarge { .. })));
        });
        runtime.sleep(Duration::from_millis(5)).await;
        for expected in 0..200 {
            assert_eq!(number(consumer.next().await.unwrap()), expected);
        }
        assert_eq!(consumer.next().await.unwrap_err(), RecvError::Closed);
        sender.await;
    });
}

#[test]
fn a_latest_value_is_read_on_change() {
    Runtime::each(|_| async {
        let mut latest = Latest::local(&LatestOptions::new(), &0_u64).unwrap();
        let mut reader = AsyncLatest::new(latest.reader().unwrap()).unwrap();
        assert_eq!(reader.next().await.unwrap(), 0);
        let writer = thread::spawn(move || {
            for value in 1..=100 {
                latest.set(&value).unwrap();
                thread::sleep(Duration::from_micros(200));
            }
            latest
        });
        let mut last = 0;
        while last < 100 {
            let value = reader.next().await.unwrap();
            assert!(value > last, "{value} after {last}");
            last = value;
        }
        drop(writer.join().unwrap());
    });
}

#[derive(Clone, Copy, Debug, PartialEq, FromBytes, Immutable, IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
#[repr(C)]
struct Point {
    x: f64,
    y: f64,
}

impl Typed for Point {
    const TAG: u32 = 3;
}

#[test]
fn values_and_observers() {
    Runtime::each(|_| async {
        let ring = Ring::heap(&Options::new().capacity(4096).slots(2).schema::<Point>()).unwrap();
        let typed = ring.typed_consumer::<Point>(&Attach::gated()).unwrap();
        let mut typed = AsyncTypedConsumer::new(typed).unwrap();
        let mut observer = AsyncObserver::new(ring.observer(Start::Newest).unwrap()).unwrap();
        let mut producer = ring.typed_producer::<Point>().unwrap();
        let point = Point { x: 1.5, y: -2.0 };
        let sender = thread::spawn(move || {
            thread::sleep(Duration::from_millis(3));
            producer.send(&point).unwrap();
        });
        assert_eq!(typed.next().await.unwrap().payload(), Some(point));
        assert_eq!(observer.next().await.unwrap().payload().as_deref(), Some(point.as_bytes()));
        assert_eq!(typed.next().await.unwrap_err(), RecvError::Closed);
        sender.join().unwrap();
    });
}

#[test]
fn values_wait_for_space() {
    Runtime::each(|runtime| async move {
        let ring = Ring::heap(&Options::new().capacity(4096).slots(2).schema::<Point>()).unwrap();
        let mut consumer =
            AsyncTypedConsumer::new(ring.typed_consumer::<Point>(&Attach::gated()).unwrap()).unwrap();
        let mut producer = AsyncTypedProducer::new(ring.typed_producer::<Point>().unwrap()).unwrap();
        let point = |number: u64| Point { x: number as f64, y: -1.0 };
        let sender = runtime.spawn(async move {
            for number in 0..1000 {
                assert_eq!(producer.send(&point(number)).await.unwrap(), number);
            }
            assert_eq!(producer.into_inner().as_untyped().next_sequence(), 1000);
        });
        runtime.sleep(Duration::from_millis(5)).await;
        for number in 0..1000 {
            assert_eq!(consumer.next().await.unwrap().payload(), Some(point(number)));
        }
        assert_eq!(consumer.next().await.unwrap_err(), RecvError::Closed);
        sender.await;
    });
}

/// A value that finds no space before its future is dropped is not sent.
#[test]
fn a_value_that_is_given_up_is_not_sent() {
    Runtime::each(|_| async {
        let ring = Ring::heap(&Options::new().capacity(4096).slots(2).schema::<Point>()).unwrap();
        let mut consumer = ring.typed_consumer::<Point>(&Attach::gated()).unwrap();
        let mut producer = AsyncTypedProducer::new(ring.typed_producer::<Point>().unwrap()).unwrap();
        let mut sent = 0_u64;
        while producer.get_mut().try_send(&Point { x: sent as f64, y: 0.0 }).is_ok() {
            sent += 1;
        }
        assert!(future::poll_once(producer.send(&Point { x: -1.0, y: 0.0 })).await.is_none());
        for number in 0..sent {
            let value = consumer.recv().unwrap().payload().unwrap();
            assert_eq!(value, Point { x: number as f64, y: 0.0 });
        }
        assert!(consumer.try_recv().unwrap().is_none());
        assert_eq!(producer.send(&Point { x: -2.0, y: 0.0 }).await.unwrap(), sent);
    });
}

#[test]
fn rings_are_merged() {
    Runtime::each(|_| async {
        let rings = [ring(), ring(), ring()];
        let mut merge = Merge::new();
        for ring in &rings {
            merge.push(ring.consumer(&Attach::gated()).unwrap());
        }
        let mut merge = AsyncMerge::new(merge).unwrap();
        let counts = [100, 200, 0].into_iter().zip(&rings);
        let senders: Vec<_> =
            counts.map(|(count, ring)| send_numbers(ring.producer().unwrap(), count)).collect();
        let (mut received, mut ends) = ([0; 3], 0);
        while let Some(merged) = StreamExt::next(&mut merge).await {
            match merged.event {
                Ok(event) => {
                    assert_eq!(number(event), received[merged.ring]);
                    received[merged.ring] += 1;
                }
                Err(end) => {
                    assert_eq!(end, RecvError::Closed);
                    ends += 1;
                }
            }
        }
        assert_eq!((received, ends), ([100, 200, 0], 3));
        assert!(StreamExt::next(&mut merge).await.is_none());
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        // After the end, for another producer.
        let sender = send_numbers(rings[1].producer().unwrap(), 1);
        let changed = merge.next().await.unwrap();
        assert_eq!((changed.ring, changed.event), (1, Ok(EventOf::ProducerChanged { epoch: 2 })));
        assert_eq!(merge.next().await.unwrap().event.map(number), Ok(0));
        sender.join().unwrap();
    });
}

/// A task with an endless supply lets others run: this runtime has one thread.
#[test]
fn a_busy_task_gives_way() {
    let executor = smol::LocalExecutor::new();
    let ring = ring();
    let mut consumer = consumer(&ring);
    let mut producer = ring.producer().unwrap();
    let begin = Instant::now();
    let other = executor.spawn(async {});
    let busy = async {
        while !other.is_finished() {
            producer.send(b"x").unwrap();
            consumer.next().await.unwrap();
            assert!(begin.elapsed() < PATIENCE, "nobody else had a turn");
        }
    };
    // The executor runs only while `busy` is pending.
    smol::block_on(executor.run(busy));
}
