//! The lines of dnsmasq.conf.

use crate::diag::Span;

/// One line with a directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) key: &'a str,
    /// What is behind `=`, with its quotes.
    pub(super) value: Option<&'a str>,
    /// Its range in the text.
    pub(super) span: Span,
}

/// Splits a text into directives.
pub(super) fn lines(text: &str, file: usize) -> Vec<Line<'_>> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let words = without_comment(line);
        let blank = words.len() - words.trim_start().len();
        let words = words.trim();
        if !words.is_empty() {
            let span = Span::new(file, start + blank..start + blank + words.len());
            let (key, value) = match words.split_once('=') {
                Some((key, value)) => (key.trim_end(), Some(value.trim_start())),
                None => (words, None),
            };
            found.push(Line { key, value, span });
        }
        start += line.len();
    }
    found
}

/// Cuts off a comment: `#` at the beginning or behind a blank, outside of quotes.
fn without_comment(line: &str) -> &str {
    let (mut quoted, mut escaped, mut blank) = (false, false, true);
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '#' if blank && !quoted => return &line[..at],
            _ => {}
        }
        blank = c.is_whitespace();
    }
    line
}

/// Splits a value at its commas, and takes quotes and escapes off.
pub(in crate::import) fn fields(value: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let (mut quoted, mut letters) = (false, value.chars());
    while let Some(c) = letters.next() {
        let Some(field) = fields.last_mut() else { return fields };
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            '\\' if quoted => match letters.next() {
                Some('t') => field.push('\t'),
                Some('n') => field.push('\n'),
                Some(c) => field.push(c),
                None => field.push('\\'),
            },
            // Outside of quotes only a comma can be escaped.
            '\\' if letters.as_str().starts_with(',') => field.extend(letters.next()),
            c => field.push(c),
        }
    }
    fields.iter().map(|field| field.trim().to_owned()).collect()
}

/// Parses a time: seconds, or a number of minutes, hours, days or weeks.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    if text == "infinite" {
        return Some(u64::from(u32::MAX));
    }
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        "w" => 604_800,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_keys_with_values() {
        let text =
            "# dns\nport = 53 # all\n\n  log-dhcp\nserver=/a#b/1.2.3.4#53\npxe-prompt=\"a # b, c\",3\n";
        let found: Vec<_> = lines(text, 0).iter().map(|line| (line.key, line.value)).collect();
        assert_eq!(
            found,
            [
                ("port", Some("53")),
                ("log-dhcp", None),
                ("server", Some("/a#b/1.2.3.4#53")),
                ("pxe-prompt", Some("\"a # b, c\",3")),
            ]
        );
        let places: Vec<_> = lines(text, 0).into_iter().map(|line| &text[line.span.range()]).collect();
        assert_eq!(places[..2], ["port = 53", "log-dhcp"]);
    }

    #[test]
    fn values_are_fields() {
        assert_eq!(fields(r#"tag:a, "b, \"c\"",d\,e"#), ["tag:a", "b, \"c\"", "d,e"]);
        assert_eq!(fields(""), [""]);
    }

    #[test]
    fn times_have_units() {
        let all = ["90", "45m", "12h", "2d", "1w", "infinite", "x", "5y"];
        assert_eq!(
            all.map(seconds),
            [
                Some(90),
                Some(2700),
                Some(43200),
                Some(172_800),
                Some(604_800),
                Some(4_294_967_295),
                None,
                None
            ]
        );
    }
}
