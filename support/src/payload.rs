//! Contents of records that tell torn from whole.

/// A payload in which every byte depends on the sequence, the length and its place.
pub fn payload(sequence: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    fill(sequence, len, &mut bytes);
    bytes
}

/// The same, in place of what is in `bytes`.
pub fn fill(sequence: u64, len: usize, bytes: &mut Vec<u8>) {
    let mut state = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (len as u64) << 17;
    bytes.clear();
    while bytes.len() < len {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        bytes.extend_from_slice(&(state ^ state >> 29).to_le_bytes());
    }
    bytes.truncate(len);
}
