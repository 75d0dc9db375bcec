//! nftables, through the JSON interface of the `nft` program.
//!
//! Changes tables of our own, with two exceptions that a plan lists: one accept
//! rule in a chain of another program, and its removal.

mod drops;

use std::borrow::Cow;
use std::io;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::process::{command, find_program};
use crate::hint::Hint;
use crate::name::IfName;
use crate::plan::{FirewallPlan, ForeignAccept, ForwardDrop};

/// A failed change of the firewall.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}")]
pub struct NftError {
    what: String,
    /// The cause.
    #[source]
    pub source: io::Error,
}

impl Hint for NftError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self.source.kind() {
            io::ErrorKind::NotFound => Some("install nftables: `dryrack doctor` names the package"),
            io::ErrorKind::PermissionDenied => Some(
                "with `isolation = \"none\"` this needs CAP_NET_ADMIN: run as root, or use `isolation = \"private\"`",
            ),
            _ => None,
        };
        hint.map(Cow::Borrowed)
    }
}

/// Loads one of our tables, replacing its previous content.
pub async fn load(plan: &FirewallPlan) -> Result<(), NftError> {
    let what = || format!("load nftables table `ip {}`", plan.table);
    run(&["-j", "-f", "-"], &ruleset(plan).to_string()).await.map(drop).map_err(failed(what))
}

/// Makes packets that leave this network namespace by one of these interfaces come from its address. Blocks while
/// `nft` runs.
pub fn masquerade_out(interfaces: &[IfName]) -> io::Result<()> {
    use std::io::Write as _;
    let named = json!({"set": interfaces});
    let chain = json!({
        "family": "ip", "table": "dryrack", "name": "masquerade", "type": "nat", "hook": "postrouting",
        "prio": 100, "policy": "accept",
    });
    let rule = json!({
        "family": "ip", "table": "dryrack", "chain": "masquerade",
        "expr": [matches(json!({"meta": {"key": "oifname"}}), "==", named), {"masquerade": null}],
    });
    let table = json!({"family": "ip", "name": "dryrack"});
    let batch =
        json!({"nftables": [{"add": {"table": table}}, {"add": {"chain": chain}}, {"add": {"rule": rule}}]});
    let nft = find_program("nft").ok_or(io::ErrorKind::NotFound)?;
    let mut nft = command(nft);
    nft.args(["-j", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = nft.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(batch.to_string().as_bytes())?;
    }
    let output = child.wait_with_output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

/// Removes one of our tables; succeeds if it does not exist.
pub async fn remove(table: &str) -> Result<(), NftError> {
    // Adding first makes the deletion succeed even if the table does not exist.
    let table = json!({"table": {"family": "ip", "name": table}});
    let batch = json!({"nftables": [{"add": table}, {"delete": table}]});
    let what =
        || format!("remove nftables table `ip {}`", table["table"]["name"].as_str().unwrap_or_default());
    run(&["-j", "-f", "-"], &batch.to_string()).await.map(drop).map_err(failed(what))
}

/// Inserts one accept rule at the head of another program's chain.
pub async fn foreign_accept(accept: &ForeignAccept) -> Result<(), NftError> {
    // The rule may be left from a run whose undo was never executed.
    remove_foreign_accept(accept).await?;
    // Only the interface is matched: `iptables` rejects a whole table with an expression that it does not know (such
    // as connection states), and then Docker and ufw would stop working.
    let rule = |direction: &str| {
        json!({"insert": {"rule": {
            "family": accept.family, "table": accept.table, "chain": accept.chain, "comment": accept.comment,
            "expr": [matches(json!({"meta": {"key": direction}}), "==", json!(accept.bridge)), {"accept": null}],
        }}})
    };
    let batch = json!({"nftables": [rule("iifname"), rule("oifname")]});
    let what = || format!("let traffic of `{}` through {}'s firewall", accept.bridge, accept.owner);
    run(&["-j", "-f", "-"], &batch.to_string()).await.map(drop).map_err(failed(what))
}

/// Removes our rules from another program's chain; a missing rule counts as removed.
pub async fn remove_foreign_accept(accept: &ForeignAccept) -> Result<(), NftError> {
    let what = || format!("remove our rule from {}'s firewall", accept.owner);
    let listed = match run(&["-j", "-a", "list", "ruleset"], "").await {
        // Without nft there is no rule either.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed.map_err(failed(what))?,
    };
    let listed: Value = serde_json::from_str(&listed).map_err(|e| failed(what)(e.into()))?;
    let deletions: Vec<Value> = items(&listed)
        .filter_map(|item| item.get("rule"))
        .filter(|rule| {
            rule["family"] == accept.family
                && rule["table"] == accept.table
                && rule["chain"] == accept.chain
                && rule["comment"] == accept.comment
        })
        .map(|rule| {
            json!({"delete": {"rule": {
                "family": accept.family, "table": accept.table, "chain": accept.chain, "handle": rule["handle"],
            }}})
        })
        .collect();
    if deletions.is_empty() {
        return Ok(());
    }
    let batch = json!({"nftables": deletions});
    run(&["-j", "-f", "-"], &batch.to_string()).await.map(drop).map_err(failed(what))
}

/// Lists the chains of other programs that drop forwarded traffic, in this network namespace.
///
/// Needs CAP_NET_ADMIN and blocks while `nft` runs.
pub fn forward_drops() -> Result<Vec<ForwardDrop>, NftError> {
    let what = || "list the firewall".to_owned();
    let nft = find_program("nft").ok_or_else(|| failed(what)(io::ErrorKind::NotFound.into()))?;
    let output = command(nft).args(["-j", "list", "ruleset"]).stdin(Stdio::null()).output();
    let text = output.and_then(text).map_err(failed(what))?;
    let listed: Value = serde_json::from_str(&text).map_err(|e| failed(what)(e.into()))?;
    Ok(drops::forward_drops(&listed))
}

fn ruleset(plan: &FirewallPlan) -> Value {
    let (family, table) = ("ip", plan.table.as_str());
    let own = json!({"table": {"family": family, "name": table}});
    let chain = |name: &str, kind: &str, hook: &str, priority: i32| {
        json!({"add": {"chain": {
            "family": family, "table": table, "name": name,
            "type": kind, "hook": hook, "prio": priority, "policy": "accept",
        }}})
    };
    let rule = |chain: &str, expr: Value| json!({"add": {"rule": {"family": family, "table": table, "chain": chain, "expr": expr}}});
    let interface =
        |key: &str, operator: &str, name: &str| matches(json!({"meta": {"key": key}}), operator, json!(name));

    let mut batch = vec![
        json!({"add": own}),
        json!({"delete": own}),
        json!({"add": own}),
        chain("masquerade", "nat", "postrouting", 100),
        chain("forward", "filter", "forward", 0),
    ];
    for Masqueraded { bridge, network, length } in plan.masquerade.iter().map(Masqueraded::from) {
        let from = json!({"payload": {"protocol": "ip", "field": "saddr"}});
        let subnet = json!({"prefix": {"addr": network, "len": length}});
        // Traffic to the host itself keeps its source: our services identify clients by it.
        let leaves = |not_by: &str| interface("oifname", "!=", not_by);
        batch.push(rule(
            "masquerade",
            json!([matches(from, "==", subnet), leaves(bridge), leaves("lo"), {"masquerade": null}]),
        ));
        batch.push(rule("forward", json!([interface("iifname", "==", bridge), {"accept": null}])));
        let known = matches(json!({"ct": {"key": "state"}}), "in", json!(["established", "related"]));
        batch.push(rule("forward", json!([interface("oifname", "==", bridge), known, {"accept": null}])));
    }
    json!({"nftables": batch})
}

struct Masqueraded<'a> {
    bridge: &'a str,
    network: String,
    length: u8,
}

impl<'a> From<&'a crate::plan::Masquerade> for Masqueraded<'a> {
    fn from(of: &'a crate::plan::Masquerade) -> Self {
        Self {
            bridge: of.bridge.as_str(),
            network: of.subnet.network().to_string(),
            length: of.subnet.prefix_len(),
        }
    }
}

