//! Files that this process may not use, and disks that have no room for one. Both take a privilege to set up: without
//! it these tests do what they can, and say what they skipped.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};
use quoit::Event;

use super::*;

/// Tells a child the directory that it is to look at.
const DIRECTORY: &str = "QUOIT_TEST_AS_NOBODY";
const NOBODY: u32 = 65534;
/// Neither of the two.
const SOMEBODY: u32 = 40_001;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Rings with the rights that `mode` gives, by that name, each with one record; and a directory.
fn furnish(directory: &Path, modes: &[(&str, u32)]) {
    for (name, mode) in modes {
        let path = directory.join(name);
        Producer::create(&path, &small()).unwrap().send(b"to be seen").unwrap();
        set_mode(&path, *mode);
    }
    let closed = directory.join("closed");
    std::fs::create_dir(&closed).unwrap();
    small().create(closed.join("ring")).unwrap();
}

/// What somebody finds who may read and write `full`, read `read`, neither `none`, and not even look into `closed`.
fn what_is_permitted(directory: &Path, full: &str, read: &str, none: &str) {
    let writers: Vec<_> = ROLES.into_iter().filter(|role| !role.only_reads()).collect();
    harmless(&directory.join(full), "all rights");
    let path = directory.join(read);
    refused!(&writers; path, Error::Permission { action: "read and write it", .. });
    let mut observer = Observer::open(&path, Start::Oldest).unwrap();
    match observer.try_recv().unwrap() {
        Some(Event::Record(record)) => assert_eq!(record.to_vec(), b"to be seen"),
        other => panic!("{other:?}"),
    }
    let snapshot = Inspector::open(&path).unwrap().snapshot().unwrap();
    assert_eq!((snapshot.next_sequence, snapshot.producer_alive), (1, false));
    let path = directory.join(none);
    let of_it = std::fs::metadata(&path).unwrap();
    let (user, mode) = (of_it.uid(), of_it.mode() & 0o7777);
    refused!(&writers; path, Error::Permission { action: "read and write it", rights: Some(rights), .. }
        if (rights.user, rights.mode) == (user, mode));
    let text = Producer::open(&path).unwrap_err().to_string();
    let own = rustix::process::geteuid().as_raw();
    assert!(text.contains(&format!("owner {user}")) && text.contains(&format!("mode {mode:04o}")), "{text}");
    assert!(text.contains(&format!("this process is user {own}")), "{text}");
    refused!(&[Role::Observe, Role::Inspect]; path, Error::Permission { action: "read it", .. });
    refused!(directory.join("closed/ring"), Error::Permission { .. });
    // Whoever may not even look whether there is something cannot make anything there.
    let new = directory.join("closed/new");
    for refusal in [small().create(&new), Producer::create(&new, &small()).map(drop)] {
        let error = refusal.unwrap_err();
        assert!(matches!(error, Error::Permission { .. }), "{error:?}");
        is_helpful(&error);
    }
}

/// Who opens or creates takes rings of its own user and of root, and another's only if told to.
fn what_is_trusted(directory: &Path) {
    for ring in ["own", "root's"] {
        Producer::open_or_create(directory.join(ring), &small()).unwrap();
    }
    let path = directory.join("foreign");
    refused!(&[Role::ProduceOrCreate]; path, Error::ForeignOwner { rights, .. }
        if (rights.user, rights.mode) == (SOMEBODY, 0o666));
    // An old one of another user is not removed either.
    let leftover = directory.join("foreign leftover");
    refused!(&[Role::ProduceOrCreate]; leftover, Error::ForeignOwner { .. });
    // Whoever names a ring that is there means that ring.
    let others: Vec<_> = ROLES.into_iter().filter(|role| *role != Role::ProduceOrCreate).collect();
    others.iter().for_each(|role| role.open(&path).unwrap());
    Producer::open_or_create(&path, &small().any_owner(true)).unwrap();
}

/// Rings as [`what_is_trusted`] wants them, for a process of `user`.
fn furnish_with_owners(directory: &Path, user: u32) {
    let owners = [("own", user), ("root's", 0), ("foreign", SOMEBODY), ("foreign leftover", SOMEBODY)];
    for (name, owner) in owners {
        let path = directory.join(name);
        small().mode(0o666).create(&path).unwrap();
        if name.ends_with("leftover") {
            let ring = File::options().write(true).open(&path).unwrap();
            ring.write_all_at(&[1; 16], 72).unwrap();
        }
        std::os::unix::fs::chown(&path, Some(owner), None).unwrap();
    }
}

#[test]
fn somebody_elses_ring() {
    if !is_root() {
        note("SKIPPED, no privilege to give files away: rings of other users");
        return;
    }
    // Root trusts itself alone.
    let directory = Backing::Tmpfs.directory();
    furnish_with_owners(directory.path(), 0);
    what_is_trusted(directory.path());
}

