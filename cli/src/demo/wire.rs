//! Messages between the demo's processes: orders on the child's stdin, JSON lines on its stdout.

use std::io::{self, BufRead, Write};
use std::sync::mpsc::{self, Receiver};

use serde::{Deserialize, Serialize};

use super::ledger::Ledger;

/// A message from a child. A line written before a `kill -9` still arrives.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// A consumer is attached and will read from `next` on.
    Attached { next: u64, resumed: Option<u64> },
    /// A consumer's progress, several times a second and once at its end.
    Reading(Reading),
    /// A consumer received an eviction, and how many records it lost with its gate.
    Evicted { lost: u64 },
    /// A consumer received the event of a new producer.
    Changed(Change),
    /// A producer has the ring and continues at `next`.
    Opened { next: u64, epoch: u64 },
    /// A producer's progress, several times a second and once at its end.
    Writing(Writing),
    /// An event that must not happen, reported at once.
    Broken { what: String },
}

/// Where in the stream a consumer received the event of a new producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) epoch: u64,
    /// Where it was before: the same as `next`, or the start of a gap reported just before.
    pub(crate) from: u64,
    pub(crate) next: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) at_ns: u64,
    pub(crate) lag: u64,
    pub(crate) ledger: Ledger,
    /// Ages of the paced ticks received since the line before: nanoseconds, and how many.
    pub(crate) ages: Vec<(u64, u64)>,
    pub(crate) done: bool,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Writing {
    pub(crate) at_ns: u64,
    pub(crate) next: u64,
    /// When this producer's first tick was published.
    pub(crate) first_ns: u64,
    /// The longest that one send had to wait for room.
    pub(crate) longest_wait_ns: u64,
    pub(crate) done: bool,
}

/// An order to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Consumer: stand still.
    Stall,
    /// Consumer: go on.
    GoOn,
    /// Producer: no pacing.
    FlatOut,
    /// Producer: close the ring. Consumer: end when there is nothing left.
    End,
}

const ORDERS: [(Order, &str); 4] =
    [(Order::Stall, "stall"), (Order::GoOn, "go on"), (Order::FlatOut, "flat out"), (Order::End, "end")];

impl Order {
    pub(crate) fn text(self) -> &'static str {
        ORDERS.iter().find(|(order, _)| *order == self).map_or("", |(_, text)| text)
    }

    fn parse(text: &str) -> Option<Self> {
        ORDERS.iter().find(|(_, known)| *known == text).map(|(order, _)| *order)
    }
}

/// Writes one line in one piece: a killed child must not leave half a line.
pub(crate) fn tell(line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The orders from stdin. When it closes the parent is gone, and this process ends.
pub(crate) fn orders() -> Receiver<Order> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if let Some(order) = Order::parse(line.trim()) {
                let _ = sender.send(order);
            }
        }
        std::process::exit(0);
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_understood() {
        for (order, text) in ORDERS {
            assert_eq!(order.text(), text);
            assert_eq!(Order::parse(text), Some(order));
        }
        assert_eq!(Order::parse("sing"), None);
    }

    #[test]
    fn lines_survive_the_pipe() {
        let reading =
            Reading { at_ns: 1, lag: 2, ledger: Ledger::starting_at(3), ages: vec![(4, 5)], done: true };
        let text = serde_json::to_string(&Line::Reading(reading)).unwrap();
        assert!(!text.contains('\n'));
        match serde_json::from_str(&text).unwrap() {
            Line::Reading(reading) => {
                assert_eq!((reading.ledger.first, reading.ages[0], reading.done), (3, (4, 5), true));
            }
            other => panic!("{other:?}"),
        }
    }
}
