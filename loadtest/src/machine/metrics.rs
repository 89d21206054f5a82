//! CPU and memory of a process elsewhere, from its metrics page (Prometheus text format): `process_cpu_seconds_total` and
//! `process_resident_memory_bytes`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use http::Uri;

use super::process::Usage;

/// For connecting and for each read and write. A node under load may be slow to tell, and a page that does not tell has
/// no result.
const DEADLINE: Duration = Duration::from_secs(5);
/// The largest page.
const PAGE_BYTES_MAX: usize = 8 << 20;
/// Read at a time.
const READ_BYTES: usize = 16 << 10;
const HEAD_FIELDS_MAX: usize = 64;

/// A page that tells.
#[derive(Debug)]
pub struct MetricsPage {
    url: String,
    address: SocketAddr,
    host: String,
    path: String,
}

/// Why a page does not tell.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// Not such an address.
    #[error("`{0}` is not the address of a metrics page: write it as `http://127.0.0.1:9901/metrics`")]
    Malformed(String),
    /// It cannot be read.
    #[error("the metrics page `{0}` cannot be read")]
    Unreadable(String, #[source] std::io::Error),
    /// It lacks what is needed.
    #[error("the metrics page `{url}` has no `{name}`: name the process with `--sut` on its own machine instead")]
    Absent {
        /// The page.
        url: String,
        /// The metric.
        name: &'static str,
    },
}

impl MetricsPage {
    /// Finds the page and reads it once.
    pub fn open(url: &str) -> Result<Self, MetricsError> {
        let malformed = || MetricsError::Malformed(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| malformed())?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(malformed)?;
        let unreadable = |error| MetricsError::Unreadable(url.to_owned(), error);
        let port = uri.port_u16().unwrap_or(80);
        let address = (host.trim_matches(['[', ']']), port).to_socket_addrs().map_err(unreadable)?.next();
        let page = Self {
            url: url.to_owned(),
            address: address.ok_or_else(malformed)?,
            host: uri.authority().ok_or_else(malformed)?.to_string(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        };
        page.read()?;
        Ok(page)
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it says now.
    pub fn read(&self) -> Result<Usage, MetricsError> {
        let text = self.fetch().map_err(|error| MetricsError::Unreadable(self.url.clone(), error))?;
        let value =
            |name: &'static str| value(&text, name).ok_or_else(|| MetricsError::Absent { url: self.url.clone(), name });
        let cpu_seconds = value("process_cpu_seconds_total").or_else(|_| value("process_cpu_seconds"))?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of memory")]
        let resident_bytes = value("process_resident_memory_bytes")? as u64;
        Ok(Usage { cpu_seconds, resident_bytes })
    }

    fn fetch(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        // HTTP/1.0, so that the answer is not chunked.
        let request = format!("GET {} HTTP/1.0\r\nhost: {}\r\nconnection: close\r\n\r\n", self.path, self.host);
        stream.write_all(request.as_bytes())?;
        let mut page = Vec::new();
        let mut part = [0; READ_BYTES];
        // Its length ends it where it says one: not everyone closes at once.
        while length(&page).is_none_or(|whole| page.len() < whole) && page.len() < PAGE_BYTES_MAX {
            match stream.read(&mut part)? {
                0 => break,
                read => page.extend_from_slice(part.get(..read).unwrap_or_default()),
            }
        }
        String::from_utf8(page).map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))
    }
}

/// How long head and body are together, once the head is there and if it says so.
fn length(page: &[u8]) -> Option<usize> {
    let mut fields = [httparse::EMPTY_HEADER; HEAD_FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head_bytes) = head.parse(page).ok()? else { return None };
    let field = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"))?;
    Some(head_bytes.saturating_add(std::str::from_utf8(field.value).ok()?.trim().parse().ok()?))
}

fn value(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name).filter(|rest| rest.starts_with(' ')))?;
    line.split_ascii_whitespace().next()?.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_where_its_length_says() {
        let head = "HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(length(head.as_bytes()), Some(head.len() + 12));
        assert_eq!(length(b"HTTP/1.0 200 OK\r\ncontent-le"), None);
        assert_eq!(length(b"HTTP/1.0 200 OK\r\n\r\nx 1\n"), None);
    }

    #[test]
    fn a_value_is_found_by_its_whole_name() {
        let text = "# HELP process_cpu_seconds_total x\nprocess_cpu_seconds_totals 9\nprocess_cpu_seconds_total 1.5\n";
        assert_eq!(value(text, "process_cpu_seconds_total"), Some(1.5));
        assert_eq!(value(text, "process_resident_memory_bytes"), None);
    }
}
