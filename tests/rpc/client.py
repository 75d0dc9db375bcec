"""A client that knows of matchbox's gRPC only what is in src/rpc/proto.

usage: client.py STUBS CERTIFICATES PORT VERB [ARGUMENT...]

STUBS has what protoc made, CERTIFICATES what `dryrack tls init` made. What is seen goes
to standard output, for the test to compare; whatever is not as it has to be raises.
"""

import concurrent.futures
import hashlib
import json
import sys
import threading
import time

STUBS, CERTIFICATES, PORT, VERB, *ARGUMENTS = sys.argv[1:]
sys.path.insert(0, STUBS)

import grpc  # noqa: E402

import rpcpb_pb2_grpc as rpc  # noqa: E402
import serverpb_pb2 as msg  # noqa: E402
import storagepb_pb2 as storage  # noqa: E402


def read(name):
    with open(f"{CERTIFICATES}/{name}", "rb") as file:
        return file.read()


def connect(certificate="client", options=()):
    credentials = grpc.ssl_channel_credentials(
        read("ca.crt"),
        certificate and read(f"{certificate}.key"),
        certificate and read(f"{certificate}.crt"),
    )
    return grpc.secure_channel(f"127.0.0.1:{PORT}", credentials, options)


class Services:
    def __init__(self, channel):
        self.groups = rpc.GroupsStub(channel)
        self.profiles = rpc.ProfilesStub(channel)
        self.ignition = rpc.IgnitionStub(channel)
        self.generic = rpc.GenericStub(channel)
        self.select = rpc.SelectStub(channel)


def refused(call, *arguments):
    """Returns code and details of a call that has to fail."""
    try:
        answer = call(*arguments)
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError(f"answered: {answer}")


def golden():
    """Asks everything that the real server was asked, and writes the answers as they were noted then."""
    channel = connect()
    s = Services(channel)

    def row(path, call, request, name=None):
        try:
            answer = str(call(request)).replace("\n", " | ")
            print(f"{name or path} OK {answer}")
        except grpc.RpcError as error:
            print(f"{name or path} {error.code()} {error.details()!r}")

    def group(path, call, **fields):
        row(f"/rpcpb.Groups/{path}", call, getattr(msg, f"{path}Request")(**fields))

    for id in ["nope", "node1", "badmac", "", "../profiles/p1"]:
        group("GroupGet", s.groups.GroupGet, id=id)
    for fields in [
        {},
        {"id": "x"},
        {"id": "x", "profile": "p", "metadata": b"notjson"},
        {"id": "x", "profile": "p", "selector": {"mac": "zz"}},
    ]:
        group("GroupPut", s.groups.GroupPut, group=storage.Group(**fields))
    group("GroupGet", s.groups.GroupGet, id="x")
    group("GroupDelete", s.groups.GroupDelete, id="x")
    group("GroupDelete", s.groups.GroupDelete, id="x")

    def profile(path, call, **fields):
        row(f"/rpcpb.Profiles/{path}", call, getattr(msg, f"{path}Request")(**fields))

    for id in ["nope", "noid", "badjson"]:
        profile("ProfileGet", s.profiles.ProfileGet, id=id)
    profile("ProfilePut", s.profiles.ProfilePut, profile=storage.Profile())
    profile("ProfilePut", s.profiles.ProfilePut, profile=storage.Profile(id="y", boot=storage.NetBoot()))
    profile("ProfileDelete", s.profiles.ProfileDelete, id="y")
    row("/rpcpb.Ignition/IgnitionGet", s.ignition.IgnitionGet, msg.IgnitionGetRequest(name="nope"))
    row("/rpcpb.Ignition/IgnitionGet", s.ignition.IgnitionGet, msg.IgnitionGetRequest(name=""))
    row("/rpcpb.Ignition/IgnitionDelete", s.ignition.IgnitionDelete, msg.IgnitionDeleteRequest(name="nope"))
    row("/rpcpb.Generic/GenericGet", s.generic.GenericGet, msg.GenericGetRequest(name="nope"))
    # A MAC address is no label unless it is written as labels are.
    for labels in [{"zone": "z1"}, {"mac": "52-54-00-AA-BB-CC"}, {}]:
        row("/rpcpb.Select/SelectGroup", s.select.SelectGroup, msg.SelectGroupRequest(labels=labels))
    for labels in [{"sel": "nop"}, {"sel": "idm"}]:
        row("/rpcpb.Select/SelectProfile", s.select.SelectProfile, msg.SelectProfileRequest(labels=labels))
    for path in ["/rpcpb.Nope/X", "/grpc.health.v1.Health/Check"]:
        row(path, channel.unary_unary(path), b"")
    row("", s.groups.GroupPut, msg.GroupPutRequest(), "empty GroupPut")


