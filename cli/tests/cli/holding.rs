//! `lock` and `sem`: commands that run under something that others wait for.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::{Place, Process, eventually};

impl Place {
    /// Runs `quoit VERB RING OPTIONS -- sh -c SCRIPT`.
    pub(crate) fn under(&self, verb: &str, script: &str) -> Process {
        self.spawn_words(verb, &["--", "sh", "-c", script])
    }
}

/// What one command alone holds.
const VERBS: [&str; 2] = ["lock RING", "sem RING --permits 1"];

#[test]
fn the_command_runs_and_its_end_is_ours() {
    let place = Place::new();
    for verb in VERBS.into_iter().chain(["lock RING --shared"]) {
        place
            .under(verb, "echo out; echo err >&2")
            .end()
            .assert_code(0)
            .assert_stdout("out\n")
            .assert_says("err\n");
        place.under(verb, "exit 7").end().assert_code(7);
        let killed = place.under(verb, "kill -TERM $$").end().assert_code(143);
        // Whoever shared the lock leaves nothing that others should be told of.
        assert_eq!(killed.stderr.contains("killed by signal 15"), VERBS.contains(&verb), "{}", killed.stderr);
        let ran = place.run(&format!("{verb} -- /no/such/command"), b"").assert_code(127);
        ran.assert_says("/no/such/command: could not run it");
        place.run(&format!("{verb} -- ."), b"").assert_code(126).assert_says("could not run it");
        place.run(&format!("{verb} --"), b"").assert_code(2);
        place.run(&format!("{verb} true"), b"").assert_code(2);
        // Nobody holds it now.
        place.run(&format!("{verb} --no-wait -- true"), b"").assert_code(0);
        std::fs::remove_file(&place.ring).unwrap();
    }
    let mode = |options: &str| {
        place.run(&format!("lock RING {options} -- true"), b"").assert_code(0);
        let mode = std::fs::metadata(&place.ring).unwrap().permissions().mode() & 0o777;
        std::fs::remove_file(&place.ring).unwrap();
        mode
    };
    assert_eq!((mode(""), mode("--mode 0660")), (0o600, 0o660));
}

#[test]
fn one_at_a_time_and_the_others_are_told() {
    for verb in VERBS {
        let place = Place::new();
        let (holder, _command) = place.hold(verb);
        let held = format!("in time, held by process {}", holder.pid());
        place.run(&format!("{verb} -n -- true"), b"").assert_code(1).assert_one_line().assert_says(&held);
        let ran = place.run(&format!("{verb} --timeout 50ms -E 75 -- true"), b"");
        ran.assert_code(75).assert_one_line().assert_says(&held);
        let silent = place.run(&format!("{verb} -n --quiet -- true"), b"").assert_code(1);
        assert_eq!(silent.stderr, "");
        // One that waits goes on when the holder has ended.
        let next = place.under(verb, "echo next");
        place.wait_until_asleep(&next);
        holder.signal(Signal::TERM);
        holder.end().assert_code(143);
        next.end().assert_code(0).assert_stdout("next\n");
    }
}

#[test]
fn counters_under_it_lose_nothing() {
    let place = Place::new();
    std::fs::write(place.file("count"), "0").unwrap();
    let add = "n=$(cat count); echo $((n + 1)) >count";
    let all: Vec<_> = (0..20).map(|_| place.under("lock RING", add)).collect();
    for process in all {
        process.end().assert_code(0);
    }
    assert_eq!(std::fs::read_to_string(place.file("count")).unwrap().trim(), "20");
}

#[test]
fn a_semaphore_lets_so_many_in() {
    let place = Place::new();
    let holders = [place.hold("sem RING --permits 2"), place.hold("sem RING")];
    place.run("sem RING --no-wait -- true", b"").assert_code(1).assert_says("did not get 1 permit in time");
    let ran = place.run("sem RING --permits 3 --take 3 -n -- true", b"");
    ran.assert_code(2).assert_says("has 2 permits, not 3; it is used as it is");
    for (holder, _) in holders {
        holder.signal(Signal::TERM);
        holder.end().assert_code(143);
    }
    place.run("sem RING --take 2 --no-wait -- true", b"").assert_code(0);
    place.run("sem missing -- true", b"").assert_code(3).assert_one_line();
}

/// What a holder that is killed leaves is told once, and to the command.
#[test]
fn the_next_one_is_told_of_a_death() {
    let place = Place::new();
    for verb in VERBS {
        let (holder, command) = place.hold(verb);
        holder.kill();
        // The command still runs, so it still holds.
        place.run(&format!("{verb} --timeout 100ms -- true"), b"").assert_code(1);
        command.kill();
        if verb.starts_with("lock") {
            let refused = place.run("lock RING --refuse-abandoned -- true", b"").assert_code(11);
            refused.assert_one_line().assert_says("a holder died");
            // One that fails has put nothing in order.
            let told = place.under("lock RING", "echo \"$QUOIT_ABANDONED\"; exit 3").end().assert_code(3);
            told.assert_stdout("1\n").assert_says("may be half done");
        }
        let told = place.under(verb, "echo \"$QUOIT_ABANDONED\"").end().assert_code(0);
        told.assert_stdout("1\n").assert_one_line().assert_says("may be half done");
        let well = place.under(verb, "echo \"$QUOIT_ABANDONED\"").end().assert_code(0).assert_stdout("\n");
        assert_eq!(well.stderr, "");
        // A command that is killed leaves the same.
        let (holder, command) = place.hold(verb);
        command.kill();
        holder.end().assert_code(137).assert_says("killed by signal 9");
        let told = place.under(&format!("{verb} --quiet"), "echo \"$QUOIT_ABANDONED\"").end();
        assert_eq!(told.assert_code(0).assert_stdout("1\n").stderr, "");
        std::fs::remove_file(&place.ring).unwrap();
    }
}

