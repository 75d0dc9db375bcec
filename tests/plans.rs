//! The plan of every lab in `labs/`, as people read it, on a host that is always the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dryrack::config::Source;
use dryrack::image::Library;
use dryrack::lab::{Surroundings, resolve};
use dryrack::name::Bytes;
use dryrack::plan::{Accel, FirmwareFile, HostFacts, Plan, Qemu, plan};

/// A host with everything, so that a plan depends on its lab alone.
fn facts() -> HostFacts {
    let ovmf = |code: &str, variables: &str, secure: bool| FirmwareFile {
        code: format!("/usr/share/OVMF/OVMF_CODE_4M{code}.fd").into(),
        variables: format!("/usr/share/OVMF/OVMF_VARS_4M{variables}.fd").into(),
        secure_boot: secure,
        enrolled_keys: secure,
        requires_smm: secure,
        machines: vec!["pc-q35-*".to_owned()],
    };
    HostFacts {
        root: false,
        cpus: 2,
        free_memory: Bytes::mebi(16384),
        qemu: Some(Qemu { program: "/usr/bin/qemu-system-x86_64".into(), version: (7, 2, 0) }),
        firmware: vec![ovmf(".ms", ".ms", true), ovmf("", "", false)],
        accel: Accel::Tcg,
        pasta: Some("/usr/bin/pasta".into()),
        nft: Some("/usr/sbin/nft".into()),
        qemu_img: Some("/usr/bin/qemu-img".into()),
        ip_forward: false,
        subnets: Vec::new(),
        links: Vec::new(),
        resolvers: vec!["192.0.2.53".parse().unwrap()],
        forward_drops: Vec::new(),
        built: Vec::new(),
    }
}

/// Plans a lab of the gallery; its path on this host is no part of it.
fn plan_of(folder: &Path) -> Plan {
    let name = folder.file_name().unwrap().to_string_lossy();
    let library = Library::new("/cache".into(), Vec::new());
    let images = library.recipes().map(|(name, recipe)| (name, recipe.unwrap().files.into_keys().collect()));
    let around = Surroundings {
        file: format!("/labs/{name}/lab.toml").into(),
        folder: format!("/labs/{name}").into(),
        images: images.collect::<BTreeMap<_, _>>(),
        existing: &|_| false,
        free_memory: None,
    };
    let text = Source::new("lab.toml", fs::read(folder.join("lab.toml")).unwrap());
    let outcome = resolve(&text, &[], &[], &around);
    assert_eq!(outcome.diagnostics, [], "{name}");
    plan(&outcome.lab.unwrap(), &facts()).unwrap()
}

#[test]
fn every_lab_of_the_gallery_is_planned() {
    let gallery = Path::new(env!("CARGO_MANIFEST_DIR")).join("labs");
    let folders = fs::read_dir(gallery).unwrap().map(|entry| entry.unwrap().path());
    for folder in folders.filter(|folder| folder.is_dir()) {
        let made = plan_of(&folder);
        assert_eq!(made, plan_of(&folder));
        insta::assert_snapshot!(folder.file_name().unwrap().to_string_lossy().into_owned(), made.to_string());
    }
}

#[test]
fn a_plan_as_json_is_the_same_plan() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("labs/etcd");
    let json = serde_json::to_string_pretty(&plan_of(&folder)).unwrap();
    assert_eq!(json, serde_json::to_string_pretty(&plan_of(&folder)).unwrap());
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan_of(&folder));
}
