//! Real data, more than the ring holds many times over, arrives byte for byte; also when the one who takes it is
//! killed in the middle.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use sha2::{Digest, Sha256};

use crate::support::{Place, lines, wait_for_size};

/// A file of at least 100 MB: the toolchain's own compiler library, or as many pseudo-random bytes.
fn large_file(place: &Place) -> PathBuf {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    let lib = sysroot.map(|out| PathBuf::from(String::from_utf8_lossy(&out.stdout).trim()).join("lib"));
    let files = lib.ok().and_then(|lib| std::fs::read_dir(lib).ok()).into_iter().flatten().flatten();
    let large = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() >= 100_000_000);
    files.map(|entry| entry.path()).find(large).unwrap_or_else(|| random_file(place))
}

fn random_file(place: &Place) -> PathBuf {
    let path = place.file("random");
    let mut file = File::create(&path).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = vec![0; 1 << 20];
    for _ in 0..101 {
        for word in block.as_chunks_mut::<8>().0 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *word = state.to_le_bytes();
        }
        file.write_all(&block).unwrap();
    }
    path
}

fn sha256(mut input: impl Read) -> String {
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match input.read(&mut block).unwrap() {
            0 => return hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
            count => hash.update(&block[..count]),
        }
    }
}

fn file_sha256(path: &Path) -> String {
    sha256(File::open(path).unwrap())
}

#[test]
fn a_large_file_through_two_gated_consumers_one_of_them_killed() {
    const CHUNK: u64 = 4096;
    let place = Place::with("--capacity 8MiB");
    let input = large_file(&place);
    let size = std::fs::metadata(&input).unwrap().len();
    assert!(size >= 100_000_000);

    let mut plain = place.spawn("sub RING --gated --raw --until-closed", Stdio::null(), Stdio::piped());
    let plain_out = plain.stdout();
    let plain_hash = std::thread::spawn(move || sha256(plain_out));
    let named = "sub RING --gated --raw --until-closed --name archive --hold forever";
    let (first, second) = (place.file("first"), place.file("second"));
    let killed = place.spawn(named, Stdio::null(), File::create(&first).unwrap().into());
    place.wait_for_consumers(2);

    let publisher = place.spawn(
        &format!("pub RING --chunk {CHUNK} --wait"),
        File::open(&input).unwrap().into(),
        Stdio::null(),
    );
    wait_for_size(&first, size / 3);
    killed.kill();
    let held = place.wait_for("the held name holds the producer up", |info| {
        info["consumers"]
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["alive"] == false && c["lag_records"].as_u64() > Some(1000))
    });
    assert_eq!(held["producer"]["state"], "alive");
    let resumed = place.spawn(named, Stdio::null(), File::create(&second).unwrap().into());

    publisher.end().assert_code(0).assert_says(&format!(" {size} bytes in "));
    plain.end().assert_code(0);
    let said = resumed.end().assert_code(0).stderr;

    // At least once: the second part begins where the first had certainly been written, or before.
    let (_, sequence) = said.split_once("resumed at sequence ").unwrap();
    let sequence: u64 = sequence.lines().next().unwrap().parse().unwrap();
    let written = std::fs::metadata(&first).unwrap().len();
    assert!(sequence > 0 && sequence * CHUNK <= written, "resumed at {sequence}, after {written} bytes");
    assert!(written < size, "it was killed too late to tell anything");
    File::options().write(true).open(&first).unwrap().set_len(sequence * CHUNK).unwrap();
    let joined = File::open(&first).unwrap().chain(File::open(&second).unwrap());

    let wanted = file_sha256(&input);
    assert_eq!(plain_hash.join().unwrap(), wanted, "the plain consumer");
    assert_eq!(sha256(joined), wanted, "the killed and resumed consumer");
}

#[test]
fn a_log_line_by_line() {
    let log = ["/var/log/dpkg.log", "/var/log/syslog", "/var/log/messages"]
        .iter()
        .find_map(|path| std::fs::read(path).ok());
    let mut log = log.filter(|log| log.len() > 10_000).unwrap_or_else(|| lines(0..20_000));
    if log.last() != Some(&b'\n') {
        log.push(b'\n');
    }
    let place = Place::with("--capacity 64KiB");
    let sub = place.spawn("sub RING --gated --until-closed", Stdio::null(), Stdio::piped());
    let json = place.spawn("sub RING --gated --until-closed --json", Stdio::null(), Stdio::piped());
    place.wait_for_consumers(2);
    let (sub, json) = (sub.collect(), json.collect());
    let count = log.iter().filter(|byte| **byte == b'\n').count();
    let publisher = place.run("pub RING --wait", &log).assert_code(0);
    publisher.assert_says(&format!("published {count} records"));
    let ran = sub.join().unwrap().assert_code(0);
    assert!(ran.stdout == log, "what came out differs from the log");
    let json = json.join().unwrap().assert_code(0).json();
    assert!((0..count).eq(json.iter().map(|line| line["sequence"].as_u64().unwrap() as usize)));
}

#[test]
fn killed_again_and_again_nothing_is_missing() {
    const KILLS: u64 = 25;
    let place = Place::with("--capacity 64KiB");
    let named = "sub RING --gated --name archive --hold forever --json --until-closed";
    place.run(named.trim_end_matches(" --until-closed"), b"").assert_code(0);
    let mut publisher = place.spawn("pub RING --wait", Stdio::piped(), Stdio::null());
    let mut stdin = publisher.stdin();
    let feeder = std::thread::spawn(move || {
        let mut block = 0;
        while stdin.write_all(&lines(block * 100..(block + 1) * 100)).is_ok() {
            block += 1;
        }
    });
    let part = |number: u64| place.file(&format!("part{number}"));
    for number in 0..KILLS {
        let sub = place.spawn(named, Stdio::null(), File::create(part(number)).unwrap().into());
        wait_for_size(&part(number), 1);
        std::thread::sleep(Duration::from_micros(number * 397 % 5000));
        sub.kill();
    }
    // The producer waits for whoever is held: it must be received from while it ends.
    let last = place.spawn(named, Stdio::null(), File::create(part(KILLS)).unwrap().into());
    publisher.signal(Signal::INT);
    publisher.end().assert_code(130);
    last.end().assert_code(0);
    feeder.join().unwrap();

    let total = place.info()["counters"]["records"].as_u64().unwrap();
    let mut expected = 0;
    for number in 0..=KILLS {
        let text = std::fs::read_to_string(part(number)).unwrap();
        // A kill may tear the last line; what it says was not released then.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let Some(sequence) = line["sequence"].as_u64() else { continue };
            assert_eq!(line["payload"], format!("line {sequence}"));
            assert!(sequence <= expected, "part {number} goes on at {sequence} instead of {expected}");
            expected = expected.max(sequence + 1);
        }
    }
    assert_eq!(expected, total);
}
