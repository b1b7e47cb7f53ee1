//! `info`, `ls` and `rm` of locks, semaphores and events.

use std::os::unix::fs::FileExt;
use std::process::Stdio;

use quoit::sync::{Barrier, Condvar, Latch, Once, RwLock, SyncOptions, Table, TableOptions};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Place, eventually};

fn text(place: &Place, line: &str) -> String {
    String::from_utf8(place.run(line, b"").assert_code(0).stdout).unwrap()
}

fn participants(info: &Value) -> Vec<[&Value; 4]> {
    let all = info["participants"].as_array().unwrap();
    all.iter().map(|who| ["pid", "state", "is_waiting", "holds"].map(|key| &who[key])).collect()
}

#[test]
fn a_lock_that_is_free_held_waited_for_and_left_by_the_dead() {
    let place = Place::new();
    place.run("lock RING --seats 8 -- true", b"").assert_code(0);
    let info = place.info();
    assert_eq!(
        (&info["schema"], &info["kind"], &info["seats"]),
        (&json!(1), &json!("reader-writer lock"), &json!(8))
    );
    assert_eq!(
        (&info["is_held"], &info["is_abandoned"], &info["value"]["size"]),
        (&json!(false), &json!(false), &json!(0))
    );
    assert_eq!((&info["participants"], &info["waiting"]), (&json!([]), &json!(0)));
    assert_eq!(info["file_bytes"], std::fs::metadata(&place.ring).unwrap().len());
    assert!(text(&place, "info RING").contains("\nstate      free\n"), "{}", text(&place, "info RING"));

    let (holder, command) = place.hold("lock RING");
    let waiting = place.spawn("lock RING -- true", Stdio::null(), Stdio::null());
    let info = place.wait_for("one waits", |info| info["waiting"] == 1);
    let (first, second) = (json!(holder.pid()), json!(waiting.pid()));
    let (alive, one, none) = (json!("alive"), json!(1), json!(0));
    let expected = [[&first, &alive, &json!(false), &one], [&second, &alive, &json!(true), &none]];
    assert_eq!(participants(&info), expected);
    let shown = text(&place, "info RING");
    assert!(shown.contains(&format!("held by    process {}\n", holder.pid())), "{shown}");
    assert!(shown.lines().last().unwrap().contains("waits"), "{shown}");
    holder.signal(Signal::STOP);
    let info = place.wait_for("it is seen stopped", |info| info["participants"][0]["state"] == "stopped");
    assert_eq!(info["is_held"], true);
    holder.signal(Signal::CONT);
    waiting.kill();

    // The command keeps it, and then nobody lives who has it.
    holder.kill();
    assert_eq!(place.info()["participants"][0]["state"], "unseen");
    command.kill();
    let info = place.wait_for("it is seen dead", |info| info["participants"][0]["state"] == "dead");
    assert_eq!(participants(&info)[0], [&first, &json!("dead"), &json!(false), &one]);
    let shown = text(&place, "info RING");
    assert!(shown.contains(", dead: whoever comes next takes it over\n"), "{shown}");
    place.run("lock RING -- false", b"").assert_code(1);
    let info = place.info();
    assert_eq!((&info["is_held"], &info["is_abandoned"]), (&json!(false), &json!(true)));
    assert!(text(&place, "info RING").contains("abandoned  a holder died"));
}

#[test]
fn semaphores_and_events() {
    let place = Place::new();
    let (holder, _command) = place.hold("sem RING --permits 5 --take 3");
    let info = place.info();
    assert_eq!(
        (&info["kind"], &info["permits"], &info["available"]),
        (&json!("semaphore"), &json!(5), &json!(2))
    );
    assert_eq!(participants(&info)[0][3], &json!(3));
    assert!(text(&place, "info RING").contains("state      2 of 5 permits free\n"));
    holder.signal(Signal::TERM);
    holder.end().assert_code(143);
    std::fs::remove_file(&place.ring).unwrap();

    place.run("event RING --auto set", b"").assert_code(0);
    let info = place.info();
    let facts = ["kind", "reset", "is_set", "count"].map(|key| info[key].clone());
    assert_eq!(facts, [json!("event"), json!("auto"), json!(true), json!(1)]);
    place.run("event RING wait", b"").assert_code(0);
    let waiting = place.spawn("event RING wait", Stdio::null(), Stdio::null());
    place.wait_for("one waits", |info| info["waiting"] == 1);
    assert!(text(&place, "info RING").contains("state      not set, each signal for one, 1 time in all\n"));
    waiting.kill();
}

#[test]
fn a_look_every_so_often() {
    let place = Place::new();
    place.run("event RING reset", b"").assert_code(0);
    let mut watch = place.spawn("info RING --watch 20ms", Stdio::null(), Stdio::piped());
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(watch.stdout()));
    assert_eq!(lines.next().unwrap().unwrap(), "not set, 0 times in all  0 waiting");
    place.run("event RING set", b"").assert_code(0);
    lines.find(|line| line.as_ref().unwrap() == "set, 1 time in all  0 waiting").unwrap().unwrap();
    std::fs::remove_file(&place.ring).unwrap();
    let rest = std::thread::spawn(move || lines.count());
    watch.end().assert_code(8).assert_says("removed or replaced");
    rest.join().unwrap();
    // The reader of the output goes.
    place.run("event RING reset", b"").assert_code(0);
    let mut watch = place.spawn("info RING --watch 20ms --json", Stdio::null(), Stdio::piped());
    let mut out = std::io::BufReader::new(watch.stdout());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["is_set"], false);
    drop(out);
    watch.end().assert_code(0);
}

