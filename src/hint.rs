//! What would help against an error, and an error with its causes as one text.

use std::borrow::Cow;
use std::error::Error;
use std::io;

/// An error that may know what would help.
pub trait Hint: Error {
    /// Returns what would help, where that is known.
    fn hint(&self) -> Option<Cow<'static, str>> {
        None
    }
}

/// The kernel's words alone say nothing of what was tried, so there is nothing to advise.
impl Hint for io::Error {}

/// Returns what caused an error, the nearest cause first.
pub fn causes(error: &dyn Error) -> Vec<String> {
    let mut before = error.to_string();
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        // A transparent error repeats its source, and some libraries write their source's words into their own.
        if !before.ends_with(&words) {
            causes.push(words.clone());
            before = words;
        }
        next = cause.source();
    }
    causes
}

/// Writes an error with its causes: `what: why: why that`.
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
        // As many libraries write their errors.
        let twice = io::Error::other(inner());
        assert_eq!(chain(&twice), "cannot start `qemu-img`: there is none");
    }

    #[test]
    fn an_error_without_a_hint_has_none() {
        assert_eq!(Inner(io::Error::other("there is none")).hint(), None);
    }
}
