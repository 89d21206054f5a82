//! The checksum behind a body that is framed but not signed (`STREAMING-UNSIGNED-PAYLOAD-TRAILER`).
//!
//! It proves nothing about who sent the body; it finds what was damaged on the way. Constant memory.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc::{CRC_32_ISCSI, CRC_32_ISO_HDLC, CRC_64_NVME, Crc, Digest as CrcDigest, Table};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::chunked::ChunkError;

static CRC32: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);
static CRC32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);
static CRC64_NVME: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_NVME);

/// The trailers that can be checked here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    const ALL: [Algorithm; 5] =
        [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme, Algorithm::Sha1, Algorithm::Sha256];

    /// What `x-amz-trailer` announces; `None` for anything but one trailer that can be checked.
    pub(super) fn announced(trailer: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| trailer.trim().eq_ignore_ascii_case(algorithm.trailer()))
    }

    fn trailer(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "x-amz-checksum-crc32",
            Algorithm::Crc32c => "x-amz-checksum-crc32c",
            Algorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Algorithm::Sha1 => "x-amz-checksum-sha1",
            Algorithm::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// A running checksum.
    pub(super) fn start(self) -> Checksum {
        let running = match self {
            Algorithm::Crc32 => Running::Crc32(CRC32.digest()),
            Algorithm::Crc32c => Running::Crc32(CRC32C.digest()),
            Algorithm::Crc64Nvme => Running::Crc64(CRC64_NVME.digest()),
            Algorithm::Sha1 => Running::Sha1(Box::new(Sha1::new())),
            Algorithm::Sha256 => Running::Sha256(Box::new(Sha256::new())),
        };
        Checksum { algorithm: self, running }
    }
}

/// The checksum of what came so far.
pub(super) struct Checksum {
    algorithm: Algorithm,
    running: Running,
}

enum Running {
    Crc32(CrcDigest<'static, u32, Table<16>>),
    Crc64(CrcDigest<'static, u64, Table<16>>),
    Sha1(Box<Sha1>),
    Sha256(Box<Sha256>),
}

impl Checksum {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.running {
            Running::Crc32(crc) => crc.update(bytes),
            Running::Crc64(crc) => crc.update(bytes),
            Running::Sha1(hash) => hash.update(bytes),
            Running::Sha256(hash) => hash.update(bytes),
        }
    }

    /// Reads the tail of the body, which is the announced trailer and nothing else, and compares.
    pub(super) fn check(self, tail: &[u8]) -> Result<(), ChunkError> {
        let text = std::str::from_utf8(tail).map_err(|_| ChunkError::Trailer("they are not text"))?;
        let mut lines = text.split('\n').map(str::trim_end).filter(|line| !line.is_empty());
        let line = lines.next().ok_or(ChunkError::Trailer("the announced one is missing"))?;
        let (name, value) = line.split_once(':').ok_or(ChunkError::Trailer("a line has no colon"))?;
        if !name.eq_ignore_ascii_case(self.algorithm.trailer()) || lines.next().is_some() {
            return Err(ChunkError::Trailer("one was not announced in `x-amz-trailer`, or comes twice"));
        }
        if value.trim() == self.finish() { Ok(()) } else { Err(ChunkError::Checksum) }
    }

    fn finish(self) -> String {
        match self.running {
            Running::Crc32(crc) => BASE64.encode(crc.finalize().to_be_bytes()),
            Running::Crc64(crc) => BASE64.encode(crc.finalize().to_be_bytes()),
            Running::Sha1(hash) => BASE64.encode(hash.finalize()),
            Running::Sha256(hash) => BASE64.encode(hash.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_gives_its_published_check_value() {
        for (algorithm, expected) in [
            (Algorithm::Crc32, "y/Q5Jg=="),
            (Algorithm::Crc32c, "4waSgw=="),
            (Algorithm::Crc64Nvme, "rosUhgp5mIg="),
            (Algorithm::Sha1, "98O8HYCOBHMq32eZZczDTKeuNEE="),
            (Algorithm::Sha256, "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
        ] {
            assert_eq!(Algorithm::announced(algorithm.trailer()), Some(algorithm));
            let mut checksum = algorithm.start();
            checksum.update(b"1234");
            checksum.update(b"56789");
            assert_eq!(checksum.finish(), expected, "{algorithm:?}");
        }
        assert_eq!(Algorithm::announced("x-amz-checksum-xxhash64"), None);
        assert_eq!(Algorithm::announced("x-amz-checksum-crc32,x-a"), None);
    }
}
