//! Services in files and on the heap: how calls end, what fits, what is refused.

#[path = "service/garbage.rs"]
mod garbage;
#[path = "service/looks.rs"]
mod looks;
#[path = "service/room.rs"]
mod room;
#[path = "service/successors.rs"]
mod successors;
#[path = "service/waitset.rs"]
mod waitset;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use quoit::service::{
    Answer, CallId, CallOptions, Client, Outcome, Request, Server, ServiceOptions, TypedClient, TypedServer,
};
use quoit::sync::LatestReader;
use quoit::{CallError, Error, ErrorKind, Kind, Producer, ReplyError};
use tempfile::TempDir;

pub(crate) struct Scene {
    directory: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir_in("/dev/shm").expect("a directory") }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("service")
    }
}

/// The same service in a file and on the heap.
pub(crate) fn on_each(options: &ServiceOptions, test: impl Fn(Server, Client)) {
    let heap = Server::local(options).expect("on the heap");
    let client = heap.client().expect("a client");
    test(heap, client);
    let scene = Scene::new();
    let server = Server::create(scene.path(), options).expect("create");
    let client = Client::open(scene.path()).expect("open");
    test(server, client);
}

pub(crate) fn small() -> ServiceOptions {
    ServiceOptions::new().clients(3).request_bytes(4096).reply_bytes(4096)
}

pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn how() -> CallOptions {
    CallOptions::new()
}

pub(crate) fn start(client: &mut Client, request: &[u8]) -> CallId {
    client.start(request, how()).expect("start")
}

pub(crate) fn take(server: &Server) -> Request<'_> {
    server.recv_timeout(SOON).expect("recv").expect("a request")
}

/// The next answer: to which call, and what.
pub(crate) fn answer(client: &mut Client) -> (CallId, String) {
    let answer = client.recv_timeout(SOON).expect("recv").expect("an answer");
    (answer.call(), text(&answer))
}

pub(crate) fn text(answer: &Answer<'_>) -> String {
    let bytes = |payload: &quoit::service::Payload<'_>| String::from_utf8(payload.to_vec()).unwrap();
    match answer.outcome() {
        Outcome::More(payload) => format!("more {}", bytes(payload)),
        Outcome::Reply(payload) => format!("reply {}", bytes(payload)),
        Outcome::Failed(payload) => format!("failed {}", bytes(payload)),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_call_is_answered() {
    on_each(&small(), |server, mut client| {
        let serving = std::thread::spawn(move || {
            for _ in 0..1000 {
                let request = server.recv().unwrap();
                let reply = request.payload().to_vec().to_ascii_uppercase();
                request.reply(&reply).unwrap();
            }
            server
        });
        for number in 0..1000 {
            let request = format!("call {number}");
            let reply = client.call(request.as_bytes(), how()).unwrap();
            assert_eq!(reply.to_vec(), request.to_ascii_uppercase().as_bytes());
        }
        let server = serving.join().unwrap();
        assert_eq!((client.in_flight(), server.open_requests(), server.garbled_clients()), (0, 0, 0));
        assert!(client.has_server());
    });
}

#[test]
fn replies_come_in_any_order() {
    on_each(&small(), |server, mut client| {
        let calls: Vec<_> = ["a", "b", "c"].map(|text| start(&mut client, text.as_bytes())).into();
        assert_eq!(client.in_flight(), 3);
        let mut requests: Vec<_> = (0..3).map(|_| take(&server)).collect();
        assert!(server.try_recv().unwrap().is_none());
        assert_eq!(server.open_requests(), 3);
        for number in [1, 1, 0] {
            let request = requests.remove(number);
            let reply = request.payload().to_vec();
            request.reply(&reply).unwrap();
        }
        let expected = [(1, "b"), (2, "c"), (0, "a")];
        for (number, reply) in expected {
            assert_eq!(answer(&mut client), (calls[number], format!("reply {reply}")));
        }
        assert!(client.try_recv().unwrap().is_none());
        assert_eq!(client.in_flight(), 0);
    });
}

#[test]
fn a_call_that_waits_keeps_the_replies_to_others() {
    on_each(&small(), |server, mut client| {
        let first = start(&mut client, b"first");
        let second = start(&mut client, b"second");
        let (one, two) = (take(&server), take(&server));
        one.reply(b"1").unwrap();
        two.reply(b"2").unwrap();
        assert_eq!(client.wait(second).unwrap().to_vec(), b"2");
        assert!(matches!(client.wait(second), Err(CallError::NotInFlight)));
        assert_eq!(client.wait(first).unwrap().to_vec(), b"1");
    });
}

#[test]
fn a_call_has_several_replies() {
    on_each(&small(), |server, mut client| {
        let call = start(&mut client, b"count");
        let mut request = take(&server);
        for number in 0..3 {
            request.more(format!("{number}").as_bytes()).unwrap();
        }
        request.reply(b"done").unwrap();
        for expected in ["more 0", "more 1", "more 2", "reply done"] {
            assert_eq!(answer(&mut client), (call, expected.into()));
        }
        let call = start(&mut client, b"count");
        let mut request = take(&server);
        request.more(b"passed over").unwrap();
        request.fail(b"no more").unwrap();
        let error = client.wait(call).unwrap_err();
        assert!(matches!(&error, CallError::Failed(text) if text == b"no more"), "{error}");
        assert!(error.to_string().ends_with("no more") && !error.is_certain());
    });
}

#[test]
fn a_request_that_is_dropped_is_answered() {
    on_each(&small(), |server, mut client| {
        let call = start(&mut client, b"a");
        drop(take(&server));
        assert_eq!(answer(&mut client), (call, "Dropped".into()));
        let call = start(&mut client, b"a");
        drop(take(&server).claim(3).unwrap());
        assert!(matches!(client.wait(call), Err(CallError::Dropped)));
        // One that was taken by a thread that panicked.
        let call = start(&mut client, b"a");
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _request = take(&server);
            panic!("while it answers");
        }));
        assert!(panic.is_err());
        assert!(matches!(client.wait(call), Err(CallError::Dropped)));
    });
}

