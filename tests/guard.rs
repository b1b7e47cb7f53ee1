//! The guard against SIGBUS, between real processes: files cut short and hollowed out under every role.
//!
//! `QUOIT_TRUNCATIONS` sets how many files are cut at random moments: 40 unless set, 10000 for the full form.
#![allow(unsafe_code, reason = "forks, foreign maps and foreign handlers")]

#[path = "guard/cut.rs"]
mod cut;
#[path = "guard/foreign.rs"]
mod foreign;
#[path = "guard/hollow.rs"]
mod hollow;
#[path = "guard/limits.rs"]
mod limits;
#[path = "guard/locks.rs"]
mod locks;
#[path = "processes/process.rs"]
#[allow(dead_code, reason = "shared with the tests of processes")]
mod process;
#[path = "guard/waitset.rs"]
mod waitset;
#[path = "guard/within.rs"]
mod within;

use process::Part;

/// Not a test of its own: the way into the processes that the tests start.
#[test]
fn child() {
    let Some(part) = Part::of_this_process() else { return };
    if part.find("guard") == Some(true) {
        quoit::guard_against_truncation().expect("guard");
    }
    match part.name() {
        "play" => cut::play(&part),
        "touch" => cut::touch(&part),
        "hollow" => hollow::hollow(&part),
        "foreign" => foreign::foreign(&part),
        "limited" => limits::limited(&part),
        "lock" => locks::lock(&part),
        "meet" => locks::meet(&part),
        "read" => locks::read(&part),
        "wait" => waitset::wait(&part),
        "threads" => within::threads(),
        "fork" => within::fork(),
        "claims" => within::claims(),
        other => panic!("no such part: {other}"),
    }
    // Before the harness has anything to add on the standard output.
    std::process::exit(0);
}
