//! Files that are rings no more, or never were.

use quoit::{Event, Kind, WaitMode};
use rustix::fs::{FallocateFlags, fallocate};

use super::*;

/// Words of the identity page.
const KIND: u64 = 4;
const FILE_SIZE: u64 = 5;
const ALIGNMENT: u64 = 6;
const RING_ID: u64 = 7;
const BOOT_ID: u64 = 9;
const CREATED: u64 = 11;
const FILE: u64 = 12;
const CAPACITY: u64 = 16;
const SEGMENTS: u64 = 17;
const SLOTS: u64 = 18;
const OPTIONS: u64 = 19;
const HARD_LIMIT: u64 = 20;
const ORIGIN_POSITION: u64 = 21;
const ORIGIN_SEQUENCE: u64 = 22;
const END: u64 = 32;

fn noise(len: usize) -> Vec<u8> {
    common::payload(1, len)
}

#[test]
fn what_is_no_ring() {
    let ring = Spoilt::new();
    let text = "All work and no play makes Jack a dull boy.\n".repeat(200).into_bytes();
    for (name, bytes) in [("text", text), ("noise", noise(20_000)), ("zeros", vec![0; FILE_BYTES as usize])] {
        refused!(ring.other(name, &bytes), Error::NotARing { .. });
    }
    let text = "quoit\r\n".repeat(1000);
    refused!(ring.other("nearly", text.as_bytes()), Error::NotARing { .. });
    // A creator that died before it stored the magic would leave this, had the file a name by then.
    ring.set(0, 0);
    refused!(ring.path, Error::NotARing { .. });
}

#[test]
fn what_is_shorter_than_its_first_page() {
    let ring = Spoilt::new();
    let whole = ring.bytes();
    for len in [0, 1, 7, 8, 9, 31, 32, 119, 120, 121, 183, 184, 185, 255, 256, 257, 512, 4088, 4095] {
        let cut = ring.other("cut", &whole[..len]);
        refused!(cut, Error::TooShort { bytes, .. } if *bytes == len as u64);
        let noise = ring.other("noise", &noise(len));
        refused!(noise, Error::TooShort { bytes, .. } if *bytes == len as u64);
    }
}

/// Every length that ends inside the head area, and every page boundary behind it and its neighbours, in every role.
#[test]
fn every_truncation() {
    let ring = Spoilt::new();
    let mut refused = 0;
    let pages = (3..7).flat_map(|page| [page * PAGE - 1, page * PAGE, page * PAGE + 1]);
    let lens = (0..=2 * PAGE).chain(pages).chain([FILE_BYTES - 1]);
    // From the longest to the shortest, so that the file only ever shrinks: what is left are its own bytes.
    let mut lens: Vec<_> = lens.collect();
    lens.sort_by(|a, b| b.cmp(a));
    for len in lens {
        ring.file.set_len(len).unwrap();
        for role in ROLES {
            let error = role.open(&ring.path).expect_err("opened a part of a ring");
            match error {
                Error::TooShort { bytes, .. } => assert!(bytes == len && len < PAGE, "{len}: {bytes}"),
                Error::WrongSize { bytes, expected: FILE_BYTES, .. } => assert!(bytes == len && len >= PAGE),
                other => panic!("{len}, {role:?}: {other:?}"),
            }
            refused += 1;
        }
    }
    note(&format!("truncated to every length of the head and every page: {refused} times refused"));
    assert_eq!(std::fs::metadata(&ring.path).unwrap().len(), 0, "somebody made it longer");
}

/// One bit in each word of the producer's lines, the index, the sleep words and the slots, in every role: a typed
/// error or none. (`tests/flips.rs` has every bit, without a file.)
#[test]
fn a_bit_of_every_word_behind_the_identity() {
    let ring = Spoilt::new();
    let mut producer = Producer::open(&ring.path).unwrap();
    let consumer = Consumer::open(&ring.path, &Attach::gated().name("kin")).unwrap();
    for len in 0..300 {
        producer.try_send(&noise(len)[..len % 70]).unwrap();
    }
    drop((producer, consumer));
    let whole = ring.bytes();
    let (mut refused, mut harmless) = (0, 0);
    let words = (512..512 + 48 + 256).chain(1024..1024 + 32 + 4 * 64);
    for word in words {
        // Another bit from word to word: low ones, high ones, and those in between.
        let spoilt = ring.word(word) ^ 1 << (word * 7 % 64);
        for role in ROLES {
            ring.set(word, spoilt);
            match role.open(&ring.path) {
                Ok(()) => harmless += 1,
                Err(Error::Corrupt(_) | Error::SlotsTaken { .. }) => refused += 1,
                Err(error) => panic!("word {word}, {role:?}: {error:?}"),
            }
            ring.write(4096, &whole[4096..]);
        }
    }
    note(&format!("a bit of every word: {refused} refused, {harmless} harmless"));
    assert!(refused > 0 && harmless > refused);
}

