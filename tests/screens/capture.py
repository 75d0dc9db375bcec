#!/usr/bin/env python3
"""Captures the screens in this folder from real machines, one after another, under emulation.

    tests/screens/capture.py IMAGES [NAME...]

IMAGES is the folder of built images (`dryrack images`, ~/.cache/dryrack/images). For a screen in a text mode it writes
NAME.memory.gz (32 KiB at 0xB8000) and NAME.registers.json, for one in a graphics mode NAME.png. The text that a person
reads there belongs into NAME.txt.
"""

import glob
import gzip
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd"
VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.fd"
CRTC = 0x19


class Machine:
    """A QEMU with the devices of a node of Dryrack."""

    started = []

    def __init__(self, folder, *arguments, uefi=False, network=True, tftp=None, bootfile=None, memory=512):
        self.folder = folder
        argv = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-accel", "tcg,thread=multi"]
        argv += ["-cpu", "max,la57=off", "-m", str(memory), "-machine", "q35,vmport=off", "-device", "VGA"]
        argv += ["-display", "none", "-serial", "file:serial.log", "-qmp", "unix:qmp.sock,server=on,wait=off"]
        if uefi:
            shutil.copy(VARIABLES, os.path.join(folder, "variables.fd"))
            argv += ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}"]
            argv += ["-drive", "if=pflash,format=raw,file=variables.fd"]
        if network:
            options = "user,id=net"
            if tftp:
                options += f",tftp={tftp},bootfile={bootfile}"
            argv += ["-netdev", options, "-device", "virtio-net-pci,netdev=net,mac=52:54:00:12:34:56"]
        self.process = subprocess.Popen(argv + list(arguments), cwd=folder)
        Machine.started.append(self.process)
        path = os.path.join(folder, "qmp.sock")
        deadline = time.monotonic() + 30
        while True:
            try:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.connect(path)
                break
            except OSError:
                assert time.monotonic() < deadline, "QEMU does not start"
                time.sleep(0.05)
        self.lines = self.socket.makefile("rw")
        self.lines.readline()
        self.qmp("qmp_capabilities")

    def qmp(self, command, **arguments):
        self.lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.lines.flush()
        while True:
            reply = json.loads(self.lines.readline())
            if "return" in reply:
                return reply["return"]
            assert "error" not in reply, reply

    def hmp(self, line):
        return self.qmp("human-monitor-command", **{"command-line": line})

    def port(self, size, port, value=None):
        if value is not None:
            return self.hmp(f"o /{size} {port:#x} {value:#x}")
        return int(re.search(r"= 0x([0-9a-f]+)", self.hmp(f"i /{size} {port:#x}"))[1], 16)

    def indexed(self, size, port, indices):
        before = self.port(size, port)
        values = []
        for index in indices:
            self.port(size, port, index)
            values.append(self.port(size, port + 1))
        self.port(size, port, before)
        return values

    def registers(self):
        self.qmp("stop")
        crtc = bytes(self.indexed("b", 0x3D4, range(CRTC)))
        graphics = self.indexed("b", 0x3CE, [6])[0]
        vbe = self.indexed("h", 0x1CE, [4])[0]
        self.memory = self.dump()
        self.qmp("cont")
        return {"crtc": crtc.hex(), "graphics": graphics, "vbe": vbe}

    def dump(self):
        self.qmp("pmemsave", val=0xB8000, size=0x8000, filename="memory")
        with open(os.path.join(self.folder, "memory"), "rb") as file:
            return file.read()

    def screen(self):
        self.qmp("screendump", filename="screen.ppm")
        with open(os.path.join(self.folder, "screen.ppm"), "rb") as file:
            return file.read()

    def serial(self):
        with open(os.path.join(self.folder, "serial.log"), errors="replace") as file:
            return file.read()

    def text(self):
        return self.dump()[::2].decode("latin-1")

    def wait(self, what, timeout=180):
        """Waits for a text on the screen or the serial line."""
        deadline = time.monotonic() + timeout
        while not (what in self.text() or what in self.serial()):
            assert time.monotonic() < deadline, f"no {what!r} in {self.serial()[-500:]!r}"
            time.sleep(0.3)

    def settle(self, calm=4, timeout=60):
        """Waits until the picture has not changed for some seconds; a blinking cursor ends the wait, too."""
        deadline, since, last = time.monotonic() + timeout, time.monotonic(), None
        while time.monotonic() - since < calm and time.monotonic() < deadline:
            picture = self.screen()
            if picture != last:
                last, since = picture, time.monotonic()
            time.sleep(0.5)

    def press(self, *keys):
        for key in keys:
            self.qmp("send-key", keys=[{"type": "qcode", "data": key}])
            time.sleep(0.2)

    def save(self, name):
        registers = self.registers()
        path = os.path.join(HERE, name)
        picture = self.screen()
        if registers["graphics"] & 1 or registers["vbe"] & 1:
            with open(path + ".png", "wb") as file:
                file.write(png(picture))
        else:
            with open(path + ".memory.gz", "wb") as file:
                file.write(gzip.compress(self.memory, 9, mtime=0))
            with open(path + ".registers.json", "w") as file:
                json.dump(registers, file)
                file.write("\n")
            if os.environ.get("PICTURES"):
                with open(os.path.join(os.environ["PICTURES"], name + ".png"), "wb") as file:
                    file.write(png(picture))
        print(name, registers, picture[:15].split(b"\n")[1].decode(), flush=True)


