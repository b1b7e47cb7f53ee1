//! The section of the documentation, and the picture beside it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::document::Document;
use crate::picture::picture;
use crate::table::tables;

const BEGIN: &str = "<!-- peers -->";
const END: &str = "<!-- end of peers -->";

/// What goes above the tables, with a place for what was measured on.
const METHOD: &str = include_str!("method.md");

pub(crate) fn write(document: &Document) -> Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let page = docs.join("benchmarks.md");
    let text = fs::read_to_string(&page).with_context(|| format!("no {}", page.display()))?;
    let text = put(&text, &section(document)).context("docs/benchmarks.md has no marks for the peers")?;
    fs::write(docs.join("peers.svg"), picture(document))?;
    Ok(fs::write(&page, text)?)
}

fn section(document: &Document) -> String {
    let about: Vec<String> =
        document.about.iter().map(|(what, value)| format!("| {what} | {value} |\n")).collect();
    let tables: Vec<String> = tables(document).iter().map(|table| table.markdown()).collect();
    METHOD.replace("{about}", about.concat().trim_end()).replace("{tables}", tables.join("\n").trim_end())
}

/// The text with something else between the marks.
fn put(text: &str, section: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n{END}{after}", section.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let page = format!("above\n{BEGIN}\nold\n{END}\nbelow\n");
        assert_eq!(put(&page, "new").unwrap(), format!("above\n{BEGIN}\nnew\n{END}\nbelow\n"));
        assert_eq!(put("no marks", "new"), None);
    }

    #[test]
    fn the_method_has_its_places() {
        assert!(METHOD.contains("{about}") && METHOD.contains("{tables}"));
    }
}
