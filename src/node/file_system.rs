//! Finds a file on a disk that is seen from outside, in the file systems of its partitions.
//!
//! The disk may be in use: what the system has not written yet is not there, and what it writes meanwhile may be read
//! half. A later look then reads it whole.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::rc::Rc;

use ext4_view::{Ext4, Ext4Error, Ext4Read};

use super::partition_table::{HEAD, Role, SECTOR, layout};

/// How much of a file is read.
pub const MOST: u64 = 1 << 20;

/// How much of a volume tells what it is: btrfs has its superblock after 64 KiB.
const SIGNS: u64 = 65 * 1024;

/// The size of a piece of FAT that is read at once.
const PIECE: u64 = 16 * 1024;

/// How often FAT is read for one file: a folder whose chain of clusters is a circle has no end. An entry takes about a
/// dozen reads.
const READS: u32 = 1 << 20;

/// A disk that can be read at any place.
pub trait ReadAt {
    /// Returns its size in bytes.
    fn size(&self) -> u64;

    /// Reads bytes from a place.
    fn read_at(&mut self, place: u64, into: &mut [u8]) -> io::Result<()>;
}

/// What was found on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSought {
    /// The file, if there is one.
    pub file: Option<FileFound>,
    /// The file systems that were searched.
    pub searched: Vec<Volume>,
    /// What could not be searched.
    pub skipped: Vec<Volume>,
}

/// A file of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFound {
    /// Where it is.
    pub on: Volume,
    /// Its permissions; FAT has none.
    pub mode: Option<u32>,
    /// The numbers of the user and the group that own it.
    pub owner: Option<(u32, u32)>,
    /// The first mebibyte of its content; empty for a folder.
    pub content: Vec<u8>,
}

/// A part of a disk, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume {
    /// Its first sector.
    pub first: u64,
    /// What it holds.
    pub holds: Holds,
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at sector {}", self.holds.as_str(), self.first)
    }
}

/// What a part of a disk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Zeros.
    Nothing,
    /// ext2, ext3 or ext4.
    Ext,
    /// FAT12, FAT16 or FAT32.
    Fat,
    /// Swap space.
    Swap,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
    /// A physical volume of LVM.
    Lvm,
    /// An encrypted volume.
    Luks,
    /// The file system of CDs.
    Iso9660,
    /// Anything else.
    Unknown,
}

impl Holds {
    fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Ext => "ext4",
            Self::Fat => "FAT",
            Self::Swap => "swap space",
            Self::Xfs => "XFS",
            Self::Btrfs => "btrfs",
            Self::Lvm => "LVM",
            Self::Luks => "LUKS",
            Self::Iso9660 => "ISO 9660",
            Self::Unknown => "unknown data",
        }
    }
}

/// Looks for a file, by its path within its file system; the first file system that has it counts.
pub fn find(disk: impl ReadAt + 'static, path: &Path) -> io::Result<FileSought> {
    let size = disk.size();
    let disk = Rc::new(RefCell::new(disk));
    let mut sought = FileSought { file: None, searched: Vec::new(), skipped: Vec::new() };
    for (first, length) in volumes(&disk, size)? {
        let part = Part { disk: Rc::clone(&disk), start: first * SECTOR, length, position: 0 };
        let volume = Volume { first, holds: part.look()? };
        let found = match volume.holds {
            Holds::Ext => in_ext(part, path),
            Holds::Fat => in_fat(part, path),
            // No files are there.
            Holds::Nothing | Holds::Swap => continue,
            Holds::Xfs | Holds::Btrfs | Holds::Lvm | Holds::Luks | Holds::Iso9660 | Holds::Unknown => {
                sought.skipped.push(volume);
                continue;
            }
        };
        sought.searched.push(volume);
        if let Some((mode, owner, content)) = found? {
            sought.file = Some(FileFound { on: volume, mode, owner, content });
            break;
        }
    }
    Ok(sought)
}

