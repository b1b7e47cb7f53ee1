//! 2^32 wakes between a sleeper's last check and its sleep: the word has the value that the sleeper expects, so the
//! kernel lets it sleep although its condition is true. The child is held at the entry of its futex call. The other
//! side makes the condition true and finds no sleeper to wake, and the word is set back to its old value. No process
//! wakes the sleeper: it must return by itself, because every sleep is a slice. Uses the release build without
//! delays.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use quoit::{Attach, Consumer, Event, Options, Producer, WaitMode};

use super::peek::{Peek, Word};
use super::watch::was_good;
use crate::child::Child;
use crate::tracee::{Stop, Tracee, mark};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the child to the entry of its next futex wait.
fn to_futex_wait(child: &mut Tracee) -> Result<()> {
    // `FUTEX_WAIT_BITSET`, without the flag for the clock.
    const WAIT: u64 = 9;
    for _ in 0..1_000 {
        let Stop::Syscall = child.next_syscall()? else { continue };
        let registers = child.registers()?;
        // At the entry the result is not there yet: the kernel says so with -ENOSYS.
        let is_entry = registers.rax as i64 == -i64::from(nix::libc::ENOSYS);
        if is_entry && registers.orig_rax == nix::libc::SYS_futex as u64 && registers.rsi & 0x7f == WAIT {
            return Ok(());
        }
    }
    bail!("the child never slept")
}

fn returns(child: Tracee) -> Result<bool> {
    let mut child = Child::adopt(child.release()?);
    Ok(child.ends_within(PATIENCE)?.is_some_and(was_good))
}

/// A consumer sleeps through 2^32 wakes. False: it never came back.
pub(crate) fn consumer_comes_back(directory: &Path, mode: WaitMode) -> Result<bool> {
    let ring = directory.join("wrap");
    let mut producer = Producer::create(&ring, &Options::new().capacity(4096).slots(4).wait(mode))?;
    let peek = Peek::open(&ring)?;
    let mut child = Tracee::start(|| {
        let mut consumer = Consumer::open(&ring, &Attach::gated()).expect("attach");
        consumer.set_spins(0);
        mark();
        let event = consumer.recv().expect("receive");
        assert!(matches!(event, Event::Record(record) if record.to_vec() == b"behind"));
    })?;
    to_futex_wait(&mut child)?;
    let expected = peek.word(Word::Data)?;
    producer.send(b"behind")?;
    if expected & 1 == 0 || peek.word(Word::Data)? != expected.wrapping_add(1) {
        bail!("the sleeper was not armed, or not woken: {expected:#x}, {:#x}", peek.word(Word::Data)?);
    }
    peek.set_word(Word::Data, expected)?;
    let good = returns(child);
    std::fs::remove_file(&ring)?;
    good
}

/// A producer sleeps through 2^32 wakes. False: it never came back.
pub(crate) fn producer_comes_back(directory: &Path, mode: WaitMode) -> Result<bool> {
    let ring = directory.join("wrap");
    Options::new().capacity(4096).slots(4).wait(mode).create(&ring)?;
    let mut consumer = Consumer::open(&ring, &Attach::gated())?;
    let peek = Peek::open(&ring)?;
    let mut child = Tracee::start(|| {
        let mut producer = Producer::open(&ring).expect("become the producer");
        producer.set_spins(0);
        while producer.try_send(&[1; 1000]).is_ok() {}
        mark();
        producer.send(&[2; 1000]).expect("space");
    })?;
    to_futex_wait(&mut child)?;
    let expected = peek.word(Word::Space)?;
    while consumer.try_recv()?.is_some() {}
    if expected & 1 == 0 || peek.word(Word::Space)? != expected.wrapping_add(1) {
        bail!("the sleeper was not armed, or not woken: {expected:#x}, {:#x}", peek.word(Word::Space)?);
    }
    peek.set_word(Word::Space, expected)?;
    let good = returns(child);
    std::fs::remove_file(&ring)?;
    good
}
