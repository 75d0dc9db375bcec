//! Who may do what.

use super::super::Settings;
use super::super::settings::Plain;
use super::*;

const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
const ACCOUNTS: &str = "/redfish/v1/AccountService/Accounts";

#[track_caller]
fn add(bmc: &mut Bmc, name: &str, role: &str) -> String {
    let (status, body) =
        post(bmc, ACCOUNTS, &json!({ "UserName": name, "Password": "word-word", "RoleId": role }));
    assert_eq!(status, 201, "{body}");
    body["@odata.id"].as_str().unwrap().to_owned()
}

fn status_with(bmc: &mut Bmc, method: Method, target: &str, headers: &[(&str, &str)]) -> u16 {
    done(answer(bmc, &request(method, target, headers, ""))).status.as_u16()
}

#[test]
fn only_the_root_is_for_everybody() {
    let mut bmc = bmc();
    for public in
        ["/redfish", "/redfish/", "/redfish/v1", "/redfish/v1/", "/redfish/v1/odata", "/redfish/v1/$metadata"]
    {
        assert_eq!(status_with(&mut bmc, Method::GET, public, &[]), 200, "{public}");
        assert_eq!(status_with(&mut bmc, Method::GET, public, &[("x-auth-token", "wrong")]), 200, "{public}");
    }
    for target in ["/redfish/v1/Systems", SESSIONS, "/redfish/v1/Nowhere", "/", "/redfish/v2", "/index.html"]
    {
        let reply = done(answer(&mut bmc, &request(Method::GET, target, &[], "")));
        assert_eq!(reply.status, 401, "{target}");
        assert!(reply.headers.contains_key("www-authenticate"));
    }
    for header in [
        ("authorization", "Basic x"),
        ("authorization", "Bearer x"),
        ("x-auth-token", ""),
        ("authorization", ""),
    ] {
        assert_eq!(status_with(&mut bmc, Method::GET, SYSTEM, &[header]), 401, "{header:?}");
    }
    assert_eq!(status_with(&mut bmc, Method::POST, "/redfish/v1/", &[]), 401);
    assert_eq!(ask(&mut bmc, Method::GET, "/redfish/v1/Nowhere", &Value::Null).0, 404);
    assert_eq!(ask(&mut bmc, Method::GET, "/", &Value::Null).0, 404);
}

#[test]
fn a_session_lasts_until_it_is_deleted() {
    let mut bmc = bmc();
    let body = json!({ "UserName": "admin", "Password": PASSWORD }).to_string();
    // An expired token does not keep anybody from logging in.
    let created = done(answer(&mut bmc, &request(Method::POST, SESSIONS, &[("x-auth-token", "old")], &body)));
    assert_eq!(created.status, 201);
    let token = created.headers["x-auth-token"].to_str().unwrap().to_owned();
    let location = created.headers["location"].to_str().unwrap().to_owned();
    assert!(token.len() == 32 && !String::from_utf8(created.body).unwrap().contains(&token));
    let head = [("x-auth-token", token.as_str())];
    assert_eq!(status_with(&mut bmc, Method::GET, SYSTEM, &head), 200);
    assert_eq!(status_with(&mut bmc, Method::DELETE, &location, &head), 204);
    assert_eq!(status_with(&mut bmc, Method::GET, SYSTEM, &head), 401);
    let wrong = json!({ "UserName": "admin", "Password": "wrong" }).to_string();
    assert_eq!(done(answer(&mut bmc, &request(Method::POST, SESSIONS, &[], &wrong))).status, 401);
    let members = format!("{SESSIONS}/Members");
    assert_eq!(done(answer(&mut bmc, &request(Method::POST, &members, &[], &body))).status, 201);
}

#[test]
fn roles_may_what_they_may() {
    let mut bmc = bmc();
    add(&mut bmc, "op", "Operator");
    let read = add(&mut bmc, "ro", "ReadOnly");
    let power = format!("{SYSTEM}/Actions/ComputerSystem.Reset");
    let on = json!({ "ResetType": "On" });
    for (who, method, target, body, status) in [
        ("op", Method::POST, power.as_str(), on.clone(), 204),
        ("ro", Method::POST, power.as_str(), on.clone(), 403),
        ("ro", Method::GET, SYSTEM, Value::Null, 200),
        ("op", Method::PATCH, "/redfish/v1/SessionService", json!({ "SessionTimeout": 60 }), 403),
        ("op", Method::POST, ACCOUNTS, json!({}), 403),
        ("ro", Method::GET, "/redfish/v1/AccountService/Accounts/2", Value::Null, 403),
        ("ro", Method::GET, read.as_str(), Value::Null, 200),
        ("ro", Method::PATCH, read.as_str(), json!({ "RoleId": "Administrator" }), 403),
        ("ro", Method::DELETE, read.as_str(), Value::Null, 403),
        ("ro", Method::PATCH, read.as_str(), json!({ "Password": "word-word" }), 200),
    ] {
        let got = ask_as(&mut bmc, (who, "word-word"), method.clone(), target, &body).0;
        assert_eq!(got, status, "{who} {method} {target}");
    }
}

