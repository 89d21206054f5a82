//! A target service inside the test: the same code as `lgsp-loadtest echo`, on a runtime of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

use lgsp_loadtest::echo::{Echo, Ledger, PlatformVerifier, Seen, Settings};
use lgsp_shared::id::AccessKey;
use lgsp_shared::seal::Secret;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::oneshot;

use crate::certificate::Certificate;

/// Requests kept for assertions.
const KEPT: usize = 4_096;

/// How the target will be.
#[derive(Debug)]
pub struct TargetBuilder {
    address: SocketAddr,
    verifier: Option<PlatformVerifier>,
    tls: Option<(Certificate, Vec<Vec<u8>>)>,
    keep: usize,
}

/// A running target; gone when dropped, its connections with it.
#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
    settings: Arc<Settings>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Target {
    /// A plain target on a free port that keeps what it sees.
    #[expect(clippy::new_ret_no_self, reason = "fakes are builders ending in `.start().await`")]
    pub fn new() -> TargetBuilder {
        TargetBuilder { address: (Ipv4Addr::LOCALHOST, 0).into(), verifier: None, tls: None, keep: KEPT }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was sent.
    pub fn ledger(&self) -> &Ledger {
        &self.settings.ledger
    }

    /// The last request it saw; fails when there was none.
    pub fn last(&self) -> Seen {
        self.ledger().seen().pop().expect("the target has seen no request")
    }

    /// Stops it: its port refuses from now on, its connections are closed.
    pub fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the target's thread does not panic");
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic in the target's thread has been printed already.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl TargetBuilder {
    /// Listens on this address, such as that of a target that was stopped.
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Answers 403 to what the platform has not signed with this credential.
    pub fn verifying(mut self, access_key: AccessKey, secret: &Secret) -> Self {
        self.verifier = Some(PlatformVerifier::new(access_key, secret));
        self
    }

    /// Speaks TLS, offering HTTP/2 and HTTP/1.1.
    pub fn tls(mut self, certificate: Certificate) -> Self {
        self.tls = Some((certificate, vec![b"h2".to_vec(), b"http/1.1".to_vec()]));
        self
    }

    /// Keeps this many requests; 0 makes it as cheap as it can be.
    pub fn keeping(mut self, count: usize) -> Self {
        self.keep = count;
        self
    }

    /// Starts it; it listens when this returns.
    pub async fn start(self) -> Target {
        let Self { address, verifier, tls, keep } = self;
        let settings = Settings { ledger: Ledger::default().keeping(keep), verifier, ..Settings::default() };
        let tls = tls.map(|(certificate, alpn)| Arc::new(server_config(&certificate, alpn)));
        let (started, has_started) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        // A thread and a runtime of its own: a test that blocks its own runtime does not stop the target.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let mut echo = Echo::bind(address, settings).await.expect("the target's address is free");
                if let Some(config) = tls {
                    echo = echo.with_tls(config);
                }
                let bound = (echo.address().expect("a bound socket has an address"), echo.settings());
                // Nobody waits any more when the test is over already.
                let _ = started.send(bound);
                tokio::select! {
                    served = echo.serve() => served.expect("the target accepts connections"),
                    _ = stopped => {}
                }
            });
        });
        let (address, settings) = has_started.await.expect("the target starts");
        Target { address, settings, stop: Some(stop), thread: Some(thread) }
    }
}

fn server_config(certificate: &Certificate, alpn: Vec<Vec<u8>>) -> rustls::ServerConfig {
    let chain = CertificateDer::pem_slice_iter(certificate.cert_pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).expect("a private key in PEM");
    let mut config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain.expect("certificates in PEM"), key)
        .expect("the key belongs to the certificate");
    config.alpn_protocols = alpn;
    config
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_target_answers_counts_and_stops() {
        let mut target = Target::new().start().await;
        let mut stream = TcpStream::connect(target.address()).unwrap();
        stream.write_all(b"GET /bytes/2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("\r\n\r\nxx"), "{answer}");
        assert_eq!((target.ledger().complete(), target.last().path.as_str()), (1, "/bytes/2"));
        target.stop();
        assert!(TcpStream::connect(target.address()).is_err());
    }
}
