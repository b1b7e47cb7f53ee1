//! Rules that the sources keep, and that no compiler checks.
#[allow(dead_code, reason = "`cargo verify orderings` uses the rest")]
#[path = "../verify/src/orderings/catalogue.rs"]
mod catalogue;
#[path = "sources/circles.rs"]
mod circles;
#[path = "sources/layers.rs"]
mod layers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One source file: as it is, and with comments and literals blanked out.
struct Source {
    name: String,
    text: String,
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The library's files.
fn sources() -> Vec<Source> {
    let sources: Vec<_> = files(&root().join("src")).iter().map(|path| read(path)).collect();
    assert!(sources.len() > 20, "the library has moved");
    sources
}

fn read(path: &Path) -> Source {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    Source { name, code: code(&text), text }
}

/// All Rust files in a directory and below.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// `text` with every comment and every string and character literal blanked out, byte for byte.
fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text.as_bytes()[at..];
        let length = if rest.starts_with(b"//") {
            rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            find(rest, b"*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with(b"r\"") {
            find(&rest[2..], b"\"").map_or(rest.len(), |end| end + 3)
        } else if rest.starts_with(b"r#\"") {
            find(rest, b"\"#").map_or(rest.len(), |end| end + 2)
        } else if rest[0] == b'"' {
            quoted(rest, b'"')
        } else if rest[0] == b'\'' && (rest.get(1) == Some(&b'\\') || rest.get(2) == Some(&b'\'')) {
            quoted(rest, b'\'')
        } else {
            at += 1;
            continue;
        };
        for byte in &mut code[at..at + length] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += length;
    }
    String::from_utf8(code).unwrap()
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// Bytes of the literal that `text` starts with.
fn quoted(text: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// Where `word` stands in `code` by itself, not as a part of a longer name.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_name = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = at.checked_sub(1).and_then(|before| code.as_bytes().get(before));
        !is_name(before) && !is_name(code.as_bytes().get(at + word.len()))
    })
}

/// From the opening bracket at `open` to the one that closes it.
fn bracketed(code: &str, open: usize) -> &str {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'{' | b'[' => depth += 1,
            b')' | b'}' | b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &code[open..=at];
        }
    }
    panic!("an open bracket");
}

/// `code` without the items that only the models have: they speak loom's language.
fn without_loom(code: &str) -> String {
    let mut rest = code.to_owned();
    while let Some(at) = rest.find("#[cfg(loom)]") {
        let item = at + "#[cfg(loom)]".len();
        let end = item + rest[item..].find(['{', ';']).expect("an item");
        let end = if rest.as_bytes()[end] == b'{' { end + bracketed(&rest, end).len() } else { end + 1 };
        rest.replace_range(at..end, "");
    }
    rest
}

/// "file:line" of a place.
fn place(source: &Source, at: usize) -> String {
    format!("{}:{}", source.name, source.code[..at].matches('\n').count() + 1)
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn the_scanner_tells_code_from_words() {
    let text = "let a = 'x'; // unsafe\nlet b = \"un\\\"safe unsafe\"; /* unsafe */ unsafe { x('\\'') } r#\"unsafe\"#";
    let code = code(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(words(&code, "unsafe").count(), 1);
    assert_eq!(words("unsafe_code un unsafe unsafely", "unsafe").count(), 1);
    assert_eq!(bracketed("f(a(b), [c]) d)", 1), "(a(b), [c])");
    assert_eq!(without_loom("a #[cfg(loom)] mod x { y { } } b #[cfg(loom)] use z; c"), "a  b  c");
    assert_eq!(calls("x.load(at!(A, B)); y.load(\n C::D)", "load"), ["(at!(A, B))", "(\n C::D)"]);
    assert_eq!((own_sites("(at!(A, B), x)"), own_sites("(x.load(at!(A, B)), y)")), (1, 0));
    assert_eq!(sites("at!(ONE, Relaxed) fence_at!(TWO,\n SeqCst)").len(), 2);
}

/// The door, and what no build of the library has: `delays.rs` and `tamper.rs` stand between an access and its site
/// in builds of their own.
fn is_at_the_door(source: &&Source) -> bool {
    ["src/atomics/mod.rs", "src/atomics/delays.rs", "src/atomics/tamper.rs", "src/ring/tamper.rs"]
        .contains(&source.name.as_str())
}

#[test]
fn atomics_come_through_one_door() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !is_at_the_door(source)) {
        let code = without_loom(&source.code);
        for forbidden in ["sync::atomic", "Ordering::", "UnsafeCell", "AtomicPtr", "AtomicUsize"] {
            if code.contains(forbidden) {
                found.push(format!("{}: {forbidden}", source.name));
            }
        }
    }
    none("atomics past src/atomics/mod.rs", &found);
}

