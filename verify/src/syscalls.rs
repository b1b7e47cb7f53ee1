//! Every system call failed once at every call site, with every documented error.
//!
//! A scenario is one thing that a process does with a ring, a lock, a value, a group or a service: create, wait, close. A first run records its
//! system calls; each is a site. Then, for each site and each error that the manual documents for the call (and
//! ENOSYS and EPERM, as from a filter), the scenario runs again in a fresh process, under `ptrace`: the call is not
//! made, and the process gets the error. Short reads and writes, calls that are refused permanently, and kills right
//! before and right after each call use the same method.
//!
//! Afterwards, this must hold: the process ended with a typed error that fits, or continued normally; it has the
//! descriptors and mappings that it had before; the folder contains no new file; and a process that took no part
//! finds every record, every lock free, and a ring that works, as does the process itself.

mod errnos;
mod heap;
mod scenarios;
mod stage;
mod victim;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;

use self::scenarios::{Scenario, all};
use self::stage::{Stage, Template, elsewhere};
use self::victim::{Fate, Made, Run, Site, Verdict, run as play};
use crate::outcome::{Form, Outcome, grouped, root};
use crate::place::Place;

/// Options of this check alone.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub(crate) struct Args {
    /// Only the scenarios whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Print each scenario's system calls and what came of each error
    #[arg(long)]
    list: bool,
}

/// How often the same instruction with the same command is failed in one scenario: a wait repeats itself.
const REPETITIONS: usize = 8;
/// Tries to bring a run, whose calls depend on when its neighbour comes, to the site.
const TRIES: u32 = 6;
/// Failures shown.
const SHOWN: usize = 200;

/// Counts of one call.
#[derive(Debug, Default)]
struct Row {
    sites: u64,
    fates: u64,
    refused: u64,
    absorbed: u64,
    kills: u64,
}

struct Check<'a> {
    args: &'a Args,
    form: Form,
    outcome: Outcome,
    rows: BTreeMap<&'static str, Row>,
    scenarios: u64,
    failures: usize,
    left_off: u64,
    not_reached: u64,
    for_good: u64,
    short: u64,
    shown: Instant,
    /// Ways to sites, for the quick form: the calls from the beginning up to it.
    ways: HashSet<Vec<(i64, u64)>>,
    known_ways: u64,
}

pub(crate) fn run(args: &Args, form: Form) -> Result<Outcome> {
    let mut check = Check {
        args,
        form,
        outcome: Outcome::begin("syscalls", form),
        rows: BTreeMap::new(),
        scenarios: 0,
        failures: 0,
        left_off: 0,
        not_reached: 0,
        for_good: 0,
        short: 0,
        shown: Instant::now(),
        ways: HashSet::new(),
        known_ways: 0,
    };
    let memory = Place::new("syscalls")?;
    let disk = Place::below(&root().join("target/verify"), "syscalls")?;
    for scenario in all() {
        if args.only.as_ref().is_some_and(|only| !scenario.name.contains(only.as_str())) {
            continue;
        }
        let folder = if scenario.disk { disk.path() } else { memory.path() };
        let stage = Stage { folder: folder.to_owned(), mode: scenario.mode };
        check.scenario(scenario, &stage).with_context(|| format!("scenario {:?}", scenario.name))?;
    }
    Ok(check.finish())
}

/// What a run that nothing was done to came to.
struct Normal {
    calls: Vec<Made>,
    before: Vec<String>,
    names: Vec<String>,
    next: Option<u64>,
}

