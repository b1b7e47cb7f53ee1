//! Each verb at its plainest.

use std::os::unix::fs::{FileExt, PermissionsExt};

use crate::support::{Place, lines};

#[test]
fn create_makes_what_was_asked_for() {
    let place = Place::new();
    place
        .run(
            "create RING --capacity 64k --slots 4 --wait fence --no-inline --hard-limit 5ms --mode 0640",
            b"",
        )
        .assert_code(0)
        .assert_stdout("")
        .assert_says("64 KiB, 4 slots");
    let info = place.info();
    assert_eq!(info["schema"], 2);
    assert_eq!(info["geometry"]["capacity"], 65_536);
    assert_eq!(info["geometry"]["slots"], 4);
    assert_eq!(info["options"]["inline"], false);
    assert_eq!(info["options"]["wait"], "fence");
    assert_eq!(info["options"]["hard_limit_ns"], 5_000_000);
    assert_eq!(info["options"]["gated_only"], false);
    assert_eq!(info["producer"]["state"], "none");
    let meta = std::fs::metadata(&place.ring).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o640);
    assert_eq!(info["geometry"]["file_bytes"], meta.len());
    place.run("create RING", b"").assert_code(10).assert_one_line().assert_says("there is a file already");
}

#[test]
fn create_if_missing_leaves_what_is_there() {
    let place = Place::new();
    let line = "create RING --capacity 64KiB --slots 4 --if-missing";
    place.run(line, b"").assert_code(0).assert_says("created ");
    place.run("pub RING --quiet", &lines(0..3)).assert_code(0);
    place
        .run(line, b"")
        .assert_code(0)
        .assert_one_line()
        .assert_says("there is a ring already, left as it is\n");
    assert_eq!(place.run(&format!("{line} --quiet"), b"").assert_code(0).stderr, "");
    assert_eq!(place.info()["counters"]["records"], 3);
    let ran = place.run("create RING --if-missing --quiet --hard-limit 1s --wait spin", b"").assert_code(0);
    ran.assert_one_line().assert_says("not what was asked for: ").assert_says(
        "64 KiB where 16 MiB was asked for, 4 slots where 32 slots was asked for, no hard limit where 1 s was asked for, \
         wait by membarrier where wait by spin was asked for",
    );
    // What is there and is no ring is still a failure.
    std::fs::write(&place.ring, "text").unwrap();
    place.run(line, b"").assert_code(3).assert_one_line();
    std::fs::remove_file(&place.ring).unwrap();
    std::fs::create_dir(&place.ring).unwrap();
    let ran = place.run(line, b"").assert_code(3).assert_one_line();
    assert!(!ran.assert_says("this is a directory").stderr.contains("remove"));
}

#[test]
fn quiet_is_quiet() {
    let place = Place::new();
    for line in ["create RING --quiet", "pub RING --quiet", "sub RING --quiet", "sub RING --quiet --gated"] {
        assert_eq!(place.run(line, b"x\n").assert_code(0).stderr, "", "{line}");
    }
}

