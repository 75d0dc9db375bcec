//! matchbox's gRPC in a lab: on the bridge, with what the lab file defines.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use dryrack::event::{Known, RpcCode};
use dryrack::plan::HttpsPlan;
use dryrack::run::authority::certificates::{self, Existing};

use crate::rack::{Rack, alone};
use crate::{LAB, kernel};

const DRYRACK: &str = env!("CARGO_BIN_EXE_dryrack");

fn with_certificates(folder: &Path) {
    kernel(folder);
    let addresses = vec![IpAddr::from(Ipv4Addr::new(10, 0, 0, 1))];
    let server = HttpsPlan { addresses, names: Vec::new() };
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    certificates::make(&folder.join("tls"), &server, today, 2, Existing::Stay).unwrap();
    std::fs::write(
        folder.join("g.json"),
        r#"{"id":"later","profile":"install","selector":{"os":"installed"}}"#,
    )
    .unwrap();
}

#[test]
fn groups_are_written_beside_those_of_the_lab_file() {
    alone(async || {
        let lab =
            LAB.replace("mtu = 1400", "mtu = 1400\nmatchbox = { data = \".\", rpc = { tls = \"tls\" } }");
        let lab = lab + "\n[group.rack]\nprofile = \"install\"\nselector = { zone = \"z1\" }\n";
        let rack = Rack::of(&lab, with_certificates).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let run = |arguments: &[&str]| {
            let to = ["--endpoint", "10.0.0.1:8081", "--tls", "tls"];
            let output = one.run_in(rack.folder.path(), DRYRACK, &[arguments, &to].concat());
            let said = [output.stdout, output.stderr].concat();
            (output.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
        };
        let (code, listed) = run(&["group", "list"]);
        assert_eq!(code, 0, "{listed}\n{}", rack.log.text());
        assert!(listed.lines().any(|line| line.starts_with("rack ") && line.contains("zone=z1")), "{listed}");
        assert_eq!(run(&["group", "create", "-f", "g.json"]), (0, "created group later\n".to_owned()));
        assert!(rack.folder.path().join("groups/later.json").is_file());
        let (_, listed) = run(&["group", "list"]);
        assert!(listed.contains("\nlater "), "{listed}");
        let (code, refused) = run(&["group", "delete", "rack"]);
        let expected = "FAILED_PRECONDITION): groups/rack.json is defined in the lab file: change it there";
        assert!(code == 2 && refused.contains(expected), "{refused}");
        let told = |known: &Known| matches!(known, Known::RpcServed { method, code, client, .. } if method == "rpcpb.Groups/GroupPut" && *code == RpcCode::Ok && client == "CN=client");
        rack.log.until("what was put", 5, told).await;
    });
}
