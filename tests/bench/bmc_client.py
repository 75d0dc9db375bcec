"""The clients of `ci/bench bmc`. They run in the network of the lab, and print their figures as JSON.

    load SECONDS ADDRESS...   asks each BMC once a second by Redfish and by IPMI, over connections that are kept
    system ROUNDS ADDRESS     asks one BMC for `Systems/1`, one request after the other over one connection
    status ROUNDS ADDRESS FOLDER IPMI_SIM LIBRARIES
                              ipmitool `power status` of a BMC and of ipmi_sim, in turns
    console ADDRESS           reads numbered lines from a serial console by `ipmitool sol activate`
"""

import asyncio
import base64
import ctypes
import hashlib
import hmac
import json
import os
import pty
import random
import re
import select
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

USER = "admin"
SYSTEM = "/redfish/v1/Systems/1"
# How many logins there are at once, before anything is measured.
LOGINS = 16
# How long a BMC may take for an answer.
PATIENCE = 10
# Cipher suite 17 (RAKP-HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128), as it is proposed.
SUITE_17 = bytes.fromhex("000000080300000001000008040000000200000801000000")
OPEN, RAKP_1, RAKP_2, RAKP_3, RAKP_4 = 0x10, 0x12, 0x13, 0x14, 0x15
IPMI, OPENED = 0x00, 0x11
# Encrypted and authenticated.
PROTECTED = 0xC0
ADMINISTRATOR = 4
# Network functions and commands.
CHASSIS, GET_CHASSIS_STATUS = 0x00, 0x01
APP, SET_SESSION_PRIVILEGE = 0x06, 0x3B
# The lines of the machine that writes them, numbered with the digits A to P.
LINES = 6000
LINE = re.compile(rb"([A-P]{4}) line of the bench")


def password():
    return Path(os.environ["DRYRACK_BMC_PASSWORD_FILE"]).read_text().strip()


def checksum(data):
    return -sum(data) & 0xFF


class Aes:
    """AES-CBC-128 of libcrypto, which Python is linked with; its own modules do not have it."""

    library = ctypes.CDLL("libcrypto.so.3")
    library.EVP_CIPHER_CTX_new.restype = ctypes.c_void_p
    library.EVP_aes_128_cbc.restype = ctypes.c_void_p
    of_context = [ctypes.c_void_p]
    library.EVP_CipherInit_ex.argtypes = of_context + [ctypes.c_void_p] * 2 + [ctypes.c_char_p] * 2 + [ctypes.c_int]
    library.EVP_CIPHER_CTX_set_padding.argtypes = of_context + [ctypes.c_int]
    library.EVP_CipherUpdate.argtypes = of_context + [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]

    def __init__(self, key):
        self.key = key
        self.context = self.library.EVP_CIPHER_CTX_new()

    def run(self, initial, data, encrypts):
        """Encrypts or decrypts whole blocks."""
        cipher = self.library.EVP_aes_128_cbc()
        out, length = ctypes.create_string_buffer(len(data) + 16), ctypes.c_int()
        started = self.library.EVP_CipherInit_ex(self.context, cipher, None, self.key, initial, int(encrypts))
        self.library.EVP_CIPHER_CTX_set_padding(self.context, 0)
        if not started or not self.library.EVP_CipherUpdate(self.context, out, ctypes.byref(length), data, len(data)):
            raise SystemExit("libcrypto does not do AES")
        return out.raw[: length.value]


