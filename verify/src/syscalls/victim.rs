//! One run of a scenario: a child under `ptrace` whose system calls are recorded, failed, cut short, or made its
//! last.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, alarm};

use super::scenarios::Scenario;
use super::stage::{self, Neighbour, Problem, Stage, catch, elsewhere};
use crate::tracee::{Stop, Tracee, mark};

/// One system call of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) number: i64,
    /// How many calls of this number came before it.
    pub(crate) nth: u32,
}

/// What is done to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Nothing,
    /// The call fails.
    Fail(Site, Errno),
    /// The call and all of its kind fail from here on.
    Refuse(Site, Errno),
    /// A read or write moves half of what was asked; with `false`, nothing.
    Short(Site, bool),
    KillBefore(Site),
    KillAfter(Site),
}

impl Fate {
    fn site(self) -> Option<Site> {
        match self {
            Self::Nothing => None,
            Self::Fail(site, _) | Self::Refuse(site, _) | Self::Short(site, _) => Some(site),
            Self::KillBefore(site) | Self::KillAfter(site) => Some(site),
        }
    }
}

/// A system call as it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub(crate) site: Site,
    /// Its instruction, and its second argument: what tells calls from repetitions of the same.
    pub(crate) place: (u64, u64),
    /// Whether the caller cannot do without it: it must not succeed if this fails.
    pub(crate) needed: bool,
}

/// How a victim ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    Done,
    Refused {
        variant: String,
        text: String,
        errno: Option<i32>,
    },
    Killed,
    /// The run took another way and never came to the call.
    NotReached,
    Failed(String),
}

/// What one run came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) verdict: Verdict,
    pub(crate) calls: Vec<Made>,
    pub(crate) names: Vec<String>,
    /// What a process that came afterwards found: the sequence it went on with.
    pub(crate) next: Option<u64>,
    /// The ring has its random number.
    pub(crate) has_id: bool,
}

/// What a victim has open: descriptors, and mappings without those that grow by themselves.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    descriptors: Vec<(i32, String)>,
    maps: Vec<(u64, u64, String)>,
}

impl Holdings {
    /// Of a process that is helped by threads, without its anonymous memory.
    fn of(pid: Pid, helped: bool) -> Result<Self> {
        let mut descriptors = Vec::new();
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
            let entry = entry?;
            let number = entry.file_name().to_string_lossy().parse()?;
            descriptors.push((number, std::fs::read_link(entry.path())?.display().to_string()));
        }
        descriptors.sort();
        let mut maps = Vec::new();
        for line in std::fs::read_to_string(format!("/proc/{pid}/maps"))?.lines() {
            if line.ends_with("[heap]") || line.ends_with("[stack]") || (helped && line.contains(" 00:00 0"))
            {
                continue;
            }
            let (range, what) = line.split_once(' ').unwrap_or((line, ""));
            let (start, end) = range.split_once('-').unwrap_or((range, "0"));
            maps.push((u64::from_str_radix(start, 16)?, u64::from_str_radix(end, 16)?, what.to_owned()));
        }
        Ok(Self { descriptors, maps })
    }

    /// What is here and was not before. Calls that were kept from closing or unmapping have left it behind.
    fn leaks(&self, before: &Self, excused: &[Kept]) -> Vec<String> {
        let mut leaks = Vec::new();
        for held in &self.descriptors {
            let kept = excused.contains(&Kept::Descriptor(held.0));
            if !before.descriptors.contains(held) && !kept {
                leaks.push(format!("descriptor {} of {}", held.0, held.1));
            }
        }
        for map in &self.maps {
            let inside =
                |kept: &Kept| matches!(kept, Kept::Map(start, end) if *start <= map.0 && map.1 <= *end);
            if !before.maps.contains(map) && !excused.iter().any(inside) && !self.grown(map, before, excused)
            {
                leaks.push(format!("mapping {:x}-{:x} {}", map.0, map.1, map.2));
            }
        }
        for map in before.maps.iter().filter(|map| !self.maps.contains(map)) {
            if !self.maps.iter().any(|now| now.0 <= map.0 && map.1 <= now.1) {
                leaks.push(format!("lost: mapping {:x}-{:x} {}", map.0, map.1, map.2));
            }
        }
        leaks
    }

    /// The kernel joins neighbouring anonymous mappings: one from before and one that was kept.
    fn grown(&self, map: &(u64, u64, String), before: &Self, excused: &[Kept]) -> bool {
        let old: u64 =
            before.maps.iter().filter(|old| map.0 <= old.0 && old.1 <= map.1).map(|old| old.1 - old.0).sum();
        let kept: u64 = excused
            .iter()
            .filter_map(|kept| match kept {
                Kept::Map(start, end) if map.0 <= *start && *end <= map.1 => Some(end - start),
                _ => None,
            })
            .sum();
        kept > 0 && old + kept == map.1 - map.0
    }
}

