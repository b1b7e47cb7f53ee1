//! One command that answers lines with lines.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use anyhow::Context;
use quoit::service::Request;

use super::each::ending;
use super::wake::Wake;
use super::{Worker, not_run};
use crate::exit::{Exit, Failure};
use crate::output::say;
use crate::units;

pub(super) struct Lines<'s> {
    child: Child,
    /// To the thread that writes to the command. `None`: there are no more requests.
    input: Option<Sender<Vec<u8>>>,
    output: Receiver<Printed>,
    /// In the order in which the command has got them.
    requests: VecDeque<Request<'s>>,
    largest: usize,
}

/// What the command has printed.
enum Printed {
    /// A line without its end, up to one byte more than a reply may have.
    Line(Vec<u8>),
    End,
}

impl Lines<'_> {
    pub(super) fn start(command: &[OsString], largest: usize, wake: &Wake) -> anyhow::Result<Self> {
        let mut child = spawn(command).map_err(|error| not_run(command, &error))?;
        let (mut stdin, stdout) =
            child.stdin.take().zip(child.stdout.take()).context("the command has no pipes")?;
        let (input, lines) = mpsc::channel::<Vec<u8>>();
        // It may take nothing while it writes.
        thread::spawn(move || {
            for line in lines {
                if stdin.write_all(&line).is_err() {
                    break;
                }
            }
        });
        let (printed, output) = mpsc::channel();
        let waker = wake.waker();
        thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            while let Some(line) = next_line(&mut stdout, largest) {
                let _ = printed.send(Printed::Line(line));
                waker.wake();
            }
            let _ = printed.send(Printed::End);
            waker.wake();
        });
        Ok(Self { child, input: Some(input), output, requests: VecDeque::new(), largest })
    }

    /// The command has closed its output: it answers nothing any more.
    fn gone(&mut self) -> anyhow::Error {
        self.input = None;
        // One that closes its output and goes on is of no use either.
        let _ = self.child.kill();
        let ending = ending(self.child.wait().ok());
        let left = self.requests.len() as u64;
        for request in self.requests.drain(..) {
            let _ = request.fail(format!("the command ended before it answered: {ending}").as_bytes());
        }
        let told = match left {
            0 => String::new(),
            _ => format!(", with {}, which are answered as failed", units::counted(left, "call")),
        };
        Failure::new(Exit::Failed, format!("the command ended: {ending}{told}")).into()
    }
}

impl<'s> Worker<'s> for Lines<'s> {
    fn open(&self) -> usize {
        self.requests.len()
    }

    fn take(&mut self, request: Request<'s>) -> anyhow::Result<()> {
        let mut line = request.payload().to_vec();
        line.pop_if(|last| *last == b'\n');
        if line.contains(&b'\n') {
            let _ = request.fail(b"a request of several lines; this server takes one line a call");
            return Ok(());
        }
        line.push(b'\n');
        if let Some(input) = &self.input {
            // One that is gone is noticed by its output.
            let _ = input.send(line);
        }
        self.requests.push_back(request);
        Ok(())
    }

    fn collect(&mut self) -> anyhow::Result<()> {
        while let Ok(printed) = self.output.try_recv() {
            let Printed::Line(line) = printed else { return Err(self.gone()) };
            let Some(request) = self.requests.pop_front() else {
                say("the command printed a line that answers no request; it is passed over");
                continue;
            };
            let sent = if line.len() > self.largest {
                let text = format!("the command printed more than {}", units::bytes(self.largest as u64));
                request.fail(text.as_bytes())
            } else {
                request.reply(&line)
            };
            if let Err(error) = sent {
                say(format_args!("a reply was not sent: {error}"));
            }
        }
        Ok(())
    }

    fn tend(&mut self) {}

    fn close(&mut self) -> anyhow::Result<()> {
        self.input = None;
        self.child.wait().map(drop).context("could not wait for the command")
    }
}

impl Drop for Lines<'_> {
    /// After an error nobody would end it.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &[OsString]) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    // In a group of its own: what Ctrl-C ends is the server, which answers first.
    command.args(arguments).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
}

/// The next line without its end. `None`: there is no more. Of a line that is too long, one byte more than the largest.
fn next_line(from: &mut BufReader<ChildStdout>, largest: usize) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let mut is_some = false;
    loop {
        let part = from.fill_buf().ok()?;
        if part.is_empty() {
            return is_some.then_some(line);
        }
        is_some = true;
        let end = memchr::memchr(b'\n', part);
        let text = &part[..end.unwrap_or(part.len())];
        let room = (largest + 1).saturating_sub(line.len());
        line.extend_from_slice(&text[..text.len().min(room)]);
        let used = end.map_or(part.len(), |end| end + 1);
        from.consume(used);
        if end.is_some() {
            return Some(line);
        }
    }
}
