//! Calls: a request and its replies are read whole, and not while they are overwritten; a call ends exactly once, and as
//! what it was, whoever is killed before which of its stores; nobody sleeps through a message or through room.
mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::{dies_after, for_each_crash, model};
use loom::thread::yield_now;
use quoit::ReplyError;
use quoit::fate::{crash_after, refuse_barriers, slice_sleeps};
use quoit::service::{CallId, CallOptions, Client, Outcome, Request, Server, ServiceOptions};

fn options(clients: u32) -> ServiceOptions {
    ServiceOptions::new().clients(clients).request_bytes(64).reply_bytes(64).largest_reply(8)
}

fn service(options: &ServiceOptions) -> (Server, Client) {
    let server = Server::local(options).unwrap();
    let client = server.client().unwrap();
    (server, client)
}

fn how() -> CallOptions {
    CallOptions::new()
}

/// Contents of the message with this number.
fn contents(number: u64) -> [u8; 8] {
    (number.wrapping_mul(31) ^ 0x5a5a).to_le_bytes()
}

fn take(server: &Server) -> Request<'_> {
    loop {
        if let Some(request) = server.try_recv().unwrap() {
            return request;
        }
        yield_now();
    }
}

/// The last answer to the only call in flight.
fn last(client: &mut Client) -> (CallId, String) {
    loop {
        if let Some(answer) = client.try_recv().unwrap() {
            return (answer.call(), text(answer.outcome()));
        }
        yield_now();
    }
}

fn text(outcome: &Outcome<'_>) -> String {
    match outcome {
        Outcome::Reply(payload) => format!("{:?}", payload.to_vec()),
        other => format!("{other:?}"),
    }
}

fn reply_of(number: u64) -> String {
    format!("{:?}", contents(number).to_vec())
}

/// Nobody sleeps, so nothing but the headers orders the two.
#[test]
fn messages_are_read_whole() {
    model("service_whole", 3, || {
        let (server, mut client) = service(&options(1));
        let serving = common::spawn(move || {
            let request = take(&server);
            assert_eq!(request.payload().to_vec(), contents(1), "torn");
            request.reply(&contents(2)).unwrap();
            server
        });
        let call = client.start(&contents(1), how()).unwrap();
        assert_eq!(last(&mut client), (call, reply_of(2)));
        let _server = serving.join().unwrap();
    });
}

/// The client does not look at replies, so nothing but `released` orders its next lap after the server's reads.
#[test]
fn requests_are_not_overwritten_while_they_are_read() {
    model("service_requests_lap", 2, || {
        let (server, mut client) = service(&options(1).reply_bytes(128).largest_reply(0));
        let serving = common::spawn(move || {
            for number in 0..3 {
                let request = take(&server);
                assert_eq!(request.payload().to_vec(), contents(number), "torn");
                request.reply(&[]).unwrap();
            }
            server
        });
        for number in 0..3 {
            while client.try_start(&contents(number), how()).is_err() {
                yield_now();
            }
        }
        let _server = serving.join().unwrap();
    });
}

/// The server looks at no request meanwhile.
#[test]
fn replies_are_not_overwritten_while_they_are_read() {
    model("service_replies_lap", 1, || {
        let (server, mut client) = service(&options(1).reply_bytes(128).largest_reply(0));
        let call = client.start(&[], how()).unwrap();
        let serving = common::spawn(move || {
            let mut request = take(&server);
            for number in 0..6 {
                while request.try_more(&contents(number)).is_err() {
                    yield_now();
                }
            }
            request.reply(&[]).unwrap();
            server
        });
        for number in 0..6 {
            let more = loop {
                if let Some(answer) = client.try_recv().unwrap() {
                    break answer.into_result().unwrap().to_vec();
                }
                yield_now();
            };
            assert_eq!(more, contents(number), "torn");
        }
        assert_eq!(last(&mut client), (call, "[]".into()));
        let _server = serving.join().unwrap();
    });
}