/// Returns first sector and size in bytes of each part of a disk that can hold files: its partitions, or the whole disk.
fn volumes<D: ReadAt>(disk: &Rc<RefCell<D>>, size: u64) -> io::Result<Vec<(u64, u64)>> {
    let whole = Part { disk: Rc::clone(disk), start: 0, length: size, position: 0 };
    if matches!(whole.look()?, Holds::Ext | Holds::Fat) {
        return Ok(vec![(0, size)]);
    }
    let head = whole.head(u64::from(HEAD))?;
    let Ok(layout) = layout(&head, size) else { return Ok(vec![(0, size)]) };
    let on_disk = layout.partitions.iter().filter(|partition| {
        // One beyond the end of the disk cannot be read, and a BIOS boot partition holds a program.
        partition.role != Role::BiosBoot
            && partition.first <= partition.last
            && partition.last.checked_mul(SECTOR).is_some_and(|last| last < size)
    });
    Ok(on_disk.map(|partition| (partition.first, (partition.last - partition.first + 1) * SECTOR)).collect())
}

/// Mode, owner and content of a file.
type Parts = (Option<u32>, Option<(u32, u32)>, Vec<u8>);

fn in_ext<D: ReadAt + 'static>(part: Part<D>, path: &Path) -> io::Result<Option<Parts>> {
    let found = || -> Result<Option<Parts>, Ext4Error> {
        let system = Ext4::load(Box::new(part))?;
        let path = path.as_os_str().as_encoded_bytes();
        let path = ext4_view::Path::try_from(path).map_err(|_| Ext4Error::MalformedPath)?;
        let metadata = match system.metadata(path) {
            Err(Ext4Error::NotFound | Ext4Error::NotADirectory) => return Ok(None),
            other => other?,
        };
        let mut content = Vec::new();
        if metadata.file_type().is_regular_file() {
            let mut file = system.open(path)?;
            let mut piece = vec![0; 1 << 16];
            while (content.len() as u64) < MOST {
                let read = file.read_bytes(&mut piece)?;
                if read == 0 {
                    break;
                }
                content.extend_from_slice(&piece[..read]);
            }
            content.truncate(usize::try_from(MOST).unwrap_or(usize::MAX));
        }
        Ok(Some((Some(metadata.mode().into()), Some((metadata.uid(), metadata.gid())), content)))
    };
    found().map_err(|error| match error {
        Ext4Error::Io(source) => io::Error::other(source),
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    })
}

fn in_fat<D: ReadAt>(part: Part<D>, path: &Path) -> io::Result<Option<Parts>> {
    let system = fatfs::FileSystem::new(
        Pieces { part, piece: Vec::new(), at: 0, reads: READS },
        fatfs::FsOptions::new(),
    )?;
    let root = system.root_dir();
    let path = path.to_string_lossy();
    let path = path.trim_matches('/');
    if path.is_empty() || root.open_dir(path).is_ok() {
        return Ok(Some((None, None, Vec::new())));
    }
    let file = match root.open_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut content = Vec::new();
    file.take(MOST).read_to_end(&mut content)?;
    Ok(Some((None, None, content)))
}

/// A part of a disk.
struct Part<D> {
    disk: Rc<RefCell<D>>,
    start: u64,
    length: u64,
    position: u64,
}

