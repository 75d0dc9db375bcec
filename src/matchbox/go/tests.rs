//! Comparisons with Go's own results, row by row; `tests/matchbox/oracle` has created the files.

use serde_json::{Value, json};

use super::{float, json as go_json, mac, path, query, quote, sniff};

/// Compares the results of a function with Go's. Each row of a file has `in`, and `out` or `err`.
#[track_caller]
fn check(rows: &str, answer: impl Fn(&Value) -> Result<Value, String>) {
    let mut different = Vec::new();
    let mut compared = 0;
    for row in rows.lines() {
        let row: Value = serde_json::from_str(row).expect("a row is JSON");
        let wanted = match &row["err"] {
            Value::String(error) => Err(error.clone()),
            _ => Ok(row["out"].clone()),
        };
        let answered = answer(&row["in"]);
        if answered != wanted {
            different.push(format!("{}\n   Go: {wanted:?}\n ours: {answered:?}", row["in"]));
        }
        compared += 1;
    }
    assert!(compared > 20, "only {compared} rows were compared");
    assert!(different.is_empty(), "{} of {compared} differ:\n{}", different.len(), different.join("\n"));
}

macro_rules! rows {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/matchbox/go/", $name, ".jsonl"))
    };
}

fn text(input: &Value) -> &str {
    input.as_str().expect("the input is a text")
}

/// Returns bytes, which a row has as characters of the same numbers.
fn bytes(input: &Value) -> Vec<u8> {
    text(input).chars().map(|char| u8::try_from(u32::from(char)).expect("a byte")).collect()
}

#[test]
fn mac_addresses_are_read_as_go_reads_them() {
    check(rows!("mac"), |input| match mac::parse(text(input)) {
        Ok(address) => Ok(json!(mac::write(&address))),
        Err(error) => Err(error.to_string()),
    });
}

#[test]
fn an_address_without_separators_is_one_since_go_1_27() {
    assert_eq!(
        mac::parse("525400AABBCC").map(|address| mac::write(&address)),
        Ok("52:54:00:aa:bb:cc".to_owned())
    );
    assert_eq!(mac::parse("").expect_err("nothing is no address").to_string(), "invalid MAC address");
    assert_eq!(
        mac::parse("zz").expect_err("two letters are none").to_string(),
        "address zz: invalid MAC address"
    );
}

#[test]
fn queries_are_read_as_go_reads_them() {
    check(rows!("query"), |input| Ok(query::parse(text(input)).into_iter().collect()));
}

#[test]
fn a_query_of_too_many_pairs_says_nothing() {
    let pairs = |many| vec!["a=1"; many].join("&");
    assert_eq!(query::parse(&pairs(10_000)), [("a".to_owned(), "1".to_owned())]);
    assert_eq!(query::parse(&pairs(10_001)), []);
}

#[test]
fn paths_are_cleaned_as_go_cleans_them() {
    check(rows!("clean"), |input| Ok(json!(path::clean(text(input)))));
}

#[test]
fn clients_are_redirected_where_go_sends_them() {
    check(rows!("redirect"), |input| Ok(json!(path::redirect(text(input)).unwrap_or_default())));
}

#[test]
fn links_and_queries_are_escaped_as_go_escapes_them() {
    check(rows!("href"), |input| Ok(json!(path::href(text(input)))));
    check(rows!("escape"), |input| Ok(json!(query::escape(text(input).as_bytes()))));
}

#[test]
fn html_is_escaped_as_go_escapes_it() {
    assert_eq!(
        super::html_escape("<a href=\"x\">'&'</a>"),
        "&lt;a href=&#34;x&#34;&gt;&#39;&amp;&#39;&lt;/a&gt;"
    );
}

#[test]
fn media_types_are_guessed_as_go_guesses_them() {
    check(rows!("sniff"), |input| Ok(json!(sniff::media_type(&bytes(input)))));
}

#[test]
fn texts_are_quoted_as_go_quotes_them() {
    check(rows!("quote"), |input| {
        let bytes = bytes(input);
        let quoted = [quote::text(&bytes, quote::Keep::Printable), quote::text(&bytes, quote::Keep::Ascii)];
        Ok(json!([quoted[0], quoted[1], quote::can_backquote(&bytes).to_string()]))
    });
    check(rows!("unquote"), |input| {
        let unquoted = quote::unquote(text(input).as_bytes());
        unquoted.map(|text| json!(String::from_utf8_lossy(&text))).ok_or_else(|| "invalid syntax".to_owned())
    });
}

#[test]
fn numbers_are_written_as_go_writes_them() {
    check(rows!("float"), |input| {
        let value = text(&input[0]).parse().expect("a number");
        let verb = text(&input[1]).chars().next().expect("a verb");
        let precision = input[2].as_i64().and_then(|precision| usize::try_from(precision).ok());
        Ok(json!(float::format(value, verb, precision)))
    });
}

