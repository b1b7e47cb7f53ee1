//! Puts the figures of the last runs into `docs/verification.md`, between the marks that are there for them: of the full
//! form, or of the quick one, which says so, where no full one was run here.

use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::outcome::{self, Form, Outcome, grouped};

/// Writes the figures. `checks` are the names of all that there are, in their order.
pub(crate) fn write(checks: &[&str]) -> Result<()> {
    let path = outcome::root().join("docs/verification.md");
    let mut text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
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
        text = replaced(&text, check, &figures(&outcome))?;
    }
    if !found {
        bail!("no run is kept: run a check first");
    }
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{} has the figures of the last runs", path.display());
    Ok(())
}

/// What stands between the marks of a check, replaced.
fn replaced(text: &str, check: &str, figures: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- figures of {check} -->\n"), format!("<!-- end of {check} -->\n"));
    let parts = text.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let Some((before, after)) = parts else {
        bail!("docs/verification.md has no place for the figures of {check}: {begin}{end}");
    };
    Ok(format!("{before}{begin}{figures}{end}{after}"))
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
    if let Some(table) = &outcome.table {
        let _ = write!(text, "\n{}\n", table.trim_end());
    }
    text.push('\n');
    text
}

fn duration(seconds: f64) -> String {
    if seconds < 100.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn figures_go_between_their_marks() {
        let text = "a\n<!-- figures of x -->\nold\n<!-- end of x -->\nb\n";
        let written = replaced(text, "x", "new\n").unwrap();
        assert_eq!(written, "a\n<!-- figures of x -->\nnew\n<!-- end of x -->\nb\n");
        assert_eq!(replaced(&written, "x", "new\n").unwrap(), written);
        assert!(replaced(text, "y", "new\n").is_err());
    }
}
