//! Finds chains of other programs that drop forwarded traffic in the output of `nft -j list ruleset`.
//!
//! An accept in our own table does not override a drop in another one: all base
//! chains of a hook are evaluated, and one drop is final.

use serde_json::Value;

use crate::plan::ForwardDrop;

/// Lists the base chains of the hook `forward` whose policy or last rule drops.
pub(super) fn forward_drops(listed: &Value) -> Vec<ForwardDrop> {
    let chains: Vec<&Value> = super::items(listed).filter_map(|item| item.get("chain")).collect();
    let rules: Vec<&Value> = super::items(listed).filter_map(|item| item.get("rule")).collect();
    chains
        .iter()
        .filter(|chain| chain["hook"] == "forward" && chain["family"] != "ip6")
        .filter(|chain| !text(chain, "table").starts_with("dryrack"))
        .filter(|chain| chain["policy"] == "drop" || drops_at_the_end(chain, &rules))
        .map(|chain| {
            let beside = |name: &str| {
                chains.iter().any(|other| {
                    other["name"] == name
                        && other["family"] == chain["family"]
                        && other["table"] == chain["table"]
                })
            };
            let (owner, user_chain) = owner(chain, beside);
            ForwardDrop {
                owner,
                family: text(chain, "family"),
                table: text(chain, "table"),
                chain: text(chain, "name"),
                user_chain: user_chain.map(str::to_owned),
            }
        })
        .collect()
}

/// Returns the owner of a chain, and the chain that the owner provides for rules of others.
fn owner(chain: &Value, beside: impl Fn(&str) -> bool) -> (String, Option<&'static str>) {
    let table = text(chain, "table");
    if beside("DOCKER-USER") {
        ("docker".into(), Some("DOCKER-USER"))
    } else if beside("ufw-user-forward") {
        ("ufw".into(), Some("ufw-user-forward"))
    } else if beside("ufw-before-forward") {
        ("ufw".into(), None)
    } else if table.starts_with("docker") || beside("DOCKER") || beside("DOCKER-FORWARD") {
        ("docker".into(), None)
    } else if table == "firewalld" {
        // firewalld replaces all its rules at every reload, and has no chain for rules of others.
        ("firewalld".into(), None)
    } else {
        (table, None)
    }
}

/// Tells whether the last rule of a chain drops or rejects all packets.
fn drops_at_the_end(chain: &Value, rules: &[&Value]) -> bool {
    let last = rules.iter().rev().find(|rule| {
        rule["family"] == chain["family"] && rule["table"] == chain["table"] && rule["chain"] == chain["name"]
    });
    let Some(expressions) = last.and_then(|rule| rule["expr"].as_array()) else { return false };
    let is = |expression: &Value, names: &[&str]| names.iter().any(|name| expression.get(name).is_some());
    let remarks = ["counter", "log"];
    expressions.last().is_some_and(|verdict| is(verdict, &["drop", "reject"]))
        && expressions[..expressions.len() - 1].iter().all(|expression| is(expression, &remarks))
}

fn text(of: &Value, key: &str) -> String {
    of[key].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chain(family: &str, table: &str, name: &str, hook: Option<&str>, policy: Option<&str>) -> Value {
        json!({"chain": {"family": family, "table": table, "name": name, "handle": 1, "hook": hook, "policy": policy}})
    }

    fn rule(family: &str, table: &str, chain: &str, expr: Value) -> Value {
        json!({"rule": {"family": family, "table": table, "chain": chain, "handle": 2, "expr": expr}})
    }

    #[test]
    fn chains_that_drop_are_found_with_their_owner() {
        let listed = json!({"nftables": [
            {"metainfo": {"json_schema_version": 1}},
            chain("ip", "filter", "FORWARD", Some("forward"), Some("drop")),
            chain("ip", "filter", "DOCKER-USER", None, None),
            chain("ip6", "filter", "FORWARD", Some("forward"), Some("drop")),
            chain("inet", "firewalld", "filter_FORWARD", Some("forward"), Some("accept")),
            rule("inet", "firewalld", "filter_FORWARD", json!([{"match": {}}, {"accept": null}])),
            rule("inet", "firewalld", "filter_FORWARD", json!([{"reject": {"type": "icmpx"}}])),
            chain("inet", "mine", "fwd", Some("forward"), Some("accept")),
            rule("inet", "mine", "fwd", json!([{"match": {}}, {"drop": null}])),
            chain("inet", "strict", "fwd", Some("forward"), Some("accept")),
            rule("inet", "strict", "fwd", json!([{"counter": {"packets": 0}}, {"drop": null}])),
            chain("ip", "dryrack_1", "forward", Some("forward"), Some("drop")),
            chain("inet", "filter", "input", Some("input"), Some("drop")),
        ]});
        let found: Vec<String> = forward_drops(&listed)
            .iter()
            .map(|d| format!("{}: {} {} {} -> {:?}", d.owner, d.family, d.table, d.chain, d.user_chain))
            .collect();
        insta::assert_snapshot!(found.join("\n"), @r#"
            docker: ip filter FORWARD -> Some("DOCKER-USER")
            firewalld: inet firewalld filter_FORWARD -> None
            strict: inet strict fwd -> None
            "#);
    }

    #[test]
    fn ufw_is_told_from_docker() {
        let listed = json!({"nftables": [
            chain("ip", "filter", "FORWARD", Some("forward"), Some("drop")),
            chain("ip", "filter", "ufw-before-forward", None, None),
            chain("ip", "filter", "ufw-user-forward", None, None),
        ]});
        let found = forward_drops(&listed);
        assert_eq!(
            (found[0].owner.as_str(), found[0].user_chain.as_deref()),
            ("ufw", Some("ufw-user-forward"))
        );
    }
}