/// Either it runs and is answered, or it is withdrawn and never runs.
#[test]
fn a_call_runs_or_is_withdrawn() {
    model("service_withdraw", 3, || {
        let (server, mut client) = service(&options(1));
        let ran = Rc::new(Cell::new(false));
        let runs = ran.clone();
        let call = client.start(&contents(1), how()).unwrap();
        let serving = common::spawn(move || {
            if let Some(request) = server.try_recv().unwrap() {
                runs.set(true);
                request.reply(&contents(2)).unwrap();
            }
            server
        });
        let withdrawn = client.cancel(call).unwrap();
        let server = serving.join().unwrap();
        assert_eq!(withdrawn, !ran.get(), "withdrawn and run, or neither");
        assert!(server.try_recv().unwrap().is_none());
        assert_eq!(client.in_flight(), usize::from(!withdrawn));
        if !withdrawn {
            assert_eq!(last(&mut client), (call, reply_of(2)));
        }
        assert!(client.try_recv().unwrap().is_none(), "an answer too many");
    });
}

/// Stores of a server that takes a call and answers it with 8 bytes: the state; payload, note, the clear word, header;
/// the state; `released`.
const TAKEN: usize = 1;
const REPLIED: usize = TAKEN + 4;
const ALL: usize = REPLIED + 2;

/// A server is killed before each of its stores, and the next one comes, while the client looks on. What the call ends as
/// depends on nothing else.
fn a_server_dies(name: &'static str, stores: std::ops::RangeInclusive<usize>, is_repeatable: bool) {
    for stores in stores {
        model(name, 2, move || {
            let (server, mut client) = service(&options(2));
            let other = client.try_clone().unwrap();
            let call = client.start(&contents(1), how().repeatable(is_repeatable)).unwrap();
            let dying = dies_after(stores, move || {
                if let Ok(Some(request)) = server.try_recv() {
                    let _ = request.reply(&contents(2));
                }
                drop(server);
            });
            let succeeding = common::spawn(move || {
                dying.join().unwrap();
                let next = other.serve().unwrap();
                // It runs what is there when it comes, and nothing comes later.
                if let Some(request) = next.try_recv().unwrap() {
                    assert_eq!(request.is_again(), stores >= TAKEN);
                    assert_eq!(request.payload().to_vec(), contents(1));
                    request.reply(&contents(3)).unwrap();
                }
                (next, other)
            });
            let end = match stores {
                ..TAKEN => reply_of(3),
                TAKEN..REPLIED if is_repeatable => reply_of(3),
                TAKEN..REPLIED => "ServerGone".into(),
                _ => reply_of(2),
            };
            assert_eq!(last(&mut client), (call, end), "killed before store {stores}");
            let (next, other) = succeeding.join().unwrap();
            assert!(client.try_recv().unwrap().is_none() && client.in_flight() == 0, "it ended twice");
            drop((next, other));
        });
    }
}

#[test]
fn a_server_dies_before_it_takes_a_call() {
    a_server_dies("service_dies_before", 0..=0, false);
}

#[test]
fn a_server_dies_with_a_call() {
    a_server_dies("service_dies_with", TAKEN..=TAKEN + 3, false);
}

#[test]
fn a_server_dies_after_its_reply() {
    a_server_dies("service_dies_after", REPLIED..=ALL, false);
}

#[test]
fn a_repeatable_call_runs_again() {
    a_server_dies("service_repeats", TAKEN..=TAKEN + 3, true);
}

/// The next server is killed as well, while it takes over or afterwards; then there is a third.
#[test]
fn servers_die_one_after_the_other() {
    for_each_crash("service_dies_twice", 2, |stores| {
        let (server, mut client) = service(&options(2));
        let other = client.try_clone().unwrap();
        let lost = client.start(&[], how()).unwrap();
        std::mem::forget(take(&server));
        drop(server);
        let dying = common::spawn(move || {
            let lived = crash_after(stores, || drop(other.serve().map(|next| next.try_recv().map(drop))));
            (other, lived.is_some())
        });
        assert_eq!(last(&mut client), (lost, "ServerGone".into()));
        let (other, lived) = dying.join().unwrap();
        let call = client.start(&[], how()).unwrap();
        let third = other.serve().unwrap();
        take(&third).reply(&contents(4)).unwrap();
        assert_eq!(last(&mut client), (call, reply_of(4)));
        assert!(client.try_recv().unwrap().is_none() && third.garbled_clients() == 0);
        lived
    });
}

