use std::path::Path;

use proptest::prelude::*;

use super::super::example::{content, content_of, plan};
use super::*;
use crate::plan::RootPlan;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kernel"), "MZ").unwrap();
    std::fs::write(folder.path().join("secret"), "x").unwrap();
    std::fs::create_dir(folder.path().join("initrd")).unwrap();
    folder
}

/// Content with a folder as root.
fn with_root(folder: &Path, listing: bool) -> ContentStore {
    let root = folder.join("www");
    std::fs::create_dir_all(root.join("profile/tiny")).unwrap();
    std::fs::create_dir_all(root.join("nocloud/fast")).unwrap();
    std::fs::write(root.join("profile/tiny/kernel"), "not this one").unwrap();
    std::fs::write(root.join("profile/tiny/more"), "more").unwrap();
    std::fs::write(root.join("nocloud/fast/vendor-data"), "vendor").unwrap();
    std::os::unix::fs::symlink("../secret", root.join("out")).unwrap();
    let mut plan = plan();
    plan.root = Some(RootPlan { folder: root, listing });
    content_of(&plan, folder)
}

/// The result of a lookup: a file's content, a text, or the error.
fn check(found: Result<Item, Missing>) -> String {
    match found {
        Ok(Item { content, role, rule }) => {
            let content = match content {
                Content::File(mut file, metadata) => {
                    let mut text = String::new();
                    io::Read::read_to_string(&mut file, &mut text).unwrap();
                    assert_eq!(metadata.len(), text.len() as u64);
                    format!("file {text:?}")
                }
                Content::Text(text) => format!("{text:?}"),
                Content::Folder(names) => format!("{names:?}"),
            };
            format!("{role}: {content} [{rule}]")
        }
        Err(missing) => missing.to_string(),
    }
}

#[test]
fn only_what_the_plan_names_is_found() {
    let folder = folder();
    let content = content(folder.path());
    let table = [
        "/profile/tiny/kernel",
        "profile/tiny/kernel",
        "//profile/tiny/kernel",
        "//profile//tiny/./kernel",
        r"\profile\tiny\kernel",
        "/profile/tiny/initrd0",
        "/boot/fast.ipxe",
        "/nocloud/fast/user-data",
        "/nocloud/fast/vendor-data",
        "/nocloud/fast/passwd",
        "/boot/Fast.ipxe",
        "/",
        "",
        "/profile/tiny",
        "/profile/tiny/kernel/",
        "/profile/tiny/secret",
        "/etc/passwd",
        "/profile/tiny/../tiny/secret",
        r"..\..\etc\passwd",
        "/profile/tiny/..",
        "/profile/tiny/kernel..",
        "/profile/tiny/kernel\0.txt",
        "/profile/tiny/%2e%2e/secret",
    ];
    let lines: Vec<String> = table
        .iter()
        .map(|path| format!("{:30} {}", format!("{path:?}"), check(content.find(path.as_bytes()))))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r##"
    "/profile/tiny/kernel"         kernel: file "MZ" [plan]
    "profile/tiny/kernel"          kernel: file "MZ" [plan]
    "//profile/tiny/kernel"        kernel: file "MZ" [plan]
    "//profile//tiny/./kernel"     kernel: file "MZ" [plan]
    "\\profile\\tiny\\kernel"      kernel: file "MZ" [plan]
    "/profile/tiny/initrd0"        `image:tiny/initrd` does not exist
    "/boot/fast.ipxe"              script: "#!ipxe\nboot\n" [text]
    "/nocloud/fast/user-data"      seed: "key: ssh-ed25519 KEY\n" [text]
    "/nocloud/fast/vendor-data"    seed: "" [default]
    "/nocloud/fast/passwd"         not found
    "/boot/Fast.ipxe"              not found
    "/"                            not found
    ""                             not found
    "/profile/tiny"                not found
    "/profile/tiny/kernel/"        not found
    "/profile/tiny/secret"         not found
    "/etc/passwd"                  not found
    "/profile/tiny/../tiny/secret" refused: the path leaves the served folder
    "..\\..\\etc\\passwd"          refused: the path leaves the served folder
    "/profile/tiny/.."             refused: the path leaves the served folder
    "/profile/tiny/kernel.."       not found
    "/profile/tiny/kernel\0.txt"   refused: the path has control characters
    "/profile/tiny/%2e%2e/secret"  refused: the path is percent-encoded twice
    "##);
}

#[test]
fn below_the_plans_names_lies_the_labs_folder() {
    let folder = folder();
    let content = with_root(folder.path(), false);
    let table = [
        "/profile/tiny/kernel",
        "/profile/tiny/more",
        "/profile/tiny/more/",
        "/profile/tiny/more/x",
        "/profile/tiny/initrd0",
        "/profile/tiny",
        "/",
        "/nocloud/fast/vendor-data",
        "/nocloud/fast/network-config",
        "/nothing",
        "/out",
        "/../secret",
    ];
    let lines: Vec<String> =
        table.iter().map(|path| format!("{path:30} {}", check(content.find_url(path)))).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    /profile/tiny/kernel           kernel: file "MZ" [plan]
    /profile/tiny/more             file: file "more" [root]
    /profile/tiny/more/            not found
    /profile/tiny/more/x           not found
    /profile/tiny/initrd0          `image:tiny/initrd` does not exist
    /profile/tiny                  not found
    /                              not found
    /nocloud/fast/vendor-data      file: file "vendor" [root]
    /nocloud/fast/network-config   seed: "" [default]
    /nothing                       not found
    /out                           refused: outside the served folder, or not readable
    /../secret                     refused: the path leaves the served folder
    "#);
}

#[test]
fn folders_are_listed_where_the_lab_says_so() {
    let folder = folder();
    let content = with_root(folder.path(), true);
    let table = ["/", "/profile", "/profile/tiny/", "/out", "/nothing/"];
    let lines: Vec<String> =
        table.iter().map(|path| format!("{path:18} {}", check(content.find_url(path)))).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    /                  listing: ["nocloud/", "out", "profile/"] [root]
    /profile           listing: ["tiny/"] [root]
    /profile/tiny/     listing: ["kernel", "more"] [root]
    /out               refused: outside the served folder, or not readable
    /nothing/          not found
    "#);
}

proptest! {
    #[test]
    fn no_path_leads_elsewhere(path in r"(/|\\|\.\.|\.|%2e|%2f|profile|tiny|kernel|more|out|secret|nocloud|fast|\PC){0,12}") {
        let folder = folder();
        let content = with_root(folder.path(), false);
        for found in [content.find(path.as_bytes()), content.find_url(&path)] {
            if let Ok(Item { content: Content::File(mut file, _), .. }) = found {
                let mut text = String::new();
                io::Read::read_to_string(&mut file, &mut text).unwrap();
                prop_assert!(["MZ", "more", "vendor"].contains(&&*text), "{text}");
            }
        }
    }
}
