//! All structural mutants in one build: each changed place in a copy of the source becomes `if mutated("NAME") {
//! mutated } else { original }`, and an environment variable selects the mutant. Mutants with overlapping places go
//! into separate copies.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::catalogue::{self, Mutant};
use crate::outcome::root;

/// The switch, added to the copy's `atomics/mod.rs`.
const SWITCH: &str = r#"
/// Is this the mutant that runs?
pub(crate) fn mutated(name: &'static str) -> bool {
    static RUNS: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    RUNS.get_or_init(|| std::env::var("QUOIT_MUTANT").ok()).as_deref() == Some(name)
}
"#;

/// A place of one file, and what it becomes for each of its mutants.
#[derive(Clone, Debug)]
struct Edit {
    place: Range<usize>,
    mutants: Vec<(String, String)>,
}

/// One copy of the library with its mutants built in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Copy {
    pub(crate) mutants: Vec<String>,
    /// By file name.
    edits: BTreeMap<String, Vec<Edit>>,
}

/// The library's files, by their paths in `src`.
pub(crate) fn sources() -> Result<BTreeMap<String, String>> {
    let mut sources = BTreeMap::new();
    read_folder(Path::new(""), &mut sources)?;
    Ok(sources)
}

fn read_folder(folder: &Path, sources: &mut BTreeMap<String, String>) -> Result<()> {
    let place = root().join("src").join(folder);
    for entry in std::fs::read_dir(&place).with_context(|| format!("cannot read {}", place.display()))? {
        let entry = entry?;
        let file = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            read_folder(&file, sources)?;
            continue;
        }
        let text = std::fs::read_to_string(entry.path())
            .with_context(|| format!("cannot read {}", entry.path().display()))?;
        sources.insert(file.to_string_lossy().into_owned(), text);
    }
    Ok(())
}

/// Finds every place, and spreads the mutants over as few copies as their places allow.
pub(crate) fn plan(sources: &BTreeMap<String, String>, mutants: &[Mutant]) -> Result<Vec<Copy>> {
    let mut copies: Vec<Copy> = Vec::new();
    for mutant in mutants {
        let mut edits = Vec::new();
        for change in &mutant.change {
            let found: Vec<_> = sources
                .iter()
                .flat_map(|(file, text)| {
                    catalogue::places(text, &change.original).into_iter().map(|place| (file.clone(), place))
                })
                .collect();
            ensure!(
                found.len() == 1,
                "the mutant {} changes what stands {} times in src:\n{}",
                mutant.name,
                found.len(),
                change.original.trim()
            );
            edits.extend(found.into_iter().map(|(file, place)| (file, place, change.mutated.clone())));
        }
        let fits = |copy: &Copy| {
            edits.iter().all(|(file, place, _)| {
                copy.edits.get(file).is_none_or(|edits| edits.iter().all(|edit| !cross(&edit.place, place)))
            })
        };
        let at = copies.iter().position(fits).unwrap_or(copies.len());
        if at == copies.len() {
            copies.push(Copy::default());
        }
        let copy = &mut copies[at];
        copy.mutants.push(mutant.name.clone());
        for (file, place, mutated) in edits {
            let edits = copy.edits.entry(file).or_default();
            let mutated = (mutant.name.clone(), mutated);
            match edits.iter_mut().find(|edit| edit.place == place) {
                Some(edit) => edit.mutants.push(mutated),
                None => edits.push(Edit { place, mutants: vec![mutated] }),
            }
        }
    }
    Ok(copies)
}

/// Do two places overlap, without one being inside the other?
fn cross(a: &Range<usize>, b: &Range<usize>) -> bool {
    let apart = a.end <= b.start || b.end <= a.start;
    let within = (a.start <= b.start && b.end <= a.end) || (b.start <= a.start && a.end <= b.end);
    !apart && !within
}

/// `text` within `range`, with the edits that lie in it. Those are sorted: outer ones first.
fn render(text: &str, range: Range<usize>, edits: &[Edit]) -> String {
    let (mut rendered, mut at, mut rest) = (String::new(), range.start, edits);
    while let Some((edit, others)) = rest.split_first() {
        let inside = others.iter().take_while(|other| other.place.start < edit.place.end).count();
        rendered.push_str(&text[at..edit.place.start]);
        let original = render(text, edit.place.clone(), &others[..inside]);
        let statements = text[edit.place.clone()].ends_with([';', '}']);
        rendered.push_str(if statements { "" } else { "(" });
        for (name, mutated) in &edit.mutants {
            rendered.push_str(&format!(
                "if crate::atomics::mutated(\"{name}\") {{\n{}\n}} else ",
                mutated.trim()
            ));
        }
        rendered.push_str(&format!("{{\n{original}\n}}"));
        rendered.push_str(if statements { "" } else { ")" });
        at = edit.place.end;
        rest = &others[inside..];
    }
    rendered.push_str(&text[at..range.end]);
    rendered
}