impl<D: ReadAt> Part<D> {
    fn fill(&self, place: u64, into: &mut [u8]) -> io::Result<()> {
        let end = place.checked_add(into.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.disk.borrow_mut().read_at(self.start + place, into)
    }

    /// Reads its first bytes, fewer if it is smaller.
    fn head(&self, most: u64) -> io::Result<Vec<u8>> {
        let mut head = vec![0; usize::try_from(most.min(self.length)).unwrap_or_default()];
        self.fill(0, &mut head)?;
        Ok(head)
    }

    /// Tells what it holds, by the signs of each format.
    fn look(&self) -> io::Result<Holds> {
        let head = self.head(SIGNS)?;
        let has = |place: usize, sign: &[u8]| head.get(place..).is_some_and(|rest| rest.starts_with(sign));
        // The magic number of the superblock (Documentation/filesystems/ext4/super.rst of Linux).
        let found = if has(1024 + 0x38, &[0x53, 0xef]) {
            Holds::Ext
        } else if has(510, &[0x55, 0xaa]) && (has(0x36, b"FAT") || has(0x52, b"FAT32")) {
            Holds::Fat
        } else if has(0, b"XFSB") {
            Holds::Xfs
        } else if has(0x1_0040, b"_BHRfS_M") {
            Holds::Btrfs
        } else if has(512, b"LABELONE") {
            Holds::Lvm
        } else if has(0, b"LUKS\xba\xbe") {
            Holds::Luks
        } else if has(4086, b"SWAPSPACE2") {
            Holds::Swap
        } else if has(0x8001, b"CD001") {
            Holds::Iso9660
        } else if head.iter().all(|byte| *byte == 0) {
            Holds::Nothing
        } else {
            Holds::Unknown
        };
        Ok(found)
    }
}

impl<D: ReadAt> Ext4Read for Part<D> {
    fn read(&mut self, start: u64, into: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync + 'static>> {
        self.fill(start, into).map_err(Into::into)
    }
}

/// A part that is read in larger pieces: a FAT is read entry by entry, and each read is a request.
struct Pieces<D> {
    part: Part<D>,
    piece: Vec<u8>,
    /// Where the piece is.
    at: u64,
    /// How many reads are left.
    reads: u32,
}

impl<D: ReadAt> Read for Pieces<D> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(reads) = self.reads.checked_sub(1) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its chains of clusters have no end"));
        };
        self.reads = reads;
        let position = self.part.position;
        let is_in = |at: u64, piece: &[u8]| (at..at + piece.len() as u64).contains(&position);
        if !is_in(self.at, &self.piece) {
            let at = position - position % PIECE;
            let length = self.part.length.saturating_sub(at).min(PIECE);
            let mut piece = vec![0; usize::try_from(length).unwrap_or_default()];
            self.part.fill(at, &mut piece)?;
            (self.at, self.piece) = (at, piece);
        }
        let from = usize::try_from(position - self.at).unwrap_or_default();
        let rest = self.piece.get(from..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.part.position += count as u64;
        Ok(count)
    }
}

impl<D> Seek for Pieces<D> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(by) => self.part.position.checked_add_signed(by),
            SeekFrom::End(by) => self.part.length.checked_add_signed(by),
        };
        self.part.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.part.position)
    }
}

impl<D> Write for Pieces<D> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    impl ReadAt for Vec<u8> {
        fn size(&self) -> u64 {
            self.len() as u64
        }

