//! Checks the guarantees.

use std::collections::BTreeMap;

use super::account::{Account, Witness};
use super::cast::{NEWCOMER, PARTIES, REPLACEMENT, Role, SUCCESSOR};
use super::notes;
use crate::demo::verdict::{Doubts, Kept, Promise};
use crate::units::{count, counted};

/// Wrong ones that are told one by one.
const MOST_TOLD: usize = 3;

/// Checks every guarantee.
pub(crate) fn judge(account: &Account) -> Vec<Promise> {
    vec![
        ended_once(account),
        not_executed(account),
        once_at_most(account),
        told_of_the_server(account),
        acknowledged_once(account),
        handed_out_again(account),
        met(account),
        broken(account),
        all_ended(account),
    ]
}

/// A call: how often it ran, and how it ended.
#[derive(Debug, Default)]
struct Call {
    is_made: bool,
    is_repeatable: bool,
    runs: u64,
    ends: Vec<usize>,
}

/// By caller and number.
fn calls(account: &Account) -> BTreeMap<(u64, u64), Call> {
    let mut calls: BTreeMap<(u64, u64), Call> = BTreeMap::new();
    for caller in account.of(Role::Caller) {
        let me = caller.part.number.into();
        for [number, is_repeatable, _] in caller.noted(notes::CALLED) {
            let call = calls.entry((me, number)).or_default();
            (call.is_made, call.is_repeatable) = (true, is_repeatable != 0);
        }
        for [number, end, _] in caller.noted(notes::ENDED) {
            calls.entry((me, number)).or_default().ends.push(end as usize);
        }
    }
    for [caller, number, _] in account.of(Role::Server).flat_map(|server| server.noted(notes::RAN)) {
        calls.entry((caller, number)).or_default().runs += 1;
    }
    calls
}

/// Tells the first few that are wrong, and how many more there are.
fn list(doubts: &mut Doubts, wrong: impl Iterator<Item = String>) {
    let wrong: Vec<String> = wrong.collect();
    let more = wrong.len().saturating_sub(MOST_TOLD);
    doubts.0.extend(wrong.into_iter().take(MOST_TOLD));
    if more > 0 {
        doubts.0.push(format!("and {} more", count(more as u64)));
    }
}

fn ended_once(account: &Account) -> Promise {
    let mut doubts = Doubts::default();
    let calls = calls(account);
    let wrong = calls.iter().filter(|(_, call)| !call.is_made || call.ends.len() != 1);
    list(
        &mut doubts,
        wrong.map(|((caller, number), call)| {
            format!("call {number} of caller {caller} ended {} times", call.ends.len())
        }),
    );
    doubts.unless(!calls.is_empty(), || "nobody called".into());
    doubts.settle("service: every call ended once", counted(calls.len() as u64, "call"))
}

fn not_executed(account: &Account) -> Promise {
    const TEXT: &str = "service: not executed means never run";
    let mut doubts = Doubts::default();
    let calls = calls(account);
    let of_end = |end: usize| calls.iter().filter(move |(_, call)| call.ends == [end]);
    let ran = of_end(notes::NOT_EXECUTED).filter(|(_, call)| call.runs > 0);
    list(&mut doubts, ran.map(|((caller, number), _)| format!("call {number} of caller {caller} ran")));
    for end in [notes::ANSWERED, notes::FAILED, notes::DROPPED] {
        let idle = of_end(end).filter(|(_, call)| call.runs == 0);
        list(
            &mut doubts,
            idle.map(|((caller, number), _)| format!("call {number} of caller {caller} never ran")),
        );
    }
    let number = of_end(notes::NOT_EXECUTED).count() as u64;
    if number == 0 && doubts.0.is_empty() {
        return Promise { kept: Kept::Untried, text: TEXT, detail: "all were taken in time".into() };
    }
    doubts.settle(TEXT, counted(number, "call"))
}

