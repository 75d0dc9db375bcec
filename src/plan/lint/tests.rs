//! Findings in groups and profiles, of a lab file and of a data directory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use insta::assert_snapshot;

use super::*;
use crate::diag::Code;
use crate::matchbox::content::{Content, Kind};
use crate::matchbox::model::Group;
use crate::matchbox::select::Groups;
use crate::plan::DataEntry;
use crate::plan::tests::lab;

/// A data directory in memory.
struct Memory {
    texts: BTreeMap<String, String>,
    groups: Groups,
}

impl Memory {
    fn new(texts: BTreeMap<String, String>) -> Self {
        let mut groups = Groups::default();
        for (path, text) in &texts {
            if let Some(name) = path.strip_prefix("groups/").and_then(|file| file.strip_suffix(".json")) {
                let mut group = Group::read(text.as_bytes()).unwrap();
                group.normalise().unwrap();
                groups.insert(Named::new(name, group));
            }
        }
        Self { texts, groups }
    }

    fn text(&self, path: &str) -> Result<&String, Failure> {
        self.texts.get(path).ok_or_else(|| Failure::of(path, "there is no such file"))
    }
}

impl Source for Memory {
    fn select(&self, labels: &Labels) -> Option<Arc<Named>> {
        self.groups.select(labels).cloned()
    }

    fn groups(&self) -> Vec<Arc<Named>> {
        self.groups.all().cloned().collect()
    }

    fn profile(&self, id: &str) -> Result<Arc<Profile>, Failure> {
        let path = format!("profiles/{id}.json");
        let text = self.text(&path)?;
        Ok(Arc::new(Profile::read(text.as_bytes()).map_err(|error| Failure::of(path, error.message))?))
    }

    fn content(&self, kind: Kind, name: &str) -> Result<Arc<Content>, Failure> {
        let path = format!("{}/{name}", kind.folder());
        Ok(Arc::new(Content::new(&path, self.text(&path)?.clone().into_bytes())))
    }
}

const NETWORK: &str = "dryrack = 1\nnetwork.lan.address = \"10.0.0.1/24\"\n";

/// Checks a lab with further files in the data directory of its network. The files of the lab's own profiles are in
/// [`own`], by name.
fn look(text: &str, files: &[(&str, &str)]) -> Vec<Lint> {
    let mut whole = String::new();
    if !text.contains("network.lan = ") {
        whole.push_str(NETWORK);
    } else {
        whole.push_str(
            "dryrack = 1\nnetwork.lan.address = \"10.0.0.1/24\"\n".split_inclusive('\n').next().unwrap(),
        );
    }
    if text.contains("profile = \"tiny\"") || files.iter().any(|(_, text)| text.contains("\"tiny\"")) {
        whole.push_str("profile.tiny.kernel = \"image:tiny/kernel\"\n");
    }
    if !files.is_empty() {
        whole.push_str("network.lan.matchbox.data = \"files/matchbox\"\n");
    }
    let lab = lab(&format!(
        "{whole}{}",
        text.replace("network.lan = {", "network.lan = { address = \"10.0.0.1/24\",")
    ));
    let network = lab.networks.values().next().unwrap();
    let netboots = crate::plan::Netboots::new(&lab);
    let plan = crate::plan::matchbox(&netboots, network).unwrap();
    let mut texts: BTreeMap<String, String> =
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    for (path, entry) in plan.entries {
        let text = match entry {
            DataEntry::Text(text) => text,
            DataEntry::File(path) => own(&path),
        };
        texts.insert(path, text);
    }
    let memory = Memory::new(texts);
    let text = |path: &str| memory.texts.get(path).cloned();
    let existing = |path: &Path| path.ends_with("assets/linux") || path.ends_with("assets/initrd.img");
    lint(&netboots, network, &LintContext { source: &memory, text: &text, existing: &existing })
}

