//! A process for each call.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use anyhow::Context;
use quoit::ReplyError;
use quoit::service::Request;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::wake::{Wake, Waker};
use super::{Worker, not_run};
use crate::output::say;
use crate::units;

/// Tells the command which client calls: a number that is the same for all calls of one client.
const CLIENT: &str = "QUOIT_CLIENT";
/// Tells the command that it may have run for the call already.
const AGAIN: &str = "QUOIT_AGAIN";

pub(super) struct Each<'s> {
    command: Vec<OsString>,
    largest: usize,
    waker: Waker,
    jobs: BTreeMap<u64, Job<'s>>,
    next: u64,
    sender: Sender<(u64, Done)>,
    done: Receiver<(u64, Done)>,
}

struct Job<'s> {
    request: Request<'s>,
    /// A descriptor of the process: unlike its number it cannot come to mean another one.
    process: OwnedFd,
    was_told: bool,
}

/// What a command has come to.
struct Done {
    /// What it has printed, up to one byte more than a reply may have.
    printed: Vec<u8>,
    status: Option<ExitStatus>,
}

impl<'s> Each<'s> {
    pub(super) fn new(command: &[OsString], largest: usize, wake: &Wake) -> Self {
        let (sender, done) = mpsc::channel();
        let (jobs, waker) = (BTreeMap::new(), wake.waker());
        Self { command: command.to_vec(), largest, waker, jobs, next: 0, sender, done }
    }

    fn spawn(&self, request: &Request<'_>) -> io::Result<Child> {
        let (program, arguments) = self.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments).env(CLIENT, request.client().to_string()).env_remove(AGAIN);
        if request.is_again() {
            command.env(AGAIN, "1");
        }
        // In a group of its own: what Ctrl-C ends is the server, which answers first.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn()
    }

    fn answer(&self, request: Request<'_>, done: Done) -> Result<(), ReplyError> {
        let Done { printed, status } = done;
        let text = if printed.len() > self.largest {
            format!("the command printed more than {}", units::bytes(self.largest as u64)).into_bytes()
        } else if status.is_some_and(|status| status.success()) {
            return request.reply(&printed);
        } else {
            let mut text = ending(status).into_bytes();
            if !printed.is_empty() {
                text.extend(b": ");
                text.extend(printed.trim_ascii_end());
            }
            text
        };
        request.fail(text.get(..self.largest).unwrap_or(&text))
    }
}

impl<'s> Worker<'s> for Each<'s> {
    fn open(&self) -> usize {
        self.jobs.len()
    }

    fn take(&mut self, request: Request<'s>) -> anyhow::Result<()> {
        let mut child = match self.spawn(&request) {
            Ok(child) => child,
            Err(error) => {
                let is_for_now =
                    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory);
                let _ = request.fail(format!("the server could not run its command: {error}").as_bytes());
                let error = not_run(&self.command, &error);
                if !is_for_now {
                    return Err(error.into());
                }
                say(error);
                return Ok(());
            }
        };
        let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
        let process = process.context("could not watch the command")?;
        let input = request.payload().to_vec();
        if let Some(mut stdin) = child.stdin.take() {
            // A command need not read its input.
            thread::spawn(move || drop(stdin.write_all(&input)));
        }
        let number = self.next;
        self.next += 1;
        let (sender, waker, most) = (self.sender.clone(), self.waker.clone(), self.largest as u64 + 1);
        thread::spawn(move || {
            let mut printed = Vec::new();
            if let Some(stdout) = child.stdout.take() {
                // What it would print beyond that it cannot: the pipe closes.
                let _ = stdout.take(most).read_to_end(&mut printed);
            }
            let status = child.wait().ok();
            let _ = sender.send((number, Done { printed, status }));
            waker.wake();
        });
        self.jobs.insert(number, Job { request, process, was_told: false });
        Ok(())
    }

    fn collect(&mut self) -> anyhow::Result<()> {
        while let Ok((number, done)) = self.done.try_recv() {
            if let Some(job) = self.jobs.remove(&number)
                && let Err(error) = self.answer(job.request, done)
            {
                say(format_args!("a reply was not sent: {error}"));
            }
        }
        Ok(())
    }

    fn tend(&mut self) {
        for job in self.jobs.values_mut().filter(|job| !job.was_told && job.request.is_cancelled()) {
            job.was_told = true;
            // It may have ended, or changed its user.
            let _ = pidfd_send_signal(&job.process, Signal::TERM);
        }
    }

    fn close(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// How a command ended, in words.
pub(super) fn ending(status: Option<ExitStatus>) -> String {
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => format!("exit code {code}"),
        Some((None, Some(signal))) => format!("killed by signal {signal}"),
        _ => "the command ended".into(),
    }
}
