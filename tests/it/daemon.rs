//! The program, run as its users run it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::broker::broker;

/// Far beyond what anything here takes: the longest is a takeover by the second of two successors, each of
/// which watches for 30 s, on a machine that does other things too.
const DEADLINE: Duration = Duration::from_secs(120);

/// Looks until there is something; panics when it does not come.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "{what} has not come");
        thread::sleep(Duration::from_millis(20));
    }
}

pub fn free_port() -> u16 {
    free_ports(1)
}

/// The first of so many ports in a row that nobody listens on. Not of those that the system gives to
/// connections: one of them could be in use by the time it is listened on.
pub fn free_ports(count: u16) -> u16 {
    wait_for("free ports", || {
        let first = fastrand::u16(12_000..32_000);
        let listen = |port| TcpListener::bind(("127.0.0.1", port)).ok();
        let all: Option<Vec<TcpListener>> = (first..first + count).map(listen).collect();
        all.map(|_| first)
    })
}

/// A folder with a configuration, topics of its own, and a store.
pub struct Site {
    pub brokers: String,
    pub dir: TempDir,
    pub name: String,
    pub port: u16,
}

impl Site {
    /// `models` is the part of the configuration from `[models.…]` on, in which `TOPIC` stands for
    /// the name of the input topic.
    pub fn new(name: &str, models: &str) -> Self {
        Self::on(&broker().address, name, models)
    }

    /// The same, on another broker.
    pub fn on(brokers: &str, name: &str, models: &str) -> Self {
        let site = Self {
            brokers: brokers.to_owned(),
            dir: TempDir::new().unwrap(),
            name: name.to_owned(),
            port: free_port(),
        };
        site.configure(models);
        site
    }

    /// Another instance of the same group, with a store of its own.
    pub fn sibling(&self, models: &str) -> Self {
        Self::on(&self.brokers, &self.name, models)
    }

    pub fn configure(&self, models: &str) {
        let text = format!(
            "[kafka]\n\
             brokers = \"{brokers}\"\n\
             group = \"{name}\"\n\
             start_at = \"earliest\"\n\
             [output]\n\
             alerts = \"{name}.alerts\"\n\
             windows = \"{name}.windows\"\n\
             dead_letter = \"{name}.dead-letter\"\n\
             [store]\n\
             path = {store:?}\n\
             [http]\n\
             listen = \"127.0.0.1:{port}\"\n\
             {models}",
            brokers = self.brokers,
            name = self.name,
            store = self.path("store"),
            port = self.port,
            models = models.replace("TOPIC", &self.input()),
        );
        fs::write(self.config(), text).unwrap();
    }

    /// A property of librdkafka's.
    pub fn set_property(&self, key: &str, value: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        let property = format!("properties = {{ \"{key}\" = \"{value}\" }}\n[output]");
        fs::write(self.config(), text.replace("[output]", &property)).unwrap();
    }

    /// The input topic with so many partitions, and the output topics.
    pub fn create_topics(&self, partitions: i32) {
        broker().create_topics(&[
            (&self.input(), partitions),
            (&self.topic("alerts"), 1),
            (&self.topic("windows"), 1),
            (&self.topic("dead-letter"), 1),
        ]);
    }

    pub fn input(&self) -> String {
        self.topic("predictions")
    }

    pub fn topic(&self, what: &str) -> String {
        format!("{}.{what}", self.name)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("klaxond.toml")
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let (command, rest) = arguments.split_first().unwrap();
        let mut words = vec![*command];
        let config = self.config();
        let config = config.to_str().unwrap();
        // `baseline` has a command of its own before the options.
        let rest = match *command {
            "baseline" => {
                words.push(rest[0]);
                &rest[1..]
            }
            _ => rest,
        };
        words.extend(["--config", config]);
        words.extend(rest);
        klaxond(&words)
    }

    /// Runs a command that has to succeed; gives what it printed.
    pub fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts the daemon.
    pub fn start(&self) -> Daemon {
        self.spawn(Command::new(env!("CARGO_BIN_EXE_klaxond")))
    }

    /// Starts a daemon whose files can be kept from growing: see [`Daemon::limit_files`].
    pub fn start_limitable(&self) -> Daemon {
        // Without this the kernel kills whoever writes beyond the limit.
        let mut shell = Command::new("bash");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
        shell.arg(env!("CARGO_BIN_EXE_klaxond"));
        self.spawn(shell)
    }

    fn spawn(&self, mut command: Command) -> Daemon {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let child = command
            .args(["run", "--config"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Daemon {
            child,
            port: self.port,
            log: self.path("log"),
        }
    }

    /// Starts the daemon and waits until it reads.
    pub fn start_active(&self) -> Daemon {
        let daemon = self.start();
        daemon.wait_until("active");
        daemon
    }

    /// Window events in the order of the topic, once there are so many.
    pub fn windows(&self, count: usize) -> Vec<String> {
        let topic = self.topic("windows");
        wait_for(&format!("{count} windows"), || {
            let seen = broker().read(&topic);
            (seen.len() >= count).then(|| seen.iter().map(crate::broker::Seen::text).collect())
        })
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }
}

/// Runs the program to its end.
pub fn klaxond(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_klaxond"))
        .args(arguments)
        .env_remove("KLAXOND_LOG")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// A running daemon; killed when dropped.
pub struct Daemon {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Daemon {
    #[allow(dead_code, reason = "for the benchmarks")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The body, whatever the status.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A frozen daemon accepts and says nothing.
            .timeout_global(Some(Duration::from_secs(2)))
            .build()
            .into();
        let mut response = agent.get(self.url(path)).call().ok()?;
        let body = response.body_mut().read_to_string().ok()?;
        Some((response.status().as_u16(), body))
    }

    pub fn status(&self) -> Option<Value> {
        serde_json::from_str(&self.get("/api/v1/status")?.1).ok()
    }

    pub fn wait_until(&self, state: &str) {
        let log = || tail(&self.log);
        wait_for(&format!("state {state}; the log says:\n{}", log()), || {
            (self.status()?["state"] == state).then_some(())
        });
    }

    /// Until everything that was written has been read.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// From here on no file of its grows beyond so many bytes, as if the disk were full.
    pub fn limit_files(&self, bytes: u64) {
        let pid = self.child.id().to_string();
        let limited = Command::new("prlimit")
            .args(["--pid", &pid, &format!("--fsize={bytes}")])
            .status();
        assert!(limited.unwrap().success());
    }

    /// Resident memory in MiB, as the kernel counts it: at present, and at most so far.
    pub fn memory_mib(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let of = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            kib / 1_024
        };
        (of("VmRSS:"), of("VmHWM:"))
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A clean shutdown; within the ten seconds that are promised.
    pub fn stop(mut self) {
        self.signal("TERM");
        let began = Instant::now();
        let status = wait_for("the end", || self.child.try_wait().unwrap());
        assert!(status.success(), "{}", tail(&self.log));
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    /// The exit code of a daemon that ends by itself.
    pub fn exit_code(mut self) -> Option<i32> {
        wait_for("the end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
