//! The schema of Ignition configs: every field of every version, in one table.
//!
//! The order of fields is that of the Go structs, because it is the order in
//! which they are written. A Butane config has the same fields under other names,
//! and some of its own that are translated ([`Side::Butane`]).

/// The type of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// An integer.
    Number,
    /// A boolean.
    Flag,
    /// A record.
    Record(&'static Type),
    /// A list of strings.
    Texts,
    /// A list of records.
    Records(&'static Type),
}

impl Kind {
    /// Whether it is a list.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self, Self::Texts | Self::Records(_))
    }
}

/// How Go represents a field, which determines the output if it is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nil {
    /// A pointer or slice that is omitted when nil; structs, which never are.
    Omitted,
    /// A value that is always written, even if empty.
    Written,
    /// A value that is omitted when it is empty or zero.
    Empty,
    /// A pointer that is written as `null` when nil.
    Null,
}

/// The languages that have a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// In both.
    Both,
    /// Ignition only.
    Ignition,
    /// Butane only: a shorthand that is translated.
    Butane,
}

/// Whether a list may have duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeats {
    /// Allowed: options.
    Allowed,
    /// Not allowed.
    Refused,
    /// Not allowed, not even across all such lists of the record.
    RefusedTogether,
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// Its name in Ignition.
    pub(crate) name: &'static str,
    /// Its name in Butane.
    pub(crate) yaml: &'static str,
    /// Its type.
    pub(crate) kind: Kind,
    /// The minor version of Ignition that introduced it.
    pub(crate) since: u8,
    /// How Go represents it.
    pub(crate) nil: Nil,
    /// How Go represented it before a minor version.
    pub(crate) formerly: Option<(u8, Nil)>,
    /// The languages that have it.
    pub(crate) side: Side,
    /// Whether a list may have duplicates.
    pub(crate) repeats: Repeats,
}

impl Field {
    const fn new(name: &'static str, yaml: &'static str, kind: Kind) -> Self {
        Self {
            name,
            yaml,
            kind,
            since: 0,
            nil: Nil::Omitted,
            formerly: None,
            side: Side::Both,
            repeats: Repeats::Refused,
        }
    }

    const fn since(mut self, minor: u8) -> Self {
        self.since = minor;
        self
    }

    const fn nil(mut self, nil: Nil) -> Self {
        self.nil = nil;
        self
    }

    const fn before(mut self, minor: u8, nil: Nil) -> Self {
        self.formerly = Some((minor, nil));
        self
    }

    const fn side(mut self, side: Side) -> Self {
        self.side = side;
        self
    }

    const fn repeats(mut self, repeats: Repeats) -> Self {
        self.repeats = repeats;
        self
    }

    /// Returns how Go represents the field in a minor version.
    pub(crate) fn nil_in(&self, minor: u8) -> Nil {
        match self.formerly {
            Some((until, nil)) if minor < until => nil,
            _ => self.nil,
        }
    }
}

/// The key that identifies a record in a list.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Key {
    /// None: it is never in a list.
    None,
    /// A field.
    Field(&'static str),
    /// The number, otherwise the label.
    Partition,
}

/// The rule for a record in addition to the types of its fields; the rules are in `check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Authority,
    Config,
    Custom,
    Directory,
    Disk,
    Dropin,
    File,
    Filesystem,
    Header,
    IgnitionConfig,
    Luks,
    Node,
    Nothing,
    Owner,
    Partition,
    Proxy,
    Raid,
    Reference,
    Resource,
    Storage,
    Tang,
    Tls,
    Unit,
    Verification,
}

/// The type of a record: its fields and its rule.
#[derive(Debug)]
pub(crate) struct Type {
    /// The fields, in the order of writing.
    pub(crate) fields: &'static [Field],
    /// The key of such records.
    pub(crate) key: Key,
    /// Its rule.
    pub(crate) rule: Rule,
}

const fn text(name: &'static str, yaml: &'static str) -> Field {
    Field::new(name, yaml, Kind::Text)
}

