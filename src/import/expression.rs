//! Conditions of ISC dhcpd and of Kea, as far as they are about clients that boot.

use super::boot::Test;

/// The deepest nesting of a condition.
const DEEPEST: usize = 40;

/// Returns the condition of a text. What is not known of a client that boots is unclear.
///
/// `code` returns the number of an option that the file names; `member` the condition of a class.
pub(super) fn parse(
    text: &str,
    code: &dyn Fn(&str) -> Option<u8>,
    member: &dyn Fn(&str) -> Option<Test>,
) -> Test {
    let tokens = tokens(text);
    let mut parser = Parser { tokens: &tokens, at: 0, code, member };
    let test = parser.or(0);
    match test.filter(|_| parser.at == tokens.len()) {
        Some(test) => test,
        None => Test::Unclear(format!("`{}`", text.trim())),
    }
}

/// Returns the names of options that a condition asks for.
pub(super) fn names(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut names = Vec::new();
    for pair in tokens.windows(2) {
        if let [Token::Word(word), Token::Word(name)] = pair
            && matches!(word.as_str(), "option" | "exists")
        {
            names.push(name.clone());
        }
    }
    names
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Symbol(char),
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '"' | '\'' => {
                let mut inner = String::new();
                while let Some(next) = letters.next() {
                    match next {
                        '\\' => inner.extend(letters.next()),
                        next if next == c => break,
                        next => inner.push(next),
                    }
                }
                tokens.push(Token::Text(inner));
            }
            c if c.is_whitespace() => {}
            c if is_word(c) => {
                let mut word = String::from(c);
                while let Some(next) = letters.next_if(|next| is_word(*next)) {
                    word.push(next);
                }
                tokens.push(Token::Word(word));
            }
            // `==` and `=` are one.
            '=' => {
                letters.next_if_eq(&'=');
                tokens.push(Token::Symbol('='));
            }
            '!' | '~' if letters.peek() == Some(&'=') => {
                letters.next();
                tokens.push(Token::Symbol(c));
            }
            c => tokens.push(Token::Symbol(c)),
        }
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':')
}

