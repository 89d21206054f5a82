use proptest::prelude::*;

use super::*;

/// A server of which everything is known: it holds up to `limit`, and errs in those trials that `errs` names.
struct Fake<E> {
    limit: f64,
    spoiled_from: f64,
    errs: E,
    tried: usize,
}

impl<E: FnMut(usize, f64) -> bool> Measure for Fake<E> {
    type Error = std::convert::Infallible;

    fn try_rate(&mut self, phase: Phase, rate: f64) -> Result<Trial, Self::Error> {
        self.tried += 1;
        let errs = (self.errs)(self.tried, rate);
        let held = if rate >= self.spoiled_from {
            Held::Unknown("late".into())
        } else if (rate <= self.limit) != errs {
            Held::Yes
        } else {
            Held::No("p99".into())
        };
        Ok(Trial { phase, rate, held, achieved: rate, p99_micros: 1.0, errors_percent: 0.0, cpu_percent: None })
    }

    fn is_stopped(&self) -> bool {
        false
    }
}

fn find(limit: f64, errs: impl FnMut(usize, f64) -> bool) -> Search {
    let mut fake = Fake { limit, spoiled_from: f64::MAX, errs, tried: 0 };
    search(Aim { start: 100.0, max: 100_000.0 }, &mut fake).unwrap()
}

#[test]
fn the_phases_follow_each_other() {
    let found = find(3_000.0, |_, _| false);
    let answer = found.answer.unwrap();
    assert!(found.confirmed && answer <= 3_000.0 && answer * (1.0 + RESOLUTION) > 3_000.0, "{answer}");
    assert!(found.trials.len() < 25, "{}", found.trials.len());
    assert_eq!(found.trials.first().unwrap().phase, Phase::Double);
    assert_eq!(found.trials.last().unwrap().phase, Phase::Confirm);
    assert!(found.limiter.ends_with("p99") && !found.limited_by_generator, "{}", found.limiter);
}

#[test]
fn one_mistaken_trial_does_not_move_the_answer_by_more_than_a_step() {
    for mistaken in 1..18 {
        let found = find(3_000.0, |tried, rate| tried == mistaken && (2_700.0..3_300.0).contains(&rate));
        let answer = found.answer.unwrap();
        assert!((2_900.0..3_200.0).contains(&answer), "{mistaken}: {answer} {:#?}", found.trials);
    }
}

#[test]
fn a_server_slower_than_the_first_rate_is_found_too() {
    let answer = find(7.0, |_, _| false).answer.unwrap();
    assert!((6.8..=7.0).contains(&answer), "{answer}");
    let found = find(0.1, |_, _| false);
    assert_eq!(found.answer, None);
    assert!(!found.confirmed);
}

#[test]
fn what_never_fails_is_answered_with_the_most_that_was_asked() {
    let found = find(f64::MAX, |_, _| false);
    assert_eq!((found.answer, found.confirmed), (Some(100_000.0), true));
    assert!(found.limiter.contains("--max"), "{}", found.limiter);
}

#[test]
fn a_generator_at_its_end_is_named_as_the_limit() {
    let mut fake = Fake { limit: f64::MAX, spoiled_from: 1_500.0, errs: |_, _| false, tried: 0 };
    let found = search(Aim { start: 100.0, max: 100_000.0 }, &mut fake).unwrap();
    assert!(found.limited_by_generator, "{found:?}");
    assert!(found.answer.unwrap() < 1_500.0);
}

proptest! {
    #[test]
    fn any_limit_is_found_within_the_resolution(limit in 2.0..90_000.0_f64) {
        let answer = find(limit, |_, _| false).answer.unwrap();
        prop_assert!(answer <= limit && answer * (1.0 + RESOLUTION) >= limit, "{answer} of {limit}");
    }
}
