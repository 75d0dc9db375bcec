//! XML as directives: elements with their attributes.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::document::{DEEPEST, Document, ItemId};
use crate::diag::{Code, Diagnostic, Span};

/// Parses a text. Attributes are items with `@` in front of their names.
pub(super) fn parse(text: &str, file: usize) -> Result<Document, Diagnostic> {
    let mut reader = Reader::from_str(text);
    let mut document = Document::new(file);
    let mut open = vec![Document::ROOT];
    let wrong = |at: usize, message: String| {
        let at = text.floor_char_boundary(at.min(text.len()));
        Diagnostic::new(Code::ForeignSyntax, Span::new(file, at..at), message)
            .help("`xmllint FILE` says more")
    };
    let position = |reader: &Reader<&[u8]>| usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
    loop {
        let start = position(&reader);
        let event = reader.read_event().map_err(|error| wrong(start, error.to_string()))?;
        let end = position(&reader);
        let span = Span::new(file, start.min(text.len())..end.min(text.len()));
        let parent = open.last().copied().unwrap_or(Document::ROOT);
        match event {
            Event::Start(element) => {
                let item = add(&mut document, parent, &element, span).map_err(|error| wrong(start, error))?;
                if open.len() > DEEPEST {
                    return Err(wrong(start, "it is nested too deep".into()));
                }
                open.push(item);
            }
            Event::Empty(element) => {
                add(&mut document, parent, &element, span).map_err(|error| wrong(start, error))?;
            }
            Event::End(_) => {
                if open.len() > 1 {
                    open.pop();
                }
            }
            Event::Text(words) => document.append(parent, &plain(&words)),
            Event::CData(words) => document.append(parent, &String::from_utf8_lossy(&words)),
            Event::GeneralRef(name) => {
                document.append(parent, &plain(format!("&{};", plain(&name)).as_bytes()))
            }
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    match open.len() {
        1 => Ok(document),
        _ => Err(wrong(text.len(), "an element is not closed".into())),
    }
}

fn add(
    document: &mut Document,
    parent: ItemId,
    element: &BytesStart<'_>,
    span: Span,
) -> Result<ItemId, String> {
    let name = String::from_utf8_lossy(element.name().as_ref()).into_owned();
    let item = document.add(parent, name, None, span.clone());
    for attribute in element.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        // Declarations of name spaces say nothing.
        if key.starts_with("xmlns") {
            continue;
        }
        document.add(item, format!("@{key}"), Some(plain(&attribute.value)), span.clone());
    }
    Ok(item)
}

/// Replaces the five entities of XML.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_items() {
        let text = "<?xml version='1.0'?>\n<!-- c -->\n<domain type='kvm'>\n  <name>a &amp; b</name>\n  <memory unit=\"MiB\">512</memory>\n  <boot dev='hd'/>\n</domain>\n";
        let document = parse(text, 0).unwrap();
        let domain = document.get(Document::ROOT, "domain").unwrap();
        let at = |path: &[&str]| document.text(document.at(domain, path).unwrap()).to_owned();
        assert_eq!(at(&["@type"]), "kvm");
        assert_eq!(at(&["name"]), "a & b");
        assert_eq!((at(&["memory", "@unit"]), at(&["memory"])), ("MiB".into(), "512".into()));
        assert_eq!(at(&["boot", "@dev"]), "hd");
        let span = document.span(document.get(domain, "boot").unwrap());
        assert_eq!(&text[span.range()], "<boot dev='hd'/>");
    }

    #[test]
    fn what_is_no_xml_has_a_place() {
        for text in ["<a>", "<a></b>", "<a b=c/>", "<a b='1' b='2'/>"] {
            assert!(parse(text, 0).is_err(), "{text}");
        }
    }
}
