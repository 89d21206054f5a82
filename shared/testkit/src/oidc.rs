//! A real OpenID Connect provider: npm's `oidc-provider`, pinned, installed once per checkout; and a person with a browser.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::certificate::Authority;
use crate::child::Child;
use crate::program::{installed, workspace_root};

const PACKAGE: &str = include_str!("../oidc-provider/package.json");
const LOCK: &str = include_str!("../oidc-provider/package-lock.json");
const PROGRAM: &str = include_str!("../oidc-provider/provider.mjs");
const START_WAIT: Duration = Duration::from_secs(30);

/// A running provider.
#[derive(Debug)]
pub struct OidcProvider {
    issuer: String,
    _child: Child,
}

impl OidcProvider {
    /// Starts one that knows this client; with a secret where one is given.
    pub fn start(client_id: &str, client_secret: Option<&str>) -> Self {
        let mut command = Command::new(installed("node"));
        command.current_dir(directory()).arg("provider.mjs").arg(client_id).args(client_secret);
        Self::spawn(&mut command)
    }

    /// Starts one that speaks HTTPS as `127.0.0.1` with a certificate of this authority.
    pub fn start_https(client_id: &str, authority: &Authority) -> Self {
        let files = TempDir::new().expect("a temporary directory");
        let certificate = authority.issue(&["127.0.0.1"]).write(files.path(), "provider");
        let mut command = Command::new(installed("node"));
        command.current_dir(directory()).arg("provider.mjs").arg(client_id);
        // Both are read before it listens.
        Self::spawn(command.env("PROVIDER_CERT", certificate.cert).env("PROVIDER_KEY", certificate.key))
    }

    fn spawn(command: &mut Command) -> Self {
        let child = Child::spawn("oidc-provider", command);
        let line = child.wait_for_line("issuer http", START_WAIT);
        let issuer = line.trim_start_matches("issuer ").trim().to_owned();
        Self { issuer, _child: child }
    }

    /// What it calls itself.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Lets it sign with other keys from now on.
    pub fn rotate_keys(&self) {
        let rotate = format!("{}/rotate", self.issuer);
        run(curl().args(["-X", "POST", &rotate]));
    }

    /// What a person does who opens `url` in a browser: logs in as `login`, agrees, and follows to where that leads.
    /// Returns the last page.
    pub fn log_in(&self, url: &str, login: &str) -> String {
        let jar = TempDir::new().expect("a temporary directory");
        let jar = jar.path().join("cookies");
        let form = self.follow(&jar, &[url]).1;
        let name = format!("login={login}");
        let typed = ["-d", "prompt=login", "--data-urlencode", &name, "-d", "password=x", &form];
        let (_, consent) = self.follow(&jar, &typed);
        self.follow(&jar, &["-d", "prompt=consent", &consent]).0
    }

    /// The page at the end of all redirects, and its address.
    fn follow(&self, jar: &Path, arguments: &[&str]) -> (String, String) {
        let mut command = curl();
        command.arg("-L").arg("-b").arg(jar).arg("-c").arg(jar).args(["-w", "\n%{url_effective}"]).args(arguments);
        let answer = run(&mut command);
        let (page, address) = answer.rsplit_once('\n').expect("the address is the last line");
        (page.to_owned(), address.to_owned())
    }
}

fn curl() -> Command {
    let mut command = Command::new(installed("curl"));
    // The person of the test believes any certificate; whether the control plane does is what is tried.
    command.args(["--silent", "--show-error", "--insecure", "--max-time", "30", "--noproxy", "*"]);
    command
}

/// The directory that holds the program and its packages. The first caller makes it, in `.local/oidc-provider`, from the
/// registry npm is configured for; others wait for it.
fn directory() -> PathBuf {
    let local = workspace_root().join(".local");
    std::fs::create_dir_all(&local).expect("`.local` can be made");
    let lock = File::create(local.join("oidc-provider.lock")).expect("the lock file can be made");
    lock.lock().expect("the lock can be taken");
    let (directory, made_from) = (local.join("oidc-provider"), format!("{LOCK}{PROGRAM}"));
    let mark = directory.join("made-from.txt");
    if std::fs::read_to_string(&mark).is_ok_and(|text| text == made_from) {
        return directory;
    }
    std::fs::create_dir_all(&directory).expect("the directory can be made");
    for (name, text) in [("package.json", PACKAGE), ("package-lock.json", LOCK), ("provider.mjs", PROGRAM)] {
        std::fs::write(directory.join(name), text).expect("the directory is writable");
    }
    let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"];
    run(Command::new(installed("npm")).current_dir(&directory).args(install));
    std::fs::write(&mark, made_from).expect("the directory is writable");
    directory
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
