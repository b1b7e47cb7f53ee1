//! Which system does which work, and with what.

use anyhow::{Result, bail};
use quoit_floors::building::{Building, ByField, ByWord, Copied};
use quoit_floors::fields::{Fields, Flag, Quote};
use quoit_floors::figures::Figures;

use crate::ends::{BATCH, Pace, Shape};
use crate::member::Member;
use crate::peers::bcast::Bcast;
use crate::peers::crossbeam::Crossbeam;
use crate::peers::disruptor::{Disruptor, Fanning};
use crate::peers::iceoryx::Iceoryx;
use crate::peers::kernel::{Pipe, Socket};
use crate::peers::outcry::Outcry;
use crate::peers::quoit::Quoit;
use crate::peers::ringfire::Ringfire;
use crate::peers::rtrb::Rtrb;
use crate::peers::shaq::{Broadcast, Shaq};
use crate::record::Record;
use crate::sides;
use crate::source::Source;
use crate::system::System;
use crate::ways::{Batched, Placed, Singly};
use crate::work::Work;
use crate::works::fan::Fan;
use crate::works::flood::Flood;
use crate::works::open::Open;
use crate::works::stream::Stream;

/// A record of an open loop is due every so often, ns.
pub(crate) const INTERVAL: u64 = 1000;

/// What one process measures.
#[derive(Clone, Copy)]
struct Task<'a> {
    member: Member<'a>,
    system: System,
    count: u64,
}

impl Task<'_> {
    /// Records of a window, in whole batches.
    fn count(self) -> u64 {
        self.count.next_multiple_of(BATCH as u64)
    }

    /// Records before the first that counts: once round the queue, or, where each takes a system call, enough.
    fn warm<const N: usize>(self) -> u64 {
        let lap = Shape::slots(N * 8).clamp(1000, 20_000) as u64;
        if self.system.syscalls() { 1024 } else { lap.next_multiple_of(BATCH as u64) }
    }
}

/// Calls something with the number of words as a constant, for every size that is measured.
macro_rules! sized {
    ($bytes:expr, $n:ident => $call:expr) => {
        match $bytes {
            8 => {
                const $n: usize = 1;
                $call
            }
            64 => {
                const $n: usize = 8;
                $call
            }
            256 => {
                const $n: usize = 32;
                $call
            }
            1024 => {
                const $n: usize = 128;
                $call
            }
            4096 => {
                const $n: usize = 512;
                $call
            }
            bytes => bail!("nothing is measured with {bytes} bytes"),
        }
    };
}

/// Does the work over the system that was asked for, by the first of these that has its name and whose condition holds.
macro_rules! over {
    (
        $n:ident, $task:expr, $shape:expr, $work:expr, $record:ty;
        $($system:ident $(if $condition:ident)?: $sides:ident $peer:ty,)*
    ) => {{
        let (task, shape, work) = ($task, $shape, $work);
        match task.system {
            $(System::$system $(if $condition)? => {
                sides::$sides::<$n, $record, $peer, _>(task.member, shape, &work)
            })*
            #[allow(unreachable_patterns, reason = "some lists have every system")]
            system => bail!("{} is not made for this", system.name()),
        }
    }};
}

/// One process's part of a measurement. `count`: round trips or records in a window.
pub(crate) fn measure(
    member: Member<'_>,
    system: System,
    work: Work,
    bytes: usize,
    count: u64,
) -> Result<Figures> {
    let task = Task { member, system, count };
    match work {
        Work::Stream { building } => match building {
            Building::Copied => sized!(bytes, N => built::<N, Copied<N>>(task)),
            Building::ByWord => sized!(bytes, N => built::<N, ByWord<N>>(task)),
            Building::InPlace => sized!(bytes, N => placed::<N>(task)),
            Building::ByField => match bytes {
                8 => typed::<1, Flag>(task),
                64 => typed::<8, [Quote; 4]>(task),
                256 => typed::<32, [Quote; 16]>(task),
                1024 => typed::<128, [Quote; 64]>(task),
                4096 => typed::<512, [Quote; 256]>(task),
                bytes => bail!("no type of {bytes} bytes"),
            },
        },
        Work::Pingpong => sized!(bytes, N => pingpong::<N>(task)),
        Work::Call => sized!(bytes, N => call::<N>(task)),
        Work::Event => event(task),
        Work::Batch => sized!(bytes, N => batch::<N>(task)),
        _ if bytes != 64 => bail!("nothing but 64 bytes is made for this"),
        Work::Fanout { consumers, batched: false } => fan(task, consumers),
        Work::Fanout { consumers, batched: true } => fan_in_batches(task, consumers),
        Work::Flood { consumers, batched: false } => flood(task, consumers),
        Work::Flood { consumers, batched: true } => flood_in_batches(task, consumers),
        Work::Open => open(task),
    }
}

