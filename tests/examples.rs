//! Every example as its comment says: all of its programs, as real processes, and what they print.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use quoit::{DeadLetter, Event, Observer, Start};

#[path = "examples/stage.rs"]
mod stage;

use stage::{on_async_stage, on_stage};

/// Each is started by a test here, and its comment has the command.
#[test]
fn each_says_how_to_start_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = std::fs::read_to_string(root.join("tests/examples.rs")).expect("this file");
    let mut names = BTreeSet::new();
    for (folder, package) in [("examples", ""), ("async/examples", "-p quoit-async ")] {
        for entry in std::fs::read_dir(root.join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
            let text = std::fs::read_to_string(&path).expect("an example");
            let says =
                |way: &str| text.contains(&format!("//!     cargo run {package}{way}--example {name}"));
            assert!(says("") || says("--release "), "{name} does not say how to start it");
            names.insert(name);
        }
    }
    let started: BTreeSet<String> = own
        .split(concat!(".run", "("))
        .skip(1)
        .filter_map(|rest| rest.trim_start().trim_start_matches("&format!(").strip_prefix('"'))
        .filter_map(|words| words.split([' ', '"']).next().map(str::to_owned))
        .collect();
    assert_eq!(names, started, "each example is started by a test here");
}

#[test]
fn prices() {
    on_stage("prices", |stage| {
        let follow = stage.run("prices follow /dev/shm/prices");
        stage.run("prices publish /dev/shm/prices").ends();
        assert_eq!(follow.ends(), ["0: EURUSD 1.0842"]);
    });
}

/// The sequence of a line of `ticks_follow`.
fn sequence(line: &str) -> Option<u64> {
    line.split_once("  EURUSD ")?.0.trim().parse().ok()
}

#[test]
fn ticks() {
    on_stage("ticks", |stage| {
        let mut follow = stage.run("ticks_follow");
        let lossy = stage.run("ticks_follow /dev/shm/quoit-ticks lossy");
        let mut all = stage.run("ticks_follow_all");
        let first = stage.run("ticks_publish");
        follow.says("the tenth tick", |line| sequence(line) == Some(10));
        first.kill();
        follow.says("the death", |line| line == "the producer died; waiting for the next one");
        all.says("the death", |line| {
            line == "/dev/shm/quoit-ticks: the producer died; waiting for the next one"
        });
        let mut second = stage.run("ticks_publish /dev/shm/quoit-ticks 20");
        let next: u64 =
            second.begins("/dev/shm/quoit-ticks: producer number 2, next sequence ").parse().unwrap();
        assert!(next > 10);
        let said = second.ends();
        assert!(said[1].starts_with(&format!("closed before sequence {}", next + 20)), "{said:?}");
        for follow in [follow, lossy] {
            let said = follow.ends();
            let sequences: Vec<u64> = said.iter().filter_map(|line| sequence(line)).collect();
            assert_eq!(sequences, (0..next + 20).collect::<Vec<_>>());
            assert!(said.iter().any(|line| line == "from here on by producer number 2"), "{said:?}");
            assert_eq!(said.last().unwrap(), "the producer is done");
        }
        let said = all.ends();
        let told = "/dev/shm/quoit-ticks: from here on by producer number 2";
        assert!(said.iter().any(|line| line == told), "{said:?}");
        assert_eq!(said.last().unwrap(), "/dev/shm/quoit-ticks: the producer is done");
    });
}

#[test]
fn merged_ticks() {
    on_stage("merged_ticks", |stage| {
        let (one, two) = ("/dev/shm/quoit-ticks", "/dev/shm/other-ticks");
        let mut merge = stage.run(&format!("ticks_merge {one} {two}"));
        let dies = stage.run("ticks_publish");
        let ends = stage.run(&format!("ticks_publish {two} 50"));
        for path in [one, two] {
            merge.says("ticks of both", |line| line.starts_with(path));
        }
        dies.kill();
        ends.ends();
        let said = merge.ends();
        let of = |path: &str| -> Vec<String> {
            let rest = |line: &String| line.strip_prefix(&format!("{path}: ")).map(str::to_owned);
            said.iter().filter_map(rest).collect()
        };
        let sequences: Vec<u64> = of(two).iter().filter_map(|line| sequence(line)).collect();
        assert_eq!(sequences, (0..50).collect::<Vec<_>>());
        for path in [one, two] {
            assert!(
                of(path).last().is_some_and(|line| sequence(line).is_none()),
                "its end is told: {said:?}"
            );
        }
    });
}

