//! A plant to be controlled, a heated body: publishes its temperature a thousand times a second, and changes the set point
//! every two seconds.
//!
//!     cargo run --release --example control_plant [SECONDS]
//!
//! Run `control_loop` in another terminal, before or after. It may be killed and started again: the heater keeps the last
//! power that was set, whole.

mod control;

use std::error::Error;

use control::{MEASURED, OUTPUT, PERIOD, TARGET, Value};
use quoit::sync::{Latest, LatestOptions, LatestReader};
use quoit::{Options, Ticker, TypedProducer};

fn main() -> Result<(), Box<dyn Error>> {
    let seconds: u64 = std::env::args().nth(1).map_or(Ok(60), |text| text.parse())?;
    let options = LatestOptions::new();
    let mut measured = TypedProducer::open_or_create(MEASURED, &Options::new().capacity(1 << 16))?;
    let mut target = Latest::open_or_create(TARGET, &options, &Value { value: 20.0 })?;
    match Latest::create(OUTPUT, &options, &Value { value: 0.0 }) {
        Ok(_) | Err(quoit::Error::Exists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut output = LatestReader::<Value>::open(OUTPUT)?;

    let mut temperature = 20.0;
    let mut ticker = Ticker::every(PERIOD);
    for turn in 0..seconds * 1000 {
        ticker.wait();
        if turn % 2000 == 0 {
            let value = if turn % 4000 == 0 { 60.0 } else { 40.0 };
            target.set(&Value { value })?;
            println!("{temperature:.2} degrees; from now on {value} are wanted");
        }
        // It heats up by the power, and cools down towards 20 degrees.
        temperature += 0.001 * (output.get()?.value - 2.0 * (temperature - 20.0));
        measured.send(&Value { value: temperature })?;
    }
    println!("the files stay: rm {MEASURED} {TARGET} {OUTPUT}");
    Ok(())
}
