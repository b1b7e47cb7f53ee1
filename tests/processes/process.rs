//! Child processes, the directories they work in, and time limits for all of it.
//!
//! A child says lines that begin with `@` on its standard output, and hears lines on its standard input. It is
//! killed when the thread that started it ends, so none is left behind. Every wait has a limit.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// What a child is to do.
const PART: &str = "QUOIT_TEST_PART";
/// The process that a child must not outlive.
const PARENT: &str = "QUOIT_TEST_PARENT";

/// Longest wait for anything a child should do at once, on a machine that has other work too.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What a child is to do, with its parameters.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    name: String,
    parameters: BTreeMap<String, String>,
}

impl Part {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), parameters: BTreeMap::new() }
    }

    pub(crate) fn with(mut self, key: &str, value: impl Display) -> Self {
        self.parameters.insert(key.to_owned(), value.to_string());
        self
    }

    pub(crate) fn on(self, ring: &Path) -> Self {
        let ring = ring.display();
        self.with("ring", ring)
    }

    /// In a child: what it is to do. From here on a panic ends the process at once.
    pub(crate) fn of_this_process() -> Option<Self> {
        let text = std::env::var(PART).ok()?;
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            told(panic);
            std::process::exit(101);
        }));
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).expect("prctl");
        let parent = std::env::var(PARENT).expect("a child is told its parent");
        let now = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
        if parent != now.to_string() {
            std::process::exit(0);
        }
        let (name, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let pairs = rest.lines().filter_map(|line| line.split_once('='));
        let parameters = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Some(Self { name: name.to_owned(), parameters })
    }

    /// The same parameters for another part.
    pub(crate) fn renamed(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn find<T: FromStr<Err: Debug>>(&self, key: &str) -> Option<T> {
        self.parameters.get(key).map(|text| text.parse().expect("a well-formed parameter"))
    }

    pub(crate) fn get<T: FromStr<Err: Debug>>(&self, key: &str) -> T {
        self.find(key).unwrap_or_else(|| panic!("{} has no parameter {key}", self.name))
    }

    pub(crate) fn ring(&self) -> PathBuf {
        self.get("ring")
    }

    /// The command that starts a process which plays this part. `parent`: what it will see as its parent's id.
    pub(crate) fn command(&self, parent: u32) -> Command {
        let pairs = self.parameters.iter().map(|(key, value)| format!("\n{key}={value}"));
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["child", "--exact", "--nocapture", "--test-threads=1"]);
        command.env(PART, format!("{}{}", self.name, pairs.collect::<String>()));
        command.env(PARENT, parent.to_string());
        command
    }

    pub(crate) fn start(&self) -> Process {
        let mut command = self.command(std::process::id());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start a child");
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("its output"));
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // The harness may have begun the line.
                if let Some((_, said)) = line.split_once('@')
                    && sender.send(said.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        let input = child.stdin.take();
        Process { part: self.name.clone(), child, input, lines }
    }
}

/// In a child: tells the parent.
pub(crate) fn say(line: impl Display) {
    println!("@{line}");
}

/// In a child: what the parent says next. Does not return once it has gone.
pub(crate) fn hear() -> String {
    let mut line = String::new();
    match std::io::stdin().read_line(&mut line) {
        Ok(0) | Err(_) => std::process::exit(0),
        Ok(_) => line.trim_end().to_owned(),
    }
}

