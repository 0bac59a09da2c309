//! Files and the standard input, compressed by gzip or not; and what is neither, by name.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;

/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// What gzip files begin with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What some programs put before UTF-8, Excel among them. It belongs to no name of a column
/// and to no JSON.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// What other forms of files begin with, how they are called, and a program that makes text of
/// them.
const OTHERS: [(&[u8], &str, &str); 18] = [
    (b"\xff\xfe", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32", "iconv -f UTF-32 -t UTF-8"),
    (b"BZh", "compressed by bzip2", "bzcat"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "zstdcat"),
    (b"\xfd7zXZ\x00", "compressed by xz", "xzcat"),
    (b"\x04\x22\x4d\x18", "compressed by lz4", "lz4cat"),
    (b"LZIP", "compressed by lzip", "lzip -dc"),
    (b"\x1f\x9d", "compressed by compress", "zcat"),
    (b"\xff\x06\x00\x00sNaPpY", "compressed by snappy", "snunzip -c"),
    (b"PK\x03\x04", "a zip archive or a workbook", "unzip -p"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z e -so"),
    (b"PAR1", "Parquet", "a program that writes it as JSON"),
    (b"ORC", "ORC", "a program that writes it as JSON"),
    (b"Obj\x01", "Avro", "avro-tools tojson"),
    (b"ARROW1", "Arrow", "a program that writes it as JSON"),
    (b"SQLite format 3\x00", "an SQLite database", "sqlite3 -json"),
    (b"%PDF-", "PDF", "the program that made it"),
];

/// Why a record cannot be sent that is written in Latin-1, say.
pub const NO_UTF8: &str =
    "is not UTF-8; make that of the file (iconv -f WINDOWS-1252 -t UTF-8, if that is what it is)";

/// Bytes that tell the form of a text.
const START: usize = 16;

/// What came of a step through a file.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// An event, or a row.
    Record,
    /// It cannot be sent, and why; the next one can.
    Bad(String),
    /// There are no more.
    End,
}

/// Something to read.
pub struct Input {
    /// How it is called in messages and ids: as it was given, `-` for the standard input.
    pub name: String,
    reader: Box<dyn BufRead>,
    /// Why it is no text, if so.
    pub other: Option<String>,
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
        let (reader, other) = reader.with_context(|| format!("cannot read {name}"))?;
        Ok(Self { reader, name, other })
    }

    /// The rest as it comes, for readers that find their records themselves.
    pub fn reader(&mut self) -> &mut dyn BufRead {
        &mut *self.reader
    }
}

/// A reader of the text that a stream holds, unpacked if it begins as gzip does; and why it is
/// none, if so. Names are not asked: a wrong one would do harm, a right one says nothing more.
fn unpacked(mut source: impl Read + 'static) -> io::Result<(Box<dyn BufRead>, Option<String>)> {
    let start = start(&mut source, GZIP.len())?;
    let packed = start == GZIP;
    let whole = Cursor::new(start).chain(source);
    if packed {
        return text(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(whole)));
    }
    text(BufReader::with_capacity(BUFFER, whole))
}

/// The text without a byte-order mark before it.
fn text(
    mut text: BufReader<impl Read + 'static>,
) -> io::Result<(Box<dyn BufRead>, Option<String>)> {
    let mut start = start(&mut text, BYTE_ORDER_MARK.len())?;
    // What came with it. A pipe that hands out less, and waits, is not waited for.
    let more = text.buffer().iter().take(START);
    let other = other_form(&start.iter().chain(more).copied().collect::<Vec<u8>>());
    if start == BYTE_ORDER_MARK {
        start.clear();
    }
    Ok((Box::new(Cursor::new(start).chain(text)), other))
}

/// Why what begins like this is no text.
fn other_form(start: &[u8]) -> Option<String> {
    let found = OTHERS.iter().find(|(magic, ..)| start.starts_with(magic));
    if let Some((_, form, program)) = found {
        return Some(format!("is {form}, and not text in UTF-8; make that of it ({program})"));
    }
    // Letters of UTF-16 without a mark.
    let by_pairs = |at: usize| start.len() >= 4 && start[at..].iter().step_by(2).all(|b| *b == 0);
    let is_utf16 = by_pairs(0) != by_pairs(1);
    is_utf16.then(|| "looks like UTF-16; make UTF-8 of it (iconv -f UTF-16LE -t UTF-8)".to_owned())
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

    fn open(bytes: &[u8]) -> (String, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("input");
        std::fs::write(&path, bytes).unwrap();
        let mut input = Input::open(&path, &ProgressBar::hidden()).unwrap();
        let mut text = Vec::new();
        input.reader().read_to_end(&mut text).unwrap();
        (String::from_utf8_lossy(&text).into_owned(), input.other)
    }

    #[test]
    fn text_comes_unpacked_and_without_a_mark_whatever_the_name() {
        let text = "{\"a\":1}\r\n\n{\"a\":2}";
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        let packed = packed.finish().unwrap();
        for bytes in [text.as_bytes(), &packed, format!("\u{feff}{text}").as_bytes()] {
            assert_eq!(open(bytes), (text.to_owned(), None));
        }
        for text in ["", "7", "a", "ts,page\n", "\u{e4},b\n", "{\"a\":1}\0\0", "BZ", "ORB,a\n"] {
            assert_eq!(open(text.as_bytes()), (text.to_owned(), None));
        }
        assert_eq!(open(b"\xef\xbb\xbf"), (String::new(), None));
    }

    #[test]
    fn what_is_no_text_is_known_by_how_it_begins() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        for (bytes, word) in [
            (utf16("\u{feff}{\"a\":1}"), "is UTF-16"),
            (utf16("{\"a\":1}"), "looks like UTF-16"),
            (utf16("ts,page\n1,a\n"), "looks like UTF-16"),
            (b"BZh91AY&SY".to_vec(), "bzcat"),
            (b"\x28\xb5\x2f\xfd\x04".to_vec(), "zstdcat"),
            (b"\xfd7zXZ\x00\x00".to_vec(), "xzcat"),
            (b"PK\x03\x04\x14".to_vec(), "workbook"),
        ] {
            let other = open(&bytes).1.unwrap();
            assert!(other.contains(word), "{other}");
        }
    }
}
