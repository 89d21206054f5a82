//! `echo`: the target service as a program.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio_rustls::rustls;

use crate::echo::{Echo, Ledger, PlatformVerifier, Pressure, Settings, Stall, TokenBucket};
use crate::scenario::{Rate, Span};

/// The burst of `--limit`, as a share of what it lets through in a second.
const BURST_SHARE: f64 = 0.02;

#[derive(Debug, Args)]
pub(super) struct EchoArgs {
    /// Where to listen; port 0 takes a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "IP:PORT")]
    listen: SocketAddr,
    /// Write the address here once listening.
    #[arg(long, value_name = "FILE")]
    address_file: Option<PathBuf>,
    /// Speak TLS with this certificate chain (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of `--tls-cert` (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Answer 403 to what the platform has not signed with the credential in this file, as `lgspctl credential issue
    /// --save` writes it. May be repeated: during a rotation a target has two.
    #[arg(long, value_name = "FILE")]
    verify_secret_file: Vec<PathBuf>,
    /// Append one JSON line per request: its head, how many bytes came, their SHA-256, and whether it was complete.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Keep this many requests in memory, to be read at `/requests`.
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    keep: usize,
    /// Answer 503 to what exceeds this rate.
    #[arg(long, value_name = "RATE")]
    limit: Option<Rate>,
    /// Requests that may exceed `--limit` at once; by default a fiftieth of a second's.
    #[arg(long, value_name = "COUNT", requires = "limit")]
    limit_burst: Option<f64>,
    /// Answer nothing for a while, so long after the first request.
    #[arg(long, value_name = "TIME", requires = "stall_for")]
    stall_after: Option<Span>,
    /// How long `--stall-after` lasts.
    #[arg(long, value_name = "TIME", requires = "stall_after")]
    stall_for: Option<Span>,
    /// Wait before every answer.
    #[arg(long, value_name = "TIME")]
    delay: Option<Span>,
}

/// Serves until Ctrl-C.
pub(super) fn echo(args: EchoArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("the system gave no runtime")?.block_on(serve(args))
}

fn pressure(args: &EchoArgs) -> Pressure {
    let bucket =
        args.limit.map(|Rate(rate)| TokenBucket::new(rate, args.limit_burst.unwrap_or(rate * BURST_SHARE).max(1.0)));
    let stall = args.stall_after.zip(args.stall_for).map(|(Span(after), Span(length))| Stall::new(after, length));
    Pressure { bucket, stall, delay: args.delay.map_or(Duration::ZERO, |Span(delay)| delay) }
}

async fn serve(args: EchoArgs) -> anyhow::Result<()> {
    let pressure = pressure(&args);
    let EchoArgs { listen, address_file, tls_cert, tls_key, verify_secret_file, log, keep, .. } = args;
    let mut ledger = Ledger::default().keeping(keep);
    if let Some(path) = &log {
        let file = File::options().create(true).append(true).open(path);
        ledger = ledger.logging_to(file.with_context(|| format!("opening the log `{}`", path.display()))?);
    }
    let verifier = PlatformVerifier::from_files(&verify_secret_file)?;
    let mut echo = Echo::bind(listen, Settings { ledger, verifier, pressure })
        .await
        .with_context(|| format!("listening on {listen}; choose another `--listen`, or port 0 for a free one"))?;
    if let (Some(cert), Some(key)) = (&tls_cert, &tls_key) {
        echo = echo.with_tls(tls_config(cert, key)?.into());
    }
    let address = echo.address()?;
    if let Some(path) = &address_file {
        write_whole(path, &format!("{address}\n"))?;
    }
    println!("listening on {address}");
    tokio::select! {
        served = echo.serve() => served.context("accepting connections"),
        signal = tokio::signal::ctrl_c() => signal.context("waiting for Ctrl-C"),
    }
}

/// Whoever waits for the file never reads half of it.
fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    std::fs::write(&part, text)
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("writing `{}`", path.display()))
}

fn tls_config(cert: &Path, key: &Path) -> anyhow::Result<rustls::ServerConfig> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .with_context(|| format!("reading certificates from `{}`", cert.display()))?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("reading a key from `{}`", key.display()))?;
    let provider = rustls::crypto::ring::default_provider();
    let mut config = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the certificate and the key do not belong together")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