#[test]
fn a_size_unlike_its_geometry() {
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let ring = Spoilt::on(backing);
        let whole = ring.bytes();
        let pages = (1..=7).flat_map(|page| [page * PAGE - 1, page * PAGE, page * PAGE + 1]);
        for len in pages.chain([FILE_BYTES + PAGE, 2 * FILE_BYTES]).filter(|len| *len != FILE_BYTES) {
            let mut bytes = whole.clone();
            bytes.resize(len as usize, 0);
            let path = ring.other("resized", &bytes);
            if len < PAGE {
                refused!(path, Error::TooShort { bytes, .. } if *bytes == len);
            } else {
                refused!(path, Error::WrongSize { bytes, expected: FILE_BYTES, .. } if *bytes == len);
            }
        }
        refused!(ring.other("copied", &whole), Error::Copied { .. });
    }
}

#[test]
fn another_version() {
    let ring = Spoilt::new();
    for (major, minor) in
        [(0, 0), (0, 9), (2, 0), (2, 1), (u32::MAX, 0), (1, 1), (1, u32::MAX), (u32::MAX, u32::MAX)]
    {
        ring.set(1, u64::from(major) << 32 | u64::from(minor));
        refused!(ring.path, Error::Version { major: a, minor: b, .. } if (*a, *b) == (major, minor));
    }
    ring.set(1, 1 << 32);
    harmless(&ring.path, "version 1.0");
}

#[test]
fn another_byte_order() {
    let ring = Spoilt::new();
    let mark = ring.word(2);
    ring.set(2, mark.swap_bytes());
    refused!(ring.path, Error::Foreign { what: "byte order", .. });
    // Such a machine's version reads as nonsense: that must not come first.
    ring.set(1, (1u64 << 32).swap_bytes());
    refused!(ring.path, Error::Foreign { what: "byte order", .. });
    ring.set(1, 1 << 32);
    for other in [0, 1, u64::MAX, mark ^ 1 << 63, mark.rotate_left(32)] {
        ring.set(2, other);
        refused!(ring.path, Error::Damaged { what: "byte order mark", .. });
    }
    ring.set(2, mark);
    harmless(&ring.path, "the right mark");
}

#[test]
fn every_single_bit_of_the_identity() {
    let ring = Spoilt::new();
    for bit in 0..64 * END {
        let number = bit / 64;
        let right = ring.word(number);
        ring.set(number, right ^ 1 << (bit % 64));
        match number {
            0 => refused!(ring.path, Error::NotARing { .. }),
            1 => refused!(ring.path, Error::Version { .. }),
            2 => refused!(ring.path, Error::Damaged { what: "byte order mark", .. }),
            _ => refused!(ring.path, Error::Damaged { what: "checksum", .. }),
        }
        ring.set(number, right);
    }
    harmless(&ring.path, "every bit back in place");
}

#[test]
fn the_unused_rest_of_the_page() {
    let ring = Spoilt::new();
    let first = ring.bytes();
    for number in (END..512).step_by(7).chain([511]) {
        ring.set(number, u64::MAX);
        harmless(&ring.path, number);
        ring.set(number, 0);
    }
    assert_eq!(ring.bytes()[..4096], first[..4096], "somebody wrote to the identity page");
}

/// Every kind has a tag of its own. A file of another kind is whole, and no ring.
#[test]
fn another_kind_of_object() {
    let ring = Spoilt::new();
    let tag = |letters: &[u8; 8]| u64::from_le_bytes(*letters);
    let right = ring.word(KIND);
    assert_eq!(right, tag(b"ring    "));
    ring.set(KIND, tag(b"latest  "));
    refused!(ring.path, Error::Damaged { what: "checksum", .. });
    ring.sign();
    refused!(ring.path, Error::OtherKind { found: Kind::Latest, wanted: Kind::Ring, .. });
    let text = Producer::open(&ring.path).unwrap_err().to_string();
    assert!(text.contains("is a latest value, not a ring"), "{text}");
    // Whatever stands in the words that each kind has for itself.
    ring.set(CAPACITY, 0);
    ring.sign();
    refused!(ring.path, Error::OtherKind { found: Kind::Latest, wanted: Kind::Ring, .. });
    ring.set(CAPACITY, 1 << 14);
    let unknown = [b"\0\0\0\0\0\0\0\0", b"ring\0\0\0\0", b"Ring    ", b"    ring", b"rings   ", b"nothing "];
    for letters in unknown {
        ring.set(KIND, tag(letters));
        ring.sign();
        refused!(ring.path, Error::Damaged { what: "kind of object", .. });
    }
    for word in [right ^ 1, right.swap_bytes(), right << 8, u64::MAX] {
        ring.set(KIND, word);
        ring.sign();
        refused!(ring.path, Error::Damaged { what: "kind of object", .. });
    }
    ring.set(KIND, right);
    ring.sign();
    harmless(&ring.path, "a ring");
}

