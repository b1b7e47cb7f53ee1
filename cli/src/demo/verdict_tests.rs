//! Every guarantee can be broken, and the verdict notices.

use super::*;
use crate::demo::evidence::Life;
use crate::demo::ledger::Ledger;

const ORIGIN: u64 = 0;
const CHANGE: u64 = 600;
const END: u64 = 1000;

fn life(first: u64, next: u64) -> Life {
    let mut life = Life::starting_at(first, None);
    life.ledger = Ledger {
        next,
        delivered: next - first,
        delivered_bytes: tick::span_bytes(first, next),
        ..life.ledger
    };
    if (first..next).contains(&CHANGE) {
        life.changes.push(Change { epoch: 2, from: CHANGE, next: CHANGE });
    }
    life.finished = next == END;
    life
}

/// Loses the ticks up to `next`, from the start of what had been delivered.
fn lose(life: &mut Life, next: u64) {
    let ledger = &mut life.ledger;
    let (records, bytes) = (next - ledger.first, tick::span_bytes(ledger.first, next));
    ledger.delivered -= records;
    ledger.delivered_bytes -= bytes;
    ledger.lost += records;
    ledger.lost_bytes += bytes;
    ledger.gaps += 1;
    ledger.overrun += records;
}

fn good() -> Evidence {
    let mut resumed = life(290, END);
    resumed.resumed = Some(290);
    let mut alerts = life(ORIGIN, END);
    alerts.evictions = 1;
    lose(&mut alerts, 200);
    let mut chart = life(ORIGIN, END);
    lose(&mut chart, 500);
    let reign = |epoch, first, next| Reign {
        epoch,
        first,
        next,
        first_tick_ns: Some(1),
        longest_wait: Duration::from_millis(51),
        finished: next == END,
    };
    Evidence {
        origin: ORIGIN,
        ring_records: END,
        ring_bytes: tick::span_bytes(ORIGIN, END),
        reigns: vec![reign(1, ORIGIN, 590), reign(2, CHANGE, END)],
        witnesses: vec![
            Witness { role: Role::Gated, lives: vec![life(ORIGIN, 300), resumed] },
            Witness { role: Role::Deadline, lives: vec![alerts] },
            Witness { role: Role::Lossy, lives: vec![chart] },
            Witness { role: Role::Observer, lives: vec![life(ORIGIN, END)] },
        ],
        away: Duration::from_millis(400),
        takeover: Some(Duration::from_millis(3)),
        mishaps: Vec::new(),
    }
}

fn broken(evidence: &Evidence) -> Vec<&'static str> {
    judge(evidence).iter().filter(|promise| promise.kept == Kept::No).map(|promise| promise.text).collect()
}

#[track_caller]
fn breaks(change: impl FnOnce(&mut Evidence), promise: &str) {
    let mut evidence = good();
    change(&mut evidence);
    let broken = broken(&evidence);
    assert!(broken.iter().any(|text| text.contains(promise)), "broken: {broken:?}");
}

#[test]
fn a_good_show_keeps_every_promise() {
    let promises = judge(&good());
    assert!(promises.iter().all(|promise| promise.kept == Kept::Yes), "{promises:#?}");
    assert!(promises[0].detail.contains("seen, ≤ 74 twice"), "{}", promises[0].detail);
    for promise in promises {
        assert!(promise.text.chars().count() <= 42, "too wide: {}", promise.text);
    }
}

#[test]
fn a_gated_consumer_must_see_all() {
    breaks(|e| lose(&mut e.witnesses[0].lives[1], 300), "gated");
    breaks(|e| e.witnesses[0].lives[1].ledger.disorder = 1, "gated");
    breaks(|e| e.witnesses[0].lives[0].ledger.next -= 20, "gated");
    breaks(|e| e.witnesses[0].lives[0] = life(1, 300), "gated");
    breaks(|e| e.witnesses[0].lives[1].ledger.delivered -= 1, "gated");
}

#[test]
fn a_resumed_life_may_repeat_but_not_skip() {
    breaks(
        |e| {
            e.witnesses[0].lives[1] = life(301, END);
            e.witnesses[0].lives[1].resumed = Some(301);
        },
        "gated",
    );
    breaks(|e| e.witnesses[0].lives[1].resumed = None, "gated");
    breaks(|e| drop(e.witnesses[0].lives.remove(0)), "gated");
    breaks(
        |e| {
            let last = e.witnesses[0].lives.last_mut().expect("two lives");
            last.ledger.next -= 1;
            last.ledger.delivered -= 1;
        },
        "gated",
    );
}

