//! Thread tests under ThreadSanitizer and AddressSanitizer, and what Miri can run.

use anyhow::{Result, bail};

use crate::outcome::{Form, Outcome};

/// Options of this check alone.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _form: Form) -> Result<Outcome> {
    bail!("not built yet")
}
