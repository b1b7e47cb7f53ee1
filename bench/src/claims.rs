//! The calls that send one record, beside each other, with nobody reading: `send`, a claim that is filled in one go, and a
//! typed send. The record was built before.

use std::hint::black_box;

use anyhow::Result;
use quoit::zerocopy::IntoBytes;
use quoit::{TypedProducer, WaitMode};
use quoit_floors::by_words;
use quoit_floors::figures::Measured;
use quoit_floors::scene::Scene;
use serde::{Deserialize, Serialize};

use crate::ends::{options, unread};

const CAPACITY: usize = 1 << 20;

/// Which of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Call {
    Send,
    /// `claim`, one `write_at` of the whole record, `publish`.
    Claim,
    /// `TypedProducer::send`.
    Typed,
}

pub(crate) fn calls(scene: &Scene, bytes: usize, count: u64, call: Call) -> Result<Measured> {
    by_words!(bytes, calls_of(scene, count, call))
}

fn calls_of<const N: usize>(scene: &Scene, count: u64, call: Call) -> Result<Measured> {
    let options = options(CAPACITY, WaitMode::default());
    unread(scene, &options, (CAPACITY / (N * 8 + 8)) as u64, count, |producer, count| match call {
        Call::Send => send::<N>(producer, count),
        Call::Claim => claim(producer, count),
        Call::Typed => send_typed(producer, count),
    })
}

fn send<const N: usize>(producer: &mut TypedProducer<[u64; N]>, count: u64) -> Result<()> {
    let (producer, record) = (producer.as_untyped(), [0x5a5a_u64; N]);
    for _ in 0..count {
        producer.send(black_box(&record).as_bytes())?;
    }
    Ok(())
}

fn claim<const N: usize>(producer: &mut TypedProducer<[u64; N]>, count: u64) -> Result<()> {
    let (producer, record) = (producer.as_untyped(), [0x5a5a_u64; N]);
    for _ in 0..count {
        let mut claim = producer.claim(N * 8)?;
        claim.write_at(0, black_box(&record).as_bytes())?;
        claim.publish();
    }
    Ok(())
}

fn send_typed<const N: usize>(producer: &mut TypedProducer<[u64; N]>, count: u64) -> Result<()> {
    let record = [0x5a5a; N];
    for _ in 0..count {
        producer.send(black_box(&record))?;
    }
    Ok(())
}
