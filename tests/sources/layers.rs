//! Folders are layers: a file imports from its own layer and those below it.
use super::{none, sources};

/// Layers of the library, from the ground up. The file or the deepest folder that matches says on which one a file is.
const LAYERS: [&str; 17] = [
    "limits",
    "schema",
    "error",
    "atomics",
    "wait",
    "memory",
    "seats",
    "source",
    "ring/layout",
    "ring/geometry",
    "ring/protocol",
    "sync",
    "service",
    "ring",
    "group",
    "waitset",
    "lib",
];

/// The layer of a file or of a module, both as paths with slashes.
fn layer(path: &str) -> Option<usize> {
    let is_on =
        |layer: &str| path == layer || path.strip_prefix(layer).is_some_and(|rest| rest.starts_with('/'));
    LAYERS.iter().position(|layer| is_on(layer))
}

/// Whether a file may name this module. The protocol does not know where its memory comes from, and no kind of object
/// knows another.
fn may_name(from: &str, named: &str) -> bool {
    let (Some(own), Some(other)) = (layer(from), layer(named)) else { return false };
    let is_barred = matches!(
        (LAYERS[own], LAYERS[other]),
        ("ring/protocol", "memory" | "seats")
            | ("ring", "sync" | "service")
            | ("sync" | "service", "ring/layout" | "ring/geometry" | "ring/protocol")
            | ("service", "sync")
    );
    other <= own && !is_barred
}

/// Every module that `code` names from the root of the library, as a path with slashes.
fn named_modules(code: &str) -> Vec<String> {
    code.match_indices("crate::")
        .map(|(at, root)| {
            let rest = &code[at + root.len()..];
            let end =
                rest.find(|c: char| !(c.is_ascii_lowercase() || c == '_' || c == ':')).unwrap_or(rest.len());
            rest[..end].trim_end_matches(':').replace("::", "/")
        })
        // A name that begins with a capital is a public one, for the unit tests.
        .filter(|named| !named.is_empty())
        .collect()
}

#[test]
fn layers_are_read() {
    assert_eq!(
        (layer("ring/protocol/gate"), layer("ring/attach"), layer("ringing")),
        (Some(10), Some(13), None)
    );
    assert!(may_name("ring/attach", "memory/lock") && may_name("wait/futex", "wait/clock"));
    assert!(!may_name("memory/lock", "ring/attach") && !may_name("ring/protocol/gate", "ring/attach"));
    assert!(!may_name("ring/protocol/gate", "memory/lock") && !may_name("ring/attach", "nowhere"));
    assert_eq!(
        named_modules("use crate::wait::clock; $crate::atomics::at crate::{x} crate::Y"),
        ["wait/clock", "atomics/at"]
    );
}

#[test]
fn folders_are_layers() {
    let (mut found, mut seen) = (Vec::new(), 0);
    for source in sources() {
        let path = source.name.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        assert!(layer(path).is_some(), "{} is in no layer", source.name);
        // Unit tests use whatever they need to make what they test.
        let code = source.code.split("mod tests {").next().unwrap();
        for named in named_modules(code) {
            seen += 1;
            if path != "lib" && !may_name(path, &named) {
                found.push(format!("{} names {named}", source.name));
            }
        }
    }
    assert!(seen > 200, "only {seen} names: the scan is blind");
    none("arrows upwards", &found);
}
