//! `quoit bench`: that it measures and tells, not what. Times are nothing to test on a machine that others use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quoit"));
    command.arg("bench").args(arguments);
    command
}

/// Of the quick form.
const ROWS: usize = 55;

/// It takes two.
fn is_alone() -> bool {
    std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() < 2)
}

/// One quick round of everything, measured once for all tests; `None` where there are too few CPUs.
fn measured() -> Option<&'static Value> {
    static DOCUMENT: OnceLock<Option<Value>> = OnceLock::new();
    let measure = || {
        let output = bench(&["--quick", "--rounds", "1", "--json"]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert_eq!(errors, "");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    DOCUMENT.get_or_init(|| (!is_alone()).then(measure)).as_ref()
}

/// Whether a slow mode is looked for.
fn is_stream(result: &Value) -> bool {
    ["stream", "batch", "built"].contains(&result["workload"].as_str().unwrap())
}

/// The same with figures that do not depend on how busy the machine was.
fn settled() -> Option<Value> {
    let mut document = measured()?.clone();
    for result in document["results"].as_array_mut().unwrap() {
        result["kept"] = 25.into();
        result["discarded"] = 1.into();
        result["ratio"] =
            json!({ "lower_quartile": 0.9, "median": 1.0, "upper_quartile": 1.1, "worst": 0.8 });
        if is_stream(result) {
            result["slow_mode"] = false.into();
        }
        result["floor_ns"] = json!({ "typical": 100.0 });
        result["quoit_ns"] = json!({ "typical": 100.0 });
        if ["pingpong", "asleep", "open"].contains(&result["workload"].as_str().unwrap()) {
            result["quoit_ns"] = json!({ "typical": 100.0, "p99": 120.0, "p999": 900.0, "max": 70_000.0 });
            result["quoit_latencies"] = "90x10 100x900 120x80 900x9 70000x1".into();
            result["floor_latencies"] = "80x10 100x900 110x89 8000x1".into();
        }
    }
    Some(document)
}

/// A directory with a document in it.
fn kept(document: &Value) -> (TempDir, PathBuf) {
    let directory = tempfile::Builder::new().prefix("quoit-cli-").tempdir().unwrap();
    let path = directory.path().join("new.json");
    fs::write(&path, document.to_string()).unwrap();
    (directory, path)
}

/// Standard output of a run that measures nothing.
fn shown(path: &Path, arguments: &[&Path]) -> String {
    let output = bench(&["--from"]).arg(path).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(errors, "");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(arguments: &[&str], code: i32) -> String {
    let output = bench(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn measures_every_workload_and_tells_it_in_json() {
    let Some(document) = measured() else { return };
    for key in ["kernel", "cpu", "placement", "mitigations", "date"] {
        assert!(document["machine"][key].is_string(), "no {key}: {document:#}");
    }
    let results = document["results"].as_array().unwrap();
    let count = |workload: &str| results.iter().filter(|result| result["workload"] == workload).count();
    let trips = ["pingpong", "asleep", "open"].map(count);
    let streams = ["stream", "batch", "built", "price", "fanout", "large"].map(count);
    let sends = ["flood", "claims", "slots"].map(count);
    assert_eq!((trips, streams, sends), ([6, 1, 2], [6, 5, 12, 2, 4, 2], [3, 10, 2]));
    assert_eq!(results.len(), ROWS);
    for result in results {
        assert_eq!(result["kept"].as_u64().unwrap() + result["discarded"].as_u64().unwrap(), 1, "{result}");
        assert_eq!(result["ratio"].is_object(), result["kept"] == 1, "{result}");
        // Of one round.
        assert_eq!(result["ratio"]["worst"], result["ratio"]["median"], "{result}");
        assert_eq!(result["slow_mode"].is_boolean(), is_stream(result) && result["kept"] == 1, "{result}");
        assert_eq!(
            result["verdict"].is_string(),
            result["kept"] == 1 && result["target"].is_number(),
            "{result}"
        );
        if result["kept"] == 1 {
            let times = [&result["floor_ns"]["typical"], &result["quoit_ns"]["typical"]];
            assert!(times.iter().all(|time| time.as_f64().unwrap() > 0.0), "{result}");
        }
    }
    let with_targets = [
        "pingpong", "stream", "batch", "asleep", "price", "flood", "claims", "fanout", "slots", "large",
        "open",
    ];
    assert_eq!(with_a_target(results), with_targets);
}

/// The workloads some of whose rows have a target, in their order.
fn with_a_target(results: &[Value]) -> Vec<&str> {
    let rows = results.iter().filter(|result| result["target"].is_number());
    let mut workloads: Vec<_> = rows.filter_map(|row| row["workload"].as_str()).collect();
    workloads.dedup();
    workloads
}

#[test]
fn shows_again_what_it_has_written() {
    let Some(document) = measured() else { return };
    let (_directory, path) = kept(document);
    let again: Value = serde_json::from_str(&shown(&path, &[Path::new("--json")])).unwrap();
    assert_eq!(&again, document);
    let table = shown(&path, &[]);
    let machine = document["machine"]["placement"].as_str().unwrap();
    assert!(table.contains(machine) && table.contains("targets met"), "{table}");
    // This build is not optimised, and one round is not many.
    assert_eq!(table.contains("compiled without optimisation"), cfg!(debug_assertions), "{table}");
    assert!(table.contains(&format!("{ROWS} of {ROWS} rows have fewer than 20 rounds")), "{table}");
}

#[test]
fn only_what_was_asked_for_is_measured() {
    if is_alone() {
        return;
    }
    let words = ["--quick", "--only", "price,asleep", "--rounds", "1", "--cpus", "0,1", "--json"];
    let output = bench(&words).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let labels: Vec<&str> = document["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["label"].as_str().unwrap())
        .collect();
    assert_eq!(labels, ["64 B", "membarrier", "fence"]);
}

#[test]
fn percentiles_go_to_files_that_hdrhistogram_tools_read() {
    let Some(document) = settled() else { return };
    let (directory, path) = kept(&document);
    shown(&path, &[Path::new("--hgrm"), directory.path()]);
    shown(&path, &[Path::new("--hgrm"), &directory.path().join("run")]);
    let names: Vec<String> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".hgrm"))
        .collect();
    // 6 round trips, 1 asleep, 2 open loops, each with its floor; twice.
    assert_eq!(names.len(), 36, "{names:?}");
    assert!(names.contains(&"run-pingpong-8-B-quoit.hgrm".to_owned()), "{names:?}");
    for name in names {
        let text = fs::read_to_string(directory.path().join(&name)).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("       Value     Percentile TotalCount 1/(1-Percentile)"));
        let rows: Vec<Vec<f64>> = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect();
        assert!(
            rows.windows(2).all(|pair| (0..3).all(|column| pair[0][column] <= pair[1][column])),
            "{text}"
        );
        let last = rows.last().unwrap();
        assert_eq!(last[1..], [1.0, 1000.0], "{text}");
        let highest = if name.ends_with("quoit.hgrm") { 70_000.0 } else { 8_000.0 };
        // Three figures.
        assert!((last[0] / highest - 1.0).abs() < 0.001, "{text}");
    }
}

#[test]
fn the_report_is_one_page_that_needs_nothing_else() {
    let Some(document) = settled() else { return };
    let (directory, path) = kept(&document);
    let page = directory.path().join("report.html");
    shown(&path, &[Path::new("--html"), &page, Path::new("--compare"), &path]);
    let text = fs::read_to_string(&page).unwrap();
    // It is well-formed XML as well, so that this can look into it.
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let tree = roxmltree::Document::parse_with_options(&text, options).unwrap();
    let all = |name: &str| tree.descendants().filter(|node| node.has_tag_name(name)).count();
    for outside in ["script", "link", "img", "iframe", "object"] {
        assert_eq!(all(outside), 0, "a {outside} in {}", page.display());
    }
    for node in tree.descendants() {
        for attribute in node.attributes() {
            assert!(!["src", "href"].contains(&attribute.name()), "{attribute:?}");
            assert!(!attribute.name().starts_with("on"), "{attribute:?}");
        }
    }
    assert!(!text.contains("url(") && !text.contains("@import"));
    let svg = ("http://www.w3.org/2000/svg", "svg");
    // Bars of twelve workloads, curves of nine rows.
    assert_eq!(tree.descendants().filter(|node| node.has_tag_name(svg)).count(), 21);
    assert!(text.contains("prefers-color-scheme: dark"));
    for kind in ["quoit-line", "floor-line", "whisker", "worst", "target"] {
        assert!(text.contains(&format!("class=\"{kind}\"")), "no {kind}");
    }
    assert!(tree.descendants().filter_map(|node| node.text()).all(|text| !text.contains("NaN")));
}

#[test]
fn what_was_not_measured_is_neither_met_nor_missed() {
    let Some(mut document) = settled() else { return };
    let results = document["results"].as_array_mut().unwrap();
    for result in results.iter_mut() {
        // Without the high percentiles, which have targets of their own.
        result["tail"] = Value::Null;
        let target = result["target"].is_number();
        result["verdict"] = if target { "met".into() } else { Value::Null };
    }
    let targets = results.iter().filter(|result| result["target"].is_number()).count();
    let (_all, path) = kept(&document);
    let words = format!("\n{targets} of {targets} targets met\n");
    assert!(shown(&path, &[]).ends_with(&words));
    let results = document["results"].as_array_mut().unwrap();
    for (number, result) in results.iter_mut().filter(|result| result["target"].is_number()).enumerate() {
        match number {
            0..7 => {
                result["ratio"] = Value::Null;
                result["verdict"] = Value::Null;
                result["kept"] = 0.into();
            }
            7..10 => result["verdict"] = "missed".into(),
            10 => result["verdict"] = "just missed".into(),
            11..13 => result["verdict"] = "just met".into(),
            _ => {}
        }
    }
    let (directory, path) = kept(&document);
    let page = directory.path().join("report.html");
    let (measured, met) = (targets - 7, targets - 7 - 4);
    let words = format!("\n{met} of {measured} measured targets met, 7 not measured\n");
    let table = shown(&path, &[Path::new("--html"), &page]);
    assert!(table.ends_with(&words), "{table}");
    let text = fs::read_to_string(&page).unwrap();
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let tree = roxmltree::Document::parse_with_options(&text, options).unwrap();
    let tiles = tree.descendants().filter(|node| {
        let class = node.attribute("class").unwrap_or_default();
        class.split(' ').any(|class| class == "tile")
    });
    let tiles: Vec<usize> = tiles
        .map(|tile| tile.descendants().find(|node| node.has_tag_name("b")).unwrap().text().unwrap())
        .map(|number| number.parse().unwrap())
        .collect();
    assert_eq!(tiles, [met - 2, 2, 1, 3, 7, targets]);
}

#[test]
fn a_change_beyond_the_spread_is_told_from_one_within() {
    let Some(mut document) = settled() else { return };
    let (directory, old) = kept(&document);
    let same = shown(&old, &[Path::new("--compare"), &old]);
    assert!(same.ends_with(&format!("0 better, 0 worse, {ROWS} within the spread\n")), "{same}");
    assert!(!same.contains("DIFFERENT"), "{same}");

    let spread = |low: f64, median: f64, high: f64| json!({ "lower_quartile": low, "median": median, "upper_quartile": high, "worst": low });
    let results = document["results"].as_array_mut().unwrap();
    // A round trip is better if it takes less, a stream if it carries more.
    results[0]["ratio"] = spread(0.7, 0.75, 0.8);
    results[1]["ratio"] = spread(1.2, 1.25, 1.3);
    results[2]["ratio"] = spread(1.0, 1.05, 1.3);
    results[6]["ratio"] = spread(0.7, 0.75, 0.8);
    results[7]["ratio"] = spread(1.2, 1.25, 1.3);
    let gone = results.pop().unwrap();
    document["machine"]["cpu"] = "another one".into();
    let new = directory.path().join("newer.json");
    fs::write(&new, document.to_string()).unwrap();
    let text = shown(&new, &[Path::new("--compare"), &old]);
    let line = |row: &str| text.lines().rfind(|line| line.starts_with(row)).unwrap();
    assert!(line("round trip, 8 B").ends_with("-25.0 %  better"), "{text}");
    assert!(line("round trip, 64 B").ends_with("+25.0 %  WORSE"), "{text}");
    assert!(line("round trip, 104 B").ends_with("+5.0 %  within the spread"), "{text}");
    assert!(line("stream, 8 B").ends_with("-25.0 %  WORSE"), "{text}");
    assert!(line("stream, 64 B").ends_with("+25.0 %  better"), "{text}");
    assert!(text.ends_with(&format!("2 better, 2 worse, {} within the spread\n", ROWS - 5)), "{text}");
    assert!(text.contains("DIFFERENT MACHINES") && text.contains("another one now"), "{text}");
    let label = gone["label"].as_str().unwrap();
    assert!(line("only in the old run: ").ends_with(label), "{text}");
}

#[test]
fn the_worst_round_is_shown_beside_the_median_and_a_slow_mode_is_told() {
    let Some(mut document) = settled() else { return };
    let (_calm, path) = kept(&document);
    let table = shown(&path, &[]);
    assert!(table.contains("\nno slow mode in 23 streams\n") && !table.contains("SLOW MODE"), "{table}");
    let results = document["results"].as_array_mut().unwrap();
    let stream = results.iter_mut().find(|result| result["workload"] == "stream").unwrap();
    stream["ratio"]["worst"] = 0.41.into();
    stream["slow_mode"] = true.into();
    let claim = results.iter_mut().find(|result| result["workload"] == "claims").unwrap();
    claim["ratio"]["worst"] = 7.77.into();
    let (directory, path) = kept(&document);
    let (report, page) = (directory.path().join("report.html"), directory.path().join("page.md"));
    fs::write(&page, "<!-- bench -->\n<!-- end of bench -->\n").unwrap();
    let table = shown(&path, &[Path::new("--html"), &report, Path::new("--markdown"), &page]);
    let slow = "slow mode in 1 of 23 streams: stream, 8 B";
    for text in [table, fs::read_to_string(&report).unwrap(), fs::read_to_string(&page).unwrap()] {
        let has = |words: &str| assert!(text.contains(words), "no {words:?} in {text}");
        ["0.41", "7.77", slow].into_iter().for_each(has);
    }
    let text = fs::read_to_string(&page).unwrap();
    let line = |row: &str| text.lines().find(|line| line.starts_with(row)).unwrap();
    assert!(line("| stream, 8 B |").contains("| **1.00** | 0.41 |"), "{text}");
    assert!(line("| stream, 8 B |").contains(", slow mode |"), "{text}");
    assert!(line("| nobody reading, claim, 8 B |").contains("| **1.00** | 7.77 |"), "{text}");
}

#[test]
fn readers_that_back_off_have_a_table_of_their_own() {
    if is_alone() {
        return;
    }
    let output = bench(&["--quick", "--only", "backoff", "--rounds", "1", "--json"]).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let results = document["results"].as_array().unwrap();
    assert_eq!(results.len(), 45);
    assert!(results.iter().all(|result| result["workload"] == "backoff"));
    assert!(results.iter().all(|result| result["target"] == 0.97));
    let (directory, path) = kept(&document);
    let page = directory.path().join("page.md");
    fs::write(&page, "before\n<!-- bench -->\nother\n<!-- end of bench -->\n").unwrap();
    let words = [path.to_str().unwrap(), "--markdown", page.to_str().unwrap()];
    let why = refused(&[&["--from"], &words[..]].concat(), 1);
    assert!(why.contains("put a line <!-- backoff -->"), "{why}");
    let marks = "<!-- bench -->\nother\n<!-- end of bench -->\n<!-- backoff -->\n<!-- end of backoff -->\n";
    fs::write(&page, marks).unwrap();
    shown(&path, &[Path::new("--markdown"), &page]);
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.starts_with("<!-- bench -->\nother\n<!-- end of bench -->\n<!-- backoff -->\n"), "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    // Three records that a ring of 4 KiB has room for, and four for each of the other rings.
    assert_eq!(lines.len(), 2 + 3 + 3 * 4, "{text}");
    assert_eq!(lines[0], "| record in ring | gated | lossy | observer |");
    assert!(lines[2].starts_with("| 8 B in 4 KiB | ") && lines[16].starts_with("| 4 KiB in 64 MiB | "));
    assert!(lines.iter().all(|line| line.matches('|').count() == 5), "{text}");
}

#[test]
fn what_times_cost_is_told_as_a_difference() {
    if is_alone() {
        return;
    }
    let output = bench(&["--quick", "--only", "times", "--rounds", "1", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let results = document["results"].as_array().unwrap();
    assert_eq!(results.len(), 6);
    for result in results {
        assert_eq!((&result["workload"], &result["target"]), (&"times".into(), &3.0.into()));
        if result["kept"] == 1 {
            let time = |what: &str| result[what]["typical"].as_f64().unwrap();
            let difference = result["ratio"]["median"].as_f64().unwrap();
            assert!((time("quoit_ns") - time("floor_ns") - difference).abs() < 0.01, "{result}");
        }
    }
    let (directory, path) = kept(&document);
    let report = directory.path().join("report.html");
    let table = shown(&path, &[Path::new("--html"), &report]);
    assert!(table.contains("nanoseconds beyond the floor's: less is better"), "{table}");
    assert!(fs::read_to_string(&report).unwrap().contains("Nanoseconds beyond the floor; shorter is better"));
}

#[test]
fn the_kit_is_measured_if_asked_for_and_has_a_table_of_its_own() {
    if is_alone() {
        return;
    }
    let output = bench(&["--quick", "--only", "kit", "--rounds", "1", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let results = document["results"].as_array().unwrap();
    let workloads = [
        ("locks", 5),
        ("contended", 8),
        ("handover", 4),
        ("fairness", 3),
        ("latest", 3),
        ("changed", 1),
        ("waits", 4),
        ("idle", 3),
        ("calls", 9),
        ("serving", 6),
        ("groups", 12),
    ];
    for (workload, rows) in workloads {
        let count = results.iter().filter(|result| result["workload"] == workload).count();
        assert_eq!(count, rows, "{workload}");
    }
    assert_eq!(results.len(), workloads.iter().map(|(_, rows)| rows).sum::<usize>());
    for result in results {
        let is_kept = result["kept"] == 1;
        assert!(is_kept || result["discarded"] == 1, "{result}");
        assert_eq!(result["ratio"].is_object(), is_kept, "{result}");
        let has_no_floor = ["fairness", "idle"].contains(&result["workload"].as_str().unwrap());
        assert_eq!(result["floor_ns"].is_object(), is_kept && !has_no_floor, "{result}");
        if is_kept {
            assert!(result["quoit_ns"]["typical"].as_f64().unwrap() > 0.0, "{result}");
            assert!(result["ratio"]["median"].as_f64().unwrap() >= 0.0, "{result}");
        }
    }
    let with_targets =
        ["locks", "contended", "handover", "fairness", "latest", "changed", "idle", "calls", "groups"];
    assert_eq!(with_a_target(results), with_targets);

    let (directory, path) = kept(&document);
    let page = directory.path().join("page.md");
    fs::write(&page, "<!-- bench -->\nother\n<!-- end of bench -->\n<!-- kit -->\n<!-- end of kit -->\n")
        .unwrap();
    shown(&path, &[Path::new("--markdown"), &page]);
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.starts_with("<!-- bench -->\nother\n<!-- end of bench -->\n<!-- kit -->\n"), "{text}");
    for row in [
        "lock and unlock, mutex by parking_lot, the value read",
        "handed out, 8 members, by a pipe, 16 a read",
    ] {
        assert_eq!(text.matches(&format!("\n| {row} | ")).count(), 1, "{row}: {text}");
    }
    // One round, of a machine that tests share: the table says so.
    let rows = results.len();
    assert!(text.contains(&format!("**{rows} of {rows} rows have fewer than 20 rounds")), "{text}");
}

#[test]
fn the_table_of_a_page_is_written_anew_and_nothing_else_of_it() {
    let Some(document) = settled() else { return };
    let (directory, path) = kept(&document);
    let page = directory.path().join("page.md");
    fs::write(&page, "before\n<!-- bench -->\nold\n<!-- end of bench -->\nafter\n").unwrap();
    for _ in 0..2 {
        shown(&path, &[Path::new("--markdown"), &page]);
    }
    let text = fs::read_to_string(&page).unwrap();
    assert!(
        text.starts_with("before\n<!-- bench -->\n") && text.ends_with("\n<!-- end of bench -->\nafter\n")
    );
    assert!(!text.contains("old"));
    assert_eq!(text.matches("<!-- bench -->").count(), 1);
    let mut far = document.clone();
    far["distance"] = "far".into();
    far["bounce_ns"] = 480.0.into();
    let (_far, path_of_far) = kept(&far);
    let both = directory.path().join("both.md");
    let near = "<!-- bench -->\nnear\n<!-- end of bench -->\n";
    fs::write(&both, format!("{near}<!-- far -->\n<!-- end of far -->\n")).unwrap();
    shown(&path_of_far, &[Path::new("--markdown"), &both]);
    let of_both = fs::read_to_string(&both).unwrap();
    assert!(of_both.starts_with(near), "{of_both}");
    assert!(of_both.contains("far: a cache line goes there and back in 480 ns"), "{of_both}");
    let rows = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    // Six round trips have three targets each, and a row among the latencies.
    assert_eq!(
        ["| round trip, ", "| stream, ", "| stream to ", "| publish with "].map(rows),
        [24, 23, 4, 2],
        "{text}"
    );
    // Every row of a table has as many cells as its head.
    let mut cells = None;
    for line in text.lines() {
        let count = line.starts_with('|').then(|| line.matches('|').count());
        assert!(cells.is_none() || count.is_none() || cells == count, "{line}");
        cells = count;
    }
    let missing = directory.path().join("other.md");
    fs::write(&missing, "no marks").unwrap();
    let path = path.to_str().unwrap();
    let why = refused(&["--from", path, "--markdown", missing.to_str().unwrap()], 1);
    assert!(why.contains("put a line <!-- bench -->"), "{why}");
    assert_eq!(fs::read_to_string(&missing).unwrap(), "no marks");
}

#[test]
fn the_page_of_this_project_has_a_place_for_the_tables() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks.md");
    let text = fs::read_to_string(page).unwrap();
    for section in ["bench", "far", "times", "backoff", "kit"] {
        let (_, rest) = text.split_once(&format!("<!-- {section} -->")).unwrap();
        assert!(rest.contains(&format!("<!-- end of {section} -->")));
    }
}

/// Before anything is measured: these end at once.
#[test]
fn what_cannot_be_read_or_written_is_told_with_what_to_do() {
    let directory = tempfile::Builder::new().prefix("quoit-cli-").tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let advice = "quoit bench --json > FILE";
    for (name, text, code, words) in [
        ("words.json", "floor 12 ns", 4, "is no result of a benchmark"),
        ("other.json", "{\"a\": 1}", 4, "is no result of a benchmark"),
        ("empty.json", "", 4, "is no result of a benchmark"),
        ("newer.json", "{\"quoit_bench_format\": 99}", 4, "format 99, and this build reads 5"),
        ("cut.json", "{\"quoit_bench_format\": 5}", 4, "is a damaged result"),
    ] {
        let path = file(name, text);
        for option in ["--compare", "--from"] {
            let why = refused(&[option, &path], code);
            assert!(why.contains(words) && why.contains(advice) && why.contains(&path), "{why}");
        }
    }
    let why = refused(&["--compare", "/nowhere/old.json"], 3);
    assert!(why.contains(advice), "{why}");
    let why = refused(&["--html", "/nowhere/report.html"], 1);
    assert!(why.contains("there is no directory /nowhere"), "{why}");
    assert!(refused(&["--json", "--compare", "x"], 2).contains("cannot be used with"));
    for cpus in ["0", "0,1,2", "a,b", "", "0,0"] {
        assert!(refused(&["--cpus", cpus], 2).contains("as in 0,1"), "{cpus:?}");
    }
}

/// Command lines of the processes that measure for `parent`, or in `directory`.
fn measuring(parent: Option<u32>, directory: &Path) -> Vec<String> {
    let line = |process: &Path| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ")
    };
    let is_child = |process: &Path| {
        let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        parent.is_none_or(|parent| rest.split(' ').nth(1) == Some(&parent.to_string()))
    };
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let lines = processes.filter(|process| is_child(process)).map(|process| line(&process));
    lines.filter(|line| line.contains("bench-child") && line.contains(directory.to_str().unwrap())).collect()
}

#[test]
fn ctrl_c_ends_it_and_leaves_nothing() {
    if is_alone() {
        return;
    }
    let mut child = bench(&["--only", "stream"]).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let directory = loop {
        if let Some(line) = measuring(Some(child.id()), Path::new("")).first() {
            break PathBuf::from(line.trim_end().rsplit(' ').next().unwrap());
        }
        assert!(began.elapsed() < Duration::from_secs(10), "it does not begin");
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(directory.is_dir(), "{}", directory.display());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!directory.exists());
    assert!(measuring(None, &directory).is_empty());
}
