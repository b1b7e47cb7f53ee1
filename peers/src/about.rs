//! What was measured: machine, versions, date.

use quoit_floors::distance;
use quoit_floors::machine::Machine;

use crate::system::System;

const LOCK: &str = include_str!("../Cargo.lock");

/// What is newer and does not build.
const NEWER: &str =
    "shaq 4.4 to 5.1 need a newer compiler than Rust 1.95 (`isolate_highest_one` is not stable in it)";

/// `bounce_ns`: how long a cache line took from one CPU to the other and back, over the rounds kept.
pub(crate) fn about(machine: &Machine, bounce_ns: Option<f64>, systems: &[System]) -> Vec<(String, String)> {
    let crates: Vec<String> = systems
        .iter()
        .filter_map(|system| Some(format!("{} {}", system.name(), version(system.name())?)))
        .collect();
    let [first, second] = machine.used;
    let about = [
        ("Machine", format!("{}, {} CPUs", machine.cpu, machine.cpus)),
        ("CPUs used", format!("{first} and {second}: {}", machine.placement)),
        ("Distance", distance::described(bounce_ns)),
        ("Kernel", format!("Linux {}", machine.kernel)),
        ("Security", machine.mitigations.clone()),
        ("Others", format!("kept {:.2} CPUs busy in the half second before", machine.busy)),
        ("Crates", crates.join(", ")),
        ("Newer ones", NEWER.to_owned()),
        ("Date", machine.date.clone()),
    ];
    about.map(|(what, value)| (what.to_owned(), value)).into()
}

/// As it was built.
fn version(name: &str) -> Option<&'static str> {
    let (_, rest) = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    Some(rest.split_once('"')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_crate_has_a_version() {
        let without: Vec<&str> = System::value_variants()
            .iter()
            .map(|system| system.name())
            .filter(|name| version(name).is_none())
            .collect();
        assert_eq!(without, ["pipe", "Unix socket"]);
    }
}
