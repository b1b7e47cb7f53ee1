//! The grid: the states in which operations are interrupted.

use std::time::Duration;

use quoit::{Attach, Start, WaitMode};
use support::offsets;

use super::making::{Making, corpse};
use super::notes::{CAPACITY, Name, Shape};
use super::oracle::{footprint, payload};
use super::states::{BEGINNINGS, LONG, Live, State, state};

/// A closed ring of so many bytes.
fn filled(bytes: u64) -> impl Fn(&mut Making) {
    move |m| {
        let mut p = m.producer();
        m.fill(&mut p, bytes);
    }
}

/// A name that has received five of the records so far, and then these bytes.
fn named(held: bool, dies: bool, bytes: u64) -> impl Fn(&mut Making) {
    move |m| {
        let mut p = m.producer();
        let attach = Attach::gated().name(LONG);
        let mut c = m.consumer(&if held { attach.hold_forever() } else { attach });
        m.send_many(&mut p, 8, 40);
        m.receive(&mut c, 5);
        c.release();
        m.name(LONG, &c, held);
        if dies {
            corpse(c);
        } else {
            drop(c);
        }
        m.fill(&mut p, bytes);
    }
}

pub(crate) fn states() -> Vec<State> {
    let with_gate = [Live::Lossy, Live::Gated];
    let mut states = vec![
        state("never-opened", |_| {}).live(&with_gate),
        state("empty", |m| drop(m.producer())).live(&with_gate).producing(),
        state("empty-dead", |m| corpse(m.producer())),
        state("one", |m| {
            let mut p = m.producer();
            m.send(&mut p, 40);
        })
        .live(&with_gate),
        state("one-dead", |m| {
            let mut p = m.producer();
            m.send(&mut p, 40);
            corpse(p);
        }),
        state("one-plain", |m| {
            let mut p = m.producer();
            m.send(&mut p, 200);
        })
        .live(&with_gate)
        .producing(),
        state("half", filled(CAPACITY / 2)).live(&with_gate).producing(),
        state("half-dead", |m| {
            let mut p = m.producer();
            m.fill(&mut p, CAPACITY / 2);
            corpse(p);
        })
        .live(&with_gate),
        state("nearly-a-lap", filled(CAPACITY - 64)).live(&with_gate),
        state("full", filled(CAPACITY)).live(&with_gate).producing(),
        state("just-lapped", filled(CAPACITY + 64)).producing(),
        state("laps", filled(3 * CAPACITY + 1336)).live(&with_gate).producing(),
        state("laps-dead", |m| {
            let mut p = m.producer();
            m.fill(&mut p, 2 * CAPACITY + 808);
            corpse(p);
        }),
        state("mixed", |m| {
            let mut p = m.producer();
            (0..60).for_each(|n| m.send(&mut p, n * 37 % 131));
        })
        .live(&with_gate)
        .producing(),
        state("after-padding", |m| {
            let mut p = m.producer();
            m.fill(&mut p, CAPACITY - 64);
            m.send(&mut p, 300);
            corpse(p);
        }),
        state("batches", |m| {
            let mut p = m.producer();
            for _ in 0..3 {
                let mut batch = p.batch();
                for _ in 0..20 {
                    batch.send(&payload(m.sent.next(), 72)).expect("batch");
                    m.note(72);
                }
                batch.publish();
            }
        })
        .live(&with_gate),
    ];
    for odd in 0..8 {
        let at_the_end = move |m: &mut Making| {
            let mut p = m.producer();
            m.fill(&mut p, CAPACITY - 3 * footprint(40 + odd));
            m.send(&mut p, 40 + odd);
        };
        let state = state(format!("wrap-{odd}"), at_the_end);
        states.push(if odd % 2 == 0 { state.live(&with_gate) } else { state.producing() });
    }
    states.extend(held_up());
    states.extend(names());
    states.extend(dirt());
    states.extend(kinds());
    states.extend(sleepers());
    states
}

