//! Blocks of words: structs that are laid over shared memory.

/// Declares a block: a struct of words, each with its offset in bytes. One declaration produces the struct, a
/// compile-time check that every word is at its offset and that the struct contains only words, and the constructor
/// that the models use.
///
/// ```text
/// block! {
///     /// Where the writer is.
///     pub(crate) struct Line: 128 bytes, aligned to 128 {
///         /// How many commits there were.
///         at 0: pub(crate) version: AtomicU64,
///     }
/// }
/// ```
macro_rules! block {
    (
        $(#[$outer:meta])*
        pub(crate) struct $name:ident: $bytes:tt bytes, aligned to $alignment:literal {
            $($(#[$inner:meta])* at $offset:tt: pub(crate) $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$outer])*
        #[repr(C, align($alignment))]
        #[derive(Debug)]
        pub(crate) struct $name {
            $($(#[$inner])* pub(crate) $field: $type,)*
        }

        #[cfg(not(loom))]
        const _: () = {
            const fn is_block<T: $crate::memory::map::Block>() {}
            $(is_block::<$type>();)*
            $(assert!(core::mem::offset_of!($name, $field) == $offset);)*
            assert!(core::mem::size_of::<$name>() == $bytes);
        };

        #[cfg(not(loom))]
        $crate::memory::map::is_block!($name);

        #[cfg(loom)]
        impl $crate::memory::block::Zeroed for $name {
            fn zeroed() -> Self {
                Self { $($field: $crate::memory::block::Zeroed::zeroed(),)* }
            }
        }
    };
}

pub(crate) use block;

/// Stands in for zeroed memory in the models.
#[cfg(loom)]
pub(crate) trait Zeroed {
    fn zeroed() -> Self;
}

#[cfg(loom)]
mod zeroed {
    use crossbeam_utils::CachePadded;

    use super::Zeroed;
    use crate::atomics::{AtomicU64, FutexWord, OwnedWord, Word};

    impl Zeroed for AtomicU64 {
        fn zeroed() -> Self {
            Self::new(0)
        }
    }

    impl Zeroed for Word {
        fn zeroed() -> Self {
            Self::new()
        }
    }

    impl Zeroed for FutexWord {
        fn zeroed() -> Self {
            Self::new()
        }
    }

    impl Zeroed for OwnedWord {
        fn zeroed() -> Self {
            Self::new()
        }
    }

    impl<T: Zeroed> Zeroed for CachePadded<T> {
        fn zeroed() -> Self {
            Self::new(T::zeroed())
        }
    }

    impl<T: Zeroed, const N: usize> Zeroed for [T; N] {
        fn zeroed() -> Self {
            std::array::from_fn(|_| T::zeroed())
        }
    }
}

/// A number of blocks, zeroed.
#[cfg(loom)]
pub(crate) fn zeroed<T: Zeroed>(count: u64) -> Vec<T> {
    (0..count).map(|_| T::zeroed()).collect()
}
