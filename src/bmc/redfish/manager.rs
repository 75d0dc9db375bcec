//! The manager: the BMC itself.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::message::{Key, Message};
use super::odata::{healthy, link, links, resource, time};
use super::patch::{Patch, texts};
use super::reply::Reply;
use super::root::manager_uuid;
use super::settings::Plain;
use crate::bmc::{Bmc, Now};

/// How many time servers there can be.
const TIME_SERVERS: usize = 4;

/// Returns the version of the firmware of the BMC.
pub(super) fn version(bmc: &Bmc) -> String {
    let (major, minor) = bmc.identity.version;
    bmc.redfish.settings.manager_version.clone().unwrap_or_else(|| format!("{major}.{minor}"))
}

/// Returns the manager.
pub(super) fn manager(bmc: &Bmc, now: Now) -> Value {
    let settings = &bmc.redfish.settings;
    let uri = settings.manager_uri();
    let below = |name: &str| link(&format!("{uri}/{name}"));
    resource(
        "Manager",
        &uri,
        &settings.manager,
        "Manager",
        json!({
            "Description": "The BMC of a machine of the lab",
            "ManagerType": "BMC",
            "Manufacturer": settings.vendor,
            "Model": settings.product,
            "UUID": manager_uuid(bmc),
            "ServiceEntryPointUUID": manager_uuid(bmc),
            "FirmwareVersion": version(bmc),
            "DateTime": time(now.unix),
            "DateTimeLocalOffset": "+00:00",
            "PowerState": "On",
            "Status": healthy(),
            "NetworkProtocol": below("NetworkProtocol"),
            "EthernetInterfaces": below("EthernetInterfaces"),
            "SerialInterfaces": below("SerialInterfaces"),
            "LogServices": link(&format!("{}/LogServices", settings.system_uri())),
            "VirtualMedia": link(&format!("{}/VirtualMedia", settings.system_uri())),
            "SerialConsole": {
                "ServiceEnabled": bmc.has_sol(),
                "MaxConcurrentSessions": u8::from(bmc.has_sol()),
                "ConnectTypesSupported": if bmc.has_sol() { json!(["IPMI"]) } else { json!([]) },
            },
            "CommandShell": { "ServiceEnabled": false, "MaxConcurrentSessions": 0, "ConnectTypesSupported": [] },
            "GraphicalConsole": { "ServiceEnabled": false, "MaxConcurrentSessions": 0, "ConnectTypesSupported": [] },
            "Links": {
                "ManagerForServers": links([settings.system_uri().as_str()]),
                "ManagerForChassis": links([settings.chassis_uri().as_str()]),
                "ManagerInChassis": link(&settings.chassis_uri()),
            },
            "Actions": {
                "#Manager.Reset": {
                    "target": format!("{uri}/Actions/Manager.Reset"),
                    "ResetType@Redfish.AllowableValues": ["GracefulRestart", "ForceRestart"],
                },
            },
        }),
    )
}

/// Restarts the web service of the BMC: nobody is logged in any more.
pub(super) fn reset(bmc: &mut Bmc, kind: &str) -> Reply {
    if !matches!(kind, "GracefulRestart" | "ForceRestart") {
        let arguments = [kind, "ResetType", "Manager.Reset"];
        let message = Message::new(Key::ActionParameterValueNotInList, &arguments);
        return *Reply::refuse(400, message.about("/ResetType"));
    }
    bmc.redfish.sessions.clear();
    bmc.redfish.subscriptions.end_streams();
    Reply::empty(204)
}

