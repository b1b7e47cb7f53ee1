//! Every adapter moves every record whole, once and in order, in every way in which it is measured.

use std::path::Path;
use std::sync::mpsc;
use std::thread;

use quoit_floors::building::{Builder, ByField, Copied, InPlace};
use quoit_floors::fields::{Flag, Quote};

use super::*;
use crate::ends::{BATCH, Pace};
use crate::place::Place;
use crate::ways::{Batched, Placed, Singly, Way};

/// Whole batches.
const COUNT: u64 = 47 * BATCH as u64;

/// Sends and receives at once. Senders stay in the thread that makes them, and are there until everything was received.
fn passes<const N: usize, S, W: Way<S>>(
    sender: impl FnOnce() -> S + Send,
    receiver: impl FnOnce() -> Result<Box<dyn FnOnce(u64)>>,
) {
    let (made, is_made) = mpsc::channel();
    let (attached, is_attached) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut sender = sender();
            made.send(()).unwrap();
            is_attached.recv().unwrap();
            W::new().send(&mut sender, COUNT).unwrap();
            // Until the other side lets go of its end.
            assert!(is_attached.recv().is_err());
        });
        is_made.recv().unwrap();
        let receive = receiver().unwrap();
        // Moved here, so that it goes also if something is wrong.
        let attached = attached;
        attached.send(()).unwrap();
        receive(COUNT);
    });
}

/// Receives so many records, and no more: those of this builder.
fn receives<const N: usize>(mut receiver: impl Receiver<N>, mut expected: impl Builder<N>, count: u64) {
    let mut seen = 0;
    while seen < count {
        let before = seen;
        let each = |received: &crate::record::Words<N>| {
            assert_eq!(received.map(u64::from_le_bytes), *expected.build(), "record {seen}");
            seen += 1;
        };
        let some = receiver.receive(each).unwrap();
        assert_eq!(some as u64, seen - before);
    }
    assert_eq!(receiver.receive(|_| panic!("nothing more was sent")).unwrap(), 0);
}

/// Between two handles on the same queue, as if in two processes.
fn between<const N: usize, R, P, W, B>(shape: Shape)
where
    R: Record<N>,
    P: Peer<N, R>,
    W: Way<P::Sender>,
    B: Builder<N> + 'static,
    P::Receiver: 'static,
{
    let place = Place::new().unwrap();
    let path: &Path = &place.path().join("there");
    passes::<N, _, W>(
        || P::sender(path, shape).unwrap(),
        || {
            let receiver = P::receiver(path, shape)?;
            Ok(Box::new(move |count| receives(receiver, B::new(), count)))
        },
    );
}

fn within<const N: usize, R, P, W, B>(shape: Shape)
where
    R: Record<N>,
    P: Inside<N, R>,
    W: Way<P::Sender>,
    B: Builder<N> + 'static,
    P::Receiver: 'static,
{
    let (sender, mut receivers) = P::ends(shape).unwrap();
    let receiver = receivers.pop().unwrap();
    passes::<N, _, W>(|| sender, || Ok(Box::new(move |count| receives(receiver, B::new(), count))));
}

macro_rules! singly {
    ($passes:ident, $peer:ty) => {
        $passes::<1, [u64; 1], $peer, Singly<1, Copied<1>>, Copied<1>>(Shape::STREAM);
        $passes::<8, [u64; 8], $peer, Singly<8, Copied<8>>, Copied<8>>(Shape::STREAM);
        $passes::<32, [u64; 32], $peer, Singly<32, Copied<32>>, Copied<32>>(Shape::STREAM);
    };
}

/// Of what has another end for records that are waited for one by one, or is lossy when it floods. All fit into a queue, so a
/// lossy one has no reason to lose any.
macro_rules! shaped {
    ($passes:ident, $peer:ty) => {
        for pace in [Pace::Due, Pace::Alternating] {
            let shape = Shape { pace, ..Shape::STREAM };
            $passes::<8, [u64; 8], $peer, Singly<8, Copied<8>>, Copied<8>>(shape);
        }
        let shape = Shape { lossy: true, ..Shape::STREAM };
        $passes::<8, [u64; 8], $peer, Singly<8, Copied<8>>, Copied<8>>(shape);
    };
}

