//! Stopped is not dead, dead is dead even before anybody reaps it, and neither holds anybody up for longer than
//! it may.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use quoit::{
    Attach, Consumer, ConsumerState, Error, Event, Evicted, Inspector, Life, LossCause, Options, Producer,
    SendError, Snapshot,
};
use support::dice::mix;

use crate::oracle::{Oracle, Sums, Tally};
use crate::process::{Part, Process, SOON, Stage, eventually, hear, note, numbers, say};

/// Longest that a dead consumer may hold a producer up. The kernel's teardown and 2 ms are promised; the rest is for
/// a machine that has other work.
const PROMPT: Duration = Duration::from_secs(2);

fn snapshot(ring: &Path) -> Snapshot {
    Inspector::open(ring).expect("inspect").snapshot().expect("snapshot")
}

fn fill(producer: &mut Producer) -> u64 {
    loop {
        match producer.try_send(&[7; 200]) {
            Ok(_) => {}
            Err(SendError::Full { .. }) => return producer.next_sequence(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Attaches, and receives nothing until told a number: then as many records, all of them there.
///
/// `ring`, `name`, `hold_ms`, `held`.
pub(crate) fn idle(part: &Part) {
    let mut attach = Attach::gated();
    if part.find("evictable") == Some(true) {
        attach = attach.evictable();
    }
    if let Some(name) = part.find::<String>("name") {
        attach = attach.name(name);
    }
    if let Some(hold) = part.find("hold_ms") {
        attach = attach.hold(Duration::from_millis(hold));
    }
    if part.find("held") == Some(true) {
        attach = attach.hold_forever();
    }
    let mut consumer = Consumer::open(part.ring(), &attach).expect("attach");
    say(format_args!("ready {}", consumer.next_sequence()));
    let mut left: u64 = hear().parse().expect("a number");
    let mut next = consumer.next_sequence();
    while left > 0 {
        match consumer.recv().expect("receive") {
            Event::Record(record) => {
                assert_eq!(record.sequence(), next);
                next += 1;
                left -= 1;
            }
            Event::Lost(loss) => next += loss.records,
            Event::Evicted => say("evicted"),
            _ => {}
        }
    }
    consumer.release();
    say(format_args!("received {next}"));
    hear();
}

fn idle_part(ring: &Path) -> Part {
    Part::new("idle consumer").on(ring)
}

/// A small ring, a producer in this process, and a consumer that holds it up.
fn blocked(stage: &Stage, part: impl FnOnce(Part) -> Part) -> (Producer, Process, u64) {
    let ring = stage.file("ring");
    let mut producer = Producer::create(&ring, &Options::new().capacity(1 << 14)).expect("create");
    let mut consumer = part(idle_part(&ring)).start();
    consumer.says("ready");
    let sent = fill(&mut producer);
    (producer, consumer, sent)
}

fn time_to_send(producer: &mut Producer) -> Duration {
    let start = Instant::now();
    producer.send_deadline(&[7; 200], start + SOON).expect("space in the end");
    start.elapsed()
}

#[test]
fn a_dead_consumer_holds_the_producer_up_no_longer_reaped_or_not() {
    let stage = Stage::tmpfs(60);
    let mut worst = Duration::ZERO;
    for round in 0..20 {
        let ring = stage.file("ring");
        let (mut producer, mut consumer, _) = blocked(&stage, |part| part);
        // Dies before, or while, the producer waits. Never reaped before the producer is done: a zombie.
        let delay = Duration::from_millis(if round % 2 == 0 { 0 } else { 20 });
        let waited = std::thread::scope(|scope| {
            let early = delay.is_zero().then(|| consumer.strike());
            let waiting = scope.spawn(|| time_to_send(&mut producer));
            sleep(delay);
            early.unwrap_or_else(|| consumer.strike());
            waiting.join().expect("a send").saturating_sub(delay)
        });
        assert!(waited < PROMPT, "unblocked after {waited:?}");
        worst = worst.max(waited);
        eventually("a dead consumer that nobody reaped is a zombie", || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", consumer.pid()));
            stat.expect("still there").contains(") Z ")
        });
        let after = snapshot(&ring);
        assert_eq!((after.reclaims, after.evictions), (1, 0));
        assert_eq!(after.consumers.len(), 0, "{:?}", after.consumers);
        consumer.reap();
        std::fs::remove_file(&ring).expect("remove");
    }
    note(format_args!("dead consumers held the producer up for {worst:?} at most"));
}

#[test]
fn a_stopped_consumer_holds_the_producer_up_and_loses_nothing() {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    let (mut producer, mut consumer, sent) = blocked(&stage, |part| part);
    consumer.stop();
    consumer.tell(sent + 1);
    let before = snapshot(&ring);
    let start = Instant::now();
    let end = start + Duration::from_millis(500);
    // The account begins with the refusal, which on a busy machine comes some time after the call.
    let refused = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| producer.send_deadline(&[7; 200], end));
        eventually("the send is refused", || snapshot(&ring).full > before.full);
        let refused = Instant::now();
        assert_eq!(waiting.join().expect("a send"), Err(SendError::TimedOut { slot: 0 }));
        refused
    });
    let waited = start.elapsed();
    assert!(Instant::now() >= end, "it gave up after {waited:?}");
    let meanwhile = snapshot(&ring);
    assert_eq!((meanwhile.reclaims, meanwhile.evictions, meanwhile.next_sequence), (0, 0, sent));
    let stall = meanwhile.stall - before.stall;
    let least = end.saturating_duration_since(refused);
    assert!((least..=waited).contains(&stall), "{stall:?} told, {least:?} to {waited:?} waited");
    let [info] = &meanwhile.consumers[..] else { panic!("{:?}", meanwhile.consumers) };
    assert_eq!((info.state, info.alive, info.lag_records), (ConsumerState::Gated, true, sent));
    consumer.cont();
    assert_eq!(producer.send_deadline(&[7; 200], Instant::now() + SOON), Ok(sent));
    assert_eq!(consumer.says("received"), [sent + 1]);
    assert_eq!(snapshot(&ring).reclaims, 0);
}

