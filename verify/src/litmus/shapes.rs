//! The engine's edges, each reduced to the accesses that matter. Sites are those of `docs/ordering.md`. Accesses that
//! order nothing have sites too, so that their lines can be found in the source.

use super::model::Order;
use super::program::{Op, Program, Registers, fence, load, store, when};
use Order::{AcqRel, Acquire, Plain, Relaxed, Release, SeqCst};

/// One edge, or several that hold together.
pub(super) struct Shape {
    pub(super) name: &'static str,
    /// What must never come out.
    pub(super) never: &'static str,
    pub(super) program: Program,
    pub(super) bad: Bad,
    /// Without any one of these it does come out.
    pub(super) needs: &'static [&'static str],
    /// Those of them that have to be full fences here: weaker ones will not do.
    pub(super) full: &'static [&'static str],
}

/// How it shows.
pub(super) enum Bad {
    Outcome(fn(&Registers) -> bool),
    /// Two plain accesses race.
    Race,
}

fn or(site: &'static str, word: &'static str, bits: u64, register: &'static str, order: Order) -> Op {
    Op::Or { site, word, bits, register, order }
}

fn add(site: &'static str, word: &'static str, by: u64, register: &'static str, order: Order) -> Op {
    Op::Add { site, word, by, register, order }
}

/// Reads a register that may not have been reached.
fn at(registers: &Registers, name: &str) -> Option<u64> {
    registers.get(name).copied()
}

/// A lock of the kernel: what its last holder did comes before what the next one does.
const LOCK: &str = "the kernel's lock";

