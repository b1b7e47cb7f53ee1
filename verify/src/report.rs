//! Writes the figures of the last runs into `docs/verification.md`, and the long lists into `docs/mutants.md`,
//! between marks in these files. It uses the full form, or the quick one, marked as such, if no full one was run
//! here.

use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::outcome::{self, Form, Outcome, grouped};

/// Counts, and tables of moderate length.
const FIGURES: &str = "docs/verification.md";

/// The tables of `LISTED`.
const LISTS: &str = "docs/mutants.md";

/// Checks whose table has a row for each of very many mutants.
const LISTED: [&str; 2] = ["orderings", "sabotage"];

/// Writes the figures. `checks` are the names of all that are kept, in their order.
pub(crate) fn write(checks: &[String]) -> Result<()> {
    let (mut page, mut lists) = (read(FIGURES)?, read(LISTS)?);
    let mut found = false;
    for check in checks {
        let kept = Outcome::read(check, Form::Full).or_else(|| Outcome::read(check, Form::Quick));
        let Some(outcome) = kept else {
            eprintln!("{check}: no run is kept, so its figures stay as they are");
            continue;
        };
        if !outcome.failures.is_empty() {
            bail!("{check} failed: no figures from a failed run");
        }
        found = true;
        let mut text = figures(&outcome);
        if let Some(table) = &outcome.table {
            let table = format!("\n{}\n", table.trim_end());
            if LISTED.contains(&check.as_str()) {
                lists = replaced(&lists, "list", check, &format!("{table}\n"))
                    .with_context(|| format!("{LISTS} has no place for a list"))?;
            } else {
                text.push_str(&table);
            }
        }
        text.push('\n');
        page = replaced(&page, "figures", check, &text)
            .with_context(|| format!("{FIGURES} has no place for figures"))?;
    }
    if !found {
        bail!("no run is kept: run a check first");
    }
    for (name, text) in [(FIGURES, page), (LISTS, lists)] {
        fs::write(outcome::root().join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    println!("{FIGURES} and {LISTS} have the figures of the last runs");
    Ok(())
}

fn read(name: &str) -> Result<String> {
    fs::read_to_string(outcome::root().join(name)).with_context(|| format!("cannot read {name}"))
}

/// What stands between the marks of a check, replaced. `kind`: what the first mark says is there.
fn replaced(text: &str, kind: &str, check: &str, new: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {kind} of {check} -->\n"), format!("<!-- end of {check} -->\n"));
    let parts = text.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let Some((before, after)) = parts else {
        bail!("these two lines are missing: {begin}{end}");
    };
    Ok(format!("{before}{begin}{new}{end}{after}"))
}

fn figures(outcome: &Outcome) -> String {
    let Outcome { when, commit, kernel, processor, seconds, .. } = outcome;
    let form = match outcome.form {
        Form::Full => "",
        Form::Quick => "**Quick form only.** ",
    };
    let mut text = String::from("\n| count | of |\n|---:|---|\n");
    for outcome::Count { what, count } in &outcome.counts {
        let _ = writeln!(text, "| {} | {what} |", grouped(*count));
    }
    let _ = writeln!(text, "| **0** | **failures** |");
    let _ = writeln!(
        text,
        "\n{form}{when}, commit {commit}, {}; Linux {kernel}, {processor}.",
        duration(*seconds)
    );
    for note in &outcome.notes {
        let _ = writeln!(text, "Note: {}.", note.trim_end_matches('.'));
    }
    text
}

fn duration(seconds: f64) -> String {
    if seconds < 100.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

#[cfg(test)]
mod tests {
    use super::{FIGURES, LISTED, LISTS, read, replaced};

    #[test]
    fn figures_go_between_their_marks() {
        let text = "a\n<!-- figures of x -->\nold\n<!-- end of x -->\nb\n";
        let written = replaced(text, "figures", "x", "new\n").unwrap();
        assert_eq!(written, "a\n<!-- figures of x -->\nnew\n<!-- end of x -->\nb\n");
        assert_eq!(replaced(&written, "figures", "x", "new\n").unwrap(), written);
        assert!(replaced(text, "figures", "y", "new\n").is_err());
        assert!(replaced(text, "list", "x", "new\n").is_err());
    }

    #[test]
    fn the_pages_have_a_place_for_every_check() {
        let (figures, lists) = (read(FIGURES).unwrap(), read(LISTS).unwrap());
        for check in crate::Check::kept() {
            replaced(&figures, "figures", &check, "").unwrap();
        }
        for check in LISTED {
            replaced(&lists, "list", check, "").unwrap();
        }
    }
}
