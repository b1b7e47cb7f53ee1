//! What the kernel shows of this process's maps: the other side of what a report says.

use std::path::Path;

/// One map of a file, as `/proc/self/smaps` has it. Bytes.
#[derive(Debug, Default)]
pub(crate) struct Map {
    pub(crate) start: u64,
    pub(crate) offset: u64,
    pub(crate) resident: u64,
    pub(crate) huge: u64,
    pub(crate) locked: bool,
}

impl Map {
    /// All maps of the file.
    pub(crate) fn all(file: &Path) -> Vec<Self> {
        let text = std::fs::read_to_string("/proc/self/smaps").expect("list maps");
        let file = file.to_str().expect("a path of text");
        let number = |text: &str| u64::from_str_radix(text, 16).expect("a number");
        let mut maps = Vec::new();
        let mut ours = false;
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let key = words.next().expect("a word");
            if let Some((start, _)) = key.split_once('-') {
                ours = line.ends_with(file);
                if ours {
                    let offset = number(words.nth(1).expect("an offset"));
                    maps.push(Self { start: number(start), offset, ..Self::default() });
                }
                continue;
            }
            let Some(map) = maps.last_mut().filter(|_| ours) else { continue };
            match key {
                "Rss:" => map.resident = kib(words.next()),
                "ShmemPmdMapped:" | "FilePmdMapped:" => map.huge += kib(words.next()),
                "VmFlags:" => map.locked = words.any(|flag| flag == "lo"),
                _ => {}
            }
        }
        assert!(!maps.is_empty(), "{file} is not mapped");
        maps
    }
}

/// The maps of a file as `/proc/self/numa_maps` has them. `None`: the kernel knows no nodes.
pub(crate) fn numa_maps(file: &Path) -> Option<Vec<String>> {
    let text = std::fs::read_to_string("/proc/self/numa_maps").ok()?;
    let file = format!(" file={} ", file.to_str().expect("a path of text"));
    Some(text.lines().filter(|line| line.contains(&file)).map(str::to_owned).collect())
}

/// Bytes of such a map that are on a node.
pub(crate) fn on_node(map: &str, node: u32) -> u64 {
    let number = |key: &str| {
        let value = map.split_once(key).map(|(_, rest)| rest.split(' ').next().expect("a value"));
        value.map_or(0, |value| value.parse::<u64>().expect("a number"))
    };
    number(&format!(" N{node}=")) * (number(" kernelpagesize_kB=") << 10)
}

fn kib(word: Option<&str>) -> u64 {
    word.expect("a number").parse::<u64>().expect("a number") << 10
}

/// Locked memory of this process.
pub(crate) fn locked_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = text.lines().find_map(|line| line.strip_prefix("VmLck:")).expect("locked memory");
    line.split_whitespace().next().expect("a number").parse().expect("a number")
}

/// Major and minor number of the kernel.
pub(crate) fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release.split(['.', '-', '\n']).map_while(|number| number.parse().ok());
    (numbers.next().expect("a major number"), numbers.next().expect("a minor number"))
}
