//! What the documents tell people to type is what the command takes.

use std::collections::BTreeMap;

use crate::support::Place;

const DOCUMENTS: [(&str, &str); 5] = [
    ("README.md", include_str!("../../../README.md")),
    ("docs/operate.md", include_str!("../../../docs/operate.md")),
    ("docs/tuning.md", include_str!("../../../docs/tuning.md")),
    ("docs/cli.md", include_str!("../../../docs/cli.md")),
    ("docs/guarantees.md", include_str!("../../../docs/guarantees.md")),
];

/// Options in the documents that are other programs'.
const OTHERS: [&str; 12] = [
    "--bench",
    "--clean",
    "--doc",
    "--features",
    "--follow",
    "--ipc",
    "--open",
    "--package",
    "--release",
    "--shm-size",
    "--test",
    "--workspace",
];

/// All code of a document, line by line, without the marks: blocks, and what stands between backticks.
fn code(text: &str) -> Vec<String> {
    let mut code = Vec::new();
    let mut block = false;
    for line in text.lines() {
        if line.starts_with("```") {
            block = !block;
        } else if block {
            code.push(line.to_owned());
        } else {
            code.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    code
}

/// The words of each `quoit` command in a line of code, up to what the shell makes of the rest, or another command.
fn commands(line: &str) -> Vec<Vec<&str>> {
    let ends = |word: &&str| !["|", ">", ">>", "<", "&&", ";", "#", "&", "--"].contains(word);
    let words: Vec<_> = line.split([' ', '\'']).filter(|word| !word.is_empty()).collect();
    let is_quoit = |word: &&str| *word == "quoit" || word.ends_with("/quoit") || word.ends_with("=quoit");
    let starts = (0..words.len()).filter(|at| is_quoit(&words[*at]));
    starts.map(|at| words[at + 1..].iter().copied().take_while(ends).collect()).collect()
}

/// The long options that a verb's help names.
fn options(place: &Place, verb: &str) -> Option<Vec<String>> {
    let ran = place.run(&format!("{verb} --help"), b"");
    let text = String::from_utf8(ran.stdout.clone()).unwrap();
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let names = text.match_indices("--").map(|(at, _)| text[at..].split(|c| !is_name(c)).next().unwrap());
    (!text.is_empty()).then(|| names.map(str::to_owned).collect())
}

#[test]
fn the_documents_name_verbs_and_options_that_exist() {
    let place = Place::new();
    let mut known: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for (name, text) in DOCUMENTS {
        for line in code(text) {
            for words in commands(&line) {
                let Some((verb, rest)) = words.split_first() else { continue };
                if verb.starts_with('-') {
                    continue;
                }
                let taken = known.entry((*verb).to_owned()).or_insert_with(|| options(&place, verb));
                let Some(taken) = taken else {
                    wrong.push(format!("{name}: no verb {verb}: {line}"));
                    continue;
                };
                for option in rest.iter().filter(|word| word.starts_with("--")) {
                    let option = option.split('=').next().unwrap();
                    checked += 1;
                    if !taken.iter().any(|known| known == option) {
                        wrong.push(format!("{name}: quoit {verb} has no {option}: {line}"));
                    }
                }
            }
        }
    }
    assert!(checked > 20, "the documents have commands");
    // And options that stand alone are some verb's.
    for verb in ["create", "pub", "sub", "info", "forget", "bench", "demo"] {
        known.entry(verb.to_owned()).or_insert_with(|| options(&place, verb));
    }
    let all: Vec<_> = known.values().flatten().flatten().map(String::as_str).chain(OTHERS).collect();
    for (name, text) in DOCUMENTS {
        for line in code(text).iter().filter(|line| line.starts_with("--")) {
            let option = line.split([' ', '=']).next().unwrap();
            if !all.contains(&option) {
                wrong.push(format!("{name}: nobody has {line}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The blocks of docs/operate.md that are units, by the name in their first line.
fn units() -> Vec<(&'static str, &'static str)> {
    let blocks = DOCUMENTS[1].1.split("```ini\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(|unit| (unit.lines().next().unwrap().rsplit('/').next().unwrap(), unit)).collect()
}

#[test]
fn the_units_are_what_a_service_manager_takes() {
    let units = units();
    assert_eq!(units.len(), 3);
    if !std::process::Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_ok_and(|ran| ran.status.success())
    {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"SKIPPED: no systemd-analyze here\n");
        return;
    }
    let place = Place::new();
    for (name, text) in &units {
        // The program has to be there.
        let text = text.replace("/usr/local/bin/quoit", env!("CARGO_BIN_EXE_quoit"));
        std::fs::write(place.file(name), text).unwrap();
    }
    let mut verify = std::process::Command::new("systemd-analyze");
    verify.env("SYSTEMD_UNIT_PATH", format!("{}:", place.file("").display())).arg("verify");
    let ran = verify.args(units.iter().map(|(name, _)| place.file(name))).output().unwrap();
    let complaints = String::from_utf8_lossy(&ran.stderr);
    let about_ours: Vec<_> = complaints.lines().filter(|line| line.contains("feed")).collect();
    assert!(about_ours.is_empty(), "{complaints}");
}
