//! Events, locks and permits under two runtimes: who waits gets it, and who stops waiting keeps nothing.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use common::{PATIENCE, Runtime};
use futures_lite::future;
use quoit::Error;
use quoit::sync::{Event, Mutex, Reset, Semaphore, SyncOptions};
use quoit_async::{AsyncEvent, AsyncMutex, AsyncSemaphore};

fn options() -> SyncOptions {
    SyncOptions::new().seats(16)
}

#[test]
fn an_event_comes_to_everybody() {
    Runtime::each(|runtime| async move {
        let event = Event::local(&options(), Reset::Manual).unwrap();
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let mut event = AsyncEvent::new(event.try_clone().unwrap()).unwrap();
                runtime.spawn(async move { event.wait().await.unwrap() })
            })
            .collect();
        let setter = thread::spawn(move || {
            thread::sleep(Duration::from_millis(3));
            event.set().unwrap();
            event
        });
        for task in tasks {
            task.await;
        }
        let mut event = AsyncEvent::new(setter.join().unwrap()).unwrap();
        event.wait().await.unwrap();
    });
}

/// It is set and reset while the task waits.
#[test]
fn a_task_notices_what_was_reset_at_once() {
    Runtime::each(|runtime| async move {
        let event = Event::local(&options(), Reset::Manual).unwrap();
        let mut waiter = AsyncEvent::new(event.try_clone().unwrap()).unwrap();
        // An earlier one is none of its business.
        event.set().unwrap();
        event.reset().unwrap();
        for turn in 0..30 {
            let mut wait = Box::pin(waiter.wait());
            assert!(future::poll_once(&mut wait).await.is_none());
            if turn % 2 == 0 {
                runtime.sleep(Duration::from_micros(100 * turn)).await;
            }
            event.set().unwrap();
            event.reset().unwrap();
            wait.await.unwrap();
        }
    });
}

