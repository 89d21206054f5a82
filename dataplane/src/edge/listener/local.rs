//! A Unix socket that only this node's own user may connect to (mode 600). It gets its name only when its mode is set, and
//! takes the place of one that a former process left.

use std::io;
use std::os::fd::{IntoRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The owner may connect.
pub const MODE: u32 = 0o600;

/// A socket, bound now or later.
#[derive(Debug)]
pub struct LocalSocket {
    path: PathBuf,
    socket: Option<UnixListener>,
}

impl LocalSocket {
    /// Binds it now.
    pub fn bind(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), socket: Some(bind(path)?) })
    }

    /// Leaves it to a predecessor until its service starts.
    pub fn later(path: &Path) -> Self {
        Self { path: path.to_owned(), socket: None }
    }

    /// Its path as text, by which Pingora knows it.
    pub fn name(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// The socket's descriptor, which the caller owns.
    pub fn take(&mut self) -> io::Result<RawFd> {
        let socket = self.socket.take().map_or_else(|| bind(&self.path), Ok)?;
        Ok(socket.into_raw_fd())
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if std::fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file of that name that is no socket"));
    }
    // Short, because paths of sockets are.
    let unnamed = path.with_file_name(format!(".{}", std::process::id()));
    let _ = std::fs::remove_file(&unnamed);
    let socket = UnixListener::bind(&unnamed)?;
    let named = std::fs::set_permissions(&unnamed, PermissionsExt::from_mode(MODE))
        .and_then(|()| socket.set_nonblocking(true))
        .and_then(|()| std::fs::rename(&unnamed, path));
    named.inspect_err(|_| drop(std::fs::remove_file(&unnamed)))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_is_for_its_owner_and_replaces_the_one_a_former_process_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let _former = LocalSocket::bind(&path).unwrap();
        let _socket = LocalSocket::bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert!(UnixStream::connect(&path).is_ok());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_file_that_is_no_socket_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        std::fs::write(&path, "kept").unwrap();
        assert!(LocalSocket::bind(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
    }
}
