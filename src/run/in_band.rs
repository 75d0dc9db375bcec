//! Carries what the systems of machines say to their BMCs.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::node::{FromSystem, Node};
use crate::serve::bmc::BmcInput;

/// Tells a BMC what the system of its node says, as long as it is polled.
pub(super) async fn carry(node: Arc<dyn Node>, inputs: mpsc::UnboundedSender<BmcInput>) {
    let Some(mut received) = node.system_interface() else { return };
    while let Some(FromSystem { bytes, answer }) = received.recv().await {
        if inputs.send(BmcInput::FromSystem { bytes, answer }).is_err() {
            return;
        }
    }
}