/// The arguments of every call of a method, with their brackets.
fn calls<'a>(code: &'a str, method: &'a str) -> Vec<&'a str> {
    words(code, method)
        .filter(|at| code[..*at].ends_with('.') && code[at + method.len()..].starts_with('('))
        .map(|at| bracketed(code, at + method.len()))
        .collect()
}

/// How many sites are among the arguments themselves, and not in calls within them.
fn own_sites(arguments: &str) -> usize {
    let depth = |at: usize| {
        let opened = arguments[..at].matches(['(', '{', '[']).count();
        opened - arguments[..at].matches([')', '}', ']']).count()
    };
    words(arguments, "at").filter(|at| arguments[at + 2..].starts_with("!(") && depth(*at) == 1).count()
}

#[test]
fn every_access_names_its_site() {
    let (mut found, mut seen) = (Vec::new(), 0);
    let methods = [
        ("load", 1),
        ("load_gated", 1),
        ("store", 1),
        ("swap", 1),
        ("fetch_add", 1),
        ("fetch_sub", 1),
        ("fetch_or", 1),
        ("fetch_and", 1),
        ("fetch_max", 1),
        ("fetch_update", 2),
        ("compare_exchange", 2),
        ("compare_exchange_weak", 2),
    ];
    for source in sources().iter().filter(|source| !is_at_the_door(source)) {
        let code = without_loom(&source.code);
        for (method, orderings) in methods {
            for arguments in calls(&code, method) {
                seen += 1;
                // `copy.rs` picks one of two loads for one site.
                let is_chosen = source.name == "src/atomics/copy.rs" && arguments == "(ordering)";
                if own_sites(arguments) != orderings && !is_chosen {
                    found.push(format!("{}: .{method}{arguments}", source.name));
                }
            }
        }
        for fence in ["fence(", "compiler_fence("] {
            if code.contains(fence) && words(&code, &fence[..fence.len() - 1]).next().is_some() {
                found.push(format!("{}: {fence}", source.name));
            }
        }
    }
    none("accesses without a site", &found);
    assert!(seen > 100, "only {seen} accesses: the scan is blind");
}

/// Every `at!` and `fence_at!` in `code`: site, and macro with ordering.
fn sites(code: &str) -> Vec<(String, String)> {
    let mut sites = Vec::new();
    for name in ["at", "fence_at"] {
        for at in words(code, name) {
            let Some(open) = code[at + name.len()..].strip_prefix('!') else { continue };
            let open = code.len() - open.len();
            let arguments = bracketed(code, open).trim_matches(['(', ')']);
            let (site, ordering) = arguments.split_once(',').expect("a site and its ordering");
            sites.push((site.trim().to_owned(), format!("{name}!(…, {})", ordering.trim())));
        }
    }
    sites
}

/// Sites of the library: by name, with what they are.
fn all_sites() -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        for (site, kind) in sites(&source.code) {
            if !site.starts_with('$') {
                all.entry(site).or_default().insert(kind);
            }
        }
        // Barriers of the system, which the models stand in for: named by a string.
        for (at, call) in source.text.match_indices(".meet((\"") {
            let name = &source.text[at + call.len()..];
            let name = &name[..name.find('"').unwrap()];
            all.entry(name.to_owned()).or_default().insert("barrier".to_owned());
        }
    }
    assert!(all.len() > 50, "only {} sites: the scan is blind", all.len());
    all
}

