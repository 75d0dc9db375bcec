//! The BMCs of a lab in the words of the programs that use them.
//!
//! Passwords are never in them: each names where its password is, as a shell would read it.

use std::fmt::Write as _;

use crate::bmc::redfish::settings::MediaWay;
use crate::lab::{Firmware, Secret};
use crate::name::Mac;
use crate::plan::{BmcPlan, NodePlan, Plan};

/// The programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BmcFormat {
    /// Comma-separated values with a header.
    Csv,
    /// Kubernetes objects of Metal3.
    BareMetalHost,
    /// Commands of MAAS.
    Maas,
    /// Kubernetes objects of Tinkerbell's Rufio.
    Tinkerbell,
}

/// Returns the BMCs of a plan; empty if there are none.
pub fn bmc_list(plan: &Plan, format: BmcFormat) -> String {
    let bmcs: Vec<Listed<'_>> = plan.nodes.values().filter_map(Listed::new).collect();
    if bmcs.is_empty() {
        return String::new();
    }
    match format {
        BmcFormat::Csv => csv(&bmcs),
        BmcFormat::BareMetalHost => objects(&bmcs, bare_metal_host),
        BmcFormat::Maas => bmcs.iter().map(maas).collect(),
        BmcFormat::Tinkerbell => objects(&bmcs, machine),
    }
}

/// A node with its BMC.
struct Listed<'a> {
    node: &'a NodePlan,
    bmc: &'a BmcPlan,
    /// The NIC that it boots from.
    mac: Option<Mac>,
}

impl<'a> Listed<'a> {
    fn new(node: &'a NodePlan) -> Option<Self> {
        let bmc = node.bmc.as_ref().filter(|bmc| bmc.ipmi || bmc.redfish.is_some())?;
        Some(Self { node, bmc, mac: node.nics.first().map(|nic| nic.mac) })
    }

    fn is_uefi(&self) -> bool {
        self.node.firmware != Firmware::Bios
    }

    /// The system in Redfish, if the BMC has that.
    fn system(&self) -> Option<String> {
        let address = self.bmc.address.addr();
        let system = self.bmc.personality.traits().redfish.system;
        self.bmc.redfish.as_ref().map(|_| format!("https://{address}/redfish/v1/Systems/{system}"))
    }

    /// Where the password is, as a word of the shell.
    fn password(&self) -> String {
        match &self.bmc.password {
            None => "\"$(cat \"$DRYRACK_BMC_PASSWORD_FILE\")\"".to_owned(),
            Some(Secret::Env(name)) => format!("\"${name}\""),
            Some(Secret::File(path)) => format!("\"$(cat {})\"", quoted(&path.display().to_string())),
        }
    }
}

/// Quotes a word for the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn csv(bmcs: &[Listed<'_>]) -> String {
    let mut text = "node,bmc,port,redfish,user,mac,firmware,cpus,memory-mib\n".to_owned();
    for listed in bmcs {
        let Listed { node, bmc, mac } = listed;
        let port = if bmc.ipmi { "623" } else { "" };
        let redfish = listed.system().unwrap_or_default();
        let mac = mac.map(|mac| mac.to_string()).unwrap_or_default();
        let user = format!("\"{}\"", bmc.user.replace('"', "\"\""));
        let firmware = match node.firmware {
            Firmware::Bios => "bios",
            Firmware::Uefi => "uefi",
            Firmware::UefiSecure => "uefi-secure",
        };
        let memory = node.memory.0 >> 20;
        writeln!(
            text,
            "{},{},{port},{redfish},{user},{mac},{firmware},{},{memory}",
            node.node,
            bmc.address.addr(),
            node.cpus
        )
        .expect("writing to a string cannot fail");
    }
    text
}

