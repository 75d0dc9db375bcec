//! Messages of the Base registry of Redfish, with texts of our own.

use serde_json::{Value, json};

/// The version of the registry.
const BASE: &str = "Base.1.21";

macro_rules! messages {
    ($($key:ident $severity:ident $text:literal $resolution:literal)+) => {
        /// A message of the registry.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Key { $($key,)+ }

        impl Key {
            fn parts(self) -> (&'static str, &'static str, &'static str, &'static str) {
                match self { $(Self::$key => (stringify!($key), stringify!($severity), $text, $resolution),)+ }
            }
        }
    };
}

messages! {
    Success OK "The request was carried out." "None."
    NoOperation Warning "The request changes nothing." "Name at least one property that can be changed."
    GeneralError Critical "The request was refused." "The messages with it say why."
    MalformedJSON Critical "The body is not valid JSON." "Send a JSON object."
    UnrecognizedRequestBody Warning "The body is not what the service expects." "Send a JSON object."
    PropertyUnknown Warning "The resource has no property %1." "Leave it out."
    PropertyNotWritable Warning "The property %1 can only be read." "Leave it out."
    PropertyValueTypeError Warning "The value '%1' is of the wrong type for the property %2." "Send a value of the type that the schema gives."
    PropertyValueNotInList Warning "The value '%1' is not one of those of the property %2." "Send one of the allowable values."
    PropertyValueFormatError Warning "The value '%1' has the wrong format for the property %2." "Send a value of the format that the schema gives."
    PropertyValueOutOfRange Warning "The value '%1' is out of the range of the property %2." "Send a value within the range."
    PropertyValueConflict Warning "The property '%1' conflicts with the property '%2'." "Change one of them."
    PropertyMissing Warning "The property %1 is missing." "Send it."
    StringValueTooLong Warning "The text '%1' is longer than %2." "Send a shorter text."
    StringValueTooShort Warning "The text '%1' is shorter than %2." "Send a longer text."
    ArraySizeTooLong Warning "The array %1 has more than %2 elements." "Send fewer elements."
    ActionParameterMissing Critical "The action %1 needs the parameter %2." "Send it."
    ActionParameterUnknown Warning "The action %1 has no parameter %2." "Leave it out."
    ActionParameterValueTypeError Warning "The value '%1' of the parameter %2 of the action %3 is of the wrong type." "Send a value of the type that the schema gives."
    ActionParameterValueNotInList Warning "The value '%1' of the parameter %2 of the action %3 is not one of the allowable values." "Send one of the allowable values."
    ActionParameterValueFormatError Warning "The value '%1' of the parameter %2 of the action %3 has the wrong format." "Send a value of the format that the schema gives."
    ActionParameterValueConflict Warning "The parameter '%1' cannot have the value '%2' now." "Send another value, or try again later."
    ResourceMissingAtURI Critical "There is no resource at '%1'." "Check the URI."
    ResourceAlreadyExists Critical "There is a %1 whose %2 is '%3' already." "Choose another value."
    ResourceInUse Warning "The resource is in use." "Try again when it is not."
    ResourceCannotBeDeleted Critical "The resource cannot be deleted." "Leave it."
    CreateLimitReachedForResource Critical "There are as many of these resources as there can be." "Delete one first."
    QueryNotSupportedOnResource Warning "The resource takes no such query." "Leave the query out."
    QueryNotSupportedOnOperation Warning "The method takes no query." "Leave the query out."
    QueryParameterUnsupported Warning "The query parameter '%1' is not supported." "Leave it out."
    QueryParameterValueFormatError Warning "The value '%1' of the query parameter %2 has the wrong format." "Correct it."
    QueryParameterValueTypeError Warning "The value '%1' of the query parameter %2 is of the wrong type." "Correct it."
    QueryParameterOutOfRange Warning "The value '%1' of the query parameter %2 is out of the range %3." "Send a value within the range."
    QueryCombinationInvalid Warning "These query parameters cannot be used together." "Leave one of them out."
    InsufficientPrivilege Critical "The account is not allowed to do this." "Use an account with a role that is."
    NoValidSession Critical "The credentials are missing or not valid." "Log in."
    ResourceAtUriUnauthorized Critical "The server of '%1' wants other credentials: %2." "Check user and password."
    PasswordChangeRequired Critical "The password has to be changed first, by PATCH at '%1'." "Change it."
    SessionLimitExceeded Critical "There are as many sessions as there can be." "Delete one first."
    EventSubscriptionLimitExceeded Critical "There are as many subscriptions as there can be." "Delete one first."
    PreconditionFailed Critical "The ETag is not that of the resource." "Read the resource again."
    PreconditionRequired Critical "The request needs the header If-Match." "Send the ETag of the resource."
    HeaderInvalid Critical "The header '%1' is not valid." "Correct it."
    OperationNotAllowed Critical "The resource does not take this method." "Use one of those in the header Allow."
    CouldNotEstablishConnection Critical "There is no connection to '%1'." "Check the URL, and whether its server answers."
    SourceDoesNotSupportProtocol Critical "The server of '%1' does not support what is needed: %2." "Use another server."
    ServiceTemporarilyUnavailable Critical "The service is busy for %1 seconds." "Try again then."
    AccessDenied Critical "The URL '%1' is not one that the service may use." "Use a URL of HTTP or HTTPS with an address of the lab."
    ServiceDisabled Warning "The service at '%1' is disabled." "Leave it: what it would change belongs to the host."
    OperationFailed Warning "The service could not do this." "Look at the other messages."
}

