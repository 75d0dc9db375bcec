//! Whatever is asked, nothing panics, and no answer is 500.

use proptest::prelude::*;

use super::super::{Outcome, deliver, finish};
use super::*;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,24}",
        any::<String>(),
        prop::sample::select(vec![
            "On",
            "ForceOff",
            "ForceRestart",
            "GracefulRestart",
            "Pxe",
            "UefiHttp",
            "Once",
            "Disabled",
            "None",
            "UEFI",
            "Lit",
            "ReadOnly",
            "admin",
            "http://10.0.0.1/a.iso",
            "https://10.0.0.1:99999/",
            "OnReset",
            "http://127.0.0.1",
            "DeletePK",
            "Redfish",
            "Stream",
        ])
        .prop_map(str::to_owned),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        prop::sample::select(vec![
            "ResetType",
            "Boot",
            "BootSourceOverrideTarget",
            "BootSourceOverrideEnabled",
            "HttpBootUri",
            "Image",
            "Inserted",
            "WriteProtected",
            "UserName",
            "Password",
            "RoleId",
            "Enabled",
            "Attributes",
            "BootTimeout",
            "NTP",
            "NTPServers",
            "Destination",
            "Protocol",
            "HttpHeaders",
            "Context",
            "SecureBootEnable",
            "ResetKeysType",
            "MessageId",
            "@odata.id",
            "@Redfish.SettingsApplyTime",
            "SessionTimeout",
            "RegistryPrefixes",
            "IndicatorLED",
            "PasswordChangeRequired",
            "Locked",
            "VerifyCertificate",
        ])
        .prop_map(str::to_owned),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn target() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "/redfish/v1/",
        "/redfish/v1/Systems",
        "/redfish/v1/Systems/1",
        "/redfish/v1/Systems/1/Bios/Settings",
        "/redfish/v1/Systems/1/SecureBoot",
        "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset",
        "/redfish/v1/Systems/1/VirtualMedia/Usb/Actions/VirtualMedia.InsertMedia",
        "/redfish/v1/Systems/1/VirtualMedia/Cd/Actions/VirtualMedia.EjectMedia",
        "/redfish/v1/Systems/1/VirtualMedia/Cd",
        "/redfish/v1/Systems/1/LogServices/Sel/Entries",
        "/redfish/v1/SessionService",
        "/redfish/v1/SessionService/Sessions",
        "/redfish/v1/SessionService/Sessions/1",
        "/redfish/v1/AccountService",
        "/redfish/v1/AccountService/Accounts",
        "/redfish/v1/AccountService/Accounts/2",
        "/redfish/v1/AccountService/Accounts/3",
        "/redfish/v1/Managers/1/NetworkProtocol",
        "/redfish/v1/EventService/Subscriptions",
        "/redfish/v1/EventService/Subscriptions/1",
        "/redfish/v1/EventService/Actions/EventService.SubmitTestEvent",
        "/redfish/v1/EventService/SSE",
        "/redfish/v1/Chassis/1/Sensors/FAN1",
        "/redfish/v1/TaskService/Tasks/1",
        "/redfish/v1/$metadata",
        "/redfish/v1/UpdateService/Actions/UpdateService.SimpleUpdate",
        "/redfish/v1/Registries/Base.1.21.0",
        "/redfish/v1/Systems/1/Storage/1/Volumes",
        "/redfish/v1/Managers/1/Actions/Manager.Reset",
    ]);
    let query = prop_oneof![
        Just(String::new()),
        "[?][ -~]{0,20}",
        prop::sample::select(vec![
            "?$expand=*($levels=3)",
            "?only",
            "?$select=Boot/x,Members",
            "?$top=1&$skip=9"
        ])
        .prop_map(str::to_owned),
    ];
    prop_oneof![
        (known, query).prop_map(|(path, query)| format!("{path}{query}")),
        "/redfish/v1/[ -~]{0,40}",
        any::<String>(),
    ]
}

fn requests() -> impl Strategy<Value = Request> {
    let method =
        prop::sample::select(vec!["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "BREW"]);
    let body = prop_oneof![
        4 => value().prop_map(|value| value.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..64),
    ];
    let header = prop::sample::select(vec![
        ("x", "y"),
        ("if-match", "*"),
        ("if-match", "\"x\""),
        ("if-none-match", "W/\"x\""),
        ("odata-version", "5"),
        ("content-type", "text/plain"),
        ("x-auth-token", "x"),
        ("host", "["),
        ("host", "a:b:c"),
    ]);
    (method, target(), header, body, any::<bool>()).prop_map(|(method, target, header, body, is_admin)| {
        let authorization = basic("admin", PASSWORD);
        let mut headers = vec![header];
        if is_admin {
            headers.push(("authorization", &authorization));
        }
        let mut request = request(method.parse().unwrap(), &target, &headers, "");
        request.body = body;
        request
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_panics_and_nothing_is_500(asked in prop::collection::vec(requests(), 1..12), plain: bool) {
        let mut bmc = bmc();
        for (index, mut request) in asked.into_iter().enumerate() {
            if plain && index % 3 == 0 {
                request.transport = Transport::Plain;
            }
            let reply = match answer(&mut bmc, &request) {
                Answer::Done(reply) | Answer::Stream(reply, _) => reply,
                Answer::Pending(pending) | Answer::Background(_, pending) => {
                    let outcome = if index % 2 == 0 { Outcome::Found } else { Outcome::NoRanges };
                    finish(&mut bmc, at(10), pending, outcome)
                }
            };
            prop_assert!(reply.status.as_u16() != 500, "{request:?}");
            prop_assert!(!String::from_utf8_lossy(&reply.body).contains(PASSWORD));
            bmc.orders();
            deliver(&mut bmc);
            bmc.tick(at(20));
        }
    }
}