/// Returns the protocols of the BMC.
pub(super) fn network_protocol(bmc: &Bmc) -> Value {
    let settings = &bmc.redfish.settings;
    let uri = format!("{}/NetworkProtocol", settings.manager_uri());
    let host = format!("{}-bmc", bmc.identity.node);
    let https = match settings.plain {
        Plain::Redirect(port) => port,
        Plain::Serve => 443,
    };
    resource(
        "ManagerNetworkProtocol",
        &uri,
        "NetworkProtocol",
        "Protocols of the manager",
        json!({
            "HostName": host,
            "FQDN": host,
            "HTTP": { "ProtocolEnabled": bmc.serves_plain(), "Port": 80 },
            "HTTPS": { "ProtocolEnabled": bmc.has_tls(), "Port": https },
            "IPMI": { "ProtocolEnabled": true, "Port": 623 },
            "NTP": {
                "ProtocolEnabled": bmc.redfish.ntp.is_enabled,
                "NTPServers": bmc.redfish.ntp.servers,
            },
            "SSDP": { "ProtocolEnabled": false },
            "Status": healthy(),
        }),
    )
}

/// Changes the protocols: time servers are kept and shown.
pub(super) fn patch_protocol(
    bmc: &mut Bmc,
    mut patch: Patch,
    current: &Value,
) -> Result<Vec<Message>, Box<Reply>> {
    const SERVERS: &str = "/NTP/NTPServers";
    let enabled = patch.flag("/NTP/ProtocolEnabled");
    let servers = patch.take(SERVERS).and_then(|given| {
        let servers = given.as_array().and_then(|array| texts(&bmc.redfish.ntp.servers, array));
        match &servers {
            None => patch.refuse(SERVERS, Key::PropertyValueTypeError, &given),
            Some(servers) if servers.len() > TIME_SERVERS => {
                let most = TIME_SERVERS.to_string();
                patch.wrong(Message::new(Key::ArraySizeTooLong, &["NTPServers", &most]).about(SERVERS));
            }
            Some(servers) if servers.iter().any(|server| server.len() > 253) => {
                patch.refuse(SERVERS, Key::PropertyValueFormatError, &given);
            }
            Some(_) => {}
        }
        servers
    });
    let left = patch.finish(current)?;
    let ntp = &mut bmc.redfish.ntp;
    ntp.is_enabled = enabled.unwrap_or(ntp.is_enabled);
    if let Some(servers) = servers {
        ntp.servers = servers;
    }
    Ok(left)
}

/// Returns the NIC of the BMC.
pub(super) fn nic(bmc: &Bmc) -> Value {
    let uri = format!("{}/EthernetInterfaces/1", bmc.redfish.settings.manager_uri());
    let lan = bmc.identity.lan;
    let mac = lan.mac.to_string();
    let gateway = (lan.gateway != Ipv4Addr::UNSPECIFIED).then(|| lan.gateway.to_string());
    let mut address = json!({
        "Address": lan.address.to_string(),
        "SubnetMask": lan.mask.to_string(),
        "AddressOrigin": "Static",
    });
    if let Some(gateway) = gateway {
        address["Gateway"] = json!(gateway);
    }
    let host = format!("{}-bmc", bmc.identity.node);
    resource(
        "EthernetInterface",
        &uri,
        "1",
        "Manager NIC",
        json!({
            "MACAddress": mac,
            "PermanentMACAddress": mac,
            "HostName": host,
            "FQDN": host,
            "SpeedMbps": 1000,
            "FullDuplex": true,
            "InterfaceEnabled": true,
            "LinkStatus": "LinkUp",
            "DHCPv4": { "DHCPEnabled": false },
            "IPv4Addresses": [address],
            "IPv6Addresses": [],
            "NameServers": [],
            "Status": healthy(),
        }),
    )
}

/// Returns the serial port that Serial over LAN shows.
pub(super) fn serial(bmc: &Bmc) -> Value {
    let uri = format!("{}/SerialInterfaces/1", bmc.redfish.settings.manager_uri());
    resource(
        "SerialInterface",
        &uri,
        "1",
        "Serial port",
        json!({
            "InterfaceEnabled": true,
            "SignalType": "Rs232",
            "BitRate": "115200",
            "Parity": "None",
            "DataBits": "8",
            "StopBits": "1",
            "FlowControl": "None",
        }),
    )
}
