//! The engine's edges under the axioms of C11, exhaustively. This complements loom, whose full fences order more than
//! the language's do.
//!
//! Each edge is reduced to a handful of accesses (`litmus/shapes.rs`), named by the sites of `docs/ordering.md`. All
//! executions that the axioms allow (`litmus/model.rs`) are enumerated. A forbidden outcome must not occur, and must
//! occur with any one of the named sites weakened. Textbook programs test that the axioms are right
//! (`litmus/known.rs`).

mod known;
mod model;
mod program;
mod relation;
mod shapes;

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};

use crate::orderings::catalogue::Document;
use crate::outcome::{self, Form, Outcome};

use self::program::{Behaviour, Program, explore};
use self::shapes::Bad;

/// Options of this check alone.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub(crate) struct Args {}

/// Both forms are the same: it takes seconds.
pub(crate) fn run(_args: &Args, form: Form) -> Result<Outcome> {
    let mut outcome = Outcome::begin("litmus", form);
    let textbook = known::all();
    for (name, program, can, expected) in &textbook {
        let behaviour = explore(program);
        if behaviour.outcomes.iter().any(can) != *expected {
            outcome.fail(format!("the axioms are wrong about the textbook program {name}"));
        }
    }
    outcome.count("textbook programs judged as the textbook does", textbook.len() as u64);
    let (mut executions, mut weakenings, mut sites) = (0, 0, BTreeSet::new());
    let shapes = shapes::all();
    let mut table = String::from("| edge | never | executions | needs |\n|---|---|---|---|\n");
    for shape in &shapes {
        let shown = |program: &Program| {
            let behaviour = explore(program);
            (shows(&behaviour, &shape.bad), behaviour.executions)
        };
        let (bad, runs) = shown(&shape.program);
        executions += runs;
        if bad {
            outcome.fail(format!("{}: {}", shape.name, shape.never));
        }
        for site in shape.needs {
            sites.insert(*site);
            let mut mutants = vec![("removed or Relaxed", shapes::weakened(&shape.program, site, None))];
            if shape.full.contains(site) {
                mutants.push((
                    "one step weaker",
                    shapes::weakened(&shape.program, site, Some(shapes::ONE_STEP)),
                ));
            }
            for (how, mutant) in mutants {
                weakenings += 1;
                let (bad, runs) = shown(&mutant);
                executions += runs;
                if !bad {
                    outcome.fail(format!("{}: holds with {site} {how}", shape.name));
                }
            }
        }
        let needs: Vec<String> = shape.needs.iter().map(|site| format!("`{site}`")).collect();
        table.push_str(&format!("| {} | {} | {runs} | {} |\n", shape.name, shape.never, needs.join(", ")));
    }
    outcome.count("edges", shapes.len() as u64);
    let ordering = ordering_sites()?;
    outcome.count("sites that they need", sites.len() as u64);
    outcome.count("sites of docs/ordering.md that order something", ordering.len() as u64);
    for site in &sites {
        if !ordering.contains(*site) {
            outcome.fail(format!("{site} is no site of docs/ordering.md that orders something"));
        }
    }
    let without: Vec<&String> = ordering.iter().filter(|site| !sites.contains(site.as_str())).collect();
    if !without.is_empty() {
        outcome.note(format!("in no edge here: {without:?}"));
    }
    outcome.count("weakenings, each of which shows what must never come out", weakenings);
    outcome.count("executions enumerated", executions);
    outcome.table = Some(table);
    Ok(outcome)
}

fn shows(behaviour: &Behaviour, bad: &Bad) -> bool {
    match bad {
        Bad::Outcome(is_bad) => behaviour.outcomes.iter().any(is_bad),
        Bad::Race => behaviour.races,
    }
}

/// The sites that `docs/ordering.md` gives an ordering, or a barrier, that can be weakened.
fn ordering_sites() -> Result<BTreeSet<String>> {
    let path = outcome::root().join("docs/ordering.md");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let sites = Document::read(&text).sites;
    let ordering = sites.into_iter().filter(|site| !site.weakenings().is_empty());
    Ok(ordering.map(|site| site.name).collect())
}
