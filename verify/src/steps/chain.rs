//! Successors that die one after the other: each takes over from one that died while taking over.

use anyhow::{Context, Result};

use super::grid::states;
use super::ops::{Act, OPS};
use super::scene::{Scene, known};
use super::stage::Stage;
use super::sweep::{Totals, Track};
use super::victim::Victim;
use crate::outcome::Form;
use crate::tracee::Tracee;

/// How many die before one lives.
const LENGTH: u64 = 5;
const STATES: [&str; 4] = ["laps-dead", "dirt-lapped", "all-dead-and-full", "dead-sleeper"];

/// At every point of a takeover where others see something change a chain begins; the next four die at other points,
/// spread over the whole of it.
pub(crate) fn run(stage: &Stage, form: Form, totals: &mut Totals) -> Result<()> {
    let op = *OPS.iter().find(|op| op.act == Act::TakeOver).context("a takeover")?;
    for state in states().iter().filter(|state| STATES.contains(&state.name.as_str())) {
        let ring = stage.make(state)?;
        let sent = known(state, &ring.notes);
        let plan = op.plan(state, &ring.notes, &sent).context("a takeover can be done anywhere")?;
        let victim = || {
            let victim = Victim {
                op,
                plan: &plan,
                notes: &ring.notes,
                shape: state.shape,
                sent: sent.clone(),
                blocked: false,
                path: ring.path.clone(),
                board: &stage.board,
            };
            Tracee::start(move || victim.play())
        };
        ring.restore(&stage.board)?;
        let mut bytes = ring.bytes()?;
        let mut now = bytes.clone();
        let mut child = victim()?;
        let track = Track::follow(&mut child, || {
            ring.read(&mut now)?;
            let changed = now != bytes;
            std::mem::swap(&mut bytes, &mut now);
            Ok(changed)
        })?;
        child.kill()?;
        let groups = &track.groups;
        let every = if form == Form::Quick { groups.len().div_ceil(6) } else { 1 };
        for first in (0..groups.len()).step_by(every) {
            let mut scene = Scene::set(stage, state, &ring, op, &plan)?;
            let mut before = ring.epoch();
            let begun = before;
            for number in 0..LENGTH as usize {
                let point = groups[(first + number * (groups.len() / 5 + 1)) % groups.len()];
                let mut child = victim()?;
                totals.steps += track.advance(&mut child, point)?;
                child.kill()?;
                totals.successors += 1;
                anyhow::ensure!(ring.epoch().wrapping_sub(before) <= 1, "an epoch that leaps");
                before = ring.epoch();
            }
            scene.skip_epochs(before - begun);
            match scene.aftermath(false, true) {
                Ok(checks) => totals.checks += checks,
                Err(error) => {
                    totals.failures.push(format!("a chain from {first} in {}: {error:#}", state.name))
                }
            }
            totals.chains += 1;
        }
    }
    Ok(())
}
