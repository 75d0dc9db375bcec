# Allows Dryrack to create user namespaces (Ubuntu 23.10 and later restrict them by default).
# Restricts nothing else.
#
#   sudo install -m 644 FILE /etc/apparmor.d/dryrack
#   sudo apparmor_parser -r /etc/apparmor.d/dryrack

abi <abi/4.0>,
include <tunables/global>

profile dryrack "@PROGRAM@" flags=(unconfined) {
  userns,

  include if exists <local/dryrack>
}
