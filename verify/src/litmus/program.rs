//! Programs of a few shared accesses, and all their executions under the axioms of `model.rs`.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Event, Execution, Kind, Order};

/// A step of a thread. Registers belong to the program as a whole, and are 0 until read into.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Store {
        site: &'static str,
        to: &'static str,
        value: u64,
        order: Order,
    },
    Load {
        site: &'static str,
        from: &'static str,
        register: &'static str,
        order: Order,
    },
    /// Reads the old value and stores it with these bits set.
    Or {
        site: &'static str,
        word: &'static str,
        bits: u64,
        register: &'static str,
        order: Order,
    },
    /// Reads the old value and stores it with this added.
    Add {
        site: &'static str,
        word: &'static str,
        by: u64,
        register: &'static str,
        order: Order,
    },
    Fence {
        site: &'static str,
        order: Order,
    },
    /// The heavy side of `membarrier`: the other thread so numbered is interrupted by a full fence somewhere.
    Heavy {
        site: &'static str,
        interrupts: usize,
    },
    /// Goes on if the register holds this.
    When {
        register: &'static str,
        is: u64,
        then: Vec<Op>,
    },
}

pub(super) fn store(site: &'static str, to: &'static str, value: u64, order: Order) -> Op {
    Op::Store { site, to, value, order }
}

pub(super) fn load(site: &'static str, from: &'static str, register: &'static str, order: Order) -> Op {
    Op::Load { site, from, register, order }
}

pub(super) fn fence(site: &'static str, order: Order) -> Op {
    Op::Fence { site, order }
}

pub(super) fn when(register: &'static str, is: u64, then: Vec<Op>) -> Op {
    Op::When { register, is, then }
}

/// What the registers hold at the end.
pub(super) type Registers = BTreeMap<&'static str, u64>;

/// Threads of steps; every word holds 0 at first.
pub(super) type Program = Vec<Vec<Op>>;

/// What all executions together can show.
#[derive(Debug, Default)]
pub(super) struct Behaviour {
    /// Consistent executions.
    pub(super) executions: u64,
    /// What registers can hold at the end of one.
    pub(super) outcomes: BTreeSet<Registers>,
    /// Some execution has a race of plain accesses.
    pub(super) races: bool,
}

/// All consistent executions of the program.
pub(super) fn explore(program: &Program) -> Behaviour {
    let mut behaviour = Behaviour::default();
    for placed in with_interrupts(program) {
        let values = values(&placed.threads);
        let mut run = Vec::new();
        each_path(&placed.threads, &values, 0, &mut run, &mut Registers::new(), &mut |events, registers| {
            let execution = Execution::new(events, &placed.meetings);
            execution.each_consistent(|races| {
                behaviour.executions += 1;
                behaviour.races |= races;
                behaviour.outcomes.insert(registers.clone());
            });
        });
    }
    behaviour
}

/// A program whose heavy barriers have met the threads that they interrupt.
struct Placed {
    threads: Vec<Vec<Step>>,
    /// Fences, by their name, of which the first comes before the second.
    meetings: Vec<(usize, usize)>,
}

/// A step with its fences named, where others refer to them.
#[derive(Clone, Debug)]
enum Step {
    Op(Op),
    Fence(usize),
}

/// One program for each way in which heavy barriers can fall into the threads they interrupt: the interrupted thread
/// has a full fence there, after the beginning of the call and before its end.
fn with_interrupts(program: &Program) -> Vec<Placed> {
    let threads: Vec<Vec<Step>> =
        program.iter().map(|ops| ops.iter().cloned().map(Step::Op).collect()).collect();
    let mut done = Vec::new();
    let mut open = vec![(Placed { threads, meetings: Vec::new() }, 0)];
    while let Some((placed, names)) = open.pop() {
        let heavy = placed.threads.iter().enumerate().find_map(|(thread, steps)| {
            steps.iter().enumerate().find_map(|(at, step)| match step {
                Step::Op(Op::Heavy { interrupts, .. }) => Some((thread, at, *interrupts)),
                _ => None,
            })
        });
        let Some((thread, at, interrupts)) = heavy else {
            done.push(placed);
            continue;
        };
        for position in 0..=placed.threads[interrupts].len() {
            let mut threads = placed.threads.clone();
            let mut meetings = placed.meetings.clone();
            threads[thread].splice(at..=at, [Step::Fence(names), Step::Fence(names + 1)]);
            threads[interrupts].insert(position, Step::Fence(names + 2));
            meetings.extend([(names, names + 2), (names + 2, names + 1)]);
            open.push((Placed { threads, meetings }, names + 3));
        }
    }
    done
}

