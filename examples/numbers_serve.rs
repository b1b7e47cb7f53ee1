//! Gives out numbers, each once, whatever is killed.
//!
//!     cargo run --example numbers_serve [JOURNAL [PATH]]
//!
//! Run `numbers_take` in other terminals. Then kill this program, with `kill -9` too, and start it again: the others
//! go on, and no number is given out twice.
//!
//! Each range is in the journal before it is answered. A call whose server died comes again to the next one. That finds
//! its wish in the journal, if the dead one got so far, and gives the same answer.

mod numbers;

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};

use numbers::{PATH, Range, Wish};
use quoit::service::{ServiceOptions, TypedServer};
use quoit::zerocopy::IntoBytes;

/// What was given out: entries of a wish and the first number, 32 bytes each.
struct Journal {
    file: File,
    next: u64,
    /// The last wish of each client, and what it got. A client has one at a time.
    last: HashMap<u64, (u64, Range)>,
}

impl Journal {
    fn open(path: &str) -> io::Result<Self> {
        let mut file = File::options().read(true).append(true).create(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (entries, rest) = bytes.as_chunks::<32>();
        // An entry that was cut off was never answered.
        file.set_len((bytes.len() - rest.len()) as u64)?;
        let mut journal = Self { file, next: 1, last: HashMap::new() };
        for entry in entries {
            let (words, _) = entry.as_chunks::<8>();
            let [client, wish, count, first] =
                [0, 1, 2, 3].map(|at| u64::from_le_bytes(words.get(at).copied().unwrap_or_default()));
            journal.note(Wish { client, wish, count }, Range { first, count });
        }
        Ok(journal)
    }

    fn note(&mut self, wish: Wish, range: Range) {
        self.next = range.first + range.count;
        self.last.insert(wish.client, (wish.wish, range));
    }

    /// What a wish gets: the same, if it was given out before.
    fn give(&mut self, wish: Wish) -> io::Result<Range> {
        if let Some((number, range)) = self.last.get(&wish.client)
            && *number == wish.wish
        {
            return Ok(*range);
        }
        let first = self.next;
        first.checked_add(wish.count).ok_or(io::ErrorKind::InvalidInput)?;
        let range = Range { first, count: wish.count };
        let mut entry = wish.as_bytes().to_vec();
        entry.extend_from_slice(&first.to_le_bytes());
        self.file.write_all(&entry)?;
        self.file.sync_data()?;
        self.note(wish, range);
        Ok(range)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let journal = args.next().unwrap_or_else(|| "numbers.journal".into());
    let path = args.next().unwrap_or_else(|| PATH.into());
    // First the service: whoever has it is the only one that writes the journal.
    let server = TypedServer::<Wish, Range>::open_or_create(&path, &ServiceOptions::new())?;
    let mut journal = Journal::open(&journal)?;
    println!("gives out numbers from {} on; both files stay: rm {path}", journal.next);
    loop {
        let mut request = server.recv()?;
        let (wish, is_again) = (request.value(), request.as_request().is_again());
        match journal.give(wish) {
            Ok(range) => {
                request.reply(&range)?;
                if is_again {
                    println!("a server died with wish {} of client {:x}: {range:?}", wish.wish, wish.client);
                }
            }
            Err(error) => request.fail(error.to_string().as_bytes())?,
        }
    }
}
