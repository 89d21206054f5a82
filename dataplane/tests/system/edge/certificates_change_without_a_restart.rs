//! A listener's certificate can be replaced while the node runs; a bad replacement changes nothing.

use std::sync::Arc;

use lgsp_testkit::certificate::{Authority, Certificate};
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{DEADLINE, target};

/// What the node shows: its certificate and the protocol it chose among those offered.
async fn shown(node: &Node, authority: &Authority, alpn: &[&str]) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(node.listener(1)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let (_, session) = tls.get_ref();
    (session.peer_certificates().unwrap()[0].to_vec(), session.alpn_protocol().map(<[u8]>::to_vec))
}

fn der(certificate: &Certificate) -> Vec<u8> {
    CertificateDer::from_pem_slice(certificate.cert_pem.as_bytes()).unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pair_is_shown_and_a_bad_one_is_reported_and_left_alone() {
    let (authority, target) = (Authority::new("LGSP test"), target().await);
    let resources = Resources::usual(&[target.address()]);
    let builder = Node::new(&resources);
    let directory = builder.directory().to_owned();
    let first = authority.issue(&["localhost"]);
    let files = first.write(&directory, "listener");
    let tls = json!({"address": "127.0.0.1:0", "tls": {"certificate": files.cert, "key": files.key}});
    let node = builder.with(|settings| settings["listeners"].as_array_mut().unwrap().push(tls)).start().await;

    let (certificate, protocol) = shown(&node, &authority, &["h2", "http/1.1"]).await;
    assert_eq!((certificate, protocol.as_deref()), (der(&first), Some(&b"h2"[..])));
    assert_eq!(shown(&node, &authority, &["http/1.1"]).await.1.as_deref(), Some(&b"http/1.1"[..]));

    let foreign = authority.issue(&["localhost"]);
    std::fs::write(&files.key, &foreign.key_pem).unwrap();
    node.child.wait_for_line("the new certificate is unusable", DEADLINE);
    assert_eq!(shown(&node, &authority, &[]).await.0, der(&first));

    let second = authority.issue(&["localhost"]);
    second.write(&directory, "listener");
    eventually(DEADLINE, "the second certificate is shown", async || {
        shown(&node, &authority, &[]).await.0 == der(&second)
    })
    .await;
}
