//! `Once`: done at least once, never begun again when somebody has seen that it is done, and a death at it is told.

use std::path::PathBuf;
use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Result, ensure};
use quoit::sync::{Once, SyncOptions};

use super::{Life, Play, Site, nothing, soon};

pub(super) const PLAYS: &[Play] = &[Play {
    what: "onces",
    share: 60,
    make: |_| Ok(()),
    victims: &[call, call, call],
    steady: &[call],
    after: nothing,
    tells_each: false,
    end,
}];

/// Word of the board: which one is next.
const NEXT: usize = 0;

/// Entries of the board: for each, how often it was begun, and whether somebody has seen it done.
const BEGUN: u64 = 0;
const SEEN: u64 = 1;

/// So many stay after they are done.
const KEPT: u64 = 8;

fn file(path: &std::path::Path, number: u64) -> PathBuf {
    path.with_file_name(format!("once-{number}"))
}

fn call(life: &Life) {
    life.works();
    while life.goes_on() {
        let number = life.board.words[NEXT].load(SeqCst);
        let path = file(&life.path, number);
        let entry = |which: u64| life.board.entry(2 * number + which);
        let opened = life.inside(|| Once::open_or_create(&path, &SyncOptions::new().seats(10)));
        let mut once = opened.expect("open or create");
        if life.board.words[NEXT].load(SeqCst) > number + KEPT {
            // It may have been removed in between, and made once more.
            continue;
        }
        let mine = life.inside(|| {
            once.call_deadline(soon(), |state| {
                let seen = entry(SEEN).load(SeqCst);
                assert!(seen != number + 1, "done again, and it was seen to be done");
                let begun = entry(BEGUN).load(SeqCst);
                // Begun before, by one that died at it. The entry may be of an earlier one.
                let begun = if begun >> 16 == number { begun & 0xffff } else { 0 };
                assert!(state.attempts >= begun, "{begun} began it, and {} are told", state.attempts);
                if state.attempts > 0 {
                    life.board.tell();
                }
                entry(BEGUN).store(number << 16 | (begun + 1), SeqCst);
                life.board.hold(life.number, 1);
                life.dawdle();
                life.board.hold(life.number, 0);
            })
        });
        mine.expect("call");
        entry(SEEN).store(number + 1, SeqCst);
        assert!(!once.call(|_| panic!("done again by the one that saw it")).expect("call"));
        drop(once);
        // The next one; whoever moves on to it removes this one.
        let next = &life.board.words[NEXT];
        if next.compare_exchange(number, number + 1, SeqCst, SeqCst).is_ok() && number > KEPT {
            let _ = std::fs::remove_file(file(&life.path, number - KEPT));
        }
        life.done();
    }
}

fn end(site: &Site) -> Result<()> {
    ensure!(site.board.words[NEXT].load(SeqCst) > 0, "nothing was ever done");
    Ok(())
}
