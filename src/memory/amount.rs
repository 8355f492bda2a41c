//! An amount of memory.

/// Total and free bytes of one kind of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub total: u64,
    pub free: u64,
}

/// Returns the sum of all amounts.
pub(crate) fn sum(amounts: &[Amount]) -> Amount {
    let add = |sum: Amount, one: &Amount| Amount {
        total: sum.total.saturating_add(one.total),
        free: sum.free.saturating_add(one.free),
    };
    amounts.iter().fold(Amount::default(), add)
}
