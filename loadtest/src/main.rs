//! `lgsp-loadtest`: the command line.
#![allow(clippy::print_stdout)]

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use lgsp_loadtest::echo::{Echo, Ledger, PlatformVerifier, Settings};
use tokio_rustls::rustls;

/// Targets and load for an LGSP platform.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a target service that echoes, sinks, serves bytes, delays and fails on demand.
    Echo(EchoArgs),
}

#[derive(Debug, Args)]
struct EchoArgs {
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
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Echo(args) => echo(args).await,
    }
}

async fn echo(args: EchoArgs) -> anyhow::Result<()> {
    let EchoArgs { listen, address_file, tls_cert, tls_key, verify_secret_file, log, keep } = args;
    let mut ledger = Ledger::default().keeping(keep);
    if let Some(path) = &log {
        let file = File::options().create(true).append(true).open(path);
        ledger = ledger.logging_to(file.with_context(|| format!("opening the log `{}`", path.display()))?);
    }
    let verifier = PlatformVerifier::from_files(&verify_secret_file)?;
    let mut echo = Echo::bind(listen, Settings { ledger, verifier })
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