#[test]
fn info_for_people() {
    let place = Place::with("--capacity 64KiB");
    place.run("pub RING", &lines(0..10)).assert_code(0);
    place.run("sub RING --gated --name archive --hold forever --count 4", b"").assert_code(0);
    let text = String::from_utf8(place.run("info RING", b"").assert_code(0).stdout).unwrap();
    for part in ["64 KiB in 64 segments", "closed, epoch 1", "10 records", "archive", "held forever", "away"]
    {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let info = place.info();
    let consumer = &info["consumers"][0];
    assert_eq!(consumer["name"], "archive");
    assert_eq!((&consumer["hold_ns"], &consumer["hold_forever"]), (&serde_json::Value::Null, &true.into()));
    assert_eq!(consumer["alive"], false);
    assert_eq!(consumer["next_sequence"], 4);
    assert_eq!(consumer["lag_records"], 6);
}

#[test]
fn lines_go_in_and_come_out() {
    let place = Place::new();
    place
        .run("pub RING --create 64KiB", b"one\n\ntwo words\nlast")
        .assert_code(0)
        .assert_stdout("")
        .assert_says("published 4 records, 16 bytes")
        .assert_says("sequences 0 to 3");
    place
        .run("sub RING", b"")
        .assert_code(0)
        .assert_stdout("one\n\ntwo words\nlast\n")
        .assert_says("received 4 records, 16 bytes");
    for policy in ["--gated", "--gated-for 50ms", "--lossy", "--observe", "--name x"] {
        let ran = place.run(&format!("sub RING {policy}"), b"").assert_code(0);
        ran.assert_stdout("one\n\ntwo words\nlast\n");
    }
    place.run("tail RING --raw", b"").assert_code(0).assert_stdout("onetwo wordslast");
    // A ring that is there is used as it is.
    place.run("pub RING --create 1GiB", b"more").assert_code(0).assert_says("sequences 4 to 4");
    place.run("sub RING --from 4", b"").assert_code(0).assert_stdout("more\n");
    assert_eq!(place.info()["geometry"]["capacity"], 65_536);
    place.run("pub RING", b"").assert_code(0).assert_says("published 0 records");
}

#[test]
fn where_to_start_and_to_end() {
    let place = Place::with("--capacity 64KiB");
    place.run("pub RING", &lines(0..100)).assert_code(0);
    for policy in ["", "--gated", "--lossy"] {
        let sub = |options: &str| place.run(&format!("sub RING {policy} {options}"), b"").assert_code(0);
        sub("").assert_stdout(lines(0..100));
        sub("--from oldest").assert_stdout(lines(0..100));
        sub("--from newest").assert_stdout("");
        sub("--from 42 --count 3").assert_stdout(lines(42..45));
        sub("--from -2").assert_stdout(lines(98..100));
        sub("--from -1000").assert_stdout(lines(0..100));
        sub("--from 100").assert_stdout("");
        sub("--count 0").assert_stdout("");
    }
    place.run("sub RING --from 999", b"").assert_code(1).assert_one_line().assert_says("sequence 999");
}

#[test]
fn json_has_every_byte() {
    let place = Place::with("");
    place.run("pub RING --chunk 4", b"text\xff\x00\x01\x02").assert_code(0);
    let records = place.run("sub RING --json", b"").assert_code(0);
    let records = records.assert_stdout(
        "{\"sequence\":0,\"payload\":\"text\"}\n{\"sequence\":1,\"payload\":\"/wABAg==\",\"encoding\":\"base64\"}\n",
    );
    assert_eq!(records.json()[1]["encoding"], "base64");
}

#[test]
fn length_prefixed_is_its_own_inverse() {
    let place = Place::with("");
    let mut input = Vec::new();
    for record in [&b"one"[..], b"", b"\n\0\xff", &[7; 300_000]] {
        input.extend((record.len() as u32).to_le_bytes());
        input.extend(record);
    }
    place.run("pub RING --length-prefixed", &input).assert_code(0).assert_says("published 4 records");
    let ran = place.run("sub RING --length-prefixed --gated", b"").assert_code(0);
    assert!(ran.stdout == input);
}

#[test]
fn chunks_need_no_structure() {
    let place = Place::with("");
    let input: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    place
        .run("pub RING --chunk 4096", &input)
        .assert_code(0)
        .assert_says("published 25 records, 100000 bytes");
    let ran = place.run("sub RING --raw", b"").assert_code(0);
    assert!(ran.stdout == input);
}

#[test]
fn an_empty_ring_has_nothing() {
    let place = Place::with("");
    for policy in ["", "--gated", "--name x --lossy"] {
        place.run(&format!("sub RING {policy}"), b"").assert_code(0).assert_stdout("");
    }
}

#[test]
fn names_resume_and_are_forgotten() {
    let place = Place::with("");
    place.run("pub RING", &lines(0..10)).assert_code(0);
    place.run("sub RING --gated --name archive --count 3", b"").assert_code(0).assert_stdout(lines(0..3));
    let ran = place.run("sub RING --gated --name archive --count 3", b"").assert_code(0);
    ran.assert_stdout(lines(3..6)).assert_says("quoit: resumed at sequence 3\n");
    let json = place.run("sub RING --name archive --json --from newest", b"").assert_code(0).json();
    assert_eq!(json[0]["resumed"]["sequence"], 6);
    assert_eq!((json.len(), &json[1]["sequence"]), (5, &6.into()));
    place.run("forget RING archive", b"").assert_code(0).assert_stdout("");
    place.run("forget RING archive", b"").assert_code(3).assert_one_line().assert_says("archive");
    place.run("sub RING --gated --name archive --count 3", b"").assert_code(0).assert_stdout(lines(0..3));
    place.run("forget RING", b"").assert_code(2);
    place.run("forget RING archive --slot 0", b"").assert_code(2);
    place
        .run("forget RING --slot 1", b"")
        .assert_code(3)
        .assert_one_line()
        .assert_says("slot 1 keeps no name");
    place.run("forget RING --slot 0", b"").assert_code(0).assert_stdout("");
    place.run("sub RING --name archive --gated", b"").assert_code(0).assert_stdout(lines(0..10));
}

#[test]
fn usage() {
    let place = Place::new();
    for line in [
        "",
        "sub",
        "nonsense",
        "sub x --gated --lossy",
        "sub x --hold 10s",
        "sub x --timeout 5",
        "pub x --chunk 0",
        "pub x --chunk 4 --length-prefixed",
        "create x --capacity lots",
        "create x --mode 999",
        "create x --gated-only --hard-limit 1s",
    ] {
        place.run(line, b"").assert_code(2).assert_stdout("");
    }
    // A value behind a space is taken for something else: what was meant is said.
    for line in ["pub RING --wait 5s", "pub --wait 5s RING"] {
        place.run(line, b"").assert_code(2).assert_says("follows an equals sign: '--wait=5s'");
    }
    let help = place.run("--help", b"").assert_code(0).stdout;
    assert!(String::from_utf8(help).unwrap().contains("Exit codes:"));
    for verb in ["create", "pub", "sub", "info", "ls", "rm", "evict", "forget", "demo"] {
        place.run(&format!("{verb} --help"), b"").assert_code(0);
    }
    let script = place.run("completions bash", b"").assert_code(0).stdout;
    assert!(String::from_utf8(script).unwrap().contains("--until-closed"));
}

#[test]
fn info_shows_what_it_can_of_a_corrupt_ring() {
    let place = Place::with("");
    place.run("pub RING", &lines(0..10)).assert_code(0);
    let info = place.info();
    assert!(info["corruption"].is_null());
    let number = |key: &str| info["geometry"][key].as_u64().unwrap();
    let file = std::fs::File::options().write(true).open(&place.ring).unwrap();
    file.write_all_at(&[0xff; 8], number("file_bytes") - number("capacity")).unwrap();
    let ran = place.run("info RING --json", b"").assert_code(1).assert_one_line();
    let info: serde_json::Value =
        serde_json::from_slice(&ran.assert_says("the ring contradicts itself").stdout).unwrap();
    assert_eq!(info["corruption"]["position"], 0);
    assert_eq!((&info["counters"]["records"], &info["producer"]["state"]), (&0.into(), &"closed".into()));
    let ran = place.run("info RING", b"").assert_code(1);
    let text = String::from_utf8(ran.stdout).unwrap();
    assert!(text.contains("corrupt    padding where none can be at position 0"), "{text}");
}

/// What a number may be stands in the help, and is true.
#[test]
fn ranges_are_in_the_help() {
    let place = Place::new();
    for (verb, option, least, most, range) in [
        ("demo --plain", "--seconds", 4, 3600, "4 to 3,600"),
        ("demo --plain", "--rate", 1000, 20_000_000, "1,000 to 20,000,000"),
        ("bench", "--rounds", 1, 10_000, "1 to 10,000"),
        ("create RING", "--slots", 1, 1024, "1 to 1,024"),
    ] {
        let help = place.run(&format!("{verb} --help"), b"").assert_code(0).stdout;
        let help = String::from_utf8(help).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(range), "{range:?} is not in the help of {verb}: {help}");
        for wrong in [least - 1, most + 1] {
            let ran = place.run(&format!("{verb} {option} {wrong}"), b"").assert_code(2).assert_stdout("");
            assert!(ran.stderr.contains(&most.to_string()), "{}", ran.stderr);
        }
    }
    for slots in [1, 1024] {
        place.run(&format!("create RING --capacity 4KiB --quiet --slots {slots}"), b"").assert_code(0);
        std::fs::remove_file(&place.ring).unwrap();
    }
}

