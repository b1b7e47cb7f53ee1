//! The area that every consumer may write is scribbled on while a producer works, at rest and in the middle of its
//! calls. The producer goes on, an observer sees exactly what was sent, and whoever's slot was spoilt gets errors or
//! losses.

use quoit_tampered as quoit;

use quoit::{Attach, Start};

use super::input::Input;
use super::rings::{CAPACITY, MOST, SLOTS, with_ring};
use super::scene::{Follower, Handle, Scene, Seen};
use super::script::{self, Area, Poke};

/// What was sent since the observer came.
struct Sent {
    first: u64,
    lens: Vec<usize>,
}

impl Sent {
    fn next(&self) -> u64 {
        self.first.wrapping_add(self.lens.len() as u64)
    }

    fn bytes(&self, from: u64, to: u64) -> u64 {
        let [from, to] = [from, to].map(|sequence| sequence.wrapping_sub(self.first) as usize);
        self.lens[from..to].iter().map(|len| *len as u64).sum()
    }
}

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let base = input.below(256);
    let pokes: Vec<Poke> = (0..input.below(12)).map(|_| Poke::read(&mut input, Area::Control)).collect();
    with_ring(base, |ring, memory| {
        let mut scene = Scene::new(ring, CAPACITY, SLOTS, true);
        scene.open();
        let first = scene.producer.as_ref().expect("a ring in good order").next_sequence();
        // A ring that refuses whoever can be overwritten has no witness but what is read back in the end.
        let witness = ring.observer(Start::Newest).ok();
        let mut witness = witness.map(|observer| Follower::new(Handle::Observer(Box::new(observer))));
        let mut sent = Sent { first, lens: Vec::new() };
        let theirs = ring.memory().expect("on the heap");
        script::install(memory, pokes);
        for _ in 0..64 {
            if input.is_empty() {
                break;
            }
            act(&mut scene, &mut input, &mut sent, &theirs);
            let next = scene.producer.as_ref().map(|producer| producer.next_sequence());
            assert!(next.is_none_or(|next| next == sent.next()), "a sequence went astray");
            if let Some(witness) = &mut witness
                && input.clone().byte().is_multiple_of(3)
            {
                watch(&mut scene, witness, &sent, 8);
            }
        }
        script::remove();
        if let Some(witness) = &mut witness {
            watch(&mut scene, witness, &sent, usize::MAX);
            assert_eq!(witness.next_sequence(), sent.next(), "the observer stopped early");
        }
        // What a newcomer finds in the ring is whole, and ends where the producer is.
        if let Ok(observer) = ring.observer(Start::Oldest) {
            let mut late = Follower::new(Handle::Observer(Box::new(observer)));
            while scene.step(&mut late).expect("no corruption where no consumer writes").is_some() {}
            assert_eq!(late.next_sequence(), sent.next(), "the newcomer stopped early");
        }
    });
}

fn act(scene: &mut Scene<'_>, input: &mut Input<'_>, sent: &mut Sent, theirs: &quoit::tamper::RawRing) {
    let choice = input.byte();
    // Consumers read what somebody let the producer overwrite; the sequence in each header gives that away, but for
    // one header in four thousand million.
    match choice % 16 {
        0..4 => {
            let len = input.len(MOST);
            if scene.send(len) {
                sent.lens.push(len);
            }
        }
        4 => {
            let lens = scene.batch(input);
            sent.lens.extend(lens);
        }
        5 => {
            let len = input.len(MOST);
            if scene.claim(len, choice >= 64) {
                sent.lens.push(len);
            }
        }
        6..9 => Poke::read(input, Area::Control).apply(theirs),
        9 => scene.attach(Attach::gated(), input),
        10 => scene.attach(Attach::gated().name("kin").hold_forever(), input),
        11 => scene.attach(Attach::gated_for(std::time::Duration::from_nanos(1)), input),
        12 => {
            let who = input.below(5);
            scene.trusted = false;
            scene.receive(who, 1 + usize::from(choice) % 7);
            scene.trusted = true;
        }
        13 => scene.readers[input.below(5)] = None,
        14 if choice >= 128 => scene.forget("kin"),
        14 => scene.inspect(),
        _ => {
            scene.producer = None;
            scene.open();
            assert!(scene.producer.is_some(), "a producer depends on what consumers write");
        }
    }
}

/// The observer depends on nothing that a consumer writes: it sees every record, or a loss told exactly.
fn watch(scene: &mut Scene<'_>, witness: &mut Follower, sent: &Sent, events: usize) {
    for _ in 0..events {
        match scene.step(witness).expect("no corruption where no consumer writes") {
            Some(Seen::Record(sequence)) => {
                let len = sent.lens[sequence.wrapping_sub(sent.first) as usize];
                assert_eq!(scene.buffer.len(), len, "length of {sequence}");
            }
            Some(Seen::Lost(loss)) => assert_eq!(loss.bytes, sent.bytes(loss.first, loss.next), "bytes lost"),
            Some(Seen::Other) => {}
            None => {
                assert_eq!(witness.next_sequence(), sent.next(), "nothing, and there is more");
                return;
            }
        }
    }
}
