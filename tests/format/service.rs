//! Part E of docs/format.md: the bytes of a service.

use quoit::service::{CallOptions, Client, Outcome, Server, ServiceOptions};

use crate::common::Backing;
use crate::word;

const CONTROL: usize = 4096;
const SEAT: usize = CONTROL + 384;
const DATA: usize = 8192;
const REPLIES: usize = DATA + 4096;

fn header(kind: u64, flags: u64, position: u64, len: u64) -> u64 {
    len | kind << 32 | flags << 35 | (position / 8) << 40
}

#[test]
fn a_service_stands_where_the_document_says() {
    use std::os::unix::fs::FileExt;
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let directory = backing.directory();
        let path = directory.path().join("service");
        let options =
            ServiceOptions::new().clients(4).request_bytes(4096).reply_bytes(8192).types::<u64, u32>();
        let server = Server::create(&path, &options).unwrap();
        let bytes = || std::fs::read(&path).unwrap();
        let words = |from: usize, count: usize| -> Vec<u64> {
            (0..count).map(|at| word(&bytes(), from + 8 * at)).collect()
        };
        let size = DATA + 4 * (4096 + 8192);
        assert_eq!((word(&bytes(), 40), bytes().len()), (size as u64, size));
        assert_eq!(bytes()[32..40], *b"service ", "the kind");
        assert_eq!(words(128, 7), [4, 4096, 8192, 4, 8 << 32, 4 << 32, 0]);
        assert_eq!(words(CONTROL + 256, 2), [1, 1], "the generation of the server, and that it is ready");
        assert!(bytes()[DATA..].iter().all(|byte| *byte == 0));

        let mut client = Client::open(&path).unwrap();
        assert_eq!((word(&bytes(), CONTROL + 128), words(SEAT, 2)), (1, vec![1, 0]));
        // 16 bytes and the payload, twice.
        let call = client.start(&7_u64.to_le_bytes(), CallOptions::new()).unwrap();
        let repeatable = CallOptions::new().repeatable(true);
        let second = client.start(b"123456789", repeatable).unwrap();
        let queued = [header(1, 0, 0, 8), 0, 7, header(1, 1, 24, 9), 0];
        assert_eq!(words(DATA, 5), queued);
        assert_eq!(words(DATA + 40, 3), [u64::from_le_bytes(*b"12345678"), u64::from(b'9'), 0]);
        let request = server.recv().unwrap();
        assert_eq!(word(&bytes(), DATA), header(2, 0, 0, 8), "taken");
        request.reply(b"abcd").unwrap();
        assert_eq!(word(&bytes(), DATA), header(4, 0, 0, 8), "answered");
        assert_eq!(word(&bytes(), SEAT + 384), 24, "and released");
        let reply = [header(1, 0, 0, 4), 0, u64::from_le_bytes(*b"abcd\0\0\0\0"), 0];
        assert_eq!(words(REPLIES, 4), reply);
        assert_eq!(client.wait(call).unwrap().to_vec(), b"abcd");
        assert!(client.try_recv().unwrap().is_none());
        assert_eq!(word(&bytes(), SEAT + 256), 24, "released by the client");

        let mut request = server.recv().unwrap();
        request.more(b"").unwrap();
        assert_eq!(words(REPLIES + 24, 3), [header(2, 0, 24, 0), 24, 0]);
        std::mem::forget(request);
        drop(server);
        let next = Server::open(&path).unwrap();
        assert_eq!(word(&bytes(), DATA + 24), header(6, 1, 24, 9), "again");
        assert_eq!(words(CONTROL + 256, 2), [2, 2]);
        let request = next.recv().unwrap();
        assert!(!client.cancel(second).unwrap());
        assert_eq!(word(&bytes(), DATA + 24), header(2, 1 | 1 << 1, 24, 9), "cancelled");
        request.fail(b"").unwrap();
        assert_eq!(words(REPLIES + 40, 3), [header(3, 1, 40, 0), 24, 0], "a failure, of another run");

        // What another implementation would send.
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        for (at, word) in [(64, 0), (72, 99), (80, 0), (56, header(1, 0, 56, 8))] {
            file.write_all_at(&u64::to_le_bytes(word), (DATA + at) as u64).unwrap();
        }
        let request = next.try_recv().unwrap().expect("it is there");
        assert_eq!(request.payload().read(), Some(99_u64));
        drop(request);
        let answers: Vec<_> = std::iter::from_fn(|| {
            client.try_recv().unwrap().map(|answer| matches!(answer.outcome(), Outcome::Failed(_)))
        })
        .collect();
        assert_eq!(answers, [false, true], "the reply to a call that it did not make is dropped");
    }
}
