//! How consumers and the producer sleep on a ring.

/// How consumers and the producer sleep on a ring, fixed when it is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitMode {
    /// Publishing costs nothing extra. A consumer about to sleep has the kernel run the barrier on the producer's
    /// processor (`membarrier`). The default. On a kernel without it, the producer uses `Fence`.
    #[default]
    Membarrier,
    /// A full fence on every publish. For producers on isolated cores, which no sleeping reader may interrupt.
    Fence,
    /// No wake-ups: the producer never checks for sleepers, and waiting is busy polling or timed naps.
    Spin,
}

impl WaitMode {
    pub(crate) fn to_bits(self) -> u64 {
        match self {
            Self::Membarrier => 0,
            Self::Fence => 1,
            Self::Spin => 2,
        }
    }

    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        match bits {
            0 => Some(Self::Membarrier),
            1 => Some(Self::Fence),
            2 => Some(Self::Spin),
            _ => None,
        }
    }
}
