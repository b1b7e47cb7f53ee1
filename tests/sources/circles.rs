//! No two modules of a package need each other, by whatever way round. A module may name those below it, and they may
//! name it: they are one thing in several files.
use std::collections::{BTreeMap, BTreeSet};

use super::{files, read, root, words};

/// Modules of one package: where each is in the tree, from its root, and what its file says.
struct Package {
    modules: BTreeMap<Module, Names>,
}

/// The names on the way from the root of the package.
type Module = Vec<String>;

/// What one file names.
#[derive(Default)]
struct Names {
    /// What its `use`s bring in: the name here, and the path.
    imports: BTreeMap<String, Vec<String>>,
    /// All paths, those of the `use`s too.
    paths: BTreeSet<Vec<String>>,
}

impl Names {
    fn of(code: &str) -> Self {
        // Unit tests use whatever they need to make what they test.
        let mut rest = code.split("mod tests {").next().unwrap().to_owned();
        let mut names = Self::default();
        loop {
            let Some(at) = words(&rest, "use").next() else { break };
            let end = at + rest[at..].find(';').expect("an end");
            let tree: String = rest[at + "use".len()..end].split_whitespace().collect::<Vec<_>>().join(" ");
            for (path, name) in leaves(&tree) {
                names.paths.insert(path.clone());
                names.imports.insert(name, path);
            }
            rest.replace_range(at..=end, "");
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for path in rest.split(|c: char| !is_name(c) && c != ':').filter(|path| path.contains("::")) {
            names.paths.insert(path.trim_matches(':').split("::").map(str::to_owned).collect());
        }
        names
    }
}

/// The paths in a tree of imports, and what each is called here.
fn leaves(tree: &str) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    if let Some((stem, rest)) = tree.split_once('{') {
        let inner = rest.trim_end().strip_suffix('}').expect("a closing bracket");
        let stem: Vec<String> = segments(stem);
        let (mut parts, mut depth) = (vec![String::new()], 0);
        for c in inner.chars() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if c == ',' && depth == 0 {
                parts.push(String::new());
            } else {
                parts.last_mut().unwrap().push(c);
            }
        }
        let parts = parts.iter().filter(|part| !part.trim().is_empty()).flat_map(|part| leaves(part));
        return parts.map(|(path, name)| ([stem.clone(), path].concat(), name)).collect();
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias)));
    let mut path = segments(path);
    if path.len() > 1 || path.first().is_some_and(|only| only == "self") {
        path.pop_if(|last| last == "*" || last == "self");
    }
    let name = alias.unwrap_or_else(|| path.last().map_or("", String::as_str)).trim().to_owned();
    vec![(path, name)]
}

fn segments(path: &str) -> Vec<String> {
    path.split("::").map(|segment| segment.trim().to_owned()).filter(|segment| !segment.is_empty()).collect()
}

impl Package {
    fn read(directory: &str) -> Self {
        let from = root().join(directory);
        let mut modules = BTreeMap::new();
        for path in files(&from) {
            let module = path.strip_prefix(&from).unwrap().with_extension("");
            let mut module: Module = module.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            module.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
            if !module.last().is_some_and(|last| last == "tests" || last.ends_with("_tests")) {
                modules.insert(module, Names::of(&read(&path).code));
            }
        }
        Self { modules }
    }