impl Check<'_> {
    fn scenario(&mut self, scenario: &Scenario, stage: &Stage) -> Result<()> {
        Template::default().restore(&stage.folder)?;
        let prepared = elsewhere(|| match (scenario.prepare)(stage) {
            Ok(()) => Ok(String::new()),
            Err(problem) => Err(format!("{problem:?}")),
        });
        prepared.context("cannot prepare it")?;
        let template = Template::take(stage)?;
        let before = stage.names()?;
        let mut normal = Normal { calls: Vec::new(), before, names: Vec::new(), next: None };
        for _ in 0..3 {
            template.restore(&stage.folder)?;
            let run = play(scenario, stage, Fate::Nothing)?;
            if !matches!(run.verdict, Verdict::Done) {
                bail!("does not succeed when nothing is failed: {:?}", run.verdict);
            }
            if run.calls.len() > normal.calls.len() {
                normal.calls = run.calls;
            }
            (normal.names, normal.next) = (run.names, run.next);
        }
        self.scenarios += 1;
        let sites = self.choose(&normal.calls);
        for made in &sites {
            let Some(call) = errnos::call(made.site.number) else {
                self.fail(format!("{}: call {} is not in the table", scenario.name, made.site.number));
                continue;
            };
            self.rows.entry(call.name).or_default().sites += 1;
            for fate in self.fates(scenario, made) {
                self.one(scenario, stage, &template, &normal, made, fate)?;
            }
        }
        Template::default().restore(&stage.folder)
    }

    /// The sites of a scenario: every call, but of a repetition only the first few; and in the quick form, none that
    /// another scenario has come to by the same way.
    fn choose(&mut self, calls: &[Made]) -> Vec<Made> {
        let mut times = BTreeMap::new();
        let mut chosen = Vec::new();
        let mut way = Vec::new();
        for made in calls {
            let times: &mut usize = times.entry((made.site.number, made.place)).or_default();
            *times += 1;
            way.push((made.site.number, made.place.0));
            if *times > REPETITIONS {
                self.left_off += 1;
            } else if self.form == Form::Quick && !self.ways.insert(way.clone()) {
                self.known_ways += 1;
            } else {
                chosen.push(*made);
            }
        }
        chosen
    }

    /// What is done to a site.
    fn fates(&self, scenario: &Scenario, made: &Made) -> Vec<Fate> {
        let site = made.site;
        let quick = self.form == Form::Quick;
        let documented = errnos::call(site.number).map_or(&[][..], |call| call.errnos);
        let mut errnos: Vec<Errno> =
            documented.iter().take(if quick { 1 } else { usize::MAX }).copied().collect();
        for errno in errnos::FILTERED.iter().take(if quick { 1 } else { 2 }) {
            if !errnos.contains(errno) {
                errnos.push(*errno);
            }
        }
        let mut fates: Vec<Fate> = errnos.into_iter().map(|errno| Fate::Fail(site, errno)).collect();
        // A kernel that never says who holds a lock would have refused to attach as well.
        let asks_for_proof = scenario.needs_proof && site.number == nix::libc::SYS_fcntl;
        if site.nth == 0 && !asks_for_proof {
            let refusals = errnos::FILTERED.iter().take(if quick { 1 } else { 2 });
            fates.extend(refusals.map(|errno| Fate::Refuse(site, *errno)));
        }
        match site.number {
            nix::libc::SYS_read | nix::libc::SYS_pread64 => {
                fates.extend([Fate::Short(site, true), Fate::Short(site, false)]);
            }
            nix::libc::SYS_pwrite64 => fates.push(Fate::Short(site, true)),
            _ => {}
        }
        fates.push(Fate::KillBefore(site));
        if !quick {
            fates.push(Fate::KillAfter(site));
        }
        fates
    }

    fn one(
        &mut self,
        scenario: &Scenario,
        stage: &Stage,
        template: &Template,
        normal: &Normal,
        made: &Made,
        fate: Fate,
    ) -> Result<()> {
        let mut run;
        let mut tries = 0;
        loop {
            template.restore(&stage.folder)?;
            run = play(scenario, stage, fate)?;
            tries += 1;
            if !matches!(run.verdict, Verdict::NotReached) || tries == TRIES {
                break;
            }
        }
        let name = errnos::call(made.site.number).map_or("?", |call| call.name);
        if self.args.list {
            println!("{}: {name} {}: {}: {:?}", scenario.name, made.site.nth, told(fate), run.verdict);
        }
        self.tick(scenario.name);
        let row = self.rows.entry(name).or_default();
        match (&run.verdict, fate) {
            (Verdict::NotReached, _) => {
                self.not_reached += 1;
                return Ok(());
            }
            (Verdict::Killed, _) => row.kills += 1,
            (verdict, _) => {
                row.fates += 1;
                match verdict {
                    Verdict::Refused { .. } => row.refused += 1,
                    Verdict::Done => row.absorbed += 1,
                    _ => {}
                }
            }
        }
        match fate {
            Fate::Refuse(..) => self.for_good += 1,
            Fate::Short(..) => self.short += 1,
            _ => {}
        }
        if let Err(what) = judge(scenario, stage, normal, made, fate, &run) {
            self.fail(format!(
                "{}: {name} (number {}), {}: {what} [cargo verify syscalls --only {:?} --list]",
                scenario.name,
                made.site.nth,
                told(fate),
                scenario.name
            ));
        }
        Ok(())
    }

    fn fail(&mut self, failure: String) {
        self.failures += 1;
        if self.failures <= SHOWN {
            eprintln!("{failure}");
            self.outcome.fail(failure);
        }
    }

    fn tick(&mut self, scenario: &str) {
        if self.shown.elapsed() >= Duration::from_secs(10) {
            self.shown = Instant::now();
            let runs: u64 = self.rows.values().map(|row| row.fates + row.kills).sum();
            eprintln!("syscalls: {} runs, {} failures; now: {scenario}", grouped(runs), self.failures);
        }
    }

    fn finish(self) -> Outcome {
        let Self { mut outcome, rows, failures, .. } = self;
        let sum = |what: fn(&Row) -> u64| rows.values().map(what).sum::<u64>();
        outcome.count(
            "scenarios of create, open, attach, wait and close, each on a fresh ring or other object",
            self.scenarios,
        );
        outcome.count("system calls in them: the sites", sum(|row| row.sites));
        outcome.count("runs with a call failed, cut short, or refused for good", sum(|row| row.fates));
        outcome.count("  of these, with the call and all of its kind refused for good", self.for_good);
        outcome.count("  of these, with a read or write that moved less than asked", self.short);
        outcome.count("  that ended with a typed error naming the cause", sum(|row| row.refused));
        outcome
            .count("  that succeeded all the same: retried, a stand-in, or a hint", sum(|row| row.absorbed));
        outcome.count("kills right before or right after a call", sum(|row| row.kills));
        if self.left_off > 0 {
            outcome.note(format!(
                "{} calls left off: repetitions of the same wait beyond the first {REPETITIONS}",
                self.left_off
            ));
        }
        if self.known_ways > 0 {
            outcome.note(format!(
                "{} sites left to the full form: an earlier scenario came to them by the very same calls",
                self.known_ways
            ));
        }
        if self.not_reached > 0 {
            outcome.note(format!(
                "{} runs did not come to their call in {TRIES} tries: how often a wait looks depends on the moment",
                self.not_reached
            ));
        }
        if failures > SHOWN {
            outcome.fail(format!("and {} more", failures - SHOWN));
        }
        let mut table =
            "| call | sites | failed, short or refused | typed error | succeeded | kills |\n".to_owned();
        table.push_str("|---|---:|---:|---:|---:|---:|\n");
        for (name, row) in &rows {
            let Row { sites, fates, refused, absorbed, kills } = row;
            table.push_str(&format!("| `{name}` | {sites} | {fates} | {refused} | {absorbed} | {kills} |\n"));
        }
        outcome.table = Some(table);
        outcome
    }
}

