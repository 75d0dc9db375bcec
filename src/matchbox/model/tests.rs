use super::*;

fn group(text: &str) -> String {
    Group::read(text.as_bytes()).map_or_else(|error| format!("error: {error}"), |group| group.write())
}

fn profile(text: &str) -> String {
    Profile::read(text.as_bytes()).map_or_else(|error| format!("error: {error}"), |profile| profile.write())
}

#[test]
fn groups_are_written_as_the_real_server_writes_them() {
    let text = r#"{"metadata":{"z":1,"a":["<&>",{}],"big":12345678901,"n":null},"x":1,
        "selector":{"os":"installed","mac":"52-54-00-AA-BB-CC"},"profile":"p","name":"N & n","id":"g"}"#;
    assert_eq!(
        group(text),
        "{\n\t\"id\": \"g\",\n\t\"name\": \"N \\u0026 n\",\n\t\"profile\": \"p\",\n\t\"selector\": {\n\t\t\"mac\": \
         \"52:54:00:aa:bb:cc\",\n\t\t\"os\": \"installed\"\n\t},\n\t\"metadata\": {\n\t\t\"a\": [\n\t\t\t\"\\u003c\\u0026\\u003e\",\n\t\t\t{}\n\t\t],\n\t\t\"big\": \
         12345678901,\n\t\t\"n\": null,\n\t\t\"z\": 1\n\t}\n}"
    );
    assert_eq!(group("{}"), "{}");
    assert_eq!(group("null"), "{}");
    assert_eq!(group(r#"{"selector":{},"metadata":{}}"#), "{}");
    let empty = Group::read(br#"{"metadata":{}}"#).unwrap();
    assert_eq!(empty.metadata, Some(Map::new()), "which gRPC tells from none");
}

#[test]
fn profiles_are_written_as_the_real_server_writes_them() {
    let text = r#"{"generic_id":"g","boot":{"args":["a=\"b\" c"],"initrd":["i"],"kernel":"k"},"cloud_id":"c",
        "ignition_id":"i.ign","name":"n","id":"p"}"#;
    assert_eq!(
        profile(text),
        "{\n\t\"id\": \"p\",\n\t\"name\": \"n\",\n\t\"ignition_id\": \"i.ign\",\n\t\"cloud_id\": \"c\",\n\t\"boot\": \
         {\n\t\t\"kernel\": \"k\",\n\t\t\"initrd\": [\n\t\t\t\"i\"\n\t\t],\n\t\t\"args\": [\n\t\t\t\"a=\\\"b\\\" \
         c\"\n\t\t]\n\t},\n\t\"generic_id\": \"g\"\n}"
    );
    assert_eq!(profile(r#"{"id":"p","boot":{}}"#), "{\n\t\"id\": \"p\",\n\t\"boot\": {}\n}");
    assert_eq!(profile(r#"{"id":"p","boot":null}"#), "{\n\t\"id\": \"p\"\n}");
}

#[test]
fn json_is_read_as_go_reads_it() {
    let table = [
        r#"{"ID":"p","Boot":{"KERNEL":"k","Args":null,"initrd":[null]}}"#,
        r#"{"id":"a","Id":"b"}"#,
        r#"{"id":"p","name":null,"unknown":{"id":1}}"#,
        r#"{"boot":{"kernel":"K"}}"#,
        r#"{"id":""}"#,
        r#"{"id":1}"#,
        r#"{"id":"p","boot":{"kernel":[]}}"#,
        r#"{"id":"p","boot":{"args":"a b"}}"#,
        r#"{"id":"p","boot":true}"#,
        r#"["id"]"#,
    ];
    let lines: Vec<String> =
        table.iter().map(|text| format!("{text}\n  {}", profile(text).replace(['\n', '\t'], ""))).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"ID":"p","Boot":{"KERNEL":"k","Args":null,"initrd":[null]}}
      {"id": "p","boot": {"kernel": "k","initrd": [""]}}
    {"id":"a","Id":"b"}
      {"id": "b"}
    {"id":"p","name":null,"unknown":{"id":1}}
      {"id": "p"}
    {"boot":{"kernel":"K"}}
      error: Id is required
    {"id":""}
      error: Id is required
    {"id":1}
      error: json: cannot unmarshal number into Go struct field Profile.id of type string
    {"id":"p","boot":{"kernel":[]}}
      error: json: cannot unmarshal array into Go struct field NetBoot.boot.kernel of type string
    {"id":"p","boot":{"args":"a b"}}
      error: json: cannot unmarshal string into Go struct field NetBoot.boot.args of type []string
    {"id":"p","boot":true}
      error: json: cannot unmarshal bool into Go struct field Profile.boot of type storagepb.NetBoot
    ["id"]
      error: json: cannot unmarshal array into Go value of type storagepb.Profile
    "#);
    let table = [
        r#"{"selector":{"a":null}}"#,
        r#"{"selector":{"a":1}}"#,
        r#"{"selector":{"MAC":"525400AABBCC"}}"#,
        r#"{"selector":{"mac":"nonsense"}}"#,
        r#"{"selector":[]}"#,
        r#"{"metadata":"x"}"#,
    ];
    let lines: Vec<String> =
        table.iter().map(|text| format!("{text}\n  {}", group(text).replace(['\n', '\t'], ""))).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"selector":{"a":null}}
      {"selector": {"a": ""}}
    {"selector":{"a":1}}
      error: json: cannot unmarshal number into Go struct field RichGroup.selector of type string
    {"selector":{"MAC":"525400AABBCC"}}
      {"selector": {"MAC": "52:54:00:aa:bb:cc"}}
    {"selector":{"mac":"nonsense"}}
      error: address nonsense: invalid MAC address
    {"selector":[]}
      error: json: cannot unmarshal array into Go struct field RichGroup.selector of type map[string]string
    {"metadata":"x"}
      error: json: cannot unmarshal string into Go struct field RichGroup.metadata of type map[string]interface {}
    "#);
}

#[test]
fn the_line_of_what_is_no_json_is_told() {
    let error = Profile::read(b"{\n\"id\":\"badjson\",\n").unwrap_err();
    assert_eq!((error.line, error.to_string().as_str()), (Some(3), "unexpected end of JSON input"));
}

#[test]
fn what_is_missing_is_told_in_the_real_servers_words() {
    let check = |id: &str, profile: &str| {
        let group = Group { id: id.to_owned(), profile: profile.to_owned(), ..Group::default() };
        group.check().map_or_else(|error| error.to_string(), |()| "good".to_owned())
    };
    assert_eq!(check("", "p"), "Id is required");
    assert_eq!(check("g", ""), "Group requires a Profile");
    assert_eq!(check("g", "p"), "good");
    assert_eq!(Profile::default().check().unwrap_err().to_string(), "Id is required");
}
