//! curl: what the protocol says, request by request.

use serde_json::Value;

use crate::common::wait_for;
use crate::terminal::{SOON, Terminal};
use crate::{A, B, SYSTEM, answers, boot_of, curl, curl_as, open, pair, read, sends, until_power};

#[test]
fn is_answered() {
    let mut terminal = open(&["listener.py"]);
    needs_a_login(&mut terminal);
    redirects_to_https(&mut terminal);
    keeps_sessions(&mut terminal);
    keeps_etags(&mut terminal);
    checks_boot_modes(&mut terminal);
    heeds_roles(&mut terminal);
    locks_users_out(&mut terminal);
    streams_events(&mut terminal);
    pushes_events(&mut terminal);
    let version = terminal.ask("curl --version").said;
    let version: Vec<&str> = version.split(' ').take(2).collect();
    terminal.compare("redfish/curl", &version.join(" "));
    terminal.close();
}

fn needs_a_login(terminal: &mut Terminal) {
    let plain = "curl --silent --cacert $CA";
    assert_eq!(
        terminal.succeeds(&format!("{plain} https://10.91.1.10/redfish")),
        "{\"v1\":\"/redfish/v1/\"}"
    );
    for open in ["/", "", "/odata", "/$metadata"] {
        answers(terminal, &format!("{plain} '{A}{open}'"), 200);
    }
    let refused = terminal.succeeds(&format!("{plain} --include {A}/Systems"));
    assert!(
        refused.starts_with("HTTP/1.1 401 ") && refused.contains("\nwww-authenticate: Basic "),
        "{refused}"
    );
    answers(terminal, &curl_as("admin:wrong", SYSTEM), 401);
    answers(terminal, &curl_as("nobody:$PASSWORD", SYSTEM), 401);
    answers(terminal, &curl(SYSTEM), 200);
    answers(terminal, &curl(&format!("{A}/Systems/2")), 404);
    let head = terminal.succeeds(&curl(&format!("--head {SYSTEM}")));
    for line in ["odata-version: 4.0", "allow: GET, HEAD, PATCH", "cache-control: no-cache"] {
        assert!(head.lines().any(|one| one.trim() == line), "{line}: {head}");
    }
    answers(terminal, &curl(&format!("{} {SYSTEM}", sends("PUT", "{}"))), 405);
    answers(terminal, &curl(&format!("'{SYSTEM}?$unknown=1'")), 501);
    // Nobody without the authority of the lab takes the BMC for what it says.
    let done = terminal.types("curl --silent https://10.91.1.10/redfish/v1/");
    assert_eq!(done.code, 60, "{done:?}");
}

fn redirects_to_https(terminal: &mut Terminal) {
    let said = terminal.succeeds(
        "curl --silent --write-out '%{http_code} %{redirect_url}\\n' http://10.91.1.10/redfish/v1/Systems",
    );
    assert_eq!(said, "308 https://10.91.1.10/redfish/v1/Systems\n");
    let follows = "--location-trusted http://10.91.1.10/redfish/v1/Systems/1";
    answers(terminal, &curl(follows), 200);
    // Where the lab says so, there is no redirection.
    answers(terminal, &curl("http://10.91.1.50/redfish/v1/Systems/1"), 200);
    for (service, is_enabled) in [(A, false), (B, true)] {
        let protocols = read(terminal, &format!("{service}/Managers/1/NetworkProtocol"));
        assert_eq!(protocols["HTTP"]["ProtocolEnabled"], is_enabled, "{protocols}");
    }
}

