//! Where the sites stand in the source. A site may stand in several places, and a model that reaches one of them says
//! nothing about the others: a way through the protocol that no model takes has not been checked.

use std::collections::{BTreeMap, BTreeSet};

use super::catalogue::{Document, Site};

/// The protocol, which the models run whole.
const PROTOCOL: &str = "ring/protocol/";

/// Every place, as `NAME at FILE:LINE` with the file's path in `src`, that a model has to reach: those of the protocol,
/// and those that order something in whatever the models run of the rest.
pub(crate) fn to_reach(sources: &BTreeMap<String, String>, document: &Document) -> BTreeSet<String> {
    let sites: BTreeMap<_, _> = document.sites.iter().map(|site| (site.name.as_str(), site)).collect();
    sources.iter().flat_map(|(file, text)| places(file, text, &sites)).collect()
}

fn places(file: &str, text: &str, sites: &BTreeMap<&str, &Site>) -> Vec<String> {
    // Tests come last in a file.
    let tests = text.find("#[cfg(all(test").or_else(|| text.find("#[cfg(test)]\nmod")).unwrap_or(text.len());
    let mut places = Vec::new();
    for (number, line) in text[..tests].lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for after in code.split("at!(").skip(1) {
            let name = after.split([',', ' ']).next().unwrap_or_default();
            let Some(site) = sites.get(name) else { continue };
            if site.modelled && (site.ordering != "Relaxed" || file.starts_with(PROTOCOL)) {
                places.push(format!("{name} at {file}:{}", number + 1));
            }
        }
    }
    places
}

/// A place as a model prints it, in the form of `to_reach`.
pub(crate) fn printed(line: &str) -> Option<String> {
    let (name, place) = line.split_once(" at ")?;
    let (_, place) = place.split_once("src/")?;
    Some(format!("{name} at {place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_code() {
        let site = |name: &str, ordering: &str, modelled| Site {
            name: name.to_owned(),
            ordering: ordering.to_owned(),
            models: Vec::new(),
            second_checks: Vec::new(),
            modelled,
        };
        let document = Document {
            sites: vec![
                site("W1", "Release", true),
                site("W2", "Relaxed", true),
                site("FORK", "Release", false),
            ],
            ..Document::default()
        };
        let text = "a.store(at!(W1, Release)); b(at!(W2, Relaxed));\n// at!(W1, Release)\nfence_at!(W1, Release);\n\
                    c(at!(FORK, Release));\n#[cfg(all(test, not(loom)))]\nat!(W1, Release)";
        let of = |file: &str| {
            to_reach(&BTreeMap::from([(file.to_owned(), text.to_owned())]), &document)
                .into_iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(of("wait/x.rs"), ["W1 at wait/x.rs:1", "W1 at wait/x.rs:3"]);
        let protocol =
            ["W1 at ring/protocol/x.rs:1", "W1 at ring/protocol/x.rs:3", "W2 at ring/protocol/x.rs:1"];
        assert_eq!(of("ring/protocol/x.rs"), protocol);
        assert_eq!(printed("W1 at ../src/wait/x.rs:1").as_deref(), Some("W1 at wait/x.rs:1"));
        assert_eq!(printed("W1"), None);
    }
}
