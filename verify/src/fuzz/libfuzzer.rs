//! The programs that cargo-fuzz builds: their paths, and one run of one of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::outcome::root;

/// What one run, or all runs of a target, came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Done {
    /// By libFuzzer's own count.
    pub(super) executed: u64,
    /// What failed, and how to see it again.
    pub(super) failure: Option<String>,
}

pub(super) fn build(sanitizer: &str) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["+nightly", "fuzz", "build", "--sanitizer", sanitizer]);
    if sanitizer == "none" {
        command.arg("--no-trace-compares");
    }
    let output = command
        .arg("--target-dir")
        .arg(built(sanitizer))
        .current_dir(root().join("fuzz"))
        .output()
        .context("cannot run cargo fuzz")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo +nightly fuzz build failed: {said}");
    Ok(())
}

/// Where a sanitizer's build is.
fn built(sanitizer: &str) -> PathBuf {
    root().join("target/verify/fuzz-built").join(sanitizer)
}

/// The corpus that the repository keeps.
pub(super) fn committed(name: &str) -> PathBuf {
    root().join("fuzz/corpus").join(name)
}

/// What libFuzzer found beside it. Not committed: `minimise` takes over what is worth keeping.
pub(super) fn found(name: &str) -> PathBuf {
    root().join("target/verify/fuzz").join(name)
}

/// The program of a target. It is run without cargo, which would look at every source before each round.
pub(super) fn target(name: &str, sanitizer: &str) -> Result<Command> {
    let platforms = std::fs::read_dir(built(sanitizer))?;
    let programs = platforms
        .filter_map(|entry| Some(entry.ok()?.path().join("release").join(name)))
        .find(|it| it.is_file());
    let mut command = Command::new(programs.with_context(|| format!("cargo fuzz did not build {name}"))?);
    command.current_dir(root().join("fuzz")).stdin(Stdio::null()).stdout(Stdio::null());
    command.env("ASAN_OPTIONS", "detect_odr_violation=0").env("RUST_BACKTRACE", "1");
    Ok(command)
}

/// Executions of one target that took too long only because the machine stood still, before that counts as a failure.
const STANDSTILLS: u32 = 3;

/// Runs one target so often. `look` is told now and then how far it is.
pub(super) fn fuzz(
    name: &str,
    sanitizer: &str,
    runs: u64,
    longest: u32,
    mut look: impl FnMut(u64),
) -> Result<Done> {
    let mut executed = 0;
    for standstills in 0.. {
        let before = executed;
        let one = session(name, sanitizer, runs - executed, longest, |at| look(before + at))?;
        executed += one.executed;
        let Some((failure, input)) = one.failure else { break };
        // libFuzzer takes the time of the clock on the wall, which goes on while a machine is suspended.
        let timed_out = input.file_name().is_some_and(|it| it.to_string_lossy().starts_with("timeout-"));
        let passes =
            timed_out && target(name, sanitizer)?.arg(&input).stderr(Stdio::null()).status()?.success();
        if !passes || standstills == STANDSTILLS {
            return Ok(Done { executed, failure: Some(failure) });
        }
        std::fs::remove_file(&input)?;
    }
    Ok(Done { executed, failure: None })
}

/// What one process came to: its failure comes with the input that it left.
struct Session {
    executed: u64,
    failure: Option<(String, PathBuf)>,
}

/// Runs one process of a target.
fn session(
    name: &str,
    sanitizer: &str,
    runs: u64,
    longest: u32,
    mut look: impl FnMut(u64),
) -> Result<Session> {
    let found = found(name);
    std::fs::create_dir_all(&found)?;
    let artifacts = root().join("fuzz/artifacts").join(name);
    std::fs::create_dir_all(&artifacts)?;
    let log = found.with_extension(format!("{sanitizer}.log"));
    let mut child = target(name, sanitizer)?
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args([format!("-runs={runs}"), format!("-max_len={longest}")])
        .args(["-print_final_stats=1", "-timeout=60", "-len_control=20", "-rss_limit_mb=1024"])
        .args([&found, &committed(name)])
        .stderr(std::fs::File::create(&log)?)
        .spawn()?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(100));
        look(last_number(&log));
    };
    let text = std::fs::read(&log)?;
    let text = String::from_utf8_lossy(&text);
    let counted = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let executed = counted.and_then(|count| count.trim().parse().ok()).unwrap_or(0);
    let failure = (!status.success()).then(|| {
        let input =
            text.lines().find_map(|line| line.split_once("Test unit written to ")).map_or("", |it| it.1);
        let again = format!("{name}: {}; again: cargo +nightly fuzz run {name} {input}", log.display());
        (again, PathBuf::from(input))
    });
    ensure!(
        failure.is_some() || executed >= runs,
        "{name} ran {executed} times of {runs}: {}",
        log.display()
    );
    Ok(Session { executed, failure })
}

/// The number of executions in the newest line of the log.
fn last_number(log: &Path) -> u64 {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let number = |line: &str| line.strip_prefix('#')?.split_whitespace().next()?.parse().ok();
    text.lines().rev().find_map(number).unwrap_or(0)
}
