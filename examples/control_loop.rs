//! A control loop of 1 kHz: reads the newest measurement from a ring and the newest set point from a latest value, sets
//! the newest output, and shows as a histogram how late its rounds began.
//!
//!     cargo run --release --example control_loop [SECONDS [SPIN_US]]
//!
//! `SPIN_US`: how long before each round it stops sleeping and looks at the clock all the time, in microseconds; 0 unless told.
//! Run `control_plant` in another terminal, before or after. For real time, run it as root or with `CAP_SYS_NICE` and
//! `CAP_IPC_LOCK`; it says what it was refused, and runs all the same. docs/tuning.md has the rest of the set-up.
#![allow(unsafe_code, reason = "the C library has the only call for the scheduling policy")]

mod control;

use std::error::Error;
use std::io;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use control::{MEASURED, OUTPUT, PERIOD, TARGET, Value};
use nix::libc;
use quoit::sync::{Latest, LatestOptions, LatestReader};
use quoit::{Attach, Event, Tick, Ticker, TypedConsumer};
use rustix::mm::MlockAllFlags;

/// Upper bounds of the histogram's rows, in microseconds.
const BOUNDS: [u64; 11] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, u64::MAX];

#[derive(Default)]
struct Histogram {
    rows: [u64; BOUNDS.len()],
    worst: Duration,
    missed: u64,
}

impl Histogram {
    fn add(&mut self, tick: Tick) {
        let late = tick.late.as_micros() as u64;
        let row = BOUNDS.iter().position(|bound| late < *bound).unwrap_or(BOUNDS.len() - 1);
        self.rows[row] += 1;
        self.worst = self.worst.max(tick.late);
        self.missed += tick.count - 1;
    }

    fn print(&self) {
        let most = self.rows.iter().copied().max().unwrap_or(0).max(1);
        println!("rounds began late by");
        for (bound, count) in BOUNDS.iter().zip(self.rows) {
            let name = if *bound == u64::MAX { "more".to_owned() } else { format!("< {bound} us") };
            println!("{name:>10} {count:>8} {}", "#".repeat((count * 50 / most) as usize));
        }
        println!("at worst {:?}; {} rounds missed", self.worst, self.missed);
    }
}

/// A priority above all programs that have none, and below the kernel's own threads for interrupts (50).
fn run_in_real_time() -> io::Result<()> {
    // SAFETY: all zeros is a value of it.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = 40;
    // SAFETY: the parameters are there, and are only read.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn tell(what: &str, result: io::Result<()>) {
    match result {
        Ok(()) => println!("{what}: yes"),
        Err(error) => println!("{what}: no ({error})"),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let seconds: u64 = args.next().map_or(Ok(10), |text| text.parse())?;
    let spin_us = args.next().map_or(Ok(0), |text| text.parse())?;
    let soon = Instant::now() + Duration::from_secs(60);
    let mut measured = TypedConsumer::<Value>::open_wait(MEASURED, &Attach::lossy(), soon)?;
    let mut target = LatestReader::<Value>::open_wait(TARGET, soon)?;
    let mut output = Latest::open_or_create(OUTPUT, &LatestOptions::new(), &Value { value: 0.0 })?;

    // After everything is opened: the rings are locked as well.
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE;
    tell("memory locked", rustix::mm::mlockall(all).map_err(io::Error::from));
    tell("SCHED_FIFO", run_in_real_time());
    // Without SCHED_FIFO, timers may be 50 us late on purpose, unless asked.
    let slack = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    tell("timer slack of 1 ns", slack.map_err(io::Error::from));

    let mut histogram = Histogram::default();
    let (mut temperature, mut wanted, mut sum, mut lost) = (20.0, 20.0, 0.0, 0);
    let mut ticker = Ticker::every(PERIOD);
    ticker.set_spin(Duration::from_micros(spin_us));
    for _ in 0..seconds * 1000 {
        let tick = ticker.wait();
        histogram.add(tick);
        // Nothing below waits. It is all in memory, and makes no system call.
        let newest = measured.latest(|event| {
            if let Event::Lost(loss) = event {
                lost += loss.records;
            }
        })?;
        temperature = newest.map_or(temperature, |newest| newest.value);
        if target.has_changed() {
            wanted = target.get()?.value;
        }
        let error = wanted - temperature;
        sum = (sum + error * 0.001 * tick.count as f64).clamp(-50.0, 50.0);
        output.set(&Value { value: (20.0 * error + 40.0 * sum).clamp(0.0, 400.0) })?;
    }
    histogram.print();
    let skipped = measured.skipped().records;
    println!("{temperature:.2} degrees, wanted {wanted}; {skipped} measurements skipped, {lost} lost");
    Ok(())
}
