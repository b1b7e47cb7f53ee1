//! The scenarios: what exists before, which processes run besides, and what the victim does.

mod before;
mod bodies;
mod neighbours;
mod objects;
mod stages;

use nix::errno::Errno;
use nix::libc;
use quoit::WaitMode::{self, Fence, Membarrier, Spin};

use self::before::{closed, died, full_of_the_dead, garbage, held, huge, named, nothing};
use self::bodies::{
    attach_gated, attach_last, attach_lossy, attach_named, await_successor, create, create_exists,
    create_huge, create_nowhere, create_relative, create_too_large, forget, forget_unknown, inspect,
    is_stale, is_stale_replaced, local, name_in_use, observe, observe_napping, open, open_alive,
    open_garbage, open_missing, open_or_create, options_create, prepare_consumer, prepare_observer,
    prepare_producer, receive_the_dead, receive_the_end, release_waking, resume, resume_held, send_evicting,
    send_held, send_reclaiming, send_times_out, send_waking, sleep_for_a_record, slots_taken, time_passes,
    wait_for_space,
};
use self::neighbours::{
    blocking, naming, not_reading, not_reading_for_long, producing, reading_late, sending, sitting,
    succeeding, waiting,
};
use super::stage::{Cue, Ended, Found, Stage, afresh};

/// One thing that a process does with a ring, or with another object.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) mode: WaitMode,
    pub(crate) disk: bool,
    /// Makes what is in the folder before each run; in a process of its own, which then dies.
    pub(crate) prepare: fn(&Stage) -> Ended,
    pub(crate) neighbour: Option<fn(&Stage, &mut Cue) -> Ended>,
    /// The neighbour comes to an end of its own, and has done its part then.
    pub(crate) neighbour_ends: bool,
    /// A call that this kernel refuses throughout.
    pub(crate) refused: Option<(i64, Errno)>,
    /// Threads of the library help it: their stacks and their heap stay with the C library, and they go a moment later.
    pub(crate) helped: bool,
    /// Nothing comes of it unless the kernel says who is dead.
    pub(crate) needs_proof: bool,
    pub(crate) body: fn(&Stage) -> Ended,
    /// What a process finds that had no part.
    pub(crate) afresh: fn(&Stage) -> Found,
}

const fn scenario(name: &'static str, prepare: fn(&Stage) -> Ended, body: fn(&Stage) -> Ended) -> Scenario {
    let (mode, disk, neighbour, neighbour_ends, refused) = (Membarrier, false, None, false, None);
    Scenario {
        name,
        mode,
        disk,
        prepare,
        neighbour,
        neighbour_ends,
        refused,
        helped: false,
        needs_proof: false,
        body,
        afresh,
    }
}

impl Scenario {
    const fn on_disk(self) -> Self {
        Self { disk: true, ..self }
    }

    const fn mode(self, mode: WaitMode) -> Self {
        Self { mode, ..self }
    }

    /// Beside one that stays until the victim has gone.
    const fn beside(self, neighbour: fn(&Stage, &mut Cue) -> Ended) -> Self {
        Self { neighbour: Some(neighbour), ..self }
    }

    /// Together with one whose own end is part of it.
    const fn with(self, neighbour: fn(&Stage, &mut Cue) -> Ended) -> Self {
        Self { neighbour: Some(neighbour), neighbour_ends: true, ..self }
    }

    const fn afresh(self, afresh: fn(&Stage) -> Found) -> Self {
        Self { afresh, ..self }
    }

    const fn needs_proof(self) -> Self {
        Self { needs_proof: true, ..self }
    }

    const fn helped(self) -> Self {
        Self { helped: true, ..self }
    }

