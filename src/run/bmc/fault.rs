//! Faults of the lab that are those of a BMC, as the BMC takes them.

use crate::bmc::fault::Fault;
use crate::fault::Faults;
use crate::lab::{BmcFault, FaultKind};
use crate::name::NodeName;

/// Returns all that is wrong with the BMC of a node now.
pub(super) fn standing(faults: &Faults, node: &NodeName) -> Vec<Fault> {
    faults.standing(node, |kind| match kind {
        FaultKind::Bmc(fault) => Some(of_bmc(fault)),
        _ => None,
    })
}

fn of_bmc(fault: &BmcFault) -> Fault {
    match fault {
        BmcFault::IgnoreBootOnce => Fault::IgnoresBootOnce,
        BmcFault::SlowPower(delay) => Fault::SlowPower(delay.0.0),
        BmcFault::DropSessions(commands) => Fault::DropsSessions(*commands),
        BmcFault::Busy(time) => Fault::Busy(time.0.0),
        BmcFault::WrongName => Fault::WrongCertificateName,
        BmcFault::HttpOnly => Fault::HttpOnly,
        BmcFault::NoSol => Fault::NoSol,
        BmcFault::OnlySuite3 => Fault::OnlySuite3,
        BmcFault::EchoPrivilege => Fault::EchoesPrivilege,
        BmcFault::ForgetUser(name) => Fault::ForgetsUser(name.clone()),
        BmcFault::Clock1970 => Fault::Clock1970,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use jiff::Timestamp;
    use tokio::sync::{mpsc, watch};

    use super::super::{Bmcs, BootWatch, Link, lock};
    use super::*;
    use crate::config::fault_kind;
    use crate::event::{Emitter, Instant, RunTime};
    use crate::serve::bmc::BmcInput;

    #[test]
    fn each_fault_of_the_lab_file_is_one_of_a_bmc() {
        let node = NodeName::new("a").unwrap();
        let written = [
            ("ignore-boot-once", Fault::IgnoresBootOnce),
            ("slow-power=20s", Fault::SlowPower(Duration::from_secs(20))),
            ("drop-sessions=5", Fault::DropsSessions(5)),
            ("busy=30s", Fault::Busy(Duration::from_secs(30))),
            ("wrong-name", Fault::WrongCertificateName),
            ("http-only", Fault::HttpOnly),
            ("no-sol", Fault::NoSol),
            ("only-suite-3", Fault::OnlySuite3),
            ("echo-privilege", Fault::EchoesPrivilege),
            ("forget-user=ops", Fault::ForgetsUser("ops".to_owned())),
            ("clock-1970", Fault::Clock1970),
        ];
        for (text, fault) in written {
            let faults = Faults::none();
            let argument = if text.contains('=') { format!("bmc.{text}") } else { format!("bmc={text}") };
            let kind = fault_kind(&argument).unwrap_or_else(|(found, _)| panic!("{found:?}"));
            faults.add(vec![node.clone()], None, None, kind);
            faults.add(vec![node.clone()], None, None, fault_kind("link=down").unwrap());
            assert_eq!(standing(&faults, &node), [fault]);
            faults.end(&node);
            assert_eq!(standing(&faults, &node), []);
        }
    }

    #[test]
    fn a_bmc_is_told_when_a_fault_begins_and_when_it_ends() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&told);
        let now = Instant { at: RunTime::START, wall: Timestamp::UNIX_EPOCH };
        let emitter = Emitter::new(move || now, move |event| sink.lock().unwrap().push(event));
        let faults = Faults::new([], &emitter);
        let bmcs = Bmcs::new(None, mpsc::channel(1).0, faults.clone());
        let (inputs, mut inbox) = mpsc::unbounded_channel();
        let (a, b) = (NodeName::new("a").unwrap(), NodeName::new("b").unwrap());
        lock(&bmcs.links).insert(
            a.clone(),
            Link {
                inputs,
                is_on: watch::Sender::default(),
                slots: BTreeMap::new(),
                node: watch::Sender::default(),
                boot: BootWatch::default(),
            },
        );
        let mut learned = || {
            told.lock().unwrap().drain(..).for_each(|event| bmcs.note(&event));
            let mut learned = Vec::new();
            while let Ok(input) = inbox.try_recv() {
                let BmcInput::Faults(faults) = input else { panic!("{input:?}") };
                learned.push(faults);
            }
            learned
        };
        let kind = |text: &str| fault_kind(text).unwrap_or_else(|(found, _)| panic!("{found:?}"));
        faults.add(vec![a.clone(), b.clone()], None, None, kind("bmc=no-sol"));
        assert_eq!(learned(), [vec![Fault::NoSol]]);
        faults.add(vec![a.clone()], None, None, kind("bmc=http-only"));
        assert_eq!(learned(), [vec![Fault::HttpOnly, Fault::NoSol]]);
        faults.end(&b);
        assert!(learned().is_empty(), "that was another node");
        faults.end(&a);
        assert_eq!(learned(), [Vec::new(), Vec::new()], "each that ended is told");
    }
}
