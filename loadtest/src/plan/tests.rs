use proptest::prelude::*;

use super::*;

fn segment(from: f64, to: f64, secs: u64) -> Segment {
    Segment { from, to, duration: Duration::from_secs(secs) }
}

fn poisson(rate: f64, secs: u64, seed: u64) -> Plan {
    Plan { spacing: Spacing::Poisson { seed }, ..Plan::constant(rate, Duration::from_secs(secs)) }
}

#[test]
fn a_constant_rate_does_not_drift_within_a_day() {
    let plan = Plan::constant(3.0, Duration::from_secs(86_400));
    let last = plan.arrivals(Share::WHOLE).last().unwrap();
    assert_eq!(last.index, 3 * 86_400 - 1);
    let due = Duration::from_secs(86_400) - Duration::from_secs_f64(1.0 / 3.0);
    assert!(last.at.abs_diff(due) < Duration::from_micros(1), "{last:?}");
}

#[test]
fn steps_change_the_rate_where_they_say() {
    let plan = Plan { segments: vec![segment(10.0, 10.0, 2), segment(100.0, 100.0, 1)], spacing: Spacing::Even };
    let arrivals: Vec<_> = plan.arrivals(Share::WHOLE).collect();
    assert_eq!(arrivals.len(), 120);
    assert_eq!(arrivals.iter().filter(|arrival| arrival.at < Duration::from_secs(2)).count(), 20);
    assert_eq!(plan.rate_at(Duration::from_millis(2_500)), 100.0);
}

#[test]
fn an_instant_lies_in_the_step_that_has_begun_and_after_the_end_in_the_last() {
    let plan = Plan { segments: vec![segment(1.0, 1.0, 2), segment(2.0, 2.0, 3)], spacing: Spacing::Even };
    let at = |millis| plan.segment_at(Duration::from_millis(millis));
    assert_eq!([at(0), at(1_999), at(2_000), at(4_999), at(5_000)], [0, 0, 1, 1, 1]);
}

#[test]
fn a_ramp_from_nothing_has_half_the_arrivals_in_its_last_third() {
    let plan = Plan { segments: vec![segment(0.0, 100.0, 10)], spacing: Spacing::Even };
    let arrivals: Vec<_> = plan.arrivals(Share::WHOLE).collect();
    assert_eq!(arrivals.len(), 500);
    let late = Duration::from_secs_f64(10.0 / 2.0_f64.sqrt());
    assert!(arrivals.iter().filter(|arrival| arrival.at >= late).count().abs_diff(250) <= 1);
}

#[test]
fn a_seed_gives_the_same_arrivals_for_ever() {
    let first: Vec<_> = poisson(1_000.0, 1, 7).arrivals(Share::WHOLE).take(3).map(|a| a.at.as_micros()).collect();
    assert_eq!(
        first,
        poisson(1_000.0, 1, 7).arrivals(Share::WHOLE).take(3).map(|a| a.at.as_micros()).collect::<Vec<_>>()
    );
    assert_ne!(
        first,
        poisson(1_000.0, 1, 8).arrivals(Share::WHOLE).take(3).map(|a| a.at.as_micros()).collect::<Vec<_>>()
    );
}

#[test]
fn poisson_arrivals_are_as_many_and_as_irregular_as_they_should_be() {
    let arrivals: Vec<_> = poisson(1_000.0, 100, 1).arrivals(Share::WHOLE).collect();
    // Mean and variance of the count are both 100 000; five standard deviations are 1 581.
    assert!(arrivals.len().abs_diff(100_000) < 1_581, "{}", arrivals.len());
    let gaps: Vec<f64> = arrivals.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64()).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    let variation = variance.sqrt() / mean;
    assert!((variation - 1.0).abs() < 0.05, "the gaps of a Poisson process vary by their mean: {variation}");
}

proptest! {
    #[test]
    fn shares_are_disjoint_and_together_the_whole(rate in 1.0..500.0_f64, of in 1_u64..6, threads in 1_u64..4, seed in any::<u64>()) {
        let plan = poisson(rate, 3, seed);
        let whole: Vec<_> = plan.arrivals(Share::WHOLE).collect();
        let mut parts: Vec<_> = (0..of)
            .flat_map(|part| (0..threads).map(move |thread| Share { part, of }.split(thread, threads)))
            .flat_map(|share| plan.arrivals(share).collect::<Vec<_>>())
            .collect();
        parts.sort_by_key(|arrival| arrival.index);
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn arrivals_are_in_order_within_the_time_and_as_many_as_the_rate_says(
        rates in prop::collection::vec((0.0..300.0_f64, 0.0..300.0_f64, 1_u64..5), 1..5),
    ) {
        let segments = rates.iter().map(|(from, to, secs)| segment(*from, *to, *secs)).collect();
        let plan = Plan { segments, spacing: Spacing::Even };
        let arrivals: Vec<_> = plan.arrivals(Share::WHOLE).collect();
        prop_assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
        prop_assert!(arrivals.iter().all(|arrival| arrival.at <= plan.duration()));
        prop_assert!((arrivals.len() as f64 - plan.count()).abs() <= 1.0);
    }
}
