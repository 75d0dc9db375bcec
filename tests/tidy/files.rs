//! Finds labs, images, tests and snapshots that nothing uses.

use std::path::Path;

use crate::tidy::source::stream;

/// The name of a project file, with its text if it is text.
pub(crate) type File = (String, String);

/// Tells whether a source file contains a token: a literal or an identifier.
fn says(source: &str, file: &str, wanted: &str) -> bool {
    fn any(tokens: proc_macro2::TokenStream, wanted: &str) -> bool {
        tokens.into_iter().any(|tree| match tree {
            proc_macro2::TokenTree::Group(group) => any(group.stream(), wanted),
            other => other.to_string() == wanted,
        })
    }
    any(stream(source, file), wanted)
}

/// Tells whether a test file names a member of a folder, or iterates over the folder.
fn covers(files: &[File], test: &str, member: &str) -> bool {
    let says = |source: &str| says(source, test, &format!("\"{member}\"")) || says(source, test, "read_dir");
    text(files, test).is_some_and(says)
}

fn text<'a>(files: &'a [File], name: &str) -> Option<&'a str> {
    files.iter().find(|(file, _)| file == name).map(|(_, text)| text.as_str())
}

/// Returns NAME of each `FOLDER/NAME/FILE`.
fn members<'a>(files: &'a [File], folder: &str, file: &str) -> Vec<&'a str> {
    let inner = |(name, _): &'a File| {
        name.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(file)?.strip_suffix('/')
    };
    files.iter().filter_map(inner).filter(|name| !name.contains('/')).collect()
}

/// Returns every lab and image that no test boots or plans, and every leftover file.
pub(crate) fn forgotten(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    let labs = members(files, "labs", "lab.toml");
    let images = members(files, "images", "recipe.toml");
    if labs.is_empty() || images.is_empty() {
        wrong.push("there are no labs, or no images".to_owned());
    }
    for lab in labs {
        if !covers(files, "tests/labs/gallery.rs", lab) {
            wrong.push(format!("labs/{lab}: tests/labs/gallery.rs does not run it"));
        }
        if text(files, &format!("tests/snapshots/plans__{lab}.snap")).is_none() {
            wrong.push(format!(
                "labs/{lab}: there is no snapshot of its plan, tests/snapshots/plans__{lab}.snap"
            ));
        }
    }
    for image in images {
        if !covers(files, "tests/images.rs", image) {
            wrong.push(format!("images/{image}: tests/images.rs does not build it"));
        }
    }
    for (name, text) in files {
        if name.ends_with(".pending-snap") || name.ends_with(".snap.new") {
            wrong.push(format!("{name}: a snapshot that nobody has read"));
        }
        if name.ends_with(".snap") {
            let source = text.lines().find_map(|line| line.strip_prefix("source: "));
            if !source.is_some_and(|source| files.iter().any(|(name, _)| name == source)) {
                wrong.push(format!("{name}: the test that it belongs to is gone"));
            }
        }
        // A test that does not run proves nothing, silently.
        if Path::new(name).extension().is_some_and(|extension| extension == "rs") && ignores(text, name) {
            wrong.push(format!("{name}: a test is ignored that ci/nightly does not run"));
        }
    }
    wrong
}

/// Tells whether a test is ignored for another reason than that `ci/nightly` runs it.
fn ignores(text: &str, file: &str) -> bool {
    fn any(tokens: proc_macro2::TokenStream) -> bool {
        let trees: Vec<_> = tokens.into_iter().collect();
        trees.windows(2).any(|pair| match pair {
            [proc_macro2::TokenTree::Punct(hash), proc_macro2::TokenTree::Group(group)] => {
                let first = group.stream().into_iter().next();
                let elsewhere = [": ci/nightly labs/", ": ci/nightly slow/"];
                let elsewhere = elsewhere.iter().any(|row| group.to_string().contains(row));
                hash.as_char() == '#'
                    && first.is_some_and(|first| first.to_string() == "ignore")
                    && !elsewhere
            }
            _ => false,
        }) || trees.into_iter().any(|tree| match tree {
            proc_macro2::TokenTree::Group(group) => any(group.stream()),
            _ => false,
        })
    }
    any(stream(text, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Vec<(&str, &str)>)) -> Vec<String> {
        let mut files = vec![
            ("labs/etcd/lab.toml", ""),
            ("images/tiny/recipe.toml", ""),
            ("tests/labs/gallery.rs", "#[test] fn etcd() { passes(\"etcd\") }"),
            ("tests/images.rs", "#[test] fn tiny() { build(\"tiny\") }"),
            ("tests/plans.rs", ""),
            ("tests/snapshots/plans__etcd.snap", "---\nsource: tests/plans.rs\n---\n"),
        ];
        change(&mut files);
        let files: Vec<File> =
            files.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        forgotten(&files)
    }

    #[test]
    fn everything_is_looked_at() {
        assert_eq!(check(|_| {}), [""; 0]);
        assert_eq!(
            check(|files| files.push(("labs/disk/lab.toml", ""))),
            [
                "labs/disk: tests/labs/gallery.rs does not run it",
                "labs/disk: there is no snapshot of its plan, tests/snapshots/plans__disk.snap"
            ]
        );
        assert_eq!(
            check(|files| files[2].1 = "// \"etcd\""),
            ["labs/etcd: tests/labs/gallery.rs does not run it"]
        );
        assert_eq!(
            check(|files| files[2].1 = "#[test] fn all() { for lab in read_dir(\"labs\") {} }"),
            [""; 0]
        );
        assert_eq!(
            check(|files| files.push(("images/etcd/recipe.toml", ""))),
            ["images/etcd: tests/images.rs does not build it"]
        );
        assert_eq!(check(|files| drop(files.drain(..2))), ["there are no labs, or no images"]);
    }

    #[test]
    fn leftovers_are_found() {
        assert_eq!(
            check(|files| files.push(("src/.a.rs.pending-snap", ""))),
            ["src/.a.rs.pending-snap: a snapshot that nobody has read"]
        );
        assert_eq!(
            check(|files| files.push(("src/snapshots/a.snap", "---\nsource: src/a.rs\n---\n"))),
            ["src/snapshots/a.snap: the test that it belongs to is gone"]
        );
        assert_eq!(
            check(|files| files.push(("src/a.rs", "mod tests { #[test] #[ignore = \"slow\"] fn f() {} }"))),
            ["src/a.rs: a test is ignored that ci/nightly does not run"]
        );
        let nightly = "#[test] #[ignore = \"takes minutes: ci/nightly slow/f\"] fn f() {}";
        assert_eq!(check(|files| files.push(("tests/a.rs", nightly))), [""; 0]);
    }
}
