//! A child process that dies with the test and whose output is kept.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Output kept per child; what comes later is dropped, so that a chatty child cannot fill the machine.
const OUTPUT_BYTES_MAX: usize = 8 << 20;
/// Lines shown when a test fails.
const TAIL_LINES: usize = 40;
const POLL: Duration = Duration::from_millis(10);

/// A running child. Killed and reaped on drop; when the test is failing, the end of its output is shown.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Output {
    text: Mutex<String>,
    grown: Condvar,
}

/// A signal to send to a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ask it to end.
    Terminate,
    /// End it.
    Kill,
    /// Freeze it.
    Stop,
    /// Thaw it.
    Continue,
    /// Hand over and end (Pingora's upgrade).
    Quit,
    /// Ctrl-C.
    Interrupt,
    /// Reload.
    Hangup,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Signal::Terminate => "TERM",
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
            Signal::Quit => "QUIT",
            Signal::Interrupt => "INT",
            Signal::Hangup => "HUP",
        }
    }
}

impl Child {
    /// Starts `command`; both its outputs are read until they end.
    pub fn spawn(name: &str, command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("`{name}` does not start: {error}"));
        let output = Arc::new(Output::default());
        let readers = vec![
            keep(process.stdout.take().expect("stdout is piped"), output.clone()),
            keep(process.stderr.take().expect("stderr is piped"), output.clone()),
        ];
        Self { name: name.to_owned(), process, output, readers }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Everything it has written so far, both outputs in the order of arrival.
    pub fn output(&self) -> String {
        self.output.text.lock().unwrap().clone()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        // The shell's own `kill` is always there, and needs no unsafe code here.
        let sent =
            Command::new("sh").arg("-c").arg(format!("kill -{} {}", signal.name(), self.id())).status().expect("sh");
        assert!(sent.success(), "SIG{} to `{}` (pid {}) failed", signal.name(), self.name, self.id());
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("a child can be waited for").is_none()
    }

    /// The first line that contains `text`, waiting for it up to `deadline`.
    pub fn wait_for_line(&self, text: &str, deadline: Duration) -> String {
        let end = Instant::now() + deadline;
        let mut written = self.output.text.lock().unwrap();
        loop {
            let whole = written.rfind('\n').map_or("", |end| &written[..end]);
            if let Some(line) = whole.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "`{}` did not write `{text}` within {deadline:?}:\n{}", self.name, tail(&written));
            written = self.output.grown.wait_timeout(written, left).unwrap().0;
        }
    }

    /// Waits until it ends, up to `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let end = Instant::now() + deadline;
        loop {
            if let Some(status) = self.process.try_wait().expect("a child can be waited for") {
                self.readers.drain(..).for_each(|reader| reader.join().expect("a reader does not panic"));
                return status;
            }
            assert!(Instant::now() < end, "`{}` still runs after {deadline:?}:\n{}", self.name, tail(&self.output()));
            std::thread::sleep(POLL);
        }
    }

    /// Kills and reaps it now.
    pub fn kill(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the end of what `{}` wrote:\n{}", self.name, tail(&self.output()));
        }
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

fn keep(source: impl Read + Send + 'static, output: Arc<Output>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(source);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let mut text = output.text.lock().unwrap();
            if text.len() + line.len() <= OUTPUT_BYTES_MAX {
                text.push_str(&String::from_utf8_lossy(&line));
            }
            output.grown.notify_all();
            line.clear();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_kept_and_the_end_is_awaited() {
        let mut child = Child::spawn("sh", Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"]));
        assert_eq!(child.wait_for_line("tw", Duration::from_secs(10)), "two");
        assert_eq!(child.wait(Duration::from_secs(10)).code(), Some(3));
        assert!(child.output().contains("one\n"));
    }

    #[test]
    fn a_dropped_child_is_gone() {
        let child = Child::spawn("cat", Command::new("sh").args(["-c", "while :; do read -r x || sleep 60; done"]));
        let id = child.id();
        drop(child);
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }
}
