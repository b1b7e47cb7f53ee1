//! Checks the guarantees.

use std::time::Duration;

use super::cast::{DEADLINE, Role};
use super::evidence::{Evidence, Reign, Witness};
use super::text::nanos;
use super::tick;
use super::wire::Change;
use crate::units::count;

/// Extra time that a busy machine may add to a short wait: this check only detects being stuck.
const SLACK: Duration = Duration::from_secs(1);

/// The result for one guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    /// The demo did not exercise it.
    Untried,
    No,
}

/// One guarantee, checked.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    pub(crate) kept: Kept,
    pub(crate) text: &'static str,
    /// The measured figure, or what is wrong.
    pub(crate) detail: String,
}

/// Collects what is wrong with one guarantee.
#[derive(Default)]
pub(super) struct Doubts(pub(super) Vec<String>);

impl Doubts {
    pub(super) fn unless(&mut self, fine: bool, what: impl FnOnce() -> String) {
        if !fine {
            self.0.push(what());
        }
    }

    pub(super) fn settle(self, text: &'static str, detail: String) -> Promise {
        if self.0.is_empty() {
            Promise { kept: Kept::Yes, text, detail }
        } else {
            Promise { kept: Kept::No, text, detail: self.0.join("; ") }
        }
    }
}

/// Checks every guarantee.
pub(crate) fn judge(evidence: &Evidence) -> Vec<Promise> {
    vec![
        gated(evidence),
        accounts(evidence),
        deadline(evidence),
        untorn(evidence),
        takeover(evidence),
        unblocked(evidence),
        ended(evidence),
    ]
}

fn gated(evidence: &Evidence) -> Promise {
    let mut doubts = Doubts::default();
    let Some(risk) = evidence.witness(Role::Gated) else {
        return missing(Role::Gated);
    };
    doubts.unless(risk.lives.len() >= 2, || "it was not killed and resumed".to_owned());
    doubts.unless(risk.lost() == 0, || format!("{} lost", count(risk.lost())));
    doubts.unless(risk.disorder() == 0, || format!("{} out of order", count(risk.disorder())));
    let mut due = evidence.origin;
    for (which, life) in risk.lives.iter().enumerate() {
        let ledger = &life.ledger;
        // A resumed name may receive a record twice, and must not miss one.
        doubts.unless(ledger.first == due || which > 0 && ledger.first < due, || {
            format!("life {} began at {}, {} was due", which + 1, count(ledger.first), count(due))
        });
        doubts.unless(ledger.delivered == ledger.next.wrapping_sub(ledger.first), || {
            format!(
                "life {} saw {} of {}",
                which + 1,
                count(ledger.delivered),
                count(ledger.next.wrapping_sub(ledger.first))
            )
        });
        let named = (which > 0).then_some(ledger.first);
        doubts.unless(life.resumed == named, || format!("life {} resumed at {:?}", which + 1, life.resumed));
        due = ledger.next;
    }
    doubts
        .unless(due == evidence.end(), || format!("read up to {} of {}", count(due), count(evidence.end())));
    let detail = format!(
        "{}: {} seen, ≤ {} twice",
        Role::Gated.name(),
        count(risk.delivered()),
        count(risk.repeats())
    );
    doubts.settle("gated: nothing lost, all in order", detail)
}

fn accounts(evidence: &Evidence) -> Promise {
    let mut doubts = Doubts::default();
    let (origin, end) = (evidence.origin, evidence.end());
    for witness in &evidence.witnesses {
        let name = witness.role.name();
        for life in &witness.lives {
            doubts.unless(life.ledger.balances(), || format!("{name}: the books do not balance"));
            doubts.unless(life.ledger.disorder == 0, || {
                format!("{name}: {} told out of order or with wrong figures", life.ledger.disorder)
            });
        }
        let first = witness.lives.first().map_or(end, |life| life.ledger.first);
        let last = witness.lives.last().map_or(origin, |life| life.ledger.next);
        doubts.unless((first, last) == (origin, end), || {
            format!("{name} accounts for {} to {} of {}", count(first), count(last), count(end))
        });
    }
    let (records, bytes) = (evidence.published(), tick::span_bytes(origin, end));
    doubts.unless((evidence.ring_records, evidence.ring_bytes) == (records, bytes), || {
        format!("the ring counts {} and {} bytes", count(evidence.ring_records), count(evidence.ring_bytes))
    });
    doubts.unless(records > 0, || "nothing was published".to_owned());
    doubts.settle("delivered + lost = published, to the byte", format!("{} bytes", count(bytes)))
}

