//! A verdict on accounts that are in order, and on the same with one thing wrong.

use super::*;
use crate::demo::kit::cast::{FEED, PARTY, Part, RESETS, SERVER, WORKER};
use crate::demo::kit::notes::Note;

fn witness(part: Part, was_killed: bool, notes: &[(u64, [u64; 3])]) -> Witness {
    let notes = notes.iter().map(|(what, numbers)| Note { what: *what, numbers: *numbers }).collect();
    Witness { part, notes, was_killed, is_done: !was_killed }
}

const SECOND: Part = Part { role: Role::Party, number: 2 };
const CALLER: Part = Part { role: Role::Caller, number: 1 };

/// Calls: 0 answered, 1 ran twice, 2 gone with the server, 3 never ran. Records 0 and 2 acknowledged, 1 handed out again.
/// Rounds 1 and 4 passed; the third party died in the next but one.
fn account() -> Account {
    let end = |number: u64, end: usize| (notes::ENDED, [number, end as u64, 0]);
    let call = |number: u64, is_repeatable: u64| (notes::CALLED, [number, is_repeatable, 0]);
    let ran = |number: u64, again: u64| (notes::RAN, [1, number, again]);
    let got = |sequence: u64, deliveries: u64| (notes::RECEIVED, [sequence, deliveries, 0]);
    let begins = |sequence: u64| (notes::ACKNOWLEDGES, [sequence, 0, 0]);
    let done = |sequence: u64| (notes::ACKNOWLEDGED, [sequence, 0, 0]);
    let arrives = |when: u64| (notes::ARRIVES, [when, 0, 0]);
    let passed = |when: u64, round: u64, led: u64| (notes::PASSED, [when, round, led]);
    let broken = (notes::BROKEN, [20, 0, 0]);
    let survivor = |led: u64| {
        [
            arrives(1),
            passed(5, 1, led),
            arrives(11),
            broken,
            arrives(30),
            passed(35, 4, led),
            arrives(101),
            (notes::BROKEN, [110, 0, 0]),
        ]
    };
    Account {
        witnesses: vec![
            witness(SERVER, true, &[ran(0, 0), ran(1, 0), ran(2, 0)]),
            witness(SUCCESSOR, false, &[ran(1, 1)]),
            witness(
                CALLER,
                false,
                &[
                    call(0, 0),
                    call(1, 1),
                    call(2, 0),
                    call(3, 0),
                    end(0, notes::ANSWERED),
                    end(1, notes::ANSWERED),
                    end(2, notes::SERVER_GONE),
                    end(3, notes::NOT_EXECUTED),
                ],
            ),
            witness(FEED, false, &[0, 1, 2, 3].map(|sequence| (notes::SENT, [sequence, 0, 0]))),
            witness(WORKER, true, &[got(0, 1), got(1, 1), begins(0), done(0), got(3, 1), begins(3)]),
            witness(NEWCOMER, false, &[got(2, 1), begins(2), done(2), got(1, 2), begins(1), done(1)]),
            witness(RESETS, false, &survivor(1)),
            witness(SECOND, false, &survivor(0)),
            witness(PARTY, true, &[arrives(3), passed(6, 1, 0), arrives(12)]),
            witness(REPLACEMENT, false, &[arrives(31), passed(36, 4, 0)]),
        ],
        mishaps: Vec::new(),
        end_ns: 100,
    }
}

/// The promises that are not kept after a change.
fn broken_by(change: impl Fn(&mut Account)) -> Vec<&'static str> {
    let mut account = account();
    change(&mut account);
    let promises = judge(&account);
    promises.iter().filter(|promise| promise.kept == Kept::No).map(|promise| promise.text).collect()
}

/// Adds a note to somebody's.
fn note(part: Part, what: u64, numbers: [u64; 3]) -> impl Fn(&mut Account) {
    move |account| {
        let witness = account.witnesses.iter_mut().find(|witness| witness.part == part).unwrap();
        witness.notes.push(Note { what, numbers });
    }
}

/// Takes somebody's last note of a sort away.
fn forget(part: Part, what: u64) -> impl Fn(&mut Account) {
    move |account| {
        let witness = account.witnesses.iter_mut().find(|witness| witness.part == part).unwrap();
        let last = witness.notes.iter().rposition(|note| note.what == what).unwrap();
        witness.notes.remove(last);
    }
}

