//! The request body on its way: decoded from the source's framing, through the gate, into the target's framing.

use bytes::Bytes;

use super::body::BodyDecoder;
use super::chunked::{self, Step};
use super::outgoing::Outgoing;
use super::wire::Wire;
use crate::edge::cause::Cause;
use crate::stream::{BodyGate, Declared};

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Something was taken from the input; what may go on is in the outgoing queue.
    Moved,
    /// The source has to send more.
    More,
    /// The body is complete and verified.
    Done,
}

/// A request body.
#[derive(Debug)]
pub struct Upload {
    decoder: BodyDecoder,
    gate: BodyGate,
    staged: Vec<Bytes>,
    done: bool,
}

impl Upload {
    /// At the start of a body.
    pub fn new(decoder: BodyDecoder, gate: BodyGate) -> Self {
        Self { decoder, gate, staged: Vec::new(), done: false }
    }

    /// Whether the body is complete and verified; until then the target has not seen the end of it.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Where the body was read up to.
    pub fn rest(&self) -> BodyDecoder {
        self.decoder
    }

    /// Counts bytes of the body that lie in the read buffer until they are verified.
    ///
    /// # Errors
    /// `Overloaded` when the node holds too much already.
    pub fn holds_outside(&mut self, bytes: usize) -> Result<(), Cause> {
        Ok(self.gate.holds_outside(bytes)?)
    }

    /// Body bytes taken in.
    pub fn received_bytes(&self) -> u64 {
        self.gate.received_bytes()
    }

    /// Moves what `source` has read through the gate into `out`.
    ///
    /// # Errors
    /// Why to refuse it: ill-framed, too large, or not what was signed. The target must then not get the rest.
    pub fn advance(&mut self, source: &mut Wire, out: &mut Outgoing) -> Result<Progress, Cause> {
        if self.done {
            return Ok(Progress::Done);
        }
        let step = match self.decoder.step(source.input()) {
            Ok(step) => step,
            Err(fault) => {
                // Where the body ends can no longer be known.
                self.decoder = BodyDecoder::UntilClose;
                return Err(fault.into());
            }
        };
        match step {
            Step::More => Ok(Progress::More),
            Step::Framing(length) => {
                source.consume(length);
                Ok(Progress::Moved)
            }
            Step::Content(length) => {
                let piece = source.take(length);
                self.gate.push(piece, &mut self.staged)?;
                self.release(out);
                Ok(Progress::Moved)
            }
            Step::End(length) => {
                // Taken before the verdict, so that the next request is found behind it whatever the verdict is.
                let trailers = source.take(length);
                self.gate.finish(&mut self.staged)?;
                self.release(out);
                self.end(&trailers, out)?;
                self.done = true;
                Ok(Progress::Done)
            }
        }
    }

    fn release(&mut self, out: &mut Outgoing) {
        let chunked = self.is_chunked_to_target();
        let length: usize = self.staged.iter().map(Bytes::len).sum();
        if length == 0 {
            return;
        }
        if chunked {
            let mut size = Vec::with_capacity(20);
            chunked::write_size(&mut size, length);
            out.push(size.into());
        }
        self.staged.drain(..).for_each(|piece| out.push(piece));
        if chunked {
            out.push(Bytes::from_static(b"\r\n"));
        }
    }

    fn end(&self, trailers: &[u8], out: &mut Outgoing) -> Result<(), Cause> {
        if !self.is_chunked_to_target() {
            return Ok(());
        }
        // No signature covers a trailer, so whoever is on the way could have put it there: it has to be one, and it ends here.
        if !trailers.is_empty() {
            chunked::copy_trailers(trailers, |_| false, &mut Vec::new())?;
        }
        out.push(Bytes::from_static(b"0\r\n\r\n"));
        Ok(())
    }

    fn is_chunked_to_target(&self) -> bool {
        self.gate.released_length() == Declared::Unbounded
    }
}
