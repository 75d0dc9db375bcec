//! Hints for errors, and errors with their causes as one text.

use std::borrow::Cow;
use std::error::Error;
use std::io;

/// An error that may have a hint.
pub trait Hint: Error {
    /// Returns the hint, if any.
    fn hint(&self) -> Option<Cow<'static, str>> {
        None
    }
}

/// An I/O error alone does not say what was tried, so it has no hint.
impl Hint for io::Error {}

/// Returns the causes of an error, the nearest first.
pub fn causes(error: &dyn Error) -> Vec<String> {
    let mut before = error.to_string();
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        // A transparent error repeats its source, and some libraries include the text of their source in their own.
        if !before.ends_with(&words) {
            causes.push(words.clone());
            before = words;
        }
        next = cause.source();
    }
    causes
}

/// Formats an error with its causes: `what: why: why that`.
pub fn chain(error: &dyn Error) -> String {
    let mut words = vec![error.to_string()];
    words.extend(causes(error));
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("cannot make disk `a`")]
        Disk(#[source] Inner),
        #[error(transparent)]
        Inner(Inner),
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot start `qemu-img`")]
    struct Inner(#[source] io::Error);

    impl Hint for Inner {}

    #[test]
    fn an_error_is_written_with_each_of_its_causes_once() {
        let inner = || Inner(io::Error::other("there is none"));
        assert_eq!(
            chain(&Outer::Disk(inner())),
            "cannot make disk `a`: cannot start `qemu-img`: there is none"
        );
        assert_eq!(chain(&Outer::Inner(inner())), "cannot start `qemu-img`: there is none");
        assert_eq!(causes(&Outer::Disk(inner())), ["cannot start `qemu-img`", "there is none"]);
        // Many libraries format their errors like this.
        let twice = io::Error::other(inner());
        assert_eq!(chain(&twice), "cannot start `qemu-img`: there is none");
    }

    #[test]
    fn an_error_without_a_hint_has_none() {
        assert_eq!(Inner(io::Error::other("there is none")).hint(), None);
    }
}