fn deadline(evidence: &Evidence) -> Promise {
    const TEXT: &str = "a gate falls at its deadline, and is told";
    let Some(alerts) = evidence.witness(Role::Deadline) else {
        return missing(Role::Deadline);
    };
    let mut doubts = Doubts::default();
    let told: u32 = alerts.lives.iter().map(|life| life.evictions).sum();
    doubts.unless(told <= 1, || format!("told {told} times"));
    doubts.unless(told > 0 || alerts.lost() == 0, || {
        format!("{} lost behind a gate, and nobody said that it fell", count(alerts.lost()))
    });
    if told == 0 && doubts.0.is_empty() {
        let detail = "it never held the ring up".to_owned();
        return Promise { kept: Kept::Untried, text: TEXT, detail };
    }
    let detail =
        format!("{}: {} ms, {} lost", alerts.role.name(), DEADLINE.as_millis(), count(alerts.lost()));
    doubts.settle(TEXT, detail)
}

fn untorn(evidence: &Evidence) -> Promise {
    let mut doubts = Doubts::default();
    for witness in &evidence.witnesses {
        doubts.unless(witness.torn() == 0, || {
            format!("{}: {} torn", witness.role.name(), count(witness.torn()))
        });
    }
    let checked = evidence.witnesses.iter().map(Witness::delivered).sum();
    doubts.unless(checked > 0, || "nothing was received".to_owned());
    doubts.settle("nothing torn: every checksum was right", format!("{} checked", count(checked)))
}

fn takeover(evidence: &Evidence) -> Promise {
    const TEXT: &str = "takeover: sequence goes on, readers stay";
    let mut doubts = Doubts::default();
    let [before, after] = &evidence.reigns[..] else {
        let detail = format!("{} producers instead of two", evidence.reigns.len());
        return Promise { kept: Kept::No, text: TEXT, detail };
    };
    doubts.unless(before.first == evidence.origin, || format!("the first began at {}", count(before.first)));
    doubts
        .unless(after.epoch == before.epoch + 1, || format!("epoch {} after {}", after.epoch, before.epoch));
    doubts.unless(after.first >= before.next, || {
        format!("the new one began at {}, the old one had reached {}", count(after.first), count(before.next))
    });
    doubts.unless(after.next > after.first, || "the new one published nothing".to_owned());
    for witness in &evidence.witnesses {
        // Consumers that attached before the first producer received an event for that one too.
        let told: Vec<_> = witness.lives.iter().flat_map(|life| life.changes.clone()).collect();
        let (started, took_over): (Vec<_>, Vec<_>) = told.iter().partition(|told| told.epoch == before.epoch);
        doubts.unless(started.iter().all(|told| is_told(told, before)) && started.len() <= 1, || {
            format!("{} was told of the first as {started:?}", witness.role.name())
        });
        doubts.unless(took_over.iter().all(|told| is_told(told, after)) && took_over.len() == 1, || {
            format!("{} was told of it as {took_over:?}", witness.role.name())
        });
    }
    let opening =
        evidence.takeover.map_or(String::new(), |time| format!(", in {}", nanos(time.as_nanos() as u64)));
    doubts.settle(TEXT, format!("epoch {} from {}{opening}", after.epoch, count(after.first)))
}

/// Reported at that place, or after a gap that contains it.
fn is_told(told: &Change, reign: &Reign) -> bool {
    told.epoch == reign.epoch && (told.from..=told.next).contains(&reign.first)
}

fn unblocked(evidence: &Evidence) -> Promise {
    let mut doubts = Doubts::default();
    let longest = evidence.reigns.iter().map(|reign| reign.longest_wait).max().unwrap_or_default();
    let allowed = DEADLINE.max(evidence.away) + SLACK;
    let shown = nanos(longest.as_nanos() as u64);
    doubts.unless(longest <= allowed, || format!("the producer waited {shown}"));
    doubts.settle("nobody was blocked for long", format!("producer's longest wait {shown}"))
}

fn ended(evidence: &Evidence) -> Promise {
    let mut doubts = Doubts(evidence.mishaps.clone());
    for witness in &evidence.witnesses {
        doubts.unless(witness.lives.last().is_some_and(|life| life.finished), || {
            format!("{} did not come to its end", witness.role.name())
        });
    }
    doubts.unless(evidence.reigns.last().is_some_and(|reign| reign.finished), || {
        "the last producer did not come to its end".to_owned()
    });
    let processes = evidence.reigns.len() + evidence.witnesses.iter().map(|w| w.lives.len()).sum::<usize>();
    doubts.settle("all ended as the script has it", format!("{processes} processes, 2 of them killed"))
}

fn missing(role: Role) -> Promise {
    Promise { kept: Kept::No, text: "everybody came", detail: format!("there was no {}", role.name()) }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
