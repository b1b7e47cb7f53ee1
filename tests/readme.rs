//! The first example of the README: the same in every place, and it prints its record, whichever half is started first.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

mod common;
#[path = "../examples/prices.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is a program, whose main is not called here")]
mod prices;

use common::{Backing, until};

/// Set for a process that is one half of the example: which, and the ring.
const HALF: &str = "QUOIT_TEST_HALF";
const RING: &str = "QUOIT_TEST_RING";

/// What the follower prints.
const RECORD: &str = "0: EURUSD 1.0842";

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The lines between the two that begin and end the first block of code that mentions `open_wait`.
fn block(text: &str) -> String {
    let mut blocks = text.split("```").skip(1).step_by(2);
    let block = blocks.find(|block| block.contains("open_wait")).expect("the example is there");
    block.lines().skip(1).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_example_is_the_same_everywhere() {
    let example = read("examples/prices.rs");
    let begin = example.find("use std::error::Error;").unwrap();
    let end = example.find("\nfn main()").unwrap();
    let code = &example[begin..end];
    let readme = read("README.md");
    assert_eq!(block(&readme), code, "README.md differs from examples/prices.rs");
    assert!(readme.contains(&format!("`{RECORD}`")), "README.md says what the example prints");
    let docs: String = read("src/lib.rs")
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    assert_eq!(block(&docs), code, "the head of src/lib.rs differs from examples/prices.rs");
}

/// Not a test: one half of the example, where this is the process for it.
#[test]
fn half() {
    let (Ok(half), Ok(ring)) = (std::env::var(HALF), std::env::var(RING)) else { return };
    // The harness has begun a line of its own.
    println!();
    match &*half {
        "publish" => prices::publish(&ring).unwrap(),
        "follow" => prices::follow(&ring).unwrap(),
        other => panic!("no half is called {other}"),
    }
}

fn start(half: &str, ring: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["half", "--exact", "--nocapture", "--test-threads=1"])
        .env(HALF, half)
        .env(RING, ring)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What the follower prints, in the order of its records.
fn printed(follower: Child) -> Vec<String> {
    let output = follower.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let is_of_the_example = |line: &&str| line.contains("EURUSD") || line.contains('{');
    text.lines().filter(is_of_the_example).map(str::to_owned).collect()
}

fn done(mut publisher: Child) {
    assert!(publisher.wait().unwrap().success());
}

#[test]
fn the_publisher_may_come_first() {
    let directory = Backing::Tmpfs.directory();
    let ring = directory.path().join("prices");
    done(start("publish", &ring));
    assert_eq!(printed(start("follow", &ring)), [RECORD]);
    // And once more, over the same ring: it prints the oldest record.
    done(start("publish", &ring));
    assert_eq!(printed(start("follow", &ring)), [RECORD]);
    let ring = quoit::Inspector::open(&ring).unwrap().snapshot().unwrap();
    assert_eq!(ring.next_sequence, 2, "both were published");
}

#[test]
fn the_follower_may_come_first() {
    let directory = Backing::Tmpfs.directory();
    let ring = directory.path().join("prices");
    let follower = start("follow", &ring);
    // It has started for certain, and looks for the ring, once it sleeps.
    until("the follower waits", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/task/{0}/stat", follower.id()));
        stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S')))
    });
    std::thread::sleep(Duration::from_millis(100));
    done(start("publish", &ring));
    assert_eq!(printed(follower), [RECORD]);
}
