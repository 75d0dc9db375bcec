//! Kernel arguments as the kernel and GRUB read them.
//!
//! The kernel splits its command line at white space outside of double quotes, and removes quotes around a whole argument,
//! or around its value. The other loaders pass the text as it is. GRUB passes words: it puts double quotes around
//! a word with a space, and a backslash before each quote and backslash within.

/// Splits arguments as the kernel does.
pub(crate) fn split(arguments: &str) -> Vec<&str> {
    let mut quoted = false;
    let parts = arguments.split(|letter: char| {
        quoted ^= letter == '"';
        letter.is_ascii_whitespace() && !quoted
    });
    parts.filter(|part| !part.is_empty()).collect()
}

/// Returns an argument without the quotes that the kernel removes.
fn unquoted(argument: &str) -> String {
    if let Some(rest) = argument.strip_prefix('"') {
        return rest.strip_suffix('"').unwrap_or(rest).to_owned();
    }
    match argument.split_once("=\"") {
        Some((name, value)) if !name.contains('"') => {
            format!("{name}={}", value.strip_suffix('"').unwrap_or(value))
        }
        _ => argument.to_owned(),
    }
}

/// Why GRUB cannot pass an argument to the kernel unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LostByGrub {
    /// A quote is not closed.
    OpenQuote,
    /// GRUB puts a backslash before this character.
    Escaped(char),
    /// White space without quotes around it, because GRUB quotes only an argument with a space.
    Unquoted,
}

/// Returns why GRUB cannot pass an argument to the kernel unchanged, if it cannot.
pub(crate) fn lost_by_grub(argument: &str) -> Option<LostByGrub> {
    if argument.matches('"').count() % 2 == 1 {
        return Some(LostByGrub::OpenQuote);
    }
    unquoted(argument).chars().find_map(|letter| match letter {
        '"' | '\'' | '\\' => Some(LostByGrub::Escaped(letter)),
        '\t' | '\n' | '\r' => Some(LostByGrub::Unquoted),
        _ => None,
    })
}

/// Writes an argument as a word of a GRUB menu: everything is literal, but `${name}` is a variable.
///
/// What the kernel gets means the same as the argument, unless something is [lost](lost_by_grub).
pub(crate) fn grub_word(argument: &str) -> String {
    let text = unquoted(argument);
    let mut word = String::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        if let Some(Variable { written, .. }) = named_variable(rest) {
            word.extend(["\"", written, "\""]);
            rest = &rest[written.len()..];
            continue;
        }
        let next =
            rest.match_indices("${").map(|(at, _)| at).find(|at| named_variable(&rest[*at..]).is_some());
        let (literal, after) = rest.split_at(next.unwrap_or(rest.len()));
        // GRUB has no escapes within single quotes.
        word.extend(["'", &literal.replace('\'', r"'\''"), "'"]);
        rest = after;
    }
    word
}

/// Returns the variable at the beginning of an argument, if it is written as `${name}`.
fn named_variable(text: &str) -> Option<Variable<'_>> {
    let begins_name = |first: char| first.is_ascii_alphabetic() || first == '_';
    Variable::at_start(text)
        .filter(|variable| variable.written.starts_with("${") && variable.name.starts_with(begins_name))
}

/// A variable in a GRUB menu.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Variable<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// The text that GRUB replaces, from `$` on.
    pub(crate) written: &'a str,
}

impl<'a> Variable<'a> {
    /// Parses the variable at the beginning of a text as GRUB does: `$` or `${…}` with a name, a number, or one of
    /// `?`, `#`, `*` and `@`.
    pub(crate) fn at_start(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix('$')?;
        let (rest, end) = match rest.strip_prefix('{') {
            Some(inside) => (inside, "}"),
            None => (rest, ""),
        };
        let leading = |belongs: fn(char) -> bool| rest.find(|letter| !belongs(letter)).unwrap_or(rest.len());
        let length = match rest.chars().next()? {
            '?' | '#' | '*' | '@' => 1,
            '0'..='9' => leading(|letter| letter.is_ascii_digit()),
            _ => leading(|letter| letter.is_ascii_alphanumeric() || letter == '_'),
        };
        let (name, after) = rest.split_at(length);
        let after = after.strip_prefix(end).filter(|_| !name.is_empty())?;
        Some(Self { name, written: &text[..text.len() - after.len()] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_split_as_the_kernel_splits_them() {
        assert_eq!(split(" a  b=\"c d\" \"e f=g\"\th"), ["a", "b=\"c d\"", "\"e f=g\"", "h"]);
        assert_eq!(split("a=\"b c"), ["a=\"b c"]);
        assert_eq!(split(""), Vec::<&str>::new());
    }

    #[test]
    fn words_of_grub_are_literal_but_for_variables() {
        for (argument, word) in [
            ("quiet", "'quiet'"),
            ("try.map=64K$0x1e000000", "'try.map=64K$0x1e000000'"),
            ("dyndbg=\"file drivers/net/* +p\"", "'dyndbg=file drivers/net/* +p'"),
            ("\"a b=c\"", "'a b=c'"),
            ("ds=nocloud;s=http://h/&x|{y}", "'ds=nocloud;s=http://h/&x|{y}'"),
            (
                "url=http://h/?mac=${net_default_mac}&os=new",
                "'url=http://h/?mac='\"${net_default_mac}\"'&os=new'",
            ),
            ("a=$net_default_mac", "'a=$net_default_mac'"),
            ("a=${mac:hexhyp}${b", "'a=${mac:hexhyp}${b'"),
            ("${a}${b}", "\"${a}\"\"${b}\""),
            ("it's", r"'it'\''s'"),
        ] {
            assert_eq!(grub_word(argument), word);
        }
    }

    #[test]
    fn variables_are_parsed_as_by_grub() {
        for (text, name, written) in [
            ("$a_1-b", "a_1", "$a_1"),
            ("${a}b", "a", "${a}"),
            ("$12a", "12", "$12"),
            ("${12}", "12", "${12}"),
            ("$?a", "?", "$?"),
            ("${@}", "@", "${@}"),
        ] {
            assert_eq!(Variable::at_start(text), Some(Variable { name, written }), "{text}");
        }
        for text in ["a$b", "$", "${", "${}", "${a", "${1a}", "${a:b}", "$-", "$é", "${?a}"] {
            assert_eq!(Variable::at_start(text), None, "{text}");
        }
        // In an argument, only a name in braces is a variable.
        assert_eq!(grub_word("${1}${?}$a"), "'${1}${?}$a'");
    }

    #[test]
    fn what_grub_changes_is_told() {
        for argument in ["a", "a=\"b c\"", "\"a b\"", "a=$b", "a=\"\""] {
            assert_eq!(lost_by_grub(argument), None, "{argument}");
        }
        for (argument, lost) in [
            ("a=b\"c d\"", LostByGrub::Escaped('"')),
            ("it's", LostByGrub::Escaped('\'')),
            ("a=\\b", LostByGrub::Escaped('\\')),
            ("a=\"b\tc\"", LostByGrub::Unquoted),
            ("a=\"b", LostByGrub::OpenQuote),
            ("a=b\"c", LostByGrub::OpenQuote),
        ] {
            assert_eq!(lost_by_grub(argument), Some(lost), "{argument}");
        }
    }
}
