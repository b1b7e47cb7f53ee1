//! What everything is called.

use quoit_floors::building::Building;
use quoit_floors::units;

use crate::work::Work;

/// For the one who waits.
pub(crate) fn title(work: Work, bytes: usize) -> String {
    format!("{}, {}", table(work), column(work, bytes))
}

/// The title of the table that it is in.
pub(crate) fn table(work: Work) -> &'static str {
    match work {
        Work::Pingpong => "Round trip, both sides busy",
        Work::Stream { building: Building::Copied } => "Stream of single sends, copied",
        Work::Stream { building: Building::ByWord } => "Stream of single sends, word by word",
        Work::Stream { building: Building::ByField } => "Stream of single sends, fields",
        Work::Stream { building: Building::InPlace } => "Stream of single sends, in place",
        Work::Batch => "Stream in batches of 64",
        Work::Fanout { batched: false, .. } => "Several consumers, 64 B, single sends",
        Work::Fanout { batched: true, .. } => "Several consumers, 64 B, batches of 64",
        Work::Flood { .. } => "A producer that never waits, 64 B",
        Work::Open => "A record every microsecond, 64 B",
        Work::Call => "Request and reply, both sides busy",
        Work::Event => "There and back by events, both sides asleep",
    }
}

/// The head of its column.
pub(crate) fn column(work: Work, bytes: usize) -> String {
    match work {
        Work::Fanout { consumers: 1, .. } => "1 consumer".to_owned(),
        Work::Fanout { consumers, .. } => format!("{consumers} consumers"),
        Work::Flood { consumers: 0, batched: false } => "nobody reads".to_owned(),
        Work::Flood { consumers: 0, batched: true } => "nobody reads, batches".to_owned(),
        Work::Flood { batched: false, .. } => "one busy consumer".to_owned(),
        Work::Flood { batched: true, .. } => "one busy consumer, batches".to_owned(),
        Work::Event => "p50".to_owned(),
        _ => units::bytes(bytes as u64),
    }
}

/// What the floor of a table is.
pub(crate) fn floor(work: Work) -> &'static str {
    match work {
        Work::Pingpong | Work::Call => "the same bytes between two fixed areas of plain atomics",
        Work::Stream { .. } => {
            "a textbook ring with a sequence in every slot, whose records are built in the same way"
        }
        Work::Batch => "a textbook ring with two cursors, each stored once a batch",
        Work::Fanout { batched: false, .. } => {
            "a textbook ring with a sequence in every slot, and one consumer"
        }
        Work::Fanout { batched: true, .. } => {
            "a textbook ring with two cursors, each stored once a batch, and one consumer"
        }
        Work::Flood { .. } => "the same records copied into hot memory, nobody reading",
        Work::Event => "two futex words",
        Work::Open => "the same bytes through cache lines of their own, with a sequence each",
    }
}
