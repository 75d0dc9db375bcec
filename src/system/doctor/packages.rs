//! Package names by distribution.

/// Something that a package provides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Qemu,
    Ovmf,
    Roms,
    Swtpm,
    Pasta,
    Nft,
    Ssh,
    Mmdebstrap,
    Uidmap,
    Apt,
}

/// A family of distributions that share a package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Debian,
    Fedora,
    Arch,
    Suse,
    Alpine,
    NixOs,
}

impl Family {
    pub(super) const ALL: [Self; 6] =
        [Self::Debian, Self::Fedora, Self::Arch, Self::Suse, Self::Alpine, Self::NixOs];

    fn name(self) -> &'static str {
        match self {
            Self::Debian => "Debian, Ubuntu",
            Self::Fedora => "Fedora, RHEL",
            Self::Arch => "Arch",
            Self::Suse => "openSUSE",
            Self::Alpine => "Alpine",
            Self::NixOs => "NixOS",
        }
    }
}

/// The distribution of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Distribution {
    /// `None` if it is of no known family.
    pub(super) family: Option<Family>,
    /// Whether it is RHEL or a rebuild, which lacks some of Fedora's packages.
    pub(super) enterprise: bool,
}

impl Distribution {
    /// Parses `/etc/os-release`.
    pub(super) fn parse(os_release: &str) -> Self {
        let value = |key: &str| {
            let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches(['"', '\'']).to_lowercase()
        };
        let (id, like) = (value("ID"), value("ID_LIKE"));
        let family = std::iter::once(id.as_str()).chain(like.split(' ')).find_map(|word| {
            Some(match word {
                "debian" | "ubuntu" => Family::Debian,
                "fedora" | "rhel" | "centos" => Family::Fedora,
                "arch" => Family::Arch,
                "suse" | "opensuse" | "opensuse-leap" | "opensuse-tumbleweed" => Family::Suse,
                "alpine" => Family::Alpine,
                "nixos" => Family::NixOs,
                _ => return None,
            })
        });
        let enterprise = family == Some(Family::Fedora) && id != "fedora";
        Self { family, enterprise }
    }

    /// Says how to install what is needed: the command for this distribution, or those for all.
    pub(super) fn install(self, need: Need, root: bool) -> String {
        if self.enterprise && need == Need::Qemu {
            return "RHEL and its rebuilds do not package `qemu-system-x86_64` (`qemu-kvm` is a different program): \
                    build QEMU 7.2 or later from source"
                .to_owned();
        }
        match self.family {
            Some(family) => command(family, need, root),
            None => {
                let lines =
                    Family::ALL.map(|family| format!("{}: {}", family.name(), command(family, need, root)));
                lines.join("\n")
            }
        }
    }
}

fn command(family: Family, need: Need, root: bool) -> String {
    let Some(packages) = packages(family, need) else {
        return format!("{} has no package for it", family.name());
    };
    let sudo = if root { "" } else { "sudo " };
    match family {
        Family::Debian => format!("{sudo}apt-get install {packages}"),
        Family::Fedora => format!("{sudo}dnf install {packages}"),
        Family::Arch => format!("{sudo}pacman -S {packages}"),
        Family::Suse => format!("{sudo}zypper install {packages}"),
        Family::Alpine => format!("{sudo}apk add {packages}"),
        Family::NixOs => format!("add `{packages}` to environment.systemPackages"),
    }
}

