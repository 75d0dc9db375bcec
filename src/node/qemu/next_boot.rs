//! What a machine boots from at its next start.
//!
//! ```text
//! BIOS   the boot order, or an override, by boot indices at every start
//! UEFI   the boot order by boot indices once, while the variable store is new; then the firmware's own variables,
//!        which a system may change; an override by BootNext
//! ```
//!
//! OVMF rewrites its boot order at each start with a boot index, which would undo what an installer has set. SeaBIOS
//! answers a reset with another reset, so an override for one start is taken back only when it has run for a while.
//! A UEFI machine whose next start differs ends at a reset by its guest, because its variables can only be changed
//! while it does not run, and is started again.

use std::io;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::session::Session;
use super::uefi_variables::{BootEntry as UefiEntry, PciNic, VariableError};
use super::{Body, Machine, QmpError, uefi_variables};
use crate::bmc::secure_boot::SecureBootChange;
use crate::event::Known;
use crate::hint::chain;
use crate::lab::{FaultKind, MachineFault};
use crate::node::{BootOverride, Effect, FirmwareChange, FirmwareEntry, FirmwareVariables, NodeError};
use crate::plan::qemu::{BootOrder, QemuFirmware, QemuPlan, VARIABLES, nic_id};
use crate::plan::{BootTarget, FirmwareSettings, NodeKind, OrderBy, StartOptions};
use crate::system::file_watch::FileWatch;

/// How long after its latest reset a machine has left its firmware.
const HAND_OVER: Duration = Duration::from_secs(2);

/// What a machine boots from at its next start.
#[derive(Debug, Clone, Default)]
pub(super) struct NextBoot {
    /// The override of its boot order.
    over: BootOverride,
    /// Whether an override was put into the boot order of UEFI variables, which does not belong there.
    displaced: bool,
    /// The boot order before that, and what it gave way to. `None` if there was none yet.
    saved: Option<(Vec<u16>, BootTarget)>,
    /// Whether an entry for the next start is in the UEFI variables that the firmware has not read.
    unread: bool,
    /// What HTTP boot loads; what DHCP says if `None`.
    http: Option<String>,
    /// Where its first NIC is, once that is known.
    nic: Option<PciNic>,
    /// What is to be changed of Secure Boot.
    secure_boot: Option<SecureBootChange>,
    /// The settings of the firmware.
    settings: FirmwareSettings,
    /// Whether what was prepared last is still what is wanted.
    is_prepared: bool,
}

/// Returns a fault of a machine from its start on.
pub(super) fn machine_fault(kind: &FaultKind) -> Option<MachineFault> {
    match kind {
        FaultKind::Machine(fault) if *fault != MachineFault::PowerCut => Some(fault.clone()),
        _ => None,
    }
}

impl Body {
    fn qemu(&self) -> &QemuPlan {
        let NodeKind::Qemu(qemu) = &self.plan.kind;
        qemu
    }

    fn is_uefi(&self) -> bool {
        self.qemu().firmware != QemuFirmware::Bios
    }

    /// Sets the override of its boot order, and tells those who watch it.
    fn set_override(&self, over: BootOverride) {
        let mut next = self.next_boot();
        (next.over, next.is_prepared) = (over, false);
        drop(next);
        self.overrides.send_replace(over);
    }

    /// Returns what is wrong with the machine at its next start.
    fn machine_faults(&self) -> Vec<MachineFault> {
        self.faults.standing(&self.plan.node, machine_fault)
    }

    /// Returns whether a QEMU was started with the settings of the next start.
    pub(super) fn is_as_wanted(&self, started: &StartOptions) -> bool {
        let next = self.next_boot().clone();
        next.is_prepared
            && started.boot == next.over.target()
            && started.media == self.media.get()
            && started.faults == self.machine_faults()
            && started.firmware == next.settings
    }

    /// Returns whether a running machine has to be started again for its settings.
    pub(super) fn is_pending(&self, session: &Session) -> bool {
        let boot = self.next_boot().over.target();
        let options = StartOptions { boot, media: self.media.get(), ..StartOptions::default() };
        let has_drives = self.qemu().cds_at(&self.plan, &options).iter().all(|cd| session.cds.contains(cd));
        let settings = self.next_boot().settings;
        !has_drives
            || self.starts_differently()
            || session.started.faults != self.machine_faults()
            || session.started.firmware != settings
    }