/// Gates that hold the producer up, alive and dead.
fn held_up() -> Vec<State> {
    let dead = |attach: fn() -> Attach, bytes: u64| {
        move |m: &mut Making| {
            let mut p = m.producer();
            corpse(m.consumer(&attach()));
            m.fill(&mut p, bytes);
        }
    };
    let hour = || Attach::gated_for(Duration::from_secs(3600));
    vec![
        state("gate-full", filled(CAPACITY - 8)).live(&[Live::Lossy, Live::GatedFirst]),
        state("gate-edge", filled(CAPACITY - 48)).live(&[Live::Lossy, Live::GatedFirst]),
        state("gate-half", filled(CAPACITY / 2 + 24)).live(&[Live::GatedFirst]).producing(),
        state("overdue-full", filled(CAPACITY - 8)).live(&[Live::Lossy, Live::Overdue]),
        state("overdue-edge", filled(CAPACITY - 56)).live(&[Live::Overdue]),
        state("dead-gate-full", dead(Attach::gated, CAPACITY)),
        state("dead-gate-half", dead(Attach::gated, CAPACITY / 2)).live(&[Live::Lossy, Live::Gated]),
        state("dead-deadline-full", dead(hour, CAPACITY)),
        state("dead-lossy-slots", |m| {
            let mut p = m.producer();
            m.send_many(&mut p, 4, 40);
            (0..4).for_each(|_| corpse(m.consumer(&Attach::lossy())));
        })
        .producing(),
        state("dead-evicted", |m| {
            let mut p = m.producer();
            let c = m.consumer(&Attach::gated_for(Duration::from_nanos(1)));
            m.fill(&mut p, CAPACITY);
            // Refused at first, or the gate goes at once: the deadline is over in either case.
            while p.try_send(&payload(m.sent.next(), 56)).is_err() {}
            m.note(56);
            corpse(c);
        }),
        state("all-dead-and-full", |m| {
            let mut p = m.producer();
            (0..5).for_each(|_| corpse(m.consumer(&Attach::gated())));
            m.fill(&mut p, CAPACITY);
            corpse(p);
        })
        .live(&[]),
    ]
}

fn names() -> Vec<State> {
    vec![
        state("name-away", named(false, false, 640)).producing(),
        state("name-dead", named(false, true, 640)).live(&[Live::Lossy, Live::Gated]),
        state("name-lapped", named(false, false, 2 * CAPACITY)),
        state("name-back", named(false, true, 640)).live(&[Live::Resumed]).producing(),
        state("held-away", named(true, false, 640)).producing(),
        state("held-dead", named(true, true, 640)),
        state("held-back", named(true, true, 640)).live(&[Live::Lossy, Live::Resumed]),
        state("held-full", |m| {
            named(true, false, 0)(m);
            let mut p = m.producer();
            m.fill_up(&mut p);
        }),
        state("held-back-full", |m| {
            named(true, true, 0)(m);
            let mut p = m.producer();
            m.fill_up(&mut p);
        })
        .live(&[Live::Resumed]),
        state("two-names", |m| {
            named(true, true, 128)(m);
            let mut p = m.producer();
            let mut c = m.consumer(&Attach::gated().name("b").start(Start::Last(3)));
            m.receive(&mut c, 1);
            c.release();
            m.name("b", &c, false);
            corpse(c);
            m.send_many(&mut p, 3, 24);
        })
        .producing(),
        // A victim that dies in the middle of its name, in the slot before theirs, leaves what may be taken for one of them.
        state("names-begin-alike", |m| {
            let mut p = m.producer();
            let guest = m.consumer(&Attach::lossy());
            let names = BEGINNINGS.map(|name| {
                let attach = Attach::gated().name(name).hold_forever();
                (name, m.consumer(&attach))
            });
            m.send_many(&mut p, 8, 40);
            for (received, (name, mut c)) in (4..).zip(names) {
                m.receive(&mut c, received);
                c.release();
                m.name(name, &c, true);
                drop(c);
            }
            drop(guest);
        })
        .producing(),
        state("name-evicted", |m| {
            let mut p = m.producer();
            let c = m.consumer(&Attach::gated_for(Duration::from_nanos(1)).name("slow"));
            m.name("slow", &c, false);
            m.fill(&mut p, CAPACITY);
            while p.try_send(&payload(m.sent.next(), 56)).is_err() {}
            m.note(56);
            drop(c);
        }),
        state("slots-nearly-taken", named(false, false, 640)).shape(|shape| shape.slots = 3),
    ]
}

