//! The fuzz targets: run by cargo-fuzz if a nightly toolchain has it, and as plain tests on stable.

mod corpus;
mod libfuzzer;
mod rounds;

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use self::rounds::{Share, in_rounds};
use crate::outcome::{Form, Outcome, root};

/// Each target, its share of all executions in thousandths, and the longest input it is given. What the first four take
/// from all others is a ring: a fifth of the executions, and four fifths of the time. `framing` is a parser alone, and
/// some fifteen times as fast. `ops` and `race` are slow (a model beside the ring, a thread each), and what they are for
/// takes long lists more than many.
const TARGETS: [Share; 7] = [
    Share { name: "open", thousandths: 70, longest: 600 },
    Share { name: "walk", thousandths: 60, longest: 400 },
    Share { name: "control", thousandths: 60, longest: 400 },
    Share { name: "race", thousandths: 10, longest: 400 },
    Share { name: "ops", thousandths: 3, longest: 600 },
    Share { name: "framing", thousandths: 792, longest: 400 },
    Share { name: "objects", thousandths: 5, longest: 400 },
];

/// The targets in which somebody hostile writes into a ring, or into another object.
const HOSTILE: [&str; 5] = ["open", "walk", "control", "race", "objects"];

/// The bulk runs without a sanitizer and without a look at every comparison, several times as fast: what it looks for,
/// broken promises and panics, needs neither. Then one in a hundred with both, for what the few unsafe lines might do
/// and for values that are hard to guess.
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
    let wanted: Vec<Share> = TARGETS
        .into_iter()
        .filter(|share| args.only.as_deref().is_none_or(|only| only == share.name))
        .collect();
    ensure!(!wanted.is_empty(), "there is no such target");
    let (mut total, mut hostile) = (0, 0);
    for (sanitizer, one_in) in PASSES {
        eprintln!("fuzz: building the targets, sanitizer: {sanitizer}");
        libfuzzer::build(sanitizer)?;
        let with = if sanitizer == "none" { "" } else { ", with AddressSanitizer" };
        for (share, done) in wanted.iter().zip(in_rounds(&wanted, sanitizer, args.executions / one_in)?) {
            outcome.count(format!("executions of {}{with}", share.name), done.executed);
            total += done.executed;
            if HOSTILE.contains(&share.name) {
                hostile += done.executed;
            }
            if let Some(failure) = done.failure {
                outcome.fail(failure);
            }
        }
    }
    for share in &wanted {
        if outcome.failures.is_empty() {
            let inputs = corpus::minimise(share.name)?;
            outcome.count(format!("inputs in the minimised corpus of {}", share.name), inputs);
        }
    }
    outcome
        .count(format!("executions that attacked a ring or another object: {}", HOSTILE.join(", ")), hostile);
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
