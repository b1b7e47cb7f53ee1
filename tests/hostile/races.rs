//! Garbage written at full speed while everybody works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quoit::{Inspector, SendError};

use super::*;

/// How long each race is run at least, and how long it may take to show what it is run for: on a busy machine one
/// side may hardly get a turn in the first second.
const RACE: Duration = Duration::from_millis(1000);
const LONGEST: Duration = Duration::from_secs(60);

/// Somebody who writes garbage all the time, with a random seed of its own.
pub(super) struct Vandal {
    began: Instant,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
}

pub(super) fn vandal(
    victim: &Victim,
    seed: u64,
    mut write: impl FnMut(&File, &mut Random) + Send + 'static,
) -> Vandal {
    let file = victim.file.try_clone().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || {
        let mut random = Random(seed);
        let mut count = 0;
        while !stopped.load(Ordering::Relaxed) {
            for _ in 0..16 {
                write(&file, &mut random);
                count += 1;
            }
        }
        count
    });
    Vandal { began: Instant::now(), stop, thread }
}

impl Vandal {
    /// Goes the race on? Until its time is up and it has shown `enough`.
    pub(super) fn goes_on(&self, enough: bool) -> bool {
        let time = self.began.elapsed();
        time < RACE || (!enough && time < LONGEST)
    }

    /// Ends it. Returns how often it wrote.
    pub(super) fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn set(file: &File, at: u64, value: u64) {
    file.write_all_at(&value.to_le_bytes(), at).unwrap();
}

fn get(file: &File, at: u64) -> u64 {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, at).unwrap();
    u64::from_le_bytes(bytes)
}

