//! Files cut short under a wait for many things: the one that is gone is ready, and the try says why.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use quoit::sync::{Event, Reset, SyncOptions};
use quoit::{Attach, Consumer, Error, Options, Producer, RecvError, SendError, WaitFd, WaitSet, Waitable};
use rustix::event::{PollFd, PollFlags, poll};

use crate::process::{Part, Stage};

fn cut_soon(ring: &Path) -> std::thread::JoinHandle<()> {
    let file = File::options().write(true).open(ring).expect("open");
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        file.set_len(0).expect("cut");
    })
}

/// In a process that is guarded. `ring`: a directory.
pub(crate) fn wait(part: &Part) {
    let directory = part.ring();
    for by in ["set", "descriptor"] {
        let rings = ["a", "b", "c"].map(|name| directory.join(format!("{by}-{name}")));
        for ring in &rings {
            Options::new().capacity(4096).slots(2).create(ring).expect("create");
        }
        let [mut first, mut second] =
            [0, 1].map(|at| Consumer::open(&rings[at], &Attach::gated()).expect("attach"));
        let mut producer = Producer::open(&rings[2]).expect("become the producer");
        let _slow = Consumer::open(&rings[2], &Attach::gated()).expect("attach");
        while producer.try_send(&[0; 1000]).is_ok() {}
        let mut set = WaitSet::new();
        set.set_spins(0);
        let mut descriptor = WaitFd::new().expect("a descriptor");
        let mut wait = |things: &mut [&mut dyn Waitable]| match by {
            "set" => set.wait(things).into_iter().collect::<Vec<_>>(),
            _ => loop {
                let ready: Vec<_> = descriptor.arm(things).expect("arm").into_iter().collect();
                if !ready.is_empty() {
                    break ready;
                }
                poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], None).expect("poll");
            },
        };
        let cutter = cut_soon(&rings[1]);
        assert_eq!(wait(&mut [&mut first, &mut second, &mut producer.space(1000)]), [1], "{by}");
        assert!(matches!(second.try_recv(), Err(RecvError::Truncated)));
        cutter.join().expect("cut");
        let signal = directory.join(format!("{by}-event"));
        let mut event = Event::create(&signal, &SyncOptions::new(), Reset::Auto).expect("create");
        let cutter = cut_soon(&signal);
        assert_eq!(wait(&mut [&mut first, &mut event]), [1], "{by}");
        assert!(matches!(event.try_wait(), Err(Error::Truncated)));
        cutter.join().expect("cut");
        let cutter = cut_soon(&rings[2]);
        assert_eq!(wait(&mut [&mut first, &mut producer.space(1000)]), [1], "{by}");
        assert!(matches!(producer.try_send(&[0; 1000]), Err(SendError::Truncated)));
        cutter.join().expect("cut");
    }
}

#[test]
fn a_wait_for_many_things_is_told_which_is_gone() {
    let stage = Stage::tmpfs(60);
    Part::new("wait").on(stage.path()).with("guard", true).start().finish();
}
