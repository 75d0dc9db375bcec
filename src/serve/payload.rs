//! What faults make of the files that a node is sent: scripts with other arguments, kernels and initrds that are
//! missing, cut off, or for another machine.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::format::format_of;
use crate::event::{FileFormat, FileRole};
use crate::fault::Faults;
use crate::lab::{FaultKind, PayloadFault};
use crate::name::NodeName;
use crate::wire::format;

/// Scripts are shorter.
const LONGEST_SCRIPT: u64 = 1 << 20;

/// A file or text that would be sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sound<'a> {
    Bytes(&'a [u8]),
    File(&'a File, &'a Metadata),
}

/// What is sent instead.
#[derive(Debug)]
pub(super) enum Spoilt {
    /// Nothing: there is no such file.
    Missing,
    Bytes(Vec<u8>),
    File(File, Metadata),
}

/// Decides whether something is wrong with a file for a node, which counts. Temporary files are created in a folder.
pub(super) fn spoil(
    faults: &Faults,
    node: Option<&NodeName>,
    role: Option<&FileRole>,
    sound: Sound<'_>,
    folder: &Path,
) -> io::Result<Option<Spoilt>> {
    // Few labs have faults, so no file is read before.
    let concerned = node.is_some_and(|node| !faults.standing(node, payload).is_empty());
    if !concerned {
        return Ok(None);
    }
    let seen = Seen::new(role, sound)?;
    let strike = faults.strike(node, |kind| payload(kind).filter(|fault| seen.has(*fault)));
    let Some(strike) = strike else { return Ok(None) };
    let fault = strike;
    Ok(Some(match (fault, sound) {
        (PayloadFault::InitrdMissing, _) => Spoilt::Missing,
        (
            PayloadFault::NoInitrdArgument | PayloadFault::WrongConsole | PayloadFault::WrongRoot,
            Sound::Bytes(_) | Sound::File(..),
        ) => Spoilt::Bytes(
            seen.script.as_deref().and_then(|text| edit(fault, text)).unwrap_or_default().into(),
        ),
        (PayloadFault::Truncated, Sound::Bytes(bytes)) => Spoilt::Bytes(bytes[..bytes.len() / 2].to_vec()),
        (PayloadFault::Truncated, Sound::File(file, metadata)) => {
            copy(file, metadata.len() / 2, folder, |_| Ok(()))?
        }
        (PayloadFault::WrongArchitecture, Sound::Bytes(bytes)) => Spoilt::Bytes(bytes.to_vec()),
        (PayloadFault::WrongArchitecture, Sound::File(file, metadata)) => {
            copy(file, metadata.len(), folder, for_arm)?
        }
    }))
}

fn payload(kind: &FaultKind) -> Option<PayloadFault> {
    match kind {
        FaultKind::Payload(fault) => Some(*fault),
        _ => None,
    }
}

/// What a file is.
struct Seen {
    is_kernel: bool,
    is_initrd: bool,
    script: Option<String>,
}

