//! Hidden roles: processes for which this program starts itself again.

use std::net::SocketAddr;

use crate::report::exit;
use crate::run::{guardian_main, supervise};
use crate::system::host::{enter_network, host_main, program_main};
use crate::system::namespace::Inherited;
use crate::system::namespace::{
    NamespaceError, inner_enter, join_main, outer_main, remove_main, supervisor_enter,
};

/// Runs the role named by the first argument, if any, and returns the exit code.
///
/// Must be called first in the process: a role enters namespaces, which requires a single thread.
pub(super) fn play() -> Option<u8> {
    let role = std::env::args_os().nth(1)?;
    let code = match role.to_str()? {
        "@outer" => outer_main(),
        "@inner" => supervisor(inner_enter),
        "@supervisor" => supervisor(supervisor_enter),
        "@guardian" => guardian_main(),
        "@join" => join_main(),
        "@host" => host_main(),
        "@process" => program_main(),
        "@pipe" => pipe(),
        "@remove" => remove_main(),
        "@trial" => crate::system::doctor::trial_main(),
        _ => return None,
    };
    Some(code)
}

fn supervisor(enter: fn() -> Result<Inherited, NamespaceError>) -> u8 {
    // The error was already reported to the command.
    let Ok(inherited) = enter() else { return exit::UNFIT };
    // Goes to supervisor.log in the run folder.
    super::output::log_to_stderr();
    supervise(inherited)
}

/// Runs `@pipe ADDRESS:PORT [PID]`: connects standard input and output to a node, for ssh's ProxyCommand, from the
/// network of this process of a host.
fn pipe() -> u8 {
    let address = std::env::args().nth(2).and_then(|text| text.parse::<SocketAddr>().ok());
    let Some(address) = address else { return exit::WRONG };
    if let Some(host) = std::env::args().nth(3) {
        let Ok(host) = host.parse() else { return exit::WRONG };
        if let Err(error) = enter_network(host) {
            super::output::error(&crate::hint::chain(&error), None);
            return exit::UNFIT;
        }
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return exit::UNFIT;
    };
    let code = runtime.block_on(async {
        let mut node = match tokio::net::TcpStream::connect(address).await {
            Ok(node) => node,
            Err(error) => {
                super::output::error(&format!("cannot connect to {address}: {error}"), None);
                return exit::UNFIT;
            }
        };
        let mut ours = tokio::io::join(tokio::io::stdin(), tokio::io::stdout());
        tokio::io::copy_bidirectional(&mut ours, &mut node).await.ok();
        exit::MET
    });
    // The thread that reads standard input cannot be stopped.
    runtime.shutdown_background();
    code
}
