#!/usr/bin/env python3
"""Records the captures beside it by tcpdump: real firmware, loaders and DHCP clients, served by real servers.

    tests/captures/record.py [NAME...]      (as root; every capture if none is named)

Everything is in network namespaces of its own: a switch (the bridge `lan`), a server with 10.0.0.1, a client, and QEMU
on a TAP. tcpdump listens on the bridge, as on the mirror port of a switch, unless a capture says otherwise. Contents of
files are cut off afterwards, so that a capture is small; what is derived from another capture (`-i any`, VLAN tags,
other formats) is derived by the functions at the end.

    apt-get install tcpdump wireshark-common dnsmasq-base kea-dhcp4-server isc-dhcp-server isc-dhcp-relay \\
        isc-dhcp-client udhcpc klibc-utils tftpd-hpa nginx-light nftables iproute2 qemu-system-x86 ipxe-qemu ovmf \\
        u-boot-qemu ipxe pxelinux syslinux-common grub-efi-amd64-bin
"""

import gzip
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORK = Path()
MACS = {"server": "02:00:00:00:00:01", "client": "02:00:00:00:00:02", "relay": "02:00:00:00:00:03"}
VM = "52:54:00:00:00:11"
RECORDINGS, DERIVED = {}, {}


def recording(function):
    RECORDINGS[function.__name__.replace("_", "-")] = function
    return function


def derived(function):
    DERIVED[function.__name__.replace("_", "-")] = function
    return function


def run(*command, check=True, **options):
    return subprocess.run([str(word) for word in command], check=check, **options)


def enter():
    """Starts this program again in namespaces that end with it."""
    if os.environ.get("RECORDING") == "1":
        return
    os.environ["RECORDING"] = "1"
    flags = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    os.execvp("unshare", ["unshare", *flags, sys.executable, __file__, *sys.argv[1:]])


