//! A request, with its path, its query and its body parsed.

use std::net::IpAddr;

use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::message::{Key, Message};
use super::reply::Reply;

/// The longest body that is read.
pub const LONGEST_BODY: usize = 256 << 10;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// Whether it came by TLS.
    pub transport: Transport,
    /// Where it came from.
    pub from: Option<IpAddr>,
}

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// HTTP.
    Plain,
    /// HTTPS.
    Tls,
}

impl Request {
    /// Returns the path, decoded and without a slash at its end.
    pub(super) fn path(&self) -> String {
        let path = self.target.split(['?', '#']).next().unwrap_or_default();
        let path = percent_decode_str(path).decode_utf8_lossy().into_owned();
        path.trim_end_matches('/').to_owned()
    }

    /// Returns the parameters of the query, decoded; a parameter without `=` has no value.
    pub(super) fn query(&self) -> Vec<(String, Option<String>)> {
        let query =
            self.target.split('#').next().unwrap_or_default().split_once('?').map_or("", |(_, query)| query);
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_decode_str(&text).decode_utf8_lossy().into_owned()
        };
        query
            .split('&')
            .filter(|parameter| !parameter.is_empty())
            .map(|parameter| match parameter.split_once('=') {
                Some((name, value)) => (decode(name), Some(decode(value))),
                None => (decode(parameter), None),
            })
            .collect()
    }

    /// Returns a header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the object in the body.
    pub(super) fn object(&self) -> Result<Map<String, Value>, Box<Reply>> {
        match self.json()? {
            Some(object) => Ok(object),
            None => Err(Reply::refuse(400, Message::new(Key::MalformedJSON, &[]))),
        }
    }

    /// Returns the object in the body of an action, which may be empty.
    pub(super) fn parameters(&self) -> Result<Map<String, Value>, Box<Reply>> {
        Ok(self.json()?.unwrap_or_default())
    }

    fn json(&self) -> Result<Option<Map<String, Value>>, Box<Reply>> {
        if self.body.len() > LONGEST_BODY {
            return Err(Reply::refuse(413, Message::new(Key::GeneralError, &[])));
        }
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        // A client that says nothing means JSON.
        let kind = self.header("content-type").unwrap_or("application/json");
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Reply::refuse(415, Message::new(Key::HeaderInvalid, &["Content-Type"])));
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => Ok(Some(object)),
            Ok(_) => Err(Reply::refuse(400, Message::new(Key::UnrecognizedRequestBody, &[]))),
            Err(_) => Err(Reply::refuse(400, Message::new(Key::MalformedJSON, &[]))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, body: &str) -> Request {
        Request {
            method: Method::GET,
            target: target.to_owned(),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
            transport: Transport::Tls,
            from: None,
        }
    }

    #[test]
    fn path_and_query_are_decoded() {
        let request = request("/redfish/v1/%24metadata/?%24select=Name%2CId&only&a=b=c&&", "");
        assert_eq!(request.path(), "/redfish/v1/$metadata");
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            request.query(),
            [
                ("$select".to_owned(), text("Name,Id")),
                ("only".to_owned(), None),
                ("a".to_owned(), text("b=c"))
            ]
        );
    }

    #[test]
    fn a_body_is_an_object() {
        assert!(request("/", "{\"a\": 1}").object().is_ok());
        assert!(request("/", " ").object().is_err());
        assert!(request("/", " ").parameters().is_ok());
        assert!(request("/", "[]").object().is_err());
        assert!(request("/", "{").parameters().is_err());
    }
}
