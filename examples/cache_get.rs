//! Asks `cache_serve` for the addresses of hosts.
//!
//!     cargo run --example cache_get -- HOST...
//!
//! Run it in several terminals, with the same hosts and others, again and again. All calls of one run are in flight at
//! once. While there is no server, they wait for 5 s.

mod cache;

use std::error::Error;
use std::time::{Duration, Instant};

use cache::PATH;
use quoit::service::{CallOptions, Client};

fn main() -> Result<(), Box<dyn Error>> {
    let hosts: Vec<String> = std::env::args().skip(1).collect();
    let began = Instant::now();
    let deadline = began + Duration::from_secs(5);
    let mut client = Client::open_wait(PATH, deadline)?;
    // A look-up may run twice, so a call goes on with the next server if this one dies.
    let how = CallOptions::new().deadline(deadline).repeatable(true);
    let mut calls = Vec::new();
    for host in &hosts {
        calls.push((client.start(host.as_bytes(), how)?, host));
    }
    while client.in_flight() > 0 {
        let answer = client.recv()?;
        let host = calls.iter().find(|(call, _)| *call == answer.call()).map_or("", |(_, host)| host);
        let after = began.elapsed();
        match answer.into_result() {
            Ok(addresses) => {
                let text = String::from_utf8_lossy(&addresses.to_vec()).replace('\n', ", ");
                println!("{host}: {text}, after {after:.1?}");
            }
            Err(error) => println!("{host}: {error}, after {after:.1?}"),
        }
    }
    Ok(())
}
