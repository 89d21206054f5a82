//! How long a search takes among 120 000 agencies, in both databases. A measurement, run on demand:
//! `cargo nextest run --workspace --run-ignored only -E 'test(/scale::/)' --no-capture`.
#![allow(clippy::print_stdout, reason = "what a measurement is run for")]

use std::time::{Duration, Instant};

use super::agency::{Ended, Search};
use crate::registry::directory::{Cursor, IMPORT_BATCH_MAX};
use crate::registry::fold::Query;
use crate::store::tests::trail;
use crate::store::{Dialect, Store};

const AGENCIES: usize = 120_000;
/// What a search may take.
const SEARCH_MAX: Duration = Duration::from_millis(50);
const ROUNDS: usize = 20;

/// Names as a national directory has them: few stems, many places.
fn title(number: usize) -> String {
    const STEMS: [&str; 6] =
        ["Ủy ban nhân dân xã", "Sở Tư pháp", "Phòng Kinh tế", "Trường Tiểu học", "Trạm Y tế phường", "Đảng ủy"];
    const PLACES: [&str; 5] = ["Vĩnh Long", "Đắk Lắk", "Bến Tre", "Trà Vinh", "Lạng Sơn"];
    let (stem, place) = (STEMS[number % STEMS.len()], PLACES[number / 7 % PLACES.len()]);
    format!("{stem} Số {number}, tỉnh {place}")
}

async fn fill(store: &Store) {
    let agencies: Vec<_> = (0..AGENCIES)
        .map(|number| {
            let (province, middle, last) = (number / 10_000, number / 100 % 100, number % 100);
            (format!("H{province:02}.{middle:02}.{last:02}").parse().unwrap(), title(number))
        })
        .collect();
    let mut added = 0;
    for batch in agencies.chunks(IMPORT_BATCH_MAX) {
        added += store.import_agencies(batch, &trail("import")).await.unwrap().added;
    }
    assert_eq!(added, AGENCIES);
    if store.dialect() == Dialect::Postgres {
        // What autovacuum does within a minute of such an import: then the index answers without its table.
        sqlx::query("VACUUM (ANALYZE) agency").execute(store.pool()).await.unwrap();
    }
}

async fn measure(store: &Store, query: &str, after: Option<&str>) -> (Duration, usize) {
    let after = after.map(|text| Cursor::parse(text).unwrap());
    let search = Search { query: Query::parse(query).unwrap(), after, limit: 50, ended: Ended::LeftOut };
    let mut times = Vec::new();
    let mut found = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        found = store.search_agencies(&search).await.unwrap().0.len();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    (times[ROUNDS * 19 / 20], found)
}

async fn a_search_among_a_hundred_and_twenty_thousand_agencies_is_quick(store: Store) {
    let start = Instant::now();
    fill(&store).await;
    println!("{:?}: {AGENCIES} agencies imported in {:.1?}", store.dialect(), start.elapsed());
    let mut slowest = Duration::ZERO;
    for (query, after) in [
        ("", None),
        ("uy ban nhan dan xa", None),
        ("ỦY BAN", Some("0-H05.59.94")),
        ("vinh long", None),
        ("so 119999", None),
        ("tu phap dak lak so 7", None),
        ("khong co co quan nay", None),
        ("h11.99.99", None),
        ("dang uy", Some("0-H11.99.95")),
    ] {
        let (p95, found) = measure(&store, query, after).await;
        println!(
            "  p95 {p95:>9.2?}  {found:>2} found  `{query}`{}",
            if after.is_some() { ", a later page" } else { "" }
        );
        slowest = slowest.max(p95);
    }
    assert!(slowest < SEARCH_MAX, "the slowest search takes {slowest:?}");
}

#[tokio::test]
#[ignore = "a measurement of seconds, run by the command above"]
async fn in_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("test.db")).await.unwrap();
    a_search_among_a_hundred_and_twenty_thousand_agencies_is_quick(store).await;
}

#[tokio::test]
#[ignore = "a measurement of seconds, run by the command above"]
async fn in_postgresql() {
    let server = lgsp_testkit::postgres::Postgres::start().await.unwrap();
    let store = crate::store::tests::connect(&server).await.unwrap();
    a_search_among_a_hundred_and_twenty_thousand_agencies_is_quick(store).await;
}
