//! A PostgreSQL of the test's own: a folder, a Unix socket, no network.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// The user who may start PostgreSQL, which refuses to be root's.
const USER: &str = "postgres";

/// A running server, which ends with the test.
pub struct Postgres {
    server: Child,
    programs: PathBuf,
    sockets: PathBuf,
}

impl Postgres {
    /// Starts a server that has the extension hll; none, loudly, where it is not installed.
    pub fn start(folder: &Path) -> Option<Self> {
        let Some(programs) = programs_with_hll() else {
            assert!(std::env::var_os("CI").is_none(), "CI must have PostgreSQL with hll");
            eprintln!("SKIPPED: no PostgreSQL with its extension hll: ops/packages test");
            return None;
        };
        let (data, log) = (folder.join("data"), folder.join("log"));
        let as_root = run_to_end(Command::new("id").arg("-u")).trim() == "0";
        if as_root {
            run_to_end(Command::new("chown").arg(USER).arg(folder));
            // Nobody else's folders above it are in the way, but that of the test may be.
            run_to_end(Command::new("chmod").arg("o+x").arg(folder.parent().unwrap()));
        }
        let command = |program: &str| {
            let mut command = Command::new("setpriv");
            // It must not outlive a test that is killed.
            command.args(["--pdeathsig", "INT"]);
            if as_root {
                command.args(["--reuid", USER, "--regid", USER, "--init-groups"]);
            }
            command.arg("--").arg(programs.join(program)).arg("-D").arg(&data).current_dir(folder);
            command
        };
        let options = ["-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"];
        run_to_end(command("initdb").args(options));
        let log = File::create(log).unwrap();
        let server = command("postgres")
            .arg("-k")
            .arg(folder)
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { server, programs, sockets: folder.to_owned() };
        let begun = Instant::now();
        while !server.psql("SELECT 1").output().unwrap().status.success() {
            let log = || std::fs::read_to_string(folder.join("log")).unwrap();
            assert!(server.server.try_wait().unwrap().is_none(), "it ended: {}", log());
            assert!(begun.elapsed() < PATIENCE, "it does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    /// Runs statements; gives the lines of the answer, columns apart by `|`.
    pub fn run(&self, statements: &str) -> Vec<String> {
        run_to_end(&mut self.psql(statements)).lines().map(str::to_owned).collect()
    }

    /// `COPY table FROM` a file, with these options.
    pub fn copy(&self, table: &str, options: &str, file: &Path) {
        let mut psql = self.psql(&format!("COPY {table} FROM STDIN WITH ({options})"));
        run_to_end(psql.stdin(File::open(file).unwrap()));
    }

    fn psql(&self, statements: &str) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", "postgres"])
            .arg("-h")
            .arg(&self.sockets)
            .args(["-c", statements])
            .stdin(Stdio::null());
        psql
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // An interrupt has it end at once, but orderly: its own processes and memory too.
        let _ = Command::new("kill").args(["-INT", &self.server.id().to_string()]).status();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            if !matches!(self.server.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The programs of the newest PostgreSQL that has the extension, where Debian keeps them.
fn programs_with_hll() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let versions = versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut versions: Vec<u32> = versions.collect();
    versions.sort_unstable();
    versions.into_iter().rev().find_map(|version| {
        let has_hll = Path::new("/usr/share/postgresql")
            .join(version.to_string())
            .join("extension/hll.control")
            .exists();
        has_hll.then(|| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")))
    })
}

/// Runs a command that must succeed; gives what it printed.
fn run_to_end(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}