class Rack:
    """The network of one recording and what runs on it."""

    def __init__(self):
        self.children = []
        self.folder = Path(tempfile.mkdtemp(dir=WORK))
        self.root = self.folder / "root"
        self.root.mkdir()
        for file in self.root.parent, self.root:
            file.chmod(0o755)
        self.capture = self.folder / "capture.pcap"
        run("ip", "link", "add", "lan", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        self.up("lan")
        for name in "server", "client":
            self.plug(name, "lan")
        self.address("server", "10.0.0.1/24")

    def up(self, interface, namespace=None):
        inside = ["ip", "netns", "exec", namespace] if namespace else []
        run(*inside, "ip", "link", "set", interface, "up")

    def plug(self, name, bridge, interface="eth0"):
        """Adds a machine without a VM to the switch."""
        if not (Path("/run/netns") / name).exists():
            run("ip", "netns", "add", name)
            self.up("lo", name)
            run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        port = f"{name[:6]}-{interface}"
        mac = MACS[name] if interface == "eth0" else MACS[name][:3] + "01" + MACS[name][5:]
        run("ip", "link", "add", port, "type", "veth", "peer", "name", interface, "address", mac, "netns", name)
        run("ip", "link", "set", port, "master", bridge, "up")
        self.up(interface, name)

    def address(self, name, address, interface="eth0"):
        run("ip", "-n", name, "address", "add", address, "dev", interface)

    def start(self, *command, namespace="server", **options):
        inside = ["ip", "netns", "exec", namespace] if namespace else []
        log = open(self.folder / f"{len(self.children)}.log", "wb")
        command = [*inside, *(str(word) for word in command)]
        child = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **options)
        self.children.append(child)
        return child

    def client(self, *command, seconds=30, check=False):
        """Runs a program on the client."""
        command = ["timeout", str(seconds), "ip", "netns", "exec", "client", *command]
        return run(*command, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def record(self, interface="lan", *options, namespace=None, snap=4096):
        self.start("tcpdump", "-U", "-Z", "root", "-s", snap, "-i", interface, "-w", self.capture, *options, namespace=namespace)
        self.until(lambda: self.capture.exists() and self.capture.stat().st_size >= 24)

    def until(self, condition, seconds=20):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.05)

    def quiet(self, quiet, most, least=3):
        """Waits until nothing was captured for a while."""
        begin = last = time.monotonic()
        size = 0
        while (now := time.monotonic()) < begin + most and (now < last + quiet or now < begin + least):
            if self.capture.stat().st_size != size:
                size, last = self.capture.stat().st_size, now
            time.sleep(0.2)

    def vm(self, firmware="bios", mac=VM, tap="vm", http=False, versions=("IPv4",), memory=256, nic="virtio-net-pci"):
        run("ip", "tuntap", "add", "dev", tap, "mode", "tap")
        run("ip", "link", "set", tap, "master", "lan", "up")
        device = f"{nic},netdev=n,mac={mac}"
        command = ["qemu-system-x86_64", "-accel", "tcg", "-m", memory, "-nodefaults", "-display", "none", "-no-reboot"]
        command += ["-netdev", f"tap,id=n,ifname={tap},script=no,downscript=no", "-object", "rng-random,id=r,filename=/dev/urandom"]
        command += ["-serial", f"file:{self.folder}/{tap}.console"]
        if firmware == "uefi":
            variables = self.folder / f"{tap}.vars"
            shutil.copy("/usr/share/OVMF/OVMF_VARS_4M.fd", variables)
            command += ["-machine", "q35", "-device", "virtio-rng-pci,rng=r"]
            command += ["-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"]
            command += ["-drive", f"if=pflash,format=raw,file={variables}"]
            for version in "IPv4", "IPv6":
                if http or version not in versions:
                    command += ["-fw_cfg", f"name=opt/org.tianocore/{version}PXESupport,string=no"]
            device += ",romfile="
        elif firmware == "u-boot":
            command += ["-machine", "pc", "-bios", "/usr/lib/u-boot/qemu-x86_64/u-boot.rom"]
        else:
            command += ["-machine", "pc", "-boot", "n", "-vga", "std"]
        command += ["-device", device]
        return self.start(*command, namespace=None)

    # Servers.

    def dnsmasq(self, *lines, namespace="server", ranges=("10.0.0.100,10.0.0.120,255.255.255.0,1h",), tftp=True, dns=False):
        config = ["no-daemon", "log-dhcp", "leasefile-ro", "interface=eth0", "bind-interfaces", "no-resolv", "no-hosts", "user=root"]
        config += [f"port={53 if dns else 0}", *(f"dhcp-range={line}" for line in ranges)]
        if tftp:
            config += ["enable-tftp", f"tftp-root={self.root}"]
        config += ["dhcp-userclass=set:ipxe,iPXE", *lines]
        file = self.folder / f"dnsmasq-{len(self.children)}.conf"
        file.write_text("\n".join(config) + "\n")
        self.start("dnsmasq", "-C", file, namespace=namespace)

    def kea(self, classes=(), pool="10.0.0.100 - 10.0.0.120", namespace="server", **subnet):
        config = {
            "interfaces-config": {"interfaces": ["eth0"], "dhcp-socket-type": "raw"},
            "lease-database": {"type": "memfile", "persist": False},
            "valid-lifetime": 3600,
            **({"client-classes": list(classes)} if classes else {}),
            "subnet4": [{"subnet": "10.0.0.0/24", "pools": [{"pool": pool}], "id": 1, **subnet}],
            "loggers": [{"name": "kea-dhcp4", "severity": "INFO", "output_options": [{"output": "stdout"}]}],
        }
        file = self.folder / "kea.json"
        file.write_text(json.dumps({"Dhcp4": config}, indent=1))
        environment = {**os.environ, "KEA_PIDFILE_DIR": str(self.folder), "KEA_LOCKFILE_DIR": str(self.folder)}
        self.start("kea-dhcp4", "-c", file, namespace=namespace, env=environment)
        time.sleep(1)

    def isc(self, options="", subnets="", interface="eth0"):
        file, leases = self.folder / "dhcpd.conf", self.folder / "dhcpd.leases"
        leases.write_text("")
        file.write_text(
            "authoritative;\ndefault-lease-time 3600;\noption arch code 93 = unsigned integer 16;\n"
            + (subnets or "subnet 10.0.0.0 netmask 255.255.255.0 { range 10.0.0.100 10.0.0.120; }\n")
            + options
        )
        self.start("dhcpd", "-f", "-d", "-user", "root", "-group", "root", "-cf", file, "-lf", leases, "-pf", self.folder / "dhcpd.pid", interface)
        time.sleep(1)

    def tftpd(self):
        self.start("in.tftpd", "-L", "-a", "10.0.0.1:69", "-s", self.root)

    def nginx(self):
        file = self.folder / "nginx.conf"
        file.write_text(
            f"daemon off; user root; error_log {self.folder}/error.log; pid {self.folder}/nginx.pid; events {{}}\n"
            f"http {{ access_log {self.folder}/access.log; sendfile on; default_type application/octet-stream;"
            f" server {{ listen 80; root {self.root}; }} }}\n"
        )
        self.start("nginx", "-e", self.folder / "error.log", "-c", file)
        time.sleep(0.5)

    def drop(self, port):
        """Lets a firewall on the server drop what comes to a port of UDP."""
        rules = f"table inet f {{\n chain i {{\n type filter hook input priority 0;\n udp dport {port} drop;\n }}\n}}\n"
        run("ip", "netns", "exec", "server", "nft", "-f", "-", input=rules.encode())

    # Files.

    def file(self, name, content):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copy(content, path)
        else:
            path.write_text(content)
        path.chmod(0o644)

    def ipxe(self):
        """iPXE as a boot program of each firmware."""
        self.file("undionly.kpxe", Path("/usr/lib/ipxe/undionly.kpxe"))
        self.file("snponly.efi", Path("/usr/lib/ipxe/snponly.efi"))

    def linux(self):
        """A kernel that gets an address in its initramfs, as Dryrack's `tiny` image has it."""
        images = sorted(Path(os.environ.get("DRYRACK_CACHE", Path.home() / ".cache/dryrack")).glob("images/tiny/*/kernel"))
        assert images, "build the image first: `dryrack image build tiny`"
        self.file("vmlinuz", images[-1])
        self.file("initrd.img", images[-1].parent / "initrd")
        script = "#!ipxe\nkernel vmlinuz console=ttyS0\ninitrd initrd.img\nboot\n"
        self.file("boot.ipxe", script)

    def end(self):
        for child in reversed(self.children):
            child.send_signal(signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
        for name in [path.name for path in Path("/run/netns").glob("*")]:
            run("ip", "netns", "delete", name)
        for link in json.loads(run("ip", "-j", "link", capture_output=True).stdout):
            if link["ifname"] != "lo":
                run("ip", "link", "delete", link["ifname"].split("@")[0], check=False, stderr=subprocess.DEVNULL)


# Boots that work.


@recording
def bios_ipxe_dnsmasq(rack):
    """SeaBIOS' iPXE gets a script by HTTP, then a kernel and an initramfs, which asks for an address itself."""
    rack.linux()
    rack.dnsmasq("dhcp-boot=tag:ipxe,http://10.0.0.1/boot.ipxe", "dhcp-boot=tag:!ipxe,undionly.kpxe")
    rack.nginx()
    rack.record()
    rack.vm(memory=512)
    rack.quiet(40, 150, least=60)


@recording
def bios_pxelinux_isc(rack):
    """PXELINUX searches its configuration, and finds `default`."""
    rack.file("pxelinux.0", Path("/usr/lib/PXELINUX/pxelinux.0"))
    rack.file("ldlinux.c32", Path("/usr/lib/syslinux/modules/bios/ldlinux.c32"))
    rack.file("pxelinux.cfg/default", "default a\nlabel a\n kernel ipxe.krn\n append initrd=script\n")
    rack.file("ipxe.krn", Path("/boot/ipxe.lkrn"))
    rack.file("script", "#!ipxe\nshell\n")
    rack.isc('next-server 10.0.0.1;\nfilename "pxelinux.0";\n')
    rack.tftpd()
    rack.record()
    rack.vm()
    rack.quiet(12, 60)


@recording
def uefi_ipxe_dnsmasq(rack):
    """EDK2's PXE client fetches iPXE by TFTP; iPXE goes on by HTTP."""
    rack.ipxe()
    rack.linux()
    rack.dnsmasq("dhcp-boot=tag:ipxe,http://10.0.0.1/boot.ipxe", "dhcp-boot=tag:!ipxe,snponly.efi")
    rack.nginx()
    rack.record()
    rack.vm("uefi", memory=768)
    rack.quiet(40, 200, least=80)


@recording
def uefi_grub_kea(rack):
    """GRUB by TFTP, its configuration, then iPXE as what it starts."""
    rack.ipxe()
    rack.file("boot/grub/grub.cfg", "chainloader (tftp,10.0.0.1)/snponly.efi\nboot\n")
    modules = "efinet tftp net normal configfile chain echo boot".split()
    run("grub-mkimage", "-O", "x86_64-efi", "-p", "(tftp)/boot/grub", "-o", rack.root / "grubx64.efi", *modules)
    shutil.copytree("/usr/lib/grub/x86_64-efi", rack.root / "boot/grub/x86_64-efi", ignore=lambda _, names: [n for n in names if n.endswith((".img", ".module"))])
    rack.kea([{"name": "uefi", "test": "option[93].hex == 0x0007", "boot-file-name": "grubx64.efi", "next-server": "10.0.0.1"}])
    rack.tftpd()
    rack.record()
    rack.vm("uefi")
    rack.quiet(12, 90, least=15)


@recording
def uefi_http_kea(rack):
    """UEFI HTTP boot: a URL in the reply, HEAD, GET."""
    rack.ipxe()
    vendor = [{"name": "vendor-class-identifier", "data": "HTTPClient"}, {"name": "boot-file-name", "data": "http://10.0.0.1/snponly.efi"}]
    rack.kea([{"name": "http", "test": "substring(option[60].hex,0,10) == 'HTTPClient'", "option-data": vendor}])
    rack.nginx()
    rack.record()
    rack.vm("uefi", http=True)
    rack.quiet(15, 120, least=20)


@recording
def uefi_ipv6_dnsmasq(rack):
    """EDK2's PXE client over IPv6: router advertisement, DHCPv6, TFTP."""
    rack.ipxe()
    run("ip", "netns", "exec", "server", "sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0", "net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.eth0.accept_dad=0")
    run("ip", "-n", "server", "address", "add", "fd00::1/64", "dev", "eth0", "nodad")
    rack.dnsmasq("enable-ra", "dhcp-option=option6:bootfile-url,tftp://[fd00::1]/snponly.efi", ranges=("fd00::100,fd00::200,64,1h",))
    rack.record()
    rack.vm("uefi", versions=("IPv6",))
    rack.quiet(20, 120, least=30)


@recording
def proxy_dnsmasq_kea(rack):
    """One server gives addresses, another one (ProxyDHCP) the boot file, on port 4011."""
    rack.ipxe()
    rack.address("client", "10.0.0.2/24")
    rack.kea(namespace="client")
    rack.dnsmasq("pxe-service=X86-64_EFI,\"Network boot\",snponly.efi", ranges=("10.0.0.0,proxy",))
    rack.record()
    rack.vm("uefi")
    rack.quiet(20, 90, least=20)


@recording
def u_boot_isc(rack):
    """U-Boot asks for a boot script, then PXELINUX configurations."""
    rack.file("pxelinux.cfg/default-x86", "default a\nlabel a\n kernel /zImage\n")
    rack.isc('next-server 10.0.0.1;\nfilename "boot.scr";\n')
    rack.tftpd()
    rack.record()
    rack.vm("u-boot", nic="e1000", memory=512)
    rack.quiet(30, 120, least=30)


@recording
def clients_dnsmasq(rack):
    """Clients of operating systems: udhcpc, dhclient, klibc's ipconfig (the initramfs of Debian), and what they fetch."""
    rack.file("preseed.cfg", "d-i debian-installer/locale string en_US\n")
    rack.dnsmasq("address=/deb.example/10.0.0.1", dns=True)
    rack.nginx()
    rack.record()
    rack.client("/usr/sbin/udhcpc", "-i", "eth0", "-n", "-q", "-f", "-s", "/bin/true", seconds=15)
    rack.client("/usr/lib/klibc/bin/ipconfig", "-t", "10", "-c", "dhcp", "-d", "eth0", seconds=15)
    rack.address("client", "10.0.0.90/24") if not has_address("client") else None
    rack.client("busybox", "nslookup", "deb.example", "10.0.0.1", seconds=10)
    rack.client("busybox", "wget", "-q", "-O", "/dev/null", "http://10.0.0.1/preseed.cfg", seconds=10)
    time.sleep(1)


def has_address(name):
    links = json.loads(run("ip", "-j", "-n", name, "-4", "address", "show", "eth0", capture_output=True).stdout or b"[]")
    return any(link.get("addr_info") for link in links)


@recording
def dhclient_kea(rack):
    """dhclient takes a lease of Kea, and gives it back."""
    rack.kea()
    rack.record()
    dhclient(rack)
    dhclient(rack, "-r")
    time.sleep(1)


def dhclient(rack, *options, leases="dhclient.leases"):
    files = ["-sf", "/bin/true", "-lf", rack.folder / leases, "-pf", rack.folder / "dhclient.pid", "-cf", "/dev/null"]
    rack.client("dhclient", "-1", "-v", *options, *(str(word) for word in files), "eth0", seconds=20)


@recording
def several_machines(rack):
    """Two machines and an operating system at once."""
    rack.dnsmasq("dhcp-boot=nothing.kpxe")
    rack.record()
    rack.vm(memory=64)
    rack.vm(mac="52:54:00:00:00:12", tap="vm2", memory=64)
    rack.client("/usr/sbin/udhcpc", "-i", "eth0", "-n", "-q", "-f", "-s", "/bin/true", seconds=15)
    rack.quiet(10, 60)


# Boots that do not.


@recording
def no_dhcp(rack):
    """Nobody answers."""
    rack.record()
    rack.vm()
    rack.quiet(15, 60, least=30)


@recording
def no_boot_file_kea(rack):
    """An address, and nothing to boot."""
    rack.kea()
    rack.record()
    rack.vm()
    rack.quiet(12, 60)


@recording
def uefi_no_boot_file_isc(rack):
    """The same to EDK2."""
    rack.isc()
    rack.record()
    rack.vm("uefi")
    rack.quiet(20, 90, least=20)


@recording
def wrong_name_dnsmasq(rack):
    """The boot file is called otherwise."""
    rack.ipxe()
    rack.dnsmasq("dhcp-boot=undionly.kpx")
    rack.record()
    rack.vm()
    rack.quiet(12, 60)


@recording
def tftp_down_isc(rack):
    """Nobody listens on the port of TFTP."""
    rack.isc('next-server 10.0.0.1;\nfilename "undionly.kpxe";\n')
    rack.record()
    rack.vm()
    rack.quiet(15, 60)


@recording
def tftp_firewalled_dnsmasq(rack):
    """A firewall drops TFTP."""
    rack.ipxe()
    rack.dnsmasq("dhcp-boot=snponly.efi")
    rack.drop(69)
    rack.record()
    rack.vm("uefi")
    rack.quiet(25, 120, least=30)


@recording
def two_servers(rack):
    """A second DHCP server, as of a home router, knows nothing of booting."""
    rack.ipxe()
    rack.address("client", "10.0.0.2/24")
    rack.kea(namespace="client", pool="10.0.0.200 - 10.0.0.220")
    rack.dnsmasq("dhcp-boot=snponly.efi")
    rack.record()
    rack.vm("uefi")
    rack.quiet(30, 120, least=40)


@recording
def wrong_architecture_isc(rack):
    """UEFI firmware gets a program for BIOS."""
    rack.ipxe()
    rack.isc('next-server 10.0.0.1;\nfilename "undionly.kpxe";\n')
    rack.tftpd()
    rack.record()
    rack.vm("uefi")
    rack.quiet(20, 90, least=20)


@recording
def kernel_404_dnsmasq(rack):
    """The script is there, its kernel is not."""
    rack.file("boot.ipxe", "#!ipxe\nkernel http://10.0.0.1/vmlinuz\ninitrd http://10.0.0.1/initrd.img\nboot\n")
    rack.dnsmasq("dhcp-boot=tag:ipxe,http://10.0.0.1/boot.ipxe")
    rack.nginx()
    rack.record()
    rack.vm()
    rack.quiet(12, 60)


@recording
def no_dns_kea(rack):
    """The boot file is a URL with a name, and nobody answers DNS."""
    servers = [{"name": "domain-name-servers", "data": "10.0.0.1"}]
    rack.kea(**{"boot-file-name": "http://boot.example/boot.ipxe", "option-data": servers})
    rack.nginx()
    rack.drop(53)
    rack.record()
    rack.vm()
    rack.quiet(20, 90)


@recording
def unknown_name_dnsmasq(rack):
    """DNS does not know the name."""
    rack.dnsmasq("dhcp-boot=http://boot.example/boot.ipxe", "local=/example/", dns=True)
    rack.record()
    rack.vm()
    rack.quiet(12, 60)


@recording
def pool_empty_kea(rack):
    """The only address is taken."""
    rack.kea(pool="10.0.0.100 - 10.0.0.100")
    rack.record()
    rack.client("/usr/sbin/udhcpc", "-i", "eth0", "-n", "-q", "-f", "-s", "/bin/true", seconds=15)
    rack.vm()
    rack.quiet(15, 60, least=25)


@recording
def ipxe_loop_isc(rack):
    """iPXE is given iPXE again and again."""
    rack.ipxe()
    rack.isc('next-server 10.0.0.1;\nfilename "undionly.kpxe";\n')
    rack.tftpd()
    rack.record()
    rack.vm()
    rack.quiet(32, 170, least=120)


@recording
def nak_isc(rack):
    """A client asks for the address that it had elsewhere; it is refused, and it begins anew."""
    rack.isc()
    (rack.folder / "old.leases").write_text(
        'lease { interface "eth0"; fixed-address 192.168.7.7; option subnet-mask 255.255.255.0;'
        " option dhcp-server-identifier 192.168.7.1; renew 1 2035/01/01 00:00:00; rebind 1 2035/01/01 00:00:00;"
        " expire 1 2035/01/01 00:00:00; }\n"
    )
    rack.record()
    dhclient(rack, leases="old.leases")
    time.sleep(1)


@recording
def pxelinux_without_configuration_dnsmasq(rack):
    """PXELINUX finds none of its configurations."""
    rack.file("pxelinux.0", Path("/usr/lib/PXELINUX/pxelinux.0"))
    rack.file("ldlinux.c32", Path("/usr/lib/syslinux/modules/bios/ldlinux.c32"))
    rack.dnsmasq("dhcp-boot=pxelinux.0")
    rack.record()
    rack.vm()
    rack.quiet(30, 120)


@recording
def grub_without_configuration_dnsmasq(rack):
    """GRUB finds no configuration."""
    modules = "efinet tftp net normal configfile chain echo boot".split()
    run("grub-mkimage", "-O", "x86_64-efi", "-p", "(tftp)/boot/grub", "-o", rack.root / "grubx64.efi", *modules)
    rack.dnsmasq("dhcp-boot=grubx64.efi")
    rack.record()
    rack.vm("uefi")
    rack.quiet(15, 90, least=45)


@recording
def uefi_http_404_kea(rack):
    """UEFI HTTP boot of a file that is not there."""
    vendor = [{"name": "vendor-class-identifier", "data": "HTTPClient"}, {"name": "boot-file-name", "data": "http://10.0.0.1/boot.efi"}]
    rack.kea([{"name": "http", "test": "substring(option[60].hex,0,10) == 'HTTPClient'", "option-data": vendor}])
    rack.nginx()
    rack.record()
    rack.vm("uefi", http=True)
    rack.quiet(15, 90, least=20)


# Captures from other places.


def relayed(rack):
    """A relay between the machines and a server of another network; returns nothing."""
    rack.ipxe()
    run("ip", "link", "add", "core", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
    rack.up("core")
    MACS["relay"] = "02:00:00:00:00:03"
    rack.plug("relay", "lan")
    rack.address("relay", "10.0.0.254/24")
    rack.plug("relay", "core", "eth1")
    rack.address("relay", "10.1.0.254/24", "eth1")
    run("ip", "netns", "exec", "relay", "sysctl", "-qw", "net.ipv4.ip_forward=1")
    run("ip", "-n", "server", "address", "flush", "dev", "eth0")
    run("ip", "link", "set", "server-eth0", "master", "core")
    rack.address("server", "10.1.0.1/24")
    run("ip", "-n", "server", "route", "add", "default", "via", "10.1.0.254")
    subnets = (
        "subnet 10.1.0.0 netmask 255.255.255.0 {}\n"
        "subnet 10.0.0.0 netmask 255.255.255.0 { range 10.0.0.100 10.0.0.120; option routers 10.0.0.254; }\n"
    )
    rack.isc('next-server 10.1.0.1;\nfilename "undionly.kpxe";\n', subnets)
    rack.start("in.tftpd", "-L", "-a", "10.1.0.1:69", "-s", rack.root)
    rack.start("dhcrelay", "-d", "-4", "-iu", "eth1", "-id", "eth0", "10.1.0.1", namespace="relay")
    time.sleep(1)


@recording
def relayed_isc(rack):
    """Seen where the server is: everything comes from the relay, which is also the router."""
    relayed(rack)
    (rack.root / "undionly.kpxe").unlink()
    rack.record("core")
    rack.vm()
    rack.quiet(15, 60)


@recording
def relayed_any(rack):
    """Seen by the relay on all its interfaces, `-i any` (cooked, version 2): each packet twice."""
    relayed(rack)
    (rack.root / "undionly.kpxe").unlink()
    rack.record("any", namespace="relay")
    rack.vm()
    rack.quiet(15, 60)


@recording
def any_on_server_dnsmasq(rack):
    """Seen by the server, `-i any` in the older form (cooked, version 1)."""
    rack.dnsmasq("dhcp-boot=undionly.kpx")
    rack.record("any", "-y", "LINUX_SLL", namespace="server")
    rack.vm()
    rack.quiet(12, 60)


@recording
def requests_only_dnsmasq(rack):
    """A mirror port that copies one direction: what the machine sends."""
    rack.ipxe()
    rack.dnsmasq("dhcp-boot=snponly.efi")
    tap_first(rack)
    rack.record("vm", "-Q", "in")
    rack.vm("uefi", tap="vm")
    rack.quiet(20, 60, least=25)


def tap_first(rack):
    """Makes the TAP before the machine, so that tcpdump can listen on it."""
    run("ip", "tuntap", "add", "dev", "vm", "mode", "tap")
    run("ip", "link", "set", "vm", "master", "lan", "up")
    made = run

    def later(*command, **options):
        return None if command[:4] == ("ip", "tuntap", "add", "dev") else made(*command, **options)

    rack.vm = lambda *args, **options: with_run(later, lambda: Rack.vm(rack, *args, **options))


def with_run(other, function):
    global run
    before, run = run, other
    try:
        return function()
    finally:
        run = before


@recording
def nobody(rack):
    """A network on which no machine boots: ARP, a ping, DNS."""
    rack.dnsmasq("address=/deb.example/10.0.0.1", dns=True)
    rack.address("client", "10.0.0.90/24")
    rack.record()
    rack.client("busybox", "ping", "-c", "2", "10.0.0.1")
    rack.client("busybox", "nslookup", "deb.example", "10.0.0.1", seconds=10)
    time.sleep(1)


# What is derived from other captures.


def packets(file):
    """Returns the header of a little-endian pcap file, and each packet: time, length on the wire, bytes."""
    data = (gzip.open if file.suffix == ".gz" else open)(file, "rb").read()
    found, at = [], 24
    while at + 16 <= len(data):
        seconds, fraction, captured, length = struct.unpack_from("<IIII", data, at)
        found.append((seconds, fraction, length, data[at + 16 : at + 16 + captured]))
        at += 16 + captured
    return data[:24], found


def pcap(file, header, found):
    data = header + b"".join(struct.pack("<IIII", s, f, len(b), length) + b for s, f, length, b in found)
    # Without the time of writing, so that the same capture is the same file.
    file.write_bytes(gzip.compress(data, 9, mtime=0) if file.suffix == ".gz" else data)


def cut(frame, link):
    """Cuts off the contents of a file in a packet of TFTP, or of HTTP but for its head."""
    start = {1: 14, 113: 16, 276: 20}[link]
    kind = frame[12:14] if link == 1 else frame[14:16] if link == 113 else frame[0:2]
    if kind == b"\x08\x00":
        protocol, transport = frame[start + 9], start + (frame[start] & 15) * 4
    elif kind == b"\x86\xdd":
        protocol, transport = frame[start + 6], start + 40
    else:
        return frame
    if protocol == 17 and frame[transport + 8 : transport + 10] == b"\0\3":
        return frame[: transport + 12]
    if protocol == 6:
        data = transport + (frame[transport + 12] >> 4) * 4
        text = frame[data : data + 8]
        if not text.startswith((b"GET ", b"HEAD ", b"HTTP/1.", b"#!ipxe")):
            return frame[:data]
        return frame[: data + 700]
    return frame


def keep(rack, name):
    header, found = packets(rack.capture)
    link = struct.unpack_from("<I", header, 20)[0]
    pcap_file(name, header, [(s, f, length, cut(data, link)) for s, f, length, data in found])


def pcap_file(name, header, found):
    size = sum(16 + len(data) for *_, data in found)
    for old in HERE.glob(f"{name}.pcap*"):
        old.unlink()
    pcap(HERE / f"{name}.pcap{'.gz' if size > 40_000 else ''}", header, found)
    print(f"{name}: {len(found)} frames, {size} bytes", flush=True)


def source(name):
    return next(HERE.glob(f"{name}.pcap*"))


@derived
def vlan():
    """As of a trunk port: a VLAN tag in each frame."""
    header, found = packets(source("wrong-name-dnsmasq"))
    tagged = [(s, f, length + 4, data[:12] + b"\x81\x00\x00\x2a" + data[12:]) for s, f, length, data in found]
    pcap_file("vlan", header, tagged)


@derived
def snapped():
    """Only the first 300 bytes of each frame: the options of DHCP are cut off."""
    header, found = packets(source("tftp-down-isc"))
    pcap_file("snapped", header, [(s, f, length, data[:300]) for s, f, length, data in found])


@derived
def nanoseconds_of_a_big_endian_machine():
    _, found = packets(source("no-boot-file-kea"))
    data = struct.pack(">IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)
    data += b"".join(struct.pack(">IIII", s, f * 1000, len(b), length) + b for s, f, length, b in found)
    (HERE / "nanoseconds-of-a-big-endian-machine.pcap").write_bytes(data)


@derived
def mergecap():
    """Two captures in one pcapng file, with an interface each, by Wireshark's mergecap."""
    run("mergecap", "-w", HERE / "mergecap.pcapng", source("wrong-name-dnsmasq"), source("any-on-server-dnsmasq"))


@derived
def editcap():
    run("editcap", source("kernel-404-dnsmasq"), HERE / "editcap.pcapng")


@derived
def torn():
    """The disk was full."""
    (HERE / "torn.pcapng").write_bytes((HERE / "editcap.pcapng").read_bytes()[:-150])


@derived
def damaged():
    """A part in the middle is overwritten."""
    data = bytearray((HERE / "editcap.pcapng").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = b"\xff" * 400
    (HERE / "damaged.pcapng").write_bytes(data)


def main():
    global WORK
    enter()
    names = sys.argv[1:] or [*RECORDINGS, *DERIVED]
    unknown = [name for name in names if name not in RECORDINGS and name not in DERIVED]
    assert not unknown, f"no such capture: {unknown}; there are {[*RECORDINGS, *DERIVED]}"
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    os.mkdir("/run/netns")
    run("ip", "link", "set", "lo", "up")
    # So that no router solicitation of this kernel is in each capture.
    run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/tmp")) as folder:
        WORK = Path(folder)
        WORK.chmod(0o755)
        for name in names:
            if name in DERIVED:
                DERIVED[name]()
                continue
            rack = Rack()
            try:
                RECORDINGS[name](rack)
            finally:
                rack.end()
            if os.environ.get("LOGS"):
                for log in sorted(rack.folder.glob("*.log")):
                    print(f"== {log.name}", log.read_text(errors="replace")[-3000:], sep="\n")
            keep(rack, name)


main()