impl Copy {
    /// Writes the copy, as a workspace of its own that shares the target folder. Returns where it is.
    pub(crate) fn write(&self, number: usize, sources: &BTreeMap<String, String>) -> Result<PathBuf> {
        let folder = root().join("target/verify/mutants").join(number.to_string());
        remove_others(&folder.join("src"), &folder.join("src"), sources)?;
        for (file, text) in sources {
            let mut edits = self.edits.get(file).cloned().unwrap_or_default();
            edits.sort_by_key(|edit| (edit.place.start, std::cmp::Reverse(edit.place.end)));
            let mut text = render(text, 0..text.len(), &edits);
            if file == "atomics/mod.rs" {
                text.push_str(SWITCH);
            }
            keep(&folder.join("src").join(file), &text)?;
        }
        for file in [PathBuf::from("build.rs")].into_iter().chain(tests()?) {
            let text = std::fs::read_to_string(root().join("loom-tests").join(&file))?;
            keep(&folder.join("loom-tests").join(&file), &text)?;
        }
        let manifest = read_manifest(&root().join("loom-tests/Cargo.toml"))?;
        keep(&folder.join("loom-tests/Cargo.toml"), &renamed(manifest, number)?.to_string())?;
        keep(&folder.join("Cargo.toml"), &workspace(number)?.to_string())?;
        if !folder.join("Cargo.lock").exists() {
            std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
        }
        Ok(folder)
    }
}

/// The files of models, and what they have in common.
fn tests() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in ["tests", "tests/common"].map(Path::new) {
        for entry in std::fs::read_dir(root().join("loom-tests").join(folder))? {
            let name = entry?.file_name();
            if Path::new(&name).extension().is_some_and(|extension| extension == "rs") {
                files.push(folder.join(name));
            }
        }
    }
    Ok(files)
}

/// Removes files that the source no longer has: two files for one module do not compile.
fn remove_others(folder: &Path, root: &Path, sources: &BTreeMap<String, String>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let name = path.strip_prefix(root).ok().and_then(Path::to_str).unwrap_or_default();
        if path.is_dir() {
            remove_others(&path, root, sources)?;
        } else if !sources.contains_key(name) {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Writes a file unless it is so already: cargo goes by times.
fn keep(path: &Path, text: &str) -> Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|now| now == text) {
        return Ok(());
    }
    std::fs::create_dir_all(path.parent().expect("a file is in a folder"))?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn read_manifest(path: &Path) -> Result<toml::Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().with_context(|| format!("cannot understand {}", path.display()))
}

/// The package of a copy. Not the models' own name: in the shared target folder it would be taken for them.
pub(crate) fn package(number: usize) -> String {
    format!("quoit-mutants-{number}")
}

/// Mutants break lints, and may.
fn renamed(mut manifest: toml::Table, number: usize) -> Result<toml::Table> {
    manifest.remove("lints");
    let found = manifest.get_mut("package").and_then(toml::Value::as_table_mut);
    found.context("the models have no package")?.insert("name".to_owned(), package(number).into());
    Ok(manifest)
}

/// Each copy is built once and each of its mutants runs for seconds: full optimisation, and debug information, cost more than they gain.
fn built_quickly() -> toml::Value {
    let mut profile = toml::Table::new();
    profile.insert("opt-level".to_owned(), 1.into());
    profile.insert("debug".to_owned(), false.into());
    profile.into()
}

/// The root manifest, cut down to the models. The profiles of what they depend on stay, so that loom is built once for all.
fn workspace(number: usize) -> Result<toml::Table> {
    let mut manifest = read_manifest(&root().join("Cargo.toml"))?;
    manifest.retain(|key, _| key == "workspace" || key == "profile");
    let workspace = manifest.get_mut("workspace").and_then(toml::Value::as_table_mut);
    let workspace = workspace.context("the root manifest has no workspace")?;
    workspace.insert("members".to_owned(), vec!["loom-tests".to_owned()].into());
    workspace.remove("default-members");
    workspace.remove("lints");
    let packages = manifest.get_mut("profile").and_then(|profile| profile.get_mut("dev"));
    let packages = packages.and_then(|dev| dev.get_mut("package")).and_then(toml::Value::as_table_mut);
    if let Some(packages) = packages {
        packages.retain(|package, _| !package.starts_with("quoit"));
        packages.insert(package(number), built_quickly());
    }
    Ok(manifest)
}