/// A message with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    key: Key,
    arguments: Vec<String>,
    related: Option<String>,
    /// Identifier and text, if it is of another registry.
    foreign: Option<(String, String)>,
}

impl Message {
    /// Makes a message.
    pub(super) fn new(key: Key, arguments: &[&str]) -> Self {
        Self {
            key,
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            related: None,
            foreign: None,
        }
    }

    /// Makes a message of another registry, by its identifier.
    pub(super) fn foreign(id: &str, text: &str) -> Self {
        let foreign = Some((id.to_owned(), text.to_owned()));
        Self { foreign, ..Self::new(Key::GeneralError, &[]) }
    }

    /// Returns the message with the property that it is about, as a JSON pointer.
    pub(super) fn about(mut self, pointer: &str) -> Self {
        self.related = Some(format!("#{pointer}"));
        self
    }

    /// Returns the property that it is about.
    pub(super) fn related(&self) -> Option<&str> {
        self.related.as_deref()
    }

    /// Returns its identifier.
    pub(super) fn id(&self) -> String {
        match &self.foreign {
            Some((id, _)) => id.clone(),
            None => format!("{BASE}.{}", self.key.parts().0),
        }
    }

    /// Returns its text.
    pub(super) fn text(&self) -> String {
        match &self.foreign {
            Some((_, text)) => text.clone(),
            None => filled(self.key.parts().2, &self.arguments),
        }
    }

    /// Returns the object for `@Message.ExtendedInfo`.
    pub(super) fn json(&self) -> Value {
        let (_, severity, _, resolution) = self.key.parts();
        let mut object = json!({
            "@odata.type": "#Message.v1_3_0.Message",
            "MessageId": self.id(),
            "Message": self.text(),
            "MessageArgs": self.arguments,
            "MessageSeverity": severity,
            // The older name, which clients look at that do not have the registry.
            "Severity": severity,
            "Resolution": resolution,
        });
        if let Some(related) = &self.related {
            object["RelatedProperties"] = json!([related]);
        }
        object
    }
}

/// Fills arguments into a text.
pub(super) fn filled(text: &str, arguments: &[String]) -> String {
    let mut parts = text.split('%');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let number = part.chars().next().and_then(|digit| digit.to_digit(10));
        let argument = number
            .and_then(|number| usize::try_from(number).ok()?.checked_sub(1))
            .and_then(|index| arguments.get(index));
        match argument {
            Some(argument) => {
                filled.push_str(argument);
                filled.push_str(part.get(1..).unwrap_or_default());
            }
            None => {
                filled.push('%');
                filled.push_str(part);
            }
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_filled_in_once() {
        let message = Message::new(Key::PropertyValueNotInList, &["%2", "Boot"]).about("/Boot");
        assert_eq!(message.text(), "The value '%2' is not one of those of the property Boot.");
        assert_eq!(message.json()["RelatedProperties"], json!(["#/Boot"]));
        assert_eq!(message.id(), "Base.1.21.PropertyValueNotInList");
    }
}