/// The files of the lab's own profiles.
fn own(path: &Path) -> String {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("disk.tmpl") => "a\n{{.disk}}\n".to_owned(),
        Some("query.tmpl") => "{{.request.query.disk}}\n".to_owned(),
        Some("bad.ign") => "{ \"ignition\": { \"version\": \"2.2.0\" } }".to_owned(),
        other => panic!("{other:?} is no file of the tests"),
    }
}

/// The findings as text.
fn check(text: &str, files: &[(&str, &str)]) -> String {
    let mut said = String::new();
    for Lint { code, file, line, what, message, help } in look(text, files) {
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        let what = what.map(|what| format!(" at {what}")).unwrap_or_default();
        writeln!(said, "[{}] {file}{line}{what}: {message}\n  help: {help}", code.number()).unwrap();
    }
    said
}

/// The fenced blocks of a page: info string and text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').expect("a fence has a line of its own")).collect()
}

/// A config, and the profile and group that serve it.
fn worker<'a>(path: &'a str, text: &'a str) -> [(&'a str, &'a str); 3] {
    let profile = r#"{ "id": "p", "ignition_id": "worker.yaml" }"#;
    [(path, text), ("profiles/p.json", profile), ("groups/a.json", r#"{ "profile": "p" }"#)]
}

fn run(code: Code, (kind, text): (&str, &str)) -> Vec<Lint> {
    match kind.split_once(' ') {
        None if kind == "toml" => look(text, &[]),
        Some(("json", "profiles/install.json")) => look(
            "network.lan.matchbox.assets = \"files/assets\"\n",
            &[("profiles/install.json", text), ("groups/a.json", r#"{ "profile": "install" }"#)],
        ),
        Some(("json", path)) => look("", &[(path, text)]),
        Some(("yaml", path)) => look("", &worker(path, text)),
        _ => panic!("{code:?}: what is a block of {kind:?}?"),
    }
}

#[test]
fn every_example_fails_as_its_page_says() {
    let codes: Vec<Code> = Code::ALL.iter().copied().filter(|code| code.is_lint()).collect();
    assert_eq!(codes.len(), 11);
    for code in codes {
        let blocks = blocks(code.page());
        let [example, fix] = blocks.as_slice() else { panic!("{code:?} has an example and a fix") };
        let found: Vec<Code> = run(code, *example).iter().map(|lint| lint.code).collect();
        assert_eq!(found, [code], "the example of {}", code.number());
        assert_eq!(run(code, *fix), [], "the fix of {}", code.number());
    }
}

const SERVED: &str = "network.lan.matchbox = {}\n";

#[test]
fn what_cannot_be_rendered_is_named_by_file_and_line() {
    let check = |text: &str| check(&format!("{SERVED}{text}"), &[]);
    assert_snapshot!(check("profile.p = { generic = \"files/disk.tmpl\", ignition = \"files/bad.ign\" }\ngroup.g.profile = \"p\"\n"), @r#"
    [L310] ignition/p.ign:1: ignition.version: 2.2.0 is of another language; matchbox reads 3.0.0 to 3.4.0, so group `g` is not served at /ignition
      help: the client would get the response of the real server: 404, or an empty config
    [L310] generic/p.tmpl:2: map has no entry for key "disk", so group `g` is not served at /generic
      help: the client would get the response of the real server: 404, or an empty config
    "#);
    // A value that a machine may still send in its query is not reported.
    assert_snapshot!(check("profile.p = { generic = \"files/query.tmpl\" }\ngroup.g.profile = \"p\"\n"), @"");
    // A profile that does not exist yet.
    assert_snapshot!(super::tests::check("group.g.profile = \"later\"\n", &[("generic/unused", "")]), @"
    [L310] profiles/later.json: there is no such file, so group `g` is not served at every endpoint but /metadata
      help: create the profile, or set another one in the group
    ");
}

#[test]
fn what_butane_warns_of_is_told_with_its_line() {
    let text = r#"variant: fcos
version: 1.5.0
stroage: {}
ignition:
  config:
    merge:
      - inline: '{"ignition": {"version": "3.4.0"}, "bogus": 1}'
      - inline: '{"ignition": {"version": "3.3.0"}}'
storage:
  files:
    - path: /a
      mode: 644
      owner: root
systemd:
  units:
    - name: a.service
      enabled: true
      contents: "[Unit]\nA=b"
"#;
    assert_snapshot!(check("", &worker("ignition/worker.yaml", text)), @"
    [L318] ignition/worker.yaml:3: the key `stroage` is unknown here, and ignored
      help: it is served anyway; Butane and `ignition-validate` warn of it as well
    [L318] ignition/worker.yaml:7: ignition.config.merge[0]: in the config within: line 1: the key `bogus` is unknown here, and ignored
      help: it is served anyway; Butane and `ignition-validate` warn of it as well
    [L318] ignition/worker.yaml:8: ignition.config.merge[1]: in the config within: line 1: ignition.version: 3.3.0 is not the version of the config around it, so it is not checked
      help: it is served anyway; Butane and `ignition-validate` warn of it as well
    [L318] ignition/worker.yaml:12: storage.files[0]: the mode 644 is decimal, which is 1204 in octal: write 0644
      help: it is served anyway; Butane and `ignition-validate` warn of it as well
    [L318] ignition/worker.yaml:13: storage.files[0]: the key `owner` is unknown here, and ignored
      help: it is served anyway; Butane and `ignition-validate` warn of it as well
    [L318] ignition/worker.yaml:17: systemd.units[0].enabled: `a.service` has no section [Install], so it is not enabled
      help: it is served anyway; Butane and `ignition-validate` warn of it as well
    ");
}

#[test]
fn groups_that_are_shadowed_are_named() {
    let group = r#"{ "profile": "tiny", "selector": { "mac": "52:54:00:00:00:01" } }"#;
    assert_snapshot!(check("", &[("groups/install.json", group), ("groups/node1.json", group)]), @r#"
    [L311] groups/node1.json at selector: group `node1` is never selected: `install` selects `mac=52:54:00:00:00:01` too, and comes first
      help: add a selector that differs, such as "os": "installed" for the stage after the install
    "#);
    assert_snapshot!(check("", &[("groups/a.json", r#"{ "profile": "tiny" }"#), ("groups/b.json", r#"{ "profile": "tiny" }"#)]), @r#"
    [L311] groups/b.json at selector: group `b` is never selected: `a` selects nothing too, and comes first
      help: add a selector that differs, such as "os": "installed" for the stage after the install
    "#);
}

#[test]
fn an_initrd_is_told_by_the_name_that_it_has() {
    let profile = |initrd: &str, args: &str| {
        format!(
            r#"{{ "id": "p", "boot": {{ "kernel": "http://10.0.0.1/k", "initrd": [{initrd}], "args": [{args}] }} }}"#
        )
    };
    let check = |more: &str, initrd: &str, args: &str| {
        let profile = profile(initrd, args);
        super::tests::check(
            more,
            &[("profiles/p.json", &profile), ("groups/all.json", r#"{ "profile": "p" }"#)],
        )
    };
    assert_snapshot!(check("", r#""http://10.0.0.1/a/i.gz?x=1""#, ""), @r#"
    [L312] profiles/p.json at args: the kernel has no argument `initrd=i.gz`, and panics under UEFI
      help: add "initrd=i.gz" to `args`; a BIOS ignores it
    "#);
    assert_snapshot!(check("", r#""http://10.0.0.1/a/i.gz?x=1""#, r#""initrd=main""#), @r#"
    [L312] profiles/p.json at args: the kernel has the argument `initrd=main`, but the initrd is named `i.gz`
      help: add "initrd=i.gz" to `args`; a BIOS ignores it
    "#);
    assert_snapshot!(check("", r#""--name main http://10.0.0.1/i""#, r#""quiet initrd=main""#), @"");
    // Not a problem with BIOS, or with GRUB, which tells the kernel itself.
    assert_snapshot!(check("node.a = {}\n", r#""http://10.0.0.1/i""#, ""), @"");
    assert_snapshot!(check("profile.menu.loader = \"grub\"\nnode.a = { firmware = \"uefi\", profile = \"menu\" }\n", r#""http://10.0.0.1/i""#, ""), @"
    [L319] profiles/p.json at http://10.0.0.1/k: `http://10.0.0.1/k`: GRUB reads the whole text as the name of a file on its own server
      help: write a path such as (http,10.0.0.1:8080)/assets/vmlinuz, or /assets/vmlinuz
    [L319] profiles/p.json at http://10.0.0.1/i: `http://10.0.0.1/i`: GRUB reads the whole text as the name of a file on its own server
      help: write a path such as (http,10.0.0.1:8080)/assets/vmlinuz, or /assets/vmlinuz
    ");
    assert_snapshot!(check("node.a.firmware = \"uefi\"\n", r#""http://10.0.0.1/i""#, ""), @r#"
    [L312] profiles/p.json at args: the kernel has no argument `initrd=i`, and panics under UEFI
      help: add "initrd=i" to `args`; a BIOS ignores it
    "#);
}

#[test]
fn variables_are_those_of_the_loader() {
    let profile = r#"{ "id": "p", "boot": { "kernel": "http://10.0.0.1/k", "args": ["a=$net_default_mac", "b=${uuid}"] } }"#;
    let files = [("profiles/p.json", profile), ("groups/all.json", r#"{ "profile": "p" }"#)];
    assert_snapshot!(check("node.a = {}\n", &files), @"
    [L313] profiles/p.json at a=$net_default_mac: iPXE has no variable `$net_default_…`; GRUB has
      help: use ${mac:hexhyp}, ${uuid} and similar variables
    ");
    assert_snapshot!(check("profile.menu.loader = \"grub\"\nnode.a.profile = \"menu\"\n", &files), @"
    [L313] profiles/p.json at b=${uuid}: GRUB has no variable `${uuid}`; iPXE has
      help: use $net_default_mac, or $net_efinet0_dhcp_mac if only one kind of firmware reads it
    [L319] profiles/p.json at http://10.0.0.1/k: `http://10.0.0.1/k`: GRUB reads the whole text as the name of a file on its own server
      help: write a path such as (http,10.0.0.1:8080)/assets/vmlinuz, or /assets/vmlinuz
    ");
    assert_snapshot!(check("", &files), @"");
}

#[test]
fn words_that_a_loader_misreads_are_told() {
    let profile = r#"{ "id": "p", "boot": { "kernel": "/assets/linux", "args": ["u=http://10.0.0.1/?mac=$net_default_mac;os=new", "m=64K$0x1", "a && b"] } }"#;
    let files = [("profiles/p.json", profile), ("groups/all.json", r#"{ "profile": "p" }"#)];
    assert_snapshot!(check("profile.menu.loader = \"grub\"\nnode.a.profile = \"menu\"\n", &files), @r#"
    [L319] profiles/p.json at u=http://10.0.0.1/?mac=$net_default_mac;os=new: `u=http://10.0.0.1/?mac=$net_default_mac;os=new`: GRUB ends the command here, so the kernel is not told what follows
      help: put it in quotes, which GRUB removes: it replaces $variables within "…", and nothing within '…'
    [L319] profiles/p.json at m=64K$0x1: `m=64K$0x1`: GRUB removes `$` and what follows, because it has no such variable
      help: put it in single quotes, or use a variable of GRUB such as $net_default_mac
    [L319] profiles/p.json at a && b: `a && b`: GRUB cannot read a menu with `&`, and boots nothing
      help: put it in quotes, which GRUB removes: it replaces $variables within "…", and nothing within '…'
    "#);
    assert_snapshot!(check("", &files), @"
    [L319] profiles/p.json at a && b: `a && b`: iPXE ends the command at `&&`, so what follows is lost
      help: iPXE has no quotes that protect it: write it without spaces around it
    ");
}

#[test]
fn keys_that_matchbox_ignores_are_told() {
    let profile = r#"{ "id": "p", "ID": "p", "boot": { "kernel": "/assets/linux", "Args": [], "cmdline": { "a": "b" } }, "ignition": "x" }"#;
    let group = r#"{ "profile": "p", "require": { "os": "x" }, "metadata": { "any": 1 } }"#;
    assert_snapshot!(check("", &[("profiles/p.json", profile), ("groups/all.json", group)]), @r#"
    [L320] groups/all.json at require: matchbox has no key `require`, and ignores it
      help: remove it, or correct its name
    [L320] profiles/p.json at ignition: matchbox has no key `ignition`, and ignores it
      help: remove it, or correct its name
    [L320] profiles/p.json at cmdline: matchbox has no key `boot.cmdline`, and ignores it
      help: since matchbox 0.6, write the arguments as a list: "args": ["console=ttyS0"]
    "#);
}

#[test]
fn an_install_ends_on_a_disk_that_is_there() {
    // A script in a config, as generated by Butane: curl requests with os=installed, and flatcar-install -d /dev/sda
    // installs.
    let script = "%23%21%2Fbin%2Fsh%0Acurl%20%22http%3A%2F%2F10.0.0.1%2Fignition%3Fmac%3Dx%26os%3Dinstalled%22%0Aflatcar-install%20-d%20%2Fdev%2Fsda%20-i%20x%0A";
    let config = format!(
        r#"{{ "ignition": {{ "version": "3.3.0" }}, "storage": {{ "files": [{{ "path": "/opt/installer", "contents": {{ "source": "data:,{script}" }} }}] }} }}"#
    );
    let profile = r#"{ "id": "p", "ignition_id": "p.ign", "boot": { "kernel": "http://10.0.0.1/k" } }"#;
    let files = [
        ("profiles/p.json", profile),
        ("ignition/p.ign", config.as_str()),
        ("groups/all.json", r#"{ "profile": "p" }"#),
    ];
    let node = "node.a = { boot = [\"network\", \"disk\"], disk.root.size = \"10GiB\", disk.data = { size = \"1GiB\", bus = \"nvme\" } }\n";
    assert_snapshot!(check(node, &files), @r#"
    [L314] groups/all.json at selector: the installed system asks with os=installed, but gets the installer again
      help: add a group that selects "os": "installed" as well
    [L314] groups/all.json at profile: `a` boots from the network first, so it gets the installer again after each install
      help: set node.a.boot = ["disk", "network"]
    [L315] profiles/p.json at /dev/sda: `a` has no /dev/sda to install to
      help: it has /dev/vda, /dev/nvme0n1; the names depend on `bus`
    "#);
    let next = [
        files.as_slice(),
        &[
            ("groups/next.json", r#"{ "profile": "q", "selector": { "os": "installed" } }"#),
            ("profiles/q.json", r#"{ "id": "q" }"#),
        ],
    ]
    .concat();
    assert_snapshot!(check("node.a.disk.root = { size = \"10GiB\", bus = \"scsi\" }\n", &next), @"");
}

#[test]
fn urls_lead_somewhere() {
    let check = |more: &str, urls: &[&str]| {
        let args: Vec<String> = urls.iter().map(|url| format!("\"x={url}\"")).collect();
        let profile = format!(
            r#"{{ "id": "p", "boot": {{ "kernel": "/assets/linux", "args": [{}] }} }}"#,
            args.join(", ")
        );
        super::tests::check(
            more,
            &[("profiles/p.json", &profile), ("groups/all.json", r#"{ "profile": "p" }"#)],
        )
    };
    let names = r#"
        network.lan.matchbox.assets = "files/assets"
        network.lan.matchbox.port = 8080
        network.lan.dns = { records = { "m.local" = "10.0.0.1", "*.w.lab" = "10.0.0.9" }, cname = { "www" = "m.local." } }
        network.lan.files = { "assets/single" = "image:tiny/kernel" }
        node.a = {}
    "#;
    assert_snapshot!(check(names, &["http://m.local:8080/ignition", "http://www.lab/a", "http://a.lab/", "http://x.w.lab/", "http://${next-server}/x", "http://10.0.0.7:99/", "http://m.local:8080/assets/single"]), @"");
    assert_snapshot!(check(names, &["http://m.local:81/", "https://10.0.0.1/", "http://other.test/", "http://192.0.2.1/x", "http://m.local/assets/none", "http://m.local/assets/${x}"]), @r#"
    [L317] profiles/p.json at x=http://m.local:81/: no service of the lab listens on port 81 of m.local
      help: matchbox listens on port 8080
    [L317] profiles/p.json at x=https://10.0.0.1/: no service of the lab listens on port 443 of 10.0.0.1
      help: matchbox listens on port 8080
    [L317] profiles/p.json at x=http://other.test/: `other.test` does not resolve: the lab's DNS does not have it and has no forwarder
      help: add it: network.lan.dns.records."other.test" = "10.0.0.1"
    [L317] profiles/p.json at x=http://192.0.2.1/x: 192.0.2.1 is outside the lab, and the network has no NAT
      help: add network.lan.nat = true
    [L317] profiles/p.json at x=http://m.local/assets/none: there is no asset `none`
      help: it would be /labs/typhoon/files/assets/none
    "#);
    assert_snapshot!(check("network.lan.nat = true\nnode.a = {}\n", &["http://other.test/", "http://192.0.2.1/x"]), @"");
}

#[test]
fn loaders_do_not_fetch_over_https() {
    let profile = r#"{ "id": "p", "boot": { "kernel": "https://m.local/linux", "initrd": ["--name i https://m.local/i", "/assets/j"], "args": ["x=https://m.local/ignition"] } }"#;
    let lines = |nodes: &str| {
        let lab = "network.lan.https = true\nnetwork.lan.dns.records = { \"m.local\" = \"10.0.0.1\" }\n";
        let files = [("profiles/p.json", profile), ("groups/all.json", r#"{ "profile": "p" }"#)];
        let found = check(&format!("{lab}{nodes}"), &files);
        let about = found.lines().filter(|line| line.contains("HTTPS") || line.contains("1.21.1"));
        about.collect::<Vec<_>>().join("\n")
    };
    // An iPXE of the user's own for the firmware of the node may fetch them.
    let own = "profile.own.programs.bios = \"image:tiny/kernel\"\nnode.a = { firmware = \"bios\", profile = \"own\" }\n";
    assert_snapshot!(lines(own), @"");
    let other = own.replace("\"bios\"", "\"uefi\"");
    let both = format!("{own}node.b = {{}}\n");
    for without in ["", &other, &both] {
        assert_eq!(lines(without), lines("node.a = {}\n"), "{without}");
    }
    assert_snapshot!(lines("node.a = {}\n"), @"
    [L317] profiles/p.json at https://m.local/linux: the iPXE and the GRUB of the images do not support HTTPS
      help: use http://, or an iPXE of your own in `programs`, newer than release 1.21.1 (built in November 2022 or later)
    [L317] profiles/p.json at --name i https://m.local/i: the iPXE and the GRUB of the images do not support HTTPS
      help: use http://, or an iPXE of your own in `programs`, newer than release 1.21.1 (built in November 2022 or later)
    ");
}

#[test]
fn an_address_in_upper_case_is_told() {
    let group = r#"{ "profile": "tiny", "selector": { "mac": "52-54-00-AA-BB-CC", "os": "x" } }"#;
    let colons = r#"{ "profile": "tiny", "selector": { "MAC": "52:54:00:AA:BB:CC" } }"#;
    assert_snapshot!(check("", &[("groups/a.json", group), ("groups/b.json", colons)]), @"
    [L316] groups/a.json at 52-54-00-AA-BB-CC: `52-54-00-AA-BB-CC` is normalized to `52:54:00:aa:bb:cc`
      help: write it in this form, or Terraform shows a change in every plan
    [L316] groups/b.json at 52:54:00:AA:BB:CC: `52:54:00:AA:BB:CC` is normalized to `52:54:00:aa:bb:cc`
      help: write it in this form, or Terraform shows a change in every plan
    ");
}
