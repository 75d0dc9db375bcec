//! What is encoded is parsed again, and foreign bytes do no harm.

use proptest::prelude::*;

use super::super::privilege::Privilege;
use super::super::suite::{Cipher, SUITES};
use super::{OpenRequest, OpenResponse, Rakp1, Rakp2, Rakp3, Rakp4, Reply, Role, Status, Wanted};

#[test]
fn open_session_as_ipmitool_sends_it() {
    let bytes = [
        0, 0, 0, 0, 0xa4, 0xa3, 0xa2, 0xa0, 0, 0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 8, 4, 0, 0, 0, 2, 0, 0, 8, 1, 0,
        0, 0,
    ];
    let request = OpenRequest::new(0, None, 0xa0a2_a3a4, Cipher::Sha256.suite());
    assert_eq!(request.encode(), bytes);
    assert_eq!(OpenRequest::parse(&bytes), Some(request));
}

#[test]
fn records_without_length_admit_any_algorithm() {
    let mut bytes = OpenRequest::new(0, None, 1, Cipher::Sha1.suite()).encode();
    for record in [8, 16, 24] {
        bytes[record + 3] = 0;
    }
    let request = OpenRequest::parse(&bytes).unwrap();
    assert_eq!(request.integrity, Wanted::Any);
    assert!(SUITES.into_iter().all(|suite| request.admits(suite)));
}

#[test]
fn statuses_survive() {
    for number in 0..=0xff {
        assert_eq!(Status::parse(number).number(), number);
    }
}

#[test]
fn refusals_have_eight_bytes() {
    let refusal = Reply::Refused { tag: 1, status: Status::NoSuite, console: 0xa0a2_a3a4 };
    let bytes = OpenResponse::encode(&refusal);
    assert_eq!(bytes, [1, 0x11, 0, 0, 0xa4, 0xa3, 0xa2, 0xa0]);
    assert_eq!(OpenResponse::parse(&bytes), Some(refusal));
}

proptest! {
    #[test]
    fn messages_survive(
        tag: u8, console: u32, bmc: u32, random: [u8; 16], guid: [u8; 16], role: u8, proof: Vec<u8>,
        name in proptest::collection::vec(any::<u8>(), 0..=16), suite in 0usize..18,
    ) {
        let suite = SUITES[suite];
        let request = OpenRequest::new(tag, Some(Privilege::Operator), console, suite);
        prop_assert_eq!(OpenRequest::parse(&request.encode()), Some(request));
        let response = Reply::Accepted(OpenResponse {
            tag, privilege: Some(Privilege::User), console, bmc, authentication: suite.authentication,
            integrity: suite.integrity, confidentiality: suite.confidentiality,
        });
        prop_assert_eq!(OpenResponse::parse(&OpenResponse::encode(&response)), Some(response));
        let first = Rakp1 { tag, bmc, random, role: Role(role), name };
        prop_assert_eq!(Rakp1::parse(&first.encode()), Some(first));
        let second = Reply::Accepted(Rakp2 { tag, console, random, guid, proof: proof.clone() });
        prop_assert_eq!(Rakp2::parse(&Rakp2::encode(&second)), Some(second));
        let third = Rakp3 { tag, status: Status::Ok, bmc, proof: proof.clone() };
        prop_assert_eq!(Rakp3::parse(&third.encode()), Some(third));
        let fourth = Reply::Accepted(Rakp4 { tag, console, check_value: proof });
        prop_assert_eq!(Rakp4::parse(&Rakp4::encode(&fourth)), Some(fourth));
    }

    #[test]
    fn any_bytes(bytes: Vec<u8>) {
        let _parsed = (OpenRequest::parse(&bytes), OpenResponse::parse(&bytes));
        let _parsed = (Rakp1::parse(&bytes), Rakp2::parse(&bytes), Rakp3::parse(&bytes), Rakp4::parse(&bytes));
    }
}
