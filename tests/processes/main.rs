//! The ring between real processes: load, `kill -9`, stops, forks, namespaces, rights.
//!
//! This binary plays all the parts. A test starts it again with the part to play in the environment; see
//! `process.rs`. What the ring says is checked against what its participants noted elsewhere; see `oracle.rs`.
//!
//! `QUOIT_KILLS` scales the kill tests: how many processes each of them kills of each role.

mod alone;
mod alone_objects;
mod barrier;
mod event;
mod filters;
mod forks;
mod group;
mod group_beside;
mod integrity;
mod kills;
mod latest;
mod limits;
mod load;
mod locks;
mod many;
mod mutex;
mod namespaces;
mod oracle;
mod ownership;
mod process;
mod python;
mod rights;
mod rwlock;
mod semaphore;
mod service;
mod signals;
mod skips;
mod sleepers;
mod stages;
mod stopped;
mod table;
mod times;
mod waitset;
mod ways;
mod words;

use process::Part;

/// Not a test of its own: the way into the processes that the tests start.
#[test]
fn child() {
    let Some(part) = Part::of_this_process() else { return };
    match part.name() {
        "produce" => load::produce(&part),
        "consume" => load::consume(&part),
        "race to create" => ownership::race_to_create(&part),
        "race to succeed" => ownership::race_to_succeed(&part),
        "create" => ownership::create(&part),
        "hold" => ownership::hold(&part),
        "family" => forks::family(&part),
        "fork within" => forks::within(&part),
        "forking storm" => forks::storm(&part),
        "descriptors" => forks::descriptors(&part),
        "idle consumer" => stopped::idle(&part),
        "evicted consumer" => stopped::evicted(&part),
        "signals" => signals::storm(&part),
        "in a storm" => signals::in_a_storm(&part),
        "take the newest" => skips::take(&part),
        "write latest" => latest::write(&part),
        "contend for a mutex" => mutex::contend(&part),
        "hold a mutex" => mutex::hold(&part),
        "read and write" => rwlock::contend(&part),
        "take what there is" => rwlock::take(&part),
        "write a row" => table::write(&part),
        "read rows" => table::read(&part),
        "publish with times" => times::publish(&part),
        "meet at a barrier" => barrier::meet(&part),
        "join a latch" => barrier::join(&part),
        "do it once" => barrier::once(&part),
        "lend a mutex" => mutex::lend(&part),
        "wait for an event" => event::wait(&part),
        "set an event" => event::set(&part),
        "contend for permits" => semaphore::contend(&part),
        "hold permits" => semaphore::hold(&part),
        "follow beside a group" => group_beside::follow(&part),
        "work in a group" => group::work(&part),
        "keep records of a group" => group::keep(&part),
        "pass on" => stages::pass_on(&part),
        "stay a stage" => stages::stay(&part),
        "serve calls" => service::serve(&part),
        "make calls" => service::call(&part),
        "hold a request" => service::hold(&part),
        "call repeatably" => service::call_repeatably(&part),
        "fork with calls" => service::fork(&part),
        "fork with a guard" => mutex::fork_with_a_guard(&part),
        "locks without futexes" => locks::without_futexes(&part),
        "fork with locks" => locks::fork_with_locks(&part),
        "tamper" => signals::tamper(&part),
        "filtered" => filters::filtered(&part),
        "answer" => filters::answer(&part),
        "ask" => filters::ask(&part),
        "rights" => rights::show(&part),
        "leaks" => rights::leaks(&part),
        "no locked memory" => rights::without_locked_memory(&part),
        "file size" => limits::file_size(&part),
        "control group" => limits::control_group(&part),
        "many" => many::many(&part),
        "dump" => many::dump(&part),
        "full disk" => namespaces::full_disk(&part),
        "apart" => namespaces::apart(&part),
        "alone" => alone::alone(&part),
        "ahead" => alone::ahead(&part),
        "serve one call" => alone::serve_one(&part),
        "make one call" => alone::call_one(&part),
        "take one record" => alone::take_one(&part),
        "look" => alone::look(&part),
        "send when told" => alone::send_when_told(&part),
        "sleep and tell" => alone::sleep_and_tell(&part),
        "follow a latest value" => alone_objects::follow(&part),
        "set when told" => alone_objects::set_when_told(&part),
        "work when told" => alone_objects::work_when_told(&part),
        "serve the lonely" => alone_objects::serve(&part),
        "call when told" => alone_objects::call_when_told(&part),
        "ids come back" => alone::ids_come_back(&part),
        "idle" => alone::idle(&part),
        "follow many" => waitset::follow(&part),
        "one word" => waitset::one_word(&part),
        "too many" => waitset::too_many(&part),
        "without helpers" => waitset::without_helpers(&part),
        "wait and fork" => waitset::forked(&part),
        other => panic!("no such part: {other}"),
    }
    // Before the harness has anything to add on the standard output.
    std::process::exit(0);
}
