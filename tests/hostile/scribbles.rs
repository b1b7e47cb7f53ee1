//! Random bytes in random places, thousands of times, each followed by a call of every kind. The seed is fixed: what
//! fails, fails again.

use quoit::{Inspector, SendError};

use super::*;

/// What was answered, to see that the garbage had an effect, and that not everything stopped at once.
#[derive(Debug, Default)]
struct Answers {
    sent: u64,
    full: u64,
    records: u64,
    nothing: u64,
    lost: u64,
    evicted: u64,
    changed: u64,
    corrupt: u64,
    let_in: u64,
    turned_away: u64,
}

/// One handle of every kind.
struct Crew {
    producer: Producer,
    readers: [Reader; 4],
    inspector: Inspector,
}

impl Crew {
    fn new(victim: &Victim) -> Self {
        let mut readers = victim.readers();
        // One that may not hold anybody up for long.
        let brief = victim.consumer(Attach::gated_for(Duration::from_micros(1)));
        readers[1] = Reader::Consumer("brief", brief);
        Self { producer: victim.producer(), readers, inspector: Inspector::open(&victim.path).unwrap() }
    }

    /// Sends up to three records.
    fn send(&mut self, random: &mut Random, answers: &mut Answers) {
        for _ in 0..random.below(4) {
            let len = random.pick(&[0, 8, 40, 100, 104, 105, 300, 700]);
            let sequence = self.producer.next_sequence();
            let bytes = payload(sequence, len);
            let way = random.below(4);
            let sent = at_once("send", || match way {
                0 => self.producer.try_claim(len).map(|mut claim| {
                    claim.write_at(0, &bytes).unwrap();
                    claim.publish()
                }),
                1 => {
                    let mut batch = self.producer.batch();
                    let sent = batch.try_send(&bytes);
                    batch.publish();
                    sent
                }
                _ => self.producer.try_send(&bytes),
            });
            match sent {
                Ok(told) => {
                    assert_eq!(told, sequence);
                    answers.sent += 1;
                }
                Err(SendError::Full { .. }) => answers.full += 1,
                Err(other) => panic!("{other}"),
            }
        }
    }

    /// Everybody looks up to twice, so that some fall behind.
    fn receive(&mut self, random: &mut Random, answers: &mut Answers) {
        for reader in &mut self.readers {
            for _ in 0..random.below(3) {
                let before = reader.next_sequence();
                match reader.look() {
                    Ok(None) => answers.nothing += 1,
                    Ok(Some(Seen::Record(sequence, _))) => {
                        assert_eq!(sequence, before, "{}", reader.name());
                        answers.records += 1;
                    }
                    Ok(Some(Seen::Lost(loss))) => {
                        assert_eq!((loss.first, loss.next), (before, before.wrapping_add(loss.records)));
                        answers.lost += 1;
                    }
                    Ok(Some(Seen::Evicted)) => answers.evicted += 1,
                    Ok(Some(Seen::Changed(_))) => answers.changed += 1,
                    Err(RecvError::Corrupt(_)) => answers.corrupt += 1,
                    Err(other) => panic!("{}: {other:?}", reader.name()),
                }
            }
        }
    }

    /// Calls that wait, for a moment; and the inspector.
    fn wait(&mut self, answers: &mut Answers) {
        let moment = Duration::from_micros(100);
        for reader in &mut self.readers {
            match reader.wait(moment) {
                Ok(_) | Err(RecvError::Closed | RecvError::ProducerGone) => {}
                Err(RecvError::Corrupt(_)) => answers.corrupt += 1,
                Err(other) => panic!("{}: {other:?}", reader.name()),
            }
        }
        let until = Instant::now() + moment;
        match at_once("send_deadline", || self.producer.send_deadline(&[7; 300], until)) {
            Ok(_) => answers.sent += 1,
            Err(SendError::TimedOut { .. }) => answers.full += 1,
            Err(other) => panic!("{other}"),
        }
        match at_once("snapshot", || self.inspector.snapshot()) {
            Ok(snapshot) => answers.corrupt += u64::from(snapshot.corruption.is_some()),
            Err(other) => panic!("{other}"),
        }
    }
}

/// `rounds` times a ring in good order, then 20 words of garbage in it: every other one at a place from `hot`, the
/// others somewhere in `areas`.
fn scribble(seed: u64, rounds: u64, hot: &[u64], areas: &[(u64, u64)]) -> Answers {
    let victim = Victim::new();
    let mut random = Random(seed);
    let mut answers = Answers::default();
    for round in 0..rounds {
        victim.restore();
        let mut crew = Crew::new(&victim);
        for _ in 0..random.below(30) {
            crew.send(&mut random, &mut answers);
            crew.receive(&mut random, &mut answers);
        }
        for _ in 0..20 {
            let place = victim.get(at::PUBLISHED);
            crew.send(&mut random, &mut answers);
            let (start, end) = random.pick(areas);
            // Mostly a word, now and then across two.
            let at = start + random.below(end - start - 7);
            let at = match random.below(4) {
                0 => at,
                1 => at & !7,
                _ if hot.is_empty() => at & !7,
                _ => random.pick(hot),
            };
            // Not the first record of all, but the first of those just sent.
            let at = if at == at::RECORDS { at + ((place % CAPACITY) & !7) } else { at };
            let garbage = random.garbage(victim.get(at));
            victim.set(at, garbage);
            crew.receive(&mut random, &mut answers);
        }
        if round % 4 == 0 {
            crew.wait(&mut answers);
        }
        if round % 8 == 0 {
            let let_in = victim.newcomers(crew.producer.next_sequence()) as u64;
            answers.let_in += let_in;
            answers.turned_away += 10 - let_in;
        }
        drop(crew);
        // The next producer, if it is let in, finds what is left.
        if round % 4 == 0 {
            match at_once("take over", || Producer::open(&victim.path)) {
                Ok(mut producer) => {
                    let _ = at_once("try_send", || producer.try_send(&[1; 300]));
                }
                Err(error) => assert!(matches!(error, Error::Corrupt(_)), "{error:?}"),
            }
        }
    }
    note(&format!("seed {seed}, {} words: {answers:?}", rounds * 20));
    answers
}

