# Lets Dryrack make namespaces in which it has a say (Ubuntu 23.10 and later take that away by default).
# Dryrack is otherwise as free as without a profile.
#
#   sudo install -m 644 FILE /etc/apparmor.d/dryrack
#   sudo apparmor_parser -r /etc/apparmor.d/dryrack

abi <abi/4.0>,
include <tunables/global>

profile dryrack "@PROGRAM@" flags=(unconfined) {
  userns,

  include if exists <local/dryrack>
}
