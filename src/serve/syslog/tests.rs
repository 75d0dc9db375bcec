use proptest::prelude::*;

use super::*;
use crate::serve::example::Log;

fn check(datagram: &[u8]) -> String {
    match read(datagram) {
        Some(Known::SyslogLine { facility, severity, app, text }) => {
            format!("{facility}.{severity} <{app}> <{text}>")
        }
        Some(other) => panic!("{other:?}"),
        None => "nothing".to_owned(),
    }
}

#[test]
fn lines_of_all_kinds_are_taken_apart() {
    let lines: [&str; 24] = [
        // RFC 3164 messages, with and without host.
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
        "<13>Nov  1 15:04:05 one root: hello",
        "<30>Nov 21 15:04:05 sshd[812]: Accepted publickey",
        "<30>Nov 21 15:04:05 fe80::1 sshd[812]: Accepted publickey",
        "<0>Use the BFG!",
        "<6>kernel: eth0: link up",
        "<165>Aug 24 05:34:00 10.1.1.1 no tag at all",
        "<13>2026-11-21T15:04:05.123456+00:00 one app[1]: rsyslog's way",
        // RFC 5424 messages.
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed",
        "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.",
        r#"<165>1 2003-10-11T22:14:15.003Z host evntslog - ID47 [ex@1 a="b" c="\"]\\"][more x="1"] An event"#,
        r#"<165>1 2003-10-11T22:14:15.003Z host evntslog - ID47 [ex@1 a="b"]"#,
        "<14>1 - - - - - - only text",
        "<14>1 - - - - - -",
        // Anything else is text.
        "<14>1 - - - - -",
        r#"<165>1 - host app - ID47 [ex a="b An event"#,
        "no priority",
        "<>x",
        "<192>x",
        "<1234>x",
        "<13>",
        "",
        "<13>a\tb\u{1b}[31mc\u{0}d\r\ne\n",
        "<13>Nov 21 15:04:05",
    ];
    let shown: Vec<String> = lines.iter().map(|line| check(line.as_bytes())).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    auth.crit <su> <'su root' failed for lonvick on /dev/pts/8>
    user.notice <root> <hello>
    daemon.info <sshd> <Accepted publickey>
    daemon.info <sshd> <Accepted publickey>
    kern.emerg <> <Use the BFG!>
    kern.info <kernel> <eth0: link up>
    local4.notice <> <10.1.1.1 no tag at all>
    user.notice <app> <rsyslog's way>
    auth.crit <su> <'su root' failed>
    local4.notice <myproc> <%% It's time to make the do-nuts.>
    local4.notice <evntslog> <An event>
    local4.notice <evntslog> <>
    user.info <> <only text>
    nothing
    user.info <> <1 - - - - ->
    local4.notice <> <1 - host app - ID47 [ex a="b An event>
    user.notice <> <no priority>
    user.notice <> <<>x>
    user.notice <> <<192>x>
    user.notice <> <<1234>x>
    nothing
    nothing
    user.notice <> <a b[31mcd  e>
    user.notice <> <Nov 21 15:04:05>
    "#);
    assert_eq!(check(b"<13>app: \xff\xfe\x00"), "user.notice <app> <\u{fffd}\u{fffd}>");
}

#[test]
fn long_lines_are_cut() {
    let Some(Known::SyslogLine { text, .. }) = read("ä".repeat(5000).as_bytes()) else { panic!("a line") };
    assert_eq!(text.len(), TEXT);
}

#[test]
fn a_chatty_node_is_counted_and_keeps_nobody_else_out() {
    let log = Log::default();
    let handler = SyslogHandler::new(log.emitter());
    let (chatty, calm) = (NodeName::new("chatty").unwrap(), NodeName::new("calm").unwrap());
    for number in 0..OF_NODE + 50 {
        handler.take(Some(&chatty), format!("<13>app: {number}").as_bytes());
    }
    handler.take(Some(&calm), b"<13>app: hello");
    let reported = log.take();
    assert_eq!(reported.len() as u64, OF_NODE + 1);
    assert_eq!(reported.last().unwrap().0.as_deref(), Some("calm"));
    handler.flush();
    let left_out = Known::Omitted { service: Service::Syslog, count: 50 };
    assert_eq!(log.take(), [(Some("chatty".to_owned()), left_out)]);
    // A second later messages are emitted again; the remaining counts are emitted on drop.
    for number in 0..=OF_NODE {
        handler.take(Some(&chatty), format!("<13>app: {number}").as_bytes());
    }
    drop(handler);
    assert_eq!(log.take().len() as u64, OF_NODE + 1);
}

#[test]
fn all_nodes_together_are_bounded() {
    let log = Log::default();
    let handler = SyslogHandler::new(log.emitter());
    for number in 0..20_000 {
        let node = NodeName::new(&format!("n{}", number % 100)).unwrap();
        handler.take(Some(&node), b"<13>app: hello");
    }
    assert_eq!(log.take().len() as u64, OF_ALL);
    drop(handler);
    assert_eq!(log.take().len(), 100, "each node's number");
}

proptest! {
    #[test]
    fn no_bytes_do_harm(datagram in prop::collection::vec(any::<u8>(), 0..300), head in "(<[0-9]{0,4}>)?(1 )?(- ){0,6}(\\[)?") {
        let datagram = [head.as_bytes(), &datagram].concat();
        if let Some(Known::SyslogLine { facility, severity, app, text }) = read(&datagram) {
            prop_assert!(Facility::ALL.contains(&facility) && Severity::ALL.contains(&severity));
            prop_assert!(app.len() <= APP && text.len() <= TEXT);
            prop_assert!(!app.chars().chain(text.chars()).any(char::is_control));
        }
    }
}
