//! The control connection of a QEMU (QMP), and the commands that Dryrack uses.
//!
//! The types of commands come from `qapi`; the connection is our own, because QEMU may be newer or older than the
//! schema: an event, an enum value or a field that the schema does not know must not end the connection, and a caller
//! may cancel a command at any time.

use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use qapi::qmp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, oneshot};

use crate::hint::Hint;
use crate::node::{Block, Device};

/// How long QEMU may take for one command. Its main loop answers within a millisecond unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// QEMU refused it.
    #[error("QEMU refused `{command}`: {said}")]
    Refused {
        /// The command.
        command: &'static str,
        /// Its description of the error.
        said: String,
    },
    /// QEMU has ended or is ending.
    #[error("QEMU ended before it answered `{command}`")]
    Closed {
        /// The command.
        command: &'static str,
    },
    /// QEMU did not answer in time.
    #[error("QEMU has not answered `{command}` for {} s", PATIENCE.as_secs())]
    Silent {
        /// The command.
        command: &'static str,
    },
    /// QEMU executed it, but its answer does not match the schema.
    #[error("QEMU answered `{command}` in a form that is not known: {raw}")]
    Schema {
        /// The command.
        command: &'static str,
        /// The answer.
        raw: Value,
        /// The mismatch.
        #[source]
        source: serde_json::Error,
    },
    /// The other end does not speak QMP.
    #[error("no QMP greeting on the control socket of QEMU")]
    Greeting(#[source] io::Error),
}

impl Hint for QmpError {}

/// An event as sent by QEMU, whether or not the schema knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct RawEvent {
    /// Its name, e.g. `SHUTDOWN`.
    pub name: String,
    /// Its data.
    pub data: Map<String, Value>,
}

impl RawEvent {
    /// Returns a string field of the data.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.data.get(key).and_then(Value::as_str)
    }

    /// Tells whether a boolean field of the data is set.
    pub fn flag(&self, key: &str) -> bool {
        self.data.get(key).and_then(Value::as_bool).unwrap_or(false)
    }
}

struct Call {
    command: &'static str,
    arguments: Value,
    reply: oneshot::Sender<Result<Value, String>>,
}

/// Sends commands to one QEMU. Cheap to clone.
#[derive(Clone)]
pub struct Qmp {
    calls: mpsc::UnboundedSender<Call>,
}

/// The other half of a [`Qmp`]: transfers lines until QEMU ends. Commands get no answer unless it runs.
pub struct Driver {
    lines: Box<dyn AsyncLines>,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    calls: mpsc::UnboundedReceiver<Call>,
}

trait AsyncLines: tokio::io::AsyncBufRead + Send + Unpin {}
impl<T: tokio::io::AsyncBufRead + Send + Unpin> AsyncLines for T {}

/// Reads the greeting of QEMU and leaves capabilities negotiation, so that commands are accepted.
pub async fn attach<R, W>(reader: R, mut writer: W) -> Result<(Qmp, Driver), QmpError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let mut lines = BufReader::new(reader);
    expect_key(&mut lines, "QMP").await.map_err(QmpError::Greeting)?;
    let negotiate = b"{\"execute\":\"qmp_capabilities\",\"arguments\":{}}\n";
    writer.write_all(negotiate).await.map_err(QmpError::Greeting)?;
    expect_key(&mut lines, "return").await.map_err(QmpError::Greeting)?;
    let (sender, calls) = mpsc::unbounded_channel();
    Ok((Qmp { calls: sender }, Driver { lines: Box::new(lines), writer: Box::new(writer), calls }))
}

/// Reads lines up to one with the key.
async fn expect_key(lines: &mut (impl tokio::io::AsyncBufRead + Unpin), key: &str) -> io::Result<()> {
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let value: Value = serde_json::from_slice(&line).map_err(io::Error::from)?;
        if value.get(key).is_some() {
            return Ok(());
        }
        if let Some(error) = value.get("error") {
            return Err(io::Error::other(error.to_string()));
        }
    }
}

type Pending = Mutex<HashMap<u64, oneshot::Sender<Result<Value, String>>>>;

impl Driver {
    /// Transfers commands, replies and events until QEMU closes the connection; returns the error, if any.
    ///
    /// `event` must not wait for a command: its answer comes over the same connection.
    pub async fn run(self, mut event: impl FnMut(RawEvent)) -> io::Result<()> {
        let Self { lines, writer, calls } = self;
        let pending = Pending::default();
        let read = pin!(read(lines, &pending, &mut event));
        let write = pin!(write(writer, calls, &pending));
        match select(read, write).await {
            Either::Left((read, _)) => read,
            // There are no more commands; events still count.
            Either::Right((Ok(()), read)) => read.await,
            // A write fails when QEMU ends; its last output is still to be read.
            Either::Right((Err(error), read)) => read.await.and(Err(error)),
        }
    }
}

