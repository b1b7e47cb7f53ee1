//! The bytes of a ring file, held against `docs/format.md`, and against a ring of version 1.0 that is kept in
//! `tests/fixtures`.
//!
//! `QUOIT_WRITE_FIXTURE=1 cargo test --test format` writes the fixture anew. That is for a new version of the format;
//! a change that needs it for any other reason breaks the rings of others.

mod common;
#[path = "format/event.rs"]
mod event;
#[path = "format/group.rs"]
mod group;
#[path = "format/in_use.rs"]
mod in_use;
#[path = "format/latest.rs"]
mod latest;
#[path = "format/mutex.rs"]
mod mutex;
#[path = "format/rounds.rs"]
mod rounds;
#[path = "format/rwlock.rs"]
mod rwlock;
#[path = "format/semaphore.rs"]
mod semaphore;
#[path = "format/service.rs"]
mod service;
#[path = "format/table.rs"]
mod table;
#[path = "format/times.rs"]
mod times;
#[path = "format/vector.rs"]
mod vector;

use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_UNLCK, F_WRLCK, SEEK_SET, flock};
use quoit::{Attach, Consumer, Error, Event, Inspector, Observer, Options, Producer, Start, WaitMode};

use common::{Backing, Oracle, Sent, payload};

/// 72 bytes before the end of the ring, and where the low half of a sequence wraps.
const ORIGIN: u64 = 6 * 4096 - 72;
const FIRST: u64 = 0xffff_ffff;
/// The end of that lap.
const LAP: u64 = ORIGIN + 72;
/// Payload lengths, one of them an empty record.
const LENS: [usize; 4] = [5, 60, 0, 105];

const NAME: &str = "golden";
const DEADLINE: Duration = Duration::from_secs(3);
const HOLD: Duration = Duration::from_secs(7);
const HARD_LIMIT: Duration = Duration::from_secs(9);

/// What differs from run to run gets these values: random numbers, times, process ids.
const RING_ID: [u8; 16] = *b"a ring of v1.0!!";
const BOOT_ID: [u8; 16] = *b"an earlier boot.";
const TIME: u64 = 1_000_000_000_000_000_007;
const PID: u64 = 4711;
const FILE_NUMBER: [u64; 3] = [0x1c, 4712, TIME];

/// Section A1: three areas, rounded up to the alignment.
const CONTROL: usize = 8192;
const DATA: usize = CONTROL + 4096;
const FILE: usize = DATA + 4096;

fn options() -> Options {
    Options::new().capacity(4096).slots(2).wait(WaitMode::Fence).hard_limit(HARD_LIMIT).origin(ORIGIN, FIRST)
}

/// Makes a ring of which everything is known, and returns its bytes with the differences levelled.
fn golden(backing: Backing) -> Vec<u8> {
    let ring = backing.ring(&options());
    let mut named = ring.consumer(&Attach::gated_for(DEADLINE).name(NAME).hold(HOLD));
    let lossy = ring.consumer(&Attach::lossy());
    let mut producer = ring.producer();
    let mut sent = Sent::new(FIRST);
    sent.send(&mut producer, LENS[0]);
    sent.send(&mut producer, LENS[1]);
    let mut batch = producer.batch();
    for len in &LENS[2..] {
        batch.try_send(&payload(sent.next(), *len)).unwrap();
        sent.lens.push(*len);
    }
    batch.publish();
    let mut oracle = Oracle::new(FIRST);
    oracle.take(&sent, &mut named, 2);
    named.release();
    let mut bytes = std::fs::read(ring.path().unwrap()).unwrap();
    drop((named, lossy, producer));
    assert_eq!(bytes.len(), FILE);
    let itself: Vec<_> = [96, 104, 112].map(|at| word(&bytes, at)).into();
    assert_eq!(itself, file_number(ring.path().unwrap()), "the ring's own file");
    level(&mut bytes);
    bytes
}

