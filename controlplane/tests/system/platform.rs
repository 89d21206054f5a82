//! A control plane of the test's own, and its command line.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use lgsp_shared::bundle::Bundle;
use lgsp_shared::seal::Secret;
use lgsp_testkit::child::{Child, Signal};
use lgsp_testkit::client::Identity;
use lgsp_testkit::eventually::{eventually, eventually_some};
use lgsp_testkit::node::Node;
use lgsp_testkit::postgres::{PASSWORD, Postgres};
use lgsp_testkit::resources::{KEY_TEXT, Resources};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Nothing here takes this long unless it hangs.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Two agencies' worth of resources that belong together.
pub const RESOURCES: &str = "\
kind: Agency
name: so-tu-phap
spec: {code: 000.00.12.H61, title: Sở Tư pháp}
---
kind: System
name: ho-tich
spec: {agency: so-tu-phap, title: Hộ tịch điện tử}
---
kind: Service
name: khai-sinh
spec: {system: ho-tich, title: Khai sinh, endpoints: [{address: '127.0.0.1:9001'}]}
---
kind: Route
name: khai-sinh
spec: {service: khai-sinh, path: {prefix: /khai-sinh}}
---
kind: Permission
name: tra-cuu
spec: {source: ho-tich, service: khai-sinh, methods: [GET], paths: [/khai-sinh]}
";

/// Another agency with a system and a service.
pub const OTHERS: &str = "\
kind: Agency
name: so-y-te
spec: {code: 000.00.13.H61, title: Sở Y tế}
---
kind: System
name: benh-an
spec: {agency: so-y-te, title: Bệnh án điện tử}
---
kind: Service
name: benh-an
spec: {system: benh-an, title: Bệnh án, endpoints: [{address: '127.0.0.1:9002'}]}
";

/// The `publish` setting for a file.
pub const BUNDLE: &str = "publish: {bundle: bundle.json}\n";

/// A server in a directory of its own.
pub struct Platform {
    directory: TempDir,
    server: Option<Child>,
    systems_need_approval: bool,
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl Platform {
    /// Starts a server that publishes to a bundle.
    pub async fn start() -> Self {
        Self::start_with(BUNDLE).await
    }

    /// Starts a server with this `publish` setting, where whoever applies a system's document approves it by that.
    pub async fn start_with(publish: &str) -> Self {
        Self::start_on("database: cp.db\n", publish).await
    }

    /// Starts a server with these `database` and `publish` settings.
    pub async fn start_on(database: &str, publish: &str) -> Self {
        Self::prepare(database, publish).begin().await
    }

    /// The same as it is by default: keys only for systems that were approved.
    pub async fn start_careful(database: &str, publish: &str) -> Self {
        Self { systems_need_approval: true, ..Self::prepare(database, publish) }.begin().await
    }

    async fn begin(mut self) -> Self {
        let made = self.server_command(&["init-key", "seal.key"]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        self.restart().await;
        self
    }

    /// As [`Self::start_on`], with the sealing key of the test kit's resources and nodes.
    pub async fn start_for_nodes(database: &str, publish: &str) -> Self {
        let mut platform = Self::prepare(database, publish);
        platform.write("seal.key", KEY_TEXT);
        std::fs::set_permissions(platform.path("seal.key"), PermissionsExt::from_mode(0o600)).unwrap();
        platform.restart().await;
        platform
    }

    /// Starts a server with the settings, sealing key and operator of `other`.
    pub async fn start_beside(other: &Self) -> Self {
        let mut platform = Self { systems_need_approval: other.systems_need_approval, ..Self::prepare("", "") };
        for name in ["cp.yaml", "seal.key", "token", "db.password"] {
            // Copies keep the mode; a SQLite database has no password.
            let _ = std::fs::copy(other.path(name), platform.path(name));
        }
        platform.restart().await;
        platform
    }

    /// The settings of a PostgreSQL server: its password comes from a file.
    pub fn postgres(server: &Postgres) -> String {
        format!("database: {}\ndatabase_password_file: db.password\n", server.address())
    }

    /// Replaces the settings; they count from the next start.
    pub fn settings(&self, database: &str, publish: &str) {
        self.write("cp.yaml", &format!("listen: 127.0.0.1:0\nkey_file: seal.key\n{database}{publish}"));
    }

    fn prepare(database: &str, publish: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = format!("listen: 127.0.0.1:0\nkey_file: seal.key\n{database}{publish}");
        std::fs::write(directory.path().join("cp.yaml"), settings).unwrap();
        let password = directory.path().join("db.password");
        std::fs::write(&password, PASSWORD).unwrap();
        std::fs::set_permissions(&password, PermissionsExt::from_mode(0o600)).unwrap();
        Self { directory, server: None, systems_need_approval: false }
    }

    /// Starts the server again in the same directory.
    pub async fn restart(&mut self) {
        let _ = std::fs::remove_file(self.path("address"));
        let arguments = ["--config", "cp.yaml", "--address-file", "address", "--token-file", "token"];
        self.server = Some(Child::spawn("lgsp-controlplane", &mut self.server_command(&arguments)));
        eventually_some(DEADLINE, "the server listens", async || self.address()).await;
    }

    /// A command of the server's program, in its directory.
    pub fn server_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lgsp-controlplane"));
        let need_approval = self.systems_need_approval.to_string();
        command.current_dir(self.directory.path()).args(arguments);
        command.env("LGSP_CONTROLPLANE_SYSTEMS_NEED_APPROVAL", need_approval);
        command
    }

    /// Ends the server as a power cut would.
    pub fn kill(&mut self) {
        self.server.take().unwrap().kill();
    }

    /// Asks the server to end and returns its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let mut server = self.server.take().unwrap();
        server.signal(Signal::Terminate);
        server.wait(DEADLINE).code()
    }