#[test]
fn json_is_read_and_written_as_go_does() {
    check(rows!("read"), |input| match go_json::read(&bytes(input)) {
        Ok(value) => Ok(json!(go_json::write(&value))),
        Err(error) => Err(error.to_string()),
    });
}

#[test]
fn json_says_the_line_of_what_is_wrong() {
    let line = |text: &str| go_json::read(text.as_bytes()).map_err(|error| error.line);
    assert_eq!(line("{\n\n  x}"), Err(3));
    assert_eq!(line("{\n\"a\": 1,\n"), Err(3));
    assert_eq!(line("[\n1e400,\n2\n]"), Err(2));
}

#[test]
fn json_too_deep_is_refused_before_it_exhausts_a_stack() {
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let value = go_json::read(nested(1_000).as_bytes()).expect("so deep is allowed");
    assert_eq!(go_json::write(&value), nested(1_000));
    let error = go_json::read(nested(1_000_000).as_bytes()).expect_err("so deep is not");
    assert_eq!(error.to_string(), "invalid character '[' exceeded max depth");
}

/// Decodes a struct of the real server, or returns Go's error.
fn fill<T>(
    text: &str,
    field: impl FnOnce(&go_json::Record<'_>) -> Result<T, go_json::JsonError>,
) -> Result<T, String> {
    let value = go_json::read(text.as_bytes()).map_err(|error| error.to_string())?;
    let record = go_json::Record::new("storagepb", "Group", &value).map_err(|error| error.to_string())?;
    field(&record).map_err(|error| error.to_string())
}

#[test]
fn keys_match_fields_whatever_their_case_and_the_last_counts() {
    assert_eq!(fill(r#"{"ID": "a"}"#, |record| record.string("id")), Ok("a".to_owned()));
    assert_eq!(fill(r#"{"id": "a", "Id": "b"}"#, |record| record.string("id")), Ok("b".to_owned()));
    assert_eq!(fill(r#"{"id": "a", "Id": null}"#, |record| record.string("id")), Ok("a".to_owned()));
    assert_eq!(fill(r#"{"other": 1}"#, |record| record.string("id")), Ok(String::new()));
    assert_eq!(fill("null", |record| record.string("id")), Ok(String::new()));
    assert_eq!(
        fill(r#"{"ſelector": {"a": "b", "c": null}}"#, |record| record.strings("selector"))
            .map(|map| map.len()),
        Ok(2)
    );
    let merged = fill(r#"{"selector": {"a": "1", "b": "1"}, "Selector": {"a": "2"}}"#, |record| {
        record.strings("selector")
    });
    assert_eq!(merged.map(|map| json!(map)), Ok(json!({"a": "2", "b": "1"})));
    assert_eq!(go_json::member(&json!({"Metadata": 1}), "metadata"), Some(&json!(1)));
    assert_eq!(go_json::member(&json!({"Metadata": null}), "metadata"), None);
}

#[test]
fn members_of_another_type_are_refused_in_gos_words() {
    let refused = |text, field: fn(&go_json::Record<'_>) -> Result<(), go_json::JsonError>| {
        fill(text, field).expect_err("it is refused")
    };
    assert_eq!(
        refused("[]", |_| Ok(())),
        "json: cannot unmarshal array into Go value of type storagepb.Group"
    );
    assert_eq!(
        refused(r#"{"selector": "x"}"#, |record| record.strings("selector").map(|_| ())),
        "json: cannot unmarshal string into Go struct field Group.selector of type map[string]string"
    );
    assert_eq!(
        refused(r#"{"selector": {"a": 1}}"#, |record| record.strings("selector").map(|_| ())),
        "json: cannot unmarshal number into Go struct field Group.selector of type string"
    );
    assert_eq!(
        refused(r#"{"metadata": [1]}"#, |record| record.object("metadata").map(|_| ())),
        "json: cannot unmarshal array into Go struct field Group.metadata of type map[string]interface {}"
    );
    assert_eq!(
        refused(r#"{"boot": true}"#, |record| record.record("boot", "storagepb", "NetBoot").map(|_| ())),
        "json: cannot unmarshal bool into Go struct field Group.boot of type storagepb.NetBoot"
    );
    assert_eq!(
        refused(r#"{"boot": {"initrd": ["a", {}]}}"#, |record| {
            record
                .record("boot", "storagepb", "NetBoot")?
                .map_or(Ok(Vec::new()), |boot| boot.list("initrd"))
                .map(|_| ())
        }),
        "json: cannot unmarshal object into Go struct field NetBoot.boot.initrd of type string"
    );
}