class Ipmi(asyncio.DatagramProtocol):
    """One RMCP+ session."""

    def __init__(self, address):
        self.address = address
        self.console = random.getrandbits(31) | 1
        self.bmc = 0
        self.sequence = 0
        self.waiting = None
        self.aes = None
        self.transport = None

    @classmethod
    async def login(cls, address, secret):
        loop = asyncio.get_running_loop()
        _, session = await loop.create_datagram_endpoint(lambda: cls(address), remote_addr=(address, 623))
        await session.handshake(USER.encode(), secret.encode())
        return session

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, _):
        if self.waiting and not self.waiting.done():
            self.waiting.set_result(data)

    async def exchange(self, kind, session, sequence, payload, trailer=lambda _: b""):
        """Sends a packet and returns the payload of the next one that comes."""
        packet = struct.pack("<BBIIH", 0x06, kind, session, sequence, len(payload)) + payload
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.sendto(b"\x06\x00\xff\x07" + packet + trailer(packet))
        answer = await asyncio.wait_for(self.waiting, PATIENCE)
        length = struct.unpack_from("<H", answer, 14)[0]
        return answer[5], answer[16 : 16 + length]

    async def handshake(self, name, secret):
        def mac(key, *parts):
            return hmac.digest(key, b"".join(parts), "sha256")

        console = struct.pack("<I", self.console)
        opened = await self.expect(OPENED, OPEN, bytes([0, 0, 0, 0]) + console + SUITE_17)
        self.bmc = struct.unpack_from("<I", opened, 8)[0]
        bmc = opened[8:12]
        ours = os.urandom(16)
        # The name is looked up alone, as ipmitool does.
        role = bytes([0x10 | ADMINISTRATOR])
        who = role + bytes([len(name)]) + name
        answer = await self.expect(RAKP_2, RAKP_1, bytes(4) + bmc + ours + role + bytes(2) + bytes([len(name)]) + name)
        theirs, guid, proof = answer[8:24], answer[24:40], answer[40:72]
        if proof != mac(secret, console, bmc, ours, theirs, guid, who):
            raise SystemExit(f"{self.address} does not know the password")
        key = mac(secret, ours, theirs, who)
        answer = await self.expect(RAKP_4, RAKP_3, bytes(4) + bmc + mac(secret, theirs, console, who))
        if answer[8:24] != mac(key, ours, bmc, guid)[:16]:
            raise SystemExit(f"{self.address} has another session key")
        self.integrity = mac(key, b"\x01" * 20)
        self.aes = Aes(mac(key, b"\x02" * 20)[:16])
        await self.command(APP, SET_SESSION_PRIVILEGE, bytes([ADMINISTRATOR]))

    async def expect(self, wanted, kind, payload):
        got, answer = await self.exchange(kind, 0, 0, payload)
        if got != wanted or answer[1] != 0:
            raise SystemExit(f"{self.address} refuses a login: {got:02x} {answer.hex()}")
        return answer

    async def command(self, function, command, data=b""):
        """Carries a command out and returns its data."""
        self.sequence += 1
        number = self.sequence % 64
        head, body = bytes([0x20, function << 2]), bytes([0x81, number << 2, command]) + data
        message = head + bytes([checksum(head)]) + body + bytes([checksum(body)])
        pad = -(len(message) + 1) % 16
        initial = os.urandom(16)
        sealed = initial + self.aes.run(initial, message + bytes(range(1, pad + 1)) + bytes([pad]), True)
        _, answer = await self.exchange(PROTECTED | IPMI, self.bmc, self.sequence, sealed, self.trailer)
        message = self.aes.run(answer[:16], answer[16:], False)
        if message[4] >> 2 != number or message[5] != command or message[6] != 0:
            raise SystemExit(f"{self.address} answers {message.hex()}")
        return message[7 : -message[-1] - 2]

    def trailer(self, packet):
        pad = -(len(packet) + 2) % 4
        trailer = b"\xff" * pad + bytes([pad, 0x07])
        return trailer + hmac.digest(self.integrity, packet + trailer, "sha256")[:16]


class Redfish:
    """One connection of TLS."""

    def __init__(self, address, reader, writer, head):
        self.address, self.reader, self.writer, self.head = address, reader, writer, head

    @classmethod
    async def connect(cls, address, context, head):
        reader, writer = await asyncio.open_connection(address, 443, ssl=context, server_hostname=address)
        return cls(address, reader, writer, f"GET {SYSTEM} HTTP/1.1\r\nHost: {address}\r\n{head}\r\n".encode())

    async def system(self):
        self.writer.write(self.head)
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if not head.startswith(b"HTTP/1.1 200 ") or not length:
            raise SystemExit(f"{self.address} answers {head!r}")
        return await self.reader.readexactly(int(length[1]))


def trusts():
    return ssl.create_default_context(cafile=os.environ["DRYRACK_CA_FILE"])


def authorization(secret):
    return f"Authorization: Basic {base64.b64encode(f'{USER}:{secret}'.encode()).decode()}\r\n"


async def load(seconds, addresses):
    """Says on standard output when all are connected and the load runs steadily, then what it took."""
    secret, context = password(), trusts()
    logins = asyncio.Semaphore(LOGINS)
    redfish, ipmi = [], []

    async def connect(address):
        async with logins:
            web = await Redfish.connect(address, context, authorization(secret))
            return web, await Ipmi.login(address, secret)

    clients = await asyncio.gather(*(connect(address) for address in addresses))
    for web, session in clients:
        if json.loads(await web.system())["PowerState"] != "Off":
            raise SystemExit(f"{web.address} is not off")
        if (await session.command(CHASSIS, GET_CHASSIS_STATUS))[0] & 1:
            raise SystemExit(f"{session.address} is not off")

    begin = time.monotonic() + 1

    async def ask(at, what, times):
        """Asks once a second, each BMC at a moment of its own."""
        for second in range(seconds):
            due = begin + second + at
            await asyncio.sleep(max(0, due - time.monotonic()))
            sent = time.monotonic()
            await what()
            times.append(time.monotonic() - sent)

    asking = []
    for number, (web, session) in enumerate(clients):
        at = number / len(clients)
        asking.append(ask(at, web.system, redfish))
        asking.append(ask((at + 0.5) % 1, lambda session=session: session.command(CHASSIS, GET_CHASSIS_STATUS), ipmi))
    print("connected", flush=True)
    await asyncio.gather(*asking)
    return {"redfish": summary(redfish), "ipmi": summary(ipmi), "took": time.monotonic() - begin}


