//! From a lab to a plan with built images: shared by `up`, `test` and `plan`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};

use super::lab::ValidLab;
use super::output::{self, Stop};
use crate::event::Ago;
use crate::image::{BuildError, Built, Freshness, Library, Progress, UnpackedImage};
use crate::lab::{AccelChoice, ContainerImage, Isolation};
use crate::name::ImageName;
use crate::node::qemu::accel;
use crate::plan::{Accel, HostFacts, Plan, Refusal, check_host, plan};
use crate::report::exit;
use crate::run::Locations;
use crate::system::facts::{self, QemuDevices};

/// Whether to report a fall-back to emulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loudness {
    /// Print it once.
    Loud,
    /// The output is data for programs.
    Quiet,
}

/// What the facts are for.
struct Purpose {
    isolation: Isolation,
    /// Whether KVM is tested.
    tries_kvm: bool,
    /// Whether nodes have BMCs.
    has_bmcs: bool,
    loudness: Loudness,
}

/// Gathers the facts that a plan needs.
fn facts(purpose: &Purpose, library: &Library, locations: &Locations) -> HostFacts {
    let &Purpose { isolation, tries_kvm, has_bmcs, loudness } = purpose;
    let devices = if has_bmcs { QemuDevices::Asked } else { QemuDevices::NotAsked };
    let mut facts = facts::gather(isolation, devices);
    if let Some(qemu) = facts.qemu.as_ref().filter(|qemu| qemu.lacks_ipmi && loudness == Loudness::Loud) {
        let program = qemu.program.display();
        output::note(&format!("nodes reach their BMCs by the network only: {program} has no IPMI devices"));
    }
    if tries_kvm {
        let verdict = accel::answer(&facts, &locations.cache, accel::Freshness::Cached);
        facts.accel = verdict.accel;
        // Only after a new self-test, that is, once per boot of the host.
        if verdict.fresh && loudness == Loudness::Loud && !verdict.why.is_empty() {
            output::note(&format!("machines run under {}: {}", verdict.accel.as_str(), verdict.why));
        }
    }
    facts.built =
        library.recipes().map(|(name, _)| name).filter(|name| library.built(name).is_some()).collect();
    facts
}

fn unfit(refusal: Refusal) -> Stop {
    Stop::new(exit::UNFIT, refusal.why, Some(refusal.hint))
}

/// Plans a lab for this host.
pub(super) fn decide(valid: &ValidLab, locations: &Locations, loudness: Loudness) -> Result<Plan, Stop> {
    let ValidLab { lab, library, texts } = valid;
    let purpose = Purpose {
        isolation: lab.isolation,
        tries_kvm: lab.accel != AccelChoice::Tcg,
        has_bmcs: lab.nodes.values().any(|node| node.bmc.is_some()),
        loudness,
    };
    let facts = facts(&purpose, library, locations);
    let plan = plan(lab, &facts).map_err(unfit)?;
    Ok(Plan { recipes: texts.recipes.clone(), ..plan })
}

/// Checks that this host still satisfies a plan.
pub(super) fn check_again(plan: &Plan, library: &Library, locations: &Locations) -> Result<(), Stop> {
    let purpose = Purpose {
        isolation: plan.isolation,
        tries_kvm: plan.accel == Accel::Kvm,
        has_bmcs: plan.nodes.values().any(|node| node.bmc.is_some()),
        loudness: Loudness::Loud,
    };
    check_host(plan, &facts(&purpose, library, locations)).map_err(unfit)
}

/// Builds the images that a plan lacks, and returns all images that it uses.
pub(super) fn build_images(plan: &Plan, library: &Library) -> Result<BTreeMap<ImageName, Built>, Stop> {
    let image = |image: ImageName| {
        let built = match library.built(&image) {
            Some(built) => built,
            None => build_image(library, &image, Freshness::Reuse)?,
        };
        Ok((image, built))
    };
    plan.images().into_iter().map(image).collect()
}

/// Fetches the container images that a plan uses, and returns them by their references.
pub(super) fn fetch_containers(
    plan: &Plan,
    library: &Library,
    built: &BTreeMap<ImageName, Built>,
) -> Result<BTreeMap<String, UnpackedImage>, Stop> {
    let fetch = |container: ContainerImage| {
        let reference = container.to_string();
        let source = match &container {
            ContainerImage::Built { image, file } => {
                let archive = built.get(image).and_then(|built| built.files.get(file));
                let archive = archive.ok_or_else(|| {
                    let what = format!("image {image} has no file `{file}`");
                    Stop::new(exit::WRONG, what, Some("`dryrack image list` shows the files of images"))
                })?;
                ContainerImage::Local { path: archive.path.clone(), tag: None }
            }
            ContainerImage::Local { .. } | ContainerImage::Registry(_) => container,
        };
        let unpacked = match library.fetched(&source) {
            Some(unpacked) => unpacked,
            None => fetch_image(library, &source, Freshness::Reuse)?,
        };
        Ok((reference, unpacked))
    };
    plan.containers().into_iter().map(fetch).collect()
}

/// Downloads the files that a plan names by URL, and returns them by their digests.
pub(super) fn download(plan: &Plan, library: &Library) -> Result<BTreeMap<String, PathBuf>, Stop> {
    let fetch = |(sha256, url): (String, String)| {
        let (path, _) = shown("download", |show| library.download(&url, &sha256, show))?;
        Ok((sha256, path))
    };
    plan.downloads().into_iter().map(fetch).collect()
}

/// Builds one image and shows the progress.
pub(super) fn build_image(library: &Library, image: &ImageName, freshness: Freshness) -> Result<Built, Stop> {
    let (built, took) = shown(&format!("image {image}"), |show| library.build(image, freshness, show))?;
    output::note(&format!("image {image} built in {took}"));
    Ok(built)
}

/// Fetches one container image and shows the progress.
pub(super) fn fetch_image(
    library: &Library,
    image: &ContainerImage,
    freshness: Freshness,
) -> Result<UnpackedImage, Stop> {
    let (unpacked, took) = shown(&format!("image {image}"), |show| library.fetch(image, freshness, show))?;
    output::note(&format!("image {image} fetched in {took}"));
    Ok(unpacked)
}

/// Shows the progress of some work, and returns its result and how long it took.
fn shown<T>(
    what: &str,
    work: impl FnOnce(&mut dyn FnMut(Progress)) -> Result<T, BuildError>,
) -> Result<(T, Ago), Stop> {
    let bar = ProgressBar::new_spinner();
    bar.set_style(
        ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    let live = !bar.is_hidden();
    let mut step = String::new();
    let mut show = |progress: Progress| {
        match progress {
            Progress::Step(text) => {
                if !live {
                    output::note(&format!("{what}: {text}"));
                }
                step = text;
                bar.set_message(format!("{what}: {step}"));
            }
            Progress::Percent(percent) => bar.set_message(format!("{what}: {step}, {percent} %")),
            Progress::Line(line) => bar.set_message(format!("{what}: {step}: {line}")),
        }
        bar.tick();
    };
    let done = work(&mut show);
    let took = Ago(bar.elapsed());
    bar.finish_and_clear();
    Ok((done.map_err(|error| Stop::host(&error))?, took))
}
