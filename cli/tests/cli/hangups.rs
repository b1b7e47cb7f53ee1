//! Tests of hangups under `nohup`, which ignores them: what is ignored in a process is ignored in what it starts.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Once};

use signal_hook::consts::SIGHUP;

/// Has commands that are started from here on hear a hangup. A signal with a handler has its default back in another
/// program; the handler does nothing, so these tests go on at a hangup, as `nohup` promised.
pub(crate) fn reach_commands() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if is_ignored() {
            signal_hook::flag::register(SIGHUP, Arc::new(AtomicBool::new(false))).unwrap();
        }
    });
}

fn is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << (SIGHUP - 1)) != 0
}
