//! What is measured over a system.

use clap::ValueEnum;
use quoit_floors::building::Building;
use serde::{Deserialize, Serialize};

use crate::system::System;

/// As the command line has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Round trips, both sides busy
    Pingpong,
    /// One way, single sends, a consumer that reads every byte; records built in four ways
    Stream,
    /// The same in batches of 64
    Batch,
    /// One way to 1, 2, 4 and 8 consumers that share a CPU, singly and in batches
    Fanout,
    /// A producer that never waits: nobody reads, or one busy consumer
    Flood,
    /// A record every microsecond; latency counts from when it was due
    Open,
    /// Requests and replies, both sides busy
    Call,
    /// There and back by events, both sides asleep
    Event,
}

/// One of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "workload", rename_all = "lowercase")]
pub(crate) enum Work {
    Pingpong,
    Stream { building: Building },
    Batch,
    Fanout { consumers: usize, batched: bool },
    Flood { consumers: usize, batched: bool },
    Open,
    Call,
    Event,
}

impl Work {
    pub(crate) fn workload(self) -> Workload {
        match self {
            Self::Pingpong => Workload::Pingpong,
            Self::Stream { .. } => Workload::Stream,
            Self::Batch => Workload::Batch,
            Self::Fanout { .. } => Workload::Fanout,
            Self::Flood { .. } => Workload::Flood,
            Self::Open => Workload::Open,
            Self::Call => Workload::Call,
            Self::Event => Workload::Event,
        }
    }

    /// How many processes it takes, one of which sends.
    pub(crate) fn members(self) -> usize {
        if let Self::Fanout { consumers, .. } = self { 1 + consumers } else { 2 }
    }

    /// Latencies are taken one by one, everything else is a throughput.
    pub(crate) fn latency(self) -> bool {
        matches!(self, Self::Pingpong | Self::Open | Self::Call | Self::Event)
    }

    /// Whether this system has what it takes.
    pub(crate) fn suits(self, system: System) -> bool {
        match self {
            Self::Pingpong | Self::Open => true,
            Self::Call => system.calls(),
            Self::Event => system.wakes(),
            Self::Stream { building: Building::ByField } => system.typed(),
            Self::Stream { building: Building::InPlace } => system.places(),
            Self::Stream { .. } => true,
            Self::Batch => system.batches(),
            Self::Fanout { batched, .. } => system.fans() && (!batched || system.batches()),
            Self::Flood { batched, .. } => system.floods() && (!batched || system.batches()),
        }
    }

    /// Whether this program adds credits to this system.
    pub(crate) fn credits(self, system: System) -> bool {
        system.overwrites() && !matches!(self, Self::Pingpong | Self::Flood { .. } | Self::Call | Self::Event)
    }
}
