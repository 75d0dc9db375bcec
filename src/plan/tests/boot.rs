//! Network boot of nodes: loaders, scripts, matchbox entries.

use super::*;

/// The boot settings of nodes, and the matchbox entries, texts and files of their network.
fn matchbox(text: &str) -> String {
    let lab = lab(&format!("dryrack = 1\nnetwork.lan.address = \"10.0.2.1/24\"\n{text}"));
    let plan = plan(&lab, &facts()).unwrap();
    let service = plan.steps.iter().find_map(|step| match step {
        Step::Serve(service) => Some(service),
        _ => None,
    });
    let service = service.unwrap();
    let matchbox = service.matchbox.as_ref().unwrap();
    let mut lines: Vec<String> =
        service.hosts.iter().map(|host| format!("{}: {:?}", host.node, host.boot)).collect();
    lines.extend(matchbox.entries.iter().map(|(path, entry)| format!("{path}: {entry:?}")));
    lines.extend(service.texts.iter().map(|(path, text)| format!("{path}:\n{}", text.body)));
    lines.extend(service.files.keys().cloned());
    lines.join("\n")
}

#[test]
fn profiles_and_groups_are_entries_of_a_data_directory() {
    assert_snapshot!(
        matchbox(
            r#"
            network.lan.matchbox.port = 8080
            profile.install = { kernel = "files/linux", initrd = ["files/a", "files/b"], args = ["quiet"], metadata = { a = 1, b = 2 } }
            profile.done = { ignition = "files/done.ign", cloud = "files/cloud", generic = "files/x.tmpl" }
            group.a = { profile = "install", metadata = { b = [true] } }
            group.b = { profile = "done", selector = { mac = "52:54:00:00:00:01", os = "installed" } }
            node.n = { profile = "install", nic.lan.mac = "52:54:00:00:00:01" }
            "#
        ),
        @r#"
    n: Some(BootPlan { script: Some("http://10.0.2.1/boot/n.ipxe"), rom_chains: false, via: None, programs: {} })
    cloud/done: File("/labs/typhoon/files/cloud")
    generic/done.tmpl: File("/labs/typhoon/files/x.tmpl")
    groups/a.json: Text("{\"id\":\"a\",\"profile\":\"install\",\"selector\":{},\"metadata\":{\"a\":1,\"b\":[true]}}")
    groups/b.json: Text("{\"id\":\"b\",\"profile\":\"done\",\"selector\":{\"mac\":\"52:54:00:00:00:01\",\"os\":\"installed\"},\"metadata\":{}}")
    groups/n.lan.json: Text("{\"id\":\"n.lan\",\"profile\":\"install\",\"selector\":{\"mac\":\"52:54:00:00:00:01\"},\"metadata\":{\"a\":1,\"b\":2}}")
    ignition/done.ign: File("/labs/typhoon/files/done.ign")
    profiles/done.json: Text("{\"id\":\"done\",\"boot\":{},\"ignition_id\":\"done.ign\",\"cloud_id\":\"done\",\"generic_id\":\"done.tmpl\"}")
    profiles/install.json: Text("{\"id\":\"install\",\"boot\":{\"kernel\":\"/profile/install/kernel\",\"initrd\":[\"/profile/install/initrd0\",\"/profile/install/initrd1\"],\"args\":[\"initrd=initrd0\",\"initrd=initrd1\",\"quiet\"]}}")
    boot/n.ipxe:
    #!ipxe
    kernel /profile/install/kernel initrd=initrd0 initrd=initrd1 quiet
    initrd --name initrd0 /profile/install/initrd0
    initrd --name initrd1 /profile/install/initrd1
    boot

    profile/install/initrd0
    profile/install/initrd1
    profile/install/kernel
    "#
    );
}

#[test]
fn who_has_no_kernel_asks_matchbox() {
    assert_snapshot!(
        matchbox(
            r#"
            network.lan.matchbox = { data = "files/", port = 8080 }
            profile.menu.loader = "grub"
            node.by-grub = { profile = "menu", nic.lan.mac = "52:54:00:00:00:01" }
            node.by-ipxe = { firmware = "uefi" }
            "#
        ),
        @r#"
    by-grub: Some(BootPlan { script: None, rom_chains: true, via: None, programs: {0: "grub/core.0", 7: "grub/core.efi"} })
    by-ipxe: Some(BootPlan { script: Some("http://10.0.2.1:8080/boot.ipxe"), rom_chains: false, via: None, programs: {} })
    profiles/menu.json: Text("{\"id\":\"menu\",\"boot\":{}}")
    grub/52:54:00:00:00:01.cfg:
    insmod http
    set net_efinet0_dhcp_mac=$net_default_mac
    export net_efinet0_dhcp_mac
    set root=http,10.0.2.1:8080
    configfile /grub?mac=$net_default_mac

    grub/grub.cfg:
    configfile /grub/$net_default_mac.cfg

    grub/core.0
    grub/core.efi
    "#
    );
}