/// What a failed call kept open, through no fault of the caller's.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    Descriptor(i32),
    Map(u64, u64),
}

/// Runs a scenario once.
pub(crate) fn run(scenario: &Scenario, stage: &Stage, fate: Fate) -> Result<Run> {
    let mut neighbour = match scenario.neighbour {
        Some(work) => {
            let mut neighbour = Neighbour::start(|cue| match work(stage, cue) {
                Ok(()) => Ok(String::new()),
                Err(problem) => Err(format!("{problem:?}")),
            })?;
            neighbour.await_ready()?;
            Some(neighbour)
        }
        None => None,
    };
    let says = File::from(stage::memfd()?);
    let mut victim = Tracee::start(|| live(scenario, stage, &says))?;
    let before = Holdings::of(victim.pid(), scenario.helped)?;
    match victim.resume()? {
        Stop::Mark => {}
        other => bail!("the victim did not begin: {other:?}, {:?}", stage::said(&says)),
    }
    if let Some(neighbour) = &mut neighbour {
        neighbour.go();
    }
    let mut trace =
        Trace { scenario, fate, calls: Vec::new(), kept: Vec::new(), reached: false, endless: None };
    let mut verdict = match trace.follow(&mut victim)? {
        Stop::Mark => None,
        Stop::Killed(Signal::SIGKILL) => Some(Verdict::Killed),
        Stop::Signal(Signal::SIGALRM) => Some(Verdict::Failed("hangs".to_owned())),
        other => Some(Verdict::Failed(format!("ended with {other:?}"))),
    };
    if let Some(endless) = trace.endless.take() {
        verdict.get_or_insert(Verdict::Failed(endless));
    }
    if verdict.is_none() {
        let mut leaks = Holdings::of(victim.pid(), scenario.helped)?.leaks(&before, &trace.kept);
        let patience = Instant::now() + Duration::from_secs(3);
        while scenario.helped && !leaks.is_empty() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
            leaks = Holdings::of(victim.pid(), scenario.helped)?.leaks(&before, &trace.kept);
        }
        if !leaks.is_empty() {
            verdict = Some(Verdict::Failed(format!("leaks {}", leaks.join(", "))));
        }
    }
    if !matches!(verdict, Some(Verdict::Killed | Verdict::Failed(_))) && scenario.neighbour_ends {
        let finished = neighbour.take().map_or_else(|| Ok(String::new()), Neighbour::finish);
        if let Err(error) = finished {
            verdict = Some(Verdict::Failed(format!("its neighbour: {error:#}")));
        }
    }
    drop(neighbour);
    let names = stage.names()?;
    // The victim is still there: a lock it left behind is in the way.
    let found = elsewhere(|| match (scenario.afresh)(stage) {
        Ok((next, has_id)) => Ok(format!("{next} {has_id}")),
        Err(problem) => Err(format!("{problem:?}")),
    });
    let (next, has_id) = match found.as_deref().map(|found| found.split_once(' ')) {
        Ok(Some((next, has_id))) => (Some(next.parse()?), has_id == "true"),
        other => {
            let failed = Verdict::Failed(format!("a process that comes afterwards: {other:?}"));
            verdict = Some(verdict.filter(|verdict| matches!(verdict, Verdict::Failed(_))).unwrap_or(failed));
            (None, false)
        }
    };
    let verdict = match verdict {
        Some(verdict) => verdict,
        // It goes on in the same process, and says at its end how its part went.
        None => match to_the_end(&mut victim)? {
            Stop::Exited(_) => told(&says)?,
            Stop::Signal(Signal::SIGALRM) => Verdict::Failed("hangs when it goes on".to_owned()),
            other => Verdict::Failed(format!("ended with {other:?} when it went on")),
        },
    };
    let missed = fate.site().is_some() && !trace.reached && !matches!(verdict, Verdict::Failed(_));
    let verdict = if missed { Verdict::NotReached } else { verdict };
    Ok(Run { verdict, calls: trace.calls, names, next, has_id })
}

