//! MurmurHash3, the x64 variant of 128 bits (Austin Appleby, public domain), for the
//! short keys that events carry. Both families of unique counts are built on it.

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// The hash of `bytes` as (first, second) 64-bit half.
#[inline]
pub fn murmur3_x64_128(bytes: &[u8], seed: u64) -> (u64, u64) {
    let (mut h1, mut h2) = (seed, seed);
    let (blocks, tail) = bytes.as_chunks::<16>();
    for block in blocks {
        h1 ^= mix_k1(low_u64(&block[..8]));
        h1 = h1.rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 ^= mix_k2(low_u64(&block[8..]));
        h2 = h2.rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    // A missing word counts as zero, which leaves its half as it is.
    if tail.len() > 8 {
        h2 ^= mix_k2(low_u64(&tail[8..]));
        h1 ^= mix_k1(low_u64(&tail[..8]));
    } else {
        h1 ^= mix_k1(low_u64(tail));
    }
    h1 ^= bytes.len() as u64;
    h2 ^= bytes.len() as u64;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    h1 = finish(h1);
    h2 = finish(h2);
    h1 = h1.wrapping_add(h2);
    (h1, h2.wrapping_add(h1))
}

#[inline]
fn mix_k1(k: u64) -> u64 {
    k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

#[inline]
fn mix_k2(k: u64) -> u64 {
    k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

#[inline]
fn finish(mut k: u64) -> u64 {
    k ^= k >> 33;
    k = k.wrapping_mul(0xff51_afd7_ed55_8ccd);
    k ^= k >> 33;
    k = k.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ k >> 33
}

/// At most 8 bytes as a number, least significant first. Two overlapping reads instead
/// of a copy of variable length, which would be a call.
#[inline]
fn low_u64(bytes: &[u8]) -> u64 {
    if let Some(eight) = bytes.first_chunk::<8>() {
        return u64::from_le_bytes(*eight);
    }
    let n = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << (8 * (n - 4));
    }
    match *bytes {
        [] => 0,
        [a] => u64::from(a),
        [a, b] => u64::from(a) | u64::from(b) << 8,
        [a, b, c, ..] => u64::from(a) | u64::from(b) << 8 | u64::from(c) << 16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the reference implementation, as its verification published them and as
    /// PostgreSQL's `hll_hash_text` returns them.
    #[test]
    fn known_values() {
        assert_eq!(murmur3_x64_128(b"", 0), (0, 0));
        assert_eq!(
            murmur3_x64_128(b"The quick brown fox jumps over the lazy dog", 0),
            (0xe34b_bc7b_bc07_1b6c, 0x7a43_3ca9_c49a_9347)
        );
    }

    /// The loader of partial words against the definition, at every length.
    #[test]
    fn partial_words() {
        let bytes: Vec<u8> = (1..=8).map(|i| i * 29).collect();
        for n in 0..=8 {
            let mut padded = [0; 8];
            padded[..n].copy_from_slice(&bytes[..n]);
            assert_eq!(low_u64(&bytes[..n]), u64::from_le_bytes(padded), "{n} bytes");
        }
    }

    /// SMHasher's own test: the hash of the hashes of keys 0, 01, 0102…, seeds 256 − length.
    #[test]
    fn verification_value() {
        let key: Vec<u8> = (0..=255).collect();
        let mut hashes = Vec::new();
        for length in 0..256usize {
            let (h1, h2) = murmur3_x64_128(&key[..length], 256 - length as u64);
            hashes.extend_from_slice(&h1.to_le_bytes());
            hashes.extend_from_slice(&h2.to_le_bytes());
        }
        assert_eq!(murmur3_x64_128(&hashes, 0).0 as u32, 0x6384_BA69);
    }
}
