//! The bodies of the fuzz targets: each takes any bytes, does with a ring, or another object, what they say, and panics
//! if that breaks a promise. libFuzzer calls them, `tests/corpus.rs` replays the corpora through them on stable, and so does
//! `cargo verify fuzz`.
//!
//! Bytes are read as a small program (which ring to start with, what to write where and when, what to do), so short
//! inputs reach far; `open` also takes the bytes as a whole file.
#![allow(dead_code, unused_imports, reason = "each includer uses its share")]

mod control;
pub mod flips;
mod framing;
mod input;
#[path = "../../tests/properties/model.rs"]
mod model;
mod objects;
mod open;
mod ops;
mod race;
mod rings;
mod scene;
mod script;
mod walk;

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../cli/src/framing.rs"]
mod frames;

pub use rings::images;

/// What a target is called, and what it does with its input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them. The names are those of `fuzz/fuzz_targets` and of the folders in `fuzz/corpus`.
pub const TARGETS: [Target; 7] = [
    ("open", open::run),
    ("walk", walk::run),
    ("race", race::run),
    ("control", control::run),
    ("ops", ops::run),
    ("framing", framing::run),
    ("objects", objects::run),
];

/// Runs the target of this name.
pub fn run(name: &str, data: &[u8]) {
    let (_, body) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this name");
    body(data);
}

/// Random bytes, always the same for a number; up to some 200 of them, small ones more often than not.
pub fn random(number: u64) -> Vec<u8> {
    let mut state = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..4 {
        next();
    }
    let len = next() % 200;
    (0..len)
        .map(|_| {
            let word = next();
            if word & 3 == 0 { (word >> 8) as u8 } else { (word >> 8) as u8 & 31 }
        })
        .collect()
}
