//! Strings of the lab file with a meaning: sizes, durations, addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};

use super::value::Word;
use crate::matchbox::ignition;
use crate::name::{Bytes, IfName, Mac, Malformed};

impl Word for Bytes {
    const WANTED: &'static str = "a size like \"512MiB\" or \"4GiB\"";
    const PATTERN: &'static str = "^[0-9]+ *([KMGT]iB|[kMGT]B|B)$";
    const EXAMPLES: &'static [&'static str] = &["512MiB", "4GiB"];
}

impl Word for Mac {
    const WANTED: &'static str = "a MAC address like \"52:54:00:12:34:56\"";
    const PATTERN: &'static str = "^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$";
    const EXAMPLES: &'static [&'static str] = &["52:54:00:12:34:56"];
}

impl Word for IfName {
    const WANTED: &'static str = "a network interface name like \"eth1\"";
    const PATTERN: &'static str = "^[^/\\s]{1,15}$";
    const EXAMPLES: &'static [&'static str] = &["eth1"];
}

impl Word for Ipv4Net {
    const WANTED: &'static str = "an address with its prefix length like \"10.0.2.1/24\"";
    const PATTERN: &'static str = "^[0-9.]+/[0-9]+$";
    const EXAMPLES: &'static [&'static str] = &["10.0.2.1/24"];
}

impl Word for Ipv4Addr {
    const WANTED: &'static str = "an IPv4 address like \"10.0.2.15\"";
    const PATTERN: &'static str = "^[0-9]+(\\.[0-9]+){3}$";
    const EXAMPLES: &'static [&'static str] = &["10.0.2.15"];
}

impl Word for Ipv6Net {
    const WANTED: &'static str = "an IPv6 address with its prefix length like \"fd00:2::1/64\"";
    const PATTERN: &'static str = "^[0-9A-Fa-f.:]+/[0-9]+$";
    const EXAMPLES: &'static [&'static str] = &["fd00:2::1/64"];
}

impl Word for Ipv6Addr {
    const WANTED: &'static str = "an IPv6 address like \"fd00:2::15\"";
    const PATTERN: &'static str = "^[0-9A-Fa-f.:]+$";
    const EXAMPLES: &'static [&'static str] = &["fd00:2::15"];
}

impl Word for IpAddr {
    const WANTED: &'static str = "an IP address like \"10.0.2.15\"";
    const PATTERN: &'static str = "^[0-9A-Fa-f.:]+$";
    const EXAMPLES: &'static [&'static str] = &["10.0.2.15"];
}

impl Word for uuid::Uuid {
    const WANTED: &'static str = "a UUID like \"6e4f0d2c-8f4d-5a0e-9b1c-0123456789ab\"";
    const PATTERN: &'static str = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$";
    const EXAMPLES: &'static [&'static str] = &["6e4f0d2c-8f4d-5a0e-9b1c-0123456789ab"];
}

impl Word for ignition::Version {
    const WANTED: &'static str = "an Ignition config version from \"3.0.0\" to \"3.4.0\"";
    const PATTERN: &'static str = "^3\\.[0-4]\\.0$";
    const EXAMPLES: &'static [&'static str] = &["3.3.0"];
}

/// A duration, written `90s`, `10m` or `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

/// The longest duration in a lab: thirty days.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

const TIMES: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl FromStr for Span {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed(format!("`{text}` is not a duration like 90s, 10m or 1h30m, up to 30d"));
        let mut rest = text;
        let mut sum: u64 = 0;
        while !rest.is_empty() || text.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(malformed)?;
            let (number, tail) = rest.split_at(digits);
            let (unit, tail) =
                tail.split_at(tail.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(tail.len()));
            let (_, millis) = TIMES.iter().find(|(name, _)| *name == unit).ok_or_else(malformed)?;
            let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*millis));
            sum = part.and_then(|part| part.checked_add(sum)).ok_or_else(malformed)?;
            rest = tail;
        }
        let duration = Duration::from_millis(sum);
        if duration > LONGEST { Err(malformed()) } else { Ok(Self(duration)) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let whole = TIMES.iter().filter(|(_, size)| millis > 0 && millis.is_multiple_of(u128::from(*size)));
        match whole.max_by_key(|(_, size)| *size) {
            Some((unit, size)) => write!(f, "{}{unit}", millis / u128::from(*size)),
            None => f.write_str("0s"),
        }
    }
}

