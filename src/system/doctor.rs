//! Checks this host, and names the package or setting that fixes each problem.
//!
//! Facts are gathered first and judged second. The judgement is pure, so any host
//! can be described in a test.

mod packages;
mod trial;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::errno::Errno;
use serde::Serialize;

use super::namespace::subordinate_ids;
use super::nft;
use super::process::{command, find_program};
use crate::plan::{Accel, ForwardDrop, HostFacts};
use packages::{Distribution, Need};
use trial::{Refused, Trial};

pub use trial::trial_main;

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The subject of the check.
    pub name: &'static str,
    /// The result.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// The remedy; several lines if there is a choice.
    pub remedy: Option<String>,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// No problem.
    Ok,
    /// Some labs cannot run, or run slowly.
    Warn,
    /// Most labs cannot run.
    Fail,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Ok, detail: detail.into(), remedy: None }
    }

    fn warn(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, state: State::Warn, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    fn fail(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, state: State::Fail, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}

/// Examines this host: reads its state, and tries what it permits.
///
/// `accel` and `why` are the result of the accelerator self-test. Creates temporary namespaces, and changes nothing
/// else.
pub fn examine(facts: &HostFacts, accel: Accel, why: &str) -> Vec<Check> {
    judge(&Found::here(facts), facts, accel, why)
}

/// What was found beyond the facts of plans.
#[derive(Debug, Clone)]
struct Found {
    /// `/etc/os-release`.
    os_release: String,
    user: String,
    /// This program.
    program: PathBuf,
    /// The iPXE ROM of a virtio NIC.
    rom: Option<PathBuf>,
    trial: Trial,
    /// Whether AppArmor restricts user namespaces for programs without a profile.
    apparmor_restricts: bool,
    /// Whether Debian's sysctl forbids user namespaces for users.
    users_forbidden: bool,
    /// Whether user namespaces are disabled completely.
    none_allowed: bool,
    /// The kind of container that this process runs in.
    container: Option<String>,
    /// Whether the host's firewall filters bridged frames.
    bridges_filtered: bool,
    /// The chains of other programs that drop forwarded traffic; `None` without permission to list them.
    drops: Option<Vec<ForwardDrop>>,
    /// The programs that were found.
    programs: BTreeSet<&'static str>,
    /// Whether the user has subordinate IDs.
    has_subids: bool,
}

impl Found {
    fn here(facts: &HostFacts) -> Self {
        let uid = nix::unistd::geteuid();
        let user = nix::unistd::User::from_uid(uid).ok().flatten().map(|user| user.name);
        let user = user.unwrap_or_else(|| uid.to_string());
        let sysctl = |name: &str| read(Path::new("/proc/sys").join(name));
        let looked_for = ["apt-get", "dpkg-deb", "mmdebstrap", "newuidmap", "unshare", "ssh"];
        Self {
            os_release: Some(read("/etc/os-release"))
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| read("/usr/lib/os-release")),
            program: std::env::current_exe().unwrap_or_else(|_| "/usr/local/bin/dryrack".into()),
            rom: rom(facts),
            trial: trial::attempt(),
            apparmor_restricts: sysctl("kernel/apparmor_restrict_unprivileged_userns").trim() == "1",
            users_forbidden: sysctl("kernel/unprivileged_userns_clone").trim() == "0",
            none_allowed: sysctl("user/max_user_namespaces").trim() == "0",
            container: container(),
            bridges_filtered: sysctl("net/bridge/bridge-nf-call-iptables").trim() == "1",
            drops: nft::forward_drops().ok(),
            programs: looked_for.into_iter().filter(|name| find_program(name).is_some()).collect(),
            has_subids: ["/etc/subuid", "/etc/subgid"]
                .iter()
                .all(|file| !subordinate_ids(&read(file), &user, uid.as_raw()).is_empty()),
            user,
        }
    }

    fn has(&self, program: &str) -> bool {
        self.programs.contains(program)
    }
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Finds the ROM where QEMU itself looks for it.
fn rom(facts: &HostFacts) -> Option<PathBuf> {
    let mut qemu = command(&facts.qemu.as_ref()?.program);
    let output = qemu.args(["-L", "help"]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let folders = String::from_utf8_lossy(&output.stdout).into_owned();
    let roms = folders.lines().map(|folder| Path::new(folder.trim()).join("efi-virtio.rom"));
    roms.filter_map(|rom| rom.canonicalize().ok()).next()
}

/// Returns the kind of container that this process runs in, from the marker files of container engines.
fn container() -> Option<String> {
    // The inodes of the kernel's initial namespaces are constant since 3.8. A virtual machine that was made from a
    // container's file system has the marker files, too.
    let first = [("pid", 0xeffffffc_u32), ("uts", 0xeffffffe)].iter().all(|(kind, number)| {
        let ours = fs::read_link(format!("/proc/self/ns/{kind}"));
        ours.is_ok_and(|ours| ours.as_os_str() == format!("{kind}:[{number}]").as_str())
    });
    (!first).then(mark)?
}

fn mark() -> Option<String> {
    let named = read("/run/systemd/container");
    if !named.trim().is_empty() {
        return Some(named.trim().to_owned());
    }
    if Path::new("/run/.containerenv").exists() {
        return Some("podman".to_owned());
    }
    if Path::new("/.dockerenv").exists() {
        return Some("docker".to_owned());
    }
    let environment = read("/proc/1/environ");
    let said = environment.split('\0').find_map(|entry| entry.strip_prefix("container="));
    said.map(str::to_owned).or_else(|| container_of(&read("/proc/1/cgroup")).map(str::to_owned))
}

fn container_of(cgroup: &str) -> Option<&'static str> {
    ["docker", "lxc", "libpod", "kubepods"].into_iter().find(|engine| cgroup.contains(engine))
}

fn judge(found: &Found, facts: &HostFacts, accel: Accel, why: &str) -> Vec<Check> {
    let examined = Examined { found, facts, os: Distribution::parse(&found.os_release) };
    vec![
        examined.qemu(),
        examined.qemu_img(),
        examined.swtpm(),
        examined.ovmf(),
        examined.secure_boot(),
        examined.roms(),
        examined.kvm(accel, why),
        examined.namespaces(),
        examined.subordinate_ids(),
        examined.tun(),
        examined.nft(),
        examined.pasta(),
        examined.container(),
        examined.firewall(),
        examined.apt(),
        examined.debian_image(),
        examined.ssh(),
    ]
}

struct Examined<'a> {
    found: &'a Found,
    facts: &'a HostFacts,
    os: Distribution,
}

