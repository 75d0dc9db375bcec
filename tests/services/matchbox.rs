//! matchbox in a lab with other content, with curl.

use std::path::Path;

use dryrack::event::{FileRole, Known};

use crate::rack::{Client, Rack, alone};
use crate::{LAB, kernel, numbers};

/// Creates a data directory beside the lab.
fn data(folder: &Path) {
    kernel(folder);
    for kind in ["groups", "profiles", "generic", "assets"] {
        std::fs::create_dir_all(folder.join("matchbox").join(kind)).unwrap();
    }
    let write = |path: &str, text: &str| std::fs::write(folder.join("matchbox").join(path), text).unwrap();
    write("groups/rack.json", r#"{"profile":"menu","selector":{"rack":"r1"}}"#);
    write("profiles/menu.json", r#"{"id":"menu","boot":{"kernel":"/assets/k"},"generic_id":"t"}"#);
    write("generic/t", "hello {{.rack}}\n{{.nobody}}\n");
    write("assets/k", "KERNEL\n");
}

/// The lab of the other tests with matchbox, on a separate port if one is given, and with HTTPS.
async fn rack(listen: &str) -> (Rack, Client) {
    let matchbox = format!("mtu = 1400\nhttps = true\nmatchbox = {{ data = \"matchbox\"{listen} }}");
    let group = "\n[group.installed]\nprofile = \"install\"\nselector = { os = \"installed\" }\nmetadata = { n = 3 }\n";
    let rack = Rack::of(&(LAB.replace("mtu = 1400", &matchbox) + group), data).await;
    let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
    (rack, one)
}

fn get(client: &Client, folder: &Path, url: &str) -> String {
    let output =
        client.run_in(folder, "curl", &["-sS", "-k", "-m", "20", "--path-as-is", "-w", "%{http_code}", url]);
    assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const NOTHING: &str = "404 page not found\n404";

#[test]
fn matchbox_is_asked_first_and_the_labs_own_names_after_it() {
    alone(async || {
        let (rack, one) = rack("").await;
        let folder = rack.folder.path();
        for base in ["http://10.0.0.1", "https://10.0.0.1"] {
            let get = |path: &str| get(&one, folder, &format!("{base}{path}"));
            assert_eq!(get("/"), "matchbox\n200");
            assert!(get("/boot.ipxe").starts_with("#!ipxe\nchain ipxe?uuid="));
            assert_eq!(get("/ipxe?rack=r1"), "#!ipxe\nkernel /assets/k\nboot\n200");
            // A group of the lab file, and a node that boots its profile.
            assert!(get("/ipxe?os=installed").contains("kernel /profile/install/kernel"));
            assert!(get("/ipxe?mac=52-54-00-00-00-01").contains("kernel /profile/install/kernel"));
            assert!(get("/metadata?os=installed").starts_with("N=3\nOS=installed\n"));
            assert_eq!(get("/assets/k"), "KERNEL\n200");
            assert_eq!(get("/generic?rack=r1"), NOTHING);
            assert_eq!(get("/ipxe?rack=r2"), NOTHING);
            // The lab's own paths, in any spelling.
            assert!(get("/boot/one.ipxe").starts_with("#!ipxe\n"));
            assert!(get("//boot/one.ipxe").starts_with("#!ipxe\n"));
            assert_eq!(get("/nothing"), "not found\n404");
        }
        let kernel = one.run_in(folder, "curl", &["-sS", "http://10.0.0.1/profile/install/kernel"]);
        assert_eq!(kernel.stdout, numbers(1 << 20));
        let failed = |known: &Known| {
            matches!(known, Known::MatchboxFailed { path, file, line: Some(2), reason }
                if path == "/generic?rack=r1" && file == "generic/t" && reason.contains("nobody"))
        };
        rack.log.until("what is wrong with the template", 5, failed).await;
        let decided = |known: &Known| {
            matches!(known, Known::HttpServed { path, rule, role, .. }
                if path == "/ipxe?rack=r1" && rule == "group rack, profile menu" && *role == Some(FileRole::Script))
        };
        rack.log.until("who decided", 5, decided).await;
        let kernel = |known: &Known| matches!(known, Known::HttpServed { path, role, .. } if path == "/assets/k" && *role == Some(FileRole::Kernel));
        rack.log.until("what the asset is to a machine", 5, kernel).await;
    });
}

#[test]
fn a_port_of_its_own_has_the_labs_names_too() {
    alone(async || {
        let (rack, one) = rack(", port = 8080").await;
        let folder = rack.folder.path();
        for (base, answer) in [
            ("http://10.0.0.1:8080", "#!ipxe\nkernel /assets/k\nboot\n200"),
            ("https://10.0.0.1", "#!ipxe\nkernel /assets/k\nboot\n200"),
            ("http://10.0.0.1", "not found\n404"),
        ] {
            let get = |path: &str| get(&one, folder, &format!("{base}{path}"));
            assert_eq!(get("/ipxe?rack=r1"), answer, "{base}");
            assert!(get("/boot/one.ipxe").starts_with("#!ipxe\n"), "{base}");
        }
        std::fs::write(
            folder.join("matchbox/profiles/menu.json"),
            r#"{"id":"menu","boot":{"kernel":"new"}}"#,
        )
        .unwrap();
        assert_eq!(get(&one, folder, "http://10.0.0.1:8080/ipxe?rack=r1"), "#!ipxe\nkernel new\nboot\n200");
    });
}

#[test]
fn clients_of_an_older_ignition_get_what_they_know() {
    let prepare = |folder: &Path| {
        data(folder);
        let config = r#"{"ignition":{"version":"3.1.0"},"storage":{"files":[{"path":"/etc/x"}]}}"#;
        std::fs::write(folder.join("old.ign"), config).unwrap();
        // A config that needs 3.4.0.
        let config = r#"{"ignition":{"version":"3.4.0"},"storage":{"luks":[{"name":"a","device":"/dev/a","discard":true}]}}"#;
        std::fs::write(folder.join("new.ign"), config).unwrap();
    };
    alone(async || {
        let lab = LAB.replace("mtu = 1400", "matchbox = { data = \"matchbox\", ignition = \"3.3.0\" }")
            + r#"
            [profile.old]
            ignition = "old.ign"
            [profile.new]
            ignition = "new.ign"
            [group.old]
            profile = "old"
            selector = { os = "old" }
            [group.new]
            profile = "new"
            selector = { os = "new" }
            "#;
        let rack = Rack::of(&lab, prepare).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let ask = |path: &str| {
            one.run_in(rack.folder.path(), "curl", &["-sS", &format!("http://10.0.0.1{path}")]).stdout
        };
        let config: serde_json::Value = serde_json::from_slice(&ask("/ignition?os=old")).expect("JSON");
        assert_eq!(
            (&config["ignition"]["version"], &config["storage"]["files"][0]["path"]),
            (&"3.3.0".into(), &"/etc/x".into())
        );
        ask("/ignition?os=new");
        let failed = |known: &Known| {
            matches!(known, Known::MatchboxFailed { path, reason, .. }
                if path == "/ignition?os=new" && reason.contains("discard") && reason.contains("3.4.0"))
        };
        rack.log.until("what an older version cannot say", 5, failed).await;
    });
}