/// On to its end; it has children of its own by then.
fn to_the_end(victim: &mut Tracee) -> Result<Stop> {
    loop {
        match victim.resume()? {
            Stop::Signal(Signal::SIGCHLD) => {}
            stop => return Ok(stop),
        }
    }
}

/// The life of a victim.
fn live(scenario: &Scenario, stage: &Stage, says: &File) {
    settle_allocator();
    alarm::set(stage::ALARM_SECONDS);
    stage::guard_disk();
    mark();
    let ended = catch(|| Ok((scenario.body)(stage)));
    mark();
    // A process that met an error goes on: with the same ring, and with forks, which take the table's lock.
    let later = catch(|| {
        elsewhere(|| Ok(String::new())).map_err(|error| format!("a fork: {error:#}"))?;
        (scenario.afresh)(stage).map_err(|problem| format!("{problem:?}"))
    });
    let text = match (ended, later) {
        (Err(panic), _) => format!("-panics: {panic}"),
        (Ok(Err(Problem::Wrong(what))), _) => format!("-{what}"),
        (_, Err(what)) => format!("-when it goes on: {what}"),
        (Ok(Ok(())), Ok(_)) => "+done".to_owned(),
        (Ok(Err(Problem::Refused { variant, text, errno })), Ok(_)) => {
            format!("+refused\n{variant}\n{}\n{text}", errno.unwrap_or(0))
        }
    };
    let _ = says.write_all_at(text.as_bytes(), 0);
}

fn told(says: &File) -> Result<Verdict> {
    let text = match stage::said(says) {
        Ok(text) => text,
        Err(what) => return Ok(Verdict::Failed(what.to_string())),
    };
    let mut lines = text.splitn(4, '\n');
    Ok(match (lines.next(), lines.next(), lines.next(), lines.next()) {
        (Some("done"), ..) => Verdict::Done,
        (Some("refused"), Some(variant), Some(errno), Some(text)) => {
            let errno = Some(errno.parse()?).filter(|errno| *errno != 0);
            Verdict::Refused { variant: variant.to_owned(), text: text.to_owned(), errno }
        }
        _ => Verdict::Failed(format!("an unexpected word: {text:?}")),
    })
}

/// Takes all the heap that a scenario may need and keeps it, so that the calls which follow are the ring's. Large
/// blocks still come from `mmap`, and that is failed as well.
fn settle_allocator() {
    super::heap::settle();
    drop(std::hint::black_box(vec![0_u8; 64 << 10]));
}

/// Follows a victim from its first call to its mark.
struct Trace<'a> {
    scenario: &'a Scenario,
    fate: Fate,
    calls: Vec<Made>,
    kept: Vec<Kept>,
    reached: bool,
    /// A sleep that only somebody else could end.
    endless: Option<String>,
}