impl Examined<'_> {
    fn install(&self, need: Need) -> String {
        self.os.install(need, self.facts.root)
    }

    fn sudo(&self) -> &'static str {
        if self.facts.root { "" } else { "sudo " }
    }

    fn qemu(&self) -> Check {
        let name = "QEMU";
        let Some(qemu) = &self.facts.qemu else {
            return Check::fail(name, "`qemu-system-x86_64` is not installed", self.install(Need::Qemu));
        };
        let (major, minor, micro) = qemu.version;
        let detail = format!("{}, version {major}.{minor}.{micro}", qemu.program.display());
        if qemu.version < crate::plan::qemu::OLDEST {
            return Check::fail(name, format!("{detail}, is older than 7.2"), self.install(Need::Qemu));
        }
        if qemu.lacks_ipmi {
            let detail = format!("{detail}, has no IPMI devices: nodes with a BMC have no `/dev/ipmi0`");
            return Check::warn(name, detail, "use a QEMU whose `-device help` lists `isa-ipmi-kcs`");
        }
        Check::ok(name, detail)
    }

    fn qemu_img(&self) -> Check {
        match &self.facts.qemu_img {
            Some(program) => Check::ok("qemu-img", program.display().to_string()),
            None => Check::fail(
                "qemu-img",
                "`qemu-img` is not installed; it is needed to create disks",
                self.install(Need::Qemu),
            ),
        }
    }

    fn swtpm(&self) -> Check {
        match &self.facts.swtpm {
            Some(program) => Check::ok("TPM", program.display().to_string()),
            None => Check::warn(
                "TPM",
                "`swtpm` is not installed: `tpm = \"2.0\"` is not available",
                self.install(Need::Swtpm),
            ),
        }
    }

    fn ovmf(&self) -> Check {
        let name = "UEFI firmware";
        let mut open = self.facts.firmware.iter().filter(|file| !file.enrolled_keys);
        // In the plan's order of preference.
        match open.clone().find(|file| !file.secure_boot).or_else(|| open.next()) {
            Some(file) => Check::ok(name, file.code.display().to_string()),
            None => Check::fail(
                name,
                "no UEFI firmware without enrolled keys found: `firmware = \"uefi\"` is not available",
                self.install(Need::Ovmf),
            ),
        }
    }

    fn secure_boot(&self) -> Check {
        let name = "Secure Boot";
        match self.facts.firmware.iter().find(|file| file.secure_boot && file.enrolled_keys) {
            Some(file) => Check::ok(name, file.code.display().to_string()),
            None => Check::warn(
                name,
                "no UEFI firmware with enrolled keys found: `firmware = \"uefi-secure\"` is not available",
                self.install(Need::Ovmf),
            ),
        }
    }

    fn roms(&self) -> Check {
        match &self.found.rom {
            Some(rom) => Check::ok("NIC ROMs", rom.display().to_string()),
            None => Check::fail(
                "NIC ROMs",
                "QEMU cannot find `efi-virtio.rom`, which every machine with a NIC needs",
                self.install(if self.facts.qemu.is_some() { Need::Roms } else { Need::Qemu }),
            ),
        }
    }

    fn kvm(&self, accel: Accel, why: &str) -> Check {
        match accel {
            Accel::Kvm => Check::ok("KVM", why),
            Accel::Tcg => Check {
                name: "KVM",
                state: State::Warn,
                detail: format!("{why}; machines are emulated, which is several times slower"),
                remedy: why.contains("permission denied").then(|| {
                    format!("{}usermod -aG kvm {}, then log in again", self.sudo(), self.found.user)
                }),
            },
        }
    }

    fn namespaces(&self) -> Check {
        let name = "user namespaces";
        let refused = match &self.found.trial {
            Trial::Stands { .. } => {
                return Check::ok(
                    name,
                    format!("{} can create namespaces with a bridge inside", self.found.user),
                );
            }
            Trial::NoNamespaces(refused) | Trial::NoBridge(refused) => refused,
        };
        let remedy = if self.found.none_allowed {
            format!("{}sysctl -w user.max_user_namespaces=15000", self.sudo())
        } else if self.found.users_forbidden && !self.facts.root {
            format!("{}sysctl -w kernel.unprivileged_userns_clone=1", self.sudo())
        } else if self.found.apparmor_restricts && !self.facts.root {
            let profile = include_str!("doctor/apparmor.profile");
            let profile = profile.replace("@PROGRAM@", &self.found.program.display().to_string());
            format!(
                "AppArmor restricts user namespaces for programs without a profile; \
                 write this profile to /etc/apparmor.d/dryrack and load it:\n\n{}",
                profile.trim_end()
            )
        } else if self.found.container.is_some() {
            "the container does not allow it: start the container with `--privileged`, or with `--security-opt seccomp=unconfined \
             --security-opt apparmor=unconfined --cap-add SYS_ADMIN --device /dev/net/tun`"
                .to_owned()
        } else {
            match refused.errno.map(Errno::from_raw) {
                Some(Errno::ENOSPC) => format!("{}sysctl -w user.max_user_namespaces=15000", self.sudo()),
                Some(Errno::EOPNOTSUPP) => format!("{}modprobe bridge", self.sudo()),
                Some(Errno::EINVAL | Errno::ENOSYS) => {
                    "use a kernel with user, PID, network and mount namespaces".to_owned()
                }
                _ => "set `isolation = \"none\"` in the lab and run as root".to_owned(),
            }
        };
        Check::fail(name, refused.why.clone(), remedy)
    }

    fn subordinate_ids(&self) -> Check {
        let name = "subordinate IDs";
        let user = &self.found.user;
        match &self.found.trial {
            Trial::Stands { ids: true, .. } => {
                return Check::ok(name, "servers in a lab can run as other users");
            }
            Trial::Stands { ids: false, .. } => {}
            Trial::NoNamespaces(_) | Trial::NoBridge(_) => return untried(name),
        }
        let lacks = "servers that give up their privileges at start (dnsmasq, nginx, sshd) fail in a lab, \
                     unless they are told to stay root";
        if self.facts.root {
            let detail = format!("{user} has only one user and group here: {lacks}");
            return Check::warn(name, detail, "start the container with more than one user ID");
        }
        if !self.found.has("newuidmap") {
            let detail = format!("`newuidmap` and `newgidmap` are not installed: {lacks}");
            return Check::warn(name, detail, self.install(Need::Uidmap));
        }
        if !self.found.has_subids {
            return Check::warn(name, format!("{user} has none: {lacks}"), self.add_subids());
        }
        let detail = format!("`newuidmap` cannot map those of {user}: {lacks}");
        let remedy = "`newuidmap` and `newgidmap` must be setuid root or have the capabilities cap_setuid and cap_setgid, \
                      and /etc/subuid and /etc/subgid must not name IDs that this host does not have";
        Check::warn(name, detail, remedy)
    }

    /// Returns the command that gives the user subordinate IDs.
    fn add_subids(&self) -> String {
        let user = &self.found.user;
        format!("{}usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}", self.sudo())
    }

    fn tun(&self) -> Check {
        let name = "/dev/net/tun";
        let refused = match &self.found.trial {
            Trial::Stands { tap: Ok(()), nft: _, .. } => {
                return Check::ok(name, "a TAP device can be created in a user namespace");
            }
            Trial::Stands { tap: Err(refused), nft: _, .. } => refused,
            Trial::NoNamespaces(_) | Trial::NoBridge(_) => return untried(name),
        };
        let remedy = match (refused.errno.map(Errno::from_raw), &self.found.container) {
            (Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO), Some(_)) => {
                "start the container with `--device /dev/net/tun`".to_owned()
            }
            (Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO), None) => {
                format!("{}modprobe tun", self.sudo())
            }
            (Some(Errno::EACCES | Errno::EPERM), _) => {
                format!("{}chmod 666 /dev/net/tun (the default of most distributions)", self.sudo())
            }
            _ => "use a kernel with CONFIG_TUN".to_owned(),
        };
        Check::fail(name, refused.why.clone(), remedy)
    }

    fn nft(&self) -> Check {
        let name = "nftables";
        let Some(program) = &self.facts.nft else {
            return Check::warn(
                name,
                "`nft` is not installed: `nat = true` is not available",
                self.install(Need::Nft),
            );
        };
        match &self.found.trial {
            Trial::Stands { nft: Ok(()), tap: _, .. } => {
                Check::ok(name, format!("{}; a table can be loaded in a user namespace", program.display()))
            }
            Trial::Stands { nft: Err(Refused { why, errno: _ }), tap: _, .. } => Check::warn(
                name,
                format!("{why}: `nat = true` is not available"),
                format!("{}modprobe -a nf_tables nft_masq nft_chain_nat nft_ct", self.sudo()),
            ),
            Trial::NoNamespaces(_) | Trial::NoBridge(_) => untried(name),
        }
    }

    fn pasta(&self) -> Check {
        match &self.facts.pasta {
            Some(program) => Check::ok("pasta", program.display().to_string()),
            None => Check::warn(
                "pasta",
                "not installed: `nat = true` is not available in user namespaces",
                self.install(Need::Pasta),
            ),
        }
    }

    fn container(&self) -> Check {
        let name = "container";
        match &self.found.container {
            None => Check::ok(name, "not running in a container"),
            Some(kind) => Check::warn(
                name,
                format!(
                    "running in a container ({kind}): namespaces, /dev/net/tun and /dev/kvm must be granted to it, and \
                     `isolation = \"none\"` uses the container's network"
                ),
                "start the container with `--device /dev/net/tun`, with `--device /dev/kvm` if the host has KVM, and with \
                 `--privileged` if user namespaces are refused above",
            ),
        }
    }

    fn firewall(&self) -> Check {
        let name = "firewall";
        let Some(drops) = &self.found.drops else {
            let detail = "not checked: needs root, and matters only to labs with `isolation = \"none\"`";
            return Check::ok(name, detail);
        };
        let filtered = self.found.bridges_filtered;
        let Some(first) = drops.first() else {
            return Check::ok(name, "no rule drops forwarded traffic");
        };
        let chains: Vec<String> = drops
            .iter()
            .map(|drop| format!("{} (`{} {} {}`)", drop.owner, drop.family, drop.table, drop.chain))
            .collect();
        let what = match filtered {
            true => "drops forwarded traffic, also between nodes on one bridge (br_netfilter)",
            false => "drops forwarded traffic, including the NAT traffic of labs",
        };
        let detail = format!("{}: {what}; labs in user namespaces are not affected", chains.join(", "));
        let remedy = match (filtered, &first.user_chain) {
            (_, Some(chain)) => format!(
                "no action needed; a lab with `isolation = \"none\"` adds an accept rule to `{chain}` and removes it afterwards"
            ),
            (true, None) => format!(
                "only for `isolation = \"none\"`: {}sysctl -w net.bridge.bridge-nf-call-iptables=0, \
                 or allow the lab's bridges in {}",
                self.sudo(),
                first.owner
            ),
            (false, None) => {
                format!("only for `isolation = \"none\"`: allow the lab's bridges in {}", first.owner)
            }
        };
        Check::warn(name, detail, remedy)
    }

    fn apt(&self) -> Check {
        if self.found.has("apt-get") && self.found.has("dpkg-deb") {
            return Check::ok(
                "apt",
                "apt downloads the Debian packages that images are built from; it installs nothing",
            );
        }
        Check::warn(
            "apt",
            "not installed; the built-in images are built from Debian packages",
            match self.os.family {
                Some(packages::Family::Debian | packages::Family::Fedora) => self.install(Need::Apt),
                _ => {
                    "provide your own files: `dryrack image build NAME` lists them (images/NAME/recipe.toml)"
                        .to_owned()
                }
            },
        )
    }

    fn debian_image(&self) -> Check {
        let name = "image `debian`";
        if !self.found.has("mmdebstrap") {
            return Check::warn(
                name,
                "`mmdebstrap` is not installed; it builds this image",
                self.install(Need::Mmdebstrap),
            );
        }
        if self.facts.root {
            return Check::ok(name, "mmdebstrap is installed");
        }
        if !self.found.has("newuidmap") {
            let detail = "`newuidmap` and `newgidmap` are not installed; a build without root needs them";
            return Check::warn(name, detail, self.install(Need::Uidmap));
        }
        if !self.found.has_subids {
            let user = &self.found.user;
            let detail = format!("{user} has no subordinate IDs; a build without root needs them");
            return Check::warn(name, detail, self.add_subids());
        }
        Check::ok(name, "mmdebstrap, newuidmap and subordinate IDs are available")
    }

    fn ssh(&self) -> Check {
        match self.found.has("ssh") {
            true => Check::ok("ssh", "the client is installed"),
            false => Check::warn(
                "ssh",
                "no client installed: `dryrack ssh` and ssh expectations are not available",
                self.install(Need::Ssh),
            ),
        }
    }
}

fn untried(name: &'static str) -> Check {
    let detail = "not tested, because user namespaces are not available";
    Check { name, state: State::Warn, detail: detail.to_owned(), remedy: None }
}

#[cfg(test)]
mod tests;