#[test]
fn a_deadline_before_it_is_taken_is_certain() {
    on_each(&small(), |server, mut client| {
        let how = how().timeout(Duration::from_millis(5));
        let error = client.call(b"too late", how).unwrap_err();
        assert!(matches!(error, CallError::NotExecuted) && error.is_certain(), "{error}");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(server.try_recv().unwrap().is_none(), "it was withdrawn");
        // The server is the first to see that the time is over.
        let call = client.start(b"too late", CallOptions::new().deadline(Instant::now())).unwrap();
        assert!(server.try_recv().unwrap().is_none());
        assert_eq!(answer(&mut client), (call, "NotExecuted".into()));
        assert!(client.try_recv().unwrap().is_none());
    });
}

#[test]
fn a_deadline_after_it_was_taken_is_not() {
    on_each(&small(), |server, mut client| {
        let call = client.start(b"slow", how().timeout(Duration::from_millis(20))).unwrap();
        let request = take(&server);
        assert!(request.time_left().is_some_and(|left| left <= Duration::from_millis(20)));
        assert!(!request.is_cancelled());
        assert_eq!(answer(&mut client), (call, "Unanswered".into()));
        assert!(request.is_cancelled(), "the server can see it");
        request.reply(b"too late").unwrap();
        let next = start(&mut client, b"next");
        take(&server).reply(b"in time").unwrap();
        assert_eq!(answer(&mut client), (next, "reply in time".into()), "the late reply is dropped");
    });
}

#[test]
fn a_call_is_cancelled() {
    on_each(&small(), |server, mut client| {
        let call = start(&mut client, b"never");
        assert!(client.cancel(call).unwrap());
        assert_eq!(client.in_flight(), 0);
        assert!(!client.cancel(call).unwrap(), "it has ended");
        assert!(server.try_recv().unwrap().is_none() && client.try_recv().unwrap().is_none());
        let call = start(&mut client, b"taken");
        let request = take(&server);
        assert!(request.time_left().is_none() && !request.is_cancelled());
        assert!(!client.cancel(call).unwrap());
        assert!(request.is_cancelled());
        request.fail(b"as you wish").unwrap();
        assert_eq!(answer(&mut client), (call, "failed as you wish".into()));
    });
}

