//! Every role in user, PID, time, IPC, network, UTS and mount namespaces of its own: nothing is shared but the file.
//! Each has another clock, is process 1, and finds the ring at a path that leads nowhere else. And process ids
//! that come back: they are hints, for people.
#![allow(unsafe_code, reason = "namespaces are left between fork and exec")]

use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use quoit::service::{CallOptions, Client, Server, ServiceOptions};
use quoit::{
    Attach, Consumer, Error, Event, Group, GroupError, GroupEvent, GroupMember, Inspector, Options, Producer,
    Snapshot,
};

use crate::oracle::{Oracle, Sums};
use crate::process::{Part, Process, SOON, Stage, eventually, hear, monotonic_ns, note, numbers, say};

const MAX: usize = 1_000;
/// `nix` has no name for it.
const CLONE_NEWTIME: CloneFlags = CloneFlags::from_bits_retain(0x80);
/// Where the lonely find the ring, or another object.
const PLACE: &str = "/dev/shm/ring";

/// Plays the part `play` where nothing is shared but the ring. `number` tells clocks and users apart.
pub(crate) fn alone(part: &Part) {
    let number = part.get("number");
    let mut files = vec![(part.ring(), PathBuf::from(PLACE))];
    // What stands beside it, under the same name and this end.
    if let Some(end) = part.find::<String>("beside") {
        let beside = |path: &Path| PathBuf::from(format!("{}{end}", path.display()));
        files.push((beside(&files[0].0), beside(&files[0].1)));
    }
    let inside = part.clone().renamed(&part.get::<String>("play")).on(Path::new(PLACE));
    // Its parent is out of its sight: number 0.
    let mut command = inside.command(0);
    let leave = move || {
        leave_everything(number, &files)?;
        become_the_first()
    };
    // SAFETY: it allocates, as a child of libc's fork may, and takes no lock that another thread may hold.
    unsafe { command.pre_exec(leave) };
    match command.status() {
        Ok(status) => assert!(status.success(), "{status:?}"),
        Err(error) if error.raw_os_error() == Some(Errno::EPERM as i32) => say("skipped"),
        Err(error) => panic!("{error}"),
    }
}

/// Plays the part `play` on a clock that is days ahead, as the first process of its namespace. All files are shared.
pub(crate) fn ahead(part: &Part) {
    let inside = part.clone().renamed(&part.get::<String>("play"));
    let mut command = inside.command(0);
    // SAFETY: as in `alone`.
    unsafe {
        command.pre_exec(|| {
            be_ahead()?;
            become_the_first()
        })
    };
    match command.status() {
        Ok(status) => assert!(status.success(), "{status:?}"),
        Err(error) if error.raw_os_error() == Some(Errno::EPERM as i32) => say("skipped"),
        Err(error) => panic!("{error}"),
    }
}

fn be_ahead() -> Result<(), Errno> {
    let user = rustix::process::getuid().as_raw();
    let group = rustix::process::getgid().as_raw();
    unshare(CloneFlags::CLONE_NEWUSER)?;
    let tell = |file: &str, text: String| std::fs::write(file, text).map_err(|error| errno(&error));
    tell("/proc/self/setgroups", "deny".to_owned())?;
    tell("/proc/self/uid_map", format!("{user} {user} 1"))?;
    tell("/proc/self/gid_map", format!("{group} {group} 1"))?;
    unshare(CloneFlags::CLONE_NEWPID | CLONE_NEWTIME)?;
    tell("/proc/self/timens_offsets", "monotonic 777777 5\nboottime 777777 5".into())
}

/// Answers one call with the seconds for which the client still waits.
pub(crate) fn serve_one(part: &Part) {
    let server = Server::open(part.ring()).expect("open");
    say(format_args!("serves {}", monotonic_ns() / 1_000_000_000));
    let request = server.recv_timeout(SOON).expect("recv").expect("a call that is not over");
    let left = request.time_left().expect("it has a deadline").as_secs();
    request.reply(&left.to_le_bytes()).expect("reply");
}

/// Makes one call, for which it waits up to 3,000 s.
pub(crate) fn call_one(part: &Part) {
    let mut client = Client::open(part.ring()).expect("open");
    say(format_args!("calls {}", monotonic_ns() / 1_000_000_000));
    client.call(b"x", CallOptions::new().timeout(Duration::from_secs(3_000))).expect("a reply");
}

