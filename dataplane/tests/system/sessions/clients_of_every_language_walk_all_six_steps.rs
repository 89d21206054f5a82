use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use lgsp_shared::seal::Secret;
use lgsp_testkit::client::Identity;
use lgsp_testkit::program::{installed, workspace_root};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// The worked examples of `shared/clients`.
#[derive(Debug, Clone, Copy)]
enum Language {
    Python,
    JavaScript,
    Java,
    C,
    Shell,
}

/// A client ready to run, and what it is given.
struct Program {
    command: Vec<PathBuf>,
    identity: Identity,
    _room: tempfile::TempDir,
}

impl Language {
    fn program(self, identity: Identity) -> Program {
        let source = |file: &str| workspace_root().join("shared/clients").join(file);
        let room = tempfile::tempdir().unwrap();
        let command = match self {
            Language::Python => vec![installed("python3"), source("python/lgsp.py")],
            Language::JavaScript => vec![installed("node"), source("javascript/lgsp.mjs")],
            Language::Java => {
                compile(Command::new(installed("javac")).arg("-d").arg(room.path()).arg(source("java/Lgsp.java")));
                vec![installed("java"), "-cp".into(), room.path().to_owned(), "Lgsp".into()]
            }
            Language::C => {
                let binary = room.path().join("lgsp");
                let warnings = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-o"];
                compile(Command::new(installed("gcc")).args(warnings).arg(&binary).arg(source("c/lgsp.c")));
                vec![binary]
            }
            Language::Shell => vec![installed("bash"), source("shell/lgsp.sh")],
        };
        Program { command, identity, _room: room }
    }
}

