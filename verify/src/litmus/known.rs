//! Textbook programs and their outcomes under C11: the axioms must agree with these before they are trusted.

use super::model::Order;
use super::program::{Op, Program, Registers, fence, load, store, when};
use Order::{Acquire, Relaxed, Release, SeqCst};

/// A name, a program, an outcome, and whether it can come out.
type Known = (&'static str, Program, fn(&Registers) -> bool, bool);

fn is(registers: &Registers, values: &[(&str, u64)]) -> bool {
    values.iter().all(|(name, value)| registers.get(name) == Some(value))
}

fn st(to: &'static str, value: u64, order: Order) -> Op {
    store("", to, value, order)
}

fn ld(from: &'static str, register: &'static str, order: Order) -> Op {
    load("", from, register, order)
}

fn add(word: &'static str, by: u64, register: &'static str, order: Order) -> Op {
    Op::Add { site: "", word, by, register, order }
}

const FULL: fn() -> Op = || fence("", SeqCst);

pub(super) fn all() -> Vec<Known> {
    let store_buffering: fn(&Registers) -> bool = |r| is(r, &[("a", 0), ("b", 0)]);
    let message: fn(&Registers) -> bool = |r| is(r, &[("a", 1), ("b", 0)]);
    let independent: fn(&Registers) -> bool = |r| is(r, &[("a", 1), ("b", 0), ("c", 1), ("d", 0)]);
    vec![
        (
            "store buffering, release and acquire",
            vec![
                vec![st("x", 1, Release), ld("y", "a", Acquire)],
                vec![st("y", 1, Release), ld("x", "b", Acquire)],
            ],
            store_buffering,
            true,
        ),
        (
            "store buffering, full fences",
            vec![
                vec![st("x", 1, Relaxed), FULL(), ld("y", "a", Relaxed)],
                vec![st("y", 1, Relaxed), FULL(), ld("x", "b", Relaxed)],
            ],
            store_buffering,
            false,
        ),
        (
            "store buffering, one full fence",
            vec![
                vec![st("x", 1, Relaxed), FULL(), ld("y", "a", Relaxed)],
                vec![st("y", 1, Relaxed), ld("x", "b", Relaxed)],
            ],
            store_buffering,
            true,
        ),
        (
            "message passing, relaxed",
            vec![
                vec![st("x", 1, Relaxed), st("y", 1, Relaxed)],
                vec![ld("y", "a", Relaxed), ld("x", "b", Relaxed)],
            ],
            message,
            true,
        ),
        (
            "message passing, release and acquire",
            vec![
                vec![st("x", 1, Relaxed), st("y", 1, Release)],
                vec![ld("y", "a", Acquire), ld("x", "b", Relaxed)],
            ],
            message,
            false,
        ),
        (
            "message passing, fences",
            vec![
                vec![st("x", 1, Relaxed), fence("", Release), st("y", 1, Relaxed)],
                vec![ld("y", "a", Relaxed), fence("", Acquire), ld("x", "b", Relaxed)],
            ],
            message,
            false,
        ),
        (
            "message passing through a read-modify-write",
            vec![
                vec![st("x", 1, Relaxed), st("y", 1, Release)],
                vec![add("y", 1, "c", Relaxed)],
                vec![ld("y", "a", Acquire), ld("x", "b", Relaxed)],
            ],
            |r| is(r, &[("c", 1), ("a", 2), ("b", 0)]),
            false,
        ),
        (
            "message passing through a later store of the same thread",
            vec![
                vec![st("x", 1, Relaxed), st("y", 1, Release), st("y", 2, Relaxed)],
                vec![ld("y", "a", Acquire), ld("x", "b", Relaxed)],
            ],
            // C++11 forbade it, C++20 allows it.
            |r| is(r, &[("a", 2), ("b", 0)]),
            true,
        ),
        (
            "load buffering",
            vec![
                vec![ld("x", "a", Relaxed), st("y", 1, Relaxed)],
                vec![ld("y", "b", Relaxed), st("x", 1, Relaxed)],
            ],
            // Allowed by the standard, excluded by this model.
            |r| is(r, &[("a", 1), ("b", 1)]),
            false,
        ),
        (
            "independent reads, acquire",
            vec![
                vec![st("x", 1, Release)],
                vec![st("y", 1, Release)],
                vec![ld("x", "a", Acquire), ld("y", "b", Acquire)],
                vec![ld("y", "c", Acquire), ld("x", "d", Acquire)],
            ],
            independent,
            true,
        ),
        (
            "independent reads, full fences",
            vec![
                vec![st("x", 1, Relaxed)],
                vec![st("y", 1, Relaxed)],
                vec![ld("x", "a", Relaxed), FULL(), ld("y", "b", Relaxed)],
                vec![ld("y", "c", Relaxed), FULL(), ld("x", "d", Relaxed)],
            ],
            independent,
            false,
        ),
        (
            "two stores each, crossed",
            vec![
                vec![st("x", 1, Relaxed), st("y", 2, Relaxed), ld("y", "a", Relaxed)],
                vec![st("y", 1, Relaxed), st("x", 2, Relaxed), ld("x", "b", Relaxed)],
            ],
            |r| is(r, &[("a", 1), ("b", 1)]),
            true,
        ),
        (
            "two stores each, crossed, full fences",
            vec![
                vec![st("x", 1, Relaxed), FULL(), st("y", 2, Relaxed), ld("y", "a", Relaxed)],
                vec![st("y", 1, Relaxed), FULL(), st("x", 2, Relaxed), ld("x", "b", Relaxed)],
                vec![ld("x", "c", Relaxed)],
            ],
            // Each thread's second store comes before the other's first.
            |r| is(r, &[("a", 1), ("b", 1)]),
            false,
        ),
        (
            "write to read causality",
            vec![
                vec![st("x", 1, Relaxed)],
                vec![ld("x", "a", Relaxed), st("y", 1, Release)],
                vec![ld("y", "b", Acquire), ld("x", "c", Relaxed)],
            ],
            |r| is(r, &[("a", 1), ("b", 1), ("c", 0)]),
            false,
        ),
        (
            "coherence of two reads",
            vec![vec![st("x", 1, Relaxed)], vec![ld("x", "a", Relaxed), ld("x", "b", Relaxed)]],
            message,
            false,
        ),
        (
            "two read-modify-writes",
            vec![vec![add("x", 1, "a", Relaxed)], vec![add("x", 1, "b", Relaxed)]],
            |r| is(r, &[("a", 0), ("b", 0)]),
            false,
        ),
        (
            "a store and a read, full fences (R)",
            vec![
                vec![st("x", 1, Relaxed), FULL(), st("y", 1, Relaxed)],
                vec![st("y", 2, Relaxed), FULL(), ld("x", "a", Relaxed), ld("y", "b", Relaxed)],
            ],
            |r| is(r, &[("a", 0), ("b", 1)]),
            true,
        ),
        (
            "a guarded step is not taken",
            vec![
                vec![st("x", 1, Relaxed)],
                vec![ld("x", "a", Relaxed), when("a", 1, vec![ld("x", "b", Relaxed)])],
            ],
            |r| r.get("a") == Some(&0) && r.contains_key("b"),
            false,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::program::explore;

    #[test]
    fn the_axioms_agree_with_the_textbook() {
        for (name, program, can, expected) in super::all() {
            let shown = explore(&program).outcomes.iter().any(can);
            assert_eq!(shown, expected, "{name}");
        }
    }
}
