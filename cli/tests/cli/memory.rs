//! `--huge`, `--populate`, `--lock` and `--numa-node`: what became of them is said, and records go through either way.

use crate::support::{Place, lines};

#[test]
fn create_aligns_to_huge_pages() {
    let place = Place::with("--capacity 4MiB --huge");
    let info = place.info();
    assert_eq!(info["geometry"]["alignment"], 2 << 20);
    assert_eq!(info["geometry"]["huge_pages"], true);
    assert_eq!(info["geometry"]["file_bytes"], 8 << 20);
    let text = String::from_utf8(place.run("info RING", b"").assert_code(0).stdout).unwrap();
    assert!(text.contains("aligned to 2 MiB for huge pages"), "{text}");
    let plain = Place::with("--capacity 4MiB");
    let info = plain.info();
    assert!(info["geometry"]["alignment"].as_u64().unwrap() < 2 << 20);
    assert_eq!(info["geometry"]["huge_pages"], false);
    let text = String::from_utf8(plain.run("info RING", b"").assert_code(0).stdout).unwrap();
    assert!(!text.contains("huge"), "{text}");
    // What `pub` makes is made for what it wishes.
    let place = Place::new();
    place
        .run("pub RING --create 4MiB --huge", &lines(0..3))
        .assert_code(0)
        .assert_says("memory in huge pages: ");
    assert_eq!(place.info()["geometry"]["alignment"], 2 << 20);
}

#[test]
fn wishes_are_reported_and_records_go_through() {
    let place = Place::with("--capacity 4MiB --huge");
    let wishes = "--populate --lock --huge --numa-node 0";
    let said = place.run(&format!("pub RING {wishes}"), &lines(0..100)).assert_code(0).stderr;
    for wish in ["faulted in: ", "locked: ", "in huge pages: ", "on the NUMA node: "] {
        assert!(said.contains(&format!("quoit: memory {wish}")), "{wish} is not in\n{said}");
    }
    assert!(said.contains("memory faulted in: yes\n"), "{said}");
    for policy in ["", "--gated", "--lossy"] {
        let ran = place.run(&format!("sub RING {policy} --populate"), b"").assert_code(0);
        ran.assert_stdout(lines(0..100)).assert_says("memory faulted in: yes");
    }
    let ran = place.run("sub RING --populate --quiet", b"").assert_code(0);
    assert_eq!(ran.assert_stdout(lines(0..100)).stderr, "");
    assert!(!place.run("sub RING", b"").assert_code(0).stderr.contains("memory"));
}

#[test]
fn a_refused_wish_is_said_and_no_failure() {
    let place = Place::with("--capacity 64KiB");
    place.run("pub RING", &lines(0..3)).assert_code(0);
    let ran = place.run("sub RING --huge --quiet", b"").assert_code(0).assert_stdout(lines(0..3));
    ran.assert_one_line().assert_says("memory in huge pages: no: ").assert_says("quoit create --huge");
    for (node, why) in [("1023", "lscpu"), ("4294967295", "no kernel has a node of such a number")] {
        let ran = place.run(&format!("sub RING --numa-node {node} --quiet"), b"").assert_code(0);
        let ran = ran.assert_stdout(lines(0..3)).assert_one_line();
        ran.assert_says("memory on the NUMA node: no: ").assert_says(why);
    }
}
