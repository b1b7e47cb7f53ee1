//! Thread tests under ThreadSanitizer and AddressSanitizer, and what Miri can run.
//!
//! ThreadSanitizer does not understand fences. `cfg(quoit_tsan)` annotates what they order (see
//! `src/atomics/mod.rs`), and uses the plain copies instead of those in assembly, which no tool can analyse.
//! ThreadSanitizer checks non-atomic memory: records lent and filled in place, and everything private that moves
//! between threads. Weakened sites, one at a time, show that it does: each must make it report.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::outcome::{Form, Outcome, root};

/// Options of this check alone.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub(crate) struct Args {}

/// The only platform that is tried: the sanitizers are built for it, and `--target` keeps them out of build scripts.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Sites without which a record is read in place while it is written in place.
const WEAKENED: [&str; 6] =
    ["W4_PUBLISHED", "R4_FENCE", "R5_CURSOR", "W5_CURSOR", "G3_SET_STATE", "G3_STATE"];

/// What a run of tests came to.
struct Run {
    passed: u64,
    good: bool,
    reports: u64,
    text: String,
}

pub(crate) fn run(_args: &Args, form: Form) -> Result<Outcome> {
    let mut outcome = Outcome::begin("sanitizers", form);
    if form == Form::Quick {
        outcome.note("SKIPPED in the quick form: it compiles the library and its tests four times over");
        return Ok(outcome);
    }
    miri_path(&mut outcome)?;
    let Some(nightly) = version(&["+nightly", "--version"]) else {
        outcome.note("SKIPPED, no nightly toolchain: ThreadSanitizer, AddressSanitizer, Miri");
        return Ok(outcome);
    };
    outcome.note(nightly);
    if cfg!(not(target_arch = "x86_64")) {
        outcome.note("SKIPPED, not on x86-64: ThreadSanitizer, AddressSanitizer");
    } else {
        threads(&mut outcome)?;
        addresses(&mut outcome)?;
    }
    if version(&["+nightly", "miri", "--version"]).is_some() {
        miri(&mut outcome)?;
    } else {
        outcome.note("SKIPPED, this nightly has no Miri: docs/commands.md has the command");
    }
    Ok(outcome)
}

/// The first line that cargo says of itself.
fn version(arguments: &[&str]) -> Option<String> {
    let said = Command::new("cargo").args(arguments).output().ok()?;
    said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

/// Whether the nightly can compile a standard library of its own.
fn has_library_source() -> bool {
    let said = Command::new("rustc").args(["+nightly", "--print", "sysroot"]).output();
    said.is_ok_and(|said| {
        let sysroot = PathBuf::from(String::from_utf8_lossy(&said.stdout).trim());
        sysroot.join("lib/rustlib/src/rust/library/Cargo.toml").exists()
    })
}

fn is_there(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|path| path.join(program).exists())
}

/// Tests of the library, compiled with `flags`. Each kind of flags has a target directory of its own.
fn tests(kind: &str, flags: &str, toolchain: &str) -> Command {
    let mut command = Command::new("cargo");
    command.args([toolchain, "test", "--package", "quoit"]).current_dir(root());
    command.env("CARGO_TARGET_DIR", root().join("target/sanitizers").join(kind));
    command.env("RUSTFLAGS", flags).env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("QUOIT_WEAKEN");
    command
}

fn finish(command: &mut Command) -> Result<Run> {
    eprintln!("sanitizers: {}", words(command));
    let said = command.output().with_context(|| format!("cannot run {}", words(command)))?;
    let text = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    let passed = |line: &str| {
        let rest = line.strip_prefix("test result: ")?.split_once(". ")?.1;
        rest.split_once(" passed")?.0.parse::<u64>().ok()
    };
    let reports = ["WARNING: ThreadSanitizer", "ERROR: AddressSanitizer", "ERROR: LeakSanitizer"];
    Ok(Run {
        passed: text.lines().filter_map(passed).sum(),
        good: said.status.success(),
        reports: reports.iter().map(|report| text.matches(report).count() as u64).sum(),
        text,
    })
}

/// The command as one would type it.
fn words(command: &Command) -> String {
    let set = command.get_envs().filter_map(|(name, value)| {
        let value = value?.to_string_lossy();
        Some(format!("{}='{value}' ", name.to_string_lossy()))
    });
    let arguments = command.get_args().map(|argument| format!(" {}", argument.to_string_lossy()));
    format!("{}cargo{}", set.collect::<String>(), arguments.collect::<String>())
}

/// Runs tests that must pass without a report, and counts them.
fn passes(outcome: &mut Outcome, what: &str, command: &mut Command) -> Result<()> {
    let began = Instant::now();
    let run = finish(command)?;
    outcome
        .count(format!("tests, {what} ({:.0} s with compiling)", began.elapsed().as_secs_f64()), run.passed);
    if !run.good || run.reports > 0 || run.passed == 0 {
        let log = kept(what, &run.text)?;
        let again = words(command);
        outcome.fail(format!("{what}: {} reports, in {}; see it again: {again}", run.reports, log.display()));
    }
    Ok(())
}

