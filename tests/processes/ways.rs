//! Ways to send what the oracle says comes next.

use std::thread::sleep;
use std::time::Duration;

use quoit::{Producer, SendError};

use super::oracle::Oracle;

pub(crate) fn claim_and_fill(producer: &mut Producer, oracle: &Oracle) {
    let next = producer.next_sequence();
    let mut claim = producer.claim(oracle.len(next)).expect("room");
    assert_eq!(claim.sequence(), next);
    let (label, rest) = oracle.parts(next);
    claim.write_at(0, &label[..label.len().min(claim.len())]).expect("the sequence fits");
    for (number, piece) in rest.chunks(100).enumerate() {
        claim.write_at(8 + number * 100, piece).expect("a piece fits");
    }
    assert_eq!(claim.publish(), next);
}

/// Nobody may ever see anything of it.
pub(crate) fn claim_and_drop(producer: &mut Producer, oracle: &Oracle, dice: u64) {
    let mut claim = producer.claim((dice >> 32) as usize % 1000).expect("room");
    let garbage = vec![0xff; claim.len()];
    claim.write_at(0, &garbage).expect("garbage fits");
    drop(claim);
    let mut batch = producer.batch();
    let (label, _) = oracle.parts(dice);
    match batch.send(&label) {
        Ok(_) | Err(SendError::BatchFull) => drop(batch),
        Err(error) => panic!("{error}"),
    }
}

/// So many records, or fewer if the batch is full: all at once or one by one.
pub(crate) fn batch(producer: &mut Producer, oracle: &Oracle, records: u64, payload: &mut Vec<u8>) {
    let first = producer.next_sequence();
    let mut next = first;
    let mut batch = producer.batch();
    if first.is_multiple_of(2) {
        let payloads = (first..first + records).map(|sequence| {
            let mut payload = Vec::new();
            oracle.fill(sequence, &mut payload);
            payload
        });
        match batch.send_all(payloads) {
            Ok(added) => assert_eq!(added, records),
            Err(SendError::BatchFull) => {}
            Err(error) => panic!("{error}"),
        }
        batch.publish();
        return;
    }
    while next < first + records {
        oracle.fill(next, payload);
        match batch.send(payload) {
            Ok(sequence) => assert_eq!(sequence, next),
            Err(SendError::BatchFull) => break,
            Err(error) => panic!("{error}"),
        }
        next += 1;
    }
    assert_eq!(batch.publish(), (next > first).then(|| next - 1));
}

pub(crate) fn try_until_sent(producer: &mut Producer, oracle: &Oracle, payload: &mut Vec<u8>) {
    let next = producer.next_sequence();
    oracle.fill(next, payload);
    loop {
        match producer.try_send(payload) {
            Ok(sequence) => return assert_eq!(sequence, next),
            Err(SendError::Full { .. }) => sleep(Duration::from_micros(50)),
            Err(error) => panic!("{error}"),
        }
    }
}