impl Trace<'_> {
    fn follow(&mut self, victim: &mut Tracee) -> Result<Stop> {
        loop {
            match victim.next_syscall()? {
                Stop::Syscall => {}
                stop => return Ok(stop),
            }
            let mut entry = victim.registers()?;
            let number = entry.orig_rax as i64;
            let nth = self.calls.iter().filter(|made| made.site.number == number).count() as u32;
            let site = Site { number, nth };
            let needed = needed(victim.pid(), &entry);
            self.calls.push(Made { site, place: (entry.rip, entry.rsi), needed });
            if is_endless(&entry) {
                self.endless.get_or_insert_with(|| format!("call {number} sleeps without a time limit"));
            }
            let failing = self.failing(site);
            let here = self.fate.site() == Some(site);
            self.reached |= here;
            if here && matches!(self.fate, Fate::KillBefore(_)) {
                return Ok(victim.slay());
            }
            match (failing, self.fate) {
                (Some(errno), _) => {
                    // A `close` that fails has closed all the same, but for a filter.
                    let runs = number == libc::SYS_close && !super::errnos::FILTERED.contains(&errno);
                    match number {
                        libc::SYS_close if !runs => self.kept.push(Kept::Descriptor(entry.rdi as i32)),
                        libc::SYS_munmap => {
                            let pages = entry.rsi.next_multiple_of(4096);
                            self.kept.push(Kept::Map(entry.rdi, entry.rdi + pages));
                        }
                        _ => {}
                    }
                    if !runs {
                        entry.orig_rax = u64::MAX;
                        victim.set_registers(entry)?;
                    }
                }
                (None, Fate::Short(_, half)) if here => {
                    entry.rdx = if half { entry.rdx / 2 } else { 0 };
                    victim.set_registers(entry)?;
                }
                _ => {}
            }
            match victim.next_syscall()? {
                Stop::Syscall => {}
                stop => return Ok(stop),
            }
            if let Some(errno) = failing {
                let mut exit = victim.registers()?;
                exit.rax = (-i64::from(errno as i32)) as u64;
                victim.set_registers(exit)?;
            }
            if here && matches!(self.fate, Fate::KillAfter(_)) {
                return Ok(victim.slay());
            }
        }
    }

    /// What this call fails with.
    fn failing(&self, site: Site) -> Option<Errno> {
        match self.fate {
            Fate::Fail(at, errno) if at == site => return Some(errno),
            Fate::Refuse(from, errno) if from.number == site.number && from.nth <= site.nth => {
                return Some(errno);
            }
            _ => {}
        }
        self.scenario.refused.filter(|(number, _)| *number == site.number).map(|(_, errno)| errno)
    }
}

/// Whether a call sleeps until somebody else ends that: no call of the library's may.
fn is_endless(entry: &libc::user_regs_struct) -> bool {
    const FUTEX_WAITS: [i32; 2] = [libc::FUTEX_WAIT, libc::FUTEX_WAIT_BITSET];
    let has_no_limit = entry.r10 == 0;
    match entry.orig_rax as i64 {
        libc::SYS_futex => FUTEX_WAITS.contains(&(entry.rsi as i32 & libc::FUTEX_CMD_MASK)) && has_no_limit,
        libc::SYS_futex_waitv => has_no_limit,
        libc::SYS_ppoll => entry.rdx == 0,
        libc::SYS_poll => entry.rdx as i32 == -1,
        libc::SYS_fcntl => entry.rsi as i32 == libc::F_SETLKW || entry.rsi as i32 == libc::F_OFD_SETLKW,
        libc::SYS_pause => true,
        _ => false,
    }
}

/// Calls that a ring cannot be made or opened without. The others are hints, or have a stand-in.
fn needed(pid: Pid, entry: &libc::user_regs_struct) -> bool {
    const MADV_COLLAPSE: u64 = 25;
    const F_OFD_SETLK: u64 = 37;
    match entry.orig_rax as i64 {
        libc::SYS_fallocate | libc::SYS_linkat | libc::SYS_fchmod | libc::SYS_mlock | libc::SYS_fstatfs => {
            true
        }
        // The identity page; not the ring id in it, which a look for a stale handle compares.
        libc::SYS_pread64 => entry.rdx != 16,
        // Huge pages are joined at another try, or later.
        libc::SYS_madvise => entry.rdx != libc::MADV_HUGEPAGE as u64 && entry.rdx != MADV_COLLAPSE,
        // The tripwire and the areas; not what the allocator takes.
        libc::SYS_mmap => entry.r8 as i32 >= 0 || entry.rsi == 4096,
        libc::SYS_fcntl if entry.rsi == F_OFD_SETLK => {
            let mut kind = [0; 2];
            let memory = File::open(format!("/proc/{pid}/mem"));
            let read = memory.and_then(|memory| memory.read_exact_at(&mut kind, entry.rdx));
            read.is_ok() && i32::from(i16::from_le_bytes(kind)) == libc::F_WRLCK
        }
        _ => false,
    }
}