async fn read(
    mut lines: Box<dyn AsyncLines>,
    pending: &Pending,
    event: &mut impl FnMut(RawEvent),
) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).await? == 0 {
            pending.lock().unwrap_or_else(PoisonError::into_inner).clear();
            return Ok(());
        }
        let message: Map<String, Value> = match serde_json::from_slice(&line) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(%error, line = %String::from_utf8_lossy(&line), "QMP line that is no object");
                continue;
            }
        };
        receive(message, pending, event);
    }
}

fn receive(mut message: Map<String, Value>, pending: &Pending, event: &mut impl FnMut(RawEvent)) {
    if let Some(Value::String(name)) = message.remove("event") {
        let data = match message.remove("data") {
            Some(Value::Object(data)) => data,
            Some(_) | None => Map::new(),
        };
        event(RawEvent { name, data });
        return;
    }
    let waiting = message
        .get("id")
        .and_then(Value::as_u64)
        .and_then(|id| pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&id));
    let Some(waiting) = waiting else {
        tracing::warn!(?message, "QMP reply to nothing that was asked");
        return;
    };
    let reply = match (message.remove("return"), message.remove("error")) {
        (Some(value), _) => Ok(value),
        (None, Some(error)) => Err(error["desc"].as_str().unwrap_or("no reason given").to_owned()),
        (None, None) => Err("neither a result nor an error came back".to_owned()),
    };
    // A cancelled command needs no answer.
    waiting.send(reply).ok();
}

async fn write(
    mut writer: Box<dyn AsyncWrite + Send + Unpin>,
    mut calls: mpsc::UnboundedReceiver<Call>,
    pending: &Pending,
) -> io::Result<()> {
    let mut id = 0_u64;
    while let Some(Call { command, arguments, reply }) = calls.recv().await {
        id += 1;
        let mut line = json!({"execute": command, "arguments": arguments, "id": id}).to_string();
        line.push('\n');
        pending.lock().unwrap_or_else(PoisonError::into_inner).insert(id, reply);
        writer.write_all(line.as_bytes()).await?;
    }
    Ok(())
}

