//! A lab file, from its bytes to a plan.

use std::collections::{BTreeMap, BTreeSet};

use super::script::Script;
use crate::config::Source;
use crate::diag::{Diagnostic, render, to_json};
use crate::lab::{LabEnvironment, resolve};
use crate::name::{Bytes, ImageName};
use crate::plan::{Accel, FirmwareFile, HostFacts, Plan, Qemu, Step, plan};

/// The separator between a lab file and an overlay.
const CUT: &[u8] = b"\n#---\n";

/// Processes a lab file with overlays as far as possible: the result is either diagnostics, which are rendered, or a
/// lab with a deterministic plan, which is written, read and undone.
pub(super) fn file(data: &[u8]) {
    let mut texts = data
        .windows(CUT.len())
        .position(|window| window == CUT)
        .map_or_else(|| vec![data], |at| vec![&data[..at], &data[at + CUT.len()..]]);
    let lab = texts.remove(0);
    let over: Vec<Source> = texts.into_iter().map(|text| Source::new("over.toml", text)).collect();
    let images = BTreeMap::from([image("tiny", &["kernel", "initrd"]), image("debian", &["disk"])]);
    let around = LabEnvironment {
        file: "/labs/random/lab.toml".into(),
        folder: "/labs/random".into(),
        images,
        existing: &|path| path.starts_with("/labs/random/files"),
        free_memory: None,
        other_ids: true,
    };
    let outcome = resolve(&Source::new("lab.toml", lab), &over, &[], &around);
    let drawn = render(&outcome.diagnostics, &outcome.sources, false);
    assert!(to_json(&outcome.diagnostics, &outcome.sources).is_array());
    let wrong = outcome.diagnostics.iter().any(Diagnostic::is_error);
    assert_eq!(outcome.lab.is_none(), wrong, "there is a lab if, and only if, nothing is wrong:\n{drawn}");
    assert_eq!(drawn.is_empty(), outcome.diagnostics.is_empty());
    let Some(lab) = outcome.lab else { return };
    let facts = facts(&mut Script::new(data));
    let Ok(planned) = plan(&lab, &facts) else { return };
    assert_eq!(plan(&lab, &facts).as_ref(), Ok(&planned), "the same in, the same out");
    let json = serde_json::to_string(&planned).expect("a plan is JSON");
    assert_eq!(serde_json::from_str::<Plan>(&json).expect("it was written so"), planned);
    assert!(planned.to_string().lines().count() > planned.steps.len());
    assert!(planned.steps.iter().flat_map(Step::undo).all(|undo| !undo.to_string().is_empty()));
}

fn image(name: &str, files: &[&str]) -> (ImageName, BTreeSet<String>) {
    let files = files.iter().map(|file| (*file).to_owned()).collect();
    (ImageName::new(name).expect("a name"), files)
}

/// A host that fulfils all or only some requirements of labs.
fn facts(script: &mut Script<'_>) -> HostFacts {
    let has = |bit: u8| script.clone().byte() & bit == 0;
    let ovmf = |secure: bool| FirmwareFile {
        code: "/usr/share/OVMF/CODE.fd".into(),
        variables: "/usr/share/OVMF/VARS.fd".into(),
        secure_boot: secure,
        enrolled_keys: secure,
        requires_smm: secure,
        machines: vec!["pc-*".to_owned()],
    };
    HostFacts {
        root: has(1),
        cpus: 2,
        free_memory: Bytes(u64::MAX),
        qemu: Some(Qemu {
            program: "/usr/bin/qemu-system-x86_64".into(),
            version: (7, 2, 0),
            lacks_ipmi: false,
        }),
        firmware: vec![ovmf(true), ovmf(false)],
        accel: Accel::Kvm,
        pasta: Some("/usr/bin/pasta".into()),
        nft: Some("/usr/sbin/nft".into()),
        qemu_img: Some("/usr/bin/qemu-img".into()),
        swtpm: Some("/usr/bin/swtpm".into()),
        ip_forward: false,
        subnets: Vec::new(),
        links: Vec::new(),
        resolvers: Vec::new(),
        forward_drops: Vec::new(),
        built: Vec::new(),
    }
}