const fn number(name: &'static str, yaml: &'static str) -> Field {
    Field::new(name, yaml, Kind::Number)
}

const fn flag(name: &'static str, yaml: &'static str) -> Field {
    Field::new(name, yaml, Kind::Flag)
}

const fn record(name: &'static str, yaml: &'static str, kind: &'static Type) -> Field {
    Field::new(name, yaml, Kind::Record(kind))
}

const fn texts(name: &'static str, yaml: &'static str) -> Field {
    Field::new(name, yaml, Kind::Texts)
}

const fn records(name: &'static str, yaml: &'static str, kind: &'static Type) -> Field {
    Field::new(name, yaml, Kind::Records(kind))
}

/// The required name of users, units and so on.
const NAME: Field = text("name", "name").nil(Nil::Written);
/// Contents in the Butane config itself.
const INLINE: Field = text("inline", "inline").side(Side::Butane);
/// Contents in a file beside the Butane config.
const LOCAL: Field = text("local", "local").side(Side::Butane).since(1);
const VERIFICATION_FIELD: Field = record("verification", "verification", &VERIFICATION);
const HEADERS: Field = records("httpHeaders", "http_headers", &HEADER).since(1);

/// A whole Ignition config.
pub(crate) static CONFIG: Type = Type {
    fields: &[
        record("ignition", "ignition", &IGNITION),
        record("kernelArguments", "kernel_arguments", &KERNEL_ARGUMENTS).since(3),
        record("passwd", "passwd", &PASSWD),
        record("storage", "storage", &STORAGE),
        record("systemd", "systemd", &SYSTEMD),
    ],
    key: Key::None,
    rule: Rule::Config,
};

/// The section about Ignition itself.
pub(crate) static IGNITION: Type = Type {
    fields: &[
        record("config", "config", &IGNITION_CONFIG),
        record("proxy", "proxy", &PROXY).since(1),
        record("security", "security", &SECURITY),
        record("timeouts", "timeouts", &TIMEOUTS),
        text("version", "version").nil(Nil::Written).before(4, Nil::Empty).side(Side::Ignition),
    ],
    key: Key::None,
    rule: Rule::Nothing,
};

static IGNITION_CONFIG: Type = Type {
    fields: &[records("merge", "merge", &REFERENCE), record("replace", "replace", &REFERENCE)],
    key: Key::None,
    rule: Rule::IgnitionConfig,
};

static PROXY: Type = Type {
    fields: &[
        text("httpProxy", "http_proxy"),
        text("httpsProxy", "https_proxy"),
        texts("noProxy", "no_proxy"),
    ],
    key: Key::None,
    rule: Rule::Proxy,
};

static SECURITY: Type = Type { fields: &[record("tls", "tls", &TLS)], key: Key::None, rule: Rule::Nothing };

static TLS: Type = Type {
    fields: &[records("certificateAuthorities", "certificate_authorities", &AUTHORITY)],
    key: Key::None,
    rule: Rule::Tls,
};

static TIMEOUTS: Type = Type {
    fields: &[number("httpResponseHeaders", "http_response_headers"), number("httpTotal", "http_total")],
    key: Key::None,
    rule: Rule::Nothing,
};

/// The contents of a file or key.
pub(crate) static RESOURCE: Type = Type {
    fields: &[
        text("compression", "compression"),
        HEADERS,
        text("source", "source"),
        INLINE,
        LOCAL,
        VERIFICATION_FIELD,
    ],
    key: Key::Field("source"),
    rule: Rule::Resource,
};

/// A reference to another config; in older versions with fewer fields than a [`RESOURCE`].
pub(crate) static REFERENCE: Type = Type {
    fields: &[
        text("compression", "compression").since(1),
        HEADERS,
        text("source", "source").before(1, Nil::Null),
        INLINE.since(1),
        LOCAL,
        VERIFICATION_FIELD,
    ],
    key: Key::Field("source"),
    rule: Rule::Reference,
};

