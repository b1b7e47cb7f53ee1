//! Every committed input of the fuzz targets, replayed on stable; and many random ones.

use std::io::Write;
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a library of its own in `fuzz/`")]
mod targets;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

/// What may be seen of a test that passes: not through `eprintln`, which the harness keeps to itself.
fn note(line: &str) {
    let _ = std::io::stderr().write_all(format!("corpus: {line}\n").as_bytes());
}

fn body(name: &str) -> fn(&[u8]) {
    targets::TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this name").1
}

fn replay(name: &str) {
    let folder = folder(name);
    let mut inputs: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= 10, "{}: {} inputs", folder.display(), inputs.len());
    for input in &inputs {
        let data = std::fs::read(input).unwrap();
        if std::panic::catch_unwind(|| body(name)(&data)).is_err() {
            panic!("{} fails; alone: cargo fuzz run {name} {}", input.display(), input.display());
        }
    }
    note(&format!("{name} replayed {}", inputs.len()));
}

/// Random bytes, the same in every run: what a target does is held against its promises even where nobody has a
/// fuzzer.
fn at_random(name: &str, inputs: u64) {
    let inputs = std::env::var("QUOIT_FUZZ").map_or(inputs, |inputs| inputs.parse().expect("a number"));
    for number in 0..inputs {
        let data = targets::random(number);
        if std::panic::catch_unwind(|| body(name)(&data)).is_err() {
            panic!("{name} fails on the random input {number}: {data:02x?}");
        }
    }
    note(&format!("{name} random {inputs}"));
}

/// Files of real rings, for `open` to begin with: `QUOIT_WRITE_SEEDS=1` writes them.
#[test]
fn seeds() {
    if std::env::var_os("QUOIT_WRITE_SEEDS").is_none() {
        return;
    }
    for (name, _) in targets::TARGETS {
        std::fs::create_dir_all(folder(name)).unwrap();
        for number in 0..100 {
            std::fs::write(folder(name).join(format!("random-{number}")), targets::random(number)).unwrap();
        }
    }
    for (number, image) in targets::images().iter().enumerate() {
        // The bytes of a whole file: raw, every role, nothing done after.
        let seed = [&[number as u8, 1, 0x7f, 0][..], image].concat();
        std::fs::write(folder("open").join(format!("ring-{number}")), seed).unwrap();
    }
}

mod open {
    #[test]
    fn replayed() {
        super::replay("open");
    }

    #[test]
    fn random() {
        super::at_random("open", 2000);
    }
}

mod walk {
    #[test]
    fn replayed() {
        super::replay("walk");
    }

    #[test]
    fn random() {
        super::at_random("walk", 4000);
    }
}

mod race {
    #[test]
    fn replayed() {
        super::replay("race");
    }

    #[test]
    fn random() {
        super::at_random("race", 300);
    }
}

mod control {
    #[test]
    fn replayed() {
        super::replay("control");
    }

    #[test]
    fn random() {
        super::at_random("control", 2000);
    }
}

mod ops {
    #[test]
    fn replayed() {
        super::replay("ops");
    }

    #[test]
    fn random() {
        super::at_random("ops", 300);
    }
}

mod framing {
    #[test]
    fn replayed() {
        super::replay("framing");
    }

    #[test]
    fn random() {
        super::at_random("framing", 5000);
    }
}

mod objects {
    #[test]
    fn replayed() {
        super::replay("objects");
    }

    #[test]
    fn random() {
        super::at_random("objects", 2000);
    }
}
