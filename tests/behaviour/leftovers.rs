//! What a death, or somebody's garbage, leaves in slots and names.

use quoit::{Attach, ConsumerState, Error, SendError};
use support::offsets::{CURSOR, NAME, STATE};

use crate::common::Ring;
use crate::{Scene, Setup};

crate::behaviours_of_files! {
    the_beginning_of_a_name_is_nobodys,
    a_name_half_forgotten_is_nobodys,
    a_slot_in_an_unknown_state_is_shown_and_can_be_forgotten,
    a_free_slot_is_free_whatever_its_name,
}

/// A state word: being filled in, in some generation.
const ATTACHING: u64 = 100 << 8 | 1;
/// A cursor without a place.
const NOWHERE: u64 = 4;

/// Writes the first `words` words of a name into a slot.
fn write_name(ring: &Ring, slot: u32, name: &str, words: usize) {
    for (number, chunk) in name.as_bytes().chunks(8).take(words).enumerate() {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        ring.set_slot(slot, NAME + 8 * number as u64, u64::from_le_bytes(word));
    }
}

/// A consumer that is killed between two words of its name leaves the beginning of it in a slot without a place. That may
/// be another's whole name.
fn the_beginning_of_a_name_is_nobodys(setup: Setup) {
    for words in 1..8 {
        let Scene { ring, mut sent, mut producer, .. } = setup.scene();
        let (name, longer) = ("n".repeat(8 * words), "n".repeat(8 * words) + "0");
        let guest = ring.consumer(&Attach::lossy());
        let attach = Attach::gated().name(&name).hold_forever();
        let mut consumer = ring.consumer(&attach);
        assert_eq!((guest.slot(), consumer.slot()), (0, 1));
        sent.send_many(&mut producer, [56; 3]);
        assert!(consumer.try_recv().unwrap().is_some());
        consumer.release();
        drop((guest, consumer));
        ring.set_slot(0, STATE, ATTACHING);
        ring.set_slot(0, CURSOR, NOWHERE);
        write_name(&ring, 0, &longer, words);

        let shown = ring.snapshot().consumers;
        assert_eq!((shown.len(), shown[0].slot), (1, 1), "what is nobody's is not shown");
        assert!(matches!(ring.forget_slot(0), Err(Error::SlotUnknown { slot: 0 })));
        let consumer = ring.consumer(&attach);
        let resumed = consumer.resumed().expect("it was here before");
        assert_eq!((resumed.sequence, consumer.slot()), (setup.first.wrapping_add(1), 1));
        // Whoever it was gets in under its own name, and goes on in the slot that it left.
        let other = ring.consumer(&Attach::lossy().name(&longer));
        assert_eq!((other.slot(), other.resumed()), (0, None));
        drop(consumer);
        sent.fill(&mut producer, 56);
        assert_eq!(producer.try_send(&[]), Err(SendError::Full { slot: 1 }));
        ring.forget(&name).unwrap();
        producer.try_send(&[]).expect("the right slot was freed");
    }
}

/// The same of somebody who is killed while it forgets a name.
fn a_name_half_forgotten_is_nobodys(setup: Setup) {
    for words in 0..8 {
        let ring = setup.ring();
        let _producer = ring.producer();
        let name = "n".repeat(63);
        drop(ring.consumer(&Attach::gated().name(&name).hold_forever()));
        ring.set_slot(0, STATE, ATTACHING);
        ring.set_slot(0, CURSOR, NOWHERE);
        for word in 0..words {
            ring.set_slot(0, NAME + 8 * word, 0);
        }
        assert!(ring.snapshot().consumers.is_empty());
        assert!(matches!(ring.forget(&name), Err(Error::NameUnknown { .. })));
        let consumer = ring.consumer(&Attach::lossy().name(&name));
        assert_eq!((consumer.slot(), consumer.resumed()), (0, None));
    }
}

/// It keeps a name, so it has to be found.
fn a_slot_in_an_unknown_state_is_shown_and_can_be_forgotten(setup: Setup) {
    let ring = setup.backing.ring(&setup.options().slots(1));
    let _producer = ring.producer();
    for (round, state) in [6, 77, 0xff, u64::MAX].into_iter().enumerate() {
        drop(ring.consumer(&Attach::gated().name("garbled").hold_forever()));
        ring.set_slot(0, STATE, state);
        let info = ring.named("garbled").expect("shown");
        assert_eq!((info.state, info.alive), (ConsumerState::Away, false));
        let refused = ring.try_consumer(&Attach::lossy());
        assert!(matches!(refused, Err(Error::SlotsTaken { slots: 1, saved: 1 })));
        if round % 2 == 0 {
            ring.forget("garbled").unwrap()
        } else {
            ring.forget_slot(0).unwrap()
        }
        drop(ring.consumer(&Attach::lossy()));
    }
}

fn a_free_slot_is_free_whatever_its_name(setup: Setup) {
    let ring = setup.ring();
    let _producer = ring.producer();
    for slot in 0..4 {
        write_name(&ring, slot, "a name in a slot of nobody's", 4);
    }
    assert!(ring.snapshot().consumers.is_empty());
    let consumers = [(); 4].map(|()| ring.consumer(&Attach::gated()));
    assert!(ring.snapshot().consumers.iter().all(|info| info.name.is_none()));
    drop(consumers);
    assert!(ring.snapshot().consumers.is_empty());
}
