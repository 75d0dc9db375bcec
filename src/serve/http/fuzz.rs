//! Fuzzes the HTTP service with arbitrary requests, below the protocol that hyper parses.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::super::content::{Content, Item, Missing};
use super::range::{Wanted, wanted};
use super::reply::{Piece, reply};
use crate::event::FileRole;
use crate::fuzz::script::Script;

const NAMES: [HeaderName; 6] = [
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
];
/// The size of the header and boundary of each part of a multipart body.
const AROUND: u64 = 400;

/// Answers one request for a text or folder, which may not exist. The body matches the head, only the requested
/// ranges are sent, and never more than the content with its part headers.
pub(crate) fn request(data: &[u8]) {
    let mut script = Script::new(data);
    let method = script.one_of(&[0, 0, 0, 1, 2]);
    let method = [Method::GET, Method::HEAD, Method::PUT][method].clone();
    let length = script.number();
    let text: String = (0..length).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
    let content = |content| Item { content, role: FileRole::Kernel, rule: "plan" };
    let found = match script.byte() & 15 {
        0 => Err(Missing::Unknown),
        1 => Err(Missing::Refused("it leads elsewhere")),
        2 => {
            let name = || String::from_utf8_lossy(script.piece()).into_owned();
            Ok(content(Content::Folder(std::iter::repeat_with(name).take(3).collect())))
        }
        _ => Ok(content(Content::Text(text.clone()))),
    };
    let is_text = matches!(&found, Ok(Item { content: Content::Text(_), .. }));
    let path = String::from_utf8_lossy(script.piece()).into_owned();
    let mut headers = HeaderMap::new();
    while !script.is_over() {
        let name = NAMES[usize::from(script.byte()) % NAMES.len()].clone();
        let value = script.piece();
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
        check_range(&String::from_utf8_lossy(value), u64::from(length) << (length % 49));
    }
    let reply = reply(&method, &path, &headers, found);
    let sent: u64 = reply.body.iter().map(Piece::length).sum();
    let announced = reply.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let announced = announced.map(|length| length.parse::<u64>().expect("a number"));
    match (&method, reply.status) {
        (&Method::HEAD, _) | (_, StatusCode::NOT_MODIFIED) => assert_eq!(sent, 0),
        _ => assert_eq!(announced, Some(sent), "firmware takes no body without a length"),
    }
    match reply.status {
        StatusCode::OK | StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED => {}
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED => assert!(sent < 64),
        StatusCode::RANGE_NOT_SATISFIABLE => assert!(sent < 64 && headers.contains_key(header::RANGE)),
        StatusCode::PARTIAL_CONTENT => {
            assert!(method == Method::GET && headers.contains_key(header::RANGE) && reply.range.is_some());
            if is_text {
                let pieces = reply.body.len() as u64;
                assert!(sent <= u64::from(length) + pieces * AROUND, "{sent} bytes of {length}");
            }
        }
        other => panic!("{other}"),
    }
    if is_text && method == Method::GET && reply.status == StatusCode::OK {
        assert_eq!(sent, u64::from(length));
    }
    if is_text && reply.status == StatusCode::PARTIAL_CONTENT {
        check_pieces(&reply.headers, &reply.body, &text);
    }
}

/// Checks that the bytes of a single range are those that its head names.
fn check_pieces(headers: &HeaderMap, body: &[Piece], text: &str) {
    let Some(range) = headers.get(header::CONTENT_RANGE) else { return };
    let range = range.to_str().expect("a text").strip_prefix("bytes ").expect("bytes");
    let (range, whole) = range.split_once('/').expect("of how many");
    let (first, last) = range.split_once('-').expect("from where to where");
    assert_eq!(whole, text.len().to_string());
    let number = |digits: &str| digits.parse::<usize>().expect("a number");
    let [Piece::Bytes(bytes)] = body else { panic!("one piece of a text") };
    assert_eq!(&**bytes, &text.as_bytes()[number(first)..=number(last)]);
}

fn check_range(header: &str, size: u64) {
    let Wanted::Pieces(pieces) = wanted(header, size) else { return };
    assert!((1..=16).contains(&pieces.len()));
    let total: u128 = pieces.iter().map(|(_, length)| u128::from(*length)).sum();
    assert!(total <= u128::from(size), "more than there is");
    for (first, length) in pieces {
        assert!(length > 0 && first.checked_add(length).is_some_and(|end| end <= size));
    }
}
