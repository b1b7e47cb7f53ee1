//! Ring rings between real processes: how they are handed over, and what a hostile consumer can no longer do.
//!
//! As root the hostile peers are run once more under another user id.
#![allow(unsafe_code, reason = "the hostile map memory and scribble on it")]

#[path = "sealed/hand_over.rs"]
mod hand_over;
#[path = "sealed/hostile.rs"]
mod hostile;
#[path = "processes/process.rs"]
#[allow(dead_code, reason = "shared with the tests of processes")]
mod process;
#[path = "sealed/refused.rs"]
mod refused;

use process::Part;

/// Not a test of its own: the way into the processes that the tests start.
#[test]
fn child() {
    let Some(part) = Part::of_this_process() else { return };
    match part.name() {
        "follow" => hand_over::follow(&part),
        "write" => hostile::write(&part),
        "scribble" => hostile::scribble(&part),
        "publish and die" => hand_over::publish_and_die(&part),
        other => panic!("no such part: {other}"),
    }
    // Before the harness has anything to add on the standard output.
    std::process::exit(0);
}
