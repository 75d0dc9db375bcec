# The container: a network namespace with a macvlan of the host's NIC, and dnsmasq in it.
set -eu

unshare --net sleep infinity &
container=$!
until [ "$(readlink /proc/$container/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
inside() { nsenter --target $container --net -- "$@"; }

ip link add macvlan0 link eth0 type macvlan mode bridge
ip link set macvlan0 netns $container
inside ip link set lo up
inside ip address add 10.20.5.2/24 dev macvlan0
inside ip link set macvlan0 up
# The rest of the /20 is on the same wire.
inside ip route add 10.20.0.0/20 dev macvlan0

# The shim: the host reaches its container by a macvlan of its own.
ip link add shim link eth0 type macvlan mode bridge
ip address add 10.20.0.11/32 dev shim
ip link set shim up
ip route add 10.20.5.2/32 dev shim

touch /run/container.ready
inside dnsmasq --keep-in-foreground --conf-file=/etc/container/dnsmasq.conf
