//! Asks the processor for memory ahead of its use. The only `unsafe`: a prefetch reads and
//! writes nothing and may be given any address.
//!
//! With millions of sketches an update waits for memory that no cache holds. Whoever has
//! many updates at hand asks for all of their memory first and makes them after.

/// Asks for the cache line at which `item` begins.
#[inline(always)]
#[allow(unsafe_code)]
pub fn prefetch<T: ?Sized>(item: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it cannot fault and changes no memory, and SSE is part of x86-64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast::<i8>());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = item;
}
