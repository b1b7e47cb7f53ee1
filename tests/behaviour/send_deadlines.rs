//! Sends that give up: when their deadline has passed, and not before.

use std::time::{Duration, Instant};

use quoit::{Attach, Producer, SendError};

use crate::common::{PATIENCE, until};
use crate::{Scene, Setup};

crate::behaviours! {
    every_form_keeps_its_deadline,
    a_deadline_outlasts_padding,
    a_deadline_rests_while_nobody_sends,
}

const TIMED_OUT: SendError = SendError::TimedOut { slot: 0 };

/// A send with a deadline: how it went, whatever it claimed.
type Form = fn(&mut Producer, Instant) -> Result<(), SendError>;

/// Below the pause of a spinning producer, below its shortest sleep, across it, and across many.
const TIMES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_micros(20),
    Duration::from_micros(300),
    Duration::from_micros(950),
    Duration::from_micros(1900),
    Duration::from_micros(15_900),
];

fn every_form_keeps_its_deadline(setup: Setup) {
    let forms: [Form; 3] = [
        |producer, deadline| producer.send_deadline(&[1; 8], deadline).map(drop),
        |producer, deadline| producer.claim_deadline(8, deadline).map(drop),
        |producer, deadline| producer.batch().send_deadline(&[1; 8], deadline).map(drop),
    ];
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let _consumer = ring.consumer(&Attach::gated());
    sent.fill(&mut producer, 56);
    for (spins, form) in [0, 500].into_iter().flat_map(|spins| forms.map(|form| (spins, form))) {
        producer.set_spins(spins);
        for time in TIMES {
            let late = (0..20).map(|_| {
                let deadline = Instant::now() + time;
                assert_eq!(form(&mut producer, deadline), Err(TIMED_OUT));
                let late = Instant::now().checked_duration_since(deadline);
                late.unwrap_or_else(|| panic!("{time:?}: gave up early"))
            });
            // One of them: a machine that is busy all the time is not meant.
            let mut in_time = late.filter(|late| *late < Duration::from_millis(20));
            assert!(in_time.next().is_some(), "{time:?}: always late");
        }
    }
}

/// While it waits, room is made for the padding before its record, and for nothing more.
fn a_deadline_outlasts_padding(setup: Setup) {
    for spins in [0, 500] {
        // 512 bytes before the end of the ring.
        let origin = (setup.position & !4095).wrapping_sub(512);
        let ring = setup.backing.ring(&setup.options().origin(origin, setup.first));
        let (mut sent, mut oracle) = (setup.sent(), setup.oracle());
        let mut producer = ring.producer();
        producer.set_spins(spins);
        let mut consumer = ring.consumer(&Attach::gated());
        // Up to 1024 bytes before the next end; of these, 512 are free.
        sent.send_many(&mut producer, [56; 56]);
        let before = ring.snapshot();
        let time = Duration::from_millis(80);
        let (done, over) = std::sync::mpsc::channel();
        // Not joined: where it forgets its deadline it waits for ever.
        std::thread::spawn(move || {
            let deadline = Instant::now() + time;
            let sent = producer.send_deadline(&[1; 2000], deadline);
            done.send((producer, sent, Instant::now() >= deadline)).unwrap();
        });
        until("it waits", || ring.snapshot().full > before.full);
        oracle.take(&sent, &mut consumer, 16);
        consumer.release();
        let (mut producer, refused, in_time) = over.recv_timeout(PATIENCE).expect("it forgot its deadline");
        assert_eq!(refused, Err(TIMED_OUT));
        assert!(in_time, "gave up early");
        assert_eq!(ring.snapshot().published, before.published.wrapping_add(1024), "only padding came");
        sent.send(&mut producer, 56);
        oracle.keep_up(&sent, &mut consumer);
        oracle.is_done(&sent, setup.first);
    }
}

/// The deadline of a consumer. It let something through after the last refused try, and then nobody sent anything.
fn a_deadline_rests_while_nobody_sends(setup: Setup) {
    let deadline = Duration::from_millis(40);
    for refused_before in [false, true] {
        let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
        let mut slow = ring.consumer(&Attach::gated_for(deadline));
        slow.keep(true);
        sent.send_many(&mut producer, [56; 64]);
        if refused_before {
            // Waiting, and not waiting.
            let tried = Instant::now();
            assert!(producer.send_deadline(&[1; 56], tried).is_err());
            if tried.elapsed() > deadline / 2 {
                // A machine that is too slow for this has not shown anything.
                continue;
            }
        }
        oracle.take(&sent, &mut slow, 8);
        slow.release();
        std::thread::sleep(deadline * 3);
        // There was room for eight small records all the time.
        assert_eq!(producer.try_send(&[1; 2000]), Err(SendError::Full { slot: 0 }));
        assert_eq!(ring.snapshot().evictions, 0, "refused before: {refused_before}");
        // From here on it counts.
        until("it is evicted", || producer.try_send(&[1; 2000]).is_ok());
        assert_eq!(ring.snapshot().evictions, 1);
    }
}