#[test]
fn clients_are_served_in_turn() {
    on_each(&small(), |server, mut first| {
        let mut second = first.try_clone().unwrap();
        for _ in 0..3 {
            start(&mut first, b"1");
            start(&mut second, b"2");
        }
        let clients: Vec<_> = (0..6)
            .map(|_| {
                let request = take(&server);
                let client = request.client();
                request.reply(b"").unwrap();
                client
            })
            .collect();
        assert!(clients == [0, 1, 0, 1, 0, 1] || clients == [1, 0, 1, 0, 1, 0], "{clients:?}");
        for client in [&mut first, &mut second] {
            (0..3).for_each(|_| drop(answer(client)));
        }
    });
}

#[test]
fn who_sleeps_is_woken() {
    on_each(&small(), |server, mut client| {
        let serving = std::thread::spawn(move || {
            for _ in 0..20 {
                let request = server.recv().unwrap();
                std::thread::sleep(Duration::from_millis(2));
                request.reply(b"woken").unwrap();
            }
        });
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(2));
            assert_eq!(client.call(b"wake", how().timeout(SOON)).unwrap().to_vec(), b"woken");
        }
        serving.join().unwrap();
    });
}

#[test]
fn values_of_one_type_each_way() {
    let scene = Scene::new();
    let server = TypedServer::<u32, [u64; 2]>::create(scene.path(), &small()).unwrap();
    let mut client = TypedClient::<u32, [u64; 2]>::open(scene.path()).unwrap();
    let serving = std::thread::spawn(move || {
        for _ in 0..3 {
            let request = server.recv().unwrap();
            let number = u64::from(request.value());
            request.reply(&[number, number * number]).unwrap();
        }
        let refused = server.recv().unwrap();
        refused.fail(b"no").unwrap();
        server
    });
    for number in 1..=3_u32 {
        let expected = [u64::from(number), u64::from(number * number)];
        assert_eq!(client.call(&number, how()).unwrap(), expected);
    }
    assert!(matches!(client.call(&4, how()), Err(CallError::Failed(_))));
    let server = serving.join().unwrap();
    // What is not of the type is dropped, and the server goes on.
    let wrong = client.as_client().start(b"12345", how()).unwrap();
    assert!(server.recv_timeout(Duration::ZERO).unwrap().is_none());
    assert_eq!(answer(client.as_client()), (wrong, "Dropped".into()));
    // A last reply of another length.
    let call = client.start(&5, how()).unwrap();
    server.as_server().recv().unwrap().reply(b"short").unwrap();
    let error = client.wait(call).unwrap_err();
    assert!(matches!(error, CallError::WrongReply { len: 5, expected: 16 }), "{error}");
}

#[test]
fn other_types_are_refused() {
    let scene = Scene::new();
    let server = TypedServer::<u32, u64>::create(scene.path(), &small()).unwrap();
    for told in [
        TypedClient::<u32, u32>::open(scene.path()).map(drop).unwrap_err(),
        TypedClient::<u64, u64>::open(scene.path()).map(drop).unwrap_err(),
        TypedServer::<u32, [u8; 8]>::open(scene.path()).map(drop).err().unwrap_or(Error::Busy),
    ] {
        // The last has the same size and tag.
        assert!(matches!(told, Error::WrongSchema { .. } | Error::ServerAlive { .. }), "{told}");
    }
    assert!(TypedClient::<u32, u64>::open(scene.path()).is_ok() && Client::open(scene.path()).is_ok());
    drop(server);
    std::fs::remove_file(scene.path()).unwrap();
    let _untyped = Server::create(scene.path(), &small()).unwrap();
    let told = TypedClient::<u32, u64>::open(scene.path()).unwrap_err();
    assert!(matches!(told, Error::WrongSchema { found: None, .. }), "{told}");
}

#[test]
fn there_is_one_server_at_a_time() {
    on_each(&small(), |server, client| {
        let told = client.serve().unwrap_err();
        let own = std::process::id();
        assert!(matches!(told, Error::ServerAlive { pid } if pid == own), "{told}");
        assert_eq!(told.kind(), ErrorKind::InUse);
        drop(server);
        assert!(!client.has_server());
        let _next = client.serve().unwrap();
        assert!(client.has_server());
    });
}

