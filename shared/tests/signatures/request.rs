//! Requests that own their parts, and the borrowed head of each.

use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::seal::Secret;
use lgsp_shared::signature::KeyState;

/// A request's head, owned. Values are bytes: vectors hold UTF-8, changed ones may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub scheme: Scheme,
    pub authority: String,
    pub path: String,
    pub query: Option<String>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Request {
    pub fn get(path: &str, query: Option<&str>) -> Self {
        let authority = "lgsp.vinhlong.gov.vn".to_owned();
        let headers = vec![("Host".to_owned(), authority.clone().into_bytes())];
        let (method, path, query) = ("GET".to_owned(), path.to_owned(), query.map(str::to_owned));
        Self { method, scheme: Scheme::Http, authority, path, query, headers }
    }

    pub fn with(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Reads the text of an HTTP/1.1 request, line ends LF or CRLF, continuation lines kept as part of their field.
    pub fn parse(text: &str) -> (Self, String) {
        let text = text.replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end_matches('\n'), ""));
        let mut lines = head.split('\n');
        let request_line = lines.next().unwrap().strip_suffix(" HTTP/1.1").unwrap();
        let (method, target) = request_line.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let mut request = Self { method: method.to_owned(), ..Self::get(path, query) };
        request.headers.clear();
        for line in lines {
            if line.starts_with(' ') {
                let value = &mut request.headers.last_mut().unwrap().1;
                value.extend_from_slice(b"\n");
                value.extend_from_slice(line.as_bytes());
            } else {
                let (name, value) = line.split_once(':').unwrap();
                request.headers.push((name.to_owned(), value.trim().as_bytes().to_vec()));
            }
        }
        request.authority = request.value("host").unwrap_or_default();
        (request, body.to_owned())
    }

    /// The first value of a header.
    pub fn value(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| String::from_utf8(value.clone()).unwrap())
    }

    pub fn head<T>(&self, look: impl FnOnce(&RequestHead<'_>) -> T) -> T {
        let fields: Vec<Field<'_>> = self.headers.iter().map(|(name, value)| Field { name, value }).collect();
        look(&RequestHead {
            method: &self.method,
            scheme: self.scheme,
            authority: &self.authority,
            path: &self.path,
            query: self.query.as_deref(),
            fields: &fields,
        })
    }
}

pub fn key(secret: &str) -> KeyState {
    KeyState::new(&Secret::new(secret.as_bytes().to_vec()))
}