class Resource:
    """One profile and one group as the Terraform provider makes, reads and deletes them."""

    def __init__(self, services, number):
        self.s = services
        name = f"node{number}"
        raw = number % 2 == 0
        # Every byte there is, and neither text nor newline at the end: bytes are bytes.
        self.config = bytes(range(256)) * (1 + number * 40) + b"\r\n\x00"
        self.generic = b"" if number % 3 == 0 else f"for {name}".encode()
        self.profile = storage.Profile(
            id=name,
            ignition_id=f"{name}.ign" if raw else f"{name}.yaml.tmpl",
            generic_id=name if self.generic else "",
            boot=storage.NetBoot(kernel="/assets/k?a=b&c=<d>", initrd=["--name main /i"], args=["a=${uuid}"])
            if number % 5
            else storage.NetBoot(),
        )
        self.group = storage.Group(
            id=name,
            profile=name,
            selector={"mac": f"52:54:00:00:00:{number:02x}", "os": "installed"},
            metadata=json.dumps({"a": "<&>", "z": "1"} if number % 2 else {}).encode(),
        )

    def create(self):
        self.s.profiles.ProfilePut(msg.ProfilePutRequest(profile=self.profile))
        self.s.ignition.IgnitionPut(
            msg.IgnitionPutRequest(name=self.profile.ignition_id, config=self.config)
        )
        if self.generic:
            self.s.generic.GenericPut(
                msg.GenericPutRequest(name=self.profile.generic_id, config=self.generic)
            )
        self.s.groups.GroupPut(msg.GroupPutRequest(group=self.group))

    def read(self):
        """Reads everything back; a difference is what Terraform would call a change."""
        profile = self.s.profiles.ProfileGet(msg.ProfileGetRequest(id=self.profile.id)).profile
        assert profile.HasField("boot"), "the provider would crash"
        assert profile == self.profile, f"{profile} is not {self.profile}"
        config = self.s.ignition.IgnitionGet(msg.IgnitionGetRequest(name=profile.ignition_id)).config
        assert config == self.config, "the Ignition config has changed"
        if profile.generic_id:
            generic = self.s.generic.GenericGet(msg.GenericGetRequest(name=profile.generic_id)).config
            assert generic == self.generic, "the generic config has changed"
        group = self.s.groups.GroupGet(msg.GroupGetRequest(id=self.group.id)).group
        assert (group.id, group.profile, group.selector) == (
            self.group.id,
            self.group.profile,
            self.group.selector,
        )
        # The provider takes metadata for an object of strings, or for nothing.
        assert json.loads(group.metadata or b"{}") == json.loads(self.group.metadata)

    def delete(self):
        self.s.groups.GroupDelete(msg.GroupDeleteRequest(id=self.group.id))
        self.s.profiles.ProfileDelete(msg.ProfileDeleteRequest(id=self.profile.id))
        self.s.ignition.IgnitionDelete(msg.IgnitionDeleteRequest(name=self.profile.ignition_id))
        if self.generic:
            self.s.generic.GenericDelete(msg.GenericDeleteRequest(name=self.profile.generic_id))

    def is_gone(self):
        code, _ = refused(self.s.groups.GroupGet, msg.GroupGetRequest(id=self.group.id))
        assert code == grpc.StatusCode.UNKNOWN
        code, _ = refused(self.s.profiles.ProfileGet, msg.ProfileGetRequest(id=self.profile.id))
        assert code == grpc.StatusCode.UNKNOWN


def provider():
    """Applies, plans again, destroys: ten resources in parallel over one connection."""
    services = Services(connect())
    resources = [Resource(services, number) for number in range(10)]
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        for step in ["create", "read", "read", "create", "read", "delete", "is_gone"]:
            list(pool.map(lambda resource: getattr(resource, step)(), resources))
            listed = len(services.groups.GroupList(msg.GroupListRequest()).groups)
            print(f"{step}: {listed} groups")


