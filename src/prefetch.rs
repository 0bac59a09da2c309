//! Asks the processor to fetch memory that will be needed soon. The only `unsafe` of the
//! data path: a prefetch reads and writes nothing and may be given any address.

/// Starts to fetch the cache line at which `item` lies.
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