/// Who is in the way is told as stopped, and whether it may be evicted; if it may, somebody else frees the producer.
#[test]
fn a_stopped_consumer_is_told_of_and_evicted_on_request() {
    let stage = Stage::tmpfs(60);
    for evictable in [false, true] {
        let ring = stage.file("ring");
        let (mut producer, mut consumer, sent) =
            blocked(&stage, |part| part.with("name", "audit").with("evictable", evictable));
        let alive = producer.held_by().expect("it is held up");
        assert_eq!((alive.life, alive.pid, alive.evictable), (Life::Alive, consumer.pid(), evictable));
        consumer.stop();
        let by = producer.held_by().expect("it is held up");
        let text = format!("slot 0 'audit' (process {}, stopped)", consumer.pid());
        assert_eq!((by.life, by.to_string()), (Life::Stopped, text));
        assert!(by.remedy().contains(&format!("kill -CONT {}", consumer.pid())), "{}", by.remedy());
        assert_eq!(snapshot(&ring).blocked.expect("it shows").life, Life::Stopped);
        let ask = || quoit::evict(&ring, 0, SOON);
        let waited = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| time_to_send(&mut producer));
            sleep(Duration::from_millis(20));
            match evictable {
                true => assert_eq!(ask().expect("there is a producer"), Evicted::Done),
                false => {
                    assert!(matches!(ask(), Err(Error::NotEvictable { slot: 0, .. })));
                    assert!(!waiting.is_finished());
                    consumer.tell(1);
                    consumer.cont();
                    assert_eq!(consumer.says("received"), [1]);
                }
            }
            waiting.join().expect("a send")
        });
        assert!(waited < PROMPT, "{waited:?}");
        let after = snapshot(&ring);
        assert_eq!((after.evictions, after.next_sequence), (u64::from(evictable), sent + 1));
        if evictable {
            // It goes on as a lossy one; nothing was overwritten yet but what one record takes.
            consumer.cont();
            consumer.tell(1);
            consumer.says("evicted");
        }
        consumer.kill();
        std::fs::remove_file(&ring).expect("remove");
    }
}

/// Attaches with `patience_ms`, is told to go on after it was stopped, and expects to be told everything.
pub(crate) fn evicted(part: &Part) {
    let attach = Attach::gated_for(Duration::from_millis(part.get("patience_ms")));
    let mut consumer = Consumer::open(part.ring(), &attach).expect("attach");
    let mut tally = Tally::new(Oracle::new(part.get("max")), consumer.next_sequence(), false);
    say("ready");
    let end: u64 = hear().parse().expect("a number");
    let mut causes = Vec::new();
    while tally.next < end {
        let event = consumer.recv().expect("receive");
        tally.take(&event);
        if let Event::Lost(loss) = event {
            causes.push(loss.cause);
        }
    }
    assert_eq!((tally.evicted, &causes[..]), (1, &[LossCause::Evicted][..]));
    let account = consumer.account();
    tally.check_account(&account);
    assert_eq!(account.evicted, tally.lost);
    say(format_args!("done {tally}"));
}

#[test]
fn a_stopped_consumer_with_a_deadline_is_evicted_and_told() {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    let max = 500;
    let patience = Duration::from_millis(200);
    let mut producer = Producer::create(&ring, &Options::new().capacity(1 << 14)).expect("create");
    let part = Part::new("evicted consumer").on(&ring).with("max", max);
    let mut consumer = part.with("patience_ms", patience.as_millis()).start();
    consumer.says("ready");
    consumer.stop();
    let oracle = Oracle::new(max);
    let mut payload = Vec::new();
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    for sequence in 0..2_000 {
        oracle.fill(sequence, &mut payload);
        let before = Instant::now();
        assert_eq!(producer.send_deadline(&payload, before + SOON), Ok(sequence));
        longest = longest.max(before.elapsed());
    }
    assert!(longest >= patience, "it had its {patience:?}: {longest:?}");
    assert!(start.elapsed() < patience + PROMPT, "and only once");
    let after = snapshot(&ring);
    assert_eq!((after.evictions, after.reclaims), (1, 0));
    let [info] = &after.consumers[..] else { panic!("{:?}", after.consumers) };
    assert_eq!((info.state, info.alive), (ConsumerState::Evicted, true));
    consumer.tell(2_000);
    sleep(Duration::from_millis(20));
    assert!(consumer.is_silent());
    consumer.cont();
    let sums: Sums = consumer.says("done").into();
    assert_eq!((sums.first, sums.next, sums.delivered + sums.lost), (0, 2_000, 2_000), "{sums:?}");
    consumer.finish();
}