def crowd():
    """A thousand requests at once over one connection, and calls that nobody waits for."""
    services = Services(connect())
    put = lambda number: msg.IgnitionPutRequest(name=f"c{number % 50}.ign", config=b"%d" % number * 2000)
    for call in [services.ignition.IgnitionPut.future(put(number)) for number in range(200)]:
        call.cancel()
    pending = [services.ignition.IgnitionPut.future(put(number)) for number in range(1000)]
    for call in pending:
        call.result(timeout=60)
    got = [
        services.ignition.IgnitionGet.future(msg.IgnitionGetRequest(name=f"c{number % 50}.ign"))
        for number in range(1000)
    ]
    whole = {b"%d" % number * 2000 for number in range(1000)}
    assert all(call.result(timeout=60).config in whole for call in got)
    print("answered", len(pending) + len(got))


def limits():
    services = Services(connect())
    most = 4 << 20
    config = b"x" * (most - 20)
    services.generic.GenericPut(msg.GenericPutRequest(name="large", config=config))
    assert services.generic.GenericGet(msg.GenericGetRequest(name="large")).config == config
    print(*refused(services.generic.GenericPut, msg.GenericPutRequest(name="larger", config=b"x" * most)))
    for name in ["../x", "a/../../x", "a\0b", ".dryrack-x", "a/.dryrack-x", ""]:
        print(repr(name), *refused(services.ignition.IgnitionPut, msg.IgnitionPutRequest(name=name)))
    services.ignition.IgnitionPut(msg.IgnitionPutRequest(name="rack1/a.ign", config=b"{}"))
    # Names are cleaned like paths.
    for name in ["rack1/a.ign", "x/../rack1//a.ign", "/rack1/a.ign"]:
        print(services.ignition.IgnitionGet(msg.IgnitionGetRequest(name=name)).config)


def writer():
    """Writes for as long as the test lives, whoever is killed meanwhile. Says what was answered, on lines
    of its own, and takes `end` on standard input.

    What is written says itself what it is: a header with a number and a length, bytes that follow from
    the number, and a digest at the end.
    """
    number = int(ARGUMENTS[0])
    # A new connection is tried at once, an old one only after a while.
    options = [("grpc.use_local_subchannel_pool", 1)]
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), ended.set()), daemon=True).start()
    said = threading.Lock()

    def write(who):
        channel = connect(options=options)
        turn = 0
        while not ended.is_set():
            turn += 1
            size = [30, 5000, 300_000, 3_000_000][who % 4]
            body = (b"%d %d %d\n" % (who, turn, size)) + (b"%08d" % turn) * (size // 8)
            body += hashlib.sha256(body).hexdigest().encode()
            # Long enough that a part of it would show.
            words = {f"word{word}": "x" * 50 + str(turn) for word in range(who * 20 + 1)}
            metadata = json.dumps({"turn": str(turn), **words}).encode()
            group = storage.Group(id=f"w{who}", profile=f"w{who}", metadata=metadata)
            boot = storage.NetBoot(kernel=str(turn), args=[f"arg{arg}" for arg in range(who * 20)])
            profile = storage.Profile(id=f"w{who}", boot=boot)
            services = Services(channel)
            try:
                services.ignition.IgnitionPut(
                    msg.IgnitionPutRequest(name=f"w{who}.ign", config=body), timeout=5
                )
                services.profiles.ProfilePut(msg.ProfilePutRequest(profile=profile), timeout=5)
                services.groups.GroupPut(msg.GroupPutRequest(group=group), timeout=5)
            except grpc.RpcError:
                # It is being killed, or is not up again yet.
                channel.close()
                time.sleep(0.02)
                channel = connect(options=options)
                continue
            with said:
                print(who, turn, flush=True)

    threads = [threading.Thread(target=write, args=(who,)) for who in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def certificate():
    """Calls as somebody else, or as nobody; says how far that gets."""
    channel = connect(ARGUMENTS[0] or None)
    try:
        Services(channel).groups.GroupList(msg.GroupListRequest(), timeout=10)
        print("answered")
    except grpc.RpcError as error:
        print(error.code().name)


{
    "golden": golden,
    "provider": provider,
    "crowd": crowd,
    "limits": limits,
    "writer": writer,
    "certificate": certificate,
}[VERB]()
