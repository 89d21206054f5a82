//! A proxy made of nothing but pingora-proxy: no authentication, no routing, no records. What our own costs are beside.
//! It speaks HTTP/1.1, and HTTP/2 to those that begin with it.
//!
//! Usage: `bare_pingora LISTEN TARGET`, such as `bare_pingora 127.0.0.1:9200 127.0.0.1:9100`. One worker.
#![allow(clippy::expect_used, reason = "a tool of the benches: what is wrong with its arguments is said by ending")]

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::apps::HttpServerOptions;
use pingora_core::server::Server;
use pingora_core::server::configuration::{Opt, ServerConf};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

/// As many as the comparison has connections, so that nobody connects anew for want of room.
const KEPT_CONNECTIONS: usize = 2_048;

struct Bare {
    target: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> pingora_core::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.target, false, String::new())))
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().expect("the first argument is where to listen");
    let target = arguments.next().and_then(|text| text.parse().ok()).expect("the second argument is the target");
    let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: KEPT_CONNECTIONS, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(Opt::default(), conf);
    server.bootstrap();
    let mut service = http_proxy_service(&Arc::clone(&server.configuration), Bare { target });
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    service.app_logic_mut().expect("a new service has its application").server_options = Some(options);
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever();
}
