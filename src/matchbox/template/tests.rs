//! Comparisons with Go, and the limits of rendering.

use serde_json::{Value, json};

use super::{Template, TemplateError};

/// Renders a template to text.
fn render(template: &str, data: &Value) -> Result<String, TemplateError> {
    let rendered = Template::parse("", template.as_bytes())?.render(data)?;
    Ok(String::from_utf8_lossy(&rendered).into_owned())
}

/// Returns the error of a template, and its line.
#[track_caller]
fn refused(template: &str, data: &Value) -> String {
    match render(template, data) {
        Ok(rendered) => panic!("{} bytes were rendered", rendered.len()),
        Err(error) => error.to_string(),
    }
}

macro_rules! fixture {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/matchbox/", $path))
    };
}

/// Rows with the results of real Go. If Go after 1.19 differs, a row has both.
#[test]
fn every_row_is_rendered_as_go_renders_it() {
    let data: Value = serde_json::from_str(fixture!("template/data.json")).expect("the data are JSON");
    let mut different = Vec::new();
    let mut compared = 0;
    for row in fixture!("template/table.jsonl").lines() {
        let row: Value = serde_json::from_str(row).expect("a row is JSON");
        let template = row["in"].as_str().expect("a template");
        let rendered = match render(template, row.get("data").unwrap_or(&data)) {
            Ok(out) => json!({"out": out}),
            Err(error) => json!({"err": error.message, "line": error.line}),
        };
        let same = ["out", "err", "line"].iter().all(|key| rendered.get(key) == row.get(key));
        if !same {
            different.push(format!("{row}\n ours: {rendered}"));
        }
        compared += 1;
    }
    assert!(compared > 800, "only {compared} rows were compared");
    assert!(different.is_empty(), "{} of {compared} differ:\n{}", different.len(), different.join("\n"));
}

/// The real matchbox's answers for a group with this metadata.
#[test]
fn every_template_that_the_real_server_was_asked_for_is_rendered_the_same() {
    let data = json!({
        "a": 999_999, "b": 1_000_000, "c": 1_234_567, "d": 0.0001, "e": 0.00001, "f": -1.5, "z": 1e21,
        "nul": null, "empty": "", "l": [1, "x", true, null, {"k": "v"}],
        "m": {"a": "s", "b": 1, "n": {"q": false}},
        "s": "he said \"hi\" <&>", "UP": "Up", "with space": "w", "mac": "not-a-mac", "t": "g", "zone": "A",
        "request": {
            "query": {"t": "g", "Zone": "A", "foo": "b r", "empty": "", "mac": "52:54:00:aa:bb:cc"},
            "raw_query": "t=g&Zone=A&foo=b%20r&foo=2&empty=&mac=52-54-00-AA-BB-CC",
        },
    });
    let rows = fixture!("golden/template-semantics.txt");
    let mut requested = 0;
    for (template, answer) in rows.lines().filter_map(|row| row.split_once(" => ")) {
        let rendered = match render(template.trim_end(), &data) {
            Ok(text) => format!("{text}|200"),
            // The status is on the next line.
            Err(_) => "404 page not found".to_owned(),
        };
        assert_eq!(rendered, answer, "{template}");
        requested += 1;
    }
    assert_eq!(requested, 34);
}

#[test]
fn bytes_that_are_no_utf_8_come_out_as_they_are() {
    let template = Template::parse("", b"\xff{{.}}\xfe{{`\xfd`}}{{\"\\xfc\"}}").expect("it is a template");
    assert_eq!(template.render(&json!("x")), Ok(b"\xffx\xfe\xfd\xfc".to_vec()));
}

#[test]
fn range_counts_to_a_number_since_go_1_22_and_assigns_since_1_20() {
    let data = json!({"l": ["a", "b"], "n": 3});
    let rendered = |template| render(template, &data);
    assert_eq!(rendered("{{range 3}}{{.}},{{end}}"), Ok("0,1,2,".to_owned()));
    assert_eq!(rendered("{{range $i := 2}}{{$i}}{{printf \"%T\" .}}{{end}}"), Ok("0int1int".to_owned()));
    assert_eq!(rendered("{{range 0}}x{{else}}none{{end}}"), Ok("none".to_owned()));
    assert_eq!(rendered("{{range -1}}x{{else}}none{{end}}"), Ok("none".to_owned()));
    assert_eq!(
        rendered("{{range index \"\\x02\" 0}}{{printf \"%T\" .}}{{end}}"),
        Ok("uint8uint8".to_owned())
    );
    assert_eq!(
        refused("{{range $i, $e := 3}}{{end}}", &data),
        "line 1: can't use 3 to iterate over more than one variable"
    );
    assert_eq!(refused("{{range .n}}{{end}}", &data), "line 1: range can't iterate over 3");
    assert_eq!(rendered("{{$x := 1}}{{range $x = .l}}{{end}}{{$x}}"), Ok("b".to_owned()));
    assert_eq!(
        rendered("{{$i := 1}}{{$x := 1}}{{range $i, $x = .l}}{{end}}{{$i}}{{$x}}"),
        Ok("1b".to_owned())
    );
}

#[test]
fn with_has_else_with_since_go_1_23() {
    let data = json!({"a": "", "b": "B", "c": "C"});
    assert_eq!(render("{{with .a}}1{{.}}{{else with .b}}2{{.}}{{else}}3{{end}}", &data), Ok("2B".to_owned()));
    assert_eq!(render("{{with .a}}1{{else with .a}}2{{else}}{{.c}}{{end}}", &data), Ok("C".to_owned()));
    assert_eq!(refused("{{with .a}}{{else if .b}}{{end}}", &data), "line 1: unexpected <if> in input");
}

