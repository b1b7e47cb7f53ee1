//! What stands in a ring that is in use: the inline copy, accounts, locks, and who holds the producer up.

use super::*;

/// Section B3: a record that is sent singly and has at most 104 bytes is there twice.
#[test]
fn the_inline_copy_stands_where_the_document_says() {
    for (inline, claim) in [(true, false), (true, true), (false, false), (false, true)] {
        let ring = Backing::Tmpfs.ring(&Options::new().capacity(4096).inline(inline));
        let mut sent = Sent::new(0);
        let mut producer = ring.producer();
        let mut copied = None;
        for len in [0, 1, 103, 104, 105, 96, 300] {
            if claim {
                let bytes = payload(sent.next(), len);
                let mut claim = producer.claim(len).unwrap();
                claim.write_at(0, &bytes).unwrap();
                claim.publish();
                sent.lens.push(len);
            } else {
                sent.send(&mut producer, len);
            }
            if inline && len <= 104 {
                copied = Some((sent.next() - 1, len, ring.snapshot().published));
            }
            let bytes = std::fs::read(ring.path().unwrap()).unwrap();
            let Some((sequence, len, end)) = copied else {
                assert_eq!(word(&bytes, 4104), 1, "no copy yet");
                continue;
            };
            assert_eq!(word(&bytes, 4104), end);
            assert_eq!(word(&bytes, 4112), len as u64 | sequence << 32);
            assert_eq!(bytes[4120..4120 + len], payload(sequence, len));
        }
        assert_eq!(copied.is_some(), inline);
        drop(producer);
        let _successor = ring.producer();
        let bytes = std::fs::read(ring.path().unwrap()).unwrap();
        assert_eq!(word(&bytes, 4104), 1, "the copy of the one before is no copy any more");
    }
}

/// Section B5: the account of a consumer that lost something, in the copy that its cursor selects.
#[test]
fn losses_stand_where_the_document_says() {
    let ring = Backing::Tmpfs.ring(&Options::new().capacity(4096).slots(3));
    let mut sent = Sent::new(0);
    let mut producer = ring.producer();
    let _first = ring.consumer(&Attach::lossy());
    let mut consumer = ring.consumer(&Attach::lossy().name("slow"));
    let mut oracle = Oracle::new(0);
    for round in 0..4 {
        sent.send_many(&mut producer, vec![40; 150 + 50 * round]);
        oracle.keep_up(&sent, &mut consumer);
    }
    let bytes = std::fs::read(ring.path().unwrap()).unwrap();
    let slot = CONTROL + 256 + 512;
    let cursor = word(&bytes, slot + 8);
    let at = slot + 256 + 128 * (cursor & 1) as usize;
    let words: Vec<_> = (0..12).map(|number| word(&bytes, at + 8 * number)).collect();
    let account = consumer.account();
    assert_eq!(account.gaps, 4);
    assert_eq!(words[..3], [cursor & !7, sent.next(), sent.bytes(0, sent.next())]);
    assert_eq!(words[3..5], [oracle.lost(), oracle.lost_bytes()]);
    assert_eq!(words[5..7], [4, account.largest_gap]);
    assert_eq!(words[7..9], [0, account.last]);
    assert_eq!(words[9..], [oracle.lost(), 0, 0]);
    assert_eq!(cursor & !7, word(&bytes, 4096), "it has caught up");
}

/// Section B5: when the consumer under a name left, or was found to have been killed.
#[test]
fn departures_stand_where_the_document_says() {
    let ring = Backing::Tmpfs.ring(&Options::new().capacity(4096).slots(3));
    let _producer = ring.producer();
    let now =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let left =
        |slot: usize| word(&std::fs::read(ring.path().unwrap()).unwrap(), CONTROL + 256 + 512 * slot + 208);
    let named = ring.consumer(&Attach::gated().name("named"));
    let killed = ring.consumer(&Attach::gated().name("killed"));
    let nobody = ring.consumer(&Attach::gated());
    let begin = now();
    drop(named);
    ring.kill_consumer(killed);
    drop(nobody);
    assert!((begin..=now()).contains(&left(0)), "the one that left");
    assert_eq!((left(1), left(2)), (0, 0), "the one that was killed, and the one without a name");
    // Whoever looks for names that are away finds the killed one gone, and notes it.
    let begin = now();
    assert_eq!(quoit::forget_away(ring.path().unwrap(), Duration::from_secs(3600)).unwrap(), []);
    assert!((begin..=now()).contains(&left(1)));
    let _back = ring.consumer(&Attach::gated().name("killed"));
    assert_eq!(left(1), 0, "it is back");
}

