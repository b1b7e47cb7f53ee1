//! Micro-benchmarks: the cost of single operations in one thread, with all data in its cache. `quoit bench` measures
//! between processes.
//!
//! ```sh
//! cargo bench --bench ring            # all
//! cargo bench --bench ring -- publish # one group
//! ```

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use quoit::{Attach, Consumer, Event, Options, Producer, Ring, Start, Status, WaitMode};

/// Sizes of copies: within the first-level cache, beyond it, and beyond the second.
const SIZES: [usize; 4] = [8, 64, 1024, 64 << 10];
const CAPACITY: u64 = 1 << 20;

/// A ring on the heap with only its producer.
fn heap(options: &Options) -> Producer {
    Ring::heap(options).unwrap().producer().unwrap()
}

fn options() -> Options {
    Options::new().capacity(CAPACITY)
}

/// Receives everything that is there, and returns the number of records.
fn take(consumer: &mut Consumer) -> usize {
    consumer
        .drain(usize::MAX, |event| {
            black_box(event);
        })
        .unwrap()
}

fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish");
    for size in SIZES {
        let payload = vec![7; size];
        group.throughput(Throughput::Bytes(size as u64));
        let mut producer = heap(&options());
        group.bench_function(BenchmarkId::new("heap", size), |bencher| {
            bencher.iter(|| producer.send(black_box(&payload)).unwrap());
        });
        let directory = tempfile::Builder::new().prefix("quoit-bench").tempdir_in("/dev/shm").unwrap();
        let mut producer = Producer::create(directory.path().join("ring"), &options()).unwrap();
        group.bench_function(BenchmarkId::new("tmpfs", size), |bencher| {
            bencher.iter(|| producer.send(black_box(&payload)).unwrap());
        });
    }
    group.finish();
}

/// The cost that wake checks add to a publish: with `Spin` there is no check, and no consumer sleeps.
fn wake_check(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wake check");
    for mode in [WaitMode::Spin, WaitMode::Membarrier, WaitMode::Fence] {
        let mut producer = heap(&options().wait(mode));
        group.bench_function(format!("{mode:?}"), |bencher| {
            bencher.iter(|| producer.send(black_box(&[7; 64])).unwrap());
        });
    }
    group.finish();
}

/// With a pause after each send, since rapid sends make no inline copies.
fn inline(criterion: &mut Criterion) {
    let pause = || {
        let began = Instant::now();
        while began.elapsed() < Duration::from_nanos(150) {}
    };
    let mut group = criterion.benchmark_group("inline copy, and a pause");
    group.bench_function("the pause alone", |bencher| bencher.iter(pause));
    for (name, on) in [("with", true), ("without", false)] {
        let mut producer = heap(&options().inline(on));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                producer.send(black_box(&[7; 64])).unwrap();
                pause();
            });
        });
    }
    group.finish();
}

fn claim(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("claim");
    for size in SIZES {
        let payload = vec![7; size];
        let mut producer = heap(&options());
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("written", size), |bencher| {
            bencher.iter(|| {
                let mut claim = producer.claim(size).unwrap();
                claim.write_at(0, black_box(&payload)).unwrap();
                claim.publish()
            });
        });
    }
    let mut producer = heap(&options());
    group.bench_function("dropped", |bencher| bencher.iter(|| drop(black_box(producer.claim(64).unwrap()))));
    group.finish();
}

const RECORDS: usize = 64;

/// With a length known only at run time, and with one known to the compiler.
fn batch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch of 64");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for size in [8, 64, 1024] {
        let payload = vec![7; size];
        let mut producer = heap(&options());
        group.bench_function(BenchmarkId::new("one by one", size), |bencher| {
            bencher.iter(|| {
                let mut batch = producer.batch();
                for _ in 0..RECORDS {
                    batch.send(black_box(&payload)).unwrap();
                }
                batch.publish()
            });
        });
        group.bench_function(BenchmarkId::new("all at once", size), |bencher| {
            bencher.iter(|| all_at_once(&mut producer, &black_box([&payload[..]; RECORDS])));
        });
    }
    let mut producer = heap(&options());
    group.bench_function("all at once, a known length/64", |bencher| {
        bencher.iter(|| all_at_once(&mut producer, &black_box([[7; 64]; RECORDS])));
    });
    group.finish();
}

fn all_at_once(producer: &mut Producer, payloads: &[impl AsRef<[u8]>]) -> Option<u64> {
    let mut batch = producer.batch();
    batch.send_all(payloads).unwrap();
    batch.publish()
}