/// The boot settings of a node and the content of its network, by profile.
fn handed(node: &str, profile: &str) -> String {
    let text = format!(
        "dryrack = 1\n[network.lan]\naddress = \"10.0.2.1/24\"\nipv6 = \"fd00:2::1/64\"\n\
         [profile.p]\nkernel = \"files/linux\"\n{profile}\n[node.n]\nprofile = \"p\"\n{node}\n"
    );
    let lab = lab(&text);
    let plan = plan(&lab, &facts()).unwrap();
    let service = plan.steps.iter().find_map(|step| match step {
        Step::Serve(service) => Some(service),
        _ => None,
    });
    let service = service.unwrap();
    let BootPlan { script, rom_chains, via: _, programs } = service.hosts[0].boot.clone().unwrap();
    let mut lines = vec![Netboots::new(&lab).way(&lab.nodes[&NodeName::new("n").unwrap()]).unwrap()];
    lines.extend(script.map(|script| format!("script {script}")));
    lines.extend(rom_chains.then(|| "a ROM chains".to_owned()));
    lines.extend(programs.iter().map(|(number, path)| format!("program {number} {path}")));
    lines.extend(
        service.files.iter().map(|(path, file)| format!("{path} is {} ({})", file.source, file.role)),
    );
    lines.extend(service.texts.iter().map(|(path, text)| format!("{path}:\n{}", text.body)));
    lines.join("\n")
}

