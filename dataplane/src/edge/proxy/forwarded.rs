//! The request as it goes to the target: what the source sent minus what it may not say, plus what the platform says.

use arrayvec::ArrayVec;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, VIA};
use http::{HeaderName, HeaderValue, Version};
use lgsp_shared::head::RequestHead;
use pingora_core::Result;
use pingora_http::RequestHeader;

use crate::admission::Admission;
use crate::clock::Now;
use crate::forward::{self, IdentityBuffers, IdentityFields};
use crate::record::RequestId;
use crate::stream::Declared;

/// The most headers that say who is calling: five, the trace, and two for the signature.
const IDENTITY_MAX: usize = 8;
/// Headers Pingora has already put right for the connection to the target; they are not the source's any more.
const CONNECTION_OWN: [HeaderName; 2] = [http::header::CONNECTION, http::header::UPGRADE];

/// What the target is told, worked out once when the request was admitted.
#[derive(Debug)]
pub struct Forwarded {
    target: Vec<u8>,
    authority: String,
    identity: Identity,
    /// gRPC asks for trailers and does not go on without them.
    wants_trailers: bool,
    chunked_by_sigv4: bool,
}

impl Forwarded {
    /// Works it out.
    pub fn new(head: &RequestHead<'_>, admission: &Admission, request_id: RequestId, now: Now) -> Self {
        let mut target = Vec::new();
        forward::append_target(head, admission, &mut target);
        let text = std::str::from_utf8(&target).unwrap_or("/");
        let (mut buffers, mut identity) = (IdentityBuffers::default(), Identity::default());
        forward::append_identity(head, admission, text, request_id, now, &mut buffers, &mut identity);
        Self {
            identity,
            authority: forward::authority(head, admission).to_owned(),
            wants_trailers: head.all("te").any(|field| field.value.eq_ignore_ascii_case(b"trailers")),
            chunked_by_sigv4: admission.chunks.is_some(),
            target,
        }
    }

    /// Turns the request that Pingora would send into the one that is sent.
    pub fn apply(&self, request: &mut RequestHeader, admission: &Admission, body: Declared) -> Result<()> {
        let via = if request.version == Version::HTTP_2 { "2 lgsp" } else { "1.1 lgsp" };
        let unframed = |name: &HeaderName| self.chunked_by_sigv4 && forward::describes_aws_chunked(name.as_str());
        let stays = |name: &HeaderName| {
            forward::passes_to_target(name.as_str(), admission.scheme, &admission.route)
                || CONNECTION_OWN.contains(name)
        };
        let gone: Vec<HeaderName> =
            request.headers.keys().filter(|name| !stays(name) || unframed(name)).cloned().collect();
        for name in gone {
            request.remove_header(&name);
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
        for (name, value) in &self.identity.0 {
            request.insert_header(*name, value.clone())?;
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

/// Headers of the platform's as Pingora takes them.
#[derive(Debug, Default)]
struct Identity(ArrayVec<(&'static str, HeaderValue), IDENTITY_MAX>);

impl IdentityFields for Identity {
    fn add(&mut self, name: &'static str, value: &[u8]) {
        match HeaderValue::from_bytes(value) {
            Ok(value) if !self.0.is_full() => self.0.push((name, value)),
            // A target that misses a part of them finds its signature wanting.
            Ok(_) | Err(_) => tracing::error!(name, "an identity header cannot be sent"),
        }
    }
}