        fn read_at(&mut self, place: u64, into: &mut [u8]) -> io::Result<()> {
            let place = usize::try_from(place).unwrap();
            into.copy_from_slice(&self[place..place + into.len()]);
            Ok(())
        }
    }

    /// A disk with an MBR and three partitions: FAT, ext4, and what is given as the third.
    fn disk(third: &[u8]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        std::fs::create_dir_all(tree.join("etc/init.d")).unwrap();
        std::fs::write(tree.join("etc/hostname"), "node1.lab\n").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", tree.join("etc/init.d/name")).unwrap();
        let ext = folder.path().join("ext4");
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-E", "root_owner=0:0", "-d"])
            .args([&tree, &ext])
            .arg("8M")
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut volume = std::io::Cursor::new(vec![0; 4 << 20]);
        fatfs::format_volume(&mut volume, fatfs::FormatVolumeOptions::new()).unwrap();
        let system = fatfs::FileSystem::new(&mut volume, fatfs::FsOptions::new()).unwrap();
        system.root_dir().create_dir("EFI").unwrap();
        system.root_dir().create_file("EFI/grub.cfg").unwrap().write_all(b"set timeout=0").unwrap();
        system.unmount().unwrap();

        let mut disk = vec![0; 2048 * 512];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        let parts = [volume.into_inner(), std::fs::read(&ext).unwrap(), third.to_vec()];
        for (slot, part) in parts.into_iter().enumerate() {
            let entry = 446 + 16 * slot;
            let first = u32::try_from(disk.len() / 512).unwrap();
            let count = u32::try_from(part.len().div_ceil(512)).unwrap();
            if count > 0 {
                disk[entry + 4] = 0x83;
                disk[entry + 8..entry + 12].copy_from_slice(&first.to_le_bytes());
                disk[entry + 12..entry + 16].copy_from_slice(&count.to_le_bytes());
            }
            disk.extend(part);
            disk.resize(disk.len().next_multiple_of(512), 0);
        }
        disk
    }

    #[test]
    fn a_file_is_found_in_the_file_system_that_has_it() {
        let disk = disk(b"");
        let found = |path: &str| find(disk.clone(), Path::new(path)).unwrap().file;
        let file = found("/etc/hostname").unwrap();
        assert_eq!(file.on.to_string(), "ext4 at sector 10240");
        assert_eq!(file.content, b"node1.lab\n");
        assert_eq!(file.mode.map(|mode| mode & 0o400), Some(0o400));
        assert!(file.owner.is_some());
        // A link that is absolute is one within its file system.
        assert_eq!(found("/etc/init.d/name").unwrap().content, b"node1.lab\n");
        let file = found("/efi/GRUB.CFG").unwrap();
        assert_eq!((file.on.holds, file.mode, &file.content[..]), (Holds::Fat, None, &b"set timeout=0"[..]));
        assert_eq!(found("/etc").unwrap().content, b"");
        assert_eq!(found("/etc/hostname/none"), None);
        let sought = find(disk, Path::new("/etc/none")).unwrap();
        assert_eq!((sought.file, sought.searched.len(), sought.skipped), (None, 2, Vec::new()));
    }

    #[test]
    fn what_cannot_be_searched_is_named() {
        let mut xfs = vec![0; 1 << 17];
        xfs[..4].copy_from_slice(b"XFSB");
        let sought = find(disk(&xfs), Path::new("/etc/none")).unwrap();
        assert_eq!(
            sought.skipped.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["XFS at sector 26624"]
        );
        // What is not formatted holds no file.
        assert_eq!(find(disk(&[0; 1 << 17]), Path::new("/etc/none")).unwrap().skipped, []);
        assert_eq!(find(vec![0; 1 << 20], Path::new("/etc/none")).unwrap().skipped, []);
    }

    #[test]
    fn a_file_system_without_a_table_is_found() {
        let whole = disk(b"")[10240 * 512..].to_vec();
        let file = find(whole, Path::new("/etc/hostname")).unwrap().file.unwrap();
        assert_eq!(file.on.first, 0);
    }

    #[test]
    fn a_broken_file_system_is_an_error() {
        let mut broken = disk(b"");
        // The first group descriptors and inodes.
        broken[10240 * 512 + 4096..10240 * 512 + (1 << 20)].fill(0xff);
        find(broken, Path::new("/etc/hostname")).unwrap_err();
    }

    #[test]
    fn a_folder_without_an_end_is_an_error() {
        let mut volume = std::io::Cursor::new(vec![0; 8 << 20]);
        let options =
            fatfs::FormatVolumeOptions::new().fat_type(fatfs::FatType::Fat16).bytes_per_cluster(512);
        fatfs::format_volume(&mut volume, options).unwrap();
        let system = fatfs::FileSystem::new(&mut volume, fatfs::FsOptions::new()).unwrap();
        system.root_dir().create_dir("EFI").unwrap().create_file("grub.cfg").unwrap();
        system.unmount().unwrap();
        let mut disk = volume.into_inner();
        let number = |at: usize| usize::from(u16::from_le_bytes([disk[at], disk[at + 1]]));
        let fat = number(14) * 512;
        let clusters = fat + usize::from(disk[16]) * number(22) * 512 + number(17) * 32;
        // The last cluster of the folder has no end of the folder and is followed by its first (cluster 2).
        let last = (2..).find(|cluster| disk[fat + 2 * cluster + 1] == 0xff).unwrap();
        disk[fat + 2 * last..fat + 2 * last + 2].copy_from_slice(&[2, 0]);
        for entry in disk[clusters + (last - 2) * 512..][..512].chunks_mut(32).filter(|entry| entry[0] == 0) {
            // As if it was deleted.
            entry[0] = 0xe5;
        }
        let error = find(disk, Path::new("/EFI/none")).unwrap_err();
        assert_eq!(error.to_string(), "its chains of clusters have no end");
    }
}
