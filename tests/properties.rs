//! Random operations on a ring, held against a plain model of it: an endless list of records, and for each reader
//! the sequence it is at. The model knows where each record stands, so it also knows when a send must find room,
//! when it must not, and when a reader must be told of a loss.

mod common;
#[path = "properties/model.rs"]
mod model;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::Config;

use common::Backing;
use model::world::World;
use model::{NAMES, Op, Policy, READERS, Where};

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0..200usize, 2 => 0..900usize, 1 => 1500..=2040usize, 1 => Just(104usize), 1 => Just(0usize)]
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..READERS;
    let policy = prop_oneof![2 => Just(Policy::Gated), 1 => Just(Policy::Brief), 2 => Just(Policy::Lossy)];
    let start = prop_oneof![
        3 => Just(Where::Newest),
        2 => Just(Where::Oldest),
        1 => (0..80u64).prop_map(Where::Last),
        1 => (-3..60i64).prop_map(Where::Back),
        1 => (-1..60i64).prop_map(Where::Time),
    ];
    prop_oneof![
        12 => len().prop_map(Op::Send),
        4 => (len(), any::<bool>()).prop_map(|(len, publish)| Op::Claim { len, publish }),
        5 => (vec(len(), 0..12), any::<u8>(), prop::bool::weighted(0.7))
            .prop_map(|(lens, claims, publish)| Op::Batch { lens, claims, publish }),
        1 => Just(Op::Reopen),
        3 => (who.clone(), policy, start.clone(), prop::option::of(0..NAMES.len()), any::<bool>(), any::<bool>())
            .prop_map(|(who, policy, start, name, hold, keep)| Op::Attach { who, policy, start, name, hold, keep }),
        1 => (who.clone(), start).prop_map(|(who, start)| Op::Observe { who, start }),
        14 => (who.clone(), 1..40usize).prop_map(|(who, events)| Op::Receive { who, events }),
        3 => who.clone().prop_map(|who| Op::Skip { who }),
        3 => who.clone().prop_map(|who| Op::Release { who }),
        2 => who.prop_map(|who| Op::Detach { who }),
        1 => (0..NAMES.len()).prop_map(|name| Op::Forget { name }),
    ]
}

/// `PROPTEST_CASES` asks for another number of cases.
fn run(backing: Backing, cases: u32, steps: usize) {
    let cases = std::env::var("PROPTEST_CASES").map_or(cases, |cases| cases.parse().expect("a number"));
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let origin = prop_oneof![
        1 => Just((0, 0)),
        2 => (0..1024u64, 0..200u64).prop_map(|(words, records)| (0u64.wrapping_sub(words * 8), 0u64.wrapping_sub(records))),
        1 => (0..1024u64, 0..200u64).prop_map(|(words, records)| ((1 << 63) - words * 8, (1 << 32) - records)),
    ];
    proptest!(config, |((position, first) in origin, inline in any::<bool>(), timed in any::<bool>(), ops in vec(op(), 1..steps))| {
        let mut world = World::new(backing, position, first, inline, timed);
        for op in &ops {
            world.apply(op)?;
        }
        world.finish()?;
    });
}

#[test]
fn a_ring_on_the_heap_is_as_its_model() {
    run(Backing::Heap, 400, 250);
}

#[test]
fn a_ring_on_the_heap_is_as_its_model_for_long() {
    run(Backing::Heap, 30, 2500);
}

#[test]
fn a_ring_on_tmpfs_is_as_its_model() {
    run(Backing::Tmpfs, 256, 200);
}

/// The reader stood behind padding when it was overwritten, and its cursor before it.
#[test]
fn what_was_lost_behind_padding_is_not_kept() {
    let batch = |lens: &[usize]| Op::Batch { lens: lens.to_vec(), claims: 0, publish: true };
    let (policy, start, name) = (Policy::Brief, Where::Newest, Some(0));
    let ops = [
        batch(&[97]),
        Op::Send(105),
        Op::Reopen,
        Op::Send(145),
        batch(&[169, 89, 153, 97]),
        Op::Send(97),
        Op::Send(73),
        Op::Attach { who: 3, policy, start, name, hold: false, keep: true },
        Op::Send(1585),
        batch(&[497, 104, 1, 104]),
        Op::Receive { who: 3, events: 5 },
        Op::Release { who: 3 },
        Op::Claim { len: 577, publish: false },
        Op::Receive { who: 3, events: 1 },
        Op::Send(17),
        batch(&[345, 553, 201, 25, 57, 129, 129]),
        batch(&[193, 209, 104, 769, 113, 281, 169, 104]),
        Op::Batch { lens: vec![137, 273, 105, 17], claims: 0, publish: false },
    ];
    for backing in [Backing::Heap, Backing::Tmpfs] {
        let mut world = World::new(backing, 0, 0, false, false);
        let kept = ops.iter().try_for_each(|op| world.apply(op)).and_then(|()| world.finish());
        kept.expect("as the model");
    }
}
