//! How much memory the control groups of this process have left. A process that takes more is killed, not refused.

use std::path::{Path, PathBuf};

/// No limit is this large: version 1 of the controller encodes "none" as the largest number of pages.
const NO_LIMIT: u64 = 1 << 60;

/// Bytes that every memory control group around this process has left for it, reclaimable memory included. `None`:
/// there is no limit, or none is known.
pub(crate) fn room() -> Option<u64> {
    room_by(&|path| std::fs::read_to_string(path).ok())
}

type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

fn room_by(read: Read<'_>) -> Option<u64> {
    let groups = read(Path::new("/proc/self/cgroup"))?;
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    let left = groups.lines().filter_map(|line| {
        // `number:controllers:path`; version 2 has the number 0 and names no controllers.
        let mut parts = line.splitn(3, ':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let version = match (number, controllers) {
            ("0", "") => Version::Two,
            _ if controllers.split(',').any(|name| name == "memory") => Version::One,
            _ => return None,
        };
        let (top, below) = mounts.lines().find_map(|line| mount(line, version, path))?;
        let mut group = top.join(below);
        let mut least = None;
        // Each enclosing group has a limit of its own.
        loop {
            let left = version.left(read, &group);
            least = [least, left].into_iter().flatten().min();
            if group == top || !group.pop() {
                return least;
            }
        }
    });
    left.min()
}

/// The mount point of the memory controller and the group's path below it, if this line of `mountinfo` is a mount
/// that shows the group.
fn mount(line: &str, version: Version, group: &str) -> Option<(PathBuf, PathBuf)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, point) = (place.next()?, place.next()?);
    let mut kind = kind.split(' ');
    let fits = match version {
        Version::One => kind.next()? == "cgroup" && kind.nth(1)?.split(',').any(|name| name == "memory"),
        Version::Two => kind.next()? == "cgroup2",
    };
    if !fits {
        return None;
    }
    // In a container without a control group namespace, the mount begins at the container's own group.
    let below = Path::new(group).strip_prefix(root).ok()?;
    // Spaces are escaped as this.
    Some((point.replace("\\040", " ").into(), below.into()))
}

#[derive(Clone, Copy)]
enum Version {
    One,
    Two,
}

impl Version {
    /// Bytes that a group itself has left.
    fn left(self, read: Read<'_>, group: &Path) -> Option<u64> {
        let number = |name: &str| read(&group.join(name))?.trim().parse::<u64>().ok();
        let (limit, usage, swap) = match self {
            Self::One => {
                let limit = number("memory.limit_in_bytes")?;
                // Memory and swap together; without that limit, all free swap.
                let with_swap = number("memory.memsw.limit_in_bytes").unwrap_or(NO_LIMIT);
                (limit, number("memory.usage_in_bytes")?, with_swap.saturating_sub(limit))
            }
            Self::Two => {
                let limit = number("memory.max")?;
                let used = number("memory.swap.current").unwrap_or(0);
                let swap = number("memory.swap.max").map_or(NO_LIMIT, |most| most.saturating_sub(used));
                (limit, number("memory.current")?, swap)
            }
        };
        if limit >= NO_LIMIT {
            return None;
        }
        // Page cache of files can be dropped at once. Pages of tmpfs cannot, and are not in this count.
        let stat = read(&group.join("memory.stat")).unwrap_or_default();
        let counter = |name: &str| {
            let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
        };
        let names = match self {
            Self::One => ["total_inactive_file", "total_active_file"],
            Self::Two => ["inactive_file", "active_file"],
        };
        let cached: u64 = names.map(counter).iter().sum();
        let taken = usage.saturating_sub(cached);
        Some(limit.saturating_sub(taken).saturating_add(swap.min(swap_free(read))))
    }
}

/// Bytes of swap that are free.
fn swap_free(read: Read<'_>) -> u64 {
    meminfo(read, "SwapFree:").unwrap_or(0)
}

/// Bytes that the machine can still give, swap included; `None`: not known.
pub(crate) fn machine_room() -> Option<u64> {
    let read: Read<'_> = &|path| std::fs::read_to_string(path).ok();
    Some(meminfo(read, "MemAvailable:")?.saturating_add(swap_free(read)))
}

fn meminfo(read: Read<'_>, name: &str) -> Option<u64> {
    let text = read(Path::new("/proc/meminfo"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn room_of(files: &[(&str, &str)]) -> Option<u64> {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        room_by(&|path| files.get(path.to_str()?).map(|text| (*text).to_owned()))
    }

    const UNIFIED: (&str, &str) =
        ("/proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n");
    const GROUP: (&str, &str) = ("/proc/self/cgroup", "0::/outer/inner\n");

    #[test]
    fn the_tightest_of_nested_groups_counts() {
        let files = [
            UNIFIED,
            GROUP,
            ("/sys/fs/cgroup/outer/memory.max", "1000000\n"),
            ("/sys/fs/cgroup/outer/memory.current", "900000\n"),
            ("/sys/fs/cgroup/outer/memory.stat", "anon 5\ninactive_file 100000\nactive_file 50000\n"),
            ("/sys/fs/cgroup/outer/inner/memory.max", "max\n"),
            ("/sys/fs/cgroup/outer/inner/memory.current", "100\n"),
        ];
        assert_eq!(room_of(&files), Some(250_000));
        let tighter = [&files[..], &[("/sys/fs/cgroup/outer/inner/memory.max", "65536\n")]].concat();
        assert_eq!(room_of(&tighter), Some(65_436));
    }

    #[test]
    fn swap_counts_as_far_as_the_group_may_have_it() {
        let files = [
            UNIFIED,
            GROUP,
            ("/proc/meminfo", "MemTotal: 9 kB\nSwapFree:        1000 kB\n"),
            ("/sys/fs/cgroup/outer/memory.max", "4096\n"),
            ("/sys/fs/cgroup/outer/memory.current", "4096\n"),
        ];
        assert_eq!(room_of(&files), Some(1_024_000));
        let none = [&files[..], &[("/sys/fs/cgroup/outer/memory.swap.max", "0\n")]].concat();
        assert_eq!(room_of(&none), Some(0));
    }

    #[test]
    fn version_1_and_a_container_without_a_namespace() {
        let files = [
            ("/proc/self/cgroup", "9:cpu:/\n4:memory:/docker/abc\n0::/\n"),
            (
                "/proc/self/mountinfo",
                "40 30 0:33 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 30 0:34 /docker/abc \
                 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
            ),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "3000\n"),
            ("/sys/fs/cgroup/memory/memory.stat", "total_inactive_file 1000\ntotal_active_file 1000\n"),
        ];
        assert_eq!(room_of(&files), Some(67_107_864));
        let none = [&files[..], &[("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")]];
        assert_eq!(room_of(&none.concat()), None);
    }

    #[test]
    fn nothing_known_is_no_limit() {
        assert_eq!(room_of(&[]), None);
        assert_eq!(room_of(&[UNIFIED, GROUP]), None);
        assert_eq!(room_of(&[("/proc/self/cgroup", "nonsense\n"), UNIFIED]), None);
        // A group that the mount does not show.
        assert_eq!(room_of(&[("/proc/self/cgroup", "0::/../elsewhere\n"), UNIFIED]), None);
    }
}
