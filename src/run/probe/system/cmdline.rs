//! The command line of the running kernel.

use super::Answer;

/// Judges the command line.
pub(super) fn judge(said: &str, has: &[String], without: &[String]) -> Answer {
    let arguments = arguments(said);
    if arguments.is_empty() {
        return Answer::no("the kernel has no command line, or it cannot be read");
    }
    if let Some(missing) = has.iter().find(|wanted| !arguments.iter().any(|is| is_meant(wanted, is))) {
        let name = format!("{}=", missing.split('=').next().unwrap_or(missing));
        let other = arguments.iter().find(|is| is.starts_with(&name));
        let other = other.map(|other| format!(", but {other}")).unwrap_or_default();
        return Answer::no(format!("the command line has no {missing}{other}"));
    }
    let unwanted = |is: &&String| without.iter().any(|unwanted| is_meant(unwanted, is));
    match arguments.iter().find(unwanted) {
        Some(unwanted) => Answer::no(format!("the command line has {unwanted}")),
        None => Answer::yes("the command line is as expected"),
    }
}

/// Tells whether an argument is the one that is meant; one without `=` is meant with any value.
fn is_meant(meant: &str, is: &str) -> bool {
    is == meant || (!meant.contains('=') && is.split_once('=').is_some_and(|(name, _)| name == meant))
}

/// Splits a command line as the kernel does: at blanks that are not in double quotes, which it removes.
fn arguments(line: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let (mut argument, mut quoted) = (String::new(), false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_ascii_whitespace() && !quoted => {
                arguments.extend(Some(std::mem::take(&mut argument)).filter(|argument| !argument.is_empty()));
            }
            c => argument.push(c),
        }
    }
    arguments.extend(Some(argument).filter(|argument| !argument.is_empty()));
    arguments
}