fn keeps_sessions(terminal: &mut Terminal) {
    let body = "{\"UserName\": \"admin\", \"Password\": \"'$PASSWORD'\"}";
    let reply = terminal.succeeds(&format!(
        "curl --silent --cacert $CA --include {} {A}/SessionService/Sessions",
        sends("POST", body)
    ));
    let header = |name: &str| {
        let line = reply.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("{name}: {reply}")).trim().to_owned()
    };
    assert!(reply.starts_with("HTTP/1.1 201 "), "{reply}");
    let (token, location) = (header("x-auth-token"), header("location"));
    assert!(location.starts_with("/redfish/v1/SessionService/Sessions/"), "{location}");
    let as_session =
        |rest: &str| format!("curl --silent --cacert $CA --header 'X-Auth-Token: {token}' {rest}");
    answers(terminal, &as_session(SYSTEM), 200);
    let session = read(terminal, &format!("https://10.91.1.10{location}"));
    assert_eq!((&session["UserName"], &session["Password"]), (&"admin".into(), &Value::Null), "{session}");
    answers(terminal, &as_session(&format!("--request DELETE https://10.91.1.10{location}")), 204);
    answers(terminal, &as_session(SYSTEM), 401);
    let wrong = "{\"UserName\": \"admin\", \"Password\": \"wrong\"}";
    let logs_in = format!("curl --silent --cacert $CA {} {A}/SessionService/Sessions", sends("POST", wrong));
    answers(terminal, &logs_in, 401);
}

fn keeps_etags(terminal: &mut Terminal) {
    const ONCE: &str =
        "{\"Boot\": {\"BootSourceOverrideTarget\": \"Pxe\", \"BootSourceOverrideEnabled\": \"Once\"}}";
    let etag = |terminal: &Terminal| {
        let head = terminal.ask(&curl(&format!("--head {SYSTEM}"))).said;
        let line = head.lines().find_map(|line| line.strip_prefix("etag: ")).map(str::trim);
        line.unwrap_or_else(|| panic!("an ETag: {head}")).to_owned()
    };
    let first = etag(terminal);
    assert_eq!(read(terminal, SYSTEM)["@odata.etag"], first);
    assert_eq!(etag(terminal), first, "nothing has changed");
    answers(terminal, &curl(&format!("--header 'If-None-Match: {first}' {SYSTEM}")), 304);
    let patch = |etag: &str, body: &str| {
        curl(&format!("--header 'If-Match: {etag}' {} {SYSTEM}", sends("PATCH", body)))
    };
    answers(terminal, &patch(&first, ONCE), 200);
    assert_eq!(boot_of(terminal, SYSTEM), pair("Once", "Pxe"));
    let second = etag(terminal);
    assert_ne!(second, first);
    let disabled = "{\"Boot\": {\"BootSourceOverrideEnabled\": \"Disabled\"}}";
    answers(terminal, &patch(&first, disabled), 412);
    assert_eq!(boot_of(terminal, SYSTEM), pair("Once", "Pxe"), "nothing was changed");
    answers(terminal, &patch("*", disabled), 200);
    assert_eq!(boot_of(terminal, SYSTEM), pair("Disabled", "None"));
    // An action is no change of the resource that its ETag is of, whatever clients send.
    let reset = sends("POST", "{\"ResetType\": \"ForceOff\"}");
    let reset = format!("--header 'If-Match: {first}' {reset} {SYSTEM}/Actions/ComputerSystem.Reset");
    answers(terminal, &curl(&reset), 204);
}

/// What bmclib sends: with a mode first, then without.
fn checks_boot_modes(terminal: &mut Terminal) {
    let system = format!("{B}/Systems/1");
    let boot = |more: &str| {
        format!(
            "{{\"Boot\": {{\"BootSourceOverrideTarget\": \"Pxe\", \"BootSourceOverrideEnabled\": \"Once\"{more}}}}}"
        )
    };
    let legacy =
        curl(&format!("{} {system}", sends("PATCH", &boot(", \"BootSourceOverrideMode\": \"Legacy\""))));
    let refused = terminal.succeeds(&legacy);
    assert!(refused.contains("Base.1.21.PropertyValueNotInList"), "{refused}");
    answers(terminal, &legacy, 400);
    assert_eq!(boot_of(terminal, &system), pair("Disabled", "None"));
    answers(terminal, &curl(&format!("{} {system}", sends("PATCH", &boot("")))), 200);
    assert_eq!(boot_of(terminal, &system), pair("Once", "Pxe"));
    let unknown = sends("PATCH", "{\"Boot\": {\"BootSourceOverrideTarget\": \"Floppy\"}}");
    answers(terminal, &curl(&format!("{unknown} {system}")), 400);
    let disabled = sends("PATCH", "{\"Boot\": {\"BootSourceOverrideEnabled\": \"Disabled\"}}");
    answers(terminal, &curl(&format!("{disabled} {system}")), 200);
}

