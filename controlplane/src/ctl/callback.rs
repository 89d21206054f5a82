//! The answer of the identity provider: a browser on this machine brings it to a port that only this login listens on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::failure::{Exit, Failure};

/// How long the login at the provider may take; the control plane waits as long.
const ANSWER_WAIT: Duration = Duration::from_secs(600);
/// How long a browser may take to send its request.
const REQUEST_WAIT: Duration = Duration::from_secs(5);
/// Between two looks for a browser.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The longest request line, in bytes.
const LINE_BYTES_MAX: u64 = 8 << 10;

/// A port that waits for the answer.
#[derive(Debug)]
pub struct Callback {
    listener: TcpListener,
    address: String,
}

impl Callback {
    /// Listens on a free port of loopback.
    pub fn listen() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(Exit::Unreachable, format!("cannot listen on loopback: {error}"), "Log in with a password.")
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = format!("http://{}/callback", listener.local_addr().map_err(failed)?);
        Ok(Self { listener, address })
    }

    /// Where the answer goes.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits for the code that belongs to `state`; whatever else comes is answered and forgotten.
    pub fn wait(&self, state: &str) -> Result<String, Failure> {
        let end = Instant::now() + ANSWER_WAIT;
        while Instant::now() < end {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if let Some(answer) = answer(stream, state) {
                        return answer;
                    }
                }
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
        let message = format!("nobody logged in within {} s", ANSWER_WAIT.as_secs());
        Err(Failure::new(Exit::Refused, message, "Run `lgspctl login --oidc` again."))
    }
}

/// The code that belongs to `state` in the address at which a browser elsewhere ended.
pub fn pasted(address: &str, state: &str) -> Result<String, Failure> {
    let query = address.trim().split_once("/callback?").map(|(_, query)| query).unwrap_or_default();
    let query = query.split('#').next().unwrap_or_default();
    read(&format!("GET /callback?{query} "), state).unwrap_or_else(|| {
        let next = "Paste the whole address, which begins with `http://127.0.0.1`; each login has its own.";
        Err(Failure::new(Exit::Refused, "this is not the answer to this login", next))
    })
}

/// Reads one request; `None` when it is not the answer.
fn answer(mut stream: TcpStream, state: &str) -> Option<Result<String, Failure>> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(REQUEST_WAIT)).ok()?;
    stream.set_write_timeout(Some(REQUEST_WAIT)).ok()?;
    let mut line = String::new();
    BufReader::new((&stream).take(LINE_BYTES_MAX)).read_line(&mut line).ok()?;
    let found = read(&line, state);
    let (status, text) = match &found {
        Some(Ok(_)) => ("200 OK", "You can close this window and go back to the terminal."),
        Some(Err(_)) => ("200 OK", "The login was refused; the terminal tells why."),
        None => ("404 Not Found", "This is not the answer to the login."),
    };
    let length = text.len();
    // A browser that does not take the text has brought the answer all the same.
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
    );
    found
}

/// The code in `GET /callback?code=…&state=… HTTP/1.1`.
fn read(line: &str, state: &str) -> Option<Result<String, Failure>> {
    let query = line.strip_prefix("GET /callback?")?.split(' ').next()?;
    let field = |name: &str| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.map(decoded)
    };
    if field("state").as_deref() != Some(state) {
        return None;
    }
    match (field("code"), field("error")) {
        (Some(code), None) => Some(Ok(code)),
        (_, Some(error)) => {
            let message = format!("the identity provider refused: {}", error.escape_debug());
            Some(Err(Failure::new(Exit::Refused, message, "Ask whoever runs it.")))
        }
        (None, None) => None,
    }
}

/// `%XX` and `+` of a query.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).unwrap_or(0);
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                u8::try_from(high * 16 + low).unwrap_or(b'?')
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pasted_is_taken_only_if_it_answers_this_login() {
        let code = |text: &str| pasted(text, "S").map_err(|failure| failure.message);
        assert_eq!(code(" http://127.0.0.1:5/callback?code=a%2Fb&state=S#x\n"), Ok("a/b".into()));
        assert!(code("http://127.0.0.1:5/callback?error=access_denied&state=S").unwrap_err().contains("access_denied"));
        for other in ["http://127.0.0.1:5/callback?code=x&state=T", "http://127.0.0.1:5/", "x", ""] {
            assert_eq!(code(other), Err("this is not the answer to this login".into()), "{other}");
        }
    }

    #[test]
    fn only_the_answer_to_this_login_is_taken() {
        let code = |line: &str| read(line, "S").map(|found| found.map_err(|failure| failure.message));
        assert_eq!(code("GET /callback?code=a%2Fb+c&state=S HTTP/1.1\r\n"), Some(Ok("a/b c".into())));
        assert_eq!(code("GET /callback?state=S&code=x&iss=https%3A%2F%2Fa HTTP/1.1\r\n"), Some(Ok("x".into())));
        let refused = code("GET /callback?error=access_denied&state=S HTTP/1.1").unwrap().unwrap_err();
        assert!(refused.contains("access_denied"), "{refused}");
        for other in [
            "GET /callback?code=x&state=T HTTP/1.1",
            "GET /callback?code=x HTTP/1.1",
            "GET /favicon.ico HTTP/1.1",
            "POST /callback?code=x&state=S HTTP/1.1",
            "",
        ] {
            assert_eq!(code(other), None, "{other}");
        }
    }
}
