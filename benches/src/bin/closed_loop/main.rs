//! A closed loop of signed requests: every connection sends its next request when the last one was answered, or when it
//! is due (`--rate`, all connections together, latency from the planned instant). Over HTTP/2 (`--h2 STREAMS`) every
//! connection carries so many requests at a time. Connections are spread over the addresses. With a credential every
//! request is signed anew, an uploaded body with its digest. Prints one JSON line. It finds what a request costs the
//! proxy, not what latency users see: without a rate it waits for a stalled server and so hides the stall.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a tool of the benches, run by compare/run.sh")]

use std::sync::Arc;

mod http1;
mod http2;
mod plan;
mod signing;
mod tally;

use plan::Plan;
use tally::Tally;

#[tokio::main]
async fn main() {
    let plan = Plan::from_arguments(std::env::args().skip(1)).unwrap_or_else(|| {
        eprintln!("usage: {}", plan::USAGE);
        std::process::exit(2)
    });
    let (plan, tally) = (Arc::new(plan), Arc::new(Tally::new()));
    if plan.idle {
        http1::rest(&plan, &tally).await;
    } else {
        let drive = |index| {
            let (plan, tally) = (plan.clone(), tally.clone());
            match plan.streams {
                Some(streams) => tokio::spawn(http2::drive(index, streams, plan, tally)),
                None => tokio::spawn(http1::drive(index, plan, tally)),
            }
        };
        for task in (0..plan.connections).map(drive).collect::<Vec<_>>() {
            task.await.expect("a connection does not panic");
        }
    }
    tally.print(plan.started.elapsed().as_secs_f64());
}
