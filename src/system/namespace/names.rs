//! The lab's own `/etc/hosts` and `resolv.conf`.

use std::fmt::Write;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use nix::mount::{MsFlags, mount};

use super::{NamespaceError, failed};

/// Mounts the lab's own name files over those of the host, for this mount namespace.
///
/// Besides `hosts` and `resolv.conf`, the order of sources is set to "files, then DNS":
/// glibc modules and daemons that ask the host through a Unix socket (`nss-resolve`,
/// `nscd`) would otherwise answer for the lab.
pub fn name_files(
    run_dir: &Path,
    hosts: &[(IpAddr, String)],
    nameserver: Option<Ipv4Addr>,
    search: &[String],
) -> Result<(), NamespaceError> {
    let host_name = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
    lay_over(run_dir, "hosts", &hosts_text(&host_name, hosts), Path::new("/etc/hosts"))?;
    lay_over(run_dir, "resolv.conf", &resolv_text(nameserver, search), Path::new("/etc/resolv.conf"))?;
    let switch = Path::new("/etc/nsswitch.conf");
    match fs::read_to_string(switch) {
        Ok(text) => lay_over(run_dir, "nsswitch.conf", &switch_text(&text), switch)?,
        // Without the file, glibc's default is the right one; musl does not use it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(NamespaceError::new("cannot read /etc/nsswitch.conf", error)),
    }
    let nscd = Path::new("/run/nscd");
    if nscd.is_dir() {
        mount(Some("tmpfs"), nscd, Some("tmpfs"), MsFlags::MS_NOSUID, None::<&str>)
            .map_err(|e| NamespaceError::new("cannot hide nscd from the lab", e.into()))?;
    }
    Ok(())
}

fn lay_over(run_dir: &Path, name: &str, text: &str, over: &Path) -> Result<(), NamespaceError> {
    let own = run_dir.join(name);
    fs::write(&own, text).map_err(failed(format!("cannot write {}", own.display())))?;
    // The kernel follows a symbolic link to its target, which is the right mount point.
    mount(Some(&own), over, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(|e| {
        let error =
            NamespaceError::new(format!("cannot mount the lab's own file over {}", over.display()), e.into());
        if e == nix::errno::Errno::ENOENT {
            error.with_hint(format!("{0} is missing on this host: `sudo touch {0}`", over.display()))
        } else {
            error
        }
    })
}

/// Returns the text of `/etc/hosts`.
pub(in crate::system) fn hosts_text(host_name: &str, hosts: &[(IpAddr, String)]) -> String {
    let mut text = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    // A DNS server tells others what this file says, so the name is that of an address which they can reach, if there
    // is one.
    let own = hosts.iter().position(|(_, name)| name.split('.').next() == Some(host_name));
    if !host_name.is_empty() && own.is_none() {
        writeln!(text, "127.0.1.1 {host_name}").expect("writing to a string cannot fail");
    }
    for (index, (address, name)) in hosts.iter().enumerate() {
        let short = if own == Some(index) { format!(" {host_name}") } else { String::new() };
        writeln!(text, "{address} {name}{short}").expect("writing to a string cannot fail");
    }
    text
}

/// Returns the text of `/etc/resolv.conf`.
pub(in crate::system) fn resolv_text(nameserver: Option<Ipv4Addr>, search: &[String]) -> String {
    let mut text = String::new();
    if let Some(nameserver) = nameserver {
        writeln!(text, "nameserver {nameserver}").expect("writing to a string cannot fail");
    }
    if !search.is_empty() {
        writeln!(text, "search {}", search.join(" ")).expect("writing to a string cannot fail");
    }
    text
}

/// Returns the text of `/etc/nsswitch.conf` with which names of hosts come from files and DNS only.
pub(in crate::system) fn switch_text(host: &str) -> String {
    let ours = |line: &str| match line.trim_start().starts_with("hosts:") {
        true => "hosts: files dns\n".to_owned(),
        false => format!("{line}\n"),
    };
    host.lines().map(ours).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_name_the_lab_and_nobody_else() {
        let hosts = hosts_text("desk", &["10.0.2.2".parse().map(|a| (a, "node1.local".into())).unwrap()]);
        let resolv = resolv_text(Some(Ipv4Addr::new(10, 0, 2, 1)), &["local".into(), "rack".into()]);
        let switch = switch_text("passwd: files\nhosts:  files resolve [!UNAVAIL=return] dns\n");
        let nodes =
            ["10.0.2.2", "10.0.3.2"].map(|address| (address.parse().unwrap(), "node1.local".to_owned()));
        insta::assert_snapshot!(hosts_text("node1", &nodes), @"
        127.0.0.1 localhost
        ::1 localhost ip6-localhost ip6-loopback
        10.0.2.2 node1.local node1
        10.0.3.2 node1.local
        ");
        insta::assert_snapshot!(format!("{hosts}--\n{resolv}--\n{switch}"), @r"
        127.0.0.1 localhost
        ::1 localhost ip6-localhost ip6-loopback
        127.0.1.1 desk
        10.0.2.2 node1.local
        --
        nameserver 10.0.2.1
        search local rack
        --
        passwd: files
        hosts: files dns
        ");
    }
}
