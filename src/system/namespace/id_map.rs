//! The ID maps of new user namespaces.
//!
//! Root maps all its IDs. Any other user becomes 0 and, if the host gives the user subordinate IDs, has these as 1, 2,
//! … as well: servers such as dnsmasq and sshd give up their privileges at start, and fail if there is no other user.
//! Files that they make then belong to a subordinate ID, and only a process with such a map can remove them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Stdio;

use nix::sched::CloneFlags;
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, User};

use super::NamespaceError;
use super::handle::exit_code;
use super::{OURSELVES, no_namespaces};
use crate::system::process::{command, find_program};
use crate::system::sys::{self, Exec};

/// The most ranges of one user that are mapped: the kernel takes 340 in all.
const RANGES: usize = 100;

/// A range of subordinate IDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::system) struct IdRange {
    first: u32,
    count: u32,
}

/// Returns the ranges of a user in the text of `/etc/subuid` or `/etc/subgid`.
pub(in crate::system) fn subordinate_ids(text: &str, user: &str, uid: u32) -> Vec<IdRange> {
    let uid = uid.to_string();
    let range = |line: &str| -> Option<IdRange> {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        ((name == user || name == uid) && count > 0).then_some(IdRange { first, count })
    };
    text.lines().filter_map(range).take(RANGES).collect()
}

/// Which IDs a map is for.
#[derive(Debug, Clone, Copy)]
enum Ids {
    Users,
    Groups,
}

impl Ids {
    /// Returns the program that maps subordinate IDs, the file that lists them, and the file of the map.
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Users => ("newuidmap", "/etc/subuid", "uid_map"),
            Self::Groups => ("newgidmap", "/etc/subgid", "gid_map"),
        }
    }

    /// Returns our own ID.
    fn own(self) -> u32 {
        match self {
            Self::Users => nix::unistd::geteuid().as_raw(),
            Self::Groups => nix::unistd::getegid().as_raw(),
        }
    }
}

/// Writes the ID maps of a child's new user namespace.
pub(in crate::system) fn map_ids(child: Pid) -> Result<(), NamespaceError> {
    let write =
        |file: &str, text: &str| fs::write(format!("/proc/{child}/{file}"), text).map_err(no_namespaces);
    if nix::unistd::geteuid().is_root() {
        for ids in [Ids::Users, Ids::Groups] {
            let (_, _, file) = ids.names();
            let ours = fs::read_to_string(format!("/proc/self/{file}")).map_err(no_namespaces)?;
            write(file, &same_ids(&ours))?;
        }
        return Ok(());
    }
    // Groups come first: without them a map of users would be of little use, and a map cannot be changed.
    if map_subordinate(child, Ids::Groups) {
        if map_subordinate(child, Ids::Users) {
            return Ok(());
        }
    } else {
        write("setgroups", "deny")?;
        write("gid_map", &format!("0 {} 1", Ids::Groups.own()))?;
    }
    write("uid_map", &format!("0 {} 1", Ids::Users.own()))
}

/// Maps us to 0 and our subordinate IDs from 1 on. Only a program with privileges may do that; `dryrack doctor` tells
/// why it cannot.
fn map_subordinate(child: Pid, ids: Ids) -> bool {
    let (program, list, _) = ids.names();
    let Some(program) = find_program(program) else { return false };
    let uid = nix::unistd::geteuid();
    let user = User::from_uid(uid).ok().flatten().map(|user| user.name).unwrap_or_default();
    let ranges = subordinate_ids(&fs::read_to_string(list).unwrap_or_default(), &user, uid.as_raw());
    if ranges.is_empty() {
        return false;
    }
    let mut map = command(&program);
    map.arg(child.to_string()).args(arguments(ids.own(), &ranges).iter().map(u32::to_string));
    match map.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            tracing::debug!(program = %program.display(), said, "subordinate IDs are not mapped");
            false
        }
        Err(error) => {
            tracing::debug!(program = %program.display(), %error, "subordinate IDs are not mapped");
            false
        }
    }
}

