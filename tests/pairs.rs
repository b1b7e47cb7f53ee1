//! The examples of locks between processes: real processes, one of them killed.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

mod common;
#[path = "../examples/jobs_run.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is a program, whose main is not called here")]
mod jobs_run;
#[path = "../examples/leader.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is a program, whose main is not called here")]
mod leader;

use common::Backing;

/// Set for a process that runs an example: which, and on what.
const EXAMPLE: &str = "QUOIT_TEST_EXAMPLE";
const OBJECT: &str = "QUOIT_TEST_OBJECT";

/// Not a test: an example, where this is the process for it.
#[test]
fn example() {
    let (Ok(example), Ok(path)) = (std::env::var(EXAMPLE), std::env::var(OBJECT)) else { return };
    // The harness has begun a line of its own.
    println!();
    match &*example {
        "leader" => leader::serve(&path, 60_000).unwrap(),
        "last leader" => leader::serve(&path, 5).unwrap(),
        "worker" => jobs_run::work(&path, 1, Duration::from_secs(60)).unwrap(),
        "last worker" => jobs_run::work(&path, 3, Duration::from_millis(1)).unwrap(),
        other => panic!("no example is called {other}"),
    }
}

/// A process that runs an example. Killed when it goes out of scope.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(example: &str, path: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["example", "--exact", "--nocapture", "--test-threads=1"])
            .env(EXAMPLE, example)
            .env(OBJECT, path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// What follows the process's number in the next line that begins with it.
    fn says(&mut self) -> String {
        let begin = format!("{}: ", self.child.id());
        loop {
            let line = self.lines.next().expect("it says more").unwrap();
            if let Some(said) = line.strip_prefix(&begin) {
                return said.to_owned();
            }
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_stand_by_leads_when_the_leader_is_killed() {
    let directory = Backing::Tmpfs.directory();
    let path = directory.path().join("leader");
    let mut leader = Running::start("leader", &path);
    assert_eq!((leader.says(), leader.says()), ("stands by".into(), "leads".into()));
    assert_eq!(leader.says(), "term 1, after 0 ticks");
    let mut other = Running::start("last leader", &path);
    assert_eq!(other.says(), "stands by");
    std::thread::sleep(Duration::from_millis(100));
    leader.kill();
    let said = other.says();
    let is_told = said.starts_with("told that the leader died, ");
    assert!(is_told && said.ends_with(" after its last commit; leads"), "{said}");
    let said = other.says();
    let ticks = said.strip_prefix("term 2, after ").and_then(|rest| rest.strip_suffix(" ticks"));
    assert!(ticks.and_then(|ticks| ticks.parse::<u64>().ok()).is_some_and(|ticks| ticks > 0), "{said}");
    assert!(other.child.wait().unwrap().success());
    // It has ended by itself: nobody is told of a death.
    let mut next = Running::start("last leader", &path);
    assert_eq!((next.says(), next.says()), ("stands by".into(), "leads".into()));
    assert!(next.says().starts_with("term 3, after "));
}

#[test]
fn two_jobs_run_at_a_time() {
    let directory = Backing::Tmpfs.directory();
    let path = directory.path().join("jobs");
    let mut busy: Vec<_> = (0..2).map(|_| Running::start("worker", &path)).collect();
    for worker in &mut busy {
        assert!(worker.says().starts_with("job 1 of 1, "));
    }
    let permits = quoit::sync::Semaphore::open(&path).unwrap();
    let mut waits = Running::start("last worker", &path);
    common::until("the third one waits", || permits.waiting() == [waits.child.id()]);
    busy[0].kill();
    assert_eq!(waits.says(), "whoever had this permit before died with it");
    for job in 1..=3 {
        assert!(waits.says().starts_with(&format!("job {job} of 3, ")));
    }
    assert!(waits.child.wait().unwrap().success());
}
