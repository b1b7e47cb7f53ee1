//! A lock, a latest value, a group and a service whose processes share nothing but the files: user, PID, time, mount and
//! other namespaces are each one's own, as in `alone`.

use std::path::Path;
use std::time::Instant;

use quoit::service::{CallOptions, Client, Outcome, Server, ServiceOptions};
use quoit::sync::{Latest, LatestOptions, LatestReader, Mutex, SyncOptions};
use quoit::{Error, Group, GroupEvent, GroupInspector, GroupMember, Options, Producer, Start};

use crate::alone::Cast;
use crate::process::{Part, Process, SOON, Stage, eventually, hear, note, say};

/// Starts the first of the lonely and returns what it said, if there may be any.
fn first(part: &Part, what: &str) -> Option<(Process, String)> {
    let mut process = part.start();
    let line = process.line(SOON);
    if line == "skipped" {
        note(format_args!("SKIPPED, no privilege for namespaces: {what}"));
        return None;
    }
    Some((process, line))
}

fn soon() -> Instant {
    Instant::now() + SOON
}

#[test]
fn a_mutex_where_nothing_is_shared_but_the_file() {
    let stage = Stage::tmpfs(60);
    let path = stage.file("mutex");
    let mut mutex = Mutex::create(&path, &SyncOptions::new().seats(4), &1_u64).expect("create");
    let mut cast = Cast::on(&path);
    let Some((mut holder, line)) = first(&cast.part("hold a mutex"), "a mutex") else { return };
    assert_eq!(line, "waits");
    assert_eq!(holder.says("holds"), [2]);
    let mut next = cast.part("hold a mutex").start();
    next.says("waits");
    eventually("the next one sleeps", || mutex.waiting() == [1]);
    let seen = mutex.holder().expect("look").expect("it is held");
    assert!(seen.is_alive && seen.pid == 1, "process ids mean nothing here: {seen:?}");
    assert!(next.is_silent(), "two have it");
    // One wakes the other.
    holder.tell("go on");
    holder.says("done");
    assert_eq!(next.says("holds"), [3]);
    // And a death is told, to another one and here.
    let mut last = cast.part("hold a mutex").start();
    last.says("waits");
    eventually("the last one sleeps", || mutex.waiting() == [1]);
    next.kill();
    assert_eq!(last.says("holds"), [3], "what was not committed is gone");
    last.kill();
    let told = mutex.lock_deadline(soon()).map(drop);
    assert!(matches!(told, Err(Error::Abandoned)), "{told:?}");
    assert_eq!(*mutex.recover().expect("lock"), 2);
    holder.finish();
}

/// Says each value that it has not seen yet.
pub(crate) fn follow(part: &Part) {
    let mut reader = LatestReader::<u64>::open(part.ring()).expect("open");
    say(format_args!("got {}", reader.get().expect("the value")));
    loop {
        if let Some(value) = reader.next_deadline(soon()).expect("the next value") {
            say(format_args!("got {value}"));
        }
    }
}

/// Sets one value more each time it is told to.
pub(crate) fn set_when_told(part: &Part) {
    let mut latest = Latest::<u64>::open(part.ring()).expect("become the writer");
    say(format_args!("writes {}", latest.get().expect("the value")));
    loop {
        hear();
        let next = latest.get().expect("the value") + 1;
        latest.set(&next).expect("set");
    }
}

#[test]
fn a_latest_value_where_nothing_is_shared_but_the_file() {
    let stage = Stage::tmpfs(60);
    let path = stage.file("latest");
    drop(Latest::create(&path, &LatestOptions::new(), &1_u64).expect("create"));
    let mut cast = Cast::on(&path);
    let Some((mut reader, line)) = first(&cast.part("follow a latest value"), "a latest value") else {
        return;
    };
    assert_eq!(line, "got 1");
    let ours = LatestReader::<u64>::open(&path).expect("open");
    let mut value = 1;
    for _ in 0..2 {
        let mut writer = cast.part("set when told").start();
        assert_eq!(writer.says("writes"), [value]);
        assert!(ours.writer_alive());
        assert!(matches!(Latest::<u64>::open(&path), Err(Error::WriterAlive { .. })));
        for _ in 0..20 {
            writer.tell("set");
            value += 1;
            assert_eq!(reader.says("got"), [value]);
        }
        writer.kill();
        eventually("its death is seen", || !ours.writer_alive());
    }
}

fn group() -> Group {
    Group::new("lonely").start(Start::Oldest).hold_forever().members(4)
}

