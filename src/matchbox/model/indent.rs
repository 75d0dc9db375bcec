//! Indented JSON, as `json.MarshalIndent(value, "", "\t")` writes it.

/// Indents compact JSON with tabs.
pub(super) fn indent(compact: &str) -> String {
    let mut text = String::with_capacity(compact.len() * 2);
    let mut depth = 0;
    let mut quoted = false;
    let mut escaped = false;
    // Whether the last character opened a list or object, which may be empty.
    let mut opened = false;
    let newline = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n('\t', depth));
    };
    for letter in compact.chars() {
        if quoted {
            text.push(letter);
            quoted = escaped || letter != '"';
            escaped = letter == '\\' && !escaped;
            continue;
        }
        let closes = matches!(letter, '}' | ']');
        if closes {
            depth -= 1;
        }
        if opened != closes && (opened || closes) {
            newline(&mut text, depth);
        }
        opened = matches!(letter, '{' | '[');
        text.push(letter);
        match letter {
            '{' | '[' => depth += 1,
            '"' => quoted = true,
            ',' => newline(&mut text, depth),
            ':' => text.push(' '),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_lists_have_a_line_for_each_part() {
        let text = indent(r#"{"a":{},"b":[],"c":[1,{"d":"x,{\"\\"}],"e":"\\","f":null}"#);
        assert_eq!(
            text,
            "{\n\t\"a\": {},\n\t\"b\": [],\n\t\"c\": [\n\t\t1,\n\t\t{\n\t\t\t\"d\": \"x,{\\\"\\\\\"\n\t\t}\n\t],\n\t\"e\": \
             \"\\\\\",\n\t\"f\": null\n}"
        );
        assert_eq!(indent("{}"), "{}");
    }
}
