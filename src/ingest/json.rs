//! A scanner over JSON text (RFC 8259) that gives slices of the source and allocates
//! nothing: decimals are read from their text, unknown members are kept as text, and a
//! number for a string field keeps its digits, so slices are what the decoder wants.
//!
//! It checks everything a parser checks (grammar, escapes, control characters, depth)
//! except UTF-8, which the caller has checked for the whole message at once.
//! `benches/event.rs` compares it with sonic-rs; `serde_json` is its oracle in tests.

use crate::limits;

/// What is wrong with the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// It is not JSON.
    Malformed,
    /// Objects and arrays within one another beyond the limit.
    TooDeep,
}

/// A piece of the source, by position: the first byte in the lower half, the byte after the
/// last in the upper. The limit of a message keeps both far below 32 bits. One word, because
/// two halves that are written apart and read together make the processor wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(u64);

impl Span {
    /// From the first byte to the byte after the last.
    #[inline]
    pub fn new(start: usize, end: usize) -> Self {
        Self(start as u64 | (end as u64) << 32)
    }

    /// Number of bytes.
    #[inline]
    pub fn len(self) -> usize {
        (self.0 >> 32) as usize - self.0 as u32 as usize
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The positions.
    #[inline]
    pub fn range(self) -> std::ops::Range<usize> {
        self.0 as u32 as usize..(self.0 >> 32) as usize
    }

    /// The piece itself.
    #[inline]
    pub fn of(self, source: &[u8]) -> &[u8] {
        &source[self.range()]
    }
}

/// A value as found in the source. Two words that are passed in registers, as is a result of it:
/// what is written to memory by halves and read as a whole makes the processor wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// What is between the quotes, without escapes.
    String(Span),
    /// What is between the quotes, with escapes.
    Escaped(Span),
    /// The text of a number.
    Number(Span),
    /// `true`.
    True,
    /// `false`.
    False,
    /// `null`.
    Null,
    /// The opening brace has been read; members follow.
    Object,
    /// The opening bracket has been read; elements follow.
    Array,
}

/// Bytes of a key that are compared at once.
const GUESS_BYTES: usize = 16;

/// A member's key as it is probably written: `"key":`, nothing escaped and no space.
pub struct Guess {
    text: Box<[u8]>,
    /// The first bytes, and which of these there are.
    start: u128,
    mask: u128,
}

impl Guess {
    /// For a key that holds nothing to escape.
    pub fn new(key: &[u8]) -> Self {
        let text: Box<[u8]> = [b"\"", key, b"\":"].concat().into();
        let length = text.len().min(GUESS_BYTES);
        let mut start = [0; GUESS_BYTES];
        start[..length].copy_from_slice(&text[..length]);
        let mask = u128::MAX >> (8 * (GUESS_BYTES - length));
        Self { text, start: u128::from_le_bytes(start), mask }
    }
}

/// A position in a text.
pub struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

/// The text is no JSON. It has no size, so that a result of a token is passed in registers as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl From<Malformed> for JsonError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// What was taken.
type Taken<T> = Result<T, Malformed>;

impl<'a> Scanner<'a> {
    /// Starts at a position.
    pub fn new(text: &'a [u8], at: usize) -> Self {
        Self { text, at }
    }

    /// Where it is.
    pub fn position(&self) -> usize {
        self.at
    }

