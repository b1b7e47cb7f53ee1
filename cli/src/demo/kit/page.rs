//! The last page: what became of all calls, records and phases, and whether the guarantees held.

use super::account::Account;
use super::board::Board;
use super::cast::Role;
use super::notes::{BROKEN, ENDS};
use crate::demo::closing;
use crate::demo::text::{Pieces, Tone, wrap};
use crate::demo::verdict::Promise;
use crate::units::{count, counted};

/// Every line of it. The events are printed again if they were on a screen that is gone.
pub(crate) fn lines(
    board: &Board,
    account: &Account,
    promises: &[Promise],
    is_forgotten: bool,
    width: usize,
) -> Vec<Pieces> {
    let mut lines = if is_forgotten { closing::log(&board.log, width) } else { Vec::new() };
    lines.push(Vec::new());
    let ends = account.ends().into_iter().zip(ENDS).filter(|(number, _)| *number > 0);
    let ends: Vec<String> = ends.map(|(number, end)| format!("{} {end}", count(number))).collect();
    let again = account.ran_again();
    let again =
        if again > 0 { format!("; {} ran again, with the next server", count(again)) } else { String::new() };
    let broken = account.of(Role::Party).filter(|party| !party.was_killed);
    let broken = broken.map(|party| party.noted(BROKEN).filter(|[when, ..]| *when < account.end_ns).count());
    let broken = broken.max().unwrap_or(0) as u64;
    let rows = [
        (counted(account.calls(), "call"), format!(": {}{again}", ends.join(", "))),
        (
            counted(account.sent(), "record"),
            format!(
                ": {} acknowledged, {} handed out again",
                count(account.acknowledged()),
                count(account.handed_out_again())
            ),
        ),
        (counted(account.phases(), "phase"), format!(" passed, {} broken", count(broken))),
    ];
    for (number, text) in rows {
        let line = vec![(Tone::Strong, format!(" {number}")), (Tone::Plain, text)];
        lines.extend(wrap(&line, width, 3));
    }
    lines.extend(closing::kept(promises, width));
    lines
}
