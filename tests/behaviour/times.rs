//! Publish times: what carries them, that they never decrease, and starting at one.

use std::time::{Duration, SystemTime};

use crate::Setup;
use crate::common::{Ring, payload};
use quoit::{Attach, Consumer, Error, Event, EventOf, Observer, Options, SendError, Start, Timestamp};

behaviours! {
    every_way_to_send_carries_a_time,
    every_way_to_receive_finds_it,
    records_of_a_batch_have_the_time_at_which_it_was_published,
    records_added_at_once_are_whole_and_have_one_time,
    the_time_is_no_payload,
    the_largest_payload_is_shorter_by_the_time,
    lost_and_skipped_bytes_are_payload,
    a_start_at_a_time_finds_the_first_record_from_then_on,
    a_start_at_a_time_of_day_finds_the_same,
    without_times_there_is_no_start_at_one,
    the_time_of_day_is_that_of_the_publish,
    the_next_producer_goes_on_from_the_last_time,
    a_claim_that_is_dropped_leaves_no_time,
}

behaviours_of_files! {
    the_successor_of_a_killed_producer_goes_on_from_its_last_time,
    a_record_without_its_time_is_damage,
}

fn timed(setup: Setup) -> Options {
    setup.options().times(true)
}

fn ring(setup: Setup) -> Ring {
    setup.backing.ring(&timed(setup))
}

/// A point on the clock that is later than every earlier look, and before every later one.
fn now() -> Timestamp {
    let before = Timestamp::now();
    loop {
        let now = Timestamp::now();
        if now > before {
            return now;
        }
    }
}

fn received(consumer: &mut Consumer) -> Vec<(u64, Timestamp, Vec<u8>)> {
    let mut all = Vec::new();
    consumer
        .drain(usize::MAX, |event| match event {
            Event::Record(record) => {
                all.push((record.sequence(), record.time().expect("a time"), record.to_vec()));
            }
            Event::ProducerChanged { .. } => {}
            other => panic!("{other}"),
        })
        .unwrap();
    all
}

fn every_way_to_send_carries_a_time(setup: Setup) {
    let ring = setup.backing.ring(&setup.options_of(16384).times(true));
    let mut consumers = [ring.consumer(&Attach::gated()), ring.consumer(&Attach::lossy())];
    let mut producer = ring.producer();
    let mut before = Vec::new();
    // With an inline copy and without.
    for len in [0, 1, 8, 13, 95, 96, 97, 104, 300] {
        let bytes = payload(len as u64, len);
        before.push((now(), bytes.clone()));
        producer.send(&bytes).unwrap();
        before.push((now(), bytes.clone()));
        let mut claim = producer.claim(len).unwrap();
        assert_eq!((claim.len(), claim.is_empty()), (len, len == 0));
        claim.write_at(0, &bytes).unwrap();
        assert!(claim.write_at(len, b"x").is_err(), "the claim is {len} bytes long");
        claim.publish();
        let mut batch = producer.batch();
        batch.send(&bytes).unwrap();
        batch.send_all([&bytes[..], &bytes[..]]).unwrap();
        let mut claim = batch.claim(len).unwrap();
        claim.write_at(0, &bytes).unwrap();
        claim.add();
        for _ in 0..4 {
            before.push((now(), bytes.clone()));
        }
        batch.publish();
    }
    let end = now();
    for consumer in &mut consumers {
        let all = received(consumer);
        assert_eq!(all.len(), before.len());
        for ((_, time, bytes), (at, expected)) in all.iter().zip(&before) {
            assert_eq!(bytes, expected);
            assert!(at <= time && *time < end, "{time} is not from {at} to {end}");
        }
        assert!(all.is_sorted_by_key(|(_, time, _)| *time));
    }
}