/// A fate in words.
fn told(fate: Fate) -> String {
    match fate {
        Fate::Nothing => "nothing done".to_owned(),
        Fate::Fail(_, errno) => format!("{errno:?}"),
        Fate::Refuse(_, errno) => format!("{errno:?} for good"),
        Fate::Short(_, true) => "half moved".to_owned(),
        Fate::Short(_, false) => "nothing moved".to_owned(),
        Fate::KillBefore(_) => "killed before".to_owned(),
        Fate::KillAfter(_) => "killed after".to_owned(),
    }
}

fn judge(
    scenario: &Scenario,
    stage: &Stage,
    normal: &Normal,
    made: &Made,
    fate: Fate,
    run: &Run,
) -> Result<(), String> {
    let errno = match fate {
        Fate::Fail(_, errno) | Fate::Refuse(_, errno) => Some(errno),
        _ => None,
    };
    match &run.verdict {
        Verdict::Failed(what) => Err(what.clone()),
        Verdict::NotReached => Ok(()),
        Verdict::Killed => {
            let known = |name: &&String| normal.before.contains(*name) || normal.names.contains(*name);
            match run.names.iter().find(|name| !known(name)) {
                Some(name) => Err(format!("leaves the file {name:?}")),
                None => Ok(()),
            }
        }
        Verdict::Done => {
            if run.names != normal.names {
                return Err(format!("succeeds, and leaves {:?} instead of {:?}", run.names, normal.names));
            }
            // A neighbour with an end of its own has checked its part, and sends as many as it finds room for.
            if run.next != normal.next && !scenario.neighbour_ends {
                return Err(format!(
                    "succeeds, and the ring is at {:?} instead of {:?}",
                    run.next, normal.next
                ));
            }
            match errno {
                Some(Errno::EINTR) if !run.has_id => Err("a ring without its random number".to_owned()),
                Some(errno) if made.needed && !has_stand_in(made.site, errno) => {
                    Err("succeeds without a call that it needs".to_owned())
                }
                _ => Ok(()),
            }
        }
        Verdict::Refused { variant, text, errno: source } => {
            if run.names != normal.before {
                return Err(format!(
                    "fails with {text:?}, and leaves {:?}, not {:?}",
                    run.names, normal.before
                ));
            }
            if errno == Some(Errno::EINTR) {
                return Err(format!("does not try again: {text:?}"));
            }
            if matches!(fate, Fate::Short(_, true)) {
                return Err(format!("does not go on after a part: {text:?}"));
            }
            // The C library says EAGAIN, whatever a thread lacks.
            let is_of_a_thread = scenario.helped && *source == Some(Errno::EAGAIN as i32);
            if source.is_some() && *source != errno.map(|errno| errno as i32) && !is_of_a_thread {
                return Err(format!("names another cause: {text:?}"));
            }
            let name_was_due = made.site.number == nix::libc::SYS_linkat
                && matches!(variant.as_str(), "NotFound" | "NoDirectory");
            if !fits(variant, errno) || name_was_due {
                return Err(format!("{variant} does not fit: {text:?}"));
            }
            if !says_where(variant, text, &stage.folder) {
                return Err(format!("does not say what failed: {text:?}"));
            }
            Ok(())
        }
    }
}