#[test]
fn a_query_shows_no_more_than_the_user_may_read() {
    let mut bmc = bmc();
    add(&mut bmc, "ro", "ReadOnly");
    let open = done(answer(&mut bmc, &request(Method::GET, "/redfish/v1/?$expand=*($levels=3)", &[], "")));
    let root: Value = serde_json::from_slice(&open.body).unwrap();
    assert_eq!(root["Systems"], json!({ "@odata.id": "/redfish/v1/Systems" }));
    let root = get(&mut bmc, "/redfish/v1/?$expand=.");
    assert_eq!(root["Systems"]["Members"][0]["@odata.id"], SYSTEM);
    let who = ("ro", "word-word");
    let expanded = ask_as(&mut bmc, who, Method::GET, &format!("{ACCOUNTS}?$expand=*"), &Value::Null).1;
    assert_eq!(expanded["Members"][0], json!({ "@odata.id": format!("{ACCOUNTS}/2") }));
    assert_eq!(expanded["Members"][1]["UserName"], "ro");
    bmc.users.remove(3);
    bmc.users.get_mut(2).unwrap().level = Some(crate::bmc::ipmi::privilege::Privilege::User);
    assert_eq!(ask(&mut bmc, Method::GET, &format!("{ACCOUNTS}?only"), &Value::Null).0, 200);
}

#[test]
fn accounts_are_the_users_of_ipmi() {
    let mut bmc = bmc();
    let uri = add(&mut bmc, "op", "Operator");
    let (id, user) = bmc.users.named(b"op").unwrap();
    assert_eq!((format!("{ACCOUNTS}/{id}"), user.password.bytes()), (uri.clone(), &b"word-word"[..]));
    assert!(!bmc.users.get(id).unwrap().has_sol || bmc.users.get(id).unwrap().is_enabled);
    for (body, message) in [
        (json!({ "UserName": "admin" }), "ResourceAlreadyExists"),
        (json!({ "UserName": "12345678901234567" }), "StringValueTooLong"),
        (json!({ "UserName": "a:b" }), "PropertyValueFormatError"),
        (json!({ "Password": "123456789012345678901" }), "StringValueTooLong"),
        (json!({ "Password": "" }), "StringValueTooShort"),
        (json!({ "RoleId": "King" }), "PropertyValueNotInList"),
        (json!({ "Locked": true }), "PropertyValueNotInList"),
        (json!({ "@odata.id": "x" }), "NoOperation"),
        (json!({}), "NoOperation"),
        (json!({ "Bogus": 1, "Id": "3" }), "PropertyUnknown PropertyNotWritable"),
    ] {
        let (status, body) = patch(&mut bmc, &uri, &body);
        assert_eq!((status, messages(&body).join(" ")), (400, message.to_owned()));
    }
    let before = get(&mut bmc, &uri)["@odata.etag"].clone();
    let (status, body) = patch(&mut bmc, &uri, &json!({ "Password": "other", "Bogus": 1 }));
    assert_eq!((status, messages(&body)), (200, vec!["PropertyUnknown".to_owned()]));
    assert_ne!(body["@odata.etag"], before);
    assert_eq!(ask(&mut bmc, Method::DELETE, &uri, &Value::Null).0, 204);
    assert!(bmc.users.named(b"op").is_none());
    assert_eq!(ask(&mut bmc, Method::DELETE, &format!("{ACCOUNTS}/2"), &Value::Null).0, 400);
    for number in 0..8 {
        add(&mut bmc, &format!("user{number}"), "ReadOnly");
    }
    let one_more = json!({ "UserName": "more", "Password": "word-word", "RoleId": "ReadOnly" });
    assert_eq!(post(&mut bmc, ACCOUNTS, &one_more).0, 400);
}

#[test]
fn a_user_renamed_or_disabled_by_ipmi_is_logged_out() {
    let mut bmc = bmc();
    let body = json!({ "UserName": "admin", "Password": PASSWORD }).to_string();
    let log_in = |bmc: &mut Bmc| {
        let reply = done(answer(bmc, &request(Method::POST, SESSIONS, &[], &body)));
        reply.headers["x-auth-token"].to_str().unwrap().to_owned()
    };
    let token = log_in(&mut bmc);
    bmc.users.get_mut(2).unwrap().is_enabled = false;
    assert_eq!(status_with(&mut bmc, Method::GET, SYSTEM, &[("x-auth-token", &token)]), 401);
    bmc.users.get_mut(2).unwrap().is_enabled = true;
    let token = log_in(&mut bmc);
    bmc.users.get_mut(2).unwrap().name = "root".to_owned();
    assert_eq!(status_with(&mut bmc, Method::GET, SYSTEM, &[("x-auth-token", &token)]), 401);
}

