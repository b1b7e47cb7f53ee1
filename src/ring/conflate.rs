//! `Conflate`: the newest record of each key.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::error::RecvError;
use crate::ring::any::AnyReader;
use crate::ring::protocol::record::{Event, Record};
use crate::wait::clock;
use crate::wait::timestamp::Timestamp;

/// Hands out the newest record of each key, of those that piled up since the last call.
///
/// For a reader that follows the state of many things in one stream, such as the prices of many instruments, and that
/// may be slower than the stream. A function gets the key out of each record. Of the records that are there when it is
/// called, a receive returns the newest of each key, in the order of their sequences, and says how many older ones each
/// of them replaced. Payloads are copied into buffers that are used again.
///
/// It keeps records of `keys` keys at most, and one more. If records of more keys have piled up, a receive returns what
/// it has got, and the next one goes on from there. The memory is bounded by that number of the largest records.
///
/// Every record is received, and so released and accounted for as usual. A replaced record is neither lost nor skipped:
/// [`replaced`](Self::replaced) counts it. One thread at a time uses this; it may move between threads.
///
/// ```
/// use quoit::{Attach, Conflate, Options, Record, Ring};
///
/// fn symbol(record: &Record<'_>) -> [u8; 6] {
///     let mut symbol = [0; 6];
///     record.copy_to(&mut symbol);
///     symbol
/// }
///
/// let ring = Ring::heap(&Options::new().capacity(4096))?;
/// let mut prices = Conflate::new(ring.consumer(&Attach::gated())?, 1000, symbol);
/// let mut producer = ring.producer()?;
/// for tick in ["EURUSD 1.0842", "USDJPY 155.31", "EURUSD 1.0843", "EURUSD 1.0841"] {
///     producer.send(tick.as_bytes())?;
/// }
/// let newest = prices.try_recv(|event| println!("{event}"))?;
/// let shown: Vec<_> = newest.iter().map(|newest| (&newest.payload[7..], newest.replaced)).collect();
/// assert_eq!(shown, [(&b"155.31"[..], 0), (b"1.0841", 2)]);
/// assert!(prices.try_recv(|_| {})?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Conflate<K, F> {
    reader: AnyReader,
    key: F,
    keys: usize,
    /// Where the record of each key of this round is in `newest`.
    places: HashMap<K, usize>,
    /// The records of this round, then buffers that are not in use.
    newest: Vec<Newest<K>>,
    used: usize,
    /// The last record is of a key for which the last round had no place: it begins the next one.
    carried: bool,
    replaced: u64,
}

/// The newest record of a key: see [`Conflate`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Newest<K> {
    /// What the key function returned for it.
    pub key: K,
    /// The record's number in the stream.
    pub sequence: u64,
    /// When it was published: as [`Record::time`].
    pub time: Option<Timestamp>,
    /// Its payload.
    pub payload: Vec<u8>,
    /// How many older records of the key it replaced since the last receive.
    pub replaced: u64,
}

impl<K> Newest<K> {
    fn set(&mut self, record: &Record<'_>) {
        (self.sequence, self.time) = (record.sequence(), record.time());
        self.payload.clear();
        record.append_to(&mut self.payload);
    }

    fn replace(&mut self, record: &Record<'_>) {
        self.set(record);
        self.replaced = self.replaced.wrapping_add(1);
    }
}

/// Stores the first record of a key, in a buffer that is not in use, or in a new one behind the others.
fn put<K>(newest: &mut Vec<Newest<K>>, place: usize, key: K, record: &Record<'_>) {
    match newest.get_mut(place) {
        Some(newest) => {
            (newest.key, newest.replaced) = (key, 0);
            newest.set(record);
        }
        None => {
            let (sequence, time, payload) = (record.sequence(), record.time(), record.to_vec());
            newest.push(Newest { key, sequence, time, payload, replaced: 0 });
        }
    }
}