/// Errors that something else can be done about.
fn has_stand_in(site: Site, errno: Errno) -> bool {
    match (site.number, errno) {
        (_, Errno::EINTR) => true,
        // Told as a disk without room, as where memory has run out under tmpfs: the expected error.
        (nix::libc::SYS_fstatfs, Errno::ENOMEM) => true,
        // Zeros are written instead.
        (nix::libc::SYS_fallocate, Errno::EOPNOTSUPP | Errno::ENOSYS) => true,
        // Somebody else has it: another slot, or the expected error.
        (nix::libc::SYS_fcntl, Errno::EAGAIN | Errno::EACCES) => true,
        // Somebody else was first: their ring is opened, or the expected error.
        (nix::libc::SYS_linkat, Errno::EEXIST) => true,
        _ => false,
    }
}

/// Whether an error of this kind may come of `errno`; none: of a read of nothing.
fn fits(variant: &str, errno: Option<Errno>) -> bool {
    use Errno::{
        EACCES, EAGAIN, EDQUOT, EEXIST, EFBIG, EISDIR, ELOOP, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOTDIR, ENXIO,
        EOPNOTSUPP, EPERM, EROFS,
    };
    let any_of = |errnos: &[Errno]| errno.is_some_and(|errno| errnos.contains(&errno));
    match variant {
        "Io" => errno.is_some(),
        "TooShort" => errno.is_none(),
        "NotFound" | "NoDirectory" => any_of(&[ENOENT, ENOTDIR]),
        "Exists" => any_of(&[EEXIST]),
        "Permission" => any_of(&[EACCES, EPERM]),
        "ReadOnly" => any_of(&[EROFS]),
        "Filesystem" => any_of(&[EOPNOTSUPP]),
        "FileSizeLimit" | "Copied" => false,
        "NoSpace" => any_of(&[ENOSPC, EDQUOT, EFBIG, ENOMEM]),
        "NotRegular" => any_of(&[ELOOP, EISDIR, ENXIO, ENODEV, ENOTDIR]),
        "ProducerAlive" | "NameInUse" | "SlotsTaken" | "SeatsTaken" | "WriterAlive" | "ServerAlive" => {
            any_of(&[EAGAIN, EACCES])
        }
        // A wish for memory: whatever the kernel said, or nothing where it did not show what it did.
        "Memory" => true,
        _ => false,
    }
}

/// Does the text lead whoever reads it to the place, and say what to do or what the system said?
fn says_where(variant: &str, text: &str, folder: &Path) -> bool {
    let about_the_ring = matches!(
        variant,
        "ProducerAlive"
            | "NameInUse"
            | "SlotsTaken"
            | "SeatsTaken"
            | "WriterAlive"
            | "ServerAlive"
            | "Memory"
    );
    let folder = folder.display().to_string();
    let place = [folder.as_str(), "ring:", ".:", "could not "].iter().any(|start| text.starts_with(start));
    let more = text.contains("; ") || text.contains("could not ") || text.contains(": ");
    (about_the_ring || place) && more
}