/// When a line of `readings_merge` was published, unless it is late.
fn published(line: &str) -> Option<(u64, u64)> {
    let (time, rest) = line.split_once("  ").filter(|_| !line.ends_with(", late)"))?;
    let (seconds, ns) = time.split_once('.').filter(|_| rest.contains(" on the way"))?;
    Some((seconds.parse().ok()?, ns.parse().ok()?))
}

#[test]
fn readings() {
    on_stage("readings", |stage| {
        let (one, two) = ("/dev/shm/quoit-readings", "/dev/shm/other-readings");
        let show = stage.run("readings_show");
        let merge = stage.run(&format!("readings_merge 1000 {one} {two}"));
        let senders = [one, two].map(|path| stage.run(&format!("readings_send {path} 120")));
        for sender in senders {
            let said = sender.ends();
            assert!(said[0].starts_with("closed before sequence 120; "), "{said:?}");
        }
        let said = merge.ends();
        for path in [one, two] {
            let readings = said.iter().filter(|line| line.contains(&format!("  {path}: sensor"))).count();
            assert_eq!(readings, 120, "{said:?}");
        }
        let times: Vec<_> = said.iter().filter_map(|line| published(line)).collect();
        assert!(times.is_sorted() && !times.is_empty(), "{said:?}");
        let said = show.ends();
        assert_eq!(said.last().unwrap(), "the sender is done");
        // Every reading was shown or replaced by a newer one.
        let counts = said.iter().filter_map(|line| {
            let (replaced, _) = line.split_once("  (")?.1.split_once(" older ones replaced, ")?;
            Some(1 + replaced.parse::<u64>().expect("a count"))
        });
        assert_eq!(counts.sum::<u64>(), 120, "{said:?}");
        // What was published before now is not started with.
        let said = stage.run(&format!("readings_merge 0 {one}")).ends();
        assert!(said.iter().all(|line| published(line).is_none()), "{said:?}");
    });
}

#[test]
fn typed() {
    on_stage("typed", |stage| {
        let follow = stage.run("typed_follow");
        let path = "/dev/shm/quoit-quotes";
        let said = stage.run(&format!("typed_publish {path} 3")).ends();
        assert!(said[0].starts_with("closed before sequence 12;"), "{said:?}");
        let said = follow.ends();
        assert_eq!(said.len(), 15, "{said:?}");
        assert_eq!(said[0], "     0  instrument 0  1000 at 1083990 / 1084010");
        assert_eq!(said[11], "    11  instrument 3  500 at 1083982 / 1084022");
        assert_eq!(said[12..14], ["the producer is done", "lost so far: 0 records"]);
        stage.run(&format!("typed_publish {path} 1")).ends();
        let said = stage.run(&format!("typed_follow {path} follower")).ends();
        assert_eq!(said[0], "here again, at sequence 12");
        let instruments = said.iter().filter(|line| line.contains("  instrument ")).count();
        assert_eq!(instruments, 4, "{said:?}");
    });
}

#[test]
fn settings() {
    on_stage("settings", |stage| {
        let mut follow = stage.run("settings_follow");
        follow.says("the defaults", |line| line == "Settings { jobs_per_second: 10, verbose: 0 }");
        for (set, shown, version) in [("rate 50", "50, verbose: 0", 2), ("verbose 1", "50, verbose: 1", 3)] {
            let shown = format!("Settings {{ jobs_per_second: {shown} }}");
            let said = stage.run(&format!("settings_set {set}")).ends();
            assert!(said[0].starts_with(&format!("{shown}, version {version};")), "{said:?}");
            follow.says(&shown, |line| line.starts_with("changed after ") && line.ends_with(&shown));
        }
        follow.says("jobs", |line| line.ends_with(" jobs done"));
        let said = stage.run("settings_set").ends();
        assert!(said[0].contains("verbose: 1 }, version 3;"), "nothing is set: {said:?}");
    });
}

