//! Any bytes as a file, opened in every role and then used a little.

use quoit_tampered as quoit;

use quoit::{Error, Ring};

use super::input::Input;
use super::rings::{CAPACITY, SLOTS, at, images};
use super::scene::Scene;
use super::script;

/// Larger images teach nothing new.
const LARGEST: usize = 64 << 10;

/// Bits of the second byte.
const RAW: u8 = 1;
const SIGN: u8 = 2;
const MAGIC: u8 = 4;
const FIT: u8 = 8;
const IDENTITY: u8 = 16;

fn get(image: &[u8], word: usize) -> u64 {
    let bytes = image.get(8 * word..8 * word + 8);
    bytes.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
}

fn set(image: &mut [u8], word: usize, value: u64) {
    if let Some(bytes) = image.get_mut(8 * word..8 * word + 8) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
}

/// The file: the input's own bytes, or a real ring with some words spoilt. What keeps garbage from getting past the
/// first check is mended where the input asks for it: magic number, version and kind, size, checksum.
fn file(input: &mut Input<'_>, base: usize, flags: u8) -> Vec<u8> {
    let real = &images()[base % images().len()];
    let mut image = real.clone();
    if flags & RAW != 0 {
        let bytes = input.rest();
        image = match flags & IDENTITY {
            0 => bytes[..bytes.len().min(LARGEST)].to_vec(),
            _ => [&real[..4096], &bytes[..bytes.len().min(real.len() - 4096)]].concat(),
        };
    } else {
        for _ in 0..input.below(16) {
            let word = match input.below(4) {
                0 => input.below(32),
                1 => at::PUBLISHED + input.below(256),
                2 => at::CONTROL + usize::from(input.byte()) + usize::from(input.byte()),
                _ => usize::from(input.short()) % at::END,
            };
            let garbage = input.garbage().over(get(&image, word), CAPACITY);
            set(&mut image, word, garbage);
        }
    }
    if flags & MAGIC != 0 {
        for word in [0, 1, 2, 4] {
            set(&mut image, word, get(real, word));
        }
    }
    if flags & FIT != 0 {
        let bytes = get(&image, 5);
        if bytes <= LARGEST as u64 {
            image.resize(bytes as usize, 0);
        }
    }
    if flags & SIGN != 0 && image.len() >= 256 {
        let checksum = u64::from(crc32c::crc32c(&image[32..256]));
        set(&mut image, 3, checksum);
    }
    image
}

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let base = input.below(256);
    let flags = input.byte();
    let roles = input.byte();
    // What is done comes before what is in the file, so that a file may have any length.
    let acts: Vec<u8> = (0..input.below(48)).map(|_| input.byte()).collect();
    let image = file(&mut input, base, flags);
    let ring = match Ring::from_image(&image) {
        Ok(ring) => ring,
        Err(
            Error::NotARing { .. }
            | Error::TooShort { .. }
            | Error::WrongSize { .. }
            | Error::Version { .. }
            | Error::Foreign { .. }
            | Error::OtherKind { .. }
            | Error::Damaged { .. },
        ) => return,
        Err(error) => panic!("{error:?}"),
    };
    let capacity = get(&image, 16);
    let slots = get(&image, 18) as u32;
    script::install(ring.memory().expect("on the heap"), Vec::new());
    let mut scene = Scene::new(&ring, capacity, slots.max(SLOTS), false);
    roles_in_turn(&mut scene, roles);
    scene.play(&mut Input::new(&acts), 48);
    drop(scene);
    script::remove();
}

/// Each role whose bit is set, the producer first or last; each reads or writes a little.
fn roles_in_turn(scene: &mut Scene<'_>, roles: u8) {
    use quoit::Attach;
    let mut oldest = Input::new(&[0, 2]);
    let mut newest = Input::new(&[1, 0]);
    let mut named = Input::new(&[2, 2]);
    let mut observer = Input::new(&[3, 2]);
    if roles & 129 == 1 {
        scene.open();
    }
    if roles & 2 != 0 {
        scene.attach(Attach::lossy(), &mut oldest);
    }
    if roles & 4 != 0 {
        scene.attach(Attach::gated(), &mut newest);
    }
    if roles & 8 != 0 {
        scene.attach(Attach::gated().name("kin"), &mut named);
    }
    if roles & 16 != 0 {
        scene.observe(&mut observer);
    }
    if roles & 32 != 0 {
        scene.inspect();
    }
    if roles & 64 != 0 {
        scene.forget("late");
    }
    if roles & 129 == 129 {
        scene.open();
    }
    for len in [8, 104, 500] {
        scene.send(len);
        for who in 0..4 {
            scene.receive(who, 3);
        }
    }
}
