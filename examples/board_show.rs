//! Shows a board of prices: once a second each symbol that has changed, and whether its feed is alive.
//!
//!     cargo run --example board_show [any]
//!
//! Run `board_quote` in other terminals, before or after. With `any` it shows each change as it comes: it sleeps, and the
//! writers wake it. It needs no right to write the board: try it as another user after `chmod a+r /dev/shm/quoit-board`. Then
//! nobody can wake it, and with `any` it looks every 1 to 20 ms.
//! The file stays: rm /dev/shm/quoit-board

mod board;

use std::error::Error;
use std::time::{Duration, Instant};

use board::{PATH, Price, SYMBOLS};
use quoit::Ticker;
use quoit::sync::TableReader;

fn show(symbol: &str, price: Price, version: Option<u64>, is_alive: bool) {
    let [bid, ask] = [price.bid, price.ask].map(|price| price as f64 / 100_000.0);
    let version = version.unwrap_or_default();
    let feed = if is_alive { "" } else { ", no feed" };
    println!("{symbol} {bid:.5} {ask:.5} (version {version}{feed})");
}

fn main() -> Result<(), Box<dyn Error>> {
    let shows_any = std::env::args().nth(1).is_some_and(|argument| argument == "any");
    let mut board = TableReader::<Price>::open_wait(PATH, Instant::now() + Duration::from_secs(60))?;
    let mut second = Ticker::every(Duration::from_secs(1));
    let mut was_alive = [false; SYMBOLS.len()];
    loop {
        if shows_any {
            let (row, price) = board.next()?;
            let symbol = SYMBOLS.get(row as usize).copied().unwrap_or("?");
            show(symbol, price, board.version(row), board.writer_alive(row)?);
            continue;
        }
        second.wait();
        for (row, symbol) in (0..board.rows()).zip(SYMBOLS) {
            let last = board.version(row);
            let price = board.get(row)?;
            let is_alive = board.writer_alive(row)?;
            let has_feed_changed = std::mem::replace(&mut was_alive[row as usize], is_alive) != is_alive;
            if board.version(row) != last || has_feed_changed {
                show(symbol, price, board.version(row), is_alive);
            }
        }
    }
}
