//! What is left when a server or a client goes, and who goes on with it.

use std::time::Duration;

use quoit::CallError;
use quoit::service::{Client, Server};

use crate::{SOON, answer, how, on_each, small, start, take, text};

/// As if the server had died with its requests: nothing of them is answered.
fn die(server: Server) {
    drop(server);
}

/// Takes a request for good.
fn take_away(server: &Server) {
    std::mem::forget(take(server));
}

#[test]
fn what_nobody_took_waits_for_the_next_server() {
    on_each(&small(), |server, mut client| {
        let first = start(&mut client, b"first");
        let second = start(&mut client, b"second");
        take(&server).reply(b"1").unwrap();
        let next = client.serve();
        assert!(next.is_err());
        die(server);
        let next = client.serve().unwrap();
        take(&next).reply(b"2").unwrap();
        assert_eq!(answer(&mut client), (first, "reply 1".into()));
        assert_eq!(answer(&mut client), (second, "reply 2".into()));
    });
}

#[test]
fn what_a_dead_server_had_taken_is_told() {
    on_each(&small(), |server, mut client| {
        let gone = start(&mut client, b"gone");
        let queued = start(&mut client, b"queued");
        take_away(&server);
        die(server);
        // Without another server.
        assert_eq!(answer(&mut client), (gone, "ServerGone".into()));
        assert!(client.recv_timeout(Duration::from_millis(30)).unwrap().is_none());
        assert!(client.cancel(queued).unwrap(), "nobody took it");
        // With one.
        let server = client.serve().unwrap();
        let gone = start(&mut client, b"gone");
        let queued = start(&mut client, b"queued");
        take_away(&server);
        die(server);
        let next = client.serve().unwrap();
        let request = take(&next);
        assert_eq!(request.payload().to_vec(), b"queued", "not what the dead one had taken");
        assert!(!request.is_again());
        request.reply(b"by the next").unwrap();
        let mut answers = [answer(&mut client), answer(&mut client)];
        answers.sort();
        assert_eq!(answers, [(gone, "ServerGone".into()), (queued, "reply by the next".into())]);
        assert!(client.try_recv().unwrap().is_none() && client.in_flight() == 0);
    });
}

/// One published its reply, and died before it could note that.
#[test]
fn the_last_reply_of_a_dead_server_counts() {
    on_each(&small(), |server, mut client| {
        let call = start(&mut client, b"call");
        let mut request = take(&server);
        request.more(b"one").unwrap();
        std::mem::forget(request);
        die(server);
        assert_eq!(answer(&mut client), (call, "more one".into()));
        assert_eq!(answer(&mut client), (call, "ServerGone".into()));
        let server = client.serve().unwrap();
        let call = start(&mut client, b"call");
        take(&server).reply(b"last").unwrap();
        die(server);
        let _next = client.serve().unwrap();
        assert_eq!(answer(&mut client), (call, "reply last".into()));
        assert!(client.try_recv().unwrap().is_none());
    });
}

#[test]
fn repeatable_calls_run_again() {
    on_each(&small(), |server, mut client| {
        let call = client.start(b"again", how().repeatable(true)).unwrap();
        let mut request = take(&server);
        assert!(!request.is_again());
        request.more(b"old").unwrap();
        std::mem::forget(request);
        die(server);
        assert_eq!(answer(&mut client), (call, "more old".into()));
        assert!(client.recv_timeout(Duration::from_millis(30)).unwrap().is_none(), "it waits for a server");
        let next = client.serve().unwrap();
        let mut request = take(&next);
        assert!(request.is_again() && request.payload().to_vec() == b"again");
        request.more(b"new").unwrap();
        request.reply(b"end").unwrap();
        let begins = client.recv_timeout(SOON).unwrap().unwrap();
        assert!(begins.begins_anew() && text(&begins) == "more new");
        let last = client.recv_timeout(SOON).unwrap().unwrap();
        assert!(!last.begins_anew() && text(&last) == "reply end");
    });
}

#[test]
fn a_repeatable_call_that_is_given_up_is_not_certain() {
    on_each(&small(), |server, mut client| {
        let how = how().repeatable(true).timeout(Duration::from_millis(40));
        let call = client.start(b"again", how).unwrap();
        take_away(&server);
        die(server);
        let next = client.serve().unwrap();
        assert_eq!(answer(&mut client), (call, "Unanswered".into()));
        assert!(next.try_recv().unwrap().is_none());
    });
}

