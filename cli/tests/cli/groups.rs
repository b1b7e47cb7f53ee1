//! `sub --group`: records that several share, and what `info` and `rm` make of a group.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use crate::support::{Place, Ran, eventually, lines};

/// Works until it is told to go on. A member that is killed leaves its command running, which ends with its folder at the latest.
const WAITS: &str = "while test -e \"$PWD\" && ! test -e go; do sleep 0.02; done";

impl Place {
    /// Runs `quoit sub RING --group g OPTIONS --ack-after SCRIPT`.
    fn work(&self, options: &str, script: &str) -> Ran {
        self.spawn_words(&format!("sub RING --group g {options}"), &["--ack-after", script]).end()
    }

    fn publish(&self, text: impl AsRef<[u8]>) {
        self.run("pub RING --quiet", text.as_ref()).assert_code(0);
    }

    /// A line of `quoit info RING --watch`.
    fn watched(&self) -> String {
        let mut watch = self.spawn("info RING --watch 20ms", Stdio::null(), Stdio::piped());
        let line = BufReader::new(watch.stdout()).lines().next().unwrap().unwrap();
        watch.kill();
        line
    }

    fn group(&self) -> serde_json::Value {
        self.info()["groups"][0].clone()
    }
}

#[test]
fn each_line_goes_to_one_member() {
    let place = Place::with("--capacity 64KiB");
    place.publish(lines(0..100));
    let first = place.run("sub RING --group g --count 40", b"").assert_code(0).assert_stdout(lines(0..40));
    first.assert_says("acknowledged 40 records");
    place.run("sub RING --group g --quiet", b"").assert_code(0).assert_stdout(lines(40..100));
    place.run("sub RING --group g --until-closed", b"").assert_code(0).assert_stdout("");
    // Another group has all of them.
    place.run("sub RING --group h --until-closed --quiet", b"").assert_code(0).assert_stdout(lines(0..100));
    place.run("sub RING --name g", b"").assert_code(9).assert_one_line();
    place.run("sub RING --group a/b", b"").assert_code(2).assert_one_line();
}

#[test]
fn a_record_is_acknowledged_after_its_command() {
    let place = Place::with("--capacity 64KiB");
    place.publish("ok\nbad\nfine\n");
    let ran = place.work(
        "--max-deliveries 2 --dead-letters dead",
        "echo $QUOIT_SEQUENCE $QUOIT_DELIVERIES; test \"$(cat)\" != bad",
    );
    // It is tried again before what comes after it, and then put aside.
    let ran = ran.assert_code(0).assert_stdout("0 1\n1 1\n1 2\n2 1\n");
    let ran =
        ran.assert_says("record 1, handed out 1 time: the command ended with exit status: 1; given back");
    ran.assert_says("acknowledged 2 records, gave back 2 records");
    let dead = place.run("sub dead --raw --quiet", b"").assert_code(0).stdout;
    assert_eq!(
        (dead.len(), &dead[16..28], &dead[28..]),
        (35, &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0][..], &b"deadbad"[..])
    );
    let group = place.group();
    assert_eq!((&group["dead_letters"], &group["max_deliveries"]), (&1.into(), &2.into()));
    // Who joins says where, too.
    place.run("sub RING --group g", b"").assert_code(2).assert_says("max_deliveries");
}

