//! Options of DHCP that boot clients are sent, and that make them wait or drop the answer.

use super::Case;
use crate::diag::{Code, Diagnostic};
use crate::import::boot::{UEFI_HTTP, is_url};
use crate::import::setup::{Sent, VENDOR_CLASS, VENDOR_OPTIONS};
use crate::import::{Kind, dnsmasq, isc, kea, udhcpd};

/// The option of a boot server (43.6) that says whether clients look for others.
const DISCOVERY_CONTROL: u8 = 6;

fn sent(case: &Case) -> Vec<Sent> {
    match case.kind {
        Kind::Dnsmasq => dnsmasq::sent(&case.document),
        Kind::Isc => isc::sent(&case.document),
        Kind::Kea => kea::sent(&case.document),
        Kind::Udhcpd => udhcpd::sent(&case.document),
        _ => Vec::new(),
    }
}

/// Checks the options of the files.
pub(super) fn check(cases: &[Case], found: &mut Vec<Diagnostic>) {
    let all: Vec<(&Case, Sent)> =
        cases.iter().flat_map(|case| sent(case).into_iter().map(move |sent| (case, sent))).collect();
    for (case, sent) in &all {
        let span = case.document.span(sent.item);
        let boots = case.setup.networks.iter().any(|network| !network.boots.is_empty());
        let others = |(_, other): &(&Case, Sent)| other.code == VENDOR_OPTIONS;
        let pxe = sent.code == VENDOR_CLASS && sent.value.starts_with("PXEClient");
        // dnsmasq adds them to its menu of PXE.
        let menu = case.kind == Kind::Dnsmasq && dnsmasq::has_menu(&case.document);
        if pxe && !menu && !all.iter().any(others) {
            let what =
                "the answer is one of PXE without option 43, so clients ask the server again at port 4011";
            found.push(
                Diagnostic::new(Code::PxeWithoutVendorOptions, span, what)
                    .help("remove the line, or add option 43 with the bytes 06:01:08: no further questions"),
            );
        } else if sent.code == VENDOR_OPTIONS && boots && !sent.scoped && !controls_discovery(&sent.value) {
            let what = "the options of a vendor are sent to PXE clients, too, which take them for their own";
            found.push(
                Diagnostic::new(Code::VendorOptionsForAll, span, what)
                    .help("send option 43 only to clients with the vendor class (option 60) of that vendor"),
            );
        }
    }
    let answers_http =
        all.iter().any(|(_, sent)| sent.code == VENDOR_CLASS && sent.value.starts_with("HTTPClient"));
    let rules = cases.iter().flat_map(|case| &case.setup.networks).flat_map(|network| &network.boots);
    let mut by_http =
        rules.filter(|rule| rule.when.asks_http() && rule.when.holds(UEFI_HTTP) && is_url(&rule.file));
    if let (Some(rule), false) = (by_http.next(), answers_http) {
        let what = "firmware that boots by HTTP is told a URL, but not that the answer is for it";
        found.push(
            Diagnostic::new(Code::HttpWithoutClass, rule.from.clone(), what)
                .help("send it option 60 with the text `HTTPClient`, or it drops the answer"),
        );
    }
}

/// Returns whether options of a vendor are those of PXE: bytes in hexadecimal.
fn controls_discovery(value: &str) -> bool {
    let digits: String =
        value.trim_start_matches("0x").chars().filter(|c| !matches!(c, ':' | ' ' | ',')).collect();
    let bytes: Option<Vec<u8>> = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let Some(bytes) = bytes else { return false };
    let mut rest = bytes.as_slice();
    while let [code, tail @ ..] = rest {
        if *code == DISCOVERY_CONTROL {
            return true;
        }
        let length = tail.first().map_or(0, |length| usize::from(*length) + 1);
        rest = tail.get(length..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_pxe_control_discovery() {
        assert!(controls_discovery("06:01:08") && controls_discovery("0x0a0400505845060108"));
        assert!(!controls_discovery("01:04:0a:00:00:05") && !controls_discovery("UniFi"));
    }
}