    const fn without(self, call: i64, errno: Errno) -> Self {
        Self { refused: Some((call, errno)), ..self }
    }
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Scenario> {
    RINGS.iter().chain(objects::SCENARIOS)
}

static RINGS: &[Scenario] = &[
    scenario("create", nothing, create),
    scenario("create on disk", nothing, create).on_disk(),
    scenario("create, no fallocate", nothing, create).without(libc::SYS_fallocate, Errno::EOPNOTSUPP),
    scenario("create at a relative path", nothing, create_relative),
    scenario("create where a file is", closed, create_exists),
    scenario("create where no folder is", nothing, create_nowhere),
    scenario("create larger than the disk", nothing, create_too_large),
    scenario("create without a producer", nothing, options_create),
    scenario("create without a producer on disk", nothing, options_create).on_disk(),
    scenario("create for huge pages", nothing, create_huge),
    scenario("open_or_create, nothing there", nothing, open_or_create),
    scenario("open_or_create, a ring there", closed, open_or_create),
    scenario("open_or_create on disk", nothing, open_or_create).on_disk(),
    scenario("ring on the heap", nothing, local),
    scenario("open after a close", closed, open),
    scenario("open after a close on disk", closed, open).on_disk(),
    scenario("open after a death", died, open),
    scenario("open, membarrier refused", closed, open).without(libc::SYS_membarrier, Errno::EPERM),
    scenario("open, nothing there", nothing, open_missing),
    scenario("open what is no ring", garbage, open_garbage),
    scenario("open beside a living producer", closed, open_alive).beside(producing),
    scenario("attach lossy", closed, attach_lossy),
    scenario("attach lossy on disk", closed, attach_lossy).on_disk(),
    scenario("attach gated, oldest", closed, attach_gated),
    scenario("attach gated, last and sequence", closed, attach_last),
    scenario("attach under a new name, held", closed, attach_named),
    scenario("resume under a name", named, resume),
    scenario("resume what is held", held, resume_held),
    scenario("attach, the name in use", closed, name_in_use).beside(naming),
    scenario("attach, all slots taken", closed, slots_taken).beside(sitting),
    scenario("observe", closed, observe),
    scenario("inspect", closed, inspect).beside(naming),
    scenario("forget", held, forget),
    scenario("forget an unknown name", closed, forget_unknown),
    scenario("prepare a producer", huge, prepare_producer),
    scenario("prepare a producer on disk", closed, prepare_producer).on_disk(),
    scenario("prepare a consumer", huge, prepare_consumer),
    scenario("prepare an observer", huge, prepare_observer),
    scenario("is_stale", closed, is_stale),
    scenario("is_stale, replaced", closed, is_stale_replaced),
    scenario("receive, sleeping", closed, sleep_for_a_record).beside(sending),
    scenario("receive, sleeping, fences", closed, sleep_for_a_record).mode(Fence).beside(sending),
    scenario("receive, spinning", closed, sleep_for_a_record).mode(Spin).beside(sending),
    scenario("receive, sleeping, futex refused", closed, sleep_for_a_record)
        .beside(sending)
        .without(libc::SYS_futex, Errno::ENOSYS),
    scenario("receive, sleeping, membarrier refused", closed, sleep_for_a_record)
        .beside(sending)
        .without(libc::SYS_membarrier, Errno::ENOSYS),
    scenario("receive, time passes", closed, time_passes).beside(producing),
    scenario("receive the end", closed, receive_the_end),
    scenario("receive what the dead left", died, receive_the_dead).needs_proof(),
    scenario("wait for another producer", closed, await_successor).beside(succeeding),
    scenario("observe, napping", closed, observe_napping).beside(sending),
    scenario("send, waiting for space", closed, wait_for_space).beside(reading_late),
    scenario("send, waiting for space, fences", closed, wait_for_space).mode(Fence).beside(reading_late),
    scenario("send, waiting for space, spinning", closed, wait_for_space).mode(Spin).beside(reading_late),
    scenario("send, waiting for space, futex refused", closed, wait_for_space)
        .beside(reading_late)
        .without(libc::SYS_futex, Errno::ENOSYS),
    scenario("send, time passes", closed, send_times_out).beside(not_reading),
    scenario("send, evicting", closed, send_evicting).beside(not_reading_for_long),
    scenario("send past a dead consumer", full_of_the_dead, send_reclaiming).needs_proof(),
    scenario("send held up by a name", held, send_held),
    scenario("send, waking", closed, send_waking).with(waiting),
    scenario("send, waking, fences", closed, send_waking).mode(Fence).with(waiting),
    scenario("release, waking", closed, release_waking).with(blocking),
    scenario("release, waking, fences", closed, release_waking).mode(Fence).with(blocking),
    scenario("attach after a stage", stages::released, stages::follow),
    scenario("attach after a stage that is not there", closed, stages::follow_nobody),
    scenario("receive after a stage, sleeping", stages::released, stages::sleep_for_a_release)
        .beside(stages::releasing),
    scenario("receive after a stage, spinning", stages::released, stages::sleep_for_a_release)
        .mode(Spin)
        .beside(stages::releasing),
    scenario("receive after a stage, sleeping, futex refused", stages::released, stages::sleep_for_a_release)
        .beside(stages::releasing)
        .without(libc::SYS_futex, Errno::ENOSYS),
    scenario("receive after a stage, time passes", stages::released, stages::time_passes)
        .beside(stages::resting),
    scenario("receive after a stage that dies", stages::released, stages::stage_gone)
        .with(stages::dying)
        .needs_proof(),
    scenario("release, waking a follower", stages::released, stages::release_waking).with(stages::following),
    scenario("leave, waking a follower", stages::released, stages::leave_waking).with(stages::left_behind),
];