/// Whether it is cancelled while the dead server has it, before or after its death, or when it waits to run again.
#[test]
fn a_repeatable_call_that_is_cancelled_does_not_run_again() {
    on_each(&small(), |server, mut client| {
        let mut server = Some(server);
        for (cancelled, succeeded) in [(0, false), (0, true), (1, false), (1, true), (2, true)] {
            let mut now = server.take().unwrap_or_else(|| client.serve().unwrap());
            let call = client.start(b"again", how().repeatable(true)).unwrap();
            take_away(&now);
            let cancel = |client: &mut Client, at| {
                assert!(at != cancelled || !client.cancel(call).unwrap(), "it may have run");
            };
            cancel(&mut client, 0);
            die(now);
            cancel(&mut client, 1);
            if succeeded {
                now = client.serve().unwrap();
                cancel(&mut client, 2);
                assert!(now.try_recv().unwrap().is_none(), "run again, cancelled at {cancelled}");
                server = Some(now);
            }
            assert_eq!(answer(&mut client), (call, "ServerGone".into()), "cancelled at {cancelled}");
            assert_eq!(client.in_flight(), 0);
        }
    });
}

#[test]
fn who_leaves_withdraws_its_calls() {
    on_each(&small(), |server, mut client| {
        let mut other = client.try_clone().unwrap();
        start(&mut client, b"taken");
        let taken = take(&server);
        start(&mut client, b"queued");
        start(&mut other, b"of another");
        assert!(!taken.is_cancelled());
        drop(client);
        assert!(taken.is_cancelled());
        let next = take(&server);
        assert_eq!(next.payload().to_vec(), b"of another");
        next.reply(b"").unwrap();
        taken.reply(b"for nobody").unwrap();
        assert!(server.try_recv().unwrap().is_none());
        assert_eq!(answer(&mut other).1, "reply ");
    });
}

/// The requests and replies of a client that left are there, and its seat has another one.
#[test]
fn a_newcomer_gets_nothing_of_the_one_before() {
    on_each(&small(), |server, client| {
        for turn in 0..50 {
            let mut before = server.client().unwrap();
            start(&mut before, b"of the one before");
            start(&mut before, b"of the one before");
            start(&mut before, b"of the one before, withdrawn");
            let (first, second) = (take(&server), take(&server));
            first.reply(b"for the one before").unwrap();
            let seat = second.client();
            drop(before);
            let mut newcomer = server.client().unwrap();
            let call = start(&mut newcomer, b"mine");
            let request = take(&server);
            assert_eq!(request.client(), seat, "turn {turn}");
            assert_eq!(request.payload().to_vec(), b"mine");
            second.reply(b"for the one before").unwrap();
            request.reply(b"yours").unwrap();
            assert_eq!(answer(&mut newcomer), (call, "reply yours".into()));
            assert!(newcomer.try_recv().unwrap().is_none());
        }
        drop(client);
    });
}

#[test]
fn a_server_that_takes_over_finds_its_place() {
    on_each(&small(), |mut server, mut client| {
        // Round both channels, with a new server each time.
        for turn in 0..200_usize {
            let request = vec![turn as u8; turn * 37 % 1500];
            let call = client.start(&request, how()).unwrap();
            let taken = take(&server);
            assert_eq!(taken.payload().to_vec(), request);
            taken.reply(&request[..request.len().min(64)]).unwrap();
            die(server);
            server = client.serve().unwrap();
            assert_eq!(client.wait(call).unwrap().to_vec(), request[..request.len().min(64)]);
        }
        assert_eq!(server.garbled_clients(), 0);
    });
}

#[test]
fn a_call_without_a_server_waits_for_one() {
    on_each(&small(), |server, mut client| {
        drop(server);
        let how = how().timeout(Duration::from_millis(10));
        assert!(matches!(client.call(b"nobody", how), Err(CallError::NotExecuted)));
        let mut other = client.try_clone().unwrap();
        let serving = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(10));
            let server = other.serve().unwrap();
            take(&server).reply(b"at last").unwrap();
            assert!(other.try_recv().unwrap().is_none());
        });
        assert_eq!(client.call(b"somebody", crate::how()).unwrap().to_vec(), b"at last");
        serving.join().unwrap();
    });
}