fn every_way_to_receive_finds_it(setup: Setup) {
    let ring = ring(setup);
    let mut gated = ring.consumer(&Attach::gated());
    let mut lossy = ring.consumer(&Attach::lossy());
    let mut observer: Observer = ring.observer(Start::Newest);
    let mut producer = ring.producer();
    let mut send = |word: &[u8]| {
        let before = now();
        producer.send(word).unwrap();
        before..now()
    };
    let is_from =
        |span: &std::ops::Range<Timestamp>, time: Option<Timestamp>| span.contains(&time.expect("a time"));
    let span = send(b"first");
    let event = gated.recv().unwrap().to_owned();
    assert!(matches!(event, EventOf::Record { time, .. } if is_from(&span, time)), "{event:?}");
    assert!(is_from(&span, lossy.try_recv().unwrap().and_then(Event::record).unwrap().time()));
    assert!(is_from(&span, observer.try_recv_record(|_| {}).unwrap().unwrap().time()));
    let span = send(b"second");
    assert!(is_from(&span, gated.recv_record(|_| {}).unwrap().time()));
    assert!(is_from(&span, lossy.recv_timeout(Duration::ZERO).unwrap().record().unwrap().time()));
    let record = observer.latest(|_| {}).unwrap().unwrap();
    assert!(is_from(&span, record.time()));
    assert_eq!((record.len(), &record.bytes()[..]), (6, &b"second"[..]));
    let mut part = [0; 3];
    assert_eq!((record.copy_to(&mut part), &part), (3, b"sec"));
    send(b"skipped");
    let span = send(b"newest");
    for record in [gated.latest(|_| {}), lossy.latest(|_| {})] {
        assert!(is_from(&span, record.unwrap().unwrap().time()));
    }
    gated.keep(true);
    let span = send(b"kept");
    assert!(is_from(&span, gated.try_recv().unwrap().unwrap().record().unwrap().time()));
}

fn records_of_a_batch_have_the_time_at_which_it_was_published(setup: Setup) {
    let ring = ring(setup);
    let mut consumer = ring.consumer(&Attach::gated());
    let mut producer = ring.producer();
    for round in 0..40 {
        let before = now();
        let mut batch = producer.batch();
        batch.send(&[1; 100]).unwrap();
        batch.send(&[2; 333]).unwrap();
        let filled = now();
        batch.publish();
        let times: Vec<_> = received(&mut consumer).iter().map(|(_, time, _)| *time).collect();
        assert_eq!(times.len(), 2, "in round {round}");
        assert!(times[0] == times[1] && times[0] >= filled && filled > before, "{times:?}, {filled}");
        // A batch that is not published looks at no clock, and leaves the ring as it was.
        producer.batch().send(&[3; 50]).unwrap();
    }
}

/// Over some laps, in records of every length, so that each way through a segment and past the end of the ring is taken.
fn records_added_at_once_are_whole_and_have_one_time(setup: Setup) {
    let ring = setup.backing.ring(&setup.options_of(16384).times(true));
    let mut consumer = ring.consumer(&Attach::gated());
    let mut producer = ring.producer();
    let first = producer.next_sequence();
    let (mut next, mut last) = (0, now());
    while next < 3000 {
        let records = next..next + 1 + next % 40;
        let payloads: Vec<_> =
            records.clone().map(|number| payload(number, (number % 123) as usize)).collect();
        let mut batch = producer.batch();
        assert_eq!(batch.send_all(&payloads), Ok(payloads.len() as u64));
        batch.publish();
        let got = received(&mut consumer);
        let time = got[0].1;
        let expected: Vec<_> = records
            .clone()
            .zip(payloads)
            .map(|(number, bytes)| (first.wrapping_add(number), time, bytes))
            .collect();
        assert_eq!(got, expected);
        assert!(time > last, "{time} after {last}");
        (next, last) = (records.end, now());
    }
}

fn the_time_is_no_payload(setup: Setup) {
    let ring = ring(setup);
    let mut producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::gated());
    for len in [0, 5, 100] {
        producer.send(&vec![9; len]).unwrap();
    }
    assert_eq!((ring.snapshot().records, ring.snapshot().bytes), (3, 105));
    // Header, time, and payload in whole words.
    assert_eq!(ring.snapshot().published.wrapping_sub(setup.position), 16 + 24 + 120);
    let lens: Vec<_> = received(&mut consumer).iter().map(|(.., bytes)| bytes.len()).collect();
    assert_eq!(lens, [0, 5, 100]);
}

fn the_largest_payload_is_shorter_by_the_time(setup: Setup) {
    let ring = ring(setup);
    let mut producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::gated());
    assert_eq!(producer.max_len(), 2048 - 16);
    producer.send(&[5; 2032]).unwrap();
    assert_eq!(received(&mut consumer)[0].2, [5; 2032]);
    let too_large = SendError::TooLarge { len: 2033, max: 2032 };
    assert_eq!(producer.send(&[5; 2033]), Err(too_large));
    assert_eq!(producer.claim(2033).unwrap_err(), too_large);
    assert_eq!(producer.batch().send(&[5; 2033]), Err(too_large));
}