#[test]
fn a_password_may_have_to_be_changed_first() {
    let mut bmc = bmc();
    let uri = add(&mut bmc, "op", "Operator");
    assert_eq!(patch(&mut bmc, &uri, &json!({ "PasswordChangeRequired": true })).0, 200);
    let who = ("op", "word-word");
    let (status, body) = ask_as(&mut bmc, who, Method::GET, SYSTEM, &Value::Null);
    assert_eq!((status, messages(&body)), (403, vec!["PasswordChangeRequired".to_owned()]));
    let log_in = json!({ "UserName": "op", "Password": "word-word" });
    let (status, body) = post(&mut bmc, SESSIONS, &log_in);
    assert_eq!((status, messages(&body)), (201, vec!["PasswordChangeRequired".to_owned()]));
    assert_eq!(ask_as(&mut bmc, who, Method::GET, &uri, &Value::Null).0, 200);
    assert_eq!(ask_as(&mut bmc, who, Method::PATCH, &uri, &json!({ "Password": "new" })).0, 200);
    assert_eq!(ask_as(&mut bmc, ("op", "new"), Method::GET, SYSTEM, &Value::Null).0, 200);
}

#[test]
fn who_gets_the_number_of_a_former_user_is_somebody_else() {
    let mut bmc = bmc();
    let uri = add(&mut bmc, "op", "Operator");
    assert_eq!(patch(&mut bmc, &uri, &json!({ "PasswordChangeRequired": true })).0, 200);
    // As IPMI removes a user: by an empty name.
    bmc.users.remove(3);
    assert_eq!(add(&mut bmc, "other", "Operator"), uri);
    assert_eq!(ask_as(&mut bmc, ("other", "word-word"), Method::GET, SYSTEM, &Value::Null).0, 200);
}

#[test]
fn sessions_of_ipmi_end_with_what_their_user_may() {
    let mut bmc = bmc();
    let uri = add(&mut bmc, "op", "ReadOnly");
    assert!(bmc.take_ended().is_empty());
    assert!(!bmc.users.get(3).unwrap().has_sol);
    for change in
        [json!({ "RoleId": "Operator" }), json!({ "Password": "word-word-2" }), json!({ "Enabled": false })]
    {
        assert_eq!(patch(&mut bmc, &uri, &change).0, 200);
        assert_eq!(bmc.take_ended(), [3], "{change}");
    }
    assert!(bmc.users.get(3).unwrap().has_sol);
    assert_eq!(ask(&mut bmc, Method::DELETE, &uri, &Value::Null).0, 204);
    assert_eq!(bmc.take_ended(), [3]);
}

#[test]
fn wrong_passwords_lock_a_user_out() {
    let mut bmc = bmc();
    add(&mut bmc, "op", "Operator");
    let service = "/redfish/v1/AccountService";
    let rule = json!({ "AccountLockoutThreshold": 2, "AccountLockoutDuration": 30, "AccountLockoutCounterResetAfter": 60 });
    assert_eq!(patch(&mut bmc, service, &rule).0, 400);
    let rule = json!({ "AccountLockoutThreshold": 2, "AccountLockoutDuration": 30, "AccountLockoutCounterResetAfter": 30 });
    assert_eq!(patch(&mut bmc, service, &rule).0, 200);
    for _ in 0..2 {
        assert_eq!(ask_as(&mut bmc, ("op", "wrong"), Method::GET, SYSTEM, &Value::Null).0, 401);
    }
    assert_eq!(ask_as(&mut bmc, ("op", "word-word"), Method::GET, SYSTEM, &Value::Null).0, 401);
    assert_eq!(get(&mut bmc, &format!("{ACCOUNTS}/3"))["Locked"], true);
    assert_eq!(patch(&mut bmc, &format!("{ACCOUNTS}/3"), &json!({ "Locked": false })).0, 200);
    assert_eq!(ask_as(&mut bmc, ("op", "word-word"), Method::GET, SYSTEM, &Value::Null).0, 200);
}

#[test]
fn without_tls_there_is_only_a_redirect() {
    let mut bmc = bmc();
    let mut plain = request(Method::POST, &format!("{SESSIONS}?x=1"), &[("host", "bmc.lab:8080")], "{}");
    plain.transport = Transport::Plain;
    let reply = done(answer(&mut bmc, &plain));
    assert_eq!(
        (reply.status.as_u16(), &reply.headers["location"]),
        (308, &HeaderValue::from_static("https://bmc.lab/redfish/v1/SessionService/Sessions?x=1"))
    );
    bmc.redfish.settings = Settings { plain: Plain::Serve, ..Settings::default() };
    assert_eq!(done(answer(&mut bmc, &plain)).status, 400);
}
