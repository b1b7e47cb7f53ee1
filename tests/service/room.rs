//! How much fits, and who waits for whom.

use std::time::{Duration, Instant};

use quoit::service::{Outcome, ServiceOptions};
use quoit::{CallError, ReplyError};

use crate::{SOON, answer, how, on_each, small, start, take};

#[test]
fn requests_and_replies_are_written_and_read_in_place() {
    let options = ServiceOptions::new().request_bytes(1 << 21).reply_bytes(1 << 21).largest_reply(1 << 18);
    on_each(&options, |server, mut client| {
        let largest = client.largest_request();
        assert_eq!(largest, (1 << 20) - 24);
        let part = |number: usize| vec![(number % 200) as u8 + 1; 1000];
        // Several, so that they go round the channel and are padded.
        for len in [largest, 5, largest, largest - 1, 70_000] {
            let mut claim = client.claim(len, how()).unwrap();
            for (number, offset) in (3..len.saturating_sub(1000)).step_by(1000).enumerate() {
                assert!(claim.write_at(offset, &part(number)));
            }
            assert!(!claim.write_at(len, &[0]) && !claim.write_at(usize::MAX, &[0]) && claim.len() == len);
            let call = claim.start();
            let request = take(&server);
            let mut bytes = vec![0; 1000];
            for (number, offset) in (3..len.saturating_sub(1000)).step_by(1000).enumerate() {
                assert_eq!(request.payload().read_at(offset, &mut bytes), 1000);
                assert_eq!(bytes, part(number), "{len} {offset}");
            }
            assert_eq!(request.payload().read_at(len, &mut bytes), 0);
            assert_eq!(request.payload().read_at(len - 1, &mut bytes), 1);
            let mut reply = request.claim(1 << 18).unwrap();
            assert!(reply.write_at(7, b"in place") && !reply.write_at(1 << 18, &[0]));
            assert_eq!((reply.len(), reply.request().payload().len()), (1 << 18, len));
            reply.send().unwrap();
            let payload = client.wait(call).unwrap();
            let mut text = [0; 8];
            assert_eq!((payload.len(), payload.read_at(7, &mut text), &text), (1 << 18, 8, b"in place"));
        }
    });
}

/// Replies to other requests of the same client go out while one is being written, and while two are.
#[test]
fn a_reply_that_is_being_written_makes_room_for_others() {
    on_each(&small(), |server, mut client| {
        for turn in 0..100 {
            let calls = ["a", "b", "c", "d"].map(|text| start(&mut client, text.as_bytes()));
            let [a, b, c, d] = [0; 4].map(|_| take(&server));
            let mut first = a.claim(20).unwrap();
            assert!(first.write_at(0, b"the first to begin, "));
            b.reply(b"in between, and long").unwrap();
            assert!(first.write_at(4, b"1st") && !first.write_at(18, b"end"));
            let mut second = c.claim(turn % 60 + 4).unwrap();
            assert!(second.write_at(0, &vec![b'x'; turn % 60]));
            let third = d.claim(5).unwrap();
            assert!(second.write_at(turn % 60, b"last"));
            if turn % 2 == 0 {
                second.send().unwrap();
                drop(third);
            } else {
                drop(third);
                second.send().unwrap();
            }
            first.send().unwrap();
            let mut answers = [0; 4].map(|_| answer(&mut client));
            answers.sort();
            let said = format!("reply {}last", "x".repeat(turn % 60));
            let expected = ["reply the 1stst to begin, ", "reply in between, and long", &said, "Dropped"];
            for (answer, (call, expected)) in answers.iter().zip(calls.into_iter().zip(expected)) {
                assert_eq!((answer.0, answer.1.as_str()), (call, expected));
            }
            assert!(client.try_recv().unwrap().is_none());
        }
        assert_eq!((server.open_requests(), server.garbled_clients()), (0, 0));
    });
}

#[test]
fn what_is_too_large_is_refused() {
    on_each(&small(), |server, mut client| {
        assert_eq!((client.largest_request(), client.largest_reply()), (2024, 64));
        let told = client.start(&[0; 2025], how()).unwrap_err();
        assert!(matches!(told, CallError::TooLarge { len: 2025, max: 2024 }) && told.is_certain(), "{told}");
        let call = start(&mut client, &[0; 2024]);
        let mut request = take(&server);
        let max = server.largest_more().unwrap();
        let told = request.try_more(&vec![0; max + 1]).unwrap_err();
        assert!(matches!(told, ReplyError::TooLarge { .. }), "{told}");
        request.try_more(&vec![0; max]).unwrap();
        let told = request.reply(&[0; 65]).unwrap_err();
        assert!(matches!(told, ReplyError::TooLarge { len: 65, max: 64 }), "{told}");
        assert!(answer(&mut client).1.starts_with("more"));
        assert_eq!(answer(&mut client), (call, "Dropped".into()));
    });
    on_each(&small().largest_reply(2024), |server, mut client| {
        assert_eq!(server.largest_more(), None, "there is room for one reply at a time");
        start(&mut client, b"");
        let mut request = take(&server);
        assert!(matches!(request.try_more(b""), Err(ReplyError::TooLarge { max: 0, .. })));
        request.reply(&[7; 2024]).unwrap();
        assert!(matches!(client.recv().unwrap().outcome(), Outcome::Reply(reply) if reply.len() == 2024));
    });
}

