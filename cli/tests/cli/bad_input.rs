//! Everything wrong that can be reached from a command line: an error that says what to do, and its own exit code.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Place, lines};

/// Every verb that opens a ring says the same about a file that it cannot use.
#[track_caller]
fn refused(place: &Place, code: i32, says: &str) {
    for line in ["info RING", "sub RING", "sub RING --gated", "pub RING", "forget RING x"] {
        place.run(line, b"").assert_code(code).assert_stdout("").assert_one_line().assert_says(says);
    }
}

/// A good ring, changed by `change`.
fn changed(change: impl FnOnce(&File)) -> Place {
    let place = Place::with("--capacity 64KiB");
    change(&OpenOptions::new().read(true).write(true).open(&place.ring).unwrap());
    place
}

fn set_word(file: &File, number: u64, value: u64) {
    file.write_all_at(&value.to_le_bytes(), number * 8).unwrap();
}

/// Makes the identity page agree with its checksum again: `docs/format.md` says how.
fn seal(file: &File) {
    let mut words = [0; 28 * 8];
    file.read_exact_at(&mut words, 4 * 8).unwrap();
    set_word(file, 3, crc32c::crc32c(&words).into());
}

#[test]
fn no_ring_at_the_path() {
    let place = Place::new();
    refused(&place, 3, "no such file; create it first");
    fs::write(&place.ring, vec![b'x'; 100_000]).unwrap();
    refused(&place, 3, "; check the path");
    place.run("sub RING", b"").assert_code(3).assert_says("not a ring; check the path");
    place.run("info RING", b"").assert_code(3).assert_says("not a file of quoit; check the path");
    fs::write(&place.ring, b"").unwrap();
    refused(&place, 3, "only 0 bytes");
    fs::write(&place.ring, b"quoit\r\n\x1a").unwrap();
    refused(&place, 3, "only 8 bytes");
}

#[test]
fn no_regular_file_at_the_path() {
    let place = Place::new();
    fs::create_dir(&place.ring).unwrap();
    refused(&place, 3, "this is a directory");
    fs::remove_dir(&place.ring).unwrap();
    assert!(Command::new("mkfifo").arg(&place.ring).status().unwrap().success());
    refused(&place, 3, "this is a FIFO");
    fs::remove_file(&place.ring).unwrap();
    let ring = Place::with("");
    symlink(&ring.ring, &place.ring).unwrap();
    refused(&place, 3, "this is a symbolic link");
    let mut device = Place::new();
    device.ring = "/dev/null".into();
    refused(&device, 3, "this is a device");
}

#[test]
fn a_ring_that_is_not_for_this_build_or_machine() {
    refused(&changed(|file| set_word(file, 1, 2 << 32)), 4, "format version 2.0");
    refused(&changed(|file| set_word(file, 1, 1 << 32 | 7)), 4, "format version 1.7");
    let swapped = 0x0102_0304_0506_0708_u64.swap_bytes();
    refused(&changed(|file| set_word(file, 2, swapped)), 4, "another byte order");
    let foreign_pages = changed(|file| {
        set_word(file, 6, 512);
        seal(file);
    });
    for line in ["info RING", "sub RING", "pub RING"] {
        foreign_pages.run(line, b"").assert_code(4).assert_one_line();
    }
    let earlier_boot = changed(|file| {
        set_word(file, 9, 12345);
        seal(file);
    });
    refused(&earlier_boot, 4, "under another boot id, and nobody uses it");
}

#[test]
fn another_kind_of_object() {
    let mutex = Place::new();
    mutex.run("lock RING -- true", b"").assert_code(0);
    for line in ["sub RING", "sub RING --gated", "pub RING", "forget RING x", "evict RING --slot 0"] {
        let ran = mutex.run(line, b"").assert_code(3).assert_stdout("").assert_one_line();
        ran.assert_says("this is a reader-writer lock, not a ring");
    }
    // A ring that says that it is something else.
    let latest = changed(|file| {
        set_word(file, 4, u64::from_le_bytes(*b"latest  "));
        seal(file);
    });
    latest.run("sub RING", b"").assert_code(3).assert_says("this is a latest value, not a ring");
    latest.run("info RING", b"").assert_code(4).assert_stdout("").assert_one_line().assert_says("damaged");
    let unknown = changed(|file| {
        set_word(file, 4, 0);
        seal(file);
    });
    refused(&unknown, 4, "damaged (kind of object)");
}

