//! Requests that a good ring refuses.

use quoit::{GroupError, RecvError, ReplyError, Ring, SendError};

use super::*;

/// Every way to make a ring refuses the options, with the same error, and leaves nothing behind.
fn refuses(options: &Options, is_right: impl Fn(&Error) -> bool) {
    let directory = Backing::Tmpfs.directory();
    let path = directory.path().join("ring");
    let refusals = [
        options.create(&path),
        Producer::create(&path, options).map(drop),
        Producer::open_or_create(&path, options).map(drop),
        Ring::heap(options).map(drop),
    ];
    for refusal in refusals {
        let error = refusal.expect_err(&format!("{options:?}"));
        assert!(is_right(&error), "{options:?}: {error:?}");
        is_helpful(&error);
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{options:?} left something behind");
}

#[test]
fn capacities() {
    let wrong =
        [0, 1, 7, 8, 2048, 4095, 4097, 5000, 12288, (1 << 20) + 1, (1 << 40) + 4096, 1 << 41, 1 << 63];
    for bytes in wrong.into_iter().chain([u64::MAX, u64::MAX - 4095]) {
        refuses(
            &small().capacity(bytes),
            |error| matches!(error, Error::Capacity { asked } if *asked == bytes),
        );
    }
}

#[test]
fn capacities_that_are_near() {
    for (asked, near) in [
        (0, "the smallest is 4 KiB"),
        (4095, "the smallest is 4 KiB"),
        (4097, "the nearest are 4 KiB and 8 KiB"),
        (100 << 10, "the nearest are 64 KiB and 128 KiB"),
        (64_000_000, "the nearest are 32 MiB and 64 MiB"),
        (1_000_000_000, "the nearest are 512 MiB and 1 GiB"),
        ((1 << 40) - 1, "the nearest are 512 GiB and 1 TiB"),
        ((1 << 40) + 1, "the largest is 1 TiB"),
        (u64::MAX, "the largest is 1 TiB"),
    ] {
        let error = Ring::heap(&small().capacity(asked)).unwrap_err();
        assert!(error.to_string().ends_with(near), "{asked}: {error}");
    }
}

#[test]
fn options() {
    let limit = Duration::from_millis(1);
    let wrong = [
        (small().slots(0), "1 to 1024 consumer slots"),
        (small().slots(1025), "1 to 1024 consumer slots"),
        (small().slots(u32::MAX), "1 to 1024 consumer slots"),
        (small().mode(0), "0600 or 0640"),
        (small().mode(0o200), "0600 or 0640"),
        (small().mode(0o400), "0600 or 0640"),
        (small().mode(0o700), "0600 or 0640"),
        (small().mode(0o601), "0600 or 0640"),
        (small().mode(0o4600), "0600 or 0640"),
        (small().mode(0o1600), "0600 or 0640"),
        (small().mode(0o100_600), "0600 or 0640"),
        (small().mode(u32::MAX), "0600 or 0640"),
        (small().hard_limit(Duration::ZERO), "more than zero"),
        (small().gated_only(true).hard_limit(limit), "choose one"),
        (small().origin(1, 0), "a multiple of 8"),
        (small().origin(u64::MAX, 0), "a multiple of 8"),
    ];
    for (options, advice) in wrong {
        refuses(&options, |error| matches!(error, Error::BadOption { what } if what.contains(advice)));
    }
    // The extremes of what is right.
    for options in [
        small().slots(1),
        small().slots(1024),
        small().mode(0o666),
        small().hard_limit(Duration::MAX),
        small().hard_limit(Duration::from_nanos(1)),
        small().origin(u64::MAX - 7, u64::MAX),
        small().capacity(4096),
    ] {
        let directory = Backing::Tmpfs.directory();
        options.create(directory.path().join("ring")).unwrap();
        harmless(&directory.path().join("ring"), options);
    }
}

#[test]
fn a_second_producer() {
    let ring = Spoilt::new();
    let pid = std::process::id();
    let mut first = Producer::open(&ring.path).unwrap();
    let second = || Producer::open(&ring.path).map(drop);
    let maker = || Producer::open_or_create(&ring.path, &small()).map(drop);
    for rival in [second(), maker()] {
        let error = rival.unwrap_err();
        assert!(matches!(error, Error::ProducerAlive { pid: told } if told == pid), "{error:?}");
        assert!(error.to_string().contains(&pid.to_string()), "{error}");
        is_helpful(&error);
    }
    // Whatever is written there about it, it lives.
    for (offset, garbage) in [(4256, 1u64), (4264, u64::MAX), (4264, 0), (4232, 0), (4232, u64::MAX)] {
        ring.write(offset, &garbage.to_le_bytes());
        let error = second().unwrap_err();
        assert!(matches!(error, Error::ProducerAlive { .. }), "{error:?}");
        is_helpful(&error);
    }
    assert_eq!(first.send(b"still there"), Ok(0));
    drop(first);
    second().unwrap();
}

#[test]
fn slots_all_taken() {
    let ring = Spoilt::new();
    let attach = |name: Option<&str>| {
        let policy = Attach::gated();
        Consumer::open(&ring.path, &name.map_or(policy.clone(), |name| policy.name(name)))
    };
    for name in ["one", "two"] {
        drop(attach(Some(name)).unwrap());
    }
    let living = [attach(None).unwrap(), attach(None).unwrap()];
    for name in [None, Some("three")] {
        let error = attach(name).unwrap_err();
        assert!(matches!(error, Error::SlotsTaken { slots: 4, saved: 2 }), "{error:?}");
        is_helpful(&error);
    }
    // A failed attach gives back what it took.
    assert!(matches!(forget(&ring.path, "three"), Err(Error::NameUnknown { .. })));
    // Names find their own, observers need none, and each piece of the advice works.
    drop(attach(Some("one")).unwrap());
    Observer::open(&ring.path, Start::Oldest).unwrap();
    forget(&ring.path, "two").unwrap();
    let third = attach(None).unwrap();
    assert!(matches!(attach(None), Err(Error::SlotsTaken { slots: 4, saved: 1 })));
    drop(living);
    let fourth = attach(Some("three")).unwrap();
    assert_ne!(third.slot(), fourth.slot());
}

#[test]
fn names() {
    let ring = Spoilt::new();
    let named = |name: &str| Attach::gated().name(name);
    let long = format!("é{}", "é".repeat(31));
    for name in ["", "a\0", "\0", &"0123456789abcdef".repeat(4), &long] {
        let attached = Consumer::open(&ring.path, &named(name)).map(drop);
        for refusal in [attached, forget(&ring.path, name)] {
            let error = refusal.unwrap_err();
            assert!(matches!(&error, Error::BadName { name: told } if told == name), "{error:?}");
            is_helpful(&error);
        }
    }
    for name in ["a", &"0123456789abcdef".repeat(4)[1..], &long[2..], "two\nlines", "\u{1b}[31m", " "] {
        let error = forget(&ring.path, name).unwrap_err();
        assert!(matches!(&error, Error::NameUnknown { name: told } if told == name), "{error:?}");
        is_helpful(&error);
        let consumer = Consumer::open(&ring.path, &named(name)).unwrap();
        let attached = Consumer::open(&ring.path, &named(name)).map(drop);
        for refusal in [attached, forget(&ring.path, name)] {
            let error = refusal.unwrap_err();
            assert!(matches!(&error, Error::NameInUse { name: told } if told == name), "{error:?}");
            assert!(!error.to_string().contains('\u{1b}'), "{error:?}");
            is_helpful(&error);
        }
        drop(consumer);
        forget(&ring.path, name).unwrap();
    }
}

#[test]
fn holds_starts_and_gates() {
    let ring = Spoilt::new();
    let hold = Duration::from_secs(1);
    let wrong = [
        Attach::gated().hold(hold),
        Attach::gated().hold_forever(),
        Attach::gated_for(hold).hold(hold),
        Attach::lossy().hold(hold),
        Attach::lossy().name("x").hold(hold),
        Attach::lossy().name("x").hold_forever(),
    ];
    for attach in wrong {
        let error = Consumer::open(&ring.path, &attach).map(drop).unwrap_err();
        assert!(matches!(error, Error::BadOption { what } if what.contains("named, gated")), "{error:?}");
        is_helpful(&error);
    }
    let mut producer = Producer::open(&ring.path).unwrap();
    for _ in 0..3 {
        producer.send(b"x").unwrap();
    }
    for sequence in [4, 5, 1 << 32, 1 << 63, u64::MAX] {
        let start = Start::Sequence(sequence);
        let attached = Consumer::open(&ring.path, &Attach::gated().start(start)).map(drop);
        for refusal in [attached, Observer::open(&ring.path, start).map(drop)] {
            let error = refusal.unwrap_err();
            let is_right =
                matches!(error, Error::StartGone { asked, oldest: 0, next: 3 } if asked == sequence);
            assert!(is_right, "{error:?}");
            is_helpful(&error);
        }
    }
    for start in [Start::Sequence(3), Start::Last(u64::MAX), Start::Last(0)] {
        Observer::open(&ring.path, start).unwrap();
    }

    let gated_only = ring.directory.path().join("gated only");
    small().gated_only(true).create(&gated_only).unwrap();
    let refusals = [
        Consumer::open(&gated_only, &Attach::lossy()).map(drop),
        Consumer::open(&gated_only, &Attach::gated_for(hold)).map(drop),
        Observer::open(&gated_only, Start::Newest).map(drop),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err();
        assert!(matches!(error, Error::GatedOnly), "{error:?}");
        is_helpful(&error);
    }
    Consumer::open(&gated_only, &Attach::gated()).unwrap();
}

#[test]
fn records_too_large() {
    let ring = Spoilt::new();
    let mut producer = Producer::open(&ring.path).unwrap();
    let most = producer.max_len();
    assert_eq!(most, (1 << 13) - 8);
    let soon = || Instant::now() + Duration::from_secs(60);
    for len in [most + 1, most + 8, 1 << 14, 1 << 20] {
        let payload = vec![0; len];
        let expected = Err(SendError::TooLarge { len, max: most });
        assert_eq!(producer.try_send(&payload), expected);
        assert_eq!(producer.send(&payload), expected);
        assert_eq!(producer.send_deadline(&payload, soon()), expected);
        assert_eq!(producer.batch().send(&payload), expected);
        assert_eq!(producer.batch().try_send(&payload), expected);
    }
    for len in
        [most + 1, (1 << 31) - 8, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 32) + 8, usize::MAX - 7, usize::MAX]
    {
        let expected = SendError::TooLarge { len, max: most };
        assert_eq!(producer.claim(len).unwrap_err(), expected);
        assert_eq!(producer.try_claim(len).unwrap_err(), expected);
        assert_eq!(producer.claim_deadline(len, soon()).unwrap_err(), expected);
        assert_eq!(producer.batch().claim(len).unwrap_err(), expected);
        let text = expected.to_string();
        assert!(text.contains(&len.to_string()) && text.contains(&most.to_string()), "{text}");
        assert!(text.contains("create it with a larger capacity"), "{text}");
    }
    assert_eq!(producer.send(&vec![1; most]), Ok(0), "nothing of all that was published");
    assert_eq!(producer.send(&vec![2; most]), Ok(1));
}

