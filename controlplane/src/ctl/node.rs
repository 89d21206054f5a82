//! One request to one node through the Unix socket of its admin listener: HTTP/1.1 on a connection of its own.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use lgsp_shared::explain::EXPLANATION_BYTES_MAX;
use serde_json::Value;

use super::failure::{Exit, Failure};

/// For each read and write; a node answers at once.
const WAIT: Duration = Duration::from_secs(10);
/// The longest answer with its head.
const ANSWER_BYTES_MAX: usize = EXPLANATION_BYTES_MAX + (16 << 10);

/// What the node answers.
pub fn ask(socket: &Path, method: &str, path: &str, body: &str) -> Result<Value, Failure> {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    let answer = exchange(socket, request.as_bytes()).map_err(|error| {
        let message = format!("cannot ask the node at `{}`: {error}", socket.display());
        let hint = "Name the socket of its admin listener (`admin.socket` in its settings, `admin.sock` in its `state_dir` \
                    when absent), on its own machine and as its user.";
        Failure::new(Exit::Unreachable, message, hint)
    })?;
    let foreign = || {
        let message = format!("what listens at `{}` does not answer as a node does", socket.display());
        Failure::new(Exit::Unreachable, message, "Check `--node`.")
    };
    let (status, body) = parse(&answer).ok_or_else(foreign)?;
    let value: Value = serde_json::from_slice(body).map_err(|_| foreign())?;
    if (200..300).contains(&status) {
        return Ok(value);
    }
    let detail = value.get("detail").and_then(Value::as_str).unwrap_or("no reason");
    let detail: String = detail.chars().filter(|char| !char.is_control()).collect();
    let hint = "`lgspctl explain` without `--node` asks every node through the control plane.";
    Err(Failure::new(Exit::Refused, format!("the node answered {status}: {detail}"), hint))
}

fn exchange(socket: &Path, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.take(u64::try_from(ANSWER_BYTES_MAX).unwrap_or(u64::MAX)).read_to_end(&mut answer)?;
    Ok(answer)
}

/// Status and body of an answer that ends with its connection.
fn parse(answer: &[u8]) -> Option<(u16, &[u8])> {
    let head_bytes = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = answer.split_at_checked(head_bytes)?;
    let status = std::str::from_utf8(head).ok()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body.get(4..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        assert_eq!(parse(b"HTTP/1.1 404 Not Found\r\na: b\r\n\r\n{}"), Some((404, &b"{}"[..])));
        for other in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 2\r\n\r\n"] {
            assert_eq!(parse(other), None, "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn an_address_is_not_a_socket_and_the_failure_says_what_is() {
        let failure = ask(Path::new("http://127.0.0.1:9901"), "GET", "/", "").unwrap_err();
        assert!(failure.to_string().contains("admin.socket"), "{failure}");
    }
}