fn heeds_roles(terminal: &mut Terminal) {
    let accounts = format!("{A}/AccountService/Accounts");
    for (name, role) in [("operator", "Operator"), ("reader", "ReadOnly")] {
        let body =
            format!("{{\"UserName\": \"{name}\", \"Password\": \"{name}-secret\", \"RoleId\": \"{role}\"}}");
        answers(terminal, &curl(&format!("{} {accounts}", sends("POST", &body))), 201);
    }
    let off = sends("POST", "{\"ResetType\": \"ForceOff\"}");
    let off = format!("{off} {SYSTEM}/Actions/ComputerSystem.Reset");
    let other = sends(
        "POST",
        "{\"UserName\": \"other\", \"Password\": \"other-secret\", \"RoleId\": \"Administrator\"}",
    );
    for (user, may_reset) in [("operator:operator-secret", 204), ("reader:reader-secret", 403)] {
        answers(terminal, &curl_as(user, SYSTEM), 200);
        answers(terminal, &curl_as(user, &off), may_reset);
        answers(terminal, &curl_as(user, &format!("{other} {accounts}")), 403);
    }
    // Everybody may change the own password, and nothing else of the account.
    let reader = format!("{accounts}/4");
    let password = sends("PATCH", "{\"Password\": \"another-secret\"}");
    answers(terminal, &curl_as("reader:reader-secret", &format!("{password} {reader}")), 200);
    answers(terminal, &curl_as("reader:reader-secret", SYSTEM), 401);
    let role = sends("PATCH", "{\"RoleId\": \"Administrator\"}");
    answers(terminal, &curl_as("reader:another-secret", &format!("{role} {reader}")), 403);
    answers(terminal, &curl(&format!("--request DELETE {reader}")), 204);
    answers(terminal, &curl_as("reader:another-secret", SYSTEM), 401);
}

fn locks_users_out(terminal: &mut Terminal) {
    let service = format!("{A}/AccountService");
    let rule = sends("PATCH", "{\"AccountLockoutThreshold\": 3}");
    answers(terminal, &curl(&format!("{rule} {service}")), 200);
    for _ in 0..3 {
        answers(terminal, &curl_as("operator:wrong", SYSTEM), 401);
    }
    answers(terminal, &curl_as("operator:operator-secret", SYSTEM), 401);
    answers(terminal, &curl(SYSTEM), 200);
    let operator = format!("{service}/Accounts/3");
    assert_eq!(read(terminal, &operator)["Locked"], true);
    let unlock = sends("PATCH", "{\"Locked\": false}");
    answers(terminal, &curl(&format!("{unlock} {operator}")), 200);
    answers(terminal, &curl_as("operator:operator-secret", SYSTEM), 200);
    answers(terminal, &curl(&format!("--request DELETE {operator}")), 204);
}

