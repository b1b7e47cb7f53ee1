//! Limits that kill whoever goes past them: making a ring is refused before that.

use std::path::{Path, PathBuf};

use quoit::{Error, Options, Producer, Ring, Shortage};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::process::{Part, SOON, Stage, note, say};

fn files_in(directory: &Path) -> usize {
    std::fs::read_dir(directory).expect("list").count()
}

/// Every way to make a ring at `path`.
fn refusals(options: &Options, path: &Path) -> [Error; 4] {
    [
        options.create(path),
        Producer::create(path, options).map(drop),
        Producer::open_or_create(path, options).map(drop),
        Ring::sealed(options).map(drop),
    ]
    .map(|made| made.expect_err("made"))
}

/// SIGXFSZ is at its default here, which is death.
pub(crate) fn file_size(part: &Part) {
    let directory: PathBuf = part.get("directory");
    let options = Options::new().capacity(1 << 20).slots(4);
    let path = directory.join("ring");
    options.create(&path).expect("create");
    let bytes = std::fs::metadata(&path).expect("metadata").len();
    std::fs::remove_file(&path).expect("remove");
    let set = |limit| {
        let limit = Rlimit { current: Some(limit), ..getrlimit(Resource::Fsize) };
        setrlimit(Resource::Fsize, limit).expect("limit the size of files");
    };
    for limit in [0, 4096, 1 << 20, bytes - 4097] {
        set(limit);
        for error in refusals(&options, &path) {
            let told = matches!(error, Error::FileSizeLimit { limit: told, .. } if told == limit);
            assert!(told && error.to_string().contains("RLIMIT_FSIZE"), "{limit}: {error:?}");
        }
        assert_eq!(files_in(&directory), 0);
    }
    // Just enough.
    set(bytes);
    options.create(&path).expect("create");
    Ring::sealed(&options).expect("create");
    set(0);
    // What is there is used as before.
    Producer::open(&path).expect("produce").send(b"fits").expect("send");
    say("done");
}

#[test]
fn a_limit_on_file_sizes_is_an_error() {
    for stage in [Stage::tmpfs(30), Stage::disk(30)] {
        let mut child = Part::new("file size").with("directory", stage.path().display()).start();
        child.says("done");
        child.finish();
    }
}

/// The directory of this process's memory control group, and how its limit is called.
fn own_group() -> Option<(PathBuf, &'static str)> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        let (top, limit) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return None,
        };
        let group = Path::new(top).join(path);
        // Without a parent that has a limit to give, there is none.
        group.join("cgroup.procs").exists().then_some((group, limit))
    })
}

/// A control group that goes with its owner.
struct Group(PathBuf);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(self.0.join("inner"));
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// The group that is made has the limit; the process is put into one below it, if it can be.
fn limited_group(bytes: u64) -> Option<(Group, PathBuf)> {
    let (own, limit) = own_group()?;
    let group = Group(own.join(format!("quoit-test-{}", std::process::id())));
    std::fs::create_dir(&group.0).ok()?;
    std::fs::write(group.0.join(limit), bytes.to_string()).ok()?;
    let inner = group.0.join("inner");
    let home = if std::fs::create_dir(&inner).is_ok() { inner } else { group.0.clone() };
    Some((group, home))
}

pub(crate) fn control_group(part: &Part) {
    let directory: PathBuf = part.get("directory");
    let group: PathBuf = part.get("group");
    if std::fs::write(group.join("cgroup.procs"), std::process::id().to_string()).is_err() {
        say("skipped, the process stays in its control group");
        return;
    }
    let path = directory.join("ring");
    for error in refusals(&Options::new().capacity(256 << 20), &path) {
        let Error::NoSpace { shortage: Shortage::ControlGroup, free: Some(free), largest, .. } = error else {
            panic!("{error:?}")
        };
        assert!(free <= 64 << 20 && largest == Some(32 << 20), "{error}");
        assert!(error.to_string().contains("control group"), "{error}");
    }
    assert_eq!(files_in(&directory), 0);
    Producer::create(&path, &Options::new().capacity(32 << 20)).expect("the capacity that was named fits");
    say("done");
}

#[test]
fn a_ring_larger_than_the_control_group_is_an_error() {
    let stage = Stage::tmpfs(60);
    let Some((_group, home)) = limited_group(64 << 20) else {
        note("SKIPPED, no control group can be made: rings larger than one");
        return;
    };
    let part = Part::new("control group").with("directory", stage.path().display());
    let mut child = part.with("group", home.display()).start();
    let line = child.line(SOON);
    if line.starts_with("skipped") {
        note(format_args!("SKIPPED, {line}"));
    } else {
        assert_eq!(line, "done", "killed for the memory?");
    }
    child.finish();
    drop(stage);
}
