//! Memory as Linux reports it; `macos.rs` has the same functions for macOS.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::amount::Amount;
use crate::base::disk;

/// Returns the RAM of the machine, or the container's limit if that is lower. `None` if `/proc/meminfo` can't be read.
pub(crate) fn ram() -> Option<Amount> {
    let text = disk::read_to_string(Path::new("/proc/meminfo")).ok()?;
    let value = |name: &str| {
        let kilobytes = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        kilobytes.trim().trim_end_matches(" kB").parse::<u64>().ok()?.checked_mul(1024)
    };
    let machine = Amount { total: value("MemTotal")?, free: value("MemAvailable")? };
    let groups = disk::read_to_string(Path::new("/proc/self/cgroup")).unwrap_or_default();
    Some(apply_limits(machine, Path::new("/sys/fs/cgroup"), &groups))
}

/// Returns `machine`, reduced to the limits of our control groups and their ancestors (cgroups(7), versions 1 and 2).
fn apply_limits(machine: Amount, root: &Path, groups: &str) -> Amount {
    let mut least = machine;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, names) = match controllers {
            "" => (root.to_owned(), ["memory.max", "memory.current", "inactive_file "]),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "])
            }
            _ => continue,
        };
        // In a container the path may be the host's; the root is then the container's own group.
        let own: PathBuf = root.join(path.trim_start_matches('/'));
        for group in own.ancestors().take_while(|group| group.starts_with(&root)) {
            if let Some(group) = read_limit(group, names, machine.total) {
                least = Amount { total: least.total.min(group.total), free: least.free.min(group.free) };
            }
        }
    }
    least
}

/// Returns the limit of a control group, or `None` if it has none or one above `machine_total`.
fn read_limit(group: &Path, [limit, usage, cached]: [&str; 3], machine_total: u64) -> Option<Amount> {
    let number = |name: &str| disk::read_to_string(&group.join(name)).ok()?.trim().parse::<u64>().ok();
    // `max` (no limit) isn't a number. Sessions run this too, so the other files are read only if needed.
    let total = number(limit).filter(|total| *total <= machine_total)?;
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    // The kernel reclaims inactive file cache when memory is needed.
    let cached = stat.lines().find_map(|line| line.strip_prefix(cached)?.trim().parse().ok()).unwrap_or(0);
    let used = number(usage).unwrap_or(0).saturating_sub(cached);
    Some(Amount { total, free: total.saturating_sub(used) })
}

/// Returns the graphics memory of each AMD card, which the driver reports in files.
pub(crate) fn gpus() -> Vec<Amount> {
    let cards = fs::read_dir("/sys/class/drm").into_iter().flatten().flatten();
    let card = |card: PathBuf| {
        let number = |name: &str| fs::read_to_string(card.join("device").join(name)).ok()?.trim().parse::<u64>().ok();
        let total = number("mem_info_vram_total")?;
        Some(Amount { total, free: total.saturating_sub(number("mem_info_vram_used")?) })
    };
    // `card0-DP-1` is a connector of card0.
    cards
        .filter(|entry| !entry.file_name().to_string_lossy().contains('-'))
        .filter_map(|entry| card(entry.path()))
        .collect()
}

/// Returns `None`: graphics that share the memory of the machine may use all of it, as far as the system says.
pub(crate) fn graphics_limit(_total: u64) -> Option<u64> {
    None
}

/// Returns `None`: there is no limit to set.
pub(crate) fn graphics_setting() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Amount = Amount { total: 1000, free: 800 };

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (file, text) in files {
            let file = root.join(file);
            fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
            fs::write(file, text).expect("a file");
        }
    }

    #[test]
    fn this_machine_has_free_memory() {
        let ram = ram().expect("/proc/meminfo");
        assert!(ram.free > 0 && ram.free <= ram.total, "{ram:?}");
    }

    #[test]
    fn limit_of_a_parent_group_applies() {
        let root = tempfile::tempdir().expect("a directory");
        let limit =
            [("memory.max", "500\n"), ("memory.current", "300\n"), ("memory.stat", "anon 1\ninactive_file 100\n")];
        let files = limit.map(|(name, text)| (format!("user.slice/{name}"), text));
        write(root.path(), &files.each_ref().map(|(name, text)| (&**name, *text)));
        write(root.path(), &[("user.slice/mine/memory.max", "max\n")]);
        let found = apply_limits(MACHINE, root.path(), "0::/user.slice/mine\n");
        assert_eq!(found, Amount { total: 500, free: 300 });
        assert_eq!(apply_limits(MACHINE, root.path(), "0::/elsewhere\n"), MACHINE);
    }

    #[test]
    fn cgroup_v1_limits_apply() {
        let root = tempfile::tempdir().expect("a directory");
        // This value means that there is no limit.
        write(root.path(), &[("memory/memory.limit_in_bytes", "9223372036854771712\n")]);
        assert_eq!(apply_limits(MACHINE, root.path(), "4:memory:/docker/abc\n"), MACHINE);
        write(root.path(), &[("memory/memory.limit_in_bytes", "600\n"), ("memory/memory.usage_in_bytes", "100\n")]);
        let found = apply_limits(MACHINE, root.path(), "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n");
        assert_eq!(found, Amount { total: 600, free: 500 });
    }
}