impl QmpError {
    /// Tells whether QEMU has ended.
    pub(super) fn is_end(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

impl Qmp {
    /// Sends one command and waits for its answer. Can be cancelled at any time.
    async fn execute<C: qapi::Command>(&self, command: C) -> Result<C::Ok, QmpError> {
        let arguments = serde_json::to_value(&command).expect("commands are maps with text keys");
        self.call(C::NAME, arguments).await
    }

    async fn call<T: DeserializeOwned>(&self, name: &'static str, arguments: Value) -> Result<T, QmpError> {
        let closed = QmpError::Closed { command: name };
        let (reply, answer) = oneshot::channel();
        if self.calls.send(Call { command: name, arguments, reply }).is_err() {
            return Err(closed);
        }
        let raw = match tokio::time::timeout(PATIENCE, answer).await {
            Err(_) => return Err(QmpError::Silent { command: name }),
            Ok(Err(_)) => return Err(closed),
            Ok(Ok(Err(said))) => return Err(QmpError::Refused { command: name, said }),
            Ok(Ok(Ok(raw))) => raw,
        };
        serde_json::from_value(raw.clone()).map_err(|source| QmpError::Schema { command: name, raw, source })
    }

    /// Resumes the machine.
    pub async fn cont(&self) -> Result<(), QmpError> {
        self.execute(qmp::cont {}).await.map(drop)
    }

    /// Sets what QEMU does at a reset by the guest: it ends, or the machine starts again.
    pub async fn end_at_reset(&self, ends: bool) -> Result<(), QmpError> {
        let reboot = if ends { qmp::RebootAction::shutdown } else { qmp::RebootAction::reset };
        let command = qmp::set_action { panic: None, reboot: Some(reboot), shutdown: None, watchdog: None };
        self.execute(command).await.map(drop)
    }

    /// Resets the machine.
    pub async fn reset(&self) -> Result<(), QmpError> {
        self.execute(qmp::system_reset {}).await.map(drop)
    }

    /// Presses the power button.
    pub async fn power_button(&self) -> Result<(), QmpError> {
        self.execute(qmp::system_powerdown {}).await.map(drop)
    }

    /// Raises a non-maskable interrupt.
    pub async fn nmi(&self) -> Result<(), QmpError> {
        self.execute(qmp::inject_nmi {}).await.map(drop)
    }

    /// Sends a break on the serial console.
    pub async fn send_break(&self) -> Result<(), QmpError> {
        self.execute(qmp::chardev_send_break { id: "console".to_owned() }).await.map(drop)
    }

    /// Ends QEMU, like a power failure.
    pub async fn quit(&self) -> Result<(), QmpError> {
        match self.execute(qmp::quit {}).await {
            // It may exit before it answers.
            Ok(_) | Err(QmpError::Closed { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Presses and releases the Enter key.
    ///
    /// If it comes too late for its purpose, a boot menu boots the default entry at once, whereas any other key would
    /// stop the countdown.
    pub async fn press_enter(&self) -> Result<(), QmpError> {
        let key = qmp::KeyValue::qcode(qmp::QKeyCodeWrapper { data: qmp::QKeyCode::ret });
        self.execute(qmp::send_key { hold_time: Some(20), keys: vec![key] }).await.map(drop)
    }

    /// Presses keys together, by their names.
    pub async fn press(&self, keys: &[String], hold: Duration) -> Result<(), QmpError> {
        let keys = keys.iter().map(|name| key(name)).collect::<Result<Vec<_>, QmpError>>()?;
        let hold_time = i64::try_from(hold.as_millis()).ok();
        self.execute(qmp::send_key { hold_time, keys }).await.map(drop)
    }

    /// Sets the link state of a NIC.
    pub async fn set_link(&self, device: &str, up: bool) -> Result<(), QmpError> {
        self.execute(qmp::set_link { name: device.to_owned(), up }).await.map(drop)
    }

    /// Connects a character device to a file for output, which is appended to, and a FIFO for input. The names are
    /// relative to the folder of QEMU.
    pub async fn connect(&self, device: &str, output: &str, input: &str) -> Result<(), QmpError> {
        let base = qmp::ChardevCommon { logappend: None, logfile: None };
        let (append, in_) = (Some(true), Some(input.to_owned()));
        let file = qmp::ChardevFile { base, append, in_, out: output.to_owned() };
        let backend = qmp::ChardevBackend::file(qmp::ChardevFileWrapper { data: file });
        self.execute(qmp::chardev_change { backend, id: device.to_owned() }).await.map(drop)
    }

    /// Writes the screen as a PNG file. The name is relative to the folder of QEMU.
    pub async fn screendump(&self, file: &str) -> Result<(), QmpError> {
        let format = Some(qmp::ImageFormat::png);
        let command = qmp::screendump { device: None, format, head: None, filename: file.to_owned() };
        self.execute(command).await.map(drop)
    }

    /// Writes the screen as a PPM file. The name is relative to the folder of QEMU.
    pub async fn screendump_ppm(&self, file: &str) -> Result<(), QmpError> {
        let format = Some(qmp::ImageFormat::ppm);
        let command = qmp::screendump { device: None, format, head: None, filename: file.to_owned() };
        self.execute(command).await.map(drop)
    }

    /// Writes a part of the machine's memory to a file. The name is relative to the folder of QEMU.
    pub async fn save_memory(&self, address: u64, size: usize, file: &str) -> Result<(), QmpError> {
        let command = qmp::pmemsave { val: address, size: size as u64, filename: file.to_owned() };
        self.execute(command).await.map(drop)
    }

    /// Stops the machine.
    pub async fn stop(&self) -> Result<(), QmpError> {
        self.execute(qmp::stop {}).await.map(drop)
    }

    /// Executes a command of the human monitor, and returns its output.
    pub async fn monitor(&self, line: &str) -> Result<String, QmpError> {
        let command = qmp::human_monitor_command { cpu_index: None, command_line: line.to_owned() };
        self.execute(command).await
    }

    /// Sets the boot indices of devices; `None` means never booted. They apply from the next reset on.
    pub async fn set_boot_indices(&self, devices: &[(String, Option<usize>)]) -> Result<(), QmpError> {
        // An index must never be used twice, even for a moment.
        for (id, _) in devices {
            self.set_boot_index(id, -1).await?;
        }
        for (id, index) in devices.iter().filter_map(|(id, index)| Some((id, (*index)?))) {
            self.set_boot_index(id, i64::try_from(index).unwrap_or(i64::MAX)).await?;
        }
        Ok(())
    }

    async fn set_boot_index(&self, id: &str, index: i64) -> Result<(), QmpError> {
        let path = format!("/machine/peripheral/{id}");
        self.execute(qmp::qom_set { path, property: "bootindex".to_owned(), value: index.into() })
            .await
            .map(drop)
    }

    /// Inserts an image into a drive, replacing one that is in it, even if the guest has locked the drive.
    #[expect(deprecated, reason = "the type has a field that QEMU takes no more")]
    pub async fn insert(&self, drive: &str, file: &str) -> Result<(), QmpError> {
        let command = qmp::blockdev_change_medium {
            device: None,
            force: Some(true),
            format: Some("raw".to_owned()),
            id: Some(drive.to_owned()),
            read_only_mode: Some(qmp::BlockdevChangeReadOnlyMode::read_only),
            filename: file.to_owned(),
        };
        self.execute(command).await.map(drop)
    }

    /// Ejects the image from the drive, even if the guest has locked it.
    #[expect(deprecated, reason = "the type has a field that QEMU takes no more")]
    pub async fn eject(&self, drive: &str) -> Result<(), QmpError> {
        let command = qmp::eject { device: None, force: Some(true), id: Some(drive.to_owned()) };
        self.execute(command).await.map(drop)
    }

    /// Returns the IDs of the drives that are open with a medium in them, as a guest opens them.
    pub async fn open_trays(&self) -> Result<Vec<String>, QmpError> {
        let blocks = self.execute(qmp::query_block {}).await?;
        let open =
            blocks.into_iter().filter(|block| block.tray_open == Some(true) && block.inserted.is_some());
        Ok(open.filter_map(|block| block.qdev.as_deref().map(device_id).map(str::to_owned)).collect())
    }

    /// Plugs a device in, given by its properties.
    pub async fn plug(&self, properties: Map<String, Value>) -> Result<(), QmpError> {
        let mut arguments = properties;
        let mut take = |key: &str| match arguments.remove(key) {
            Some(Value::String(text)) => Some(text),
            Some(_) | None => None,
        };
        let (driver, id, bus) = (take("driver").unwrap_or_default(), take("id"), take("bus"));
        self.execute(qmp::device_add { bus, id, driver, arguments }).await.map(drop)
    }

    /// Unplugs a USB device.
    pub async fn unplug(&self, device: &str) -> Result<(), QmpError> {
        self.execute(qmp::device_del { id: device.to_owned() }).await.map(drop)
    }

    /// Closes a block node that no device uses.
    pub async fn close_disk(&self, node: &str) -> Result<(), QmpError> {
        self.execute(qmp::blockdev_del { node_name: node.to_owned() }).await.map(drop)
    }

    /// Opens a qcow2 file as a block node, over another node if it says so. The name is relative to the folder of QEMU.
    pub async fn open_disk(&self, node: &str, file: &str, backing: Option<&str>) -> Result<(), QmpError> {
        let mut options = json!({
            "driver": "qcow2", "node-name": node, "discard": "unmap", "detect-zeroes": "unmap",
            "cache": { "no-flush": true }, "file": { "driver": "file", "filename": file },
        });
        if let Some(backing) = backing {
            options["backing"] = backing.into();
        }
        self.open(options).await
    }

    /// Opens an image that is exported by NBD as a block node, read-only. The socket is relative to the folder of QEMU.
    pub async fn open_export(&self, node: &str, socket: &str) -> Result<(), QmpError> {
        let server = json!({ "type": "unix", "path": socket });
        let export = json!({ "driver": "nbd", "server": server });
        self.open(json!({ "driver": "raw", "node-name": node, "read-only": true, "file": export })).await
    }

    async fn open(&self, options: Value) -> Result<(), QmpError> {
        let command = serde_json::from_value::<qmp::blockdev_add>(options.clone())
            .map_err(|source| QmpError::Schema { command: "blockdev-add", raw: options, source })?;
        self.execute(command).await.map(drop)
    }

    /// Returns the state of the machine as named by QEMU, e.g. `running` or `io-error`.
    pub async fn status(&self) -> Result<String, QmpError> {
        match self.execute(qmp::query_status {}).await {
            Ok(info) => Ok(qapi::Enum::name(&info.status).to_owned()),
            // A state that the schema does not know is still returned.
            Err(QmpError::Schema { raw, .. }) if raw["status"].is_string() => {
                Ok(raw["status"].as_str().unwrap_or_default().to_owned())
            }
            Err(error) => Err(error),
        }
    }

    /// Exports a block node by NBD, read-only, at a socket whose name is relative to the folder of QEMU.
    pub async fn export(&self, socket: &str, node: &str, name: &str) -> Result<(), QmpError> {
        let path = socket.to_owned();
        let data = qmp::UnixSocketAddress { abstract_: None, tight: None, path };
        let addr = qmp::SocketAddressLegacy::unix(qmp::UnixSocketAddressWrapper { data });
        let server =
            qmp::nbd_server_start { max_connections: Some(1), tls_authz: None, tls_creds: None, addr };
        self.execute(server).await?;
        let base = qmp::BlockExportOptionsBase {
            fixed_iothread: None,
            iothread: None,
            writable: Some(false),
            writethrough: None,
            id: name.to_owned(),
            node_name: node.to_owned(),
        };
        let named = qmp::BlockExportOptionsNbdBase { description: None, name: Some(name.to_owned()) };
        let nbd = qmp::BlockExportOptionsNbd { base: named, allocation_depth: None, bitmaps: None };
        let options = qmp::BlockExportOptions::nbd { base, nbd };
        self.execute(qmp::block_export_add(options)).await.map(drop)
    }

    /// Ends all exports.
    pub async fn end_exports(&self) -> Result<(), QmpError> {
        self.execute(qmp::nbd_server_stop {}).await.map(drop)
    }

    /// Returns the machine's PCI devices.
    pub async fn devices(&self) -> Result<Vec<Device>, QmpError> {
        let buses = self.execute(qmp::query_pci {}).await?;
        let mut devices = Vec::new();
        for device in buses.into_iter().flat_map(|bus| bus.devices) {
            collect(device, &mut devices);
        }
        Ok(devices)
    }

    /// Returns how many bytes the machine has written to its disks.
    pub async fn written(&self) -> Result<u64, QmpError> {
        // The type in `qapi` demands counters that only newer versions of QEMU have.
        #[derive(Deserialize)]
        struct Disk {
            stats: Counters,
        }
        #[derive(Deserialize)]
        struct Counters {
            wr_bytes: u64,
        }
        let disks: Vec<Disk> = self.call("query-blockstats", json!({})).await?;
        Ok(disks.iter().map(|disk| disk.stats.wr_bytes).sum())
    }

    /// Returns the machine's disks.
    pub async fn blocks(&self) -> Result<Vec<Block>, QmpError> {
        let blocks = self.execute(qmp::query_block {}).await?;
        Ok(blocks
            .into_iter()
            .filter_map(|block| {
                let inserted = block.inserted?;
                let status = block.io_status.map(|status| qapi::Enum::name(&status).to_owned());
                Some(Block {
                    device: device_id(block.qdev.as_deref().unwrap_or(&block.device)).to_owned(),
                    node: inserted.node_name.unwrap_or_default(),
                    file: inserted.file,
                    size: u64::try_from(inserted.image.base.virtual_size).unwrap_or_default(),
                    read_only: inserted.ro,
                    status,
                })
            })
            .collect())
    }
}

/// Returns the ID in a QOM path such as `/machine/peripheral/disk-root/virtio-backend`, or the text itself.
fn device_id(qdev: &str) -> &str {
    let rest = qdev.strip_prefix("/machine/peripheral/").unwrap_or(qdev);
    rest.split('/').next().unwrap_or(rest)
}

fn collect(device: qmp::PciDeviceInfo, devices: &mut Vec<Device>) {
    devices.push(Device {
        address: format!("{:02x}:{:02x}.{:x}", device.bus, device.slot, device.function),
        id: device.qdev_id,
        vendor: u16::try_from(device.id.vendor).unwrap_or_default(),
        device: u16::try_from(device.id.device).unwrap_or_default(),
        class: device.class_info.desc.unwrap_or_else(|| format!("class {:04x}", device.class_info.class)),
    });
    for behind in device.pci_bridge.and_then(|bridge| bridge.devices).unwrap_or_default() {
        collect(behind, devices);
    }
}

/// Returns the key with this name.
fn key(name: &str) -> Result<qmp::KeyValue, QmpError> {
    let raw = serde_json::Value::from(name);
    let data = serde_json::from_value(raw.clone());
    let data = data.map_err(|source| QmpError::Schema { command: "send-key", raw, source })?;
    Ok(qmp::KeyValue::qcode(qmp::QKeyCodeWrapper { data }))
}

#[cfg(test)]
mod tests;
