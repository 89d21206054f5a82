//! Whether a chain of entries is whole. Fed page by page, in constant memory.

use super::{BEGINNING, Entry};

/// The number and the hash of an entry, kept where whoever could cut the audit off cannot reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The hash.
    pub hash: String,
}

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It does not hash to its hash.
    #[error("entry {number} was changed: it does not match its own hash")]
    Changed {
        /// Its number.
        number: u64,
    },
    /// Numbers are not consecutive.
    #[error("entry {wanted} is missing, or out of its place: entry {found} stands there")]
    Missing {
        /// The number that should come.
        wanted: u64,
        /// The number that comes.
        found: u64,
    },
    /// It does not continue the one before.
    #[error("entry {number} does not continue the entry before it: one of the two was replaced")]
    Replaced {
        /// Its number.
        number: u64,
    },
    /// The last entry is not the one the database says is the last.
    #[error("the audit ends at entry {found}, but entry {wanted} was written: the last ones were cut off")]
    CutOff {
        /// The number that was last.
        wanted: u64,
        /// The number of the last entry there is.
        found: u64,
    },
    /// The entry that was pinned is not there.
    #[error("no entry has the hash {hash} that you kept: the audit was cut off before it, or written anew")]
    PinLost {
        /// The hash.
        hash: String,
    },
}

/// A chain as far as it was followed.
#[derive(Debug, Clone)]
pub struct Chain {
    number: u64,
    hash: String,
    pin: Option<Pin>,
    pin_seen: bool,
}

impl Chain {
    /// Starts before the first entry; `pin` must turn up on the way.
    pub fn new(pin: Option<Pin>) -> Self {
        Self { number: 0, hash: BEGINNING.to_owned(), pin, pin_seen: false }
    }

    /// Follows the next entry.
    pub fn follow(&mut self, entry: &Entry) -> Result<(), Broken> {
        let wanted = self.number.saturating_add(1);
        if entry.number != wanted {
            return Err(Broken::Missing { wanted, found: entry.number });
        }
        if !entry.is_intact() {
            return Err(Broken::Changed { number: entry.number });
        }
        if entry.previous != self.hash {
            return Err(Broken::Replaced { number: entry.number });
        }
        self.number = entry.number;
        self.hash.clone_from(&entry.hash);
        self.pin_seen |= self.pin.as_ref().is_some_and(|pin| pin.hash.eq_ignore_ascii_case(&entry.hash));
        Ok(())
    }

    /// The number and the hash of the last entry that was followed.
    pub fn end(&self) -> (u64, &str) {
        (self.number, &self.hash)
    }

    /// Whether it goes as far as it should: to `last`, and over the pin.
    pub fn finish(&self, last: u64) -> Result<(), Broken> {
        if self.number < last {
            return Err(Broken::CutOff { wanted: last, found: self.number });
        }
        match &self.pin {
            Some(Pin { hash }) if !self.pin_seen => Err(Broken::PinLost { hash: hash.clone() }),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use lgsp_shared::id::Revision;
    use lgsp_shared::timestamp::UnixSeconds;

    use super::super::Attempt;
    use super::*;

    pub fn attempt(target: &str) -> Attempt {
        Attempt {
            at: UnixSeconds(1_000),
            operator: "operator".into(),
            bearer: "first".into(),
            source: "127.0.0.1".into(),
            action: "POST /v1/changes".into(),
            target: target.into(),
            before: String::new(),
            after: "{}".into(),
            outcome: "done".into(),
            revision: Some(Revision(1)),
        }
    }

    fn chain(entries: usize) -> Vec<Entry> {
        let mut made: Vec<Entry> = Vec::new();
        for at in 0..entries {
            let (number, hash) = made.last().map_or((0, BEGINNING), |last| (last.number, last.hash.as_str()));
            made.push(Entry::after(number, hash, attempt(&format!("target {at}"))));
        }
        made
    }

    fn verify(entries: &[Entry], last: u64, pin: Option<&str>) -> Result<(), Broken> {
        let mut chain = Chain::new(pin.map(|hash| Pin { hash: hash.to_owned() }));
        entries.iter().try_for_each(|entry| chain.follow(entry))?;
        chain.finish(last)
    }

    #[test]
    fn a_whole_chain_verifies_with_any_of_its_hashes_pinned() {
        let entries = chain(4);
        assert_eq!(verify(&entries, 4, None), Ok(()));
        for entry in &entries {
            assert_eq!(verify(&entries, 4, Some(&entry.hash)), Ok(()));
        }
        assert_eq!(verify(&[], 0, None), Ok(()));
    }

    #[test]
    fn a_change_to_any_field_is_found() {
        let change: [fn(&mut Entry); 10] = [
            |entry| entry.attempt.at.0 += 1,
            |entry| entry.attempt.operator.push('x'),
            |entry| entry.attempt.bearer.push('x'),
            |entry| entry.attempt.source.push('x'),
            |entry| entry.attempt.action.push('x'),
            |entry| entry.attempt.target.push('x'),
            |entry| entry.attempt.before.push('x'),
            |entry| entry.attempt.after.push('x'),
            |entry| entry.attempt.outcome.push('x'),
            |entry| entry.attempt.revision = None,
        ];
        for change in change {
            let mut entries = chain(3);
            change(&mut entries[1]);
            assert_eq!(verify(&entries, 3, None), Err(Broken::Changed { number: 2 }));
        }
        let mut entries = chain(3);
        let moved = entries[1].attempt.operator.pop().unwrap();
        entries[1].attempt.bearer.insert(0, moved);
        assert_eq!(verify(&entries, 3, None), Err(Broken::Changed { number: 2 }), "moved between fields");
    }

    #[test]
    fn a_missing_a_reordered_and_a_replaced_entry_are_found() {
        let mut missing = chain(4);
        missing.remove(1);
        assert_eq!(verify(&missing, 4, None), Err(Broken::Missing { wanted: 2, found: 3 }));
        let mut reordered = chain(4);
        reordered.swap(1, 2);
        assert_eq!(verify(&reordered, 4, None), Err(Broken::Missing { wanted: 2, found: 3 }));
        let mut replaced = chain(4);
        let before = replaced[0].hash.clone();
        replaced[1] = Entry::after(1, &before, attempt("something else"));
        assert_eq!(verify(&replaced, 4, None), Err(Broken::Replaced { number: 3 }));
    }

    #[test]
    fn an_end_that_was_cut_off_is_found_by_the_head_and_by_a_pin() {
        let entries = chain(4);
        assert_eq!(verify(&entries[..3], 4, None), Err(Broken::CutOff { wanted: 4, found: 3 }));
        let pin = &entries[3].hash;
        assert_eq!(verify(&entries[..3], 3, Some(pin)), Err(Broken::PinLost { hash: pin.clone() }));
    }
}