/// Garbage that somebody signed: word, value, and what it is refused as.
#[test]
fn garbage_with_a_good_checksum() {
    let ring = Spoilt::new();
    let ones = u64::MAX;
    let cases: [(u64, &[u64], &str); 16] = [
        (
            CAPACITY,
            &[0, 1, 7, 4095, 4097, 2048, 1 << 41, 1 << 63, (1 << 14) + 1, (1 << 14) - 8, ones],
            "capacity",
        ),
        (CAPACITY, &[4096, 1 << 13, 1 << 15, 1 << 40], "file size"),
        (
            SEGMENTS,
            &[0, 1, 4, 32, 63, 65, 128, 1 << 63, ones],
            "the number of segments does not go with the capacity",
        ),
        (SLOTS, &[0, 1025, 1 << 31, (1 << 32) - 1], "a ring has 1 to 1024 consumer slots"),
        (SLOTS, &[1 << 32, (1 << 32) + 4, ones], "number of slots"),
        (SLOTS, &[1024, 9], "file size"),
        (
            ALIGNMENT,
            &[0, 1, 7, 8, 2048, 4095, 4097, 12288, 1 << 22, 1 << 63, ones],
            "the alignment is a power of two from 4 KiB to 2 MiB",
        ),
        (ALIGNMENT, &[1 << 13, 1 << 21], "file size"),
        (FILE_SIZE, &[0, 1, PAGE, FILE_BYTES - 1, FILE_BYTES + 1, 2 * FILE_BYTES, ones], "file size"),
        (15, &[1, ones], "a word that this version does not use"),
        (24, &[1, ones], "a word that this version does not use"),
        (END - 1, &[1 << 63], "a word that this version does not use"),
        (OPTIONS, &[1 << 5, 1 << 6, 1 << 31, 1 << 63, ones], "unknown options"),
        (OPTIONS, &[3 << 2, 3 << 2 | 1], "wait mode"),
        (ORIGIN_POSITION, &[1, 4, 7, (1 << 63) + 1, ones], "the origin is a multiple of 8"),
        (ORIGIN_POSITION, &[ones - 1, ones - 3], "the origin is a multiple of 8"),
    ];
    for (number, values, why) in cases {
        let right = ring.word(number);
        for value in values {
            ring.set(number, *value);
            ring.sign();
            refused!(ring.path, Error::Damaged { what, .. } if *what == why);
        }
        ring.set(number, right);
    }
    ring.sign();
    harmless(&ring.path, "the right words");
}

/// Words in which any value is as good as another.
#[test]
fn any_hard_limit_name_and_time() {
    let ring = Spoilt::new();
    let values = [0, 1, 7, 1 << 63, u64::MAX];
    for number in [HARD_LIMIT, ORIGIN_SEQUENCE, RING_ID, RING_ID + 1, CREATED] {
        let right = ring.word(number);
        for value in values {
            ring.set(number, value);
            ring.sign();
            harmless(&ring.path, (number, value));
        }
        ring.set(number, right);
    }
    for slots in 1..=7 {
        ring.set(SLOTS, slots);
        ring.sign();
        harmless(&ring.path, ("slots", slots));
        let all: Vec<_> = (0..slots).map(|_| Consumer::open(&ring.path, &Attach::gated()).unwrap()).collect();
        let one_more = Consumer::open(&ring.path, &Attach::gated()).unwrap_err();
        assert!(matches!(one_more, Error::SlotsTaken { saved: 0, .. }), "{one_more:?}");
        assert_eq!(all.last().unwrap().slot(), slots as u32 - 1);
    }
}

/// What `Options` refuses to ask for is refused in a file as well: every consumer of a ring that refuses all who can
/// be overwritten could be overwritten.
#[test]
fn options_that_contradict_each_other() {
    let ring = Spoilt::new();
    ring.set(OPTIONS, ring.word(OPTIONS) | 2);
    ring.set(HARD_LIMIT, 1000);
    ring.sign();
    refused!(ring.path, Error::Damaged { .. });
}

