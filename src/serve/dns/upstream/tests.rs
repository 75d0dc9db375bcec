use std::sync::Arc;

use hickory_proto::rr::{DNSClass, RData, RecordType};

use super::*;
use crate::serve::example::Log;

const SECOND: u64 = 1_000_000_000;

fn question(name: &str) -> Question {
    Question {
        name: Name::from_ascii(name).unwrap(),
        class: DNSClass::IN,
        record: RecordType::A,
        dnssec: false,
        checking_disabled: false,
    }
}

/// How a test's name server behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Answers,
    Silent,
    Refuses,
    /// Truncates its answers over UDP.
    Cuts,
    /// Sends invalid answers first.
    Lies,
    /// Answers queries with EDNS by this code.
    NoEdns(ResponseCode),
    /// The same, without the question.
    NoEdnsBare,
    /// Drops queries with EDNS.
    DropsEdns,
    /// Answers every query with FORMERR.
    RejectsAll,
    /// Its answer has an address record of three bytes beside a good one.
    Unreadable,
}

/// A test's name server with its number of queries.
struct Other {
    address: SocketAddr,
    requested: Arc<Mutex<usize>>,
    _tasks: tokio::task::JoinSet<()>,
}

impl Other {
    async fn new(kind: Kind) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(address).await.unwrap();
        let requested = Arc::new(Mutex::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        let count = Arc::clone(&requested);
        tasks.spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                *count.lock().unwrap() += 1;
                if kind == Kind::Lies {
                    let mut other = Message::from_vec(&buffer[..length]).unwrap();
                    socket.send_to(&other.to_vec().unwrap(), from).await.unwrap();
                    other.metadata.id ^= 1;
                    socket.send_to(&reply(&other.to_vec().unwrap(), kind), from).await.unwrap();
                    socket.send_to(b"\0", from).await.unwrap();
                }
                let edns = Message::from_vec(&buffer[..length]).unwrap().edns.is_some();
                if !(kind == Kind::Silent || kind == Kind::DropsEdns && edns) {
                    socket.send_to(&reply(&buffer[..length], kind), from).await.unwrap();
                }
            }
        });
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let length = stream.read_u16().await.unwrap();
                let mut packet = vec![0; usize::from(length)];
                stream.read_exact(&mut packet).await.unwrap();
                let reply = reply(&packet, Kind::Answers);
                stream.write_u16(u16::try_from(reply.len()).unwrap()).await.unwrap();
                stream.write_all(&reply).await.unwrap();
            }
        });
        Self { address, requested, _tasks: tasks }
    }

    fn requested(&self) -> usize {
        *self.requested.lock().unwrap()
    }
}

fn reply(question: &[u8], kind: Kind) -> Vec<u8> {
    let mut message = Message::from_vec(question).unwrap();
    message.metadata.message_type = MessageType::Response;
    let edns = message.edns.take().is_some();
    match kind {
        Kind::NoEdns(code) if edns => message.metadata.response_code = code,
        Kind::NoEdnsBare if edns => {
            message.metadata.response_code = ResponseCode::FormErr;
            message.queries.clear();
        }
        Kind::RejectsAll => message.metadata.response_code = ResponseCode::FormErr,
        Kind::Refuses => message.metadata.response_code = ResponseCode::Refused,
        Kind::Cuts => message.metadata.truncation = true,
        Kind::Unreadable => {
            let name = message.queries[0].name().clone();
            let good = Record::from_rdata(name.clone(), 60, RData::from(Ipv4Addr::new(192, 0, 2, 7)));
            message.add_answer(good.clone()).add_answer(good);
            let mut bytes = message.to_vec().unwrap();
            // The last record gets a data length of three, and loses a byte.
            let at = bytes.len() - 6;
            bytes[at..at + 2].copy_from_slice(&3_u16.to_be_bytes());
            bytes.pop();
            return bytes;
        }
        Kind::Answers | Kind::Silent | Kind::Lies | Kind::NoEdns(_) | Kind::NoEdnsBare | Kind::DropsEdns => {
            let name = message.queries[0].name().clone();
            message.add_answer(Record::from_rdata(name, 60, RData::from(Ipv4Addr::new(192, 0, 2, 7))));
        }
    }
    message.to_vec().unwrap()
}

fn upstream(servers: &[&Other]) -> Upstream {
    let addresses: Vec<SocketAddr> = servers.iter().map(|other| other.address).collect();
    Upstream::new(&addresses, Log::default().emitter()).unwrap()
}

fn shown(own: &OwnAnswer) -> String {
    let data: Vec<String> = own.answers.iter().map(|record| record.data.to_string()).collect();
    format!("{} {}", own.code, data.join(" "))
}

const GOOD: &str = "No Error 192.0.2.7";

#[tokio::test]
async fn a_dead_server_costs_the_first_question_a_moment_and_no_other_one() {
    let (dead, good) = (Other::new(Kind::Silent).await, Other::new(Kind::Answers).await);
    let upstream = upstream(&[&dead, &good]);
    for number in 0..20 {
        assert_eq!(shown(&upstream.ask(&question(&format!("n{number}.example."))).await), GOOD);
    }
    assert_eq!(good.requested(), 20);
    // On a busy machine an answer may take longer than that.
    assert!(dead.requested() < 5, "{} of 20 questions went to a server that keeps silent", dead.requested());
}