fn packages(family: Family, need: Need) -> Option<&'static str> {
    use Family::{Alpine, Arch, Debian, Fedora, NixOs, Suse};
    Some(match (need, family) {
        // In one command: with a newer qemu-utils from backports, Debian 12's apt would remove one for the other.
        (Need::Qemu, Debian) => "qemu-system-x86 qemu-utils",
        (Need::Qemu, Fedora) => "qemu-system-x86-core qemu-img",
        (Need::Qemu, Arch) => "qemu-system-x86 qemu-img",
        (Need::Qemu, Suse) => "qemu-x86 qemu-img",
        (Need::Qemu, Alpine) => "qemu-system-x86_64 qemu-img",
        // QEMU includes OVMF and ROMs there.
        (Need::Qemu | Need::Ovmf | Need::Roms, NixOs) => "qemu",
        (Need::Ovmf, Debian | Alpine) => "ovmf",
        (Need::Ovmf, Fedora | Arch) => "edk2-ovmf",
        (Need::Ovmf, Suse) => "qemu-ovmf-x86_64",
        (Need::Roms, Debian) => "ipxe-qemu",
        (Need::Roms, Fedora) => "ipxe-roms-qemu",
        (Need::Roms, Suse) => "qemu-ipxe",
        (Need::Roms, Arch) => "qemu-system-x86",
        (Need::Roms, Alpine) => "qemu-system-x86_64",
        (Need::Swtpm, Debian | Fedora | Arch | Suse | Alpine | NixOs) => "swtpm",
        (Need::Pasta, Debian | Fedora | Arch | Suse | Alpine | NixOs) => "passt",
        (Need::Nft, Debian | Fedora | Arch | Suse | Alpine | NixOs) => "nftables",
        (Need::Ssh, Debian) => "openssh-client",
        (Need::Ssh, Fedora | Suse) => "openssh-clients",
        (Need::Ssh, Arch | NixOs) => "openssh",
        (Need::Ssh, Alpine) => "openssh-client-default",
        (Need::Mmdebstrap, Debian | Fedora | NixOs) => "mmdebstrap",
        (Need::Mmdebstrap, Arch | Suse | Alpine) => return None,
        (Need::Uidmap, Debian) => "uidmap",
        (Need::Uidmap, Fedora) => "shadow-utils",
        (Need::Uidmap, Arch | Suse | NixOs) => "shadow",
        (Need::Uidmap, Alpine) => "shadow-subids",
        (Need::Apt, Debian) => "apt dpkg",
        (Need::Apt, Fedora) => "apt dpkg",
        (Need::Apt, Arch | Suse | Alpine | NixOs) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_told_by_their_release_file() {
        let family = |text: &str| Distribution::parse(text).family;
        assert_eq!(family("NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_ID=\"12\"\n"), Some(Family::Debian));
        assert_eq!(family("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Some(Family::Debian));
        assert_eq!(family("ID=fedora\n"), Some(Family::Fedora));
        assert_eq!(family("ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n"), Some(Family::Suse));
        assert_eq!(family("ID=manjaro\nID_LIKE=arch\n"), Some(Family::Arch));
        assert_eq!(family("ID=alpine\n"), Some(Family::Alpine));
        assert_eq!(family("ID=nixos\n"), Some(Family::NixOs));
        assert_eq!(family("ID=plan9\n"), None);
        assert_eq!(family(""), None);
        assert!(Distribution::parse("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n").enterprise);
        assert!(!Distribution::parse("ID=fedora\n").enterprise);
    }

    #[test]
    fn the_line_that_fits_is_picked() {
        let install = |os: &str, need, root| Distribution::parse(os).install(need, root);
        assert_eq!(install("ID=debian", Need::Qemu, true), "apt-get install qemu-system-x86 qemu-utils");
        assert_eq!(install("ID=fedora", Need::Roms, false), "sudo dnf install ipxe-roms-qemu");
        assert_eq!(install("ID=nixos", Need::Pasta, false), "add `passt` to environment.systemPackages");
        assert_eq!(install("ID=arch", Need::Apt, false), "Arch has no package for it");
        insta::assert_snapshot!(install("ID=centos", Need::Qemu, false), @"RHEL and its rebuilds do not package `qemu-system-x86_64` (`qemu-kvm` is a different program): build QEMU 7.2 or later from source");
        insta::assert_snapshot!(install("ID=plan9", Need::Ovmf, false), @"
            Debian, Ubuntu: sudo apt-get install ovmf
            Fedora, RHEL: sudo dnf install edk2-ovmf
            Arch: sudo pacman -S edk2-ovmf
            openSUSE: sudo zypper install qemu-ovmf-x86_64
            Alpine: sudo apk add ovmf
            NixOS: add `qemu` to environment.systemPackages
            ");
    }
}
