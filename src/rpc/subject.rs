//! Subject and issuer of a certificate as text: `CN=terraform,O=Example`.

use x509_parser::oid_registry::{
    OID_X509_COMMON_NAME, OID_X509_COUNTRY_NAME, OID_X509_LOCALITY_NAME, OID_X509_ORGANIZATION_NAME,
    OID_X509_ORGANIZATIONAL_UNIT, OID_X509_SERIALNUMBER, OID_X509_STATE_OR_PROVINCE_NAME,
    OID_X509_STREET_ADDRESS, Oid,
};
use x509_parser::parse_x509_certificate;
use x509_parser::x509::X509Name;

/// The attributes that have short names (RFC 4514, section 3).
const NAMES: &[(Oid<'static>, &str)] = &[
    (OID_X509_COMMON_NAME, "CN"),
    (OID_X509_SERIALNUMBER, "SERIALNUMBER"),
    (OID_X509_COUNTRY_NAME, "C"),
    (OID_X509_LOCALITY_NAME, "L"),
    (OID_X509_STATE_OR_PROVINCE_NAME, "ST"),
    (OID_X509_STREET_ADDRESS, "STREET"),
    (OID_X509_ORGANIZATION_NAME, "O"),
    (OID_X509_ORGANIZATIONAL_UNIT, "OU"),
];

/// Returns the subject of a DER certificate, its last attribute first (RFC 4514); empty if it has none.
pub(super) fn subject(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    Some(text(certificate.subject()))
}

/// Returns a name as text, its last attribute first.
pub(super) fn text(name: &X509Name<'_>) -> String {
    let mut attributes: Vec<String> = name
        .iter_attributes()
        .filter_map(|attribute| {
            let (_, name) = NAMES.iter().find(|(kind, _)| kind == attribute.attr_type())?;
            Some(format!("{name}={}", String::from_utf8_lossy(attribute.attr_value().data)))
        })
        .collect();
    attributes.reverse();
    attributes.join(",")
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn certificate(attributes: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in attributes {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn subjects_read_as_people_write_them() {
        let unknown = DnType::CustomDnType(vec![1, 2, 3]);
        let named = certificate(&[
            (DnType::OrganizationName, "Example"),
            (unknown, "?"),
            (DnType::CommonName, "terraform"),
        ]);
        assert_eq!(subject(&named).unwrap(), "CN=terraform,O=Example");
        assert_eq!(subject(&certificate(&[])).unwrap(), "");
    }

    #[test]
    fn what_is_cut_off_has_no_subject() {
        let whole = certificate(&[(DnType::CommonName, "terraform")]);
        for length in 0..whole.len() {
            assert_eq!(subject(&whole[..length]), None, "{length}");
        }
    }
}
