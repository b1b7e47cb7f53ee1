//! Signals that are ignored where the tests run: hangups under `nohup`, and interrupts in the background of a script. What
//! is ignored in a process is ignored in what it starts, and a shell cannot even trap it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Once};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT};

/// Has commands that are started from here on hear these signals. A signal with a handler has its default back in
/// another program; the handler does nothing, so these tests go on, as whoever ignored the signal wants.
pub(crate) fn reach_commands() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        let mask = u64::from_str_radix(mask.trim(), 16).unwrap();
        for signal in [SIGHUP, SIGINT, SIGQUIT] {
            if mask & (1 << (signal - 1)) != 0 {
                signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false))).unwrap();
            }
        }
    });
}
