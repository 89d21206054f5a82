//! Targets on the HTTP servers that agencies run: Node.js, Python, Java and nginx, each as its users write one.
//!
//! All answer the same paths: `/chunked/N` sends N bytes in one piece without announcing a length, `/length/N` announces
//! it, and `POST /sink` reads a body and answers. None ever closes a connection by itself, so that an answer which ends
//! only with its connection is noticed.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::child::Child;
use crate::port::free_port;
use crate::program::installed;

/// How long a server may take to start; a Java one compiles itself first.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// The sizes of file that nginx has; the other servers make any.
pub const SIZES: [usize; 8] = [1, 4_096, 4_097, 5_000, 16_384, 65_536, 100_000, 300_000];

/// Somebody else's HTTP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignServer {
    /// Node.js, module `http`.
    Node,
    /// Python, module `http.server`.
    Python,
    /// Java, `com.sun.net.httpserver`.
    Java,
    /// nginx with files; it makes chunks where server-side includes leave no length.
    Nginx,
}

impl ForeignServer {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Node, Self::Python, Self::Java, Self::Nginx];
}

/// One of them, running; killed when dropped.
#[derive(Debug)]
pub struct ForeignTarget {
    address: SocketAddr,
    _child: Child,
    _room: TempDir,
}

impl ForeignTarget {
    /// Starts it; it listens when this returns.
    pub fn start(server: ForeignServer) -> Self {
        let room = tempfile::tempdir().expect("a temporary directory");
        let (child, address) = match server {
            ForeignServer::Node => announced("node", script(&room, "target.mjs", NODE, "node")),
            ForeignServer::Python => announced("python3", script(&room, "target.py", PYTHON, "python3")),
            ForeignServer::Java => announced("java", script(&room, "Target.java", JAVA, "java")),
            ForeignServer::Nginx => nginx(room.path()),
        };
        Self { address, _child: child, _room: room }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn script(room: &TempDir, file: &str, text: &str, interpreter: &str) -> Command {
    let path = room.path().join(file);
    std::fs::write(&path, text).expect("the script");
    let mut command = Command::new(installed(interpreter));
    command.arg(path);
    command
}

/// A server that chooses its port writes `port N`.
fn announced(name: &str, mut command: Command) -> (Child, SocketAddr) {
    let child = Child::spawn(name, &mut command);
    let line = child.wait_for_line("port ", START_DEADLINE);
    let port: u16 = line.trim().trim_start_matches("port ").parse().expect("a port");
    (child, ([127, 0, 0, 1], port).into())
}

fn nginx(room: &Path) -> (Child, SocketAddr) {
    let files = room.join("files");
    std::fs::create_dir(&files).expect("a folder for files");
    for size in SIZES {
        std::fs::write(files.join(size.to_string()), vec![b'x'; size]).expect("a file");
    }
    let port = free_port();
    let text = NGINX.replace("@ROOM@", &room.display().to_string()).replace("@PORT@", &port.to_string());
    std::fs::write(room.join("nginx.conf"), text).expect("the settings");
    let mut command = Command::new(installed("nginx"));
    command.arg("-p").arg(room).arg("-c").arg(room.join("nginx.conf")).args(["-e", "stderr"]);
    let child = Child::spawn("nginx", &mut command);
    let address = ([127, 0, 0, 1], port).into();
    let end = std::time::Instant::now() + START_DEADLINE;
    while std::net::TcpStream::connect(address).is_err() {
        assert!(std::time::Instant::now() < end, "nginx does not listen:\n{}", child.output());
        std::thread::sleep(Duration::from_millis(10));
    }
    (child, address)
}

const NODE: &str = r"
import http from 'node:http';
const server = http.createServer((request, response) => {
  const [, kind, size] = request.url.split('/');
  request.resume().on('end', () => {
    const body = Buffer.alloc(Number(size ?? 2), 'x');
    if (kind !== 'chunked') response.setHeader('Content-Length', body.length);
    response.write(body);
    response.end();
  });
});
server.keepAliveTimeout = 0;
server.requestTimeout = 0;
server.listen(0, '127.0.0.1', () => console.log('port ' + server.address().port));
";

const PYTHON: &str = r"
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Target(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def answer(self):
        _, kind, *size = self.path.split('/')
        body = b'x' * int(size[0] if size else 2)
        self.send_response(200)
        if kind == 'chunked':
            self.send_header('Transfer-Encoding', 'chunked')
            framed = b'%x\r\n%b\r\n0\r\n\r\n' % (len(body), body)
        else:
            self.send_header('Content-Length', str(len(body)))
            framed = body
        self.end_headers()
        self.wfile.write(framed)

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        self.answer()

    def log_message(self, *arguments):
        pass

server = ThreadingHTTPServer(('127.0.0.1', 0), Target)
print('port', server.server_port, flush=True)
server.serve_forever()
";

const JAVA: &str = r#"
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.Arrays;
import java.util.concurrent.Executors;

public class Target {
    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", exchange -> {
            String[] parts = exchange.getRequestURI().getPath().split("/");
            exchange.getRequestBody().readAllBytes();
            byte[] body = new byte[parts.length > 2 ? Integer.parseInt(parts[2]) : 2];
            Arrays.fill(body, (byte) 'x');
            // A length of 0 asks for chunks.
            exchange.sendResponseHeaders(200, parts[1].equals("chunked") ? 0 : body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
        System.out.println("port " + server.getAddress().getPort());
    }
}
"#;

const NGINX: &str = r"
daemon off;
worker_processes 1;
pid @ROOM@/nginx.pid;
error_log stderr;
events { worker_connections 64; }
http {
    access_log off;
    keepalive_timeout 600s;
    client_body_temp_path @ROOM@/body;
    proxy_temp_path @ROOM@/proxy;
    fastcgi_temp_path @ROOM@/fastcgi;
    uwsgi_temp_path @ROOM@/uwsgi;
    scgi_temp_path @ROOM@/scgi;
    server {
        listen 127.0.0.1:@PORT@;
        location /length/ { alias @ROOM@/files/; }
        location /chunked/ { alias @ROOM@/files/; ssi on; ssi_types *; }
        location /sink { return 200 'ok'; }
    }
}
";