fn once_at_most(account: &Account) -> Promise {
    let mut doubts = Doubts::default();
    let calls = calls(account);
    let wrong = calls.iter().filter(|(_, call)| call.runs > if call.is_repeatable { 2 } else { 1 });
    list(
        &mut doubts,
        wrong.map(|((caller, number), call)| {
            format!("call {number} of caller {caller} ran {} times", call.runs)
        }),
    );
    let repeatable = calls.values().filter(|call| call.is_repeatable).count() as u64;
    let again = count(account.ran_again());
    let detail =
        format!("{} of {} may be repeated, {again} were", count(repeatable), count(calls.len() as u64));
    doubts.settle("service: no call ran twice, unless it may", detail)
}

fn told_of_the_server(account: &Account) -> Promise {
    const TEXT: &str = "service: a server's death is told";
    let mut doubts = Doubts::default();
    let calls = calls(account);
    let gone = calls.values().filter(|call| call.ends == [notes::SERVER_GONE]);
    let wrong = gone.clone().filter(|call| call.is_repeatable).count();
    doubts.unless(wrong == 0, || format!("{wrong} that may be repeated were not"));
    let next = account.witnesses.iter().find(|witness| witness.part == SUCCESSOR);
    doubts.unless(next.is_some_and(|next| next.noted(notes::RAN).next().is_some()), || {
        "the next server served nobody".into()
    });
    let number = gone.count() as u64;
    if number + account.ran_again() == 0 && doubts.0.is_empty() {
        return Promise { kept: Kept::Untried, text: TEXT, detail: "it died with no call".into() };
    }
    doubts.settle(TEXT, format!("{} lost with it", counted(number, "call")))
}

/// A record: who had it, and who acknowledged it; or began to, and was killed.
#[derive(Debug, Default)]
struct Record<'a> {
    is_sent: bool,
    had: Vec<&'a Witness>,
    acknowledged: u64,
    in_doubt: u64,
}

fn records(account: &Account) -> BTreeMap<u64, Record<'_>> {
    let mut records: BTreeMap<u64, Record<'_>> = BTreeMap::new();
    for [sequence, ..] in account.of(Role::Feed).flat_map(|feed| feed.noted(notes::SENT)) {
        records.entry(sequence).or_default().is_sent = true;
    }
    for worker in account.of(Role::Worker) {
        for [sequence, ..] in worker.noted(notes::RECEIVED) {
            records.entry(sequence).or_default().had.push(worker);
        }
        let mut begun = None;
        for note in &worker.notes {
            let record = records.entry(note.numbers[0]).or_default();
            match note.what {
                notes::ACKNOWLEDGES => begun = Some(note.numbers[0]),
                notes::ACKNOWLEDGED => {
                    record.acknowledged += 1;
                    begun = None;
                }
                _ => {}
            }
        }
        if let Some(sequence) = begun.filter(|_| worker.was_killed) {
            records.entry(sequence).or_default().in_doubt += 1;
        }
    }
    records
}

fn acknowledged_once(account: &Account) -> Promise {
    let mut doubts = Doubts::default();
    let records = records(account);
    // One that the dead was just acknowledging is done, or was handed out again.
    let is_wrong = |record: &Record<'_>| {
        !record.is_sent || !(record.acknowledged == 1 || record.acknowledged == 0 && record.in_doubt == 1)
    };
    let wrong = records.iter().filter(|(_, record)| is_wrong(record));
    list(
        &mut doubts,
        wrong.map(|(sequence, record)| {
            format!("record {sequence} acknowledged {} times", record.acknowledged)
        }),
    );
    doubts.unless(!records.is_empty(), || "nothing was sent".into());
    doubts.settle("group: every record acknowledged once", counted(records.len() as u64, "record"))
}

fn handed_out_again(account: &Account) -> Promise {
    const TEXT: &str = "group: handed out again only from the dead";
    let mut doubts = Doubts::default();
    let records = records(account);
    // At most the dead and one more.
    let living = |record: &Record<'_>| record.had.iter().filter(|worker| !worker.was_killed).count();
    let wrong = records.iter().filter(|(_, record)| living(record) > 1 || record.had.len() > 2);
    list(&mut doubts, wrong.map(|(sequence, record)| format!("{} had record {sequence}", record.had.len())));
    let newcomer = account.witnesses.iter().find(|witness| witness.part == NEWCOMER);
    doubts.unless(newcomer.is_some_and(|worker| worker.noted(notes::ACKNOWLEDGED).next().is_some()), || {
        "the newcomer got nothing".into()
    });
    let again = records.values().filter(|record| record.had.len() > 1).count() as u64;
    if again == 0 && doubts.0.is_empty() {
        return Promise { kept: Kept::Untried, text: TEXT, detail: "it died with no record".into() };
    }
    doubts.settle(TEXT, counted(again, "record"))
}

