//! A real etcd of the test's own: free ports, a temporary directory, killed when dropped.
//!
//! Every fault a node must survive is a method here: killed, stopped, continued, restarted, restored.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use etcd_client::{Client, ConnectOptions, Identity, TlsOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::certificate::{Authority, Certificate, CertificateFiles};

const START_DEADLINE: Duration = Duration::from_secs(30);
const START_ATTEMPTS: u32 = 5;
const LOG_SHOWN_BYTES: usize = 4_000;

/// A running (or stopped, or killed) etcd.
#[derive(Debug)]
pub struct Etcd {
    dir: TempDir,
    data: PathBuf,
    client_port: u16,
    known_port: u16,
    peer_port: u16,
    cluster_token: String,
    child: Option<Child>,
    restores: u32,
    tls: Option<Tls>,
}

/// What an etcd that speaks TLS shows and asks for.
#[derive(Debug)]
struct Tls {
    authority: Authority,
    ca: PathBuf,
    server: CertificateFiles,
    client: Certificate,
    client_files: CertificateFiles,
}

impl Tls {
    fn new(directory: &Path) -> anyhow::Result<Self> {
        let authority = Authority::new("etcd of a test");
        let ca = directory.join("ca.pem");
        std::fs::write(&ca, authority.pem())?;
        let server = authority.issue(&["localhost", "127.0.0.1"]).write(directory, "server");
        let client = authority.issue(&["client.test"]);
        let client_files = client.write(directory, "client");
        Ok(Self { authority, ca, server, client, client_files })
    }

    fn options(&self) -> ConnectOptions {
        let ca = etcd_client::Certificate::from_pem(self.authority.pem());
        let identity = Identity::from_pem(&self.client.cert_pem, &self.client.key_pem);
        ConnectOptions::new().with_tls(TlsOptions::new().ca_certificate(ca).identity(identity))
    }
}

