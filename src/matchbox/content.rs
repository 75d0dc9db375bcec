//! A config or template with its parsed forms, which are cached while the file is unchanged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::Value;

use super::butane::{self, Translated};
use super::failure::Failure;
use super::ignition::{self, Config, Problem, Version};
use super::template::{Template, TemplateError};

/// The purpose of a file, which determines its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Ignition and Butane configs.
    Ignition,
    /// Cloud-configs and scripts.
    Cloud,
    /// Generic templates.
    Generic,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Ignition, Self::Cloud, Self::Generic];

    /// Returns the name of the folder.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Ignition => "ignition",
            Self::Cloud => "cloud",
            Self::Generic => "generic",
        }
    }
}

/// The maximum size of cached Butane translations, in bytes of input and output.
const MOST_REMEMBERED: usize = 8 << 20;

/// An Ignition config for a machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// What is sent.
    pub text: String,
    /// Why it is not the intended config, if it is not.
    pub problem: Option<Failure>,
    /// What is probably not intended.
    pub warnings: Vec<Failure>,
}

/// A config or template.
#[derive(Debug)]
pub struct Content {
    /// The file name for messages.
    file: String,
    bytes: Vec<u8>,
    template: OnceLock<Result<Template, TemplateError>>,
    raw: OnceLock<Arc<Made>>,
    translated: Mutex<Translations>,
}

/// Cached translations of rendered Butane.
#[derive(Debug, Default)]
struct Translations {
    made: HashMap<Vec<u8>, Result<Arc<Made>, Failure>>,
    // Invariant: the bytes of all keys and texts in `made`.
    size: usize,
}

impl Content {
    /// Wraps the bytes of a file. They are parsed on first use.
    pub fn new(file: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self {
            file: file.into(),
            bytes,
            template: OnceLock::new(),
            raw: OnceLock::new(),
            translated: Mutex::default(),
        }
    }

    /// Returns the bytes unchanged.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the file name for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Renders the template.
    pub fn render(&self, data: &Value) -> Result<Vec<u8>, Failure> {
        let name = self.file.rsplit('/').next().unwrap_or_default();
        let template = self.template.get_or_init(|| Template::parse(name, &self.bytes)).as_ref();
        let rendered = template.map_err(Clone::clone).and_then(|template| template.render(data));
        rendered.map_err(|TemplateError { line, message }| self.failure(Some(line), message))
    }

    /// Returns it as an Ignition config, in a version up to `newest` if possible.
    pub fn ignition(&self, newest: Version) -> Arc<Made> {
        let read = || match ignition::read(&self.bytes) {
            Ok(config) => self.write(&config, newest, Some),
            Err(problems) => self.skeleton(&problems, Some),
        };
        Arc::clone(self.raw.get_or_init(|| Arc::new(read())))
    }

    /// Renders the template, and translates the result from Butane to Ignition.
    pub fn butane(&self, data: &Value, newest: Version) -> Result<Arc<Made>, Failure> {
        let text = self.render(data)?;
        if let Some(made) = self.translations().made.get(&text) {
            return made.clone();
        }
        let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
        // The rendered text may have another number of lines than the template.
        let same_lines = lines(&text) == lines(&self.bytes);
        let position = |line| same_lines.then_some(line);
        let made = match butane::translate(&text) {
            Ok(Translated::Ignition(config)) => Ok(Arc::new(self.write(&config, newest, position))),
            Ok(Translated::Newer(problems)) => Ok(Arc::new(self.skeleton(&problems, position))),
            Err(problems) => Err(self.problems(&problems, position)),
        };
        let size = text.len() + made.as_ref().map_or(0, |made| made.text.len());
        let mut translations = self.translations();
        if translations.size + size > MOST_REMEMBERED {
            *translations = Translations::default();
        }
        if size <= MOST_REMEMBERED && translations.made.insert(text, made.clone()).is_none() {
            translations.size += size;
        }
        made
    }

    fn write(&self, config: &Config, newest: Version, position: impl Fn(usize) -> Option<usize>) -> Made {
        let warnings = config.warnings().iter();
        let warnings =
            warnings.map(|warning| self.problems(std::slice::from_ref(warning), &position)).collect();
        match config.write_as(newest) {
            Ok(text) => Made { text, problem: None, warnings },
            // A config that is too new for the machine is better than a wrong one.
            Err(Problem { line, message }) => {
                Made { text: config.write(), problem: Some(self.failure(line, message)), warnings }
            }
        }
    }

    fn skeleton(&self, problems: &[Problem], position: impl Fn(usize) -> Option<usize>) -> Made {
        let problem = Some(self.problems(problems, position));
        Made { text: ignition::skeleton(), problem, warnings: Vec::new() }
    }

    /// Joins problems into one, with the position of the first that has one.
    fn problems(&self, problems: &[Problem], position: impl Fn(usize) -> Option<usize>) -> Failure {
        let line = problems.iter().find_map(|problem| problem.line);
        let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        let messages = messages.join("; ");
        match line.map(|line| (line, position(line))) {
            Some((line, None)) => {
                self.failure(None, format!("line {line} of what it renders to: {messages}"))
            }
            Some((_, line)) => self.failure(line, messages),
            None => self.failure(None, messages),
        }
    }

    /// Returns a failure of this file.
    pub fn failure(&self, line: Option<usize>, reason: impl Into<String>) -> Failure {
        Failure { file: self.file.clone(), line, reason: reason.into() }
    }

    fn translations(&self) -> MutexGuard<'_, Translations> {
        self.translated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