#[test]
fn a_damaged_ring() {
    refused(&changed(|file| set_word(file, 16, 1 << 20)), 4, "damaged (checksum)");
    let odd = changed(|file| {
        set_word(file, 16, 77_777);
        seal(file);
    });
    refused(&odd, 4, "damaged (capacity)");
    refused(
        &changed(|file| file.set_len(file.metadata().unwrap().len() - 4096).unwrap()),
        4,
        "cut off or grown",
    );
    refused(
        &changed(|file| file.set_len(file.metadata().unwrap().len() + 4096).unwrap()),
        4,
        "cut off or grown",
    );
    refused(&changed(|file| file.set_len(5000).unwrap()), 4, "5000 bytes, but its geometry asks for");
    let sparse = changed(|file| {
        let bytes = file.metadata().unwrap().len();
        file.set_len(8192).unwrap();
        file.set_len(bytes).unwrap();
    });
    refused(&sparse, 4, "the file has holes");
}

#[test]
fn options_that_make_no_sense() {
    let place = Place::new();
    for capacity in ["0", "1", "100000", "2KiB", "3MiB", "2TiB"] {
        let ran = place.run(&format!("create RING --capacity {capacity}"), b"").assert_code(2);
        ran.assert_one_line().assert_says("power of two");
    }
    place.run("create RING --slots 0", b"").assert_code(2).assert_one_line();
    place.run("create RING --slots 100000", b"").assert_code(2).assert_one_line();
    place.run("pub RING --create 100", b"x").assert_code(2).assert_one_line().assert_says("power of two");
    place.run("create RING/below/nothing", b"").assert_code(3);
    assert!(!place.ring.exists());
    place.run("create RING", b"").assert_code(0);
    let name = "x".repeat(64);
    place
        .run(&format!("sub RING --name {name}"), b"")
        .assert_code(2)
        .assert_one_line()
        .assert_says("invalid name");
    place
        .run(&format!("forget RING {name}"), b"")
        .assert_code(2)
        .assert_one_line()
        .assert_says("invalid name");
}

#[test]
fn file_systems_that_would_not_work() {
    let mut place = Place::new();
    place.ring = "/proc/ring".into();
    place.run("create RING", b"").assert_code(1).assert_one_line().assert_says("put the file on tmpfs");
}

/// The command as a user without rights, where the test runs as root; otherwise as oneself.
fn without_rights(binary: &Path, arguments: &[&str], ring: &Path) -> std::process::Output {
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary);
        command
    } else {
        Command::new(binary)
    };
    command.arg(arguments[0]).arg(ring).args(&arguments[1..]).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn somebody_elses_ring_is_used_on_request() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can give a file away");
    }
    let place = Place::with("");
    let nobody = std::os::unix::fs::chown(&place.ring, Some(65_534), Some(65_534));
    nobody.expect("give it away");
    let ran = place.run("pub RING --create 64KiB", b"y").assert_code(1).assert_one_line();
    ran.assert_says("65534");
    place.run("pub RING --create 64KiB --any-owner", b"y").assert_code(0).assert_says("published 1 record,");
    place.run("pub RING --any-owner", b"y").assert_code(2);
}