/// A client is killed before each of its stores, beside a server that takes its calls. The next one on its seat gets the
/// replies to its own calls alone.
#[test]
fn a_client_dies() {
    // Of each request: payload, note, the clear word, header; then of the reply: `released`.
    for_each_crash("service_client_dies", 2, |stores| {
        let (server, mut client) = service(&options(1));
        let dying = dies_after(stores, move || {
            let _ = client.start(&contents(1), how());
            let _ = client.try_recv();
            let _ = client.try_start(&contents(1), how());
            let _ = client.try_recv();
            drop(client);
        });
        for _ in 0..2 {
            if let Some(request) = server.try_recv().unwrap() {
                assert_eq!(request.payload().to_vec(), contents(1));
                request.reply(&contents(2)).unwrap();
            }
        }
        let lived = dying.join().unwrap();
        let mut newcomer = server.client().unwrap();
        let serving = common::spawn(move || {
            let request = take(&server);
            assert_eq!(request.payload().to_vec(), contents(3), "of the dead");
            request.reply(&contents(4)).unwrap();
            server
        });
        let call = newcomer.start(&contents(3), how()).unwrap();
        assert_eq!(last(&mut newcomer), (call, reply_of(4)));
        let server = serving.join().unwrap();
        assert!(newcomer.try_recv().unwrap().is_none());
        assert_eq!(server.garbled_clients(), 0);
        lived
    });
}

/// A server is killed before each of its stores while it answers a repeatable call in two replies, and the next one runs it
/// again. The client gets the replies of one run, or is told where the second run begins.
#[test]
fn a_server_dies_between_two_replies() {
    for_each_crash("service_dies_between", 1, |stores| {
        let (server, mut client) = service(&options(2).reply_bytes(128).largest_reply(8));
        let other = client.try_clone().unwrap();
        let call = client.start(&contents(1), how().repeatable(true)).unwrap();
        let dying = dies_after(stores, move || {
            if let Ok(Some(mut request)) = server.try_recv() {
                let _ = request.try_more(&contents(2));
                let _ = request.reply(&contents(3));
            }
            drop(server);
        });
        let succeeding = common::spawn(move || {
            let lived = dying.join().unwrap();
            let next = other.serve().unwrap();
            let is_again = next.try_recv().unwrap().map(|request| {
                let is_again = request.is_again();
                request.reply(&contents(4)).unwrap();
                is_again
            });
            (next, other, is_again, lived)
        });
        let mut told = Vec::new();
        while told.last().is_none_or(|(_, end)| *end == More) {
            match client.try_recv().unwrap() {
                Some(answer) => {
                    assert_eq!(answer.call(), call);
                    told.push((answer.begins_anew(), part(answer.outcome())));
                }
                None => yield_now(),
            }
        }
        let (next, other, is_again, lived) = succeeding.join().unwrap();
        let whole = [(false, More), (false, Last(3))];
        match is_again {
            // Before it had the call.
            Some(false) => assert_eq!(told, [(false, Last(4))]),
            // The first run's reply is void, if there was one; but if its last one is there, that counts.
            Some(true) => assert!(
                told == [(true, Last(4))] || told == [(false, More), (true, Last(4))] || told == whole,
                "killed before store {stores}: {told:?}"
            ),
            None => assert_eq!(told, whole),
        }
        assert!(client.try_recv().unwrap().is_none() && client.in_flight() == 0, "it ended twice");
        drop((next, other));
        lived
    });
}

/// A reply of a call that is answered in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Two {
    More,
    Last(u64),
}
use Two::{Last, More};

fn part(outcome: &Outcome<'_>) -> Two {
    match outcome {
        Outcome::More(payload) => {
            assert_eq!(payload.to_vec(), contents(2), "torn, or of another run");
            More
        }
        Outcome::Reply(payload) => {
            let payload = payload.to_vec();
            Last([3, 4].into_iter().find(|number| payload == contents(*number)).expect("torn"))
        }
        other => panic!("{other:?}"),
    }
}

