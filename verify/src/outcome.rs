//! The result of a check: named counts, and failures. Printed, and kept for the report.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How much of a check is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// What fits into every CI run.
    Quick,
    /// What the report's figures come from.
    Full,
}

/// One figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) what: String,
    pub(crate) count: u64,
}

/// What one run of a check found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) check: String,
    /// The part of the check, of one that has parts: each is kept and reported by itself.
    pub(crate) part: Option<String>,
    pub(crate) form: Form,
    /// All that the form asks for was run, and so it is kept.
    pub(crate) whole: bool,
    pub(crate) seconds: f64,
    /// Day, commit, kernel and processor of the run.
    pub(crate) when: String,
    pub(crate) commit: String,
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) counts: Vec<Count>,
    /// Findings that need no action: a part that was skipped, and why.
    pub(crate) notes: Vec<String>,
    /// A table for the report, in Markdown, if the check has more to show than counts.
    pub(crate) table: Option<String>,
    /// Each says what failed, and how to see it again.
    pub(crate) failures: Vec<String>,
    #[serde(skip, default = "Instant::now")]
    began: Instant,
    #[serde(skip)]
    earlier: Duration,
}

impl Outcome {
    pub(crate) fn begin(check: &str, form: Form) -> Self {
        Self {
            check: check.to_owned(),
            part: None,
            form,
            whole: true,
            seconds: 0.0,
            when: first_line("date", &["-u", "+%Y-%m-%d"]),
            commit: commit(),
            kernel: kernel(),
            processor: processor(),
            counts: Vec::new(),
            notes: Vec::new(),
            table: None,
            failures: Vec::new(),
            began: Instant::now(),
            earlier: Duration::ZERO,
        }
    }

    /// It is of one part of the check, and so not kept as if it were all.
    pub(crate) fn of_part(mut self, part: &impl ValueEnum) -> Self {
        self.part = Some(part_name(part));
        self
    }

    /// As what it is kept, and reported.
    fn name(&self) -> String {
        match &self.part {
            Some(part) => format!("{}-{part}", self.check),
            None => self.check.clone(),
        }
    }

    pub(crate) fn count(&mut self, what: impl Into<String>, count: u64) {
        self.counts.push(Count { what: what.into(), count });
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(crate) fn fail(&mut self, failure: impl Into<String>) {
        self.failures.push(failure.into());
    }

    /// Time of earlier runs whose findings count as well.
    pub(crate) fn also_took(&mut self, earlier: Duration) {
        self.earlier += earlier;
    }

    /// The check is over: prints what it found, and keeps it if it was all of it. True: nothing failed.
    pub(crate) fn finish(mut self) -> Result<bool> {
        self.seconds = (self.began.elapsed() + self.earlier).as_secs_f64();
        println!("{self}");
        if !self.whole {
            return Ok(self.failures.is_empty());
        }
        let path = kept(&self.name(), self.form);
        let folder = path.parent().expect("a kept outcome is in a folder");
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let text = serde_json::to_string_pretty(&self)?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(self.failures.is_empty())
    }

    /// What the last run of a check, or of a part of one, found, if it was run here.
    pub(crate) fn read(name: &str, form: Form) -> Option<Self> {
        let text = std::fs::read_to_string(kept(name, form)).ok()?;
        serde_json::from_str(&text).ok()
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { form, counts, notes, failures, .. } = self;
        let took = Duration::from_secs_f64(self.seconds);
        writeln!(f, "{} ({form:?}, {took:.0?})", self.name())?;
        for Count { what, count } in counts {
            writeln!(f, "  {:>14}  {what}", grouped(*count))?;
        }
        for note in notes {
            writeln!(f, "  note: {note}")?;
        }
        for failure in failures {
            writeln!(f, "  FAILED: {failure}")?;
        }
        match failures.len() {
            0 => write!(f, "  nothing failed"),
            failed => write!(f, "  {failed} failed"),
        }
    }
}

/// 1234567 as 1,234,567.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// As the command line has it.
fn part_name(part: &impl ValueEnum) -> String {
    part.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// A check's parts, as they are kept and reported.
pub(crate) fn parts_of<P: ValueEnum>(check: &str) -> Vec<String> {
    P::value_variants().iter().map(|part| format!("{check}-{}", part_name(part))).collect()
}

fn kept(name: &str, form: Form) -> PathBuf {
    let form = match form {
        Form::Quick => "quick",
        Form::Full => "full",
    };
    root().join("target/verify").join(format!("{name}.{form}.json"))
}

/// What a command says in its first line; nothing if it cannot be run.
fn first_line(program: &str, args: &[&str]) -> String {
    let output = std::process::Command::new(program).args(args).current_dir(root()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

/// The commit that was checked; a plus: with changes.
fn commit() -> String {
    let commit = first_line("git", &["rev-parse", "--short", "HEAD"]);
    let changed = !first_line("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
    if changed { format!("{commit}+") } else { commit }
}

fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let name = name.map_or("unknown processor", |(_, name)| name);
    let guest = text.lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor"));
    format!("{name}, {cpus} processors{}", if guest { ", virtual machine" } else { "" })
}

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