fn matches(left: Value, operator: &str, right: Value) -> Value {
    json!({"match": {"op": operator, "left": left, "right": right}})
}

fn items(listed: &Value) -> impl Iterator<Item = &Value> {
    listed["nftables"].as_array().into_iter().flatten()
}

async fn run(args: &[&str], input: &str) -> io::Result<String> {
    let nft = find_program("nft").ok_or(io::ErrorKind::NotFound)?;
    let mut nft = command(nft);
    nft.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = tokio::process::Command::from(nft).kill_on_drop(true).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // If nft stops reading, its standard error says why.
        stdin.write_all(input.as_bytes()).await.ok();
    }
    text(child.wait_with_output().await?)
}

fn text(output: Output) -> io::Result<String> {
    if output.status.success() {
        return String::from_utf8(output.stdout).map_err(io::Error::other);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    // nft prints the location of the error on the lines after the first.
    let first = stderr.lines().find(|line| !line.trim().is_empty()).unwrap_or("no error message");
    let kind = if first.contains("Operation not permitted") {
        io::ErrorKind::PermissionDenied
    } else {
        io::ErrorKind::Other
    };
    Err(io::Error::new(kind, format!("nft: {} ({})", first.trim(), output.status)))
}

fn failed(what: impl FnOnce() -> String) -> impl FnOnce(io::Error) -> NftError {
    move |source| NftError { what: what(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::IfName;
    use crate::plan::Masquerade;

    #[test]
    fn a_table_masquerades_and_accepts() {
        let plan = FirewallPlan {
            table: "dryrack_x".into(),
            masquerade: vec![Masquerade {
                bridge: IfName::new("drb0").unwrap(),
                subnet: "10.0.2.1/24".parse().unwrap(),
            }],
        };
        let lines: Vec<String> =
            ruleset(&plan)["nftables"].as_array().unwrap().iter().map(Value::to_string).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
            {"add":{"table":{"family":"ip","name":"dryrack_x"}}}
            {"delete":{"table":{"family":"ip","name":"dryrack_x"}}}
            {"add":{"table":{"family":"ip","name":"dryrack_x"}}}
            {"add":{"chain":{"family":"ip","table":"dryrack_x","name":"masquerade","type":"nat","hook":"postrouting","prio":100,"policy":"accept"}}}
            {"add":{"chain":{"family":"ip","table":"dryrack_x","name":"forward","type":"filter","hook":"forward","prio":0,"policy":"accept"}}}
            {"add":{"rule":{"family":"ip","table":"dryrack_x","chain":"masquerade","expr":[{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":{"prefix":{"addr":"10.0.2.0","len":24}}}},{"match":{"op":"!=","left":{"meta":{"key":"oifname"}},"right":"drb0"}},{"match":{"op":"!=","left":{"meta":{"key":"oifname"}},"right":"lo"}},{"masquerade":null}]}}}
            {"add":{"rule":{"family":"ip","table":"dryrack_x","chain":"forward","expr":[{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"drb0"}},{"accept":null}]}}}
            {"add":{"rule":{"family":"ip","table":"dryrack_x","chain":"forward","expr":[{"match":{"op":"==","left":{"meta":{"key":"oifname"}},"right":"drb0"}},{"match":{"op":"in","left":{"ct":{"key":"state"}},"right":["established","related"]}},{"accept":null}]}}}
            "#);
    }
}
