//! Images are made by umoci, and copied by skopeo, as users do.

use std::os::unix::fs::PermissionsExt;

use insta::assert_snapshot;

use super::*;
use crate::image::Library;
use crate::system::host::Container;

struct Made {
    folder: tempfile::TempDir,
}

fn run(program: &str, args: &[&str], folder: &Path) {
    let done = command(program).args(args).current_dir(folder).output().expect("the program is installed");
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Makes an image in the layout `layout`, with the tag `one`.
fn made() -> Made {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    run("umoci", &["init", "--layout", "layout"], at);
    run("umoci", &["new", "--image", "layout:one"], at);
    let files = at.join("files");
    fs::create_dir_all(files.join("etc")).expect("a folder");
    fs::create_dir_all(files.join("closed")).expect("a folder");
    fs::write(files.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:33:44::/srv:/bin/sh\n")
        .expect("a file");
    fs::write(files.join("etc/group"), "root:x:0:\nweb:x:44:\nextra:x:55:web\n").expect("a file");
    fs::set_permissions(files.join("closed"), fs::Permissions::from_mode(0o100)).expect("ours");
    for entry in ["etc", "closed"] {
        run(
            "umoci",
            &[
                "insert",
                "--rootless",
                "--image",
                "layout:one",
                &format!("files/{entry}"),
                &format!("/{entry}"),
            ],
            at,
        );
    }
    let config = [
        "config",
        "--image",
        "layout:one",
        "--config.entrypoint",
        "/bin/serve",
        "--config.cmd",
        "-v",
        "--config.user",
        "web",
        "--config.env",
        "A=b c",
        "--config.workingdir",
        "/srv",
    ];
    run("umoci", &config, at);
    Made { folder }
}

impl Made {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn skopeo(&self, from: &str, to: &str) {
        run("skopeo", &["--insecure-policy", "copy", "--quiet", from, to], self.path());
    }

    fn library(&self) -> Library {
        Library::new(self.path().join("cache"), Vec::new())
    }

    fn fetch(&self, reference: &str) -> Result<(UnpackedImage, Vec<Progress>), BuildError> {
        let image = ContainerImage::parse(reference, self.path()).expect("a reference");
        let mut steps = Vec::new();
        let fetched = self.library().fetch(&image, Freshness::Reuse, &mut |step| steps.push(step))?;
        Ok((fetched, steps))
    }
}

#[test]
fn the_same_image_in_three_forms_is_unpacked_once() {
    let made = made();
    made.skopeo("oci:layout:one", "docker-archive:docker.tar:lab/serve:1");
    made.skopeo("oci:layout:one", "oci-archive:oci.tar:1");
    let (image, steps) = made.fetch("oci:layout:one").expect("a layout");
    assert_eq!(steps, [Progress::Step("copying".to_owned()), Progress::Step("unpacking".to_owned())]);
    let Container { args, environment, folder, user, group, groups: _, owners } = &image.root.container;
    assert_snapshot!(format!("{args:?} in {} as {user}:{group}\n{}", folder.display(), environment.join("\n")), @r#"
    ["/bin/serve", "-v"] in /srv as 33:44
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    TERM=xterm
    A=b c
    HOME=/srv
    "#);
    assert_eq!(*owners, []);
    assert!(image.root.lower.join("etc/passwd").is_file());
    // Nothing is copied again as long as the layout is the same.
    assert_eq!(made.fetch("oci:layout:one").expect("a layout"), (image.clone(), Vec::new()));
    // An archive has the same digest, and another reference.
    let (archive, steps) = made.fetch("oci:oci.tar").expect("an archive");
    assert_eq!((archive, steps), (image, vec![Progress::Step("copying".to_owned())]));
    let (docker, _) = made.fetch("oci:docker.tar:lab/serve:1").expect("an archive of docker");
    assert_eq!(docker.root.container.args, ["/bin/serve", "-v"]);
    // A changed layout is fetched again.
    run("umoci", &["config", "--image", "layout:one", "--config.cmd", "-q"], made.path());
    let (changed, _) = made.fetch("oci:layout:one").expect("a layout");
    assert_eq!(changed.root.container.args, ["/bin/serve", "-q"]);

    let library = made.library();
    assert!(library.prune(PruneRule::Stale).expect("pruned").is_empty());
    fs::remove_dir_all(made.path().join("cache/oci/references")).expect("the references");
    assert!(library.prune(PruneRule::Stale).expect("pruned").len() >= 2);
    let left: Vec<_> =
        entries(&made.path().join("cache/oci")).expect("a folder").iter().map(|p| file_name(p)).collect();
    assert_eq!(left, [".lock"]);
}

#[test]
fn what_is_no_image_says_so() {
    let made = made();
    let error = |reference: &str| {
        let error = made.fetch(reference).expect_err("no image");
        let text = crate::hint::chain(&error).replace(&made.path().display().to_string(), "LAB");
        regex::Regex::new(r"time=\S+ level=\w+ |/var/tmp/\w+")
            .expect("a pattern")
            .replace_all(&text, "")
            .into_owned()
    };
    fs::write(made.path().join("note.tar"), "no archive").expect("a file");
    let references = ["oci:missing.tar", "oci:note.tar", "oci:layout:two", "oci:127.0.0.1:1/none"];
    assert_snapshot!(references.map(error).join("\n\n"), @r#"
    cannot read LAB/missing.tar: No such file or directory (os error 2)

    cannot fetch oci:LAB/note.tar (exit status: 1):
    as a docker archive:
      msg="initializing source docker-archive:LAB/note.tar: loading tar component manifest.json: unexpected EOF"
    as an OCI archive:
      msg="initializing source oci-archive:LAB/note.tar:: creating temp directory: untarring file \"\": unexpected EOF"

    cannot fetch oci:LAB/layout:two (exit status: 1):
      msg="initializing source oci:LAB/layout:two: no descriptor found for reference \"two\""

    cannot fetch oci:127.0.0.1:1/none (exit status: 1):
      msg="initializing source docker://127.0.0.1:1/none:latest: pinging container registry 127.0.0.1:1: Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused"
    "#);
    let left: Vec<_> =
        entries(&made.path().join("cache/oci")).expect("a folder").iter().map(|p| file_name(p)).collect();
    assert_eq!(left, [".lock"]);
}
