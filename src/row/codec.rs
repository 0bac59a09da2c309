//! The stored form of a row: `version · number of the definition · number of states ·
//! (number of the aggregate · state)…`, aggregates ascending. An aggregate that the row's
//! definition does not have, or that has no value, is absent.
//!
//! It describes itself, so that the store can unite rows without the configuration.

use std::cmp::Ordering;

use sketches::codec::{DecodeError, Reader, put_u64};

use super::state::State;

/// First byte of every stored row. 1 had other sketches, which are not read any more.
pub const VERSION: u8 = 2;

/// A row read from the store.
pub struct StoredRow {
    /// Number of the definition it was made with.
    pub definition: u32,
    /// Numbers of aggregates, ascending, and their states.
    pub states: Vec<(u32, State)>,
}

/// Appends the head of a stored row; `states` states follow, each by [`put_number`] and its
/// own form.
pub fn put_head(definition: u32, states: usize, out: &mut Vec<u8>) {
    out.push(VERSION);
    put_u64(out, u64::from(definition));
    put_u64(out, states as u64);
}

/// Appends the number of the aggregate whose state follows.
pub fn put_number(aggregate: u32, out: &mut Vec<u8>) {
    put_u64(out, u64::from(aggregate));
}

impl StoredRow {
    /// Reads a stored row.
    ///
    /// # Errors
    /// Any bytes are a row or an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let number = |reader: &mut Reader<'_>| {
            u32::try_from(reader.u64()?)
                .map_err(|_| DecodeError::Invalid("a number beyond 32 bits"))
        };
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let definition = number(&mut reader)?;
        let count = number(&mut reader)? as usize;
        let mut states: Vec<(u32, State)> = Vec::with_capacity(count.min(bytes.len()));
        for _ in 0..count {
            let aggregate = number(&mut reader)?;
            if states.last().is_some_and(|(last, _)| *last >= aggregate) {
                return Err(DecodeError::Invalid("aggregates out of order"));
            }
            states.push((aggregate, State::decode(&mut reader)?));
        }
        reader.finish()?;
        Ok(Self { definition, states })
    }

    /// Appends the stored form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_head(self.definition, self.states.len(), out);
        for (aggregate, state) in &self.states {
            put_number(*aggregate, out);
            state.encode(out);
        }
    }

    /// Unites with another row of the same key.
    ///
    /// # Errors
    /// Where an aggregate is of different kinds in the two.
    pub fn merge(&mut self, other: Self) -> Result<(), DecodeError> {
        self.definition = self.definition.max(other.definition);
        let mine = std::mem::take(&mut self.states);
        let (mut a, mut b) = (mine.into_iter().peekable(), other.states.into_iter().peekable());
        loop {
            let next = match (a.peek(), b.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(x), Some(y)) => x.0.cmp(&y.0),
            };
            let from_a = if next.is_le() { a.next() } else { None };
            let from_b = if next.is_ge() { b.next() } else { None };
            match (from_a, from_b) {
                (Some((number, mut state)), Some((_, other))) => {
                    state.merge(&other)?;
                    self.states.push((number, state));
                }
                (Some(one), None) | (None, Some(one)) => self.states.push(one),
                (None, None) => return Ok(()),
            }
        }
    }
}

/// Unites stored rows of one key: what the store does where a row was written in parts.
///
/// # Errors
/// Where one of them is no row.
pub fn merge<'a>(rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<u8>, DecodeError> {
    let mut merged: Option<StoredRow> = None;
    for bytes in rows {
        let row = StoredRow::decode(bytes)?;
        match &mut merged {
            Some(merged) => merged.merge(row)?,
            None => merged = Some(row),
        }
    }
    let mut out = Vec::new();
    if let Some(row) = merged {
        row.encode(&mut out);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sketches::quantile::{Mapping, Quantile, Sample};
    use sketches::sum::ExactSum;
    use sketches::theta::{Mark, Theta};
    use sketches::unique::{Coupon, Unique};

    use super::super::state::Scalar;
    use super::*;

    fn row(numbers: &[u32], seed: u64) -> Vec<u8> {
        let mapping = Mapping::new(0.01).unwrap();
        let mut unique = Unique::new(14);
        let mut quantile = Quantile::new(mapping.kept());
        let mut theta = Theta::new(4);
        for i in 0..seed % 50 {
            unique.insert(Coupon::of_i64((seed * i) as i64));
            theta.insert(Mark::of_i64((seed * i) as i64));
            let value = (seed * i) as f64;
            quantile.insert(Sample::new(value, &mapping).unwrap());
        }
        let mut float_sum = ExactSum::ZERO;
        for value in [seed as f64, 1e-30 * seed as f64] {
            float_sum.insert(value);
        }
        let word = Scalar::Word(seed as i64);
        let all = [
            State::Count(seed as i64),
            State::Sum(-(seed as i128)),
            State::FloatSum(float_sum),
            State::Min(word.clone()),
            State::Max(Scalar::Text(seed.to_string().into_bytes().into())),
            State::Last(seed as i64 / 2, word),
            State::Unique(unique),
            State::Quantile(quantile),
            State::Theta(theta),
        ];
        let states = numbers.iter().map(|&n| (n, all[n as usize].clone())).collect();
        let mut out = Vec::new();
        StoredRow { definition: 1 + seed as u32 % 3, states }.encode(&mut out);
        out
    }

    proptest! {
        #[test]
        fn union_knows_no_order(a in 0u64..1000, b in 0u64..1000, c in 0u64..1000) {
            let (a, b, c) = (row(&[0, 1, 3, 5, 8], a), row(&[1, 2, 4, 5, 6, 7, 8], b), row(&[0, 6, 7, 8], c));
            let merge = |rows: &[&[u8]]| merge(rows.iter().copied()).unwrap();
            let left = merge(&[&merge(&[&a, &b]), &c]);
            prop_assert_eq!(&left, &merge(&[&a, &merge(&[&b, &c])]));
            prop_assert_eq!(&left, &merge(&[&c, &b, &a]));
            prop_assert_eq!(merge(&[&a]), a);
        }

        #[test]
        fn any_bytes_are_a_row_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = StoredRow::decode(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let _ = StoredRow::decode(&bytes);
        }

        #[test]
        fn mutated_rows_are_a_row_or_an_error(seed in 0u64..100, at in any::<usize>(), byte in any::<u8>()) {
            let mut bytes = row(&[0, 1, 2, 3, 4, 5, 6, 7, 8], seed);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = StoredRow::decode(&bytes);
        }
    }

    #[test]
    fn golden_bytes() {
        let row = StoredRow {
            definition: 2,
            states: vec![(0, State::Count(5)), (3, State::Last(-1, Scalar::Text((*b"ab").into())))],
        };
        let mut out = Vec::new();
        row.encode(&mut out);
        assert_eq!(out, [2, 2, 2, 0, 1, 10, 3, 6, 1, 1, 2, b'a', b'b']);
        assert!(matches!(StoredRow::decode(&[9]), Err(DecodeError::Version(9))));
    }
}