#[test]
fn evict_takes_a_gate_by_the_producer_alone() {
    let place = Place::with("--capacity 4KiB");
    place.run("sub RING --gated --name slow --hold forever --count 0 --quiet", b"").assert_code(0);
    place.run("sub RING --lossy --name chart --count 0 --quiet", b"").assert_code(0);
    place.run("evict RING", b"").assert_code(2);
    place.run("evict RING --slot 0 --name slow", b"").assert_code(2);
    place.run("evict RING --name nobody", b"").assert_code(3).assert_one_line().assert_says("nobody");
    let ran = place.run("evict RING --name slow", b"");
    assert!(ran.stderr.contains("no living producer") && ran.stderr.contains("forget"), "{}", ran.stderr);
    let mut publisher =
        place.spawn("pub RING --wait --quiet", std::process::Stdio::piped(), std::process::Stdio::null());
    let mut stdin = publisher.stdin();
    std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &lines(0..5_000)));
    place.wait_for("the producer is held up", |info| info["blocked"]["name"] == "slow");
    place.run("evict RING --name chart", b"").assert_says("blocks the producer");
    place.run("evict RING --slot 9", b"").assert_says("slot 9");
    let ran = place.run("evict RING --slot 0", b"").assert_code(0).assert_stdout("").assert_one_line();
    ran.assert_says("evicted slot 0 'slow': its place is kept");
    publisher.end().assert_code(0);
    let info = place.info();
    assert_eq!(
        (&info["consumers"][0]["name"], &info["consumers"][0]["state"]),
        (&"slow".into(), &"away".into())
    );
    assert_eq!(info["counters"]["records"], 5_000);
}

