use std::path::Path;
use std::sync::mpsc;
use std::thread;

use super::*;
use crate::work::BATCH;

/// Records, no two of which are alike in any word.
fn record<const N: usize>(number: u64) -> [u64; N] {
    std::array::from_fn(|word| number << 8 | word as u64)
}

/// Sends and receives at once: every record arrives whole, once, and in order. Senders stay in the thread that makes
/// them, and are there until everything was received.
fn passes<const N: usize, S: Sender<N>, R: Receiver<N>>(
    sender: impl FnOnce() -> S + Send,
    receiver: impl FnOnce() -> R,
    batched: bool,
) {
    const COUNT: u64 = 3000;
    let (made, is_made) = mpsc::channel();
    let (attached, is_attached) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut sender = sender();
            made.send(()).unwrap();
            is_attached.recv().unwrap();
            for number in 0..COUNT {
                sender.send(&record(number)).unwrap();
            }
            assert_eq!(sender.send_batch(&record(COUNT)).is_ok(), batched);
            // Until the other side lets go of its end.
            assert!(is_attached.recv().is_err());
        });
        is_made.recv().unwrap();
        let mut receiver = receiver();
        // Moved here, so that it goes also if something is wrong.
        let attached = attached;
        attached.send(()).unwrap();
        let mut seen = 0;
        let all = COUNT + if batched { BATCH as u64 } else { 0 };
        while seen < all {
            let before = seen;
            let each = |received: &[u64; N]| {
                assert_eq!(*received, record(seen.min(COUNT)));
                seen += 1;
            };
            let some = receiver.receive(each).unwrap();
            assert_eq!(some as u64, seen - before);
        }
        assert_eq!(receiver.receive(|_| panic!("nothing more was sent")).unwrap(), 0);
    });
}

/// Between two handles on the same file, as if in two processes.
fn passes_between<const N: usize, P: Peer<N>>(batched: bool) {
    let directory = tempfile::Builder::new().prefix("quoit-peers-test-").tempdir().unwrap();
    let path: &Path = &directory.path().join("there");
    let shape = Shape { lossy: false, alternating: false };
    passes::<N, _, _>(|| P::sender(path, shape).unwrap(), || P::receiver(path, shape).unwrap(), batched);
}

fn passes_within<const N: usize, P: Inside<N>>(batched: bool) {
    let (sender, receiver) = P::pair(Shape { lossy: false, alternating: false }).unwrap();
    passes::<N, _, _>(|| sender, || receiver, batched);
}

/// Every size that is measured.
macro_rules! intact {
    ($($name:ident: $passes:ident, $peer:ty, $system:ident;)*) => {$(
        #[test]
        fn $name() {
            let batched = System::$system.batches();
            $passes::<1, $peer>(batched);
            $passes::<8, $peer>(batched);
            $passes::<32, $peer>(batched);
        }
    )*};
}

intact! {
    quoit_is_intact: passes_between, quoit::Quoit, Quoit;
    shaq_is_intact: passes_between, shaq::Shaq, Shaq;
    ringfire_is_intact: passes_between, ringfire::Ringfire, Ringfire;
    outcry_is_intact: passes_between, outcry::Outcry, Outcry;
    bcast_is_intact: passes_between, bcast::Bcast, Bcast;
    pipe_is_intact: passes_between, kernel::Pipe, Pipe;
    socket_is_intact: passes_between, kernel::Socket, Socket;
    rtrb_is_intact: passes_within, inside::Rtrb, Rtrb;
    disruptor_is_intact: passes_within, inside::Disruptor, Disruptor;
    crossbeam_is_intact: passes_within, inside::Crossbeam, Crossbeam;
}

/// Its ends stay in the thread that made them: one record at a time.
#[test]
fn iceoryx2_is_intact() {
    // It leaves shared memory behind, which a place removes.
    let place = crate::place::Place::new().unwrap();
    let path: &Path = &place.path().join("there");
    let shape = Shape { lossy: false, alternating: false };
    let mut sender = <iceoryx::Iceoryx as Peer<8>>::sender(path, shape).unwrap();
    let mut receiver = <iceoryx::Iceoryx as Peer<8>>::receiver(path, shape).unwrap();
    for number in 0..500 {
        sender.send(&record(number)).unwrap();
        let some = receiver.receive(|received| assert_eq!(*received, record(number))).unwrap();
        assert_eq!(some, 1);
    }
    assert_eq!(receiver.receive(|_| panic!("nothing more was sent")).unwrap(), 0);
}