def summary(times):
    ordered = sorted(times)
    return {"count": len(times), "median": statistics.median(times), "late": ordered[len(ordered) * 99 // 100]}


def system(rounds, address):
    """A client that does nothing else: what it takes for itself is part of the figure."""
    with trusts().wrap_socket(
        socket.create_connection((address, 443)), server_hostname=address
    ) as connection:
        request = f"GET {SYSTEM} HTTP/1.1\r\nHost: {address}\r\n{authorization(password())}\r\n".encode()
        times = []
        for _ in range(rounds):
            begin = time.monotonic()
            connection.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(65536)
            head, _, body = answer.partition(b"\r\n\r\n")
            left = int(re.search(rb"(?i)\r\ncontent-length: (\d+)", head)[1]) - len(body)
            while left > 0:
                left -= len(connection.recv(65536))
            times.append(time.monotonic() - begin)
            if not head.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"{address} answers {head!r}")
    return summary(times)


def status(rounds, address, folder, simulator, libraries):
    """Runs ipmitool in turns: ours as it is without options, both with the cipher suite that ipmi_sim has."""
    folder = Path(folder)
    secret = password()
    (folder / "state").mkdir(parents=True, exist_ok=True)
    (folder / "lan.conf").write_text(
        'name "bench"\nset_working_mc 0x20\nstartlan 1\n addr 127.0.0.1 9623\n priv_limit admin\n'
        + "".join(f" allowed_auths_{level} none md2 md5 straight\n" for level in ("callback", "user", "operator", "admin"))
        + " guid a123456789abcdefa123456789abcdef\nendlan\n"
        + f'user 2 true "{USER}" "{secret}" admin 10 none md2 md5 straight\n'
    )
    (folder / "emu").write_text(
        "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n"
    )
    command = [simulator, "-c", folder / "lan.conf", "-f", folder / "emu", "-s", folder / "state", "-n"]
    sides = {
        "ours": ["-H", address],
        "ours, suite 3": ["-H", address, "-C", "3"],
        "ipmi_sim, suite 3": ["-H", "127.0.0.1", "-p", "9623", "-C", "3"],
    }
    times = {side: [] for side in sides}
    with open(folder / "log", "w") as log:
        environment = {**os.environ, "LD_LIBRARY_PATH": libraries}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        # The first round is not counted: it waits for the simulator.
        for at in range(rounds + 1):
            for side, where in sides.items():
                tool = ["ipmitool", "-I", "lanplus", *where, "-U", USER, "-E", "power", "status"]
                environment = {**os.environ, "IPMI_PASSWORD": secret}
                begin = time.monotonic()
                done = subprocess.run(tool, capture_output=True, text=True, check=False, env=environment)
                took = time.monotonic() - begin
                if done.returncode != 0 or done.stdout != "Chassis Power is off\n":
                    raise SystemExit(f"{side}: {done.stdout}{done.stderr}")
                if at:
                    times[side].append(took)
    finally:
        process.kill()
        process.wait()
    return {side: summary(taken) for side, taken in times.items()}


def console(address):
    """Reads the lines by ipmitool; returns how many of them came in their order, and how many there were a second."""
    tool = ["ipmitool", "-I", "lanplus", "-H", address, "-U", USER, "-E"]
    environment = {**os.environ, "IPMI_PASSWORD": password()}
    subprocess.run([*tool, "power", "on"], check=True, env=environment, stdout=subprocess.DEVNULL)
    ours, theirs = pty.openpty()
    mode = termios.tcgetattr(theirs)
    mode[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(theirs, termios.TCSANOW, mode)
    process = subprocess.Popen(
        [*tool, "sol", "activate"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    received, begun, ended = b"", None, None
    deadline = time.monotonic() + 120
    asked = 0.0
    try:
        while time.monotonic() < deadline and ended is None:
            # The machine waits for a key, and its firmware may have dropped the first ones.
            if begun is None and time.monotonic() - asked > 1:
                os.write(ours, b"x")
                asked = time.monotonic()
            if not select.select([ours], [], [], 0.2)[0]:
                continue
            received += os.read(ours, 65536)
            if begun is None and LINE.search(received):
                begun = time.monotonic()
            if begun and last_line() in received[-4096:]:
                ended = time.monotonic()
    finally:
        process.kill()
        process.wait()
        subprocess.run([*tool, "power", "off"], check=True, env=environment, stdout=subprocess.DEVNULL)
    numbers = [number(found) for found in LINE.findall(received)]
    if begun is None:
        raise SystemExit(f"the machine does not print: {received[-500:]!r}")
    if ended is None:
        raise SystemExit(f"the last line never came; {len(numbers)} did")
    in_order = numbers == list(range(LINES))
    return {"lines": len(numbers), "lost": LINES - len(set(numbers)), "in order": in_order, "rate": LINES / (ended - begun)}


def number(letters):
    value = 0
    for letter in letters:
        value = value * 16 + letter - ord("A")
    return value


def last_line():
    last = LINES - 1
    return bytes(ord("A") + (last >> shift & 15) for shift in (12, 8, 4, 0)) + b" line of the bench"


def main(what, *words):
    if what == "load":
        figures = asyncio.run(load(int(words[0]), words[1:]))
    elif what == "system":
        figures = system(int(words[0]), words[1])
    elif what == "status":
        figures = status(int(words[0]), *words[1:])
    else:
        figures = console(words[0])
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