impl Seen {
    fn new(role: Option<&FileRole>, sound: Sound<'_>) -> io::Result<Self> {
        let format = match sound {
            Sound::Bytes(bytes) => Some(format::of(&bytes[..bytes.len().min(format::HEAD)])),
            Sound::File(file, _) => format_of(file),
        };
        let has_no_role = matches!(role, None | Some(FileRole::File));
        let is = |of: FileRole, formats: &[FileFormat]| {
            role == Some(&of)
                || (has_no_role && format.as_ref().is_some_and(|format| formats.contains(format)))
        };
        let is_script = is(FileRole::Script, &[FileFormat::Script, FileFormat::Text]);
        let script = match sound {
            Sound::Bytes(bytes) if is_script => Some(String::from_utf8_lossy(bytes).into_owned()),
            Sound::File(file, metadata) if is_script && metadata.len() <= LONGEST_SCRIPT => {
                let mut bytes = vec![0; usize::try_from(metadata.len()).map_err(io::Error::other)?];
                file.read_exact_at(&mut bytes, 0)?;
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => None,
        };
        Ok(Self {
            is_kernel: is(FileRole::Kernel, &[FileFormat::Linux]),
            is_initrd: is(FileRole::Initrd, &[FileFormat::Compressed, FileFormat::Cpio]),
            script,
        })
    }

    /// Tells whether a fault changes it.
    fn has(&self, fault: PayloadFault) -> bool {
        match fault {
            PayloadFault::InitrdMissing => self.is_initrd,
            PayloadFault::Truncated => self.is_kernel || self.is_initrd,
            PayloadFault::WrongArchitecture => self.is_kernel,
            PayloadFault::NoInitrdArgument | PayloadFault::WrongConsole | PayloadFault::WrongRoot => {
                self.script.as_deref().is_some_and(|text| edit(fault, text).is_some())
            }
        }
    }
}

/// Returns the first bytes of a file as a file of its own, which has no name.
fn copy(
    file: &File,
    length: u64,
    folder: &Path,
    change: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<Spoilt> {
    static COPIES: AtomicU64 = AtomicU64::new(0);
    std::fs::create_dir_all(folder)?;
    // Several threads copy at the same time.
    let path = folder.join(format!("copy-{}", COPIES.fetch_add(1, Ordering::Relaxed)));
    let made = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    let mut from = file.try_clone()?;
    from.seek(SeekFrom::Start(0))?;
    io::copy(&mut from.take(length), &mut &made)?;
    change(&made)?;
    let metadata = made.metadata()?;
    Ok(Spoilt::File(made, metadata))
}

/// Turns a kernel for x86 into one that looks like a kernel for 64-bit ARM.
fn for_arm(kernel: &File) -> io::Result<()> {
    /// Offset of the magic number of a bzImage, and of that of an Image for ARM (the boot protocols of Linux).
    const X86: (u64, &[u8]) = (0x202, b"\0\0\0\0");
    const ARM: (u64, &[u8]) = (0x38, b"ARM\x64");
    /// Offset of the offset of the PE header, and the machine of 64-bit ARM (PE format, sections 2.1 and 3.3.1).
    const PE: u64 = 0x3c;
    const MACHINE: [u8; 2] = 0xaa64_u16.to_le_bytes();
    kernel.write_all_at(X86.1, X86.0)?;
    kernel.write_all_at(ARM.1, ARM.0)?;
    let mut header = [0; 4];
    kernel.read_exact_at(&mut header, PE)?;
    let header = u64::from(u32::from_le_bytes(header));
    let mut magic = [0; 4];
    if kernel.read_exact_at(&mut magic, header).is_ok() && &magic == b"PE\0\0" {
        kernel.write_all_at(&MACHINE, header + 4)?;
    }
    Ok(())
}

/// Changes the arguments of the kernels that a script starts; `None` if it starts none.
fn edit(fault: PayloadFault, script: &str) -> Option<String> {
    let mut changed = false;
    let mut lines = Vec::new();
    let is_ipxe = script.starts_with("#!ipxe");
    for line in script.split('\n') {
        match starts_kernel(line, is_ipxe) {
            true => {
                let edited = arguments(fault, line);
                changed |= edited != line;
                lines.push(edited);
            }
            false => lines.push(line.to_owned()),
        }
    }
    changed.then(|| lines.join("\n"))
}

/// Tells whether a line of a script of iPXE, GRUB or PXELINUX has the arguments of a kernel.
fn starts_kernel(line: &str, is_ipxe: bool) -> bool {
    let mut words = line.split_whitespace();
    let verb = words.next().unwrap_or_default().to_ascii_lowercase();
    let has_arguments = match verb.as_str() {
        // Of PXELINUX, the arguments are in `append`.
        "kernel" => is_ipxe,
        "imgargs" | "linux" | "linuxefi" | "linux16" | "append" => true,
        _ => false,
    };
    has_arguments && words.next().is_some()
}

fn arguments(fault: PayloadFault, line: &str) -> String {
    let indent = &line[..line.len() - line.trim_start().len()];
    let is = |word: &str, key: &str| word.split_once('=').is_some_and(|(name, _)| name == key);
    let key = match fault {
        PayloadFault::NoInitrdArgument => "initrd",
        PayloadFault::WrongConsole => "console",
        PayloadFault::WrongRoot => "root",
        PayloadFault::InitrdMissing | PayloadFault::WrongArchitecture | PayloadFault::Truncated => {
            return line.to_owned();
        }
    };
    let kept = line.split_whitespace().filter(|word| !is(word, key));
    let instead = match fault {
        PayloadFault::WrongConsole => Some("console=ttyUSB9"),
        PayloadFault::WrongRoot => Some("root=/dev/nowhere"),
        _ => None,
    };
    let words: Vec<&str> = kept.chain(instead).collect();
    format!("{indent}{}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_changed_in_the_scripts_of_every_loader() {
        let edited = |fault, script: &str| edit(fault, script).unwrap_or_default();
        let ipxe = "#!ipxe\nkernel http://10.0.0.1/k initrd=i.img console=ttyS0 quiet\ninitrd --name i.img http://10.0.0.1/i\nboot\n";
        assert_eq!(
            edited(PayloadFault::NoInitrdArgument, ipxe),
            "#!ipxe\nkernel http://10.0.0.1/k console=ttyS0 quiet\ninitrd --name i.img http://10.0.0.1/i\nboot\n"
        );
        assert_eq!(
            edited(
                PayloadFault::WrongConsole,
                "menuentry x {\n  linux (http)/k console=tty0 console=ttyS0\n}"
            ),
            "menuentry x {\n  linux (http)/k console=ttyUSB9\n}"
        );
        assert_eq!(
            edited(PayloadFault::WrongRoot, "label x\n kernel k\n append initrd=i root=/dev/sda1"),
            "label x\n kernel k\n append initrd=i root=/dev/nowhere"
        );
        assert_eq!(edit(PayloadFault::NoInitrdArgument, "#!ipxe\nchain http://10.0.0.1/next\n"), None);
    }

    #[test]
    fn a_kernel_becomes_one_of_another_machine_and_a_file_its_first_half() {
        let folder = tempfile::tempdir().unwrap();
        let mut kernel = vec![0x90_u8; 4096];
        kernel[..2].copy_from_slice(b"MZ");
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        kernel[0x3c..0x40].copy_from_slice(&0x80_u32.to_le_bytes());
        kernel[0x80..0x86].copy_from_slice(b"PE\0\0\x64\x86");
        let path = folder.path().join("k");
        std::fs::write(&path, &kernel).unwrap();
        let file = File::open(&path).unwrap();
        let of = |spoilt: Spoilt| match spoilt {
            Spoilt::File(file, metadata) => (format_of(&file), metadata.len()),
            other => panic!("{other:?}"),
        };
        assert_eq!(format_of(&file), Some(FileFormat::Linux));
        let arm = copy(&file, 4096, folder.path(), for_arm).unwrap();
        assert_eq!(of(arm), (Some(FileFormat::PeArm64), 4096));
        let half = copy(&file, 2048, folder.path(), |_| Ok(())).unwrap();
        assert_eq!(of(half), (Some(FileFormat::Linux), 2048));
        let names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["k"], "copies have no name");
    }
}
