//! Part D of docs/format.md: the bytes of an event.

use quoit::sync::{Event, Reset, SyncOptions};

use crate::common::Backing;
use crate::word;

#[test]
fn an_event_stands_where_the_document_says() {
    for (backing, reset) in [(Backing::Tmpfs, Reset::Manual), (Backing::Disk, Reset::Auto)] {
        let directory = backing.directory();
        let path = directory.path().join("event");
        let event = Event::create(&path, &SyncOptions::new().seats(64), reset).unwrap();
        let word = |byte: usize| word(&std::fs::read(&path).unwrap(), byte);
        assert_eq!(word(32), u64::from_le_bytes(*b"event   "));
        let is_auto = u64::from(reset == Reset::Auto);
        assert_eq!([40, 128, 136, 144].map(word), [3 * 4096, 64, is_auto, 0]);
        assert_eq!(word(8192), 0);
        for count in 1..4 {
            event.set().unwrap();
            assert_eq!(word(8192), count << 1 | 1);
            event.set().unwrap();
            event.wait().unwrap();
            assert_eq!(word(8192), count << 1 | (1 - is_auto));
            event.reset().unwrap();
            assert_eq!(word(8192), count << 1);
        }
    }
}
