//! `ls` and `rm`: the rings of a directory, and one ring fewer.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Place, Ran, lines};

/// `ls` of the place's directory.
fn ls(place: &Place, options: &str) -> Ran {
    place.run(&format!("ls {} {options}", place.file("").display()), b"").assert_code(0)
}

fn text(ran: Ran) -> String {
    String::from_utf8(ran.stdout).unwrap()
}

/// Its rings in JSON.
fn rings(place: &Place) -> Vec<Value> {
    let document: Value = serde_json::from_slice(&ls(place, "--json").stdout).unwrap();
    assert_eq!(document["schema"], 1);
    document["rings"].as_array().unwrap().clone()
}

/// Seconds since 1970.
fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// The cells of the line of a ring.
fn cells(table: &str, name: &str) -> Vec<String> {
    let line = table.lines().skip(1).find(|line| line.starts_with(&format!("{name} "))).expect(table);
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
}

#[test]
fn ls_shows_rings_and_nothing_else() {
    let place = Place::with("--capacity 64KiB");
    place.run(&format!("create {} --capacity 128KiB --quiet", place.file("b").display()), b"").assert_code(0);
    place.run("pub RING --quiet", &lines(0..1234)).assert_code(0);
    place.run("sub RING --name x --count 0 --quiet", b"").assert_code(0);
    // Neither of these is a ring.
    fs::write(place.file("text"), "some text").unwrap();
    fs::write(place.file("empty"), "").unwrap();
    fs::write(place.file("zeros"), [0; 100_000]).unwrap();
    fs::create_dir(place.file("directory")).unwrap();
    symlink(&place.ring, place.file("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.file("socket")).unwrap();
    let table = text(ls(&place, ""));
    assert_eq!(table.lines().count(), 3, "{table}");
    assert_eq!(cells(&table, "b"), ["b", "128 KiB", "none", "none", "0", "-", "never"]);
    let row = cells(&table, "ring");
    assert_eq!(row[..6], ["ring", "64 KiB", "closed", "1 away", "1,234", "-"]);
    assert!(row[6] == "just now" || row[6].starts_with("≤ "), "{table}");
    let [b, ring] = &rings(&place)[..] else { panic!("{table}") };
    assert_eq!(b["path"], place.file("b").to_str().unwrap());
    assert_eq!((&b["state"], &b["capacity"]), (&json!("none"), &json!(131_072)));
    assert_eq!(
        (&ring["state"], &ring["capacity"], &ring["epoch"]),
        (&json!("closed"), &json!(65_536), &json!(1))
    );
    assert_eq!((&ring["records"], &ring["next_sequence"]), (&json!(1234), &json!(1234)));
    assert_eq!(ring["consumers"], json!({ "alive": 0, "stopped": 0, "attaching": 0, "away": 1, "dead": 0 }));
    assert_eq!((&ring["producer_alive"], &ring["records_per_second"]), (&json!(false), &Value::Null));
    // It has noted the time, since more than a 64th of the ring is full.
    let seconds = |unix_ns: &Value| unix_ns.as_u64().unwrap() / 1_000_000_000;
    let age = now() - seconds(&ring["last_publish_not_before_unix_ns"]);
    assert!(age < 60, "{age} s");
    assert!(b["last_publish_not_before_unix_ns"].is_null());
    assert_eq!(ring["file_bytes"], fs::metadata(&place.ring).unwrap().len());
    // A ring by itself.
    let table = text(place.run("ls RING", b"").assert_code(0));
    assert_eq!((table.lines().count(), cells(&table, "ring")[4].as_str()), (2, "1,234"));
}

#[test]
fn ls_tells_the_living_from_the_stopped_and_the_dead() {
    let place = Place::with("--capacity 64KiB");
    let mut publisher = place.spawn("pub RING --quiet", Stdio::piped(), Stdio::null());
    let mut stdin = publisher.stdin();
    let subs: Vec<_> = ["one", "two"]
        .map(|name| {
            place.spawn(
                &format!("sub RING --gated --name {name} --follow --quiet"),
                Stdio::null(),
                Stdio::null(),
            )
        })
        .into();
    place.wait_for_consumers(2);
    subs[0].signal(Signal::STOP);
    place.wait_for("one is seen stopped", |info| {
        info["consumers"].as_array().unwrap().iter().any(|consumer| consumer["state"] == "stopped")
    });
    // Somebody publishes all the time that this looks.
    let feeder = std::thread::spawn(move || {
        use std::io::Write;
        for number in 0..500 {
            let line = format!("{number}\n");
            if stdin.write_all(line.as_bytes()).is_err() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    });
    place.wait_for("it publishes", |info| info["counters"]["records"].as_u64() > Some(0));
    let ring = &rings(&place)[0];
    assert_eq!((&ring["state"], &ring["producer_alive"]), (&json!("alive"), &json!(true)));
    assert_eq!((&ring["consumers"]["alive"], &ring["consumers"]["stopped"]), (&json!(1), &json!(1)));
    let rate = ring["records_per_second"].as_f64().unwrap();
    // 500 a second, on a machine that has nothing else to do.
    assert!(rate > 0.0 && rate < 100_000.0, "{rate}");
    let pid = ring["producer_pid"].as_u64().unwrap();
    let row = cells(&text(ls(&place, "")), "ring");
    assert_eq!(row[6], "now");
    assert_eq!(row[2..4], [format!("alive (process {pid})"), "1 alive, 1 stopped".to_owned()]);
    publisher.kill();
    feeder.join().unwrap();
    let row = cells(&text(ls(&place, "")), "ring");
    assert_eq!((row[2].as_str(), row[5].as_str()), ("dead", "-"));
    subs[0].signal(Signal::CONT);
}

#[test]
fn ls_escapes_names_and_shows_what_it_cannot_use() {
    let place = Place::with("--capacity 64KiB");
    let evil = place.file("").join(OsStr::from_bytes(b"e\x1b[2J\nvil\xff"));
    fs::copy(&place.ring, &evil).unwrap();
    let file = fs::File::options().write(true).open(&evil).unwrap();
    // Format version 9.0.
    file.write_all_at(&(9_u64 << 32).to_le_bytes(), 8).unwrap();
    let ran = ls(&place, "");
    let table = text(ran);
    assert!(!table.contains('\u{1b}'), "{table:?}");
    let name = "e\\u{1b}[2J\\nvil\\xff";
    assert_eq!(cells(&table, name), [name, "-", "unusable", "-", "-", "-", "-"]);
    assert!(table.lines().last().unwrap().contains("version 9.0"), "{table}");
    let rings = rings(&place);
    assert_eq!(rings[0]["state"], "unusable");
    assert!(rings[0]["path"]["base64"].is_string(), "{}", rings[0]);
    assert!(rings[0]["error"].as_str().unwrap().contains("version 9.0"), "{}", rings[0]);
    assert_eq!(rings[1]["state"], "none");
}

#[test]
fn ls_of_what_is_empty_or_not_there() {
    let place = Place::new();
    ls(&place, "").assert_stdout("").assert_one_line().assert_says("no rings and no other objects in ");
    assert!(rings(&place).is_empty());
    place.run("ls RING", b"").assert_code(3).assert_stdout("").assert_one_line();
    place.run("ls RING --json", b"").assert_code(3).assert_stdout("").assert_one_line();
}

#[test]
fn rm_removes_a_ring_that_nobody_uses() {
    let place = Place::with("");
    place.run("pub RING", &lines(0..10)).assert_code(0);
    place.run("sub RING --name kept --gated --hold forever --count 1 --quiet", b"").assert_code(0);
    let ran = place.run("rm RING", b"").assert_code(0).assert_stdout("").assert_one_line();
    ran.assert_says("removed ").assert_says("what it kept for 1 name\n");
    assert!(!place.ring.exists());
    place.run("rm RING", b"").assert_code(3).assert_one_line().assert_says("no such file");
    // One that is damaged, too: it is what errors tell people to remove.
    let place = Place::with("");
    let file = fs::File::options().write(true).open(&place.ring).unwrap();
    file.write_all_at(&[0xff; 8], 48).unwrap();
    place.run("info RING", b"").assert_code(4);
    assert_eq!(place.run("rm RING --quiet", b"").assert_code(0).stderr, "");
    assert!(!place.ring.exists());
}

#[test]
fn rm_refuses_what_somebody_uses_and_says_who() {
    let place = Place::with("");
    let mut publisher = place.spawn("pub RING --quiet", Stdio::piped(), Stdio::null());
    let stdin = publisher.stdin();
    let producer = place
        .wait_for("it is there", |info| info["producer"]["alive"] == true && info["producer"]["pid"] != 0);
    let producer = &producer["producer"]["pid"];
    let says = format!("in use by the producer (process {producer}); end them first");
    place.run("rm RING", b"").assert_code(9).assert_stdout("").assert_one_line().assert_says(&says);
    let sub = place.spawn("sub RING --gated --name audit --follow --quiet", Stdio::null(), Stdio::null());
    place.wait_for_consumers(1);
    drop(stdin);
    publisher.end().assert_code(0);
    // Stopped is alive.
    sub.signal(Signal::STOP);
    let info = place.wait_for("it is seen stopped", |info| info["consumers"][0]["state"] == "stopped");
    let says = format!("in use by slot 0 'audit' (process {}, stopped)", info["consumers"][0]["pid"]);
    place.run("rm RING", b"").assert_code(9).assert_one_line().assert_says(&says);
    assert!(place.ring.exists());
    place
        .run("rm RING --force", b"")
        .assert_code(0)
        .assert_one_line()
        .assert_says("under those who live on it");
    assert!(!place.ring.exists());
    sub.signal(Signal::CONT);
    sub.kill();
    // The dead hold nothing.
    let place = Place::with("");
    let sub = place.spawn("sub RING --gated --follow --quiet", Stdio::null(), Stdio::null());
    place.wait_for_consumers(1);
    sub.kill();
    place.run("rm RING", b"").assert_code(0);
}

#[test]
fn rm_refuses_what_is_no_ring_even_by_force() {
    let place = Place::new();
    let refused = |says: &str| {
        for line in ["rm RING", "rm RING --force"] {
            place.run(line, b"").assert_code(3).assert_stdout("").assert_one_line().assert_says(says);
        }
        assert!(place.ring.symlink_metadata().is_ok());
    };
    fs::write(&place.ring, "some text, longer than eight bytes").unwrap();
    refused("not a file of quoit");
    fs::write(&place.ring, "").unwrap();
    refused("not a file of quoit");
    fs::remove_file(&place.ring).unwrap();
    fs::create_dir(&place.ring).unwrap();
    refused("this is a directory");
    fs::remove_dir(&place.ring).unwrap();
    let other = Place::with("");
    symlink(&other.ring, &place.ring).unwrap();
    refused("this is a symbolic link");
    assert!(other.ring.exists());
    place.run("rm", b"").assert_code(2);
}

/// A process that may only read the file can lock it, too. Nobody is then named who is not there.
#[test]
fn rm_respects_a_lock_of_nobody_who_takes_part() {
    let place = Place::with("");
    let file = fs::File::open(&place.ring).unwrap();
    rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockShared).unwrap();
    place.run("rm RING", b"").assert_code(9).assert_one_line().assert_says("somebody holds a lock on it");
    assert!(place.ring.exists());
    drop(file);
    place.run("rm RING", b"").assert_code(0);
}