/// The journal is killed, and the book waits for the next one.
#[test]
fn orders() {
    on_stage("orders", |stage| {
        let (path, file) = ("/dev/shm/orders", stage.file("journal"));
        let journal = || stage.run(&format!("orders_journal {path} {file}"));
        let dies = journal();
        let mut book = stage.run(&format!("orders_book {path} {file}"));
        let send = stage.run(&format!("orders_send {path} 40"));
        book.says("an order", |line| line.starts_with("order "));
        dies.kill();
        let goes_on = journal();
        assert!(send.ends().last().is_some_and(|line| line.starts_with("closed; ")));
        let said = goes_on.ends();
        assert_eq!(said.last().unwrap(), "everything is on the disk, and the sender has closed the ring");
        let said = book.ends();
        let order = |line: &String| line.strip_prefix("order ")?.split_once(": account ")?.0.parse().ok();
        assert_eq!(said.iter().filter_map(order).collect::<Vec<u64>>(), (0..40).collect::<Vec<_>>());
    });
}

#[test]
fn board() {
    on_stage("board", |stage| {
        let (mut any, mut show) = (stage.run("board_show any"), stage.run("board_show"));
        let mut feed = stage.run("board_quote EURUSD");
        feed.says("its row", |line| line == "EURUSD: from version 1 on");
        any.says("a price", |line| line.starts_with("EURUSD ") && !line.contains("no feed"));
        show.says("a price", |line| line.starts_with("EURUSD ") && !line.contains("no feed"));
        feed.kill();
        show.says("the death", |line| line.starts_with("EURUSD ") && line.ends_with(", no feed)"));
        let mut next = stage.run("board_quote");
        let version = next.begins("EURUSD: from version ");
        let version = version.strip_suffix(" on, taken from a feed that died").expect("told of the death");
        assert!(version.parse::<u64>().unwrap() > 1);
        next.says("another row", |line| line == "GBPUSD: from version 1 on");
        any.says("another price", |line| line.starts_with("GBPUSD "));
        let mut third = stage.run("board_quote EURGBP");
        let pid = next.pid();
        third.says("who writes it", |line| line == format!("EURGBP: process {pid} writes it"));
        // That is an error, with which it ends.
        assert_eq!(third.dies().1.code(), Some(1));
    });
}

#[test]
fn jobs() {
    on_stage("jobs", |stage| {
        let mut watch = stage.run("jobs_watch");
        let mut first = stage.run("jobs_run");
        // Who is stopped works still, for as long as the test likes.
        watch.says("the limit", |line| line == "2 work at a time");
        first.begins(&format!("{}: job 1 of 20, after ", first.pid()));
        first.stop();
        let mut second = stage.run("jobs_run 20");
        second.begins(&format!("{}: job 1 of 20, after ", second.pid()));
        second.stop();
        let mut third = stage.run("jobs_run 1");
        let waits = format!("{} waits", third.pid());
        watch.says(&waits, |line| line.contains(&waits) && line.matches(" works").count() == 2);
        first.kill();
        second.kill();
        third.begins(&format!("{}: whoever had this permit before died with it", third.pid()));
        assert_eq!(third.ends().last().unwrap(), "done; the file stays: rm /dev/shm/quoit-jobs");
        std::fs::remove_file("/dev/shm/quoit-jobs").unwrap();
        assert_eq!(watch.ends().last().unwrap(), "/dev/shm/quoit-jobs was removed");
    });
}

