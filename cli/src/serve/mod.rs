//! `quoit serve`: answers the calls of a service with a command.

mod each;
mod lines;
mod wake;

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use quoit::WaitFd;
use quoit::service::{Request, Server, ServiceOptions};

use self::each::Each;
use self::lines::Lines;
use self::wake::Wake;
use crate::exit::{Exit, Failure};
use crate::signals::Signals;
use crate::turn::Turn;
use crate::{shown, units};

/// Answer the calls of a service with a command: `quoit call`, or a program, makes them.
///
/// The command runs once for each call: the request is its standard input, and what it prints is the reply. If it exits
/// with another code than 0, the call has failed, and the caller is told the code and what was printed. With --lines one
/// command runs all the time: it gets each request as a line, and answers each with a line, in the same order.
///
/// The service is a file, which is created if it is missing, and stays. Calls that come while nobody serves wait for the
/// next server. Ctrl-C and SIGTERM end it: no more calls are taken, and those that run are answered. A server that is
/// killed loses the calls that it had taken; the callers are told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service
    path: PathBuf,
    /// Run the command once, and have it answer a line with a line; a request of several lines fails. When the command
    /// ends, so does this
    #[arg(long)]
    lines: bool,
    /// Calls that run at a time, or with --lines are in the hands of the command; by default as many as there are cores,
    /// or 64
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    jobs: Option<u32>,
    /// Clients at a time, 1 to 1024; this and the next four count if the file is created
    #[arg(long, value_name = "N", default_value_t = 16)]
    clients: u32,
    /// Room for the requests of each client, a power of two; the largest request has half of it, less 24 bytes
    #[arg(long, value_name = "SIZE", value_parser = units::size, default_value = "64KiB")]
    request_bytes: u64,
    /// Room for the replies to each client, a power of two
    #[arg(long, value_name = "SIZE", value_parser = units::size, default_value = "256KiB")]
    reply_bytes: u64,
    /// The largest reply; the smaller it is, the more calls of one client run at a time
    #[arg(long, value_name = "SIZE", value_parser = units::size, default_value = "32KiB")]
    largest_reply: u64,
    /// Permissions of the file, in octal
    #[arg(long, value_parser = units::mode, default_value = "0600")]
    mode: u32,
    /// Wait at most this long for another server to end; without this exit with code 9 at once
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    wait_for_turn: Option<Duration>,
    /// Do not say that it waits for a turn
    #[arg(long, short)]
    quiet: bool,
    /// The command, and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How often the file is looked for, and requests for being given up.
const LOOK: Duration = Duration::from_millis(500);

/// What runs the command.
trait Worker<'s> {
    /// How many requests it has.
    fn open(&self) -> usize;

    /// Takes a request, to be answered later.
    fn take(&mut self, request: Request<'s>) -> anyhow::Result<()>;

    /// Answers what is done. An error: the command is of no use any more.
    fn collect(&mut self) -> anyhow::Result<()>;

    /// Ends what nobody waits for any more.
    fn tend(&mut self);

    /// There are no more requests, and none is open.
    fn close(&mut self) -> anyhow::Result<()>;
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let signals = Signals::install()?;
    let options = ServiceOptions::new()
        .clients(args.clients)
        .request_bytes(args.request_bytes)
        .reply_bytes(args.reply_bytes)
        .largest_reply(args.largest_reply)
        .mode(args.mode);
    let turn = Turn { path: &args.path, ring: None, place: args.wait_for_turn, quiet: args.quiet };
    let server = turn.open(signals, || Server::open_or_create(&args.path, &options))?;
    let wake = Wake::new()?;
    let largest = server.largest_reply();
    if args.lines {
        let worker = Lines::start(&args.command, largest, &wake)?;
        return serve(args, &server, signals, wake, args.jobs.unwrap_or(64), worker);
    }
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    let worker = Each::new(&args.command, largest, &wake);
    serve(args, &server, signals, wake, args.jobs.unwrap_or(cores), worker)
}

fn serve<'s>(
    args: &Args,
    server: &'s Server,
    signals: &Signals,
    mut wake: Wake,
    jobs: u32,
    mut worker: impl Worker<'s>,
) -> anyhow::Result<Exit> {
    let mut ready = WaitFd::new()?;
    let mut looked = Instant::now();
    let mut is_stale = false;
    loop {
        wake.settle()?;
        worker.collect()?;
        let is_ending = signals.caught() || is_stale;
        if is_ending && worker.open() == 0 {
            break;
        }
        let has_room = !is_ending && worker.open() < jobs as usize;
        if has_room && let Some(request) = server.try_recv()? {
            worker.take(request)?;
            continue;
        }
        let mut shared = server;
        let is_idle = if has_room {
            ready.arm(&mut [wake.event(), &mut shared])?.is_empty()
        } else {
            ready.arm(&mut [wake.event()])?.is_empty()
        };
        if is_idle {
            // Once a signal has come, the signals are always ready.
            let signals = if is_ending { None } else { Some(signals) };
            crate::signals::wait_for(signals, ready.as_fd(), LOOK)?;
        }
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            worker.tend();
            is_stale = is_stale || server.is_stale();
        }
    }
    worker.close()?;
    if is_stale && !signals.caught() {
        let message = format!("{}: removed or replaced; serve the new one", shown::path(&args.path));
        return Err(Failure::new(Exit::RingGone, message).into());
    }
    Ok(Exit::Done)
}

/// A command that could not be started.
fn not_run(command: &[OsString], error: &std::io::Error) -> Failure {
    let is_missing = error.kind() == std::io::ErrorKind::NotFound;
    let exit = if is_missing { Exit::NoCommand } else { Exit::CannotRun };
    let program = command.first().map_or_else(String::new, |program| shown::path(program.as_ref()));
    Failure::new(exit, format!("{program}: could not run it: {error}"))
}
