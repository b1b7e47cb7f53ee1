//! A read-only look at a service: what it shows, and that nobody notices.

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use quoit::service::{Client, ClientInfo, Inspector, Server, ServiceOptions, Snapshot, TypedServer};
use quoit::{Error, Options, Producer, sync};

use crate::{SOON, Scene, answer, small, start, take};

fn look(scene: &Scene) -> Snapshot {
    Inspector::open(scene.path()).expect("open").snapshot().expect("look")
}

/// Queued, taken, unread.
fn calls(client: &ClientInfo) -> (u32, u32, u32) {
    (client.queued, client.taken, client.unread)
}

#[test]
fn each_call_is_counted_where_it_is() {
    let scene = Scene::new();
    let server = Server::create(scene.path(), &small()).unwrap();
    let seen = look(&scene);
    assert_eq!((seen.seats, seen.request_bytes, seen.reply_bytes, seen.largest_reply), (3, 4096, 4096, 64));
    assert_eq!((seen.types, seen.garbage, seen.clients.len()), (None, None, 0));
    assert_eq!(seen.file_bytes, std::fs::metadata(scene.path()).unwrap().len());
    let who = seen.server.unwrap();
    assert_eq!((who.pid, who.is_alive, who.is_waiting), (std::process::id(), true, false));

    let (mut first, mut second) = (server.client().unwrap(), server.client().unwrap());
    for _ in 0..3 {
        start(&mut first, &[0; 100]);
    }
    start(&mut second, b"x");
    let seen = look(&scene).clients;
    assert_eq!(seen.iter().map(|client| client.seat).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(seen.iter().map(calls).collect::<Vec<_>>(), [(3, 0, 0), (1, 0, 0)]);
    assert!(seen.iter().all(|client| client.is_alive && client.pid == std::process::id()));
    // 100 bytes are rounded up to 8, with 16 before them.
    assert_eq!((seen[0].requests_free, seen[0].replies_free), (4096 - 3 * 120, 4096));

    let (one, other) = (take(&server), take(&server));
    assert_eq!((one.client(), other.client()), (0, 1));
    let seen = look(&scene).clients;
    assert_eq!(seen.iter().map(calls).collect::<Vec<_>>(), [(2, 1, 0), (0, 1, 0)]);
    one.reply(b"one").unwrap();
    let seen = look(&scene).clients;
    assert_eq!(calls(&seen[0]), (2, 0, 1));
    assert_eq!((seen[0].requests_free, seen[0].replies_free), (4096 - 2 * 120, 4096 - 24));
    assert_eq!(answer(&mut first).1, "reply one");
    assert!(first.try_recv().unwrap().is_none(), "releases the reply");
    let seen = look(&scene).clients;
    assert_eq!((calls(&seen[0]), seen[0].replies_free), ((2, 0, 0), 4096));

    // A server that ends leaves what it has taken to the next one.
    std::mem::forget(other);
    drop(server);
    let seen = look(&scene);
    assert_eq!((seen.server.unwrap().is_alive, calls(&seen.clients[1])), (false, (0, 1, 0)));
    let next = Server::open(scene.path()).unwrap();
    assert_eq!(calls(&look(&scene).clients[1]), (0, 0, 0));
    drop((first, second));
    assert_eq!(look(&scene).clients, []);
    drop(next);
}

#[test]
fn who_sleeps_is_shown() {
    let scene = Scene::new();
    let server = Server::create(scene.path(), &small()).unwrap();
    let mut client = server.client().unwrap();
    let waiting = std::thread::spawn(move || {
        take(&server).reply(b"").unwrap();
        server
    });
    while !look(&scene).server.unwrap().is_waiting {}
    start(&mut client, b"");
    let server = waiting.join().unwrap();
    assert_eq!(answer(&mut client).1, "reply ");
    let waiting = std::thread::spawn(move || client.recv_timeout(SOON).map(|answer| answer.is_some()));
    while !look(&scene).clients[0].is_waiting {}
    // A call to be answered, so that the client does not wait in vain.
    drop(server);
    assert!(!look(&scene).server.unwrap().is_alive);
    drop(waiting);
}

#[test]
fn a_client_that_takes_no_replies_is_shown() {
    let scene = Scene::new();
    let server = Server::create(scene.path(), &small()).unwrap();
    let mut client = server.client().unwrap();
    let mut unread = 0;
    while !look(&scene).clients[0].is_behind {
        start(&mut client, b"");
        if let Some(request) = server.try_recv().unwrap() {
            request.reply(&[0; 64]).unwrap();
            unread += 1;
        }
    }
    let seen = look(&scene).clients[0];
    assert_eq!(calls(&seen), (1, 0, unread));
    assert_eq!(seen.replies_free, 4096 - 80 * u64::from(unread));
}

#[test]
fn types_are_shown_and_other_kinds_are_refused() {
    let scene = Scene::new();
    let options = ServiceOptions::new().types::<u64, u32>();
    let server = TypedServer::<u64, u32>::create(scene.path(), &options).unwrap();
    let (requests, replies) = look(&scene).types.unwrap();
    assert_eq!((requests.size, replies.size), (8, 4));
    let told = sync::Inspector::open(scene.path()).unwrap_err();
    assert!(told.to_string().contains("quoit::service::Inspector"), "{told}");
    let inspector = Inspector::open(scene.path()).unwrap();
    let client = Client::open(scene.path()).unwrap();
    assert!(!inspector.is_stale() && !server.as_server().is_stale() && !client.is_stale());
    std::fs::remove_file(scene.path()).unwrap();
    assert!(inspector.is_stale() && inspector.snapshot().is_ok());
    assert!(server.as_server().is_stale() && client.is_stale());
    drop(server);
    let ring = Producer::create(scene.path(), &Options::new()).unwrap();
    assert!(matches!(Inspector::open(scene.path()), Err(Error::OtherKind { .. })));
    drop(ring);
}

#[test]
fn garbage_is_told_and_the_others_are_counted() {
    // With three clients: a header, where requests are released, where replies are.
    for (byte, word) in
        [(8192, u64::MAX), (8192, 9 << 32), (4480 + 384, 3), (4480 + 384, 16), (4480 + 256, 5)]
    {
        let scene = Scene::new();
        let server = Server::create(scene.path(), &small()).unwrap();
        let (mut first, mut second) = (server.client().unwrap(), server.client().unwrap());
        start(&mut first, b"first");
        start(&mut second, b"second");
        let request = take(&server);
        assert_eq!(look(&scene).garbage, None);
        let file = std::fs::File::options().write(true).open(scene.path()).unwrap();
        file.write_all_at(&u64::to_le_bytes(word), byte).unwrap();
        let seen = look(&scene);
        assert!(seen.garbage.is_some(), "{byte} {word:#x}: {seen:?}");
        assert_eq!((seen.clients.len(), calls(&seen.clients[1])), (2, (1, 0, 0)));
        drop(request);
    }
}

/// Channels go round and round meanwhile, and no look takes that for garbage.
#[test]
fn looks_at_a_busy_service() {
    let scene = Scene::new();
    let server = Server::create(scene.path(), &small()).unwrap();
    let mut client = server.client().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let busy = std::thread::spawn(move || {
        let mut calls = 0_usize;
        while !is_over.load(Ordering::Relaxed) {
            for _ in 0..calls % 5 {
                start(&mut client, &vec![0xff; calls * 7 % 300]);
                calls += 1;
            }
            calls += 1;
            let mut held = Vec::new();
            while let Some(request) = server.try_recv().unwrap() {
                held.push(request);
            }
            for request in held {
                request.reply(&[b'x'; 64]).unwrap();
                let _ = answer(&mut client);
            }
        }
    });
    let inspector = Inspector::open(scene.path()).unwrap();
    let (began, mut looks, mut met) = (Instant::now(), 0, 0);
    while looks < 10_000 || met == 0 {
        let seen = inspector.snapshot().unwrap();
        assert_eq!((seen.garbage, seen.clients.len()), (None, 1));
        met += u64::from(seen.clients[0].queued + seen.clients[0].taken > 0);
        looks += 1;
        assert!(met > 0 || began.elapsed() < SOON, "no look came while a call was there");
    }
    over.store(true, Ordering::Relaxed);
    busy.join().unwrap();
}
