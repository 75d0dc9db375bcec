//! Something that a node cannot reach.
//!
//! That nothing was reached shows little by itself: the program that tries may be missing or broken, and the target may
//! be down. So the same program first has to reach the ssh server of the node itself, at the address at which Dryrack
//! has just logged in; and Dryrack has to reach the target, unless the lab file says that it may be down. An answer of
//! the target that refuses what is asked for (HTTP 403, 404 or 410) needs neither.

use super::{Answer, quoted, sections};
use crate::lab::Target;

/// A function of the shell for each way to try: it ends with 0 if something listens.
const TRY_TCP: &str = r#"try() {
case $how in
bash) timeout 5 bash -c 'exec 3<>"/dev/tcp/$1/$2"' - "$1" "$2" ;;
python3) timeout 5 python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 4)' "$1" "$2" ;;
nc) timeout 5 nc -w 4 "$1" "$2" </dev/null >/dev/null ;;
esac
}
set -- $SSH_CONNECTION
for how in bash python3 nc none; do
command -v "$how" >/dev/null 2>&1 || continue
try "$3" "$4" 2>/dev/null && break
done
"#;

/// Returns what tries to reach a target.
pub(super) fn script(target: &Target) -> String {
    let (before, host, port) = match target {
        Target::Tcp(to) => (String::new(), to.ip().to_string(), to.port()),
        Target::Url { url, host, port } => {
            let url = quoted(url);
            let curl = "curl -s -k -m 8 -o /dev/null -w '%{http_code}'";
            let wget = "wget -q -T 8 -t 1 --no-check-certificate -S -O /dev/null";
            let first = format!(
                "status=\nif command -v curl >/dev/null 2>&1; then echo '@@dryrack fetch'; status=$({curl} {url}); echo \"curl $status\"\n\
                 elif command -v wget >/dev/null 2>&1; then echo '@@dryrack fetch'; \
                 status=$({wget} {url} 2>&1 | sed -n 's/^ *HTTP[^ ]* \\([0-9]*\\).*/\\1/p' | tail -n 1); echo \"wget $status\"\nfi\n"
            );
            (first, host.clone(), *port)
        }
    };
    let host = quoted(&host);
    format!(
        "{before}{TRY_TCP}echo \"@@dryrack how\"; echo \"$how\"\n\
         if [ \"$how\" != none ]; then if try {host} {port} 2>/dev/null; then echo '@@dryrack reached'; else echo '@@dryrack failed'; fi; fi"
    )
}

/// Judges what a node has reached. `control` tells whether Dryrack reaches the target, if it has to.
pub(super) fn judge(said: &str, target: &Target, control: Option<Result<(), String>>) -> Answer {
    let sections = sections(said);
    let how = sections.get("how").map(|how| how.trim());
    if let (Target::Url { .. }, fetch) = (target, sections.get("fetch")) {
        let Some((program, status)) =
            fetch.and_then(|fetch| fetch.trim().split_once(' ').or(Some((fetch.trim(), ""))))
        else {
            return Answer::no("the node has neither curl nor wget, so nothing was tried");
        };
        match status.parse::<u16>() {
            Ok(status @ 200..=399) => {
                return Answer::no(format!("{program} fetches {target}: status {status}"));
            }
            // The server answers and refuses.
            Ok(status @ 400..) => return Answer::yes(format!("{target} answers {status}")),
            Ok(_) | Err(_) => {}
        }
    }
    let Some(how) = how.filter(|how| *how != "none") else {
        return Answer::no(
            "the node has nothing that connects to its own ssh server (bash, python3, nc), so nothing was tried",
        );
    };
    if sections.contains_key("reached") {
        return Answer::no(match target {
            Target::Tcp(_) => format!("{how} connects to {target}"),
            Target::Url { host, port, .. } => {
                format!("{how} connects to port {port} of {host}, which does not answer as an HTTP server")
            }
        });
    }
    if !sections.contains_key("failed") {
        return Answer::no("the attempt was not completed");
    }
    match control {
        Some(Err(why)) => {
            Answer::no(format!("the node cannot reach {target}, but neither can Dryrack: {why}"))
        }
        Some(Ok(())) => Answer::yes(format!("{how} cannot connect to {target}, but Dryrack can")),
        None => Answer::yes(format!("{how} cannot connect to {target}")),
    }
}
