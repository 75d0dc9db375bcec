//! What Ignition left behind: its result, since 2.12, and its messages in the journal.
//!
//! A system on which Ignition fails does not come up at all; so what is judged is whether it ran, and with what.

use serde_json::Value;

use super::{Answer, sections};

/// The result has been in `/etc` since 2.13. The message with this ID tells of each config that was fetched, with the
/// field IGNITION_CONFIG_TYPE.
pub(super) const SCRIPT: &str = r#"echo '@@dryrack result'
for file in /etc/.ignition-result.json /var/lib/ignition/result.json; do
if $s test -e "$file"; then $s cat "$file"; break; fi
done
echo
echo '@@dryrack configs'
$s journalctl -q --no-pager -o cat MESSAGE_ID=57124006b5c94805b77ce473e92a8aeb IGNITION_CONFIG_TYPE=user 2>/dev/null
echo '@@dryrack log'
$s journalctl -q --no-pager -o cat -t ignition 2>/dev/null | grep -E 'files passed|finished successfully|CRIT|failed' | tail -n 20"#;

/// Judges the result.
pub(super) fn judge(said: &str, user_config: bool) -> Answer {
    let sections = sections(said);
    let of = |name| sections.get(name).copied().unwrap_or_default().trim();
    let (result, configs, log) = (of("result"), of("configs"), of("log"));
    let result = match result {
        "" => None,
        text => match serde_json::from_str::<Value>(text) {
            Ok(result) => Some(result),
            Err(error) => return Answer::no(format!("the result of Ignition is not JSON: {error}")),
        },
    };
    let passed = log.lines().any(|line| line.contains("files passed"));
    let Some(when) =
        result.as_ref().map(|result| match result.get("provisioningDate").and_then(Value::as_str) {
            Some(date) => format!("finished at {date}"),
            None => "finished".to_owned(),
        })
    else {
        let critical = log.lines().rev().find(|line| line.contains("CRIT") || line.contains("failed"));
        return match critical {
            _ if passed && (!user_config || !configs.is_empty()) => {
                Answer::yes("finished, as the journal says")
            }
            _ if passed => Answer::no("it finished, but without a config of the user"),
            Some(line) => Answer::no(format!("it left no result: `{}`", line.trim())),
            None => Answer::no("it left no result, and nothing in the journal"),
        };
    };
    let provided =
        result.as_ref().and_then(|result| result.get("userConfigProvided")).and_then(Value::as_bool);
    match provided.unwrap_or(!configs.is_empty()) {
        true => Answer::yes(format!("{when}, with a config of the user")),
        false if user_config => Answer::no(format!("{when}, but without a config of the user")),
        false => Answer::yes(format!("{when}, without a config of the user")),
    }
}
