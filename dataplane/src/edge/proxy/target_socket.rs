//! The socket of a connection to a target, known by what it is and not only by its number.
//!
//! Pingora lends the number of a descriptor that it may close while an exchange is still under way: an HTTP/2 connection
//! is closed by a task of its own as soon as the target closes it, and the next socket anywhere in this process takes
//! its number. So the socket is remembered by its cookie as well, which the kernel gives to no second socket, and only
//! that very socket is ever shut down. Costs one system call per attempt.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{Shutdown, shutdown};

/// A socket that was open when it was noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetSocket {
    number: RawFd,
    cookie: u64,
}

impl TargetSocket {
    /// Notes the socket that has this number now.
    pub fn note(number: RawFd) -> Option<Self> {
        cookie(number).map(|cookie| Self { number, cookie })
    }

    /// Ends the connection in both directions; does nothing when it was closed meanwhile, whoever has its number now.
    pub fn shut_down(self) {
        // Of its own, so that what is compared is what is shut down.
        let Some(duplicate) = duplicate(self.number) else { return };
        if cookie(duplicate.as_raw_fd()) == Some(self.cookie) {
            // That the target was faster in closing is no error.
            let _ = shutdown(duplicate.as_raw_fd(), Shutdown::Both);
        }
    }
}

/// The cookie of the socket with this number, if there is one (`SO_COOKIE` in socket(7)).
#[expect(unsafe_code, reason = "the safe wrappers want proof that the number is open, which is what is asked here")]
fn cookie(number: RawFd) -> Option<u64> {
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).ok()?;
    let (value, length) = ((&raw mut cookie).cast(), &raw mut length);
    // SAFETY: the kernel writes at most `length` bytes to `value`, both live until the call returns, and any number may
    // be given: one that is no open socket is an error.
    let failed = unsafe { libc::getsockopt(number, libc::SOL_SOCKET, libc::SO_COOKIE, value, length) };
    (failed == 0).then_some(cookie)
}

/// Another descriptor of whatever has this number.
#[expect(unsafe_code, reason = "the safe wrappers want proof that the number is open, which is what is asked here")]
fn duplicate(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: any number may be given, one that is not open is an error; the descriptor that comes back is new, so
    // nobody else owns it.
    unsafe {
        let duplicate = libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0);
        (duplicate >= 0).then(|| OwnedFd::from_raw_fd(duplicate))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    /// Sockets opened to meet a number again; other tests of this process take some meanwhile.
    const TRIES: usize = 1_000;

    #[test]
    fn the_connection_that_was_noted_ends() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        TargetSocket::note(ours.as_raw_fd()).unwrap().shut_down();
        assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn another_connection_that_took_the_number_is_left_alone() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let noted = TargetSocket::note(ours.as_raw_fd()).unwrap();
        drop((ours, theirs));
        let mut opened = Vec::new();
        let (mut one, mut other) = (0..TRIES)
            .find_map(|_| {
                let (one, other) = UnixStream::pair().unwrap();
                if one.as_raw_fd() == noted.number {
                    return Some((one, other));
                }
                if other.as_raw_fd() == noted.number {
                    return Some((other, one));
                }
                opened.push((one, other));
                None
            })
            .expect("a later socket takes the number");
        noted.shut_down();
        other.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        one.write_all(b"x").unwrap();
        other.read_exact(&mut [0]).unwrap();
    }

    #[test]
    fn what_is_no_socket_is_not_noted() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(TargetSocket::note(file.as_raw_fd()), None);
        assert_eq!(TargetSocket::note(-1), None);
    }
}
