//! The type of the values in a file.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A type whose values are the records of a ring, or that has a [latest value](crate::sync::Latest). Its bytes mean
/// the same in every process, and every bit pattern is valid. Numbers, and arrays of such types, have the tag 0 or
/// that of their elements.
///
/// The traits come from [`zerocopy`](crate::zerocopy), whose derives check the type. The tag distinguishes it from
/// other types of the same size. Choose another tag when the meaning of its fields changes.
///
/// ```
/// use quoit::zerocopy::{FromBytes, Immutable, IntoBytes};
/// use quoit::{Attach, EventOf, Options, Ring, Typed};
///
/// #[derive(Clone, Copy, Debug, PartialEq, FromBytes, Immutable, IntoBytes)]
/// #[zerocopy(crate = "quoit::zerocopy")]
/// #[repr(C)]
/// struct Quote {
///     time_ns: u64,
///     instrument: u32,
///     price: f32,
/// }
///
/// impl Typed for Quote {
///     const TAG: u32 = 1;
/// }
///
/// let ring = Ring::heap(&Options::new().schema::<Quote>())?;
/// let mut consumer = ring.typed_consumer::<Quote>(&Attach::gated())?;
/// let mut producer = ring.typed_producer::<Quote>()?;
/// let quote = Quote { time_ns: 1, instrument: 2, price: 3.0 };
/// producer.send(&quote)?;
/// assert_eq!(consumer.recv()?, EventOf::Record { sequence: 0, time: None, payload: quote });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Typed: FromBytes + IntoBytes + Immutable {
    /// A number of your choice for this type.
    const TAG: u32;
}

impl Schema {
    /// The schema in the file of a ring of `T`: the size of the type and its tag. A type of 4 GiB or more does not
    /// compile.
    pub const fn of<T: Typed>() -> Self {
        const { assert!(size_of::<T>() <= u32::MAX as usize, "a record is smaller than 4 GiB") };
        Self { size: size_of::<T>() as u32, tag: T::TAG }
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Typed for $number {
            const TAG: u32 = 0;
        })*
    };
}

numbers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64);

/// Nothing, as the value of a lock that guards something outside.
impl Typed for () {
    const TAG: u32 = 0;
}

impl<T: Typed, const N: usize> Typed for [T; N] {
    const TAG: u32 = T::TAG;
}

/// What the values in a file are: how many bytes each has, and a number that distinguishes types of the same size. It
/// is stored in the file and compared when a typed handle is opened: see [`Typed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Schema {
    /// Bytes of every value.
    pub size: u32,
    /// The number that was chosen for the type.
    pub tag: u32,
}

impl Schema {
    /// Encoded for the identity page.
    pub(crate) fn to_word(self) -> u64 {
        u64::from(self.size) << 32 | u64::from(self.tag)
    }

    /// Decoded from the identity page.
    pub(crate) fn of_word(word: u64) -> Self {
        Self { size: (word >> 32) as u32, tag: word as u32 }
    }

    /// `None`: for values of any kind.
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        (word != 0).then_some(Self::of_word(word))
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes with the tag {}", self.size, self.tag)
    }
}