#[test]
fn each_signal_is_for_one_task() {
    Runtime::each(|runtime| async move {
        let event = Event::local(&options(), Reset::Auto).unwrap();
        let taken = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (0..4)
            .map(|number| {
                let mut event = AsyncEvent::new(event.try_clone().unwrap()).unwrap();
                let taken = Arc::clone(&taken);
                runtime.spawn(async move {
                    for _ in 0..25 {
                        // Dropped half way, it has taken no signal.
                        if number % 2 == 0 {
                            let waited = future::or(
                                async {
                                    event.wait().await.unwrap();
                                    true
                                },
                                async {
                                    runtime.sleep(Duration::from_micros(150)).await;
                                    false
                                },
                            );
                            if waited.await {
                                taken.fetch_add(1, Ordering::Relaxed);
                                continue;
                            }
                        }
                        event.wait().await.unwrap();
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for given in 0..100 {
            event.set().unwrap();
            while taken.load(Ordering::Relaxed) <= given {
                runtime.sleep(Duration::from_micros(50)).await;
            }
            assert!(!event.is_set().unwrap());
        }
        for task in tasks {
            task.await;
        }
        assert_eq!(event.count().unwrap(), 100);
    });
}

/// Increments in two steps, with others running in between.
#[test]
fn one_task_at_a_time_has_a_lock() {
    Runtime::each(|runtime| async move {
        let mutex = Mutex::local(&options(), &0_u64).unwrap();
        let tasks: Vec<_> = (0..4)
            .map(|number| {
                let mut mutex = AsyncMutex::new(mutex.try_clone().unwrap()).unwrap();
                runtime.spawn(async move {
                    for turn in 0..25 {
                        let mut guard = mutex.lock().await.unwrap();
                        let seen = *guard;
                        if turn % 5 == number {
                            runtime.sleep(Duration::from_micros(200)).await;
                        }
                        future::yield_now().await;
                        *guard = seen + 1;
                        match turn % 3 {
                            0 => guard.commit().unwrap(),
                            1 => {
                                guard.save().unwrap();
                                *guard = 0;
                                guard.discard();
                            }
                            _ => drop(guard),
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
        let mut mutex = mutex;
        assert_eq!(*mutex.lock().unwrap(), 100);
    });
}

/// A task that always wants the lock again lets a thread have it that has waited for long.
#[test]
fn a_thread_gets_its_turn() {
    Runtime::each(|runtime| async move {
        let mut mutex = Mutex::local(&options(), &0_u64).unwrap();
        let mut greedy = AsyncMutex::new(mutex.try_clone().unwrap()).unwrap();
        let mut guard = greedy.lock().await.unwrap();
        let waiter = thread::spawn(move || drop(mutex.lock().unwrap()));
        let mut turns = 0;
        while !waiter.is_finished() {
            runtime.sleep(Duration::from_micros(200)).await;
            drop(guard);
            guard = greedy.lock().await.unwrap();
            turns += 1;
            assert!(turns < 10_000, "it has no turn");
        }
        drop(guard);
        waiter.join().unwrap();
    });
}

/// Futures that are dropped at any moment leave the lock to others, and their handle can be used again.
#[test]
fn who_stops_waiting_for_a_lock_does_not_have_it() {
    Runtime::each(|runtime| async move {
        let mut holder = Mutex::local(&options(), &0_u64).unwrap();
        let mut other = holder.try_clone().unwrap();
        let mut waiter = AsyncMutex::new(holder.try_clone().unwrap()).unwrap();
        for turn in 0..12 {
            // Held by a thread until it is told.
            let (release, told) = std::sync::mpsc::channel::<()>();
            let (is_held, held) = std::sync::mpsc::channel();
            let holding = thread::spawn(move || {
                let guard = holder.lock().unwrap();
                is_held.send(()).unwrap();
                let _ = told.recv();
                drop(guard);
                holder
            });
            held.recv().unwrap();
            let mut lock = Box::pin(waiter.lock());
            assert!(future::poll_once(&mut lock).await.is_none());
            if turn % 3 > 0 {
                runtime.sleep(Duration::from_millis(2)).await;
            }
            match turn % 4 {
                // Before it is free.
                0 => {
                    drop(lock);
                    drop(release);
                }
                // When the thread may just have got it.
                1 => {
                    drop(release);
                    drop(lock);
                }
                // When it has got it, and nobody has looked.
                2 => {
                    drop(release);
                    runtime.sleep(Duration::from_millis(5)).await;
                    drop(lock);
                }
                _ => {
                    drop(release);
                    let mut guard = lock.await.unwrap();
                    *guard += 1;
                }
            }
            holder = holding.join().unwrap();
            assert_eq!(*other.lock_timeout(PATIENCE).unwrap(), (turn as u64 + 1) / 4);
            if turn % 2 == 0 {
                drop(waiter.lock().await.unwrap());
                drop(waiter.recover().await.unwrap());
            }
        }
    });
}

#[test]
fn a_task_that_panics_abandons_its_lock() {
    let mutex = Mutex::local(&options(), &1_u64).unwrap();
    let mut panicking = AsyncMutex::new(mutex.try_clone().unwrap()).unwrap();
    let mut next = AsyncMutex::new(mutex).unwrap();
    smol::block_on(async {
        let panicked = future::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(async {
            let mut guard = panicking.lock().await.unwrap();
            *guard = 2;
            future::yield_now().await;
            panic!("with the lock, on purpose");
        }));
        assert!(panicked.await.is_err());
        assert!(matches!(next.lock().await, Err(Error::Abandoned)));
        let mut guard = next.recover().await.unwrap();
        assert_eq!((*guard, guard.is_abandoned()), (1, true));
        guard.recovered();
        *guard = 3;
        drop(guard);
        assert_eq!(*panicking.lock().await.unwrap(), 3);
    });
}

#[test]
fn no_more_tasks_than_permits() {
    Runtime::each(|runtime| async move {
        let semaphore = Semaphore::local(&options(), 3).unwrap();
        let held = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (0..6)
            .map(|number| {
                let mut semaphore = AsyncSemaphore::new(semaphore.try_clone().unwrap());
                let held = Arc::clone(&held);
                runtime.spawn(async move {
                    for turn in 0..15 {
                        let count = 1 + (number + turn) % 3;
                        // Dropped at some moment first.
                        let hasty = future::or(async { drop(semaphore.acquire().await.unwrap()) }, async {
                            runtime.sleep(Duration::from_micros(u64::from(turn) * 40)).await;
                        });
                        hasty.await;
                        let permit = semaphore.acquire_many(count).await.unwrap();
                        assert_eq!((permit.count(), permit.is_abandoned()), (count, false));
                        assert!(held.fetch_add(count, Ordering::Relaxed) + count <= 3);
                        runtime.sleep(Duration::from_micros(100)).await;
                        held.fetch_sub(count, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
        assert_eq!(semaphore.available(), 3);
        let mut semaphore = AsyncSemaphore::new(semaphore);
        assert!(matches!(semaphore.acquire_many(4).await, Err(Error::BadOption { .. })));
    });
}

/// Threads of this process by name.
fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|comm| comm.trim_end() == name).count()
}

/// Handles that are dropped while their thread waits: thread and seat are gone before long. The one that is held has every
/// other seat's handle wait in vain.
#[test]
fn no_thread_stays() {
    let options = SyncOptions::new().seats(4);
    let mut mutex = Mutex::local(&options, &0_u64).unwrap();
    let clones: Vec<_> = (0..3).map(|_| mutex.try_clone().unwrap()).collect();
    let guard = mutex.lock().unwrap();
    for clone in clones {
        let mut waiter = AsyncMutex::new(clone).unwrap();
        smol::block_on(async { assert!(future::poll_once(waiter.lock()).await.is_none()) });
    }
    let end = std::time::Instant::now() + PATIENCE;
    drop(guard);
    let mut seats = Vec::new();
    while seats.len() < 3 {
        seats.extend(mutex.try_clone().ok());
        assert!(std::time::Instant::now() < end, "a thread keeps its seat");
        thread::yield_now();
    }
    drop(mutex.lock().unwrap());
    // Those of the other tests end too.
    while threads("quoit-lock") > 0 {
        assert!(std::time::Instant::now() < end, "a thread stays");
        thread::sleep(Duration::from_millis(10));
    }
}

/// This test binary again, as the process that `QUOIT_PART` names.
fn part(name: &str) -> std::process::Command {
    let mut part = std::process::Command::new(std::env::current_exe().unwrap());
    part.args(["plays_a_part", "--exact"]).env("QUOIT_PART", name).stdout(std::process::Stdio::null());
    part
}

/// Not a test of its own: the way into the processes that the tests start.
#[test]
fn plays_a_part() {
    match std::env::var("QUOIT_PART").as_deref() {
        Ok("holder") => hold(std::path::Path::new(&std::env::var("QUOIT_LOCKS").unwrap())),
        Ok("without threads") => wait_without_threads(),
        _ => {}
    }
}

/// Holds a lock and a permit until it is killed.
fn hold(directory: &std::path::Path) {
    let mut mutex = Mutex::<u64>::open(directory.join("mutex")).unwrap();
    let semaphore = Semaphore::open(directory.join("semaphore")).unwrap();
    let mut guard = mutex.lock().unwrap();
    let _permit = semaphore.acquire().unwrap();
    *guard = 7;
    guard.save().unwrap();
    *guard = 8;
    std::fs::write(directory.join("held"), "").unwrap();
    thread::sleep(PATIENCE);
}

/// No thread can be started: who waits for a lock is told, and who waits for a record polls.
fn wait_without_threads() {
    use nix::libc::{EAGAIN, SYS_clone, SYS_clone3};
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

    let mut mutex = Mutex::local(&options(), &1_u64).unwrap();
    let mut waiter = AsyncMutex::new(mutex.try_clone().unwrap()).unwrap();
    let semaphore = Semaphore::local(&options(), 1).unwrap();
    let mut second = AsyncSemaphore::new(semaphore.try_clone().unwrap());
    let ring = quoit::Ring::heap(&quoit::Options::new().capacity(4096)).unwrap();
    let mut consumer =
        quoit_async::AsyncConsumer::new(ring.consumer(&quoit::Attach::gated()).unwrap()).unwrap();
    let mut producer = ring.producer().unwrap();
    // A thread that is there before is not under the filter.
    let (ask, asked) = std::sync::mpsc::channel::<()>();
    thread::spawn(move || {
        let _ = asked.recv();
        thread::sleep(Duration::from_millis(5));
        producer.send(b"x").unwrap();
    });
    let rules = [SYS_clone, SYS_clone3].map(|call| (call, Vec::new())).into();
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let refuse = SeccompAction::Errno(EAGAIN as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    if apply_filter(&program).is_err() {
        eprintln!("SKIPPED, no system-call filter can be installed");
        return;
    }
    assert!(thread::Builder::new().spawn(|| {}).is_err(), "a thread was started");
    future::block_on(async {
        let guard = mutex.lock().unwrap();
        let refused = waiter.lock().await.unwrap_err();
        assert!(matches!(refused, Error::Io { action: "start a thread that waits", .. }), "{refused}");
        drop(guard);
        // Free, it is had without a thread.
        assert_eq!(*waiter.lock().await.unwrap(), 1);
        let permit = semaphore.acquire().unwrap();
        assert!(matches!(second.acquire().await, Err(Error::Io { .. })));
        drop(permit);
        drop(second.acquire().await.unwrap());
        ask.send(()).unwrap();
        assert_eq!(consumer.next().await.unwrap().payload().as_deref(), Some(&b"x"[..]));
    });
}

#[test]
fn without_threads_a_lock_is_refused_and_a_record_is_polled_for() {
    assert!(part("without threads").status().unwrap().success());
}

#[test]
fn tasks_outlive_a_holder_that_is_killed() {
    Runtime::each(|runtime| async move {
        let directory = tempfile::Builder::new().prefix("quoit-test-").tempdir_in("/dev/shm").unwrap();
        let path = |name: &str| directory.path().join(name);
        let mutex = Mutex::create(path("mutex"), &options(), &1_u64).unwrap();
        let semaphore = Semaphore::create(path("semaphore"), &options(), 1).unwrap();
        let mut child = part("holder").env("QUOIT_LOCKS", directory.path()).spawn().unwrap();
        while !path("held").exists() {
            runtime.sleep(Duration::from_millis(1)).await;
        }
        let (mut mutex, mut semaphore) = (AsyncMutex::new(mutex).unwrap(), AsyncSemaphore::new(semaphore));
        let waiting = future::zip(
            async {
                assert!(matches!(mutex.lock().await, Err(Error::Abandoned)));
                let mut guard = mutex.recover().await.unwrap();
                assert_eq!((*guard, guard.is_abandoned()), (7, true));
                guard.recovered();
            },
            async { assert!(semaphore.acquire().await.unwrap().is_abandoned()) },
        );
        let killing = async {
            runtime.sleep(Duration::from_millis(30)).await;
            child.kill().unwrap();
            child.wait().unwrap();
        };
        future::zip(waiting, killing).await;
    });
}
