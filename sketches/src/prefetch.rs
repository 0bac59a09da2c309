//! Asks the processor for memory ahead of its use. The only `unsafe`: a prefetch reads and
//! writes nothing and may be given any address.
//!
//! With millions of sketches an update waits for memory that no cache holds. Whoever has
//! many updates at hand asks for all of their memory first and makes them after.

/// Bytes of a cache line.
const LINE: usize = 64;

/// So many lines are asked for at most: as many as can be under way at once.
const MOST_LINES: usize = 8;

/// Asks for the cache line at which `item` begins.
#[inline(always)]
pub fn prefetch<T: ?Sized>(item: &T) {
    ask(std::ptr::from_ref(item).cast());
}

/// Asks for the cache line at which `item` begins and for the next, which need not be its own.
#[inline(always)]
pub fn prefetch_pair<T: ?Sized>(item: &T) {
    let first = std::ptr::from_ref(item).cast::<i8>();
    ask(first);
    ask(first.wrapping_add(LINE));
}

/// Asks for the lines of `item`, from the first on as many as can be under way at once.
#[inline(always)]
pub fn prefetch_all<T: ?Sized>(item: &T) {
    prefetch_bytes(std::ptr::from_ref(item).cast(), size_of_val(item));
}

/// Asks for the lines of so many bytes, at most `MOST_LINES`.
#[inline(always)]
pub(crate) fn prefetch_bytes(first: *const i8, bytes: usize) {
    let lines = bytes.div_ceil(LINE).min(MOST_LINES);
    (0..lines).for_each(|line| ask(first.wrapping_add(line * LINE)));
}

#[inline(always)]
#[allow(unsafe_code)]
fn ask(address: *const i8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it cannot fault and changes no memory, and SSE is part of x86-64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
