//! The four that wake a sleeper without a record: a notifier, and a listener that sleeps until it is notified.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use anyhow::{Result, anyhow};
use quoit::sync::{Event, Reset, SyncOptions};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::calls::Port;
use super::iceoryx::{Iceoryx, Service, name, node};
use super::kernel::{Pipe, Socket};
use super::quoit::Quoit;

/// One that has events.
pub(crate) trait Events {
    type Listener: Listener;
    type Notifier: Notifier;

    /// Comes first.
    fn listener(path: &Path) -> Result<Self::Listener>;
    fn notifier(path: &Path) -> Result<Self::Notifier>;
}

/// The side that sleeps.
pub(crate) trait Listener {
    /// Until it is notified once.
    fn wait(&mut self) -> Result<()>;
}

/// The side that wakes.
pub(crate) trait Notifier {
    fn notify(&mut self) -> Result<()>;
}

impl Events for Quoit {
    type Listener = Event;
    type Notifier = Event;

    fn listener(path: &Path) -> Result<Event> {
        Ok(Event::create(path, &SyncOptions::new(), Reset::Auto)?)
    }

    fn notifier(path: &Path) -> Result<Event> {
        Ok(Event::open(path)?)
    }
}

impl Listener for Event {
    fn wait(&mut self) -> Result<()> {
        Ok(Self::wait(self)?)
    }
}

impl Notifier for Event {
    fn notify(&mut self) -> Result<()> {
        self.set()?;
        Ok(())
    }
}

impl Events for Iceoryx {
    type Listener = Port<iceoryx2::port::listener::Listener<Service>>;
    type Notifier = Port<iceoryx2::port::notifier::Notifier<Service>>;

    fn listener(path: &Path) -> Result<Self::Listener> {
        let node = node(path)?;
        let service = node.service_builder(&name(path)?).event().open_or_create();
        let service = service.map_err(|error| anyhow!("{error:?}"))?;
        let port = service.listener_builder().create().map_err(|error| anyhow!("{error:?}"))?;
        Ok(Port { port, _node: node })
    }

    fn notifier(path: &Path) -> Result<Self::Notifier> {
        let node = node(path)?;
        let service = node.service_builder(&name(path)?).event().open_or_create();
        let service = service.map_err(|error| anyhow!("{error:?}"))?;
        let port = service.notifier_builder().create().map_err(|error| anyhow!("{error:?}"))?;
        Ok(Port { port, _node: node })
    }
}

impl Listener for Port<iceoryx2::port::listener::Listener<Service>> {
    fn wait(&mut self) -> Result<()> {
        let mut came = false;
        while !came {
            self.port.blocking_wait(|_| came = true)?;
        }
        Ok(())
    }
}

impl Notifier for Port<iceoryx2::port::notifier::Notifier<Service>> {
    fn notify(&mut self) -> Result<()> {
        self.port.notify()?;
        Ok(())
    }
}

/// A pipe with a name, and a byte for each event.
impl Events for Pipe {
    type Listener = File;
    type Notifier = File;

    fn listener(path: &Path) -> Result<File> {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        Self::notifier(path)
    }

    fn notifier(path: &Path) -> Result<File> {
        Ok(File::options().read(true).write(true).open(path)?)
    }
}

impl Listener for File {
    fn wait(&mut self) -> Result<()> {
        Ok(self.read_exact(&mut [0])?)
    }
}

impl Notifier for File {
    fn notify(&mut self) -> Result<()> {
        Ok(self.write_all(&[1])?)
    }
}

/// A datagram of one byte for each event.
impl Events for Socket {
    type Listener = UnixDatagram;
    type Notifier = UnixDatagram;

    fn listener(path: &Path) -> Result<UnixDatagram> {
        Ok(UnixDatagram::bind(path)?)
    }

    fn notifier(path: &Path) -> Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(socket)
    }
}

impl Listener for UnixDatagram {
    fn wait(&mut self) -> Result<()> {
        self.recv(&mut [0])?;
        Ok(())
    }
}

impl Notifier for UnixDatagram {
    fn notify(&mut self) -> Result<()> {
        self.send(&[1])?;
        Ok(())
    }
}
