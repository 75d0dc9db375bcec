//! Keys and values that earlier versions of the format knew by another name.

/// Keys: the old one, the new one.
const KEYS: &[(&str, &str)] = &[
    ("asset", "asset-tag"),
    ("at-once", "parallel-boots"),
    ("lease", "lease-time"),
    ("listen", "port"),
    ("pace", "firmware-delays"),
    ("place", "isolation"),
    ("reserve", "reservations"),
    ("unknown", "unknown-clients"),
];

/// Values: the key by its present name, the old value, the new one.
const VALUES: &[(&str, &str, &str)] = &[
    ("firmware-delays", "fast", "skip"),
    ("firmware-delays", "real", "keep"),
    ("isolation", "host", "none"),
    ("start", "lab", "auto"),
    ("tftp", "own", "builtin"),
];

/// Returns what a key is called now, if it was renamed and the table that it stands in has the new one.
pub(super) fn key(old: &str, fields: &[&'static str]) -> Option<&'static str> {
    KEYS.iter().find(|(was, is)| *was == old && fields.contains(is)).map(|(_, is)| *is)
}

/// Returns what a value of a key is called now, if it was renamed.
pub(super) fn value(key: &str, old: &str) -> Option<&'static str> {
    VALUES.iter().find(|(of, was, _)| *of == key && *was == old).map(|(_, _, is)| *is)
}