#[test]
fn there_are_so_many_clients_at_a_time() {
    on_each(&small(), |server, client| {
        let (second, _third) = (client.try_clone().unwrap(), server.client().unwrap());
        let told = server.client().unwrap_err();
        assert!(matches!(&told, Error::SeatsTaken { seats: 3, pids } if pids.len() == 1), "{told}");
        drop(second);
        assert!(server.client().is_ok());
    });
}

#[test]
fn options_are_checked() {
    for options in [
        small().clients(0),
        small().clients(1025),
        small().request_bytes(4000),
        small().request_bytes(2048),
        small().reply_bytes(1 << 31),
        small().largest_reply(2025),
        small().mode(0o111),
    ] {
        let told = Server::local(&options).unwrap_err();
        assert!(matches!(told, Error::BadOption { .. }), "{told}");
    }
    assert!(Server::local(&small().largest_reply(2024)).is_ok());
}

#[test]
fn another_kind_of_file_is_refused() {
    let scene = Scene::new();
    let _server = Server::create(scene.path(), &small()).unwrap();
    let told = Producer::open(scene.path()).unwrap_err();
    assert!(matches!(told, Error::OtherKind { found: Kind::Service, wanted: Kind::Ring, .. }), "{told}");
    let told = LatestReader::<u64>::open(scene.path()).unwrap_err();
    assert!(matches!(told, Error::OtherKind { found: Kind::Service, .. }), "{told}");
    std::fs::remove_file(scene.path()).unwrap();
    let _ring = Producer::create(scene.path(), &quoit::Options::new()).unwrap();
    for told in [Client::open(scene.path()).map(drop), Server::open(scene.path()).map(drop)] {
        let told = told.unwrap_err();
        assert!(matches!(told, Error::OtherKind { found: Kind::Ring, wanted: Kind::Service, .. }), "{told}");
        assert!(told.to_string().contains("this is a ring, not a service"), "{told}");
    }
}

#[test]
fn a_service_is_opened_or_created() {
    let scene = Scene::new();
    let soon = Instant::now() + Duration::from_millis(5);
    assert!(matches!(Client::open_wait(scene.path(), soon), Err(Error::NotFound { .. })));
    let server = Server::open_or_create(scene.path(), &small()).unwrap();
    assert!(matches!(Server::open_or_create(scene.path(), &small()), Err(Error::ServerAlive { .. })));
    assert!(matches!(Server::create(scene.path(), &small()), Err(Error::Exists { .. })));
    drop(server);
    let again = Server::open_or_create(scene.path(), &small().largest_reply(9)).unwrap();
    assert_eq!(again.largest_reply(), 64, "the options are those of the file");
    drop(again);
    let told = Server::open_or_create(scene.path(), &small().types::<u8, u8>()).unwrap_err();
    assert!(matches!(told, Error::WrongSchema { found: None, .. }), "{told}");
    let mut client = Client::open_wait(scene.path(), soon).unwrap();
    assert!(matches!(client.call(b"", how().timeout(Duration::ZERO)), Err(CallError::NotExecuted)));
}

#[test]
fn errors_say_what_to_do() {
    let texts = [
        CallError::Full.to_string(),
        CallError::NotExecuted.to_string(),
        CallError::Unanswered.to_string(),
        CallError::ServerGone.to_string(),
        CallError::Dropped.to_string(),
        CallError::NotInFlight.to_string(),
        CallError::TooLarge { len: 2, max: 1 }.to_string(),
        CallError::WrongReply { len: 2, expected: 1 }.to_string(),
        ReplyError::Full.to_string(),
        ReplyError::TimedOut.to_string(),
        ReplyError::ClientGone.to_string(),
        ReplyError::TooLarge { len: 2, max: 1 }.to_string(),
    ];
    for text in texts {
        assert!(text.len() > 40 && text.lines().count() == 1, "{text}");
    }
    let told = std::io::Error::from(CallError::NotExecuted);
    assert_eq!(told.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(std::io::Error::from(ReplyError::Full).kind(), std::io::ErrorKind::WouldBlock);
}
