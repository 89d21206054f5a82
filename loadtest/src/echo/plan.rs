//! What a path asks the target to do.

use std::time::Duration;

/// The largest answer `/bytes/N` and `/slow` give, in bytes; produced piece by piece, never held.
pub const BYTES_MAX: u64 = 64 << 30;
/// The longest pause asked for in a path.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// What the target does with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// `/echo…`: the request's body and trailers come back, streamed; with `content-type: application/grpc` as a gRPC answer.
    Echo,
    /// `/echo…?headers=1`: JSON of method, path, query and headers.
    EchoHead,
    /// `/echo…?bytes=N`: reads everything, answers N bytes.
    EchoBytes {
        /// How many.
        count: u64,
    },
    /// `/sink…`: reads everything, answers JSON with `bytes` and `sha256`.
    Sink,
    /// `/bytes/N`: N bytes; with `?chunked=1` without a length.
    Bytes {
        /// How many.
        count: u64,
        /// Whether the answer comes without `Content-Length`.
        chunked: bool,
    },
    /// `/slow?bytes=N&piece=N&pause_ms=N&read_pause_ms=N`: reads and answers in pieces with pauses.
    Slow {
        /// Bytes of the answer.
        bytes: u64,
        /// Bytes of a piece.
        piece: u64,
        /// Pause after each piece of the answer.
        pause: Duration,
        /// Pause after each piece of the request.
        read_pause: Duration,
    },
    /// `/delay/MS`: answers after a pause.
    Delay(Duration),
    /// `/status/CODE`: answers with that status.
    Status(u16),
    /// `/early/CODE`: answers before it reads the body.
    Early(u16),
    /// `/trailers`: an answer that ends in trailers.
    Trailers,
    /// `/hints`: 103 before 200.
    Hints,
    /// `/close`: reads the request, closes without an answer.
    Close,
    /// `/hang`: reads the request, never answers.
    Hang,
    /// `/half`: half an answer, then closes.
    Half,
    /// `/garbage`: answers with something that is not HTTP.
    Garbage,
    /// `/upgrade`: 101, then every byte comes back.
    Upgrade,
    /// `/health`: 200, not counted.
    Health,
    /// `/requests`: JSON of what was seen, not counted.
    Requests,
    /// Anything else: 404.
    Unknown,
}

impl Plan {
    /// Reads a path and its query.
    pub fn of(path: &str, query: Option<&str>) -> Self {
        let path = path.trim_start_matches('/');
        let (verb, rest) = path.split_once('/').unwrap_or((path, ""));
        let millis = |value: u64| Duration::from_millis(value).min(PAUSE_MAX);
        let asked = |name: &str| number(query, name);
        let status = || rest.parse().ok().filter(|code| (200..=599).contains(code));
        match verb {
            "echo" if asked("headers") == Some(1) => Plan::EchoHead,
            "echo" => match asked("bytes") {
                Some(count) => Plan::EchoBytes { count: count.min(BYTES_MAX) },
                None => Plan::Echo,
            },
            "sink" => Plan::Sink,
            "bytes" => rest.parse().map_or(Plan::Unknown, |count: u64| Plan::Bytes {
                count: count.min(BYTES_MAX),
                chunked: asked("chunked") == Some(1),
            }),
            "slow" => Plan::Slow {
                bytes: asked("bytes").unwrap_or(1_024).min(BYTES_MAX),
                piece: asked("piece").unwrap_or(256).clamp(1, 1 << 20),
                pause: millis(asked("pause_ms").unwrap_or(100)),
                read_pause: millis(asked("read_pause_ms").unwrap_or(0)),
            },
            "delay" => rest.parse().map_or(Plan::Unknown, |value| Plan::Delay(millis(value))),
            "status" => status().map_or(Plan::Unknown, Plan::Status),
            "early" => status().map_or(Plan::Unknown, Plan::Early),
            "trailers" => Plan::Trailers,
            "hints" => Plan::Hints,
            "close" => Plan::Close,
            "hang" => Plan::Hang,
            "half" => Plan::Half,
            "garbage" => Plan::Garbage,
            "upgrade" => Plan::Upgrade,
            "health" => Plan::Health,
            "requests" => Plan::Requests,
            _ => Plan::Unknown,
        }
    }

    /// Whether a request with this plan is entered in the ledger. Health checks and questions about the ledger are not.
    pub fn is_counted(self) -> bool {
        !matches!(self, Plan::Health | Plan::Requests)
    }
}

fn number(query: Option<&str>, name: &str) -> Option<u64> {
    let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_to_do() {
        assert_eq!(Plan::of("/echo/a/b", None), Plan::Echo);
        assert_eq!(Plan::of("/echo", Some("x=2&headers=1")), Plan::EchoHead);
        assert_eq!(Plan::of("/echo/a", Some("bytes=9")), Plan::EchoBytes { count: 9 });
        assert_eq!(Plan::of("/bytes/1024", None), Plan::Bytes { count: 1024, chunked: false });
        assert_eq!(Plan::of("/bytes/5", Some("chunked=1")), Plan::Bytes { count: 5, chunked: true });
        assert_eq!(Plan::of("/delay/20", None), Plan::Delay(Duration::from_millis(20)));
        assert_eq!(Plan::of("/status/503", None), Plan::Status(503));
        for unknown in ["/", "/nothing", "/bytes/x", "/status/42", "/status/999", "/delay/"] {
            assert_eq!(Plan::of(unknown, None), Plan::Unknown, "{unknown}");
        }
    }
}
