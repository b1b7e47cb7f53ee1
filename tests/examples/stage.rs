//! Where the examples run: built as `cargo run --example` builds them, with a `/dev/shm` of their own.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tempfile::TempDir;

/// Set for a test that runs in a mount namespace of its own: the file that it writes once it has played.
const STAGE: &str = "QUOIT_TEST_STAGE";
/// How long an example may take to say what it is to say.
const PATIENCE: Duration = Duration::from_secs(60);

/// Has the examples of a package built, once.
fn build(package: &'static str, built: &'static OnceLock<()>) {
    built.get_or_init(|| {
        let folder = folder();
        let profile = folder.parent().expect("a profile");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--examples", "--package", package]).arg("--target-dir");
        cargo.arg(profile.parent().expect("a target directory")).current_dir(env!("CARGO_MANIFEST_DIR"));
        match profile.file_name().and_then(OsStr::to_str) {
            Some("debug") | None => {}
            Some(profile) => drop(cargo.args(["--profile", profile])),
        }
        assert!(cargo.status().expect("cargo").success(), "the examples do not build");
    });
}

/// Where cargo puts them.
fn folder() -> PathBuf {
    let own = std::env::current_exe().expect("this binary");
    own.parent().and_then(Path::parent).expect("a profile").join("examples")
}

/// Runs the rest of a test, whose name this is, where `/dev/shm` is empty and nobody else's. Without the privilege for that it
/// says that it was skipped.
pub(crate) fn on_stage(test: &str, play: impl FnOnce(&Stage)) {
    play_on_stage("quoit", test, play);
}

/// The same for examples of `quoit-async`.
pub(crate) fn on_async_stage(test: &str, play: impl FnOnce(&Stage)) {
    play_on_stage("quoit-async", test, play);
}

fn play_on_stage(package: &str, test: &str, play: impl FnOnce(&Stage)) {
    static LIBRARY: OnceLock<()> = OnceLock::new();
    static ASYNC: OnceLock<()> = OnceLock::new();
    if let Some(played) = std::env::var_os(STAGE) {
        mount(Some("quoit"), "/dev/shm", Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("a /dev/shm");
        let directory = tempfile::tempdir().expect("a directory");
        play(&Stage { directory });
        std::fs::write(played, "played").expect("tell");
        return;
    }
    build("quoit", &LIBRARY);
    if package != "quoit" {
        build("quoit-async", &ASYNC);
    }
    // The command and not the call: a process with several threads may not enter a user namespace.
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "--"]);
        command
    };
    let is_possible = unshare().arg("true").stderr(Stdio::null()).status();
    if !is_possible.is_ok_and(|status| status.success()) {
        // Not through `eprintln`, which the harness keeps to itself.
        let line = format!("examples: SKIPPED, no privilege for a namespace: {test}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
        return;
    }
    let mut again = unshare();
    again.arg(std::env::current_exe().expect("this binary")).args([test, "--exact", "--nocapture"]);
    let played = tempfile::NamedTempFile::new().expect("a file");
    let status = again.env(STAGE, played.path()).status().expect("this test again");
    assert!(status.success(), "{test}: see above");
    assert!(played.as_file().metadata().expect("a file").len() > 0, "{test} is not the name of a test");
}

pub(crate) struct Stage {
    /// Where the examples run.
    directory: TempDir,
}

impl Stage {
    /// A file that is gone after the test.
    pub(crate) fn file(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("text").to_owned()
    }

    /// Starts `cargo run --example` with these words, but without cargo.
    pub(crate) fn run(&self, words: &str) -> Running {
        let mut split = words.split_whitespace();
        let name = split.next().expect("a name");
        let mut command = Command::new(folder().join(name));
        command.args(split).current_dir(self.directory.path()).env_remove(STAGE);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect(name);
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).is_ok()
        });
        Running { what: words.to_owned(), child, lines, said: Vec::new(), is_over: false }
    }
}

/// An example that runs. Killed when it goes out of scope; it may not have ended by itself before.
pub(crate) struct Running {
    what: String,
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    is_over: bool,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line for which `pleases` is true. Fails after `PATIENCE`, with all that was said.
    pub(crate) fn says(&mut self, what: &str, pleases: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("{}: {what} is missing; it said {:#?}", self.what, self.said);
            };
            self.said.push(line);
            if let Some(line) = self.said.last().filter(|line| pleases(line)) {
                return line.clone();
            }
        }
    }

    /// The next line that begins so: the rest of it.
    pub(crate) fn begins(&mut self, begin: &str) -> String {
        let line = self.says(begin, |line| line.starts_with(begin));
        line[begin.len()..].to_owned()
    }

    /// Kills it. All that it said.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.still_runs();
        self.is_over = true;
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
        let mut said = std::mem::take(&mut self.said);
        said.extend(self.lines.iter());
        said
    }

    fn still_runs(&mut self) {
        if let Some(status) = self.child.try_wait().expect("wait") {
            panic!("{} has ended by itself: {status}; it said {:#?}", self.what, self.said);
        }
    }

    pub(crate) fn stop(&self) {
        let pid = Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, Signal::SIGSTOP).expect("stop");
    }

    /// Waits for its end. All that it said.
    pub(crate) fn ends(self) -> Vec<String> {
        let what = self.what.clone();
        let (said, status) = self.dies();
        assert!(status.success(), "{what}: {status}; it said {said:#?}");
        said
    }

    /// Waits for its end, whatever that is. All that it said, and how it ended.
    pub(crate) fn dies(mut self) -> (Vec<String>, ExitStatus) {
        let deadline = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.said.push(line);
        }
        assert!(Instant::now() < deadline, "{} does not end; it said {:#?}", self.what, self.said);
        self.is_over = true;
        let status = self.child.wait().expect("wait");
        (std::mem::take(&mut self.said), status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over && !thread::panicking() {
            self.still_runs();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
