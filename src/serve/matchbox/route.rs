//! Routes paths as Go's `http.ServeMux` does: pure.

use crate::matchbox::go::path;
use crate::matchbox::render::Endpoint;
use crate::serve::content::decode;

/// The form of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Armour {
    /// `.sig`: binary.
    None,
    /// `.asc`: ASCII-armoured.
    Ascii,
}

/// The route of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// `/`
    Home,
    /// The iPXE script that is fetched first.
    Boot(Option<Armour>),
    /// A rendered document.
    Render(Endpoint, Option<Armour>),
    /// A file below `/assets/`.
    Asset(Vec<u8>),
    /// A redirect to another path.
    Redirect {
        /// The path.
        to: String,
        /// Whether that path has a route.
        known: bool,
    },
    /// Not a path of matchbox.
    Nothing,
}

/// Routes a path, with or without assets and signatures.
pub(super) fn route(raw: &str, assets: bool, signatures: bool) -> Route {
    if assets && path::clean(raw) == "/assets" && !raw.ends_with('/') {
        return Route::Redirect { to: "/assets/".to_owned(), known: true };
    }
    if let Some(to) = path::redirect(raw) {
        let mut clean = path::clean(raw);
        if raw.ends_with('/') && clean != "/" {
            clean.push('/');
        }
        let known = raw.starts_with('/') && of_clean(&clean, assets, signatures) != Route::Nothing;
        return Route::Redirect { to, known };
    }
    of_clean(raw, assets, signatures)
}

fn of_clean(raw: &str, assets: bool, signatures: bool) -> Route {
    let Ok(decoded) = decode(raw) else { return Route::Nothing };
    if let Some(below) = decoded.strip_prefix(b"/assets/") {
        return if assets { Route::Asset(below.to_vec()) } else { Route::Nothing };
    }
    let Ok(path) = str::from_utf8(&decoded) else { return Route::Nothing };
    let (path, armour) = match (path.strip_suffix(".sig"), path.strip_suffix(".asc")) {
        (Some(path), _) if signatures => (path, Some(Armour::None)),
        (_, Some(path)) if signatures => (path, Some(Armour::Ascii)),
        _ => (path, None),
    };
    match path {
        "/" if armour.is_none() => Route::Home,
        "/boot.ipxe" | "/boot.ipxe.0" => Route::Boot(armour),
        path => Endpoint::at(path).map_or(Route::Nothing, |endpoint| Route::Render(endpoint, armour)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_what_they_are() {
        let redirect = |to: &str, known| Route::Redirect { to: to.to_owned(), known };
        for (path, is) in [
            ("/", Route::Home),
            ("/boot.ipxe", Route::Boot(None)),
            ("/boot.ipxe.0.asc", Route::Boot(Some(Armour::Ascii))),
            ("/%69pxe", Route::Render(Endpoint::Ipxe, None)),
            ("/ipxe.sig", Route::Render(Endpoint::Ipxe, Some(Armour::None))),
            ("/ipxe.sig.asc", Route::Nothing),
            ("/.sig", Route::Nothing),
            ("/ipxe/", Route::Nothing),
            ("//ipxe", redirect("/ipxe", true)),
            ("/boot/../ipxe", redirect("/ipxe", true)),
            ("//boot/one.ipxe", redirect("/boot/one.ipxe", false)),
            ("/assets", redirect("/assets/", true)),
            ("/assets/k.sig", Route::Asset(b"k.sig".to_vec())),
            ("/healthz", Route::Nothing),
            ("/a%zz", Route::Nothing),
        ] {
            assert_eq!(route(path, true, true), is, "{path}");
        }
        for path in ["/assets", "/assets/k", "/ipxe.sig", "/boot.ipxe.asc"] {
            assert_eq!(route(path, false, false), Route::Nothing, "{path}");
        }
    }
}
