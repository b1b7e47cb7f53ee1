//! Every ordering and every step of the protocol, weakened: a model must fail for each.

use anyhow::{Result, bail};

use crate::outcome::{Form, Outcome};

/// Options of this check alone.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _form: Form) -> Result<Outcome> {
    bail!("not built yet")
}