#[tokio::test]
async fn who_refuses_is_not_the_last_to_be_asked() {
    let (no, good) = (Other::new(Kind::Refuses).await, Other::new(Kind::Answers).await);
    let both = upstream(&[&no, &good]);
    assert_eq!(shown(&both.ask(&question("a.example.")).await), GOOD);
    assert_eq!(no.requested(), 1);
    // If all servers refuse, that is the answer, without delay.
    let alone = upstream(&[&no]);
    assert_eq!(shown(&alone.ask(&question("a.example.")).await).trim(), "Query Refused");
    assert_eq!(no.requested(), 2, "it is not asked the same thing twice");
}

#[tokio::test]
async fn the_answer_comes_before_the_client_has_given_up() {
    let dead = Other::new(Kind::Silent).await;
    let upstream = upstream(&[&dead]);
    let begun = tokio::time::Instant::now();
    let own = upstream.ask(&question("a.example.")).await;
    assert_eq!((own.code, own.rule), (ResponseCode::ServFail, Rule::Silence));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(dead.requested(), ROUNDS, "what is lost is asked again");
}

#[tokio::test]
async fn what_was_cut_off_is_asked_by_tcp() {
    let other = Other::new(Kind::Cuts).await;
    assert_eq!(shown(&upstream(&[&other]).ask(&question("a.example.")).await), GOOD);
}

#[tokio::test]
async fn only_the_answer_to_the_question_is_believed() {
    let other = Other::new(Kind::Lies).await;
    assert_eq!(shown(&upstream(&[&other]).ask(&question("a.example.")).await), GOOD);
}

#[tokio::test]
async fn who_asks_for_the_same_shares_one_answer() {
    let good = Other::new(Kind::Answers).await;
    let upstream = upstream(&[&good]);
    let question = question("a.example.");
    let (one, two) = tokio::join!(upstream.ask(&question), upstream.ask(&question));
    assert_eq!((shown(&one).as_str(), shown(&two).as_str()), (GOOD, GOOD));
    assert_eq!(good.requested(), 1);
    assert_eq!(upstream.known(&question).map(|(own, _)| own.rule), Some(Rule::Cache));
    let state = upstream.lock();
    assert!(state.open.is_empty() && state.waiting == 0);
}

#[tokio::test]
async fn who_is_broken_off_leaves_nothing_open() {
    let dead = Other::new(Kind::Silent).await;
    let upstream = upstream(&[&dead]);
    timeout(Duration::from_millis(20), upstream.ask(&question("a.example."))).await.unwrap_err();
    assert!(upstream.lock().open.is_empty());
}

#[test]
fn a_silent_server_rests_and_is_tried_beside_another() {
    let turns = |order: &[usize], beside| ServerOrder { order: order.to_vec(), beside };
    let mut health = Health::new(3);
    assert_eq!(health.turns(0), turns(&[0, 1, 2], None));
    health.silent(0, 0);
    health.answered(1, AnsweredEdns::With, 0);
    assert_eq!(health.turns(SECOND), turns(&[1, 2, 0], None));
    // A server that answers again is no longer skipped.
    health.silent(0, SECOND);
    assert_eq!(health.turns(5 * SECOND), turns(&[1, 2, 0], Some(0)));
    assert_eq!(health.turns(6 * SECOND), turns(&[1, 2, 0], None), "one question finds out");
    // While it stays silent, it is skipped twice as long each time, up to a minute.
    health.silent(0, 10 * SECOND);
    assert_eq!(health.turns(19 * SECOND), turns(&[1, 2, 0], None));
    assert_eq!(health.turns(20 * SECOND), turns(&[1, 2, 0], Some(0)));
    health.answered(0, AnsweredEdns::With, 20 * SECOND);
    assert_eq!(health.turns(21 * SECOND), turns(&[0, 1, 2], None));
    // If none answers, all are tried in turn.
    (0..3).for_each(|server| health.silent(server, 30 * SECOND));
    assert_eq!(health.turns(31 * SECOND), turns(&[0, 1, 2], None));
}

#[test]
fn a_slow_server_is_queried_with_edns_again() {
    let mut health = Health::new(1);
    health.answered(0, AnsweredEdns::Without, SECOND);
    assert!(health.is_plain(0, 60 * SECOND) && !health.is_plain(0, 61 * SECOND));
    health.answered(0, AnsweredEdns::With, 61 * SECOND);
    assert!(!health.is_plain(0, 61 * SECOND));
    // What it rejected once is not tried again.
    health.answered(0, AnsweredEdns::Rejected, SECOND);
    health.answered(0, AnsweredEdns::Without, 2 * SECOND);
    assert!(health.is_plain(0, 3600 * SECOND));
}

#[tokio::test]
async fn a_server_without_edns_is_queried_without_it_from_then_on() {
    for (kind, first) in [
        (Kind::NoEdns(ResponseCode::FormErr), 2),
        (Kind::NoEdns(ResponseCode::NotImp), 2),
        (Kind::NoEdnsBare, 2),
        (Kind::DropsEdns, 3),
    ] {
        let other = Other::new(kind).await;
        let upstream = upstream(&[&other]);
        assert_eq!(shown(&upstream.ask(&question("one.test.")).await), GOOD);
        assert_eq!(other.requested(), first);
        assert_eq!(shown(&upstream.ask(&question("two.test.")).await), GOOD);
        assert_eq!(other.requested(), first + 1);
    }
}

#[tokio::test]
async fn a_server_that_rejects_every_form_is_a_server_failure() {
    let other = Other::new(Kind::RejectsAll).await;
    let own = upstream(&[&other]).ask(&question("one.test.")).await;
    assert_eq!(own.code, ResponseCode::ServFail);
}

#[tokio::test]
async fn an_unreadable_record_does_not_lose_the_answer() {
    let other = Other::new(Kind::Unreadable).await;
    assert_eq!(shown(&upstream(&[&other]).ask(&question("one.test.")).await), GOOD);
}
