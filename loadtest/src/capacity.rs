//! The capacity search: the highest rate at which every criterion holds, and what stands in the way of more.
//!
//! Pure: it decides which rate to try next and what follows from the answers; trying is someone else's.

use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// The bracket is narrowed until its ends are this close. Two per cent, so that the answer is within three also when the
/// last trial fell on the wrong side.
pub const RESOLUTION: f64 = 0.02;
/// Below this nothing is searched.
const RATE_MIN: f64 = 1.0;
/// A trial that the generator spoiled is tried again so often.
const SPOILED_MAX: usize = 3;
/// How often both ends of the bracket are tried, the first time included; the majority tells.
const VOTES: usize = 3;
/// How often the bracket may move when its ends are tried again or the answer is not confirmed.
const MOVES_MAX: usize = 6;
/// More than enough for any search; a bound on what could otherwise go on for ever.
const TRIALS_MAX: usize = 100;

/// Where to search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aim {
    /// The first rate.
    pub start: f64,
    /// The highest rate.
    pub max: f64,
}

/// Which part of the search a trial belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Finding a rate that fails.
    Double,
    /// Narrowing.
    Bisect,
    /// Trying the ends again.
    Repeat,
    /// The answer over a longer time.
    Confirm,
}

/// What became of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// Every criterion held.
    Yes,
    /// One did not; what stood in the way.
    No(String),
    /// The generator could not keep its promise: nothing is known about the server.
    Unknown(String),
}

/// One trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Part of the search.
    pub phase: Phase,
    /// Requests per second.
    pub rate: f64,
    /// What became of it.
    pub held: Held,
    /// Requests per second that were sent.
    pub achieved: f64,
    /// 99th percentile from the planned instant, in microseconds.
    pub p99_micros: f64,
    /// Requests that did not end as expected, in per cent.
    pub errors_percent: f64,
    /// CPU of the measured processes, in per cent.
    pub cpu_percent: Option<f64>,
}

/// What the search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Requests per second; absent when not even the lowest rate held.
    pub answer: Option<f64>,
    /// Whether it held over the longer time.
    pub confirmed: bool,
    /// What stands in the way of more.
    pub limiter: String,
    /// Whether that is the generator, so that the server's capacity is higher than the answer.
    pub limited_by_generator: bool,
    /// Everything that was tried, in order.
    pub trials: Vec<Trial>,
}

/// Tries rates.
pub trait Measure {
    /// Why a trial could not be made at all.
    type Error;

    /// Tries one.
    fn try_rate(&mut self, phase: Phase, rate: f64) -> Result<Trial, Self::Error>;

    /// Whether to give up: someone ended the search early.
    fn is_stopped(&self) -> bool;
}

/// Why the upper end of the bracket is one.
#[derive(Debug, Clone)]
struct Wall {
    rate: f64,
    reason: String,
    generator: bool,
}

struct Hunt<'m, M> {
    measure: &'m mut M,
    trials: Vec<Trial>,
}

/// Searches.
pub fn search<M: Measure>(aim: Aim, measure: &mut M) -> Result<Search, M::Error> {
    let mut hunt = Hunt { measure, trials: Vec::new() };
    let (low, wall) = hunt.bracket(aim)?;
    let Some(mut low) = low else { return Ok(hunt.done(None, false, wall)) };
    let Some(mut wall) = wall else {
        // Nothing stopped it: what was asked for at most is the answer.
        let confirmed = matches!(hunt.trial(Phase::Confirm, low)?, Held::Yes);
        return Ok(hunt.done(Some(low), confirmed, None));
    };
    hunt.narrow(&mut low, &mut wall)?;
    let mut confirmed = false;
    for _ in 0..MOVES_MAX {
        if hunt.is_over() {
            break;
        }
        if !hunt.majority_holds(low)? {
            wall = hunt.wall_at(low);
            low /= 1.0 + RESOLUTION;
            continue;
        }
        if !wall.generator && wall.rate <= low * (1.0 + 2.0 * RESOLUTION) && hunt.majority_holds(wall.rate)? {
            low = wall.rate;
            wall.rate = low * (1.0 + RESOLUTION);
            match hunt.trial(Phase::Bisect, wall.rate)? {
                Held::Yes => continue,
                Held::No(_) | Held::Unknown(_) => wall = hunt.wall_at(wall.rate),
            }
        }
        match hunt.trial(Phase::Confirm, low)? {
            Held::Yes => {
                confirmed = true;
                break;
            }
            Held::No(_) | Held::Unknown(_) => {
                wall = hunt.wall_at(low);
                low /= 1.0 + RESOLUTION;
            }
        }
    }
    Ok(hunt.done(Some(low), confirmed, Some(wall)))
}

