//! How long a search takes among 120 000 agencies, in both databases, right after they were imported.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that cannot be set up must stop")]
#![allow(clippy::print_stdout, reason = "what a bench is run for")]

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lgsp_controlplane::audit::Trail;
use lgsp_controlplane::registry::directory::{Cursor, IMPORT_BATCH_MAX};
use lgsp_controlplane::registry::fold::Query;
use lgsp_controlplane::settings::database::DatabaseSettings;
use lgsp_controlplane::store::Store;
use lgsp_controlplane::store::registry::agency::{Ended, Search};
use lgsp_shared::seal::Secret;
use lgsp_shared::timestamp::UnixSeconds;
use lgsp_testkit::postgres::{PASSWORD, Postgres};

const AGENCIES: usize = 120_000;
/// What a search may take.
const SEARCH_MAX: Duration = Duration::from_millis(50);
const ROUNDS: usize = 40;
/// What is searched, and where the page begins when it is not the first.
const SEARCHES: [(&str, Option<&str>); 10] = [
    ("", None),
    ("tinh", None),
    ("uy ban nhan dan xa", None),
    ("ỦY BAN", Some("0-H05.59.94")),
    ("vinh long", None),
    ("so 119999", None),
    ("tu phap dak lak so 7", None),
    ("khong co co quan nay", None),
    ("h11.99.99", None),
    ("dang uy", Some("0-H11.99.95")),
];

#[tokio::main]
async fn main() -> ExitCode {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = measure("SQLite", &Store::open(&directory.path().join("bench.db")).await.unwrap()).await;
    let server = Postgres::start().await.unwrap();
    let DatabaseSettings::Postgres(address) = server.address().try_into().unwrap() else { return ExitCode::FAILURE };
    let password = Secret::new(PASSWORD.as_bytes().to_vec());
    let postgres = measure("PostgreSQL", &Store::connect(&address, Some(&password)).await.unwrap()).await;
    if sqlite.max(postgres) < SEARCH_MAX { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Imports the agencies and prints how long each search takes; the slowest is returned.
async fn measure(database: &str, store: &Store) -> Duration {
    let start = Instant::now();
    import(store).await;
    println!("{database}: {AGENCIES} agencies imported in {:.1?}", start.elapsed());
    let mut slowest = Duration::ZERO;
    for (query, after) in SEARCHES {
        let (p95, found) = search(store, query, after).await;
        let page = if after.is_some() { ", a later page" } else { "" };
        println!("  p95 {p95:>9.2?}  {found:>2} found  `{query}`{page}");
        slowest = slowest.max(p95);
    }
    slowest
}

async fn import(store: &Store) {
    let agencies: Vec<_> = (0..AGENCIES)
        .map(|number| {
            let (province, middle, last) = (number / 10_000, number / 100 % 100, number % 100);
            (format!("H{province:02}.{middle:02}.{last:02}").parse().unwrap(), title(number))
        })
        .collect();
    for batch in agencies.chunks(IMPORT_BATCH_MAX) {
        let trail = Trail::new(UnixSeconds(1_000), Ipv4Addr::LOCALHOST.into(), "import".into(), "agencies".into());
        assert_eq!(store.import_agencies(batch, &trail).await.unwrap().added, batch.len());
    }
}

/// Names as a national directory has them: few stems, many places.
fn title(number: usize) -> String {
    const STEMS: [&str; 6] =
        ["Ủy ban nhân dân xã", "Sở Tư pháp", "Phòng Kinh tế", "Trường Tiểu học", "Trạm Y tế phường", "Đảng ủy"];
    const PLACES: [&str; 5] = ["Vĩnh Long", "Đắk Lắk", "Bến Tre", "Trà Vinh", "Lạng Sơn"];
    let (stem, place) = (STEMS[number % STEMS.len()], PLACES[number / 7 % PLACES.len()]);
    format!("{stem} Số {number}, tỉnh {place}")
}

/// The 95th percentile of a search, and how many it finds.
async fn search(store: &Store, query: &str, after: Option<&str>) -> (Duration, usize) {
    let after = after.map(|text| Cursor::parse(text).unwrap());
    let search = Search { query: Query::parse(query).unwrap(), after, limit: 50, ended: Ended::LeftOut };
    let mut times = Vec::with_capacity(ROUNDS);
    let mut found = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        found = store.search_agencies(&search).await.unwrap().0.len();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    (times[ROUNDS * 19 / 20], found)
}