#[test]
fn a_client_is_full_until_calls_end() {
    on_each(&small(), |server, mut client| {
        let mut calls = 0;
        let told = loop {
            match client.try_start(&[0; 500], how()) {
                Ok(_) => calls += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(told, CallError::Full) && calls == 7, "{told} after {calls}");
        let told = client.start(&[0; 500], how().timeout(Duration::from_millis(3))).unwrap_err();
        assert!(matches!(told, CallError::NotExecuted), "{told}");
        // It waits for room, and takes the replies meanwhile.
        let serving = std::thread::spawn(move || {
            for _ in 0..9 {
                std::thread::sleep(Duration::from_millis(1));
                take(&server).reply(b"done").unwrap();
            }
        });
        start(&mut client, &[0; 500]);
        start(&mut client, &[0; 500]);
        for _ in 0..9 {
            assert_eq!(answer(&mut client).1, "reply done");
        }
        serving.join().unwrap();
    });
}

#[test]
fn no_call_is_taken_without_room_for_its_reply() {
    on_each(&small().largest_reply(1000), |server, mut client| {
        let mut other = client.try_clone().unwrap();
        for _ in 0..5 {
            start(&mut client, b"");
        }
        let taken: Vec<_> = std::iter::from_fn(|| server.try_recv().unwrap()).collect();
        assert_eq!(taken.len(), 3, "and one for padding");
        // Another client is not kept back.
        start(&mut other, b"");
        take(&server).reply(b"other").unwrap();
        assert_eq!(answer(&mut other).1, "reply other");
        for request in taken {
            request.reply(&[1; 1000]).unwrap();
        }
        assert!(server.try_recv().unwrap().is_none());
        for _ in 0..3 {
            assert!(matches!(client.recv().unwrap().outcome(), Outcome::Reply(_)));
        }
        // The last one is released with the next look.
        assert!(client.try_recv().unwrap().is_none());
        assert_eq!(std::iter::from_fn(|| server.try_recv().unwrap()).count(), 2);
        (0..2).for_each(|_| assert_eq!(answer(&mut client).1, "Dropped"));
    });
}

#[test]
fn a_stream_waits_for_its_client() {
    on_each(&small(), |server, mut client| {
        let call = start(&mut client, b"stream");
        let serving = std::thread::spawn(move || {
            let mut request = take(&server);
            for number in 0..500_u64 {
                request.more(&number.to_le_bytes()).unwrap();
            }
            request.reply(b"").unwrap();
            // One that nobody takes.
            let mut request = take(&server);
            let soon = Instant::now() + Duration::from_millis(5);
            let told =
                std::iter::repeat_with(|| request.more_deadline(&[0; 100], soon)).find_map(Result::err);
            assert!(matches!(told, Some(ReplyError::TimedOut)), "{told:?}");
            let told = std::iter::repeat_with(|| request.try_more(&[0; 100])).find_map(Result::err);
            assert!(matches!(told, Some(ReplyError::Full)), "{told:?}");
            let told = request.more(&[0; 100]).unwrap_err();
            assert!(matches!(told, ReplyError::ClientGone), "{told}");
        });
        for number in 0..500_u64 {
            // Slower than the server at times.
            if number % 100 == 0 {
                std::thread::sleep(Duration::from_millis(3));
            }
            let answer = client.recv_timeout(SOON).unwrap().unwrap();
            assert!(answer.call() == call && !answer.is_last() && !answer.begins_anew());
            assert_eq!(answer.into_result().unwrap().read::<u64>(), Some(number));
        }
        assert_eq!(answer(&mut client), (call, "reply ".into()));
        start(&mut client, b"left alone");
        std::thread::sleep(Duration::from_millis(30));
        drop(client);
        serving.join().unwrap();
    });
}

#[test]
fn a_client_that_takes_replies_wakes_a_server_that_waits_for_room() {
    on_each(&small().largest_reply(2024), |server, mut client| {
        let calls = 50;
        let serving = std::thread::spawn(move || {
            for _ in 0..calls {
                take(&server).reply(&[9; 2024]).unwrap();
            }
        });
        for _ in 0..calls {
            start(&mut client, b"");
        }
        for _ in 0..calls {
            let answer = client.recv_timeout(SOON).unwrap().expect("the server goes on");
            assert_eq!(answer.into_result().unwrap().to_vec(), [9; 2024]);
        }
        serving.join().unwrap();
    });
}