    #[inline]
    fn peek(&self) -> u8 {
        // 0 is no part of JSON outside of strings, so it stands for the end as well.
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Skips white space.
    #[inline]
    pub fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    /// Takes one given byte, after white space.
    #[inline]
    fn expect(&mut self, byte: u8) -> Taken<()> {
        self.skip_space();
        if self.peek() != byte {
            return Err(Malformed);
        }
        self.at += 1;
        Ok(())
    }

    /// After `{`: whether a first member follows. Otherwise takes the `}`.
    #[inline]
    pub fn first_member(&mut self) -> Taken<bool> {
        self.skip_space();
        if self.peek() == b'}' {
            self.at += 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// After a member's value: whether another follows. Otherwise takes the `}`.
    #[inline]
    pub fn next_member(&mut self) -> Taken<bool> {
        self.skip_space();
        let byte = self.peek();
        self.at += 1;
        match byte {
            b',' => Ok(true),
            b'}' => Ok(false),
            _ => {
                self.at -= 1;
                Err(Malformed)
            }
        }
    }

    /// Takes `"key":` if the key is the guessed one.
    #[inline]
    pub fn key_is(&mut self, guess: &Guess) -> bool {
        self.skip_space();
        let rest = self.text.get(self.at..).unwrap_or_default();
        if let Some(start) = rest.first_chunk::<GUESS_BYTES>()
            && (u128::from_le_bytes(*start) ^ guess.start) & guess.mask == 0
            && (guess.text.len() <= GUESS_BYTES || rest.starts_with(&guess.text))
        {
            self.at += guess.text.len();
            return true;
        }
        false
    }

    /// Takes `"key":` and gives the key and whether it holds escapes.
    pub fn key(&mut self) -> Taken<(Span, bool)> {
        self.expect(b'"')?;
        let key = self.string_body()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Takes a value; of an object or array only the opening bracket.
    #[inline(always)]
    pub fn token(&mut self) -> Taken<Token> {
        self.skip_space();
        // Most values are texts without escapes.
        if self.peek() != b'"' {
            return self.unquoted();
        }
        self.at += 1;
        let start = self.at;
        self.skip_plain();
        if self.peek() != b'"' {
            return self.escaped(start);
        }
        self.at += 1;
        Ok(Token::String(Span::new(start, self.at - 1)))
    }

    /// As [`Scanner::token`], of a text whose first escape has been reached.
    #[cold]
    #[inline(never)]
    fn escaped(&mut self, start: usize) -> Taken<Token> {
        let (span, _) = self.string_end(start)?;
        Ok(Token::Escaped(span))
    }

    /// As [`Scanner::token`], of what is no text.
    #[inline(never)]
    fn unquoted(&mut self) -> Taken<Token> {
        let start = self.at;
        match self.peek() {
            b'-' | b'0'..=b'9' => {
                self.number_body()?;
                Ok(Token::Number(Span::new(start, self.at)))
            }
            b'{' => {
                self.at += 1;
                Ok(Token::Object)
            }
            b'[' => {
                self.at += 1;
                Ok(Token::Array)
            }
            b't' => self.word(b"true", Token::True),
            b'f' => self.word(b"false", Token::False),
            b'n' => self.word(b"null", Token::Null),
            _ => Err(Malformed),
        }
    }

    fn word(&mut self, word: &[u8], token: Token) -> Taken<Token> {
        if !self.text[self.at..].starts_with(word) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(token)
    }

    /// Takes the rest of a string, its opening quote being taken.
    fn string_body(&mut self) -> Taken<(Span, bool)> {
        self.string_end(self.at)
    }

    /// Takes the rest of a string that began at `start`.
    fn string_end(&mut self, start: usize) -> Taken<(Span, bool)> {
        let mut escaped = false;
        loop {
            self.skip_plain();
            match self.peek() {
                b'"' => {
                    let span = Span::new(start, self.at);
                    self.at += 1;
                    return Ok((span, escaped));
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                // The end of the text, or a control character.
                _ => return Err(Malformed),
            }
        }
    }

    /// Skips to the next quote, backslash or control character, eight bytes at a time.
    #[inline]
    fn skip_plain(&mut self) {
        const ONES: u64 = u64::MAX / 255;
        const HIGH: u64 = ONES << 7;
        while let Some(chunk) = self.text.get(self.at..self.at + 8) {
            let word = u64::from_le_bytes(chunk.try_into().unwrap_or([0; 8]));
            // Marks bytes equal to zero; the lowest mark is always exact.
            let zero = |x: u64| x.wrapping_sub(ONES) & !x & HIGH;
            let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
            let marks = zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c)) | control;
            if marks != 0 {
                self.at += (marks.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
        while self.at < self.text.len() && !matches!(self.peek(), b'"' | b'\\' | 0..=0x1f) {
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Taken<()> {
        let escape = self.text.get(self.at + 1).copied().unwrap_or(0);
        match escape {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => {
                let unit = hex4(self.text, self.at + 2).ok_or(Malformed)?;
                self.at += 6;
                if (0xdc00..0xe000).contains(&unit) {
                    return Err(Malformed);
                }
                if (0xd800..0xdc00).contains(&unit) {
                    let low = (self.text.get(self.at..self.at + 2) == Some(br"\u"))
                        .then(|| hex4(self.text, self.at + 2))
                        .flatten();
                    if !low.is_some_and(|l| (0xdc00..0xe000).contains(&l)) {
                        return Err(Malformed);
                    }
                    self.at += 6;
                }
            }
            _ => return Err(Malformed),
        }
        Ok(())
    }

    fn digits(&mut self) -> Taken<()> {
        if !self.peek().is_ascii_digit() {
            return Err(Malformed);
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }

    #[inline]
    fn number_body(&mut self) -> Taken<()> {
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Takes what remains of a value whose first token was taken, at a depth: nothing for
    /// scalars, everything up to the closing bracket for objects and arrays.
    #[inline]
    pub fn skip_rest(&mut self, token: Token, depth: usize) -> Result<(), JsonError> {
        match token {
            Token::Object | Token::Array => self.skip_nested(token, depth),
            _ => Ok(()),
        }
    }

    fn skip_nested(&mut self, token: Token, depth: usize) -> Result<(), JsonError> {
        if depth > limits::MAX_JSON_DEPTH {
            return Err(JsonError::TooDeep);
        }
        match token {
            Token::Object => {
                let mut more = self.first_member()?;
                while more {
                    self.key()?;
                    let value = self.token()?;
                    self.skip_rest(value, depth + 1)?;
                    more = self.next_member()?;
                }
            }
            Token::Array => {
                self.skip_space();
                if self.peek() == b']' {
                    self.at += 1;
                    return Ok(());
                }
                loop {
                    let value = self.token()?;
                    self.skip_rest(value, depth + 1)?;
                    self.skip_space();
                    match self.peek() {
                        b',' => self.at += 1,
                        b']' => {
                            self.at += 1;
                            return Ok(());
                        }
                        _ => return Err(Malformed.into()),
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn hex4(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    digits.iter().try_fold(0, |unit, &d| Some(unit << 4 | char::from(d).to_digit(16)?))
}

/// Appends what a scanned string body means, its escapes resolved.
pub fn unescape(body: &[u8], out: &mut Vec<u8>) {
    let mut rest = body;
    while let Some(at) = rest.iter().position(|&b| b == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let escape = rest.get(at + 1).copied().unwrap_or(b'\\');
        rest = rest.get(at + 2..).unwrap_or(&[]);
        let plain = match escape {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                rest = unescape_unicode(rest, out);
                continue;
            }
            other => other,
        };
        out.push(plain);
    }
    out.extend_from_slice(rest);
}

/// Appends the character of `XXXX` or `XXXX\uXXXX` and gives what follows.
fn unescape_unicode<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let high = hex4(rest, 0).unwrap_or(0xfffd);
    let (unit, used) = match hex4(rest, 6) {
        Some(low) if (0xd800..0xdc00).contains(&high) => {
            (0x10000 + ((high - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff), 10)
        }
        _ => (high, 4),
    };
    let character = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    rest.get(used..).unwrap_or(&[])
}

#[cfg(test)]
mod tests;