/// The member is killed while its command works.
#[test]
fn another_does_what_a_killed_one_had() {
    let place = Place::with("--capacity 64KiB");
    place.publish("job\n");
    let first = place.spawn_words("sub RING --group g --hold forever", &["--ack-after", WAITS]);
    let group = || place.group();
    eventually("it works", || group()["oldest"]["sequence"] == 0 && group()["members"][0]["leases"] == 1);
    let text = String::from_utf8(place.run("info RING", b"").assert_code(0).stdout).unwrap();
    let oldest = format!("with process {}", first.pid());
    for words in
        ["g: 1 of 64 members", "1 of 1024 out, with 1 record not acknowledged; 0 with nobody", &oldest]
    {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    let line = place.watched();
    assert!(line.contains("  g: lag 1 lost 0, 1 member, 1 not acknowledged, the oldest for "), "{line}");
    assert!(!line.contains("again"), "{line}");
    place.run("rm RING", b"").assert_code(9);
    first.kill();
    std::fs::write(place.file("go"), b"").unwrap();
    assert_eq!(group()["members"][0]["state"], "dead");
    let ran = place.work("", "echo $QUOIT_DELIVERIES; cat");
    ran.assert_code(0).assert_stdout("2\njob");
    let line = place.watched();
    assert!(line.ends_with("  g: lag 0 lost 0, 0 members, 0 not acknowledged, 1 handed out again"), "{line}");
    let group = group();
    assert_eq!((&group["redelivered"], &group["unacknowledged_records"]), (&1.into(), &0.into()));
    assert_eq!((&group["oldest"], &group["members"]), (&serde_json::Value::Null, &serde_json::json!([])));
    let file = place.file("ring.g.group");
    assert!(file.exists());
    place.run("rm RING", b"").assert_code(0).assert_says("and the file of its group");
    assert!(!file.exists() && !place.ring.exists());
}

/// The one that joined last is dead, and another has the oldest record.
#[test]
fn who_holds_the_producer_up_is_the_member_with_the_oldest_record() {
    let place = Place::with("--capacity 4KiB");
    place.publish("job\n");
    let join = |options: &str| {
        place.spawn_words(&format!("sub RING --group g --hold forever {options}"), &["--ack-after", WAITS])
    };
    let first = join("");
    let members = || {
        let group = place.group();
        let members = group["members"].as_array().expect("members");
        members.iter().filter(|member| member["state"] == "alive").count()
    };
    eventually("it works", || place.group()["oldest"]["sequence"] == 0);
    let last = join("");
    eventually("another waits", || members() == 2);
    let dead = last.pid();
    last.kill();
    eventually("it is gone", || members() == 1);
    let mut publisher = place.spawn("pub RING --wait --quiet", Stdio::piped(), Stdio::null());
    let mut input = publisher.stdin();
    input.write_all(&lines(0..2000)).unwrap();
    eventually("the producer is held up", || !place.info()["blocked"].is_null());
    let blocked = place.info()["blocked"].clone();
    assert_eq!((&blocked["pid"], &blocked["state"]), (&0.into(), &"alive".into()));
    let said = "its oldest record: sequence 0, handed out 1 time, the last one";
    let text = String::from_utf8(place.run("info RING", b"").assert_code(0).stdout).unwrap();
    let row = text.lines().find(|line| line.contains(said)).unwrap_or_else(|| panic!("not told:\n{text}"));
    assert!(row.ends_with(&format!("with process {}", first.pid())), "{row}");
    assert!(!text.contains(&format!("process {dead}")), "{text}");
    first.signal(rustix::process::Signal::STOP);
    let text = String::from_utf8(place.run("info RING", b"").assert_code(0).stdout).unwrap();
    assert!(text.contains(&format!("with process {}, stopped", first.pid())), "{text}");
    first.kill();
    publisher.kill();
    std::fs::write(place.file("go"), b"").unwrap();
}

#[test]
fn what_a_lossy_group_loses_is_told() {
    let place = Place::with("--capacity 4KiB");
    place.run("sub RING --group g --lossy", b"").assert_code(0).assert_stdout("");
    place.publish(lines(0..2000));
    let ran = place.run("sub RING --group g --json --fail-on-loss", b"").assert_code(5);
    ran.assert_says("the group lost ");
    let ran = place.run("sub RING --group g --quiet", b"").assert_code(0);
    assert!(ran.stdout.ends_with(b"1999\n"));
    assert!(place.group()["lost_records"].as_u64().is_some_and(|lost| lost > 1000));
    place.run("sub RING --group g --lossy --hold 5s", b"").assert_code(2);
}

/// The rest of the ring is shown in each line.
#[test]
fn a_group_that_cannot_be_shown_is_told_once() {
    let place = Place::with("--capacity 4KiB");
    for group in ["g", "h"] {
        place.run(&format!("sub RING --group {group} --hold forever"), b"").assert_code(0);
    }
    for group in ["g", "h"] {
        std::fs::write(place.file(&format!("ring.{group}.group")), b"garbage").unwrap();
    }
    for (json, second) in [("", "  h: lag 0"), ("--json", "\"name\":\"h\"")] {
        let mut watch = place.spawn(&format!("info RING --watch 10ms {json}"), Stdio::null(), Stdio::piped());
        let mut out = BufReader::new(watch.stdout());
        let shown: Vec<_> = out.by_ref().lines().take(5).map(Result::unwrap).collect();
        assert!(shown.iter().all(|line| line.contains(second)), "{shown:?}");
        watch.signal(rustix::process::Signal::INT);
        let said = watch.end().assert_code(0).stderr;
        let told: Vec<_> = said.lines().collect();
        assert!(
            told.len() == 2 && told[0].contains("group g: ") && told[1].contains("group h: "),
            "not each once: {said}"
        );
    }
}