impl Word for Span {
    const WANTED: &'static str = "a duration like \"90s\", \"10m\" or \"1h30m\"";
    const PATTERN: &'static str = "^([0-9]+(ms|s|m|h|d))+$";
    const EXAMPLES: &'static [&'static str] = &["90s", "10m", "1h30m"];
}

/// The offset of a clock from another one: `-2h`, `+30m`, `1d`, `-10y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// Milliseconds; below zero behind.
    pub millis: i64,
}

/// The largest offset. Beyond 68 years a client of NTP cannot tell the direction any more (RFC 5905, section 6).
const FARTHEST: i64 = 60 * YEAR;
/// A year of 365 days, in milliseconds.
const YEAR: i64 = 365 * 86_400_000;

impl FromStr for Offset {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed =
            || Malformed(format!("`{text}` is not an offset like -2h, +30m, 1d or -10y, at most 60 years"));
        let (sign, rest) = match text.split_at_checked(1) {
            Some(("-", rest)) => (-1, rest),
            Some(("+", rest)) => (1, rest),
            _ => (1, text),
        };
        let (years, rest) = match rest.split_once('y') {
            Some((years, rest)) => (years, rest),
            None => ("0", rest),
        };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let years: i64 = Some(years)
            .filter(|years| digits(years))
            .and_then(|years| years.parse().ok())
            .ok_or_else(malformed)?;
        let rest = match rest {
            "" if text.contains('y') => 0,
            rest => {
                let Span(rest) = rest.parse().map_err(|_| malformed())?;
                i64::try_from(rest.as_millis()).map_err(|_| malformed())?
            }
        };
        let millis =
            years.checked_mul(YEAR).and_then(|years| years.checked_add(rest)).ok_or_else(malformed)?;
        if millis > FARTHEST { Err(malformed()) } else { Ok(Self { millis: sign * millis }) }
    }
}

impl Word for Offset {
    const WANTED: &'static str = "an offset like \"-2h\", \"+30m\" or \"-10y\"";
    const PATTERN: &'static str = "^[+-]?([0-9]+(ms|s|m|h|d|y))+$";
    const EXAMPLES: &'static [&'static str] = &["-2h", "+30m", "-10y"];
}

/// Where a NIC gets its address from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawAddress {
    /// From the network's pool.
    Pool,
    /// From a reservation.
    Fixed(Ipv4Addr),
}

impl FromStr for RawAddress {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "pool" { Ok(Self::Pool) } else { text.parse().map(Self::Fixed) }
    }
}

impl Word for RawAddress {
    const WANTED: &'static str = "an IPv4 address like \"10.0.2.15\", or \"pool\"";
    const PATTERN: &'static str = "^([0-9]+(\\.[0-9]+){3}|pool)$";
    const EXAMPLES: &'static [&'static str] = &["10.0.2.15", "pool"];
}

/// Where a NIC of a host gets its address from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawHostAddress {
    /// From a DHCP server.
    Dhcp,
    /// From the lab file; the prefix length is that of the network where left out.
    Fixed(Ipv4Addr, Option<u8>),
}

impl FromStr for RawHostAddress {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || Malformed(format!("`{text}` is not {}", Self::WANTED));
        match text {
            "dhcp" => Ok(Self::Dhcp),
            _ if text.contains('/') => {
                let net: Ipv4Net = text.parse().map_err(|_| malformed())?;
                Ok(Self::Fixed(net.addr(), Some(net.prefix_len())))
            }
            _ => Ok(Self::Fixed(text.parse().map_err(|_| malformed())?, None)),
        }
    }
}

