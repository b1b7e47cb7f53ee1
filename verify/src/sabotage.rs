//! Tests the checks: breaks the source on purpose, one way at a time, and the quick check named for it must fail.
//! `verify/sabotages.toml` has the list.
//!
//! Each takes a build and a check, so results are kept one by one: partial runs add up to the whole list.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::outcome::{self, Form, Outcome};

/// Options of this check alone.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub(crate) struct Args {
    /// Only those whose name contains this
    #[arg(long)]
    only: Option<String>,
}

#[derive(Deserialize)]
struct List {
    sabotage: Vec<Sabotage>,
}

/// One way to spoil the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sabotage {
    name: String,
    file: String,
    edit: Vec<Edit>,
    /// The argument of `cargo verify --quick` or `cargo test` that has to fail.
    caught_by: Catcher,
}

/// A change of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    /// Found exactly once in the file.
    find: String,
    replace: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Catcher {
    Verify(String),
    Test(Vec<String>),
}

impl Catcher {
    fn name(&self) -> String {
        match self {
            Self::Verify(check) => format!("cargo verify {check} --quick"),
            Self::Test(args) => format!("cargo test {}", args.join(" ")),
        }
    }
}

/// The quick form only looks whether every sabotage still finds its place.
pub(crate) fn run(args: &Args, form: Form) -> Result<Outcome> {
    let mut outcome = Outcome::begin("sabotage", form);
    let list = listed()?;
    let wanted: Vec<&Sabotage> = list
        .iter()
        .filter(|sabotage| args.only.as_ref().is_none_or(|part| sabotage.name.contains(part.as_str())))
        .collect();
    ensure!(!wanted.is_empty(), "no sabotage of that name");
    for sabotage in &wanted {
        if let Err(error) = sabotage.spoiled(outcome::root()) {
            outcome.fail(format!("{}: {error:#}", sabotage.name));
        }
    }
    if form == Form::Quick || !outcome.failures.is_empty() {
        outcome.count("sabotages", wanted.len() as u64);
        outcome.note("the quick form looks only whether each still finds its place");
        outcome.whole = args.only.is_none();
        return Ok(outcome);
    }
    let tree = Tree::new()?;
    let mut book = Book::read(&list);
    for (number, sabotage) in wanted.iter().enumerate() {
        eprintln!("{}/{}: {} ({})", number + 1, wanted.len(), sabotage.name, sabotage.caught_by.name());
        book.strike(sabotage);
        let began = Instant::now();
        match tree.try_out(sabotage) {
            Ok(Some(said)) => {
                eprintln!("  {said}");
                let (seconds, commit) = (began.elapsed().as_secs_f64(), outcome.commit.clone());
                book.noticed.push(Noticed {
                    sabotage: (*sabotage).clone(),
                    said,
                    seconds,
                    commit,
                    now: true,
                });
            }
            Ok(None) => {
                outcome.fail(format!("{}: not noticed by {}", sabotage.name, sabotage.caught_by.name()))
            }
            Err(error) => outcome.fail(format!("{}: {error:#}", sabotage.name)),
        }
        book.keep()?;
    }
    book.tell(&list, &mut outcome);
    Ok(outcome)
}

