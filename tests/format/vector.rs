//! The test vector of docs/format.md: what it shows is what the fixture has, and what a reader finds there.

use quoit::{Event, Observer, Start};

use crate::common::Backing;
use crate::{DATA, FIRST, LENS, boot_id, copy_of_fixture, fixture, revive, word};

const DOCUMENT: &str = include_str!("../../docs/format.md");

/// The rows of the table under `header` in the document, cell by cell, without the marks of code.
fn table(header: &str) -> Vec<Vec<String>> {
    let (_, rest) = DOCUMENT.split_once(header).expect("the table");
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect())
        .collect()
}

fn number(text: &str) -> u64 {
    let hex = text.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
    hex.unwrap_or_else(|| text.parse()).unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// Section B12: the words that the document shows are those of the fixture.
#[test]
fn the_test_vector_is_the_fixture() {
    let bytes = std::fs::read(fixture()).unwrap();
    let rows = table("| byte | word | what it is |");
    assert!(rows.len() > 40, "{rows:?}");
    let wrong = rows.iter().filter_map(|row| {
        let (at, shown) = (number(&row[0]), number(&row[1]));
        let found = word(&bytes, at as usize);
        (found != shown).then(|| format!("byte {at}: {found:#x}, and not {shown:#x}"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "docs/format.md has other words than the fixture:\n{}", wrong.join("\n"));
}

/// Section B12: and a reader finds the records that it shows, where it shows them.
#[test]
fn the_test_vector_is_read_as_the_document_says() {
    let (_directory, path) = copy_of_fixture(Backing::Tmpfs);
    revive(&path, boot_id());
    let bytes = std::fs::read(&path).unwrap();
    let rows = table("| sequence | position | bytes before it | payload |");
    assert_eq!(rows.len(), LENS.len());
    let mut observer = Observer::open(&path, Start::Oldest).unwrap();
    let mut sent = 0;
    for row in &rows {
        let (sequence, position, before) = (number(&row[0]), number(&row[1]), number(&row[2]));
        let Ok(Some(Event::Record(record))) = observer.try_recv() else { panic!("no record {sequence:#x}") };
        let payload = record.to_vec();
        let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((record.sequence(), &hex, sent), (sequence, &row[3], before));
        let header = payload.len() as u64 | sequence << 32;
        assert_eq!(word(&bytes, DATA + position as usize % 4096), header, "at {position:#x}");
        sent += payload.len() as u64;
    }
    assert!(observer.try_recv().unwrap().is_none());
    for (last, first) in [(2, FIRST + 2), (1, FIRST + 3), (4, FIRST), (5, FIRST), (0, FIRST + 4)] {
        assert_eq!(
            Observer::open(&path, Start::Last(last)).unwrap().next_sequence(),
            first,
            "the last {last}"
        );
    }
}