/// Producers that died with records half written.
fn dirt() -> Vec<State> {
    let unpublished = |laps: u64, len: usize| {
        move |m: &mut Making| {
            let mut p = m.producer();
            m.fill(&mut p, laps * CAPACITY + 512);
            let mut claim = p.claim(len).expect("claim");
            claim.write_at(0, &vec![0xff; len]).expect("write");
            corpse(claim);
            m.dirt(footprint(len));
            corpse(p);
        }
    };
    vec![
        state("dirt", unpublished(0, 500)).live(&[Live::Lossy, Live::Gated]),
        state("dirt-lapped", unpublished(2, 500)),
        state("dirt-half-the-ring", unpublished(1, 2040)),
        state("dirt-batch", |m| {
            let mut p = m.producer();
            m.fill(&mut p, CAPACITY + 512);
            let mut batch = p.batch();
            for _ in 0..12 {
                batch.send(&[0xff; 100]).expect("batch");
            }
            corpse(batch);
            m.dirt(12 * footprint(100));
            corpse(p);
        })
        .producing(),
        state("epochs", |m| {
            for _ in 0..3 {
                let mut p = m.producer();
                m.send_many(&mut p, 5, 72);
            }
        })
        .then(|m| {
            let mut p = m.producer();
            m.send_many(&mut p, 3, 72);
            corpse(p);
        })
        .then(|m| {
            let mut p = m.producer();
            m.send_many(&mut p, 3, 24);
            corpse(p);
        })
        .live(&[Live::Lossy, Live::Gated]),
    ]
}

/// Other kinds of rings.
fn kinds() -> Vec<State> {
    let both = [Live::Lossy, Live::Gated];
    let origin = |position: u64, sequence: u64| move |shape: &mut Shape| shape.origin = (position, sequence);
    vec![
        state("before-2^64", filled(CAPACITY / 2))
            .shape(origin(0u64.wrapping_sub(CAPACITY / 2 + 64), u64::MAX - 40))
            .live(&both),
        state("past-2^64", filled(CAPACITY + 200)).shape(origin(0u64.wrapping_sub(CAPACITY), u64::MAX - 5)),
        state("past-2^32", filled(CAPACITY / 2))
            .shape(origin(1 << 32, (1 << 32) - 20))
            .live(&both)
            .producing(),
        state("no-inline", filled(CAPACITY / 2)).shape(|shape| shape.inline = false).live(&both).producing(),
        state("no-inline-laps", filled(2 * CAPACITY + 400)).shape(|shape| shape.inline = false),
        state("fence", filled(CAPACITY / 2)).shape(|shape| shape.wait = WaitMode::Fence).live(&both),
        state("spin", filled(CAPACITY / 2))
            .shape(|shape| shape.wait = WaitMode::Spin)
            .live(&both)
            .producing(),
        state("hard-limit", filled(CAPACITY + 800)).shape(|shape| shape.hard_limit = true),
        state("gated-only", filled(CAPACITY / 2)).shape(|shape| shape.gated_only = true).live(&[Live::Gated]),
        state("large", filled(5 * CAPACITY)).shape(|shape| {
            shape.capacity = 4 * CAPACITY;
            shape.slots = 16;
        }),
    ]
}

/// Words with somebody armed on them, alive and dead.
fn sleepers() -> Vec<State> {
    vec![
        state("sleeper", filled(640)).live(&[Live::Sleeper, Live::Lossy]),
        state("sleeper-lapped", filled(2 * CAPACITY)).live(&[Live::Sleeper]).producing(),
        state("sleeper-fence", filled(640))
            .shape(|shape| shape.wait = WaitMode::Fence)
            .live(&[Live::Sleeper]),
        state("dead-sleeper", |m| {
            let mut p = m.producer();
            m.send_many(&mut p, 3, 40);
            let mut c = m.consumer(&Attach::gated());
            c.set_spins(0);
            m.ready();
            while c.recv().is_err() {}
        })
        .asleep(offsets::DATA_WORD),
        state("dead-blocked", |m| {
            let mut p = m.producer();
            corpse(m.consumer(&Attach::gated().name(LONG).hold_forever()));
            let name = Name { name: LONG.to_owned(), sequence: 0, gated: true, held: true };
            m.notes.names.push(name);
            m.fill_up(&mut p);
            m.ready();
            p.set_spins(0);
            let _ = p.send(&[0; 64]);
        })
        .asleep(offsets::SPACE_WORD),
        state("blocked", filled(CAPACITY - 8)).live(&[Live::Blocked]),
    ]
}
