//! Errors in the file itself: not text, not TOML, too large.

use insta::assert_snapshot;

use super::{check, check_bytes, check_more};

#[test]
fn not_toml() {
    assert_snapshot!(check("dryrack = 1\nname = quickstart\n"), @r#"
    error[L001]: `quickstart` is neither a number nor a quoted string
     --> lab.toml:2:8
      |
    2 | name = quickstart
      |        ^^^^^^^^^^
      |
      = help: strings are quoted: name = "quickstart"

    1 error; for more, run `dryrack explain L001`
    "#);
}

#[test]
fn several_syntax_errors() {
    let lab = "dryrack = 1
network.lan.address = 10.0.0.1/24
[node.a
memory = \"1GiB\"
profile: tiny
";
    assert_snapshot!(check(lab), @r#"
    error[L001]: `10.0.0.1/24` is neither a number nor a quoted string
     --> lab.toml:2:23
      |
    2 | network.lan.address = 10.0.0.1/24
      |                       ^^^^^^^^^^^
      |
      = help: strings are quoted: network.lan.address = "10.0.0.1/24"

    error[L001]: unclosed table, expected `]`
     --> lab.toml:3:8
      |
    3 | [node.a
      |        ^
      |
      = help: a table header ends with `]` on the same line

    error[L001]: invalid unquoted key, expected letters, numbers, `-`, `_`
     --> lab.toml:5:8
      |
    5 | profile: tiny
      |        ^
      |
      = help: this looks like YAML; in TOML: profile = "tiny"

    3 errors; for more, run `dryrack explain L001`
    "#);
}

#[test]
fn yaml() {
    assert_snapshot!(check("dryrack: 1\nnetwork:\n  lan:\n    address: 10.0.0.1/24\n"), @r#"
    error[L001]: invalid unquoted key, expected letters, numbers, `-`, `_`
     --> lab.toml:1:8
      |
    1 | dryrack: 1
      |        ^
      |
      = help: this looks like YAML; in TOML: dryrack = 1

    error[L001]: key with no value, expected `=`
     --> lab.toml:2:9
      |
    2 | network:
      |         ^
      |
      = help: this looks like YAML; in TOML: [network]

    error[L001]: key with no value, expected `=`
     --> lab.toml:3:7
      |
    3 |   lan:
      |       ^
      |
      = help: this looks like YAML; in TOML: [lan]

    error[L001]: key with no value, expected `=`
     --> lab.toml:4:14
      |
    4 |     address: 10.0.0.1/24
      |              ^
      |
      = help: this looks like YAML; in TOML: address = "10.0.0.1/24"

    4 errors; for more, run `dryrack explain L001`
    "#);
}

#[test]
fn lists_and_tables_without_an_end() {
    let lab = r#"dryrack = 1
a = { b = 1
c = [1, 2
[d]
"#;
    assert_snapshot!(check(lab), @"
    error[L007]: unknown key `a`
     --> lab.toml:2:1
      |
    2 | a = { b = 1
      | ^
      |
      = help: expected one of `dryrack`, `name`, `isolation`, `accel`, `parallel-boots`, `capture`, `clock`, `network`, `profile`, `group`, `node`, `host`, `process`, `publish`, `expect`, `action`, `fault`, `remove`

    error[L001]: missing comma between key-value pairs, expected `,`
     --> lab.toml:3:1
      |
    3 | c = [1, 2
      | ^
      |
      = help: a comma is missing, or the list or table above is not closed

    error[L001]: missing comma between array elements, expected `,`
     --> lab.toml:4:1
      |
    4 | [d]
      | ^
      |
      = help: a comma is missing, or the list or table above is not closed

    3 errors; for more, run `dryrack explain L007`
    ");
}

#[test]
fn a_table_twice() {
    assert_snapshot!(check_more("[network.lan]\nmtu = 9000\n"), @"
    error[L001]: `lan` is defined twice
     --> lab.toml:5:10
      |
    5 | [network.lan]
      |          ^^^
      |
      = help: a key or table can be defined only once, and an inline table { … } cannot be extended: merge the two

    1 error; for more, run `dryrack explain L001`
    ");
}

#[test]
fn a_key_twice() {
    assert_snapshot!(check("dryrack = 1\nname = \"a\"\nname = \"b\"\n"), @r#"
    error[L001]: `name` is defined twice
     --> lab.toml:3:1
      |
    3 | name = "b"
      | ^^^^
      |
      = help: a key or table can be defined only once, and an inline table { … } cannot be extended: merge the two

    1 error; for more, run `dryrack explain L001`
    "#);
}

#[test]
fn a_quote_too_few() {
    assert_snapshot!(check("dryrack = 1\nname = \"quickstart\nisolation = \"none\"\n"), @r#"
    error[L001]: invalid basic string, expected `"`
     --> lab.toml:2:19
      |
    2 | name = "quickstart
      |                   ^
      |
      = help: a string ends on the same line with the quote that it begins with; """ begins a multi-line string

    1 error; for more, run `dryrack explain L001`
    "#);
}

#[test]
fn something_else_entirely() {
    let html: String = (0..40).map(|line| format!("<p>line {line}</p>\n")).collect();
    assert_snapshot!(check(&html), @r#"
    error[L001]: invalid unquoted key, expected letters, numbers, `-`, `_`
     --> lab.toml:1:1
      |
    1 | <p>line 0</p>
      | ^
      |
      = help: a lab file is TOML: lines like key = "value" below [table] lines

    error[L001]: key with no value, expected `=`
     --> lab.toml:2:9
      |
    2 | <p>line 1</p>
      |         ^
      |
      = help: a key is followed by `=` and its value

    error[L001]: key with no value, expected `=`
     --> lab.toml:3:9
      |
    3 | <p>line 2</p>
      |         ^
      |
      = help: a key is followed by `=` and its value

    error[L001]: key with no value, expected `=`
     --> lab.toml:4:9
      |
    4 | <p>line 3</p>
      |         ^
      |
      = help: a key is followed by `=` and its value

    error[L001]: key with no value, expected `=`
     --> lab.toml:5:9
      |
    5 | <p>line 4</p>
      |         ^
      |
      = help: a key is followed by `=` and its value

    error[L001]: key with no value, expected `=`
     --> lab.toml:6:9
      |
    6 | <p>line 5</p>
      |         ^
      |
      = help: a key is followed by `=` and its value

    error[L001]: key with no value, expected `=`
     --> lab.toml:7:9
      |
    7 | <p>line 6</p>
      |         ^
      |
      = help: a key is followed by `=` and its value

    error[L001]: key with no value, expected `=`
     --> lab.toml:8:9
      |
    8 | <p>line 7</p>
      |         ^
      |
      = help: a key is followed by `=` and its value

    error[L001]: key with no value, expected `=`
     --> lab.toml:9:9
      |
    9 | <p>line 8</p>
      |         ^
      |
      = help: a key is followed by `=` and its value

    error[L001]: key with no value, expected `=`
      --> lab.toml:10:9
       |
    10 | <p>line 9</p>
       |         ^
       |
       = help: a key is followed by `=` and its value

    error[L001]: 30 more errors from here on are not shown
      --> lab.toml:11:9
       |
    11 | <p>line 10</p>
       |         ^
       |
       = help: is this the right file?

    11 errors; for more, run `dryrack explain L001`
    "#);
}

#[test]
fn zero_bytes() {
    assert_snapshot!(check("dryrack = 1\nname = \"a\0b\"\n"), @"
    error[L002]: `lab.toml` is not text: line 2 has a zero byte (byte 10 of the line)
     |
     = help: a lab file is TOML in UTF-8; is this the right file?

    1 error; for more, run `dryrack explain L002`
    ");
}

#[test]
fn not_utf_8() {
    assert_snapshot!(check_bytes(b"dryrack = 1\n# caf\xe9\n"), @"
    error[L002]: `lab.toml` is not text: line 2 has a byte that is not UTF-8 (byte 6 of the line)
     |
     = help: a lab file is TOML in UTF-8; is this the right file?

    1 error; for more, run `dryrack explain L002`
    ");
}

#[test]
fn utf_16() {
    let utf_16: Vec<u8> = "\u{feff}dryrack = 1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_snapshot!(check_bytes(&utf_16), @"
    error[L002]: `lab.toml` is UTF-16
     |
     = help: save it as UTF-8

    1 error; for more, run `dryrack explain L002`
    ");
}

#[test]
fn nothing_at_all() {
    assert_snapshot!(check(""), @"
    error[L003]: `lab.toml` is empty
     |
     = help: run `dryrack init` to write a small lab to start from

    1 error; for more, run `dryrack explain L003`
    ");
}

#[test]
fn nothing_but_comments() {
    assert_snapshot!(check("# dryrack = 1\n\n"), @"
    error[L003]: `lab.toml` is empty
     |
     = help: run `dryrack init` to write a small lab to start from

    1 error; for more, run `dryrack explain L003`
    ");
}

#[test]
fn too_large() {
    assert_snapshot!(check_bytes(&vec![b'#'; 10_000_000]), @"
    error[L004]: `lab.toml` is too large: 10000000 bytes
     |
     = help: a lab file has at most 1 MiB; is this the right file?

    1 error; for more, run `dryrack explain L004`
    ");
}

#[test]
fn too_deep() {
    assert_snapshot!(check(&format!("dryrack = 1\nname = {}{}\n", "[".repeat(50), "]".repeat(50))), @"
    error[L005]: tables or arrays are nested too deep here
     --> lab.toml:2:32
      |
    2 | name = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
      |                                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: a lab file needs at most ten levels

    1 error; for more, run `dryrack explain L005`
    ");
}

#[test]
fn far_too_deep() {
    assert_snapshot!(check(&format!("dryrack = 1\nname = {}\n", "[".repeat(50_000))), @"
    error[L005]: tables or arrays are nested too deep here
     --> lab.toml:2:51
      |
    2 | [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[...
      |                                                   ^
      |
      = help: a lab file needs at most ten levels

    1 error; for more, run `dryrack explain L005`
    ");
}
