//! Memory as macOS reports it; `linux.rs` has the same functions for Linux.

use std::mem;

use super::amount::Amount;

/// Returns the machine's RAM, which graphics share on Apple silicon. `None` if the system doesn't report it.
pub(crate) fn ram() -> Option<Amount> {
    let mut total: u64 = 0;
    let mut size = size_of::<u64>();
    // SAFETY: the name ends with a zero byte, and the buffer is `size` bytes and lives through the call.
    let result = unsafe {
        libc::sysctlbyname(c"hw.memsize".as_ptr(), (&raw mut total).cast(), &raw mut size, std::ptr::null_mut(), 0)
    };
    if result != 0 {
        return None;
    }
    // SAFETY: vm_statistics64 consists of integers, so all zeros is a valid value.
    let mut pages: libc::vm_statistics64 = unsafe { mem::zeroed() };
    let mut count = libc::HOST_VM_INFO64_COUNT;
    #[allow(deprecated, reason = "one call isn't worth the mach2 crate")]
    // SAFETY: the buffer has room for `count` integers and lives through the call.
    let result = unsafe {
        libc::host_statistics64(libc::mach_host_self(), libc::HOST_VM_INFO64, (&raw mut pages).cast(), &raw mut count)
    };
    // SAFETY: sysconf takes no pointers.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    if result != 0 {
        return None;
    }
    // Inactive and purgeable pages are reclaimed when memory is needed.
    let free = u64::from(pages.free_count) + u64::from(pages.inactive_count) + u64::from(pages.purgeable_count);
    Some(Amount { total, free: free.saturating_mul(page).min(total) })
}

/// Returns nothing, because graphics share the machine's memory.
pub(crate) fn gpus() -> Vec<Amount> {
    Vec::new()
}
