//! README and guides: labs pass `dryrack check`, commands are valid, and the printed output is the real one.
//!
//! The info string of a fenced block says what it is:
//!
//! * `toml`: a complete lab. `toml fragment`: an overlay over the lab of the README. `toml recipe`: an image recipe.
//! * `sh`, `console`: commands. A `console` block with output is run, and the output compared.
//! * `text`: not checked.

#![expect(clippy::disallowed_methods, reason = "runs the program as a reader would")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::{Home, run, stderr, stdout};
use dryrack::cli;
use dryrack::config::{Source, recipe};
use dryrack::diag;
use dryrack::guide::{GUIDES, Guide};
use dryrack::image::Library;
use dryrack::lab::{LabEnvironment, resolve};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A page of the documentation.
struct Page {
    name: String,
    text: String,
}

/// A fenced block of a page.
#[derive(Debug)]
struct Block<'a> {
    /// The page, and the line of its fence.
    at: String,
    kind: &'a str,
    text: String,
}

/// Returns the README and every guide.
fn pages() -> Vec<Page> {
    let guides = GUIDES.iter().map(|guide| format!("src/guide/{}.md", guide.topic));
    let names = ["README.md", "images/README.md"].into_iter().map(str::to_owned).chain(guides);
    let page =
        |name: String| Page { text: fs::read_to_string(Path::new(ROOT).join(&name)).expect("a page"), name };
    names.map(page).collect()
}