/// Sends and receives while somebody vandalises the ring; whoever finds corruption attaches anew. Returns how many
/// records were received, and how many handles found corruption.
fn work(
    victim: &Victim,
    enough: fn(u64, u64) -> bool,
    write: impl FnMut(&File, &mut Random) + Send + 'static,
) -> (u64, u64) {
    let mut producer = victim.producer();
    let inspector = Inspector::open(&victim.path).unwrap();
    let mut readers: Vec<Reader> = victim.readers().into();
    let vandal = vandal(victim, 5, write);
    let (mut records, mut corrupt) = (0, 0);
    let mut turn = 0;
    while vandal.goes_on(enough(records, corrupt)) {
        turn += 1;
        let sequence = producer.next_sequence();
        let len = [8, 40, 104, 300][turn % 4];
        match at_once("try_send", || producer.try_send(&payload(sequence, len))) {
            Ok(_) | Err(SendError::Full { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        let mut left = Vec::new();
        for mut reader in readers.drain(..) {
            let before = reader.next_sequence();
            let (answer, skips) = match turn % 16 {
                0 => (reader.wait(Duration::from_micros(50)), false),
                5 => (reader.latest(), true),
                _ => (reader.look(), false),
            };
            match answer {
                Ok(Some(Seen::Record(sequence, _))) => {
                    assert!(sequence == before || skips, "{}", reader.name());
                    records += 1;
                }
                Ok(_) | Err(RecvError::Closed | RecvError::ProducerGone) => {}
                Err(RecvError::Corrupt(_)) => {
                    corrupt += 1;
                    continue;
                }
                Err(other) => panic!("{}: {other:?}", reader.name()),
            }
            left.push(reader);
        }
        readers = left;
        if readers.len() < 3 {
            readers.clear();
            let attach =
                |name, attach: Attach| match at_once("attach", || Consumer::open(&victim.path, &attach)) {
                    Ok(consumer) => Some(Reader::Consumer(name, consumer)),
                    Err(Error::Corrupt(_) | Error::SlotsTaken { .. } | Error::StartGone { .. }) => None,
                    Err(other) => panic!("{other:?}"),
                };
            readers.extend(attach("gated", Attach::gated()));
            readers.extend(attach("lossy", Attach::lossy().start(Start::Oldest)));
            readers
                .extend(attach("brief", Attach::gated_for(Duration::from_millis(1)).start(Start::Last(2))));
            match at_once("observe", || Observer::open(&victim.path, Start::Newest)) {
                Ok(observer) => readers.push(Reader::Observer(observer)),
                Err(Error::Corrupt(_)) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        if turn % 64 == 0 {
            match at_once("snapshot", || inspector.snapshot()) {
                Ok(_) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    let count = vandal.end();
    note(&format!("{count} words of garbage: {records} received, {corrupt} handles corrupt"));
    (records, corrupt)
}

#[test]
fn record_headers() {
    let victim = Victim::new();
    let (records, corrupt) = work(
        &victim,
        |records, corrupt| records > 10 && corrupt > 0,
        |file, random| {
            let at = at::RECORDS + (random.below(CAPACITY) & !7);
            set(file, at, random.garbage(get(file, at)));
        },
    );
    assert!(records > 10 && corrupt > 0, "{records} received, {corrupt} corrupt");
}

/// A reader far behind goes through a ring whose headers flip under it.
#[test]
fn headers_under_a_reader() {
    let victim = Victim::with(&options().inline(false));
    let mut producer = victim.producer();
    let mut lens = Vec::new();
    for len in [8, 24, 100, 500, 8, 700, 0, 16] {
        lens.push(victim.get(at::PUBLISHED));
        send(&mut producer, len);
    }
    let vandal = vandal(&victim, 9, move |file, random| {
        let at = at::RECORDS + random.pick(&lens);
        let right = get(file, at);
        set(file, at, right ^ 1 << random.below(64));
        set(file, at, right);
    });
    let (mut whole, mut corrupt) = (0, 0);
    while vandal.goes_on(whole > 0 && corrupt > 0) {
        let attach = Attach::lossy().start(Start::Oldest);
        let mut readers = [
            Reader::Consumer("lossy", victim.consumer(attach)),
            Reader::Observer(Observer::open(&victim.path, Start::Oldest).unwrap()),
        ];
        for reader in &mut readers {
            loop {
                match reader.look() {
                    Ok(Some(Seen::Record(..))) => {}
                    Ok(None) => {
                        assert_eq!(reader.next_sequence(), 8);
                        whole += 1;
                        break;
                    }
                    Err(RecvError::Corrupt(_)) => {
                        corrupt += 1;
                        break;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    vandal.end();
    note(&format!("headers flip: {whole} read all of it, {corrupt} found corruption"));
    assert!(whole > 0 && corrupt > 0, "{whole} whole, {corrupt} corrupt");
}

#[test]
fn everything() {
    let victim = Victim::new();
    let (records, corrupt) = work(
        &victim,
        |_, corrupt| corrupt > 0,
        |file, random| {
            let area = random.pick(&[
                (at::PUBLISHED, at::COUNTERS),
                (at::INDEX, at::INDEX_END),
                (at::DATA_WORD, at::SLOTS_END),
                (at::RECORDS, at::END),
            ]);
            let at = area.0 + (random.below(area.1 - area.0) & !7);
            set(file, at, random.garbage(get(file, at)));
            // In good order for a moment now and then, lest all of it be over at once.
            if random.below(50) == 0 {
                file.write_all_at(&[0; 2048], at::SLOTS).unwrap();
            }
        },
    );
    assert!(corrupt > 0, "{records} received, {corrupt} corrupt");
}

/// Sleepers are neither lost nor kept awake for ever, and wakers come through.
#[test]
fn sleep_words() {
    let victim = Victim::new();
    let vandal = vandal(&victim, 17, |file, random| {
        let word = random.pick(&[at::DATA_WORD, at::SPACE_WORD]);
        let garbage = random.next() as u32;
        file.write_all_at(&garbage.to_le_bytes(), word).unwrap();
    });
    let mut producer = victim.producer();
    let readers = victim.readers();
    let (done, end) = channel::<()>();
    let mut received = Vec::new();
    let sleepers = readers.map(|mut reader| {
        let done = done.clone();
        std::thread::spawn(move || {
            let _done = done;
            let mut expected = 0;
            loop {
                let start = Instant::now();
                match reader.wait(Duration::from_millis(3)) {
                    Ok(Some(Seen::Record(sequence, bytes))) => {
                        assert_eq!(sequence, expected, "{}", reader.name());
                        assert!(bytes == payload(sequence, 40), "{}", reader.name());
                        expected += 1;
                    }
                    Ok(Some(Seen::Lost(loss))) => {
                        assert!(!reader.is_gated(), "{loss:?}");
                        expected = loss.next;
                    }
                    Ok(Some(other)) => panic!("{}: {other:?}", reader.name()),
                    Ok(None) => assert!(start.elapsed() >= Duration::from_millis(3), "{}", reader.name()),
                    Err(RecvError::Closed) => return expected,
                    Err(other) => panic!("{}: {other:?}", reader.name()),
                }
            }
        })
    });
    drop(done);
    let mut sent = 0;
    while vandal.goes_on(true) {
        let sequence = producer.next_sequence();
        let soon = Instant::now() + AT_ONCE;
        assert_eq!(producer.send_deadline(&payload(sequence, 40), soon), Ok(sequence));
        sent += 1;
        if sent % 100 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let count = vandal.end();
    drop(producer);
    assert_eq!(end.recv_timeout(AT_ONCE), Err(RecvTimeoutError::Disconnected), "somebody sleeps on");
    for sleeper in sleepers {
        received.push(sleeper.join().unwrap());
    }
    note(&format!("{count} sleep words: {sent} sent, {received:?} received"));
    assert_eq!(received, [sent; 4]);
}

/// A gate of nobody that comes back as fast as it is taken away: a call takes it once, and once more, and says that
/// the ring is full.
#[test]
fn gates_that_come_back() {
    let victim = Victim::with(&options().slots(1).origin(1 << 41, 0));
    let mut producer = victim.producer();
    // Far behind, and over its deadline in no time.
    victim.set(at::slot(0) + at::CURSOR, 1 << 40);
    victim.set(at::slot(0) + at::BUDGET, 1);
    let vandal = vandal(&victim, 21, |file, _| set(file, at::slot(0) + at::STATE, 3));
    let taken = || victim.get(at::EVICTIONS) + victim.get(at::RECLAIMS);
    let (mut calls, mut most) = (0u64, 0);
    while vandal.goes_on(calls > 10) {
        let before = taken();
        let _ = at_once("try_send", || producer.try_send(&[0; 100]));
        most = most.max(taken() - before);
        calls += 1;
    }
    let count = vandal.end();
    note(&format!("{count} gates of nobody: {calls} calls, at most {most} taken in one, {} in all", taken()));
    assert!(taken() > 0, "no gate was taken");
    assert!(most <= 2, "one call took the gate {most} times");
    assert!(calls > 10, "{calls} calls");
}

/// The identity page changes under those who open the ring. They use what they checked, or refuse it.
#[test]
fn the_identity_page() {
    let victim = Victim::new();
    let honest = victim.image[..256].to_vec();
    let signed = |change: &dyn Fn(&mut [u8])| {
        let mut page = honest.clone();
        change(&mut page);
        let checksum = u64::from(crc32c::crc32c(&page[32..]));
        page[24..32].copy_from_slice(&checksum.to_le_bytes());
        page
    };
    let pages = [
        honest.clone(),
        signed(&|page| page[144] = 1),
        signed(&|page| page[144] = 7),
        signed(&|page| page[128..136].copy_from_slice(&(1u64 << 40).to_le_bytes())),
        signed(&|page| {
            // Right in itself, but for a file of another size.
            page[128..136].copy_from_slice(&(1u64 << 14).to_le_bytes());
            page[40..48].copy_from_slice(&((1u64 << 14) + 12288).to_le_bytes());
        }),
        vec![0xff; 256],
    ];
    let vandal = vandal(&victim, 25, move |file, random| {
        let page = &pages[random.below(6) as usize];
        file.write_all_at(page, 0).unwrap();
    });
    let (mut opened, mut refused) = (0u64, 0u64);
    while vandal.goes_on(opened > 10 && refused > 10) {
        let results = [
            Producer::open(&victim.path).map(|mut producer| assert!(producer.try_send(&[0; 300]).is_ok())),
            Consumer::open(&victim.path, &Attach::lossy()).map(|mut consumer| drop(consumer.try_recv())),
            Observer::open(&victim.path, Start::Oldest).map(|mut observer| drop(observer.try_recv())),
            Inspector::open(&victim.path).and_then(|inspector| inspector.snapshot().map(drop)),
        ];
        for result in results {
            match result {
                Ok(()) => opened += 1,
                // A page that is half of one kind and half of another may have any version.
                Err(Error::Damaged { .. } | Error::WrongSize { .. } | Error::NotARing { .. }) => refused += 1,
                Err(Error::Version { .. }) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    let count = vandal.end();
    note(&format!("{count} identity pages: {opened} opened it, {refused} were refused"));
    assert!(opened > 10 && refused > 10, "{opened} opened, {refused} refused");
}