#[test]
fn leader() {
    on_stage("leader", |stage| {
        let mut first = stage.run("leader");
        first.begins(&format!("{}: term 1, after 0 ticks", first.pid()));
        let mut second = stage.run("leader");
        let me = format!("{}: ", second.pid());
        assert_eq!(second.begins(&me), "stands by");
        first.kill();
        let said = second.begins(&me);
        assert!(
            said.starts_with("told that the leader died, ")
                && said.ends_with(" after its last commit; leads"),
            "{said}"
        );
        assert!(second.begins(&me).starts_with("term 2, after "));
    });
}

#[test]
fn queue() {
    on_stage("queue", |stage| {
        let mut first = stage.run("queue_work");
        let submit = stage.run("queue_submit /dev/shm/quoit-queue 20");
        first.begins("job 0: ");
        // Killed in the middle of its next job.
        std::thread::sleep(Duration::from_millis(100));
        let mut said = first.kill();
        // Job 19 kills whoever has it, until it was handed out three times.
        for deliveries in 1..=3 {
            let mut dies = stage.run("queue_work");
            dies.says("its death", |line| line == "job 19: kills this worker");
            let (lines, status) = dies.dies();
            assert_eq!(status.signal(), Some(nix::libc::SIGABRT), "{lines:?}");
            let again =
                lines.iter().any(|line| *line == format!("job 19: handed out for the {deliveries}. time"));
            assert_eq!(again, deliveries > 1, "{lines:?}");
            said.extend(lines.into_iter().filter(|line| !line.starts_with("job 19: ")));
        }
        said.extend(stage.run("queue_work").ends());
        let mut dead =
            Observer::open("/dev/shm/quoit-queue.dead", Start::Oldest).expect("the ring for dead letters");
        let letter = dead.try_recv().expect("receive");
        let Some(Event::Record(record)) = letter else { panic!("no dead letter, but {letter:?}") };
        let bytes = record.bytes();
        let letter = DeadLetter::parse(&bytes).expect("a dead letter");
        assert_eq!((letter.sequence(), letter.deliveries(), letter.payload()), (19, 3, &b"word 19"[..]));
        let is_done = |job: u64| {
            let begin = format!("job {job}: ");
            said.iter().filter_map(|line| line.strip_prefix(&begin)).any(|hash| hash.len() == 16)
        };
        assert!((0..19).all(is_done) && !is_done(19), "{said:?}");
        let again: Vec<_> =
            said.iter().filter(|line| line.ends_with(": handed out for the 2. time")).collect();
        let of = |job: &str| again.iter().any(|line| line.starts_with(job));
        assert!(again.len() == 3 && of("job 6: ") && of("job 13: "), "{said:?}");
        assert!(said.iter().any(|line| line == "job 6: failed, given back"), "{said:?}");
        assert_eq!(said.last().unwrap(), "every job is done, and the submitter has closed the queue");
        assert_eq!(submit.ends().iter().filter(|line| line.ends_with(" submitted")).count(), 20);
    });
}

#[test]
fn rod() {
    on_stage("rod", |stage| {
        let mut show = stage.run("rod_show");
        let mut first = stage.run("rod_worker");
        first.says("its part", |line| line == "part 0 of 2, from step 0 on");
        let mut second = stage.run("rod_worker 2");
        second.says("its part", |line| line == "part 1 of 2, from step 0 on");
        // Half of the first part is hot, and the rest of both is warm.
        let heat = " heat 3000.000000";
        let step = |line: &str| -> u64 {
            let (_, rest) = line.split_once(" step ").expect("a step");
            rest.split_once(',').expect("its heat").0.parse().expect("a number")
        };
        let before = step(&show.says("the heat", |line| line.contains(" step ") && step(line) > 0));
        second.kill();
        first.says("the death", |line| line == "a worker is gone: start another");
        let mut third = stage.run("rod_worker");
        let from = third.begins("part 1 of 2, from step ");
        assert!(from.strip_suffix(" on").unwrap().parse::<u64>().unwrap() > 0);
        let line = show.says("more steps", |line| step(line) > before + 100);
        assert!(line.ends_with(heat), "{line}");
    });
}