#[test]
fn a_site_has_one_ordering() {
    let mut found = Vec::new();
    for (site, kinds) in all_sites() {
        if kinds.len() != 1 {
            found.push(format!("{site}: {kinds:?}"));
        }
        let well_formed = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_uppercase())
                && name.chars().all(|each| each.is_ascii_uppercase() || each.is_ascii_digit() || each == '_')
        };
        if !well_formed(&site) {
            found.push(format!("{site} is no name of a site"));
        }
    }
    none("sites that are not one thing", &found);
}

fn read_text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn document() -> catalogue::Document {
    let document = catalogue::Document::read(&read_text("docs/ordering.md"));
    assert!(document.sites.len() > 50, "docs/ordering.md has lost its tables");
    document
}

fn structural_mutants() -> Vec<catalogue::Mutant> {
    let mutants = catalogue::mutants(&read_text("verify/mutants/structural.toml")).unwrap();
    assert!(mutants.len() > 30, "the mutants are gone");
    mutants
}

/// `file::test` of every model.
fn models() -> BTreeSet<String> {
    let mut models = BTreeSet::new();
    for path in files(&root().join("loom-tests/tests")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let file = path.file_stem().unwrap().to_str().unwrap();
        let names = text.split("#[test]\nfn ").skip(1).map(|rest| rest.split('(').next().unwrap());
        models.extend(names.map(|name| format!("{file}::{name}")));
    }
    assert!(models.len() > 20, "the models are gone");
    models
}

#[test]
fn the_catalogue_reads_tables_and_finds_places() {
    let text = "| site | ordering | models that fail |\n|---|---|---|\n| `A_1` | SeqCst | `a::b`, `c::d` |\n\n\
                | mutant | what |\n|---|---|\n| `m` | x `y` |\n\n| site | ordering |\n|---|---|\n| `B` | Relaxed |\n";
    let document = catalogue::Document::read(text);
    let [a, b] = &document.sites[..] else { panic!("{document:?}") };
    assert_eq!((a.name.as_str(), &a.models[..]), ("A_1", &["a::b".to_owned(), "c::d".to_owned()][..]));
    assert_eq!(a.weakenings(), ["A_1:AcqRel", "A_1"]);
    assert!(a.modelled && !b.modelled && b.weakenings().is_empty());
    assert_eq!((document.mutants.len(), document.survivors.len()), (1, 0));
    let source = "fn f() {\n    a(b, // why\n      c);\n    a(b, c);\n    d();\n}";
    let found: Vec<_> = catalogue::places(source, "a(b,\n c);").into_iter().map(|at| &source[at]).collect();
    assert_eq!(found, ["a(b, // why\n      c);", "a(b, c);"]);
}

#[test]
fn the_document_lists_every_site() {
    let listed: BTreeMap<_, _> =
        document().sites.into_iter().map(|site| (site.name, site.ordering)).collect();
    let used = all_sites();
    let mut wrong = Vec::new();
    wrong.extend(
        used.keys().filter(|site| !listed.contains_key(*site)).map(|site| format!("{site}: missing")),
    );
    for (site, ordering) in &listed {
        match used.get(site) {
            None => wrong.push(format!("{site}: listed, and not there")),
            Some(kinds) => {
                let kind = kinds.first().expect("a site is of some kind");
                if !kind.ends_with(&format!(", {ordering})")) && kind != ordering {
                    wrong.push(format!("{site}: listed as {ordering}, and is {kind}"));
                }
            }
        }
    }
    none("docs/ordering.md and the source differ", &wrong);
}

