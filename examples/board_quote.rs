//! A feed: writes the prices of some symbols to a board, ten times a second each.
//!
//!     cargo run --example board_quote [SYMBOL...]
//!
//! Without symbols it takes all that no other feed writes. Run `board_show` in another terminal, before or after, and more
//! feeds in others. Kill one of them, with Ctrl-C or `kill -9`: its last prices stay, and the next feed goes on from there.

mod board;

use std::error::Error;
use std::time::Duration;

use board::{PATH, Price, SYMBOLS};
use quoit::Ticker;
use quoit::sync::{Table, TableOptions, TableRow};

/// The rows that this feed writes from now on.
fn rows<'a>(board: &'a Table<Price>, asked: &[String]) -> Result<Vec<TableRow<'a, Price>>, Box<dyn Error>> {
    let mut rows = Vec::new();
    if let Some(unknown) = asked.iter().find(|symbol| !SYMBOLS.contains(&&symbol[..])) {
        return Err(format!("{unknown} is not on the board: {SYMBOLS:?}").into());
    }
    for (number, symbol) in (0..).zip(SYMBOLS) {
        if !asked.is_empty() && !asked.iter().any(|asked| asked == symbol) {
            continue;
        }
        let Some(row) = board.try_row(number)? else {
            let pid = board.writer(number)?.map_or(0, |writer| writer.pid);
            println!("{symbol}: process {pid} writes it");
            continue;
        };
        let what = if row.was_abandoned() { ", taken from a feed that died" } else { "" };
        println!("{symbol}: from version {} on{what}", row.version());
        rows.push(row);
    }
    Ok(rows)
}

fn main() -> Result<(), Box<dyn Error>> {
    let asked: Vec<_> = std::env::args().skip(1).collect();
    let options = TableOptions::new(SYMBOLS.len() as u32);
    let board = Table::open_or_create(PATH, &options, &Price::default())?;
    let mut rows = rows(&board, &asked)?;
    if rows.is_empty() {
        return Err("there is no row to write".into());
    }

    let mut ticker = Ticker::every(Duration::from_millis(100));
    loop {
        ticker.wait();
        for row in &mut rows {
            let last = row.get()?;
            // A walk that looks like a price, and is the same for the same row and number of commits.
            let seed = row.version() << 8 | u64::from(row.number());
            let step = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
            let bid = (if last.bid == 0 { 100_000 } else { last.bid } + step).saturating_sub(8).max(50_000);
            row.set(&Price { bid, ask: bid + 2 })?;
        }
    }
}
