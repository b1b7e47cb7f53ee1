//! `serve` and `call`, and services in `info`, `ls` and `rm`.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Place, Process, eventually};

/// Runs until the test ends, also if its server is killed.
const BUSY: &str = "touch ran; while test -e ran; do sleep 0.02; done";

impl Place {
    /// Starts `quoit serve RING OPTIONS -- sh -c SCRIPT`, and waits until it serves.
    fn serve(&self, options: &str, script: &str) -> Process {
        let line = format!("serve RING {options}");
        let server = self.spawn_words(&line, &["--", "sh", "-c", script]);
        let me = json!(server.pid());
        eventually("the service is there", || self.ring.exists());
        self.wait_for("it serves", |info| info["server"]["pid"] == me && info["server"]["state"] == "alive");
        server
    }

    fn client(&self, what: &str, pleases: impl Fn(&Value) -> bool) -> Value {
        self.wait_for(what, |info| info["clients"].as_array().unwrap().iter().any(&pleases))
    }
}

#[test]
fn a_command_answers_each_call() {
    let place = Place::new();
    let server = place.serve("", "tr a-z A-Z");
    place.run("call RING hello", b"").assert_code(0).assert_stdout("HELLO\n");
    place.run("call RING", b"two\nlines\n").assert_code(0).assert_stdout("TWO\nLINES\n");
    place.run("call RING hello --raw", b"").assert_code(0).assert_stdout("HELLO");
    place.run("call RING -- -5", b"").assert_code(0).assert_stdout("-5\n");
    place.run("call RING", b"\xff\n").assert_code(0).assert_stdout(b"\xff\n");
    place
        .run("call RING hello --json", b"")
        .assert_code(0)
        .assert_stdout("{\"outcome\":\"reply\",\"has_run\":\"yes\",\"payload\":\"HELLO\"}\n");
    let got = place.run("call RING --json", b"\xff").assert_code(0).json();
    assert_eq!((&got[0]["payload"], &got[0]["encoding"]), (&json!("/w=="), &json!("base64")));
    // Several at a time, each with its own reply.
    let calls: Vec<_> = (0..8)
        .map(|number| place.spawn(&format!("call RING x{number}"), Stdio::null(), Stdio::piped()))
        .collect();
    for (number, call) in calls.into_iter().enumerate() {
        call.end().assert_code(0).assert_stdout(format!("X{number}\n"));
    }
    server.signal(Signal::INT);
    server.end().assert_code(0);
    assert_eq!(place.info()["clients"], json!([]));
}

#[test]
fn a_command_that_fails_is_told() {
    let place = Place::new();
    let server = place.serve("--largest-reply 1024", "read word; echo $word; echo said >&2; $word");
    let failed = |word: &str| place.run(&format!("call RING {word}"), b"").assert_code(13).assert_stdout("");
    place.run("call RING true", b"").assert_code(0).assert_stdout("true\n");
    failed("false").assert_one_line().assert_says("answered with an error: exit code 1: false");
    let got = place.run("call RING false --json", b"").assert_code(13).json();
    assert_eq!(got, [json!({ "outcome": "failed", "has_run": "yes", "payload": "exit code 1: false" })]);
    server.signal(Signal::TERM);
    server.end().assert_code(0).assert_says("said\n");
    let server = place.serve("", "kill -9 $$");
    failed("x").assert_says("killed by signal 9");
    server.signal(Signal::TERM);
    server.end().assert_code(0);
    let server = place.serve("", "yes | head -c 100000");
    failed("x").assert_says("the command printed more than 1 KiB");
    server.signal(Signal::TERM);
    server.end().assert_code(0);
    // One that cannot be run ends the server with the first call.
    for (command, code) in [("/no/such/command", 127), (".", 126)] {
        let server = place.spawn_words("serve RING", &["--", command]);
        place.run("call RING x --quiet", b"").assert_code(13).assert_says("could not run its command");
        server.end().assert_code(code).assert_one_line().assert_says("could not run it");
    }
    place.run("call RING x --timeout 10ms --quiet", b"").assert_code(6);
    place.run("call RING --timeout 10ms", &[b'x'; 40_000]).assert_code(1).assert_says("takes up to 32744");
}