impl Word for RawHostAddress {
    const WANTED: &'static str = "an IPv4 address like \"10.0.2.5/24\", or \"dhcp\"";
    const PATTERN: &'static str = "^([0-9]+(\\.[0-9]+){3}(/[0-9]+)?|dhcp)$";
    const EXAMPLES: &'static [&'static str] = &["10.0.2.5/24", "dhcp"];
}

/// A name server, whose port is 53 where left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server(pub SocketAddr);

impl FromStr for Server {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<IpAddr>() {
            Ok(address) => Ok(Self(SocketAddr::new(address, 53))),
            Err(_) => text.parse().map(Self),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Word for Server {
    const WANTED: &'static str = "a name server like \"8.8.8.8\" or \"10.0.2.3:5353\"";
    const PATTERN: &'static str = "^[0-9A-Fa-f.:\\[\\]]+$";
    const EXAMPLES: &'static [&'static str] = &["8.8.8.8", "10.0.2.3:5353"];
}

/// A service: an SRV record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Lower values are tried first.
    pub priority: u16,
    /// Its share among the services of the same priority.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// The host, as written.
    pub target: String,
}

impl FromStr for Service {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed(format!("`{text}` is not priority, weight, port and target"));
        let mut words = text.split_ascii_whitespace();
        let mut number = || words.next().and_then(|word| word.parse().ok()).ok_or_else(malformed);
        let (priority, weight, port) = (number()?, number()?, number()?);
        match (words.next(), words.next()) {
            (Some(target), None) => Ok(Self { priority, weight, port, target: target.to_owned() }),
            _ => Err(malformed()),
        }
    }
}

impl Word for Service {
    const WANTED: &'static str = "priority, weight, port and target like \"0 0 2380 node1\"";
    const PATTERN: &'static str = "^\\s*[0-9]+\\s+[0-9]+\\s+[0-9]+\\s+\\S+\\s*$";
    const EXAMPLES: &'static [&'static str] = &["0 0 2380 node1"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let seconds = |text: &str| text.parse::<Span>().map(|span| span.0.as_secs_f64()).ok();
        assert_eq!(seconds("90s"), Some(90.0));
        assert_eq!(seconds("1h30m"), Some(5400.0));
        assert_eq!(seconds("250ms"), Some(0.25));
        assert_eq!(seconds("0s"), Some(0.0));
        for bad in ["", "5", "s", "5 s", "1.5h", "-1s", "31d", "99999999999999999999s", "5S", "1h ", "5µs"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn offsets() {
        let hours = |text: &str| text.parse::<Offset>().map(|offset| offset.millis as f64 / 3_600_000.0).ok();
        assert_eq!(hours("-2h"), Some(-2.0));
        assert_eq!(hours("+30m"), Some(0.5));
        assert_eq!(hours("1d12h"), Some(36.0));
        assert_eq!(hours("-10y"), Some(-87_600.0));
        assert_eq!(hours("1y1h"), Some(8761.0));
        assert_eq!(hours("0s"), Some(0.0));
        for bad in [
            "",
            "-",
            "+",
            "y",
            "2",
            "--2h",
            "-y",
            "1yy",
            "2h1y",
            "61y",
            "99999999999999999999y",
            "1.5h",
            "+ 2h",
        ] {
            assert_eq!(hours(bad), None, "{bad}");
        }
    }

    #[test]
    fn services() {
        let read = |text: &str| {
            let Service { priority, weight, port, target } = text.parse().ok()?;
            Some(format!("{priority} {weight} {port} {target}"))
        };
        assert_eq!(read(" 0 10  2380 node1 ").as_deref(), Some("0 10 2380 node1"));
        for bad in ["", "node1", "0 0 node1", "0 0 2380", "0 0 65536 a", "-1 0 1 a", "0 0 1 a b"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn servers_default_to_port_53() {
        assert_eq!("8.8.8.8".parse::<Server>().unwrap().to_string(), "8.8.8.8:53");
        assert_eq!("[::1]:54".parse::<Server>().unwrap().to_string(), "[::1]:54");
    }
}