/// A CA certificate; in older versions with fewer fields than a [`RESOURCE`].
static AUTHORITY: Type = Type {
    fields: &[
        text("compression", "compression").since(1),
        HEADERS,
        text("source", "source").before(1, Nil::Written),
        INLINE.since(1),
        LOCAL,
        VERIFICATION_FIELD,
    ],
    key: Key::Field("source"),
    rule: Rule::Authority,
};

static HEADER: Type =
    Type { fields: &[NAME, text("value", "value")], key: Key::Field("name"), rule: Rule::Header };

static VERIFICATION: Type =
    Type { fields: &[text("hash", "hash")], key: Key::None, rule: Rule::Verification };

static KERNEL_ARGUMENTS: Type = Type {
    fields: &[
        texts("shouldExist", "should_exist").repeats(Repeats::RefusedTogether),
        texts("shouldNotExist", "should_not_exist").repeats(Repeats::RefusedTogether),
    ],
    key: Key::None,
    rule: Rule::Nothing,
};

static PASSWD: Type = Type {
    fields: &[records("groups", "groups", &GROUP), records("users", "users", &USER)],
    key: Key::None,
    rule: Rule::Nothing,
};

static GROUP: Type = Type {
    fields: &[
        number("gid", "gid"),
        NAME,
        text("passwordHash", "password_hash"),
        flag("shouldExist", "should_exist").since(2),
        flag("system", "system"),
    ],
    key: Key::Field("name"),
    rule: Rule::Nothing,
};

static USER: Type = Type {
    fields: &[
        text("gecos", "gecos"),
        texts("groups", "groups"),
        text("homeDir", "home_dir"),
        NAME,
        flag("noCreateHome", "no_create_home"),
        flag("noLogInit", "no_log_init"),
        flag("noUserGroup", "no_user_group"),
        text("passwordHash", "password_hash"),
        text("primaryGroup", "primary_group"),
        texts("sshAuthorizedKeys", "ssh_authorized_keys"),
        texts("sshAuthorizedKeysLocal", "ssh_authorized_keys_local").side(Side::Butane).since(4),
        text("shell", "shell"),
        flag("shouldExist", "should_exist").since(2),
        flag("system", "system"),
        number("uid", "uid"),
    ],
    key: Key::Field("name"),
    rule: Rule::Nothing,
};

/// The section of disks and files.
pub(crate) static STORAGE: Type = Type {
    fields: &[
        records("directories", "directories", &DIRECTORY).repeats(Repeats::RefusedTogether),
        records("disks", "disks", &DISK),
        records("files", "files", &FILE).repeats(Repeats::RefusedTogether),
        records("filesystems", "filesystems", &FILESYSTEM),
        records("links", "links", &LINK).repeats(Repeats::RefusedTogether),
        records("luks", "luks", &LUKS).since(2),
        records("raid", "raid", &RAID),
        records("trees", "trees", &TREE).side(Side::Butane).since(1).repeats(Repeats::Allowed),
    ],
    key: Key::None,
    rule: Rule::Storage,
};

const GROUP_FIELD: Field = record("group", "group", &OWNER);
const OVERWRITE: Field = flag("overwrite", "overwrite");
const PATH: Field = text("path", "path").nil(Nil::Written);
const USER_FIELD: Field = record("user", "user", &OWNER);
const MODE: Field = number("mode", "mode");

static OWNER: Type =
    Type { fields: &[number("id", "id"), text("name", "name")], key: Key::None, rule: Rule::Owner };

/// A directory.
pub(crate) static DIRECTORY: Type = Type {
    fields: &[GROUP_FIELD, OVERWRITE, PATH, USER_FIELD, MODE],
    key: Key::Field("path"),
    rule: Rule::Directory,
};

/// A file.
pub(crate) static FILE: Type = Type {
    fields: &[
        GROUP_FIELD,
        OVERWRITE,
        PATH,
        USER_FIELD,
        records("append", "append", &RESOURCE).repeats(Repeats::Allowed),
        record("contents", "contents", &RESOURCE),
        MODE,
    ],
    key: Key::Field("path"),
    rule: Rule::File,
};

