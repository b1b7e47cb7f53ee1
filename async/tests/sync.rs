//! Changes, rounds and reader-writer locks under two runtimes: who waits gets it, and who stops waiting loses and keeps
//! nothing.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use common::{PATIENCE, Runtime};
use futures_lite::future;
use quoit::Error;
use quoit::sync::{
    Barrier, Latch, LatestBytes, LatestOptions, Mutex, RwLock, SyncOptions, Table, TableOptions,
};
use quoit::zerocopy::FromZeros;
use quoit_async::{AsyncBarrier, AsyncLatch, AsyncLatestBytes, AsyncMutex, AsyncRwLock, AsyncTable};

fn options() -> SyncOptions {
    SyncOptions::new().seats(16)
}

fn short() -> Duration {
    Duration::from_millis(2)
}

#[test]
fn bytes_are_read_on_change() {
    Runtime::each(|runtime| async move {
        let mut latest = LatestBytes::local(&LatestOptions::new(), 8, b"0").unwrap();
        let mut reader = AsyncLatestBytes::new(latest.reader().unwrap()).unwrap();
        assert_eq!(reader.next().await.unwrap(), b"0");
        for number in 1..=20 {
            // Dropped, it has seen nothing.
            assert!(future::poll_once(reader.next()).await.is_none());
            let text = number.to_string();
            let writer = thread::spawn(move || {
                thread::sleep(Duration::from_micros(100 * number));
                latest.set(number.to_string().as_bytes()).unwrap();
                latest
            });
            if number % 2 == 0 {
                runtime.sleep(short()).await;
            }
            assert_eq!(reader.next().await.unwrap(), text.as_bytes());
            latest = writer.join().unwrap();
        }
    });
}

#[test]
fn rows_are_read_on_change() {
    Runtime::each(|runtime| async move {
        let table = Table::local(&TableOptions::new(3), &0_u64).unwrap();
        let mut reader = AsyncTable::new(table.reader().unwrap()).unwrap();
        for row in 0..3 {
            assert_eq!(reader.next().await.unwrap(), (row, 0));
        }
        assert!(future::poll_once(reader.next()).await.is_none());
        let writing = runtime.spawn(async move {
            for number in 1..=30 {
                runtime.sleep(Duration::from_micros(200)).await;
                table.set(number % 3, &number.into()).unwrap();
            }
        });
        // Each row's last value comes, whatever came between.
        let mut last = [0; 3];
        while last != [30, 28, 29] {
            let changed = future::or(async { Some(reader.next().await.unwrap()) }, async {
                runtime.sleep(Duration::from_micros(150)).await;
                None
            });
            if let Some((row, value)) = changed.await {
                assert!(value > last[row as usize], "it was told again");
                last[row as usize] = value;
            }
        }
        writing.await;
    });
}

#[test]
fn a_latch_opens_for_every_task() {
    Runtime::each(|runtime| async move {
        let latch = Latch::local(&options(), 2).unwrap();
        let tasks: Vec<_> = (0..4)
            .map(|number| {
                let mut latch = AsyncLatch::new(latch.try_clone().unwrap()).unwrap();
                runtime.spawn(async move {
                    if number % 2 == 0 {
                        assert!(future::poll_once(latch.wait()).await.is_none());
                    }
                    latch.wait().await.unwrap();
                    assert!(latch.get_ref().try_wait().unwrap());
                })
            })
            .collect();
        for party in [latch.join().unwrap(), latch.join().unwrap()] {
            runtime.sleep(short()).await;
            party.arrive().unwrap();
        }
        for task in tasks {
            task.await;
        }
    });
}

