//! HTTP/2 with prior knowledge: several requests at a time on each connection, each in a lane of its own.

use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::plan::{Node, Plan, RECONNECT};
use crate::tally::Tally;

/// One connection until the time is over; it connects again when a request failed in each of its lanes, which counts.
pub async fn drive(index: u64, streams: u64, plan: Arc<Plan>, tally: Arc<Tally>) {
    while Instant::now() < plan.until {
        let Some(sender) = connect(plan.node_of(index)).await else {
            tally.failed();
            tokio::time::sleep(RECONNECT).await;
            continue;
        };
        let lane = |stream| lane(index, index * streams + stream, sender.clone(), plan.clone(), tally.clone());
        (0..streams).map(lane).collect::<JoinSet<()>>().join_all().await;
    }
}

async fn connect(node: Option<&Node>) -> Option<SendRequest<Bytes>> {
    let (sender, connection) = h2::client::handshake(node?.connect().await?).await.ok()?;
    // Its end is seen by the lanes.
    tokio::spawn(connection);
    Some(sender)
}

async fn lane(connection: u64, lane: u64, mut sender: SendRequest<Bytes>, plan: Arc<Plan>, tally: Arc<Tally>) {
    let Some(node) = plan.node_of(connection) else { return };
    let uri = format!("http://{}{}", node.host, plan.path);
    let mut pace = plan.pace(lane);
    while let Some(since) = pace.next().await {
        let mut request = http::Request::builder().method(plan.method()).uri(&uri);
        for (name, value) in plan.sign(node) {
            request = request.header(name, value);
        }
        let request = request.body(()).expect("the request can be written");
        if !tally.count(exchange(&mut sender, request).await, since) {
            return;
        }
    }
}

/// Sends one request and reads its answer to the end; `None` when the connection or the stream failed.
async fn exchange(sender: &mut SendRequest<Bytes>, request: http::Request<()>) -> Option<u16> {
    std::future::poll_fn(|cx| sender.poll_ready(cx)).await.ok()?;
    let (answer, _) = sender.send_request(request, true).ok()?;
    let (head, mut body) = answer.await.ok()?.into_parts();
    while let Some(piece) = body.data().await {
        let length = piece.ok()?.len();
        body.flow_control().release_capacity(length).ok()?;
    }
    Some(head.status.as_u16())
}
