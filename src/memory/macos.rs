//! Memory as macOS reports it; `linux.rs` has the same functions for Linux.

use std::{ffi::CStr, mem, ptr};

use super::{amount::Amount, machine::limit_of_graphics};

unsafe extern "C" {
    /// The page size of the kernel, which counts in it (`libsyscall/mach/mach_init.c` of xnu). Programs for Intel have
    /// smaller pages on Apple silicon.
    static vm_kernel_page_size: libc::vm_size_t;
}

/// Returns the machine's RAM, which graphics share on Apple silicon. `None` if the system doesn't report it.
pub(crate) fn ram() -> Option<Amount> {
    let total = sysctl(c"hw.memsize")?;
    // SAFETY: vm_statistics64 consists of integers, so all zeros is a valid value.
    let mut pages: libc::vm_statistics64 = unsafe { mem::zeroed() };
    let mut count = libc::HOST_VM_INFO64_COUNT;
    #[allow(deprecated, reason = "one call isn't worth the mach2 crate")]
    // SAFETY: the buffer has room for `count` integers and lives through the call.
    let result = unsafe {
        libc::host_statistics64(libc::mach_host_self(), libc::HOST_VM_INFO64, (&raw mut pages).cast(), &raw mut count)
    };
    // SAFETY: the library sets it before `main` and never changes it.
    let page = unsafe { vm_kernel_page_size } as u64;
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

/// Returns how many bytes of `total` graphics may use. `None` on an Intel Mac, whose graphics have their own memory or take
/// as much as they need.
///
/// A program for Intel, run by Rosetta, shares the machine with the servers, which may be for either.
pub(crate) fn graphics_limit(total: u64) -> Option<u64> {
    // Apple's "Determining System Capabilities" and "About the Rosetta Translation Environment".
    let is_apple_silicon =
        [c"hw.optional.arm64", c"sysctl.proc_translated"].into_iter().any(|it| sysctl(it) == Some(1));
    // macOS 13 has another name for it, with a number of bytes.
    let old = || sysctl(c"debug.iogpu.wired_limit").map(|bytes| bytes / (1024 * 1024));
    is_apple_silicon.then(|| limit_of_graphics(total, graphics_setting().or_else(old).unwrap_or(0)))
}

/// Returns the limit in megabytes that the user has set, 0 for the default, or `None` before macOS 14.
pub(crate) fn graphics_setting() -> Option<u64> {
    sysctl(c"iogpu.wired_limit_mb")
}

/// Returns a number that the kernel knows by this name, or `None` if it has none or it is larger than 64 bits.
fn sysctl(name: &CStr) -> Option<u64> {
    // Smaller ones fill the first bytes, which are the lower ones on all Macs.
    let mut value: u64 = 0;
    let mut size = size_of::<u64>();
    // SAFETY: the name ends with a zero byte, and the buffer is `size` bytes and lives through the call.
    let result =
        unsafe { libc::sysctlbyname(name.as_ptr(), (&raw mut value).cast(), &raw mut size, ptr::null_mut(), 0) };
    (result == 0).then_some(value)
}
