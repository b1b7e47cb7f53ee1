//! Every number that `info` shows, to people and in JSON, in a scene where no two of them are the same.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use quoit::{Attach, Consumer, Event, Options, Producer, Start};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Place, lines};

/// With its header a record takes 64 bytes, which divide the capacity: no padding.
const PAYLOAD: [u8; 56] = [7; 56];

fn send(producer: &mut Producer, count: usize) {
    for _ in 0..count {
        producer.send(&PAYLOAD).unwrap();
    }
}

/// Receives so many records, and releases them.
fn receive(consumer: &mut Consumer, count: usize) {
    let mut records = 0;
    while records < count {
        if let Event::Record(_) = consumer.recv().unwrap() {
            records += 1;
        }
    }
    consumer.release();
}

/// The rows above the table of consumers by their first word, and the cells of that table.
fn page(text: &str) -> (BTreeMap<&str, &str>, Vec<Vec<&str>>) {
    let (head, table) = text.split_once("\n\n").unwrap();
    let rows = head.lines().map(|line| (line[..10].trim_end(), &line[11..])).collect();
    let table = table.lines().skip(1);
    let table = table.map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect());
    (rows, table.collect())
}

/// A word of the head: `docs/format.md` has the places.
fn set_word(ring: &Path, at: u64, value: u64) {
    let file = std::fs::File::options().write(true).open(ring).unwrap();
    file.write_all_at(&value.to_le_bytes(), at).unwrap();
}