fn system(errno: i32) -> String {
    let source = std::io::Error::from_raw_os_error(errno);
    Error::Io { path: "".into(), action: "open it", source }.to_string()
}

fn seats_taken(pid: u32) -> String {
    Error::SeatsTaken { seats: 2, pids: vec![std::process::id(), pid] }.to_string()
}

/// What sends and receives answer is as short and as plain, and says what to do.
#[test]
fn answers_of_an_open_ring() {
    let texts = [
        (SendError::Full { slot: 0 }.to_string(), "held_by"),
        (SendError::TimedOut { slot: 0 }.to_string(), "wait longer"),
        (SendError::BatchFull.to_string(), "publish it"),
        (SendError::Forked.to_string(), "open it again"),
        (RecvError::Closed.to_string(), "receive again"),
        (RecvError::ProducerGone.to_string(), "start it again"),
        (GroupError::Closed.to_string(), "receive again"),
        (GroupError::ProducerGone.to_string(), "start it again"),
        (GroupError::TimedOut.to_string(), "wait longer"),
        (ReplyError::TimedOut.to_string(), "wait longer"),
        (RecvError::Forked.to_string(), "open it again"),
        (RecvError::TimedOut.to_string(), "wait longer"),
        (RecvError::WrongLength { sequence: 7, len: 5, expected: 8 }.to_string(), "record 7 has 5 bytes"),
        (Error::Forked.to_string(), "open it again"),
        (Error::NotGated { slot: 3 }.to_string(), "slot 3"),
        (Error::NotEvictable { slot: 3, pid: 77 }.to_string(), "process 77"),
        (Error::NotEvictable { slot: 3, pid: 0 }.to_string(), "end its members"),
        (Error::NoProducer.to_string(), "forget"),
        // What it is returned by has cells, or a lock.
        (Error::Busy.to_string(), "read it under its lock (RwLock)"),
        (system(nix::libc::EMFILE), "raise the limit of open files"),
        (system(nix::libc::ENOMEM), "free some memory"),
        (system(nix::libc::EPERM), "system-call filter"),
        (system(nix::libc::ENFILE), "sysctl fs.file-max"),
        (seats_taken(std::process::id()), "drop one of them"),
    ];
    assert_eq!(system(nix::libc::EIO), "could not open it");
    assert!(!seats_taken(std::process::id()).contains("not there"));
    // No process has this id: they are smaller.
    assert!(seats_taken(u32::MAX).contains("a child keeps its seat"), "{}", seats_taken(u32::MAX));
    for (text, part) in texts {
        assert!(text.contains(part) && text.lines().count() == 1, "{text:?}");
    }
}
