//! How consumers and the producer sleep on a ring.

/// How consumers and the producer sleep on a ring, fixed when it is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitMode {
    /// Publishing costs nothing extra; a consumer about to sleep makes the kernel run the barrier on the
    /// producer's processor (`membarrier`). The default. A producer on a kernel without it uses `Fence`.
    #[default]
    Membarrier,
    /// A full fence on every publish. For producers on isolated cores that no sleeping reader may interrupt.
    Fence,
    /// Nobody announces sleep: the producer never looks, and waiting is busy polling or timed naps.
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