    /// Sends the server a signal.
    pub fn signal(&self, signal: Signal) {
        self.server.as_ref().unwrap().signal(signal);
    }

    /// What the server wrote.
    pub fn log(&self) -> String {
        self.server.as_ref().unwrap().output()
    }

    /// The server's limits on core dumps, soft and hard.
    pub fn core_limits(&self) -> String {
        core_limits(&self.server.as_ref().unwrap().id().to_string())
    }

    fn address(&self) -> Option<String> {
        std::fs::read_to_string(self.path("address")).ok()
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address().unwrap())
    }

    /// A file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file into the directory.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The key that `--save` wrote to a file.
    pub fn identity(&self, key_file: &str) -> Identity {
        let text = std::fs::read_to_string(self.path(key_file)).unwrap();
        let saved = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let secret = Secret::new(saved("LGSP_SECRET_KEY=").as_bytes().to_vec());
        Identity { access_key: saved("LGSP_ACCESS_KEY=").parse().unwrap(), secret }
    }

    /// A command line in the directory, with the operator's token.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lgspctl"));
        command.current_dir(self.directory.path()).args(arguments);
        command.env_remove("LGSPCTL_TOKEN").env("LGSPCTL_TOKEN_FILE", "token");
        command.env("LGSPCTL_SERVER", self.url());
        command
    }

    /// Runs `lgspctl`.
    pub fn run(&self, arguments: &[&str]) -> Done {
        Done::from(self.command(arguments).output().unwrap())
    }

    /// Runs `lgspctl` as somebody with a session of their own; `input` answers its questions.
    pub fn run_as(&self, who: &str, arguments: &[&str], input: &str) -> Done {
        let mut command = self.command(arguments);
        command.env_remove("LGSPCTL_TOKEN_FILE").env("LGSPCTL_SESSIONS", self.path(&format!("{who}.sessions")));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that asks nothing may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Done::from(child.wait_with_output().unwrap())
    }

    /// The same; it must succeed, and what it wrote is returned.
    pub fn ok_as(&self, who: &str, arguments: &[&str], input: &str) -> String {
        let done = self.run_as(who, arguments, input);
        assert_eq!(done.code, 0, "lgspctl {arguments:?} as {who}: {done:?}");
        done.out
    }

    /// Adds an operator, logs in as them, and has them choose this password.
    pub fn join(&self, name: &str, arguments: &[&str], password: &str) {
        let made = self.json(&[&["operator", "add", name], arguments].concat());
        let given = made["password"].as_str().unwrap();
        self.ok_as(name, &["login", name], &format!("{given}\n"));
        self.ok_as(name, &["password"], &format!("{given}\n{password}\n"));
    }

    /// Runs `lgspctl`, which must succeed, and returns what it wrote.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, 0, "lgspctl {arguments:?}: {done:?}");
        done.out
    }

    /// Runs `lgspctl -o json`, which must succeed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["-o", "json"]].concat())).unwrap()
    }

    /// Applies documents, which must succeed.
    pub fn apply(&self, documents: &str) {
        self.write("apply.yaml", documents);
        self.ok(&["apply", "-f", "apply.yaml"]);
    }

    /// Waits until the bundle holds `revision`, and returns it.
    pub async fn bundle(&self, revision: u64) -> Bundle {
        eventually_some(DEADLINE, "the revision is in the bundle", async || {
            let bundle = Bundle::parse(&std::fs::read(self.path("bundle.json")).ok()?).unwrap();
            (bundle.revision.0 == revision).then_some(bundle)
        })
        .await
    }

    /// A node that follows this server's bundle with its key; it serves the current revision when this returns.
    pub async fn node(&self, name: &str) -> Node {
        let builder = Node::new(&Resources::new()).with(|settings| {
            settings["node"] = json!(name);
            settings["source"] = json!({"bundle": {"file": self.path("bundle.json")}});
            settings["key_file"] = json!(self.path("seal.key"));
        });
        let node = builder.start().await;
        self.arrived(&node).await;
        node
    }

    /// Waits until the node serves the current revision.
    pub async fn arrived(&self, node: &Node) {
        let revision = Some(self.revision());
        eventually(DEADLINE, "the node serves the revision", async || node.revision().await == revision).await;
    }

    /// The revision that is current.
    pub fn revision(&self) -> u64 {
        self.json(&["history", "--limit", "1"])["current"].as_u64().unwrap()
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The limits on core dumps of a process, soft and hard, as the kernel says them.
pub fn core_limits(process: &str) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    line.split_ascii_whitespace().skip(4).take(2).collect::<Vec<_>>().join(" ")
}

/// An agency as a document.
pub fn agency(name: &str, title: &str) -> String {
    // A code of the agency's own: its name in groups of three.
    let letters: Vec<char> = name.to_uppercase().chars().filter(char::is_ascii_alphanumeric).collect();
    let groups: Vec<String> = letters.chunks(3).map(|group| group.iter().collect()).collect();
    format!("kind: Agency\nname: {name}\nspec: {{code: H61.{}, title: {title}}}\n", groups.join("."))
}
