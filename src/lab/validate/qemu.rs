//! Further arguments of QEMU.

use super::Check;
use crate::config::{Located, RawNode};
use crate::diag::{Code, Diagnostic};
use crate::lab::QemuExtras;

/// Options by which Dryrack controls QEMU, or by which QEMU would not run the machine, each with what else to do.
const RESERVED: &[(&str, &str)] = &[
    ("qmp", CONTROL),
    ("qmp-pretty", CONTROL),
    ("mon", CONTROL),
    ("monitor", CONTROL),
    ("S", CONTROL),
    ("daemonize", CONTROL),
    ("pidfile", CONTROL),
    ("name", CONTROL),
    ("nodefaults", CONTROL),
    ("no-user-config", CONTROL),
    ("readconfig", CONTROL),
    ("chroot", CONTROL),
    ("runas", CONTROL),
    ("run-with", CONTROL),
    ("sandbox", CONTROL),
    ("preconfig", CONTROL),
    ("incoming", CONTROL),
    ("loadvm", CONTROL),
    ("action", CONTROL),
    ("no-reboot", CONTROL),
    ("no-shutdown", CONTROL),
    ("snapshot", "disks are new in each run unless they have `keep = true`"),
    ("serial", "`dryrack console` is the first serial port; add others by `-device pci-serial`"),
    ("nographic", SCREEN),
    ("curses", SCREEN),
    ("display", SCREEN),
    ("vnc", SCREEN),
    ("spice", SCREEN),
    ("vga", SCREEN),
    ("accel", ACCEL),
    ("enable-kvm", ACCEL),
    ("cpu", "set `qemu.cpu` of the node"),
    ("smp", "set `cpus` of the node"),
    ("m", "set `memory` of the node"),
    ("uuid", "set `uuid` of the node"),
    ("M", "set `machine` of the node"),
    ("bios", FIRMWARE),
    ("pflash", FIRMWARE),
    ("L", FIRMWARE),
    ("boot", "set `boot` of the node"),
    ("kernel", BOOTS),
    ("initrd", BOOTS),
    ("append", BOOTS),
    ("h", PRINTS),
    ("help", PRINTS),
    ("version", PRINTS),
];

const CONTROL: &str = "Dryrack controls the machine by it";
const SCREEN: &str = "`dryrack screen` shows the screen";
const ACCEL: &str = "set `accel` of the lab";
const FIRMWARE: &str = "set `firmware` of the node";
const BOOTS: &str = "set `profile` of the node";
const PRINTS: &str = "QEMU would print a text instead of running the machine";

/// Properties of `-machine` that Dryrack sets, beside the type.
const RESERVED_OF_MACHINE: &[&str] = &["type", "accel", "smm", "pflash0", "pflash1"];

impl Check<'_> {
    pub(super) fn qemu_extras(&mut self, raw: &RawNode) -> QemuExtras {
        let Some(raw) = raw.qemu.value() else { return QemuExtras::default() };
        let args = &raw.args.items;
        if let Some(first) = args.first().filter(|first| !first.value.starts_with('-')) {
            let help = "an option begins with `-`; its value is the next item".to_owned();
            self.bad_argument(first, format!("`{}` is not an option of QEMU", first.value), help);
        }
        for (index, argument) in args.iter().enumerate() {
            let Some(option) = option(&argument.value) else { continue };
            let value = args.get(index + 1).map_or("", |value| &value.value);
            let reserved = RESERVED.iter().find(|(reserved, _)| *reserved == option);
            let help = match reserved {
                Some((_, help)) => Some((*help).to_owned()),
                None if option == "machine" => machine_property(value),
                None => None,
            };
            if let Some(help) = help {
                let what = format!("`{}` would break what Dryrack itself tells QEMU", argument.value);
                self.bad_argument(argument, what, help);
            }
        }
        if let Some(cpu) = raw.cpu.given().filter(|cpu| cpu.value.is_empty() || cpu.value.starts_with('-')) {
            let help = "give a model, as `qemu-system-x86_64 -cpu help` lists them".to_owned();
            self.bad_argument(cpu, format!("`{}` is not a CPU", cpu.value), help);
        }
        QemuExtras {
            args: args.iter().map(|argument| argument.value.clone()).collect(),
            cpu: raw.cpu.value().cloned(),
        }
    }

    fn bad_argument(&mut self, argument: &Located<String>, what: String, help: String) {
        self.report(Diagnostic::new(Code::BadQemuArgument, argument.span.clone(), what).help(help));
    }
}

/// Returns the name of an option of QEMU, which may have one or two dashes.
fn option(argument: &str) -> Option<&str> {
    let option = argument.strip_prefix('-')?;
    Some(option.strip_prefix('-').unwrap_or(option))
}

/// Returns why a value of `-machine` is refused.
fn machine_property(value: &str) -> Option<String> {
    value.split(',').find_map(|item| match item.split_once('=') {
        None => Some("set `machine` of the node; `-machine` is for further properties".to_owned()),
        Some((key, _)) if RESERVED_OF_MACHINE.contains(&key) => Some(format!("Dryrack sets `{key}`")),
        Some(_) => None,
    })
}