static LINK: Type = Type {
    fields: &[
        GROUP_FIELD,
        OVERWRITE,
        PATH,
        USER_FIELD,
        flag("hard", "hard"),
        text("target", "target").before(3, Nil::Written),
    ],
    key: Key::Field("path"),
    rule: Rule::Node,
};

/// A disk.
pub(crate) static DISK: Type = Type {
    fields: &[
        text("device", "device").nil(Nil::Written),
        records("partitions", "partitions", &PARTITION),
        flag("wipeTable", "wipe_table"),
    ],
    key: Key::Field("device"),
    rule: Rule::Disk,
};

/// A partition.
pub(crate) static PARTITION: Type = Type {
    fields: &[
        text("guid", "guid"),
        text("label", "label"),
        number("number", "number").nil(Nil::Empty),
        flag("resize", "resize").since(2),
        flag("shouldExist", "should_exist"),
        number("sizeMiB", "size_mib"),
        number("startMiB", "start_mib"),
        text("typeGuid", "type_guid"),
        flag("wipePartitionEntry", "wipe_partition_entry"),
    ],
    key: Key::Partition,
    rule: Rule::Partition,
};

/// A filesystem.
pub(crate) static FILESYSTEM: Type = Type {
    fields: &[
        text("device", "device").nil(Nil::Written),
        text("format", "format"),
        text("label", "label"),
        texts("mountOptions", "mount_options").since(1).repeats(Repeats::Allowed),
        texts("options", "options").repeats(Repeats::Allowed),
        text("path", "path"),
        text("uuid", "uuid"),
        flag("wipeFilesystem", "wipe_filesystem"),
        flag("withMountUnit", "with_mount_unit").side(Side::Butane).since(1),
    ],
    key: Key::Field("device"),
    rule: Rule::Filesystem,
};

/// An encrypted device.
pub(crate) static LUKS: Type = Type {
    fields: &[
        record("clevis", "clevis", &CLEVIS).before(3, Nil::Empty),
        text("device", "device"),
        flag("discard", "discard").since(4),
        record("keyFile", "key_file", &RESOURCE),
        text("label", "label"),
        NAME,
        texts("openOptions", "open_options").since(4),
        texts("options", "options").repeats(Repeats::Allowed),
        text("uuid", "uuid"),
        flag("wipeVolume", "wipe_volume"),
    ],
    key: Key::Field("name"),
    rule: Rule::Luks,
};

/// The Clevis settings of an encrypted device.
pub(crate) static CLEVIS: Type = Type {
    fields: &[
        record("custom", "custom", &CUSTOM).before(3, Nil::Empty),
        records("tang", "tang", &TANG),
        number("threshold", "threshold"),
        flag("tpm2", "tpm2"),
    ],
    key: Key::None,
    rule: Rule::Nothing,
};

static CUSTOM: Type = Type {
    fields: &[
        text("config", "config").before(3, Nil::Written),
        flag("needsNetwork", "needs_network"),
        text("pin", "pin").before(3, Nil::Written),
    ],
    key: Key::None,
    rule: Rule::Custom,
};

/// A Tang server.
pub(crate) static TANG: Type = Type {
    fields: &[
        text("advertisement", "advertisement").since(4),
        text("thumbprint", "thumbprint"),
        text("url", "url").nil(Nil::Empty),
    ],
    key: Key::Field("url"),
    rule: Rule::Tang,
};

/// A RAID array.
pub(crate) static RAID: Type = Type {
    fields: &[
        texts("devices", "devices"),
        text("level", "level").before(3, Nil::Written),
        NAME,
        texts("options", "options").repeats(Repeats::Allowed),
        number("spares", "spares"),
    ],
    key: Key::Field("name"),
    rule: Rule::Raid,
};

static TREE: Type =
    Type { fields: &[text("local", "local"), text("path", "path")], key: Key::None, rule: Rule::Nothing };

/// The section of units.
pub(crate) static SYSTEMD: Type =
    Type { fields: &[records("units", "units", &UNIT)], key: Key::None, rule: Rule::Nothing };