/// Whatever orders something names models that are there; what does not names none.
#[test]
fn every_ordering_names_its_models() {
    let (document, models) = (document(), models());
    let mut wrong = Vec::new();
    for site in document.sites.iter().filter(|site| site.modelled) {
        // What no model sees has its reason in a table of its own.
        let survives = |weakening: &String| document.survivors.iter().any(|row| row.name == *weakening);
        let is_seen = site.weakenings().iter().any(|weakening| !survives(weakening));
        if site.models.is_empty() == is_seen {
            wrong.push(format!("{}: {} with {:?}", site.name, site.ordering, site.models));
        }
        let unknown = site.models.iter().filter(|model| !models.contains(*model));
        wrong.extend(unknown.map(|model| format!("{}: there is no {model}", site.name)));
    }
    for row in &document.survivors {
        let known = document.sites.iter().any(|site| site.weakenings().contains(&row.name));
        if !known || row.cells.iter().all(String::is_empty) {
            wrong.push(format!("{}: no such weakening, or no reason", row.name));
        }
    }
    none("sites and models", &wrong);
}

/// Loom orders too much around full fences, so each of them is also an edge of `cargo verify litmus`.
#[test]
fn full_fences_are_checked_twice() {
    let shapes = read_text("verify/src/litmus/shapes.rs");
    let edges: Vec<(&str, &str)> = shapes
        .split("name: \"")
        .skip(1)
        .filter_map(|shape| {
            let needs = shape.split_once("needs: &[")?.1.split_once(']')?.0;
            Some((shape.split('"').next()?, needs))
        })
        .collect();
    assert!(edges.len() > 10, "the edges have moved");
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for site in document().sites {
        if site.ordering == "SeqCst" && site.second_checks.is_empty() {
            wrong.push(format!("{}: no second check", site.name));
        }
        for second in &site.second_checks {
            checked += 1;
            let quoted = format!("\"{}\"", site.name);
            if !edges.iter().any(|(edge, needs)| edge == second && needs.contains(&quoted)) {
                wrong.push(format!("{}: no edge {second:?} that needs it", site.name));
            }
        }
    }
    assert!(checked > 20, "the column is gone");
    none("sites and edges", &wrong);
}

#[test]
fn structural_mutants_are_of_this_source() {
    let (sources, models, mutants) = (sources(), models(), structural_mutants());
    let mut wrong = Vec::new();
    for mutant in &mutants {
        for change in &mutant.change {
            let places = sources.iter().map(|source| catalogue::places(&source.text, &change.original).len());
            let places: usize = places.sum();
            if places != 1 {
                wrong.push(format!("{}: stands {places} times: {}", mutant.name, change.original.trim()));
            }
        }
        if mutant.killed_by.is_empty() != mutant.survives.is_some() || mutant.change.is_empty() {
            wrong.push(format!("{}: either models that fail, or a reason why none can", mutant.name));
        }
        let unknown = mutant.killed_by.iter().filter(|model| !models.contains(*model));
        wrong.extend(unknown.map(|model| format!("{}: there is no {model}", mutant.name)));
    }
    let names: BTreeSet<_> = mutants.iter().map(|mutant| &mutant.name).collect();
    assert_eq!(names.len(), mutants.len(), "two mutants of one name");
    none("structural mutants", &wrong);
}

#[test]
fn the_document_lists_every_mutant() {
    let expected: Vec<String> = structural_mutants().iter().map(catalogue::Mutant::row).collect();
    let listed: Vec<String> = document()
        .mutants
        .iter()
        .map(|row| format!("| `{}` | {} |", row.name, row.cells.join(" | ")))
        .collect();
    for (expected, listed) in expected.iter().zip(&listed) {
        assert_eq!(listed, expected, "docs/ordering.md and verify/mutants/structural.toml differ");
    }
    assert_eq!(listed.len(), expected.len(), "mutants without a row, or rows without a mutant");
}

/// The rows of every table in the head of a file.
fn rows_of_head(path: &str) -> Vec<String> {
    let text = read_text(path);
    let head = text.lines().map_while(|line| line.strip_prefix("//!"));
    head.map(str::trim).filter(|line| line.starts_with('|')).map(str::to_owned).collect()
}

