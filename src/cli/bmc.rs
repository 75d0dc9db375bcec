//! `dryrack bmc`: speaks to any BMC by IPMI.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};

use super::console;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::bmc::ipmi::PORT;
use crate::bmc::ipmi::boot_flags::{BootFlags, BootMode, BootSelector, Lifetime};
use crate::bmc::ipmi::client::chassis::{Status, boot_flags, control, parse_boot_flags, set_boot_flags};
use crate::bmc::ipmi::client::{Settings, WhenTaken};
use crate::bmc::ipmi::privilege::Privilege;
use crate::bmc::power::{Control, RestorePolicy};
use crate::node::hardware::ipmi::{IpmiError, IpmiSession};
use crate::report::exit;

/// Speak to a BMC by IPMI over LAN: of a node in a lab, or of any machine
///
/// A BMC of a private lab is reached from within the lab: `dryrack exec -- dryrack bmc 10.0.3.11 status`. Cipher suite 17
/// is tried first, then 3.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Host name or address of the BMC, with the UDP port if it is not 623
    host: String,
    #[command(subcommand)]
    action: Action,
    /// Name of the user
    #[arg(long, short, global = true, default_value = "admin")]
    user: String,
    /// File with the password; its last newline does not count
    #[arg(long, short, global = true, value_name = "FILE", env = "DRYRACK_BMC_PASSWORD_FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Action {
    /// Show the power, what is booted next, and what happens when the power comes back
    Status,
    /// Show or change the power
    Power {
        /// Action
        #[arg(value_enum, default_value_t = PowerAction::Status)]
        action: PowerAction,
    },
    /// Override what is booted at the next start
    BootNext {
        /// Boot device
        device: Device,
        /// The machine boots by UEFI
        #[arg(long)]
        uefi: bool,
    },
    /// Attach to the serial console (Serial over LAN); Ctrl-] detaches
    Sol {
        /// Take the console over from another session
        #[arg(long)]
        steal: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PowerAction {
    /// Print `on` or `off`
    Status,
    /// Power on
    On,
    /// Power off at once
    Off,
    /// Press the power button: the system shuts down
    Soft,
    /// Power off at once and on again
    Cycle,
    /// Reset
    Reset,
    /// Send a non-maskable interrupt (NMI)
    Nmi,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Device {
    /// NICs, by PXE
    Network,
    /// Disks
    Disk,
    /// CD drives
    Cd,
    /// USB sticks
    Usb,
    /// Setup menu of the firmware
    Setup,
    /// No override
    Default,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<u8, Stop> {
    let bmc = resolve(&args.host)?;
    let privilege = match args.action {
        Action::Status | Action::Power { action: PowerAction::Status } => Privilege::User,
        Action::Sol { .. } => Privilege::Administrator,
        Action::Power { .. } | Action::BootNext { .. } => Privilege::Operator,
    };
    let settings = Settings::new(args.user.as_bytes(), password(args.password_file.as_deref())?, privilege);
    block_on(async {
        let mut session = IpmiSession::open(bmc, settings).await.map_err(|error| Stop::host(&error))?;
        let done = perform(&mut session, args).await;
        // The answer is known; a session that is not closed ends by itself.
        session.close().await.ok();
        done
    })?
}

async fn perform(session: &mut IpmiSession, args: &Args) -> Result<u8, Stop> {
    let host = args.host.as_str();
    let action = match args.action {
        Action::Status => return status(session).await.map_err(|error| Stop::host(&error)),
        Action::BootNext { device, uefi } => {
            let asked = flags(device, uefi);
            let kept = boot_next(session, &asked).await.map_err(|error| Stop::host(&error))?;
            output::data(&format!("next boot     {}\n", shown(&kept)));
            if device != Device::Default && kept.device != asked.device {
                let what = format!("the BMC at {host} accepted the override and has not kept it");
                return Err(Stop::new(exit::UNFIT, what, None::<String>));
            }
            return Ok(exit::MET);
        }
        Action::Sol { steal } => return sol(session, host, steal).await,
        Action::Power { action } => action,
    };
    let (control_of, said) = match action {
        PowerAction::Status => {
            let status = session.ask_for(Status::ask(), Status::parse).await;
            let status = status.map_err(|error| Stop::host(&error))?;
            output::data(if status.on { "on\n" } else { "off\n" });
            return Ok(exit::MET);
        }
        PowerAction::On => (Control::On, "was powered on"),
        PowerAction::Off => (Control::Off, "was powered off"),
        PowerAction::Soft => (Control::Soft, "was asked to shut down"),
        PowerAction::Cycle => (Control::Cycle, "was power-cycled"),
        PowerAction::Reset => (Control::Reset, "was reset"),
        PowerAction::Nmi => (Control::Nmi, "was interrupted"),
    };
    session.ask(control(control_of)).await.map_err(|error| Stop::host(&error))?;
    output::note(&format!("{host} {said}"));
    Ok(exit::MET)
}

async fn status(session: &mut IpmiSession) -> Result<u8, IpmiError> {
    let status = session.ask_for(Status::ask(), Status::parse).await?;
    let boot = match session.ask_for(boot_flags(), parse_boot_flags).await {
        Ok(flags) => shown(&flags),
        // Some BMCs show it to operators only.
        Err(error @ IpmiError::Refused { .. }) => error.to_string(),
        Err(error) => return Err(error),
    };
    let policy = match status.policy {
        Some(RestorePolicy::Off) => "stays off",
        Some(RestorePolicy::Previous) => "as before",
        Some(RestorePolicy::On) => "on",
        None => "unknown",
    };
    let power = if status.on { "on" } else { "off" };
    output::data(&format!("power         {power}\nnext boot     {boot}\nafter outage  {policy}\n",));
    Ok(exit::MET)
}

/// Returns the boot flags as text.
fn shown(flags: &BootFlags) -> String {
    let device = match flags.device {
        None | Some(BootSelector::None) => return "boot order".to_owned(),
        Some(BootSelector::Pxe) => "network",
        Some(BootSelector::Disk | BootSelector::DiskSafe) => "disk",
        Some(BootSelector::Diagnostic) => "diagnostic partition",
        Some(BootSelector::Cd | BootSelector::RemoteCd) => "cd",
        Some(BootSelector::Setup) => "setup",
        Some(BootSelector::Floppy | BootSelector::RemoteFloppy) => "usb",
        Some(BootSelector::RemotePrimary | BootSelector::RemoteDisk) => "remote medium",
    };
    let times = match flags.lifetime {
        Lifetime::Once => "once",
        Lifetime::Persistent => "always",
    };
    let mode = match flags.mode {
        BootMode::Efi => ", by UEFI",
        BootMode::Legacy => "",
    };
    let flags_of = format!("{device}, {times}{mode}");
    // They count for nothing: their time is over, or they were used.
    if flags.valid { flags_of } else { format!("boot order; {flags_of} is set, but not valid") }
}

/// Returns the boot flags for a device.
fn flags(device: Device, uefi: bool) -> BootFlags {
    let selector = match device {
        Device::Network => BootSelector::Pxe,
        Device::Disk => BootSelector::Disk,
        Device::Cd => BootSelector::Cd,
        Device::Usb => BootSelector::Floppy,
        Device::Setup => BootSelector::Setup,
        Device::Default => BootSelector::None,
    };
    let mode = if uefi { BootMode::Efi } else { BootMode::Legacy };
    BootFlags::new(selector, mode, Lifetime::Once)
}

/// Sets boot flags; returns those that the BMC has then, since some accept flags that they do not keep.
async fn boot_next(session: &mut IpmiSession, flags: &BootFlags) -> Result<BootFlags, IpmiError> {
    let [keep, set] = set_boot_flags(flags);
    // Not every BMC has that parameter, and those without it keep the flags as long as they do.
    match session.ask(keep).await {
        Ok(_) | Err(IpmiError::Refused { .. }) => {}
        Err(error) => return Err(error),
    }
    session.ask(set).await?;
    session.ask_for(boot_flags(), parse_boot_flags).await
}

async fn sol(session: &mut IpmiSession, host: &str, steal: bool) -> Result<u8, Stop> {
    let when_taken = if steal { WhenTaken::TakeOver } else { WhenTaken::Refuse };
    session.activate(when_taken).await.map_err(|error| Stop::host(&error))?;
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let carrying = session.carry(theirs);
    let attached = console::attach(ours, host);
    let (carried, attached) = tokio::join!(carrying, attached);
    carried.map_err(|error| Stop::host(&error))?;
    console::ended(attached, host)
}

/// Returns the address of a BMC.
fn resolve(host: &str) -> Result<SocketAddr, Stop> {
    let with_port =
        host.parse::<SocketAddr>().is_ok() || (host.contains(':') && host.matches(':').count() == 1);
    let found = if with_port {
        host.to_socket_addrs()
    } else {
        (host.trim_matches(['[', ']']), PORT).to_socket_addrs()
    };
    let hint = Some("set its name or address, such as 10.0.3.11 or bmc.example:6230");
    match found.map(|mut found| found.next()) {
        Ok(Some(address)) => Ok(address),
        Ok(None) => Err(Stop::new(exit::WRONG, format!("`{host}` has no address"), hint)),
        Err(error) => Err(Stop::new(exit::WRONG, format!("cannot find `{host}`: {error}"), hint)),
    }
}

/// Reads the password.
fn password(file: Option<&Path>) -> Result<Vec<u8>, Stop> {
    let Some(file) = file else {
        let hint = "set --password-file, or DRYRACK_BMC_PASSWORD_FILE";
        return Err(Stop::new(exit::WRONG, "there is no password", Some(hint)));
    };
    let mut password = std::fs::read(file).map_err(|error| {
        let what = format!("cannot read the password in `{}`: {error}", file.display());
        Stop::new(exit::WRONG, what, None::<String>)
    })?;
    if password.last() == Some(&b'\n') {
        password.pop();
    }
    Ok(password)
}