/// Sections A3 and B7: which bytes are locked, as the kernel tells.
#[test]
fn locks_stand_where_the_document_says() {
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let ring = backing.ring(&Options::new().capacity(4096).slots(4));
        let _producer = ring.producer();
        let _zero = ring.consumer(&Attach::lossy());
        let _one = ring.consumer(&Attach::gated().name("näme"));
        let mut name = [0; 64];
        name[..5].copy_from_slice("näme".as_bytes());
        let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        let mut expected = [
            1 << 62,
            (1 << 62) + (1 << 60) + (1 << 14),
            (1 << 62) + (1 << 60) + (1 << 14) + 1,
            (1 << 62) + (1 << 61) + (hash ^ hash >> 61) % (1 << 61),
        ];
        expected.sort_unstable();
        let file = std::fs::File::open(ring.path().unwrap()).unwrap();
        let mut found = locked(&file, 0, i64::MAX);
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}

/// Sections B3 and B5: what a producer shows of those that hold it up, and how it is asked to evict one.
#[test]
fn a_producer_that_is_held_up_is_as_the_document_says() {
    let options = Options::new().capacity(4096).slots(2).origin(ORIGIN, FIRST);
    let ring = Backing::Tmpfs.ring(&options);
    let mut producer = ring.producer();
    let _fast = ring.consumer(&Attach::lossy());
    let hold = Duration::from_secs(3600);
    let slow = ring.consumer(&Attach::gated().evictable().name("slow").hold(hold));
    let slot = CONTROL + 256 + 512;
    let word = |at: usize| {
        let bytes = std::fs::read(ring.path().unwrap()).unwrap();
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    };
    assert_eq!((word(slot + 16), word(4392), word(slot + 40)), (u64::MAX, 0, 0));
    assert_ne!(word(slot + 200), 0, "attached");
    while producer.try_send(&[7; 1000]).is_ok() {}
    let published = word(4096);
    assert_eq!((word(4392), word(4408).wrapping_sub(published)), (2, 1008));
    assert!(word(4400) >= word(88), "a wall time");
    // Asked for by hand.
    let file = std::fs::File::options().write(true).open(ring.path().unwrap()).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &word(slot).to_le_bytes(), slot as u64 + 32).unwrap();
    producer.try_send(&[7; 1000]).unwrap();
    assert_eq!((word(slot) & 0xff, word(4392)), (4, 0));
    drop(slow);
    let mut away = ring.consumer(&Attach::gated().name("slow").hold(hold));
    // Its place is gone: it has a gate again once it was told.
    while away.try_recv().unwrap().is_some() {}
    drop(away);
    common::until("the hold runs", || producer.try_send(&[7; 1000]).is_err() && word(slot + 40) != 0);
    assert!(word(slot + 40) >= word(88), "a wall time");
    drop(producer);
    assert_eq!(word(4392), 0);
    let _next = ring.producer();
    assert_eq!(word(slot + 40), 0);
}

/// Sections B5 and B10: what a follower and its stage say of each other, and the word that the one sleeps on and the other rings.
#[test]
fn a_follower_and_its_stage_stand_where_the_document_says() {
    let ring = Backing::Tmpfs.ring(&Options::new().capacity(4096).slots(3));
    let (mut sent, mut producer) = (Sent::new(0), ring.producer());
    let first = ring.consumer(&Attach::lossy());
    let mut journal = ring.consumer(&Attach::gated().name("journal"));
    let mut logic = ring.consumer(&Attach::lossy().after("journal"));
    let word = |slot: u32, at: usize| {
        word(&std::fs::read(ring.path().unwrap()).unwrap(), CONTROL + 256 + 512 * slot as usize + at)
    };
    let (stage, follower) = (journal.slot(), logic.slot());
    assert_eq!(word(follower, 232), word(stage, 48) << 10 | u64::from(stage));
    assert_eq!([word(first.slot(), 232), word(stage, 232)], [0; 2], "they follow nobody");
    assert_eq!([word(stage, 72), word(stage, 80)], [1, 0], "it has not been heard");
    sent.send(&mut producer, 40);
    assert!(journal.try_recv().unwrap().is_some());
    assert_eq!(word(stage, 64), 0, "nobody has slept there");
    logic.set_spins(0);
    assert!(matches!(logic.recv_timeout(Duration::from_millis(1)), Err(quoit::RecvError::TimedOut)));
    assert_eq!([word(stage, 64), word(follower, 64)], [1, 0], "it is armed");
    journal.release();
    assert_eq!([word(stage, 72), word(stage, 80)], [1; 2]);
    assert_eq!(word(stage, 64), 2, "one wake, and nobody is armed");
    logic.unfollow();
    assert_eq!([word(follower, 232), word(stage, 72)], [0, 2]);
}