#[test]
fn a_loader_brings_everything_that_it_reads() {
    let initrds = "initrd = [\"files/a\", \"files/b\"]\nargs = [\"quiet\", 'say=\"x\"']";
    let loader = |word: &str| format!("{initrds}\nloader = \"{word}\"");
    insta::assert_snapshot!(handed("", initrds), @r#"
    BIOS, iPXE in the NIC's ROM
    script http://10.0.2.1/boot/n.ipxe
    profile/p/initrd0 is /labs/typhoon/files/a (initrd)
    profile/p/initrd1 is /labs/typhoon/files/b (initrd)
    profile/p/kernel is /labs/typhoon/files/linux (kernel)
    boot/n.ipxe:
    #!ipxe
    kernel /profile/p/kernel initrd=initrd0 initrd=initrd1 quiet say="x"
    initrd --name initrd0 /profile/p/initrd0
    initrd --name initrd1 /profile/p/initrd1
    boot
    "#);
    insta::assert_snapshot!(handed("", &loader("chainload")), @r#"
    BIOS, PXE, undionly.kpxe
    script http://10.0.2.1/boot/n.ipxe
    a ROM chains
    program 0 ipxe/undionly.kpxe
    program 7 ipxe/snponly.efi
    ipxe/snponly.efi is image:ipxe/snponly.efi (loader)
    ipxe/undionly.kpxe is image:ipxe/undionly.kpxe (loader)
    profile/p/initrd0 is /labs/typhoon/files/a (initrd)
    profile/p/initrd1 is /labs/typhoon/files/b (initrd)
    profile/p/kernel is /labs/typhoon/files/linux (kernel)
    boot/n.ipxe:
    #!ipxe
    kernel /profile/p/kernel initrd=initrd0 initrd=initrd1 quiet say="x"
    initrd --name initrd0 /profile/p/initrd0
    initrd --name initrd1 /profile/p/initrd1
    boot
    "#);
    insta::assert_snapshot!(handed("", &loader("pxelinux")), @r#"
    BIOS, PXE, PXELINUX
    a ROM chains
    program 0 pxelinux/pxelinux.0
    profile/p/initrd0 is /labs/typhoon/files/a (initrd)
    profile/p/initrd1 is /labs/typhoon/files/b (initrd)
    profile/p/kernel is /labs/typhoon/files/linux (kernel)
    pxelinux/ldlinux.c32 is image:pxelinux/ldlinux.c32 (loader)
    pxelinux/pxelinux.0 is image:pxelinux/pxelinux.0 (loader)
    pxelinux/pxelinux.cfg/01-52-54-00-d9-a0-1e:
    DEFAULT p
    PROMPT 0
    LABEL p
      KERNEL ::profile/p/kernel
      INITRD ::profile/p/initrd0,::profile/p/initrd1
      APPEND quiet say="x"
    "#);
    insta::assert_snapshot!(handed("firmware = \"uefi\"", &loader("grub")), @"
    UEFI, PXE, GRUB
    a ROM chains
    program 0 grub/core.0
    program 7 grub/core.efi
    grub/core.0 is image:grub/core.0 (loader)
    grub/core.efi is image:grub/core.efi (loader)
    profile/p/initrd0 is /labs/typhoon/files/a (initrd)
    profile/p/initrd1 is /labs/typhoon/files/b (initrd)
    profile/p/kernel is /labs/typhoon/files/linux (kernel)
    grub/52:54:00:d9:a0:1e.cfg:
    linux /profile/p/kernel 'quiet' 'say=x'
    initrd /profile/p/initrd0 /profile/p/initrd1
    boot

    grub/grub.cfg:
    configfile /grub/$net_default_mac.cfg
    ");
    insta::assert_snapshot!(handed("firmware = \"uefi-secure\"", &loader("shim")), @"
    UEFI with Secure Boot, PXE, shim and GRUB, signed
    a ROM chains
    program 7 shim/shimx64.efi
    profile/p/initrd0 is /labs/typhoon/files/a (initrd)
    profile/p/initrd1 is /labs/typhoon/files/b (initrd)
    profile/p/kernel is /labs/typhoon/files/linux (kernel)
    shim/grubx64.efi is image:shim/grubx64.efi (loader)
    shim/shimx64.efi is image:shim/shimx64.efi (loader)
    grub/52:54:00:d9:a0:1e.cfg:
    linux /profile/p/kernel 'quiet' 'say=x'
    initrd /profile/p/initrd0 /profile/p/initrd1
    boot

    grub/grub.cfg:
    configfile /grub/$net_default_mac.cfg
    ");
    insta::assert_snapshot!(handed("firmware = \"uefi\"", "loader = \"kernel\"\nvia = \"http6\""), @"
    UEFI, HTTP Boot over IPv6, no loader
    a ROM chains
    program 7 profile/p/kernel.efi
    profile/p/kernel.efi is /labs/typhoon/files/linux (kernel)
    ");
    let own = "programs = { uefi-x64 = \"files/my boot.efi\", uefi-arm64 = \"image:tiny/kernel\" }";
    insta::assert_snapshot!(handed("firmware = \"uefi\"", own), @"
    UEFI, PXE, custom program
    script http://10.0.2.1/boot/n.ipxe
    program 0 ipxe/undionly.kpxe
    program 7 profile/p/program-7/my_boot.efi
    program 11 profile/p/program-11/kernel
    ipxe/undionly.kpxe is image:ipxe/undionly.kpxe (loader)
    profile/p/kernel is /labs/typhoon/files/linux (kernel)
    profile/p/program-11/kernel is image:tiny/kernel (loader)
    profile/p/program-7/my_boot.efi is /labs/typhoon/files/my boot.efi (loader)
    boot/n.ipxe:
    #!ipxe
    kernel /profile/p/kernel
    boot
    ");
}

#[test]
fn the_key_of_the_run_reaches_a_machine_with_its_own_user_data() {
    let with = |seed: &str| {
        let text = PRIVATE.replace("seed.nocloud.user-data = \"files/user-data\"", seed);
        let plan = plan(&lab(&text), &facts()).unwrap();
        let mut seeds = plan.steps.iter().filter_map(|step| match step {
            Step::Seed(seed) => Some(seed.clone()),
            _ => None,
        });
        seeds.next_back().unwrap()
    };
    let own = with("seed.nocloud.user-data = \"files/user-data\"");
    assert!(own.files["meta-data"].contains("public-keys:\n  - {{ssh-key}}\n"), "{own:?}");
    assert!(!own.files.contains_key("vendor-data"), "{own:?}");
    let users = with(
        "seed.nocloud = { user-data = \"files/user-data\", network-config = \"files/user-data\", users = [\"ops\"] }",
    );
    assert_eq!(users.copies.keys().collect::<Vec<_>>(), ["network-config", "user-data"]);
    assert_snapshot!(users.files["vendor-data"], @r#"
    MIME-Version: 1.0
    Content-Type: multipart/mixed; boundary="dryrack"

    --dryrack
    Content-Type: text/cloud-config

    #cloud-config
    users:
      - default
      - name: ops
        shell: /bin/bash
        sudo: ALL=(ALL) NOPASSWD:ALL
        ssh_authorized_keys:
          - {{ssh-key}}

    --dryrack
    Content-Type: text/x-shellscript

    #!/bin/sh
    for user in ops; do
        if ! id -u "$user" >/dev/null 2>&1; then
            useradd -m -s /bin/bash "$user"
            echo "$user ALL=(ALL) NOPASSWD:ALL" >"/etc/sudoers.d/90-dryrack-$(echo "$user" | tr . _)"
        fi
        folder=$(getent passwd "$user" | cut -d: -f6)/.ssh
        if ! grep -qsF '{{ssh-key}}' "$folder/authorized_keys"; then
            mkdir -p -m 700 "$folder"
            echo '{{ssh-key}}' >>"$folder/authorized_keys"
            chmod 600 "$folder/authorized_keys"
            chown -R "$user:" "$folder"
            if command -v restorecon >/dev/null; then restorecon -R "$folder"; fi
        fi
    done

    --dryrack--
    "#);
    // Without user-data of the lab, ours has the users.
    let generated = with("seed.nocloud.users = [\"ops\"]");
    assert!(generated.files["user-data"].contains("  - name: ops\n"), "{generated:?}");
    assert!(!generated.files.contains_key("vendor-data"));
}