    /// Returns whether a UEFI machine has to be told something at its next start.
    fn starts_differently(&self) -> bool {
        let next = self.next_boot();
        let is_told = next.over != BootOverride::Default || next.secure_boot.is_some();
        self.is_uefi() && (is_told || next.displaced)
    }

    /// Returns the settings of the next start, and writes those into the UEFI variables that belong there.
    pub(super) async fn prepare(&self) -> io::Result<StartOptions> {
        let next = {
            let mut next = self.next_boot();
            next.is_prepared = true;
            let now = next.clone();
            // A change that cannot be made fails one start, not all of them.
            next.secure_boot = None;
            now
        };
        let mut options = StartOptions {
            boot: next.over.target(),
            media: self.media.get(),
            order: OrderBy::Indices,
            faults: self.machine_faults(),
            firmware: next.settings,
        };
        if !self.is_uefi() {
            return Ok(options);
        }
        let path = self.folder.join(VARIABLES);
        let mut flash = match tokio::fs::read(&path).await {
            // A store that is written with the start of QEMU is new.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && self.qemu().files.contains_key(VARIABLES) =>
            {
                return Ok(options);
            }
            read => read?,
        };
        let before = flash.clone();
        if let (Some(change), QemuFirmware::Uefi { file, .. }) = (next.secure_boot, &self.qemu().firmware) {
            let mut new = tokio::fs::read(&file.variables).await?;
            uefi_variables::keys::change(&mut flash, &mut new, change).map_err(io::Error::other)?;
        }
        options.order = self.tell_firmware(&mut flash, &next).map_err(io::Error::other)?;
        if flash != before {
            // Whoever is killed meanwhile leaves the old store or the new one.
            let draft = path.with_extension("draft");
            tokio::fs::write(&draft, flash).await?;
            tokio::fs::rename(&draft, &path).await?;
        }
        Ok(options)
    }

    /// Finds out where the first NIC of a UEFI machine is.
    pub(super) async fn look_for_nic(&self, session: &Session) -> Result<(), QmpError> {
        let Some(nic) = self.plan.nics.first().filter(|_| self.is_uefi() && self.next_boot().nic.is_none())
        else {
            return Ok(());
        };
        let devices = session.qmp.devices().await?;
        let device = devices.iter().find(|device| device.id == nic_id(nic));
        let place = device.and_then(|device| {
            // Those of the plan are on the root bus.
            let (slot, function) = device.address.strip_prefix("00:")?.split_once('.')?;
            let number = |text: &str| u8::from_str_radix(text, 16).ok();
            Some(PciNic { slot: number(slot)?, function: number(function)?, mac: nic.mac.0 })
        });
        self.next_boot().nic = place;
        Ok(())
    }

    /// Writes into the UEFI variables what the next start boots from; returns what the boot order comes from.
    fn tell_firmware(&self, flash: &mut [u8], next: &NextBoot) -> Result<OrderBy, VariableError> {
        let NextBoot { over, displaced, saved, .. } = next;
        if let (true, Some((order, target))) = (displaced, saved) {
            uefi_variables::restore_boot_order(flash, order, *target)?;
        }
        // The firmware has written its boot order unless it never got that far, and that of the plan was given to it.
        let order = uefi_variables::boot_order(flash).filter(|_| !displaced || saved.is_some());
        let is_given = order.is_some();
        let by = match is_given || self.qemu().boot_order == BootOrder::Variables {
            true => OrderBy::Variables,
            false => OrderBy::Indices,
        };
        if next.unread {
            uefi_variables::delete(flash, uefi_variables::GLOBAL, uefi_variables::BOOT_NEXT)?;
            self.next_boot().unread = false;
        }
        let entry = match (over, over.target()) {
            (BootOverride::Entry(number), _) => Some(*number),
            (_, None) => return Ok(by),
            (_, Some(BootTarget::Setup)) => {
                // As an operating system would.
                let request = uefi_variables::BOOT_TO_SETUP.to_le_bytes();
                uefi_variables::set_global(flash, uefi_variables::OS_INDICATIONS, &request)?;
                return Ok(by);
            }
            (_, Some(BootTarget::Http)) => {
                let asks = uefi_variables::boot_entry(flash, BootTarget::Http);
                match (&next.http, asks) {
                    (None, Some(entry)) => Some(entry),
                    (url, _) => {
                        let url = url.as_deref().unwrap_or_default();
                        Some(uefi_variables::set_http_entry(flash, next.nic.as_ref(), url)?)
                    }
                }
            }
            (_, Some(target)) => uefi_variables::boot_entry(flash, target).filter(|_| is_given),
        };
        match (entry, over.target()) {
            (Some(entry), _) => {
                uefi_variables::set_global(flash, uefi_variables::BOOT_NEXT, &entry.to_le_bytes())?;
                self.next_boot().unread = true;
                Ok(by)
            }
            // A firmware that never saw the device has no entry for it.
            (None, target) => {
                self.next_boot().saved = order.zip(target);
                Ok(OrderBy::Indices)
            }
        }
    }

