//! Labels of a machine, from the query of its request.

use std::collections::BTreeMap;

use super::go::{mac, query};

/// The labels of a machine.
pub type Labels = BTreeMap<String, String>;

/// Parses labels from a query: the first value of each key, MAC addresses in lower case with colons.
///
/// Keys keep their case, so that `?MAC=` does not match a selector `mac`, but an invalid address is dropped whatever
/// the case of its key.
pub fn labels(raw_query: &str) -> Labels {
    let normal = |(key, value): (String, String)| {
        if !key.eq_ignore_ascii_case("mac") {
            return Some((key, value));
        }
        let address = mac::parse(&value).ok()?;
        Some((key, mac::write(&address)))
    };
    query::parse(raw_query).into_iter().filter_map(normal).collect()
}

/// Formats labels for messages: `mac=52:54:00:aa:bb:cc os=installed`.
pub fn words(labels: &Labels) -> String {
    let words: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_their_labels() {
        let table = [
            "",
            "mac=52-54-00-AA-BB-CC&os=installed",
            "mac=5254.00AA.BBCC",
            "mac=525400AABBCC",
            "MAC=52:54:00:AA:BB:CC&Mac=zz&mac=",
            "mac=nonsense&os=x",
            "mac=52:54:00:aa:bb:cc&mac=52:54:00:aa:bb:dd",
            "foo=bar&foo=baz&empty=&flag",
            "a=%20b+c&zone=z1",
            "a=1;b=2&zone=z1",
            "%zz&zone=z1",
        ];
        let lines: Vec<String> =
            table.iter().map(|query| format!("{query:44} {}", words(&labels(query)))).collect();
        insta::assert_snapshot!(lines.join("\n"), @"
                                                     
        mac=52-54-00-AA-BB-CC&os=installed           mac=52:54:00:aa:bb:cc os=installed
        mac=5254.00AA.BBCC                           mac=52:54:00:aa:bb:cc
        mac=525400AABBCC                             mac=52:54:00:aa:bb:cc
        MAC=52:54:00:AA:BB:CC&Mac=zz&mac=            MAC=52:54:00:aa:bb:cc
        mac=nonsense&os=x                            os=x
        mac=52:54:00:aa:bb:cc&mac=52:54:00:aa:bb:dd  mac=52:54:00:aa:bb:cc
        foo=bar&foo=baz&empty=&flag                  empty= flag= foo=bar
        a=%20b+c&zone=z1                             a= b c zone=z1
        a=1;b=2&zone=z1                              zone=z1
        %zz&zone=z1                                  zone=z1
        ");
    }
}