/// A value within a condition.
#[derive(Debug)]
enum Value {
    Option(u8),
    /// A part of an option: from a byte on, at most so many.
    Part(u8, usize, usize),
    Literal(Vec<u8>),
    Unknown,
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    code: &'a dyn Fn(&str) -> Option<u8>,
    member: &'a dyn Fn(&str) -> Option<Test>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn word(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word));
        self.at += usize::from(is);
        is
    }

    fn symbol(&mut self, symbol: char) -> bool {
        let is = self.peek() == Some(&Token::Symbol(symbol));
        self.at += usize::from(is);
        is
    }

    fn or(&mut self, depth: usize) -> Option<Test> {
        let mut tests = vec![self.and(depth)?];
        while self.word("or") {
            tests.push(self.and(depth)?);
        }
        Some(if tests.len() == 1 { tests.remove(0) } else { Test::Any(tests) })
    }

    fn and(&mut self, depth: usize) -> Option<Test> {
        let mut tests = vec![self.not(depth)?];
        while self.word("and") {
            tests.push(self.not(depth)?);
        }
        Some(if tests.len() == 1 { tests.remove(0) } else { Test::All(tests) })
    }

    fn not(&mut self, depth: usize) -> Option<Test> {
        if depth > DEEPEST {
            return None;
        }
        if self.word("not") {
            return Some(Test::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.symbol('(') {
            let test = self.or(depth + 1)?;
            return self.symbol(')').then_some(test);
        }
        if self.word("exists") {
            let Some(Token::Word(name)) = self.next() else { return None };
            return Some(self.has_option(&name));
        }
        if self.word("known") {
            return Some(Test::Known);
        }
        if self.word("member") {
            let inner = (self.symbol('('), self.next(), self.symbol(')'));
            let (true, Some(Token::Text(class)), true) = inner else { return None };
            return Some(match class.as_str() {
                "KNOWN" => Test::Known,
                "UNKNOWN" => Test::Not(Box::new(Test::Known)),
                "ALL" => Test::Always,
                class => {
                    (self.member)(class).unwrap_or_else(|| Test::Unclear(format!("the class `{class}`")))
                }
            });
        }
        self.comparison(depth)
    }

    fn has_option(&self, name: &str) -> Test {
        if name.starts_with("ipxe.") || name.starts_with("gpxe.") {
            return Test::Ipxe;
        }
        match self.number(name) {
            Some(175 | 77) => Test::Ipxe,
            // Every client that boots sends them.
            Some(60 | 93 | 94 | 97) => Test::Always,
            _ => Test::Unclear(format!("the option `{name}`")),
        }
    }

    fn number(&self, name: &str) -> Option<u8> {
        let known = match name {
            "vendor-class-identifier" | "vendor-class" | "dhcp-class-identifier" => Some(60),
            "user-class" | "dhcp-user-class" => Some(77),
            "pxe-system-type" | "client-system" => Some(93),
            "pxe-interface-id" | "client-ndi" => Some(94),
            "pxe-client-id" | "uuid-guid" => Some(97),
            _ => None,
        };
        (self.code)(name).or(known).or_else(|| name.parse().ok())
    }

    fn comparison(&mut self, depth: usize) -> Option<Test> {
        let start = self.at;
        let left = self.value(depth)?;
        // Kea asks by a suffix whether an option is there.
        if matches!(self.peek(), Some(Token::Word(word)) if word == ".exists") {
            self.at += 1;
            let Value::Option(code) = left else { return None };
            return Some(self.has_option(&code.to_string()));
        }
        let negated = match self.next()? {
            Token::Symbol('=') => false,
            Token::Symbol('!') => true,
            Token::Symbol('~') => {
                let _pattern = self.value(depth)?;
                return Some(self.unclear(start));
            }
            _ => return None,
        };
        let right = self.value(depth)?;
        let test = match (&left, &right) {
            (value, Value::Literal(bytes)) | (Value::Literal(bytes), value) => equal(value, bytes),
            _ => None,
        };
        let test = test.unwrap_or_else(|| self.unclear(start));
        Some(if negated { Test::Not(Box::new(test)) } else { test })
    }

    fn unclear(&self, start: usize) -> Test {
        let words = self.tokens[start..self.at.min(self.tokens.len())].iter().map(|token| match token {
            Token::Word(word) => word.clone(),
            Token::Text(text) => format!("'{text}'"),
            Token::Symbol(symbol) => symbol.to_string(),
        });
        Test::Unclear(words.collect::<Vec<_>>().join(" "))
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        match self.next()? {
            Token::Text(text) => Some(Value::Literal(text.into_bytes())),
            Token::Word(word) if word.eq_ignore_ascii_case("option") => {
                let name = if self.symbol('[') {
                    let name = self.next()?;
                    if !self.symbol(']') {
                        return None;
                    }
                    name
                } else {
                    self.next()?
                };
                if matches!(self.peek(), Some(Token::Word(word)) if word == ".hex" || word == ".text") {
                    self.at += 1;
                }
                let Token::Word(name) = name else { return None };
                Some(self.number(&name).map_or(Value::Unknown, Value::Option))
            }
            Token::Word(word) if word.eq_ignore_ascii_case("substring") => {
                if !self.symbol('(') {
                    return None;
                }
                let of = self.value(depth + 1)?;
                let (true, Some(Token::Word(from)), true, Some(Token::Word(most)), true) =
                    (self.symbol(','), self.next(), self.symbol(','), self.next(), self.symbol(')'))
                else {
                    return None;
                };
                // Kea knows a word for the rest.
                let most = if most == "all" { Ok(usize::MAX) } else { most.parse() };
                Some(match (of, from.parse(), most) {
                    (Value::Option(code), Ok(from), Ok(most)) => Value::Part(code, from, most),
                    _ => Value::Unknown,
                })
            }
            Token::Word(word) => {
                if self.symbol('(') {
                    // A function of which nothing is known.
                    let mut open = 1;
                    while open > 0 {
                        match self.next()? {
                            Token::Symbol('(') => open += 1,
                            Token::Symbol(')') => open -= 1,
                            _ => {}
                        }
                    }
                    return Some(Value::Unknown);
                }
                Some(bytes(&word).map_or(Value::Unknown, Value::Literal))
            }
            Token::Symbol(_) => None,
        }
    }
}

/// Parses bytes: `00:07` or `0x0007`.
fn bytes(word: &str) -> Option<Vec<u8>> {
    let digits = match word.strip_prefix("0x") {
        Some(digits) => digits.to_owned(),
        None => word.split(':').map(|pair| format!("{pair:0>2}")).collect(),
    };
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

/// Returns the condition that a value is these bytes.
fn equal(value: &Value, bytes: &[u8]) -> Option<Test> {
    let text = || std::str::from_utf8(bytes).ok();
    match value {
        // What is longer than the part is never equal to it.
        Value::Part(_, _, most) if bytes.len() > *most => Some(Test::Not(Box::new(Test::Always))),
        Value::Option(93) | Value::Part(93, 0, _) => match bytes {
            [high, low] => Some(Test::Arch(u16::from_be_bytes([*high, *low]))),
            [low] => Some(Test::Arch(u16::from(*low))),
            _ => None,
        },
        Value::Part(60, 0, most) if bytes.len() == *most => Some(Test::Vendor(text()?.to_owned())),
        Value::Option(60) | Value::Part(60, 0, _) => Some(Test::VendorIs(text()?.to_owned())),
        Value::Part(60, 15, _) => Some(Test::Arch(text()?.parse().ok()?)),
        Value::Option(77) | Value::Part(77, _, _) => (text()? == "iPXE").then_some(Test::Ipxe),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::boot::{BIOS, IPXE_BIOS, UEFI, UEFI_HTTP};

    fn test(text: &str) -> Test {
        let code = |name: &str| (name == "arch").then_some(93);
        let member = |class: &str| (class == "ipxe").then_some(Test::Ipxe);
        parse(text, &code, &member)
    }

    #[test]
    fn conditions_of_isc_are_known() {
        assert_eq!(test("option arch = 00:07"), Test::Arch(7));
        assert!(test("exists user-class and option user-class = \"iPXE\"").holds(IPXE_BIOS));
        let class = test("substring (option vendor-class-identifier, 0, 9) = \"PXEClient\"");
        assert!(class.holds(BIOS) && !class.holds(UEFI_HTTP));
        assert_eq!(test("substring(option vendor-class-identifier, 15, 5) = \"00007\""), Test::Arch(7));
        let uefi = test("(option arch = 00:07 or option pxe-system-type = 00:09) and not exists ipxe.http");
        assert!(uefi.holds(UEFI) && !uefi.holds(IPXE_BIOS));
        assert_eq!(names("option arch = 0:7 or exists agent.x"), ["arch", "agent.x"]);
    }

    #[test]
    fn conditions_of_kea_are_known() {
        assert_eq!(test("option[93].hex == 0x0007"), Test::Arch(7));
        assert_eq!(test("option[client-system].hex == 0x0000"), Test::Arch(0));
        assert_eq!(test("substring(option[77].hex,0,4) == 'iPXE'"), Test::Ipxe);
        assert!(test("option[175].exists and member('ipxe')").holds(IPXE_BIOS));
        assert!(test("not member('ipxe')").holds(BIOS));
        // The whole class is compared, and none is so short.
        let whole = test("option[60].hex == 'PXEClient'");
        assert!(!whole.holds(BIOS) && whole.hindrance().is_some());
        assert!(test("substring(option[60].hex,0,4) == 'PXEClient'").is_never());
    }

    #[test]
    fn what_is_not_known_is_unclear() {
        for text in
            ["option host-name = \"a\"", "binary-to-ascii(16, 8, \":\", hardware) = \"1\"", "(", "a b", ""]
        {
            assert!(test(text).hindrance().is_some(), "{text}");
        }
        let deep = "(".repeat(10_000);
        assert!(test(&deep).hindrance().is_some());
    }
}
