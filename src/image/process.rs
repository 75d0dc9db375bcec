//! Runs the child processes of a build; no other module of `image` does.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::error::BuildError;
use crate::system::process::find_program;

pub(super) use crate::system::process::command;

/// Returns whether the host has a program; also searches sbin, which a user's PATH may lack.
pub(super) fn has(program: &str) -> bool {
    find_program(program).is_some()
}

/// Runs a child to its exit and returns its output.
pub(super) fn output(doing: &str, command: &mut Command) -> Result<String, BuildError> {
    let failed = |status: String, output: &str| BuildError::Child {
        doing: doing.to_owned(),
        status,
        output: last_lines(output.lines()),
    };
    let output = command.stdin(Stdio::null()).env("LC_ALL", "C").output();
    let output = output.map_err(|error| failed(error.to_string(), ""))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string(), &String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a child to its exit, forwards each line of its output, and writes them to `log`.
///
/// The child's standard input is `held`: a lock on it lasts until the last process of the build has
/// exited, even if the builder itself was killed.
pub(super) fn watch(
    doing: &str,
    command: &mut Command,
    held: File,
    log: &mut File,
    line: &mut dyn FnMut(&str),
) -> Result<(), BuildError> {
    let mut seen = Vec::new();
    let status = (|| {
        let (reader, writer) = std::io::pipe()?;
        let mut child = command.stdin(held).stdout(writer.try_clone()?).stderr(writer).spawn()?;
        // The builder's own ends of the pipe must be closed, or the child's end would go unnoticed.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        for text in BufReader::new(reader).split(b'\n') {
            let text = String::from_utf8_lossy(&text?).trim_end().to_owned();
            writeln!(log, "{text}")?;
            line(&text);
            seen.push(text);
        }
        child.wait()
    })();
    let status = match status {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    Err(BuildError::Child {
        doing: doing.to_owned(),
        status,
        output: last_lines(seen.iter().map(String::as_str)),
    })
}

fn last_lines<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).map(|line| format!("  {line}")).collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
