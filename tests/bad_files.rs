//! Files and requests that are no good: each is refused with an error of its own that says what to do, by everybody
//! who may come across it, or is harmless. Nothing here panics, waits, or leaves anything behind.

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use common::Backing;
use quoit::{Attach, Consumer, Error, Inspector, Observer, Options, Producer, Start, forget};
use tempfile::TempDir;

#[path = "bad_files/boots.rs"]
mod boots;
#[path = "bad_files/contents.rs"]
mod contents;
#[path = "bad_files/copies.rs"]
mod copies;
#[path = "bad_files/places.rs"]
mod places;
#[path = "bad_files/read_locks.rs"]
mod read_locks;
#[path = "bad_files/requests.rs"]
mod requests;
#[path = "bad_files/rights.rs"]
mod rights;

/// Everybody who opens a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Produce,
    ProduceOrCreate,
    Gate,
    Lose,
    Observe,
    Inspect,
    Forget,
}

const ROLES: [Role; 7] = [
    Role::Produce,
    Role::ProduceOrCreate,
    Role::Gate,
    Role::Lose,
    Role::Observe,
    Role::Inspect,
    Role::Forget,
];

/// Long past what any refusal takes; a FIFO or a lock would make it wait for ever.
const AT_ONCE: Duration = Duration::from_secs(5);

impl Role {
    /// Those who are content with a file that they can read.
    fn only_reads(self) -> bool {
        matches!(self, Self::Observe | Self::Inspect)
    }

    /// Opens the ring and lets go of it. To be told that it knows no such name is to have opened it.
    fn open(self, path: &Path) -> Result<(), Error> {
        let start = Instant::now();
        let opened = match self {
            Self::Produce => Producer::open(path).map(drop),
            Self::ProduceOrCreate => Producer::open_or_create(path, &small()).map(drop),
            Self::Gate => Consumer::open(path, &Attach::gated()).map(drop),
            Self::Lose => Consumer::open(path, &Attach::lossy().start(Start::Oldest)).map(drop),
            Self::Observe => Observer::open(path, Start::Newest).map(drop),
            Self::Inspect => Inspector::open(path).and_then(|inspector| inspector.snapshot().map(drop)),
            Self::Forget => match forget(path, "nobody") {
                Err(Error::NameUnknown { .. }) => Ok(()),
                other => other,
            },
        };
        assert!(start.elapsed() < AT_ONCE, "{self:?} took {:?}", start.elapsed());
        opened
    }
}

/// Every role is refused with this very error, and told where and what to do.
macro_rules! refused {
    ($path:expr, $pattern:pat $(if $guard:expr)?) => {
        refused!(&$crate::ROLES; $path, $pattern $(if $guard)?)
    };
    ($roles:expr; $path:expr, $pattern:pat $(if $guard:expr)?) => {{
        let path = std::path::Path::new(&$path).to_owned();
        for &role in $roles {
            let error = role.open(&path).expect_err(&format!("{role:?} opened {}", path.display()));
            assert!(matches!(&error, $pattern $(if $guard)?), "{role:?}: {error:?}");
            assert_eq!($crate::path_of(&error), Some(&*path), "{role:?}: {error:?}");
            $crate::is_helpful(&error);
        }
    }};
}
use refused;

/// No role minds the file.
fn harmless(path: &Path, what: impl std::fmt::Debug) {
    for role in ROLES {
        role.open(path).unwrap_or_else(|error| panic!("{what:?}, {role:?}: {error}"));
    }
}

/// The path that an error speaks of.
fn path_of(error: &Error) -> Option<&Path> {
    match error {
        Error::Exists { path }
        | Error::NotFound { path }
        | Error::NoDirectory { path }
        | Error::NotRegular { path, .. }
        | Error::Permission { path, .. }
        | Error::ReadOnly { path }
        | Error::ForeignOwner { path, .. }
        | Error::FileSizeLimit { path, .. }
        | Error::Copied { path }
        | Error::Filesystem { path, .. }
        | Error::NoSpace { path, .. }
        | Error::NotARing { path, .. }
        | Error::OtherKind { path, .. }
        | Error::TooShort { path, .. }
        | Error::WrongSize { path, .. }
        | Error::Sparse { path }
        | Error::Version { path, .. }
        | Error::Foreign { path, .. }
        | Error::Damaged { path, .. }
        | Error::EarlierBoot { path }
        | Error::Io { path, .. } => Some(path),
        _ => None,
    }
}

