//! Media that firmware boots: they print a line on the first serial port, and stop.

use std::io::{Cursor, Seek as _, SeekFrom, Write as _};

/// Machine code that prints what follows it, on the screen and the serial console.
///
/// It asks the BIOS to: what it wrote to the port itself would come in the middle of what SeaBIOS has yet to write.
const PRINT: [u8; 27] = [
    // call next; next: pop si; add si, 24; push cs; pop ds; cld; loop: lodsb; test al, al; jz halt;
    // mov ah, 0eh; mov bx, 7; int 10h; jmp loop; halt: hlt; jmp halt
    0xe8, 0, 0, 0x5e, 0x83, 0xc6, 24, 0x0e, 0x1f, 0xfc, 0xac, 0x84, 0xc0, 0x74, 9, 0xb4, 0x0e, 0xbb, 7, 0,
    0xcd, 0x10, 0xeb, 0xf2, 0xf4, 0xeb, 0xfd,
];

/// Makes the image of a disk or a stick.
pub(crate) fn bootable_disk(line: &str) -> Vec<u8> {
    let mut image = vec![0; 1 << 20];
    let code = [&PRINT, line.as_bytes(), b"\r\n\0"].concat();
    image[..code.len()].copy_from_slice(&code);
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    image
}

/// Makes the image of a CD.
pub(crate) fn bootable_cd(line: &str) -> Vec<u8> {
    let sector = |at: usize| at * 2048;
    let mut image = vec![0; 1 << 20];
    let mut write = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    write(sector(16), b"\x01CD001\x01");
    // El Torito: where the catalog is, and in it the one entry, without emulation of a floppy.
    write(sector(17), b"\x00CD001\x01EL TORITO SPECIFICATION");
    write(sector(17) + 0x47, &19_u32.to_le_bytes());
    write(sector(18), b"\xffCD001\x01");
    write(sector(19), &[1]);
    write(sector(19) + 28, &[0xaa, 0x55, 0x55, 0xaa]);
    write(sector(19) + 32, &[0x88, 0, 0, 0, 0, 0, 4, 0, 20, 0, 0, 0]);
    write(sector(20), &PRINT);
    write(sector(20) + PRINT.len(), format!("{line}\r\n\0").as_bytes());
    image
}

/// Machine code for 64 bits that prints what follows it.
const PRINT_64: [u8; 26] = [
    // call next; next: pop rsi; add rsi, 21; cld; loop: lodsb; test al, al; jz halt; mov dx, 0x3f8; out dx, al;
    // jmp loop; halt: hlt; jmp halt
    0xe8, 0, 0, 0, 0, 0x5e, 0x48, 0x83, 0xc6, 21, 0xfc, 0xac, 0x84, 0xc0, 0x74, 7, 0x66, 0xba, 0xf8, 3, 0xee,
    0xeb, 0xf4, 0xf4, 0xeb, 0xfd,
];

/// Makes the image of a disk that UEFI boots: a file system with a program in the place of a loader.
pub(crate) fn uefi_disk(line: &str) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0; 4 << 20]);
    fatfs::format_volume(&mut disk, fatfs::FormatVolumeOptions::new()).expect("a file system");
    disk.seek(SeekFrom::Start(0)).expect("a start");
    let system = fatfs::FileSystem::new(&mut disk, fatfs::FsOptions::new()).expect("a file system");
    let folder = system.root_dir().create_dir("EFI").expect("a folder").create_dir("BOOT").expect("a folder");
    let mut file = folder.create_file("BOOTX64.EFI").expect("a file");
    file.write_all(&uefi_program(line)).expect("a program");
    drop((file, folder));
    system.unmount().expect("a file system");
    disk.into_inner()
}

/// Makes a program (PE32+) of one section.
fn uefi_program(line: &str) -> Vec<u8> {
    /// Where the section is in memory, and in the file, where it has this size, too.
    const MEMORY: u32 = 0x1000;
    const FILE: u32 = 0x200;
    let shorts =
        |values: &[u16]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
    let words = |values: &[u32]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
    let headers = [
        b"MZ".to_vec(),
        vec![0; 0x3a],
        words(&[0x40]),
        b"PE\0\0".to_vec(),
        // x86-64, one section; no symbols; 240 bytes of optional header; an executable for any address.
        shorts(&[0x8664, 1]),
        words(&[0; 3]),
        shorts(&[240, 0x22]),
        // 64 bits; sizes of code and data; where it begins.
        shorts(&[0x20b, 0]),
        words(&[FILE, 0, 0, MEMORY, MEMORY]),
        // No address of its own; alignments in memory and in the file; versions.
        words(&[0, 0, MEMORY, FILE, 0, 0, 0, 0]),
        // Sizes of it all and of these headers; no checksum; an application of UEFI.
        words(&[2 * MEMORY, FILE, 0]),
        shorts(&[10, 0]),
        // Stack and heap; 16 directories, all of them empty.
        words(&[0; 9]),
        words(&[16]),
        words(&[0; 32]),
        // The section: code that is executed and read.
        b".text\0\0\0".to_vec(),
        words(&[FILE, MEMORY, FILE, FILE, 0, 0, 0, 0x6000_0020]),
    ];
    let mut program = headers.concat();
    program.resize(0x200, 0);
    program.extend(PRINT_64);
    program.extend(format!("\r\n{line}\r\n\0").as_bytes());
    program.resize(0x400, 0);
    program
}
