//! The server and its callers.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use quoit::service::{Answer, CallId, CallOptions, Client, Outcome, Request, Server};

use super::ChildArgs;
use super::lines::{Figures, Line, Reporter, tell};
use super::notes::{self, Notes};
use crate::demo::wire::{Order, orders};
use crate::units;

pub(super) const SERVICE: &str = "service";

/// Requests that the server takes before it works on them.
const TAKEN: usize = 4;
/// Its work on each.
const WORK: Duration = Duration::from_millis(1);
/// Calls that a caller has in flight.
const IN_FLIGHT: usize = 6;
/// Between two calls.
const PACE: Duration = Duration::from_millis(1);
/// What some calls wait at most.
const PATIENCE: Duration = Duration::from_millis(80);

/// Serves until it is asked to end: several requests are in its hands, the newest is answered first.
pub(super) fn serve(args: &ChildArgs, mut notes: Notes) -> Result<()> {
    let orders = orders();
    let server = Server::open(args.directory.join(SERVICE))?;
    tell(&Line::Here)?;
    let (mut figures, mut reporter) = (Figures::default(), Reporter::new());
    let mut taken: Vec<Request<'_>> = Vec::new();
    while orders.try_recv().ok() != Some(Order::End) {
        taken.extend(server.recv_timeout(Duration::from_millis(20))?);
        while taken.len() < TAKEN
            && let Some(request) = server.try_recv()?
        {
            taken.push(request);
        }
        while let Some(request) = taken.pop() {
            figures.done += 1;
            run(request, &mut notes)?;
        }
        reporter.report(figures)?;
    }
    tell(&Line::Progress(figures))?;
    Ok(tell(&Line::Done)?)
}

fn run(request: Request<'_>, notes: &mut Notes) -> Result<()> {
    let Some([caller, number]) = request.payload().read::<[u64; 2]>() else {
        return Ok(tell(&Line::Broken { what: "a request of another length".into() })?);
    };
    notes.add(notes::RAN, [caller, number, request.is_again().into()])?;
    thread::sleep(WORK);
    match number % 32 {
        7 => request.fail(b"no")?,
        19 => drop(request),
        _ => request.reply(&reply_to(caller, number).to_le_bytes())?,
    }
    Ok(())
}

/// A reply that belongs to no other call.
fn reply_to(caller: u64, number: u64) -> u64 {
    caller.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) ^ number.wrapping_mul(0xff51_afd7_ed55_8ccd)
}

struct Caller {
    me: u64,
    notes: Notes,
    numbers: BTreeMap<CallId, u64>,
    figures: Figures,
    /// Since the last report: calls that were lost with their server, and that another one ran again.
    gone: u64,
    again: u64,
}

/// Calls until it is asked to end, then collects what is in flight.
pub(super) fn call(args: &ChildArgs, notes: Notes) -> Result<()> {
    let orders = orders();
    let mut client = Client::open(args.directory.join(SERVICE))?;
    tell(&Line::Here)?;
    let mut reporter = Reporter::new();
    let me = args.number.into();
    let mut caller =
        Caller { me, notes, numbers: BTreeMap::new(), figures: Figures::default(), gone: 0, again: 0 };
    let (mut next, mut last) = (0, Instant::now());
    let mut is_ending = false;
    while !is_ending || client.in_flight() > 0 {
        is_ending = is_ending || orders.try_recv().ok() == Some(Order::End);
        if !is_ending && client.in_flight() < IN_FLIGHT && last.elapsed() >= PACE {
            last = Instant::now();
            caller.start(&mut client, next)?;
            next += 1;
        }
        if let Some(answer) = client.recv_timeout(PACE)? {
            caller.take(&answer)?;
        }
        if reporter.report(caller.figures)? {
            caller.tell()?;
        }
    }
    caller.tell()?;
    tell(&Line::Progress(caller.figures))?;
    Ok(tell(&Line::Done)?)
}

/// Every third call may run again.
fn is_repeatable(number: u64) -> bool {
    number % 3 == 1
}

impl Caller {
    fn start(&mut self, client: &mut Client, number: u64) -> Result<()> {
        let how = CallOptions::new().repeatable(is_repeatable(number));
        let how = if number % 4 == 3 { how.timeout(PATIENCE) } else { how };
        let request: Vec<u8> = [self.me, number].iter().flat_map(|word| word.to_le_bytes()).collect();
        self.notes.add(notes::CALLED, [number, is_repeatable(number).into(), 0])?;
        let call = client.start(&request, how)?;
        self.numbers.insert(call, number);
        // Some are withdrawn, if nobody was faster.
        if number % 40 == 11 && client.cancel(call)? {
            self.end(call, notes::NOT_EXECUTED)?;
        }
        Ok(())
    }

    fn take(&mut self, answer: &Answer<'_>) -> Result<()> {
        if answer.begins_anew() {
            self.again += 1;
        }
        let end = match answer.outcome() {
            Outcome::More(_) => {
                return Ok(tell(&Line::Broken { what: "a reply that nobody sent".into() })?);
            }
            Outcome::Reply(payload) => {
                let number = self.numbers.get(&answer.call()).copied();
                let due = number.map(|number| reply_to(self.me, number));
                if payload.read::<u64>() != due {
                    tell(&Line::Broken { what: format!("another's reply to call {number:?}") })?;
                }
                notes::ANSWERED
            }
            Outcome::Failed(_) => notes::FAILED,
            Outcome::Dropped => notes::DROPPED,
            Outcome::NotExecuted => notes::NOT_EXECUTED,
            Outcome::Unanswered => notes::UNANSWERED,
            _ => notes::SERVER_GONE,
        };
        self.end(answer.call(), end)
    }

    fn end(&mut self, call: CallId, end: usize) -> Result<()> {
        let Some(number) = self.numbers.remove(&call) else {
            return Ok(tell(&Line::Broken { what: "a second end of a call".into() })?);
        };
        self.notes.add(notes::ENDED, [number, end as u64, 0])?;
        self.figures.done += 1;
        self.figures.other += u64::from(end != notes::ANSWERED);
        self.gone += u64::from(end == notes::SERVER_GONE);
        Ok(())
    }

    /// What it was told of a server's death since the last time.
    fn tell(&mut self) -> Result<()> {
        if self.gone > 0 {
            let calls = units::counted(self.gone, "call");
            tell(&Line::Told { what: format!("the server died with {calls}, which may have run") })?;
        }
        if self.again > 0 {
            let calls = units::counted(self.again, "call");
            tell(&Line::Told {
                what: format!("{calls} that may be repeated ran again, with the next server"),
            })?;
        }
        (self.gone, self.again) = (0, 0);
        Ok(())
    }
}