pub(super) fn all() -> Vec<Shape> {
    vec![
        Shape {
            name: "a record and `published`",
            never: "a reader sees `published` and the last lap's words",
            program: vec![
                vec![store("W2_PAYLOAD", "word", 1, Relaxed), store("W4_PUBLISHED", "published", 1, Release)],
                vec![
                    load("R4_PUBLISHED", "published", "t", Relaxed),
                    fence("R4_FENCE", Acquire),
                    load("R2_PAYLOAD", "word", "w", Relaxed),
                ],
            ],
            bad: Bad::Outcome(|r| at(r, "t") == Some(1) && at(r, "w") == Some(0)),
            needs: &["W4_PUBLISHED", "R4_FENCE"],
            full: &[],
        },
        Shape {
            name: "a newcomer's walk",
            never: "the walk meets the last lap's headers below `published`",
            program: vec![
                vec![store("W2_HEADER", "word", 1, Relaxed), store("W4_PUBLISHED", "published", 1, Release)],
                vec![
                    load("R8_PUBLISHED", "published", "t", Relaxed),
                    fence("R8_FENCE", Acquire),
                    load("R2_HEADER", "word", "w", Relaxed),
                ],
            ],
            bad: Bad::Outcome(|r| at(r, "t") == Some(1) && at(r, "w") == Some(0)),
            needs: &["W4_PUBLISHED", "R8_FENCE"],
            full: &[],
        },
        Shape {
            name: "an attaching consumer's walk",
            never: "the walk meets the last lap's headers below `published`",
            program: vec![
                vec![store("W2_HEADER", "word", 1, Relaxed), store("W4_PUBLISHED", "published", 1, Release)],
                vec![
                    store("G3_SET_STATE", "state", 1, Release),
                    load("G2_PUBLISHED", "published", "t", Relaxed),
                    fence("G5_FENCE", Acquire),
                    load("R2_HEADER", "word", "w", Relaxed),
                ],
            ],
            bad: Bad::Outcome(|r| at(r, "t") == Some(1) && at(r, "w") == Some(0)),
            needs: &["W4_PUBLISHED", "G5_FENCE"],
            full: &[],
        },
        Shape {
            name: "`reserve` and the words dirtied below it",
            never: "a reader copies the next lap's words and still finds its record intact",
            program: vec![
                vec![
                    store("W1_RESERVE", "reserve", 1, Relaxed),
                    fence("W1_FENCE", Release),
                    store("W2_PAYLOAD", "word", 1, Relaxed),
                ],
                vec![
                    load("R2_PAYLOAD", "word", "w", Relaxed),
                    fence("R1_FENCE", Acquire),
                    load("R1_RESERVE", "reserve", "floor", Relaxed),
                ],
            ],
            bad: Bad::Outcome(|r| at(r, "w") == Some(1) && at(r, "floor") == Some(0)),
            needs: &["W1_FENCE", "R1_FENCE"],
            full: &[],
        },
        Shape {
            name: "the stamp and the inline words",
            never: "a reader copies the next record's words and still finds its own stamp",
            program: vec![
                vec![
                    store("W3_STAMP", "stamp", 1, Relaxed),
                    fence("W3_FENCE", Release),
                    store("W2_PAYLOAD", "inline", 1, Relaxed),
                ],
                vec![
                    load("R2_PAYLOAD", "inline", "w", Relaxed),
                    fence("R3_FENCE", Acquire),
                    load("R3_STAMP", "stamp", "stamp", Relaxed),
                ],
            ],
            bad: Bad::Outcome(|r| at(r, "w") == Some(1) && at(r, "stamp") == Some(0)),
            needs: &["W3_FENCE", "R3_FENCE"],
            full: &[],
        },
        Shape {
            name: "the inline copy of this record",
            never: "a reader finds the stamp of its record, and words from before it",
            program: vec![
                vec![
                    store("W3_STAMP", "stamp", 1, Relaxed),
                    fence("W3_FENCE", Release),
                    store("W2_PAYLOAD", "inline", 1, Relaxed),
                    store("W4_PUBLISHED", "published", 1, Release),
                ],
                vec![
                    load("R4_PUBLISHED", "published", "t", Relaxed),
                    fence("R4_FENCE", Acquire),
                    load("R2_PAYLOAD", "inline", "w", Relaxed),
                    fence("R3_FENCE", Acquire),
                    load("R3_STAMP", "stamp", "stamp", Relaxed),
                ],
            ],
            bad: Bad::Outcome(|r| {
                at(r, "t") == Some(1) && at(r, "stamp") == Some(1) && at(r, "w") == Some(0)
            }),
            needs: &["W4_PUBLISHED", "R4_FENCE"],
            full: &[],
        },
        Shape {
            name: "a cursor and the next lap",
            never: "the producer writes where a gated consumer still reads",
            program: vec![
                vec![load("R2_PAYLOAD", "word", "w", Plain), store("R5_CURSOR", "cursor", 1, Release)],
                vec![
                    load("W5_CURSOR", "cursor", "c", Acquire),
                    when("c", 1, vec![store("W2_PAYLOAD", "word", 1, Plain)]),
                ],
            ],
            bad: Bad::Race,
            needs: &["R5_CURSOR", "W5_CURSOR"],
            full: &[],
        },
        Shape {
            name: "a leaving consumer and the next lap",
            never: "the producer writes where a consumer that has left its gate still reads",
            program: vec![
                vec![load("R2_PAYLOAD", "word", "w", Plain), store("G3_SET_STATE", "state", 1, Release)],
                vec![
                    load("G3_STATE", "state", "s", Acquire),
                    when("s", 1, vec![store("W2_PAYLOAD", "word", 1, Plain)]),
                ],
            ],
            bad: Bad::Race,
            needs: &["G3_SET_STATE", "G3_STATE"],
            full: &[],
        },
        Shape {
            name: "an open gate and its cursor",
            never: "the scan judges an open gate by the cursor of the slot's last owner",
            program: vec![
                vec![store("R5_CURSOR", "cursor", 1, Relaxed), store("G3_SET_STATE", "state", 1, Release)],
                vec![load("G3_STATE", "state", "s", Acquire), load("W5_CURSOR", "cursor", "c", Relaxed)],
            ],
            bad: Bad::Outcome(|r| at(r, "s") == Some(1) && at(r, "c") == Some(0)),
            needs: &["G3_SET_STATE", "G3_STATE"],
            full: &[],
        },
        Shape {
            name: "the scan against the attach",
            never: "the scan misses the gate, and the attach a `published` that the scan knew",
            program: vec![
                vec![
                    store("W4_PUBLISHED", "published", 1, Release),
                    fence("G1_FENCE", SeqCst),
                    load("G3_STATE", "state", "s", Acquire),
                ],
                vec![
                    store("G3_SET_STATE", "state", 1, Release),
                    fence("G2_FENCE", SeqCst),
                    load("G2_PUBLISHED", "published", "t", Relaxed),
                ],
            ],
            bad: Bad::Outcome(|r| at(r, "s") == Some(0) && at(r, "t") == Some(0)),
            needs: &["G1_FENCE", "G2_FENCE"],
            full: &["G1_FENCE", "G2_FENCE"],
        },
        Shape {
            name: "a follower that comes, and its stage",
            never: "the stage counts the follower, and does not find it",
            program: vec![
                vec![
                    store("G_FIELDS_WRITE", "after", 1, Relaxed),
                    fence("G2_FENCE", SeqCst),
                    add("F3_COUNT", "followers", 1, "n", Relaxed),
                ],
                vec![
                    load("F3_FOLLOWERS", "followers", "f", Acquire),
                    when("f", 1, vec![load("F_AFTER", "after", "a", Relaxed)]),
                ],
            ],
            bad: Bad::Outcome(|r| at(r, "f") == Some(1) && at(r, "a") == Some(0)),
            needs: &["G2_FENCE", "F3_FOLLOWERS"],
            full: &[],
        },
        Shape {
            name: "an eviction and the lap it allows",
            never: "a lapped consumer finds its own gate still open",
            program: vec![
                vec![
                    store("G_TAKE", "state", 1, Relaxed),
                    fence("G1_FENCE", SeqCst),
                    store("W1_RESERVE", "reserve", 1, Relaxed),
                ],
                vec![
                    load("R1_RESERVE", "reserve", "floor", Relaxed),
                    when(
                        "floor",
                        1,
                        vec![fence("R6_FENCE", Acquire), load("G_STATE", "state", "s", Relaxed)],
                    ),
                ],
            ],
            bad: Bad::Outcome(|r| at(r, "floor") == Some(1) && at(r, "s") == Some(0)),
            needs: &["G1_FENCE", "R6_FENCE"],
            full: &[],
        },
        Shape {
            name: "a dead producer's `reserve`",
            never: "a reader copies the successor's words and still finds its record intact",
            program: vec![
                vec![store("W1_RESERVE", "reserve", 1, Relaxed), add(LOCK, "lock", 1, "a", Release)],
                vec![
                    add(LOCK, "lock", 2, "l", Acquire),
                    when("l", 1, vec![fence("G1_FENCE", SeqCst), store("W2_PAYLOAD", "word", 1, Relaxed)]),
                ],
                vec![
                    load("R2_PAYLOAD", "word", "w", Relaxed),
                    fence("R1_FENCE", Acquire),
                    load("R1_RESERVE", "reserve", "floor", Relaxed),
                ],
            ],
            bad: Bad::Outcome(|r| at(r, "w") == Some(1) && at(r, "floor") == Some(0)),
            needs: &["G1_FENCE", "R1_FENCE"],
            full: &[],
        },
        Shape {
            name: "an index entry",
            never: "an entry's fields are taken with another entry's position",
            program: vec![
                vec![
                    store("I1_POSITION", "position", 1, Relaxed),
                    fence("I1_FENCE", Release),
                    store("I_FIELDS", "fields", 2, Relaxed),
                    store("I2_POSITION", "position", 2, Release),
                ],
                vec![
                    load("I2_READ", "position", "p", Relaxed),
                    fence("I2_READ_FENCE", Acquire),
                    load("I_READ_FIELDS", "fields", "f", Relaxed),
                    fence("I1_READ_FENCE", Acquire),
                    load("I1_READ", "position", "again", Relaxed),
                ],
            ],
            bad: Bad::Outcome(|r| {
                at(r, "p") == at(r, "again") && at(r, "p") != Some(1) && at(r, "f") != at(r, "p")
            }),
            needs: &["I1_FENCE", "I2_POSITION", "I2_READ_FENCE", "I1_READ_FENCE"],
            full: &[],
        },
        Shape {
            name: "an account and the cursor that selects it",
            never: "an account is taken half way between two cursors",
            // Two copies, written in turn. Cursor 0 selects the first, 1 the second, 2 the first again.
            program: vec![
                vec![
                    store("A_FIELDS", "second.place", 1, Relaxed),
                    store("A_FIELDS", "second.losses", 1, Relaxed),
                    store("R5_CURSOR", "cursor", 1, Release),
                    fence("A3_FENCE", Release),
                    store("A_FIELDS", "first.place", 2, Relaxed),
                    store("A_FIELDS", "first.losses", 2, Relaxed),
                    store("R5_CURSOR", "cursor", 2, Release),
                ],
                vec![
                    load("A_CURSOR", "cursor", "c", Relaxed),
                    fence("A1_FENCE", Acquire),
                    when(
                        "c",
                        0,
                        vec![
                            load("A_READ_FIELDS", "first.place", "place", Relaxed),
                            load("A_READ_FIELDS", "first.losses", "losses", Relaxed),
                        ],
                    ),
                    when(
                        "c",
                        1,
                        vec![
                            load("A_READ_FIELDS", "second.place", "place", Relaxed),
                            load("A_READ_FIELDS", "second.losses", "losses", Relaxed),
                        ],
                    ),
                    when(
                        "c",
                        2,
                        vec![
                            load("A_READ_FIELDS", "first.place", "place", Relaxed),
                            load("A_READ_FIELDS", "first.losses", "losses", Relaxed),
                        ],
                    ),
                    fence("A2_FENCE", Acquire),
                    load("A_CURSOR_AGAIN", "cursor", "again", Relaxed),
                ],
            ],
            // The reader also compares the account's place with the cursor.
            bad: Bad::Outcome(|r| {
                at(r, "c") == at(r, "again") && at(r, "place") == at(r, "c") && at(r, "losses") != at(r, "c")
            }),
            needs: &["R5_CURSOR", "A1_FENCE", "A2_FENCE", "A3_FENCE"],
            full: &[],
        },
        Shape {
            name: "a wake, both sides fencing",
            never: "the waker sees nobody armed, and the sleeper nothing new",
            program: vec![
                vec![
                    store("W4_PUBLISHED", "published", 1, Release),
                    fence("S1_FENCE", SeqCst),
                    load("S1_LOOK", "armed", "a", Relaxed),
                ],
                vec![
                    or("S2_ARM", "armed", 1, "was", Acquire),
                    fence("S2_FENCE", SeqCst),
                    load("R4_PEEK", "published", "t", Relaxed),
                ],
            ],
            bad: Bad::Outcome(|r| at(r, "a") == Some(0) && at(r, "t") == Some(0)),
            needs: &["S1_FENCE", "S2_FENCE"],
            full: &["S1_FENCE", "S2_FENCE"],
        },
        Shape {
            name: "a wake through `membarrier`",
            never: "the waker sees nobody armed, and the sleeper nothing new",
            program: vec![
                vec![store("W4_PUBLISHED", "published", 1, Release), load("S1_LOOK", "armed", "a", Relaxed)],
                vec![
                    or("S2_ARM", "armed", 1, "was", Acquire),
                    Op::Heavy { site: "S2_HEAVY", interrupts: 0 },
                    load("R4_PEEK", "published", "t", Relaxed),
                ],
            ],
            bad: Bad::Outcome(|r| at(r, "a") == Some(0) && at(r, "t") == Some(0)),
            needs: &["S2_HEAVY"],
            full: &[],
        },
        Shape {
            name: "a release and a producer that waits for space",
            never: "the consumer sees nobody armed, and the producer no space",
            program: vec![
                vec![
                    store("R5_CURSOR", "cursor", 1, Release),
                    fence("S1_FENCE", SeqCst),
                    load("S1_LOOK", "armed", "a", Relaxed),
                ],
                vec![
                    or("S2_ARM", "armed", 1, "was", Acquire),
                    fence("S2_FENCE", SeqCst),
                    load("W5_CURSOR", "cursor", "c", Acquire),
                ],
            ],
            bad: Bad::Outcome(|r| at(r, "a") == Some(0) && at(r, "c") == Some(0)),
            needs: &["S1_FENCE", "S2_FENCE"],
            full: &["S1_FENCE", "S2_FENCE"],
        },
        Shape {
            name: "a new producer's mode and a sleeper",
            never: "a sleeper that arms after the announcement sleeps by the old mode",
            program: vec![
                vec![store("T_MODE", "mode", 1, Relaxed), add("S5_ANNOUNCE", "word", 2, "before", Release)],
                vec![or("S2_ARM", "word", 1, "was", Acquire), load("S5_MODE", "mode", "m", Relaxed)],
            ],
            bad: Bad::Outcome(|r| at(r, "was") == Some(2) && at(r, "m") == Some(0)),
            needs: &["S5_ANNOUNCE", "S2_ARM"],
            full: &[],
        },
        Shape {
            name: "a new producer's mode and two sleepers",
            never: "a sleeper that arms after another sleeper armed after the announcement sleeps by the old mode",
            program: vec![
                vec![store("T_MODE", "mode", 1, Relaxed), add("S5_ANNOUNCE", "word", 2, "before", Release)],
                vec![or("S2_ARM", "word", 1, "first", Acquire)],
                vec![or("S2_ARM", "word", 1, "was", Acquire), load("S5_MODE", "mode", "m", Relaxed)],
            ],
            bad: Bad::Outcome(|r| at(r, "was").is_some_and(|was| was & 2 != 0) && at(r, "m") == Some(0)),
            needs: &["S5_ANNOUNCE", "S2_ARM"],
            full: &[],
        },
        Shape {
            name: "a change of producers and where it began",
            never: "a consumer tells of the new producer at the place of the one before",
            program: vec![
                vec![store("T_EPOCH_POSITION", "began", 1, Relaxed), store("T2_EPOCH", "epoch", 1, Release)],
                vec![
                    load("R4_EPOCH", "epoch", "e", Relaxed),
                    fence("R7_FENCE", Acquire),
                    load("R4_EPOCH_POSITION", "began", "b", Relaxed),
                ],
            ],
            bad: Bad::Outcome(|r| at(r, "e") == Some(1) && at(r, "b") == Some(0)),
            needs: &["T2_EPOCH", "R7_FENCE"],
            full: &[],
        },
        Shape {
            name: "a change of producers and their records",
            never: "a consumer reads a record of the new producer and does not see the change",
            program: vec![
                vec![store("T2_EPOCH", "epoch", 1, Release), store("W4_PUBLISHED", "published", 1, Release)],
                vec![
                    load("R4_PUBLISHED", "published", "t", Relaxed),
                    fence("R4_FENCE", Acquire),
                    load("R4_EPOCH", "epoch", "e", Relaxed),
                ],
            ],
            bad: Bad::Outcome(|r| at(r, "t") == Some(1) && at(r, "e") == Some(0)),
            needs: &["W4_PUBLISHED", "R4_FENCE"],
            full: &[],
        },
        Shape {
            name: "the end and the last record",
            never: "a consumer takes the stream for ended with a record still to come",
            program: vec![
                vec![store("W4_PUBLISHED", "published", 1, Relaxed), store("T3_CLOSE", "closed", 1, Release)],
                vec![
                    load("T3_IS_CLOSED", "closed", "end", Acquire),
                    load("R4_PEEK", "published", "t", Relaxed),
                ],
            ],
            bad: Bad::Outcome(|r| at(r, "end") == Some(1) && at(r, "t") == Some(0)),
            needs: &["T3_CLOSE", "T3_IS_CLOSED"],
            full: &[],
        },
        Shape {
            name: "a reader and a writer",
            never: "the reader sees no writer, and the writer no reader",
            program: vec![
                vec![
                    store("K_RAISE", "mark", 1, Relaxed),
                    fence("K1_FENCE", SeqCst),
                    load("O3_IS_FREE", "writer", "w", Acquire),
                ],
                vec![
                    or("O1_TAKE", "writer", 1, "was", Acquire),
                    fence("K1_FENCE", SeqCst),
                    load("K3_LOOK", "mark", "r", Acquire),
                ],
            ],
            bad: Bad::Outcome(|r| at(r, "w") == Some(0) && at(r, "r") == Some(0)),
            needs: &["K1_FENCE"],
            full: &["K1_FENCE"],
        },
        Shape {
            name: "two arrivals at a barrier",
            never: "both parties have arrived, and each misses the other",
            program: vec![
                vec![
                    store("B1_ARRIVE", "first", 1, Release),
                    fence("B5_FENCE", SeqCst),
                    load("B2_ARRIVED", "second", "s", Acquire),
                ],
                vec![
                    store("B1_ARRIVE", "second", 1, Release),
                    fence("B5_FENCE", SeqCst),
                    load("B2_ARRIVED", "first", "f", Acquire),
                ],
            ],
            bad: Bad::Outcome(|r| at(r, "s") == Some(0) && at(r, "f") == Some(0)),
            needs: &["B5_FENCE"],
            full: &["B5_FENCE"],
        },
    ]
}

/// The program with one site weakened: an access to Relaxed, a fence removed, or `to` this.
pub(super) fn weakened(program: &Program, site: &str, to: Option<Order>) -> Program {
    fn visit(ops: &[Op], weak: &str, to: Option<Order>) -> Vec<Op> {
        let mut result = Vec::new();
        for op in ops {
            let mut op = op.clone();
            match &mut op {
                Op::Store { site, order, .. }
                | Op::Load { site, order, .. }
                | Op::Or { site, order, .. }
                | Op::Add { site, order, .. }
                    if *site == weak =>
                {
                    *order = Relaxed;
                }
                Op::Fence { site, order } if *site == weak => match to {
                    Some(weaker) => *order = weaker,
                    None => continue,
                },
                Op::Heavy { site, .. } if *site == weak => continue,
                Op::When { then, .. } => *then = visit(then, weak, to),
                _ => {}
            }
            result.push(op);
        }
        result
    }
    program.iter().map(|ops| visit(ops, site, to)).collect()
}

/// What a full fence becomes one step weaker.
pub(super) const ONE_STEP: Order = AcqRel;