fn built<const N: usize, B: Source<N>>(task: Task<'_>) -> Result<Figures> {
    let work = Stream::<N, Singly<N, B>>::new(task.count(), task.warm::<N>());
    over!(N, task, Shape::STREAM, work, B::Record;
        Quoit: processes Quoit,
        Shaq: processes Shaq,
        Ringfire: processes Ringfire,
        Outcry: with_credits Outcry,
        Bcast: with_credits Bcast,
        Iceoryx2: processes Iceoryx,
        Rtrb: threads Rtrb,
        Disruptor: threads Disruptor,
        Crossbeam: threads Crossbeam,
        Pipe: processes Pipe,
        Socket: processes Socket,
    )
}

fn typed<const N: usize, F: Fields + Record<N>>(task: Task<'_>) -> Result<Figures> {
    let work = Stream::<N, Singly<N, ByField<F>>>::new(task.count(), task.warm::<N>());
    over!(N, task, Shape::STREAM, work, F;
        Quoit: processes Quoit,
        Shaq: processes Shaq,
        Ringfire: processes Ringfire,
        Iceoryx2: processes Iceoryx,
        Rtrb: threads Rtrb,
        Disruptor: threads Disruptor,
        Crossbeam: threads Crossbeam,
    )
}

fn placed<const N: usize>(task: Task<'_>) -> Result<Figures> {
    let work = Stream::<N, Placed<N>>::new(task.count(), task.warm::<N>());
    let shape = Shape { in_place: true, ..Shape::STREAM };
    over!(N, task, shape, work, [u64; N];
        Quoit: processes Quoit,
        Shaq: processes Shaq,
        Bcast: with_credits Bcast,
        Iceoryx2: processes Iceoryx,
        Rtrb: threads Rtrb,
        Disruptor: threads Disruptor,
    )
}

fn batch<const N: usize>(task: Task<'_>) -> Result<Figures> {
    let work = Stream::<N, Batched<N>>::new(task.count(), task.warm::<N>());
    over!(N, task, Shape::STREAM, work, [u64; N];
        Quoit: processes Quoit,
        Shaq: processes Shaq,
        Ringfire: processes Ringfire,
        Rtrb: threads Rtrb,
        Disruptor: threads Disruptor,
        Pipe: processes Pipe,
        Socket: processes Socket,
    )
}

fn pingpong<const N: usize>(task: Task<'_>) -> Result<Figures> {
    let shape = Shape { pace: Pace::Alternating, ..Shape::STREAM };
    let Task { member, count, .. } = task;
    let warm = task.warm::<N>();
    match task.system {
        System::Quoit => sides::there_and_back::<N, Quoit>(member, shape, count, warm),
        System::Shaq => sides::there_and_back::<N, Shaq>(member, shape, count, warm),
        System::Ringfire => sides::there_and_back::<N, Ringfire>(member, shape, count, warm),
        System::Outcry => sides::there_and_back::<N, Outcry>(member, shape, count, warm),
        System::Bcast => sides::there_and_back::<N, Bcast>(member, shape, count, warm),
        System::Iceoryx2 => sides::there_and_back::<N, Iceoryx>(member, shape, count, warm),
        System::Pipe => sides::there_and_back::<N, Pipe>(member, shape, count, warm),
        System::Socket => sides::there_and_back::<N, Socket>(member, shape, count, warm),
        System::Rtrb => sides::there_and_back_inside::<N, Rtrb>(member, shape, count, warm),
        System::Disruptor => sides::there_and_back_inside::<N, Disruptor>(member, shape, count, warm),
        System::Crossbeam => sides::there_and_back_inside::<N, Crossbeam>(member, shape, count, warm),
    }
}