    /// Arranges what a machine does at a reset, before its firmware runs for the first time.
    pub(super) async fn hand_over(&self, session: &mut Session) -> Result<(), QmpError> {
        let over = self.next_boot().over;
        let started = session.started.clone();
        // The firmware has its order already; the next reset rebuilds it from the indices of then.
        if self.is_uefi() {
            let is_planned = matches!(started.boot, None | Some(BootTarget::Setup | BootTarget::Http));
            let by_indices = started.order == OrderBy::Indices;
            if by_indices {
                let none = self.qemu().unordered(&self.plan, started.boot);
                session.qmp.set_boot_indices(&self.present(session, none)).await?;
            }
            let mut next = self.next_boot();
            next.unread = false;
            next.displaced = by_indices && !is_planned;
        } else if let BootOverride::Once(target) = over {
            let planned = self.qemu().reordered(&self.plan, Some(target), None);
            session.qmp.set_boot_indices(&self.present(session, planned)).await?;
        }
        if let BootOverride::Once(_) | BootOverride::Entry(_) = over {
            session.started.boot = None;
            self.set_override(BootOverride::Default);
        }
        self.arm(session).await
    }

    /// Lets QEMU end at a reset by the guest if the machine starts differently then.
    async fn arm(&self, session: &Session) -> Result<(), QmpError> {
        if !self.is_uefi() {
            return Ok(());
        }
        session.qmp.end_at_reset(self.starts_differently()).await
    }

    /// Starts a task that starts QEMU again whenever it has ended at a reset by the guest.
    pub(super) fn restart_when_due(self: &Arc<Self>) {
        let (machine, restart) = (Arc::downgrade(self), Arc::clone(&self.restart));
        self.spawn(async move {
            loop {
                restart.requested().await;
                let Some(body) = machine.upgrade() else { return };
                body.start_again().await;
            }
        });
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    async fn start_again(&self) {
        let mut session = self.session.lock().await;
        // A command may have been faster.
        if !self.restart.take() {
            return;
        }
        if let Some(session) = session.as_ref() {
            // An error means that its task is gone, and the process with it.
            session.ended().wait_for(|ended| *ended).await.ok();
        }
        let error = match self.start().await {
            Ok(started) => {
                let started = session.insert(started);
                // The reset is an event already.
                started.power();
                let resumed = match self.hand_over(started).await {
                    Ok(()) => started.qmp.cont().await,
                    Err(error) => Err(error),
                };
                match resumed {
                    Ok(()) => return self.screen.stir(),
                    Err(error) => chain(&error),
                }
            }
            Err(error) => chain(&error),
        };
        let status = format!("cannot start again after a reset: {error}");
        self.events.emit_of(&self.plan.node, Known::MachineDied { status, stderr: Vec::new() });
    }

    /// Takes an override for one start back, once a running BIOS machine has started with it.
    async fn take_back(machine: Weak<Self>, mut resets: watch::Receiver<u64>) {
        if resets.changed().await.is_err() {
            return;
        }
        while let Ok(changed) = tokio::time::timeout(HAND_OVER, resets.changed()).await {
            if changed.is_err() {
                return;
            }
        }
        let Some(body) = machine.upgrade() else { return };
        let mut session = body.session.lock().await;
        let Some(session) = session.as_mut().filter(|session| session.is_on()) else { return };
        let BootOverride::Once(target) = body.next_boot().over else { return };
        if session.started.boot != Some(target) {
            return;
        }
        let planned = body.qemu().reordered(&body.plan, Some(target), None);
        match session.qmp.set_boot_indices(&body.present(session, planned)).await {
            Ok(()) => {
                session.started.boot = None;
                body.set_override(BootOverride::Default);
            }
            Err(error) => tracing::warn!(node = %body.plan.node, %error, "an override is still there"),
        }
    }
}

impl Machine {
    /// Changes what the firmware is told from the next start on.
    pub async fn change_firmware(&self, change: FirmwareChange) -> Result<Effect, NodeError> {
        let body = &self.body;
        let mut session = body.session.lock().await;
        {
            let mut next = body.next_boot();
            next.is_prepared = false;
            match change {
                FirmwareChange::Settings(settings) => next.settings = settings,
                FirmwareChange::HttpBoot(url) => next.http = url,
                FirmwareChange::SecureBoot(change) => {
                    let before = next.secure_boot.and_then(|before| before.keys);
                    next.secure_boot = Some(SecureBootChange { keys: change.keys.or(before), ..change });
                }
            }
        }
        if let Some(session) = session.as_mut().filter(|session| session.is_on()) {
            body.arm(session).await.map_err(|source| body.failed("change the firmware of", source))?;
        }
        Ok(Effect::NextStart)
    }

