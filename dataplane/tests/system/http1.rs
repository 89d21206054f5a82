//! What the HTTP/1.1 face guarantees about other people's bytes.

mod no_request_is_smuggled;
