//! A file layer that fails on command, in front of the C library of a real server: see
//! `faults.c`, which says what the fields of the shared file mean.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{Process, serve};

/// Numbers of errors, as Linux on x86-64 and arm has them.
pub const EIO: i32 = 5;
pub const ENFILE: i32 = 23;
pub const EMFILE: i32 = 24;
pub const ENOSPC: i32 = 28;
pub const EROFS: i32 = 30;
pub const EDQUOT: i32 = 122;

const TEXT: usize = 24;
const OPERATION: usize = 124;
const BYTES: usize = 156;

pub struct Faults {
    library: PathBuf,
    path: PathBuf,
    control: File,
}

impl Faults {
    /// A layer that lets everything pass; it is compiled into `folder`.
    pub fn new(folder: &Path) -> Self {
        let library = folder.join("faults.so");
        let mut compile = Command::new("gcc");
        // Cargo runs tests in the folder of their package.
        let source = "tests/support/faults.c";
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).args([source, "-ldl"]);
        assert!(compile.status().unwrap().success(), "faults.c does not compile");
        let path = folder.join("faults");
        let mut options = File::options();
        options.create(true).truncate(true).read(true).write(true);
        let control = options.open(&path).unwrap();
        control.set_len(BYTES as u64).unwrap();
        Self { library, path, control }
    }

    /// Serves `folder/s.toml` above this layer.
    pub fn serve(&self, folder: &Path) -> Process {
        let mut command = serve(folder);
        command.env("LD_PRELOAD", &self.library).env("FAULTS", &self.path);
        Process::of(&mut command, folder)
    }

    /// From now on, of the calls that touch a path with `text`, `skip` pass and `fails` fail.
    pub fn arm(&self, text: &str, error: i32, skip: i32, fails: i32) {
        self.disarm();
        let mut bytes = [0; BYTES];
        for (field, value) in [0, error, skip, fails, 0, 0].into_iter().enumerate() {
            bytes[4 * field..][..4].copy_from_slice(&i32::to_le_bytes(value));
        }
        bytes[TEXT..][..text.len()].copy_from_slice(text.as_bytes());
        self.control.write_all_at(&bytes, 0).unwrap();
        self.control.write_all_at(&1i32.to_le_bytes(), 0).unwrap();
    }

    /// From now on, everything passes.
    pub fn disarm(&self) {
        self.control.write_all_at(&0i32.to_le_bytes(), 0).unwrap();
    }

    fn field(&self, field: u64) -> i32 {
        let mut bytes = [0; 4];
        self.control.read_exact_at(&mut bytes, 4 * field).unwrap();
        i32::from_le_bytes(bytes)
    }

    /// Calls seen since it was armed.
    pub fn calls(&self) -> i32 {
        self.field(4)
    }

    /// Calls that failed since it was armed.
    pub fn failed(&self) -> i32 {
        self.field(5)
    }

    /// Which call failed last.
    pub fn operation(&self) -> String {
        let mut bytes = [0; BYTES - OPERATION];
        self.control.read_exact_at(&mut bytes, OPERATION as u64).unwrap();
        String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
    }
}
