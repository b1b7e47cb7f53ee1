//! The fuzz targets: by cargo-fuzz where there is a nightly toolchain with it, and as plain tests on stable.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::outcome::{Form, Outcome, root};

/// Each target, its share of all executions in thousandths, and the longest input it is given. Most go where an
/// execution is cheap and the state is small; `ops` and `race` are slow (a model beside the ring, a thread each), and
/// what they are for takes long lists more than many.
const TARGETS: [(&str, u64, u32); 6] = [
    ("open", 40, 600),
    ("walk", 30, 400),
    ("race", 2, 400),
    ("control", 25, 400),
    ("ops", 3, 600),
    ("framing", 900, 400),
];

/// The bulk runs without a sanitizer, several times as fast: what it looks for, broken promises and panics, needs none. Then
/// one in a hundred with AddressSanitizer, for what the few unsafe lines might do.
const PASSES: [(&str, u64); 2] = [("none", 1), ("address", 100)];

/// Options of this check alone.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub(crate) struct Args {
    /// Executions over all targets, in the full form
    #[arg(long, default_value_t = 100_000_000)]
    executions: u64,
    /// Only this target
    #[arg(long)]
    only: Option<String>,
}

impl Default for Args {
    fn default() -> Self {
        Self { executions: 100_000_000, only: None }
    }
}

pub(crate) fn run(args: &Args, form: Form) -> Result<Outcome> {
    let mut outcome = Outcome::begin("fuzz", form);
    replay(&mut outcome, form)?;
    if form == Form::Quick {
        return Ok(outcome);
    }
    if let Err(why) = can_fuzz() {
        outcome.note(format!("SKIPPED, no coverage-guided fuzzing: {why:#}"));
        return Ok(outcome);
    }
    let mut total = 0;
    for (sanitizer, one_in) in PASSES {
        build(sanitizer)?;
        for (name, share, longest) in TARGETS {
            if args.only.as_deref().is_some_and(|only| only != name) {
                continue;
            }
            let runs = (args.executions * share / 1000 / one_in).max(1);
            let (executed, failure) = fuzz(name, sanitizer, runs, longest)?;
            let with = if sanitizer == "none" { "" } else { ", with AddressSanitizer" };
            outcome.count(format!("executions of {name}{with}"), executed);
            total += executed;
            if let Some(failure) = failure {
                outcome.fail(failure);
            }
        }
    }
    for (name, ..) in TARGETS {
        if outcome.failures.is_empty() && args.only.as_deref().is_none_or(|only| only == name) {
            let inputs = minimise(name)?;
            outcome.count(format!("inputs in the minimised corpus of {name}"), inputs);
        }
    }
    outcome.count("executions in all", total);
    Ok(outcome)
}

/// Replays the corpora, and some random inputs, as plain tests.
fn replay(outcome: &mut Outcome, form: Form) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["test", "--quiet", "--test", "corpus", "--", "--nocapture"]).current_dir(root());
    if form == Form::Full {
        command.env("QUOIT_FUZZ", "20000");
    }
    let output = command.output().context("cannot run cargo test")?;
    let text = String::from_utf8_lossy(&output.stderr);
    for line in text.lines() {
        // "corpus: walk replayed 213", "corpus: walk random 4000"
        let Some((_, said)) = line.split_once("corpus: ") else { continue };
        let words: Vec<_> = said.split_whitespace().collect();
        if let [name, how @ ("replayed" | "random"), count] = words[..] {
            let what = if how == "replayed" { "inputs of the corpus replayed" } else { "random inputs" };
            outcome.count(format!("{name}: {what}, on stable"), count.parse().unwrap_or(0));
        }
    }
    ensure!(
        !output.status.success() || outcome.counts.len() == 2 * TARGETS.len(),
        "cargo test --test corpus passed and did not say what it ran: {text}"
    );
    if !output.status.success() {
        let told: Vec<_> = text.lines().filter(|line| line.contains("fails")).collect();
        outcome.fail(format!("cargo test --test corpus: {}", told.join("; ")));
    }
    Ok(())
}

/// Why there is no fuzzing here, if there is none.
fn can_fuzz() -> Result<()> {
    let status = |arguments: &[&str]| {
        let tried = Command::new("cargo")
            .args(arguments)
            .current_dir(root())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    };
    ensure!(status(&["+nightly", "--version"]), "no nightly toolchain (rustup toolchain install nightly)");
    ensure!(status(&["+nightly", "fuzz", "--version"]), "no cargo-fuzz (cargo install cargo-fuzz)");
    Ok(())
}

