//! Stub.
use super::*;
pub(super) fn machine_plan(_lab: &Lab, node: &Node, facts: &HostFacts, _accel: Accel, taps: &[TapPlan]) -> Result<MachinePlan, Refusal> {
    let _ = (facts, taps);
    Err(Refusal::new(node.name.as_str(), ""))
}
pub(super) fn firmware<'a>(_node: &Node, facts: &'a HostFacts) -> Result<&'a FirmwareFile, Refusal> {
    facts.firmware.first().ok_or_else(|| Refusal::new("", ""))
}
