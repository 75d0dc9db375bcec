//! Checks through etcd's JSON gateway whether nodes form one healthy etcd cluster.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hyper::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use tokio::time::timeout;

use super::http::request;
use super::{Answer, network_of};
use crate::name::NodeName;
use crate::run::reach::Reaching;
use crate::system::host::EnteredNetwork;

/// How long one answer may take: an attempt has time for three.
const LIMIT: Duration = Duration::from_secs(3);

/// The status of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberReport {
    healthy: bool,
    id: String,
    cluster: String,
    leader: String,
    members: BTreeSet<String>,
}

/// 64-bit numbers are encoded as strings, zero is omitted.
#[derive(Debug, Deserialize)]
struct Head {
    #[serde(default)]
    cluster_id: String,
    #[serde(default)]
    member_id: String,
}

#[derive(Debug, Deserialize)]
struct Status {
    header: Head,
    #[serde(default)]
    leader: String,
}

#[derive(Debug, Deserialize)]
struct MemberList {
    #[serde(default)]
    members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "isLearner", default)]
    is_learner: bool,
}

#[derive(Debug, Deserialize)]
struct Health {
    /// A string in all versions; a boolean is accepted too.
    health: serde_json::Value,
}

/// Queries every node and compares the answers.
pub(super) async fn probe(
    nodes: &[(&NodeName, Option<IpAddr>)],
    reaching: &Reaching,
    port: u16,
    members: usize,
) -> Answer {
    // In parallel: a member that hangs must not hide the answers of the others.
    let answers = nodes.iter().map(|(node, address)| async move {
        let said = match address {
            Some(address) => match reaching.from(*address) {
                Ok(from) => ask(SocketAddr::new(*address, port), network_of(from.as_ref())).await,
                Err(off) => Err(off.to_string()),
            },
            None => Err("no address yet".to_owned()),
        };
        (*node, said)
    });
    judge(&futures_util::future::join_all(answers).await, members)
}

async fn ask(member: SocketAddr, from: Option<&EnteredNetwork>) -> Result<MemberReport, String> {
    // The status comes first: a member without a leader answers only that, and at once.
    let Status { header, leader } = fetch(member, from, Method::POST, "/v3/maintenance/status").await?;
    let mut said = MemberReport {
        healthy: false,
        id: header.member_id,
        cluster: header.cluster_id,
        leader,
        members: BTreeSet::new(),
    };
    if is_none(&said.leader) {
        return Ok(said);
    }
    // An unhealthy member answers 503 with the same body.
    let Health { health } = fetch(member, from, Method::GET, "/health").await?;
    said.healthy = health == serde_json::json!("true") || health == serde_json::json!(true);
    if said.healthy {
        let MemberList { members } = fetch(member, from, Method::POST, "/v3/cluster/member/list").await?;
        said.members =
            members.into_iter().filter(|member| !member.is_learner).map(|member| member.id).collect();
    }
    Ok(said)
}

async fn fetch<T: DeserializeOwned>(
    member: SocketAddr,
    from: Option<&EnteredNetwork>,
    method: Method,
    path: &str,
) -> Result<T, String> {
    let body = (method == Method::POST).then_some("{}");
    let answered = timeout(LIMIT, request(member, from, method, path, body)).await;
    let answered = answered.map_err(|_| format!("{path} does not answer"))??;
    serde_json::from_slice(&answered.body)
        .map_err(|_| format!("{path} answers {} and no JSON", answered.status()))
}

/// Compares the status of the members.
pub(super) fn judge(said: &[(&NodeName, Result<MemberReport, String>)], members: usize) -> Answer {
    let mut problems = Vec::new();
    let mut views = Vec::new();
    for (node, said) in said {
        match said {
            Err(why) => problems.push(format!("{node}: {why}")),
            Ok(view) if is_none(&view.leader) => problems.push(format!("{node}: no leader")),
            Ok(view) if !view.healthy => problems.push(format!("{node}: not healthy")),
            Ok(view) if view.members.len() != members => {
                problems.push(format!("{node}: {} of {members} members", view.members.len()));
            }
            Ok(view) => views.push((*node, view)),
        }
    }
    let leaders: BTreeSet<_> = views.iter().map(|(_, view)| (&view.cluster, &view.leader)).collect();
    let ids: BTreeSet<_> = views.iter().map(|(_, view)| &view.id).collect();
    if leaders.len() > 1 {
        problems.push(format!("the nodes follow {} leaders", leaders.len()));
    } else if ids.len() < views.len() {
        problems.push("two nodes are the same member".to_owned());
    } else if let Some((node, _)) = views.iter().find(|(_, view)| !view.members.contains(&view.leader)) {
        problems.push(format!("{node}: the leader is no member"));
    }
    if !problems.is_empty() {
        return Answer::no(problems.join("; "));
    }
    let leader = views.iter().find(|(_, view)| view.id == view.leader);
    let leader = leader.map_or("another node leads".to_owned(), |(node, _)| format!("{node} leads"));
    Answer::yes(format!("{members} healthy members, {leader}"))
}

fn is_none(id: &str) -> bool {
    id.is_empty() || id == "0"
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn said(id: &str, leader: &str, members: &[&str]) -> Result<MemberReport, String> {
        Ok(MemberReport {
            healthy: !is_none(leader),
            id: id.to_owned(),
            cluster: "c".to_owned(),
            leader: leader.to_owned(),
            members: members.iter().map(ToString::to_string).collect(),
        })
    }

    fn check(said: &[Result<MemberReport, String>]) -> String {
        let names: Vec<_> = (1..=said.len()).map(|n| NodeName::new(&format!("node-{n}")).unwrap()).collect();
        let said: Vec<_> = names.iter().zip(said.iter().cloned()).collect();
        let Answer { ok, seen, .. } = judge(&said, 3);
        format!("{ok}: {seen}")
    }

    #[test]
    fn a_cluster_is_judged_by_all_its_nodes() {
        let all = ["1", "2", "3"];
        let refused = || Err("port 2379 refuses connections".to_owned());
        assert_snapshot!(check(&[said("1", "2", &all), said("2", "2", &all), said("3", "2", &all)]), @"true: 3 healthy members, node-2 leads");
        assert_snapshot!(check(&[said("1", "2", &all), said("2", "2", &all), refused()]), @"false: node-3: port 2379 refuses connections");
        assert_snapshot!(check(&[said("1", "2", &all), said("2", "2", &all), said("3", "0", &[])]), @"false: node-3: no leader");
        assert_snapshot!(check(&[said("1", "1", &["1"]), said("2", "2", &all), said("3", "2", &all)]), @"false: node-1: 1 of 3 members");
        assert_snapshot!(check(&[said("1", "1", &all), said("2", "2", &all), said("3", "2", &all)]), @"false: the nodes follow 2 leaders");
        assert_snapshot!(check(&[said("1", "1", &all), said("1", "1", &all), said("3", "1", &all)]), @"false: two nodes are the same member");
    }
}