#[test]
fn every_number_is_the_right_one() {
    let place = Place::new();
    let ring = &place.ring;
    Options::new().capacity(64 << 10).slots(11).hard_limit(Duration::from_secs(90)).create(ring).unwrap();
    let mut producer = Producer::open(ring).unwrap();
    let open = |attach: Attach| Consumer::open(ring, &attach).unwrap();

    // Two gaps. A ring holds 1024 of these records, and its producer is up to a segment of 16 further.
    send(&mut producer, 10);
    let mut chart = open(Attach::lossy().name("chart").start(Start::Oldest));
    receive(&mut chart, 3);
    // Away, and lapped long ago.
    let mut tape = open(Attach::lossy().name("tape").start(Start::Oldest));
    receive(&mut tape, 2);
    drop(tape);
    // It may have copied some more before they were overwritten.
    for (count, gaps) in [(2000, 1), (1500, 2)] {
        send(&mut producer, count);
        while chart.account().gaps < gaps {
            receive(&mut chart, 1);
        }
    }
    let chart_next = chart.next_sequence();
    let lost = chart.account();
    assert_eq!(lost.gaps, 2, "{lost:?}");
    // Away, and held for an hour.
    let mut audit = open(Attach::gated().name("audit").hold(Duration::from_secs(3600)));
    send(&mut producer, 100);
    receive(&mut audit, 37);
    drop(audit);
    let mut alerts = open(Attach::gated_for(Duration::from_millis(250)).name("alerts"));
    send(&mut producer, 20);
    receive(&mut alerts, 5);
    let mut nameless = open(Attach::gated());
    send(&mut producer, 7);
    receive(&mut nameless, 1);
    let skipped = nameless.skip_to_newest(|event| panic!("{event}")).unwrap();
    nameless.release();
    let (records, audit_next, alerts_next, nameless_next) = (3637_u64, 3547_u64, 3615_u64, 3636_u64);
    assert_eq!(producer.next_sequence(), records);
    for (number, value) in [1_234_567, 2_345_678_901, 34_567, 456, 78].into_iter().enumerate() {
        set_word(ring, 4352 + 8 * number as u64, value);
    }

    let info = place.info();
    assert_eq!(info["schema"], 2);
    let bytes = std::fs::metadata(ring).unwrap().len();
    assert_eq!(
        info["geometry"],
        json!({
            "capacity": 65_536, "file_bytes": bytes, "alignment": 4096, "huge_pages": false, "slots": 11, "segments": 64
        })
    );
    assert_eq!(info["options"]["hard_limit_ns"], 90_000_000_000_u64);
    let pid = std::process::id();
    assert_eq!(info["producer"], json!({ "state": "alive", "alive": true, "pid": pid, "epoch": 1 }));
    let oldest = info["position"]["oldest_sequence"].as_u64().unwrap();
    let reserve = info["position"]["reserve"].as_u64().unwrap();
    let published = 64 * records;
    assert_eq!(info["position"]["published"], published);
    assert_eq!(info["position"]["next_sequence"], records);
    assert!((published..=published + 1024).contains(&reserve), "{reserve}");
    assert!((records - 1024..records - 900).contains(&oldest), "{oldest}");
    assert_eq!(
        info["counters"],
        json!({
            "records": records, "bytes": 56 * records, "full": 1_234_567, "stall_ns": 2_345_678_901_u64, "wakes": 34_567,
            "evictions": 456, "reclaims": 78
        })
    );
    assert!(info["blocked"].is_null());
    let consumers = info["consumers"].as_array().unwrap();
    let by_name = |name: Value| consumers.iter().find(|consumer| consumer["name"] == name).unwrap();
    for (name, policy, state, next, deadline) in [
        (json!("chart"), json!("lossy"), "alive", chart_next, Value::Null),
        (json!("tape"), Value::Null, "away", 2, Value::Null),
        (json!("audit"), json!("gated"), "away", audit_next, json!(90_000_000_000_u64)),
        (json!("alerts"), json!("gated"), "alive", alerts_next, json!(250_000_000)),
        (Value::Null, json!("gated"), "alive", nameless_next, json!(90_000_000_000_u64)),
    ] {
        let consumer = by_name(name);
        assert_eq!(consumer["policy"], policy, "{consumer:#}");
        assert_eq!(consumer["state"], state, "{consumer:#}");
        assert_eq!(consumer["alive"], state == "alive", "{consumer:#}");
        assert_eq!(consumer["next_sequence"], next, "{consumer:#}");
        assert_eq!(consumer["lag_records"], records - next, "{consumer:#}");
        assert_eq!(consumer["lag_bytes"], 64 * (records - next), "{consumer:#}");
        assert_eq!(consumer["lost_already_records"], oldest.saturating_sub(next), "{consumer:#}");
        assert_eq!(consumer["away_ns"].is_u64(), state == "away", "{consumer:#}");
        assert_eq!(consumer["budget_ns"], deadline, "{consumer:#}");
        assert_eq!((&consumer["pid"], &consumer["evicted"]), (&json!(pid), &json!(false)), "{consumer:#}");
        assert_eq!(consumer["hold_forever"], false, "{consumer:#}");
    }
    assert_eq!(skipped.records, 5);
    assert_eq!(by_name(Value::Null)["skipped"], json!({ "records": 5, "bytes": 280 }));
    assert_eq!(by_name(json!("chart"))["skipped"], json!({ "records": 0, "bytes": 0 }));
    let hour = 3_600_000_000_000_u64;
    assert_eq!(by_name(json!("audit"))["hold_ns"], hour);
    assert_eq!(by_name(json!("audit"))["hold_left_ns"], hour);
    assert!(by_name(json!("alerts"))["hold_ns"].is_null());
    assert_eq!(
        by_name(json!("chart"))["lost"],
        json!({
            "records": lost.records, "bytes": 56 * lost.records, "gaps": 2, "largest_gap": lost.largest_gap,
            "first": lost.first, "last": lost.last, "overrun": lost.records, "evicted": 0, "away": 0
        })
    );
    assert!(
        lost.largest_gap < lost.records && lost.first >= 3 && lost.first <= 10 && lost.last > 1024,
        "{lost:?}"
    );

    let text = String::from_utf8(place.run("info RING", b"").assert_code(0).stdout).unwrap();
    let (rows, table) = page(&text);
    let has = |row: &str, words: &str| assert_eq!(rows[row], words, "{text}");
    has(
        "geometry",
        &format!("64 KiB in 64 segments, 11 slots, {} KiB on disk, aligned to 4 KiB", bytes >> 10),
    );
    has("options", "inline, wait by membarrier, no consumer delays the producer by more than 1 min 30 s");
    has("producer", &format!("alive (process {pid}), epoch 1"));
    has("published", "3,637 records, 198.9 KiB of payload");
    has("sequences", &format!("{oldest} up to, but not including, {records} are in the ring"));
    has("positions", &format!("published {published}, reserved {reserve}"));
    has("producer's", "1,234,567 times full, waited 2.35 s, 34,567 wakes, 456 evictions, 78 slots reclaimed");
    let count = |number: u64| {
        let text = number.to_string();
        if number < 1000 { text } else { format!("{},{}", &text[..text.len() - 3], &text[text.len() - 3..]) }
    };
    let size = |bytes: u64| {
        if bytes < 1024 {
            format!("{bytes} B")
        } else {
            format!("{:.1} KiB", (bytes as f64 / 102.4).round() / 10.0)
        }
    };
    let row = |name: &str| *table.iter().find(|row| row[1] == name).as_ref().unwrap();
    for (name, policy, state, next, lost, gaps, skipped) in [
        ("chart", "lossy", "alive", chart_next, lost.records, 2, 0),
        ("tape", "-", "away", 2, 0, 0, 0),
        ("audit", "gated for 1 min 30 s, held 1 h, 1 h left", "away", audit_next, 0, 0, 0),
        ("alerts", "gated for 250 ms", "alive", alerts_next, 0, 0, 0),
        ("-", "gated for 1 min 30 s", "alive", nameless_next, 0, 0, 5),
    ] {
        let row = row(name);
        let process = if state == "alive" { pid.to_string() } else { "-".into() };
        let lag = records - next;
        let lag_bytes = size(64 * lag).replace(".0 KiB", " KiB");
        let wanted = [
            &process,
            &next.to_string(),
            &count(lag),
            &lag_bytes,
            &count(oldest.saturating_sub(next)),
            &count(lost),
            &gaps.to_string(),
            &skipped.to_string(),
        ];
        // "away", or "away for 2 s" on a slow machine.
        assert!(row[2] == policy && row[3].starts_with(state), "{text}");
        assert_eq!(row[4..], wanted, "{text}");
    }
}

