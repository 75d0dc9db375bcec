use std::fs;
use std::path::Path;

use insta::assert_snapshot;

use super::*;
use crate::hint::Hint;

/// A cache and a folder of recipes, removed after the test.
struct Setting {
    dir: tempfile::TempDir,
}

impl Setting {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, below: &str) -> std::path::PathBuf {
        self.dir.path().join(below)
    }

    fn library(&self) -> Library {
        Library::new(self.path("cache"), vec![self.path("images")])
    }

    /// Writes a file below `images/`.
    fn write(&self, path: &str, text: &str) {
        let path = self.path("images").join(path);
        fs::create_dir_all(path.parent().expect("below images")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Builds an image; returns the result, or the error with causes and hint.
    fn check(&self, image: &str) -> String {
        match self.build(image, Freshness::Reuse) {
            Ok(built) => {
                let text = |(name, file): (&String, &BuiltFile)| {
                    format!("{name} = {}", fs::read_to_string(&file.path).expect("text").trim_end())
                };
                built.files.iter().map(text).collect::<Vec<_>>().join("\n")
            }
            Err(error) => {
                let mut said = format!("error: {error}");
                let mut source = std::error::Error::source(&error);
                while let Some(cause) = source {
                    said.extend([": ", &cause.to_string()]);
                    source = cause.source();
                }
                said += &error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
                said.replace(&*self.dir.path().to_string_lossy(), "DIR")
            }
        }
    }

    fn build(&self, image: &str, freshness: Freshness) -> Result<Built, BuildError> {
        self.library().build(&name(image), freshness, &mut |_| {})
    }

    /// Returns every path in the cache, with keys and digests masked.
    fn cache(&self) -> String {
        fn walk(dir: &Path, root: &Path, into: &mut Vec<String>) {
            for entry in fs::read_dir(dir).expect("a folder").filter_map(Result::ok) {
                let path = entry.path();
                if path.is_dir() {
                    walk(&path, root, into);
                } else {
                    into.push(path.strip_prefix(root).expect("below").to_string_lossy().into_owned());
                }
            }
        }
        let mut all = Vec::new();
        walk(&self.path("cache"), &self.path("cache"), &mut all);
        let blot = regex::Regex::new("[0-9a-f]{16,64}").expect("an expression");
        let mut all: Vec<_> = all.iter().map(|path| blot.replace(path, "KEY").into_owned()).collect();
        all.sort();
        all.join("\n")
    }
}

fn name(image: &str) -> ImageName {
    ImageName::new(image).expect("a name")
}

const COUNTED: &str = "about = 'a'\nbuild = 'build'\nfiles.k = {}\n";

#[test]
fn a_build_is_taken_again_until_its_recipe_changes() {
    let setting = Setting::new();
    setting.write("own/recipe.toml", COUNTED);
    setting
        .write("own/build", &format!("echo x >> {0}; wc -l < {0} > $OUT/k", setting.path("count").display()));
    assert_snapshot!(setting.check("own"), @"k = 1");
    assert_snapshot!(setting.check("own"), @"k = 1");
    setting.write("own/data", "new");
    assert_eq!(setting.library().built(&name("own")), None);
    assert_snapshot!(setting.check("own"), @"k = 2");
    assert_snapshot!(setting.cache(), @"
    images/own/.lock
    images/own/KEY/image.json
    images/own/KEY/image.json
    images/own/KEY/k
    images/own/KEY/k
    images/own/build.log
    images/own/recipes/KEY
    images/own/recipes/KEY
    ");
    setting.library().prune(PruneRule::Stale).expect("pruned");
    assert_snapshot!(setting.cache(), @"
    images/own/.lock
    images/own/KEY/image.json
    images/own/KEY/k
    images/own/recipes/KEY
    ");
    assert_snapshot!(setting.check("own"), @"k = 2");
    setting.library().prune(PruneRule::All).expect("pruned");
    assert_snapshot!(setting.cache(), @"images/own/.lock");
}

#[test]
fn a_file_that_somebody_removed_is_built_again() {
    let setting = Setting::new();
    setting.write("own/recipe.toml", COUNTED);
    setting.write("own/build", "echo whole > $OUT/k");
    let built = setting.build("own", Freshness::Reuse).expect("built");
    fs::remove_file(&built.files["k"].path).expect("a file");
    assert_eq!(setting.library().built(&name("own")), None);
    assert_snapshot!(setting.check("own"), @"k = whole");
    assert_eq!(setting.library().built(&name("own")), Some(built));
}

#[test]
fn a_build_that_broke_off_leaves_nothing_that_counts() {
    let setting = Setting::new();
    setting.write("own/recipe.toml", COUNTED);
    setting.write("own/build", "echo half > $OUT/k; echo reason >&2; exit 3");
    assert_snapshot!(setting.check("own"), @"
    error: cannot build image `own` (exit status: 3):
      reason
    ");
    // The next build removes the leftovers of a kill -9.
    fs::create_dir_all(setting.path("cache/images/own/.build-1/out")).expect("a folder");
    fs::write(setting.path("cache/images/own/.build-1/out/k"), "half").expect("a file");
    assert_eq!(setting.library().built(&name("own")), None);
    assert_snapshot!(setting.check("own"), @"
    error: cannot build image `own` (exit status: 3):
      reason
    ");
    assert_snapshot!(setting.cache(), @"
    images/own/.lock
    images/own/build.log
    ");
}

#[test]
fn two_builders_of_one_image_build_it_once() {
    let setting = Setting::new();
    setting.write("own/recipe.toml", COUNTED);
    setting.write(
        "own/build",
        &format!("echo x >> {0}; sleep 0.3; wc -l < {0} > $OUT/k", setting.path("count").display()),
    );
    std::thread::scope(|scope| {
        let both = [scope.spawn(|| setting.check("own")), scope.spawn(|| setting.check("own"))];
        assert_eq!(both.map(|one| one.join().expect("no panic")), ["k = 1", "k = 1"]);
    });
}

#[test]
fn a_folder_comes_before_the_binary() {
    let setting = Setting::new();
    let about = |setting: &Setting| setting.library().recipe(&name("tiny")).expect("a recipe").about;
    assert_snapshot!(about(&setting), @"Debian's cloud kernel with a busybox initramfs that gets an address, says what it is, and waits");
    setting.write("tiny/recipe.toml", "about = 'mine'\nfiles.kernel.path = 'vmlinuz'\n");
    setting.write("tiny/vmlinuz", "a kernel");
    assert_snapshot!(about(&setting), @"mine");
    assert_snapshot!(setting.check("tiny"), @"kernel = a kernel");
}

#[test]
fn a_recipe_builds_on_another() {
    let setting = Setting::new();
    setting.write("low/recipe.toml", COUNTED);
    setting.write("low/build", "echo \"${GREETING:-low}\" > $OUT/k");
    setting.write("high/recipe.toml", &format!("extends = 'low'\n{COUNTED}"));
    setting.write("high/build", "GREETING=high sh $BASE/build");
    assert_snapshot!(setting.check("high"), @"k = high");
    // A change of the base changes the derived image.
    setting.write("low/build", "echo \"$GREETING, twice\" > $OUT/k");
    assert_snapshot!(setting.check("high"), @"k = high, twice");
    setting.write("low/recipe.toml", &format!("extends = 'high'\n{COUNTED}"));
    assert_snapshot!(setting.check("high"), @"error: the recipe of image `high` extends itself");
}

#[test]
fn errors_say_what_to_do() {
    let setting = Setting::new();
    assert_snapshot!(setting.check("tony"), @"
    error: there is no image `tony`
    hint: did you mean `tiny`?
    ");
    setting.write("own/recipe.toml", "about = 'a'\nfile.k = {}\n");
    assert_snapshot!(setting.check("own"), @"error: cannot read the recipe DIR/images/own/recipe.toml: 2:1: unknown field `file`, expected one of `about`, `extends`, `packages`, `meta`, `depends`, `build`, `files`, `tools`");
    setting.write("own/recipe.toml", "about = 'a'\nfiles.k.path = 'vmlinuz'\n");
    assert_snapshot!(setting.check("own"), @"error: cannot read DIR/images/own/vmlinuz: No such file or directory (os error 2)");
    setting.write("own/recipe.toml", &format!("tools.no-such-tool = 'some-package'\n{COUNTED}"));
    assert_snapshot!(setting.check("own"), @"
    error: image `own` needs the program `no-such-tool`
    hint: install it: apt install some-package
    ");
    setting.write("own/recipe.toml", COUNTED);
    setting.write("own/build", "true");
    assert_snapshot!(setting.check("own"), @"error: the build of image `own` did not create the file `k`");
    let error =
        BuildError::NoApt { image: name("tiny"), files: vec!["initrd".to_owned(), "kernel".to_owned()] };
    assert_snapshot!(format!("error: {error}\nhint: {}", error.hint().expect("a hint")), @r#"
    error: image `tiny` is built from Debian packages, but this host has no apt-get
    hint: provide the files: write images/tiny/recipe.toml beside the lab file
      about = "my own tiny"
      files.initrd.path = "/path/to/initrd"
      files.kernel.path = "/path/to/kernel"
    "#);
}

#[test]
fn every_embedded_recipe_is_read() {
    let listed = Setting::new().library().list();
    let line = |listed: &Listed| format!("{} {}", listed.image, matches!(listed.state, State::Unbuilt));
    assert_snapshot!(listed.iter().map(line).collect::<Vec<_>>().join("\n"), @"
    debian true
    debian-installer true
    dnsmasq true
    dnsmasq-container true
    etcd true
    grub true
    installer true
    ipxe true
    kubernetes true
    live true
    metal true
    pxelinux true
    shim true
    tiny true
    tiny-disk true
    uki true
    ");
}
