//! What is no sealed ring, and what a sealed ring refuses.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use quoit::{Attach, Error, Options, Producer, Ring};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

fn made() -> (Producer, Ring) {
    Ring::sealed(&Options::new().capacity(4096).slots(2)).expect("create")
}

fn own(descriptor: impl AsFd) -> OwnedFd {
    descriptor.as_fd().try_clone_to_owned().expect("duplicate")
}

/// A copy of a file's bytes in memory with these seals.
fn forged(from: impl AsFd, bytes: u64, seals: SealFlags) -> OwnedFd {
    use std::os::unix::fs::FileExt;
    let mut contents = vec![0; bytes as usize];
    File::from(own(from)).read_exact_at(&mut contents, 0).expect("read");
    let memory = memfd_create("forged", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).expect("memfd");
    let file = File::from(memory);
    file.write_all_at(&contents, 0).expect("write");
    fcntl_add_seals(&file, seals).expect("seal");
    file.into()
}

fn bytes(descriptor: impl AsFd) -> u64 {
    File::from(own(descriptor)).metadata().expect("metadata").len()
}

#[test]
fn every_seal_is_asked_for() {
    let (_producer, ring) = made();
    let size = SealFlags::SHRINK | SealFlags::GROW;
    let control = size | SealFlags::SEAL;
    let records = control | SealFlags::FUTURE_WRITE;
    let not_sealed = |seals: SealFlags, for_control: SealFlags| {
        let forged_records = forged(ring.records().unwrap(), bytes(ring.records().unwrap()), seals);
        let forged_control = forged(ring.control().unwrap(), bytes(ring.control().unwrap()), for_control);
        matches!(Ring::from_descriptors(forged_records, forged_control), Err(Error::NotSealed { .. }))
    };
    for missing in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::SEAL, SealFlags::FUTURE_WRITE] {
        assert!(not_sealed(records & !missing, control), "records without {missing:?}");
    }
    for missing in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::SEAL] {
        assert!(not_sealed(records, control & !missing), "control without {missing:?}");
    }
    // Well sealed, but not the file that the records name.
    assert!(not_sealed(records, control));
}

#[test]
fn other_descriptors_are_no_rings() {
    let ((_one, first), (_two, second)) = (made(), made());
    let refused = |records: OwnedFd, control: OwnedFd| Ring::from_descriptors(records, control).unwrap_err();
    // Mixed up, in each way.
    assert!(matches!(
        refused(own(first.records().unwrap()), own(second.control().unwrap())),
        Error::NotSealed { .. }
    ));
    assert!(matches!(
        refused(own(first.control().unwrap()), own(first.records().unwrap())),
        Error::NotSealed { .. }
    ));
    assert!(matches!(
        refused(own(first.records().unwrap()), own(first.records().unwrap())),
        Error::NotSealed { .. }
    ));
    let null = || OwnedFd::from(File::open("/dev/null").expect("open"));
    assert!(matches!(refused(null(), null()), Error::NotSealed { .. }));
    let plain = OwnedFd::from(tempfile::tempfile_in("/dev/shm").expect("a file"));
    assert!(matches!(refused(plain, own(first.control().unwrap())), Error::NotSealed { .. }));
    // Ring, and no ring.
    let all = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL | SealFlags::FUTURE_WRITE;
    let empty = memfd_create("empty", MemfdFlags::ALLOW_SEALING).expect("memfd");
    fcntl_add_seals(&empty, all).expect("seal");
    assert!(matches!(refused(empty, own(first.control().unwrap())), Error::TooShort { .. }));
    let zeros = File::from(memfd_create("zeros", MemfdFlags::ALLOW_SEALING).expect("memfd"));
    zeros.set_len(1 << 16).expect("grow");
    fcntl_add_seals(&zeros, all).expect("seal");
    assert!(matches!(refused(zeros.into(), own(first.control().unwrap())), Error::NotARing { .. }));
    let text = Error::NotSealed { what: "this" }.to_string();
    assert!(text.contains("this") && text.contains("take no ring"), "{text}");
    // And the right ones are one.
    Ring::from_descriptors(own(first.records().unwrap()), own(first.control().unwrap())).expect("a ring");
}

#[test]
fn names_and_gated_only_are_refused() {
    let (_producer, ring) = made();
    assert!(matches!(ring.consumer(&Attach::gated().name("me")), Err(Error::BadOption { .. })));
    assert!(matches!(ring.consumer(&Attach::gated().after("me")), Err(Error::BadOption { .. })));
    assert!(matches!(Ring::sealed(&Options::new().gated_only(true)), Err(Error::BadOption { .. })));
    assert!(matches!(Ring::sealed(&Options::new().capacity(5000)), Err(Error::Capacity { asked: 5000 })));
    let zero = Ring::sealed(&Options::new().hard_limit(Duration::ZERO));
    assert!(matches!(zero, Err(Error::BadOption { .. })));
}

/// Nobody takes over: there is no way in for a second producer, dead or alive the first.
#[test]
fn nobody_takes_over() {
    use std::os::fd::AsRawFd;
    let (producer, ring) = made();
    drop(producer);
    let path = format!("/proc/self/fd/{}", ring.records().unwrap().as_raw_fd());
    assert!(matches!(Producer::open(&path), Err(Error::NotRegular { kind: "symbolic link", .. })));
    let mut late = ring.consumer(&Attach::lossy()).expect("attach");
    assert!(matches!(late.recv(), Err(quoit::RecvError::Closed)));
}