/// All values that a word may come to hold, and more: a value that nobody stores finds no store to read from.
fn values(threads: &[Vec<Step>]) -> BTreeMap<&'static str, BTreeSet<u64>> {
    fn visit(ops: &[Op], values: &mut BTreeMap<&'static str, BTreeSet<u64>>) {
        for op in ops {
            match op {
                Op::Store { to, value, .. } => {
                    values.entry(to).or_insert_with(|| BTreeSet::from([0])).insert(*value);
                }
                Op::Load { from, .. } => {
                    values.entry(from).or_insert_with(|| BTreeSet::from([0]));
                }
                Op::Or { word, bits, .. } => {
                    let held = values.entry(word).or_insert_with(|| BTreeSet::from([0]));
                    let more: Vec<u64> = held.iter().map(|value| value | bits).collect();
                    held.extend(more);
                }
                Op::Add { word, by, .. } => {
                    let held = values.entry(word).or_insert_with(|| BTreeSet::from([0]));
                    let more: Vec<u64> = held.iter().map(|value| value + by).collect();
                    held.extend(more);
                }
                Op::When { then, .. } => visit(then, values),
                Op::Fence { .. } | Op::Heavy { .. } => {}
            }
        }
    }
    let ops: Vec<Op> = threads
        .iter()
        .flatten()
        .filter_map(|step| if let Step::Op(op) = step { Some(op.clone()) } else { None })
        .collect();
    let mut values = BTreeMap::new();
    // One read-modify-write may follow the other in either order.
    for _ in 0..3 {
        visit(&ops, &mut values);
    }
    values
}

/// Every sequence of events for every choice of values read.
fn each_path(
    threads: &[Vec<Step>],
    values: &BTreeMap<&'static str, BTreeSet<u64>>,
    thread: usize,
    run: &mut Vec<Event>,
    registers: &mut Registers,
    done: &mut impl FnMut(&[Event], &Registers),
) {
    let Some(steps) = threads.get(thread) else {
        done(run, registers);
        return;
    };
    walk(steps, values, thread, run, registers, &mut |run, registers| {
        each_path(threads, values, thread + 1, run, registers, done);
    });
}

/// The steps of one thread, then `done`.
fn walk(
    steps: &[Step],
    values: &BTreeMap<&'static str, BTreeSet<u64>>,
    thread: usize,
    run: &mut Vec<Event>,
    registers: &mut Registers,
    done: &mut dyn FnMut(&mut Vec<Event>, &mut Registers),
) {
    let Some((step, rest)) = steps.split_first() else {
        done(run, registers);
        return;
    };
    let event =
        |kind, word, read, written, order| Event { thread, kind, word, read, written, order, name: None };
    let (kind, word, register, order, modify): (_, _, _, _, Box<dyn Fn(u64) -> u64>) = match step {
        Step::Fence(name) => {
            run.push(Event { name: Some(*name), ..event(Kind::Fence, "", 0, 0, Order::SeqCst) });
            walk(rest, values, thread, run, registers, done);
            run.pop();
            return;
        }
        Step::Op(Op::Fence { order, .. }) => {
            run.push(event(Kind::Fence, "", 0, 0, *order));
            walk(rest, values, thread, run, registers, done);
            run.pop();
            return;
        }
        Step::Op(Op::Store { to, value, order, .. }) => {
            run.push(event(Kind::Write, to, 0, *value, *order));
            walk(rest, values, thread, run, registers, done);
            run.pop();
            return;
        }
        Step::Op(Op::When { register, is, then }) => {
            let mut steps: Vec<Step> = Vec::new();
            if registers.get(register) == Some(is) {
                steps.extend(then.iter().cloned().map(Step::Op));
            }
            steps.extend_from_slice(rest);
            walk(&steps, values, thread, run, registers, done);
            return;
        }
        Step::Op(Op::Heavy { .. }) => unreachable!("heavy barriers have been placed"),
        Step::Op(Op::Load { from, register, order, .. }) => {
            (Kind::Read, *from, *register, *order, Box::new(|value| value))
        }
        Step::Op(Op::Or { word, bits, register, order, .. }) => {
            let bits = *bits;
            (Kind::Update, *word, *register, *order, Box::new(move |value| value | bits))
        }
        Step::Op(Op::Add { word, by, register, order, .. }) => {
            let by = *by;
            (Kind::Update, *word, *register, *order, Box::new(move |value| value + by))
        }
    };
    for value in &values[word] {
        let before = registers.insert(register, *value);
        run.push(event(kind, word, *value, modify(*value), order));
        walk(rest, values, thread, run, registers, done);
        run.pop();
        match before {
            Some(before) => registers.insert(register, before),
            None => registers.remove(register),
        };
    }
}
