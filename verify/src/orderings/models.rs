//! The models as programs: built, listed and run, and how their failures are classified.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::places;
use crate::outcome::root;

/// The test binaries of one build.
#[derive(Clone, Debug, Default)]
pub(crate) struct Models {
    binaries: BTreeMap<String, PathBuf>,
    /// `binary::test`, of all of them.
    pub(crate) names: Vec<String>,
}

/// How a run of a model under a mutant ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It explored so many executions, and all was well.
    Passed {
        executions: u64,
    },
    /// By an assertion of the model, or by what loom reports.
    Killed(&'static str),
    /// It failed in a way that proves nothing.
    Odd(String),
    TimedOut,
}

/// One run of a model.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) verdict: Verdict,
    /// Places of sites that it came by, where it was asked.
    pub(crate) places: BTreeSet<String>,
}

impl Models {
    /// Builds the models of a package of the workspace in `folder`.
    pub(crate) fn build(folder: &Path, package: &str) -> Result<Self> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--package", package, "--no-run", "--message-format=json"]);
        // Another workspace, but the same target folder: loom is there already.
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        cargo.arg("--target-dir").arg(target).current_dir(folder).stdin(Stdio::null());
        let output = cargo.stderr(Stdio::piped()).output().context("cannot run cargo")?;
        let messages = String::from_utf8_lossy(&output.stdout);
        let messages =
            messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut models = Self::default();
        let mut errors = String::new();
        for message in messages {
            if let Some(executable) = message["executable"].as_str() {
                let name = message["target"]["name"].as_str().unwrap_or_default().to_owned();
                models.binaries.insert(name, executable.into());
            } else if message["message"]["level"] == "error" {
                errors.push_str(message["message"]["rendered"].as_str().unwrap_or_default());
            }
        }
        if !output.status.success() {
            bail!(
                "cannot build the models in {}\n{errors}{}",
                folder.display(),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        models.list()?;
        Ok(models)
    }

    fn list(&mut self) -> Result<()> {
        for (binary, path) in &self.binaries {
            let output = Command::new(path).arg("--list").output()?;
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                self.names.extend(line.strip_suffix(": test").map(|test| format!("{binary}::{test}")));
            }
        }
        Ok(())
    }

    /// Runs one model with an environment variable set.
    pub(crate) fn run(&self, model: &str, environment: &[(&str, &str)], patience: Duration) -> Result<Ran> {
        let (binary, test) = model.split_once("::").with_context(|| format!("{model} is no binary::test"))?;
        let path = self.binaries.get(binary).with_context(|| format!("there are no models in {binary}"))?;
        let mut output = tempfile::tempfile().context("cannot make a file for output")?;
        let mut child = Command::new(path)
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env_remove("QUOIT_WEAKEN")
            .env_remove("QUOIT_MUTANT")
            .env("RUST_BACKTRACE", "0")
            .envs(environment.iter().copied())
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?)
            .spawn()
            .with_context(|| format!("cannot run {}", path.display()))?;
        let began = Instant::now();
        let status = loop {
            match child.try_wait()? {
                Some(status) => break Some(status),
                None if began.elapsed() > patience => {
                    child.kill()?;
                    child.wait()?;
                    break None;
                }
                None => std::thread::sleep(Duration::from_millis(3)),
            }
        };
        output.rewind()?;
        let mut bytes = Vec::new();
        output.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let verdict = match status {
            None => Verdict::TimedOut,
            Some(status) if status.success() && text.contains("1 passed") => {
                Verdict::Passed { executions: executions(&text) }
            }
            Some(status) => judge(&text).unwrap_or_else(|| Verdict::Odd(format!("{status}, no panic"))),
        };
        Ok(Ran { verdict, places: reached(&text) })
    }
}

/// What the models print of themselves: `model NAME: N runs`.
fn executions(text: &str) -> u64 {
    let counts = text.lines().filter_map(|line| line.strip_suffix(" runs")?.rsplit_once(' '));
    counts.filter_map(|(_, count)| count.parse::<u64>().ok()).sum()
}

fn reached(text: &str) -> BTreeSet<String> {
    let places = text.lines().filter_map(|line| {
        // The test harness does not end its own line before a test prints.
        let line = line.rsplit_once("... ").map_or(line, |(_, line)| line);
        places::printed(line.strip_prefix("site ")?)
    });
    places.collect()
}

/// The first panic tells: later ones are of threads that were unwound. `None`: there was none.
fn judge(text: &str) -> Option<Verdict> {
    let (_, panic) = text.split_once(" panicked at ")?;
    let (place, message) = panic.split_once(":\n")?;
    let message = message.trim_start();
    let first = message.lines().next().unwrap_or_default();
    Some(if message.starts_with("deadlock; threads") {
        Verdict::Killed("deadlock")
    } else if message.starts_with("Causality violation") {
        Verdict::Killed("race")
    } else if first.starts_with("Model exceeded maximum number of branches") {
        Verdict::Odd("the branch limit".to_owned())
    } else if place.contains("loom-tests/tests/") {
        Verdict::Killed("assertion")
    } else {
        Verdict::Odd(format!("{place}: {first}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_judged_by_its_first() {
        let model =
            "x\nthread 'a' (7) panicked at loom-tests/tests/gate.rs:1:2:\nassertion `left == right` failed\n";
        assert_eq!(judge(model), Some(Verdict::Killed("assertion")));
        let deadlock = "thread 'a' panicked at /x/loom/src/rt/execution.rs:216:17:\ndeadlock; threads = []\n";
        assert_eq!(judge(&format!("{deadlock}{model}")), Some(Verdict::Killed("deadlock")));
        let race =
            "thread 'a' panicked at /x/location.rs:115:9:\n\nCausality violation: Concurrent accesses.\n";
        assert_eq!(judge(race), Some(Verdict::Killed("race")));
        let limit =
            "thread 'a' panicked at /x/path.rs:1:9:\nModel exceeded maximum number of branches. This\n";
        assert_eq!(judge(limit), Some(Verdict::Odd("the branch limit".to_owned())));
        let inside = "thread 'a' panicked at src/ring.rs:1:9:\nindex out of bounds\n";
        assert!(matches!(judge(inside), Some(Verdict::Odd(_))));
        assert_eq!(judge("no panic"), None);
    }

    #[test]
    fn executions_are_added_up() {
        assert_eq!(executions("test a ... model x: 3 runs\nmodel y: 40 runs\nok"), 43);
        assert_eq!(
            reached("test a ... site ONE at ../src/a.rs:1\nsite TWO at src/b.rs:2\nmodel"),
            ["ONE at a.rs:1", "TWO at b.rs:2"].map(String::from).into()
        );
    }
}
