use super::*;

/// Returns the tree in brackets: tags before scalars, quotes around what is not plain, `*` before aliases.
fn shown(bytes: &[u8]) -> String {
    match read(bytes) {
        Ok(tree) => show(&tree, tree.root()),
        Err(error) => format!("line {}: {}", error.line, error.message),
    }
}

fn show(tree: &Tree, id: NodeId) -> String {
    match &tree.node(id).what {
        What::Scalar(Scalar { text, tag, quoted }) => {
            let tag = tag.as_ref().map(|tag| format!("{tag} ")).unwrap_or_default();
            if *quoted { format!("{tag}{text:?}") } else { format!("{tag}{text}") }
        }
        What::Alias { name, .. } => format!("*{name}"),
        What::List(items) => {
            let items: Vec<String> = items.iter().map(|item| show(tree, *item)).collect();
            format!("[{}]", items.join(", "))
        }
        What::Map(pairs) => {
            let pairs =
                pairs.iter().map(|(key, value)| format!("{}: {}", show(tree, *key), show(tree, *value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => panic!("{other:?} is of JSON"),
    }
}

#[test]
fn texts_are_read_as_by_yaml_v3() {
    for (text, tree) in [
        // The last line needs no end, and none is added.
        ("a: |\n  b", r#"{a: "b"}"#),
        ("a: |\n  b\n", r#"{a: "b\n"}"#),
        // Tabs separate, but do not indent.
        ("a:\tb\n", "{a: b}"),
        ("a: b\n\t\nc: d\n", "line 2: found a tab character that violates indentation"),
        ("a:\n  -\tb: c\n", "line 2: found character that cannot start any token"),
        // Quoted texts may go on in any column, plain ones further in.
        ("a: \"b\nc\"\n", r#"{a: "b c"}"#),
        ("a: 'b\n\n\n   c'\n", r#"{a: "b\n\nc"}"#),
        ("a: b\nc\n", "line 3: could not find expected ':'"),
        // `%` in the first column is a directive, which cannot stand within a document.
        ("a: |\n  b\n%{ if c }\nd: e\n", "line 3: could not find expected directive name"),
        ("a: %b\n", "line 1: found character that cannot start any token"),
        ("%YAML 1.1\n---\na\n", "a"),
        ("%YAML 1.2\n---\na\n", "line 1: the directive names YAML 1.2, but only 1.1 is supported"),
        // Escapes.
        (r#"a: "\x41\u00e9\_""#, r#"{a: "Aé\u{a0}"}"#),
        ("- \"it\\'s\\\\'\"\n- \"a\\'b\"\n", r#"["it's\\'", "a'b"]"#),
        ("- a/b\n- \"c\n  \\/d\"\n", r"line 3: `\/` is not an escape sequence of YAML 1.1"),
        ("- '\\/'\n- \"\\\\/\"\n", r#"["\\/", "\\/"]"#),
        (r#"a: "\q""#, "line 1: found unknown escape character"),
        // Anchors and tags.
        ("- &a b\n- *a\n", "[b, *a]"),
        ("- &a.b c\n", "line 1: did not find expected alphabetic or numeric character"),
        ("- *a\n- &a b\n", "line 1: the anchor `a` is unknown"),
        ("&a [*a]\n", "[*a]"),
        (
            "[!!str a, !own b, ! c, !!map {}, !<tag:yaml.org,2002:int> 1]\n",
            "[!!str a, !own b, c, {}, !!int 1]",
        ),
        // The first document, and two tokens more.
        ("a\n---\n*b\n", "a"),
        ("a\n---\n\tb\n", "line 3: found character that cannot start any token"),
        ("a\n...\n\tb\n", "line 3: found character that cannot start any token"),
        ("{a: b} c\n", "{a: b}"),
        ("a: b\n---\nc: d\n@", "{a: b}"),
        // Nothing.
        ("", ""),
        ("# a\n", ""),
        ("---\n", ""),
        // Marks and control characters.
        ("\u{feff}a: b\n", "{a: b}"),
        ("a: b\n\u{feff}c: d\n", "{a: b, \u{feff}c: d}"),
        ("a: \u{1b}\n", "line 1: the control character U+001B is not allowed"),
        ("a\n\u{7f}\n", "line 2: the control character U+007F is not allowed"),
    ] {
        assert_eq!(shown(text.as_bytes()), tree, "{text:?}");
    }
}

#[test]
fn utf_16_needs_its_mark() {
    let text = "a: [ü, 😀]\n";
    let little: Vec<u8> =
        [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    assert_eq!(shown(&little), "{a: [ü, 😀]}");
    assert_eq!(shown(&big), "{a: [ü, 😀]}");
    assert_eq!(shown(&big[2..6]), "line 1: the control character U+0000 is not allowed");
    assert_eq!(
        shown(&big[..big.len() - 1]),
        "line 1: YAML with this byte order mark is UTF-16, and this is not"
    );
    assert_eq!(shown(b"a\n\xff\n"), "line 2: YAML is UTF-8, and this is not");
}

#[test]
fn depth_ends_behind_ten_thousand() {
    let deep = |depth| "[".repeat(depth) + &"]".repeat(depth);
    assert!(read(deep(10_000).as_bytes()).is_ok());
    for open in ["[", "{a: ", "- "] {
        let wrong = read(open.repeat(10_001).as_bytes()).expect_err("it is too deep");
        assert_eq!(wrong.message, "lists and maps are nested more than 10000 deep", "{open}");
    }
}

/// Each such string costs another parse, so what counts is how often times how long.
#[test]
fn escaped_apostrophes_are_bounded_by_what_is_parsed_again() {
    let strings = |count: usize, rest: usize| "- \"\\'\"\n".repeat(count) + "# " + &"x".repeat(rest);
    assert!(read(strings(1_200, 0).as_bytes()).is_ok());
    assert!(read(strings(3, 4 << 20).as_bytes()).is_ok());
    for text in [strings(5, 4 << 20), strings(20, 1 << 20), strings(4_000, 0)] {
        let error = read(text.as_bytes()).expect_err("it is parsed too often");
        assert!(error.message.contains("too many strings"), "{error:?}");
    }
    assert_eq!(read(strings(5, 4 << 20).as_bytes()).expect_err("see above").line, 4);
}
