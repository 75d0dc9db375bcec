//! The plan of every lab in `labs/` as text, on a host that is always the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dryrack::config::Source;
use dryrack::diag::Diagnostic;
use dryrack::diagnose::entries;
use dryrack::image::Library;
use dryrack::lab::{Check, Lab, LabEnvironment, ObservedCheck, resolve};
use dryrack::name::Bytes;
use dryrack::plan::{Accel, FirmwareFile, HostFacts, Netboots, Plan, Qemu, check_host, plan, read};

/// A host with everything, so that a plan depends only on its lab.
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
        qemu: Some(Qemu {
            program: "/usr/bin/qemu-system-x86_64".into(),
            version: (7, 2, 0),
            lacks_ipmi: false,
        }),
        firmware: vec![ovmf(".ms", ".ms", true), ovmf("", "", false)],
        accel: Accel::Tcg,
        pasta: Some("/usr/bin/pasta".into()),
        nft: Some("/usr/sbin/nft".into()),
        qemu_img: Some("/usr/bin/qemu-img".into()),
        swtpm: Some("/usr/bin/swtpm".into()),
        ip_forward: false,
        subnets: Vec::new(),
        links: Vec::new(),
        resolvers: vec!["192.0.2.53".parse().unwrap()],
        forward_drops: Vec::new(),
        built: Vec::new(),
    }
}

/// Reads a lab of the gallery; its absolute path is masked.
fn lab_of(folder: &Path) -> Lab {
    let (lab, diagnostics) = lab_in(folder, "lab.toml");
    assert_eq!(diagnostics, [], "{}", folder.display());
    lab.unwrap()
}

fn lab_in(folder: &Path, file: &str) -> (Option<Lab>, Vec<Diagnostic>) {
    let name = folder.file_name().unwrap().to_string_lossy();
    let library = Library::new("/cache".into(), vec![folder.join("images")]);
    let gallery = folder.parent().unwrap();
    let exists = |path: &Path| path.strip_prefix("/labs").is_ok_and(|rest| gallery.join(rest).exists());
    let images = library.recipes().map(|(name, recipe)| (name, recipe.unwrap().files.into_keys().collect()));
    let around = LabEnvironment {
        file: format!("/labs/{name}/{file}").into(),
        folder: format!("/labs/{name}").into(),
        images: images.collect::<BTreeMap<_, _>>(),
        existing: &exists,
        free_memory: None,
        other_ids: true,
    };
    let text = Source::new(file, fs::read(folder.join(file)).unwrap());
    let outcome = resolve(&text, &[], &[], &around);
    (outcome.lab, outcome.diagnostics)
}

/// A lab that fails is named after its file, runs, and expects the finding that names its failure.
#[test]
fn every_broken_lab_is_planned() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("labs/broken");
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut count = 0;
    for file in files {
        let Some(name) = file.strip_suffix(".toml") else { continue };
        let (lab, diagnostics) = lab_in(&folder, &file);
        let lab = lab.unwrap_or_else(|| panic!("{file}: {diagnostics:?}"));
        assert_eq!(lab.name.to_string(), name);
        let expects = |id: &str| {
            let found = lab.expectations.values().map(|expectation| &expectation.check);
            found
                .clone()
                .any(|check| matches!(check, Check::Observed(ObservedCheck::Finding(of)) if of == id))
        };
        assert!(entries().iter().any(|entry| expects(&entry.id)), "{file} expects no finding");
        plan(&lab, &facts()).unwrap();
        count += 1;
    }
    assert!(count >= 130, "{count}");
}

fn plan_of(folder: &Path) -> Plan {
    plan(&lab_of(folder), &facts()).unwrap()
}

#[test]
fn the_guide_shows_every_boot_path() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lab = lab_of(&top.join("labs/paths"));
    let guide = fs::read_to_string(top.join("src/guide/boot-paths.md")).unwrap();
    let table = guide.split("<!-- paths: ").nth(1).unwrap().split("<!-- end of paths -->").next().unwrap();
    let shown: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| node |"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let first_two = shown.iter().map(|row| (row[0].to_owned(), row[1].to_owned()));
    let netboots = Netboots::new(&lab);
    let of_lab = lab.nodes.values().map(|node| (node.name.to_string(), netboots.way(node).unwrap()));
    assert_eq!(first_two.collect::<Vec<_>>(), of_lab.collect::<Vec<_>>(), "run ci/paths");
    for row in &shown {
        let [name, _, _, stages] = row.as_slice() else { panic!("{row:?} has four columns") };
        // The table lists recorded runs: every node reached the operating system, except the one that is refused.
        assert_eq!(stages.contains(", os "), *name != "secure-unsigned", "{name}: {stages}");
    }
}

#[test]
fn every_lab_of_the_gallery_is_planned() {
    let gallery = Path::new(env!("CARGO_MANIFEST_DIR")).join("labs");
    let folders = fs::read_dir(gallery).unwrap().map(|entry| entry.unwrap().path());
    for folder in folders.filter(|folder| folder.join("lab.toml").exists()) {
        let made = plan_of(&folder);
        assert_eq!(made, plan_of(&folder));
        insta::assert_snapshot!(folder.file_name().unwrap().to_string_lossy().into_owned(), made.to_string());
    }
}

#[test]
fn every_plan_as_json_is_the_same_plan() {
    let gallery = Path::new(env!("CARGO_MANIFEST_DIR")).join("labs");
    let folders = fs::read_dir(gallery).unwrap().map(|entry| entry.unwrap().path());
    for folder in folders.filter(|folder| folder.join("lab.toml").exists()) {
        let made = plan_of(&folder);
        let json = serde_json::to_string_pretty(&made).unwrap();
        assert_eq!(json, serde_json::to_string_pretty(&plan_of(&folder)).unwrap());
        let again = read(json.as_bytes()).unwrap();
        assert_eq!(again, made);
        assert_eq!(serde_json::to_string_pretty(&again).unwrap(), json);
        check_host(&again, &facts()).unwrap();
    }
}