fn lost_and_skipped_bytes_are_payload(setup: Setup) {
    let ring = ring(setup);
    let mut lossy = ring.consumer(&Attach::lossy());
    let mut skipping = ring.consumer(&Attach::lossy().start(Start::Newest));
    let mut producer = ring.producer();
    for _ in 0..1000 {
        producer.send(&[7; 37]).unwrap();
    }
    let Some(Event::Lost(loss)) = lossy.try_recv().unwrap() else { panic!("nothing was lost") };
    assert!(loss.records > 900 && loss.bytes == 37 * loss.records, "{loss:?}");
    assert_eq!(lossy.account().bytes, loss.bytes);
    let mut lost = 0;
    let skipped = skipping.skip_to_newest(|event| {
        if let Event::Lost(loss) = event {
            lost += loss.records;
        }
    });
    let skipped = skipped.unwrap();
    assert_eq!((lost + skipped.records, skipped.bytes), (999, 37 * skipped.records));
}

/// Publishes records in some segments of the ring. Returns a time before each, and its sequence.
fn with_gaps(ring: &Ring) -> Vec<(Timestamp, SystemTime, u64)> {
    let mut producer = ring.producer();
    let mut sent = Vec::new();
    for number in 0..150 {
        let before = (now(), SystemTime::now());
        let sequence = match number % 3 {
            0 => producer.send(&[1; 20]).unwrap(),
            1 => {
                let mut batch = producer.batch();
                batch.send(&[2; 70]).unwrap();
                batch.publish().unwrap()
            }
            _ => producer.claim(0).unwrap().publish(),
        };
        sent.push((before.0, before.1, sequence));
    }
    sent
}

fn a_start_at_a_time_finds_the_first_record_from_then_on(setup: Setup) {
    let ring = ring(setup);
    let early = now();
    let sent = with_gaps(&ring);
    let oldest = ring.snapshot().oldest_sequence;
    for (before, _, sequence) in &sent {
        let start = ring.observer(Start::Time(*before)).next_sequence();
        let is_there = sequence.wrapping_sub(oldest) as i64 >= 0;
        assert_eq!(start, if is_there { *sequence } else { oldest }, "from {before} on");
        let record_time = if is_there { Some(first_time(&ring, *sequence)) } else { None };
        // The very time of a record finds it, and one later does not.
        if let Some(time) = record_time {
            assert_eq!(ring.observer(Start::Time(time)).next_sequence(), *sequence);
            let later = ring.observer(Start::Time(time.saturating_add(Duration::from_nanos(1))));
            assert_eq!(later.next_sequence(), sequence.wrapping_add(1));
        }
    }
    let next = sent.last().unwrap().2.wrapping_add(1);
    for late in [now(), Timestamp::from_nanos(u64::MAX)] {
        assert_eq!(ring.observer(Start::Time(late)).next_sequence(), next);
    }
    for early in [early, Timestamp::from_nanos(0)] {
        assert_eq!(ring.observer(Start::Time(early)).next_sequence(), oldest);
    }
    let mut consumer = ring.consumer(&Attach::gated().start(Start::Time(sent[140].0)));
    assert_eq!(received(&mut consumer).len(), 10);
}

fn first_time(ring: &Ring, sequence: u64) -> Timestamp {
    let mut observer = ring.observer(Start::Sequence(sequence));
    observer.try_recv_record(|_| {}).unwrap().unwrap().time().unwrap()
}

fn a_start_at_a_time_of_day_finds_the_same(setup: Setup) {
    let ring = ring(setup);
    let sent = with_gaps(&ring);
    let oldest = ring.snapshot().oldest_sequence;
    for (_, wall, sequence) in &sent {
        let start = ring.observer(Start::Wall(*wall)).next_sequence();
        let is_there = sequence.wrapping_sub(oldest) as i64 >= 0;
        // The two clocks are not read at one instant, so the pair is off by what lies between.
        let off = start.wrapping_sub(*sequence) as i64;
        assert!(
            if is_there { (-3..=3).contains(&off) } else { start.wrapping_sub(oldest) <= 3 },
            "off by {off}"
        );
    }
    assert_eq!(ring.observer(Start::Wall(SystemTime::UNIX_EPOCH)).next_sequence(), oldest);
}

