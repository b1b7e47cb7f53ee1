//! A real ring, and somebody who writes into it between the single accesses of those who read it: before exactly the
//! accesses that the input names, so every run is the same.

use super::input::Input;
use super::rings::{CAPACITY, SLOTS, with_ring};
use super::scene::Scene;
use super::script::{self, Area, Poke};

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let base = input.below(256);
    let pokes: Vec<Poke> = (0..input.below(16)).map(|_| Poke::read(&mut input, Area::Anywhere)).collect();
    let trusted = !pokes.iter().any(Poke::taints);
    with_ring(base, |ring, memory| {
        let mut scene = Scene::new(ring, CAPACITY, SLOTS, trusted);
        script::install(memory, pokes);
        scene.play(&mut input, 48);
        drop(scene);
        script::remove();
    });
}