impl<K, F> Conflate<K, F>
where
    K: Clone + Eq + Hash,
    F: FnMut(&Record<'_>) -> K,
{
    /// Over a consumer or an observer, for up to `keys` keys at a time (at least 1).
    pub fn new(reader: impl Into<AnyReader>, keys: usize, key: F) -> Self {
        Self {
            reader: reader.into(),
            key,
            keys: keys.max(1),
            places: HashMap::new(),
            newest: Vec::new(),
            used: 0,
            carried: false,
            replaced: 0,
        }
    }

    /// The newest record of each key that piled up. Never waits; empty if there is none. Other events are passed to
    /// `other`: after a loss, keys may have had newer records than those known here.
    ///
    /// # Errors
    ///
    /// As [`Consumer::try_recv`](crate::Consumer::try_recv). What was received before an error is returned first.
    pub fn try_recv(&mut self, mut other: impl FnMut(Event<'_>)) -> Result<&[Newest<K>], RecvError> {
        self.begin();
        self.gather(&mut other)
    }

    /// As [`try_recv`](Self::try_recv), but waits until there is a record.
    ///
    /// # Errors
    ///
    /// As [`Consumer::recv`](crate::Consumer::recv).
    pub fn recv(&mut self, other: impl FnMut(Event<'_>)) -> Result<&[Newest<K>], RecvError> {
        self.recv_until(u64::MAX, other)
    }

    /// As [`recv`](Self::recv), waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv); [`RecvError::TimedOut`].
    pub fn recv_deadline(
        &mut self,
        deadline: Instant,
        other: impl FnMut(Event<'_>),
    ) -> Result<&[Newest<K>], RecvError> {
        self.recv_until(clock::deadline_ns(deadline), other)
    }

    /// As [`recv_deadline`](Self::recv_deadline), `timeout` from now.
    ///
    /// # Errors
    ///
    /// As [`recv_deadline`](Self::recv_deadline).
    pub fn recv_timeout(
        &mut self,
        timeout: Duration,
        other: impl FnMut(Event<'_>),
    ) -> Result<&[Newest<K>], RecvError> {
        self.recv_until(clock::monotonic_ns().saturating_add(clock::duration_ns(timeout)), other)
    }

    fn recv_until(
        &mut self,
        until_ns: u64,
        mut other: impl FnMut(Event<'_>),
    ) -> Result<&[Newest<K>], RecvError> {
        self.begin();
        if self.used == 0 {
            let receiver = self.reader.receiver_mut();
            let Some(record) = receiver.recv_record_until(until_ns, &mut other)? else {
                return Err(RecvError::TimedOut);
            };
            let key = (self.key)(&record);
            put(&mut self.newest, 0, key.clone(), &record);
            self.places.insert(key, 0);
            self.used = 1;
        }
        self.gather(&mut other)
    }

    /// Begins a round, with the record that the last one had no place for.
    fn begin(&mut self) {
        self.places.clear();
        self.used = 0;
        // It has the last buffer, behind those of a full round.
        if std::mem::take(&mut self.carried)
            && let Some(last) = self.newest.pop()
        {
            self.places.insert(last.key.clone(), 0);
            self.used = 1;
            if let Some(first) = self.newest.first_mut() {
                let spare = std::mem::replace(first, last);
                self.newest.push(spare);
            }
        }
    }

    /// Receives what is published by now.
    fn gather(&mut self, other: &mut impl FnMut(Event<'_>)) -> Result<&[Newest<K>], RecvError> {
        let Self { reader, key, keys, places, newest, used, carried, replaced } = self;
        let receiver = reader.receiver_mut();
        let until = receiver.published();
        // At least once, since a receive that finds nothing releases the last record.
        loop {
            match receiver.try_recv() {
                Ok(Some(Event::Record(record))) => {
                    let key = key(&record);
                    if let Some(newest) = places.get(&key).and_then(|place| newest.get_mut(*place)) {
                        newest.replace(&record);
                        *replaced = replaced.wrapping_add(1);
                    } else {
                        put(newest, *used, key.clone(), &record);
                        *carried = *used == *keys;
                        if *carried {
                            break;
                        }
                        places.insert(key, *used);
                        *used += 1;
                    }
                }
                Ok(Some(event)) => other(event),
                Ok(None) => break,
                Err(error) if *used == 0 => return Err(error),
                // An error of `try_recv` stays: the next call returns it.
                Err(_) => break,
            }
            if until.is_none_or(|until| receiver.has_reached(until)) {
                break;
            }
        }
        let newest = newest.get_mut(..*used).unwrap_or_default();
        // By their distance, since sequences wrap.
        let first = newest.first().map_or(0, |newest| newest.sequence);
        newest.sort_unstable_by_key(|newest| newest.sequence.wrapping_sub(first) as i64);
        Ok(newest)
    }

    /// How many records were replaced by newer ones so far.
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// The reader, for its other methods. What it receives by itself is not conflated. Wait for it in a wait set only
    /// after a receive that returned records of fewer than `keys` keys, since one more may be here.
    pub fn reader_mut(&mut self) -> &mut AnyReader {
        &mut self.reader
    }

    /// The reader. A record that was received and not returned yet, for which the last receive had no place, is dropped.
    pub fn into_reader(self) -> AnyReader {
        self.reader
    }
}

impl<K, F> fmt::Debug for Conflate<K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conflate")
            .field("reader", &self.reader)
            .field("keys", &self.keys)
            .field("replaced", &self.replaced)
            .finish_non_exhaustive()
    }
}