#[test]
fn a_name_that_is_held_holds_the_producer_up_for_its_time_and_no_other_does() {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    // Not held: its place stays, its gate does not.
    let (mut producer, mut consumer, sent) = blocked(&stage, |part| part.with("name", "free"));
    consumer.strike();
    assert!(time_to_send(&mut producer) < PROMPT);
    for _ in 0..200 {
        producer.try_send(&[7; 200]).expect("nobody holds it up any more");
    }
    consumer.reap();
    let again = Consumer::open(&ring, &Attach::gated().name("free")).expect("attach again");
    let resumed = again.resumed().expect("it had been here");
    let loss = resumed.lost.expect("it had filled the ring");
    assert_eq!((loss.first, loss.cause), (0, LossCause::Away));
    assert_eq!((loss.next, loss.bytes), (resumed.sequence, loss.records * 200));
    assert!(loss.next > sent, "more than a ring was sent since: {loss:?}");
    drop(again);
    quoit::forget(&ring, "free").expect("forget");
    // Held for a time.
    let hold = Duration::from_millis(400);
    let mut consumer = idle_part(&ring).with("name", "timed").with("hold_ms", hold.as_millis()).start();
    consumer.says("ready");
    fill(&mut producer);
    consumer.kill();
    let waited = time_to_send(&mut producer);
    assert!(hold <= waited && waited < hold + PROMPT, "held for {waited:?}");
    quoit::forget(&ring, "timed").expect("forget");
    // Held for ever, or until forgotten.
    let mut consumer = idle_part(&ring).with("name", "forever").with("held", true).start();
    consumer.says("ready");
    fill(&mut producer);
    consumer.kill();
    let start = Instant::now();
    assert_eq!(producer.send_deadline(&[1], start + hold), Err(SendError::TimedOut { slot: 0 }));
    let waited = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| time_to_send(&mut producer));
        sleep(Duration::from_millis(50));
        quoit::forget(&ring, "forever").expect("forget");
        waiting.join().expect("a send")
    });
    assert!(waited < PROMPT, "{waited:?}");
}

#[test]
fn a_stopped_producer_is_never_taken_over() {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    let max = 1_000;
    Options::new().capacity(1 << 16).create(&ring).expect("create");
    let reader =
        Part::new("consume").on(&ring).with("max", max).with("policy", "gated").with("tell_gone", true);
    let mut consumers = [reader.clone().start(), reader.with("spins", 0).start()];
    consumers.iter_mut().for_each(|consumer| drop(consumer.says("ready")));
    let part = Part::new("produce").on(&ring).with("max", max).with("seed", 11);
    let mut producer = part.start();
    producer.says("ready");
    let stops = 100;
    let mut published = 0;
    for round in 0..stops {
        sleep(Duration::from_micros(mix(round) % 3_000));
        producer.stop();
        for _ in 0..5 {
            match Producer::open(&ring) {
                Err(Error::ProducerAlive { pid }) => assert_eq!(pid, producer.pid()),
                other => panic!("a stopped producer was taken over: {other:?}"),
            }
        }
        let now = snapshot(&ring);
        assert!(now.producer_alive && !now.closed && now.epoch == 1);
        assert!(now.next_sequence >= published);
        published = now.next_sequence;
        producer.cont();
    }
    // Long enough for every sleeper to look around: nobody takes it for dead.
    producer.stop();
    sleep(Duration::from_millis(400));
    producer.cont();
    assert!(consumers.iter_mut().all(Process::is_silent), "no consumer took it for dead");
    producer.kill();
    consumers.iter_mut().for_each(|consumer| drop(consumer.says("gone")));
    let mut last = part.with("count", 1_000).start();
    last.says("ready");
    let end = last.says("done")[0];
    assert!(end > published && published > 0, "it went on in between");
    for consumer in &mut consumers {
        let mut line = consumer.line(SOON);
        while line == "gone" {
            line = consumer.line(SOON);
        }
        let mut numbers = numbers(&line, "done").expect("done");
        numbers.pop();
        let sums = Sums::from(numbers);
        assert_eq!((sums.delivered, sums.lost, sums.changes), (end, 0, 1), "{sums:?}");
    }
    note(format_args!("{stops} stops of a producer under load, never taken over"));
}
