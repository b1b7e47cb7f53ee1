//! Which of the inputs found are kept.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Result, ensure};

use super::libfuzzer::{committed, found, target};

/// The smallest part of what was committed and what was found that reaches as much becomes the corpus. Whole files of
/// rings stay: libFuzzer would cut them short.
pub(super) fn minimise(name: &str) -> Result<u64> {
    let corpus = committed(name);
    let merged = found(name).with_extension("merged");
    if merged.exists() {
        std::fs::remove_dir_all(&merged)?;
    }
    std::fs::create_dir_all(&merged)?;
    let log = found(name).with_extension("merge.log");
    let status = target(name, "none")?
        .arg(&merged)
        .args([&corpus, &found(name)])
        .args(["-merge=1", "-max_len=600"])
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