#[test]
fn names_that_are_away_are_forgotten_together() {
    let place = Place::with("--slots 4");
    for name in ["pod-1", "pod-2", "pod-3"] {
        place.run(&format!("sub RING --name {name} --count 0 --quiet"), b"").assert_code(0);
    }
    let living = "sub RING --gated --name living --follow --quiet";
    let living = place.spawn(living, std::process::Stdio::null(), std::process::Stdio::null());
    place.wait_for_consumers(1);
    let ran = place.run("sub RING --gated", b"").assert_code(9).assert_one_line();
    ran.assert_says("3 of them by names whose consumers are away").assert_says("--away-for");
    for line in [
        "forget RING pod-1 --all-away",
        "forget RING --slot 0 --away-for 1h",
        "forget RING --away-for 1h --all-away",
    ] {
        place.run(line, b"").assert_code(2);
    }
    let ran = place.run("forget RING --away-for 1h", b"").assert_code(0).assert_stdout("").assert_one_line();
    ran.assert_says("no name whose consumer has been away for 1 h\n");
    assert_eq!(place.info()["consumers"].as_array().unwrap().len(), 4);
    let ran = place.run("forget RING --all-away", b"").assert_code(0).assert_stdout("");
    for (slot, name) in ["pod-1", "pod-2", "pod-3"].into_iter().enumerate() {
        assert!(
            ran.stderr.contains(&format!("quoit: forgot slot {slot} '{name}', away for ")),
            "{}",
            ran.stderr
        );
    }
    assert_eq!(ran.stderr.lines().count(), 3, "{}", ran.stderr);
    let info = place.info();
    let names: Vec<_> =
        info["consumers"].as_array().unwrap().iter().map(|consumer| &consumer["name"]).collect();
    assert_eq!(names, ["living"]);
    place.run("sub RING --gated --quiet", b"").assert_code(0);
    assert_eq!(place.run("forget RING --all-away --quiet", b"").assert_code(0).stderr, "");
    living.kill();
}

#[test]
fn info_shows_of_what_type_the_records_are() {
    /// A number, as a record.
    #[derive(quoit::zerocopy::FromBytes, quoit::zerocopy::Immutable, quoit::zerocopy::IntoBytes)]
    #[zerocopy(crate = "quoit::zerocopy")]
    #[repr(C)]
    struct Number(u64);

    impl quoit::Typed for Number {
        const TAG: u32 = 77;
    }

    let place = Place::new();
    quoit::Ring::create(&place.ring, &quoit::Options::new().capacity(4096).schema::<Number>()).unwrap();
    let schema = &place.info()["options"]["schema"];
    assert_eq!((schema["size"].as_u64(), schema["tag"].as_u64()), (Some(8), Some(77)));
    let shown = place.run("info RING", b"").assert_code(0).stdout;
    assert!(String::from_utf8_lossy(&shown).contains("records of 8 bytes with the tag 77"));
}
