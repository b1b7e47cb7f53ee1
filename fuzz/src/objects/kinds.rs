//! What is attacked: every kind of lock, value, group and service, made, opened, used, and shown to work.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quoit_tampered as quoit;

use quoit::service::{self, CallOptions, Client, Request, Server, ServiceOptions};
use quoit::sync::{
    Barrier, Condvar, Event, Latch, Latest, LatestOptions, LatestReader, Mutex, Once, Reset, RwLock,
    Semaphore, SyncOptions, Table, TableOptions, TableReader,
};
use quoit::{
    CallError, Error, Group, GroupError, GroupEvent, GroupInspector, GroupMember, Options, Producer, Ring,
    Start,
};

/// A kind of object.
pub(super) struct Kind {
    pub(super) make: fn(&Path),
    /// The file that is attacked.
    pub(super) file: fn(&Path) -> PathBuf,
    /// Opens handles, some of which may hold something.
    pub(super) open: fn(&Path) -> Result<Box<dyn Object>, Error>,
    /// Uses an object in good order.
    pub(super) works: fn(&Path),
}

/// Handles on one object.
pub(super) trait Object {
    /// One or two calls.
    fn act(&mut self, choice: u8);
}

const SEATS: u32 = 3;

fn options() -> SyncOptions {
    SyncOptions::new().seats(SEATS)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// A wait that sleeps once, if it sleeps.
fn now() -> Instant {
    Instant::now() + Duration::from_micros(20)
}

/// What may be told of an object with garbage in it.
#[track_caller]
fn answered<T: Debug>(tried: Result<T, Error>) {
    let is_expected = matches!(
        tried,
        Ok(_)
            | Err(Error::Garbage { .. }
                | Error::Abandoned
                | Error::Broken
                | Error::Busy
                | Error::TimedOut
                | Error::Deadlock
                | Error::SeatsTaken { .. }
                | Error::WriterAlive { .. }
                | Error::ServerAlive { .. }
                // The group's words ask for a ring of dead letters.
                | Error::BadOption { .. })
    );
    assert!(is_expected, "{tried:?}");
}

pub(super) const KINDS: [Kind; 13] = [
    Kind {
        make: |path| drop(Mutex::create(path, &options(), &[7_u64; 2]).expect("create")),
        file: Path::to_path_buf,
        open: |path| Ok(Box::new([Mutex::<[u64; 2]>::open(path)?, Mutex::open(path)?])),
        works: |path| {
            assert_eq!(*Mutex::<[u64; 2]>::open(path).unwrap().lock_deadline(soon()).unwrap(), [7_u64; 2])
        },
    },
    Kind {
        make: |path| drop(Semaphore::create(path, &options(), 3).expect("create")),
        file: Path::to_path_buf,
        open: |path| Ok(Box::new([Semaphore::open(path)?, Semaphore::open(path)?])),
        works: |path| drop(Semaphore::open(path).unwrap().acquire_many_deadline(3, soon()).unwrap()),
    },
    Kind {
        make: |path| drop(Event::create(path, &options(), Reset::Auto).expect("create")),
        file: Path::to_path_buf,
        open: |path| Ok(Box::new([Event::open(path)?, Event::open(path)?])),
        works: |path| {
            let event = Event::open(path).unwrap();
            event.set().unwrap();
            event.wait_deadline(soon()).unwrap();
        },
    },
    Kind {
        make: |path| drop(Barrier::create(path, &options(), 2).expect("create")),
        file: Path::to_path_buf,
        open: |path| Ok(Box::new([Barrier::open(path)?, Barrier::open(path)?])),
        works: |path| {
            let both = [(); 2].map(|()| Barrier::open(path).unwrap());
            both[0].reset().unwrap();
            std::thread::scope(|scope| {
                let waits = both.map(|party| scope.spawn(move || party.wait_deadline(soon()).unwrap().round));
                let [first, second] = waits.map(|wait| wait.join().unwrap());
                assert_eq!(first, second);
            });
        },
    },
    Kind {
        make: |path| drop(Latch::create(path, &options(), 1).expect("create")),
        file: Path::to_path_buf,
        open: |path| Ok(Box::new([Latch::open(path)?, Latch::open(path)?])),
        works: |path| {
            let latch = Latch::open(path).unwrap();
            let party = latch.join().unwrap();
            let _ = latch.try_wait();
            latch.reset().unwrap();
            party.arrive().unwrap();
            latch.wait_deadline(soon()).unwrap();
        },
    },
    Kind {
        make: |path| drop(Once::create(path, &options()).expect("create")),
        file: Path::to_path_buf,
        open: |path| Ok(Box::new([Once::open(path)?, Once::open(path)?])),
        works: |path| assert!(Once::open(path).unwrap().call_deadline(soon(), |_| {}).unwrap()),
    },
    Kind {
        make: |path| {
            drop(Mutex::create(path, &options(), &0_u64).expect("create"));
            drop(Condvar::create(path.with_extension("condvar"), &options()).expect("create"));
        },
        file: |path| path.with_extension("condvar"),
        open: |path| {
            Ok(Box::new((Mutex::<u64>::open(path)?, Condvar::open(path.with_extension("condvar"))?)))
        },
        works: |path| {
            let (mut mutex, condvar) =
                (Mutex::<u64>::open(path).unwrap(), Condvar::open(path.with_extension("condvar")).unwrap());
            let mut guard = mutex.recover_deadline(soon()).unwrap();
            guard.recovered();
            let waited = condvar.wait_while_deadline(guard, now(), |_| true).map(drop);
            assert!(matches!(waited, Err(Error::TimedOut)), "{waited:?}");
        },
    },
    Kind {
        make: |path| drop(RwLock::create(path, &options(), &[7_u64; 2]).expect("create")),
        file: Path::to_path_buf,
        open: |path| Ok(Box::new([RwLock::<[u64; 2]>::open(path)?, RwLock::open(path)?])),
        works: |path| {
            let mut lock = RwLock::<[u64; 2]>::open(path).unwrap();
            assert_eq!(*lock.write_deadline(soon()).unwrap(), [7; 2]);
            assert_eq!(*lock.read_deadline(soon()).unwrap(), [7; 2]);
        },
    },
    Kind {
        make: |path| drop(Latest::create(path, &LatestOptions::new(), &[7_u64; 2]).expect("create")),
        file: Path::to_path_buf,
        open: |path| Ok(Box::new((Latest::<[u64; 2]>::open(path)?, LatestReader::<[u64; 2]>::open(path)?))),
        works: |path| {
            let mut reader = LatestReader::<[u64; 2]>::open(path).unwrap();
            assert_eq!(reader.get().unwrap(), [7; 2]);
            Latest::open(path).unwrap().set(&[8_u64; 2]).unwrap();
            assert_eq!(reader.next_deadline(soon()).unwrap(), Some([8; 2]));
        },
    },
    Kind {
        make: |path| {
            drop(Table::create(path, &TableOptions::new(2).seats(SEATS), &[7_u64; 2]).expect("create"));
        },
        file: Path::to_path_buf,
        open: |path| Ok(Box::new((Table::<[u64; 2]>::open(path)?, TableReader::<[u64; 2]>::open(path)?))),
        works: |path| {
            let table = Table::<[u64; 2]>::open(path).unwrap();
            assert_eq!(table.get(1).unwrap(), [7; 2]);
            table.row_deadline(1, soon()).unwrap().set(&[8; 2]).unwrap();
            assert_eq!([table.get(0).unwrap(), table.get(1).unwrap()], [[7; 2], [8; 2]]);
        },
    },
    Kind {
        make: |path| {
            make_group(path, &group());
        },
        file: |path| path.with_file_name("object.workers.group"),
        open: |path| members(path, &group()),
        works: |path| hands_out(path, &group()),
    },
    Kind {
        make: |path| {
            let options = ServiceOptions::new().clients(SEATS).request_bytes(4096).reply_bytes(4096);
            drop(Server::create(path, &options.largest_reply(64)).expect("create"));
        },
        file: Path::to_path_buf,
        open: |path| {
            let (server, clients) = (Server::open(path)?, [Client::open(path)?, Client::open(path)?]);
            Ok(Box::new((service::Inspector::open(path)?, server, clients)))
        },
        works: |path| {
            let (server, mut client) = (Server::open(path).unwrap(), Client::open(path).unwrap());
            let call = client.start(b"request", CallOptions::new()).unwrap();
            server.recv_deadline(soon()).unwrap().expect("a request").reply(b"reply").unwrap();
            let answer = client.recv_deadline(soon()).unwrap().expect("an answer");
            assert!(answer.call() == call && answer.into_result().unwrap().to_vec() == b"reply");
        },
    },
    // Puts aside what was handed out twice.
    Kind {
        make: |path| {
            Ring::create(dead_letters(path), &Options::new().capacity(4096).slots(2)).expect("create");
            make_group(path, &careful(path).expect("open"));
        },
        file: |path| path.with_file_name("object.workers.group"),
        open: |path| members(path, &careful(path)?),
        works: |path| hands_out(path, &careful(path).unwrap()),
    },
];

fn make_group(path: &Path, group: &Group) {
    let mut producer = Producer::create(path, &Options::new().capacity(4096).slots(2)).expect("create");
    drop(GroupMember::join(path, group).expect("join"));
    for number in 0..4_u64 {
        producer.send(&number.to_le_bytes()).expect("send");
    }
}

/// Two members, and a look from outside.
fn members(path: &Path, group: &Group) -> Result<Box<dyn Object>, Error> {
    let mut members = [GroupMember::join(path, group)?, GroupMember::join(path, group)?];
    members.iter_mut().for_each(|member| member.set_spins(0));
    Ok(Box::new((GroupInspector::open(path, "workers")?, members)))
}

fn hands_out(path: &Path, group: &Group) {
    let mut member = GroupMember::join(path, group).unwrap();
    for sequence in 0..4 {
        match member.recv_deadline(soon()).unwrap() {
            GroupEvent::Job(job) => {
                assert_eq!(job.sequence(), sequence);
                assert_eq!(job.record().to_vec(), sequence.to_le_bytes());
                job.ack().unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
}

fn dead_letters(path: &Path) -> PathBuf {
    path.with_file_name("dead")
}

fn careful(path: &Path) -> Result<Group, Error> {
    Ok(group().max_deliveries(2, &Ring::open(dead_letters(path))?))
}

fn group() -> Group {
    Group::new("workers").start(Start::Oldest).hold_forever().members(SEATS).leases(64)
}

impl Object for [Mutex<[u64; 2]>; 2] {
    fn act(&mut self, choice: u8) {
        let [first, second] = self;
        match choice % 8 {
            0 => answered(first.try_lock().map(drop)),
            1 => answered(second.lock_deadline(now()).map(drop)),
            2 => answered(second.recover_deadline(now()).map(|mut guard| guard.recovered())),
            3 => answered(first.lock_deadline(now()).and_then(|mut guard| {
                guard[0] = 9;
                guard.commit()
            })),
            4 => answered(first.holder()),
            5 => drop((first.waiting(), second.is_abandoned())),
            6 => answered(first.lock_deadline(now()).map(std::mem::forget)),
            _ => answered(first.try_clone().map(drop)),
        }
    }
}

impl Object for [Semaphore; 2] {
    fn act(&mut self, choice: u8) {
        let [first, second] = self;
        match choice % 7 {
            0 => answered(first.try_acquire().map(drop)),
            1 => answered(second.acquire_many_deadline(2, now()).map(drop)),
            2 => answered(second.acquire_deadline(now()).map(std::mem::forget)),
            3 => second.give_back_forgotten(),
            4 => answered(first.holders()),
            5 => assert!(first.available() <= first.permits()),
            _ => answered(first.try_clone().map(drop)),
        }
    }
}

impl Object for [Event; 2] {
    fn act(&mut self, choice: u8) {
        let [first, second] = self;
        match choice % 6 {
            0 => answered(first.set()),
            1 => answered(first.reset()),
            2 => answered(second.try_wait()),
            3 => answered(second.wait_deadline(now())),
            4 => answered(first.count()),
            _ => answered(first.try_clone().map(drop)),
        }
    }
}

impl Object for [Barrier; 2] {
    fn act(&mut self, choice: u8) {
        let [first, second] = self;
        match choice % 6 {
            0 => answered(first.try_wait()),
            1 => answered(second.wait_deadline(now())),
            2 => answered(second.abort()),
            3 => answered(first.reset()),
            4 => assert!(first.missing() <= first.parties()),
            _ => answered(first.is_broken()),
        }
    }
}

impl Object for [Latch; 2] {
    fn act(&mut self, choice: u8) {
        let [first, second] = self;
        match choice % 5 {
            0 => answered(first.join().and_then(|party| party.arrive())),
            1 => answered(second.wait_deadline(now())),
            2 => answered(first.try_wait()),
            3 => answered(first.reset()),
            _ => assert!(first.missing() <= first.parties()),
        }
    }
}

impl Object for [Once; 2] {
    fn act(&mut self, choice: u8) {
        let [first, second] = self;
        match choice % 4 {
            0 => answered(first.try_call(|_| {})),
            1 => answered(second.call_deadline(now(), |_| {})),
            2 => answered(first.is_done()),
            _ => answered(first.holder()),
        }
    }
}

impl Object for (Mutex<u64>, Condvar) {
    fn act(&mut self, choice: u8) {
        let (mutex, condvar) = self;
        match choice % 4 {
            0 => answered(condvar.notify_one()),
            1 => answered(condvar.notify_all()),
            2 => drop(condvar.waiting()),
            _ => {
                let guard = mutex.recover_deadline(soon()).expect("nothing is wrong with the mutex");
                answered(condvar.wait_while_deadline(guard, now(), |_| true).map(drop));
            }
        }
    }
}

impl Object for [RwLock<[u64; 2]>; 2] {
    fn act(&mut self, choice: u8) {
        let [first, second] = self;
        match choice % 9 {
            0 => answered(first.try_read().map(drop)),
            1 => answered(second.read_deadline(now()).map(drop)),
            2 => answered(second.write_deadline(now()).map(drop)),
            3 => answered(second.recover_deadline(now()).map(|mut guard| guard.recovered())),
            4 => answered(first.get()),
            5 => answered(first.writer()),
            6 => answered(second.readers()),
            7 => answered(first.read_deadline(now()).map(std::mem::forget)),
            _ => answered(first.try_clone().map(drop)),
        }
    }
}

impl Object for (Latest<[u64; 2]>, LatestReader<[u64; 2]>) {
    fn act(&mut self, choice: u8) {
        let (latest, reader) = self;
        match choice % 5 {
            0 => answered(latest.set(&[9; 2])),
            1 => answered(latest.get()),
            2 => answered(reader.get()),
            3 => answered(reader.next_deadline(now())),
            _ => drop((reader.has_changed(), reader.version(), reader.writer_alive())),
        }
    }
}

impl Object for (Table<[u64; 2]>, TableReader<[u64; 2]>) {
    fn act(&mut self, choice: u8) {
        let (table, reader) = self;
        let row = u32::from(choice >> 7);
        match choice % 8 {
            0 => answered(table.set(row, &[9; 2])),
            1 => answered(table.row_deadline(row, now()).and_then(|mut row| row.set(&[9; 2]))),
            2 => answered(table.try_row(row).map(drop)),
            3 => answered(table.get(row)),
            4 => answered(table.writer(row)),
            5 => answered(reader.get(row)),
            6 => answered(reader.next_deadline(now())),
            _ => answered(reader.writer_alive(row)),
        }
    }
}

impl Object for (GroupInspector, [GroupMember; 2]) {
    fn act(&mut self, choice: u8) {
        let (inspector, members) = self;
        let member = &mut members[usize::from(choice >> 7)];
        let told = match choice % 7 {
            0 => member.try_recv().map(drop),
            1 => match member.recv_deadline(now()) {
                Ok(GroupEvent::Job(job)) => job.ack(),
                received => received.map(drop),
            },
            2 => match member.recv_deadline(now()) {
                Ok(GroupEvent::Job(job)) => job.nack(),
                received => received.map(drop),
            },
            3 => member.recv_up_to_deadline(3, now(), |_| {}).map(drop),
            4 => member.ack_all().map(drop),
            5 => return answered(inspector.snapshot().map(drop)),
            _ => return answered(member.try_clone().map(drop)),
        };
        match told {
            // The place of a lease may be one where no record begins.
            Err(GroupError::Failed(Error::Corrupt(_))) => {}
            Err(GroupError::Failed(error)) => answered::<()>(Err(error)),
            // Its records may be anybody's, and it may have all of them.
            Ok(())
            | Err(
                GroupError::TimedOut
                | GroupError::Closed
                | GroupError::ProducerGone
                | GroupError::NotLeased { .. }
                | GroupError::Unacknowledged { .. }
                | GroupError::DeadLetter { .. },
            ) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

impl Object for (service::Inspector, Server, [Client; 2]) {
    fn act(&mut self, choice: u8) {
        let (inspector, server, clients) = self;
        let client = &mut clients[usize::from(choice >> 7)];
        let reply = |request: Option<Request<'_>>| {
            if let Some(request) = request {
                // Replies to a client that makes no sense go nowhere.
                let _ = request.reply(b"reply");
            }
        };
        match choice % 8 {
            0 => match client.try_start(b"request", CallOptions::new()) {
                Ok(_) | Err(CallError::Full) => {}
                Err(CallError::Client(error)) => answered::<()>(Err(error)),
                Err(error) => panic!("{error:?}"),
            },
            1 => {
                let called = client.call(b"request", CallOptions::new().deadline(now())).map(drop);
                // Garbage may be any other end.
                if let Err(CallError::Client(error)) = called {
                    answered::<()>(Err(error));
                }
            }
            2 => answered(server.try_recv().map(reply)),
            3 => answered(server.recv_deadline(now()).map(reply)),
            4 => answered(server.try_recv().map(drop)),
            5 => {
                answered(client.try_recv().map(|answer| answer.map(|answer| answer.into_result().map(drop))))
            }
            6 => answered(inspector.snapshot().map(drop)),
            _ => drop((
                server.open_requests(),
                server.garbled_clients(),
                client.in_flight(),
                client.has_server(),
            )),
        }
    }
}