/// Takes one record after the other, says which and how often it was handed out, and acknowledges it when it is told to.
pub(crate) fn work_when_told(part: &Part) {
    let mut member = GroupMember::join(part.ring(), &group()).expect("join");
    member.set_spins(0);
    say("works");
    loop {
        match member.recv_deadline(soon()) {
            Ok(GroupEvent::Job(job)) => {
                say(format_args!("has {} {}", job.sequence(), job.deliveries()));
                hear();
                job.ack().expect("its own");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_group_where_nothing_is_shared_but_the_files() {
    let stage = Stage::tmpfs(60);
    let path = stage.file("ring");
    let mut producer = Producer::create(&path, &Options::new().capacity(1 << 14)).expect("create");
    drop(GroupMember::join(&path, &group()).expect("make the group"));
    let inspector = GroupInspector::open(&path, "lonely").expect("inspect");
    let mut cast = Cast::on(&path);
    let worker = |cast: &mut Cast<'_>| cast.part("work when told").with("beside", ".lonely.group");
    let Some((mut doomed, line)) = first(&worker(&mut cast), "a group") else { return };
    assert_eq!(line, "works");
    let mut other = worker(&mut cast).start();
    other.says("works");
    let alive =
        || inspector.snapshot().expect("look").members.iter().filter(|member| member.is_alive).count();
    assert_eq!(alive(), 2);
    // Each sleeps for its own.
    producer.send(b"first").expect("room");
    producer.send(b"second").expect("room");
    let (mine, others) = (doomed.says("has"), other.says("has"));
    let mut both = [mine[0], others[0]];
    both.sort_unstable();
    assert_eq!((both, mine[1], others[1]), ([0, 1], 1, 1));
    other.tell("ack");
    eventually("one is acknowledged", || inspector.snapshot().expect("look").unacknowledged == 1);
    // The dead one's record goes to the other, who sleeps.
    doomed.kill();
    assert_eq!(other.says("has"), [mine[0], 2]);
    other.tell("ack");
    eventually("all are acknowledged", || inspector.snapshot().expect("look").unacknowledged == 0);
    assert_eq!(alive(), 1);
    other.kill();
    eventually("nobody is left", || alive() == 0);
}

/// Replies to each request with what it holds, and one byte more.
pub(crate) fn serve(part: &Part) {
    let server = Server::open(part.ring()).expect("open");
    say("serves");
    loop {
        let request = server.recv().expect("a request");
        let mut bytes = request.payload().to_vec();
        if bytes == b"stay" {
            say("holds");
            std::mem::forget(request);
            hear();
            continue;
        }
        bytes.push(b'!');
        request.reply(&bytes).expect("reply");
    }
}

/// Calls with what it is told, and says the answer.
pub(crate) fn call_when_told(part: &Part) {
    let mut client = Client::open(part.ring()).expect("open");
    say("calls");
    loop {
        let told = hear();
        client.start(told.as_bytes(), CallOptions::new()).expect("start");
        let answer = client.recv_deadline(soon()).expect("receive").expect("an answer");
        match answer.outcome() {
            Outcome::Reply(reply) => say(format_args!("reply {}", String::from_utf8_lossy(&reply.to_vec()))),
            other => say(format_args!("{other:?}")),
        }
    }
}

#[test]
fn a_service_where_nothing_is_shared_but_the_file() {
    let stage = Stage::tmpfs(60);
    let path = stage.file("service");
    drop(Server::create(&path, &ServiceOptions::new().clients(3)).expect("create"));
    let mut cast = Cast::on(&path);
    let Some((mut client, line)) = first(&cast.part("call when told"), "a service") else { return };
    assert_eq!(line, "calls");
    for _ in 0..2 {
        let mut server = cast.part("serve the lonely").start();
        server.says("serves");
        assert!(matches!(Server::open(&path), Err(Error::ServerAlive { .. })));
        for _ in 0..20 {
            client.tell("ask");
            assert_eq!(client.line(SOON), "reply ask!");
        }
        // It dies with a call, and the client, elsewhere, is told.
        client.tell("stay");
        server.says("holds");
        server.kill();
        assert_eq!(client.line(SOON), "ServerGone");
        is_free(&path);
    }
}

/// The place of the server is free: its death is seen here, too.
fn is_free(path: &Path) {
    eventually("its death is seen", || match Server::open(path) {
        Ok(_) => true,
        Err(Error::ServerAlive { .. }) => false,
        Err(error) => panic!("{error}"),
    });
}
