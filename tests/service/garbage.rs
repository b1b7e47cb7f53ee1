//! Garbage in the file, as another process could write it.

use std::os::unix::fs::FileExt;
use std::time::Instant;

use quoit::service::{Client, Inspector, Server};
use quoit::{CallError, Error, ReplyError};

use crate::{SOON, Scene, answer, how, small, start, take};

/// Where the seats and the data area begin, with three clients.
const SEATS: u64 = 4096 + 384;
const DATA: u64 = 8192;
const CHANNEL: u64 = 4096;

fn poke(scene: &Scene, byte: u64, word: u64) {
    let file = std::fs::File::options().write(true).open(scene.path()).expect("open");
    file.write_all_at(&word.to_le_bytes(), byte).expect("write");
}

fn scene() -> (Scene, Server, Client, Client) {
    let scene = Scene::new();
    let server = Server::create(scene.path(), &small()).unwrap();
    let (first, second) = (server.client().unwrap(), server.client().unwrap());
    (scene, server, first, second)
}

/// The server looks away from the client in seat 0, and serves the other.
fn looks_away(server: &Server, second: &mut Client) {
    assert!(server.try_recv().unwrap().is_none());
    assert_eq!(server.garbled_clients(), 1);
    start(second, b"fine");
    take(server).reply(b"as ever").unwrap();
    assert_eq!(answer(second).1, "reply as ever");
}

#[test]
fn requests_that_make_no_sense_get_no_answer() {
    // A place of another lap, no state, a length past the channel, one past half of it, padding where none can be.
    for header in [1 << 40 | 1 << 32, 8, 1 << 32 | 4096, 1 << 32 | 2025, 7 << 32, u64::MAX] {
        let (scene, server, _first, mut second) = scene();
        poke(&scene, DATA, header);
        looks_away(&server, &mut second);
    }
}

#[test]
fn a_call_that_claims_to_be_taken_is_not_run() {
    let (scene, server, mut first, mut second) = scene();
    start(&mut first, b"");
    poke(&scene, DATA, 2 << 32);
    looks_away(&server, &mut second);
}

#[test]
fn a_release_that_cannot_be_is_noticed() {
    for released in [3, 8, 1 << 40, u64::MAX] {
        let (scene, server, mut first, mut second) = scene();
        // Until the server has to look at it.
        for _ in 0..3 {
            start(&mut first, b"");
            take(&server).reply(&[0; 64]).unwrap();
        }
        poke(&scene, SEATS + 256, released);
        while server.garbled_clients() == 0 {
            match first.try_start(b"", how()) {
                Ok(_) => {}
                Err(CallError::Full) if released == 8 => return,
                Err(error) => panic!("{error}"),
            }
            match server.try_recv().unwrap() {
                Some(request) => request.reply(&[0; 64]).unwrap(),
                None if released == 8 => return,
                None => {}
            }
        }
        looks_away(&server, &mut second);
    }
}

/// Not a wait for room that never comes.
#[test]
fn who_sends_several_replies_is_told() {
    let (scene, server, mut first, mut second) = scene();
    start(&mut first, b"");
    let mut request = take(&server);
    poke(&scene, SEATS + 256, 3);
    let deadline = Instant::now() + SOON;
    let told = std::iter::repeat_with(|| request.more_deadline(&[0; 64], deadline)).find_map(Result::err);
    assert!(matches!(told, Some(ReplyError::ClientGone)), "{told:?}");
    let told = request.try_more(&[0; 64]);
    assert!(matches!(told, Err(ReplyError::ClientGone)), "who does not wait is told, too: {told:?}");
    drop(request);
    looks_away(&server, &mut second);
}

#[test]
fn replies_that_make_no_sense_are_an_error() {
    for header in [1 << 40 | 1 << 32, 8, 1 << 32 | 4096, 5 << 32, 7 << 32, u64::MAX] {
        let (scene, server, mut first, mut second) = scene();
        poke(&scene, DATA + CHANNEL, header);
        let told = first.try_recv().unwrap_err();
        assert!(matches!(told, Error::Garbage { .. }), "{told}");
        assert!(matches!(
            first.call(b"", how().timeout(SOON)),
            Err(CallError::Client(Error::Garbage { .. }))
        ));
        start(&mut second, b"fine");
        take(&server).reply(b"").unwrap();
    }
}

#[test]
fn a_release_of_requests_that_cannot_be_is_an_error() {
    let (scene, _server, mut first, _second) = scene();
    poke(&scene, SEATS + 384, 7);
    let told = std::iter::repeat_with(|| first.try_start(&[0; 500], how())).find_map(Result::err);
    assert!(matches!(told, Some(CallError::Client(Error::Garbage { .. }))), "{told:?}");
    drop(first);
    // Nor does a newcomer use such a seat.
    assert!(matches!(Client::open(scene.path()), Err(Error::Garbage { .. })));
}

#[test]
fn a_server_takes_over_beside_garbage() {
    for (byte, word) in [(DATA, u64::MAX), (SEATS + 384, 3), (SEATS + 384, 1 << 20), (SEATS + 256, 5)] {
        let (scene, server, mut first, mut second) = scene();
        start(&mut first, b"first");
        drop(server);
        poke(&scene, byte, word);
        let server = Server::open(scene.path()).unwrap();
        looks_away(&server, &mut second);
    }
}

/// Every bit of the control area and of both channels, one at a time: no panic, no hang, and the other client is served.
#[test]
fn every_bit_flipped() {
    let (scene, server, mut first, mut second) = scene();
    start(&mut first, b"in flight");
    let taken = take(&server);
    start(&mut first, b"queued");
    drop(taken);
    let image = std::fs::read(scene.path()).unwrap();
    drop((first, server));
    let interesting = (SEATS..SEATS + 512).chain(DATA..DATA + 128).chain(DATA + CHANNEL..DATA + CHANNEL + 64);
    for byte in interesting {
        for bit in 0..8 {
            let file = std::fs::File::options().write(true).open(scene.path()).expect("open");
            file.write_all_at(&image[4096..], 4096).expect("write");
            file.write_all_at(&[image[byte as usize] ^ 1 << bit], byte).expect("write");
            if let Ok(inspector) = Inspector::open(scene.path()) {
                drop(inspector.snapshot());
            }
            // Seats are free or taken by handles that the test has no more: whoever opens them copes.
            let Ok(server) = Server::open(scene.path()) else { continue };
            for _ in 0..3 {
                if let Some(request) = server.try_recv().unwrap() {
                    let _ = request.payload().to_vec();
                    let _ = request.reply(b"reply");
                }
            }
            if let Ok(mut client) = Client::open(scene.path()) {
                let _ = client.try_start(b"mine", how());
                for _ in 0..3 {
                    if let Ok(Some(answer)) = client.try_recv() {
                        drop(answer.into_result());
                    }
                }
            }
        }
    }
    let _ = second.try_recv();
}
