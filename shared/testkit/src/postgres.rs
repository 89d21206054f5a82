//! A real PostgreSQL of the test's own: a new cluster in a temporary directory, a free port, gone when dropped.
//!
//! PostgreSQL refuses to run as root, so under root the server is another user's: `postgres`, or `nobody`.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use crate::certificate::Authority;
use crate::port::free_port;

/// The database's user.
pub const USER: &str = "lgsp";
/// The user's password; the server asks for it, so that the way of a password is tested too.
pub const PASSWORD: &str = "a passw0rd/with: @ll kinds?";
/// A database that every server has.
pub const DATABASE: &str = "postgres";

const TLS: [&str; 4] = ["fsync=off", "ssl=on", "ssl_cert_file=../tls/server.crt", "ssl_key_file=../tls/server.key"];
const START_WAIT: Duration = Duration::from_secs(30);
const STOP_WAIT: Duration = Duration::from_secs(10);
const START_ATTEMPTS: u32 = 5;
const POLL: Duration = Duration::from_millis(10);
const LOG_SHOWN_BYTES: usize = 4_000;
/// Users a server may run as when the test runs as root, the best first.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// A running (or killed) PostgreSQL server.
#[derive(Debug)]
pub struct Postgres {
    dir: TempDir,
    port: u16,
    settings: Vec<String>,
    certificate: Option<PathBuf>,
    child: Option<Child>,
}

impl Postgres {
    /// Starts an empty server that is fast rather than safe from power cuts.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(vec!["fsync=off".into(), "full_page_writes=off".into()], None).await
    }

    /// Starts an empty server that loses nothing it has acknowledged.
    pub async fn start_durable() -> anyhow::Result<Self> {
        Self::start_with(Vec::new(), None).await
    }

    /// Starts an empty server that speaks TLS; its certificate is for `localhost`, signed by [`Self::certificate`].
    pub async fn start_with_tls() -> anyhow::Result<Self> {
        let authority = Authority::new("LGSP database test");
        Self::start_with(TLS.map(String::from).to_vec(), Some(authority)).await
    }

    async fn start_with(settings: Vec<String>, authority: Option<Authority>) -> anyhow::Result<Self> {
        let mut last = None;
        for _ in 0..START_ATTEMPTS {
            let (settings, authority) = (settings.clone(), authority.as_ref());
            let mut server = Self::make(settings, authority)?;
            // Another process may take the port between finding it free and binding it: try with another one.
            match server.restart().await {
                Ok(()) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("PostgreSQL was never started")))
    }

    fn make(settings: Vec<String>, authority: Option<&Authority>) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("lgsp-postgres-").tempdir()?;
        let certificate = authority.map(|authority| write_certificate(dir.path(), authority)).transpose()?;
        std::fs::write(dir.path().join("password"), PASSWORD)?;
        give_away(dir.path())?;
        let mut command = command("initdb", dir.path())?;
        command.args(["--username", USER, "--pwfile", "password", "--auth", "scram-sha-256", "--pgdata", "data"]);
        command.args(["--no-sync", "--wal-segsize=1", "--encoding", "UTF8", "--no-locale"]);
        let output = command.output().context("starting `initdb`")?;
        ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { dir, port: free_port(), settings, certificate, child: None })
    }

    /// The address for clients on this machine, without the password.
    pub fn address(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{DATABASE}", self.port)
    }

    /// The same by the name its certificate is for.
    pub fn address_by_name(&self) -> String {
        format!("postgres://{USER}@localhost:{}/{DATABASE}", self.port)
    }

    /// The authority that signed the server's certificate, as a file, when it speaks TLS.
    pub fn certificate(&self) -> Option<&Path> {
        self.certificate.as_deref()
    }

    /// Starts the server again on the same port and data, and waits until it answers. Does nothing when it runs.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + START_WAIT;
        loop {
            if self.child.is_none() {
                self.spawn()?;
            }
            if self.is_ready() {
                return Ok(());
            }
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                self.child = None;
                // What a killed server leaves behind takes a moment to end, and holds the shared memory so long.
                ensure!(
                    self.log_tail().contains("pre-existing shared memory block") && Instant::now() < end,
                    "PostgreSQL ended with {status}:\n{}",
                    self.log_tail()
                );
            }
            if Instant::now() >= end {
                bail!("PostgreSQL is not ready after {START_WAIT:?}:\n{}", self.log_tail());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends the server's first process at once; those that served clients notice and end too.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        let log = File::create(self.dir.path().join("log"))?;
        let mut command = command("postgres", self.dir.path())?;
        command.args(["-D", "data", "-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", "unix_socket_directories=", "-c", "shared_buffers=16MB", "-c", "max_connections=60"]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        self.child = Some(command.stdout(log.try_clone()?).stderr(log).spawn().context("starting `postgres`")?);
        Ok(())
    }

    /// Its own note of how far it is: the process on the first line, `ready` on the eighth.
    fn is_ready(&self) -> bool {
        let note = std::fs::read_to_string(self.dir.path().join("data/postmaster.pid")).unwrap_or_default();
        let mut lines = note.lines();
        let pid = self.child.as_ref().map(|child| child.id().to_string());
        lines.next() == pid.as_deref() && lines.nth(6).is_some_and(|state| state.trim() == "ready")
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read(self.dir.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_SHOWN_BYTES)..]).into_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        // SIGQUIT ends all of its processes; SIGKILL would leave those that serve clients behind for a moment.
        let _ = Command::new("sh").args(["-c", &format!("kill -QUIT {}", child.id())]).status();
        let end = Instant::now() + STOP_WAIT;
        while Instant::now() < end && child.try_wait().is_ok_and(|status| status.is_none()) {
            std::thread::sleep(POLL);
        }
        self.kill();
    }
}