fn build(sanitizer: &str) -> Result<()> {
    let status = Command::new("cargo")
        .args(["+nightly", "fuzz", "build", "--sanitizer", sanitizer, "--target-dir"])
        .arg(built(sanitizer))
        .current_dir(root().join("fuzz"))
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "cargo +nightly fuzz build failed");
    Ok(())
}

fn fuzz_folder(kind: &str, name: &str) -> PathBuf {
    root().join("fuzz").join(kind).join(name)
}

/// What libFuzzer found beside the committed corpus. Not committed: `minimise` takes over what is worth keeping.
fn found(name: &str) -> PathBuf {
    root().join("target/verify/fuzz").join(name)
}

/// Where a sanitizer's build is.
fn built(sanitizer: &str) -> PathBuf {
    root().join("target/verify/fuzz-built").join(sanitizer)
}

fn target(name: &str, sanitizer: &str) -> Command {
    let mut command = Command::new("cargo");
    command.args(["+nightly", "fuzz", "run", "--sanitizer", sanitizer, "--target-dir"]);
    command.arg(built(sanitizer)).arg(name).current_dir(root().join("fuzz"));
    command
}

/// Runs one target so often. Returns how often it really ran, by libFuzzer's own count, and what failed.
fn fuzz(name: &str, sanitizer: &str, runs: u64, longest: u32) -> Result<(u64, Option<String>)> {
    let found = found(name);
    std::fs::create_dir_all(&found)?;
    let log = found.with_extension("log");
    let mut child = target(name, sanitizer)
        .arg(&found)
        .arg(fuzz_folder("corpus", name))
        .arg("--")
        .args([format!("-runs={runs}"), format!("-max_len={longest}")])
        .args(["-print_final_stats=1", "-timeout=60", "-len_control=20", "-rss_limit_mb=1024"])
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log)?)
        .spawn()?;
    let began = Instant::now();
    let mut told = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if told.elapsed() >= Duration::from_secs(10) {
            told = Instant::now();
            let done = last_number(&log);
            eprintln!("fuzz: {name}: {done} of {runs} in {:.0?}", began.elapsed());
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let text = std::fs::read(&log)?;
    let text = String::from_utf8_lossy(&text);
    let counted = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let executed = counted.and_then(|count| count.trim().parse().ok()).unwrap_or(0);
    let failure = (!status.success()).then(|| {
        let input =
            text.lines().find_map(|line| line.split_once("Test unit written to ")).map_or("", |it| it.1);
        format!("{name}: {}; again: cargo +nightly fuzz run {name} {input}", log.display())
    });
    ensure!(
        failure.is_some() || executed >= runs,
        "{name} ran {executed} times of {runs}: {}",
        log.display()
    );
    Ok((executed, failure))
}

/// The number of executions in the newest line of the log.
fn last_number(log: &Path) -> u64 {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let number = |line: &str| line.strip_prefix('#')?.split_whitespace().next()?.parse().ok();
    text.lines().rev().find_map(number).unwrap_or(0)
}

/// The smallest part of what was committed and what was found that reaches as much becomes the corpus. Whole files of
/// rings stay: libFuzzer would cut them short.
fn minimise(name: &str) -> Result<u64> {
    let corpus = fuzz_folder("corpus", name);
    let merged = found(name).with_extension("merged");
    if merged.exists() {
        std::fs::remove_dir_all(&merged)?;
    }
    std::fs::create_dir_all(&merged)?;
    let log = found(name).with_extension("merge.log");
    let status = target(name, "none")
        .arg(&merged)
        .args([&corpus, &found(name)])
        .args(["--", "-merge=1", "-max_len=600"])
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log)?)
        .status()?;
    ensure!(status.success(), "the merge of {name} failed: {}", log.display());
    let is_ring =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ring-"));
    for entry in std::fs::read_dir(&corpus)? {
        let path = entry?.path();
        if !is_ring(&path) {
            std::fs::remove_file(path)?;
        }
    }
    for entry in std::fs::read_dir(&merged)? {
        let path = entry?.path();
        std::fs::copy(&path, corpus.join(path.file_name().expect("a file")))?;
    }
    Ok(std::fs::read_dir(&corpus)?.count() as u64)
}