macro_rules! typed {
    ($passes:ident, $peer:ty) => {
        $passes::<1, Flag, $peer, Singly<1, ByField<Flag>>, ByField<Flag>>(Shape::STREAM);
        $passes::<8, [Quote; 4], $peer, Singly<8, ByField<[Quote; 4]>>, ByField<[Quote; 4]>>(Shape::STREAM);
    };
}

macro_rules! placed {
    ($passes:ident, $peer:ty) => {
        let shape = Shape { in_place: true, ..Shape::STREAM };
        $passes::<1, [u64; 1], $peer, Placed<1>, InPlace<1>>(shape);
        $passes::<32, [u64; 32], $peer, Placed<32>, InPlace<32>>(shape);
    };
}

macro_rules! batched {
    ($passes:ident, $peer:ty) => {
        $passes::<1, [u64; 1], $peer, Batched<1>, Copied<1>>(Shape::STREAM);
        $passes::<8, [u64; 8], $peer, Batched<8>, Copied<8>>(Shape::STREAM);
        $passes::<32, [u64; 32], $peer, Batched<32>, Copied<32>>(Shape::STREAM);
    };
}

macro_rules! intact {
    ($($name:ident: $passes:ident $peer:ty, $($way:ident)*;)*) => {$(
        #[test]
        fn $name() {
            $($way!($passes, $peer);)*
        }
    )*};
}

intact! {
    quoit_is_intact: between quoit::Quoit, singly shaped typed placed batched;
    shaq_is_intact: between shaq::Shaq, singly typed placed batched;
    shaqs_broadcast_is_intact: between shaq::Broadcast, singly batched;
    ringfire_is_intact: between ringfire::Ringfire, singly shaped typed batched;
    outcry_is_intact: between outcry::Outcry, singly;
    bcast_is_intact: between bcast::Bcast, singly placed;
    iceoryx2_is_intact: between iceoryx::Iceoryx, singly shaped typed placed;
    pipe_is_intact: between kernel::Pipe, singly batched;
    socket_is_intact: between kernel::Socket, singly batched;
    rtrb_is_intact: within rtrb::Rtrb, singly typed placed batched;
    crossbeam_is_intact: within crossbeam::Crossbeam, singly typed;
    disruptor_is_intact: within disruptor::Disruptor, singly typed placed batched;
}

/// Each of several consumers gets every record.
fn fans<W: Way<S>, S>(sender: &mut S, receivers: Vec<impl Receiver<8>>) {
    W::new().send(sender, COUNT).unwrap();
    for receiver in receivers {
        receives(receiver, Copied::new(), COUNT);
    }
}

const SEVERAL: Shape = Shape { consumers: 3, ..Shape::STREAM };

fn fans_between<P: Peer<8, [u64; 8]>, W: Way<P::Sender>>() {
    let place = Place::new().unwrap();
    let path: &Path = &place.path().join("there");
    let mut sender = P::sender(path, SEVERAL).unwrap();
    let receivers = (0..SEVERAL.consumers).map(|_| P::receiver(path, SEVERAL).unwrap()).collect();
    fans::<W, _>(&mut sender, receivers);
}

fn fans_within<P: Inside<8, [u64; 8]>, W: Way<P::Sender>>() {
    let (mut sender, receivers) = P::ends(SEVERAL).unwrap();
    fans::<W, _>(&mut sender, receivers);
}

type Copies = Singly<8, Copied<8>>;

#[test]
fn every_consumer_gets_every_record() {
    fans_between::<quoit::Quoit, Copies>();
    fans_between::<shaq::Broadcast, Copies>();
    fans_between::<ringfire::Ringfire, Copies>();
    fans_between::<outcry::Outcry, Copies>();
    fans_between::<bcast::Bcast, Copies>();
    fans_between::<iceoryx::Iceoryx, Copies>();
    fans_within::<disruptor::Fanning, Copies>();
}

#[test]
fn every_consumer_gets_every_batch() {
    fans_between::<quoit::Quoit, Batched<8>>();
    fans_between::<shaq::Broadcast, Batched<8>>();
    fans_between::<ringfire::Ringfire, Batched<8>>();
    fans_within::<disruptor::Fanning, Batched<8>>();
}
