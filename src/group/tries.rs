//! How often a record may be handed out, and which records of a lease are handed out again.

/// How often a record may be handed out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tries {
    /// 0: any number of times.
    pub(crate) most: u32,
    /// Whether a record that was handed out that often is handed out once more, to be put aside.
    pub(crate) puts_aside: bool,
}

/// What of a lease is handed out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    /// What its entry says of it from then on.
    pub(crate) word: u64,
    /// A bit for each record that is not.
    pub(crate) done: u32,
    /// A bit for each record whose turn comes later.
    pub(crate) rest: u32,
    pub(crate) deliveries: u32,
    /// It was handed out as often as it may be.
    pub(crate) is_spent: bool,
}

impl Tries {
    /// What is handed out of a lease that has records without a bit in `done`, and this `word` in its entry. `None`: nothing
    /// now.
    ///
    /// In a group that puts records aside it is one record, the first. So a record that kills each member that has it is put
    /// aside alone, and not together with those that were taken in one turn with it.
    pub(crate) fn next(self, done: u32, word: u64) -> Option<Again> {
        let (alone, count) = ((word >> 32) as u32, word as u32);
        if self.most == 0 {
            let deliveries = count.saturating_add(1);
            return Some(Again { word: deliveries.into(), done, rest: 0, deliveries, is_spent: false });
        }
        let first = (!done).trailing_zeros();
        // Who comes after one that was handed out alone was handed out once, with all of them.
        let count = if alone == 0 || alone == first + 1 { count } else { 1 };
        let is_spent = count >= self.most;
        if is_spent && !self.puts_aside {
            return None;
        }
        let deliveries = if is_spent { count } else { count + 1 };
        let bit = 1_u32.checked_shl(first).unwrap_or(0);
        let word = u64::from(first + 1) << 32 | u64::from(deliveries);
        Some(Again { word, done: !bit, rest: !done & !bit, deliveries, is_spent })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const TWO: Tries = Tries { most: 2, puts_aside: true };

    #[test]
    fn all_records_together_any_number_of_times() {
        let any = Tries { most: 0, puts_aside: true };
        let again = any.next(!0b101, 7).unwrap();
        assert_eq!((again.deliveries, again.done, again.rest, again.is_spent), (8, !0b101, 0, false));
        assert_eq!(any.next(0, u32::MAX.into()).unwrap().deliveries, u32::MAX);
    }

    #[test]
    fn one_record_after_the_other() {
        // The second and the fourth are open, and all were handed out once.
        let second = TWO.next(!0b1010, 1).unwrap();
        assert_eq!((second.deliveries, second.done, second.rest, second.is_spent), (2, !0b10, 0b1000, false));
        // It was handed out twice.
        let spent = TWO.next(!0b1010, second.word).unwrap();
        assert_eq!((spent.deliveries, spent.done, spent.word, spent.is_spent), (2, !0b10, second.word, true));
        assert_eq!(Tries { puts_aside: false, ..TWO }.next(!0b1010, second.word), None);
        // It is done: the fourth was handed out once.
        let fourth = TWO.next(!0b1000, second.word).unwrap();
        assert_eq!((fourth.deliveries, fourth.done, fourth.rest, fourth.is_spent), (2, !0b1000, 0, false));
    }

    #[test]
    fn the_last_of_thirty_two() {
        let last = TWO.next(!(1 << 31), 1).unwrap();
        assert_eq!((last.done, last.rest, last.word), (!(1 << 31), 0, 32 << 32 | 2));
    }
}