/// A running child. Killed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Process {
    part: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("signal a child");
    }

    /// The numbers that follow `word` in the next line, which begins with it.
    pub(crate) fn says(&mut self, word: &str) -> Vec<u64> {
        self.says_within(word, SOON)
    }

    pub(crate) fn says_within(&mut self, word: &str, limit: Duration) -> Vec<u64> {
        let said = self.line(limit);
        numbers(&said, word).unwrap_or_else(|| panic!("{}: {word:?} expected, not {said:?}", self.part))
    }

    /// The next line.
    pub(crate) fn line(&mut self, limit: Duration) -> String {
        match self.lines.recv_timeout(limit) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("{}: silent for {limit:?}", self.part),
            Err(RecvTimeoutError::Disconnected) => {
                panic!("{}: ended unexpectedly: {:?}", self.part, self.child.wait())
            }
        }
    }

    /// Has it said nothing so far?
    pub(crate) fn is_silent(&mut self) -> bool {
        self.lines.try_recv().is_err()
    }

    pub(crate) fn tell(&mut self, line: impl Display) {
        let input = self.input.as_mut().expect("its input is open");
        writeln!(input, "{line}").expect("tell a child");
    }

    /// `kill -9`, without reaping it: it stays a zombie.
    pub(crate) fn strike(&mut self) {
        self.signal(Signal::SIGKILL);
    }

    /// Reaps a child that was struck. Returns what it had said that nobody listened to.
    pub(crate) fn reap(&mut self) -> Vec<String> {
        let status = self.child.wait().expect("reap a child");
        assert_eq!(status.signal(), Some(9), "{}: did not live until it was killed: {status:?}", self.part);
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(SOON) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => return rest,
                Err(RecvTimeoutError::Timeout) => panic!("{}: dead, and its output still open", self.part),
            }
        }
    }

    pub(crate) fn kill(&mut self) -> Vec<String> {
        self.strike();
        self.reap()
    }

    /// SIGSTOP; returns once it stands still.
    pub(crate) fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        let id = Id::Pid(Pid::from_raw(self.child.id() as i32));
        match waitid(id, flags).expect("wait for a child") {
            WaitStatus::Stopped(..) => {}
            other => panic!("{}: should be stopped: {other:?}", self.part),
        }
    }

    pub(crate) fn cont(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Waits for it to end by itself, without complaint.
    pub(crate) fn finish(mut self) {
        self.input = None;
        let status = self.status_within(SOON);
        assert!(status.success(), "{}: {status:?}", self.part);
    }

    pub(crate) fn status_within(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait for a child") {
                return status;
            }
            assert!(start.elapsed() < limit, "{}: still runs after {limit:?}", self.part);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until the process sleeps in the kernel: not runnable, not stopped.
    pub(crate) fn falls_asleep(&self) {
        // It sleeps in slices, between which it looks around for a moment: two looks in a row will do.
        eventually("a child falls asleep", || {
            let asleep = || states(self.child.id()).iter().all(|state| *state == 'S');
            asleep() && {
                thread::sleep(Duration::from_millis(5));
                asleep()
            }
        });
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The numbers in a line that begins with `word`.
pub(crate) fn numbers(line: &str, word: &str) -> Option<Vec<u64>> {
    let rest = line.strip_prefix(word)?;
    rest.split_whitespace().map(|number| number.parse().ok()).collect()
}

/// The states of the threads of a process, as `ps` shows them.
fn states(pid: u32) -> Vec<char> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let state = |stat: String| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    let stats = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    stats.filter_map(state).collect()
}

/// The clock that all processes share.
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Waits for `is_so`, within reason.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < SOON, "not within {SOON:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// How many processes a test kills: `QUOIT_KILLS`, or so many if that is not set.
pub(crate) fn kills_wanted(unless_set: u64) -> u64 {
    std::env::var("QUOIT_KILLS").map_or(unless_set, |text| text.parse().expect("QUOIT_KILLS is a number"))
}

/// What may be seen of a test that passes: not through `eprintln`, which the harness keeps to itself.
pub(crate) fn note(line: impl Display) {
    let _ = std::io::stderr().write_all(format!("processes: {line}\n").as_bytes());
}

/// Directories in use, for whoever has to leave in a hurry.
static DIRECTORIES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn with_directories(change: impl FnOnce(&mut Vec<PathBuf>)) {
    change(&mut DIRECTORIES.lock().unwrap_or_else(PoisonError::into_inner));
}

/// A directory for the rings of one test, and the time that the test may take. Declare it before the processes:
/// they go first.
#[derive(Debug)]
pub(crate) struct Stage {
    directory: Option<tempfile::TempDir>,
    // Dropped to call the watchdog off.
    _called_off: Sender<()>,
}

impl Stage {
    /// On tmpfs, where rings live.
    pub(crate) fn tmpfs(seconds: u64) -> Self {
        Self::within(Path::new("/dev/shm"), seconds)
    }

    /// On the file system of the build directory, such as ext4. On tmpfs, and saying so, if no ring can be there.
    pub(crate) fn disk(seconds: u64) -> Self {
        let stage = Self::within(Path::new(env!("CARGO_TARGET_TMPDIR")), seconds);
        let probe = stage.file("probe");
        match quoit::Options::new().capacity(4096).create(&probe) {
            Ok(()) => std::fs::remove_file(probe).expect("remove a ring"),
            Err(quoit::Error::Filesystem { kind, .. }) => {
                note(format_args!("SKIPPED on disk: the build directory is on {kind}; on tmpfs instead"));
                return Self::tmpfs(seconds);
            }
            Err(error) => panic!("{error}"),
        }
        stage
    }

    fn within(parent: &Path, seconds: u64) -> Self {
        let directory = tempfile::Builder::new().prefix("quoit-processes-").tempdir_in(parent);
        let directory = directory.expect("a directory for rings");
        with_directories(|all| all.push(directory.path().to_owned()));
        let (called_off, alarm) = channel::<()>();
        let test = thread::current().name().unwrap_or("a test").to_owned();
        thread::spawn(move || {
            if alarm.recv_timeout(Duration::from_secs(seconds)) == Err(RecvTimeoutError::Timeout) {
                note(format_args!("{test}: hangs after {seconds} s; ending the whole run"));
                with_directories(|all| all.iter().for_each(|path| drop(std::fs::remove_dir_all(path))));
                std::process::exit(101);
            }
        });
        Self { directory: Some(directory), _called_off: called_off }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.as_ref().expect("a directory until it is dropped").path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let path = self.path().to_owned();
        let closed = self.directory.take().map(tempfile::TempDir::close);
        with_directories(|all| all.retain(|other| *other != path));
        if !thread::panicking() {
            assert!(closed.is_some_and(|closed| closed.is_ok()), "{} stays behind", path.display());
        }
    }
}
