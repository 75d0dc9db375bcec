//! The built-in functions: names and parameters.

/// A built-in function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Builtin {
    And,
    Call,
    Eq,
    Ge,
    Gt,
    Html,
    Index,
    Js,
    Le,
    Len,
    Lt,
    Ne,
    Not,
    Or,
    Print,
    Printf,
    Println,
    Slice,
    UrlQuery,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `reflect.Value` or `interface{}`, which accept any value.
    Value,
    /// `string`.
    Text,
}

const NAMES: &[(&str, Builtin)] = &[
    ("and", Builtin::And),
    ("call", Builtin::Call),
    ("eq", Builtin::Eq),
    ("ge", Builtin::Ge),
    ("gt", Builtin::Gt),
    ("html", Builtin::Html),
    ("index", Builtin::Index),
    ("js", Builtin::Js),
    ("le", Builtin::Le),
    ("len", Builtin::Len),
    ("lt", Builtin::Lt),
    ("ne", Builtin::Ne),
    ("not", Builtin::Not),
    ("or", Builtin::Or),
    ("print", Builtin::Print),
    ("printf", Builtin::Printf),
    ("println", Builtin::Println),
    ("slice", Builtin::Slice),
    ("urlquery", Builtin::UrlQuery),
];

impl Builtin {
    /// Returns the function with a name.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, builtin)| *builtin)
    }

    /// Returns its name.
    pub(super) fn name(self) -> &'static str {
        NAMES.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    /// Returns the types of the required parameters, and of variadic ones.
    pub(super) fn parameters(self) -> (&'static [Kind], Option<Kind>) {
        match self {
            Self::And | Self::Call | Self::Eq | Self::Index | Self::Or | Self::Slice => {
                (&[Kind::Value], Some(Kind::Value))
            }
            Self::Ge | Self::Gt | Self::Le | Self::Lt | Self::Ne => (&[Kind::Value, Kind::Value], None),
            Self::Html | Self::Js | Self::Print | Self::Println | Self::UrlQuery => (&[], Some(Kind::Value)),
            Self::Len | Self::Not => (&[Kind::Value], None),
            Self::Printf => (&[Kind::Text], Some(Kind::Value)),
        }
    }
}
