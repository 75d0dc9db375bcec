//! Memory that is available to machines: what the kernel has available, within the limits of control groups.

use std::path::{Path, PathBuf};

use super::read;
use crate::name::Bytes;

/// The memory files of a cgroup version.
struct Accounting {
    limit: &'static str,
    usage: &'static str,
    /// The cached pages that count as used but are reclaimable.
    cache: &'static str,
}

const VERSION_1: Accounting = Accounting {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cache: "total_inactive_file",
};
const VERSION_2: Accounting =
    Accounting { limit: "memory.max", usage: "memory.current", cache: "inactive_file" };

/// Returns the memory that is available to machines.
pub(super) fn free() -> Bytes {
    let available = available(&read("/proc/meminfo")).unwrap_or(0);
    let (membership, mounts) = (read("/proc/self/cgroup"), read("/proc/self/mountinfo"));
    let left =
        groups(&membership, &mounts).into_iter().filter_map(|(group, accounting)| left(&group, &accounting));
    Bytes(left.fold(available, u64::min))
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// Returns the memory cgroup of this process and all its ancestors.
fn groups(membership: &str, mounts: &str) -> Vec<(PathBuf, Accounting)> {
    let mut groups = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let version_2 = controllers.is_empty();
        if !version_2 && controllers.split(',').all(|controller| controller != "memory") {
            continue;
        }
        let Some(mount) = mount(mounts, version_2) else { continue };
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            groups.push((mount.join(group), if version_2 { VERSION_2 } else { VERSION_1 }));
        }
    }
    groups
}

/// Finds the mount point of the memory hierarchy.
fn mount(mounts: &str, version_2: bool) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let kind = after.split(' ').next()?;
        let memory = || after.split([' ', ',']).any(|option| option == "memory");
        let found = if version_2 { kind == "cgroup2" } else { kind == "cgroup" && memory() };
        found.then(|| before.split(' ').nth(4).map(PathBuf::from))?
    })
}

fn left(group: &Path, accounting: &Accounting) -> Option<u64> {
    let number = |file: &str| read(group.join(file)).trim().parse::<u64>().ok();
    // Without a limit there is `max`, or a number beyond any memory.
    let limit = number(accounting.limit)?;
    let cache = statistic(&read(group.join("memory.stat")), accounting.cache).unwrap_or(0);
    Some(limit.saturating_sub(number(accounting.usage)?.saturating_sub(cache)))
}

fn statistic(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn available_memory_is_read() {
        assert_eq!(available("MemTotal: 24684328 kB\nMemAvailable:   24029200 kB\n"), Some(24_029_200 << 10));
        assert_eq!(available("MemTotal: 24684328 kB\n"), None);
    }

    #[test]
    fn groups_of_both_versions_are_found_up_to_their_roots() {
        let mounts = "\
30 25 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct
34 30 0:30 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
";
        let found = |membership: &str, mounts: &str| -> Vec<String> {
            groups(membership, mounts).iter().map(|(group, _)| group.display().to_string()).collect()
        };
        let both = "4:memory:/a/b\n2:cpu,cpuacct:/\n0::/user.slice\n";
        assert_eq!(
            found(both, mounts),
            [
                "/sys/fs/cgroup/memory/a/b",
                "/sys/fs/cgroup/memory/a",
                "/sys/fs/cgroup/memory/",
                "/sys/fs/cgroup/unified/user.slice",
                "/sys/fs/cgroup/unified/",
            ]
        );
        assert!(found("0::/\n", "").is_empty());
    }

    #[test]
    fn the_cache_of_a_group_counts_as_free() {
        let group = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| fs::write(group.path().join(file), text).unwrap();
        put("memory.max", "1000\n");
        put("memory.current", "700\n");
        put("memory.stat", "anon 400\ninactive_file_of 9\ninactive_file 300\n");
        assert_eq!(left(group.path(), &VERSION_2), Some(600));
        put("memory.current", "2000\n");
        assert_eq!(left(group.path(), &VERSION_2), Some(0));
        put("memory.max", "max\n");
        assert_eq!(left(group.path(), &VERSION_2), None);
    }
}
