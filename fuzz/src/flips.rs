//! One bit of a real ring flipped, and everybody who may come to it: not a target, but an exhaustive list that
//! `tests/flips.rs` goes through.

use std::time::Duration;

use quoit_tampered as quoit;

use quoit::{Attach, Error, Ring};

use super::input::Input;
use super::rings::{CAPACITY, SLOTS, at, images};
use super::scene::Scene;
use super::script;

/// Everybody who opens a ring.
pub const ROLES: [&str; 9] = [
    "producer",
    "lossy from the oldest",
    "gated from the newest",
    "gated from the oldest",
    "gated with a deadline",
    "named",
    "observer from the oldest",
    "inspector",
    "forget",
];

/// What came of one flip in one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// A typed error told of it before anything was done.
    Refused,
    /// The ring was opened and used, and every promise was kept.
    Harmless,
}

/// Words of the head area, and those of the control area, that a flip can hit.
pub const WORDS: [std::ops::Range<usize>; 2] = [0..at::CONTROL, at::CONTROL..at::CONTROL_END];

/// A ring that was lapped and keeps names with losses, and one that has just wrapped past the largest position.
pub const LAPPED: usize = 13;
pub const WRAPPED: usize = 9;

/// Contents are right but where the flipped word is content: the inline copy's header and payload.
fn is_content(word: usize) -> bool {
    (at::PUBLISHED + 2..at::RESERVE).contains(&word)
}

/// Opens a ring with one bit flipped in one role, and uses it. Panics if a promise is broken.
pub fn flip(ring: usize, word: usize, bit: usize, role: usize) -> Came {
    let mut image = images()[ring].clone();
    image[8 * word + bit / 8] ^= 1 << (bit % 8);
    let ring = match Ring::from_image(&image) {
        Ok(ring) => ring,
        Err(
            Error::NotARing { .. } | Error::Version { .. } | Error::Foreign { .. } | Error::Damaged { .. },
        ) => {
            return Came::Refused;
        }
        Err(error) => panic!("{error:?}"),
    };
    script::install(ring.memory().expect("on the heap"), Vec::new());
    let mut scene = Scene::new(&ring, CAPACITY, SLOTS, !is_content(word));
    let came = play(&mut scene, role);
    drop(scene);
    script::remove();
    came
}

fn play(scene: &mut Scene<'_>, role: usize) -> Came {
    // Which place a reader is put in, and where it starts.
    let (mut newest, mut oldest) = (Input::new(&[0, 0]), Input::new(&[0, 2]));
    match role {
        0 => scene.open(),
        1 => scene.attach(Attach::lossy(), &mut oldest),
        2 => scene.attach(Attach::gated(), &mut newest),
        3 => scene.attach(Attach::gated(), &mut oldest),
        4 => scene.attach(Attach::gated_for(Duration::from_nanos(1)), &mut oldest),
        5 => scene.attach(Attach::gated().name("kin"), &mut newest),
        6 => scene.observe(&mut oldest),
        7 => scene.inspect(),
        _ => scene.forget("kin"),
    }
    let refused = match role {
        0 => scene.producer.is_none(),
        1..7 => scene.readers[0].is_none(),
        _ => false,
    };
    if refused {
        return Came::Refused;
    }
    // The first records are those that stand there, the next come from a producer that goes by the same words.
    scene.receive(0, 10);
    scene.open();
    scene.attach(Attach::gated(), &mut Input::new(&[1, 0]));
    for len in [8, 104, 700] {
        scene.send(len);
        scene.receive(0, 10);
        scene.receive(1, 2);
    }
    Came::Harmless
}
