//! Rings, values, events, locks and services of [`quoit`] for async code, under any runtime.
//!
//! | type | waits for |
//! |---|---|
//! | [`AsyncConsumer`], [`AsyncObserver`], [`AsyncTypedConsumer`] | the next event, as [`AsyncReader::next`] or as a [`Stream`](futures_core::Stream) |
//! | [`AsyncMerge`] | the next event of several rings |
//! | [`AsyncGroupMember`] | a record for a member of a group |
//! | [`AsyncProducer`], [`AsyncTypedProducer`] | space |
//! | [`AsyncLatest`], [`AsyncLatestBytes`], [`AsyncTable`] | a change |
//! | [`AsyncEvent`] | an event to be set |
//! | [`AsyncLatch`], [`AsyncBarrier`] | a latch to open, the end of a round |
//! | [`AsyncMutex`], [`AsyncRwLock`], [`AsyncSemaphore`] | a lock, a permit |
//! | [`AsyncClient`], [`AsyncTypedClient`] | the reply to a call |
//! | [`AsyncServer`], [`AsyncTypedServer`] | a request |
//!
//! A future that is pending takes no thread of the runtime: a helper thread of `quoit` sleeps, for up to 127 handles, and
//! wakes the task ([`quoit::Watch`]). A lock and a permit are waited for by a thread for each handle. No runtime is named here,
//! and none is needed.
//!
//! All futures may be dropped at any time, as `select!` does. Nothing is lost: a record is taken, or sent, in the very poll
//! that returns it, a lock that nobody waits for any more is given back, and so is a call given up.
//!
//! Two things that threads wait for have no form here:
//!
//! * [`Once`](quoit::sync::Once): what it calls is a function that does its work on the spot, and so blocks, whether it had to
//!   wait or not. Call it where the runtime has blocking work done, `spawn_blocking` or `smol::unblock`. A task that does not do
//!   the deed itself waits for an [`AsyncEvent`] that the doer sets.
//! * [`Condvar`](quoit::sync::Condvar): its wait gives up a guard and takes the lock again by the same handle, so a thread
//!   would need the handles of both, and a future that is dropped half way would leave a guard without its lock. A task waits for
//!   an [`AsyncEvent`], or for a change of an [`AsyncLatest`] or [`AsyncTable`], then takes the lock and looks.
//!
//! A handle is used by one task at a time; it may move between threads (`Send`). A task that always has something to
//! receive gives way to others after 128 events.
//!
//! ```
//! use quoit::{Attach, Options, Ring};
//! use quoit_async::AsyncConsumer;
//!
//! # smol::block_on(async {
//! let ring = Ring::heap(&Options::new().capacity(4096))?;
//! let mut consumer = AsyncConsumer::new(ring.consumer(&Attach::gated())?)?;
//! let mut producer = ring.producer()?;
//! # let producer =
//! std::thread::spawn(move || producer.send(b"x").map(|_| producer));
//!
//! let event = consumer.next().await?;
//! assert_eq!(event.payload().as_deref(), Some(&b"x"[..]));
//! # drop(producer.join().unwrap()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod barrier;
mod calls;
mod client;
mod copied;
mod deputy;
mod event;
mod group;
mod latch;
mod latest;
mod merge;
mod mutex;
mod producer;
mod reader;
mod reads;
mod rwlock;
mod semaphore;
mod server;
mod table;
mod waiting;

pub use barrier::AsyncBarrier;
pub use client::{AsyncClient, AsyncTypedClient};
pub use event::AsyncEvent;
pub use group::{AsyncGroupEvent, AsyncGroupMember, AsyncJob};
pub use latch::AsyncLatch;
pub use latest::{AsyncLatest, AsyncLatestBytes};
pub use merge::{AsyncMerge, MergedOf};
pub use mutex::{AsyncMutex, AsyncMutexGuard};
pub use producer::{AsyncProducer, AsyncTypedProducer};
pub use reader::{AsyncConsumer, AsyncObserver, AsyncReader, AsyncTypedConsumer};
pub use reads::Reads;
pub use rwlock::{AsyncReadGuard, AsyncRwLock, AsyncWriteGuard};
pub use semaphore::{AsyncPermit, AsyncSemaphore};
pub use server::{AsyncServer, AsyncTypedServer};
pub use table::AsyncTable;
