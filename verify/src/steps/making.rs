//! Creates a state with the public API, by real processes that are really killed.

use std::path::{Path, PathBuf};

use quoit::{Attach, Consumer, Event, Producer, SendError};

use super::notes::{Name, Notes, Shape};
use super::oracle::{Sent, payload};

/// A process that makes a state, or a part of one, and is killed when it says that it is ready.
pub(crate) struct Making {
    path: PathBuf,
    notes_path: PathBuf,
    pub(crate) notes: Notes,
    pub(super) sent: Sent,
}

impl Making {
    pub(crate) fn new(path: &Path, notes_path: &Path, notes: Notes, shape: &Shape) -> Self {
        let mut sent = shape.sent();
        notes.lens.iter().for_each(|len| sent.push(*len));
        Self { path: path.into(), notes_path: notes_path.into(), notes, sent }
    }

    /// Everything is noted, to be killed from now on.
    pub(crate) fn ready(&self) {
        let text = serde_json::to_string(&self.notes).expect("notes are plain");
        let draft = self.notes_path.with_extension("draft");
        std::fs::write(&draft, text).expect("write notes");
        std::fs::rename(&draft, &self.notes_path).expect("name notes");
    }

    pub(super) fn producer(&mut self) -> Producer {
        self.notes.epoch += 1;
        Producer::open(&self.path).expect("open")
    }

    pub(super) fn consumer(&self, attach: &Attach) -> Consumer {
        Consumer::open(&self.path, attach).expect("attach")
    }

    pub(super) fn note(&mut self, len: usize) {
        self.sent.push(len);
        self.notes.lens.push(len);
    }

    pub(super) fn send(&mut self, producer: &mut Producer, len: usize) {
        producer.try_send(&payload(self.sent.next(), len)).expect("send");
        self.note(len);
    }

    pub(super) fn send_many(&mut self, producer: &mut Producer, records: usize, len: usize) {
        (0..records).for_each(|_| self.send(producer, len));
    }

    /// Sends until the stream is exactly so long.
    pub(super) fn fill(&mut self, producer: &mut Producer, bytes: u64) {
        let end = self.sent.position().wrapping_add(bytes);
        while end.wrapping_sub(self.sent.position()) >= 192 {
            self.send(producer, 56);
        }
        let rest = end.wrapping_sub(self.sent.position());
        if rest > 0 {
            self.send(producer, rest as usize - 8);
        }
    }

    /// Fills the ring up to the gates in it.
    pub(super) fn fill_up(&mut self, producer: &mut Producer) {
        for len in [56, 0] {
            loop {
                match producer.try_send(&payload(self.sent.next(), len)) {
                    Ok(_) => self.note(len),
                    Err(SendError::Full { .. }) => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    pub(super) fn receive(&self, consumer: &mut Consumer, records: usize) {
        for _ in 0..records {
            assert!(matches!(consumer.try_recv(), Ok(Some(Event::Record(_)))), "a record");
        }
    }

    pub(super) fn name(&mut self, name: &str, consumer: &Consumer, held: bool) {
        let sequence = consumer.next_sequence();
        self.notes.names.retain(|other| other.name != name);
        self.notes.names.push(Name { name: name.to_owned(), sequence, gated: true, held });
    }

    /// What is claimed, and dirtied, but never published.
    pub(super) fn dirt(&mut self, bytes: u64) {
        self.notes.dirt = Some(self.sent.position().wrapping_add(bytes));
    }
}

/// Stays as it is until its process is killed.
pub(super) fn corpse<T>(handle: T) {
    std::mem::forget(handle);
}
