//! Consumers that take the newest record only, killed anywhere: the account that the ring keeps of what they skipped and
//! lost goes with their place.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quoit::{Attach, Consumer, Inspector, Options, Producer};

use crate::load::Notebook;
use crate::process::{Part, Stage, eventually, say};

const NAME: &str = "newest";

fn attach(gated: bool) -> Attach {
    if gated { Attach::gated().name(NAME).hold_forever() } else { Attach::lossy().name(NAME) }
}

/// Ends the producer, also if a check fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Takes the newest record again and again, notes that, and releases it.
///
/// `ring`; `gated`: or lossy; `progress`: notebook for how many it took.
pub(crate) fn take(part: &Part) {
    let mut consumer = Consumer::open(part.ring(), &attach(part.get("gated"))).expect("attach");
    let progress = Notebook::open(part.get("progress"));
    let mut count = progress.read();
    say("ready");
    loop {
        let Some(record) = consumer.latest(|_| {}).expect("receive") else { continue };
        assert_eq!(record.to_vec(), record.sequence().to_le_bytes().repeat(5), "a torn record");
        count += 1;
        progress.write(count);
        consumer.release();
    }
}

fn killed(gated: bool) {
    let kills = std::env::var("QUOIT_KILLS").map_or(60, |text| text.parse().expect("a number"));
    let stage = Stage::tmpfs(120);
    let ring = stage.file("ring");
    let mut producer = Producer::create(&ring, &Options::new().capacity(1 << 14)).expect("create");
    let inspector = Inspector::open(&ring).expect("inspect");
    // From here on, at sequence 0, the name has a place.
    drop(Consumer::open(&ring, &attach(gated)).expect("attach"));
    let part = Part::new("take the newest").on(&ring).with("gated", gated);
    let part = part.with("progress", stage.file("count").display());
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let payload = producer.next_sequence().to_le_bytes().repeat(5);
                let _ = producer.send_timeout(&payload, Duration::from_millis(1));
            }
        });
        let _end = End(&ended);
        let (mut taken, mut skipped) = (0, 0);
        for kill in 1..=kills {
            let mut consumer = part.start();
            consumer.says("ready");
            std::thread::sleep(Duration::from_micros(kill * 37 % 2000));
            consumer.kill();
            let find =
                || inspector.snapshot().expect("look").consumers.into_iter().find(|it| it.name.is_some());
            eventually("the kernel drops its lock", || find().is_some_and(|it| !it.alive));
            let account = find().expect("the name is kept");
            let noted = Notebook::open(stage.file("count")).read();
            // Each record is released after it was noted, and a kill comes between for one of them at most.
            let passed = account.lost.records + account.lost.skipped.records;
            let released = account.next_sequence - passed;
            assert!(
                (noted - kill.min(noted)..=noted).contains(&released),
                "{released}, {noted} noted: {account:?}"
            );
            assert_eq!(account.lost.skipped.bytes, 40 * account.lost.skipped.records, "{account:?}");
            assert!(
                released >= taken && account.lost.skipped.records >= skipped,
                "it went back: {account:?}"
            );
            assert!(!gated || account.lost.records == 0, "a gated one lost something: {account:?}");
            (taken, skipped) = (released, account.lost.skipped.records);
        }
        assert!(taken > kills && skipped > kills, "{taken} taken, {skipped} skipped");
    });
}

#[test]
fn a_gated_one_is_killed() {
    killed(true);
}

#[test]
fn a_lossy_one_is_killed() {
    killed(false);
}