/// Takes the next record of a group, and has it until it is told to end.
pub(crate) fn take_one(part: &Part) {
    let mut member = GroupMember::join(part.ring(), &Group::new("workers")).expect("join");
    say(format_args!("joined {}", monotonic_ns() / 1_000_000_000));
    loop {
        match member.recv_timeout(Duration::from_millis(200)) {
            Ok(GroupEvent::Job(job)) => {
                say(format_args!("took {}", job.sequence()));
                hear();
                return;
            }
            Ok(other) => panic!("{other:?}"),
            Err(GroupError::TimedOut) => say("nothing"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The process of this line has a clock that is days ahead of ours.
fn is_ahead(process: &mut Process, word: &str) -> bool {
    let line = process.line(SOON);
    if line == "skipped" {
        note("SKIPPED, no privilege for a namespace: times of processes on other clocks");
        return false;
    }
    let seconds = numbers(&line, word).expect("its clock")[0];
    assert!(seconds > 700_000 + monotonic_ns() / 1_000_000_000, "its clock is as ours: {seconds}");
    true
}

#[test]
fn a_call_has_its_deadline_on_every_clock() {
    let stage = Stage::tmpfs(60);
    let path = stage.file("service");
    let mut client = {
        drop(Server::create(&path, &ServiceOptions::new().clients(2)).expect("create"));
        Client::open(&path).expect("open")
    };
    let mut server = Part::new("ahead").on(&path).with("play", "serve one call").start();
    if !is_ahead(&mut server, "serves") {
        return;
    }
    let how = CallOptions::new().timeout(Duration::from_secs(3_000));
    let left = client.call(b"x", how).expect("the server takes it").read::<u64>().expect("a number");
    assert!((2_000..3_000).contains(&left), "it has {left} s left");
    server.finish();
    // The other way round.
    drop(client);
    let server = Server::open(&path).expect("open");
    let mut client = Part::new("ahead").on(&path).with("play", "make one call").start();
    assert!(is_ahead(&mut client, "calls"));
    let request = server.recv_timeout(SOON).expect("recv").expect("a call");
    let left = request.time_left().expect("it has a deadline").as_secs();
    request.reply(b"").expect("reply");
    assert!((2_000..3_000).contains(&left), "it has {left} s left");
    client.finish();
}

#[test]
fn a_lease_has_its_time_on_every_clock() {
    let stage = Stage::tmpfs(60);
    // A lease that lasts, taken here; and one that is over at once, taken there.
    for (number, lease) in [Duration::from_secs(3_600), Duration::from_millis(1)].into_iter().enumerate() {
        let path = stage.file(if number == 0 { "lasting" } else { "brief" });
        let mut producer = Producer::create(&path, &Options::new().capacity(4096)).expect("create");
        let mut member = GroupMember::join(&path, &Group::new("workers").lease_time(lease)).expect("join");
        producer.send(b"job").expect("send");
        let taken = (number == 0).then(|| member.recv_job(|_| {}).expect("a record").id());
        let mut other = Part::new("ahead").on(&path).with("play", "take one record").start();
        if !is_ahead(&mut other, "joined") {
            return;
        }
        if let Some(id) = taken {
            for _ in 0..3 {
                assert_eq!(other.line(SOON), "nothing", "taken before its time");
            }
            member.nack(id).expect("its own");
        }
        let took = std::iter::repeat_with(|| other.line(SOON)).find(|line| line != "nothing");
        assert_eq!(took.as_deref(), Some("took 0"));
        if number == 1 {
            let job = member.recv_timeout(SOON).expect("its time is over");
            assert!(matches!(&job, GroupEvent::Job(job) if job.sequence() == 0), "{job:?}");
        }
        other.tell("end");
        other.finish();
    }
}

/// The first process of new PID and time namespaces is a child of whoever made them. It goes on from here; its
/// parent ends with it.
fn become_the_first() -> std::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // SAFETY: this process has one thread.
    let ForkResult::Parent { child } = (unsafe { fork() })? else { return Ok(()) };
    let code = match waitpid(child, None) {
        Ok(WaitStatus::Exited(_, code)) => code,
        _ => 101,
    };
    // SAFETY: always allowed.
    unsafe { nix::libc::_exit(code) }
}

fn leave_everything(number: i64, files: &[(PathBuf, PathBuf)]) -> Result<(), Errno> {
    let user = rustix::process::getuid().as_raw();
    let group = rustix::process::getgid().as_raw();
    unshare(CloneFlags::CLONE_NEWUSER)?;
    let tell = |file: &str, text: String| std::fs::write(file, text).map_err(|error| errno(&error));
    tell("/proc/self/setgroups", "deny".to_owned())?;
    tell("/proc/self/uid_map", format!("{} {user} 1", 1000 + number))?;
    tell("/proc/self/gid_map", format!("{} {group} 1", 1000 + number))?;
    let rest = CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWCGROUP
        | CLONE_NEWTIME;
    unshare(rest)?;
    // Days apart, and the last ones before the machine started.
    let days = number * 3 * 86_400;
    tell("/proc/self/timens_offsets", format!("monotonic {days} {number}\nboottime {days} 0"))?;
    let open = |(path, _): &(PathBuf, PathBuf)| std::fs::File::open(path).map_err(|error| errno(&error));
    let opened = files.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    mount(Some("alone"), "/dev/shm", Some("tmpfs"), MsFlags::empty(), Some("size=64k"))?;
    for (file, (_, place)) in opened.iter().zip(files) {
        std::fs::write(place, "").map_err(|error| errno(&error))?;
        let seen = format!("/proc/self/fd/{}", file.as_raw_fd());
        mount(Some(&seen[..]), place, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    }
    Ok(())
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

/// Says what an inspector sees, each time it is asked.
pub(crate) fn look(part: &Part) {
    let inspector = Inspector::open(part.ring()).expect("inspect");
    loop {
        let Snapshot { next_sequence, producer_alive, reclaims, wakes, producer_pid, consumers, .. } =
            inspector.snapshot().expect("a snapshot");
        let alive = consumers.iter().filter(|consumer| consumer.alive).count();
        let alive_producer = u8::from(producer_alive);
        say(format_args!("seen {next_sequence} {alive_producer} {reclaims} {wakes} {producer_pid} {alive}"));
        hear();
    }
}

/// Sends one record each time it is told to.
pub(crate) fn send_when_told(part: &Part) {
    let oracle = Oracle::new(MAX);
    let mut producer = Producer::open(part.ring()).expect("become the producer");
    say(format_args!("ready {}", producer.next_sequence()));
    let mut payload = Vec::new();
    while hear() == "send" {
        oracle.fill(producer.next_sequence(), &mut payload);
        producer.send(&payload).expect("room");
    }
}

/// Sleeps for every record, and says so when it has one.
pub(crate) fn sleep_and_tell(part: &Part) {
    let oracle = Oracle::new(MAX);
    let mut consumer = Consumer::open(part.ring(), &Attach::gated()).expect("attach");
    consumer.set_spins(0);
    say("ready");
    loop {
        if let Ok(Event::Record(record)) = consumer.recv() {
            oracle.check(record.sequence(), &record.bytes());
            say(format_args!("got {}", record.sequence()));
        }
    }
}

/// What an inspector in namespaces of its own sees.
struct Inspected {
    next_sequence: u64,
    producer_alive: bool,
    reclaims: u64,
    wakes: u64,
    producer_pid: u64,
    alive: u64,
}

/// The lonely of one test.
pub(crate) struct Cast<'a> {
    ring: &'a Path,
    number: i64,
}

impl<'a> Cast<'a> {
    pub(crate) fn on(ring: &'a Path) -> Self {
        Self { ring, number: 0 }
    }

    /// A part of its own, each on its own clock: later and later.
    pub(crate) fn part(&mut self, play: &str) -> Part {
        self.number += 1;
        Part::new("alone").on(self.ring).with("play", play).with("number", self.number).with("max", MAX)
    }

    fn reader(&mut self) -> Part {
        self.part("consume").with("policy", "gated").with("spins", 0)
    }
}

/// The inspector, and whether there may be any lonely at all.
fn inspector(cast: &mut Cast<'_>, what: &str) -> Option<Process> {
    let mut inspector = cast.part("look").start();
    let line = inspector.line(SOON);
    if line == "skipped" {
        note(format_args!("SKIPPED, no privilege for namespaces: {what}"));
        return None;
    }
    assert!(numbers(&line, "seen").is_some(), "{line}");
    Some(inspector)
}

fn inspect(inspector: &mut Process) -> Inspected {
    inspector.tell("look");
    let [next_sequence, producer_alive, reclaims, wakes, producer_pid, alive] = inspector.says("seen")[..]
    else {
        panic!("not what an inspector says")
    };
    Inspected { next_sequence, producer_alive: producer_alive == 1, reclaims, wakes, producer_pid, alive }
}

#[test]
fn a_sleeper_is_woken_where_nothing_is_shared_but_the_file() {
    const RECORDS: u64 = 300;
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    Options::new().capacity(1 << 14).create(&ring).expect("create");
    let mut cast = Cast::on(&ring);
    let Some(mut inspector) = inspector(&mut cast, "a sleeper in namespaces of its own") else { return };
    let mut sleeper = cast.part("sleep and tell").start();
    assert_eq!(sleeper.line(SOON), "ready");
    let mut producer = cast.part("send when told").start();
    producer.says("ready");
    // A wake that did not reach it would cost a slice of a tenth of a second each time: longer than all may take.
    let began = std::time::Instant::now();
    for sequence in 0..RECORDS {
        producer.tell("send");
        assert_eq!(sleeper.says("got"), [sequence]);
        assert!(began.elapsed() < SOON, "woken by nothing but time");
    }
    let seen = inspect(&mut inspector);
    assert_eq!((seen.next_sequence, seen.producer_alive, seen.alive), (RECORDS, true, 1));
    assert_eq!(seen.producer_pid, 1, "process ids mean nothing here");
    assert!(seen.wakes >= RECORDS / 2, "only {} of {RECORDS} records met a sleeper", seen.wakes);
    note(format_args!("{} sleepers woken across namespaces", seen.wakes));
}

#[test]
fn every_role_dies_and_is_succeeded_where_nothing_is_shared_but_the_file() {
    let stage = Stage::tmpfs(100);
    let ring = stage.file("ring");
    Options::new().capacity(1 << 16).create(&ring).expect("create");
    let mut cast = Cast::on(&ring);
    let Some(mut inspector) = inspector(&mut cast, "every role in namespaces of its own") else { return };
    let mut faithful = cast.reader().start();
    assert_eq!(faithful.says("ready"), [0, 0]);
    let mut observer = cast.part("consume").with("policy", "observer").start();
    observer.says("ready");
    let mut doomed = cast.reader().start();
    doomed.says("ready");
    let mut named = cast.reader().with("name", "kin").with("held", true).start();
    named.says("ready");
    let mut producer = cast.part("produce").with("seed", 5).start();
    assert_eq!(producer.says("ready"), [0, 1]);
    let flows = |inspector: &mut Process, what: &str| {
        let from = inspect(inspector).next_sequence;
        eventually(what, || inspect(inspector).next_sequence > from + 1_000);
    };
    flows(&mut inspector, "records flow");
    assert_eq!(inspect(&mut inspector).alive, 3);
    // Everybody's lock is seen from outside, whatever the process ids say.
    assert!(matches!(Producer::open(&ring), Err(Error::ProducerAlive { .. })));
    let taken = Consumer::open(&ring, &Attach::gated().name("kin"));
    assert!(matches!(taken, Err(Error::NameInUse { .. })), "{taken:?}");

    // A consumer dies; the producer, in other namespaces, takes its gate.
    doomed.kill();
    eventually("the dead consumer's gate is taken", || inspect(&mut inspector).reclaims == 1);
    flows(&mut inspector, "records flow past a dead consumer");

    // A held one dies; the producer waits for it, and it comes back in yet other namespaces, to its own place.
    named.kill();
    eventually("it is seen to be dead", || inspect(&mut inspector).alive == 1);
    let snapshot = Inspector::open(&ring).expect("inspect").snapshot().expect("a snapshot");
    let kept =
        snapshot.consumers.iter().find(|info| info.name.as_deref() == Some("kin")).expect("a held name");
    let left_at = kept.next_sequence;
    assert!(left_at > 0);
    let mut named = cast.reader().with("name", "kin").with("held", true).start();
    let place = named.says("ready")[0];
    assert_eq!(place, left_at, "it goes on where it had released everything");
    flows(&mut inspector, "records flow for a name that came back");

    // The producer dies; the next one, in other namespaces, goes on where it left off.
    producer.kill();
    eventually("the dead producer is seen to be dead", || !inspect(&mut inspector).producer_alive);
    let left_at = inspect(&mut inspector).next_sequence;
    let mut heir = cast.part("produce").with("seed", 6).with("count", 3_000).start();
    assert_eq!(heir.says("ready"), [left_at, 2]);
    let end = heir.says("done")[0];
    assert_eq!(end, left_at + 3_000);
    heir.finish();

    let sums = |process: &mut Process| {
        let mut said = process.says_within("done", SOON * 2);
        said.pop();
        Sums::from(said)
    };
    let seen = sums(&mut faithful);
    assert_eq!((seen.first, seen.next, seen.delivered, seen.lost), (0, end, end, 0), "{seen:?}");
    let seen = sums(&mut named);
    assert_eq!((seen.first, seen.next, seen.delivered, seen.lost), (place, end, end - place, 0), "{seen:?}");
    let seen = sums(&mut observer);
    assert_eq!((seen.next, seen.delivered + seen.lost), (end, end - seen.first), "{seen:?}");
    [faithful, named, observer].into_iter().for_each(Process::finish);
}

/// In a PID namespace of its own: kills owners, and has their process ids come back.
pub(crate) fn ids_come_back(part: &Part) {
    let ring = part.ring();
    let max = ("max", MAX);
    let mut producer = Part::new("produce").on(&ring).with(max.0, max.1).with("seed", 2).start();
    producer.says("ready");
    let mut consumer = Part::new("consume").on(&ring).with(max.0, max.1).with("policy", "gated").start();
    consumer.says("ready");
    let (producer_pid, consumer_pid) = (producer.pid(), consumer.pid());
    producer.kill();
    consumer.kill();
    let strangers = [stranger(producer_pid), stranger(consumer_pid)];
    let inspector = Inspector::open(&ring).expect("inspect");
    let snapshot = inspector.snapshot().expect("a snapshot");
    assert_eq!(snapshot.producer_pid, producer_pid, "the hint names a stranger that lives");
    assert!(!snapshot.producer_alive);
    let ghost: Vec<_> = snapshot.consumers.iter().map(|info| (info.pid, info.alive)).collect();
    assert_eq!(ghost, [(consumer_pid, false)]);
    // The lonely gate of the dead consumer is taken, though its process id is alive.
    let mut heir = Producer::open(&ring).expect("take over");
    let oracle = Oracle::new(MAX);
    let mut payload = Vec::new();
    for _ in 0..2_000 {
        oracle.fill(heir.next_sequence(), &mut payload);
        heir.send_deadline(&payload, std::time::Instant::now() + SOON).expect("room");
    }
    assert_eq!(inspector.snapshot().expect("a snapshot").reclaims, 1);
    drop(strangers);
    say(format_args!("done {producer_pid} {consumer_pid}"));
}

/// Somebody else, under a process id that another had.
fn stranger(pid: u32) -> Process {
    for _ in 0..1_000 {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).expect("ask for a process id");
        // Threads of this process take ids too, so it may take a few turns.
        let stranger = Part::new("idle").start();
        if stranger.pid() == pid {
            return stranger;
        }
    }
    panic!("process id {pid} does not come back");
}

/// Listens, and does nothing.
pub(crate) fn idle(_part: &Part) {
    loop {
        hear();
    }
}

#[test]
fn process_ids_come_back_and_mean_nothing() {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    Options::new().capacity(1 << 14).create(&ring).expect("create");
    let part = Part::new("apart").on(&ring).with("play", "ids come back");
    let mut child = part.start();
    let line = child.line(SOON * 2);
    if line == "skipped" {
        note("SKIPPED, no privilege for a namespace: process ids that come back");
        return;
    }
    let pids = numbers(&line, "done").expect("done");
    note(format_args!("process ids {pids:?} came back, and nobody was taken for alive"));
    child.finish();
}