#[test]
fn no_permission() {
    // The command where everybody can run it. Copied by another process: while this one had the copy open for
    // writing, a child of another test could inherit that, and nobody can run such a file.
    let bin = tempfile::tempdir().unwrap();
    let binary = bin.path().join("quoit");
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_quoit")).arg(&binary).status().unwrap().success());
    let place = Place::with("");
    place.run("pub RING", b"x\n").assert_code(0);
    let dir = place.ring.parent().unwrap();
    let root = rustix::process::geteuid().is_root();
    let check = |arguments: &[&str], code: i32, says: &str| {
        let output = without_rights(&binary, arguments, &place.ring);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
    };
    fs::set_permissions(bin.path(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&place.ring, Permissions::from_mode(if root { 0o600 } else { 0 })).unwrap();
    check(&["info"], 1, "no permission to read it");
    check(&["sub"], 1, "no permission to read it");
    check(&["pub"], 1, "no permission to read and write it");
    // Looking on takes no more than reading; a slot does.
    fs::set_permissions(&place.ring, Permissions::from_mode(0o444)).unwrap();
    check(&["info"], 0, "");
    check(&["sub"], 0, "received 1 record,");
    check(&["sub", "--gated"], 1, "no permission to read and write it");
    fs::remove_file(&place.ring).unwrap();
    fs::set_permissions(dir, Permissions::from_mode(0o555)).unwrap();
    check(&["create"], 1, "no permission to");
    fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_full_disk() {
    // A tmpfs of its own, in a mount namespace of its own.
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=1m none \"$0\" || exit 99; \"$1\" create \"$0/ring\" --capacity 16MiB; \
                  code=$?; test -e \"$0/ring\" && exit 98; exit $code";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(dir.path())
        .arg(env!("CARGO_BIN_EXE_quoit"))
        .output();
    let Ok(output) = output else { return eprintln!("skipped: there is no unshare here") };
    let stderr = String::from_utf8(output.stderr).unwrap();
    if output.status.code() == Some(99) || stderr.contains("unshare") {
        return eprintln!("skipped: no mount namespaces here: {stderr}");
    }
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("no room for the") && stderr.contains("a capacity of 524288 bytes at most"),
        "{stderr}"
    );
}

#[test]
fn one_producer_at_a_time() {
    let place = Place::with("");
    let mut first = place.spawn("pub RING", Stdio::piped(), Stdio::null());
    let stdin = first.stdin();
    place.wait_for("the first is there", |info| info["producer"]["alive"] == true);
    let says = "the ring has a living producer";
    place.run("pub RING", b"x\n").assert_code(9).assert_one_line().assert_says(says);
    // Stopped is not dead.
    first.signal(rustix::process::Signal::STOP);
    place.wait_for("it is seen stopped", |info| info["producer"]["state"] == "stopped");
    place.run("pub RING", b"x\n").assert_code(9).assert_one_line().assert_says(says);
    first.signal(rustix::process::Signal::CONT);
    drop(stdin);
    first.end().assert_code(0);
    place.run("pub RING", b"x\n").assert_code(0);
}

#[test]
fn slots_and_names_in_use() {
    let place = Place::with("--slots 2");
    let first = place.spawn("sub RING --gated --name one --follow", Stdio::null(), Stdio::null());
    place.run("sub RING --name two", b"").assert_code(0);
    place.wait_for_consumers(1);
    let ran = place.run("sub RING --gated", b"").assert_code(9).assert_one_line();
    ran.assert_says("all 2 consumer slots are taken, 1 of them by names");
    let says = "a living consumer uses the name \"one\"";
    place.run("sub RING --name one", b"").assert_code(9).assert_one_line().assert_says(says);
    place.run("forget RING one", b"").assert_code(9).assert_one_line().assert_says(says);
    // Observers take none.
    place.run("sub RING", b"").assert_code(0);
    place.run("forget RING two", b"").assert_code(0);
    place.run("sub RING --gated", b"").assert_code(0);
    first.kill();
    place.run("sub RING --name one", b"").assert_code(0);
}

#[test]
fn rings_for_gated_consumers_only() {
    let place = Place::with("--gated-only");
    for policy in ["", "--lossy", "--gated-for 1s"] {
        let ran = place.run(&format!("sub RING {policy}"), b"").assert_code(1);
        ran.assert_one_line().assert_says("attach gated without a budget");
    }
    place.run("sub RING --gated", b"").assert_code(0);
}

#[test]
fn records_too_large() {
    let place = Place::with("--capacity 4KiB");
    let mut input = lines(0..2);
    input.extend([b'x'; 5000]);
    input.extend(b"\nnever\n");
    let ran = place.run("pub RING --quiet", &input).assert_code(1).assert_one_line();
    ran.assert_says("line 3 of the input has 5000 bytes, and this ring takes records of up to 20");
    place.run("sub RING", b"").assert_code(0).assert_stdout(lines(0..2));
    place
        .run("pub RING --chunk 4KiB", &input)
        .assert_code(1)
        .assert_one_line()
        .assert_says("chunks of 4096 bytes");
    let mut input = 5000_u32.to_le_bytes().to_vec();
    input.extend([0; 5000]);
    let ran = place.run("pub RING --length-prefixed --quiet", &input).assert_code(1).assert_one_line();
    ran.assert_says("record 1 of the input has 5000 bytes");
    let ran =
        place.run("pub RING --length-prefixed --quiet", b"\x05\0\0\0abc").assert_code(1).assert_one_line();
    ran.assert_says("the input ends inside record 1, 2 bytes short");
    let largest = place.run("pub RING --quiet --chunk 4KiB", b"").stderr;
    let max: usize = largest.split("up to ").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    place.run(&format!("pub RING --chunk {max}"), &vec![b'x'; max]).assert_code(0);
    place.run("sub RING --from -1 --raw", b"").assert_code(0).assert_stdout(vec![b'x'; max]);
}

#[test]
fn input_that_cannot_be_read() {
    let place = Place::with("");
    let directory = File::open("/").unwrap();
    let publisher = place.spawn("pub RING --quiet", directory.into(), Stdio::null());
    publisher.end().assert_code(1).assert_one_line().assert_says("could not read standard input");
}

#[test]
fn output_that_cannot_be_written() {
    let place = Place::with("");
    place.run("pub RING", &lines(0..10)).assert_code(0);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let sub = place.spawn("sub RING --gated --name x --quiet", Stdio::null(), full.into());
    sub.end().assert_code(1).assert_one_line().assert_says("No space left");
    place.run("sub RING --gated --name x", b"").assert_code(0).assert_stdout(lines(0..10));
}

#[test]
fn garbage_in_the_ring() {
    let place = Place::with("--capacity 64KiB");
    place.run("pub RING", &lines(0..10)).assert_code(0);
    let file = OpenOptions::new().read(true).write(true).open(&place.ring).unwrap();
    let data = file.metadata().unwrap().len() - 65_536;
    // The length of the third record: each takes its header and "line N" rounded up to 8 bytes.
    for garbage in [u64::MAX, 0x7fff_fff8, 0, 1 << 20] {
        file.write_all_at(&garbage.to_le_bytes(), data + 2 * 16).unwrap();
        for policy in ["", "--gated", "--lossy"] {
            let ran = place.run(&format!("sub RING --quiet {policy}"), b"").assert_code(1).assert_one_line();
            ran.assert_says("the ring contradicts itself at position 32").assert_stdout(lines(0..2));
        }
    }
    file.write_all_at(&(6 | 2_u64 << 32).to_le_bytes(), data + 2 * 16).unwrap();
    place.run("sub RING", b"").assert_code(0).assert_stdout(lines(0..10));
    // `published`, at the start of the inline block: off a boundary, too far, beyond what was written, gone back.
    let mut good = [0; 8];
    file.read_exact_at(&mut good, 4096).unwrap();
    let published = u64::from_le_bytes(good);
    for garbage in [published + 4, published + (1 << 40), published + 16, published - 8, 7, u64::MAX] {
        // Somebody who is attached takes what has gone back for nothing new, and what follows it for good.
        let is_ahead = garbage > published && garbage < u64::MAX;
        let attached =
            is_ahead.then(|| place.spawn("sub RING --follow --quiet --gated", Stdio::null(), Stdio::piped()));
        place.wait_for_consumers(attached.iter().count());
        set_word(&file, 512, garbage);
        if let Some(sub) = attached {
            sub.end().assert_code(1).assert_one_line().assert_says("the ring contradicts itself");
        }
        for line in ["sub RING --from newest", "sub RING --gated --from newest", "info RING", "pub RING"] {
            place
                .run(line, b"x\n")
                .assert_code(1)
                .assert_one_line()
                .assert_says("the ring contradicts itself");
        }
        set_word(&file, 512, published);
    }
    place.run("sub RING", b"").assert_code(0).assert_stdout(lines(0..10));
}
