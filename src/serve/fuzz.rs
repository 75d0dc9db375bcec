//! The fuzz targets of the services; each is defined beside its code.

pub(crate) use super::content::fuzz::path;
pub(crate) use super::dhcp::fuzz::{packet as dhcp_packet, proxy as dhcp_proxy, server as dhcp};
pub(crate) use super::dhcp6::fuzz::{packet as dhcp6_packet, server as dhcp6};
pub(crate) use super::dns::fuzz::{packet as dns_packet, question as dns, upstream as dns_upstream};
pub(crate) use super::http::fuzz::request as http;
pub(crate) use super::matchbox::fuzz::request as matchbox;
pub(crate) use super::neighbours::fuzz::frame as neighbours;
pub(crate) use super::ntp::fuzz::question as ntp;
pub(crate) use super::ra::fuzz::solicitation;
pub(crate) use super::syslog::fuzz::line as syslog;
pub(crate) use super::tftp::fuzz::{packet as tftp_packet, transfer as tftp};