#[test]
fn delivered_and_lost_must_make_up_the_published() {
    for which in 1..4 {
        breaks(|e| e.witnesses[which].lives[0].ledger.delivered -= 1, "delivered + lost");
        breaks(|e| e.witnesses[which].lives[0].ledger.delivered_bytes += 8, "delivered + lost");
        breaks(|e| e.witnesses[which].lives[0].ledger.lost += 1, "delivered + lost");
        breaks(|e| e.witnesses[which].lives[0].ledger.lost_bytes += 8, "delivered + lost");
        breaks(|e| e.witnesses[which].lives[0].ledger.away += 1, "delivered + lost");
        breaks(|e| e.witnesses[which].lives[0].ledger.disorder += 1, "delivered + lost");
        breaks(|e| e.witnesses[which].lives[0] = life(ORIGIN, END - 1), "delivered + lost");
        breaks(|e| e.witnesses[which].lives[0] = life(ORIGIN + 1, END), "delivered + lost");
    }
    breaks(|e| e.ring_records += 1, "delivered + lost");
    breaks(|e| e.ring_bytes -= 8, "delivered + lost");
}

#[test]
fn a_fallen_gate_must_be_told_once() {
    breaks(|e| e.witnesses[1].lives[0].evictions = 0, "a gate falls");
    breaks(|e| e.witnesses[1].lives[0].evictions = 2, "a gate falls");
    let mut never = good();
    never.witnesses[1].lives[0] = life(ORIGIN, END);
    let promises = judge(&never);
    assert_eq!(promises[2].kept, Kept::Untried);
    assert_eq!(broken(&never), [""; 0]);
}

#[test]
fn a_torn_record_breaks_a_promise() {
    for which in 0..4 {
        breaks(|e| e.witnesses[which].lives[0].ledger.torn = 1, "nothing torn");
    }
}

#[test]
fn a_takeover_must_go_on_where_the_dead_one_stopped() {
    breaks(|e| e.reigns[1].first = 589, "takeover");
    breaks(|e| e.reigns[1].epoch = 1, "takeover");
    breaks(|e| e.reigns[1].next = CHANGE, "takeover");
    breaks(|e| e.reigns.truncate(1), "takeover");
    for which in 0..4 {
        let told = |e: &mut Evidence, change: fn(&mut Vec<Change>)| {
            change(&mut e.witnesses[which].lives.last_mut().expect("a life").changes);
        };
        breaks(|e| told(e, Vec::clear), "takeover");
        breaks(|e| told(e, |changes| changes[0] = Change { epoch: 2, from: 601, next: 601 }), "takeover");
        breaks(|e| told(e, |changes| changes[0].epoch = 3), "takeover");
        breaks(|e| told(e, |changes| changes.push(changes[0])), "takeover");
    }
}

#[test]
fn the_first_producer_may_be_told_of_too() {
    let mut evidence = good();
    evidence.witnesses[2].lives[0].changes.insert(0, Change { epoch: 1, from: ORIGIN, next: ORIGIN });
    assert_eq!(broken(&evidence), [""; 0]);
}

#[test]
fn who_lost_the_place_of_the_takeover_is_told_behind_the_gap() {
    let mut evidence = good();
    evidence.witnesses[2].lives[0].changes[0] = Change { epoch: 2, from: 500, next: 700 };
    assert_eq!(broken(&evidence), [""; 0]);
}

#[test]
fn being_blocked_or_not_ending_breaks_a_promise() {
    breaks(|e| e.reigns[0].longest_wait = Duration::from_secs(2), "nobody was blocked");
    breaks(|e| e.mishaps.push("tap ended by itself".to_owned()), "all ended");
    breaks(|e| e.witnesses[3].lives[0].finished = false, "all ended");
    breaks(|e| e.reigns[1].finished = false, "all ended");
}

#[test]
fn somebody_who_never_came_is_missed() {
    breaks(|e| drop(e.witnesses.remove(0)), "everybody came");
    breaks(|e| drop(e.witnesses.remove(1)), "everybody came");
}
