//! What can be weakened: the sites that `docs/ordering.md` lists, and the structural mutants of
//! `verify/mutants/structural.toml`. Read by this check, and by `tests/sources.rs`, which compares both with the
//! source.

use std::ops::Range;

use serde::Deserialize;

/// A step of the protocol in another order, or left out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    pub(crate) name: String,
    /// What goes wrong in the ring.
    pub(crate) wrong: String,
    /// Models (`binary::test`) that fail for it.
    #[serde(default)]
    pub(crate) killed_by: Vec<String>,
    /// Why no model can fail for it.
    pub(crate) survives: Option<String>,
    pub(crate) change: Vec<Change>,
}

/// One place that a mutant changes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    pub(crate) original: String,
    pub(crate) mutated: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutants {
    mutant: Vec<Mutant>,
}

impl Mutant {
    /// Its row in the document.
    pub(crate) fn row(&self) -> String {
        let killed: Vec<_> = self.killed_by.iter().map(|model| format!("`{model}`")).collect();
        let killed =
            self.survives.as_ref().map_or_else(|| killed.join(", "), |why| format!("survives: {why}"));
        format!("| `{}` | {} | {killed} |", self.name, self.wrong)
    }
}

/// The list of structural mutants.
pub(crate) fn mutants(toml: &str) -> Result<Vec<Mutant>, toml::de::Error> {
    Ok(toml::from_str::<Mutants>(toml)?.mutant)
}

/// One row of the document's tables of sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) name: String,
    /// `Relaxed`, `Acquire`, `Release`, `AcqRel`, `SeqCst`; `barrier`: a pair that the models stand in for.
    pub(crate) ordering: String,
    /// Models that fail when it is weakened.
    pub(crate) models: Vec<String>,
    /// Edges of `cargo verify litmus` that need it.
    pub(crate) second_checks: Vec<String>,
    /// It is in the part of the library that the models run.
    pub(crate) modelled: bool,
}

/// A row of the document that is no site: what stands in backquotes first, and the cells after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) cells: Vec<String>,
}

/// What `docs/ordering.md` says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    pub(crate) sites: Vec<Site>,
    /// The table of structural mutants.
    pub(crate) mutants: Vec<Row>,
    /// Weakenings of sites that no model fails for, with the reason.
    pub(crate) survivors: Vec<Row>,
}

impl Document {
    /// Tables are told apart by their first line.
    pub(crate) fn read(text: &str) -> Self {
        let mut document = Self::default();
        let mut header = Vec::new();
        for line in text.lines() {
            let Some(inner) = line.strip_prefix('|') else {
                header.clear();
                continue;
            };
            let cells: Vec<_> = inner.trim_end().trim_end_matches('|').split('|').map(str::trim).collect();
            if header.is_empty() {
                header = cells.iter().map(|cell| (*cell).to_owned()).collect();
                continue;
            }
            let Some(name) = quoted(cells[0]).into_iter().next() else { continue };
            let cell = |wanted: &str| {
                let at = header.iter().position(|column| column == wanted);
                at.and_then(|at| cells.get(at)).copied()
            };
            match header[0].as_str() {
                "site" => document.sites.push(Site {
                    name,
                    ordering: cell("ordering").unwrap_or_default().to_owned(),
                    models: quoted(cell("models that fail").unwrap_or_default()),
                    second_checks: cell("second check")
                        .unwrap_or_default()
                        .split("; ")
                        .filter(|edge| !edge.is_empty())
                        .map(str::to_owned)
                        .collect(),
                    modelled: cell("models that fail").is_some(),
                }),
                "mutant" | "survivor" => {
                    let row = Row { name, cells: cells[1..].iter().map(|cell| (*cell).to_owned()).collect() };
                    let rows =
                        if header[0] == "mutant" { &mut document.mutants } else { &mut document.survivors };
                    rows.push(row);
                }
                _ => {}
            }
        }
        document
    }
}

/// What stands in backquotes in a cell.
pub(crate) fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

impl Site {
    /// How it is weakened, as `QUOIT_WEAKEN` says it: one step each.
    pub(crate) fn weakenings(&self) -> Vec<String> {
        let name = &self.name;
        match self.ordering.as_str() {
            // A fence that is full can be less, and not be at all.
            "SeqCst" => vec![format!("{name}:AcqRel"), name.clone()],
            "AcqRel" => vec![format!("{name}:Acquire"), format!("{name}:Release")],
            "Acquire" | "Release" | "barrier" => vec![name.clone()],
            _ => Vec::new(),
        }
    }
}

/// Where `original` stands in `source`, apart from spacing and comments.
pub(crate) fn places(source: &str, original: &str) -> Vec<Range<usize>> {
    let (text, at) = dense(source);
    let (wanted, _) = dense(original);
    let starts: Vec<_> = text.match_indices(&wanted).map(|(start, _)| start).collect();
    starts.into_iter().map(|start| at[start]..at[start + wanted.len() - 1] + 1).collect()
}

/// `text` without white space and line comments, and where each of its bytes was.
pub(crate) fn dense(text: &str) -> (String, Vec<usize>) {
    let (mut dense, mut at) = (String::new(), Vec::new());
    let mut rest = text.char_indices().peekable();
    while let Some((place, each)) = rest.next() {
        if each == '/' && rest.peek().is_some_and(|(_, next)| *next == '/') {
            while rest.next_if(|(_, next)| *next != '\n').is_some() {}
        } else if !each.is_whitespace() {
            dense.push(each);
            at.extend(std::iter::repeat_n(place, each.len_utf8()));
        }
    }
    (dense, at)
}