/// A phase: when each party arrived at it and passed it, and how many led.
#[derive(Debug, Default)]
struct Phase {
    arrived: Vec<u64>,
    passed: Vec<u64>,
    led: u64,
    /// The one that was killed may have passed it without a note.
    is_last_of_dead: bool,
}

fn phases(account: &Account) -> BTreeMap<u64, Phase> {
    let mut phases: BTreeMap<u64, Phase> = BTreeMap::new();
    for party in account.of(Role::Party) {
        let (mut arrived, mut last) = (0, None);
        for note in &party.notes {
            let [when, round, led] = note.numbers;
            match note.what {
                notes::ARRIVES => arrived = when,
                notes::PASSED => {
                    let phase = phases.entry(round).or_default();
                    phase.arrived.push(arrived);
                    phase.passed.push(when);
                    phase.led += led;
                    last = Some(round);
                }
                _ => {}
            }
        }
        if party.was_killed {
            phases.entry(last.map_or(0, |round| round + 1)).or_default().is_last_of_dead = true;
        }
    }
    phases.retain(|_, phase| !phase.passed.is_empty());
    phases
}

fn met(account: &Account) -> Promise {
    let mut doubts = Doubts::default();
    let phases = phases(account);
    let wrong = phases.iter().filter_map(|(round, phase)| {
        let early = phase.arrived.iter().max() > phase.passed.iter().min();
        let parties = PARTIES as usize - usize::from(phase.is_last_of_dead);
        let is_complete = (parties..=PARTIES as usize).contains(&phase.passed.len());
        let leaders = if phase.is_last_of_dead { 0..=1 } else { 1..=1 };
        if early {
            Some(format!("somebody passed phase {round} before all had arrived"))
        } else if !is_complete {
            Some(format!("{} passed phase {round}", phase.passed.len()))
        } else if !leaders.contains(&phase.led) {
            Some(format!("{} led phase {round}", phase.led))
        } else {
            None
        }
    });
    list(&mut doubts, wrong);
    doubts.unless(!phases.is_empty(), || "no phase was passed".into());
    doubts.settle("barrier: nobody passes before all arrived", counted(phases.len() as u64, "phase"))
}

fn broken(account: &Account) -> Promise {
    let mut doubts = Doubts::default();
    let mut told = 0;
    for party in account.of(Role::Party).filter(|party| !party.was_killed) {
        let broken: Vec<u64> = party.noted(notes::BROKEN).map(|[when, ..]| when).collect();
        let during: Vec<_> = broken.iter().filter(|when| **when < account.end_ns).collect();
        let is_new = party.part == REPLACEMENT;
        doubts.unless(during.len() == 1 || is_new && during.is_empty(), || {
            format!("{} was told {} times", party.part.name(), during.len())
        });
        let goes_on = |when: &u64| party.noted(notes::PASSED).any(|[passed, ..]| passed > *when);
        doubts.unless(during.iter().all(|when| goes_on(when)), || {
            format!("{} passed no phase after that", party.part.name())
        });
        doubts.unless(!is_new || party.noted(notes::PASSED).next().is_some(), || {
            "the replacement passed no phase".into()
        });
        told += u64::from(!is_new && during.len() == 1);
    }
    doubts.settle("barrier: a death is told to all others", format!("{told} told"))
}

fn all_ended(account: &Account) -> Promise {
    let mut doubts = Doubts(account.mishaps.clone());
    for witness in &account.witnesses {
        doubts.unless(witness.is_done != witness.was_killed, || {
            format!("{} did not come to its end", witness.part.name())
        });
    }
    let killed = account.witnesses.iter().filter(|witness| witness.was_killed).count();
    doubts.unless(killed == 3, || format!("{killed} were killed"));
    let detail = format!("{} processes, {killed} of them killed", account.witnesses.len());
    doubts.settle("all ended as the script has it", detail)
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