/// What the text of an error must advise.
fn advice(error: &Error) -> &'static str {
    match error {
        Error::Exists { .. } => "open it, or remove it",
        Error::NotFound { .. } => "create",
        Error::NoDirectory { .. } => "no such directory; create it first",
        Error::NotRegular { .. } => "use another path",
        Error::Permission { .. } => "ask the owner",
        Error::ReadOnly { .. } => "another file system",
        Error::ForeignOwner { .. } => "use another path",
        Error::FileSizeLimit { .. } => "raise RLIMIT_FSIZE",
        Error::NoProducer => "forget",
        Error::ReadLocked { .. } => "see who has the file open",
        Error::Filesystem { .. } => "put the file on",
        Error::NoSpace { .. } => "free some",
        Error::NotARing { .. } | Error::OtherKind { .. } => "check the path",
        Error::TooShort { .. }
        | Error::WrongSize { .. }
        | Error::Sparse { .. }
        | Error::Copied { .. }
        | Error::EarlierBoot { .. } => "remove it and create it again",
        Error::Version { .. } => "use the quoit it was made with",
        Error::Foreign { .. } => "create it again",
        Error::Damaged { .. } => "remove the file and create it again",
        Error::Corrupt(_) => "remove the file and create the ring again",
        Error::ProducerAlive { .. } => "end it",
        Error::SlotsTaken { .. } => "--away-for 1h",
        Error::NameInUse { .. } => "end it first, or take another name",
        Error::NameUnknown { .. } => "check",
        Error::SlotUnknown { .. } => "shows which slots do",
        Error::BadName { .. } => "1 to 63 bytes",
        Error::StartGone { .. } => "start at oldest or newest",
        Error::GatedOnly => "attach gated without a budget",
        Error::Capacity { .. } => "must be a power of two from 4 KiB to 1 TiB",
        Error::Io { .. } => " (",
        // Each says what is wrong with it.
        Error::BadOption { .. } => "",
        other => panic!("an error that no test knows: {other:?}"),
    }
}

/// The text is one line, names the path where there is one, and says what to do.
fn is_helpful(error: &Error) {
    let text = error.to_string();
    assert!(!text.trim().is_empty() && text.lines().count() == 1, "{text:?}");
    assert!(text.contains(advice(error)), "{:?} is not advised by {text:?}", advice(error));
    if let Some(path) = path_of(error) {
        assert!(text.starts_with(&format!("{}: ", path.display())), "{text:?} does not begin with its path");
    }
}

/// A file of 7 pages.
fn small() -> Options {
    Options::new().capacity(1 << 14).slots(4)
}

const PAGE: u64 = 4096;
const FILE_BYTES: u64 = 7 * PAGE;

/// A ring file to be spoilt.
struct Spoilt {
    path: PathBuf,
    file: File,
    directory: TempDir,
    // Dropped to call the watchdog off.
    _called_off: Sender<()>,
}

/// Ends the whole run if the test is not done in time: an `open` that waits cannot be got rid of.
fn watchdog() -> Sender<()> {
    let (called_off, alarm) = channel::<()>();
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::spawn(move || {
        if alarm.recv_timeout(Duration::from_secs(120)) == Err(RecvTimeoutError::Timeout) {
            note(&format!("{test}: hangs; ending the whole run"));
            std::process::exit(101);
        }
    });
    called_off
}

impl Spoilt {
    fn new() -> Self {
        Self::on(Backing::Tmpfs)
    }

    fn on(backing: Backing) -> Self {
        let directory = backing.directory();
        let path = directory.path().join("ring");
        small().create(&path).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        assert_eq!(file.metadata().unwrap().len(), FILE_BYTES);
        Self { path, file, directory, _called_off: watchdog() }
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, at).unwrap();
    }

    /// A word of the identity page.
    fn word(&self, number: u64) -> u64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, 8 * number).unwrap();
        u64::from_le_bytes(bytes)
    }

    fn set(&self, number: u64, value: u64) {
        self.write(8 * number, &value.to_le_bytes());
    }

    /// Makes the checksum right again.
    fn sign(&self) {
        let mut bytes = [0; 256 - 32];
        self.file.read_exact_at(&mut bytes, 32).unwrap();
        self.set(3, u64::from(crc32c::crc32c(&bytes)));
    }

    /// A file of other contents at another path.
    fn other(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// What may be seen of a test that passes: not through `eprintln`, which the harness keeps to itself.
fn note(line: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(format!("bad_files: {line}\n").as_bytes());
}
