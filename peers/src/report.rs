//! The section of the documentation, and the picture beside it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use quoit_floors::marks;

use crate::document::Document;
use crate::picture::picture;
use crate::table::tables;

/// What goes above the tables, with a place for what was measured on.
const METHOD: &str = include_str!("method.md");

pub(crate) fn write(document: &Document) -> Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let page = docs.join("benchmarks.md");
    let text = fs::read_to_string(&page).with_context(|| format!("no {}", page.display()))?;
    let text = marks::put(&text, "peers", &section(document))
        .context("docs/benchmarks.md has no marks for the peers")?;
    fs::write(docs.join("peers.svg"), picture(document))?;
    Ok(fs::write(&page, text)?)
}

fn section(document: &Document) -> String {
    let about: Vec<String> =
        document.about.iter().map(|(what, value)| format!("| {what} | {value} |\n")).collect();
    let tables: Vec<String> = tables(document).iter().map(|table| table.markdown()).collect();
    METHOD.replace("{about}", about.concat().trim_end()).replace("{tables}", tables.join("\n").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_has_its_places() {
        assert!(METHOD.contains("{about}") && METHOD.contains("{tables}"));
    }
}
