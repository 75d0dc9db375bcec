//! Keys and values that were renamed since an earlier version of the format.

/// Keys: old name, new name.
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

/// Values: current name of the key, old value, new value.
const VALUES: &[(&str, &str, &str)] = &[
    ("firmware-delays", "fast", "skip"),
    ("firmware-delays", "real", "keep"),
    ("isolation", "host", "none"),
    ("ra", "false", "off"),
    ("ra", "true", "on"),
    ("start", "lab", "auto"),
    ("tftp", "own", "builtin"),
];

/// Returns the new name of a renamed key, if its table has a key of that name.
pub(super) fn key(old: &str, fields: &[&'static str]) -> Option<&'static str> {
    KEYS.iter().find(|(was, is)| *was == old && fields.contains(is)).map(|(_, is)| *is)
}

/// Returns the new name of a renamed value of a key.
pub(super) fn value(key: &str, old: &str) -> Option<&'static str> {
    VALUES.iter().find(|(of, was, _)| *of == key && *was == old).map(|(_, _, is)| *is)
}