#[test]
fn control() {
    on_stage("control", |stage| {
        let mut plant = stage.run("control_plant 20");
        plant.says("the set point", |line| line.ends_with("from now on 60 are wanted"));
        let said = stage.run("control_loop 1 50").ends();
        for first in ["memory locked: ", "SCHED_FIFO: ", "timer slack of 1 ns: "] {
            assert!(said.iter().any(|line| line.starts_with(first)), "{said:?}");
        }
        let at = said.iter().position(|line| line == "rounds began late by").expect("a histogram");
        let count =
            |line: &String| line[10..].trim_start_matches(' ').split(' ').next().unwrap().parse::<u64>();
        let rounds: u64 = said[at + 1..at + 12].iter().map(|line| count(line).expect("a count")).sum();
        assert_eq!(rounds, 1000, "{said:?}");
        assert!(said.last().unwrap().contains(" degrees, wanted "), "{said:?}");
        plant.kill();
        // The heater keeps the last power.
        let said = stage.run("control_plant 1").ends();
        assert!(said.last().unwrap().starts_with("the files stay: rm "), "{said:?}");
    });
}

#[test]
fn numbers() {
    on_stage("numbers", |stage| {
        let take = stage.run("numbers_take 30");
        let mut other = stage.run("numbers_take 20 /dev/shm/quoit-numbers");
        let mut first = stage.run("numbers_serve");
        first.begins("gives out numbers from 1 on;");
        other.begins("");
        first.kill();
        let mut next = stage.run("numbers_serve numbers.journal");
        let from: u64 = next.begins("gives out numbers from ").split(' ').next().unwrap().parse().unwrap();
        assert!(from > 1);
        let mut ranges: Vec<[u64; 2]> = [take.ends(), other.ends()]
            .into_iter()
            .flatten()
            .map(|line| {
                let (first, last) = line.split_once(" to ").expect("a range");
                [first, last].map(|number| number.parse().expect("a number"))
            })
            .collect();
        ranges.sort_unstable();
        assert_eq!(ranges.len(), 50);
        assert!(ranges.windows(2).all(|two| two[0][1] < two[1][0]), "given out twice: {ranges:?}");
    });
}

#[test]
fn cache() {
    on_stage("cache", |stage| {
        let waits = stage.run("cache_get 127.0.0.1 127.0.0.1 127.0.0.2");
        let mut serve = stage.run("cache_serve");
        let expected = |host: &str, count| vec![format!("{host}: {host}, after "); count];
        let mut all = expected("127.0.0.1", 2);
        all.extend(expected("127.0.0.2", 1));
        let check = |said: Vec<String>, expected: &[String]| {
            let mut said = said;
            said.sort();
            assert_eq!(said.len(), expected.len(), "{said:?}");
            assert!(said.iter().zip(expected).all(|(said, begin)| said.starts_with(begin)), "{said:?}");
        };
        check(waits.ends(), &all);
        serve.says("a look-up", |line| line.starts_with("127.0.0."));
        serve.kill();
        // The next one begins with nothing.
        let waits = stage.run("cache_get 127.0.0.1");
        let mut next = stage.run("cache_serve 1");
        check(waits.ends(), &all[..1]);
        assert_eq!(next.begins("127.0.0.1: found for 1 at once; "), "0 hits, 1 misses");
    });
}

#[test]
fn service_on_tokio() {
    on_async_stage("service_on_tokio", |stage| {
        let socket = stage.file("socket");
        let mut serve = stage.run(&format!("service /dev/shm/quoit-a /dev/shm/quoit-b {socket}"));
        let publishers =
            ["quoit-a", "quoit-b"].map(|ring| stage.run(&format!("ticks_publish /dev/shm/{ring} 30")));
        serve.says("the socket", |line| line == format!("serving at {socket}"));
        for publisher in publishers {
            publisher.ends();
        }
        for _ in 0..2 {
            serve.says("an end", |line| line.contains("closed the ring"));
        }
        let said = stage.run(&format!("service_ask 1 {socket}")).ends();
        let newest = "30 records, the newest \"EURUSD 10051\"";
        assert_eq!(said, [format!("/dev/shm/quoit-a: {newest}; /dev/shm/quoit-b: {newest}")]);
    });
}