/// Returns the triples of inner ID, outer ID and count.
fn arguments(own: u32, ranges: &[IdRange]) -> Vec<u32> {
    let mut arguments = vec![0, own, 1];
    let mut next = 1_u32;
    for IdRange { first, count } in ranges {
        // What does not fit into 32 bits is left out.
        let count = (*count).min(u32::MAX - next);
        if count > 0 {
            arguments.extend([next, *first, count]);
            next += count;
        }
    }
    arguments
}

/// Returns an ID map that gives a child the same IDs: maps each range to itself.
fn same_ids(ours: &str) -> String {
    let mut map = String::new();
    for line in ours.lines() {
        if let [first, _, count] = line.split_ascii_whitespace().collect::<Vec<_>>()[..] {
            map.extend([first, " ", first, " ", count, "\n"]);
        }
    }
    map
}

/// Tells whether this process can become other users and groups: more than one of each is mapped.
pub(in crate::system) fn has_other_ids() -> bool {
    let count = |file: &str| -> u64 {
        let map = fs::read_to_string(file).unwrap_or_default();
        map.lines().filter_map(|line| line.split_ascii_whitespace().nth(2)?.parse::<u64>().ok()).sum()
    };
    count("/proc/self/uid_map") > 1 && count("/proc/self/gid_map") > 1
}

/// Tells whether processes of a lab that we start can become other users and groups.
pub fn may_have_other_ids() -> bool {
    let uid = nix::unistd::geteuid();
    let user = User::from_uid(uid).ok().flatten().map(|user| user.name).unwrap_or_default();
    uid.is_root()
        || [Ids::Users, Ids::Groups].into_iter().all(|ids| {
            let (program, list, _) = ids.names();
            let list = fs::read_to_string(list).unwrap_or_default();
            find_program(program).is_some() && !subordinate_ids(&list, &user, uid.as_raw()).is_empty()
        })
}

/// Removes a folder with everything in it, also if servers of a lab made folders in it under other IDs.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error)
            if error.kind() == io::ErrorKind::PermissionDenied && !nix::unistd::geteuid().is_root() =>
        {
            // The first error names the file.
            remove_with_other_ids(path).map_err(|_| error)
        }
        done => done,
    }
}

fn remove_with_other_ids(path: &Path) -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let args = [OsStr::new("dryrack"), OsStr::new("@remove"), path.as_os_str()];
    let exec = Exec::new(OsStr::new(OURSELVES), &args, &[null.as_fd(), null.as_fd(), null.as_fd()], &[])?;
    let child = sys::clone_exec(CloneFlags::CLONE_NEWUSER, &exec)?;
    let pid = child.pid;
    // A gated child that is dropped exits.
    let opened = map_ids(pid).map_err(io::Error::other).and_then(|()| child.open());
    let ended = waitpid(pid, None)?;
    opened?;
    match exit_code(ended) {
        Some(0) => Ok(()),
        _ => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Runs the role `@remove FOLDER` in a user namespace with all IDs of the user, and returns its exit code.
pub fn remove_main() -> u8 {
    let folder = std::env::args_os().nth(2);
    u8::from(folder.is_none_or(|folder| fs::remove_dir_all(folder).is_err()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_mapped_onto_themselves() {
        assert_eq!(same_ids("         0          0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(same_ids("0 1000 1\n1 100000 65536\n"), "0 0 1\n1 1 65536\n");
    }

    #[test]
    fn the_ranges_of_a_user_are_found_by_name_and_by_number() {
        let text = "# none\nbob:100000:65536\nann:165536:65536\n1001:300000:10\nann:x:1\nann:7:0\n\n";
        let found = subordinate_ids(text, "ann", 1001);
        let range = |first, count| IdRange { first, count };
        assert_eq!(found, [range(165_536, 65_536), range(300_000, 10)]);
        assert_eq!(arguments(1001, &found), [0, 1001, 1, 1, 165_536, 65_536, 65_537, 300_000, 10]);
        assert_eq!(subordinate_ids(text, "eve", 1002), []);
        let all = [range(0, u32::MAX), range(9, 9)];
        assert_eq!(arguments(5, &all), [0, 5, 1, 1, 0, u32::MAX - 1]);
    }
}