const CONTENTS_LOCAL: Field = text("contentsLocal", "contents_local").side(Side::Butane).since(4);

/// A systemd unit.
pub(crate) static UNIT: Type = Type {
    fields: &[
        text("contents", "contents"),
        CONTENTS_LOCAL,
        records("dropins", "dropins", &DROPIN),
        flag("enabled", "enabled"),
        flag("mask", "mask"),
        NAME,
    ],
    key: Key::Field("name"),
    rule: Rule::Unit,
};

static DROPIN: Type = Type {
    fields: &[text("contents", "contents"), CONTENTS_LOCAL, NAME],
    key: Key::Field("name"),
    rule: Rule::Dropin,
};

/// What determines the language of a Butane config.
pub(crate) static BUTANE_HEAD: Type = Type {
    fields: &[
        text("version", "version").nil(Nil::Written).side(Side::Butane),
        text("variant", "variant").nil(Nil::Written).side(Side::Butane),
    ],
    key: Key::None,
    rule: Rule::Nothing,
};

/// What OpenShift requires besides the fields of Ignition.
pub(crate) static MACHINE_CONFIG: Type =
    Type { fields: &[record("metadata", "metadata", &METADATA)], key: Key::None, rule: Rule::Nothing };

static METADATA: Type = Type {
    fields: &[text("name", "name"), record("labels", "labels", &LABELS)],
    key: Key::None,
    rule: Rule::Nothing,
};

static LABELS: Type = Type {
    fields: &[text("role", "machineconfiguration.openshift.io/role")],
    key: Key::None,
    rule: Rule::Nothing,
};

/// A Butane config of any variant.
pub(crate) static BUTANE: Type = Type { fields: &BUTANE_FIELDS, key: Key::None, rule: Rule::Nothing };

/// A Butane config of Fedora CoreOS, which also has `boot_device`.
pub(crate) static BUTANE_FCOS: Type = Type {
    fields: &[
        BUTANE_FIELDS[0],
        BUTANE_FIELDS[1],
        BUTANE_FIELDS[2],
        BUTANE_FIELDS[3],
        BUTANE_FIELDS[4],
        BUTANE_FIELDS[5],
        BUTANE_FIELDS[6],
        record("bootDevice", "boot_device", &BOOT_DEVICE).side(Side::Butane),
        record("grub", "grub", &GRUB).side(Side::Butane).since(4),
    ],
    key: Key::None,
    rule: Rule::Nothing,
};

const BUTANE_FIELDS: [Field; 7] = [
    record("ignition", "ignition", &IGNITION),
    record("kernelArguments", "kernel_arguments", &KERNEL_ARGUMENTS).since(3),
    record("passwd", "passwd", &PASSWD),
    record("storage", "storage", &STORAGE),
    record("systemd", "systemd", &SYSTEMD),
    text("variant", "variant").side(Side::Butane),
    text("version", "version").side(Side::Butane),
];

static BOOT_DEVICE: Type = Type {
    fields: &[
        text("layout", "layout"),
        record("luks", "luks", &BOOT_LUKS),
        record("mirror", "mirror", &MIRROR),
    ],
    key: Key::None,
    rule: Rule::Nothing,
};

static BOOT_LUKS: Type = Type {
    fields: &[
        flag("discard", "discard").since(4),
        records("tang", "tang", &TANG),
        number("threshold", "threshold"),
        flag("tpm2", "tpm2"),
    ],
    key: Key::None,
    rule: Rule::Nothing,
};

static MIRROR: Type = Type { fields: &[texts("devices", "devices")], key: Key::None, rule: Rule::Nothing };

static GRUB: Type =
    Type { fields: &[records("users", "users", &GRUB_USER)], key: Key::None, rule: Rule::Nothing };

static GRUB_USER: Type = Type {
    fields: &[NAME, text("passwordHash", "password_hash")],
    key: Key::Field("name"),
    rule: Rule::Nothing,
};