fn write_certificate(dir: &Path, authority: &Authority) -> anyhow::Result<PathBuf> {
    let files = authority.issue(&["localhost"]).write(dir, "server");
    let data = dir.join("tls");
    std::fs::create_dir(&data)?;
    for (from, to) in [(files.cert, "server.crt"), (files.key, "server.key")] {
        std::fs::rename(from, data.join(to))?;
    }
    std::fs::set_permissions(data.join("server.key"), PermissionsExt::from_mode(0o600))?;
    let root = dir.join("root.crt");
    std::fs::write(&root, authority.pem())?;
    Ok(root)
}

/// Makes the directory and what is in it belong to the user the server runs as.
fn give_away(path: &Path) -> anyhow::Result<()> {
    let Some((user, group)) = server_user()? else { return Ok(()) };
    chown(path, Some(user), Some(group))?;
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            give_away(&entry?.path())?;
        }
    }
    Ok(())
}

/// Whom the server runs as, when that is not us.
fn server_user() -> anyhow::Result<Option<(u32, u32)>> {
    if std::fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let find = |name: &&str| {
        let mut fields = users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    USERS.iter().find_map(find).map(Some).context("PostgreSQL refuses to run as root, and there is no other user")
}

fn command(name: &str, dir: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(programs()?.join(name));
    command.current_dir(dir).env_clear().env("LC_ALL", "C").stdin(Stdio::null());
    if let Some((user, group)) = server_user()? {
        command.uid(user).gid(group);
    }
    Ok(command)
}

/// Debian keeps the server's programs off everybody's path, by version.
fn programs() -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").map_err(|_| missing())?;
    let version = |entry: &std::fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let newest = versions.flatten().filter(|entry| entry.path().join("bin/initdb").is_file()).max_by_key(version);
    Ok(newest.ok_or_else(missing)?.path().join("bin"))
}

fn missing() -> anyhow::Error {
    anyhow::anyhow!("PostgreSQL's server is not installed: run `make tools`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_starts_again_after_a_kill_and_is_gone_when_dropped() {
        let mut server = Postgres::start().await.unwrap();
        server.kill();
        assert!(!server.is_ready());
        server.restart().await.unwrap();
        let (id, dir) = (server.child.as_ref().unwrap().id(), server.dir.path().to_owned());
        drop(server);
        assert!(!Path::new(&format!("/proc/{id}")).exists() && !dir.exists());
    }
}