#[test]
fn who_is_stopped_and_who_is_in_the_way() {
    let place = Place::with("--capacity 4KiB --hard-limit 1h");
    let sub = place.spawn("sub RING --gated --name audit --follow --quiet", Stdio::null(), Stdio::null());
    place.wait_for_consumers(1);
    let pid = place.info()["consumers"][0]["pid"].as_u64().unwrap();
    sub.signal(Signal::STOP);
    place.wait_for("it is seen stopped", |info| info["consumers"][0]["state"] == "stopped");
    let mut publisher = place.spawn("pub RING --wait --quiet", Stdio::piped(), Stdio::null());
    let mut stdin = publisher.stdin();
    let feeder = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &lines(0..1000)));
    let info = place.wait_for("the producer is held up", |info| info["blocked"].is_object());
    let blocked = &info["blocked"];
    assert_eq!((&blocked["slot"], &blocked["name"]), (&json!(0), &json!("audit")), "{blocked}");
    assert_eq!((&blocked["pid"], &blocked["state"]), (&json!(pid), &json!("stopped")), "{blocked}");
    let text = String::from_utf8(place.run("info RING", b"").assert_code(0).stdout).unwrap();
    let (rows, table) = page(&text);
    let line = rows["BLOCKED"];
    assert!(
        line.starts_with("for ") && line.ends_with(&format!("by slot 0 'audit' (process {pid}, stopped)")),
        "{text}"
    );
    assert!(rows[""].starts_with(&format!("to free it: continue process {pid}")), "{text}");
    assert_eq!(table[0][2..4], ["gated for 1 h", "stopped"], "{text}");
    // The remedy that is named: the consumer lives, and can be overwritten by the ring's limit.
    place.run("evict RING --name audit", b"").assert_code(0).assert_stdout("").assert_says(&format!(
        "evicted slot 0 'audit' (process {pid}, stopped): it goes on as a lossy consumer"
    ));
    publisher.end().assert_code(0);
    feeder.join().unwrap().unwrap();
    let info = place.info();
    assert!(info["blocked"].is_null());
    assert_eq!(info["consumers"][0]["evicted"], true);
    assert_eq!(info["consumers"][0]["policy"], "gated");
    let text = String::from_utf8(place.run("info RING", b"").assert_code(0).stdout).unwrap();
    assert_eq!(page(&text).1[0][2..4], ["gated for 1 h", "stopped, gate lost"], "{text}");
    sub.signal(Signal::CONT);
    sub.kill();
}

#[test]
fn policy_and_state_are_told_apart() {
    let place = Place::with("");
    place.run("sub RING --gated-for 5ms --name alerts --count 0 --quiet", b"").assert_code(0);
    place.run("sub RING --lossy --name chart --count 0 --quiet", b"").assert_code(0);
    place.run("sub RING --gated --name audit --hold forever --count 0 --quiet", b"").assert_code(0);
    let info = place.info();
    let consumers = info["consumers"].as_array().unwrap();
    let is = |number: usize, policy: Value, deadline: Value, hold_forever: bool| {
        let consumer = &consumers[number];
        assert_eq!(consumer["policy"], policy, "{consumer}");
        assert_eq!((&consumer["state"], &consumer["alive"]), (&json!("away"), &json!(false)), "{consumer}");
        assert_eq!(consumer["budget_ns"], deadline, "{consumer}");
        assert_eq!(consumer["hold_forever"], hold_forever, "{consumer}");
        assert!(consumer["hold_ns"].is_null() && consumer["hold_left_ns"].is_null(), "{consumer}");
    };
    is(0, json!("gated"), json!(5_000_000), false);
    is(1, Value::Null, Value::Null, false);
    is(2, json!("gated"), Value::Null, true);
    let text = String::from_utf8(place.run("info RING", b"").assert_code(0).stdout).unwrap();
    let (rows, table) = page(&text);
    assert!(rows["ring"].contains("created just now") || rows["ring"].contains(" s ago"), "{text}");
    for (row, policy) in table.iter().zip(["gated for 5 ms", "-", "gated, held forever"]) {
        assert!(row[2] == policy && row[3].starts_with("away"), "{text}");
    }
    // Shown, not obeyed.
    place.run("sub RING --lossy --name \u{1b}[31mred --count 0 --quiet", b"").assert_code(0);
    let text = String::from_utf8(place.run("info RING", b"").assert_code(0).stdout).unwrap();
    assert!(text.contains("\\u{1b}[31mred") && !text.contains('\u{1b}'), "{text}");
}
