//! Servers and clients in a wait set, beside others.

use std::time::Duration;

use quoit::service::Outcome;
use quoit::{WaitSet, Waitable};

use crate::{SOON, answer, how, on_each, small, start, take};

fn sleeper() -> WaitSet {
    let mut set = WaitSet::new();
    set.set_spins(0);
    set
}

fn ready(set: &mut WaitSet, things: &mut [&mut dyn Waitable], patience: Duration) -> Vec<usize> {
    set.wait_timeout(things, patience).into_iter().collect()
}

#[test]
fn a_server_with_open_requests_waits_for_more() {
    on_each(&small(), |server, mut client| {
        let mut set = sleeper();
        start(&mut client, b"one");
        let first = take(&server);
        assert!(ready(&mut set, &mut [&mut &server], Duration::from_millis(3)).is_empty());
        start(&mut client, b"two");
        assert_eq!(ready(&mut set, &mut [&mut &server, &mut client], SOON), [0]);
        let second = take(&server);
        second.reply(b"").unwrap();
        first.reply(b"").unwrap();
    });
}

#[test]
fn what_has_something_is_ready() {
    on_each(&small(), |mut server, mut client| {
        let mut set = sleeper();
        // The first look counts the clients.
        assert!(server.try_recv().unwrap().is_none());
        assert!(ready(&mut set, &mut [&mut server, &mut client], Duration::ZERO).is_empty());
        start(&mut client, b"one");
        assert_eq!(ready(&mut set, &mut [&mut server, &mut client], Duration::ZERO), [0]);
        take(&server).reply(b"").unwrap();
        assert_eq!(ready(&mut set, &mut [&mut server, &mut client], Duration::ZERO), [1]);
        answer(&mut client);
        assert!(ready(&mut set, &mut [&mut server, &mut client], Duration::from_millis(3)).is_empty());
        // A deadline makes a client ready.
        client.start(b"late", how().timeout(Duration::from_millis(5))).unwrap();
        assert_eq!(ready(&mut set, &mut [&mut client], SOON), [0]);
        assert_eq!(answer(&mut client).1, "NotExecuted");
    });
}

#[test]
fn a_set_is_woken_by_either_side() {
    on_each(&small(), |mut server, mut client| {
        let mut other = client.try_clone().unwrap();
        let serving = std::thread::spawn(move || {
            let mut set = sleeper();
            let mut served = 0;
            while served < 40 {
                assert_eq!(ready(&mut set, &mut [&mut server], SOON), [0], "it slept through a request");
                while let Some(request) = server.try_recv().unwrap() {
                    request.reply(b"done").unwrap();
                    served += 1;
                }
            }
        });
        let mut set = sleeper();
        for _ in 0..20 {
            start(&mut client, b"");
            start(&mut other, b"");
            let mut missing = 2;
            while missing > 0 {
                let tokens = ready(&mut set, &mut [&mut client, &mut other], SOON);
                assert!(!tokens.is_empty(), "it slept through a reply");
                for token in tokens {
                    let client = if token == 0 { &mut client } else { &mut other };
                    while let Some(answer) = client.try_recv().unwrap() {
                        assert!(matches!(answer.outcome(), Outcome::Reply(_)));
                        missing -= 1;
                    }
                }
            }
        }
        serving.join().unwrap();
    });
}

#[test]
fn the_death_of_a_server_makes_a_client_ready() {
    on_each(&small(), |server, mut client| {
        start(&mut client, b"taken");
        std::mem::forget(take(&server));
        let dying = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            drop(server);
        });
        assert_eq!(ready(&mut sleeper(), &mut [&mut client], SOON), [0]);
        assert_eq!(answer(&mut client).1, "ServerGone");
        dying.join().unwrap();
    });
}

#[test]
fn a_set_of_clients_feeds_a_server_that_waits_for_room() {
    on_each(&small().largest_reply(2024), |server, mut client| {
        for _ in 0..20 {
            start(&mut client, b"");
        }
        let serving = std::thread::spawn(move || {
            for _ in 0..20 {
                take(&server).reply(&[1; 2024]).unwrap();
            }
        });
        let (mut set, mut missing) = (sleeper(), 20);
        while missing > 0 {
            assert_eq!(ready(&mut set, &mut [&mut client], SOON), [0], "both sleep");
            missing -= usize::from(client.try_recv().unwrap().is_some());
        }
        serving.join().unwrap();
    });
}
