//! Weighted round-robin as a fixed order of turns, computed once: the smooth order, so that a heavy endpoint's turns
//! are spread and not bunched.

use std::sync::Arc;

use super::endpoint::Endpoint;

/// The most turns before the order repeats; larger weights are scaled down. 2 bytes a turn.
const TURNS_MAX: u32 = 512;

/// Endpoint indices in the order of their turns.
#[derive(Debug)]
pub struct Schedule {
    turns: Box<[u16]>,
    endpoints: usize,
}

impl Schedule {
    /// The smooth weighted order: every turn each endpoint gains its weight, the richest goes and pays the total.
    pub fn new(endpoints: &[Arc<Endpoint>]) -> Self {
        let weights = scaled(&endpoints.iter().map(|endpoint| u32::from(endpoint.weight)).collect::<Vec<_>>());
        let total: i64 = weights.iter().map(|weight| i64::from(*weight)).sum();
        let mut credit = vec![0i64; weights.len()];
        let turns = (0..total).map(|_| {
            for (credit, weight) in credit.iter_mut().zip(&weights) {
                *credit += i64::from(*weight);
            }
            let richest = (0..credit.len()).rev().max_by_key(|at| credit.get(*at).copied()).unwrap_or(0);
            if let Some(credit) = credit.get_mut(richest) {
                *credit -= total;
            }
            u16::try_from(richest).unwrap_or(u16::MAX)
        });
        Self { turns: turns.collect(), endpoints: endpoints.len() }
    }

    /// Every endpoint, starting with the one whose turn it is.
    pub fn from(&self, turn: usize) -> impl Iterator<Item = usize> {
        let first = self.turns.get(turn % self.turns.len().max(1)).map_or(0, |index| usize::from(*index));
        let endpoints = self.endpoints;
        (0..endpoints).map(move |step| (first + step) % endpoints)
    }
}

fn scaled(weights: &[u32]) -> Vec<u32> {
    let divisor = weights.iter().copied().reduce(gcd).unwrap_or(1).max(1);
    let reduced: Vec<u32> = weights.iter().map(|weight| weight / divisor).collect();
    let total: u32 = reduced.iter().sum();
    match total.checked_div(TURNS_MAX) {
        Some(0) | None => reduced,
        Some(_) => reduced.iter().map(|weight| (weight * TURNS_MAX / total).max(1)).collect(),
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
