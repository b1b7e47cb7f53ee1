//! What pages a handle's maps have, according to the kernel. It shows only what this process has faulted in.

use std::ops::Range;

/// Bytes of these ranges of addresses that this process has in huge pages. `None`: the kernel does not show it.
pub(crate) fn huge(ranges: &[Range<u64>]) -> Option<u64> {
    huge_bytes(&std::fs::read_to_string("/proc/self/smaps").ok()?, ranges)
}

/// The same, from the text of `smaps`. Adjacent maps may be shown as one.
fn huge_bytes(smaps: &str, ranges: &[Range<u64>]) -> Option<u64> {
    let (mut rest_of_map, mut bytes, mut seen) = (0, 0, false);
    for line in smaps.lines() {
        let Some((first, rest)) = line.split_once(' ') else { continue };
        if let Some((start, end)) = first.split_once('-') {
            let number = |text| u64::from_str_radix(text, 16).ok();
            let (start, end) = (number(start)?, number(end)?);
            rest_of_map = overlap(ranges, start, end);
        } else if rest_of_map > 0
            && ["ShmemPmdMapped:", "FilePmdMapped:", "Shared_Hugetlb:", "Private_Hugetlb:"].contains(&first)
        {
            let kib: u64 = rest.split_whitespace().next()?.parse().ok()?;
            let counted = (kib << 10).min(rest_of_map);
            (bytes, rest_of_map, seen) = (bytes + counted, rest_of_map - counted, true);
        }
    }
    seen.then_some(bytes)
}

/// Bytes of these ranges of addresses that this process has on a NUMA node. `None`: the kernel does not show it.
pub(crate) fn on_node(node: u32, ranges: &[Range<u64>]) -> Option<u64> {
    node_bytes(&std::fs::read_to_string("/proc/self/numa_maps").ok()?, node, ranges)
}

/// The same, from the text of `numa_maps`. It has a line for each map, by address, with the start but not the end.
/// The ranges are mapped without gaps, so bytes between two starts belong to the first map.
fn node_bytes(numa_maps: &str, node: u32, ranges: &[Range<u64>]) -> Option<u64> {
    let mut maps = Vec::new();
    for line in numa_maps.lines() {
        let (start, words) = line.split_once(' ')?;
        maps.push((u64::from_str_radix(start, 16).ok()?, words));
    }
    let ends = maps.iter().skip(1).map(|(start, _)| *start).chain([u64::MAX]);
    let (mut bytes, mut seen) = (0, false);
    for ((start, words), end) in maps.iter().zip(ends) {
        let overlap = overlap(ranges, *start, end);
        if overlap > 0 {
            // No value contains a space or an equals sign: paths are escaped.
            let value = |key: &str| {
                let mut words = words.split(' ').filter_map(|word| word.split_once('='));
                words.find(|(name, _)| *name == key).map(|(_, value)| value.parse::<u64>().ok())
            };
            let pages = value(&format!("N{node}")).unwrap_or(Some(0))?;
            // A map without pages has no page size either.
            let kib = value("kernelpagesize_kB").unwrap_or(Some(0))?;
            (bytes, seen) = (bytes + pages.saturating_mul(kib << 10).min(overlap), true);
        }
    }
    seen.then_some(bytes)
}

/// Bytes that the ranges have from `start` to `end`.
fn overlap(ranges: &[Range<u64>], start: u64, end: u64) -> u64 {
    ranges.iter().map(|range| range.end.min(end).saturating_sub(range.start.max(start))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(ends: &[(u64, u64)]) -> Vec<Range<u64>> {
        ends.iter().map(|(start, end)| *start..*end).collect()
    }

    const SMAPS: &str = "\
7f0000000000-7f0000400000 rw-s 00400000 00:1a 7                  /dev/shm/a ring
Size:               4096 kB
ShmemPmdMapped:     4096 kB
FilePmdMapped:         0 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:       0 kB
VmFlags: rd wr sh mr mw me ms dc
7f0000800000-7f0000a00000 r--s 00000000 00:1a 7                  /dev/shm/a ring
Size:               2048 kB
ShmemPmdMapped:        0 kB
FilePmdMapped:      2048 kB
7f0001000000-7f0001200000 rw-p 00000000 00:00 0
Size:               2048 kB
";

    #[test]
    fn huge_pages_are_counted_where_they_are() {
        let count = |ends: &[(u64, u64)]| huge_bytes(SMAPS, &ranges(ends));
        let (first, second) = ((0x7f00_0000_0000, 0x7f00_0040_0000), (0x7f00_0080_0000, 0x7f00_00a0_0000));
        assert_eq!(count(&[first, second]), Some(6 << 20));
        assert_eq!(count(&[second]), Some(2 << 20));
        // A part of a map counts at most its own bytes.
        assert_eq!(count(&[(first.0, first.0 + (2 << 20))]), Some(2 << 20));
        assert_eq!(count(&[(0, 4096)]), None);
        assert_eq!(count(&[(0x7f00_0100_0000, 0x7f00_0120_0000)]), None, "a kernel that does not show it");
        assert_eq!(huge_bytes("", &ranges(&[first])), None);
    }

    const NUMA_MAPS: &str = "\
55bb96bf6000 default file=/usr/bin/N1\\0757 mapped=2 N0=2 kernelpagesize_kB=4
7f0000000000 prefer:1 file=/dev/shm/a\\040ring dirty=1024 active=0 N0=24 N1=1000 kernelpagesize_kB=4
7f0000800000 prefer:1 file=/dev/shm/a\\040ring huge dirty=1 N1=1 kernelpagesize_kB=2048
7f0001000000 default file=/dev/shm/a\\040ring
7f0002000000 default anon=1 dirty=1 N10=1 kernelpagesize_kB=4
";

    #[test]
    fn pages_are_counted_by_node() {
        let count = |node, ends: &[(u64, u64)]| node_bytes(NUMA_MAPS, node, &ranges(ends));
        let (first, second) = ((0x7f00_0000_0000, 0x7f00_0040_0000), (0x7f00_0080_0000, 0x7f00_00a0_0000));
        let (third, last) = ((0x7f00_0100_0000, 0x7f00_0120_0000), (0x7f00_0200_0000, 0x7f00_0200_1000));
        assert_eq!(count(0, &[first, second]), Some(24 << 12));
        assert_eq!(count(1, &[first, second]), Some((1000 << 12) + (2 << 20)));
        // A part of a map counts at most its own bytes.
        assert_eq!(count(1, &[(first.0 + 4096, first.0 + 8192)]), Some(4096));
        assert_eq!(count(1, &[third]), Some(0), "nothing of it is there");
        assert_eq!((count(1, &[last]), count(10, &[last])), (Some(0), Some(4096)));
        assert_eq!(count(1023, &[first, last]), Some(0));
        assert_eq!(count(0, &[(0, 4096)]), None, "not mapped");
        assert_eq!(node_bytes("", 0, &ranges(&[first])), None);
        assert_eq!(node_bytes("no such format\n", 0, &ranges(&[first])), None);
    }
}
