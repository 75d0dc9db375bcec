//! One file per verb: arguments in, calls into the library, words out.
//!
//! Must never decide anything: it parses, asks the library, prints.

mod output;
mod roles;

/// Runs the program and returns its exit code.
pub fn main() -> u8 {
    if let Some(code) = roles::play() {
        return code;
    }
    output::error("no verb is known yet", None);
    crate::report::exit::WRONG
}
