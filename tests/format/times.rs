//! Sections B2, B4 and B6: a ring whose records carry times.

use quoit::{Attach, Options, Timestamp};

use super::common::Backing;
use super::{CONTROL, DATA, word};

/// The publish clock of a segment.
fn clock(segment: usize) -> usize {
    4480 + 64 * 32 + 8 * segment
}

#[test]
fn times_stand_where_the_format_says() {
    let options = Options::new().capacity(4096).slots(2).times(true);
    let before = Timestamp::now().as_nanos();
    let ring = Backing::Tmpfs.ring(&options);
    let read = || std::fs::read(ring.path().unwrap()).unwrap();
    let bytes = read();
    let made = Timestamp::now().as_nanos();
    assert_eq!(word(&bytes, 152), 1 | 1 << 4, "inline, membarrier, times");
    assert!((before..=made).contains(&word(&bytes, clock(0))));
    assert!((1..64).all(|segment| word(&bytes, clock(segment)) == 0));
    let mut consumer = ring.consumer(&Attach::gated());
    let mut producer = ring.producer();
    // Header, time, and 40 bytes: 56. Then 72 bytes more, over the border of a segment.
    producer.send(&[7; 40]).unwrap();
    let bytes = read();
    let time = word(&bytes, DATA + 8);
    assert!((made..=Timestamp::now().as_nanos()).contains(&time));
    assert_eq!(word(&bytes, DATA), 48, "the header counts the time");
    assert_eq!(bytes[DATA + 16..DATA + 56], [7; 40]);
    // The inline copy is the same.
    assert_eq!((word(&bytes, 4112), word(&bytes, 4120)), (48, time));
    assert_eq!(bytes[4128..4168], [7; 40]);
    producer.send(&[8; 53]).unwrap();
    let bytes = read();
    let second = word(&bytes, DATA + 56 + 8);
    assert_eq!(word(&bytes, DATA + 56), 1 << 32 | 61);
    assert!(second >= time);
    // The boundary behind the second record is the first in its segment: position, sequence, bytes, and both clocks.
    let entry = 4480 + 32 * 2;
    assert_eq!([0, 8, 16].map(|at| word(&bytes, entry + at)), [128, 2, 48 + 61]);
    assert!((second..=Timestamp::now().as_nanos()).contains(&word(&bytes, clock(2))));
    // Accounts count payload, places the whole.
    consumer.skip_to_newest(|event| panic!("{event}")).unwrap();
    consumer.release();
    let bytes = read();
    let account = CONTROL + 256 + 256 + 128 * (word(&bytes, CONTROL + 256 + 8) & 1) as usize;
    assert_eq!([0, 8, 16].map(|at| word(&bytes, account + at)), [56, 1, 48]);
    assert_eq!([96, 104].map(|at| word(&bytes, account + at)), [1, 40]);
}