fn level(bytes: &mut [u8]) {
    assert_ne!(bytes[56..72], [0; 16], "no id");
    assert_eq!(bytes[72..88], boot_id(), "the boot id");
    bytes[56..72].copy_from_slice(&RING_ID);
    bytes[72..88].copy_from_slice(&BOOT_ID);
    let level_word = |bytes: &mut [u8], at: usize, value: u64| {
        assert_ne!(word(bytes, at), 0, "nothing at {at}");
        set(bytes, at, value);
    };
    level_word(bytes, 88, TIME);
    for (at, value) in (96..120).step_by(8).zip(FILE_NUMBER) {
        set(bytes, at, value);
    }
    level_word(bytes, 4264, PID);
    level_word(bytes, 4272, TIME);
    for entry in (4480..4480 + 64 * 32).step_by(32) {
        if word(bytes, entry).is_multiple_of(8) {
            level_word(bytes, entry + 24, TIME);
        }
    }
    for slot in [CONTROL + 256, CONTROL + 768] {
        level_word(bytes, slot + 192, PID);
        level_word(bytes, slot + 200, TIME);
    }
    seal(bytes);
}

/// Section A2: the boot id as it stands in the identity page.
fn boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    u128::from_str_radix(&text.trim().replace('-', ""), 16).unwrap().to_le_bytes()
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn set(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// CRC-32C, bit by bit: not the crate that the library uses.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

/// Makes the identity page whole again.
fn seal(bytes: &mut [u8]) {
    let checksum = u64::from(crc(&bytes[32..256]));
    set(bytes, 24, checksum);
}

/// The same ring, put together from the document alone.
fn by_the_document() -> Vec<u8> {
    let mut bytes = vec![0; FILE];
    // Section A2: the identity page.
    bytes[0..8].copy_from_slice(b"quoit\r\n\x1a");
    set(&mut bytes, 8, 1 << 32);
    set(&mut bytes, 16, 0x0102_0304_0506_0708);
    bytes[32..40].copy_from_slice(b"ring    ");
    set(&mut bytes, 40, FILE as u64);
    set(&mut bytes, 48, 4096);
    bytes[56..72].copy_from_slice(&RING_ID);
    bytes[72..88].copy_from_slice(&BOOT_ID);
    set(&mut bytes, 88, TIME);
    for (at, value) in (96..120).step_by(8).zip(FILE_NUMBER) {
        set(&mut bytes, at, value);
    }
    // Section B2: the words of a ring.
    set(&mut bytes, 128, 4096);
    set(&mut bytes, 136, 64);
    set(&mut bytes, 144, 2);
    // Inline copies, and the wait mode `Fence`.
    set(&mut bytes, 152, 1 | 1 << 2);
    set(&mut bytes, 160, 9_000_000_000);
    set(&mut bytes, 168, ORIGIN);
    set(&mut bytes, 176, FIRST);
    seal(&mut bytes);

    // Section B6: the data area. A record of 16 bytes, padding, then one of 72 at the start of the ring; and a batch of
    // 8 and 120 bytes.
    let record = |bytes: &mut [u8], at: usize, number: usize| {
        let sequence = FIRST + number as u64;
        set(bytes, at, LENS[number] as u64 | sequence << 32);
        bytes[at + 8..at + 8 + LENS[number]].copy_from_slice(&payload(sequence, LENS[number]));
    };
    record(&mut bytes, DATA + 4096 - 72, 0);
    set(&mut bytes, DATA + 4096 - 56, 1 << 31);
    record(&mut bytes, DATA, 1);
    record(&mut bytes, DATA + 72, 2);
    record(&mut bytes, DATA + 80, 3);
    let end = LAP + 200;

    // Section B3: the producer's lines. The inline copy is of the last record that was sent singly.
    set(&mut bytes, 4096, end);
    set(&mut bytes, 4104, LAP + 72);
    record(&mut bytes, 4112, 1);
    // Up to the next multiple of 64.
    set(&mut bytes, 4224, LAP + 256);
    set(&mut bytes, 4232, 1);
    set(&mut bytes, 4240, ORIGIN);
    set(&mut bytes, 4248, 1);
    set(&mut bytes, 4264, PID);
    set(&mut bytes, 4272, TIME);

    // Section B4: the first boundary in each segment of 64 bytes.
    for segment in 0..64 {
        set(&mut bytes, 4480 + 32 * segment, 1);
    }
    let places = [
        (62, ORIGIN, 0, 0),
        (63, ORIGIN + 16, 1, 5),
        (0, LAP, 1, 5),
        (1, LAP + 72, 2, 65),
        (3, LAP + 200, 4, 170),
    ];
    for (segment, position, records, payload_bytes) in places {
        let entry = 4480 + 32 * segment;
        set(&mut bytes, entry, position);
        set(&mut bytes, entry + 8, FIRST + records);
        set(&mut bytes, entry + 16, payload_bytes);
        set(&mut bytes, entry + 24, TIME);
    }

    // Section B5: the data word was announced once, by the producer that opened the ring.
    bytes[CONTROL] = 2;
    let account = |bytes: &mut [u8], at: usize, position: u64, sequence: u64, payload_bytes: u64| {
        set(bytes, at, position);
        set(bytes, at + 8, sequence);
        set(bytes, at + 16, payload_bytes);
    };
    // Gated in the second generation; the last cursor is in the account that the one before it was not in.
    let named = CONTROL + 256;
    set(&mut bytes, named, 2 << 8 | 3);
    set(&mut bytes, named + 8, LAP + 72 + 1);
    set(&mut bytes, named + 16, 3_000_000_000);
    set(&mut bytes, named + 24, 7_000_000_000);
    set(&mut bytes, named + 48, 1);
    set(&mut bytes, named + 56, FIRST);
    bytes[named + 128..named + 134].copy_from_slice(b"golden");
    set(&mut bytes, named + 192, PID);
    set(&mut bytes, named + 200, TIME);
    set(&mut bytes, named + 216, 1);
    account(&mut bytes, named + 256, ORIGIN, FIRST, 0);
    account(&mut bytes, named + 384, LAP + 72, FIRST + 2, 65);
    let lossy = CONTROL + 768;
    set(&mut bytes, lossy, 2 << 8 | 2);
    set(&mut bytes, lossy + 8, ORIGIN);
    set(&mut bytes, lossy + 48, 1);
    set(&mut bytes, lossy + 56, FIRST);
    set(&mut bytes, lossy + 192, PID);
    set(&mut bytes, lossy + 200, TIME);
    set(&mut bytes, lossy + 216, 1);
    account(&mut bytes, lossy + 256, ORIGIN, FIRST, 0);
    account(&mut bytes, lossy + 384, ORIGIN, FIRST, 0);
    bytes
}

/// Says where two images differ, instead of printing both.
fn assert_same(found: &[u8], expected: &[u8]) {
    assert_eq!(found.len(), expected.len(), "file size");
    let differing = (0..found.len()).step_by(8).filter(|at| found[*at..*at + 8] != expected[*at..*at + 8]);
    let differing: Vec<_> = differing
        .map(|at| format!("byte {at}: {:#x}, and not {:#x}", word(found, at), word(expected, at)))
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn every_byte_is_as_documented() {
    assert_eq!(crc(b"123456789"), 0xe306_9283);
    for backing in [Backing::Tmpfs, Backing::Disk] {
        assert_same(&golden(backing), &by_the_document());
    }
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1.ring")
}

#[test]
fn the_fixture_is_what_this_build_writes() {
    let found = golden(Backing::Tmpfs);
    if std::env::var_os("QUOIT_WRITE_FIXTURE").is_some() {
        std::fs::write(fixture(), &found).unwrap();
    }
    assert_same(&found, &std::fs::read(fixture()).unwrap());
}

/// A copy of the fixture that has all its blocks, as an honest ring does.
fn copy_of_fixture(backing: Backing) -> (tempfile::TempDir, PathBuf) {
    let directory = backing.directory();
    let path = directory.path().join("v1.ring");
    std::fs::write(&path, std::fs::read(fixture()).unwrap()).unwrap();
    (directory, path)
}

#[test]
fn the_fixture_is_of_an_earlier_boot() {
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let (_directory, path) = copy_of_fixture(backing);
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(Producer::open(&path), Err(Error::EarlierBoot { .. })));
        assert!(matches!(Consumer::open(&path, &Attach::gated()), Err(Error::EarlierBoot { .. })));
        assert!(matches!(Observer::open(&path, Start::Oldest), Err(Error::EarlierBoot { .. })));
        assert!(matches!(Inspector::open(&path), Err(Error::EarlierBoot { .. })));
        assert!(matches!(quoit::forget(&path, NAME), Err(Error::EarlierBoot { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before, "a refusal changes nothing");
    }
}

/// As if the ring had been made there, in this boot.
fn revive(path: &Path, boot_id: [u8; 16]) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[72..88].copy_from_slice(&boot_id);
    for (at, value) in (96..120).step_by(8).zip(file_number(path)) {
        set(&mut bytes, at, value);
    }
    seal(&mut bytes);
    // Written in place: another file would be another number.
    std::fs::File::options().write(true).open(path).unwrap().write_all_at(&bytes, 0).unwrap();
}

/// Section A2: what the identity page says of its own file. 0 where the file system does not tell when a file was born.
fn file_number(path: &Path) -> [u64; 3] {
    let found = std::fs::metadata(path).unwrap();
    let born = found.created().ok().map(|time| time.duration_since(std::time::UNIX_EPOCH).unwrap());
    [found.dev(), found.ino(), born.map_or(0, |born| born.as_nanos() as u64)]
}

#[test]
fn a_ring_of_version_1_0_is_read() {
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let (_directory, path) = copy_of_fixture(backing);
        revive(&path, boot_id());
        let mut sent = Sent::new(FIRST);
        sent.lens.extend(LENS);
        let mut observer = Observer::open(&path, Start::Oldest).unwrap();
        let mut consumer = Consumer::open(&path, &Attach::gated().start(Start::Sequence(FIRST + 1))).unwrap();
        let (mut observed, mut oracle) = (Oracle::new(FIRST), Oracle::new(FIRST + 1));
        observed.keep_up(&sent, &mut observer);
        oracle.keep_up(&sent, &mut consumer);
        assert_eq!((observed.received, oracle.received), (4, 3));

        let now = Inspector::open(&path).unwrap().snapshot().unwrap();
        assert_eq!((now.capacity, now.file_bytes, now.slots, now.segments), (4096, FILE as u64, 2, 64));
        assert_eq!(now.ring_id, u128::from_le_bytes(RING_ID));
        assert_eq!((now.created_ns, now.hard_limit), (TIME, Some(HARD_LIMIT)));
        assert_eq!((now.inline, now.gated_only), (true, false));
        assert_eq!((now.wait, now.mode), (WaitMode::Fence, WaitMode::Fence));
        assert_eq!((now.published, now.reserve), (LAP + 200, LAP + 256));
        assert_eq!((now.next_sequence, now.oldest_sequence), (FIRST + 4, FIRST));
        assert_eq!((now.records, now.bytes), (4, 170));
        assert_eq!((now.epoch, now.closed, now.producer_alive), (1, false, false));
        assert_eq!(u64::from(now.producer_pid), PID);
        let named = now.consumers.iter().find(|info| info.name.as_deref() == Some(NAME)).unwrap();
        assert_eq!((named.slot, named.alive, u64::from(named.pid)), (0, false, PID));
        assert_eq!((named.next_sequence, named.lag_records, named.lag_bytes), (FIRST + 2, 2, 128));
        assert_eq!((named.budget, named.hold), (Some(DEADLINE), Some(quoit::Hold::For(HOLD))));

        // Its producer died, to all appearances; and the named consumer comes back.
        assert_eq!(observer.recv().err(), Some(quoit::RecvError::ProducerGone));
        let mut named = Consumer::open(&path, &Attach::gated().name(NAME)).unwrap();
        let resumed = named.resumed().unwrap();
        assert_eq!((resumed.sequence, resumed.lost), (FIRST + 2, None));
        let mut producer = Producer::open(&path).unwrap();
        assert_eq!((producer.epoch(), producer.next_sequence()), (2, FIRST + 4));
        sent.send_many(&mut producer, [1, 2, 3]);
        let mut resumed = Oracle::new(FIRST + 2);
        resumed.keep_up(&sent, &mut named);
        observed.keep_up(&sent, &mut observer);
        assert_eq!((resumed.received, resumed.changes), (5, vec![(FIRST + 4, 2)]));
        assert_eq!(observed.received, 7);
    }
}

#[test]
fn a_ring_of_an_unknown_boot_is_read() {
    let (_directory, path) = copy_of_fixture(Backing::Tmpfs);
    revive(&path, [0; 16]);
    let mut observer = Observer::open(&path, Start::Oldest).unwrap();
    assert!(matches!(observer.try_recv().unwrap(), Some(Event::Record(_))));
}

#[test]
fn options_stand_where_the_document_says() {
    let rings = [
        (Options::new(), 1, 0, 16 << 20, 32_u64),
        (Options::new().capacity(4096).inline(false), 0, 0, 4096, 32),
        (Options::new().capacity(8192).slots(1024).gated_only(true), 1 | 2, 0, 8192, 1024),
        (Options::new().capacity(4096).slots(1).wait(WaitMode::Spin), 1 | 2 << 2, 0, 4096, 1),
        (Options::new().capacity(1 << 16).hard_limit(Duration::from_nanos(77)), 1, 77, 1 << 16, 32),
    ];
    for (options, bits, hard_limit, capacity, slots) in rings {
        let ring = Backing::Tmpfs.ring(&options);
        let file = std::fs::File::open(ring.path().unwrap()).unwrap();
        let mut page = vec![0; 4096];
        file.read_exact_at(&mut page, 0).unwrap();
        let head = (4480_u64 + 32 * 64).next_multiple_of(4096);
        let control = (256 + 512 * slots).next_multiple_of(4096);
        let bytes = file.metadata().unwrap().len();
        assert_eq!(bytes, head + control + capacity, "{options:?}");
        assert_eq!(page[32..40], *b"ring    ", "the kind");
        assert_eq!([word(&page, 40), word(&page, 48)], [bytes, 4096], "{options:?}");
        let words: Vec<_> = (16..23).map(|number| word(&page, 8 * number)).collect();
        assert_eq!(words, [capacity, 64, slots, bits, hard_limit, 0, 0], "{options:?}");
        assert_eq!(word(&page, 24), u64::from(crc(&page[32..256])));
        let unused = [&page[120..128], &page[184..]].concat();
        assert!(unused.iter().all(|byte| *byte == 0));
        assert!(file.metadata().unwrap().blocks() * 512 >= bytes, "the file has holes");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let ring = Backing::Disk.ring(&Options::new().capacity(4096).mode(0o664));
    let mode = std::fs::metadata(ring.path().unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o664, "whatever the umask");
}

#[test]
fn two_rings_have_two_ids() {
    let ids = [0; 2].map(|_| Backing::Tmpfs.ring(&Options::new().capacity(4096)).snapshot().ring_id);
    assert_ne!(ids[0], ids[1]);
}

/// The bytes of `file` from `first` to `last` that somebody has locked, in no order. Asked of the kernel, which tells of
/// one lock in the way; the others are to its left and right. `/proc/locks` is no snapshot: while others lock and unlock, it
/// leaves lines out.
fn locked(file: &std::fs::File, first: i64, last: i64) -> Vec<u64> {
    if first > last {
        return Vec::new();
    }
    let mut asked = flock {
        l_type: F_WRLCK as i16,
        l_whence: SEEK_SET as i16,
        l_start: first,
        // To the end of all offsets, which a length cannot say.
        l_len: if last == i64::MAX { 0 } else { last - first + 1 },
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut asked)).unwrap();
    if i32::from(asked.l_type) == F_UNLCK {
        return Vec::new();
    }
    assert_eq!(i32::from(asked.l_type), F_WRLCK, "a write lock");
    assert_eq!((asked.l_len, asked.l_pid), (1, -1), "one byte, of an open file description");
    let at = asked.l_start;
    let mut found = vec![at as u64];
    found.extend(locked(file, first, at - 1));
    found.extend(locked(file, at + 1, last));
    found
}
