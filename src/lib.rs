//! A ring in shared memory: one producer, many consumers, one memory-mapped file.
//!
//! One process publishes records of any length into a file on tmpfs or a local disk. Any number of other processes
//! read every record, each at its own place. Each consumer chooses, when it attaches, what happens if it is slow: it
//! loses records and receives the exact loss ([`Attach::lossy`]), the producer waits for it ([`Attach::gated`]), or
//! the producer waits up to a limit and then goes on ([`Attach::gated_for`]). An [`Observer`] reads records without
//! the others noticing. A process that dies, at any moment, leaves the ring intact: the next producer continues with
//! the same sequences, and the consumers stay attached. This covers the death of processes, not power loss: a ring
//! cannot be used after a reboot.
//!
//! ```no_run
//! use std::error::Error;
//! use std::time::{Duration, Instant};
//!
//! use quoit::{Attach, Consumer, Options, Producer, Start};
//!
//! /// In one process.
//! pub fn publish(path: &str) -> Result<(), Box<dyn Error>> {
//!     let mut producer = Producer::open_or_create(path, &Options::new())?;
//!     producer.send(b"EURUSD 1.0842")?;
//!     Ok(())
//! }
//!
//! /// In another process, started before or after: waits for the ring, then prints its first record.
//! pub fn follow(path: &str) -> Result<(), Box<dyn Error>> {
//!     let deadline = Instant::now() + Duration::from_secs(10);
//!     let attach = Attach::gated().start(Start::Oldest);
//!     let mut consumer = Consumer::open_wait(path, &attach, deadline)?;
//!     let record = consumer.recv_record(|event| println!("{event:?}"))?;
//!     println!("{}: {}", record.sequence(), String::from_utf8_lossy(&record.bytes()));
//!     Ok(())
//! }
//! ```
//!
//! Every handle can be opened from a [`Ring`]. A ring can also connect threads of one process, without a file:
//!
//! ```
//! use quoit::{Attach, Event, Options, Ring};
//!
//! let ring = Ring::heap(&Options::new().capacity(4096))?;
//! let mut consumer = ring.consumer(&Attach::gated())?;
//! let mut producer = ring.producer()?;
//! assert_eq!(producer.send(b"first")?, 0);
//! let mut batch = producer.batch();
//! batch.send(b"second")?;
//! batch.send_all(["third", "last"])?;
//! batch.publish();
//! drop(producer);
//!
//! let mut received = Vec::new();
//! let ended = loop {
//!     match consumer.recv() {
//!         Ok(Event::Record(record)) => received.push(record.to_vec()),
//!         Ok(_) => {}
//!         Err(end) => break end,
//!     }
//! };
//! assert_eq!(received, [&b"first"[..], b"second", b"third", b"last"]);
//! assert_eq!(ended, quoit::RecvError::Closed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Threads, processes, forks
//!
//! * A handle is used by one thread at a time. It may move between threads: handles are `Send`, not `Sync`. Do not use
//!   a handle from a signal handler that can interrupt a call on the same handle.
//! * A process may open several handles on a ring. The number of handles is limited by file descriptors (two for a
//!   handle on a sealed ring, otherwise one) and by maps (`vm.max_map_count`, four each).
//! * Dropping a handle ends it cleanly. If its process dies instead, the kernel releases its locks, and with them its
//!   role as producer, its slot, or its name. A process counts as alive while it holds such a lock. So a stopped
//!   process is alive, and so is one whose core dump is still being written.
//! * After a `fork` the handles belong to the parent. In the child, every call on them returns an error, and dropping
//!   them does nothing. A claim, a batch or a record that was obtained before the fork refers to memory that is not
//!   mapped in the child: using it kills the child with SIGSEGV, so drop it unused. The descriptors of the handles
//!   are closed in the child before `fork` returns. A child made by a raw `clone` keeps them: until it calls `exec`
//!   or ends, a dead parent seems alive.
//! * Another process with permission to write the file can write garbage into it. Then readers get errors or wrong
//!   records, never undefined behaviour. But if it cuts the file short, accessing the missing part raises SIGBUS,
//!   unless this process requested an error instead: [`guard_against_truncation`].
//! * For peers that are not trusted with this, use a ring without a file: [`Ring::sealed`].
//!
//! ```
//! fn is_send<T: Send>() {}
//! is_send::<quoit::Producer>();
//! is_send::<quoit::Consumer>();
//! is_send::<quoit::Observer>();
//! fn is_sync<T: Send + Sync>() {}
//! is_sync::<quoit::Ring>();
//! ```
//!
//! ```compile_fail,E0277
//! fn is_sync<T: Sync>() {}
//! is_sync::<quoit::Producer>();
//! ```
//!
//! ```compile_fail,E0277
//! fn is_sync<T: Sync>() {}
//! is_sync::<quoit::Consumer>();
//! ```
//!
//! ```compile_fail,E0277
//! fn is_sync<T: Sync>() {}
//! is_sync::<quoit::Observer>();
//! ```
//!
//! # Records that are values
//!
//! A ring can be made for one type, whose size and tag are stored in its file: see [`Typed`]. Otherwise payloads are
//! bytes that the library does not interpret.
//!
//! ```
//! use quoit::zerocopy::{FromBytes, Immutable, IntoBytes};
//! use quoit::{Attach, Options, Ring, Typed};
//!
//! #[derive(Debug, PartialEq, FromBytes, Immutable, IntoBytes)]
//! #[zerocopy(crate = "quoit::zerocopy")]
//! #[repr(C)]
//! struct Point {
//!     x: f64,
//!     y: f64,
//! }
//!
//! impl Typed for Point {
//!     const TAG: u32 = 1;
//! }
//!
//! let ring = Ring::heap(&Options::new().schema::<Point>())?;
//! let mut consumer = ring.typed_consumer::<Point>(&Attach::gated())?;
//! ring.typed_producer::<Point>()?.send(&Point { x: 0.5, y: 2.0 })?;
//! assert_eq!(consumer.recv()?.payload(), Some(Point { x: 0.5, y: 2.0 }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Calls that wait
//!
//! Sending and receiving have the same four forms. `send` and `recv` wait without limit. The `_deadline` and
//! `_timeout` forms return the same values, and an error once the time is over: [`SendError::TimedOut`],
//! [`RecvError::TimedOut`]. So `?` cannot mistake a time-out for success. `try_send` and `try_recv` never wait. A
//! full ring is the error [`SendError::Full`], because the record was not sent; nothing to receive is `Ok(None)`, the
//! usual result of a poll.
//!
//! # Calls
//!
//! [`service`] has request and reply between processes: one server, clients with any number of calls in flight, each of which
//! ends exactly once, whoever dies.
//!
//! # Stages
//!
//! With [`Attach::after`] a consumer follows another one: it receives a record only once that one has released it, as a
//! journal that writes it to a disk. `docs/stages.md` has the details.
//!
//! # Many things at once
//!
//! A [`WaitSet`] waits for many things at once: rings, members of groups, space for a producer, latest values, tables, events,
//! latches, barriers, clients and servers of services, and the ticks of a [`Ticker`]. A [`WaitFd`] is the same as one descriptor,
//! for event loops; a [`Merge`] makes one stream of several rings. The package `quoit-async` has futures, streams and async locks.
//!
//! # Terms
//!
//! Each term has one meaning, here, in the source and in `docs/`.
//!
//! | term | meaning |
//! |---|---|
//! | stream | everything published on a ring since it was made, in order |
//! | record | one message: a payload of 0 bytes or more, and its sequence |
//! | sequence | the number of a record in the stream, 64 bits; goes on from producer to producer, and wraps |
//! | position | a byte offset in the stream, 64 bits, wrapping; `position mod capacity` is where it is in the ring |
//! | place | position, sequence and payload bytes so far, at one boundary between records |
//! | footprint | bytes a record takes up: 8 for its header, and its payload rounded up to 8 |
//! | capacity | bytes of the ring that hold records, a power of two; the largest footprint is half of it |
//! | padding | the rest of the ring before its end where the next record does not fit; it has no sequence |
//! | lap | one trip of the producer round the ring; a reader is *lapped* when its place is overwritten |
//! | claim | room for one record that is not visible yet |
//! | publish | make everything claimed so far visible to readers, by one store |
//! | batch | several records published together |
//! | published | the position below which every record is visible |
//! | reserve | the position up to which the producer may already be writing; everything more than a capacity below it is overwritten |
//! | segment | one of 64 equal parts of the ring; an index holds the first record that starts in each, and `reserve` moves a segment at a time |
//! | inline copy | a second copy, beside `published`, of the newest record if it was sent singly and is short |
//! | release | declare that a received record is no longer needed, so that its room may be overwritten |
//! | cursor | the position below which a consumer has released everything |
//! | gate | a cursor that the producer may not get more than the capacity ahead of |
//! | limit | how far the producer may claim before it scans the gates again |
//! | budget | of a gate: how long it may hold the producer up, in all, while the producer goes once round the ring |
//! | evict | take the gate from a consumer that is over its budget, or whose eviction was requested; it goes on as a lossy one |
//! | reclaim | take the gate from a consumer that is dead |
//! | loss | records overwritten before they were read, counted exactly; *overrun* is one of its causes |
//! | skip | go on at the newest record on request, and count those before it; they are not lost |
//! | publish time | when a record became visible, on the machine's monotonic clock; part of the record, not of its payload |
//! | lateness | of a merge by time: how old a record is when it goes out although an older one may come |
//! | account | what a consumer has lost and skipped over all its attachments, kept in its slot |
//! | slot | a consumer's part of the file: cursor, policy, name, accounts |
//! | channel | of a service: messages from one sender to one receiver |
//! | call | a request that a client has published, until its one end |
//! | seat | a place in an object for one participant: a number, and a generation that tells it from those before it |
//! | stage | a consumer that others follow: they receive what it has released |
//! | stretch | what a consumer released since it attached or last lost records: no record is missing in it |
//! | group | several consumers, its members, that share the records of a ring: each record goes to one of them |
//! | lease | up to 32 records in a row that one member has |
//! | acknowledge | declare that a record is done, so that no member gets it again |
//! | turn | the time in which one member alone may change the leases |
//! | name | the key by which a consumer finds its slot again when it comes back |
//! | hold | how long a name's gate is kept after its consumer is gone |
//! | epoch | the number of a producer: how many have opened the ring, including itself |
//! | take over | open a ring as its next producer, after the last one closed it or died |
//! | ready | of a thing in a wait set: a try may have a result |
//! | token | the place of a thing in the list that a wait set waits for |
//! | armed | marked by a sleeper: a bit on the word it sleeps on, cleared by the process that wakes it |
//! | stale | of a handle: its file was removed, renamed, replaced, overwritten or cut short |
//!
//! # The source
//!
//! Folders are layers: a file imports from its own layer and those below it, never from one above; a
//! test checks this. `docs/architecture.md` has a diagram and the reasons. `unsafe` code is in `memory/map.rs`,
//! `memory/handler.rs` and `atomics/copy`; `ring/trusted.rs` and the `unsafe` functions of claims and records only pass a caller's promise
//! on. From the top:
//!
//! | layer | files |
//! |---|---|
//! | `waitset/` | `mod` (wait for many things), over `round` · `merge` (several rings as one stream; `ordered`: by time) · `watch` (another thread waits), `descriptor` (and makes a descriptor readable), over `helpers/` · `substitutes` · `ready` · `ticker` · `method` |
//! | `ring/` | the handles: `producer`, `claim`, over `send/`, after `takeover` · `consumer`, `observer`, by `reading` (what both do), over `receive/` · `rings` (`Ring`, which opens them all) · `conflate` (the newest of each key) · `typed`, `trusted`, `writing` · `text` (options as text; `rfc3339`: times of day; `parse`: what is neither) · `attach` (where to start) · `names`, `forget`, `stages` (who follows whom) · `inspect` (`blocker`: which consumer holds the producer up) · `evict` (on request) · `sealed` (rings shared by descriptor) · `options`, `layout` (every byte), `geometry` (sizes), `locks` · `waitable`, `space` (what a wait set waits for), `any` |
//! | `ring/protocol/` | `mod` (the overview; places) · `writer` (publish; `timed`: with times) · `reader` (read; `fast`: without a look; `lookahead`: several copied at once; `run`: many in a row) · `gate` (how consumers hold the producer back; `own_slot`: their side) · `stalls` (and for how long) · `stage` (how consumers follow others) · `index` (segments) · `times` (in records, and clocks) · `record` (what readers receive) · `backoff` (when to poll) · `pace` (when to copy twice). Knows no file and no lock |
//! | `group/` | `member` (a consumer that shares records with others: `joining`, `turn`, `until`, `waiting`, `waitable`, `acknowledging`, `aside`, `holding`), over `leases` (which member has which records; knows no file and no lock) and `tries` (how often) · `dead_letters` (what nobody acknowledged), `inspect` (a read-only view), `options`, `layout` (every byte), `error` |
//! | `sync/` | `latest` (the latest value of something: `typed`, or `bytes`), over `cells` · `mutex` · `semaphore` · `event` · `barrier` · `latch`, over `rounds` · `once` · `condvar` · `rwlock` · `table`, over `cells`; all of these over `owned` (a word that says which handle has something; `owner`, `watch`), `bell` (one that everybody hears), `guarded` (a value under a lock; `held`: what its guard knows) and `member` (a handle with a seat; `threads`: which thread uses it) · `inspect` (a read-only view of any of these; `look`: what it shows) · `shape` (every byte of these), `options`, `handles` (what must not compile) |
//! | `service/` | `server/` (takes requests, answers them) · `client/` (makes calls), over `channel` (messages one way) and `header` (the states of a call) · `clones` (handles from handles) · `inspect` (a read-only view) · `typed`, `payload` · `shape` (every byte of these), `options` |
//! | `source` | what a wait set needs from each thing that it waits for |
//! | `seats` | which participants an object has, and which of them live |
//! | `memory/` | `format` (what a kind of object is), `block` (structs of words), `identity` (the first page) · `region` (a handle's view of an object), `map` and `handler` (all of its `unsafe` code; `handler`: of SIGBUS), `extents` · `permissions` · `file` (check), `draft` (create), `arrival` (wait for) · `filesystem` (which are suitable), `room` (whether there is space; `control_group`: for memory), `refusal` · `lock` (which participants live), `fork` · `prepare` (pages faulted in, locked, huge, on a node; `pages`: measured) · `sigbus`, `truncation` (an error instead of SIGBUS); `region_loom` in the models |
//! | `wait/` | `doorbell` (sleep and wake) · `futex` (the system calls) · `clock` · `timestamp`, over `namespace` (of time) · `mode` |
//! | `atomics/` | `mod` (the only module that names the standard atomics) · `copy` (words to bytes; `vector`, `plain`: long ones); `delays` and `tamper` in builds of their own |
//! | `error/`, `limits` | the errors, each with a remedy |
//!
//! Start with the head of `ring/protocol/mod.rs`. `docs/receiving.md` follows one record. `docs/format.md` is the file format in prose.

