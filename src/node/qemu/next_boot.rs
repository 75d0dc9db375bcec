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
use super::{Body, Machine, QmpError, uefi_variables};
use crate::event::Known;
use crate::hint::chain;
use crate::lab::{FaultKind, MachineFault};
use crate::node::{BootOverride, Effect, NodeError};
use crate::plan::qemu::{BootOrder, QemuFirmware, QemuPlan, VARIABLES};
use crate::plan::{BootTarget, NodeKind, OrderBy, StartOptions};

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
        self.next_boot().over = over;
        self.overrides.send_replace(over);
    }

    /// Returns what is wrong with the machine at its next start.
    fn machine_faults(&self) -> Vec<MachineFault> {
        self.faults.standing(&self.plan.node, machine_fault)
    }

    /// Returns whether a QEMU was started with the settings of the next start.
    pub(super) fn is_as_wanted(&self, started: &StartOptions) -> bool {
        started.boot == self.next_boot().over.target()
            && started.media == self.media.get()
            && started.faults == self.machine_faults()
    }

    /// Returns whether a running machine has to be started again for its settings.
    pub(super) fn is_pending(&self, session: &Session) -> bool {
        let boot = self.next_boot().over.target();
        let options = StartOptions { boot, media: self.media.get(), ..StartOptions::default() };
        let has_drives = self.qemu().cds_at(&self.plan, &options).iter().all(|cd| session.cds.contains(cd));
        !has_drives || self.starts_differently() || session.started.faults != self.machine_faults()
    }

    /// Returns whether a UEFI machine has to be told something at its next start.
    fn starts_differently(&self) -> bool {
        let next = self.next_boot();
        self.is_uefi() && (next.over != BootOverride::Default || next.displaced)
    }

    /// Returns the settings of the next start, and writes those into the UEFI variables that belong there.
    pub(super) async fn prepare(&self) -> io::Result<StartOptions> {
        let NextBoot { over, displaced, saved, unread } = self.next_boot().clone();
        let boot = over.target();
        let faults = self.machine_faults();
        let mut options = StartOptions { boot, media: self.media.get(), order: OrderBy::Indices, faults };
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
        if displaced && let Some((order, target)) = &saved {
            let restored = uefi_variables::restore_boot_order(&mut flash, order, *target);
            restored.map_err(io::Error::other)?;
        }
        // The firmware has written its boot order unless it never got that far, and that of the plan was given to it.
        let order = uefi_variables::boot_order(&mut flash).filter(|_| !displaced || saved.is_some());
        let is_given = order.is_some();
        if is_given || self.qemu().boot_order == BootOrder::Variables {
            options.order = OrderBy::Variables;
        }
        let global = uefi_variables::GLOBAL;
        if unread {
            let deleted = uefi_variables::delete(&mut flash, global, uefi_variables::BOOT_NEXT);
            deleted.map_err(io::Error::other)?;
            self.next_boot().unread = false;
        }
        match boot {
            None => {}
            Some(BootTarget::Setup) => {
                // As an operating system would.
                let request = uefi_variables::BOOT_TO_SETUP.to_le_bytes();
                let set = uefi_variables::set(&mut flash, global, uefi_variables::OS_INDICATIONS, &request);
                set.map_err(io::Error::other)?;
            }
            Some(target) => match uefi_variables::boot_entry(&mut flash, target).filter(|_| is_given) {
                Some(entry) => {
                    let entry = entry.to_le_bytes();
                    let set = uefi_variables::set(&mut flash, global, uefi_variables::BOOT_NEXT, &entry);
                    set.map_err(io::Error::other)?;
                    self.next_boot().unread = true;
                }
                // A firmware that never saw the device has no entry for it.
                None => {
                    options.order = OrderBy::Indices;
                    self.next_boot().saved = order.map(|order| (order, target));
                }
            },
        }
        if flash != before {
            tokio::fs::write(&path, flash).await?;
        }
        Ok(options)
    }

    /// Arranges what a machine does at a reset, before its firmware runs for the first time.
    pub(super) async fn hand_over(&self, session: &mut Session) -> Result<(), QmpError> {
        let over = self.next_boot().over;
        let started = session.started.clone();
        // The firmware has its order already; the next reset rebuilds it from the indices of then.
        if self.is_uefi() {
            let is_planned = matches!(started.boot, None | Some(BootTarget::Setup));
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
        if let BootOverride::Once(_) = over {
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
    /// Overrides the boot order of the firmware from the next start or reset on, whoever causes it.
    pub async fn set_boot(&self, over: BootOverride) -> Result<Effect, NodeError> {
        let body = &self.body;
        let mut session = body.session.lock().await;
        let target = over.target();
        body.set_override(over);
        let Some(session) = session.as_mut().filter(|session| session.is_on()) else {
            return Ok(if target.is_none() { Effect::Now } else { Effect::NextStart });
        };
        let failed = |source| body.failed("override the boot order of", source);
        body.arm(session).await.map_err(failed)?;
        if session.started.boot == target {
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
            Some(BootTarget::Setup) => false,
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
