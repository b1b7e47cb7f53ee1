//! Rules that the sources keep, and that no compiler checks.

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
    assert_eq!(
        rows("| `A_1`, `B` | x `C` |\nno `D`\n| `E` |"),
        BTreeSet::from(["A_1", "B", "E"].map(String::from))
    );
}

#[test]
fn atomics_come_through_one_door() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| source.name != "src/sync.rs") {
        let code = without_loom(&source.code);
        for forbidden in ["sync::atomic", "Ordering::", "UnsafeCell", "AtomicPtr", "AtomicUsize"] {
            if code.contains(forbidden) {
                found.push(format!("{}: {forbidden}", source.name));
            }
        }
    }
    none("atomics past src/sync.rs", &found);
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
    for source in sources().iter().filter(|source| source.name != "src/sync.rs") {
        let code = without_loom(&source.code);
        for (method, orderings) in methods {
            for arguments in calls(&code, method) {
                seen += 1;
                // `copy.rs` picks one of two loads for one site.
                let is_chosen = source.name == "src/copy.rs" && arguments == "(ordering)";
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
        for (at, call) in source.text.match_indices(".meet(\"") {
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

/// The sites that a document lists: what stands in backquotes in the first cell of a table row.
fn rows(document: &str) -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    for line in document.lines().filter(|line| line.starts_with("| `")) {
        let cell = line[1..].split('|').next().unwrap_or_default();
        rows.extend(cell.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    rows
}

#[test]
fn the_document_lists_every_site() {
    let path = root().join("docs/ordering.md");
    let document =
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let listed = rows(&document);
    let used: BTreeSet<_> = all_sites().into_keys().collect();
    let missing: Vec<_> = used.difference(&listed).cloned().collect();
    let stale: Vec<_> = listed.difference(&used).cloned().collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "not listed: {missing:?}\nlisted, and not there: {stale:?}"
    );
}

#[test]
fn unsafe_code_is_in_two_files() {
    let mut found = Vec::new();
    for source in sources() {
        let blocks: Vec<_> = words(&source.code, "unsafe").collect();
        match source.name.as_str() {
            "src/region.rs" | "src/copy.rs" => assert!(!blocks.is_empty(), "{} has moved", source.name),
            // One `unsafe fn` each, which hands its contract on to `copy.rs`.
            "src/claim.rs" | "src/record.rs" => {
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
            _ => {
                found.extend(blocks.iter().map(|at| place(&source, *at)));
                found.extend(words(&source.code, "unsafe_code").map(|at| place(&source, at)));
            }
        }
    }
    none("unsafe code outside src/region.rs and src/copy.rs", &found);
}

#[test]
fn no_cursor_is_called_head_or_tail() {
    let mut found = Vec::new();
    // The head is an area of the file; `copy.rs` speaks of the tail of a byte string.
    for source in sources() {
        if source.name != "src/copy.rs" {
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
    for part in ["src", "cli", "tests", "loom-tests", "benches", "examples", "fuzz"] {
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
