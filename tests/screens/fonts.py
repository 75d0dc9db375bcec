#!/usr/bin/env python3
"""Extracts the fonts in src/node/screen/fonts from packages of Debian 12.

    tests/screens/fonts.py PACKAGES KERNEL

PACKAGES is a folder into which seabios, ovmf, unifont and console-setup-linux were unpacked (`dpkg-deb -x`); KERNEL is a
kernel of Debian. What the fonts are and under which licences they may be copied is in README.md beside them.
"""

import gzip
import lzma
import os
import re
import struct
import subprocess
import sys

FONTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/node/screen/fonts")

# The characters of code page 437, by code; 0 and 255 are spaces.
LOW = " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼"
CP437 = LOW + bytes(range(32, 127)).decode("ascii") + "⌂" + bytes(range(128, 255)).decode("cp437") + " "
# What GRUB draws its menus with, beside.
GRUB = "━┃┏┓┗┛"
A = bytes.fromhex("000010386cc6c6fec6c6c6c600000000")


def read(packages, path):
    with open(os.path.join(packages, path), "rb") as file:
        return file.read()


def by_code(data):
    """Finds 256 glyphs of 8 x 16 by their A."""
    start = data.index(A) - ord("A") * 16
    glyphs = {}
    for code, character in enumerate(CP437):
        glyphs.setdefault(character, data[start + code * 16 :][:16])
    return glyphs


def kernel(data):
    """Returns the program in a compressed kernel."""
    for magic, command in ((b"\xfd7zXZ\0", "xz"), (b"\x02\x21\x4c\x18", "lz4"), (b"\x28\xb5\x2f\xfd", "zstd")):
        for found in re.finditer(re.escape(magic), data):
            program = subprocess.run([command, "-dc"], input=data[found.start() :], capture_output=True).stdout
            if A in program:
                return program
    sys.exit("no font in the kernel")


def edk2(data):
    """Finds the narrow glyphs of EDK2 in a firmware volume: EFI_NARROW_GLYPH of 22 bytes each."""
    for found in re.finditer(rb"\x5d\x00\x00", data):
        try:
            volume = lzma.LZMADecompressor(format=lzma.FORMAT_ALONE).decompress(data[found.start() :])
        except lzma.LZMAError:
            continue
        first = re.search(rb"A\0\0.{19}B\0\0.{19}C\0\0", volume, re.S)
        if not first:
            continue
        start, glyphs = first.start(), {}
        while (code := struct.unpack_from("<H", volume, start - 22)[0]) and code < 0x41:
            start -= 22
        while code := struct.unpack_from("<H", volume, start)[0]:
            glyphs.setdefault(chr(code), volume[start + 3 : start + 22])
            start += 22
        return glyphs
    sys.exit("no font in the firmware")


def unifont(data):
    lines = (line.split(":") for line in data.decode("ascii").split())
    return {chr(int(code, 16)): bytes.fromhex(bits) for code, bits in lines if len(bits) == 32}


def psf(data):
    """Reads a console font with its table of characters, version 1 or 2."""
    data, glyphs = gzip.decompress(data), {}
    if data[:2] == b"\x36\x04":
        count, size, table = 512 if data[2] & 1 else 256, data[3], 4
        units = struct.iter_unpack("<H", data[table + count * size :])
        index = 0
        for (unit,) in units:
            if unit == 0xFFFF:
                index += 1
            elif unit != 0xFFFE:
                glyphs.setdefault(chr(unit), data[table + index * size :][:size])
        return glyphs
    head, _, count, size = struct.unpack_from("<4I", data, 8)
    for index, text in enumerate(data[head + count * size :].split(b"\xff")[:count]):
        for character in text.split(b"\xfe")[0].decode():
            glyphs.setdefault(character, data[head + index * size :][:size])
    return glyphs


def write(name, glyphs, characters=CP437):
    lines = (f"{ord(c):04X}:{glyphs[c].hex().upper()}\n" for c in sorted(set(characters)) if c in glyphs)
    with open(os.path.join(FONTS, name + ".hex"), "w") as file:
        file.write("".join(lines))


def main(packages, kernel_file):
    os.makedirs(FONTS, exist_ok=True)
    fonts = "usr/share/consolefonts/Uni2-"
    write("vga", by_code(read(packages, "usr/share/seabios/vgabios-stdvga.bin")))
    write("linux", by_code(kernel(read("", kernel_file))))
    write("edk2", edk2(read(packages, "usr/share/OVMF/OVMF_CODE_4M.fd")))
    write("unifont", unifont(read(packages, "usr/share/unifont/unifont.hex")), CP437 + GRUB)
    write("fixed", psf(read(packages, fonts + "Fixed16.psf.gz")))
    write("terminus", psf(read(packages, fonts + "Terminus16.psf.gz")))
    write("terminus-bold", psf(read(packages, fonts + "TerminusBold32x16.psf.gz")))


if __name__ == "__main__":
    main(*sys.argv[1:])
