//! Round trips whose sides sleep: by futexes, events, calls, sockets and pipes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::Result;
use quoit::service::{CallOptions, Client, Server};
use quoit::sync::{Event, Reset, SyncOptions};
use quoit_floors::asleep::{self, answering, asking};
use quoit_floors::figures::Measured;
use quoit_floors::scene::{Scene, Side};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde::{Deserialize, Serialize};

use super::calls::{BYTES, SERVICE, service};
use super::named_object;

/// What the round trip goes through.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Sleeping {
    /// Two words, and nothing else.
    Futexes,
    /// Two events.
    Events,
    /// A call and its reply.
    Service,
    /// A pair of connected Unix stream sockets.
    Socket,
    /// Two pipes.
    Pipes,
}

pub(super) fn trips(scene: &Scene, sleeping: Sleeping, count: u64) -> Result<Measured> {
    let measured = match sleeping {
        Sleeping::Futexes => asleep::futexes(scene, count),
        Sleeping::Events => events(scene, count),
        Sleeping::Service => calls(scene, count),
        Sleeping::Socket => sockets(scene, count),
        Sleeping::Pipes => pipes(scene, count),
    }?;
    // Nobody leaves before the other is done.
    scene.meet();
    Ok(measured)
}

fn events(scene: &Scene, count: u64) -> Result<Measured> {
    let event = |name| {
        let make = |path: &Path| Event::create(path, &SyncOptions::new(), Reset::Auto);
        named_object(scene, name, make, |path| Event::open(path))
    };
    let (there, back) = (event("there")?, event("back")?);
    scene.meet();
    match scene.side {
        Side::Left => asking(scene, count, || {
            there.set()?;
            Ok(back.wait()?)
        }),
        Side::Right => answering(scene, count, || {
            there.wait()?;
            back.set()?;
            Ok(())
        }),
    }
}

fn calls(scene: &Scene, count: u64) -> Result<Measured> {
    let (path, mut room) = (scene.path(SERVICE), [0; BYTES]);
    if scene.side == Side::Left {
        scene.meet();
        let mut client = Client::open(&path)?;
        scene.meet();
        std::fs::remove_file(&path)?;
        return asking(scene, count, || {
            client.call(&[0x5a; BYTES], CallOptions::new())?.read_at(0, &mut room);
            Ok(())
        });
    }
    let server = Server::create(&path, &service(1, BYTES))?;
    scene.meet();
    scene.meet();
    answering(scene, count, || {
        let request = server.recv()?;
        request.payload().read_at(0, &mut room);
        Ok(request.reply(&room)?)
    })
}

fn sockets(scene: &Scene, count: u64) -> Result<Measured> {
    let path = scene.path(SERVICE);
    if scene.side == Side::Left {
        scene.meet();
        let stream = UnixStream::connect(&path)?;
        scene.meet();
        std::fs::remove_file(&path)?;
        return streams(scene, &stream, &stream, count);
    }
    let listener = UnixListener::bind(&path)?;
    scene.meet();
    let (stream, _) = listener.accept()?;
    scene.meet();
    streams(scene, &stream, &stream, count)
}

fn pipes(scene: &Scene, count: u64) -> Result<Measured> {
    let [there, back] = ["there", "back"].map(|name| scene.path(name));
    if scene.side == Side::Left {
        [&there, &back].into_iter().try_for_each(|path| fifo(path))?;
    }
    scene.meet();
    let open = |path| File::options().read(true).write(true).open(path);
    let (way_there, way_back) = (open(&there)?, open(&back)?);
    scene.meet();
    if scene.side == Side::Left {
        [there, back].iter().try_for_each(std::fs::remove_file)?;
        return streams(scene, &way_there, &way_back, count);
    }
    streams(scene, &way_back, &way_there, count)
}

/// Makes a pipe with a name.
pub(super) fn fifo(path: &Path) -> Result<()> {
    Ok(mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?)
}

/// Either side of streams that block.
fn streams(scene: &Scene, mut out: impl Write, mut into: impl Read, count: u64) -> Result<Measured> {
    let mut room = [0x5a; BYTES];
    match scene.side {
        Side::Left => asking(scene, count, || {
            out.write_all(&room)?;
            Ok(into.read_exact(&mut room)?)
        }),
        Side::Right => answering(scene, count, || {
            into.read_exact(&mut room)?;
            Ok(out.write_all(&room)?)
        }),
    }
}