#![cfg_attr(loom, allow(dead_code, reason = "the models have no files"))]

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(not(all(
    target_os = "linux",
    target_endian = "little",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
compile_error!("quoit runs on 64-bit little-endian Linux, on x86-64 and AArch64 only");

mod atomics;
mod error;
mod group;
mod limits;
mod memory;
mod ring;
mod schema;
mod seats;
pub mod service;
mod source;
pub mod sync;
mod wait;
mod waitset;

pub use error::{
    CallError, Corruption, Error, ErrorKind, Kind, RecvError, ReplyError, Rights, SendError, Shortage,
};
pub use group::{DeadLetter, DeadLetterError, Group, GroupError, GroupEvent, GroupMember, Job, JobId, Lost};
#[cfg(not(loom))]
pub use group::{GroupInspector, GroupSnapshot, Unacknowledged};
#[cfg(not(loom))]
pub use memory::file::kind_of;
#[cfg(not(loom))]
pub use memory::prepare::{Memory, MemoryOutcome, MemoryRefusal, MemoryReport};
#[cfg(not(loom))]
pub use memory::truncation::guard_against_truncation;
pub use ring::any::AnyReader;
pub use ring::attach::{Attach, Start};
pub use ring::blocker::{Blocker, Life};
pub use ring::claim::{Batch, BatchClaim, Claim, OutOfClaim};
pub use ring::conflate::{Conflate, Newest};
pub use ring::consumer::Consumer;
pub use ring::evict::Evicted;
#[cfg(not(loom))]
pub use ring::evict::evict;
pub use ring::forget::Forgotten;
#[cfg(not(loom))]
pub use ring::forget::{forget, forget_away, forget_slot};
pub use ring::holding::Hold;
pub use ring::inspect::{ConsumerInfo, ConsumerState, Inspector, Snapshot, StageInfo};
pub use ring::observer::Observer;
pub use ring::options::Options;
pub use ring::parse::ParseError;
pub use ring::producer::Producer;
pub use ring::protocol::record::{Event, Loss, LossAccount, LossCause, Record, Resumed, Skipped, Status};
pub use ring::reading::Receive;
pub use ring::reading::events::{EventOf, Events};
pub use ring::rfc3339::Rfc3339;
pub use ring::rings::Ring;
pub use ring::space::Space;
#[cfg(not(loom))]
pub use ring::trusted::{Trusted, TrustedClaim};
pub use ring::typed::{TypedConsumer, TypedProducer};
pub use ring::writing::{ClaimWriter, RecordWriter};
pub use schema::{Schema, Typed};
pub use source::Waitable;
pub use wait::mode::WaitMode;
pub use wait::timestamp::Timestamp;
pub use waitset::WaitSet;
#[cfg(not(loom))]
pub use waitset::descriptor::WaitFd;
pub use waitset::merge::{Merge, Merged};
pub use waitset::method::WaitMethod;
pub use waitset::ready::Ready;
pub use waitset::ticker::{Tick, Ticker};
#[cfg(not(loom))]
pub use waitset::watch::Watch;
/// The traits of typed records, and their derives: see [`Typed`].
pub use zerocopy;

#[cfg(quoit_delays)]
#[doc(hidden)]
pub use atomics::delays;
#[cfg(tampered)]
pub use ring::tamper;

/// Faults that the models inject.
#[cfg(loom)]
#[doc(hidden)]
pub mod fate {
    /// Runs `work`, and kills it just before its `stores`-th store (from 0). `None`: it died.
    pub fn crash_after<T>(stores: usize, work: impl FnOnce() -> T) -> Option<T> {
        crate::atomics::crash_after(stores, work)
    }

    /// Begins a run of a model at time 0.
    pub fn restart_clock() {
        crate::wait::clock::restart();
        slice_sleeps(false);
    }

    /// Whether `membarrier` is refused to producers that open a ring from now on.
    pub fn refuse_barriers(refused: bool) {
        crate::wait::futex::refuse_barriers(refused);
    }

    /// Whether sleeps end by themselves, as they do outside the models. Otherwise a lost wake is a deadlock.
    pub fn slice_sleeps(sliced: bool) {
        crate::wait::futex::slice_sleeps(sliced);
    }

    /// The sleeps of whoever looks for the dead end by themselves, and no others: of several sleepers, one is to look.
    pub fn only_probes_end() {
        crate::wait::futex::brief_sleeps(crate::wait::doorbell::PROBE_NS);
    }

    /// Whether a producer is marked as asleep until there is space.
    pub fn is_space_armed(ring: &crate::Ring) -> bool {
        ring.region(crate::memory::permissions::Access::Writer)
            .is_ok_and(|region| crate::wait::doorbell::is_armed(&region.areas().control.space))
    }

    /// Leaves the mark of a producer that was killed asleep until there is space.
    pub fn arm_space(ring: &crate::Ring) {
        if let Ok(region) = ring.region(crate::memory::permissions::Access::Writer) {
            crate::wait::doorbell::sleep(&region.areas().control.space, |_| true, || true, 0);
        }
    }

    /// Kills a member of a group, the last one, and lets another join.
    pub fn join_after_death(member: crate::GroupMember) -> Result<crate::GroupMember, crate::Error> {
        member.join_after_death()
    }

    /// Kills the owner of a handle: its locks are released, and nothing else happens.
    pub fn kill<T>(handle: T) {
        crate::atomics::crash_after(0, move || drop(handle));
    }
}