fn without_times_there_is_no_start_at_one(setup: Setup) {
    let ring = setup.ring();
    let mut producer = ring.producer();
    producer.send(b"no time").unwrap();
    for start in [Start::Time(Timestamp::now()), Start::Wall(SystemTime::now())] {
        let error = ring.try_observer(start).unwrap_err();
        assert!(matches!(error, Error::BadOption { .. }), "{error:?}");
        let error = ring.try_consumer(&Attach::gated().start(start)).unwrap_err();
        assert!(matches!(error, Error::BadOption { .. }), "{error:?}");
    }
    let mut observer = ring.observer(Start::Oldest);
    assert_eq!(observer.try_recv_record(|_| {}).unwrap().unwrap().time(), None);
    assert_eq!(observer.wall_time(Timestamp::now()), None);
}

fn the_time_of_day_is_that_of_the_publish(setup: Setup) {
    let ring = ring(setup);
    let mut consumer = ring.consumer(&Attach::gated());
    let mut producer = ring.producer();
    for _ in 0..20 {
        let before = SystemTime::now();
        producer.send(&[1; 200]).unwrap();
        let after = SystemTime::now();
        let time = received(&mut consumer)[0].1;
        let wall = consumer.wall_time(time).unwrap();
        // Wide enough for a clock that is slewed, and for a pause between the two looks of a pair.
        let slack = Duration::from_secs(1);
        assert!(before - slack <= wall && wall <= after + slack, "{wall:?}");
    }
}

fn the_next_producer_goes_on_from_the_last_time(setup: Setup) {
    let ring = ring(setup);
    let mut consumer = ring.consumer(&Attach::gated());
    let mut last = Timestamp::from_nanos(0);
    for _ in 0..5 {
        let mut producer = ring.producer();
        for _ in 0..7 {
            producer.send(&[1; 100]).unwrap();
            producer.batch().send(&[2; 100]).unwrap();
        }
        for (_, time, _) in received(&mut consumer) {
            assert!(time >= last && time <= Timestamp::now());
            last = time;
        }
    }
}

fn a_claim_that_is_dropped_leaves_no_time(setup: Setup) {
    let ring = ring(setup);
    let mut consumer = ring.consumer(&Attach::gated());
    let mut producer = ring.producer();
    for number in 0..100_u64 {
        let mut claim = producer.claim(40).unwrap();
        claim.write_at(0, &[0xff; 40]).unwrap();
        drop(claim);
        producer.send(&number.to_le_bytes()).unwrap();
        let all = received(&mut consumer);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].2.as_slice(), all[0].1 <= Timestamp::now()), (&number.to_le_bytes()[..], true));
    }
}

/// A producer dies with records in the ring whose times are ahead of the clock, as if it had seen another clock.
fn the_successor_of_a_killed_producer_goes_on_from_its_last_time(setup: Setup) {
    // Segments of 1 KiB: the index is behind.
    let ring = setup.backing.ring(&setup.options_of(65536).times(true));
    let mut consumer = ring.consumer(&Attach::gated());
    let mut producer = ring.producer();
    producer.send(&[1; 16]).unwrap();
    producer.send(&[2; 16]).unwrap();
    let ahead = Timestamp::now().saturating_add(Duration::from_secs(3600));
    ring.kill_producer(producer);
    // The time of the second record, 32 bytes after the first.
    ring.set_data(setup.position.wrapping_add(32 + 8), ahead.as_nanos());
    let mut producer = ring.producer();
    producer.send(&[3; 16]).unwrap();
    let mut batch = producer.batch();
    batch.send(&[4; 16]).unwrap();
    batch.publish();
    drop(producer);
    // Into the next segment: the index has the place itself.
    let mut producer = ring.producer();
    producer.send(&[5; 1000]).unwrap();
    ring.kill_producer(producer);
    ring.producer().send(&[6; 16]).unwrap();
    let mut times = Vec::new();
    while let Some(event) = consumer.try_recv().unwrap() {
        times.extend(event.record().and_then(|record| record.time()));
    }
    assert!(times[0] < ahead);
    assert_eq!(times[1..], [ahead; 5]);
}

fn a_record_without_its_time_is_damage(setup: Setup) {
    let ring = setup.backing.ring(&timed(setup).inline(false));
    let mut producer = ring.producer();
    producer.send(b"").unwrap();
    // A header with the right sequence, and too few bytes for a time; the footprint stays.
    let header = u64::from(setup.first as u32) << 32 | 5;
    ring.set_data(setup.position, header);
    for attach in [Attach::gated(), Attach::lossy()] {
        let mut consumer = ring.consumer(&attach.start(Start::Oldest));
        for _ in 0..2 {
            let error = consumer.try_recv().unwrap_err();
            assert!(error.to_string().contains("too short for its publish time"), "{error}");
        }
    }
}
