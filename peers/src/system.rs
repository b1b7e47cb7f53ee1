//! The systems, and what each can do.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum System {
    Quoit,
    Shaq,
    Ringfire,
    Outcry,
    Bcast,
    Iceoryx2,
    Rtrb,
    Disruptor,
    #[value(name = "crossbeam-channel")]
    #[serde(rename = "crossbeam-channel")]
    Crossbeam,
    Pipe,
    Socket,
}

impl System {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Quoit => "quoit",
            Self::Shaq => "shaq",
            Self::Ringfire => "ringfire",
            Self::Outcry => "outcry",
            Self::Bcast => "bcast",
            Self::Iceoryx2 => "iceoryx2",
            Self::Rtrb => "rtrb",
            Self::Disruptor => "disruptor",
            Self::Crossbeam => "crossbeam-channel",
            Self::Pipe => "pipe",
            Self::Socket => "Unix socket",
        }
    }

    /// All ends in one process.
    pub(crate) fn threads(self) -> bool {
        matches!(self, Self::Rtrb | Self::Disruptor | Self::Crossbeam)
    }

    /// It only overwrites: where nothing may be lost it gets credits from this program.
    pub(crate) fn overwrites(self) -> bool {
        matches!(self, Self::Outcry | Self::Bcast)
    }

    /// It sends values of a type, not bytes alone.
    pub(crate) fn typed(self) -> bool {
        !self.overwrites() && !self.syscalls()
    }

    /// It has a record filled where it will be read.
    pub(crate) fn places(self) -> bool {
        matches!(self, Self::Quoit | Self::Shaq | Self::Bcast | Self::Iceoryx2 | Self::Rtrb | Self::Disruptor)
    }

    /// It has something for several records at once.
    pub(crate) fn batches(self) -> bool {
        !self.overwrites() && !matches!(self, Self::Iceoryx2 | Self::Crossbeam)
    }

    /// Each of several consumers can get every record.
    pub(crate) fn fans(self) -> bool {
        !matches!(self, Self::Rtrb | Self::Crossbeam | Self::Pipe | Self::Socket)
    }

    /// Its producer can go on without waiting for the consumer.
    pub(crate) fn floods(self) -> bool {
        matches!(self, Self::Quoit | Self::Ringfire | Self::Outcry | Self::Bcast | Self::Iceoryx2)
    }

    /// It has request and reply.
    pub(crate) fn calls(self) -> bool {
        matches!(self, Self::Quoit | Self::Iceoryx2)
    }

    /// It has something that wakes a sleeper without a record.
    pub(crate) fn wakes(self) -> bool {
        matches!(self, Self::Quoit | Self::Iceoryx2 | Self::Pipe | Self::Socket)
    }

    /// Each record takes a system call.
    pub(crate) fn syscalls(self) -> bool {
        matches!(self, Self::Pipe | Self::Socket)
    }
}
