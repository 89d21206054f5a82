//! The request as it goes to the target: what the source sent minus what it may not say, plus what the platform says.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, VIA};
use http::{HeaderName, HeaderValue, Version};
use lgsp_shared::head::RequestHead;
use pingora_core::{ErrorType, OrErr, Result};
use pingora_http::RequestHeader;

use crate::admission::Admission;
use crate::clock::Now;
use crate::forward::{self, IdentityBuffers};
use crate::record::RequestId;
use crate::stream::Declared;

/// Headers Pingora has already put right for the connection to the target; they are not the source's any more.
const CONNECTION_OWN: [HeaderName; 2] = [http::header::CONNECTION, http::header::UPGRADE];

/// What the target is told, worked out once when the request was admitted.
#[derive(Debug)]
pub struct Forwarded {
    target: Vec<u8>,
    authority: String,
    identity: Vec<(HeaderName, HeaderValue)>,
    /// gRPC asks for trailers and does not go on without them.
    wants_trailers: bool,
    chunked_by_sigv4: bool,
}

impl Forwarded {
    /// Works it out.
    pub fn new(head: &RequestHead<'_>, admission: &Admission, request_id: RequestId, now: Now) -> Self {
        let mut target = Vec::new();
        forward::append_target(head, admission, &mut target);
        let mut lines = Vec::new();
        let text = std::str::from_utf8(&target).unwrap_or("/");
        let mut buffers = IdentityBuffers::default();
        forward::append_identity(head, admission, text, request_id, now, &mut buffers, &mut lines);
        Self {
            identity: lines.split(|byte| *byte == b'\n').filter_map(header_of_line).collect(),
            authority: forward::authority(head, admission).to_owned(),
            wants_trailers: head.all("te").any(|field| field.value.eq_ignore_ascii_case(b"trailers")),
            chunked_by_sigv4: admission.chunks.is_some(),
            target,
        }
    }

    /// Turns the request that Pingora would send into the one that is sent.
    pub fn apply(&self, request: &mut RequestHeader, admission: &Admission, body: Declared) -> Result<()> {
        let via = if request.version == Version::HTTP_2 { "2 lgsp" } else { "1.1 lgsp" };
        let names: Vec<HeaderName> = request.headers.keys().cloned().collect();
        for name in names {
            if !forward::passes_to_target(name.as_str(), admission.scheme) && !CONNECTION_OWN.contains(&name) {
                request.remove_header(&name);
            }
        }
        if self.chunked_by_sigv4 {
            self.unframe(request)?;
        }
        request.set_raw_path(&self.target)?;
        request.insert_header(HOST, &self.authority)?;
        request.insert_header(VIA, via)?;
        if self.wants_trailers {
            request.insert_header(TE, "trailers")?;
        }
        for (name, value) in &self.identity {
            request.insert_header(name.clone(), value.clone())?;
        }
        request.remove_header(&TRANSFER_ENCODING);
        match body {
            Declared::Bytes(length) => request.insert_header(CONTENT_LENGTH, length),
            Declared::Unbounded if request.version == Version::HTTP_11 => {
                request.insert_header(TRANSFER_ENCODING, "chunked")
            }
            Declared::Unbounded | Declared::Nothing => Ok(()),
        }
    }

    /// Takes `aws-chunked` out of `Content-Encoding`: the framing it names is removed on the way.
    fn unframe(&self, request: &mut RequestHeader) -> Result<()> {
        let Some(value) = request.remove_header(&CONTENT_ENCODING) else { return Ok(()) };
        let kept = value.to_str().ok().and_then(forward::without_aws_chunked);
        kept.map_or(Ok(()), |rest| request.insert_header(CONTENT_ENCODING, rest))
    }
}

fn header_of_line(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let line = line.strip_suffix(b"\r")?;
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let value =
        HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).or_err(ErrorType::InternalError, "header").ok()?;
    Some((HeaderName::from_bytes(name).ok()?, value))
}