def png(ppm):
    """Returns a PPM as a small PNG: with a palette if it has few colours."""
    head = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", ppm)
    width, height, body = int(head[1]), int(head[2]), ppm[head.end() :]
    palette = {}
    pixels = [body[i : i + 3] for i in range(0, len(body), 3)]
    for pixel in pixels:
        palette.setdefault(pixel, len(palette))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    if len(palette) <= 256:
        rows = [bytes(palette[pixel] for pixel in pixels[y * width : (y + 1) * width]) for y in range(height)]
        kind, colours = 3, chunk(b"PLTE", b"".join(palette))
    else:
        rows = [body[y * width * 3 : (y + 1) * width * 3] for y in range(height)]
        kind, colours = 2, b""
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + colours + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def image(name, file):
    found = glob.glob(os.path.join(IMAGES, name, "*", file))
    assert found, f"build the image {name}"
    return found[0]


def tftp(folder, **files):
    """Makes a folder of files for TFTP; a value is a path or a content."""
    root = os.path.join(folder, "tftp")
    for name, value in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(value, bytes):
            with open(path, "wb") as file:
                file.write(value)
        else:
            shutil.copy(value, path)
    return root


MENU = b"""set timeout=-1
set color_highlight=black/light-gray
menuentry "Install Debian 12 (node1)" { true }
menuentry "Boot from disk" { true }
menuentry "Rescue, with a console on ttyS0" { true }
"""
GFX = b"loadfont /grub/unicode.pf2\nset gfxmode=1024x768\nterminal_output gfxterm\n"


def seabios(folder):
    machine = Machine(folder, network=False)
    machine.wait("No bootable device")
    return machine


def ipxe(folder):
    machine = Machine(folder, network=True)
    machine.wait("No bootable device", 240)
    return machine


def pxelinux(folder):
    config = b"SAY Dryrack test rack\nPROMPT 1\nTIMEOUT 0\nDEFAULT install\nLABEL install\nKERNEL linux\n"
    files = {"pxelinux.0": image("pxelinux", "pxelinux.0"), "ldlinux.c32": image("pxelinux", "ldlinux.c32")}
    root = tftp(folder, **files, **{"pxelinux.cfg/default": config})
    machine = Machine(folder, tftp=root, bootfile="pxelinux.0")
    machine.wait("boot:", 240)
    return machine


def grub_bios(folder):
    root = tftp(folder, **{"core.0": image("grub", "core.0"), "grub/grub.cfg": MENU})
    machine = Machine(folder, tftp=root, bootfile="core.0")
    machine.wait("Rescue", 240)
    machine.press("down")
    return machine


def grub_uefi(folder):
    root = tftp(folder, **{"core.efi": image("grub", "core.efi"), "grub/grub.cfg": MENU})
    machine = Machine(folder, uefi=True, tftp=root, bootfile="core.efi")
    machine.wait("Rescue", 300)
    machine.press("down")
    machine.settle()
    return machine


