//! Sets one value of a configuration that running programs follow, or shows all of it.
//!
//!     cargo run --example settings_set [rate|verbose NUMBER]
//!
//! Run `settings_follow` in other terminals, before or after, any number of them: each sees the change at once. A program
//! that is killed while it sets leaves the configuration that was there before, or the new one, whole.

mod settings;

use std::error::Error;

use quoit::sync::{Latest, LatestOptions};
use settings::{PATH, Settings};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    // There is one writer at a time: a second one that comes now is refused, and may try again.
    let mut latest = Latest::open_or_create(PATH, &LatestOptions::new(), &Settings::default())?;
    let mut settings = latest.get()?;
    if let Some(name) = args.next() {
        let number = args.next().ok_or("a number is missing")?.parse()?;
        match &name[..] {
            "rate" => settings.jobs_per_second = number,
            "verbose" => settings.verbose = number,
            other => return Err(format!("{other} is no setting: rate or verbose").into()),
        }
        latest.set(&settings)?;
    }
    println!("{settings:?}, version {}; the file stays: rm {PATH}", latest.version());
    Ok(())
}
