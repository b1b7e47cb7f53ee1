//! Makes copies of rings pass for rings: a ring's identity page names its own file.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::UNIX_EPOCH;

use anyhow::Result;
use support::offsets;

const CHECKSUM: Range<usize> = offsets::CHECKSUM as usize..offsets::CHECKSUM as usize + 8;
const CHECKED: Range<usize> = offsets::CHECKED as usize..offsets::CHECKED_END as usize;

/// Makes a copy of a ring a ring itself. A file that is none, or whose checksum is wrong, stays as it is.
pub(crate) fn adopt(path: &Path) -> Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut page = [0; CHECKED.end];
    if file.read_exact_at(&mut page, 0).is_err() || !page.starts_with(b"quoit\r\n") {
        return Ok(());
    }
    if page[CHECKSUM] != checksum(&page) {
        return Ok(());
    }
    let found = file.metadata()?;
    let born = found.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let born = born.map_or(0, |born| born.as_nanos() as u64);
    let itself = [found.dev(), found.ino(), born].map(u64::to_le_bytes);
    page[offsets::FILE as usize..][..24].copy_from_slice(itself.as_flattened());
    let checksum = checksum(&page);
    page[CHECKSUM].copy_from_slice(&checksum);
    Ok(file.write_all_at(&page, 0)?)
}

/// CRC-32C, bit by bit, of what the checksum covers.
fn checksum(page: &[u8; CHECKED.end]) -> [u8; 8] {
    let checksum = !page[CHECKED].iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    });
    u64::from(checksum).to_le_bytes()
}