#[test]
fn a_command_answers_lines() {
    let place = Place::new();
    let script = "while read -r word rest; do test \"$word\" = end && exit 3; echo \"$word, $rest\"; done";
    let server = place.serve("--lines", script);
    place.run("call RING", b"one two\n").assert_code(0).assert_stdout("one, two\n");
    place.run("call RING one", b"").assert_code(0).assert_stdout("one, \n");
    place.run("call RING", b"one\ntwo\n").assert_code(13).assert_says("a request of several lines");
    let calls: Vec<_> = (0..8)
        .map(|number| place.spawn(&format!("call RING {number}"), Stdio::null(), Stdio::piped()))
        .collect();
    for (number, call) in calls.into_iter().enumerate() {
        call.end().assert_code(0).assert_stdout(format!("{number}, \n"));
    }
    place.run("call RING end", b"").assert_code(13).assert_says("ended before it answered: exit code 3");
    let ran = server.end().assert_code(1).assert_one_line();
    ran.assert_says("the command ended: exit code 3, with 1 call, which are answered as failed");
    // The end of its input ends it.
    let server = place.serve("--lines", "cat; echo over >&2");
    place.run("call RING one", b"").assert_code(0).assert_stdout("one\n");
    server.signal(Signal::INT);
    server.end().assert_code(0).assert_says("over");
    place.run("serve RING --lines -- /no/such/command", b"").assert_code(127).assert_one_line();
}

/// By its exit code: whether the call has run.
#[test]
fn how_a_call_ends_without_a_reply() {
    let place = Place::new();
    place.run("call RING x", b"").assert_code(3).assert_one_line();
    let server = place.serve("", BUSY);
    // Taken and not answered in time; its command is ended.
    place.run("call RING x --timeout 300ms", b"").assert_code(12).assert_says("it may have run");
    place.wait_for("the command is ended", |info| {
        info["clients"].as_array().unwrap().iter().all(|client| client["taken"] == 0)
    });
    // The server dies with it.
    std::fs::remove_file(place.file("ran")).unwrap();
    let call = place.spawn("call RING x --json", Stdio::null(), Stdio::piped());
    place.client("it is taken", |client| client["taken"] == 1);
    eventually("the command runs", || place.file("ran").exists());
    server.kill();
    let ran = call.end().assert_code(7).assert_says("the server died with the call");
    assert_eq!(ran.json(), [json!({ "outcome": "server gone", "has_run": "perhaps" })]);
    // Nobody takes it.
    let ran = place.run("call RING x --timeout 100ms", b"").assert_code(6);
    ran.assert_says("no server is there; the call waits").assert_says("it has not run, and never will");
    let mut call = place.spawn("call RING x", Stdio::null(), Stdio::piped());
    assert!(call.says().contains("no server is there"));
    call.signal(Signal::INT);
    call.end().assert_code(130).assert_says("the call has not run, and never will");
    // Or the next server does.
    let call = place.spawn("call RING later --quiet", Stdio::null(), Stdio::piped());
    place.client("it is queued", |client| client["queued"] == 1);
    let server = place.serve("", "cat");
    call.end().assert_code(0).assert_stdout("later\n");
    server.signal(Signal::TERM);
    server.end().assert_code(0);
}

#[test]
fn a_repeatable_call_runs_again() {
    let place = Place::new();
    let server = place.serve("", BUSY);
    let call = place.spawn("call RING x --repeatable --json", Stdio::null(), Stdio::piped());
    eventually("it runs", || place.file("ran").exists());
    server.kill();
    let server = place.serve("", "echo again $QUOIT_AGAIN client $QUOIT_CLIENT");
    let got = call.end().assert_code(0).json();
    let expected =
        json!({ "outcome": "reply", "has_run": "yes", "payload": "again 1 client 0\n", "begins_anew": true });
    assert_eq!(got, [expected]);
    server.signal(Signal::TERM);
    server.end().assert_code(0);
}

#[test]
fn what_runs_is_answered_before_the_end() {
    let place = Place::new();
    let script = "touch ran; while test -e \"$PWD\" && ! test -e go; do sleep 0.01; done; cat";
    let server = place.serve("", script);
    let call = place.spawn("call RING x", Stdio::null(), Stdio::piped());
    eventually("it runs", || place.file("ran").exists());
    let late = place.spawn("call RING late --timeout 30s", Stdio::null(), Stdio::piped());
    server.signal(Signal::INT);
    std::fs::write(place.file("go"), "").unwrap();
    call.end().assert_code(0).assert_stdout("x\n");
    server.end().assert_code(0);
    // It may have been taken before the signal.
    let server = place.serve("", "cat");
    late.end().assert_code(0).assert_stdout("late\n");
    // A file that is gone ends it.
    std::fs::remove_file(&place.ring).unwrap();
    server.end().assert_code(8).assert_one_line().assert_says("removed or replaced");
}