const LINES: [u64; 9] = [
    at::PUBLISHED,
    at::STAMP,
    at::INLINE_HEADER,
    at::RESERVE,
    at::EPOCH,
    at::ODD_BEGAN,
    at::EVEN_BEGAN,
    at::MODE,
    at::CLOSED,
];

/// The sleep words, and what the producer reads of the slots.
fn control() -> Vec<u64> {
    let fields = [at::STATE, at::CURSOR, at::BUDGET, at::HOLD];
    let gates = (0..4).flat_map(|number| fields.map(|field| at::slot(number) + field));
    [at::DATA_WORD, at::SPACE_WORD].into_iter().chain(gates).collect()
}

#[test]
fn in_the_producers_lines() {
    let answers = scribble(0x9e37_79b9, 400, &LINES, &[(at::PUBLISHED, at::INDEX)]);
    assert!(answers.records > 1000 && answers.corrupt > 1000, "{answers:?}");
    assert!(answers.changed > 10 && answers.turned_away > 10, "{answers:?}");
}

#[test]
fn in_the_index() {
    let answers = scribble(0x7f4a_7c15, 400, &[], &[(at::INDEX, at::INDEX_END)]);
    assert!(answers.records > 1000 && answers.lost > 50 && answers.turned_away > 10, "{answers:?}");
}

#[test]
fn in_the_control_area() {
    let areas = [(at::DATA_WORD, at::SLOTS), (at::SLOTS, at::SLOTS_END)];
    let answers = scribble(0xbf58_476d, 400, &control(), &areas);
    assert!(answers.records > 1000 && answers.full > 100 && answers.evicted > 10, "{answers:?}");
}

#[test]
fn in_the_records() {
    let answers = scribble(0x94d0_49bb, 400, &[at::RECORDS], &[(at::RECORDS, at::END)]);
    assert!(answers.records > 1000 && answers.corrupt > 1000, "{answers:?}");
}

#[test]
fn everywhere() {
    let hot: Vec<_> = LINES.into_iter().chain(control()).chain([at::RECORDS; 4]).collect();
    let areas = [(at::PUBLISHED, at::INDEX_END), (at::DATA_WORD, at::SLOTS_END), (at::RECORDS, at::END)];
    let answers = scribble(0x1331_11eb, 600, &hot, &areas);
    assert!(answers.records > 1000 && answers.corrupt > 1000 && answers.evicted > 10, "{answers:?}");
    assert!(answers.let_in > 10 && answers.turned_away > 10, "{answers:?}");
}

/// Nobody is attached. Then nothing that stands in the control area keeps the producer from sending, but a hold
/// under a name; and that can be told from outside.
#[test]
fn a_producer_alone() {
    let victim = Victim::new();
    let mut random = Random(0x5851_f42d);
    let mut producer = victim.producer();
    let mut held = 0;
    for _ in 0..4000 {
        for _ in 0..1 + random.below(8) {
            let number = random.below(4);
            let at = match random.below(4) {
                // The fields that a gate consists of, and a state that is one.
                0 => at::slot(number) + 8 * random.below(4),
                1 => {
                    victim.set(at::slot(number) + at::CURSOR, victim.get(at::PUBLISHED));
                    victim.set(at::slot(number) + at::STATE, random.next() << 8 | 3);
                    at::slot(number) + at::BUDGET
                }
                2 => random.pick(&[at::DATA_WORD, at::SPACE_WORD]),
                _ => at::SLOTS + (random.below(at::SLOTS_END - at::SLOTS) & !7),
            };
            victim.set(at, random.garbage(victim.get(at)));
        }
        let sequence = producer.next_sequence();
        match at_once("try_send", || producer.try_send(&payload(sequence, 500))) {
            Ok(told) => assert_eq!(told, sequence),
            Err(SendError::Full { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        let is_held = |number: u64| {
            let slot = at::slot(number);
            let named = (0..8).any(|word| victim.get(slot + at::NAME + 8 * word) != 0);
            victim.get(slot + at::STATE) & 0xff == 3 && victim.get(slot + at::HOLD) > 0 && named
        };
        if (0..4).any(is_held) {
            held += 1;
            victim.set_all(at::SLOTS..at::SLOTS_END, 0);
        }
        let sequence = producer.next_sequence();
        let soon = Instant::now() + AT_ONCE / 2;
        assert_eq!(producer.send_deadline(&payload(sequence, 500), soon), Ok(sequence));
    }
    assert!(held > 10, "{held}");
    victim.set_all(at::SLOTS..at::SLOTS_END, 0);
    is_healthy(&victim, &mut producer);
}