/// Returns the fenced blocks of a page.
fn blocks(page: &Page) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for (index, line) in page.text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(kind), None) => {
                open = Some(Block { at: format!("{}:{}", page.name, index + 1), kind, text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{open:?} has no end");
    blocks
}

/// Returns the text of a page outside of its fenced blocks.
fn prose(page: &Page) -> String {
    let parts: Vec<_> = page.text.split("\n```").collect();
    parts.into_iter().step_by(2).collect::<Vec<_>>().join("\n")
}

/// Checks a lab and an overlay as if all their files existed. Returns the errors.
fn problems(lab: &str, overlay: Option<&str>) -> String {
    let library = Library::new("/cache".into(), Vec::new());
    let images =
        library.recipes().map(|(name, recipe)| (name, recipe.expect("ours").files.into_keys().collect()));
    let environment = LabEnvironment {
        file: "/labs/example/lab.toml".into(),
        folder: "/labs/example".into(),
        images: images.collect(),
        existing: &|_| true,
        free_memory: None,
        other_ids: true,
    };
    let overlays: Vec<_> = overlay.map(|text| Source::new("overlay.toml", text)).into_iter().collect();
    let outcome = resolve(&Source::new("lab.toml", lab), &overlays, &[], &environment);
    diag::render(&outcome.diagnostics, &outcome.sources, false)
}

/// Returns the commands of a block: in `console` the text after prompts, in `sh` every line.
fn commands(block: &Block<'_>) -> Vec<String> {
    let line = |line: &str| match block.kind {
        "console" => line.strip_prefix("$ ").map(str::to_owned),
        _ => Some(line.to_owned()),
    };
    block.text.lines().filter_map(line).filter(|line| !line.is_empty()).collect()
}

/// Splits a command line into words as a shell does, up to a comment, pipe or redirection.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == c => quote = None,
            (None, '#') if word.is_none() => break,
            (None, '|' | '>' | ';') => break,
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Parses a `dryrack` command line as the program does. Returns the error.
fn misread(command: &str) -> Option<String> {
    let words = words(command);
    match words.first()?.as_str() {
        "dryrack" => cli::command().try_get_matches_from(words).err().map(|error| error.to_string()),
        // The shell's own: its argument is the command.
        "trap" => misread(words.get(1)?),
        script => (!Path::new(ROOT).join(script).is_file()).then(|| format!("{script} is no script")),
    }
}

#[test]
fn every_guide_is_in_the_binary() {
    let folder = fs::read_dir(Path::new(ROOT).join("src/guide")).expect("src/guide");
    let files = folder.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let topics = GUIDES.iter().map(|guide| format!("{}.md", guide.topic));
    assert_eq!(topics.collect::<BTreeSet<_>>(), files.collect());
    let readme = &pages()[0].text;
    for Guide { topic, .. } in GUIDES {
        let link = format!("[{topic}](src/guide/{topic}.md)");
        assert!(readme.contains(&link), "README.md lacks {link}");
    }
}

#[test]
fn the_readme_is_a_front_page() {
    let lines = pages()[0].text.lines().count();
    assert!(lines <= 250, "README.md has {lines} lines: move what is longer to a guide");
}

#[test]
fn links_lead_to_files() {
    for page in pages() {
        let folder = Path::new(ROOT).join(&page.name).parent().expect("a folder").to_owned();
        for link in page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let there = link.starts_with("https://") || folder.join(link).exists();
            assert!(there, "{}: {link} does not exist", page.name);
        }
    }
}

#[test]
fn labs_and_parts_of_labs_pass_the_check() {
    let pages = pages();
    let base = blocks(&pages[0]).into_iter().find(|block| block.kind == "toml").expect("a first lab").text;
    let mut tried = 0;
    let mut wrong = Vec::new();
    for block in pages.iter().flat_map(blocks) {
        let found = match block.kind {
            "toml" => problems(&block.text, None),
            "toml fragment" => problems(&base, Some(&block.text)),
            "toml recipe" => {
                recipe::parse(&block.text).err().map_or_else(String::new, |error| error.to_string())
            }
            "sh" | "console" | "text" => continue,
            other => panic!("{}: what is a block of {other:?}?", block.at),
        };
        if !found.is_empty() {
            wrong.push(format!("{}:\n{found}", block.at));
        }
        tried += 1;
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(tried > 20, "{tried} examples");
}

#[test]
fn commands_are_read_by_the_program() {
    let mut tried = 0;
    let mut wrong = Vec::new();
    for page in pages() {
        for block in blocks(&page).iter().filter(|block| matches!(block.kind, "sh" | "console")) {
            for command in commands(block) {
                if let Some(error) = misread(&command) {
                    wrong.push(format!("{}: {command}: {error}", block.at));
                }
                tried += 1;
            }
        }
        // In prose, words in capitals are placeholders.
        let prose = prose(&page);
        let inline = prose
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|code| code.starts_with("dryrack ") && *code != "dryrack = 1");
        let placeholder = |word: &str| word.chars().any(char::is_uppercase) && !word.starts_with('-');
        for command in inline.filter(|code| !code.split([' ', '=']).any(placeholder)) {
            // `dryrack power on` refers to the command; its arguments are omitted.
            let kind =
                cli::command().try_get_matches_from(words(command)).map_err(|error| error.kind()).err();
            let named = kind.is_none_or(|kind| {
                use clap::error::ErrorKind::{
                    DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument,
                };
                matches!(kind, MissingRequiredArgument | DisplayHelpOnMissingArgumentOrSubcommand)
            });
            if !named {
                wrong.push(format!("{}: `{command}`: {}", page.name, misread(command).unwrap_or_default()));
            }
            tried += 1;
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(tried > 60, "{tried} commands");
}

/// Puts the runs of `tests/runs` where `dryrack` keeps runs. They are real ones, without most lines of their consoles.
fn keep_runs(home: &Home) {
    for run in fs::read_dir(Path::new(ROOT).join("tests/runs")).expect("tests/runs") {
        let from = run.expect("an entry").path();
        let into = home.path().join("runs").join(from.file_stem().expect("a name"));
        fs::create_dir_all(&into).expect("a folder");
        let is_report = from.extension().is_some_and(|extension| extension == "json");
        let name = if is_report { "report.json" } else { "events.jsonl" };
        fs::copy(&from, into.join(name)).expect("a copy");
    }
}

#[test]
fn shown_output_is_the_output() {
    let mut compared = 0;
    for page in pages() {
        for block in blocks(&page) {
            let shows = |block: &Block<'_>| block.text.lines().any(|line| !line.starts_with("$ "));
            if block.kind != "console" || !shows(&block) {
                continue;
            }
            let home = Home::new();
            keep_runs(&home);
            let mut seen = String::new();
            for command in commands(&block) {
                let words = words(&command);
                let output = run(home
                    .dryrack(words[1..].iter().map(String::as_str))
                    .current_dir(home.path())
                    .env_remove("COLUMNS"));
                seen.extend(["$ ", &command, "\n", &stdout(&output), &stderr(&output)]);
            }
            assert_eq!(seen, block.text, "{}", block.at);
            compared += 1;
        }
    }
    assert!(compared > 0);
}
