//! A ring in a directory of its own, and processes that never outlive their test.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use tempfile::TempDir;

/// Nothing in these tests takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A place for a ring on a tmpfs.
pub(crate) struct Place {
    dir: TempDir,
    pub(crate) ring: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("quoit-cli-").tempdir_in("/dev/shm").unwrap();
        let ring = dir.path().join("ring");
        Self { dir, ring }
    }

    /// With a ring made by `quoit create`.
    pub(crate) fn with(options: &str) -> Self {
        let place = Self::new();
        place.run(&format!("create RING --quiet {options}"), b"").assert_code(0);
        place
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Splits a command line at spaces; RING stands for the ring's path.
    pub(crate) fn arguments(&self, line: &str) -> Vec<PathBuf> {
        let word = |word| if word == "RING" { self.ring.clone() } else { PathBuf::from(word) };
        line.split_whitespace().map(word).collect()
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, line: &str, stdin: &[u8]) -> Ran {
        let mut process = self.spawn(line, Stdio::piped(), Stdio::piped());
        let (mut pipe, stdin) = (process.stdin(), stdin.to_vec());
        // Who fails before it has read everything closes the pipe.
        let feeder = std::thread::spawn(move || drop(pipe.write_all(&stdin)));
        let ran = process.end();
        feeder.join().unwrap();
        ran
    }

    /// Starts the command in the background.
    pub(crate) fn spawn(&self, line: &str, stdin: Stdio, stdout: Stdio) -> Process {
        self.start(line, &[], stdin, stdout)
    }

    /// As [`spawn`](Self::spawn), with more words, which may have spaces in them.
    pub(crate) fn spawn_words(&self, line: &str, more: &[&str]) -> Process {
        self.start(line, more, Stdio::null(), Stdio::piped())
    }

    /// Starts `quoit VERB` with a command under it that runs until it is killed. Returns both when the command runs.
    pub(crate) fn hold(&self, verb: &str) -> (Process, Held) {
        let there = self.file("there");
        let script = "echo $$ >there.part; mv there.part there; exec sleep 60";
        let process = self.spawn_words(verb, &["--", "sh", "-c", script]);
        eventually("the command runs", || there.exists());
        let number = std::fs::read_to_string(&there).unwrap().trim().parse().unwrap();
        std::fs::remove_file(there).unwrap();
        let command = pidfd_open(Pid::from_raw(number).unwrap(), PidfdFlags::empty()).unwrap();
        (process, Held(command))
    }

    fn start(&self, line: &str, more: &[&str], stdin: Stdio, stdout: Stdio) -> Process {
        crate::ignored::reach_commands();
        let child = Command::new(env!("CARGO_BIN_EXE_quoit"))
            .args(self.arguments(line))
            .args(more)
            .current_dir(self.dir.path())
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Process { child, line: line.into(), said: None }
    }

    /// Runs the command to its end as a user who has no rights of his own, if this one may say so.
    pub(crate) fn run_as_nobody(&self, line: &str) -> Option<Ran> {
        const NOBODY: u32 = 65_534;
        crate::ignored::reach_commands();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(self.dir.path(), open).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_quoit"));
        command.args(self.arguments(line)).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        match std::os::unix::process::CommandExt::uid(&mut command, NOBODY).spawn() {
            Ok(child) => Some(Process { child, line: line.into(), said: None }.end()),
            Err(error) => {
                let text = format!("SKIPPED: cannot run as another user: {error}\n");
                let _ = std::io::stderr().write_all(text.as_bytes());
                None
            }
        }
    }

    /// Runs a shell's script to its end, in the directory of the ring; QUOIT stands for the command, RING for the ring.
    pub(crate) fn shell(&self, script: &str) -> Ran {
        let quoted = |path: &Path| format!("'{}'", path.display());
        crate::ignored::reach_commands();
        let text = script.replace("QUOIT", &quoted(Path::new(env!("CARGO_BIN_EXE_quoit"))));
        let child = Command::new("sh")
            .args(["-c", &text.replace("RING", &quoted(&self.ring))])
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Process { child, line: script.into(), said: None }.end()
    }

    /// Of an object, as `info` shows it.
    pub(crate) fn info(&self) -> Value {
        serde_json::from_slice(&self.run("info RING --json", b"").assert_code(0).stdout).unwrap()
    }

    /// Waits until a snapshot of the ring pleases.
    pub(crate) fn wait_for(&self, what: &str, pleases: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let info = self.info();
            if pleases(&info) {
                return info;
            }
            assert!(started.elapsed() < PATIENCE, "waited in vain until {what}: {info:#}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn wait_for_consumers(&self, count: usize) {
        self.wait_for("the consumers are there", |info| {
            let alive = |c: &&Value| c["alive"] == true && c["state"] != "attaching";
            info["consumers"].as_array().unwrap().iter().filter(alive).count() == count
        });
    }

    /// Waits until the process sleeps in the kernel, and not only for a moment.
    pub(crate) fn wait_until_asleep(&self, process: &Process) {
        let stat = format!("/proc/{}/stat", process.pid());
        let sleeps = || {
            let stat = std::fs::read_to_string(&stat).unwrap();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
        };
        eventually("it sleeps", || {
            (0..5).all(|_| {
                std::thread::sleep(Duration::from_millis(10));
                sleeps()
            })
        });
    }

    pub(crate) fn wait_for_records(&self, records: u64) {
        self.wait_for("the records are there", |info| info["counters"]["records"] == records);
    }
}

/// What a command left.
#[derive(Debug)]
pub(crate) struct Ran {
    line: String,
    status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn assert_code(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "quoit {}: {}", self.line, self.stderr);
        self
    }

    /// It was ended by a signal.
    #[track_caller]
    pub(crate) fn assert_signal(self, signal: i32) -> Self {
        assert_eq!(self.status.signal(), Some(signal), "quoit {}: {}", self.line, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn assert_stdout(self, stdout: impl AsRef<[u8]>) -> Self {
        let wanted = String::from_utf8_lossy(stdout.as_ref());
        assert_eq!(String::from_utf8_lossy(&self.stdout), wanted, "quoit {}: {}", self.line, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn assert_says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "quoit {} does not say {text:?}: {}", self.line, self.stderr);
        self
    }

    /// Failures of ours are one line that says whose they are.
    #[track_caller]
    pub(crate) fn assert_one_line(self) -> Self {
        let says = &self.stderr;
        assert!(says.starts_with("quoit: ") && says.trim_end().lines().count() == 1, "{}: {says}", self.line);
        self
    }

    pub(crate) fn json(&self) -> Vec<Value> {
        let text = str::from_utf8(&self.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A command in the background; killed if the test ends before it does.
pub(crate) struct Process {
    child: Child,
    line: String,
    /// Its standard error, once somebody waits for a line of it.
    said: Option<(Receiver<String>, JoinHandle<String>)>,
}

impl Process {
    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    pub(crate) fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().unwrap()
    }

    /// Waits for the next line of its standard error.
    pub(crate) fn says(&mut self) -> String {
        let (lines, _) = match &mut self.said {
            Some(said) => said,
            said => {
                let mut stderr = BufReader::new(self.child.stderr.take().unwrap());
                let (sender, receiver) = mpsc::channel();
                let reader = std::thread::spawn(move || {
                    let (mut said, mut line) = (String::new(), String::new());
                    while stderr.read_line(&mut line).unwrap() > 0 {
                        said.push_str(&line);
                        let _ = sender.send(std::mem::take(&mut line));
                    }
                    said
                });
                said.insert((receiver, reader))
            }
        };
        lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("quoit {} says nothing", self.line))
    }

    pub(crate) fn stdout(&mut self) -> std::process::ChildStdout {
        self.child.stdout.take().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// `kill -9`, and reaped.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Collects what is said from now on, while the test goes on with something else.
    pub(crate) fn collect(self) -> JoinHandle<Ran> {
        std::thread::spawn(|| self.end())
    }

    /// Waits for the end and collects what was said.
    pub(crate) fn end(mut self) -> Ran {
        let reader = self.child.stdout.take().map(|mut out| {
            std::thread::spawn(move || {
                let mut stdout = Vec::new();
                out.read_to_end(&mut stdout).unwrap();
                stdout
            })
        });
        let status = self.wait();
        let mut stderr = String::new();
        if let Some((_, reader)) = self.said.take() {
            stderr = reader.join().unwrap();
        }
        // Or somebody else has it.
        if let Some(mut pipe) = self.child.stderr.take() {
            pipe.read_to_string(&mut stderr).unwrap();
        }
        let stdout = reader.map(|reader| reader.join().unwrap()).unwrap_or_default();
        Ran { line: self.line.clone(), status, stdout, stderr }
    }

    fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "quoit {} does not end", self.line);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that runs under another; killed if the test ends before it does.
pub(crate) struct Held(OwnedFd);

impl Held {
    /// `kill -9`.
    pub(crate) fn kill(&self) {
        pidfd_send_signal(&self.0, Signal::KILL).unwrap();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It may have ended.
        let _ = pidfd_send_signal(&self.0, Signal::KILL);
    }
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until the file has so many bytes.
pub(crate) fn wait_for_size(path: &Path, bytes: u64) {
    let started = Instant::now();
    while std::fs::metadata(path).map_or(0, |meta| meta.len()) < bytes {
        assert!(started.elapsed() < PATIENCE, "{} does not grow to {bytes} bytes", path.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Numbered lines.
pub(crate) fn lines(numbers: std::ops::Range<u32>) -> Vec<u8> {
    let mut text = Vec::new();
    for number in numbers {
        writeln!(text, "line {number}").unwrap();
    }
    text
}