impl<M: Measure> Hunt<'_, M> {
    /// Doubles until a rate fails, or halves until one holds: the highest that held, and what stopped the next.
    fn bracket(&mut self, aim: Aim) -> Result<(Option<f64>, Option<Wall>), M::Error> {
        let (mut low, mut rate): (Option<f64>, f64) = (None, aim.start.clamp(RATE_MIN, aim.max));
        let mut wall = None;
        while !self.is_over() {
            match self.trial(Phase::Double, rate)? {
                Held::Yes if wall.is_some() || rate >= aim.max => return Ok((Some(rate), wall)),
                Held::Yes => {
                    low = Some(rate);
                    rate = (rate * 2.0).min(aim.max);
                }
                Held::No(_) | Held::Unknown(_) => {
                    wall = Some(self.wall_at(rate));
                    if low.is_some() || rate <= RATE_MIN {
                        return Ok((low, wall));
                    }
                    rate = (rate / 2.0).max(RATE_MIN);
                }
            }
        }
        Ok((low, wall))
    }

    fn narrow(&mut self, low: &mut f64, wall: &mut Wall) -> Result<(), M::Error> {
        while wall.rate > *low * (1.0 + RESOLUTION) && !self.is_over() {
            let middle = f64::midpoint(*low, wall.rate);
            match self.trial(Phase::Bisect, middle)? {
                Held::Yes => *low = middle,
                Held::No(_) | Held::Unknown(_) => *wall = self.wall_at(middle),
            }
        }
        Ok(())
    }

    /// Tries a rate until it is clear whether it holds more often than not.
    fn majority_holds(&mut self, rate: f64) -> Result<bool, M::Error> {
        loop {
            let votes = self.trials.iter().filter(|trial| (trial.rate - rate).abs() < rate * 1e-9);
            let (held, all) =
                votes.fold((0, 0), |(held, all), trial| (held + usize::from(trial.held == Held::Yes), all + 1));
            if held * 2 > VOTES || (all - held) * 2 > VOTES || self.is_over() {
                return Ok(held * 2 > all);
            }
            self.trial(Phase::Repeat, rate)?;
        }
    }

    /// One trial; tried again while the generator spoils it.
    fn trial(&mut self, phase: Phase, rate: f64) -> Result<Held, M::Error> {
        let mut spoiled = 0;
        loop {
            let trial = self.measure.try_rate(phase, rate)?;
            let held = trial.held.clone();
            if !matches!(held, Held::Unknown(_)) || spoiled + 1 >= SPOILED_MAX || self.measure.is_stopped() {
                self.trials.push(trial);
                return Ok(held);
            }
            spoiled += 1;
        }
    }

    fn wall_at(&self, rate: f64) -> Wall {
        let failed =
            self.trials.iter().rev().find(|trial| (trial.rate - rate).abs() < rate * 1e-9 && trial.held != Held::Yes);
        let (reason, generator) = match failed.map(|trial| &trial.held) {
            Some(Held::No(reason)) => (reason.clone(), false),
            Some(Held::Unknown(reason)) => (reason.clone(), true),
            Some(Held::Yes) | None => (String::new(), false),
        };
        Wall { rate, reason, generator }
    }

    fn is_over(&self) -> bool {
        self.trials.len() >= TRIALS_MAX || self.measure.is_stopped()
    }

    fn done(self, answer: Option<f64>, confirmed: bool, wall: Option<Wall>) -> Search {
        let limited_by_generator = wall.as_ref().is_some_and(|wall| wall.generator);
        let limiter = match wall {
            Some(wall) => format!("at {:.1}/s: {}", wall.rate, wall.reason),
            None => "nothing up to the highest rate that was asked for (`--max`)".to_owned(),
        };
        Search { answer, confirmed, limiter, limited_by_generator, trials: self.trials }
    }
}