impl Etcd {
    /// Starts an empty etcd and waits until it answers.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_somewhere(false).await
    }

    /// Starts an empty etcd that speaks TLS and takes only clients with a certificate of its authority.
    pub async fn start_with_tls() -> anyhow::Result<Self> {
        Self::start_somewhere(true).await
    }

    async fn start_somewhere(tls: bool) -> anyhow::Result<Self> {
        let mut last = None;
        for _ in 0..START_ATTEMPTS {
            // Another process may take a port between finding it free and etcd binding it: try with others.
            match Self::start_once(tls).await {
                Ok(etcd) => return Ok(etcd),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("etcd was never started")))
    }

    async fn start_once(tls: bool) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("lgsp-etcd-").tempdir()?;
        let tls = tls.then(|| Tls::new(dir.path())).transpose()?;
        let [client_port, peer_port] = free_ports()?;
        let data = dir.path().join("data");
        let cluster_token = "lgsp-test".to_owned();
        let mut etcd = Self {
            dir,
            data,
            client_port,
            known_port: client_port,
            peer_port,
            cluster_token,
            child: None,
            restores: 0,
            tls,
        };
        etcd.restart().await?;
        Ok(etcd)
    }

    /// `127.0.0.1:port` for clients.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.client_port)
    }

    /// How settings name it: its endpoint with the scheme, and the files that TLS to it takes.
    pub fn settings(&self) -> Value {
        match &self.tls {
            None => json!({"endpoints": [self.client_url()]}),
            Some(Tls { ca, client_files: CertificateFiles { cert, key }, .. }) => {
                json!({"endpoints": [self.client_url()], "tls": {"ca": ca, "certificate": cert, "key": key}})
            }
        }
    }

    /// A client of the test's own.
    pub async fn client(&self) -> anyhow::Result<Client> {
        let options = self.tls.as_ref().map(Tls::options);
        Client::connect([self.client_url()], options).await.context("connecting to the test's etcd")
    }

    /// Starts etcd again on the same ports and data, and waits until it answers. Does nothing when it runs.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        if self.child.is_none() {
            self.spawn()?;
        }
        let ready = async {
            loop {
                if self.answers().await {
                    return Ok(());
                }
                if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                    self.child = None;
                    bail!("etcd ended with {status}:\n{}", self.log_tail());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(START_DEADLINE, ready).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("etcd did not answer within {START_DEADLINE:?}:\n{}", self.log_tail()),
        }
    }

    /// Ends etcd at once, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Freezes etcd: its sockets stay open, nothing answers.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.signal("STOP")
    }

    /// Lets a frozen etcd go on.
    pub fn cont(&self) -> anyhow::Result<()> {
        self.signal("CONT")
    }

    /// Saves a snapshot, to be restored later.
    pub fn snapshot(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.dir.path().join(name);
        let endpoints = format!("--endpoints={}", self.endpoint());
        run(etcdctl().args([endpoints.as_str(), "snapshot", "save"]).arg(&path))?;
        Ok(path)
    }

    /// Kills etcd and starts it again, on the same ports, from an older snapshot: its revision goes backwards.
    pub async fn restore(&mut self, snapshot: &Path) -> anyhow::Result<()> {
        self.kill();
        self.restores += 1;
        self.data = self.dir.path().join(format!("restored-{}", self.restores));
        let cluster = format!("test={}", self.peer_url());
        run(etcdctl()
            .args(["snapshot", "restore"])
            .arg(snapshot)
            .arg("--data-dir")
            .arg(&self.data)
            .args(["--name", "test", "--initial-cluster", &cluster])
            .args(["--initial-advertise-peer-urls", &self.peer_url()])
            .args(["--initial-cluster-token", &self.cluster_token]))?;
        self.restart().await
    }

    /// Kills etcd and starts an empty one on the same ports, as after the loss of its disk.
    pub async fn lose(&mut self) -> anyhow::Result<()> {
        self.kill();
        self.restores += 1;
        self.data = self.dir.path().join(format!("lost-{}", self.restores));
        self.cluster_token = format!("lgsp-test-{}", self.restores);
        self.restart().await
    }

    /// As [`Self::restore`], under another cluster identity.
    pub async fn restore_as_another_cluster(&mut self, snapshot: &Path) -> anyhow::Result<()> {
        self.cluster_token = format!("lgsp-test-{}", self.restores + 1);
        self.restore(snapshot).await
    }

    /// Starts etcd again where only [`Self::client`] and [`Self::endpoint`] find it: whoever knew its port is cut off.
    pub async fn hide(&mut self) -> anyhow::Result<()> {
        self.kill();
        let [port] = free_ports()?;
        self.client_port = port;
        self.restart().await
    }

    /// Starts etcd again on the port it had before [`Self::hide`].
    pub async fn show(&mut self) -> anyhow::Result<()> {
        self.kill();
        self.client_port = self.known_port;
        self.restart().await
    }

    fn client_url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.endpoint())
    }

    fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer_port)
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        let client = self.client_url();
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let mut command = Command::new("etcd");
        if let Some(Tls { ca, server: CertificateFiles { cert, key }, .. }) = &self.tls {
            command.arg("--cert-file").arg(cert).arg("--key-file").arg(key);
            command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(ca);
        }
        let child = command
            .args(["--name", "test", "--data-dir"])
            .arg(&self.data)
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &self.peer_url(), "--initial-advertise-peer-urls", &self.peer_url()])
            .args(["--initial-cluster", &format!("test={}", self.peer_url())])
            .args(["--initial-cluster-token", &self.cluster_token])
            .args(["--logger", "zap", "--log-outputs", "stderr", "--log-level", "warn"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| missing("etcd", error))?;
        self.child = Some(child);
        Ok(())
    }

    async fn answers(&self) -> bool {
        let ask = async {
            let mut client = self.client().await.ok()?;
            // A linearizable read: answered only once the member leads.
            client.get("ready", None).await.ok()
        };
        tokio::time::timeout(Duration::from_millis(500), ask).await.ok().flatten().is_some()
    }

    fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let child = self.child.as_ref().context("etcd is not running")?;
        // The shell's own `kill`: no unsafe code and no package needed.
        run(Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]))
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("etcd.log")
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read(self.log_path()).unwrap_or_default();
        let start = log.len().saturating_sub(LOG_SHOWN_BYTES);
        String::from_utf8_lossy(log.get(start..).unwrap_or_default()).into_owned()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ports nobody listens on now.
fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let listeners: Vec<TcpListener> = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let ports: Vec<u16> =
        listeners.iter().map(|socket| Ok(socket.local_addr()?.port())).collect::<Result<_, std::io::Error>>()?;
    ports.try_into().map_err(|_| anyhow::anyhow!("as many ports as listeners"))
}

fn etcdctl() -> Command {
    let mut command = Command::new("etcdctl");
    // Debian's etcdctl 3.4 speaks the old protocol unless told otherwise.
    command.env("ETCDCTL_API", "3");
    command
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| missing(&name, error))?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{command:?} failed with {}: {told}", output.status);
    Ok(())
}

fn missing(program: &str, error: std::io::Error) -> anyhow::Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => anyhow::anyhow!("`{program}` is not installed: run `make tools`"),
        _ => anyhow::anyhow!("starting `{program}`: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_etcd_survives_a_kill_and_forgets_what_came_after_a_restored_snapshot() {
        let mut etcd = Etcd::start().await.unwrap();
        let mut client = etcd.client().await.unwrap();
        client.put("a", "1", None).await.unwrap();
        let snapshot = etcd.snapshot("older.db").unwrap();
        client.put("a", "2", None).await.unwrap();
        etcd.kill();
        etcd.restart().await.unwrap();
        let value = async |etcd: &Etcd| {
            let answer = etcd.client().await.unwrap().get("a", None).await.unwrap();
            answer.kvs()[0].value_str().unwrap().to_owned()
        };
        assert_eq!(value(&etcd).await, "2");
        etcd.stop().unwrap();
        assert!(!etcd.answers().await);
        etcd.cont().unwrap();
        assert_eq!(value(&etcd).await, "2");
        etcd.restore(&snapshot).await.unwrap();
        assert_eq!(value(&etcd).await, "1");
    }
}
