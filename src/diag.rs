//! A diagnostic: code, span, message, help.