/// The list.
fn listed() -> Result<Vec<Sabotage>> {
    let path = outcome::root().join("verify/sabotages.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let list: List = toml::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(list.sabotage)
}

/// What a quick check said about the spoiled source, and when.
#[derive(Serialize, Deserialize)]
struct Noticed {
    sabotage: Sabotage,
    said: String,
    /// With the build.
    seconds: f64,
    commit: String,
    /// In this run.
    #[serde(skip)]
    now: bool,
}

/// All that was noticed up to now, by this run and by those before.
struct Book {
    noticed: Vec<Noticed>,
}

impl Book {
    /// What was noticed of another wording of a sabotage does not count.
    fn read(list: &[Sabotage]) -> Self {
        let text = fs::read_to_string(Self::path()).unwrap_or_default();
        let mut noticed: Vec<Noticed> = serde_json::from_str(&text).unwrap_or_default();
        noticed.retain(|noticed| list.contains(&noticed.sabotage));
        Self { noticed }
    }

    fn strike(&mut self, sabotage: &Sabotage) {
        self.noticed.retain(|noticed| noticed.sabotage != *sabotage);
    }

    fn keep(&self) -> Result<()> {
        let path = Self::path();
        let text = serde_json::to_string_pretty(&self.noticed)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn path() -> PathBuf {
        outcome::root().join("target/verify/sabotage.noticed.json")
    }

    /// The counts and the table, in the order of the list; whole if every sabotage of the list was noticed.
    fn tell(&self, list: &[Sabotage], outcome: &mut Outcome) {
        let mut table =
            String::from("| sabotage | noticed by | which said | after | commit |\n|---|---|---|---:|---|\n");
        let found = |sabotage: &Sabotage| self.noticed.iter().find(|noticed| noticed.sabotage == *sabotage);
        let rows: Vec<&Noticed> = list.iter().filter_map(found).collect();
        for Noticed { sabotage, said, seconds, commit, .. } in &rows {
            let (name, said) = (&sabotage.name, said.replace('|', "\\|"));
            let catcher = sabotage.caught_by.name();
            table.push_str(&format!("| {name} | `{catcher}` | {said} | {seconds:.0} s | {commit} |\n"));
        }
        let before: f64 = rows.iter().filter(|noticed| !noticed.now).map(|noticed| noticed.seconds).sum();
        outcome.also_took(Duration::from_secs_f64(before));
        outcome.whole = rows.len() == list.len();
        outcome.count("sabotages", list.len() as u64);
        outcome.count("noticed by the quick check named for it", rows.len() as u64);
        outcome.table = Some(table);
    }
}

impl Sabotage {
    /// The file's text, spoiled.
    fn spoiled(&self, root: &Path) -> Result<(PathBuf, String)> {
        let path = root.join(&self.file);
        let mut spoiled =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for Edit { find, replace } in &self.edit {
            let places = spoiled.matches(find).count();
            ensure!(places == 1, "{find:?} stands {places} times in {}", self.file);
            spoiled = spoiled.replace(find, replace);
        }
        Ok((path, spoiled))
    }
}

/// A copy of the checkout that is built in a directory of its own.
struct Tree {
    root: PathBuf,
    _ours: File,
}

impl Tree {
    fn new() -> Result<Self> {
        let root = outcome::root().join("target/verify/sabotage");
        let ours = alone(&root)?;
        let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(outcome::root()).output()?;
        ensure!(listed.status.success(), "git ls-files failed");
        let listed = str::from_utf8(&listed.stdout)?;
        let listed: BTreeSet<&Path> = listed.split('\0').map(Path::new).collect();
        let listed: BTreeSet<&Path> =
            listed.into_iter().filter(|name| outcome::root().join(name).is_file()).collect();
        remove_others(&root, &root, &listed)?;
        for name in listed {
            let (from, to) = (outcome::root().join(name), root.join(name));
            let text = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            // Files that are as they were keep their times, and so what was built from them.
            if fs::read(&to).ok().as_ref() != Some(&text) {
                fs::create_dir_all(to.parent().expect("a file is in a folder"))?;
                fs::write(&to, text)?;
            }
        }
        Ok(Self { root, _ours: ours })
    }

    /// What the check said about the spoiled source; `None`: nothing.
    fn try_out(&self, sabotage: &Sabotage) -> Result<Option<String>> {
        let whole = fs::read(self.root.join(&sabotage.file))?;
        let (path, spoiled) = sabotage.spoiled(&self.root)?;
        fs::write(&path, spoiled)?;
        let said = self.run(&sabotage.caught_by);
        fs::write(&path, whole)?;
        said.with_context(|| sabotage.name.clone())
    }

    fn run(&self, catcher: &Catcher) -> Result<Option<String>> {
        let cargo = |args: &[&str]| {
            let mut command = Command::new("cargo");
            command.args(args).current_dir(&self.root).env_remove("CARGO_TARGET_DIR");
            command
        };
        match catcher {
            Catcher::Verify(check) => {
                let built = cargo(&["build", "--release", "--package", "quoit-verify"]).output()?;
                ensure!(built.status.success(), "does not build: {}", last_lines(&built.stderr));
                let output = cargo(&["verify", check, "--quick"]).output()?;
                let text = String::from_utf8_lossy(&output.stdout);
                if output.status.success() {
                    return Ok(None);
                }
                let failed = text.lines().find_map(|line| line.trim().strip_prefix("FAILED: "));
                failed.map(shortened).map(Some).with_context(|| {
                    format!("{check} ended without a finding: {}", last_lines(&output.stderr))
                })
            }
            Catcher::Test(args) => {
                let args: Vec<&str> = ["test"].into_iter().chain(args.iter().map(String::as_str)).collect();
                let built = cargo(&args).arg("--no-run").output();
                if let Ok(built) = built {
                    ensure!(built.status.success(), "does not build: {}", last_lines(&built.stderr));
                }
                let output = cargo(&args).output()?;
                if output.status.success() {
                    return Ok(None);
                }
                let failed = failed_test(
                    &String::from_utf8_lossy(&output.stdout),
                    &String::from_utf8_lossy(&output.stderr),
                );
                let failed = failed.map(|name| Some(shortened(&name)));
                failed.with_context(|| format!("ended without a failed test: {}", last_lines(&output.stdout)))
            }
        }
    }
}

/// Locks the folder of the copy, which is made if it is not there: a second run would spoil and restore the source under
/// the first, and each would write down what it noticed over the other's.
fn alone(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let opened = File::open(folder).with_context(|| format!("cannot open {}", folder.display()))?;
    match opened.try_lock() {
        Ok(()) => Ok(opened),
        Err(TryLockError::WouldBlock) => bail!(
            "another `cargo verify sabotage` works in {}: wait for its end, or use another checkout",
            folder.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", folder.display()))
        }
    }
}

/// Files of an earlier copy that the checkout has no more: one in `src/` would be judged with the others.
fn remove_others(root: &Path, folder: &Path, listed: &BTreeSet<&Path>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let name = path.strip_prefix(root).expect("below the root");
        if path.is_dir() && name != Path::new("target") {
            remove_others(root, &path, listed)?;
        } else if path.is_file() && !listed.contains(name) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// What a check said, as far as it is worth a line of a table: without the folder that it worked in, which nobody finds
/// again, and cut off.
fn shortened(text: &str) -> String {
    let mut parts = text.split("/dev/shm/quoit-verify-");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let inside = part.split_once('/').map_or(part, |(_, inside)| inside);
        kept.push_str(inside.strip_prefix("work/").unwrap_or(inside));
    }
    kept.chars().take(160).collect()
}

/// The first test that failed, or that its own watchdog ended for never coming back.
fn failed_test(stdout: &str, stderr: &str) -> Option<String> {
    let failed = stdout.lines().find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    let hung = || {
        let told = stderr.lines().find_map(|line| line.strip_suffix("; ending the whole run"))?;
        // The name of the test, behind that of its file where that is told too.
        let (name, _) = told.split_once(": hangs")?;
        Some(format!("{}: hangs", name.rsplit(": ").next().unwrap_or(name)))
    };
    failed.map(str::to_owned).or_else(hung)
}

fn last_lines(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().rev().take(8).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::{alone, failed_test, listed, outcome, shortened};

    #[test]
    fn each_finds_its_place() {
        for sabotage in listed().unwrap() {
            let spoiled = sabotage.spoiled(outcome::root());
            assert!(spoiled.is_ok(), "{}: {:?}", sabotage.name, spoiled.unwrap_err());
        }
    }

    #[test]
    fn a_failure_has_the_name_of_its_test() {
        let out = "test a::b ... ok\ntest a::c ... FAILED\n";
        assert_eq!(failed_test(out, "").as_deref(), Some("a::c"));
        let told = "running\nbehaviour: a::d: hangs; ending the whole run\n";
        assert_eq!(failed_test("test a::b ... ok\n", told).as_deref(), Some("a::d: hangs"));
        let told = "a::e: hangs after 60 s; ending the whole run\n";
        assert_eq!(failed_test("", told).as_deref(), Some("a::e: hangs"));
        assert_eq!(failed_test("test a::b ... ok\n", "error: a crash"), None);
    }

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = alone(folder.path()).unwrap();
        let refused = alone(folder.path()).unwrap_err().to_string();
        assert!(refused.starts_with("another `cargo verify sabotage`"), "{refused}");
        drop(first);
        alone(folder.path()).unwrap();
    }

    #[test]
    fn folders_of_a_run_are_left_out() {
        let folder = format!("/dev/shm/quoit-verify-steps-h0vmcg/{}/", "work");
        let said = format!("leaks 8 of {folder}new.unborn: and /dev/shm/other");
        assert_eq!(shortened(&said), "leaks 8 of new.unborn: and /dev/shm/other");
        assert_eq!(shortened("plain"), "plain");
        assert_eq!(shortened(&"x".repeat(200)).len(), 160);
    }
}
