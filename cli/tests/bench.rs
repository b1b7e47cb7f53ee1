//! `quoit bench`: that it measures and tells, not what. Times are nothing to test on a machine that others use.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quoit"));
    command.arg("bench").args(arguments);
    command
}

/// It takes two.
fn is_alone() -> bool {
    std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() < 2)
}

#[test]
fn tells_its_figures_in_json() {
    if is_alone() {
        return;
    }
    let output = bench(&["--quick", "--only", "pingpong", "--rounds", "1", "--json"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(errors, "");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    for key in ["kernel", "cpu", "placement", "mitigations"] {
        assert!(document["machine"][key].is_string(), "no {key}: {document:#}");
    }
    let results = document["results"].as_array().unwrap();
    assert_eq!(results.len(), 6);
    for result in results {
        assert_eq!(result["workload"], "pingpong");
        assert_eq!(result["kept"].as_u64().unwrap() + result["discarded"].as_u64().unwrap(), 1);
        assert_eq!(result["ratio"].is_object(), result["kept"] == 1);
    }
}

#[test]
fn ctrl_c_ends_it_at_once_and_leaves_nothing() {
    if is_alone() {
        return;
    }
    let places = || {
        let entries = std::fs::read_dir("/dev/shm").unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("quoit-bench-")).collect::<Vec<_>>()
    };
    let mut child = bench(&["--only", "stream"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while places().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(10), "it does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let children = std::fs::read_dir("/proc").unwrap().flatten().filter(|process| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let parent = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("bench-child") && parent.contains(&format!(" {} ", pid))
    });
    assert_eq!(children.count(), 0);
}