    /// Returns what the firmware has in its variables; `None` for a BIOS.
    pub async fn firmware_variables(&self) -> io::Result<Option<FirmwareVariables>> {
        let body = &self.body;
        if !body.is_uefi() {
            return Ok(None);
        }
        let mut flash = match tokio::fs::read(body.folder.join(VARIABLES)).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let entries = uefi_variables::boot_entries(&mut flash).into_iter();
        let secure_boot = uefi_variables::keys::read(&mut flash);
        let entries = entries.filter_map(|entry| {
            let UefiEntry { number, name, target, .. } = entry;
            Some(FirmwareEntry { number, name, target: target? })
        });
        Ok(Some(FirmwareVariables { entries: entries.collect(), secure_boot }))
    }

    /// Watches the variables of its firmware; `None` if it has none.
    pub(super) fn watch_variables(&self) -> io::Result<Option<FileWatch>> {
        let body = &self.body;
        body.is_uefi().then(|| body.watches.watch(&body.folder.join(VARIABLES))).transpose()
    }

    /// Overrides the boot order of the firmware from the next start or reset on, whoever causes it.
    pub async fn set_boot(&self, over: BootOverride) -> Result<Effect, NodeError> {
        let body = &self.body;
        let mut session = body.session.lock().await;
        let target = over.target();
        body.set_override(over);
        let is_default = over == BootOverride::Default;
        let Some(session) = session.as_mut().filter(|session| session.is_on()) else {
            return Ok(if is_default { Effect::Now } else { Effect::NextStart });
        };
        let failed = |source| body.failed("override the boot order of", source);
        body.arm(session).await.map_err(failed)?;
        if session.started.boot == target && !matches!(over, BootOverride::Entry(_)) {
            return Ok(Effect::Now);
        }
        if body.is_uefi() {
            session.started.boot = target;
            return Ok(Effect::NextStart);
        }
        let is_possible = match target {
            None | Some(BootTarget::Network | BootTarget::Disk | BootTarget::Usb) => true,
            // It gets a drive at its next start.
            Some(BootTarget::Cd) => !session.cds.is_empty(),
            Some(BootTarget::Setup | BootTarget::Http) => false,
        };
        if is_possible {
            let indices = body.qemu().reordered(&body.plan, session.started.boot, target);
            session.qmp.set_boot_indices(&body.present(session, indices)).await.map_err(failed)?;
            session.started.boot = target;
            if let BootOverride::Once(_) = over {
                let mut resets = session.resets();
                resets.mark_unchanged();
                body.spawn(Body::take_back(Arc::downgrade(body), resets));
            }
        }
        Ok(Effect::NextStart)
    }
}
