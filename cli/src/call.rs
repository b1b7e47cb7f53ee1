//! `quoit call`: makes a call of a service, and prints the reply.

use std::ffi::OsString;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use quoit::service::{CallId, CallOptions, Client, Outcome, Payload};
use quoit::{CallError, WaitFd};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::{Output, say};
use crate::signals::{Signals, Woken};
use crate::{shown, standard, units};

/// Call a service, and print its reply: the bytes as they are, and a line end after them if they have none.
///
/// `quoit serve` answers, or a program does. Without a server the call waits for one. The exit codes tell what is known:
/// 0 there is a reply; 13 the server answered with an error; 6 the call has not run and never will; 12 and 7 it may have
/// run: it was not answered in time, or its server died. Ctrl-C withdraws a call that no server has taken.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service
    path: PathBuf,
    /// The request; without it, standard input up to its end
    #[arg(allow_negative_numbers = true)]
    request: Option<OsString>,
    /// Wait at most this long for the reply, counted from the start of the call
    #[arg(long, short = 'w', value_name = "TIME", value_parser = units::duration)]
    timeout: Option<Duration>,
    /// If the server dies with the call, the next one may run it again
    #[arg(long)]
    repeatable: bool,
    /// Print the bytes of the reply alone, with no line end
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Print a line of JSON for each reply and for the end of the call, whatever it is
    #[arg(long)]
    json: bool,
    /// Do not say that there is no server
    #[arg(long, short)]
    quiet: bool,
}

/// How often the file is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// Between two attempts to find room for the request, while a former client's are in the way.
const AGAIN: Duration = Duration::from_millis(5);

#[derive(Debug, Serialize)]
struct Line<'a> {
    /// What has come of the call; all but `more` are its end.
    outcome: &'static str,
    /// Whether the call has run: `yes`, `no`, or `perhaps`.
    has_run: &'static str,
    /// Of a reply or an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    /// Another server runs the call again: earlier replies count no more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    begins_anew: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut input = Vec::new();
    let request = match &args.request {
        Some(request) => request.as_bytes(),
        None => {
            standard::check_input()?;
            std::io::stdin().lock().read_to_end(&mut input)?;
            &input
        }
    };
    let mut client = Client::open(&args.path)?;
    let signals = Signals::install()?;
    let deadline = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let how = CallOptions::new().repeatable(args.repeatable);
    let how = deadline.map_or(how, |deadline| how.deadline(deadline));
    let call = loop {
        match client.try_start(request, how) {
            Ok(call) => break call,
            Err(CallError::Full) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {}
            Err(CallError::Full) => return ended(args, signals, &Outcome::NotExecuted, false),
            Err(error) => return Err(error.into()),
        }
        if signals.sleep(AGAIN)? == Woken::Signal {
            return Err(Failure::new(signals.exit(), "ended by a signal; the call has not run").into());
        }
    };
    if !args.quiet && !client.has_server() {
        say("no server is there; the call waits for one");
    }
    answers(args, &mut client, call, signals)
}

/// Prints what comes, up to the end of the call.
fn answers(args: &Args, client: &mut Client, call: CallId, signals: &Signals) -> anyhow::Result<Exit> {
    let mut ready = WaitFd::new()?;
    let mut looked = Instant::now();
    loop {
        while let Some(answer) = client.try_recv()? {
            let exit = ended(args, signals, answer.outcome(), answer.begins_anew());
            if answer.is_last() {
                return exit;
            }
            exit?;
        }
        if !ready.arm(&mut [&mut *client])?.is_empty() {
            continue;
        }
        if signals.readable(ready.as_fd(), LOOK)? == Woken::Signal {
            let known = if client.cancel(call)? { "has not run, and never will" } else { "may have run" };
            return Err(Failure::new(signals.exit(), format!("ended by a signal; the call {known}")).into());
        }
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            // A server that has the file still answers; another one never comes.
            if client.is_stale() && !client.has_server() && client.cancel(call)? {
                let message = format!(
                    "{}: removed or replaced, and no server is there; the call has not run: make it again",
                    shown::path(&args.path)
                );
                return Err(Failure::new(Exit::RingGone, message).into());
            }
        }
    }
}

/// Prints a reply or an end, and returns the exit code of that.
fn ended(args: &Args, signals: &Signals, outcome: &Outcome<'_>, begins_anew: bool) -> anyhow::Result<Exit> {
    let (word, has_run, payload, error) = match outcome {
        Outcome::More(payload) => ("more", "yes", Some(payload), None),
        Outcome::Reply(payload) => ("reply", "yes", Some(payload), None),
        Outcome::Failed(payload) => {
            ("failed", "yes", Some(payload), Some(CallError::Failed(payload.to_vec())))
        }
        Outcome::Dropped => ("dropped", "perhaps", None, Some(CallError::Dropped)),
        Outcome::NotExecuted => ("not executed", "no", None, Some(CallError::NotExecuted)),
        Outcome::Unanswered => ("unanswered", "perhaps", None, Some(CallError::Unanswered)),
        Outcome::ServerGone => ("server gone", "perhaps", None, Some(CallError::ServerGone)),
        _ => ("unknown", "perhaps", None, None),
    };
    let mut output = Output::stdout();
    if args.json {
        let payload = payload.map(Payload::to_vec);
        let text = payload.as_ref().map(|bytes| match str::from_utf8(bytes) {
            Ok(text) => (text.to_owned(), None),
            Err(_) => (BASE64_STANDARD.encode(bytes), Some("base64")),
        });
        let encoding = text.as_ref().and_then(|(_, encoding)| *encoding);
        let payload = text.as_ref().map(|(text, _)| text.as_str());
        let line = Line { outcome: word, has_run, payload, encoding, begins_anew };
        serde_json::to_writer(output.buffer(), &line)?;
        output.buffer().push(b'\n');
    } else if let (Some(payload), None) = (payload, &error) {
        output.buffer().extend(payload.to_vec());
        if !args.raw && output.buffer().last() != Some(&b'\n') {
            output.buffer().push(b'\n');
        }
    }
    output.flush(signals, &mut 0)?;
    match error {
        Some(error) => Err(error.into()),
        None => Ok(Exit::Done),
    }
}
