//! `quoit bench`: that it measures and tells, not what. Times are nothing to test on a machine that others use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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

/// Command lines of the processes that measure for `parent`, or in `directory`.
fn measuring(parent: Option<u32>, directory: &Path) -> Vec<String> {
    let line = |process: &Path| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ")
    };
    let is_child = |process: &Path| {
        let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        parent.is_none_or(|parent| rest.split(' ').nth(1) == Some(&parent.to_string()))
    };
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let lines = processes.filter(|process| is_child(process)).map(|process| line(&process));
    lines.filter(|line| line.contains("bench-child") && line.contains(directory.to_str().unwrap())).collect()
}

#[test]
fn ctrl_c_ends_it_and_leaves_nothing() {
    if is_alone() {
        return;
    }
    let mut child = bench(&["--only", "stream"]).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let directory = loop {
        if let Some(line) = measuring(Some(child.id()), Path::new("")).first() {
            break PathBuf::from(line.trim_end().rsplit(' ').next().unwrap());
        }
        assert!(began.elapsed() < Duration::from_secs(10), "it does not begin");
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(directory.is_dir(), "{}", directory.display());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!directory.exists());
    assert!(measuring(None, &directory).is_empty());
}
