use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Slo {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn criteria_are_read_in_base_units() {
    let slo = read("p99.9 <= 50ms");
    assert_eq!((slo.metric, slo.relation), (Metric::Response(Point::Percentile(99.9)), Relation::AtMost));
    assert!((slo.bound - 50_000.0).abs() < 1e-6);
    assert_eq!(read("errors<0.1%").bound, 0.1);
    assert_eq!(read("rate>=2900/s").bound, 2_900.0);
    assert_eq!(read("sut_memory<64 MiB").bound, 67_108_864.0);
    assert_eq!(read("service.max<2s").metric, Metric::Service(Point::Max));
    assert_eq!(read("lag.mean<1ms").metric, Metric::Lag(Point::Mean));
    assert_eq!(read("first_byte<30s").metric, Metric::FirstByte);
    assert_eq!(read("sut_cpu<75%").to_string(), "sut_cpu<75%");
}

#[test]
fn what_is_not_a_criterion_is_refused_with_what_would_be() {
    for (text, hint) in [
        ("p99=50ms", "one of `<`"),
        ("", "one of `<`"),
        ("p101<1s", "cannot be measured"),
        ("p100<1s", "cannot be measured"),
        ("latency<1s", "`service.p99`"),
        ("p99<50", "write it as `500ms`"),
        ("errors<0.1", "write it as `0.1%`"),
        ("sut_cpu<175%", "not a share"),
        ("rate>10ms", "write it as `3000/s`"),
        ("sut_memory<64MB", "powers of 1024"),
        ("p99<=", "not a length of time"),
    ] {
        let error = text.parse::<Slo>().unwrap_err().to_string();
        assert!(error.contains(hint), "{text}: {error}");
    }
}

#[test]
fn the_bound_itself_is_where_the_relations_differ() {
    let met = |text: &str| read(text).is_met_by(75.0);
    assert_eq!(
        (met("sut_cpu<75%"), met("sut_cpu<=75%"), met("sut_cpu>75%"), met("sut_cpu>=75%")),
        (false, true, false, true)
    );
    assert!(!read("p99<1s").is_met_by(f64::NAN), "what is no number meets nothing");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z0-9_.<>=%/ ]{0,40}") {
        if let Ok(slo) = text.parse::<Slo>() {
            prop_assert_eq!(slo.to_string().parse::<Slo>(), Ok(slo));
        }
    }
}
