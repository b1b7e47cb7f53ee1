//! Everything that is planned can be measured: a round of all of it, over real processes.

use std::process::Command;
use std::thread::available_parallelism;

use serde_json::Value;

#[test]
fn a_round_of_everything() {
    if available_parallelism().unwrap().get() < 2 {
        println!("SKIPPED: measuring takes two CPUs");
        return;
    }
    let program = env!("CARGO_BIN_EXE_quoit-peers");
    let output = Command::new(program).args(["--quick", "--rounds", "1", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let results = document["results"].as_array().unwrap();
    for workload in ["pingpong", "stream", "batch", "fanout", "flood", "open", "call"] {
        assert!(results.iter().any(|result| result["workload"] == workload), "no {workload}");
    }
    for result in results {
        let rounds = result["kept"].as_u64().unwrap() + result["discarded"].as_u64().unwrap();
        assert_eq!(rounds, 1, "{result}");
    }
}
