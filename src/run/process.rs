//! Processes beside the nodes: started in the namespaces of the lab, with their output as events.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::ChildStdout;
use tokio::task::JoinSet;

use crate::event::{Emitter, Known, Source};
use crate::name::ProcessName;
use crate::plan::ProcessPlan;
use crate::system::process::{Child, SpawnError, SpawnSpec, Spawner};

/// The environment variable that marks processes which outlive the supervisor, with run and process.
const MARK: &str = "DRYRACK_RUN_PROCESS";
/// Maximum bytes of a line in an event.
const LINE: usize = 2048;

/// A running process; dropping it kills it with its process group.
#[derive(Debug)]
pub(super) struct Running(#[expect(dead_code, reason = "it is there to be dropped")] JoinSet<()>);

/// Starts a process and emits its output, and how it ends.
pub(super) async fn start(
    plan: &ProcessPlan,
    run_dir: &Path,
    spawner: &Spawner,
    events: Emitter,
) -> Result<Running, SpawnError> {
    let events = events.of(Source::Process);
    // One stream for both, so that lines stay in order.
    let mut spec = SpawnSpec::new("/bin/sh").args(["-c", &format!("exec 2>&1\n{}", plan.run)]);
    spec.cwd = Some(plan.folder.clone());
    spec.stdout = Stdio::piped();
    spec.envs = plan.environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
    spec.envs.push((MARK.into(), mark(run_dir, &plan.process)));
    let mut child = spawner.spawn(spec).await?;
    let failed = |source| SpawnError { program: "/bin/sh".into(), source };
    let stdout = child.take_stdout().map(ChildStdout::from_std).transpose().map_err(failed)?;
    let process = plan.process.clone();
    events.emit(Known::ProcessStarted { process: process.clone() });
    let mut task = JoinSet::new();
    task.spawn(listen(child, stdout, process, events));
    Ok(Running(task))
}

/// Emits every line that a process prints, and then how it ended.
async fn listen(mut child: Child, stdout: Option<ChildStdout>, process: ProcessName, events: Emitter) {
    let read = async {
        let Some(stdout) = stdout else { return };
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        // Its children may keep the stream open after its end.
        while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
            let text = String::from_utf8_lossy(&line[..line.len().min(LINE)]);
            let text = text.trim_end_matches(['\r', '\n']).to_owned();
            events.emit(Known::ProcessPrinted { process: process.clone(), text });
            line.clear();
        }
    };
    let status = {
        let mut read = std::pin::pin!(read);
        tokio::select! {
            () = &mut read => child.wait().await,
            status = child.wait() => {
                drain(read).await;
                status
            }
        }
    };
    let (exit, status) = match status {
        Ok(status) => match status.code() {
            Some(code) => (Some(code), format!("exit code {code}")),
            None => (None, status.to_string()),
        },
        Err(error) => (None, error.to_string()),
    };
    events.emit(Known::ProcessEnded { process, exit, status });
}

/// Reads the output from before the end, without waiting for children that may still print.
async fn drain(read: impl Future<Output = ()>) {
    const MOST: std::time::Duration = std::time::Duration::from_millis(200);
    tokio::time::timeout(MOST, read).await.ok();
}

/// Returns the value of the mark of a process.
pub(super) fn mark(run_dir: &Path, process: &ProcessName) -> OsString {
    let mut mark = run_dir.as_os_str().to_owned();
    mark.push("/");
    mark.push(process.as_str());
    mark
}

/// Tells whether a process, given by its folder in `/proc`, has a mark.
pub(super) fn is_marked(process: &Path, mark: &OsString) -> bool {
    let wanted = [MARK.as_bytes(), b"=", &mark.clone().into_vec()].concat();
    std::fs::read(process.join("environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == wanted))
}