#[test]
fn a_party_that_leaves_is_told_to_tasks() {
    Runtime::each(|runtime| async move {
        let latch = Latch::local(&options(), 1).unwrap();
        let party = latch.join().unwrap();
        let mut latch = AsyncLatch::new(latch).unwrap();
        let leaving = async {
            runtime.sleep(short()).await;
            drop(party);
        };
        let (told, ()) = future::zip(latch.wait(), leaving).await;
        assert!(matches!(told, Err(Error::Broken)));
        let barrier = Barrier::local(&options(), 2).unwrap();
        let other = barrier.try_clone().unwrap();
        let mut barrier = AsyncBarrier::new(barrier).unwrap();
        let leaving = async {
            runtime.sleep(short()).await;
            drop(other);
        };
        let (told, ()) = future::zip(barrier.wait(), leaving).await;
        assert!(matches!(told, Err(Error::Broken)));
    });
}

/// Futures that are dropped at any moment have arrived, once: no round passes without a party, and none is broken.
#[test]
fn tasks_meet_round_after_round() {
    Runtime::each(|runtime| async move {
        let first = Barrier::local(&options(), 3).unwrap();
        let rest = [first.try_clone().unwrap(), first.try_clone().unwrap()];
        let arrivals = Arc::new(AtomicU32::new(0));
        let leaders = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = std::iter::once(first)
            .chain(rest)
            .enumerate()
            .map(|(number, barrier)| {
                let mut barrier = AsyncBarrier::new(barrier).unwrap();
                let (arrivals, leaders) = (Arc::clone(&arrivals), Arc::clone(&leaders));
                runtime.spawn(async move {
                    for round in 0..25 {
                        arrivals.fetch_add(1, Ordering::Relaxed);
                        let mut pass = None;
                        if (round + number as u32).is_multiple_of(3) {
                            pass = future::or(async { Some(barrier.wait().await.unwrap()) }, async {
                                runtime.sleep(Duration::from_micros(u64::from(round) * 30)).await;
                                None
                            })
                            .await;
                        }
                        let pass = match pass {
                            Some(pass) => pass,
                            None => barrier.wait().await.unwrap(),
                        };
                        assert_eq!(pass.round, round.into());
                        assert!(arrivals.load(Ordering::Relaxed) >= 3 * (round + 1));
                        leaders.fetch_add(pass.is_leader.into(), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
        assert_eq!(leaders.load(Ordering::Relaxed), 25);
    });
}

/// Readers together, writers alone, over awaits.
#[test]
fn tasks_read_together_and_write_alone() {
    const IN: u32 = 1000;
    Runtime::each(|runtime| async move {
        let lock = RwLock::local(&options(), &[0_u64; 2]).unwrap();
        // Writers count a thousand each, readers one.
        let within = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (0..6)
            .map(|number| {
                let mut lock = AsyncRwLock::new(lock.try_clone().unwrap()).unwrap();
                let within = Arc::clone(&within);
                runtime.spawn(async move {
                    for turn in 0..20_u64 {
                        // Dropped at some moment first.
                        let hasty = future::or(
                            async {
                                match number % 2 {
                                    0 => drop(lock.read().await.unwrap()),
                                    _ => drop(lock.write().await.unwrap()),
                                }
                            },
                            async {
                                runtime.sleep(Duration::from_micros(turn * 40)).await;
                            },
                        );
                        hasty.await;
                        if number < 3 {
                            let guard = lock.read().await.unwrap();
                            assert!(within.fetch_add(1, Ordering::Relaxed) < IN);
                            let seen = *guard;
                            runtime.sleep(Duration::from_micros(100)).await;
                            assert_eq!((seen[0], *guard), (seen[1], seen), "half of a value");
                            within.fetch_sub(1, Ordering::Relaxed);
                            continue;
                        }
                        let mut guard = lock.write().await.unwrap();
                        assert_eq!(within.fetch_add(IN, Ordering::Relaxed), 0);
                        guard[0] += 1;
                        guard.save().unwrap();
                        runtime.sleep(Duration::from_micros(100)).await;
                        guard[1] += 1;
                        within.fetch_sub(IN, Ordering::Relaxed);
                        match turn % 2 {
                            0 => drop(guard),
                            _ => guard.commit().unwrap(),
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
        let mut lock = AsyncRwLock::new(lock).unwrap();
        assert_eq!(*lock.read().await.unwrap(), [60, 60]);
        let mut guard = lock.write().await.unwrap();
        guard[0] = 0;
        guard.discard();
        assert_eq!(*lock.read_anyway().await.unwrap(), [60, 60]);
    });
}

/// Futures that are dropped leave the lock to others, and their handle can be used again.
#[test]
fn who_stops_waiting_to_read_or_write_does_not() {
    Runtime::each(|runtime| async move {
        let mut other = RwLock::local(&options(), &0_u64).unwrap();
        let mut holder = AsyncRwLock::new(other.try_clone().unwrap()).unwrap();
        let mut waiter = AsyncRwLock::new(other.try_clone().unwrap()).unwrap();
        for turn in 0..12 {
            let guard = holder.write().await.unwrap();
            let mut read = Box::pin(waiter.read());
            assert!(future::poll_once(&mut read).await.is_none());
            if turn % 3 > 0 {
                runtime.sleep(short()).await;
            }
            if turn % 2 == 0 {
                drop(read);
                drop(guard);
            } else {
                drop(guard);
                drop(read);
            }
            *other.write_timeout(PATIENCE).unwrap() += 1;

            let guard = holder.read().await.unwrap();
            assert_eq!(*guard, turn + 1);
            let mut write = Box::pin(waiter.write());
            assert!(future::poll_once(&mut write).await.is_none());
            if turn % 3 > 0 {
                runtime.sleep(short()).await;
            }
            if turn % 2 == 0 {
                drop(guard);
                drop(write);
                drop(other.write_timeout(PATIENCE).unwrap());
            } else {
                drop(guard);
                let mut guard = write.await.unwrap();
                *guard = 0;
                guard.discard();
            }
            assert_eq!(*waiter.read().await.unwrap(), turn + 1);
        }
    });
}

#[test]
fn a_task_that_panics_abandons_what_it_writes() {
    let lock = RwLock::local(&options(), &1_u64).unwrap();
    let mut panicking = AsyncRwLock::new(lock.try_clone().unwrap()).unwrap();
    let mut next = AsyncRwLock::new(lock).unwrap();
    smol::block_on(async {
        let panicked = future::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(async {
            let mut guard = panicking.write().await.unwrap();
            *guard = 2;
            future::yield_now().await;
            panic!("with the lock, on purpose");
        }));
        assert!(panicked.await.is_err());
        assert!(matches!(next.read().await, Err(Error::Abandoned)));
        assert!(matches!(next.write().await, Err(Error::Abandoned)));
        let guard = next.read_anyway().await.unwrap();
        assert_eq!((*guard, guard.is_abandoned()), (1, true));
        drop(guard);
        let mut guard = next.recover().await.unwrap();
        assert_eq!((*guard, guard.is_abandoned()), (1, true));
        guard.recovered();
        *guard = 3;
        drop(guard);
        assert_eq!(*panicking.read().await.unwrap(), 3);
        let panicked = future::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(async {
            let _guard = panicking.read().await.unwrap();
            panic!("as a reader, on purpose");
        }));
        assert!(panicked.await.is_err());
        assert_eq!(*next.write().await.unwrap(), 3);
    });
}

/// A value may be larger than the stack of a runtime's thread.
#[test]
fn a_large_value_does_not_go_through_the_stack() {
    type Large = [u64; 1 << 18];
    let first = Large::new_box_zeroed().unwrap();
    let lock = RwLock::local(&options(), &*first).unwrap();
    let mutex = Mutex::local(&options(), &*first).unwrap();
    let small = thread::Builder::new().stack_size(256 << 10);
    let task = small.spawn(move || {
        future::block_on(async {
            let mut lock = AsyncRwLock::new(lock).unwrap();
            lock.write().await.unwrap()[1 << 17] = 7;
            assert_eq!(lock.read().await.unwrap()[1 << 17], 7);
            let mut mutex = AsyncMutex::new(mutex).unwrap();
            mutex.lock().await.unwrap()[1 << 17] = 8;
            assert_eq!(mutex.lock().await.unwrap()[1 << 17], 8);
        });
    });
    task.unwrap().join().unwrap();
}
