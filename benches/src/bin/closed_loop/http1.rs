//! HTTP/1.1: one request at a time on each connection.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::plan::{Node, PIECE, PIECE_BYTES, Plan, RECONNECT};
use crate::tally::Tally;

/// Read at a time; the head of an answer fits.
const READ_BYTES: usize = 128 << 10;

/// One connection until the time is over; it connects again after an error, which counts.
pub async fn drive(index: u64, plan: Arc<Plan>, tally: Arc<Tally>) {
    let Some(node) = plan.node_of(index) else { return };
    let mut request = Vec::with_capacity(1 << 10);
    let mut answer = vec![0; READ_BYTES];
    let mut pace = plan.pace(index);
    while Instant::now() < plan.until {
        let Some(mut stream) = node.connect().await else {
            tally.failed();
            tokio::time::sleep(RECONNECT).await;
            continue;
        };
        loop {
            let Some(since) = pace.next().await else { return };
            write(&plan, node, &mut request);
            let status = exchange(&mut stream, &plan, &request, &mut answer).await;
            if !tally.count(status, since) {
                break;
            }
        }
    }
}

/// Opens the connections one after the other, asks once on each, says `ready`, and lets them rest until the end.
pub async fn rest(plan: &Plan, tally: &Tally) {
    let (mut request, mut answer, mut resting) = (Vec::new(), vec![0; READ_BYTES], Vec::new());
    for index in 0..plan.connections {
        let since = Instant::now();
        let Some(node) = plan.node_of(index) else { return };
        let Some(mut stream) = node.connect().await else {
            tally.failed();
            continue;
        };
        write(plan, node, &mut request);
        let status = exchange(&mut stream, plan, &request, &mut answer).await;
        tally.count(status, since);
        resting.push(stream);
    }
    println!("ready");
    tokio::time::sleep(plan.until - plan.started).await;
}

/// The head, and the first piece of the body, which goes out with it.
fn write(plan: &Plan, node: &Node, request: &mut Vec<u8>) {
    request.clear();
    for part in [plan.method(), " ", &plan.path, " HTTP/1.1\r\nhost: ", &node.host, "\r\n"] {
        request.extend_from_slice(part.as_bytes());
    }
    if plan.upload_bytes > 0 {
        write_field("content-length", plan.upload_bytes.to_string().as_bytes(), request);
        write_field("content-digest", &plan.digest, request);
    }
    plan.sign(node).iter().for_each(|(name, value)| write_field(name, value, request));
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(PIECE.get(..plan.upload_bytes.min(PIECE_BYTES)).unwrap_or_default());
}

fn write_field(name: &str, value: &[u8], request: &mut Vec<u8>) {
    [name.as_bytes(), b": ", value, b"\r\n"].iter().for_each(|part| request.extend_from_slice(part));
}

/// Sends one request and reads its answer, which has a `Content-Length`; `None` when the connection failed.
async fn exchange(stream: &mut TcpStream, plan: &Plan, request: &[u8], answer: &mut [u8]) -> Option<u16> {
    stream.write_all(request).await.ok()?;
    let mut left = plan.upload_bytes.saturating_sub(PIECE_BYTES);
    while left > 0 {
        let piece = PIECE.get(..left.min(PIECE_BYTES))?;
        stream.write_all(piece).await.ok()?;
        left -= piece.len();
    }
    let mut filled = 0;
    loop {
        let read = stream.read(answer.get_mut(filled..)?).await.ok().filter(|read| *read > 0)?;
        filled += read;
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(head_bytes) = parsed.parse(answer.get(..filled)?).ok()? else { continue };
        let length = parsed.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"))?;
        let length: usize = std::str::from_utf8(length.value).ok()?.parse().ok()?;
        let status = parsed.code?;
        let mut left = (head_bytes + length).checked_sub(filled)?;
        while left > 0 {
            let read = stream.read(answer).await.ok().filter(|read| *read > 0)?;
            left = left.checked_sub(read)?;
        }
        return Some(status);
    }
}
