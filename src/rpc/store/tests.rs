//! Cases in which matchbox gives no answer; its answers are compared row by row in tests/rpc.rs.

use super::*;

fn store(added: &[(&str, &str)]) -> (tempfile::TempDir, Store) {
    let data = tempfile::tempdir().unwrap();
    let added = added.iter().map(|(entry, text)| ((*entry).to_owned(), DataEntry::Text((*text).to_owned())));
    let store = Store::open(data.path(), added.collect()).unwrap();
    (data, store)
}

fn group(id: &str, metadata: &str) -> message::Group {
    message::Group {
        id: id.to_owned(),
        profile: "p".to_owned(),
        metadata: metadata.as_bytes().to_vec(),
        ..message::Group::default()
    }
}

#[test]
fn nothing_to_put_is_said_and_kills_nobody() {
    let (_data, store) = store(&[]);
    let refused = [
        GroupPutRequest { group: None }.answer(&store).unwrap_err(),
        ProfilePutRequest { profile: None }.answer(&store).unwrap_err(),
    ];
    assert_eq!(
        refused,
        [RpcError::invalid("the request has no group"), RpcError::invalid("the request has no profile")]
    );
}

#[test]
fn a_profile_that_boots_nothing_still_comes_with_a_boot() {
    let (_data, store) = store(&[("profiles/p.json", r#"{"id":"p"}"#)]);
    let answer = ProfileGetRequest { id: "p".to_owned() }.answer(&store).unwrap();
    assert_eq!(answer.profile.unwrap().boot, Some(NetBoot::default()));
    let listed = ProfileListRequest {}.answer(&store).unwrap().profiles;
    assert_eq!(listed[0].boot, Some(NetBoot::default()));
}

#[test]
fn metadata_is_an_object_or_nothing() {
    let (data, store) = store(&[]);
    let mut seen = Vec::new();
    for metadata in ["", "null", "{}", r#"{"b":1e6,"a":"<&>"}"#, "[1]", "3", "\"x\"", "true", "{", "no"] {
        let group = Some(group("g", metadata));
        seen.push(match (GroupPutRequest { group }).answer(&store) {
            Err(error) => format!("{metadata}: {error}"),
            Ok(Done {}) => {
                let answer = GroupGetRequest { id: "g".to_owned() }.answer(&store).unwrap();
                format!("{metadata}: {}", String::from_utf8(answer.group.unwrap().metadata).unwrap())
            }
        });
    }
    insta::assert_snapshot!(seen.join("\n"), @r#"
    : 
    null: 
    {}: 
    {"b":1e6,"a":"<&>"}: {"a":"\u003c\u0026\u003e","b":1000000}
    [1]: json: cannot unmarshal array into Go value of type map[string]interface {}
    3: json: cannot unmarshal number into Go value of type map[string]interface {}
    "x": json: cannot unmarshal string into Go value of type map[string]interface {}
    true: json: cannot unmarshal bool into Go value of type map[string]interface {}
    {: unexpected end of JSON input
    no: invalid character 'o' in literal null (expecting 'u')
    "#);
    let written = GroupPutRequest { group: Some(group("g", r#"{"b":[1,{}],"a":"<&>"}"#)) };
    written.answer(&store).unwrap();
    insta::assert_snapshot!(std::fs::read_to_string(data.path().join("groups/g.json")).unwrap(), @r#"
    {
    	"id": "g",
    	"profile": "p",
    	"metadata": {
    		"a": "\u003c\u0026\u003e",
    		"b": [
    			1,
    			{}
    		]
    	}
    }
    "#);
}

#[test]
fn what_the_lab_file_defines_is_listed_and_selected_and_cannot_be_written() {
    let (_data, store) = store(&[
        ("groups/lab.json", r#"{"id":"lab","profile":"lab","selector":{"mac":"52-54-00-AA-BB-CC"}}"#),
        ("profiles/lab.json", r#"{"id":"lab","ignition_id":"lab.ign"}"#),
        ("ignition/lab.ign", "{}"),
    ]);
    GroupPutRequest { group: Some(group("disk", "")) }.answer(&store).unwrap();
    let listed = GroupListRequest {}.answer(&store).unwrap().groups;
    assert_eq!(listed.iter().map(|group| group.id.as_str()).collect::<Vec<_>>(), ["disk", "lab"]);
    let labels = Labels::from([("mac".to_owned(), "52:54:00:aa:bb:cc".to_owned())]);
    let selected = SelectProfileRequest { labels }.answer(&store).unwrap().profile.unwrap();
    assert_eq!(selected.ignition_id, "lab.ign");
    assert_eq!(IgnitionGetRequest { name: "lab.ign".to_owned() }.answer(&store).unwrap().config, b"{}");
    let refused = [
        GroupPutRequest { group: Some(group("lab", "")) }.answer(&store).unwrap_err(),
        ProfileDeleteRequest { id: "lab".to_owned() }.answer(&store).unwrap_err(),
        IgnitionPutRequest { name: "lab.ign".to_owned(), config: Vec::new() }.answer(&store).unwrap_err(),
    ];
    let refused = refused.map(|error| error.to_string());
    assert_eq!(
        refused,
        ["groups/lab.json", "profiles/lab.json", "ignition/lab.ign"]
            .map(|entry| format!("{entry} is defined in the lab file: change it there"))
    );
}