/// Not a test of its own: what `no_permission` starts as nobody.
#[test]
fn as_nobody() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    assert!(!is_root(), "still root");
    what_is_permitted(&directory, "0666", "0644", "0600");
    // The directory is somebody else's.
    let new = directory.join("new");
    for refusal in [small().create(&new), Producer::open_or_create(&new, &small()).map(drop)] {
        let error = refusal.unwrap_err();
        // Of the directory.
        let Error::Permission { action: "create a file in its directory", rights: Some(rights), .. } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!((rights.user, rights.mode), (0, 0o755), "{error:?}");
        is_helpful(&error);
    }
    what_is_trusted(&directory);
    println!("nobody was refused");
}

#[test]
fn no_permission() {
    let directory = Backing::Tmpfs.directory();
    let path = directory.path();
    if !is_root() {
        note("not root: the owner's own rights stand in for nobody's");
        furnish(path, &[("full", 0o600), ("read", 0o400), ("none", 0)]);
        set_mode(&path.join("closed"), 0);
        what_is_permitted(path, "full", "read", "none");
        set_mode(&path.join("closed"), 0o700);
        return;
    }
    furnish(path, &[("0666", 0o666), ("0644", 0o644), ("0600", 0o600)]);
    furnish_with_owners(path, NOBODY);
    set_mode(&path.join("closed"), 0o700);
    set_mode(path, 0o755);
    // Nobody may be shut out of the build directory, so the child is a copy.
    let binary = path.join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    set_mode(&binary, 0o755);
    let child = Command::new(&binary)
        .args(["--exact", "rights::as_nobody", "--nocapture"])
        .env(DIRECTORY, path)
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("nobody was refused"),
        "{:?}\n{said}\n{}",
        child.status,
        String::from_utf8_lossy(&child.stderr)
    );
}

fn mount_tmpfs(directory: &Path, flags: MsFlags, options: &str) {
    mount(Some("quoit"), directory, Some("tmpfs"), flags, Some(options)).unwrap();
}

/// In a mount namespace of this thread's own. The thread ends with the test, and the mounts with it.
fn with_mounts(work: impl FnOnce(&Path) + Send + 'static) {
    let directory = Backing::Tmpfs.directory();
    let path = directory.path().to_owned();
    let thread = std::thread::spawn(move || {
        if let Err(errno) = unshare(CloneFlags::CLONE_NEWNS) {
            assert_eq!(errno, Errno::EPERM);
            note("SKIPPED, no privilege for a mount namespace: full and read-only disks");
            return;
        }
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        work(&path);
    });
    thread.join().unwrap();
}

/// Every way to make a ring finds no room, and leaves nothing behind.
fn no_space(directory: &Path, options: &Options, needed: u64) {
    let before = std::fs::read_dir(directory).unwrap().count();
    let path = directory.join("ring");
    let refusals = [
        options.create(&path),
        Producer::create(&path, options).map(drop),
        Producer::open_or_create(&path, options).map(drop),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err();
        assert!(
            matches!(&error, Error::NoSpace { path: told, bytes, .. } if *told == path && *bytes == needed),
            "{error:?}"
        );
        assert!(error.to_string().contains(&needed.to_string()), "{error}");
        is_helpful(&error);
    }
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), before, "something was left behind");
}

#[test]
fn a_full_disk() {
    with_mounts(|directory| {
        mount_tmpfs(directory, MsFlags::empty(), "size=64k");
        no_space(directory, &small().capacity(1 << 16), (1 << 16) + 3 * PAGE);
        no_space(directory, &small().capacity(1 << 40), (1 << 40) + 3 * PAGE);
        // Half a ring's room is no room, and afterwards there is as much as before.
        std::fs::write(directory.join("filler"), vec![0; 45 << 10]).unwrap();
        no_space(directory, &small(), FILE_BYTES);
        std::fs::remove_file(directory.join("filler")).unwrap();
        small().create(directory.join("other")).unwrap();
        harmless(&directory.join("other"), "a ring that fits");
        umount(directory).unwrap();
        // Room, but not for one more file: the directory has the first inode, the filler the second.
        mount_tmpfs(directory, MsFlags::empty(), "size=1m,nr_inodes=2");
        std::fs::write(directory.join("filler"), "").unwrap();
        no_space(directory, &small(), FILE_BYTES);
        umount(directory).unwrap();
    });
}

#[test]
fn a_disk_mounted_read_only() {
    with_mounts(|directory| {
        mount_tmpfs(directory, MsFlags::empty(), "size=1m");
        let path = directory.join("ring");
        Producer::create(&path, &small()).unwrap().send(b"to be seen").unwrap();
        mount_tmpfs(directory, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, "size=1m");
        let writers: Vec<_> = ROLES.into_iter().filter(|role| !role.only_reads()).collect();
        refused!(&writers; path, Error::ReadOnly { .. });
        for role in [Role::Observe, Role::Inspect] {
            role.open(&path).unwrap();
        }
        for refusal in [
            small().create(directory.join("new")),
            Producer::create(directory.join("new"), &small()).map(drop),
        ] {
            let error = refusal.unwrap_err();
            assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
            is_helpful(&error);
        }
        umount(directory).unwrap();
    });
}