/// Geometry that is right in itself, for a file that is not there.
#[test]
fn a_tebibyte_is_not_mapped_on_a_word() {
    let ring = Spoilt::new();
    let capacity = 1u64 << 40;
    let bytes = 3 * PAGE + capacity;
    ring.set(CAPACITY, capacity);
    ring.set(FILE_SIZE, bytes);
    ring.sign();
    refused!(ring.path, Error::WrongSize { bytes: FILE_BYTES, expected, .. } if *expected == bytes);
    ring.file.set_len(bytes).unwrap();
    refused!(ring.path, Error::Sparse { .. });
}

/// Another alignment is not bad: machines and file systems with larger pages write it.
#[test]
fn a_larger_alignment() {
    let ring = Spoilt::new();
    ring.set(ALIGNMENT, 2 * PAGE);
    ring.set(FILE_SIZE, FILE_BYTES + PAGE);
    ring.sign();
    refused!(ring.path, Error::WrongSize { bytes: FILE_BYTES, expected, .. } if *expected == FILE_BYTES + PAGE);
    ring.write(FILE_BYTES, &[0; PAGE as usize]);
    harmless(&ring.path, "8 KiB");
    let mut consumer = Consumer::open(&ring.path, &Attach::gated()).unwrap();
    let mut producer = Producer::open(&ring.path).unwrap();
    assert_eq!(producer.wait_mode(), WaitMode::Membarrier);
    for number in 0..1000u64 {
        producer.send(&number.to_le_bytes()).unwrap();
        while let Some(event) = consumer.try_recv().unwrap() {
            if let Event::Record(record) = event {
                assert_eq!(record.to_vec(), number.to_le_bytes());
            }
        }
    }
    assert_eq!(consumer.next_sequence(), 1000);
}

#[test]
fn holes() {
    for backing in [Backing::Tmpfs, Backing::Disk] {
        for page in 1..7 {
            let ring = Spoilt::on(backing);
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&ring.file, flags, page * PAGE, PAGE).unwrap();
            refused!(ring.path, Error::Sparse { .. });
        }
        // The first page as well: then it is no ring.
        let ring = Spoilt::on(backing);
        fallocate(&ring.file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, PAGE).unwrap();
        refused!(ring.path, Error::NotARing { .. });
        // As `cp --sparse` leaves it.
        let copy = ring.directory.path().join("copy");
        let ring = Spoilt::on(backing);
        let file = File::create(&copy).unwrap();
        file.set_len(FILE_BYTES).unwrap();
        file.write_all_at(&ring.bytes()[..2 * PAGE as usize], 0).unwrap();
        refused!(copy, Error::Sparse { .. });
    }
}

/// All but those who make a leftover anew.
fn openers() -> Vec<Role> {
    ROLES.into_iter().filter(|role| *role != Role::ProduceOrCreate).collect()
}

#[test]
fn left_over_from_an_earlier_boot() {
    let ring = Spoilt::new();
    let right = [ring.word(BOOT_ID), ring.word(BOOT_ID + 1)];
    assert_ne!(right, [0, 0], "this machine does not say");
    for (half, value) in [(0, right[0] ^ 1), (0, 0), (1, right[1] ^ 1 << 63), (1, 0), (1, u64::MAX)] {
        ring.set(BOOT_ID + half, value);
        ring.sign();
        refused!(&openers(); ring.path, Error::EarlierBoot { .. });
        ring.set(BOOT_ID + half, right[half as usize]);
    }
    // Made where the machine did not say.
    ring.set(BOOT_ID, 0);
    ring.set(BOOT_ID + 1, 0);
    ring.sign();
    harmless(&ring.path, "unknown boot");
}

/// What is wrong is found in the order of the format's section A4: the first thing named is the one to see to.
#[test]
fn several_things_wrong_at_once() {
    let ring = Spoilt::new();
    ring.set(BOOT_ID, 1);
    ring.file.set_len(FILE_BYTES + 1).unwrap();
    ring.set(CAPACITY, 3);
    refused!(ring.path, Error::Damaged { what: "checksum", .. });
    ring.sign();
    refused!(ring.path, Error::Damaged { what: "capacity", .. });
    ring.set(CAPACITY, 1 << 14);
    ring.sign();
    refused!(ring.path, Error::WrongSize { .. });
    ring.file.set_len(FILE_BYTES).unwrap();
    refused!(&openers(); ring.path, Error::EarlierBoot { .. });
    ring.set(FILE + 1, ring.word(FILE + 1) ^ 1);
    ring.sign();
    refused!(&openers(); ring.path, Error::EarlierBoot { .. });
    ring.set(1, 2 << 32);
    refused!(ring.path, Error::Version { .. });
    ring.set(2, ring.word(2).swap_bytes());
    refused!(ring.path, Error::Foreign { .. });
    ring.set(0, 0);
    refused!(ring.path, Error::NotARing { .. });
}