#[test]
fn ls_shows_them_after_the_rings() {
    let place = Place::with("--capacity 64KiB");
    let (holder, _command) = place.hold("lock b");
    place.run("event a set", b"").assert_code(0);
    std::fs::copy(place.file("a"), place.file("copy")).unwrap();
    let table = text(&place, "ls .");
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(lines[0][0], "ring");
    assert_eq!(lines[1][..3], ["copy", "-", "unusable"]);
    assert_eq!(lines[2][..2], ["ring", "64 KiB"]);
    assert_eq!(lines[4], ["object", "kind", "state", "held by", "waiting", "in use"]);
    assert_eq!(lines[5], ["a", "event", "set, 1 time in all", "-", "0", "0"]);
    assert_eq!(
        lines[6],
        ["b", "reader-writer lock", "held to write", &format!("process {}", holder.pid()), "0", "1"]
    );
    assert!(table.lines().last().unwrap().contains("this is a copy"), "{table}");
    let document: Value = serde_json::from_slice(&place.run("ls . --json", b"").stdout).unwrap();
    let kinds: Vec<_> =
        document["objects"].as_array().unwrap().iter().map(|object| object["kind"].clone()).collect();
    assert_eq!(kinds, ["event", "reader-writer lock"]);
    let one: Value = serde_json::from_slice(&place.run("ls b --json", b"").stdout).unwrap();
    assert_eq!((one["objects"].as_array().unwrap().len(), &one["rings"]), (1, &json!([])));
}

#[test]
fn rm_keeps_what_is_in_use() {
    let place = Place::new();
    let (holder, command) = place.hold("lock RING");
    let says = format!("in use by process {}; end them first", holder.pid());
    place.run("rm RING", b"").assert_code(9).assert_one_line().assert_says(&says);
    holder.kill();
    // The command keeps it, and the process that had it is not said to be alive.
    let ran = place.run("rm RING", b"").assert_code(9).assert_one_line();
    ran.assert_says("which is not there: it has ended and a child keeps its place");
    assert_eq!(place.info()["participants"][0]["state"], "unseen");
    assert!(text(&place, "info RING").contains("which is not there"));
    command.kill();
    eventually("the command is gone", || place.info()["participants"][0]["state"] == "dead");
    place.run("rm RING", b"").assert_code(0).assert_one_line().assert_says("removed ");
    assert!(!place.ring.exists());
}

#[test]
fn garbage_is_shown_and_told() {
    let place = Place::new();
    place.run("lock RING --seats 8 -- true", b"").assert_code(0);
    let file = std::fs::File::options().write(true).open(&place.ring).unwrap();
    // The owner of the lock, in the first word of the data.
    file.write_all_at(&u64::MAX.to_le_bytes(), 8192).unwrap();
    let ran = place.run("info RING", b"").assert_code(1).assert_says("nobody's number");
    assert!(String::from_utf8(ran.stdout).unwrap().contains("corrupt    the owner"));
    let ran = place.run("info RING --json", b"").assert_code(1);
    assert!(serde_json::from_slice::<Value>(&ran.stdout).unwrap()["corruption"].is_string());
    assert!(text(&place, "ls .").contains("free, corrupt"));
    place.run("lock RING -- true", b"").assert_code(1).assert_one_line().assert_says("garbage");
    place.run("rm RING", b"").assert_code(0);
}

/// Kinds that only programs make.
#[test]
fn what_programs_made_is_shown_too() {
    let place = Place::new();
    let options = SyncOptions::new();
    let _barrier = Barrier::create(place.file("barrier"), &options, 3).unwrap();
    let _latch = Latch::create(place.file("latch"), &options, 1).unwrap();
    let _once = Once::create(place.file("once"), &options).unwrap();
    let _condvar = Condvar::create(place.file("condvar"), &options).unwrap();
    let mut lock = RwLock::create(place.file("rwlock"), &options, &1_u64).unwrap();
    let _reader = lock.read().unwrap();
    let _table = Table::create(place.file("table"), &TableOptions::new(5), &1_u64).unwrap();
    let table = text(&place, "ls .");
    let own = format!("process {}", std::process::id());
    for (name, kind, state, held) in [
        ("barrier", "barrier", "round 0, 0 of 3 parties here", "-"),
        ("latch", "latch", "0 of 1 party here", "-"),
        ("once", "once", "not done, 0 attempts failed", "-"),
        ("condvar", "condition variable", "-", "-"),
        ("rwlock", "reader-writer lock", "1 reader", &own),
        ("table", "table", "5 rows, 8 bytes with the tag 0", "-"),
    ] {
        let line = table.lines().find(|line| line.starts_with(&format!("{name} "))).expect(&table);
        let cells: Vec<_> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(cells, [name, kind, state, held, "0", "1"], "{table}");
        let info: Value =
            serde_json::from_slice(&place.run(&format!("info {name} --json"), b"").assert_code(0).stdout)
                .unwrap();
        assert_eq!(info["kind"], kind);
        text(&place, &format!("info {name}"));
    }
}
