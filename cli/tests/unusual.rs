//! `quoit bench` on machines that lack something: it says what, and measures the rest if there is a rest.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;

const QUOIT: &str = env!("CARGO_BIN_EXE_quoit");

fn is_alone() -> bool {
    thread::available_parallelism().is_ok_and(|cpus| cpus.get() < 2)
}

fn document(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn one_cpu_is_too_few() {
    // A program that a thread starts has the thread's CPUs.
    let output = thread::spawn(|| {
        let all = sched_getaffinity(None).unwrap();
        let first = (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).unwrap();
        let mut one = CpuSet::new();
        one.set(first);
        sched_setaffinity(None, &one).unwrap();
        Command::new(QUOIT).args(["bench", "--quick", "--only", "price"]).output().unwrap()
    });
    let output = output.join().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{errors}");
    assert!(errors.contains("measuring takes two CPUs; this process may run on 1 only"), "{errors}");
}

#[test]
fn where_few_files_may_be_open_a_thousand_slots_are_left_out() {
    if is_alone() {
        return;
    }
    let words = ["bench", "--quick", "--only", "slots,price", "--rounds", "1", "--json"];
    let shell = ["-c", "ulimit -n 512 && exec \"$0\" \"$@\"", QUOIT];
    let output = Command::new("sh").args(shell).args(words).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("left out: a thousand slots; `ulimit -Hn` allows too few open files"),
        "{errors}"
    );
    let document = document(&output);
    let workloads: Vec<&Value> =
        document["results"].as_array().unwrap().iter().map(|result| &result["workload"]).collect();
    assert_eq!(workloads, ["price", "price"]);
}

#[test]
fn what_makes_figures_less_than_they_seem_is_told() {
    if is_alone() {
        return;
    }
    let words = ["bench", "--quick", "--only", "pingpong", "--rounds", "1", "--json"];
    let mut document = document(&Command::new(QUOIT).args(words).output().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("result.json");
    let mut shown = |placement: &str, bounce: f64, busy: f64| {
        document["machine"]["placement"] = placement.into();
        document["machine"]["busy"] = busy.into();
        document["bounce_ns"] = bounce.into();
        show(&path, &document)
    };
    let (far, busy) =
        ("they sit apart, or a hypervisor does not tell", "others kept 1.6 CPUs busy before it began");
    let both = shown("two cores that share a last-level cache", 900.0, 1.6);
    assert!(both.contains(far) && both.contains(busy), "{both}");
    let near = shown("two cores that share a last-level cache", 90.0, 0.1);
    assert!(!near.contains(far) && !near.contains("before it began"), "{near}");
    let apart = shown("two packages", 900.0, 0.1);
    assert!(!apart.contains(far), "{apart}");
}

fn show(path: &Path, document: &Value) -> String {
    fs::write(path, document.to_string()).unwrap();
    let output = Command::new(QUOIT).args(["bench", "--from"]).arg(path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
