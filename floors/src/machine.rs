//! What it was measured on, and on which two CPUs.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

const CPUS: &str = "/sys/devices/system/cpu";

/// The machine, as far as figures depend on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// When it was looked at, UTC.
    pub date: String,
    /// The release of Linux.
    pub kernel: String,
    /// The model.
    pub cpu: String,
    /// A hypervisor is beneath, whose other guests nobody here sees.
    pub is_virtual: bool,
    /// CPUs that this process may run on.
    pub cpus: usize,
    /// The two that are measured on.
    pub used: [usize; 2],
    /// How the two are connected.
    pub placement: String,
    /// Against what the kernel takes measures, and against what it does not.
    pub mitigations: String,
    /// CPUs that others kept busy in the half second before the measurements began.
    pub busy: f64,
}

/// Where a CPU is. `None`: the kernel does not say.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seat {
    core: Option<String>,
    cache: Option<String>,
    package: Option<String>,
}

impl Machine {
    /// Looks at it. The two CPUs are those wanted, otherwise the best connected ones.
    pub fn look(wanted: Option<[usize; 2]>) -> Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
        let seats: BTreeMap<usize, Seat> = cpus.iter().map(|cpu| (*cpu, Seat::of(*cpu))).collect();
        let used = match wanted {
            Some([first, second]) if first == second => {
                bail!("the two processes need a CPU each, not both CPU {first}")
            }
            Some(wanted) => match wanted.iter().find(|cpu| !seats.contains_key(cpu)) {
                Some(cpu) => bail!("this process may not run on CPU {cpu}"),
                None => wanted,
            },
            None => match choose(&seats) {
                Some(used) => used,
                None => bail!("measuring takes two CPUs; this process may run on {} only", cpus.len()),
            },
        };
        Ok(Self {
            date: now(),
            kernel: word("/proc/sys/kernel/osrelease").unwrap_or_default(),
            cpu: cpu_model(),
            is_virtual: is_virtual(),
            cpus: cpus.len(),
            used,
            placement: placement(&seats[&used[0]], &seats[&used[1]]).0.to_owned(),
            mitigations: mitigations(),
            busy: busy(Duration::from_millis(500)),
        })
    }
}

/// Two CPUs as a command line names them.
pub fn two_cpus(text: &str) -> Result<[usize; 2], String> {
    let cpus =
        text.split_once(',').and_then(|(first, second)| Some([first.parse().ok()?, second.parse().ok()?]));
    match cpus {
        None => Err("name two CPUs by their numbers, as in 0,1".to_owned()),
        Some([first, second]) if first == second => {
            Err(format!("the two processes need a CPU each, not both CPU {first}: name two, as in 0,1"))
        }
        Some(cpus) => Ok(cpus),
    }
}

impl Seat {
    fn of(cpu: usize) -> Self {
        let of = |file: &str| word(&format!("{CPUS}/cpu{cpu}/{file}"));
        Self {
            core: of("topology/thread_siblings_list"),
            cache: of("cache/index3/shared_cpu_list").or_else(|| of("cache/index2/shared_cpu_list")),
            package: of("topology/physical_package_id"),
        }
    }
}

/// The best connected two, and of several such the highest: the lowest CPUs serve most interrupts.
fn choose(seats: &BTreeMap<usize, Seat>) -> Option<[usize; 2]> {
    let rank = |pair: &[usize; 2]| placement(&seats[&pair[0]], &seats[&pair[1]]).1;
    // Neighbours first. Beyond the nearest 64 nothing better is to be expected.
    let cpus: Vec<usize> = seats.keys().rev().copied().take(64).collect();
    let pairs =
        cpus.iter().enumerate().flat_map(|(at, second)| cpus[at + 1..].iter().map(|first| [*first, *second]));
    pairs.reduce(|best, pair| if rank(&pair) > rank(&best) { pair } else { best })
}

/// In words, and how much it is to be preferred.
fn placement(a: &Seat, b: &Seat) -> (&'static str, u32) {
    let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    if same(&a.core, &b.core) {
        ("hyper-thread siblings of one core", 0)
    } else if same(&a.cache, &b.cache) {
        ("two cores that share a last-level cache", 3)
    } else if same(&a.package, &b.package) {
        ("two cores of one socket, no cache shared", 2)
    } else if a.package.is_some() && b.package.is_some() {
        ("two sockets", 1)
    } else {
        ("two CPUs; the kernel does not say how they are connected", 2)
    }
}