def grub_gfx(folder):
    modules = "normal configfile net tftp echo test true efinet efi_gop gfxterm font video sleep"
    core = os.path.join(folder, "core.efi")
    argv = ["grub-mkimage", "-O", "x86_64-efi", "-p", "/grub", "-o", core] + modules.split()
    subprocess.run(argv, check=True)
    font = "/usr/share/grub/unicode.pf2"
    files = {"core.efi": core, "grub/grub.cfg": GFX + MENU, "grub/unicode.pf2": font}
    machine = Machine(folder, uefi=True, tftp=tftp(folder, **files), bootfile="core.efi")
    machine.wait("Welcome to GRUB", 240)
    machine.settle(10, 120)
    return machine


def ovmf_pxe(folder):
    machine = Machine(folder, uefi=True)
    machine.wait("PXE-E", 240)
    machine.settle()
    return machine


def ovmf_setup(folder):
    machine = Machine(folder, uefi=True, network=False)
    machine.wait("Shell>", 240)
    for letter in "exit":
        machine.press(letter)
    machine.press("ret")
    machine.wait("Standard PC", 60)
    machine.settle()
    return machine


def ovmf_manager(folder):
    machine = ovmf_setup(folder)
    machine.press("down", "down", "ret")
    machine.settle()
    return machine


def ovmf_shell(folder):
    machine = Machine(folder, uefi=True, network=False)
    machine.wait("Shell>", 240)
    machine.settle()
    return machine


def linux(folder, arguments, *, until, uefi=False, name="tiny"):
    boot = ["-kernel", image(name, "kernel"), "-initrd", image(name, "initrd"), "-append", arguments]
    machine = Machine(folder, *boot, uefi=uefi)
    machine.wait(until, 300)
    machine.settle(5, 30)
    return machine


PANIC = "Kernel panic - not syncing"


def linux_text(folder):
    return linux(folder, "console=ttyS0 console=tty0 root=/dev/nothing rdinit=/none", until=PANIC)


def linux_text50(folder):
    # 80 x 50 by the video mode of the boot protocol.
    return linux(folder, "console=ttyS0 console=tty0 vga=ext root=/dev/nothing rdinit=/none", until=PANIC)


def linux_framebuffer(folder):
    arguments = "console=ttyS0 console=tty0 root=/dev/nothing rdinit=/none"
    return linux(folder, arguments, until=PANIC, uefi=True)


def debian(folder, uefi):
    overlay = os.path.join(folder, "disk.qcow2")
    backing = image("debian", "disk")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing, overlay], check=True)
    disk = ["-drive", "file=disk.qcow2,if=virtio,format=qcow2"]
    machine = Machine(folder, *disk, uefi=uefi, network=False, memory=768)
    machine.wait("login:", 400)
    machine.settle(6, 40)
    return machine


def login_text(folder):
    return debian(folder, uefi=False)


def login_framebuffer(folder):
    return debian(folder, uefi=True)


SCREENS = {
    "seabios": seabios,
    "ipxe": ipxe,
    "pxelinux": pxelinux,
    "grub-bios": grub_bios,
    "grub-uefi": grub_uefi,
    "grub-gfxterm": grub_gfx,
    "ovmf-pxe": ovmf_pxe,
    "ovmf-setup": ovmf_setup,
    "ovmf-boot-manager": ovmf_manager,
    "ovmf-shell": ovmf_shell,
    "linux-text": linux_text,
    "linux-text-80x50": linux_text50,
    "linux-framebuffer": linux_framebuffer,
    "login-text": login_text,
    "login-framebuffer": login_framebuffer,
}


def main():
    wrong = []
    for name in sys.argv[2:] or SCREENS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                SCREENS[name](folder).save(name)
            except (AssertionError, OSError) as error:
                wrong.append(f"{name}: {error}")
                print(wrong[-1], flush=True)
            while Machine.started:
                process = Machine.started.pop()
                process.kill()
                process.wait()
    sys.exit("\n".join(wrong) or 0)


IMAGES = sys.argv[1] if len(sys.argv) > 1 else sys.exit(__doc__)
if __name__ == "__main__":
    main()
