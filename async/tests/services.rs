//! Calls and requests under two runtimes.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::{PATIENCE, Runtime};
use futures_lite::future;
use quoit::CallError;
use quoit::service::{
    CallOptions, Client, Outcome, Request, Server, ServiceOptions, TypedClient, TypedServer,
};
use quoit_async::{AsyncClient, AsyncServer, AsyncTypedClient, AsyncTypedServer};

fn service() -> (Server, Client) {
    let server =
        Server::local(&ServiceOptions::new().request_bytes(4096).reply_bytes(4096).largest_reply(128))
            .unwrap();
    let client = server.client().unwrap();
    (server, client)
}

fn how() -> CallOptions {
    CallOptions::new()
}

/// Answers so many requests in upper case, by a thread, with pauses of all lengths that matter.
fn answers(server: Server, count: usize) -> JoinHandle<Server> {
    thread::spawn(move || {
        for number in 0..count {
            let request = server.recv().unwrap();
            if number % 7 == 0 {
                thread::sleep(Duration::from_micros(number as u64 % 5 * 200));
            }
            let reply = request.payload().to_vec().to_ascii_uppercase();
            request.reply(&reply).unwrap();
        }
        server
    })
}

/// Runs something that stays with its thread under each runtime.
fn on_its_own_thread<F: Future<Output = ()>>(test: impl Fn() -> F) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio.block_on(async { tokio::time::timeout(PATIENCE, test()).await.expect("it hangs under tokio") });
    smol::block_on(future::or(test(), async {
        smol::Timer::after(PATIENCE).await;
        panic!("it hangs under smol");
    }));
}

#[test]
fn calls_are_futures() {
    Runtime::each(|runtime| async move {
        let (server, client) = service();
        let mut client = AsyncClient::new(client).unwrap();
        let mut other = AsyncClient::new(server.client().unwrap()).unwrap();
        let serving = answers(server, 400);
        let task = runtime.spawn(async move {
            for _ in 0..100 {
                assert_eq!(other.call(b"other", how()).await.unwrap(), b"OTHER");
            }
        });
        for number in 0..300 {
            let reply = client.call(format!("call {number}").as_bytes(), how()).await.unwrap();
            assert_eq!(reply, format!("CALL {number}").as_bytes());
        }
        task.await;
        let server = serving.join().unwrap();
        assert_eq!((client.get_ref().in_flight(), server.open_requests()), (0, 0));
        let ended = client.call(b"late", how().timeout(Duration::from_millis(5))).await;
        assert!(matches!(ended, Err(CallError::NotExecuted)), "{ended:?}");
        let ended = client.call(&[0; 3000], how()).await;
        assert!(matches!(ended, Err(CallError::TooLarge { .. })), "{ended:?}");
    });
}