#[test]
fn signals_go_on_to_the_command() {
    let place = Place::new();
    for verb in VERBS {
        for (signal, name) in [
            (Signal::HUP, "HUP"),
            (Signal::INT, "INT"),
            (Signal::QUIT, "QUIT"),
            (Signal::TERM, "TERM"),
            (Signal::USR1, "USR1"),
            (Signal::USR2, "USR2"),
        ] {
            let script = format!(
                "trap 'echo got; exit 5' {name}; touch there; while test -e \"$PWD\"; do sleep 0.01; done"
            );
            let process = place.under(verb, &script);
            eventually("the command runs", || place.file("there").exists());
            std::fs::remove_file(place.file("there")).unwrap();
            process.signal(signal);
            process.end().assert_code(5).assert_stdout("got\n");
        }
        // Whoever waits is ended by it.
        let (holder, _command) = place.hold(verb);
        let waiting = place.under(verb, "echo never");
        place.wait_until_asleep(&waiting);
        waiting.signal(Signal::TERM);
        let ended = waiting.end().assert_signal(15);
        assert_eq!(ended.stdout, b"");
        holder.signal(Signal::TERM);
        holder.end().assert_code(143);
        std::fs::remove_file(&place.ring).unwrap();
    }
}

/// Whoever waits for a lock whose file is removed would have another lock than those who come later.
#[test]
fn a_file_that_is_removed_guards_nothing() {
    for verb in VERBS {
        let place = Place::new();
        let (old, _command) = place.hold(verb);
        let waiting = place.under(verb, "echo got it");
        place.wait_until_asleep(&waiting);
        std::fs::remove_file(&place.ring).unwrap();
        let (new, _command) = place.hold(verb);
        old.signal(Signal::TERM);
        old.end().assert_code(143);
        // It has got the old one, and goes on to wait for the new one.
        place.wait_until_asleep(&waiting);
        new.signal(Signal::TERM);
        new.end().assert_code(143);
        waiting.end().assert_code(0).assert_stdout("got it\n");
    }
}

#[test]
fn a_seat_is_waited_for_too() {
    let place = Place::new();
    let (holder, _command) = place.hold("lock RING --seats 1");
    let ran = place.run("lock RING -w 50ms -- true", b"").assert_code(1);
    ran.assert_says("waiting for a seat: all 1 seats are taken").assert_says("did not get a seat in time");
    let mut waiting = place.under("lock RING", "echo got it");
    assert!(waiting.says().contains("waiting for a seat"));
    holder.signal(Signal::TERM);
    holder.end().assert_code(143);
    waiting.end().assert_code(0).assert_stdout("got it\n");
}

#[test]
fn what_cannot_be_held_is_refused_by_name() {
    let place = Place::with("--capacity 64KiB");
    place
        .run("lock RING -- true", b"")
        .assert_code(3)
        .assert_one_line()
        .assert_says("this is a ring, not a reader-writer lock");
    let ran = place.run("sem RING -p 1 -- true", b"").assert_code(3).assert_one_line();
    ran.assert_says("this is a ring, not a semaphore");
    std::fs::write(&place.ring, "some text, longer than eight bytes").unwrap();
    place.run("lock RING -- true", b"").assert_code(3).assert_one_line();
    place.run("lock no/such/lock -- true", b"").assert_code(3).assert_one_line();
    std::fs::remove_file(&place.ring).unwrap();
    place.run("lock RING --seats 0 -- true", b"").assert_code(2).assert_says("1 to 4096 seats");
    place.run("lock RING --mode 0777 -- true", b"").assert_code(2);
    place.run("sem RING --permits 0 -- true", b"").assert_code(2).assert_says("1 to 4096 permits");
    place.run("lock RING --timeout 5 -- true", b"").assert_code(2).assert_says("has no unit");
    place.run("lock RING --timeout 5s -n -- true", b"").assert_code(2);
    // With permission to read alone nobody can hold anything, and without any nobody knows what it is.
    place.run("lock RING --mode 0644 -- true", b"").assert_code(0);
    for (line, code) in [("lock RING -- true", 1), ("info RING", 0), ("rm RING", 1)] {
        let Some(ran) = place.run_as_nobody(line) else { return };
        let ran = ran.assert_code(code);
        assert!(
            code == 0 || ran.stderr.contains("mode 0644") || ran.stderr.contains("no permission"),
            "{}",
            ran.stderr
        );
    }
    std::fs::set_permissions(&place.ring, std::fs::Permissions::from_mode(0o600)).unwrap();
    for line in ["lock RING -- true", "info RING", "event RING set"] {
        let Some(ran) = place.run_as_nobody(line) else { return };
        ran.assert_code(1).assert_one_line().assert_says("mode 0600");
    }
}

/// The reader of the command's output has gone: that is the command's own affair.
#[test]
fn pipes_are_the_commands_own() {
    let place = Place::new();
    let ran = place.shell("QUOIT lock RING -- yes | head -n 1; QUOIT lock RING -n -- echo free");
    ran.assert_code(0).assert_stdout("y\nfree\n");
    let mut process = place.spawn("lock RING -- cat", Stdio::piped(), Stdio::piped());
    std::io::Write::write_all(&mut process.stdin(), b"through").unwrap();
    process.end().assert_code(0).assert_stdout("through");
}