/// Server-sent events. Whoever closes the stream ends the subscription.
fn streams_events(terminal: &mut Terminal) {
    let subscriptions = format!("{A}/EventService/Subscriptions");
    let count = |terminal: &Terminal| read(terminal, &subscriptions)["Members@odata.count"].clone();
    let stream = terminal.start(&curl(&format!("--no-buffer {A}/EventService/SSE >stream.txt")));
    wait_for("a subscription", SOON, || (count(terminal) == 1).then_some(()));
    let test = sends("POST", "{\"MessageId\": \"ResourceEvent.1.4.TestMessage\"}");
    let test = format!("{test} {A}/EventService/Actions/EventService.SubmitTestEvent");
    answers(terminal, &curl(&test), 204);
    for (reset, state) in [("On", "On"), ("ForceOff", "Off")] {
        let reset = sends("POST", &format!("{{\"ResetType\": \"{reset}\"}}"));
        answers(terminal, &curl(&format!("{reset} {SYSTEM}/Actions/ComputerSystem.Reset")), 204);
        until_power(terminal, SYSTEM, state);
        // The next command shall not be faster than what the machine tells.
        let told = format!("ResourceEvent.1.4.ResourcePowered{state}");
        terminal.until("cat stream.txt", &told);
    }
    let text = terminal.ask("cat stream.txt").said;
    let events: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).expect("an event is JSON"))
        .collect();
    let keys: Vec<&str> = events
        .iter()
        .filter_map(|event| event["Events"][0]["MessageId"].as_str()?.rsplit('.').next())
        .collect();
    let count_of = |key: &str| keys.iter().filter(|one| **one == key).count();
    for key in
        ["TestMessage", "ResourcePoweredOn", "ResourcePoweredOff", "BootInitiated", "PowerOn", "PowerOff"]
    {
        assert_eq!(count_of(key), 1, "{key}: {keys:?}");
    }
    terminal.kill("curl", stream);
    wait_for("the end of the subscription", SOON, || (count(terminal) == 0).then_some(()));
}

/// Events to a URL: first nobody listens there, then somebody does.
fn pushes_events(terminal: &mut Terminal) {
    let subscriptions = format!("{A}/EventService/Subscriptions");
    let to = |url: &str| {
        let body = format!("{{\"Destination\": \"{url}\", \"Protocol\": \"Redfish\"}}");
        curl(&format!("{} {subscriptions}", sends("POST", &body)))
    };
    // A BMC cannot be made to speak to what only it can reach.
    for url in ["http://127.0.0.1/events", "file:///etc/passwd", "http://[fe80::1]/events"] {
        answers(terminal, &to(url), 400);
    }
    answers(terminal, &to("http://10.91.1.1:9/events"), 201);
    assert_eq!(read(terminal, &subscriptions)["Members@odata.count"], 1);
    let subscribed = read(terminal, &subscriptions)["Members"][0]["@odata.id"].clone();
    let subscribed = subscribed.as_str().expect("a subscription");
    answers(terminal, &curl(&format!("--request DELETE https://10.91.1.10{subscribed}")), 204);
    assert_eq!(read(terminal, &subscriptions)["Members@odata.count"], 0);

    let listener = terminal.start("python3 listener.py 10.91.1.1 8099 pushed.txt");
    terminal.until("ss --listening --tcp --numeric", "10.91.1.1:8099");
    let body = "{\"Destination\": \"http://10.91.1.1:8099/events\", \"Protocol\": \"Redfish\", \"Context\": \"mine\", \
                \"HttpHeaders\": [{\"X-Lab\": \"yes\"}]}";
    answers(terminal, &curl(&format!("{} {subscriptions}", sends("POST", body))), 201);
    let test = sends("POST", "{\"MessageId\": \"ResourceEvent.1.4.TestMessage\"}");
    let submit = format!("{test} {A}/EventService/Actions/EventService.SubmitTestEvent");
    answers(terminal, &curl(&submit), 204);
    terminal.until("cat pushed.txt", "\"Context\":\"mine\"");
    let pushed = terminal.ask("cat pushed.txt").said;
    let (headers, event) = pushed.split_once("\n\n").expect("headers and an event");
    for header in ["Content-Type: application/json", "X-Lab: yes"] {
        assert!(headers.to_lowercase().contains(&header.to_lowercase()), "{header}: {headers}");
    }
    let event: Value = serde_json::from_str(event.lines().next().expect("a line")).expect("an event is JSON");
    assert_eq!(event["Events"][0]["MessageId"], "ResourceEvent.1.4.TestMessage");
    terminal.kill("python3", listener);
}
