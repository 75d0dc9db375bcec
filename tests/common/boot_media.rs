//! Media that a BIOS boots: they print a line on the first serial port, and stop.

/// Machine code that prints what follows it.
const PRINT: [u8; 24] = [
    // call next; next: pop si; add si, 21; push cs; pop ds; cld; loop: lodsb; test al, al; jz halt;
    // mov dx, 0x3f8; out dx, al; jmp loop; halt: hlt; jmp halt
    0xe8, 0, 0, 0x5e, 0x83, 0xc6, 21, 0x0e, 0x1f, 0xfc, 0xac, 0x84, 0xc0, 0x74, 6, 0xba, 0xf8, 3, 0xee, 0xeb,
    0xf5, 0xf4, 0xeb, 0xfd,
];

/// Makes the image of a stick.
pub(crate) fn bootable_stick(line: &str) -> Vec<u8> {
    let mut image = vec![0; 1 << 20];
    // Twice: SeaBIOS may write what is left of its own line in the middle of the first.
    let code = [&PRINT, format!("\r\n{line}\r\n{line}\r\n\0").as_bytes()].concat();
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