fn compile(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Program {
    fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let (program, first) = self.command.split_first().unwrap();
        let mut command = Command::new(program);
        command.args(first).args(arguments).env("no_proxy", "*");
        command.env("LGSP_ACCESS_KEY", self.identity.access_key.as_str());
        command.env("LGSP_SECRET_KEY", std::str::from_utf8(self.identity.secret.expose()).unwrap());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A client that does not read its input closes it.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Runs where blocking is allowed: the node's answers come to this test's own runtime too.
async fn run(program: std::sync::Arc<Program>, arguments: Vec<String>, input: Vec<u8>) -> Output {
    let call = move || program.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &input);
    tokio::task::spawn_blocking(call).await.unwrap()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// One request, head and body, as it arrives.
async fn read_request(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the request is whole");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some(end) = text.find("\r\n\r\n") else { continue };
        let length = text[..end].to_ascii_lowercase().lines().find_map(|line| {
            line.strip_prefix("content-length:").map(|length| length.trim().parse::<usize>().unwrap())
        });
        if bytes.len() >= end + 4 + length.unwrap_or(0) {
            return bytes;
        }
    }
}

/// A target that asks the platform, with this client, before it serves; answers who was calling.
async fn direct_target(platform: String, verifier: std::sync::Arc<Program>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            let asked = words(&["verify", &platform, "ho-tich"]);
            let (code, said, why) = told(&run(verifier.clone(), asked, request).await);
            let (status, body) = if code == Some(0) { ("200 OK", said) } else { ("403 Forbidden", why) };
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

/// Answers everything with a verdict nobody signed.
async fn forger(signed: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            let body = r#"{"verdict":"accepted","source":"mot-cua"}"#;
            let covers = r#"("@status" "content-digest" "@method";req "@authority";req "@path";req "signature";req)"#;
            let input = if signed {
                format!(
                    "signature-input: lgsp={covers};created=1;keyid=\"x\"\r\nsignature: lgsp=:{}:\r\n",
                    "A".repeat(43) + "="
                )
            } else {
                String::new()
            };
            let answer =
                format!("HTTP/1.1 200 OK\r\n{input}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

const BODY: &str = r#"{"ten": "Nguyễn"}"#;
/// `printf '{"ten": "Nguyễn"}' | openssl dgst -sha256 -binary | openssl base64`
const BODY_DIGEST: &str = "sha-256=:ZEW0iT0Yvex8rHTl+t/PMHJuvef8WODYFJbLYL1c5yw=:";

async fn walks_all_six_steps(language: Language) {
    let stand = stand(Face::Http1).await;
    let platform = format!("http://{}", stand.node.address());
    let program = |system: &str| std::sync::Arc::new(language.program(stand.resources.identity(system)));
    let (source, target) = (program("mot-cua"), program("tu-phap"));
    let body = stand.node.directory().join("body.json");
    std::fs::write(&body, BODY).unwrap();
    let body = body.display().to_string();

    // Through the platform: steps 1 to 3 by the client, 4 to 6 by the node.
    let url = format!("{platform}/ho-tich/bytes/5?nam=2026&ten=Nguy%E1%BB%85n");
    let output = run(source.clone(), words(&["call", &platform, "ho-tich", "GET", &url]), Vec::new()).await;
    assert_eq!(told(&output), (Some(0), "xxxxx".into(), String::new()), "{language:?}");
    assert_eq!(stand.target.last().query.as_deref(), Some("nam=2026&ten=Nguy%E1%BB%85n"));
    let url = format!("{platform}/ho-tich/sink/1");
    let output = run(source.clone(), words(&["call", &platform, "ho-tich", "POST", &url, &body]), Vec::new()).await;
    assert_eq!(output.status.code(), Some(0), "{language:?}: {:?}", told(&output));
    let seen = stand.target.last();
    assert_eq!((seen.method.as_str(), seen.body_bytes, seen.complete), ("POST", 19, true), "{seen:?}");

    // Directly: all six steps by the two clients.
    let direct = direct_target(platform.clone(), target).await;
    for extra in [&[][..], &[body.as_str()][..]] {
        let url = format!("http://{direct}/khai-sinh/1?a=1");
        let method = if extra.is_empty() { "GET" } else { "POST" };
        let arguments = [&["call", &platform, "ho-tich", method, &url], extra].concat();
        let output = run(source.clone(), words(&arguments), Vec::new()).await;
        let digest = if extra.is_empty() { "no-body" } else { BODY_DIGEST };
        let expected = (Some(0), format!("accepted mot-cua {digest}\n"), String::new());
        assert_eq!(told(&output), expected, "{language:?} {method}: whose request, and which body belongs to it");
    }
}

async fn says_what_is_wrong(language: Language) {
    let stand = stand(Face::Http1).await;
    let platform = format!("http://{}", stand.node.address());
    let (me, other) = (stand.resources.identity("mot-cua"), stand.resources.identity("tu-phap"));
    let wrong = Identity { secret: Secret::new(b"0123456789abcdef0123456789abcdef".to_vec()), ..me.clone() };
    let url = format!("{platform}/ho-tich/bytes/5");
    for (identity, code) in [(wrong, "signature-invalid"), (other.clone(), "permission-missing")] {
        let program = std::sync::Arc::new(language.program(identity));
        let output = run(program, words(&["call", &platform, "ho-tich", "GET", &url]), Vec::new()).await;
        let (status, _, why) = told(&output);
        assert!(status == Some(1) && why.contains(code), "{language:?}: {output:?}");
    }
    let target = std::sync::Arc::new(language.program(other));
    let unsigned = b"GET /khai-sinh/1 HTTP/1.1\r\nhost: x\r\n\r\n".to_vec();
    let output = run(target.clone(), words(&["verify", &platform, "ho-tich"]), unsigned.clone()).await;
    let (status, _, why) = told(&output);
    assert!(status == Some(1) && why.contains("session-unknown"), "{language:?}: {output:?}");
    for signed in [false, true] {
        let forger = format!("http://{}", forger(signed).await);
        let output = run(target.clone(), words(&["verify", &forger, "ho-tich"]), unsigned.clone()).await;
        assert_eq!(output.status.code(), Some(2), "{language:?} believes a forged verdict: {output:?}");
    }
}

macro_rules! clients {
    ($($name:ident: $language:ident;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn walks_all_six_steps() {
                super::walks_all_six_steps(Language::$language).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn says_what_is_wrong_and_believes_no_forged_verdict() {
                super::says_what_is_wrong(Language::$language).await;
            }
        }
    )*};
}

clients! {
    python: Python;
    javascript: JavaScript;
    java: Java;
    c: C;
    shell: Shell;
}

#[test]
fn every_client_is_tried() {
    let folders = std::fs::read_dir(workspace_root().join("shared/clients")).unwrap();
    let folders = folders.filter_map(|entry| entry.unwrap().file_type().unwrap().is_dir().then_some(())).count();
    assert_eq!(folders, 5, "a client without a test rots");
    assert!(workspace_root().join("shared/clients/guide.vi.md").exists());
}

/// What stands between fences marked `sh`, in order.
fn commands(guide: &str) -> String {
    let text = std::fs::read_to_string(workspace_root().join("shared/clients").join(guide)).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_connection_guide_runs() {
    let (english, vietnamese) = (commands("guide.en.md"), commands("guide.vi.md"));
    assert_eq!(english, vietnamese, "both guides give the same commands");
    let stand = stand(Face::Http1).await;
    let room = tempfile::tempdir().unwrap();
    // The folder of the clients, so that nothing is written into the checkout.
    for folder in ["python", "javascript", "java", "c", "shell"] {
        std::os::unix::fs::symlink(workspace_root().join("shared/clients").join(folder), room.path().join(folder))
            .unwrap();
    }
    let mut command = Command::new(installed("bash"));
    command.args(["-euo", "pipefail", "-c", &english]).current_dir(room.path()).env("no_proxy", "*");
    command.env("PLATFORM", format!("http://{}", stand.node.address())).env("SERVICE", "ho-tich");
    for (system, prefix) in [("mot-cua", "LGSP"), ("tu-phap", "TARGET")] {
        let Identity { access_key, secret } = stand.resources.identity(system);
        command.env(format!("{prefix}_ACCESS_KEY"), access_key.as_str());
        command.env(format!("{prefix}_SECRET_KEY"), std::str::from_utf8(secret.expose()).unwrap());
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (code, said, why) = told(&output);
    assert_eq!(code, Some(0), "{said}\n{why}");
    assert_eq!(said.matches("refused: exit status 1").count(), 2, "{said}\n{why}");
    assert!(said.contains("do not serve it: exit status 1") && why.contains("session-unknown"), "{said}\n{why}");
    for code in ["permission-missing", "signature-invalid"] {
        assert!(why.contains(code), "{why}");
    }
    let bodies =
        stand.target.ledger().seen().iter().filter(|seen| seen.method == "POST" && seen.body_bytes == 27).count();
    assert_eq!(bodies, 5, "each client sent the file");
}
