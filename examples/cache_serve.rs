//! A cache of host names for all processes of a machine: each name is looked up once a minute at most, however many ask.
//!
//!     cargo run --example cache_serve [SECONDS [PATH]]
//!
//! Run `cache_get` in other terminals. Names that are known are answered at once, also while others are looked up, which
//! takes threads of their own. All that ask for one name meanwhile get the result of one look-up. Names are kept for so many
//! seconds, 60 unless told otherwise.
//!
//! Kill this program and start it again: those that wait get their answer from the new one, which begins with nothing.

mod cache;

use std::collections::HashMap;
use std::error::Error;
use std::net::ToSocketAddrs;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use cache::PATH;
use quoit::WaitSet;
use quoit::service::{Request, Server, ServiceOptions};
use quoit::sync::{Event, Reset, SyncOptions};

/// The addresses of a name, one a line; or why there are none.
type Found = Result<String, String>;

enum Entry<'s> {
    /// Found, and not too old.
    Known(Found, Instant),
    /// Is looked up; who waits for it.
    Awaited(Vec<Request<'s>>),
}

fn look_up(name: &str) -> Found {
    let mut addresses: Vec<String> = (name, 0)
        .to_socket_addrs()
        .map_err(|error| error.to_string())?
        .map(|at| at.ip().to_string())
        .collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses.join("\n"))
}

fn answer(request: Request<'_>, found: &Found) {
    let sent = match found {
        Ok(addresses) => request.reply(addresses.as_bytes()),
        Err(error) => request.fail(error.as_bytes()),
    };
    if let Err(error) = sent {
        println!("not answered: {error}");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let keep = Duration::from_secs(args.next().map_or(Ok(60), |text| text.parse())?);
    let path = args.next().unwrap_or_else(|| PATH.into());
    let server = Server::open_or_create(&path, &ServiceOptions::new().clients(64).largest_reply(4096))?;
    println!("keeps names for {} s; the file stays: rm {path}", keep.as_secs());

    // The threads that look names up, and how they wake this one.
    let (sender, results) = mpsc::channel::<(String, Found)>();
    let mut has_result = Event::local(&SyncOptions::new().seats(2), Reset::Auto)?;
    let wake = Arc::new(Mutex::new(has_result.try_clone()?));

    let mut cache: HashMap<String, Entry<'_>> = HashMap::new();
    let (mut hits, mut misses) = (0_u64, 0_u64);
    let mut set = WaitSet::new();
    loop {
        // A server that has requests open is in the set by reference.
        let _ = set.wait(&mut [&mut &server, &mut has_result]);
        has_result.try_wait()?;
        for (name, found) in results.try_iter() {
            let known = Entry::Known(found.clone(), Instant::now());
            if let Some(Entry::Awaited(requests)) = cache.insert(name.clone(), known) {
                println!("{name}: found for {} at once; {hits} hits, {misses} misses", requests.len());
                requests.into_iter().for_each(|request| answer(request, &found));
            }
        }
        while let Some(request) = server.try_recv()? {
            let name = String::from_utf8_lossy(&request.payload().to_vec()).into_owned();
            match cache.get_mut(&name) {
                Some(Entry::Known(found, since)) if since.elapsed() < keep => {
                    hits += 1;
                    answer(request, found);
                }
                Some(Entry::Awaited(requests)) => {
                    hits += 1;
                    requests.push(request);
                }
                _ => {
                    misses += 1;
                    cache.insert(name.clone(), Entry::Awaited(vec![request]));
                    let (sender, wake) = (sender.clone(), Arc::clone(&wake));
                    std::thread::spawn(move || {
                        let found = look_up(&name);
                        // The other end is there for as long as this process.
                        let _ = sender.send((name, found));
                        let _ = wake.lock().unwrap_or_else(PoisonError::into_inner).set();
                    });
                }
            }
        }
    }
}
