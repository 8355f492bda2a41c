//! Memory as macOS tells it; its twin is `linux.rs`.

use std::mem;

use super::amount::Amount;

/// What the machine has; on Apple's own processors the graphics share it. `None` where the system does not say.
pub fn ram() -> Option<Amount> {
    let mut total: u64 = 0;
    let mut size = mem::size_of::<u64>();
    // SAFETY: the name ends with a zero byte, and the buffer is `size` bytes and lives through the call.
    let asked = unsafe {
        libc::sysctlbyname(c"hw.memsize".as_ptr(), (&raw mut total).cast(), &raw mut size, std::ptr::null_mut(), 0)
    };
    if asked != 0 {
        return None;
    }
    // SAFETY: vm_statistics64 is plain integers, for which all zeros is a value.
    let mut pages: libc::vm_statistics64 = unsafe { mem::zeroed() };
    let mut count = libc::HOST_VM_INFO64_COUNT;
    #[allow(deprecated, reason = "a crate of its own for one call is more than it is worth")]
    // SAFETY: the buffer has room for `count` integers and lives through the call.
    let asked = unsafe {
        libc::host_statistics64(libc::mach_host_self(), libc::HOST_VM_INFO64, (&raw mut pages).cast(), &raw mut count)
    };
    // SAFETY: it only asks.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    if asked != 0 {
        return None;
    }
    // What nobody uses, and what is given back when it is needed.
    let free = u64::from(pages.free_count) + u64::from(pages.inactive_count) + u64::from(pages.purgeable_count);
    Some(Amount { total, free: free.saturating_mul(page).min(total) })
}

/// The graphics share the machine's memory.
pub fn gpus() -> Vec<Amount> {
    Vec::new()
}