#[test]
fn what_is_in_order_is_kept() {
    let promises = judge(&account());
    assert!(promises.iter().all(|promise| promise.kept == Kept::Yes), "{promises:#?}");
    assert_eq!(account().ends(), [2, 0, 0, 1, 0, 1]);
    assert_eq!((account().calls(), account().ran_again(), account().phases()), (4, 1, 2));
    assert_eq!((account().sent(), account().acknowledged(), account().handed_out_again()), (4, 3, 1));
}

#[test]
fn calls_that_end_or_run_otherwise_show() {
    const ONCE: &str = "service: every call ended once";
    const TWICE: &str = "service: no call ran twice, unless it may";
    const IDLE: &str = "service: not executed means never run";
    assert_eq!(broken_by(note(CALLER, notes::ENDED, [0, 0, 0])), [ONCE]);
    assert_eq!(broken_by(note(CALLER, notes::CALLED, [9, 0, 0])), [ONCE]);
    assert_eq!(broken_by(note(CALLER, notes::ENDED, [9, 0, 0])), [ONCE, IDLE]);
    assert_eq!(broken_by(note(SUCCESSOR, notes::RAN, [1, 0, 0])), [TWICE]);
    assert_eq!(broken_by(note(SUCCESSOR, notes::RAN, [1, 1, 1])), [TWICE]);
    assert_eq!(broken_by(note(SUCCESSOR, notes::RAN, [1, 3, 0])), [IDLE]);
}

#[test]
fn records_that_are_lost_or_done_twice_show() {
    const ACKNOWLEDGED: &str = "group: every record acknowledged once";
    const AGAIN: &str = "group: handed out again only from the dead";
    assert_eq!(broken_by(note(FEED, notes::SENT, [4, 0, 0])), [ACKNOWLEDGED]);
    assert_eq!(broken_by(forget(NEWCOMER, notes::ACKNOWLEDGED)), [ACKNOWLEDGED]);
    assert_eq!(broken_by(note(NEWCOMER, notes::ACKNOWLEDGED, [2, 0, 0])), [ACKNOWLEDGED]);
    assert_eq!(broken_by(note(NEWCOMER, notes::RECEIVED, [2, 2, 0])), [AGAIN]);
    // The dead was just acknowledging it: done, or handed out again, and not both.
    let other = note(NEWCOMER, notes::RECEIVED, [3, 2, 0]);
    let done = note(NEWCOMER, notes::ACKNOWLEDGED, [3, 0, 0]);
    assert_eq!(
        broken_by(|account| {
            other(account);
            done(account);
        }),
        [""; 0]
    );
    assert_eq!(broken_by(forget(WORKER, notes::ACKNOWLEDGES)), [ACKNOWLEDGED]);
}

#[test]
fn parties_that_pass_early_or_are_not_told_show() {
    const MET: &str = "barrier: nobody passes before all arrived";
    const TOLD: &str = "barrier: a death is told to all others";
    let early = |account: &mut Account| account.witnesses[8].notes[0].numbers[0] = 7;
    assert_eq!(broken_by(early), [MET]);
    assert_eq!(broken_by(note(SECOND, notes::PASSED, [50, 7, 1])), [MET]);
    let leaders = |account: &mut Account| account.witnesses[9].notes[1].numbers[2] = 1;
    assert_eq!(broken_by(leaders), [MET]);
    assert_eq!(broken_by(note(SECOND, notes::BROKEN, [40, 0, 0])), [TOLD]);
    let before = |account: &mut Account| account.end_ns = 15;
    assert_eq!(broken_by(before), [TOLD]);
}

#[test]
fn who_ends_otherwise_shows() {
    const ENDED: &str = "all ended as the script has it";
    assert_eq!(broken_by(|account| account.mishaps.push("what".into())), [ENDED]);
    assert_eq!(broken_by(|account| account.witnesses[2].is_done = false), [ENDED]);
    assert_eq!(broken_by(|account| account.witnesses[6].was_killed = true).last(), Some(&ENDED));
    let gone = |account: &mut Account| account.witnesses.retain(|witness| witness.part != SUCCESSOR);
    assert_eq!(broken_by(gone), ["service: a server's death is told"]);
}