/// Joins objects of Kubernetes, after the commands that make their secrets.
fn objects(bmcs: &[Listed<'_>], object: fn(&Listed<'_>) -> String) -> String {
    let secret = |listed: &Listed<'_>| {
        let (node, user) = (&listed.node.node, quoted(&listed.bmc.user));
        format!(
            "# kubectl create secret generic {node}-bmc --from-literal=username={user} --from-literal=password={}\n",
            listed.password()
        )
    };
    let secrets: String = bmcs.iter().map(secret).collect();
    let all: Vec<String> = bmcs.iter().map(object).collect();
    format!("{secrets}{}", all.join("---\n"))
}

fn bare_metal_host(listed: &Listed<'_>) -> String {
    let Listed { node, bmc, mac } = listed;
    // Metal3 has no place for the certificate of an authority of one host.
    let address = match listed.system() {
        Some(system) => {
            let driver = match bmc.personality.traits().redfish.media.way {
                MediaWay::Nothing => "redfish",
                MediaWay::Action | MediaWay::ImageOnly | MediaWay::Patch => "redfish-virtualmedia",
            };
            format!("{driver}+{system}\n    disableCertificateVerification: true")
        }
        None => format!("ipmi://{}", bmc.address.addr()),
    };
    let mode = match node.firmware {
        Firmware::Bios => "legacy",
        Firmware::Uefi => "UEFI",
        Firmware::UefiSecure => "UEFISecureBoot",
    };
    let mac = mac.map(|mac| format!("  bootMACAddress: \"{mac}\"\n")).unwrap_or_default();
    format!(
        "apiVersion: metal3.io/v1alpha1\nkind: BareMetalHost\nmetadata:\n  name: {name}\nspec:\n  online: false\n\
         {mac}  bootMode: {mode}\n  bmc:\n    address: {address}\n    credentialsName: {name}-bmc\n",
        name = node.node,
    )
}

fn maas(listed: &Listed<'_>) -> String {
    let Listed { node, bmc, mac } = listed;
    if !bmc.ipmi && bmc.redfish.is_some() {
        return maas_by_redfish(listed);
    }
    let mac = mac.map(|mac| format!(" \\\n  mac_addresses={mac}")).unwrap_or_default();
    let boot = if listed.is_uefi() { "efi" } else { "auto" };
    format!(
        "maas \"$PROFILE\" machines create hostname={name} architecture=amd64{mac} \\\n  power_type=ipmi \
         power_parameters_power_driver=LAN_2_0 power_parameters_power_boot_type={boot} \\\n  \
         power_parameters_cipher_suite_id=17 power_parameters_power_address={address} \\\n  \
         power_parameters_power_user={user} \\\n  power_parameters_power_pass={password}\n",
        name = node.node,
        address = bmc.address.addr(),
        user = quoted(&bmc.user),
        password = listed.password(),
    )
}

fn maas_by_redfish(listed: &Listed<'_>) -> String {
    let Listed { node, bmc, mac } = listed;
    let mac = mac.map(|mac| format!(" \\\n  mac_addresses={mac}")).unwrap_or_default();
    format!(
        "maas \"$PROFILE\" machines create hostname={name} architecture=amd64{mac} \\\n  power_type=redfish \
         power_parameters_power_address={address} power_parameters_node_id={system} \\\n  \
         power_parameters_power_user={user} \\\n  power_parameters_power_pass={password}\n",
        name = node.node,
        address = bmc.address.addr(),
        system = bmc.personality.traits().redfish.system,
        user = quoted(&bmc.user),
        password = listed.password(),
    )
}

fn machine(Listed { node, bmc, .. }: &Listed<'_>) -> String {
    let ipmitool = if bmc.ipmi { "      ipmitool:\n        cipherSuite: \"17\"\n" } else { "" };
    let redfish = if bmc.redfish.is_some() { "      redfish:\n        port: 443\n" } else { "" };
    format!(
        "apiVersion: bmc.tinkerbell.org/v1alpha1\nkind: Machine\nmetadata:\n  name: {name}\nspec:\n  connection:\n    \
         host: {address}\n    port: 623\n    insecureTLS: true\n    authSecretRef:\n      name: {name}-bmc\n      \
         namespace: default\n    providerOptions:\n{ipmitool}{redfish}",
        name = node.node,
        address = bmc.address.addr(),
    )
}
