//! Which kind each arrival is: spread as evenly as the shares allow, the same for every generator of a plan.

use super::Kind;

/// The order in which kinds come round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    kinds: Vec<u8>,
}

impl Cycle {
    /// The shortest order that keeps the shares exactly. Whoever is furthest behind its share comes next, so every
    /// beginning of the order has each kind within one of its share.
    pub fn of(kinds: &[Kind]) -> Self {
        let shares: Vec<u64> = kinds.iter().map(|kind| u64::from(kind.share)).collect();
        let step = shares.iter().copied().fold(0, greatest_common_divisor).max(1);
        let total = shares.iter().sum::<u64>() / step;
        let mut behind: Vec<i128> = vec![0; shares.len()];
        let mut order = Vec::new();
        for _ in 0..total {
            for (behind, share) in behind.iter_mut().zip(&shares) {
                *behind += i128::from(share / step);
            }
            let next = behind.iter().enumerate().max_by_key(|(at, behind)| (**behind, std::cmp::Reverse(*at)));
            let Some(next) = next.map(|(at, _)| at) else { break };
            if let Some(behind) = behind.get_mut(next) {
                *behind -= i128::from(total);
            }
            order.push(u8::try_from(next).unwrap_or_default());
        }
        Self { kinds: order }
    }

    /// The kind of the arrival with this number.
    pub fn kind(&self, index: u64) -> usize {
        let at = usize::try_from(index % (self.kinds.len().max(1) as u64)).unwrap_or_default();
        self.kinds.get(at).copied().unwrap_or_default().into()
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
