//! Differences of older versions of Ignition.

use super::Version;
use super::check;
use super::report::{JsonPath, Language, Problem, Report};
use super::schema::Side;
use super::value::{Content, Record, Value};
use super::write;

/// The special bits of a mode, which count only since 3.4.
const SPECIAL: i64 = 0o7000;

/// Writes a config of version `of` in an older version, or returns what that cannot express.
///
/// Special bits of modes that had no effect in the config's own version need no newer one.
pub(crate) fn write(root: &Record, of: Version, version: Version) -> Result<String, Problem> {
    let minor = version.minor();
    let mut report = Report::new(Language::Json);
    newer(root, of, version, &JsonPath::root(), &mut report);
    let mut root = root.clone();
    if minor < 3 {
        // Values that are plain strings in the older version, and an empty pin, which meant no pin.
        root.each(&mut older_shape);
    }
    check::whole(&root, minor, &mut report);
    report.finish().map_err(|problems| {
        let first = problems.into_iter().next().expect("there is one, or it had finished well");
        let message = format!("{} (as Ignition {version})", first.message);
        Problem { message, ..first }
    })?;
    if let Some(Value { content: Content::Record(ignition), .. }) = root.get_mut("ignition") {
        ignition.set("version", Value::new(0, version.to_string()));
    }
    Ok(write::write(&root, minor))
}

fn older_shape(record: &mut Record) {
    let custom = record.kind.fields.iter().any(|field| field.name == "custom");
    if custom && record.record("custom").is_some_and(|custom| custom.filled("pin").is_none()) {
        record.take("custom");
    }
}

/// Reports each field that is set but missing in the version.
fn newer(record: &Record, of: Version, version: Version, path: &JsonPath<'_>, report: &mut Report) {
    for (field, value) in record.fields() {
        let Some(value) = value else { continue };
        if field.side == Side::Butane {
            continue;
        }
        let path = path.field(field);
        let empty = match &value.content {
            Content::Record(record) => record.is_zero(),
            Content::List(list) => list.is_empty(),
            Content::Text(_) | Content::Bytes(_) | Content::Number(_) | Content::Flag(_) => false,
        };
        if field.since > version.minor() && !empty {
            report.add(value.line, &path, format!("needs Ignition 3.{}.0", field.since));
            continue;
        }
        match &value.content {
            Content::Record(record) => newer(record, of, version, &path, report),
            Content::List(list) => {
                for (index, item) in list.iter().enumerate() {
                    if let Some(record) = item.as_record() {
                        newer(record, of, version, &path.item(index), report);
                    }
                }
            }
            Content::Number(mode)
                if field.name == "mode" && mode & SPECIAL != 0 && version.minor() < 4 && of.minor() >= 4 =>
            {
                report.add(value.line, &path, "setuid, setgid and sticky bits need Ignition 3.4.0");
            }
            Content::Text(_) | Content::Bytes(_) | Content::Number(_) | Content::Flag(_) => {}
        }
    }
}
