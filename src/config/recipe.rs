//! The recipe of an image, as written in `images/NAME/recipe.toml`.
//!
//! Must never open the files that a recipe names; `image` does that.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::name::ImageName;

/// The recipe of an image: its inputs and its boot files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// One sentence for `dryrack image list`.
    pub about: String,
    /// Another recipe whose folder and packages the build script may use.
    pub extends: Option<ImageName>,
    /// Debian packages that are downloaded and unpacked, never installed.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Meta packages; each is replaced by the packages that it directly depends on.
    #[serde(default)]
    pub meta: Vec<String>,
    /// Whether all dependencies of the packages are unpacked as well.
    #[serde(default)]
    pub depends: bool,
    /// The script that builds the files that have neither `path` nor `url`.
    pub build: Option<String>,
    /// The boot files of the image, `image:NAME/FILE`.
    pub files: BTreeMap<String, RecipeFile>,
    /// Programs of the host that the script needs, each with the Debian package that holds it.
    #[serde(default)]
    pub tools: BTreeMap<String, String>,
}

/// One boot file of an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeFile {
    /// One sentence on what the file is.
    #[serde(default)]
    pub about: String,
    /// A file in the recipe's folder, or an absolute path, that the user provides.
    pub path: Option<String>,
    /// The URL from which the file is downloaded.
    pub url: Option<String>,
    /// The digest of the download.
    pub sha256: Option<String>,
}

/// Why a recipe is invalid.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{line}:{column}: {message}")]
pub struct RecipeError {
    line: usize,
    column: usize,
    message: String,
}

/// Parses a recipe.
pub fn parse(text: &str) -> Result<Recipe, RecipeError> {
    let recipe: Recipe = toml::from_str(text).map_err(|error| {
        let before = &text[..error.span().map_or(0, |span| span.start).min(text.len())];
        RecipeError {
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or("").chars().count() + 1,
            message: error.message().to_owned(),
        }
    })?;
    match problem(&recipe) {
        None => Ok(recipe),
        // Contradictory keys have no position of their own.
        Some(message) => Err(RecipeError { line: 1, column: 1, message }),
    }
}

fn problem(recipe: &Recipe) -> Option<String> {
    if recipe.files.is_empty() {
        return Some("the recipe has no files: add `[files.NAME]`".to_owned());
    }
    for (name, file) in &recipe.files {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) || name == "image.json" {
            return Some(format!(
                "`{name}` is not a valid file name: use letters, digits, `-`, `_` and inner dots"
            ));
        }
        match (&file.path, &file.url, &file.sha256) {
            (Some(_), Some(_), _) => {
                return Some(format!("file `{name}` has both `path` and `url`: remove one"));
            }
            (_, Some(_), None) => return Some(format!("file `{name}` has a `url` but no `sha256`")),
            (_, None, Some(_)) => return Some(format!("file `{name}` has a `sha256` but no `url`")),
            (None, Some(_), Some(digest)) if !is_digest(digest) => {
                return Some(format!(
                    "the `sha256` of file `{name}` is not 64 lower-case hexadecimal digits"
                ));
            }
            (None, None, None) if recipe.build.is_none() => {
                return Some(format!(
                    "file `{name}` has no source: set `path`, or `url` and `sha256`, or add a `build` script to the recipe"
                ));
            }
            (None, None, None) | (Some(_), None, None) | (None, Some(_), Some(_)) => {}
        }
    }
    let package =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | ':');
    let mut packages = recipe.packages.iter().chain(&recipe.meta);
    let bad = packages
        .find(|name| !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(package))?;
    Some(format!("`{bad}` is not a valid Debian package name"))
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    fn check(text: &str) -> String {
        super::parse(text)
            .map_or_else(|error| error.to_string(), |recipe| format!("{:?}", recipe.files.keys()))
    }

    #[test]
    fn a_recipe_is_read() {
        assert_snapshot!(check("about = 'a'\nbuild = 'build'\nfiles.kernel = {}\n"), @r#"["kernel"]"#);
    }

    #[test]
    fn problems_name_their_place() {
        assert_snapshot!(check("about = 'a'\nfile.kernel = {}\n"), @"2:1: unknown field `file`, expected one of `about`, `extends`, `packages`, `meta`, `depends`, `build`, `files`, `tools`");
        assert_snapshot!(check("about = 3\n"), @"1:9: invalid type: integer `3`, expected a string");
        assert_snapshot!(check("about = 'a'\nfiles = {}\n"), @"1:1: the recipe has no files: add `[files.NAME]`");
        assert_snapshot!(check("about = 'a'\nfiles.kernel = {}\n"), @"1:1: file `kernel` has no source: set `path`, or `url` and `sha256`, or add a `build` script to the recipe");
        assert_snapshot!(check("about = 'a'\nfiles.kernel = { url = 'http://a/' }\n"), @"1:1: file `kernel` has a `url` but no `sha256`");
        assert_snapshot!(check("about = 'a'\nfiles.'../k' = { path = 'k' }\n"), @"1:1: `../k` is not a valid file name: use letters, digits, `-`, `_` and inner dots");
        assert_snapshot!(check("about = 'a'\npackages = ['--x']\nfiles.k = { path = 'k' }\n"), @"1:1: `--x` is not a valid Debian package name");
    }
}