/// Puts what a failed run said into a file.
fn kept(what: &str, text: &str) -> Result<PathBuf> {
    let folder = root().join("target/verify");
    std::fs::create_dir_all(&folder)?;
    let name: String =
        what.chars().map(|each| if each.is_ascii_alphanumeric() { each } else { '-' }).collect();
    let path = folder.join(format!("sanitizers.{name}.log"));
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn threads(outcome: &mut Outcome) -> Result<()> {
    let own_library = has_library_source();
    let suppressions = root().join("verify/src/sanitizers/tsan.supp");
    if own_library {
        outcome.note("ThreadSanitizer: with a standard library compiled for it");
    } else if is_there("llvm-symbolizer") || is_there("addr2line") {
        let listed = std::fs::read_to_string(&suppressions).context("the list of suppressions")?;
        let listed = listed.lines().filter(|line| line.starts_with("race:")).count();
        outcome.note(format!(
            "ThreadSanitizer: no rust-src, so the standard library is not compiled for it; {listed} of its functions are \
             suppressed"
        ));
    } else {
        outcome.note("SKIPPED, neither rust-src nor a symbolizer for the suppressions: ThreadSanitizer");
        return Ok(());
    }
    let command = || {
        let flags = "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg quoit_tsan";
        let mut command = tests("thread", flags, "+nightly");
        command.args(["--target", TARGET]);
        if own_library {
            command.arg("-Zbuild-std");
        } else {
            command.env("TSAN_OPTIONS", format!("suppressions={}", suppressions.display()));
        }
        command
    };
    passes(outcome, "ThreadSanitizer, threads", command().args(["--test", "threads"]))?;
    let behaviour = ["--test", "behaviour", "--", "heap", "tmpfs"];
    passes(outcome, "ThreadSanitizer, behaviour on heap and tmpfs", command().args(behaviour))?;
    passes(outcome, "ThreadSanitizer, copies", command().args(["--lib", "copy"]))?;
    let mut seen = 0;
    for site in WEAKENED {
        let mut command = command();
        command.env("QUOIT_WEAKEN", site).args(["--test", "threads", "--", "heap::filled", "heap::left"]);
        let run = finish(&mut command)?;
        // Without the site weakened the same tests are without a report.
        if run.reports > 0 {
            seen += 1;
        } else {
            let log = kept(site, &run.text)?;
            outcome.fail(format!(
                "{site} weakened: no report, in {}; see it: {}",
                log.display(),
                words(&command)
            ));
        }
    }
    outcome.count("sites weakened", WEAKENED.len() as u64);
    outcome.count("of these, reported by ThreadSanitizer", seen);
    Ok(())
}

fn addresses(outcome: &mut Outcome) -> Result<()> {
    let command = |plain: bool| {
        let flags = "-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer";
        let (kind, flags) = match plain {
            false => ("address", flags.to_owned()),
            true => ("address-plain", format!("{flags} --cfg quoit_tsan")),
        };
        let mut command = tests(kind, &flags, "+nightly");
        command.args(["--target", TARGET]);
        command
    };
    passes(outcome, "AddressSanitizer, threads", command(false).args(["--test", "threads"]))?;
    let behaviour = ["--test", "behaviour", "--", "heap", "tmpfs"];
    passes(outcome, "AddressSanitizer, behaviour on heap and tmpfs", command(false).args(behaviour))?;
    passes(outcome, "AddressSanitizer, copies", command(false).args(["--lib", "copy"]))?;
    // It does not see into assembly either.
    passes(outcome, "AddressSanitizer, plain copies", command(true).args(["--lib", "copy"]))
}

/// What Miri would compile, compiled and run natively: the plain copies, and rings on the heap without the system
/// calls that it lacks.
fn miri_path(outcome: &mut Outcome) -> Result<()> {
    let command = || {
        let flags = "--cfg miri -Aexplicit_builtin_cfgs_in_flags";
        tests("miri-path", flags, "+stable")
    };
    let toolchain = version(&["+stable", "--version"]).is_some();
    if !toolchain {
        outcome.note("SKIPPED, no stable toolchain by that name: the path of Miri, natively");
        return Ok(());
    }
    passes(outcome, "path of Miri, copies", command().args(["--lib", "copy"]))?;
    passes(outcome, "path of Miri, threads on the heap", command().args(["--test", "threads", "--", "heap"]))
}

fn miri(outcome: &mut Outcome) -> Result<()> {
    let command = || {
        let mut command = Command::new("cargo");
        command.args(["+nightly", "miri", "test", "--package", "quoit"]).current_dir(root());
        command.env("CARGO_TARGET_DIR", root().join("target/sanitizers/miri"));
        command.env("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-many-seeds=0..4");
        command
    };
    passes(outcome, "Miri, copies", command().args(["--lib", "copy"]))?;
    passes(outcome, "Miri, threads on the heap", command().args(["--test", "threads", "--", "heap"]))
}