/// A client is killed before each of its stores, beside a server that has more replies than there is room for. The server
/// is told that the client is gone, and the next one on its seat gets the replies to its own calls alone.
#[test]
fn a_client_dies_while_the_server_waits_for_room() {
    for_each_crash("service_client_dies_full", 1, |stores| {
        slice_sleeps(true);
        let (server, mut client) = service(&options(1).reply_bytes(128).largest_reply(0));
        client.start(&contents(1), how()).unwrap();
        let mut request = take(&server);
        let dying = dies_after(stores, move || {
            for _ in 0..2 {
                let _ = client.try_recv();
            }
            drop(client);
        });
        let mut sent = 0;
        let end = loop {
            match request.more(&contents(2)) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < 10, "there is no end of room");
        };
        assert!(matches!(end, ReplyError::ClientGone), "{end}");
        drop(request);
        let lived = dying.join().unwrap();
        let mut newcomer = server.client().unwrap();
        let call = newcomer.start(&contents(3), how()).unwrap();
        let request = take(&server);
        assert_eq!(request.payload().to_vec(), contents(3), "of the dead");
        request.reply(&[]).unwrap();
        assert_eq!(last(&mut newcomer), (call, "[]".into()));
        assert!(newcomer.try_recv().unwrap().is_none());
        assert_eq!(server.garbled_clients(), 0);
        lived
    });
}

/// Sleeps have no end: a message that is slept through is a deadlock.
fn woken(name: &'static str, refuses_barriers: bool) {
    model(name, 2, move || {
        slice_sleeps(false);
        refuse_barriers(refuses_barriers);
        let (server, mut client) = service(&options(1));
        refuse_barriers(false);
        let serving = common::spawn(move || {
            for _ in 0..2 {
                server.recv().unwrap().reply(&contents(2)).unwrap();
            }
            server
        });
        for _ in 0..2 {
            assert_eq!(client.call(&contents(1), how()).unwrap().to_vec(), contents(2));
        }
        let _server = serving.join().unwrap();
    });
}

#[test]
fn who_waits_is_woken() {
    woken("service_wake", false);
}

/// By processes that the kernel lets not register for barriers.
#[test]
fn who_waits_is_woken_by_fences() {
    woken("service_wake_fences", true);
}

/// A newcomer is noticed by a server that sleeps.
#[test]
fn a_newcomer_is_noticed() {
    model("service_newcomer", 2, || {
        let (server, client) = service(&options(2));
        let serving = common::spawn(move || {
            server.recv().unwrap().reply(&contents(2)).unwrap();
            server
        });
        let mut newcomer = client.try_clone().unwrap();
        assert_eq!(newcomer.call(&contents(1), how()).unwrap().to_vec(), contents(2));
        let _server = serving.join().unwrap();
    });
}

/// A client waits for room for its request, until calls have ended.
#[test]
fn who_waits_for_room_is_woken() {
    model("service_room", 2, || {
        let (server, mut client) = service(&options(1).reply_bytes(128).largest_reply(0));
        let serving = common::spawn(move || {
            for _ in 0..3 {
                server.recv().unwrap().reply(&[]).unwrap();
            }
            server
        });
        for number in 0..3 {
            client.start(&contents(number), how()).unwrap();
        }
        for _ in 0..3 {
            assert!(matches!(client.recv().unwrap().outcome(), Outcome::Reply(_)));
        }
        let _server = serving.join().unwrap();
    });
}

/// The server waits for room for a reply, until the client has taken one.
#[test]
fn a_server_that_waits_for_room_is_woken() {
    model("service_reply_room", 1, || {
        let (server, mut client) = service(&options(1));
        let serving = common::spawn(move || {
            for _ in 0..3 {
                server.recv().unwrap().reply(&contents(2)).unwrap();
            }
            server
        });
        for _ in 0..3 {
            client.start(&[], how()).unwrap();
        }
        for _ in 0..3 {
            assert!(matches!(client.recv().unwrap().outcome(), Outcome::Reply(_)));
        }
        let _server = serving.join().unwrap();
    });
}

/// A client that sleeps is told by the next server that its call was lost.
#[test]
fn a_sleeper_is_told_by_the_next_server() {
    model("service_told", 2, || {
        let (server, mut client) = service(&options(2));
        let other = client.try_clone().unwrap();
        let call = client.start(&[], how()).unwrap();
        std::mem::forget(take(&server));
        let succeeding = common::spawn(move || {
            drop(server);
            (other.serve().unwrap(), other)
        });
        let answer = client.recv().unwrap();
        assert!(answer.call() == call && matches!(answer.outcome(), Outcome::ServerGone));
        let _next = succeeding.join().unwrap();
    });
}
