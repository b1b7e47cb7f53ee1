//! Shows the rod that `rod_worker` computes: twice a second its temperatures, and all of its heat, which stays the same.
//!
//!     cargo run --example rod_show
//!
//! It takes no part in the computation, and nobody waits for it.

mod rod;

use std::error::Error;
use std::time::{Duration, Instant};

use quoit::Ticker;
use quoit::sync::TableReader;
use rod::{PARTS, Part};

const SHADES: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

fn shade(temperature: f64) -> char {
    let shade = (temperature / 100.0 * SHADES.len() as f64) as usize;
    SHADES[shade.min(SHADES.len() - 1)]
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut rod = TableReader::<Part>::open_wait(PARTS, Instant::now() + Duration::from_secs(60))?;
    let mut ticker = Ticker::every(Duration::from_millis(500));
    loop {
        ticker.wait();
        let parts = (0..rod.rows()).map(|row| rod.get(row)).collect::<Result<Vec<_>, _>>()?;
        // The parts were read one after the other; those that had gone on meanwhile have the step before as well.
        let steps = parts.iter().map(|part| part.steps).min().unwrap_or_default();
        let Some(parts) = parts.iter().map(|part| part.after(steps)).collect::<Option<Vec<_>>>() else {
            continue;
        };
        let points: Vec<f64> = parts.into_iter().flatten().copied().collect();
        let picture: String = points.iter().map(|temperature| shade(*temperature)).collect();
        println!("{picture} step {steps}, heat {:.6}", points.iter().sum::<f64>());
    }
}