/// CPUs that are busy, while this process sleeps. A load average would count what ended a minute ago.
fn busy(sleep: Duration) -> f64 {
    let before = Ticks::look();
    thread::sleep(sleep);
    before.zip(Ticks::look()).map_or(0.0, |(before, after)| before.busy_until(&after))
}

/// Clock ticks since the start of the machine, over all its CPUs.
#[derive(Clone, Copy)]
struct Ticks {
    all: u64,
    idle: u64,
    cpus: usize,
}

impl Ticks {
    /// `None`: the kernel does not say.
    fn look() -> Option<Self> {
        Self::of(&fs::read_to_string("/proc/stat").ok()?)
    }

    fn of(stat: &str) -> Option<Self> {
        // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user and nice.
        let ticks: Vec<u64> = {
            let line = stat.lines().next()?.strip_prefix("cpu ")?;
            line.split_whitespace().take(8).map_while(|ticks| ticks.parse().ok()).collect()
        };
        let idle = ticks.get(3)? + ticks.get(4)?;
        let cpus = stat.lines().skip(1).take_while(|line| line.starts_with("cpu")).count();
        Some(Self { all: ticks.iter().sum(), idle, cpus })
    }

    fn busy_until(&self, later: &Self) -> f64 {
        let all = later.all.saturating_sub(self.all);
        let busy = all.saturating_sub(later.idle.saturating_sub(self.idle));
        if all == 0 { 0.0 } else { busy as f64 / all as f64 * later.cpus as f64 }
    }
}

fn now() -> String {
    let now = OffsetDateTime::now_utc();
    format!("{} {:02}:{:02}", now.date(), now.hour(), now.minute())
}

fn is_virtual() -> bool {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().any(|line| line.starts_with("flags") && line.split(' ').any(|flag| flag == "hypervisor"))
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name") || line.starts_with("CPU part"));
    model
        .and_then(|line| line.split_once(':'))
        .map_or_else(|| "unknown".into(), |(_, name)| name.trim().into())
}

/// One line; what does not concern this CPU is left out.
fn mitigations() -> String {
    let (mut mitigated, mut vulnerable) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(format!("{CPUS}/vulnerabilities")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        if text.starts_with("Mitigation") {
            mitigated.push(name);
        } else if text.starts_with("Vulnerable") {
            vulnerable.push(name);
        }
    }
    let list = |mut names: Vec<String>| {
        names.sort();
        if names.is_empty() { "nothing".to_owned() } else { names.join(" ") }
    };
    format!("mitigated {}; vulnerable {}", list(mitigated), list(vulnerable))
}

fn word(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(core: &str, cache: &str, package: &str) -> Seat {
        Seat { core: Some(core.into()), cache: Some(cache.into()), package: Some(package.into()) }
    }

    #[test]
    fn cores_of_one_cache_are_preferred_to_siblings() {
        let seats = [
            (0, seat("0,4", "0-3", "0")),
            (1, seat("1,5", "0-3", "0")),
            (2, seat("2,6", "4-7", "0")),
            (6, seat("2,6", "4-7", "0")),
            (9, seat("9", "9", "1")),
        ];
        assert_eq!(choose(&seats.clone().into()), Some([0, 1]));
        assert_eq!(choose(&seats[2..].iter().cloned().collect()), Some([6, 9]));
        assert_eq!(choose(&seats[2..4].iter().cloned().collect()), Some([2, 6]));
        assert_eq!(choose(&seats[..1].iter().cloned().collect()), None);
    }

    #[test]
    fn waiting_is_not_busy() {
        let stat = |busy: u64, idle: u64| {
            format!(
                "cpu  {busy} 0 0 {idle} 0 0 0 0 7 0\ncpu0 1 0 0 1 0 0 0 0 0 0\ncpu1 1 0 0 1 0 0 0 0 0 0\nintr 5\n"
            )
        };
        let look = |busy, idle| Ticks::of(&stat(busy, idle)).unwrap();
        assert_eq!(look(1000, 500).busy_until(&look(1025, 575)), 0.5);
        assert_eq!(look(1000, 500).busy_until(&look(1000, 600)), 0.0);
        assert_eq!(look(1000, 500).busy_until(&look(1100, 500)), 2.0);
        assert_eq!(look(1000, 500).busy_until(&look(1000, 500)), 0.0);
        assert!(Ticks::of("").is_none() && Ticks::of("cpu  1 2 3\n").is_none());
    }

    #[test]
    fn silence_is_no_kinship() {
        assert_eq!(placement(&Seat::default(), &Seat::default()).1, 2);
    }
}
