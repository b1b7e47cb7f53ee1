//! Every single bit of the head area and of the control area's words, flipped one at a time in a ring that was used,
//! in every role. Each flip is refused with a typed error, or it is harmless, which means:
//!
//! * no call panics, and none makes more accesses to shared memory than its bound;
//! * who finds corruption finds it for good;
//! * sequences go on without a gap that is not told, and no record is longer than the ring allows;
//! * every record delivered has the contents that were sent under (the low half of) its sequence, unless the flipped
//!   word is content itself: the header or payload of the inline copy.

use std::io::Write;

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a library of its own in `fuzz/`")]
mod targets;

use targets::flips::{Came, LAPPED, ROLES, WORDS, WRAPPED, flip};

/// Flips each bit of these words, and returns how many flips were harmless.
fn flipped(rings: &[usize], words: std::ops::Range<usize>, name: &str) -> u64 {
    let (mut refused, mut harmless) = (0u64, 0u64);
    for &ring in rings {
        for word in words.clone() {
            for bit in 0..64 {
                for (role, what) in ROLES.iter().enumerate() {
                    let came = std::panic::catch_unwind(|| flip(ring, word, bit, role));
                    match came {
                        Ok(Came::Refused) => refused += 1,
                        Ok(Came::Harmless) => harmless += 1,
                        Err(_) => panic!("ring {ring}, word {word}, bit {bit}, {what}"),
                    }
                }
            }
        }
    }
    let line = format!(
        "flips: {name}: {} bits in each of {} roles: {refused} refused, {harmless} harmless\n",
        rings.len() * words.len() * 64,
        ROLES.len()
    );
    let _ = std::io::stderr().write_all(line.as_bytes());
    assert_eq!(refused + harmless, (rings.len() * words.len() * 64 * ROLES.len()) as u64);
    harmless
}

fn every_bit(rings: &[usize], words: std::ops::Range<usize>, name: &str) {
    assert!(flipped(rings, words, name) > 0);
}

#[test]
fn identity() {
    // The words that mean something, under their checksum; the rest of the page is read by nobody.
    assert_eq!(flipped(&[LAPPED], WORDS[0].start..32, "the identity"), 0, "accepted");
}

#[test]
fn rest_of_the_identity_page() {
    every_bit(&[LAPPED], 32..512, "the rest of its page");
}

#[test]
fn producer_lines() {
    every_bit(&[LAPPED, WRAPPED], 512..560, "the producer's lines");
}

#[test]
fn index() {
    every_bit(&[LAPPED], 560..WORDS[0].end, "the index, and the rest of its page");
}

#[test]
fn control() {
    every_bit(&[LAPPED], WORDS[1].clone(), "sleep words and slots");
}
