//! Profiles, and the files and images that a lab uses.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Check;
use super::matchbox::metadata;
use crate::config::{
    ARCHITECTURES, Field, Located, RawNetwork, RawProfile, architecture, architecture_names,
};
use crate::diag::{Code, Diagnostic, Span, enumerate, enumerate_all, nearest};
use crate::lab::arguments::{self, LostByGrub};
use crate::lab::{FileRef, LabFile, Loader, Profile, Via};
use crate::name::{ImageName, ProfileName};

/// More than a hand-written file needs.
const MOST_PROFILES: usize = 1000;

impl Check<'_> {
    pub(super) fn profiles(&mut self) -> BTreeMap<ProfileName, Profile> {
        let mut profiles = BTreeMap::new();
        if self.too_many("the lab", &self.raw.profile, MOST_PROFILES, "profiles") {
            return profiles;
        }
        for (key, raw) in &self.raw.profile.entries {
            let name = self.name::<ProfileName>(key);
            let Some(raw) = raw else { continue };
            if let Some(profile) = self.profile(name, raw, &key.span) {
                profiles.insert(profile.name.clone(), profile);
            }
        }
        profiles
    }

    fn profile(&mut self, name: Option<ProfileName>, raw: &RawProfile, home: &Span) -> Option<Profile> {
        // A profile may omit the kernel if matchbox selects what to boot.
        let kernel = match raw.kernel.is_missing() && self.asks_matchbox(raw) {
            true => Some(None),
            false => self
                .needed(&raw.kernel, "kernel = \"image:tiny/kernel\"", home)
                .and_then(|kernel| self.file(kernel))
                .map(Some),
        };
        let initrd = raw.initrd.0.items.iter().filter_map(|initrd| self.handed(initrd)).collect();
        let args = raw.args.values().cloned().collect();
        let loader = raw.loader.value().copied().unwrap_or_default();
        let via = raw.via.value().copied();
        self.loads(raw, loader, via, initrd_given(raw));
        if matches!(loader, Loader::Grub | Loader::Shim) {
            self.passed_by_grub(raw);
        }
        let programs = self.programs(raw);
        let (ignition, cloud, generic) = self.contents(raw);
        Some(Profile {
            name: name?,
            kernel: kernel?,
            initrd,
            args,
            loader,
            via,
            programs,
            ignition,
            cloud,
            generic,
            metadata: metadata(&raw.metadata),
        })
    }

    fn programs(&mut self, raw: &RawProfile) -> BTreeMap<u16, FileRef> {
        let mut programs = BTreeMap::new();
        let mut keys: BTreeMap<u16, &Span> = BTreeMap::new();
        for (key, file) in &raw.programs.entries {
            let Some(number) = architecture(&key.value) else {
                let words: Vec<String> = architecture_names().collect();
                let help = match nearest(&key.value, words.iter().map(String::as_str)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!(
                        "expected one of {}, or a number or name of IANA's registry of processor architectures, as in `22` or `arm-64-uboot`",
                        enumerate_all(ARCHITECTURES.iter().filter_map(|row| row.word))
                    ),
                };
                let what = format!("unknown firmware architecture `{}`", key.value);
                self.malformed(&key.span, what, &help);
                continue;
            };
            if let Some(before) = keys.insert(number, &key.span) {
                let what = format!("architecture {number} is set twice");
                self.report(
                    Diagnostic::new(Code::Malformed, key.span.clone(), what)
                        .related(before.clone(), "first set here")
                        .help("set it once, by name or by number"),
                );
            }
            if let Some(file) = file.as_ref().and_then(|file| self.file(file)) {
                programs.insert(number, file);
            }
        }
        programs
    }

    /// Reports a loader that does not support what its profile needs.
    fn loads(&mut self, raw: &RawProfile, loader: Loader, via: Option<Via>, initrd: Option<&Span>) {
        let span = raw.loader.span().or(raw.via.span()).cloned();
        let no_https = match (loader, via) {
            _ if !raw.programs.entries.is_empty() => None,
            (Loader::Ipxe, Some(Via::Https)) => Some("the iPXE in a NIC's ROM does not support HTTPS"),
            (Loader::Grub, Some(Via::Https)) => Some("GRUB does not support HTTPS"),
            _ => None,
        };
        if let Some(what) = no_https {
            self.report(Diagnostic::new(Code::LoaderCannot, raw.via.span().cloned().or(span), what).help(
                "use loader = \"chainload\", which the firmware fetches over HTTPS, or loader = \"kernel\"",
            ));
        } else if loader == Loader::Shim && matches!(via, Some(Via::Http | Via::Http6 | Via::Https)) {
            self.report(
                Diagnostic::new(
                    Code::LoaderCannot,
                    raw.via.span().cloned().or(span),
                    "Debian's signed GRUB, which shim starts, supports TFTP only",
                )
                .help("use via = \"pxe\", or loader = \"kernel\" with a signed unified kernel image"),
            );
        } else if loader == Loader::Kernel
            && let Some(position) = initrd.or(raw.args.items.first().map(|arg| &arg.span))
        {
            self.report(
                Diagnostic::new(
                    Code::LoaderCannot,
                    position.clone(),
                    "a kernel started by the firmware itself gets neither initrd nor arguments",
                )
                .help("build them into a unified kernel image, or remove `loader`"),
            );
        }
    }

    /// Reports arguments that GRUB does not pass to the kernel as they are.
    fn passed_by_grub(&mut self, raw: &RawProfile) {
        for argument in &raw.args.items {
            let lost = arguments::split(&argument.value).into_iter().find_map(arguments::lost_by_grub);
            let Some(lost) = lost else { continue };
            let (what, help) = match lost {
                LostByGrub::OpenQuote => (
                    "a quote in this argument is not closed, so GRUB passes a different argument".to_owned(),
                    "close the quote, or remove it",
                ),
                LostByGrub::Escaped(letter) => (
                    format!("GRUB passes `\\{letter}` to the kernel instead of `{letter}`"),
                    "quotes may stand around a whole argument or its value only; other loaders pass it unchanged",
                ),
                LostByGrub::Unquoted => (
                    "GRUB passes tabs and line breaks without the quotes around them".to_owned(),
                    "use spaces; other loaders pass it unchanged",
                ),
            };
            self.report(Diagnostic::new(Code::LoaderCannot, argument.span.clone(), what).help(help));
        }
    }

    /// Resolves `image:NAME/FILE` or a path to a bootable file.
    pub(super) fn file(&mut self, word: &Located<String>) -> Option<FileRef> {
        if word.value.starts_with("lab:") {
            let what = format!("`{}` is a certificate, which cannot be booted", word.value);
            self.malformed(&word.span, what, "add it to the `initrd` of a profile");
            return None;
        }
        self.handed(word)
    }

    /// Resolves `image:NAME/FILE`, `lab:FILE` or a path to a file.
    fn handed(&mut self, word: &Located<String>) -> Option<FileRef> {
        if let Some(rest) = word.value.strip_prefix("image:") {
            self.file_of_image(rest, &word.span)
        } else if let Some(rest) = word.value.strip_prefix("lab:") {
            self.file_of_lab(rest, &word.span)
        } else {
            self.path(word).map(FileRef::Path)
        }
    }

    /// Resolves the name of a file that the lab generates.
    fn file_of_lab(&mut self, name: &str, span: &Span) -> Option<FileRef> {
        let names = LabFile::ALL.map(LabFile::as_str);
        let Some(file) = LabFile::ALL.into_iter().find(|file| file.as_str() == name) else {
            let help = match nearest(name, names) {
                Some(meant) => format!("did you mean `lab:{meant}`?"),
                None => format!(
                    "the lab's files are {}",
                    enumerate(
                        names
                            .iter()
                            .map(|name| format!("lab:{name}"))
                            .collect::<Vec<_>>()
                            .iter()
                            .map(String::as_str)
                    )
                ),
            };
            let what = format!("there is no file `lab:{name}`");
            self.report(Diagnostic::new(Code::NoSuchFile, span.clone(), what).help(help));
            return None;
        };
        let network = &self.raw.network;
        let answers =
            |raw: &RawNetwork| !matches!(raw.https, Field::Missing) && raw.https.value() != Some(&false);
        if !network.bad && !network.entries.iter().any(|(_, raw)| raw.as_ref().is_none_or(answers)) {
            let what = "no network of this lab has HTTPS, so there is no certificate";
            let help = match network.names().next() {
                Some(name) => format!("add network.{name}.https = true"),
                None => "add a network with https = true".to_owned(),
            };
            self.report(Diagnostic::new(Code::NoHttps, span.clone(), what).help(help));
            return None;
        }
        Some(FileRef::Lab(file))
    }

    /// Resolves a path relative to the lab's folder.
    pub(super) fn path(&mut self, word: &Located<String>) -> Option<PathBuf> {
        if word.value.is_empty() || word.value.contains('\0') {
            self.malformed(
                &word.span,
                "this is not the path of a file".into(),
                "use a file in the lab's folder",
            );
            return None;
        }
        let path = self.around.folder.join(&word.value);
        if !(self.around.existing)(&path) {
            let help = format!("paths are relative to `{}`", self.around.folder.display());
            self.report(
                Diagnostic::new(
                    Code::NoSuchFile,
                    word.span.clone(),
                    format!("there is no file `{}`", word.value),
                )
                .help(help),
            );
            return None;
        }
        Some(path)
    }

    fn file_of_image(&mut self, rest: &str, span: &Span) -> Option<FileRef> {
        let (image, file) = rest.split_once('/').unwrap_or((rest, ""));
        if image.is_empty() {
            let help = "write image:NAME/FILE, such as \"image:tiny/kernel\"";
            self.report(
                Diagnostic::new(Code::UnknownImage, span.clone(), "the image name is missing").help(help),
            );
            return None;
        }
        let name = self.name::<ImageName>(&Located { value: image.into(), span: span.clone() })?;
        let images = &self.around.images;
        let Some(files) = images.get(&name) else {
            let help = match nearest(image, images.keys().map(ImageName::as_str)) {
                Some(meant) => format!("did you mean `image:{meant}/{file}`?"),
                None if images.is_empty() => {
                    "there are no recipes; put your own into images/NAME beside the lab file".into()
                }
                None => format!(
                    "the recipes are {}; put your own into images/NAME beside the lab file",
                    enumerate(images.keys().map(ImageName::as_str))
                ),
            };
            self.report(
                Diagnostic::new(Code::UnknownImage, span.clone(), format!("there is no image `{image}`"))
                    .help(help),
            );
            return None;
        };
        if !files.contains(file) {
            let what = match file {
                "" => format!("the file name is missing after image `{image}`"),
                file => format!("image `{image}` has no file `{file}`"),
            };
            let help = match nearest(file, files.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean `image:{image}/{meant}`?"),
                None => format!("it has {}", enumerate(files.iter().map(String::as_str))),
            };
            self.report(Diagnostic::new(Code::UnknownImageFile, span.clone(), what).help(help));
            return None;
        }
        Some(FileRef::Image { image: name, file: file.into() })
    }
}

/// Returns the position of a profile's first initrd.
fn initrd_given(raw: &RawProfile) -> Option<&Span> {
    raw.initrd.0.items.first().map(|initrd| &initrd.span)
}