#[test]
fn the_ways_are_the_same_in_source_and_document() {
    let document = read_text("docs/receiving.md");
    let mut wrong = Vec::new();
    for path in ["src/ring/send/mod.rs", "src/ring/receive/mod.rs"] {
        let rows = rows_of_head(path);
        assert!(rows.len() > 12, "{path} has lost its tables");
        let missing = rows.iter().filter(|row| !document.lines().any(|line| line == *row));
        wrong.extend(missing.map(|row| format!("{path}: {row}")));
    }
    none("rows that docs/receiving.md does not have", &wrong);
}

#[test]
fn unsafe_code_is_in_two_places() {
    let mut found = Vec::new();
    for source in sources() {
        let blocks: Vec<_> = words(&source.code, "unsafe").collect();
        match source.name.as_str() {
            "src/memory/map.rs"
            | "src/memory/handler.rs"
            | "src/atomics/copy.rs"
            | "src/atomics/copy/plain.rs"
            | "src/atomics/copy/tests.rs"
            | "src/atomics/copy/vector.rs" => {
                assert!(!blocks.is_empty(), "{} has moved", source.name)
            }
            // One `unsafe fn` each, which hands its contract on to `copy.rs`.
            "src/ring/claim.rs" | "src/ring/protocol/record.rs" => {
                for at in &blocks {
                    let is_fn =
                        source.code[..*at].ends_with("pub ") && source.code[*at..].starts_with("unsafe fn ");
                    let forwards = source.code[*at..].starts_with("unsafe { copy::slice");
                    if !(is_fn || forwards) {
                        found.push(place(&source, *at));
                    }
                }
                assert_eq!(blocks.len(), 2, "{}", source.name);
            }
            // One `unsafe fn`, which takes a promise about a ring, and the two calls that rest on it: no slice is made here.
            "src/ring/trusted.rs" => {
                let uses: Vec<_> =
                    blocks.iter().map(|at| source.code[*at..].lines().next().unwrap()).collect();
                let promise = "unsafe fn trust_writers(&self) -> Trusted<Self> {";
                let [claim, record] = ["self.claim.as_mut_slice()", "record.as_slice()"];
                let [claim, record] = [claim, record].map(|call| format!("unsafe {{ {call} }};"));
                assert_eq!(uses, [promise, claim.as_str(), record.as_str()]);
            }
            _ => {
                found.extend(blocks.iter().map(|at| place(&source, *at)));
                found.extend(words(&source.code, "unsafe_code").map(|at| place(&source, at)));
            }
        }
    }
    none("unsafe code where it is not expected", &found);
}

#[test]
fn no_cursor_is_called_head_or_tail() {
    let mut found = Vec::new();
    // The head is an area of the file; `copy.rs` speaks of the tail of a byte string.
    for source in sources() {
        if source.name != "src/atomics/copy.rs" {
            found.extend(words(&source.code, "tail").map(|at| place(&source, at)));
        }
        for at in words(&source.code, "head") {
            let after = source.code[at + "head".len()..].trim_start();
            let is_number =
                [": AtomicU", ": u64", ": u32", ": Word", ".load", ".store", ".wrapping_", ".fetch_"];
            if is_number.iter().any(|number| after.starts_with(number)) {
                found.push(place(&source, at));
            }
        }
        for name in ["head_position", "tail_position", "head_cursor", "tail_cursor", "head_seq", "tail_seq"] {
            found.extend(words(&source.code, name).map(|at| place(&source, at)));
        }
    }
    none("cursors called head or tail", &found);
}

#[test]
fn nothing_is_left_to_be_done() {
    let marks = [
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("db", "g!("),
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("XX", "X"),
        concat!("#[ign", "ore"),
    ];
    let mut found = Vec::new();
    let mut seen = 0;
    let parts = "src async bench cli floors peers verify tests loom-tests benches examples fuzz support";
    for part in parts.split(' ') {
        for path in files(&root().join(part)) {
            seen += 1;
            let source = read(&path);
            for mark in marks {
                found.extend(
                    source.text.match_indices(mark).map(|(at, _)| format!("{}: {mark}", place(&source, at))),
                );
            }
        }
    }
    assert!(seen > 40, "only {seen} files: the scan is blind");
    none("left to be done", &found);
}