#[test]
fn several_are_in_flight_and_room_is_waited_for() {
    Runtime::each(|_| async {
        let (server, client) = service();
        let mut client = AsyncClient::new(client).unwrap();
        let serving = answers(server, 100);
        // 40 of these fill the room, so most wait for it.
        let mut calls = Vec::new();
        for number in 0..100_u8 {
            calls.push(client.start(&[b'a' + number % 26; 80], how()).await.unwrap());
        }
        let mut answered = Vec::new();
        while answered.len() < 100 {
            let answer = client.recv().await.unwrap();
            let number = calls.iter().position(|call| *call == answer.call()).unwrap();
            let Outcome::Reply(reply) = answer.outcome() else { panic!("{answer:?}") };
            assert_eq!(reply.to_vec(), [b'A' + number as u8 % 26; 80]);
            answered.push(number);
        }
        answered.sort_unstable();
        assert_eq!(answered, (0..100).collect::<Vec<_>>());
        serving.join().unwrap();
        // Without a server: room that does not come in time.
        let short = how().timeout(Duration::from_millis(20));
        let told = loop {
            match client.start(&[0; 80], short).await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(matches!(told, CallError::NotExecuted), "{told}");
    });
}

/// Dropped before a server takes it, it never runs; after that, the server is told, and nobody gets the answer.
#[test]
fn who_drops_a_call_gives_it_up() {
    Runtime::each(|runtime| async move {
        let (server, client) = service();
        let mut client = AsyncClient::new(client).unwrap();
        assert!(future::poll_once(client.call(b"never", how())).await.is_none());
        assert_eq!(client.get_ref().in_flight(), 0);
        let is_taken = Arc::new(AtomicBool::new(false));
        let has_taken = Arc::clone(&is_taken);
        let serving = thread::spawn(move || {
            let request = server.recv().unwrap();
            assert_eq!(request.payload().to_vec(), b"dropped");
            has_taken.store(true, Ordering::Relaxed);
            while !request.is_cancelled() {
                thread::yield_now();
            }
            request.reply(b"to nobody").unwrap();
            server
        });
        let dropped = client.call(b"dropped", how());
        let sleep = async {
            while !is_taken.load(Ordering::Relaxed) {
                runtime.sleep(Duration::from_millis(1)).await;
            }
            Ok(b"slept".to_vec())
        };
        assert_eq!(future::or(dropped, sleep).await.unwrap(), b"slept");
        let serving = answers(serving.join().unwrap(), 1);
        assert_eq!(client.call(b"next", how()).await.unwrap(), b"NEXT");
        let nothing = future::or(async { client.recv().await.ok() }, async {
            runtime.sleep(Duration::from_millis(5)).await;
            None
        });
        assert!(nothing.await.is_none());
        serving.join().unwrap();
    });
}

#[test]
fn requests_are_futures_and_are_kept_over_waits() {
    on_its_own_thread(|| async {
        let (server, client) = service();
        let server = AsyncServer::new(server).unwrap();
        let calling = thread::spawn(move || {
            let mut client = client;
            let calls: Vec<_> =
                (0..90_u8).map(|number| (client.start(&[number], how()).unwrap(), number)).collect();
            for (call, number) in calls {
                assert_eq!(client.wait(call).unwrap().to_vec(), [number, 1]);
            }
        });
        let mut kept: Vec<Request<'_>> = Vec::new();
        for number in 0..90 {
            kept.push(server.recv().await.unwrap());
            // Three at a time, the last one first.
            if number % 3 == 2 {
                for request in kept.drain(..).rev() {
                    let reply = [request.payload().to_vec()[0], 1];
                    request.reply(&reply).unwrap();
                }
            }
        }
        calling.join().unwrap();
        // Polled once, and dropped.
        assert!(future::poll_once(server.recv()).await.is_none());
        assert_eq!(server.get_ref().open_requests(), 0);
    });
}

#[test]
fn the_death_of_a_server_is_told() {
    Runtime::each(|_| async {
        let (server, client) = service();
        let mut client = AsyncClient::new(client).unwrap();
        let taking = thread::spawn(move || {
            std::mem::forget(server.recv().unwrap());
            drop(server);
        });
        let ended = client.call(b"x", how()).await;
        assert!(matches!(ended, Err(CallError::ServerGone)), "{ended:?}");
        taking.join().unwrap();
    });
}

type Squares = TypedServer<u32, u64>;

fn square(number: u32) -> u64 {
    u64::from(number) * u64::from(number)
}

#[test]
fn calls_of_values_are_futures() {
    Runtime::each(|_| async {
        let server = Squares::local(&ServiceOptions::new()).unwrap();
        let mut client = AsyncTypedClient::new(server.client().unwrap()).unwrap();
        let serving = thread::spawn(move || {
            for _ in 0..400 {
                let request = server.recv().unwrap();
                let number = request.value();
                request.reply(&square(number)).unwrap();
            }
            server
        });
        for number in 0..200 {
            assert_eq!(client.call(&number, how()).await.unwrap(), square(number));
        }
        let mut calls = Vec::new();
        for number in 0..200 {
            calls.push((client.start(&number, how()).await.unwrap(), number));
        }
        for _ in 0..200 {
            let answer = client.recv().await.unwrap();
            let place = calls.iter().position(|(call, _)| *call == answer.call()).unwrap();
            let (_, number) = calls.swap_remove(place);
            assert_eq!(TypedClient::<u32, u64>::value(answer).unwrap(), square(number));
        }
        assert_eq!(client.get_mut().as_client().in_flight(), 0);
        let server = serving.join().unwrap();
        // Dropped and given up before anybody took them.
        assert!(future::poll_once(client.call(&1, how())).await.is_none());
        let given_up = client.start(&2, how()).await.unwrap();
        assert!(client.cancel(given_up).unwrap());
        assert!(server.try_recv().unwrap().is_none());
        // A reply that is no value of the type.
        let serving = thread::spawn(move || server.as_server().recv().unwrap().reply(b"x").unwrap());
        let ended = client.call(&3, how()).await;
        assert!(matches!(ended, Err(CallError::WrongReply { len: 1, expected: 8 })), "{ended:?}");
        serving.join().unwrap();
        assert!(client.into_inner().as_client().try_recv().unwrap().is_none());
    });
}

#[test]
fn requests_of_values_are_futures_and_are_kept_over_waits() {
    on_its_own_thread(|| async {
        let server = Squares::local(&ServiceOptions::new()).unwrap();
        let mut client = server.client().unwrap();
        let server = AsyncTypedServer::new(server).unwrap();
        let calling = thread::spawn(move || {
            let wrong = client.as_client().start(b"x", how()).unwrap();
            let calls: Vec<_> =
                (0..90).map(|number| (client.start(&number, how()).unwrap(), number)).collect();
            for (call, number) in calls {
                assert_eq!(client.wait(call).unwrap(), square(number));
            }
            client.as_client().wait(wrong).map(|reply| reply.to_vec())
        });
        let mut kept = Vec::new();
        for number in 0..90 {
            kept.push(server.recv().await.unwrap());
            if number % 3 == 2 {
                for request in kept.drain(..).rev() {
                    let number = request.value();
                    request.reply(&square(number)).unwrap();
                }
            }
        }
        let wrong = calling.join().unwrap();
        assert!(matches!(wrong, Err(CallError::Dropped)), "{wrong:?}");
        assert!(future::poll_once(server.recv()).await.is_none());
        assert_eq!(server.get_ref().as_server().open_requests(), 0);
    });
}
