//! A QEMU machine as a node: its capabilities, and how it executes commands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::{Machine, PowerOff};
use crate::lab::Firmware;
use crate::name::{DiskName, NodeName};
use crate::node::file_system::FileSought;
use crate::node::keys::Chord;
use crate::node::screen::ScreenReading;
use crate::node::{
    Attachment, Block, BootOverride, Capabilities, Device, DiskContents, Effect, FirmwareVariables,
    FromSystem, InspectError, MediaCommand, Node, NodeCommand, NodeError, Power, Work,
};
use crate::plan::qemu::{QemuFirmware, flash_format};
use crate::plan::{BootTarget, NodeDisk, NodeKind, NodePlan};
use crate::system::file_watch::FileWatch;

/// How long a key is held, and how long none is pressed before the next one.
const HOLD: Duration = Duration::from_millis(25);

impl Node for Machine {
    fn name(&self) -> &NodeName {
        self.node()
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(&self.body.plan)
    }

    fn carry_out(&self, command: NodeCommand) -> Work<'_, Effect> {
        Box::pin(async move {
            match command {
                NodeCommand::Power(power) => self.power(power).await.map(|()| Effect::Now),
                NodeCommand::Boot(boot) => self.set_boot(boot).await,
                NodeCommand::Media(MediaCommand::Insert { drive, image }) => {
                    self.insert(drive.as_ref(), image).await
                }
                NodeCommand::Media(MediaCommand::Eject { drive }) => {
                    self.eject(drive.as_ref()).await.map(|()| Effect::Now)
                }
                NodeCommand::Link { nic, up } => self.set_link(&nic, up).await.map(|()| Effect::Now),
                NodeCommand::Keys(chords) => self.press(&chords).await.map(|()| Effect::Now),
                NodeCommand::Firmware(change) => self.change_firmware(change).await,
                NodeCommand::Break => self.send_break().await.map(|()| Effect::Now),
            }
        })
    }

    fn boot_override(&self) -> watch::Receiver<BootOverride> {
        self.body.overrides.subscribe()
    }

    fn firmware_variables(&self) -> Work<'_, Option<FirmwareVariables>> {
        Box::pin(async move {
            let read = self.firmware_variables().await;
            read.map_err(|error| {
                NodeError::failed("read the variables of the firmware of", self.node(), error)
            })
        })
    }

    fn watch_firmware(&self) -> Result<Option<FileWatch>, NodeError> {
        let watch = self.watch_variables();
        watch.map_err(|error| NodeError::failed("watch the variables of the firmware of", self.node(), error))
    }

    fn console(&self) -> Result<Attachment, NodeError> {
        Ok(self.attach())
    }

    fn system_interface(&self) -> Option<mpsc::UnboundedReceiver<FromSystem>> {
        self.system_interface()
    }

    fn screenshot(&self) -> Work<'_, Vec<u8>> {
        Box::pin(self.screenshot())
    }

    fn screen(&self) -> Work<'_, ScreenReading> {
        Box::pin(self.screen())
    }

    fn devices(&self) -> Work<'_, Vec<Device>> {
        Box::pin(self.devices())
    }

    fn blocks(&self) -> Work<'_, Vec<Block>> {
        Box::pin(self.blocks())
    }

    fn inspect(
        &self,
        disk: DiskName,
        firmware: Firmware,
    ) -> Work<'_, Result<DiskContents, String>, InspectError> {
        Box::pin(async move { self.inspect(&disk, firmware).await })
    }

    fn find_file(&self, disk: DiskName, path: PathBuf) -> Work<'_, FileSought, InspectError> {
        Box::pin(async move { self.find_file(&disk, path).await })
    }

    fn end(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.stop())
    }
}

/// Returns the capabilities of a QEMU machine.
pub fn capabilities(plan: &NodePlan) -> Capabilities {
    let NodeKind::Qemu(qemu) = &plan.kind;
    let mut boot_refused = BTreeMap::new();
    let mut refuse = |target, why: &str| boot_refused.insert(target, why.to_owned());
    match &qemu.firmware {
        QemuFirmware::Bios => {
            refuse(BootTarget::Setup, "its firmware, SeaBIOS, has no setup menu");
            refuse(BootTarget::Http, "its firmware, SeaBIOS, has no HTTP boot");
        }
        QemuFirmware::Uefi { file, .. } if flash_format(&file.variables) != "raw" => {
            for target in [BootTarget::Setup, BootTarget::Http] {
                refuse(target, "its UEFI variables, which would ask for that, are not a raw image");
            }
        }
        QemuFirmware::Uefi { .. } => {}
    }
    if plan.nics.is_empty() {
        refuse(BootTarget::Network, "it has no NIC");
        refuse(BootTarget::Http, "it has no NIC");
    }
    let is_stick = |disk: &NodeDisk| plan.is_stick(&disk.disk);
    if plan.disks.iter().all(is_stick) {
        refuse(BootTarget::Disk, "it has no disk");
    }
    if !plan.disks.iter().any(is_stick) && qemu.bmc_stick.is_none() {
        refuse(BootTarget::Usb, "it has no disk with `bus = \"usb\"`");
    }
    let all = [
        BootTarget::Network,
        BootTarget::Disk,
        BootTarget::Cd,
        BootTarget::Usb,
        BootTarget::Setup,
        BootTarget::Http,
    ];
    Capabilities {
        power: BTreeSet::from(Power::ALL),
        boot: all.into_iter().filter(|target| !boot_refused.contains_key(target)).collect(),
        boot_refused,
        media: true,
        links: true,
        console: true,
        screen: true,
        inspection: true,
    }
}

impl Machine {
    /// Presses keys, one chord after another.
    #[expect(clippy::disallowed_methods, reason = "QEMU drops keys that come faster than they are pressed")]
    pub async fn press(&self, chords: &[Chord]) -> Result<(), NodeError> {
        let qmp = self.body.running().await?;
        self.body.screen.stir();
        for chord in chords {
            let pressed = qmp.press(chord.keys(), HOLD).await;
            pressed.map_err(|source| self.body.failed("press keys of", source))?;
            // Each key goes down and up again.
            tokio::time::sleep(HOLD * 2 * u32::try_from(chord.keys().len()).unwrap_or(1)).await;
        }
        Ok(())
    }

    async fn power(&self, power: Power) -> Result<(), NodeError> {
        match power {
            Power::On => self.power_on().await,
            Power::Off => self.power_off(PowerOff::Graceful { timeout: Power::SHUTDOWN }).await,
            Power::ForceOff => self.power_off(PowerOff::Hard).await,
            Power::Cycle => self.cycle().await,
            Power::Reset => self.reset().await,
            Power::Nmi => self.nmi().await,
        }
    }
}
