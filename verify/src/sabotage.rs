//! Who watches the watchers: the source is spoiled on purpose, one way at a time, and the quick check that is said to
//! notice has to. `verify/sabotages.toml` has the list.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, str};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

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
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sabotage {
    name: String,
    file: String,
    edit: Vec<Edit>,
    /// The argument of `cargo verify --quick` or `cargo test` that has to fail.
    caught_by: Catcher,
}

/// A change of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    /// Found exactly once in the file.
    find: String,
    replace: String,
}

#[derive(Deserialize)]
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
    let path = outcome::root().join("verify/sabotages.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let list: List = toml::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
    let wanted: Vec<&Sabotage> = list
        .sabotage
        .iter()
        .filter(|sabotage| args.only.as_ref().is_none_or(|part| sabotage.name.contains(part.as_str())))
        .collect();
    ensure!(!wanted.is_empty(), "no sabotage of that name");
    outcome.count("sabotages", wanted.len() as u64);
    for sabotage in &wanted {
        if let Err(error) = sabotage.spoiled(outcome::root()) {
            outcome.fail(format!("{}: {error:#}", sabotage.name));
        }
    }
    if form == Form::Quick || !outcome.failures.is_empty() {
        outcome.note("the quick form looks only whether each still finds its place");
        return Ok(outcome);
    }
    let tree = Tree::new()?;
    let mut table = String::from("| sabotage | noticed by | which said |\n|---|---|---|\n");
    let mut caught = 0;
    for (number, sabotage) in wanted.iter().enumerate() {
        eprintln!("{}/{}: {} ({})", number + 1, wanted.len(), sabotage.name, sabotage.caught_by.name());
        match tree.try_out(sabotage)? {
            Some(said) => {
                caught += 1;
                let said = said.replace('|', "\\|");
                table.push_str(&format!(
                    "| {} | `{}` | {said} |\n",
                    sabotage.name,
                    sabotage.caught_by.name()
                ));
            }
            None => outcome.fail(format!("{}: not noticed by {}", sabotage.name, sabotage.caught_by.name())),
        }
    }
    outcome.count("noticed by the quick check named for it", caught);
    outcome.table = Some(table);
    Ok(outcome)
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
}

impl Tree {
    fn new() -> Result<Self> {
        let root = outcome::root().join("target/verify/sabotage");
        let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(outcome::root()).output()?;
        ensure!(listed.status.success(), "git ls-files failed");
        for name in listed.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let name = str::from_utf8(name)?;
            let (from, to) = (outcome::root().join(name), root.join(name));
            let text = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            // Files that are as they were keep their times, and so what was built from them.
            if fs::read(&to).ok().as_ref() != Some(&text) {
                fs::create_dir_all(to.parent().expect("a file is in a folder"))?;
                fs::write(&to, text)?;
            }
        }
        Ok(Self { root })
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
                let text = String::from_utf8_lossy(&output.stdout);
                let failed =
                    text.lines().find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
                match failed {
                    Some(test) => Ok(Some(shortened(test))),
                    None => bail!("ended without a failed test: {}", last_lines(&output.stdout)),
                }
            }
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(160).collect()
}

fn last_lines(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().rev().take(8).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
