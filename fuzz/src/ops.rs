//! Lists of operations against the plain model of `tests/properties`.

use super::common::Backing;
use super::input::Input;
use super::model::world::World;
use super::model::{NAMES, Op, Policy, READERS, Where};

/// Operations of one list.
const MOST: usize = 100;

fn start(input: &mut Input<'_>) -> Where {
    match input.below(8) {
        0..3 => Where::Newest,
        3..5 => Where::Oldest,
        5 | 6 => Where::Last(u64::from(input.byte() % 80)),
        7 => Where::Time(i64::from(input.byte() % 61) - 1),
        _ => Where::Back(i64::from(input.byte() % 63) - 3),
    }
}

fn op(input: &mut Input<'_>) -> Op {
    let choice = input.byte();
    let who = usize::from(choice / 16) % READERS;
    match choice % 16 {
        0..4 => Op::Send(len(input)),
        4 => Op::Claim { len: len(input), publish: choice >= 64 },
        5 => {
            let lens = (0..input.below(12)).map(|_| len(input)).collect();
            Op::Batch { lens, claims: input.byte(), publish: choice >= 64 }
        }
        6 => Op::Reopen,
        7 | 8 => {
            let terms = input.byte();
            let policy = [Policy::Gated, Policy::Brief, Policy::Lossy][usize::from(terms % 3)];
            let name = Some(usize::from(terms / 3 % 4)).filter(|name| *name < NAMES.len());
            let (hold, keep) = (terms & 64 != 0, terms & 128 != 0);
            Op::Attach { who, policy, start: start(input), name, hold, keep }
        }
        9 => Op::Observe { who, start: start(input) },
        10..12 => Op::Receive { who, events: 1 + input.below(40) },
        12 => Op::Skip { who },
        13 => Op::Release { who },
        14 => Op::Detach { who },
        _ => Op::Forget { name: usize::from(choice / 16) % NAMES.len() },
    }
}

/// As the property tests have it: nothing that a producer would refuse.
fn len(input: &mut Input<'_>) -> usize {
    input.len(2040).min(2040)
}

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    let (words, records) = (u64::from(input.short() % 1024), u64::from(input.byte()));
    let (origin, first) = match flags % 3 {
        0 => (0, 0),
        1 => (0u64.wrapping_sub(words * 8), 0u64.wrapping_sub(records)),
        _ => ((1 << 63) - words * 8, (1 << 32) - records),
    };
    let mut world = World::new(Backing::Heap, origin, first, flags & 128 == 0, flags & 64 != 0);
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        let op = op(&mut input);
        if let Err(error) = world.apply(&op) {
            panic!("{op:?}: {error}");
        }
    }
    world.finish().expect("everybody has everything");
}
