//! The results for arbitrary texts, and their invariants.

use std::collections::BTreeMap;
use std::fs;
use std::ops::AddAssign;
use std::path::Path;

use dryrack::config::{self, Source};
use dryrack::diag::{Diagnostic, render, to_json};
use dryrack::lab::{LabEnvironment, resolve};
use dryrack::name::{Bytes, ImageName};
use dryrack::plan::{Accel, FirmwareFile, HostFacts, Plan, Qemu, Step, plan};

use super::schema;

/// The number of texts and their results.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) tried: u32,
    pub(crate) refused: u32,
    pub(crate) labs: u32,
    pub(crate) plans: u32,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.tried += other.tried;
        self.refused += other.refused;
        self.labs += other.labs;
        self.plans += other.plans;
    }
}

/// Returns every lab in `labs/`, that of `dryrack init`, and one with every key, by name.
pub(crate) fn lab_files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = fs::read_dir(root.join("labs")).expect("labs").flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        folders.map(|folder| folder.join("lab.toml")).filter(|file| file.is_file()).collect();
    files.push(root.join("src/config/everything.toml"));
    files.sort();
    let read = |file: &Path| (file.display().to_string(), fs::read_to_string(file).expect("a text"));
    let mut labs: Vec<_> = files.iter().map(|file| read(file)).collect();
    labs.push(("init".to_owned(), config::INIT.to_owned()));
    labs
}

/// Runs texts through everything that needs no host.
pub(crate) fn try_texts(lab: &[u8], overlays: &[String], sets: &[String]) -> Counts {
    let image = |name: &str, files: &[&str]| {
        let files = files.iter().map(|file| (*file).to_owned()).collect();
        (ImageName::new(name).expect("a name"), files)
    };
    let around = LabEnvironment {
        file: "/labs/random/lab.toml".into(),
        folder: "/labs/random".into(),
        images: BTreeMap::from([
            image("tiny", &["kernel", "initrd"]),
            image("etcd", &["kernel", "initrd"]),
            image("debian", &["disk"]),
        ]),
        existing: &|path| path.starts_with("/labs/random/files"),
        free_memory: None,
        other_ids: true,
    };
    let over: Vec<_> = overlays.iter().map(|text| Source::new("over.toml", text.as_str())).collect();
    let outcome = resolve(&Source::new("lab.toml", lab), &over, sets, &around);
    let drawn = render(&outcome.diagnostics, &outcome.sources, false);
    assert!(to_json(&outcome.diagnostics, &outcome.sources).is_array());

    let wrong = outcome.diagnostics.iter().any(Diagnostic::is_error);
    assert_eq!(outcome.lab.is_none(), wrong, "there is a lab if, and only if, nothing is wrong:\n{drawn}");
    assert_eq!(drawn.is_empty(), outcome.diagnostics.is_empty());
    let mut counts = Counts { tried: 1, ..Counts::default() };
    let Some(resolved) = outcome.lab else {
        counts.refused = 1;
        return counts;
    };
    counts.labs = 1;
    if overlays.is_empty() && sets.is_empty() {
        // An editor must not mark a valid file.
        let lab = std::str::from_utf8(lab).expect("a lab is a text");
        let json = toml::from_str(lab.trim_start_matches('\u{feff}')).expect("a lab is TOML");
        assert_eq!(schema::misfits(&config::schema(), &json), [""; 0], "{lab}");
    }
    if let Ok(planned) = plan(&resolved, &facts()) {
        counts.plans = 1;
        let json = serde_json::to_string(&planned).expect("JSON");
        assert_eq!(
            json,
            serde_json::to_string(&plan(&resolved, &facts()).expect("as before")).expect("JSON")
        );
        assert_eq!(serde_json::from_str::<Plan>(&json).expect("a plan"), planned);
        assert!(planned.to_string().lines().count() > planned.steps.len());
        assert!(planned.steps.iter().flat_map(Step::undo).all(|undo| !undo.to_string().is_empty()));
    }
    counts
}

fn facts() -> HostFacts {
    let ovmf = |secure: bool| FirmwareFile {
        code: "/usr/share/OVMF/CODE.fd".into(),
        variables: "/usr/share/OVMF/VARS.fd".into(),
        secure_boot: secure,
        enrolled_keys: secure,
        requires_smm: secure,
        machines: vec!["pc-*".to_owned()],
    };
    HostFacts {
        root: false,
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
