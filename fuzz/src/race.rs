//! As `walk`, but truly at the same time: another thread writes the garbage over and over, as fast as it can.

use std::sync::atomic::{AtomicBool, Ordering};

use super::input::Input;
use super::rings::{CAPACITY, SLOTS, with_ring};
use super::scene::Scene;
use super::script::{self, Area, Poke};

/// How often the garbage is written at most; those who read are hardly ever done by then.
const ROUNDS: usize = 2000;

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let base = input.below(256);
    let pokes: Vec<Poke> = (0..input.below(16)).map(|_| Poke::read(&mut input, Area::Anywhere)).collect();
    let trusted = !pokes.iter().any(Poke::taints);
    with_ring(base, |ring, memory| {
        let theirs = ring.memory().expect("on the heap");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let theirs = theirs;
                for _ in 0..ROUNDS {
                    for poke in &pokes {
                        poke.apply(&theirs);
                    }
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            let mut scene = Scene::new(ring, CAPACITY, SLOTS, trusted);
            script::install(memory, Vec::new());
            scene.play(&mut input, 48);
            drop(scene);
            script::remove();
            done.store(true, Ordering::Relaxed);
        });
    });
}