/// A batch sent and received by the same thread.
fn receive_many(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("receive a batch of 64");
    group.throughput(Throughput::Elements(RECORDS as u64));
    let payloads = [[7; 64]; RECORDS];
    for (policy, attach) in [("gated", Attach::gated()), ("lossy", Attach::lossy())] {
        let ring = Ring::heap(&options()).unwrap();
        let mut consumer = ring.consumer(&attach).unwrap();
        let mut producer = ring.producer().unwrap();
        group.bench_function(BenchmarkId::new(policy, "one by one"), |bencher| {
            bencher.iter(|| {
                all_at_once(&mut producer, &payloads);
                while let Some(event) = consumer.try_recv().unwrap() {
                    black_box(event);
                }
            });
        });
        group.bench_function(BenchmarkId::new(policy, "drained"), |bencher| {
            bencher.iter(|| {
                all_at_once(&mut producer, &payloads);
                take(&mut consumer)
            });
        });
    }
    group.finish();
}

/// One record sent and received by the same thread, and a poll that finds nothing.
fn receive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("receive");
    for (policy, attach) in [("gated", Attach::gated()), ("lossy", Attach::lossy())] {
        for size in SIZES {
            let payload = vec![7; size];
            let mut buffer = vec![0; size];
            let ring = Ring::heap(&options()).unwrap();
            let mut consumer = ring.consumer(&attach).unwrap();
            let mut producer = ring.producer().unwrap();
            take(&mut consumer);
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(BenchmarkId::new(policy, size), |bencher| {
                bencher.iter(|| {
                    producer.send(black_box(&payload)).unwrap();
                    match consumer.try_recv().unwrap() {
                        Some(Event::Record(record)) => assert_eq!(record.copy_to(&mut buffer), size),
                        other => panic!("a record was sent: {other:?}"),
                    }
                    black_box(&buffer);
                });
            });
        }
    }
    let ring = Ring::heap(&options()).unwrap();
    let mut observer = ring.observer(Start::Newest).unwrap();
    let mut consumer = ring.consumer(&Attach::gated()).unwrap();
    let _producer = ring.producer().unwrap();
    take(&mut consumer);
    observer
        .drain(usize::MAX, |event| {
            black_box(event);
        })
        .unwrap();
    group.bench_function("nothing, by a consumer", |bencher| {
        bencher.iter(|| assert!(consumer.try_recv().unwrap().is_none()));
    });
    group.bench_function("nothing, by an observer", |bencher| {
        bencher.iter(|| assert!(observer.try_recv().unwrap().is_none()));
    });
    group.bench_function("nothing, and how the stream stands", |bencher| {
        bencher.iter(|| assert_eq!(consumer.status(), Status::Streaming));
    });
    group.finish();
}

/// The newest of some records that piled up. Without the time for sending them.
fn newest(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("newest of");
    for records in [1, 16, 128, 1024, 8192] {
        let ring = Ring::heap(&options()).unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut once = || {
            for _ in 0..records {
                producer.send(&[7; 64]).unwrap();
            }
            let start = Instant::now();
            black_box(consumer.latest(|event| panic!("{event}")).unwrap()).unwrap();
            start.elapsed()
        };
        group.bench_function(records.to_string(), |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| once()).sum());
        });
    }
    group.finish();
}

/// A small ring that gated consumers empty after each lap: the producer scans all gates once per lap or more often.
/// The time per record includes receiving.
fn gate_scan(criterion: &mut Criterion) {
    // Of 72 bytes each: less than the capacity, padding and segments included.
    const LAP: u64 = 48;
    let mut group = criterion.benchmark_group("gate scan");
    group.throughput(Throughput::Elements(LAP));
    for slots in [1_u32, 16, 64] {
        let ring = Ring::heap(&Options::new().capacity(4096).slots(slots)).unwrap();
        let mut consumers: Vec<_> = (0..slots).map(|_| ring.consumer(&Attach::gated()).unwrap()).collect();
        let mut producer = ring.producer().unwrap();
        group.bench_function(BenchmarkId::new("consumers", slots), |bencher| {
            bencher.iter(|| {
                for _ in 0..LAP {
                    producer.try_send(black_box(&[7; 64])).unwrap();
                }
                for consumer in &mut consumers {
                    take(consumer);
                    consumer.release();
                }
            });
        });
    }
    group.finish();
}

/// Short by default: the whole set takes about 15 seconds. Criterion's own options lengthen it.
fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .sample_size(20)
}

fn main() {
    let mut criterion = short().configure_from_args();
    for group in [publish, wake_check, inline, claim, batch, receive, receive_many, newest, gate_scan] {
        group(&mut criterion);
    }
    criterion.final_summary();
}
