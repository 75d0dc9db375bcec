//! From a lab to a plan whose images are built: what `up`, `test` and `plan` share.

use indicatif::{ProgressBar, ProgressStyle};

use super::lab::ValidLab;
use super::output::{self, Stop};
use crate::event::Ago;
use crate::image::{Freshness, Library, Progress};
use crate::lab::{self, Lab};
use crate::name::ImageName;
use crate::node::qemu::accel;
use crate::plan::{HostFacts, Plan, plan};
use crate::report::exit;
use crate::run::Locations;
use crate::system::facts;

/// Whether falling back to emulation is worth a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loudness {
    /// Say it once.
    Loud,
    /// The output is data for programs.
    Quiet,
}

/// Gathers what the plan of a lab needs to know of this host.
pub(super) fn facts(lab: &Lab, library: &Library, locations: &Locations, loudness: Loudness) -> HostFacts {
    let mut facts = facts::gather(lab.isolation);
    if lab.accel != lab::AccelChoice::Tcg {
        let verdict = accel::answer(&facts, &locations.cache, accel::Freshness::Cached);
        facts.accel = verdict.accel;
        // Once for each boot of the host: then the answer is fresh.
        if verdict.fresh && loudness == Loudness::Loud && !verdict.why.is_empty() {
            output::note(&format!("machines run under {}: {}", verdict.accel.as_str(), verdict.why));
        }
    }
    facts.built =
        library.recipes().map(|(name, _)| name).filter(|name| library.built(name).is_some()).collect();
    facts
}

/// Decides what a lab needs on this host.
pub(super) fn decide(valid: &ValidLab, facts: &HostFacts) -> Result<Plan, Stop> {
    plan(&valid.lab, facts).map_err(|refusal| Stop::new(exit::UNFIT, refusal.why, Some(refusal.hint)))
}

/// Builds the images that a plan lacks.
pub(super) fn build_images(plan: &Plan, library: &Library) -> Result<(), Stop> {
    for image in plan.images() {
        if library.built(&image).is_none() {
            build_image(library, &image, Freshness::Reuse)?;
        }
    }
    Ok(())
}

/// Builds one image and shows how far it is.
pub(super) fn build_image(library: &Library, image: &ImageName, freshness: Freshness) -> Result<(), Stop> {
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
                    output::note(&format!("image {image}: {text}"));
                }
                step = text;
                bar.set_message(format!("image {image}: {step}"));
            }
            Progress::Percent(percent) => bar.set_message(format!("image {image}: {step}, {percent} %")),
            Progress::Line(line) => bar.set_message(format!("image {image}: {step}: {line}")),
        }
        bar.tick();
    };
    let done = library.build(image, freshness, &mut show);
    let took = bar.elapsed();
    bar.finish_and_clear();
    done.map_err(|error| Stop::host(&error))?;
    let took = Ago(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    output::note(&format!("image {image} is built, in {took}"));
    Ok(())
}