#[test]
fn call_says_what_is_no_function() {
    assert_eq!(
        refused("{{call .t 1}}", &json!({"t": "x"})),
        "line 1: error calling call: non-function .t of type string"
    );
    assert_eq!(
        refused("{{.t | call}}", &json!({"t": "x"})),
        "line 1: error calling call: non-function x of type string"
    );
}

#[test]
fn errors_of_two_places_name_the_template() {
    let error = Template::parse("g1.tmpl", b"a\n{{if .a\n\n").expect_err("it ends too early");
    assert_eq!(error.to_string(), "line 4: unclosed action started at g1.tmpl:2");
}

#[test]
fn a_chain_of_else_if_may_be_long() {
    let arms: String = (0..5_000).map(|arm| format!("{{{{else if eq .a \"{arm}\"}}}}{arm}")).collect();
    let template = format!("{{{{if .no}}}}{arms}{{{{end}}}}");
    assert_eq!(render(&template, &json!({"no": false, "a": "4999"})), Ok("4999".to_owned()));
}

/// Runs a test on a stack of the size that the server's workers have.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(test);
    thread.expect("a thread starts").join().expect("the stack is large enough");
}

#[test]
fn what_is_nested_without_end_is_refused_before_it_exhausts_the_stack() {
    on_a_small_stack(|| {
        let data = json!({"a": 1});
        let nested = |open: &str, close: &str, depth: usize| {
            format!("{}{{{{.a}}}}{}", open.repeat(depth), close.repeat(depth))
        };
        for (open, close) in
            [("{{if .a}}", "{{end}}"), ("{{with $}}", "{{end}}"), ("{{range 1}}{{with $}}", "{{end}}{{end}}")]
        {
            assert_eq!(render(&nested(open, close, 45), &data), Ok("1".to_owned()));
            assert_eq!(
                refused(&nested(open, close, 100_000), &data),
                "line 1: max expression depth exceeded"
            );
        }
        let parens = |depth| format!("{{{{{}.a{}}}}}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(render(&parens(100), &data), Ok("1".to_owned()));
        assert_eq!(refused(&parens(100_000), &data), "line 1: max expression depth exceeded");
        let recursive = [
            "{{define \"T\"}}{{template \"T\" .}}{{end}}{{template \"T\" .}}",
            "{{template \"\" .}}",
            "{{define \"T\"}}{{range 1}}{{if true}}{{with (print ((1)))}}{{template \"T\" .}}{{end}}{{end}}{{end}}{{end}}{{template \"T\"}}",
        ];
        for template in recursive {
            assert_eq!(refused(template, &data), "line 1: exceeded maximum template depth (400)");
        }
        let mut deep = json!({"a": 1});
        for _ in 0..900 {
            deep = json!([deep]);
        }
        let below = "{{define \"T\"}}{{with .}}{{template \"T\" (index . 0)}}{{end}}{{end}}{{printf \"%v\" .}}{{template \"T\" .}}";
        let printing = "{{define \"T\"}}{{print .}}{{if (((((true)))))}}{{template \"T\" .}}{{end}}{{end}}{{template \"T\" .}}";
        for template in [below, printing] {
            assert_eq!(refused(template, &deep), "line 1: exceeded maximum template depth (400)");
        }
    });
}

#[test]
fn what_repeats_without_end_is_refused() {
    let data = json!({});
    let steps = "line 1: rendering takes more than 1000000 steps";
    assert_eq!(refused("{{range 1000000000}}{{end}}", &data), steps);
    assert_eq!(
        refused("{{range 9223372036854775807}}{{range 9223372036854775807}}{{end}}{{end}}", &data),
        steps
    );
    let output = "line 1: the output has more than 67108864 bytes";
    let text = json!("x".repeat(1_000));
    assert_eq!(refused("{{range 1000000}}{{$}}{{end}}", &text), output);
    let many = format!("{{{{printf \"{}\" 1}}}}", "%1000000[1]d".repeat(1_000));
    let often = "{{range 1000000}}{{printf \"%1000d\" 1}}{{end}}".to_owned();
    let doubling = "{{$x := print $ $}}".to_owned() + &"{{$x = print $x $x}}".repeat(100);
    for (function, template) in [("printf", many), ("printf", often), ("print", doubling)] {
        let bytes = format!("line 1: error calling {function}: functions make more than 67108864 bytes");
        assert_eq!(refused(&template, &text), bytes);
    }
}

#[test]
fn widths_and_precisions_may_be_as_large_as_go_takes_them() {
    for (verb, value, length) in [
        ("%1000000d", "5", 1_000_000),
        ("%.1000000d", "5", 1_000_000),
        ("%.1000000f", "1.5", 1_000_002),
        ("%.1000000e", "1.5", 1_000_006),
        ("%.1000000g", "1.5", 3),
        ("%#.1000000g", "1.5", 1_000_001),
        ("%.1000000x", "1.5", 1_000_008),
        ("%.1000000U", "5", 1_000_002),
        ("%1000000s", "`x`", 1_000_000),
        ("%1000001d", "5", 1_000_001),
    ] {
        let rendered =
            render(&format!("{{{{printf \"{verb}\" {value}}}}}"), &json!(null)).expect("it is rendered");
        assert_eq!(rendered.len(), length, "{verb} {}", &rendered[..rendered.len().min(40)]);
    }
}

#[test]
fn a_template_can_be_shared_among_threads() {
    fn shared<T: Send + Sync>(value: T) -> T {
        value
    }
    let template = shared(Template::parse("", b"{{.a}}").expect("it is a template"));
    let rendered = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| template.render(&json!({"a": "b"})))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it renders")).collect::<Vec<_>>()
    });
    assert_eq!(rendered, vec![Ok(b"b".to_vec()); 4]);
}
