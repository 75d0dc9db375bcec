//! `dryrack image`: builds and caches the images that nodes boot.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::completions;
use super::output::{self, Stop};
use super::prepare;
use super::table::Table;
use crate::event::Size;
use crate::image::{
    BuildError, Built, Freshness, Library, Listed, PruneRule, Reference, State, UnpackedImage,
};
use crate::lab::ContainerImage;
use crate::name::ImageName;
use crate::report::exit;
use crate::run::Locations;

/// List, build and prune the images that nodes boot
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// Search this folder for recipes first (repeatable)
    #[arg(long = "images", value_name = "DIR", global = true)]
    images: Vec<PathBuf>,
    /// Print a JSON list of objects: `image`, `about`, `state`, `key`, `dir` and `files` of images, `image`, `state`,
    /// `digest` and `dir` of container images, `path` and `size` of what was pruned
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List every image, and whether it is built, and container images that were fetched
    List,
    /// Build images, and fetch container images; those that are already there are kept
    Build {
        /// Images, or container images as a process names them: `oci:FILE`, `oci:REGISTRY/NAME:TAG`
        #[arg(required = true, value_name = "NAME", add = completions::images())]
        names: Vec<AnyImage>,
        /// Check for newer packages, or what a tag means now, and rebuild or fetch if there is something new
        #[arg(long)]
        renew: bool,
    },
    /// Remove images that no recipe refers to, with the downloads that only they used
    Prune {
        /// Remove everything, downloads included
        #[arg(long)]
        all: bool,
    },
}

/// An image of either kind.
#[derive(Debug, Clone)]
enum AnyImage {
    /// One that a recipe builds.
    Recipe(ImageName),
    /// One that is fetched.
    Container(ContainerImage),
}

impl std::str::FromStr for AnyImage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with(ContainerImage::PREFIX) {
            let folder = std::env::current_dir().map_err(|error| error.to_string())?;
            let image = ContainerImage::parse(text, &folder);
            return image.map(Self::Container).map_err(|error| error.to_string());
        }
        ImageName::new(text).map(Self::Recipe).map_err(|error| error.to_string())
    }
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let folders = args.images.iter().map(|folder| {
        std::fs::canonicalize(folder).map_err(|error| {
            let what = format!("cannot read {}: {error}", folder.display());
            Stop::new(exit::WRONG, what, Some("`--images` takes a folder of recipes: DIR/NAME/recipe.toml"))
        })
    });
    let library = Library::new(locations.cache.clone(), folders.collect::<Result<_, _>>()?);
    match &args.verb {
        Verb::List => list(&library, args.json),
        Verb::Build { names, renew } => {
            build(&library, names, if *renew { Freshness::Renew } else { Freshness::Reuse }, args.json)
        }
        Verb::Prune { all } => {
            prune(&library, if *all { PruneRule::All } else { PruneRule::Stale }, args.json)
        }
    }
}

fn list(library: &Library, json: bool) -> Result<u8, Stop> {
    let (listed, references) = (library.list(), library.references());
    if json {
        let references = references.iter().map(
            |Reference { image, digest }| json!({ "image": image, "state": "fetched", "digest": digest }),
        );
        output::json(&listed.iter().map(describe).chain(references).collect::<Vec<_>>())?;
        return Ok(exit::MET);
    }
    let mut table = Table::new(["image", "state", "size", "about"]);
    for Listed { image, about, state } in &listed {
        let (state, size) = match state {
            State::Built(built) => {
                ("built", Size(built.files.values().map(|file| file.size).sum()).to_string())
            }
            State::Unbuilt => ("not built", String::new()),
            State::Broken(_) => ("broken", String::new()),
        };
        table.row([image.to_string(), state.to_owned(), size, about.clone()]);
    }
    for Reference { image, digest } in references {
        table.row([image, "fetched".to_owned(), String::new(), digest]);
    }
    output::data(&table.to_string());
    for listed in &listed {
        if let State::Broken(error) = &listed.state {
            output::stop(&Stop::host(error));
        }
    }
    Ok(exit::MET)
}

fn build(library: &Library, names: &[AnyImage], freshness: Freshness, json: bool) -> Result<u8, Stop> {
    let (mut done, mut fetched) = (Vec::new(), Vec::new());
    for name in names {
        let name = match name {
            AnyImage::Recipe(name) => name,
            AnyImage::Container(image) => {
                fetched.push((image, fetch(library, image, freshness)?));
                continue;
            }
        };
        // An unknown name is a command line error, any other failure is one of the host.
        if let Err(error @ BuildError::NoRecipe { .. }) = library.recipe(name) {
            return Err(Stop::wrong(&error));
        }
        match library.built(name).filter(|_| freshness == Freshness::Reuse) {
            Some(_) => output::note(&format!("image {name} is already built")),
            None => drop(prepare::build_image(library, name, freshness)?),
        }
        done.extend(library.built(name).map(|built| (name, built)));
    }
    if json {
        let done = done.iter().map(|(name, built)| {
            let mut fields = json!({ "image": name, "state": "built" });
            merge(&mut fields, describe_built(built));
            fields
        });
        let fetched = fetched.iter().map(|(image, UnpackedImage { digest, root })| {
            json!({ "image": image.to_string(), "state": "fetched", "digest": digest, "dir": root.lower })
        });
        output::json(&done.chain(fetched).collect::<Vec<_>>())?;
    } else {
        for (_, built) in &done {
            for file in built.files.values() {
                output::data(&format!("{}\n", file.path.display()));
            }
        }
        for (_, unpacked) in &fetched {
            output::data(&format!("{}\n", unpacked.root.lower.display()));
        }
    }
    Ok(exit::MET)
}

fn fetch(library: &Library, image: &ContainerImage, freshness: Freshness) -> Result<UnpackedImage, Stop> {
    match library.fetched(image).filter(|_| freshness == Freshness::Reuse) {
        Some(unpacked) => {
            output::note(&format!("image {image} is already fetched"));
            Ok(unpacked)
        }
        None => prepare::fetch_image(library, image, freshness),
    }
}

fn prune(library: &Library, rule: PruneRule, json: bool) -> Result<u8, Stop> {
    let gone = library.prune(rule).map_err(|error| Stop::host(&error))?;
    if json {
        let gone = gone.iter().map(|gone| json!({ "path": gone.path, "size": gone.size }));
        output::json(&gone.collect::<Vec<_>>())?;
    } else {
        let size = Size(gone.iter().map(|gone| gone.size).sum());
        output::note(&format!("removed {} files and folders, {size}", gone.len()));
    }
    Ok(exit::MET)
}

/// Returns an image as an object: `image`, `about`, `state`, and the details of that state.
fn describe(listed: &Listed) -> Value {
    let Listed { image, about, state } = listed;
    let (word, more) = match state {
        State::Built(built) => ("built", describe_built(built)),
        State::Unbuilt => ("unbuilt", json!({})),
        State::Broken(error) => ("broken", json!({ "error": crate::hint::chain(error) })),
    };
    let mut fields = json!({ "image": image, "about": about, "state": word });
    merge(&mut fields, more);
    fields
}

fn describe_built(built: &Built) -> Value {
    let Built { dir, key, files } = built;
    let files = files.iter().map(|(name, file)| {
        (name.clone(), json!({ "path": file.path, "size": file.size, "sha256": file.sha256 }))
    });
    json!({ "key": key, "dir": dir, "files": files.collect::<serde_json::Map<_, _>>() })
}

fn merge(fields: &mut Value, more: Value) {
    if let (Value::Object(fields), Value::Object(more)) = (fields, more) {
        fields.extend(more);
    }
}