fn call<const N: usize>(task: Task<'_>) -> Result<Figures> {
    let (Task { member, count, .. }, warm) = (task, task.warm::<N>());
    match task.system {
        System::Quoit => sides::calls::<N, Quoit>(member, count, warm),
        System::Iceoryx2 => sides::calls::<N, Iceoryx>(member, count, warm),
        system => bail!("{} has no calls", system.name()),
    }
}

fn event(task: Task<'_>) -> Result<Figures> {
    let Task { member, count, .. } = task;
    match task.system {
        System::Quoit => sides::events::<Quoit>(member, count),
        System::Iceoryx2 => sides::events::<Iceoryx>(member, count),
        System::Pipe => sides::events::<Pipe>(member, count),
        System::Socket => sides::events::<Socket>(member, count),
        system => bail!("{} has no events", system.name()),
    }
}

/// Words of a record, in everything that has one size.
const N: usize = 8;

type Copies = Singly<N, Copied<N>>;

fn fan(task: Task<'_>, consumers: usize) -> Result<Figures> {
    let work = Fan::<N, Copies>::new(task.count(), task.warm::<N>());
    let several = consumers > 1;
    over!(N, task, Shape { consumers, ..Shape::STREAM }, work, [u64; N];
        Quoit: processes Quoit,
        // What shaq and the disruptor have for one consumer is faster.
        Shaq if several: processes Broadcast,
        Shaq: processes Shaq,
        Ringfire: processes Ringfire,
        Outcry: with_credits Outcry,
        Bcast: with_credits Bcast,
        Iceoryx2: processes Iceoryx,
        Disruptor if several: threads Fanning,
        Disruptor: threads Disruptor,
    )
}

fn fan_in_batches(task: Task<'_>, consumers: usize) -> Result<Figures> {
    let work = Fan::<N, Batched<N>>::new(task.count(), task.warm::<N>());
    let several = consumers > 1;
    over!(N, task, Shape { consumers, ..Shape::STREAM }, work, [u64; N];
        Quoit: processes Quoit,
        Shaq if several: processes Broadcast,
        Shaq: processes Shaq,
        Ringfire: processes Ringfire,
        Disruptor if several: threads Fanning,
        Disruptor: threads Disruptor,
    )
}

fn flood(task: Task<'_>, consumers: usize) -> Result<Figures> {
    let work = Flood::<N, Copies>::new(task.count());
    over!(N, task, Shape { lossy: true, consumers, ..Shape::STREAM }, work, [u64; N];
        Quoit: processes Quoit,
        Ringfire: processes Ringfire,
        Outcry: processes Outcry,
        Bcast: processes Bcast,
        Iceoryx2: processes Iceoryx,
    )
}

fn flood_in_batches(task: Task<'_>, consumers: usize) -> Result<Figures> {
    let work = Flood::<N, Batched<N>>::new(task.count());
    over!(N, task, Shape { lossy: true, consumers, ..Shape::STREAM }, work, [u64; N];
        Quoit: processes Quoit,
        Ringfire: processes Ringfire,
    )
}

fn open(task: Task<'_>) -> Result<Figures> {
    let work = Open::<N> { count: task.count, warm: task.warm::<N>(), interval: INTERVAL };
    over!(N, task, Shape { pace: Pace::Due, ..Shape::STREAM }, work, [u64; N];
        Quoit: processes Quoit,
        Shaq: processes Shaq,
        Ringfire: processes Ringfire,
        Outcry: with_credits Outcry,
        Bcast: with_credits Bcast,
        Iceoryx2: processes Iceoryx,
        Rtrb: threads Rtrb,
        Disruptor: threads Disruptor,
        Crossbeam: threads Crossbeam,
        Pipe: processes Pipe,
        Socket: processes Socket,
    )
}
