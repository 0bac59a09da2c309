//! Files and the standard input, compressed or not, line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;

use crate::limits;

/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// What gzip files begin with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What some programs put before UTF-8, Excel among them. It belongs to no name of a column
/// and to no JSON.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Something to read.
pub struct Input {
    /// How it is called in messages and ids: as it was given, `-` for the standard input.
    pub name: String,
    reader: Box<dyn BufRead>,
    line: u64,
}

/// Sum of the sizes of files, in bytes; none where it is not known.
pub fn total_size(files: &[PathBuf]) -> Option<u64> {
    if files.is_empty() {
        return None;
    }
    files.iter().map(|f| std::fs::metadata(f).ok().map(|m| m.len())).sum()
}

impl Input {
    /// Opens a file, or the standard input for `-`. `bar` advances by what is read.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open(path: &Path, bar: &ProgressBar) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let source: Box<dyn Read> = if path == Path::new("-") {
            Box::new(io::stdin())
        } else {
            let file = File::open(path);
            Box::new(file.with_context(|| format!("cannot open {name}; name a readable file"))?)
        };
        let reader = unpacked(bar.wrap_read(source));
        Ok(Self { reader: reader.with_context(|| format!("cannot read {name}"))?, name, line: 0 })
    }

    /// The rest as it comes, for readers that find their records themselves.
    pub fn reader(&mut self) -> &mut dyn BufRead {
        &mut *self.reader
    }

    /// `file:line` of the line that was read last.
    pub fn place(&self) -> String {
        format!("{}:{}", self.name, self.line)
    }

    /// Reads the next line that is not blank, without its end; false after the last.
    ///
    /// # Errors
    /// Where it cannot be read, or is longer than any server would take.
    pub fn next_line(&mut self, line: &mut Vec<u8>) -> anyhow::Result<bool> {
        loop {
            line.clear();
            let most = limits::MAX_MESSAGE_BYTES;
            let read = (&mut self.reader).take(most + 1).read_until(b'\n', line);
            self.line += 1;
            if read.with_context(|| format!("cannot read {}", self.place()))? == 0 {
                return Ok(false);
            }
            if line.len() as u64 > most {
                bail!(
                    "{}: longer than {} MB; is it lines of JSON?",
                    self.place(),
                    most / 1_000_000
                );
            }
            line.truncate(line.trim_ascii_end().len());
            if !line.is_empty() {
                return Ok(true);
            }
        }
    }
}

/// A reader of what a stream holds, unpacked if it begins as gzip does. Names are not
/// asked: a wrong one would do harm, a right one says nothing more.
fn unpacked(mut source: impl Read + 'static) -> io::Result<Box<dyn BufRead>> {
    let start = start(&mut source, GZIP.len())?;
    let packed = start == GZIP;
    let whole = io::Cursor::new(start).chain(source);
    if packed {
        return without_mark(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(whole)));
    }
    without_mark(BufReader::with_capacity(BUFFER, whole))
}

/// The text without a byte-order mark before it.
fn without_mark(mut text: impl BufRead + 'static) -> io::Result<Box<dyn BufRead>> {
    let mut start = start(&mut text, BYTE_ORDER_MARK.len())?;
    if start == BYTE_ORDER_MARK {
        start.clear();
    }
    Ok(Box::new(io::Cursor::new(start).chain(text)))
}

/// The first bytes of a stream, at most so many, however it hands them out.
fn start(source: &mut impl Read, bytes: usize) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(bytes);
    source.take(bytes as u64).read_to_end(&mut start)?;
    Ok(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(bytes: &[u8]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("input");
        std::fs::write(&path, bytes).unwrap();
        let mut input = Input::open(&path, &ProgressBar::hidden()).unwrap();
        let (mut all, mut line) = (Vec::new(), Vec::new());
        while input.next_line(&mut line).unwrap() {
            all.push(format!("{} {}", input.line, String::from_utf8_lossy(&line)));
        }
        all
    }

    #[test]
    fn lines_come_without_ends_and_blanks_whatever_the_name() {
        let text = b"{\"a\":1}\r\n\n  \n{\"a\":2}";
        let expected = ["1 {\"a\":1}", "4 {\"a\":2}"];
        assert_eq!(lines(text), expected);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text).unwrap();
        assert_eq!(lines(&packed.finish().unwrap()), expected);
        assert_eq!(lines(b""), [""; 0]);
        assert_eq!(lines(b"7"), ["1 7"]);
        assert_eq!(lines(b"\xef\xbb\xbf{}\n\xef\xbb\xbf"), ["1 {}", "2 \u{feff}"]);
        assert_eq!(lines(b"\xef\xbb\xbf"), [""; 0]);
    }
}