#[test]
fn one_serves_at_a_time() {
    let place = Place::new();
    let first = place.serve("", "echo first");
    let told = place.run("serve RING -- cat", b"").assert_code(9).assert_one_line();
    told.assert_says("--wait-for-turn");
    let second = place.spawn_words("serve RING --wait-for-turn 30s", &["--", "echo", "second"]);
    place.run("call RING", b"").assert_stdout("first\n");
    first.kill();
    place.run("call RING --quiet", b"").assert_stdout("second\n");
    second.signal(Signal::TERM);
    second.end().assert_code(0);
    // Other kinds are refused, both ways.
    place.run("event ready set", b"").assert_code(0);
    place.run("serve ready -- cat", b"").assert_code(3).assert_says("event");
    place.run("call ready x", b"").assert_code(3).assert_says("event");
    place.run("lock RING -- true", b"").assert_code(3).assert_says("service");
    place.run("serve other --clients 0 -- cat", b"").assert_code(2).assert_says("1 to 1024 clients");
    assert!(!place.file("other").exists());
}

#[test]
fn info_ls_and_rm_know_services() {
    let place = Place::new();
    let server = place.serve("--jobs 1", BUSY);
    let me = server.pid();
    let first = place.spawn("call RING x", Stdio::null(), Stdio::piped());
    eventually("it runs", || place.file("ran").exists());
    let second = place.spawn("call RING y", Stdio::null(), Stdio::piped());
    let info = place.client("the other is queued", |client| client["queued"] == 1);
    assert_eq!((&info["schema"], &info["kind"], &info["seats"]), (&json!(1), &json!("service"), &json!(16)));
    assert_eq!(
        (&info["request_bytes"], &info["reply_bytes"], &info["largest_reply"], &info["requests"]),
        (&json!(65536), &json!(262_144), &json!(32768), &Value::Null)
    );
    let clients = info["clients"].as_array().unwrap();
    let calls = ["pid", "state", "queued", "taken", "unread", "is_behind"];
    let shown: Vec<Vec<&Value>> =
        clients.iter().map(|client| calls.iter().map(|key| &client[*key]).collect()).collect();
    let (pids, alive) = ((json!(first.pid()), json!(second.pid())), json!("alive"));
    let (zero, one, no) = (json!(0), json!(1), json!(false));
    assert_eq!(
        shown,
        [[&pids.0, &alive, &zero, &one, &zero, &no], [&pids.1, &alive, &one, &zero, &zero, &no]]
    );
    let text = String::from_utf8(place.run("info RING", b"").assert_code(0).stdout).unwrap();
    assert!(text.contains(&format!("\nserver     process {me}\n")), "{text}");
    assert!(text.contains("\nstate      1 call queued, 1 taken\n"), "{text}");
    let list = place.file("");
    let listed = place.run(&format!("ls {}", list.display()), b"").assert_code(0);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("service") && listed.contains("1 call queued, 1 taken"), "{listed}");
    let json = place.run(&format!("ls {} --json", list.display()), b"").assert_code(0);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["rings"], &json["objects"][0]["kind"]), (&json!([]), &json!("service")));
    assert_eq!(json["objects"][0]["clients"].as_array().unwrap().len(), 2);
    let ran = place.run("rm RING", b"").assert_code(9).assert_one_line();
    ran.assert_says(&format!("in use by the server (process {me}), a client (process {})", first.pid()));

    // The dead are shown as long as something of theirs is there.
    first.kill();
    second.kill();
    let dead =
        |info: &Value| info["clients"].as_array().unwrap().iter().all(|client| client["state"] == "dead");
    let info = place.wait_for("they are dead", dead);
    assert_eq!(info["clients"].as_array().unwrap().len(), 2);
    server.kill();
    let text = String::from_utf8(place.run("info RING", b"").assert_code(0).stdout).unwrap();
    assert!(text.contains(&format!("none; the last one was process {me}")), "{text}");
    assert!(text.contains("the next server decides what becomes of those taken"), "{text}");
    let mut watch = place.spawn("info RING --watch 20ms", Stdio::null(), Stdio::piped());
    let line = std::io::BufRead::lines(std::io::BufReader::new(watch.stdout())).next().unwrap().unwrap();
    assert!(line.starts_with("1 call queued, 1 taken  server none"), "{line}");
    watch.kill();
    place.run("rm RING", b"").assert_code(0);
    assert!(!place.ring.exists());
}