    /// The module that a path leads to, as far as it goes; `None`: another package. What a module has brought in is
    /// followed to where it comes from.
    fn find(&self, from: &[String], path: &[String], depth: usize) -> Option<Module> {
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => Vec::new(),
            "self" => from.to_vec(),
            "super" => from.split_last()?.1.to_vec(),
            _ => {
                rest = path;
                from.to_vec()
            }
        };
        let mut is_here = rest.len() < path.len();
        while let Some((name, after)) = rest.split_first() {
            let below = [&at[..], std::slice::from_ref(name)].concat();
            if name == "super" {
                at.pop();
            } else if self.modules.contains_key(&below) {
                at = below;
            } else if let Some(import) = self.modules[&at].imports.get(name)
                && depth > 0
                && (is_here || import != path)
            {
                let found = self.find(&at, import, depth - 1);
                return match found {
                    Some(found) => self.find(&found, &[&["self".to_owned()], after].concat(), depth - 1),
                    None => Some(at).filter(|_| is_here),
                };
            } else {
                break;
            }
            (is_here, rest) = (true, after);
        }
        is_here.then_some(at)
    }

    /// What each module needs besides itself and what is below it.
    fn needs(&self) -> BTreeMap<&Module, BTreeSet<&Module>> {
        let needs = self.modules.iter().map(|(module, names)| {
            let found = names.paths.iter().filter_map(|path| self.find(module, path, 8));
            let other = found.filter(|found| !found.starts_with(module));
            let other: BTreeSet<&Module> =
                other.filter_map(|found| Some(self.modules.get_key_value(&found)?.0)).collect();
            (module, other)
        });
        needs.collect()
    }

    /// Every arrow that is part of a circle.
    fn circles(&self) -> Vec<String> {
        let needs = self.needs();
        let reach = |from: &Module| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![needs.get_key_value(from).unwrap().0]);
            while let Some(module) = open.pop() {
                open.extend(needs[module].iter().filter(|next| seen.insert(**next)));
            }
            seen
        };
        let name = |module: &Module| if module.is_empty() { "the root".into() } else { module.join("::") };
        let arrows = needs.iter().flat_map(|(from, to)| to.iter().map(|to| (*from, *to)));
        let circles = arrows.filter(|(from, to)| reach(to).contains(*from));
        circles.map(|(from, to)| format!("{} names {}", name(from), name(to))).collect()
    }
}

#[test]
fn imports_are_read() {
    let names = Names::of(
        "use super::{self, a::{B, c as d}, e::*}; pub use f; fn g() { x::y(h) } mod tests { i::j }",
    );
    let paths: Vec<String> = names.paths.iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["f", "super", "super::a::B", "super::a::c", "super::e", "x::y"]);
    assert_eq!(names.imports["d"].join("::"), "super::a::c");
    let package = |files: &[(&str, &str)]| Package {
        modules: files
            .iter()
            .map(|(module, code)| (segments(module), Names::of(code)))
            .chain([(Vec::new(), Names::default())])
            .collect(),
    };
    let circle = package(&[("a", "use crate::b::B;"), ("b", "fn f() { super::a::x() }")]);
    assert_eq!(circle.circles(), ["a names b", "b names a"]);
    let hidden =
        package(&[("a", "pub use self::c::C;"), ("a::c", "use crate::b;"), ("b", "use crate::a::C;")]);
    assert_eq!(hidden.circles(), ["a::c names b", "b names a::c"]);
    let family =
        package(&[("a", "use c::C; mod c;"), ("a::c", "use super::A; use std::a;"), ("b", "use crate::a;")]);
    assert_eq!(family.circles(), Vec::<String>::new());
}

const PACKAGES: &str = "src bench/src cli/src floors/src fuzz/src peers/src tests/processes verify/src";

/// Modules of the library that still need each other, in a circle each. A circle that is broken leaves the list.
const LEFT: [&[&str]; 0] = [];

#[test]
fn no_modules_go_in_circles() {
    let mut found = Vec::new();
    for package in PACKAGES.split(' ') {
        let read = Package::read(package);
        assert!(read.modules.len() > 5, "{package} has moved");
        assert!(read.needs().values().map(BTreeSet::len).sum::<usize>() > 5, "{package}: the scan is blind");
        let is_left = |circle: &String| {
            let both = circle.split_once(" names ");
            both.is_some_and(|(a, b)| LEFT.iter().any(|left| left.contains(&a) && left.contains(&b)))
        };
        let circles = read.circles().into_iter().filter(|circle| package != "src" || !is_left(circle));
        found.extend(circles.map(|circle| format!("{package}: {circle}")));
    }
    super::none("modules that need each other", &found);
}
